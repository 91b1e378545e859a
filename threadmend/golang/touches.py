"""Touches: what a body itself reads and writes of fields and package variables.

A touch is in the terms of the body: its receiver, parameters, captured and package variables.
Only names that the package writes somewhere are looked at. `summaries` follows the calls.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of, lock_class
from threadmend.golang.calls import code_files
from threadmend.golang.field_accesses import access_kind
from threadmend.golang.flow import flow_of
from threadmend.golang.holding import holding_of
from threadmend.golang.infer import is_decl
from threadmend.golang.locks import Held
from threadmend.golang.map_methods import stored_by_methods
from threadmend.golang.pauses import pauses
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, Interface, Map, Named, Pointer, Slice, Struct, deref

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = [
    "EACH",
    "ONE",
    "Open",
    "Summary",
    "Touch",
    "as_element",
    "channel_touch",
    "classes",
    "held_within",
    "is_early",
    "is_on_copy",
    "own_touch",
    "written_names",
]

_WRITES = frozenset({"write", "update", "store"})
_SHARED_PACKAGES = frozenset({"sync", "sync/atomic", "go.uber.org/atomic"})


@dataclass(frozen=True, slots=True)
class Touch:
    """One access: the path, whether it writes, the locks held on the way.

    `path` are the calls that lead to it and the access itself last; `file` is that of the
    access, `place` its class. `early`: the body may come to it before it waits for anything.
    Locks without a name out here are left in `locks` only by their class.
    """

    file: GoFile
    access: Access
    writes: bool
    held: frozenset[Held]
    path: tuple[Node, ...]
    place: str
    early: bool = True
    locks: frozenset[str] = frozenset()
    apart: bool = False  # in a goroutine that the body launched: without the body's locks

    @property
    def node(self) -> Node:
        """Return the selector or identifier; a send or the call of close."""
        return self.path[-1]

    @property
    def in_channel(self) -> bool:
        """Return whether it is a send or a close, of a channel in a field."""
        return self.place.startswith(_CHANNEL)


@dataclass(frozen=True, slots=True)
class Open:
    """A call that the caller of a body decides: `parameter()`, or `parameter.method()`."""

    parameter: Binding
    method: str
    held: frozenset[Held]
    path: tuple[Node, ...]
    early: bool = True
    locks: frozenset[str] = frozenset()


@dataclass(slots=True)
class Summary:
    """What one run of a body touches, and the calls in it that are open."""

    touches: list[Touch] = field(default_factory=list)
    opens: list[Open] = field(default_factory=list)


def classes(held: frozenset[Held]) -> frozenset[str]:
    """Return the classes of locks, "?" for one whose class is not known."""
    return frozenset(h.lock_class or "?" for h in held) if held else _NO_CLASSES


_NO_CLASSES: frozenset[str] = frozenset()


def is_early(file: GoFile, body: Node, node: Node, *, begins: bool = False) -> bool:
    """Return whether a body may come to a node before it waits for anything.

    `begins`: what waits is the node itself, perhaps.
    """
    waits = pauses(file, body)
    if not waits:
        return True
    at: Node | None = node
    while at is not None and at.function is not body:
        at = at.function
    flow = flow_of(body)
    point = flow.point_of(at) if at is not None else None
    if point is None:
        return True
    if at is not None and at.up("defer_statement") is not None:
        exits = flow.exits_from(flow.entry, stop=waits.__contains__)
        return any(e.kind in {"return", "end"} for e in exits)
    known: dict[Node, frozenset[object]] = file.package.facts.setdefault("early points", {})
    if body not in known:
        known[body] = frozenset(flow.reachable(flow.entry, stop=waits.__contains__))
    if point in waits and (begins or node.kind == "call_expression"):
        return point in flow.reachable(flow.entry, stop=lambda p: p in waits and p is not point)
    return point in known[body]


_ASSIGNED = re.compile(
    rb"\b(\w++)(?:\[[^\]\n]*+\])*+[ \t]*+(?:[-+*/|&^%]?=[^=]|\+\+|--|,[^\n=()]*[^:=!<>\n]=[^=])"
)
_DELETED = re.compile(rb"\b(?:delete|clear|append)\(\s*(?:\w+\.)*(\w+)")


def written_names(file: GoFile) -> frozenset[bytes]:
    """Return the names that are assigned somewhere in a file's package, as far as bytes tell: for
    a test, also what only the tests assign.
    """
    package = file.package
    key = "written in tests" if file.is_test else "written"
    found: frozenset[bytes] | None = package.facts.get(key)
    if found is None:
        names: set[bytes] = set()
        for one in package.files if file.is_test else code_files(package):
            names.update(_ASSIGNED.findall(one.data))
            names.update(_DELETED.findall(one.data))
        found = package.facts[key] = frozenset(names | stored_by_methods(package))
    return found


def own_touch(file: GoFile, body: Node, node: Node, names: frozenset[bytes]) -> Touch | None:
    """Return the touch that a selector or identifier of a body is."""
    if node.kind == "selector_expression":
        if node.children[-1].text not in names:
            return None
        selection = file.selection(node)
        if selection is None or selection.kind != "field" or selection.owner is None:
            return None
    elif (
        node.text not in names
        or node.text == b"_"
        or node.field == "field"
        or not is_decl(file.resolve(node), "var")
    ):
        return None
    kind = access_kind(file, node)
    if kind not in _WRITES and kind != "read":
        return None
    type_ = file.type_of(node)
    named = deref(type_)
    if isinstance(file.underlying(type_), Chan):
        return None
    if isinstance(named, Named) and named.package in _SHARED_PACKAGES:
        return None
    access, place = access_of(file, node), lock_class(file, node)
    access = as_element(file, access, body)
    if access is None or place is None:
        return None
    held = held_within(file, body, node)
    early = is_early(file, body, node)
    return Touch(file, access, kind in _WRITES, held, (node,), place, early, classes(held))


def held_within(file: GoFile, body: Node, node: Node) -> frozenset[Held]:
    """Return the locks that a body holds at one of its nodes, literals run in place counted."""
    function = node.function
    held: frozenset[Held] = frozenset()
    while function is not None:
        here = holding_of(file, function).at(node)
        held = held | here if held else here  # mostly the very set that others have, too
        if function is body:
            break
        node, function = function, function.function
    return held


def channel_touch(file: GoFile, body: Node, node: Node) -> Touch | None:
    """Return the touch that a close (it writes) or a send (it does not) of a field's channel is."""
    if node.kind == "send_statement":
        operand = node["channel"]
    elif node.kind == "call_expression" and node["function"].text == b"close":
        arguments = node["arguments"].children
        if not arguments:
            return None
        operand = arguments[0]
    else:
        return None
    access, class_ = as_element(file, access_of(file, operand), body), lock_class(file, operand)
    if access is None or class_ is None or operand.kind != "selector_expression":
        return None
    held = held_within(file, body, node)
    closes = node.kind != "send_statement"
    early = is_early(file, body, node, begins=True) and not (closes and _is_told(node))
    access = Access(access.root, (*access.steps, _CHANNEL))
    return Touch(file, access, closes, held, (node,), _CHANNEL + class_, early, classes(held))


