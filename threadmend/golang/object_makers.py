"""Object makers: functions that make an object with channels of its own, and only return it.

func newCall(q string) *call { return &call{q: q, done: make(chan reply)} }   // the channel of
                                                      // newCall(q).done is made by this call
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from threadmend.golang.access import is_assigned_once
from threadmend.golang.calls import callers
from threadmend.golang.makers import Maker, capacity_of, is_make
from threadmend.golang.one_liners import near
from threadmend.golang.scope import Binding, declared_name
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package

__all__ = ["FieldMaker", "naming_makers", "object_makers", "objects_of", "or_objects"]

_KEEPS_MADE = re.compile(rb"\w:\s*make\(\s*(?:chan\b|\w)")
_RETURNS = re.compile(rb"\breturn (?:&?\w+(?:\[[^\n]*\])?\{|\w+\n)")


@dataclass(slots=True)
class FieldMaker(Maker):
    """A function that returns an object with a new channel in its `field`.

    `held` is the function's own variable of the object, None where it only returns a literal.
    """

    field: str = ""
    held: Binding | None = None
    returned: Node | None = None
    """The statement that returns the object."""

    @property
    def key(self) -> Node:
        """Return the `field: make(…)` of the literal."""
        keyed = self.make.up("keyed_element")
        assert keyed is not None
        return keyed

    def types(self) -> list[Node]:
        """Return where the type is written: not there alone, since the field says it, too."""
        return []

    @property
    def is_only_called_once(self) -> bool:
        """Return whether one place alone, tests aside, gets such objects."""
        return len(list(islice(callers(self.decl).in_code(), 2))) == 1

    def parameter_for(self, call: Node, text: str) -> str | None:
        """Return the parameter that means for the function what `text` means for who calls it."""
        arguments = call["arguments"].children
        names = [n for p in self.decl.node["parameters"].children for n in p.all("name")]
        for name, argument in zip(names, arguments, strict=False):
            binding = self.decl.file.binding(name)
            if argument.text == text.encode() and binding is not None:
                return name.name if is_assigned_once(binding) else None
        return None


def object_makers(package: Package) -> dict[tuple[str, int], list[FieldMaker]]:
    """Return the functions of a package that make an object with channels, by `Decl.key`."""
    known: dict[tuple[str, int], list[FieldMaker]] | None = package.facts.get("object makers")
    if known is None:
        known = package.facts["object makers"] = {}
        paths = {f.path for f in package.files if f.holds(_KEEPS_MADE) and f.holds(_RETURNS)}
        for decl in package.functions() if paths else ():
            start, end = decl.span
            data = decl.file.data
            if (
                decl.file.path in paths
                and decl.kind == "func"
                and _KEEPS_MADE.search(data, start, end)
            ):
                if _RETURNS.search(data, start, end):
                    found = _makers(decl)
                    if found:
                        known[decl.key] = found
    return known


def naming_makers(package: Package) -> re.Pattern[bytes] | None:
    """Return what a call of a function that makes objects looks like; of imported ones, too."""
    if "object makers' calls" not in package.facts:
        own = _names(package)
        others = {n for p in near(package)[1:] for n in _names(p) if n[:1].isupper()}
        words = [rb"\b" + re.escape(n) + rb"[(\[]" for n in sorted(own)]
        words += [rb"\w\." + re.escape(n) + rb"[(\[]" for n in sorted(others)]
        package.facts["object makers' calls"] = re.compile(b"|".join(words)) if words else None
    pattern: re.Pattern[bytes] | None = package.facts["object makers' calls"]
    return pattern


def _names(package: Package) -> set[bytes]:
    return {found[0].decl.name.encode() for found in object_makers(package).values()}


def or_objects(package: Package, pattern: re.Pattern[bytes]) -> re.Pattern[bytes]:
    """Return what code matches that matches a pattern, or gets an object that a function makes."""
    calls = naming_makers(package)
    if calls is None:
        return pattern
    known: dict[bytes, re.Pattern[bytes]] = package.facts.setdefault("or objects", {})
    if pattern.pattern not in known:
        known[pattern.pattern] = re.compile(pattern.pattern + b"|" + calls.pattern)
    return known[pattern.pattern]


def objects_of(file: GoFile, call: Node) -> list[FieldMaker]:
    """Return what a call makes channels with, if it is one of a function that makes an object."""
    pattern = naming_makers(file.package)
    if pattern is None or not pattern.search(b"." + call["function"].text + b"("):
        return []
    decl = file.callee(call)
    if decl is None or decl.kind != "func" or decl.file.package not in near(file.package):
        return []
    return object_makers(decl.file.package).get(decl.key, [])


def _makers(decl: Decl) -> list[FieldMaker]:
    """Return the channels in the one literal that a function returns, itself or by a variable."""
    if not decl.sound or not decl.has_body or b"..." in decl.header.text:
        return []
    body = decl.node["body"]
    returns = [n for n in decl.node.own() if n.kind == "return_statement"]
    if len(returns) != 1 or returns[0].parent is not body or len(returns[0].children) < 2:
        return []
    values = returns[0].children[1].children
    if len(values) != 1:
        return []
    literal, held = values[0], None
    if literal.kind == "identifier":
        held = decl.file.binding(literal)
        if held is None or held.kind != "variable" or held.value is None:
            return []
        if not is_assigned_once(held) or held.function is not decl.node:
            return []
        literal = held.value
        name = declared_name(literal)
        if name is None or name.statement is None or name.statement.parent is not body:
            return []
    if literal.kind == "unary_expression" and literal["operator"].kind == "&":
        literal = literal["operand"]
    if literal.kind != "composite_literal":
        return []
    found = (_maker(decl, e, held, returns[0]) for e in literal["body"].children)
    return [maker for maker in found if maker is not None]


def _maker(decl: Decl, element: Node, held: Binding | None, returned: Node) -> FieldMaker | None:
    """Return how a `field: make(…)` of a literal makes its channel."""
    if element.kind != "keyed_element":
        return None
    key = element["key"].children[0] if element["key"].children else element["key"]
    value = element["value"].children[0] if element["value"].children else element["value"]
    if key.kind not in {"identifier", "field_identifier"} or value.kind != "call_expression":
        return None
    if not is_make(value):
        return None
    if not isinstance(decl.file.underlying(decl.file.type_of(value)), Chan):
        return None
    capacity = capacity_of(value)
    if capacity is None or capacity.kind == "int_literal":
        return FieldMaker(decl, value, None, key.name, held, returned)
    position = _only_capacity(decl, capacity)
    return (
        FieldMaker(decl, value, position, key.name, held, returned)
        if position is not None
        else None
    )


def _only_capacity(decl: Decl, capacity: Node) -> int | None:
    """Return the place of the parameter that says how much room a channel has, and no more."""
    names = [n for p in decl.node["parameters"].children for n in (p.all("name") or [p])]
    binding = decl.file.binding(capacity) if capacity.kind == "identifier" else None
    if binding is None or binding.kind != "parameter" or len(binding.uses) != 2:
        return None
    return next((i for i, name in enumerate(names) if name is binding.node), None)
