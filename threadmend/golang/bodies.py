"""Bodies: what one function's own statements take, block on, and call.

The first step of `effects`, which composes these facts over the call graph.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of, lock_class
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.holding import holding_of, position_of
from threadmend.golang.locks import Held, locks_of, runs_in_place
from threadmend.golang.reach import reach_of
from threadmend.golang.releases import net_releases
from threadmend.golang.scope import Binding, bindings_in, resolve_local
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.targets import Body, bodies_of_value, stored_values, targets
from threadmend.golang.types import Chan, Named, is_named

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.flow import Point

__all__ = ["ANY", "Call", "Event", "calls_of", "depends_on_flag", "events_of", "released_before"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a body may do: take a lock, block, or call one of its parameters.

    `kind` is `acquire`, `block` or `param`. `mode`: `write` or `read`; for a block `send`,
    `receive`, `wait`; for a parameter its index. `lock_class` and `access` say which lock,
    channel or WaitGroup. `path`: the calls that lead to it, outermost first, and the
    operation itself last. `sure`: no other candidate for a call on the way, and no condition
    on a flag that was passed. `held`: what is held on the way, in functions further in, when
    a function passed as an argument is called. `without`: the classes of locks that were
    released on the way: who held them before no longer does.
    """

    kind: str
    mode: str
    lock_class: str | None
    access: Access | None
    path: tuple[Node, ...]
    sure: bool = True
    held: frozenset[Held] = frozenset()
    without: frozenset[str] = frozenset()

    @property
    def key(self) -> tuple[object, ...]:
        """Return what makes two events one."""
        return (self.kind, self.mode, self.lock_class, self.access, self.held, self.without)

    @property
    def operation(self) -> Node:
        """Return the syntax that takes the lock or blocks."""
        return self.path[-1]


@dataclass(slots=True)
class Call:
    """A body that a call may run. `call` is None when its arguments are not the body's.

    `runs`: the call itself runs it; else it is an argument, run when the callee calls its
    parameter. `extra`: what captured names of the body stand for in the caller.
    """

    at: Node
    call: Node | None
    body: Body
    sure: bool = True
    runs: bool = True
    extra: dict[Binding, Access] | None = None


def is_launched(call: Node) -> bool:
    """Return whether a `go` statement makes the call."""
    return call.parent is not None and call.parent.kind == "go_statement"


# --- calls -------------------------------------------------------------------------------

_CALLS = re.compile(rb"[\w)\]]\(")
_BUILTINS = frozenset(
    {"append", "cap", "clear", "close", "copy", "delete", "len", "make", "max", "min", "new"}
    | {"panic", "print", "println", "recover", "string", "int", "byte", "int64", "uint64"}
)


def calls_of(body: Body) -> list[Call]:
    """Return the bodies that a body's own calls may run; computed once."""
    known: dict[Node, list[Call]] = body.file.package.facts.setdefault("body_calls", {})
    found = known.get(body.node)
    if found is None:
        found = known[body.node] = []
        inside = body.node.get("body")
        if inside is not None and _CALLS.search(body.file.data, inside.start, inside.end):
            found.extend(_calls(body))
    return found


def _calls(body: Body) -> Iterator[Call]:
    file = body.file
    own = {o.call for o in locks_of(file, body.node).operations}
    for node in body.node.own():
        if node.kind != "call_expression" or node in own or is_launched(node):
            continue
        if _leads_nowhere(file, node["function"]):
            continue
        yield from _called(file, body, node)
        for argument in node["arguments"].children:
            yield from _passed(file, node, argument)


def _leads_nowhere(file: GoFile, function: Node) -> bool:
    """Return whether a call certainly takes no lock, as far as its name tells."""
    if function.kind == "identifier":
        if function.name in _BUILTINS:
            return True
        return not reach_of(file.package.workspace).matters(function.text)
    if function.kind != "selector_expression":
        return False
    operand = function["operand"]
    if operand.kind == "identifier":
        path = file.imported(operand.name)
        if path is not None and file.package.workspace.package_by_key(path) is None:
            return file.binding(operand) is None
    return not reach_of(file.package.workspace).matters(function["field"].text)


def _called(file: GoFile, body: Body, call: Node) -> Iterator[Call]:
    function = call["function"]
    if _parameter(file, body.node, function) is not None:
        return  # known to the callers only: an event of its own
    found = targets(file, call)
    extra = _captured(file, function) if found.bodies else None
    for target in found.bodies:
        sure = found.complete and len(found.bodies) == 1
        given = call if extra is None or target.node not in extra else None
        if given is None and extra is not None:
            yield Call(call, call, target, sure, True, extra[target.node])
        else:
            yield Call(call, call, target, sure)


