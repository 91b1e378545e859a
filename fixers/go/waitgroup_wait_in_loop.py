"""Wait for the goroutines after the loop that launches them

`wg.Wait()` in the very loop that launches ends each round when its goroutine has ended: the
goroutines run one after the other, as if there were none. Where all of them were counted
before the loop, the first Wait waits for goroutines that are never launched.

Not reported: rounds that launch more than one goroutine, or count more than one; a Wait
under a condition; work between the launch and Wait, or after it; a WaitGroup of the round's
own; a loop without an end.

Unsafe: the goroutines run at the same time from then on.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, delete, insert_after, with_reason
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop, launch_at, launches_in
from threadmend.golang.scope import Binding
from threadmend.golang.stops import endless
from threadmend.golang.syntax import Node
from threadmend.golang.waitgroups import WaitGroupCall, waitgroup_call, waitgroup_calls
from threadmend.model import Confidence, Finding, Fix, Related, Safety

from ._launched_by_helper import HelpedLaunch, launched_by_helper

CATEGORY = "waitgroup"
GATE = rb"\.Wait\(\)"


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the Waits that end every round of a launching loop."""
    for call in file.calls("Wait"):
        loop = innermost_loop(call)
        statement = call.parent
        if loop is None or statement is None or statement.kind != "expression_statement":
            continue
        if statement.parent is not loop["body"] or endless(loop):
            continue
        wait = waitgroup_call(file, call)
        if wait is None or wait.access is None or _declared_in(wait, loop):
            continue
        launch = _launched_before(file, loop, statement)
        helper = launched_by_helper(file, loop, statement, wait) if launch is None else None
        if helper is not None:
            launch = helper.statement
        if launch is None or (helper is None and not _counts_down(file, launch, wait)):
            continue
        found = _how(file, loop, launch, wait, helper)
        if found is not None:
            yield _finding(wait, statement, loop, launch, found)


def _declared_in(wait: WaitGroupCall, loop: Node) -> bool:
    root = wait.access.root if wait.access is not None else None
    return isinstance(root, Binding) and loop.contains(root.node)


def _launched_before(file: GoFile, loop: Node, statement: Node) -> Node | None:
    """Return the loop's one launch when Wait stands right below it, as the last."""
    statements = loop["body"].statements
    if len(statements) < 2 or statements[-1] is not statement:
        return None
    launch = launch_at(file, statements[-2])
    if launch is None:
        return None
    launched = [x for x in launches_in(file, loop["body"]) if x.function is loop.function]
    return launch.statement if len(launched) == 1 else None


def _counts_down(file: GoFile, launch: Node, wait: WaitGroupCall) -> bool:
    """Return whether the goroutine calls Done on the WaitGroup, or is handed it."""
    name = wait.waitgroup.text
    for operation in waitgroup_calls(file, launch, inside=True):
        if operation.method == "Done" and operation.access == wait.access:
            return True
    call = launch.children[-1]
    arguments = call["arguments"].children if call.kind == "call_expression" else []
    if any(a.text.lstrip(b"&") == name for a in arguments):
        return True
    return b"." in name and call["function"].text.startswith(name.rpartition(b".")[0] + b".")


def _how(
    file: GoFile, loop: Node, launch: Node, wait: WaitGroupCall, helper: HelpedLaunch | None
) -> str | None:
    """Return what the Wait does: "serial" or "ever"; None when it may be right."""
    function = launch.function
    if function is None:
        return None
    adds = [
        c
        for c in waitgroup_calls(file, function)
        if c.method == "Add" and c.access == wait.access and c.count is not None
    ]
    if helper is not None and helper.adds:
        return None if adds else "serial"
    inside = [a for a in adds if loop.contains(a.call)]
    if len(adds) != 1:
        return None
    count = adds[0].count
    text = count.text if count is not None else b""
    if inside:
        direct = adds[0].call.parent is not None and adds[0].call.parent.parent is loop["body"]
        return "serial" if text == b"1" and direct else None
    before = adds[0].call.end <= loop.start and innermost_loop(adds[0].call) is None
    return "ever" if before and text != b"1" else None


def _finding(wait: WaitGroupCall, statement: Node, loop: Node, launch: Node, how: str) -> Finding:
    name = wait.waitgroup.name
    if how == "ever":
        message = f"{name}.Wait in the first round waits for goroutines of later rounds"
    else:
        message = f"{name}.Wait in the loop lets only one goroutine run at a time"
    fix, reason = _fix(name, statement, loop)
    return Finding(
        path=wait.call.path,
        start=wait.call.start,
        end=wait.call.end,
        message=message,
        fixes=(fix,) if fix else (),
        related=(Related(launch.path, launch.start, launch.end, "launched here"),),
        reason=reason,
        confidence=Confidence.HIGH if how == "ever" else Confidence.MEDIUM,
    )


@with_reason
def _fix(name: str, statement: Node, loop: Node) -> Fix:
    """Wait once, behind the loop."""
    for node in loop["body"].own():
        if node.kind in {"return_statement", "goto_statement"}:
            raise BuilderError("the loop may return without a Wait then")
        if node.kind in {"break_statement", "continue_statement"} and len(node.children) > 1:
            raise BuilderError("the loop may be left past a Wait behind it")
    edits = (*delete(statement), *insert_after(loop, f"{name}.Wait()"))
    reason = "the goroutines run at the same time then"
    return Fix(f"Move {name}.Wait behind the loop", edits, Safety.UNSAFE, reason)
