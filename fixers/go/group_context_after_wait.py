"""Work on with the context that came before the group's

The context that `errgroup.WithContext` derives ends when the group's Wait returns, also without
an error. Who goes on with it, often because it took the name of the one before, makes calls that
fail at once with "context canceled", and only after everything went well.

Not reported: what only asks a context why it has ended, or takes values from it (logging, spans);
a context that is derived with `context.WithoutCancel`; a place that is also reached without the
Wait.

Unsafe: the calls behind the Wait now do what they were written for.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import Use, uses_of
from threadmend.golang.builders import free_name, taken_names
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._group_context import Derived, groups_with_context, is_work

CATEGORY = "context"
GATE = rb"WithContext\(|\.Wait\(\)"


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the uses of a group's context that only come when its Wait has returned."""
    for derived in groups_with_context(file):
        late = list(_late(file, derived))
        if late:
            yield _finding(file, derived, late)


def _late(file: GoFile, derived: Derived) -> Iterator[Node]:
    """Yield the uses as work that every path reaches through the Wait."""
    function = derived.statement.function
    assert function is not None
    flow = flow_of(function)
    points = {p for w in _waits(derived, function) if (p := flow.point_of(w)) is not None}
    start = flow.point_of(derived.statement)
    if start is None or not points or not flow.complete:
        return
    early = flow.reachable(start, stop=points.__contains__) | {start}
    for use in uses_of(derived.context):
        if use.function is not function or use.node.start < derived.statement.end:
            continue
        point = flow.point_of(use.node)
        if point is None or point in early or point in points or use.kind != "read":
            continue
        if is_work(use) and not _is_set_again(derived, use):
            yield use.node


def _waits(derived: Derived, function: Node) -> Iterator[Node]:
    for use in uses_of(derived.group):
        selector = use.node.parent
        call = selector.parent if selector is not None else None
        if call is None or call.kind != "call_expression" or use.function is not function:
            continue
        deferred = call.up("defer_statement", "go_statement")
        if selector is not None and selector.field == "function" and deferred is None:
            if selector["field"].name == "Wait":
                yield call


def _is_set_again(derived: Derived, use: Use) -> bool:
    """Return whether the variable gets another context between the group and the use."""
    return any(
        w.kind in {"write", "declare"} and derived.statement.end < w.node.start < use.node.start
        for w in uses_of(derived.context)
    )


def _finding(file: GoFile, derived: Derived, late: list[Node]) -> Finding:
    fix = _fix(file, derived, late)
    first = late[0]
    made = derived.statement
    return Finding(
        path=file.path,
        start=first.start,
        end=first.end,
        message=f"{first.name} has ended here: it is the group's, whose Wait has returned",
        fixes=(fix,) if isinstance(fix, Fix) else (),
        related=(Related(made.path, made.start, made.end, "derived here"),),
        reason=fix if isinstance(fix, str) else "",
    )


def _fix(file: GoFile, derived: Derived, late: list[Node]) -> Fix | str:
    """Give the group's context a name of its own, or go back to the one before.

    Sound: until the Wait the same context is used; behind it the group's was done.
    """
    function, parent = derived.statement.function, derived.parent
    reason = "the calls behind the Wait now do their work"
    if derived.name.text != parent.text:
        if parent.kind != "identifier":
            return "the context before has no name"
        edits = [Edit(n.path, n.start, n.end, parent.text) for n in late]
        return Fix(f"Pass {parent.name}", tuple(edits), Safety.UNSAFE, reason)
    if file.resolve(parent) is not derived.context:
        return "the context before is hidden by the group's"
    if innermost_loop(derived.statement) is not None:
        return "the group is made in a loop, and its context is used in the next round"
    names = taken_names(function, names=[*file.package.names]) if function is not None else set()
    name = free_name("gctx", names)
    edits = [_renamed(derived.name, name)]
    for use in uses_of(derived.context):
        if use.node is not derived.name and derived.statement.end <= use.node.start < late[0].start:
            if use.kind != "read":
                return "the variable is set again"
            if not _is_behind(derived, use):
                edits.append(_renamed(use.node, name))
    return Fix(f"Call the group's context {name}", tuple(edits), Safety.UNSAFE, reason)


def _is_behind(derived: Derived, use: Use) -> bool:
    """Return whether a use comes behind the Wait: it means the context before."""
    function = derived.statement.function
    if function is None or use.function is not function:
        return False
    flow = flow_of(function)
    points = {p for w in _waits(derived, function) if (p := flow.point_of(w)) is not None}
    start, at = flow.point_of(derived.statement), flow.point_of(use.node)
    return start is not None and at not in flow.reachable(start, stop=points.__contains__)


def _renamed(node: Node, name: str) -> Edit:
    return Edit(node.path, node.start, node.end, name.encode())