def _captured(file: GoFile, function: Node) -> dict[Node, dict[Binding, Access]] | None:
    """Return what the captured names of functions stored in a field mean at a call of it.

    `s.hook = func() { s.run() }` or `s.hook = s.run`, called as `x.hook()`: `s` is `x`.
    """
    if function.kind != "selector_expression":
        return None
    selection = file.selection(function)
    if selection is None or selection.kind != "field" or selection.owner is None:
        return None
    package = file.package.workspace.package_by_key(selection.owner.package)
    base = access_of(file, function["operand"])
    if package is None or base is None:
        return None
    found: dict[Node, dict[Binding, Access]] = {}
    for storing, value in stored_values(package, selection.owner, selection.name):
        target = _stored_in(value)
        kept = access_of(storing, target["operand"]) if target is not None else None
        inner = bodies_of_value(storing, value).certain
        if kept is None or kept.steps or not isinstance(kept.root, Binding) or inner is None:
            continue
        if inner.decl is None:
            found[inner.node] = {kept.root: base}
        elif value.kind == "selector_expression":
            owner = access_of(storing, value["operand"])
            receiver = receiver_of(inner.node)
            if owner is not None and owner.root is kept.root and receiver is not None:
                found[inner.node] = {receiver: Access(base.root, base.steps + owner.steps)}
    return found


def _stored_in(value: Node) -> Node | None:
    """Return the field of `x.field = value`."""
    group = value.parent
    statement = group.parent if group is not None else None
    if group is None or statement is None or statement.kind != "assignment_statement":
        return None
    index = next(i for i, child in enumerate(group.children) if child is value)
    left = statement["left"].children
    if index < len(left) and left[index].kind == "selector_expression":
        return left[index]
    return None


def receiver_of(function: Node) -> Binding | None:
    """Return the receiver of a method."""
    for group in bindings_in(function).values():
        for binding in group:
            if binding.kind == "receiver":
                return binding
    return None


def _passed(file: GoFile, call: Node, argument: Node) -> Iterator[Call]:
    if argument.kind == "func_literal":
        in_place = runs_in_place(file, argument)
        yield Call(call, None, Body(file, argument), True, in_place)
    elif argument.kind in _NAMES and _names_function(file, argument):
        inner = bodies_of_value(file, argument).certain
        if inner is not None:
            yield Call(call, None, inner, True, False)


_NAMES = frozenset({"selector_expression", "identifier"})


def _names_function(file: GoFile, value: Node) -> bool:
    if value.kind == "identifier":
        binding = file.binding(value)
        if binding is not None:
            right = binding.declaration.get("right")
            values = right.children if right is not None else []
            return binding.index < len(values) and values[binding.index].kind == "func_literal"
    return file.package.workspace.inference.function_decl(value) is not None


def _parameter(file: GoFile, body: Node, function: Node) -> int | None:
    """Return which parameter of the body a call calls."""
    if function.kind != "identifier":
        return None
    binding = file.binding(function)
    return position_of(body, binding) if binding is not None else None


# --- events ------------------------------------------------------------------------------


def events_of(body: Body) -> list[Event]:
    """Return what a body's own statements do; computed once."""
    known: dict[Node, list[Event]] = body.file.package.facts.setdefault("body_events", {})
    found = known.get(body.node)
    if found is None:
        found = known[body.node] = list(_events(body))
    return found


_BLOCKS = re.compile(rb"<-|\.Wait\(\)|\brange\b")


def _events(body: Body) -> Iterator[Event]:
    file, function = body.file, body.node
    for operation in locks_of(file, function).operations:
        if operation.acquires and operation.deferred is None:
            sure = not depends_on_flag(body, operation.call)
            class_, access = operation.lock_class, operation.access
            yield Event("acquire", operation.mode, class_, access, (operation.call,), sure)
    for node in function.own():
        if node.kind == "call_expression":
            index = _parameter(file, function, node["function"])
            if index is not None and not is_launched(node):
                held = holding_of(file, function).at(node)
                yield Event("param", str(index), None, None, (node,), True, held)
    if _BLOCKS.search(file.data, function.start, function.end):
        yield from _blocks(file, function)


