"""Makers: functions that only make a channel, for their callers.

func newQueue(size int) chan Job { return make(chan Job, size) }   // newQueue(8) is a make
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.calls import has_one_caller
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package

__all__ = ["MAKES_CHANNEL", "Maker", "is_make", "maker_of", "makers", "making"]

MAKES_CHANNEL = re.compile(rb"\bmake\(\s*(?:chan\b|<-\s*chan|\w)")

_RETURNS_MADE = re.compile(rb"\{\s*return make\(\s*(?:chan\b|\w)")


@dataclass(slots=True)
class Maker:
    """A function that returns a new channel, `make` the call in it.

    `position` is that of the parameter that says the capacity, None where the function decides.
    """

    decl: Decl
    make: Node
    position: int | None

    @property
    def type(self) -> Node:
        """Return the type of the channels."""
        return self.make["arguments"].children[0]

    def types(self) -> list[Node]:
        """Return where the type is written if only one call gets channels; empty otherwise."""
        return [self.type, self.decl.node["result"]] if has_one_caller(self.decl) else []

    def is_spelled(self, file: GoFile) -> bool:
        """Return whether a file may make such a channel in the same words."""
        if self.decl.file is file or b"." not in self.type.text:
            return True
        names = (word.name for word in self.type.find("package_identifier"))
        return all(file.imported(n) == self.decl.file.imported(n) is not None for n in names)

    def capacity(self, call: Node) -> Node | None:
        """Return the capacity of the channel that a call gets."""
        if self.position is None:
            return capacity_of(self.make)
        return call["arguments"].children[self.position]


def is_make(node: Node) -> bool:
    """Return whether an expression is a call of `make`."""
    if node.kind != "call_expression":
        return False
    function = node["function"]
    return function.kind == "identifier" and function.name == "make"


def capacity_of(make: Node) -> Node | None:
    """Return the second argument of a `make`."""
    arguments = make["arguments"].children
    return arguments[1] if len(arguments) > 1 else None


def makers(package: Package) -> dict[tuple[str, int], Maker]:
    """Return the functions of a package that only make a channel, by `Decl.key`."""
    known: dict[tuple[str, int], Maker] | None = package.facts.get("makers")
    if known is None:
        known = package.facts["makers"] = {}
        paths = {file.path for file in package.files if file.holds(_RETURNS_MADE)}
        for decl in package.functions() if paths else ():
            start, end = decl.span
            if decl.file.path in paths and end - start <= 400:
                if _RETURNS_MADE.search(decl.file.data, start, end):
                    found = _maker(decl)
                    if found is not None:
                        known[decl.key] = found
    return known


def maker_of(file: GoFile, call: Node) -> Maker | None:
    """Return the function of the package that a call gets a new channel from, if it does."""
    known = makers(file.package)
    if not known or call.kind != "call_expression":
        return None
    decl = file.callee(call)
    maker = known.get(decl.key) if decl is not None else None
    return maker if maker is not None and maker.is_spelled(file) else None


def making(package: Package, pattern: re.Pattern[bytes] = MAKES_CHANNEL) -> re.Pattern[bytes]:
    """Return what code matches that makes a channel as `pattern` says, or calls a maker."""
    known = makers(package)
    if not known:
        return pattern
    patterns: dict[bytes, re.Pattern[bytes]] = package.facts.setdefault("making", {})
    wider = patterns.get(pattern.pattern)
    if wider is None:
        names = sorted({maker.decl.name.encode() for maker in known.values()})
        words = rb"|\b(?:" + b"|".join(map(re.escape, names)) + rb")(?:\(|\[)"
        wider = patterns[pattern.pattern] = re.compile(pattern.pattern + words)
    return wider


def _maker(decl: Decl) -> Maker | None:
    if not decl.sound or not decl.has_body or b"..." in decl.header.text:
        return None
    statements = decl.node["body"].statements
    values = statements[0].children[1].children if len(statements) == 1 else []
    if len(values) != 1 or not is_make(values[0]):
        return None
    make = values[0]
    result = decl.node.get("result")
    if decl.node.get("type_parameters") is not None:
        return None
    if result is None or result.text.startswith((b"<-", b"chan<-", b"(")):
        return None
    if not isinstance(decl.file.underlying(decl.file.type_of(make)), Chan):
        return None
    capacity = capacity_of(make)
    if capacity is None or capacity.kind == "int_literal":
        return Maker(decl, make, None)
    names = [
        name.name
        for parameter in decl.node["parameters"].children
        for name in (parameter.all("name") or [parameter])
    ]
    if capacity.kind != "identifier" or capacity.name not in names:
        return None
    return Maker(decl, make, names.index(capacity.name))
