"""Counted spawners: functions that launch what they are given, and count it in a WaitGroup.

func (g *group) run(f func()) {           // g.run(f) launches f, and its end is a g.wg.Done()
    g.wg.Add(1)
    go func() {
        defer g.wg.Done()
        f()
    }()
}
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from threadmend.golang.access import Access, access_of, lock_class
from threadmend.golang.spawners import is_parameter
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.goroutines import Launch
    from threadmend.golang.package import Decl, Package

__all__ = ["counted_argument", "counted_names", "group_class", "group_of"]

# The head of a function that takes a function, and a short body.
_HEAD = re.compile(
    rb"^func (?:\([^)\n]*\) )?(\w+)(?:\[[^\n\]]*\])?\([^\n{]*\bfunc\([^\n{]*\{"
    rb"( [^\n]* |\n(?:(?:\t[^\n]*)?\n){1,24}?)\}",
    re.M,
)
_LAUNCHES = re.compile(rb"\bgo\b|\.Go\(")
# What keeps the goroutine waiting, or runs the function again.
_ORDERS = re.compile(rb"<-|\bclose\(|\.(?:Wait|Acquire|TryLock)\(|\bfor\b|\bselect\b")
_LOCKS = re.compile(rb"\.R?Lock\(\)")
_ROUNDS = 2  # spawners that hand over to others


class _Counted(NamedTuple):
    """The place of the parameter that is launched, and the WaitGroup in the function's words.

    `written` is where that is called at the end of the goroutine, and the file of that.
    """

    place: int
    group: Access
    written: tuple[GoFile, Node]


def counted_names(package: Package) -> frozenset[str]:
    """Return the names that counted spawners may have in a package and in those it imports."""
    known: frozenset[str] | None = package.facts.get("counted spawners seen")
    if known is None:
        found = set(_own_names(package))
        for path in {i.path for f in package.files for i in f.imports}:
            if package.module is not None and path.startswith(package.module.path):
                imported = package.workspace.package(path)
                found |= _own_names(imported) if imported is not None else set()
        known = package.facts["counted spawners seen"] = frozenset(found)
    return known


def _own_names(package: Package) -> frozenset[str]:
    """Return the names that may be counted spawners, by their text."""
    known: frozenset[str] | None = package.facts.get("counted spawners")
    if known is None:
        heads = [m for f in package.files if not f.is_test for m in _HEAD.finditer(f.data)]
        heads = [m for m in heads if not _ORDERS.search(m[2])]
        names = {m[1] for m in heads if _LAUNCHES.search(m[2])}
        for _ in range(_ROUNDS if names else 0):
            calls = re.compile(rb"\b(?:%s)\(" % b"|".join(sorted(names)))
            names |= {m[1] for m in heads if calls.search(m[2])}
        known = package.facts["counted spawners"] = frozenset(n.decode() for n in names)
    return known


def counted_argument(file: GoFile, call: Node) -> Node | None:
    """Return the argument that a call launches in a goroutine which a WaitGroup counts."""
    found = _of_call(file, call)
    arguments = call["arguments"].children
    return arguments[found.place] if found is not None and found.place < len(arguments) else None


def group_of(file: GoFile, call: Node) -> Access | None:
    """Return the WaitGroup, in a caller's words, that counts what a call launches."""
    from threadmend.golang.wording import translated

    decl, found = file.callee(call), _of_call(file, call)
    return translated(file, call, decl.node, found.group) if decl is not None and found else None


def group_class(file: GoFile, call: Node) -> str | None:
    """Return the class of the WaitGroup that counts what a call launches."""
    found = _of_call(file, call)
    return lock_class(*found.written) if found is not None else None


def _of_call(file: GoFile, call: Node) -> _Counted | None:
    function = call["function"]
    name = function["field"].name if function.kind == "selector_expression" else function.name
    if name.partition("[")[0] not in counted_names(file.package):
        return None
    decl = file.callee(call)
    if decl is None or not decl.sound or not decl.has_body:
        return None
    known: dict[tuple[str, int], _Counted | None]
    known = decl.file.package.facts.setdefault("counts what it launches", {})
    if decl.key not in known:
        known[decl.key] = None  # one that is made of itself
        known[decl.key] = _find(decl)
    return known[decl.key]


