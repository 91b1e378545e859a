"""Literals that end with Done, run by a launched function that recovers from their panics."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, delete, or_reason, parameters, wrap
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, launches
from threadmend.golang.recovering import recovers
from threadmend.golang.syntax import Node
from threadmend.golang.waitgroups import WaitGroupCall, waitgroup_calls
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

__all__ = ["skipped_by_panics"]


def skipped_by_panics(file: GoFile) -> Iterator[Finding]:
    """Yield the Dones that a panic skips although the program goes on: `go safely(func() {…})`."""
    for launch in launches(file):
        body, call = launch.body, launch.call
        if launch.kind != "go" or launch.decl is None or body is None or call is None:
            continue
        if not recovers(launch.decl.file, body):
            continue
        for literal in _given(body, call):
            done = _last(file, literal)
            if done is not None and len(literal["body"].statements) > 1:
                yield _finding(file, launch, done)


def _given(body: Node, call: Node) -> Iterator[Node]:
    """Yield the literals that a function is given and calls."""
    called = {n["function"].text for n in body.find("call_expression")}
    for parameter, value in zip(parameters(body), call["arguments"].children, strict=False):
        name = parameter.name
        if value.kind == "func_literal" and name is not None and name.text in called:
            yield value


def _last(file: GoFile, literal: Node) -> WaitGroupCall | None:
    """Return the Done that is the literal's last statement, and its only one."""
    dones = [c for c in waitgroup_calls(file, literal, inside=True) if c.method == "Done"]
    statements = literal["body"].statements
    if len(dones) != 1 or not statements or dones[0].call.parent is not statements[-1]:
        return None
    if any(n.kind == "return_statement" for n in literal["body"].own()):
        return None
    return dones[0]


def _finding(file: GoFile, launch: Launch, done: WaitGroupCall) -> Finding:
    fix = _fix(launch, done)
    name = launch.decl.name if launch.decl is not None else ""
    node = launch.node
    return Finding(
        path=file.path,
        start=done.call.start,
        end=done.call.end,
        message=f"{done.waitgroup.name}.Done is skipped by a panic, from which {name} recovers",
        fixes=(fix,) if isinstance(fix, Fix) else (),
        related=(Related(node.path, node.start, node.start + 2, "launched here"),),
        reason=fix if isinstance(fix, str) else "",
        confidence=Confidence.MEDIUM,
    )


@or_reason
def _fix(launch: Launch, done: WaitGroupCall) -> Fix:
    """Defer Done in a literal around the call, behind what the function does for the end.

    Sound: the call's arguments are literals and names that the goroutine has captured already.
    """
    call, statement = launch.call, done.call.parent
    if call is None or statement is None:
        raise BuilderError("what is launched cannot be wrapped")
    for value in call["arguments"].children:
        if value.kind not in {"func_literal", "identifier"} and not value.kind.endswith("literal"):
            raise BuilderError("an argument of the launch would be evaluated later")
    gone = delete(statement)
    around = wrap([launch.node], f"go func() {{\n\tdefer {done.waitgroup.name}.Done()", "}()")
    inside = [e for e in around if not any(g.start <= e.start < g.end for g in gone)]
    bare = Edit(launch.node.path, launch.node.start, call.start, b"")
    edits = _joined([*inside, bare, *gone])
    name = done.waitgroup.name
    reason = "Wait goes on where it waited for ever"
    return Fix(f"Defer {name}.Done around the call", edits, Safety.UNSAFE, reason)


def _joined(edits: list[Edit]) -> tuple[Edit, ...]:
    """Return the edits, an insertion in front of a deletion as one with it."""
    found: list[Edit] = []
    for edit in sorted(edits, key=lambda e: (e.start, e.end)):
        last = found[-1] if found else None
        if last is not None and last.end == edit.start == last.start:
            found[-1] = Edit(edit.path, last.start, edit.end, last.new + edit.new)
        else:
            found.append(edit)
    return tuple(found)
