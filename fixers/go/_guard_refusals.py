"""What stands in the way of a lock around accesses: why there is none, or why it is unsafe."""

from __future__ import annotations

import re
from collections.abc import Sequence

from threadmend.golang.awaited import awaited_under
from threadmend.golang.bodies import Event
from threadmend.golang.builders import BuilderError
from threadmend.golang.effects import effects_of
from threadmend.golang.file import GoFile
from threadmend.golang.functions import method_call
from threadmend.golang.locks import locks_of
from threadmend.golang.map_methods import is_map_method
from threadmend.golang.syntax import Node
from threadmend.golang.targets import Body
from threadmend.golang.types import is_named

from ._guard_moves import LockForm
from ._quick import is_slow, waits


def refuse_access(file: GoFile, function: Node, nodes: Sequence[Node], lock: LockForm) -> None:
    """Raise BuilderError where no form of a lock around the accesses would do."""
    if _may_be_held(file, function, nodes, lock):
        raise BuilderError(f"{lock.name} may be held here already, on some path")
    if lock.lock_class and awaited_under(file, nodes[0], lock.lock_class):
        raise BuilderError(f"{lock.name} is held until this goroutine is done")
    if any(_has_slow_method(file, node) for node in nodes):
        raise BuilderError("a method of the map would have to run under the lock")


def _has_slow_method(file: GoFile, node: Node) -> bool:
    """Return whether a method is called of a map, whose elements it sees, and takes its time."""
    call = method_call(node)
    return call is not None and is_map_method(file, call["function"]) and is_slow(file, call)


def _may_be_held(file: GoFile, function: Node, nodes: Sequence[Node], lock: LockForm) -> bool:
    locks = locks_of(file, function)
    flow = locks.flow
    ours = [o for o in locks.operations if o.lock_class == lock.lock_class]
    releases = {p for o in ours if o.releases and not o.deferred and (p := flow.point_of(o.call))}
    here = {p for node in nodes if (p := flow.point_of(node))}
    for operation in ours:
        start = flow.point_of(operation.call)
        if not operation.releases and start is not None:
            reached = flow.reachable(start, stop=lambda p: p in releases, feasible=False)
            if here & (reached | {start}):
                return True
    return False


def other_locks(file: GoFile, function: Node, lock: LockForm) -> str:
    """Return what makes a lock unsafe where the function takes another one, "" if it does not."""
    for operation in locks_of(file, function).operations:
        if operation.lock_class != lock.lock_class:
            return f"the function also takes {operation.lock.name}"
    return ""


def risk_over_body(
    file: GoFile,
    function: Node,
    slow: list[Node],
    lock: LockForm,
    nodes: Sequence[Node],
    start: int = 0,
) -> str:
    """Return why holding the lock over the body, from `start` on, is unsafe; raises when it cannot.

    A Once that the lock is to guard has nobody else to wait for: `s.once.Do(…)`.
    """
    for event in effects_of(Body(file, function)):
        if event.path[0].start >= start:
            _refuse(event, lock)
    for call in function["body"].own():
        if call.kind == "call_expression" and call.start >= start:
            if (given := _given_object(file, call, _LEVELS)) is not None:
                raise BuilderError(f"{_called(given)} is given the object, and may take the lock")
    own = {n.parent.parent for n in nodes if n.parent is not None and n.field == "operand"}
    inside = [n for n in function["body"].own() if n.start >= start]
    if any(waits(file, node) and node not in own for node in inside):
        raise BuilderError("the function waits or launches goroutines between the accesses")
    slow = [n for n in slow if n.start >= start]
    for node in slow:
        if node.kind == "call_expression" and (
            _SERVES.match(_last_name(node))
            or any(is_named(file.type_of(a), "context.Context") for a in node["arguments"].children)
        ):
            raise BuilderError(f"{_called(node)} may wait, and would under the lock")
    return f"{_called(slow[0])} runs under the lock" if slow else ""


_LEVELS = 3


def _given_object(file: GoFile, call: Node, levels: int) -> Node | None:
    """Return the call of something supplied that a call comes to, and that gets the object.

    `for _, m := range g.managers { m.Layout(g) }`: whoever wrote it uses the object's methods.
    """
    decl = file.callee(call)
    if decl is None:
        function, arguments = call["function"], call["arguments"].children
        operand = function["operand"] if function.kind == "selector_expression" else function
        variable = operand.kind != "identifier" or file.binding(operand) is not None
        names = [file.binding(a) for a in arguments if a.kind == "identifier"]
        own = any(binding is not None and binding.kind == "receiver" for binding in names)
        return call if own and variable else None
    if levels == 0 or not decl.has_body or decl.file.package is not file.package:
        return None
    inner = (n for n in decl.node["body"].own() if n.kind == "call_expression")
    given = (_given_object(decl.file, n, levels - 1) for n in inner)
    return next((n for n in given if n is not None), None)


# Methods that run for as long as somebody wants something of them.
_SERVES = re.compile(r"(?:Serve|ListenAndServe|Accept|Wait|Recv|Receive|Poll)(?![a-z])")


def _last_name(call: Node) -> str:
    function = call["function"]
    return function["field"].name if function.kind == "selector_expression" else ""


def _refuse(event: Event, lock: LockForm) -> None:
    if event.kind == "acquire" and event.lock_class == lock.lock_class:
        raise BuilderError(f"a function that it calls takes {lock.name} itself")
    if event.kind == "block":
        raise BuilderError("the function waits between the accesses")


def _called(node: Node) -> str:
    text = node["function"].name if node.kind == "call_expression" else node.name
    return " ".join(text.split())[:40]
