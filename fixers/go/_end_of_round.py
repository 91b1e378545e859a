"""Releases that are deferred in a loop: at the end of each round instead."""

from __future__ import annotations

from dataclasses import dataclass

from threadmend.golang.builders import BuilderError, delete, insert_at_end, insert_before, wrap
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.plain import is_plain, only_words
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Edit, Fix, Safety

from ._returns_apart import has_nothing_of

__all__ = ["Deferred", "released_each_round"]

_BREAKABLE = frozenset(
    {
        *("for_statement", "select_statement"),
        *("expression_switch_statement", "type_switch_statement"),
    }
)


@dataclass(slots=True)
class Deferred:
    """A defer in a loop, the call that it puts off, and what the finding says of it."""

    statement: Node
    call: Node
    loop: Node
    message: str
    confidence: Confidence
    file: GoFile
    resource: Binding | None
    """What is released, if that is a context, or what has a Close."""


def released_each_round(deferred: Deferred) -> tuple[Fix | None, str]:
    """Return the fix that releases in the round which acquired, or None and why there is none."""
    jumps = [n for n in deferred.loop["body"].own() if n.kind in _JUMPS]
    leaving = [j for j in jumps if _leaves(j, deferred.loop)]
    try:
        if all(j.kind == "continue_statement" and len(j.children) < 2 for j in leaving):
            return _wrapped(deferred, leaving), ""
        return _called(deferred, leaving)
    except BuilderError as error:
        return None, str(error)


_JUMPS = frozenset({"return_statement", "goto_statement", "break_statement", "continue_statement"})


def _leaves(jump: Node, loop: Node) -> bool:
    """Return whether a jump in the loop's body ends the round."""
    if jump.kind in {"return_statement", "goto_statement"} or _label(jump):
        return True
    for ancestor in jump.ancestors():
        if ancestor is loop:
            return True
        if ancestor.kind == "for_statement":
            return False
        if jump.kind == "break_statement" and ancestor.kind in _BREAKABLE:
            return False
    return True


def _label(jump: Node) -> str:
    return next((c.name for c in jump.children if c.kind == "label_name"), "")


def _wrapped(deferred: Deferred, continues: list[Node]) -> Fix:
    """Make the body a function, so that the defer waits for the round only."""
    edits: list[Edit] = [*wrap(deferred.loop["body"].statements, "func() {", "}()")]
    edits += [Edit(j.path, j.start, j.end, b"return") for j in continues]
    return _with_reason("Make the loop's body a function", edits)


def _called(deferred: Deferred, leaving: list[Node]) -> tuple[Fix | None, str]:
    """Make the call at every end of the round instead of deferring it."""
    statement, loop = deferred.statement, deferred.loop
    body = loop["body"]
    if statement.parent is not body:
        return None, "the call is deferred on some paths only, and the loop is left by jumps"
    text = deferred.call.name
    edits: list[Edit] = [*delete(statement)]
    for jump in leaving:
        if jump.start < statement.start:
            continue
        if jump.kind == "goto_statement" or (_label(jump) and _label(jump) != _own_label(loop)):
            return None, "a jump leaves the loop for another one"
        if jump.kind == "return_statement" and not _is_apart(deferred, jump):
            return None, "a return computes its values with what is to be released"
        edits.extend(insert_before(jump, text))
    last = body.statements[-1]
    if last.kind not in _JUMPS and _is_passed(last, leaving):
        edits.extend(insert_at_end(body, text))
    return _with_reason(f"Call {text.removesuffix('()')} at each end of the round", edits), ""


def _is_apart(deferred: Deferred, jump: Node) -> bool:
    """Return whether the values of a return can be computed when the resource is released."""
    if is_plain(jump):
        return True
    if deferred.call["function"].kind == "identifier" and only_words(jump):
        return True  # a cancel leaves all values as they are
    resource = deferred.resource
    return resource is not None and has_nothing_of(deferred.file, jump, resource)


def _is_passed(last: Node, leaving: list[Node]) -> bool:
    """Return whether the round may come to its end behind a statement, other than by a jump."""
    function = last.function
    if function is None or last.kind not in _BRANCHING:
        return True
    flow = flow_of(function)
    inside = {p for p in flow.points if p.live and last.contains(p.node)}
    return any(not inside.issuperset(p.successors) for p in inside if p.node not in leaving)


_BRANCHING = frozenset(
    {"if_statement", "expression_switch_statement", "type_switch_statement", "select_statement"}
)


def _own_label(loop: Node) -> str:
    parent = loop.parent
    if parent is None or parent.kind != "labeled_statement":
        return ""
    return parent["label"].name


def _with_reason(title: str, edits: list[Edit]) -> Fix:
    reason = "what is released at the end of the round may have been needed later"
    return Fix(title, tuple(edits), Safety.UNSAFE, reason)
