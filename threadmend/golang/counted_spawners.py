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
from threadmend.golang.launched import literal_of
from threadmend.golang.pools import HANDS_ON, pooled
from threadmend.golang.scope import position_of
from threadmend.golang.slots import takes_only_slots, without_slots
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.goroutines import Launch
    from threadmend.golang.package import Package
    from threadmend.golang.waitgroups import WaitGroupCall

__all__ = ["counted_argument", "counted_names", "group_class", "group_of"]

# The head of a function that takes a function, and a short body; likewise of a local closure.
_HEAD = re.compile(
    rb"^func (?:\([^)\n]*\) )?(?P<name>\w+)(?:\[[^\n\]]*\])?\([^\n{]*\bfunc\([^\n{]*\{"
    rb"(?P<body> [^\n]* |\n(?:(?:\t[^\n]*)?\n){1,24}?)\}",
    re.M,
)
_LOCAL_HEAD = re.compile(
    rb"^(?P<tab>\t+)(?P<name>\w+) := func\([^\n{]*\bfunc\([^\n{]*\{\n"
    rb"(?P<body>(?:(?:(?P=tab)\t[^\n]*)?\n){1,24}?)(?P=tab)\}",
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
    function: Node
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
        heads = [
            (m["name"], m["body"])
            for file in package.files
            if not file.is_test
            for head in (_HEAD, _LOCAL_HEAD)
            for m in head.finditer(file.data)
        ]
        pooled_names = {name for name, body in heads if HANDS_ON.match(body)}
        heads = [(name, body) for name, body in heads if not _ORDERS.search(without_slots(body))]
        names = pooled_names | {name for name, body in heads if _LAUNCHES.search(body)}
        for _ in range(_ROUNDS if names else 0):
            calls = re.compile(rb"\b(?:%s)\(" % b"|".join(sorted(names)))
            names |= {name for name, body in heads if calls.search(body)}
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

    found = _of_call(file, call)
    return translated(file, call, found.function, found.group) if found is not None else None


def group_class(file: GoFile, call: Node) -> str | None:
    """Return the class of the WaitGroup that counts what a call launches."""
    found = _of_call(file, call)
    return lock_class(*found.written) if found is not None else None


def _of_call(file: GoFile, call: Node) -> _Counted | None:
    function = call["function"]
    name = function["field"].name if function.kind == "selector_expression" else function.name
    if name.partition("[")[0] not in counted_names(file.package):
        return None
    local = literal_of(file, function) if function.kind == "identifier" else None
    if local is not None:
        return _known(file, local)
    decl = file.callee(call)
    if decl is None or not decl.sound or not decl.has_body:
        return None
    return _known(decl.file, decl.node)


def _known(file: GoFile, function: Node) -> _Counted | None:
    known: dict[Node, _Counted | None]
    known = file.package.facts.setdefault("counts what it launches", {})
    if function not in known:
        known[function] = None  # one that is made of itself
        known[function] = _find(file, function)
    return known[function]


def _find(file: GoFile, function: Node) -> _Counted | None:
    """Return which parameter a function launches, whatever happens, and what counts it."""
    from threadmend.golang.goroutines import launches_in

    body, parameters = function["body"], function["parameters"]
    if b"..." in parameters.text:
        return None
    if HANDS_ON.match(body.text[1:-1]):
        pool = pooled(file, function)
        return _Counted(pool[0], function, *pool[1:]) if pool is not None else None
    if _orders(file, function):
        return None
    launches = [x for x in launches_in(file, function) if x.function is function]
    if len(launches) != 1 or launches[0].statement.parent is not body:
        return None
    launch = launches[0]
    returns = [n for n in function.own() if n.kind == "return_statement"]
    if any(r is not body.statements[-1] for r in returns) or _locks_before(file, body, launch.node):
        return None
    run = _run_by(file, function, launch)
    group = _group_of_launch(file, launch)
    binding = file.binding(run) if run is not None else None
    place = position_of(function, binding) if binding is not None else None
    if place is None or group is None:
        return None
    return _Counted(place, function, *group)


def _orders(file: GoFile, function: Node) -> bool:
    """Return whether something keeps the goroutine waiting, unless it has to be one of a few."""
    body = function["body"]
    text = without_slots(file.data[body.start : body.end])
    return bool(_ORDERS.search(text)) or not takes_only_slots(file, function)


def _locks_before(file: GoFile, body: Node, launch: Node) -> bool:
    """Return whether a lock is taken and kept: goroutines may run one by one then."""
    return b"defer" in file.data[body.start : launch.start] and _locks_above(body, launch)


def _locks_above(body: Node, node: Node) -> bool:
    """Return whether a lock is taken above a node; what is deferred takes its own below it."""
    data, start = body.tree.data, body.start
    for literal in body.find("func_literal"):
        if literal.is_deferred and start <= literal.start and literal.end <= node.start:
            if _LOCKS.search(data, start, literal.start):
                return True
            start = literal.end
    return _LOCKS.search(data, start, node.start) is not None


def _run_by(file: GoFile, function: Node, launch: Launch) -> Node | None:
    """Return the parameter's name where a launch runs it once, itself or in a literal."""
    given = launch.value
    if given is not None and given.kind == "identifier":
        return given if _is_parameter(file, given, function) else None
    if launch.literal is not None:
        return _called_once(file, launch.literal, function)
    call, inner = launch.call, launch.decl
    if call is None or inner is None or not inner.sound:
        return None
    if call["function"].kind == "identifier" and _is_parameter(file, call["function"], function):
        return call["function"]
    arguments = call["arguments"].children
    passed = [a for a in arguments if a.kind == "identifier" and _is_function(file, a)]
    passed = [a for a in passed if _is_parameter(file, a, function)]
    ran = _called_once(inner.file, inner.node, inner.node)
    if len(passed) != 1 or ran is None or _orders(inner.file, inner.node):
        return None
    binding = inner.file.binding(ran)
    place = position_of(inner.node, binding) if binding is not None else None
    return passed[0] if place == arguments.index(passed[0]) else None


def _called_once(file: GoFile, runs: Node, of: Node) -> Node | None:
    """Return the parameter of a function that another one calls at one place, under no lock."""
    from threadmend.golang.goroutines import innermost_loop

    calls = [n for n in runs.own() if n.kind == "call_expression"]
    run = [
        c
        for c in calls
        if c["function"].kind == "identifier" and _is_parameter(file, c["function"], of)
    ]
    if len(run) != 1 or innermost_loop(run[0]) is not None:
        return None
    if _locks_above(runs["body"], run[0]):
        return None
    early = (n for n in runs.own() if n.kind == "return_statement")
    return None if any(n.end <= run[0].start for n in early) else run[0]["function"]


def _is_parameter(file: GoFile, name: Node, function: Node) -> bool:
    binding = file.binding(name)
    return binding is not None and binding.kind == "parameter" and binding.function is function


def _is_function(file: GoFile, node: Node) -> bool:
    from threadmend.golang.types import Func

    return isinstance(file.underlying(file.type_of(node)), Func)


def _group_of_launch(file: GoFile, launch: Launch) -> tuple[Access, tuple[GoFile, Node]] | None:
    """Return the WaitGroup, in the words of a function, whose Done ends what it launches.

    And where that is written.
    """
    from threadmend.golang.count_helpers import count_calls, home
    from threadmend.golang.wording import translated

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
    if len({c.access for c in dones}) != 1 or not all(map(_is_deferred, dones)):
        return None
    group = dones[0].access
    if launch.literal is None:
        group = translated(file, launch.call, launch.body, group)
    behind, operation = home(where, dones[0])
    return (group, (behind, operation.waitgroup)) if group is not None else None


def _is_deferred(done: WaitGroupCall) -> bool:
    """Return whether a call is deferred, itself or as a statement of a deferred literal."""
    if done.deferred is not None:
        return True
    literal, statement = done.call.function, done.call.statement
    body = literal.get("body") if literal is not None and literal.kind == "func_literal" else None
    if body is None or statement is None or not any(s is statement for s in body.statements):
        return False
    call = literal.parent if literal is not None else None
    return call is not None and call.parent is not None and call.parent.kind == "defer_statement"
