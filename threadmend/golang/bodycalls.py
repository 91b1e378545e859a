"""Body calls: which bodies a function's own calls may run, and what it releases before them.

The second step of `effects`, which composes these facts over the call graph.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of, stored_in
from threadmend.golang.bodies import parameter_called
from threadmend.golang.kept_methods import kept_object
from threadmend.golang.locks import locks_of, runs_in_place
from threadmend.golang.printing import printed, prints
from threadmend.golang.reach import reach_of
from threadmend.golang.releases import net_releases
from threadmend.golang.scope import Binding, bindings_in, resolve_local
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.targets import Body, bodies_of_value, stored_values, targets

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.flow import Point

__all__ = [
    "ANY",
    "Call",
    "call_nodes",
    "calls_at",
    "calls_of",
    "is_kept",
    "leads_to",
    "released_before",
    "unconverted",
]


# What names that a body brings along stand for in the caller; None: something else.
Captured = dict[Binding, Access | None]


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
    extra: Captured | None = None


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
        for node in call_nodes(body):
            found.extend(calls_at(body, node))
    return found


def call_nodes(body: Body) -> list[Node]:
    """Return the calls of a body that may matter, as far as their names tell."""
    file = body.file
    inside = body.node.get("body")
    if inside is None or not _CALLS.search(file.data, inside.start, inside.end):
        return []
    own = {o.call for o in locks_of(file, body.node).operations}
    return [
        node
        for node in body.node.own()
        if node.kind == "call_expression"
        and node not in own
        and not node.is_launched
        and (not _leads_nowhere(file, node["function"]) or prints(file, node))
    ]


def calls_at(body: Body, node: Node) -> list[Call]:
    """Return the bodies that one call may run; computed once."""
    known: dict[Node, list[Call]] = body.file.package.facts.setdefault("calls_at", {})
    found = known.get(node)
    if found is None:
        found = known[node] = list(_called(body.file, body, node))
        for argument in node["arguments"].children:
            found.extend(_passed(body.file, node, argument))
    return found


def _leads_nowhere(file: GoFile, function: Node) -> bool:
    """Return whether a call certainly takes no lock, as far as its name tells."""
    return not leads_to(file, function, reach_of(file.package.workspace).matters)


def leads_to(file: GoFile, function: Node, matters: Callable[[bytes], bool]) -> bool:
    """Return whether a call may lead to what matters, as far as the name of its function tells."""
    if function.kind == "identifier":
        return function.name not in _BUILTINS and matters(function.text)
    if function.kind != "selector_expression":
        return True
    operand = function["operand"]
    if operand.kind == "identifier":
        path = file.imported(operand.name)
        if path is not None and file.package.workspace.package_by_key(path) is None:
            return file.binding(operand) is not None
    return matters(function["field"].text)


def _called(file: GoFile, body: Body, call: Node) -> Iterator[Call]:
    function = call["function"]
    if parameter_called(file, body.node, function) is not None:
        return  # known to the callers only: an event of its own
    for argument, method in printed(file, call):
        receiver = receiver_of(method.node)
        base = access_of(file, argument)
        meant: Captured | None = {receiver: base} if receiver is not None else None
        yield Call(call, None, Body(method.file, method.node, method), True, True, meant)
    found = targets(file, call)
    extra = _captured(file, function) if found.bodies else None
    for target in found.bodies:
        sure = found.complete and len(found.bodies) == 1
        if extra is None:
            yield Call(call, call, target, sure)
        elif target.node in extra:
            yield Call(call, call, target, sure, True, extra[target.node])
        elif target.decl is not None:
            # A method value: its object is not the one that has the field.
            receiver = receiver_of(target.node)
            object_ = kept_object(file, function) if sure and target.bound is not None else None
            bound: Captured | None = {receiver: object_} if receiver is not None else None
            yield Call(call, call, target, sure, True, bound)
        else:
            # What a literal made by an earlier run of this function captures is not ours.
            mine = _outermost(target.node) is _outermost(call)
            yield Call(call, call, target, sure and not mine)


def _outermost(node: Node) -> Node | None:
    """Return the declaration that a node stands in."""
    function = node if node.kind in FUNCTIONS else node.function
    while function is not None and function.function is not None:
        function = function.function
    return function


def _captured(file: GoFile, function: Node) -> dict[Node, Captured] | None:
    """Return what the captured names of functions stored in a field mean at a call of it.

    None where the call is not that of a field.

    `s.hook = func() { s.run() }` or `s.hook = s.run`, called as `x.hook()`: `s` is `x`.
    """
    if function.kind != "selector_expression":
        return None
    selection = file.selection(function)
    if selection is None or selection.kind != "field" or selection.owner is None:
        return None
    package = file.package.workspace.package_by_key(selection.owner.package)
    base = access_of(file, function["operand"])
    found: dict[Node, Captured] = {}
    if package is None or base is None:
        return found
    for storing, value in stored_values(package, selection.owner, selection.name):
        target = stored_in(value)
        kept = access_of(storing, target["operand"]) if target is not None else None
        inner = bodies_of_value(storing, value).certain
        if kept is None or kept.steps or not isinstance(kept.root, Binding) or inner is None:
            continue
        if value.kind == "call_expression":
            continue  # what it captures are variables of the function that made it
        if inner.decl is None:
            found[inner.node] = {kept.root: base}
        elif value.kind == "selector_expression":
            owner = access_of(storing, value["operand"])
            receiver = receiver_of(inner.node)
            if owner is not None and owner.root is kept.root and receiver is not None:
                found[inner.node] = {receiver: Access(base.root, base.steps + owner.steps)}
    return found


def receiver_of(function: Node) -> Binding | None:
    """Return the receiver of a method."""
    for group in bindings_in(function).values():
        for binding in group:
            if binding.kind == "receiver":
                return binding
    return None


def _passed(file: GoFile, call: Node, argument: Node) -> Iterator[Call]:
    argument = unconverted(file, argument)
    if argument.kind == "func_literal":
        in_place = runs_in_place(file, argument)
        yield Call(call, None, Body(file, argument), True, in_place)
    elif argument.kind in _NAMES and _names_function(file, argument):
        inner = bodies_of_value(file, argument).certain
        if inner is not None:
            in_place = argument.kind == "selector_expression" and runs_in_place(file, argument)
            meant = _bound(file, argument, inner) if in_place else None
            yield Call(call, None, inner, True, in_place, meant)
    elif is_kept(file, argument):
        inner = bodies_of_value(file, argument).certain
        if inner is not None:
            mine = _outermost(inner.node) is _outermost(call)
            yield Call(call, None, inner, not mine, False)


def unconverted(file: GoFile, value: Node) -> Node:
    """Return the function value that a conversion to a function type is of: `f` of `Handler(f)`."""
    while value.kind == "call_expression":
        inner = file.package.workspace.inference.calls.converted(value)
        if inner is None:
            break
        value = inner
    return value


def is_kept(file: GoFile, value: Node) -> bool:
    """Return whether a value is a function that a field of a struct keeps."""
    if value.kind != "selector_expression":
        return False
    selection = file.selection(value)
    return selection is not None and selection.kind == "field"


def _bound(file: GoFile, value: Node, method: Body) -> Captured | None:
    """Return what the receiver of a method value stands for: `x`, in `each(xs, x.add)`."""
    receiver = receiver_of(method.node)
    return {receiver: access_of(file, value["operand"])} if receiver is not None else None


_NAMES = frozenset({"selector_expression", "identifier"})


def _names_function(file: GoFile, value: Node) -> bool:
    if value.kind == "identifier":
        binding = file.binding(value)
        if binding is not None:
            right = binding.declaration.get("right")
            values = right.children if right is not None else []
            return binding.index < len(values) and values[binding.index].kind == "func_literal"
    return file.package.workspace.inference.function_decl(value) is not None


# --- releases ----------------------------------------------------------------------------

_UNLOCKS = re.compile(r"(?i)unlock|release")
ANY = "*"
"""In `Event.without`: some lock was released, by a function value, and nobody knows which."""


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
            free = {flow.entry} | flow.reachable(flow.entry, stop=stops.__contains__)
            known[key] = free | {p for point in free - stops for p in point.successors}
        if at not in known[key]:
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
