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

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import Use, uses_of
from threadmend.golang.builders import free_name, taken_names
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.groups import is_error_group
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, Tuple, deref, is_named
from threadmend.model import Edit, Finding, Fix, Related, Safety

CATEGORY = "context"
GATE = rb"WithContext\(|\.Wait\(\)"

_DERIVES = re.compile(rb"\w+, \w+ :?= \w[\w.]*\(")
_CANCELS = re.compile(rb"\bcancel\w*\(|\.Cancel\w*\(")
_VALUES = re.compile(
    r"(?i)log|trac|span|metric|info|debug|warn|error|print|record|report|WithoutCancel|Cause"
    r"|FromContext|Value|Background|Detach|tag|label|event"
)


@dataclass(frozen=True, slots=True)
class _Derived:
    """`g, ctx := errgroup.WithContext(parent)`: the names of both, and what it comes from."""

    statement: Node
    group: Binding
    name: Node
    context: Binding
    parent: Node


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the uses of a group's context that only come when its Wait has returned."""
    for statement in file.find("short_var_declaration", _DERIVES):
        derived = _derived(file, statement)
        if derived is None:
            continue
        late = list(_late(file, derived))
        if late:
            yield _finding(file, derived, late)


def _derived(file: GoFile, statement: Node) -> _Derived | None:
    names, values = statement["left"].children, statement["right"].children
    if len(names) != 2 or len(values) != 1 or values[0].kind != "call_expression":
        return None
    arguments = values[0]["arguments"].children
    group, context = file.binding(names[0]), file.binding(names[1])
    if group is None or context is None or not arguments or statement.function is None:
        return None
    type_ = file.type_of(values[0])
    items = type_.items if isinstance(type_, Tuple) else ()
    if len(items) != 2 or not is_named(items[1], "context.Context"):
        return None
    if not is_named(file.type_of(arguments[0]), "context.Context"):
        return None
    if not (is_error_group(items[0]) or _ends_with_wait(file, values[0], items[0])):
        return None
    return _Derived(statement, group, names[1], context, arguments[0])


def _ends_with_wait(file: GoFile, call: Node, type_: object) -> bool:
    """Return whether a type of the project derives the context, and cancels it in its Wait."""
    named = deref(type_)  # type: ignore[arg-type]
    made = file.callee(call)
    if not isinstance(named, Named) or made is None or not made.has_body:
        return False
    if b"context.WithCancel" not in made.node.text:
        return False
    package = file.package.workspace.package_by_key(named.package)
    wait = package.methods(named.name).get("Wait") if package is not None else None
    return bool(wait) and any(_CANCELS.search(w.node.text) for w in wait or ())


def _late(file: GoFile, derived: _Derived) -> Iterator[Node]:
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
        if _is_work(use) and not _is_set_again(derived, use):
            yield use.node


def _waits(derived: _Derived, function: Node) -> Iterator[Node]:
    for use in uses_of(derived.group):
        selector = use.node.parent
        call = selector.parent if selector is not None else None
        if call is None or call.kind != "call_expression" or use.function is not function:
            continue
        deferred = call.up("defer_statement", "go_statement")
        if selector is not None and selector.field == "function" and deferred is None:
            if selector["field"].name == "Wait":
                yield call


def _is_work(use: Use) -> bool:
    """Return whether a context is passed to a call that works under it."""
    group = use.node.parent
    call = group.parent if group is not None and group.kind == "argument_list" else None
    if call is None or call.kind != "call_expression":
        return False
    if call["arguments"].children[0] is not use.node:
        return False
    return not _VALUES.search(call["function"].name)


def _is_set_again(derived: _Derived, use: Use) -> bool:
    """Return whether the variable gets another context between the group and the use."""
    return any(
        w.kind in {"write", "declare"} and derived.statement.end < w.node.start < use.node.start
        for w in uses_of(derived.context)
    )


def _finding(file: GoFile, derived: _Derived, late: list[Node]) -> Finding:
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


def _fix(file: GoFile, derived: _Derived, late: list[Node]) -> Fix | str:
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


def _is_behind(derived: _Derived, use: Use) -> bool:
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
