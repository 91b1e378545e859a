"""Lefts: goroutines that a call leaves running, and what they touch in the caller's terms.

    func New() *cache {                 c := New()        // leaves c.sweep running
        c := &cache{…}                  c.limit = 5       // beside this
        go c.sweep()
        return c
    }

Followed through calls whose callee is certain, three levels, and through results: what a
function returns is what the caller assigns. A function that waits after its launch leaves
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of
from threadmend.golang.crowds import own_nodes
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import Launch, launches_in, or_spawning
from threadmend.golang.iterations import point_in
from threadmend.golang.locks import Held
from threadmend.golang.pauses import pauses, waits_in
from threadmend.golang.scope import Binding
from threadmend.golang.summaries import called, called_body, summary_of
from threadmend.golang.syntax import Declaration, Node
from threadmend.golang.touches import Touch, as_element, is_on_copy
from threadmend.golang.wording import translated
from threadmend.literals import words

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = [
    "STARTS",
    "Left",
    "calls_leaving",
    "lefts_of",
    "lefts_of_call",
    "may_crowd",
    "may_leave",
    "may_start",
    "touches_of_launch",
]

STARTS = re.compile(rb"\bgo\s+[\w(]|\.Go\(")
_CALLED = re.compile(rb"\b(\w++)\(")
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Left:
    """A goroutine that goes on when a body has returned, and its touches."""

    launch: Launch
    touches: list[Touch]


def lefts_of(file: GoFile, body: Node, depth: int = _DEPTH) -> list[Left]:
    """Return the goroutines that a body leaves running, touches in the terms of the body."""
    known: dict[tuple[Node, int], list[Left]] = file.package.facts.setdefault("lefts", {})
    key = (body, depth)
    if key not in known:
        known[key] = []
        known[key] = [
            Left(left.launch, [_as_result(body, t) for t in left.touches])
            for left in _lefts(file, body, depth)
        ]
    return known[key]


def _lefts(file: GoFile, body: Node, depth: int) -> Iterator[Left]:
    flow = flow_of(body)
    waits = pauses(file, body)
    ends = {d.point for d in flow.defers if waits_in(file, d.node)}
    waits |= ends

    def goes_on(node: Node) -> bool:
        start = flow.point_of(node)
        if start is None or not flow.complete or any(flow.dominates(p, start) for p in ends):
            return False
        exits = flow.exits_from(start, stop=lambda p: p in waits and p is not start)
        return any(e.kind in {"return", "end"} for e in exits)

    for launch in launches_in(file, body):
        if launch.function is body and launch.body is not None and launch.kind != "timer":
            if goes_on(launch.node):
                yield Left(launch, touches_of_launch(file, launch))
    if depth > 0:
        for node in own_nodes(file, body):
            if node.kind == "call_expression" and node.function is body:
                found = lefts_of_call(file, node, depth - 1)
                if found and goes_on(node):
                    yield from found


def touches_of_launch(file: GoFile, launch: Launch) -> list[Touch]:
    """Return what a launched goroutine touches, in the terms of the launching function."""
    body = launch.body
    assert body is not None
    if launch.decl is not None:
        function = launch.function
        call = launch.runs
        if call is None or function is None:
            return []
        return called(file, function, call).touches
    return [
        t
        for t in summary_of(file, body).touches
        if not (isinstance(t.access.root, Binding) and body.contains(t.access.root.node))
    ]


def lefts_of_call(file: GoFile, call: Node, depth: int = _DEPTH) -> list[Left]:
    """Return the goroutines that a call leaves running, touches in the terms of the caller."""
    if call.runs_later:
        return []
    name = call["function"].children[-1] if call["function"].children else call["function"]
    if not may_leave(file.package, name.text):
        return []
    target = called_body(file, call)
    if target is None or target.node is call.function or target.node.get("body") is None:
        return []
    found = []
    for left in lefts_of(target.file, target.node, depth):
        touches = [t for t in (_outward(file, call, target.node, t) for t in left.touches) if t]
        if touches:
            found.append(Left(left.launch, touches))
    return found


def may_leave(package: Package, name: bytes) -> bool:
    """Return whether a function with this name may leave a goroutine running, told by bytes."""
    return name in _names(package)


def may_crowd(file: GoFile, name: bytes) -> bool:
    """Return whether a function with this name may leave a goroutine running, told by bytes.

    Also one of an imported package of the module.
    """
    return name in _names_beside(file.package)


def _names_beside(package: Package) -> frozenset[bytes]:
    known: frozenset[bytes] | None = package.facts.get("leaving names beside")
    if known is None:
        found = set(_names(package))
        for path in {i.path for f in package.files for i in f.imports}:
            if package.module is not None and path.startswith(package.module.path):
                imported = package.workspace.package(path)
                if imported is not None and imported is not package:
                    found |= {n for n in _names(imported) if n[:1].isupper()}
        known = package.facts["leaving names beside"] = frozenset(found)
    return known


def _names(package: Package) -> frozenset[bytes]:
    known: frozenset[bytes] | None = package.facts.get("leaving names")
    if known is None:
        known = package.facts["leaving names"] = frozenset(_leaving_names(package))
    return known


def may_start(file: GoFile, starts: re.Pattern[bytes]) -> bool:
    """Return whether a file may launch a goroutine or call what leaves one, told by bytes."""
    leaving = _names_beside(file.package)
    return file.holds(or_spawning(file.package, starts)) or any(map(file.may_hold, leaving))


def calls_leaving(file: GoFile, declaration: Declaration, *, beside: bool = False) -> bool:
    """Return whether a declaration calls, by its bytes, what may leave a goroutine running.

    `beside`: also of the packages that its own imports.
    """
    leaving = _names_beside(file.package) if beside else _names(file.package)
    start, end = declaration.start, declaration.end
    if not leaving or leaving.isdisjoint(words(file.data[start:end])):
        return False
    return not leaving.isdisjoint(_CALLED.findall(file.data, start, end)[1:])


def _leaving_names(package: Package) -> set[bytes]:
    starts = or_spawning(package, STARTS)
    starting = {f.path for f in package.files if f.holds(starts)}
    found = {
        decl.name.encode()
        for decl in package.functions()
        if decl.file.path in starting and starts.search(decl.file.data, *decl.span)
    }
    if not found:
        return found
    callers: dict[bytes, set[bytes]] = {}
    for decl in package.functions():
        start, end = decl.span
        name = decl.name.encode()
        for called_name in set(_CALLED.findall(decl.file.data, start, end)):
            callers.setdefault(called_name, set()).add(name)
    edge = found
    for _ in range(_DEPTH):
        edge = {caller for name in edge for caller in callers.get(name, ())} - found
        found = found | edge
    return found


# -- results ----------------------------------------------------------------------------


def _result(body: Node) -> tuple[str, int, int]:
    """Return the root of paths that begin at what a body returns first."""
    return (f"={body.path}", body.start, 0)


def _as_result(body: Node, touch: Touch) -> Touch:
    """Let a path begin at the result where it begins at the variable that is returned."""
    access = _from_result(body, touch.access, touch.path[0])
    if access is touch.access:
        return touch
    held = (
        Held(_from_result(body, h.access, touch.path[0]), h.mode, h.lock_class) for h in touch.held
    )
    return replace(touch, access=access, held=frozenset(held))


def _from_result(body: Node, access: Access, at: Node) -> Access:
    root = access.root
    if not isinstance(root, Binding) or root.function is not body:
        return access
    if root.kind == "result" and root.index == 0:
        return Access(_result(body), access.steps)
    if root.kind != "variable":
        return access
    for node in body.own():
        if node.kind == "return_statement" and node.children:
            values = [c for c in node.children if c.kind == "expression_list"]
            if values and _is_name_of(values[0].children[0], root):
                if _comes_to(body, at, node, root):
                    return Access(_result(body), access.steps)
    return access


def _comes_to(body: Node, at: Node, end: Node, root: Binding) -> bool:
    """Return whether a return gives back what a variable holds at a place, and no later one.

    `for { x := <-pool; if x.old() { go x.close(); continue }; return x }`
    """
    flow = flow_of(body)
    start, exit_, made = point_in(flow, at), flow.point_of(end), point_in(flow, root.node)
    if start is None or exit_ is None or made is None or not flow.complete:
        return True
    return exit_ is start or exit_ in flow.reachable(start, stop=lambda p: p is made)


def _is_name_of(value: Node, binding: Binding) -> bool:
    if value.kind == "unary_expression" and value["operator"].kind == "&":
        value = value["operand"]
    return value.kind == "identifier" and any(use is value for use in binding.uses)


def _outward(file: GoFile, call: Node, inner: Node, touch: Touch) -> Touch | None:
    if is_on_copy(file, touch.access):
        return None
    access = _translated(file, call, inner, touch.access)
    if access is not None and call.function is not None:
        access = as_element(file, access, call.function)
    if access is None:
        return None
    held = set()
    for lock in touch.held:
        own = _translated(file, call, inner, lock.access)
        if own is not None:
            held.add(Held(own, lock.mode, lock.lock_class))
    return replace(touch, access=access, held=frozenset(held), path=(call, *touch.path))


def _translated(file: GoFile, call: Node, inner: Node, access: Access) -> Access | None:
    if access.root != _result(inner):
        if not isinstance(access.root, Binding) and access.root[0].startswith("="):
            return None
        return translated(file, call, inner, access)
    given = _destination(file, call)
    if given is None:
        return None
    return Access(given.root, given.steps + access.steps)


def _destination(file: GoFile, value: Node) -> Access | None:
    """Return where the first result of a call goes: a variable, a field, the caller's result."""
    steps: tuple[str, ...] = ()
    while True:
        holder = value.parent
        if holder is None:
            return None
        if holder.kind in {"parenthesized_expression", "unary_expression"}:
            value = holder
        elif holder.kind == "literal_element":
            element = holder.parent
            key = element.get("key") if element is not None else None
            literal = element.parent if element is not None else None
            if element is None or element.kind != "keyed_element" or key is None or key is holder:
                return None
            if literal is None or literal.parent is None:
                return None
            steps = (key.name, *steps)
            value = literal.parent
        elif holder.kind == "expression_list":
            found = _assigned(file, holder, value)
            return Access(found.root, found.steps + steps) if found is not None else None
        else:
            return None


def _assigned(file: GoFile, values: Node, value: Node) -> Access | None:
    index = next((i for i, c in enumerate(values.children) if c is value), 0)
    statement = values.parent
    if statement is None:
        return None
    if statement.kind == "return_statement":
        function = statement.function
        return Access(_result(function)) if function is not None and index == 0 else None
    if statement.kind == "var_spec":
        names = statement.all("name")
    else:
        left = statement.get("left")
        names = left.children if left is not None else []
    if index >= len(names) or names[index].text == b"_":
        return None
    return access_of(file, names[index])