def _find(decl: Decl) -> _Counted | None:
    """Return which parameter a function launches, whatever happens, and what counts it."""
    from threadmend.golang.goroutines import launches_in

    node, file = decl.node, decl.file
    body = node["body"]
    if _ORDERS.search(file.data, body.start, body.end) or b"..." in decl.header.text:
        return None
    launches = [x for x in launches_in(file, node) if x.function is node]
    if len(launches) != 1 or launches[0].statement.parent is not body:
        return None
    launch = launches[0]
    returns = [n for n in node.own() if n.kind == "return_statement"]
    if any(r is not body.statements[-1] for r in returns) or _locks_before(file, body, launch.node):
        return None
    run = _run_by(decl, launch)
    group = _group_of_launch(decl, launch)
    if run is None or group is None:
        return None
    binding = file.binding(run)
    names = [n for p in node["parameters"].children for n in (p.all("name") or [p])]
    place = next(
        (i for i, n in enumerate(names) if binding is not None and n is binding.node), None
    )
    return _Counted(place, *group) if place is not None else None


def _locks_before(file: GoFile, body: Node, launch: Node) -> bool:
    """Return whether a lock is taken and kept: goroutines may run one by one then."""
    return b"defer" in file.data[body.start : launch.start] and bool(
        _LOCKS.search(file.data, body.start, launch.start)
    )


def _run_by(decl: Decl, launch: Launch) -> Node | None:
    """Return the parameter's name where a launch runs it once, itself or in a literal."""
    given = launch.value
    if given is not None and given.kind == "identifier":
        return given if is_parameter(decl, given) else None
    if launch.literal is not None:
        return _called_once(decl, launch.literal)
    call, inner = launch.call, launch.decl
    if call is None or inner is None or not inner.sound:
        return None
    if call["function"].kind == "identifier" and is_parameter(decl, call["function"]):
        return call["function"]
    passed = [a for a in call["arguments"].children if a.kind == "identifier"]
    passed = [a for a in passed if is_parameter(decl, a) and _is_function(decl.file, a)]
    names = [n for p in inner.node["parameters"].children for n in (p.all("name") or [p])]
    if len(passed) != 1 or len(names) != len(call["arguments"].children):
        return None
    name = names[call["arguments"].children.index(passed[0])]
    ran = _called_once(inner, inner.node)
    return (
        passed[0] if ran is not None and inner.file.binding(ran) is _binding(inner, name) else None
    )


def _binding(decl: Decl, name: Node) -> object:
    return decl.file.binding(name)


def _called_once(decl: Decl, function: Node) -> Node | None:
    """Return the parameter of a declaration that a function calls at one place, under no lock."""
    from threadmend.golang.goroutines import innermost_loop

    calls = [n for n in function.own() if n.kind == "call_expression"]
    run = [
        c for c in calls if c["function"].kind == "identifier" and is_parameter(decl, c["function"])
    ]
    data, start = decl.file.data, function["body"].start
    if len(run) != 1 or innermost_loop(run[0]) is not None:
        return None
    if _ORDERS.search(data, start, function.end) or _LOCKS.search(data, start, run[0].start):
        return None
    early = (n for n in function.own() if n.kind == "return_statement")
    return None if any(n.end <= run[0].start for n in early) else run[0]["function"]


def _is_function(file: GoFile, node: Node) -> bool:
    from threadmend.golang.types import Func

    return isinstance(file.underlying(file.type_of(node)), Func)


def _group_of_launch(decl: Decl, launch: Launch) -> tuple[Access, tuple[GoFile, Node]] | None:
    """Return the WaitGroup, in the words of a function, whose Done ends what it launches.

    And where that is written.
    """
    from threadmend.golang.count_helpers import count_calls, home
    from threadmend.golang.wording import translated

    file = decl.file
    if launch.kind == "waitgroup":
        operand = launch.node["function"]["operand"]
        access = access_of(file, operand)
        return (access, (file, operand)) if access is not None else None
    if launch.kind == "counted":
        inner, own = _of_call(file, launch.node), group_of(file, launch.node)
        return (own, inner.written) if inner is not None and own is not None else None
    if launch.kind != "go" or launch.body is None:
        return None
    where = launch.decl.file if launch.decl is not None else file
    dones = [c for c in count_calls(where, launch.body) if c.method == "Done"]
    if len({c.access for c in dones}) != 1 or not all(c.deferred is not None for c in dones):
        return None
    group = dones[0].access
    if launch.literal is None:
        group = translated(file, launch.call, launch.body, group)
    behind, operation = home(where, dones[0])
    return (group, (behind, operation.waitgroup)) if group is not None else None
