"""Spawners: functions that run what they are given in a goroutine, with something around it.

func (s *Server) spawn(f func()) {
    s.wg.Add(1)
    go func() {
        defer s.wg.Done()
        f()
    }()
}
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.calls import own_callers
from threadmend.golang.goroutines import launches_in, literal_of
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package

__all__ = ["spawned", "spawned_arguments"]

_TAKES = re.compile(rb"^func[^{\n]*\bfunc\(")
_SPAWNS = re.compile(rb"\bgo func\(")
_GIVES = re.compile(rb"[(,]\s*func\(|:= func\(")
_NEVER = re.compile(rb"(?!)")


def spawned(file: GoFile) -> Iterator[Node]:
    """Yield the functions of a file that spawners are given: literals, functions and methods."""
    for call in file.find("call_expression", _GIVES):
        arguments = call["arguments"].children
        literals = {a: body for a in arguments if (body := _literal(file, a)) is not None}
        if literals:
            yield from (literals[a] for a in spawned_arguments(file, call) if a in literals)
    for body in _named(file.package):
        if body.path == file.path:
            yield body


def _literal(file: GoFile, argument: Node) -> Node | None:
    """Return the literal that an argument is, or whose variable it is."""
    if argument.kind == "func_literal":
        return argument
    return literal_of(file, argument) if argument.kind == "identifier" else None


def spawned_arguments(file: GoFile, call: Node) -> Iterator[Node]:
    """Yield the arguments of a call that the callee runs in a goroutine."""
    decl = file.callee(call)
    places = _places(decl) if decl is not None and decl.sound else frozenset()
    arguments = call["arguments"].children
    for place in sorted(places):
        if place < len(arguments):
            yield arguments[place]


def _named(package: Package) -> list[Node]:
    """Return the functions and methods that the package gives to spawners of its own."""
    found: list[Node] | None = package.facts.get("given to spawners")
    if found is None:
        found = package.facts["given to spawners"] = []
        for decl in package.functions():
            for place in _places(decl):
                for site in own_callers(decl, _NEVER):
                    arguments = site.call["arguments"].children if site.call is not None else []
                    if place < len(arguments) and arguments[place].kind != "func_literal":
                        given = package.workspace.inference.function_decl(arguments[place])
                        if given is not None and given.node.get("body") is not None:
                            found.append(given.node)
    return found


def _places(decl: Decl) -> frozenset[int]:
    """Return the places of the parameters that a function runs in a goroutine."""
    known: dict[tuple[str, int], frozenset[int]] = decl.file.package.facts.setdefault("spawns", {})
    if decl.key not in known:
        start, end = decl.span
        data = decl.file.data
        known[decl.key] = frozenset()
        if _SPAWNS.search(data, start, end) and _TAKES.match(data[start:end]):
            known[decl.key] = frozenset(_run(decl))
    return known[decl.key]


def _run(decl: Decl) -> Iterator[int]:
    parameters = decl.node["parameters"].children
    names = [n.name for p in parameters for n in (p.all("name") or [p])]
    for launch in launches_in(decl.file, decl.node):
        if launch.kind != "go" or launch.literal is None or launch.function is not decl.node:
            continue
        for call in launch.literal.own():
            if call.kind == "call_expression" and call["function"].kind == "identifier":
                binding = decl.file.binding(call["function"])
                if binding is not None and binding.kind == "parameter":
                    if binding.function is decl.node and binding.name in names:
                        yield names.index(binding.name)
