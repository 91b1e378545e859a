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
from threadmend.golang.goroutines import innermost_loop, launches_in
from threadmend.golang.launched import literal_of
from threadmend.golang.named_like import may_call
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.goroutines import Launch
    from threadmend.golang.package import Decl, Package

__all__ = ["is_parameter", "plain_argument", "plain_names", "spawned", "spawns_plainly"]

_TAKES = re.compile(rb"^func[^{\n]*\bfunc\(")
_SPAWNS = re.compile(rb"\bgo func\(")
_GIVES = re.compile(rb"[(,]\s*func\(|:= func\(")
_NEVER = re.compile(rb"(?!)")

# The head of a function that takes functions without parameters, and a short body.
_PLAIN = re.compile(
    rb"^func (?:\([^)\n]*\) )?(\w+)\([^\n]*\bfunc\(\)[^\n{]*\{( [^\n]* |\n(?:\t[^\n]*\n){1,16}?)\}",
    re.M,
)
_GOES = re.compile(rb"\bgo\b")
# What tells somebody that the function is through, keeps it waiting, or runs it again.
_ORDERS = re.compile(rb"<-|\bclose\(|\.(?:Done|Add|Wait|Lock|Acquire|Release)\(|\bfor\b|\bselect\b")


def spawned(file: GoFile) -> list[Node]:
    """Return the functions of a file that spawners are given: literals, functions and methods."""
    known: dict[str, list[Node]] = file.package.facts.setdefault("spawned", {})
    if file.path not in known:
        named = (body for body in _named(file.package) if body.path == file.path)
        known[file.path] = [*_given(file), *named]
    return known[file.path]


def _given(file: GoFile) -> Iterator[Node]:
    is_asked = may_call(file.package.workspace, _SPAWNS, _places)
    for call in file.find("call_expression", _GIVES, is_asked):
        arguments = call["arguments"].children
        literals = {a: body for a in arguments if (body := _literal(file, a)) is not None}
        if literals:
            yield from (literals[a] for a in _spawned_arguments(file, call) if a in literals)


def _literal(file: GoFile, argument: Node) -> Node | None:
    """Return the literal that an argument is, or whose variable it is."""
    if argument.kind == "func_literal":
        return argument
    return literal_of(file, argument) if argument.kind == "identifier" else None


def _spawned_arguments(file: GoFile, call: Node) -> Iterator[Node]:
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


# -- plain spawners ----------------------------------------------------------------------


def plain_names(package: Package) -> frozenset[str]:
    """Return the names of the plain spawners that a package and those it imports have."""
    known: frozenset[str] | None = package.facts.get("plain spawners seen")
    if known is None:
        workspace = package.workspace
        found = set(_own_plain(package))
        for path in {i.path for f in package.files for i in f.imports}:
            if package.module is not None and path.startswith(package.module.path):
                imported = workspace.package(path)
                found |= _own_plain(imported) if imported is not None else set()
        known = package.facts["plain spawners seen"] = frozenset(found)
    return known


def _own_plain(package: Package) -> frozenset[str]:
    """Return the names that may be plain spawners, by their text."""
    known: frozenset[str] | None = package.facts.get("plain spawners")
    if known is None:
        heads = [m for file in package.files for m in _PLAIN.finditer(file.data)]
        heads = [m for m in heads if not _ORDERS.search(m[2])]
        names = {m[1] for m in heads if _GOES.search(m[2])}
        if names:  # and those that hand over to them
            calls = re.compile(rb"\b(?:%s)\(" % b"|".join(sorted(names)))
            names |= {m[1] for m in heads if calls.search(m[2])}
        known = package.facts["plain spawners"] = frozenset(n.decode() for n in names)
    return known


def plain_argument(file: GoFile, call: Node) -> Node | None:
    """Return the argument that a call launches as a `go` statement in its place would.

    func spawn(f func()) {          spawn(func() { … })
        go func() {
            defer recovered()
            f()
        }()
    }
    """
    decl = file.callee(call)
    if decl is None or not decl.sound or not spawns_plainly(decl):
        return None
    arguments = call["arguments"].children
    place = _plain_place(decl)
    return arguments[place] if place is not None and place < len(arguments) else None


def spawns_plainly(decl: Decl) -> bool:
    """Return whether a function launches the one function that it is given, and no more."""
    return _plain_place(decl) is not None


def _plain_place(decl: Decl) -> int | None:
    known: dict[tuple[str, int], int | None]
    known = decl.file.package.facts.setdefault("spawns plainly", {})
    if decl.key not in known:
        known[decl.key] = None  # one that is made of itself
        known[decl.key] = _find_plain(decl) if decl.has_body else None
    return known[decl.key]


def _find_plain(decl: Decl) -> int | None:
    """Return the place of the parameter that a function launches, whatever happens."""
    node, file = decl.node, decl.file
    body = node["body"]
    if _ORDERS.search(file.data, body.start, body.end) or any(
        True for _ in body.find("return_statement")
    ):
        return None
    launched = [x for x in launches_in(file, node) if x.function is node]
    statements = [x.statement for x in launched]
    if len(launched) != 1 or statements[0].parent is not body:
        return None
    launch = launched[0]
    given = _name_run(decl, launch)
    binding = file.binding(given) if given is not None else None
    if binding is None or binding.kind != "parameter" or binding.function is not node:
        return None
    names = [n.name for p in node["parameters"].children for n in p.all("name")]
    return names.index(binding.name) if binding.name in names else None


def _name_run(decl: Decl, launch: Launch) -> Node | None:
    """Return the name that a launch runs once, by itself or in a literal around it."""
    if launch.kind == "spawner":
        return plain_argument(decl.file, launch.node)
    call = launch.call
    if call is None or call["arguments"].children:
        return None
    if call["function"].kind == "identifier":
        return call["function"]
    calls = [c for c in launch.literal.own() if _is_call_of_name(c)] if launch.literal else []
    run = [c for c in calls if is_parameter(decl, c["function"])]
    if len(run) != 1 or run[0]["arguments"].children or innermost_loop(run[0]) is not None:
        return None
    return run[0]["function"]


def is_parameter(decl: Decl, name: Node) -> bool:
    """Return whether a name is a parameter of a function itself, not of a literal in it."""
    binding = decl.file.binding(name)
    return binding is not None and binding.kind == "parameter" and binding.function is decl.node


def _is_call_of_name(node: Node) -> bool:
    return node.kind == "call_expression" and node["function"].kind == "identifier"