_CLOCKS = frozenset({"Done", "After", "Tick"})


def _is_told(close: Node) -> bool:
    """Return whether a close stands in the case of a signal that some object hands out.

    `case <-c.closing(): close(c.jobs)`: whoever gives the signal has sent all, perhaps. A
    context or a clock knows nothing about who sends.
    """
    for case in close.ancestors():
        if case.kind == "communication_case":
            communication = case.get("communication")
            for receive in communication.find("unary_expression") if communication else ():
                call = receive["operand"]
                if receive["operator"].kind == "<-" and call.kind == "call_expression":
                    function = call["function"]
                    if function.kind == "selector_expression":
                        return function["field"].name not in _CLOCKS
    return False


# The last step of a path to what is in a channel, and the beginning of its place.
_CHANNEL = "<-"
ONE, EACH = "[one]", "[each]"


def as_element(
    file: GoFile, access: Access | None, body: Node, word: str = "[each]"
) -> Access | None:
    """Return a path with `[one]` for an index and `word` for what a range in a body visits.

    A variable of a range around the body stays what it is: one run of the body has one element.
    """
    if access is None:
        return None
    root, steps = access.root, access.steps
    if any(s.startswith("[") for s in steps):
        steps = tuple(s if not s.startswith("[") or s == EACH else ONE for s in steps)
        access = Access(root, steps)
    if not isinstance(root, Binding) or root.kind != "range" or root.index != 1 or not steps:
        return access
    if not body.contains(root.node):
        return access
    over = root.declaration["right"]
    held = file.underlying(file.type_of(over))
    if not isinstance(held, Map | Slice) or not isinstance(
        file.underlying(held.elem), Pointer | Interface
    ):
        return access
    base = as_element(file, access_of(file, over), body)
    if base is None or len(base.steps) + len(steps) >= _LONGEST:
        return access
    return Access(base.root, (*base.steps, word, *steps))


_LONGEST = 8


def is_on_copy(file: GoFile, access: Access) -> bool:
    """Return whether a path begins at a struct that was passed by value and never leaves it."""
    root = access.root
    if not isinstance(root, Binding) or root.kind not in {"receiver", "parameter"}:
        return False
    inference = file.package.workspace.inference
    type_ = inference.binding_type(root)
    for step in access.steps:
        if step.startswith("["):
            return False
        if type_ is None or not isinstance(file.underlying(type_), Struct):
            return False
        member = inference.member(type_, step)
        type_ = member.type if member is not None else None
    return bool(access.steps)