def _blocks(file: GoFile, function: Node) -> Iterator[Event]:
    for node in function.own():
        if node.kind == "send_statement":
            mode, operand = "send", node["channel"]
        elif node.kind == "unary_expression" and node["operator"].kind == "<-":
            mode, operand = "receive", node["operand"]
        elif node.kind == "range_clause":
            if not isinstance(file.underlying(file.type_of(node["right"])), Chan):
                continue
            mode, operand = "receive", node["right"]
        elif node.kind == "call_expression" and _is_wait(file, node) and not is_launched(node):
            mode, operand = "wait", node["function"]["operand"]
        else:
            continue
        if mode != "wait" and ChannelOperation(mode, node, file).has_alternative:
            continue
        via = _via(file, node) if mode == "wait" else ()
        class_, access = lock_class(file, operand, via), access_of(file, operand, via)
        yield Event("block", mode, class_, access, (node,))


def _is_wait(file: GoFile, call: Node) -> bool:
    function = call["function"]
    if function.kind != "selector_expression" or function["field"].name != "Wait":
        return False
    selection = file.selection(function)
    owner = selection.owner if selection is not None else None
    return isinstance(owner, Named) and is_named(owner, "sync.WaitGroup")


def _via(file: GoFile, call: Node) -> tuple[str, ...]:
    selection = file.selection(call["function"])
    return selection.via if selection is not None else ()


_UNLOCKS = re.compile(r"(?i)unlock|release")
ANY = "*"
"""In `Event.without`: some lock was released, by a function value, and nobody knows which."""

# --- conditions and releases -------------------------------------------------------------

_ABOUT_LOCKS = re.compile(rb"(?i)lock|held\b|holding")
_TESTS = frozenset({"if_statement", "expression_switch_statement"})


def depends_on_flag(body: Body, node: Node) -> bool:
    """Return whether a condition on a parameter, or about locks, decides if a node runs."""
    inner = node
    for outer in node.ancestors():
        if outer.kind in FUNCTIONS:
            return False
        if outer.kind in _TESTS and inner.field not in {"condition", "initializer", "value"}:
            condition = outer.get("condition") or outer.get("value")
            if condition is not None and _is_flag(body, condition):
                return True
        inner = outer
    return False


def _is_flag(body: Body, condition: Node) -> bool:
    if _ABOUT_LOCKS.search(condition.text.replace(b".TryLock()", b"").replace(b".TryRLock()", b"")):
        return True
    for name in condition.find("identifier"):
        binding = body.file.binding(name)
        if binding is not None and binding.kind == "parameter":
            if str(body.file.type_of(name)) == "bool":
                return True
    return False


def released_before(body: Body, node: Node) -> frozenset[str]:
    """Return the classes of locks that every path to a node releases, or may not pass without.

    What the body gives back before the node, and did not keep from its caller.
    """
    points = _releases(body)
    if not points:
        return frozenset()
    flow = locks_of(body.file, body.node).flow
    at = flow.point_of(node)
    if at is None:
        return frozenset()
    known: dict[tuple[Node, str], set[Point]] = body.file.package.facts.setdefault("exposed", {})
    found = set()
    for class_, stops in points.items():
        key = (body.node, class_)
        if key not in known:
            known[key] = {flow.entry} | flow.reachable(flow.entry, stop=stops.__contains__)
        if at not in known[key] and at not in stops:
            found.add(class_)
    return frozenset(found)


def _releases(body: Body) -> dict[str, set[Point]]:
    known: dict[Node, dict[str, set[Point]]] = body.file.package.facts.setdefault("releases", {})
    found = known.get(body.node)
    if found is not None:
        return found
    found = known[body.node] = {}
    locks = locks_of(body.file, body.node)
    for operation in locks.operations:
        if operation.releases and operation.deferred is None and operation.lock_class:
            point = locks.flow.point_of(operation.call)
            if point is not None:
                found.setdefault(operation.lock_class, set()).add(point)
    for node in body.node.find("call_expression"):
        function = node["function"]
        if function.kind == "identifier" and _UNLOCKS.search(function.name):
            point = locks.flow.point_of(node)
            if point is not None and node.function is body.node:
                if resolve_local(function) is not None:
                    found.setdefault(ANY, set()).add(point)
    releasing = net_releases(body.file.package)
    for call in calls_of(body) if releasing else ():
        decl = call.body.decl
        if decl is not None and call.runs and decl.key in releasing:
            point = locks.flow.point_of(call.at)
            for class_ in releasing[decl.key] if point is not None else ():
                assert point is not None
                found.setdefault(class_, set()).add(point)
    return found
