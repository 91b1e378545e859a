"""What is passed to a function which a loop launches: each goroutine writes the same map,
or through the same pointer.

    for _, t := range texts {             var mu sync.Mutex
        go tally(t, counts, &wg)      →   for _, t := range texts {
    }                                         go tally(t, counts, &wg, &mu)

The function gets the lock with the map or pointer; its uses are made under it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from threadmend.golang.access import classify, is_assigned_once
from threadmend.golang.builders import (
    BuilderError,
    add_argument,
    add_import,
    add_parameter,
    free_name,
    insert_before,
    parameters,
    taken_names,
    with_reason,
)
from threadmend.golang.calls import code_files, has_one_caller
from threadmend.golang.crowds import overlaps
from threadmend.golang.field_accesses import access_kind
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, launches_in, or_spawning
from threadmend.golang.lefts import STARTS
from threadmend.golang.locks import LOCK_CALLS, held_at
from threadmend.golang.node import bare
from threadmend.golang.package import Package
from threadmend.golang.races import explained
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map, Named, Slice
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._guard_edits import LockForm, put_under_lock
from ._quick import is_slow

__all__ = ["passed_maps", "passed_pointers"]

_WRITES = frozenset({"write", "update", "store"})


def passed_maps(package: Package) -> Iterator[Finding]:
    """Yield the maps that functions launched in a loop get as arguments, and write."""
    for file in code_files(package):
        if not file.generated and not file.is_test:
            for launch in _launches(file):
                yield from _passed(file, launch, _map_given, _changes_map)


def passed_pointers(file: GoFile) -> Iterator[Finding]:
    """Yield the variables whose address functions launched in a loop get, and write to.

    Structs have fields, and races of their own (`races`).
    """
    if not file.generated and not file.is_test:
        for launch in _launches(file):
            yield from _passed(file, launch, _address_given, _changes_pointee)


def _launches(file: GoFile) -> Iterator[Launch]:
    for declaration in file.declarations(or_spawning(file.package, STARTS)):
        for launch in launches_in(file, declaration.node):
            if launch.kind == "go" and launch.loop is not None and launch.decl is not None:
                yield launch


def _map_given(file: GoFile, value: Node) -> Binding | None:
    """Return the variable whose map an argument is."""
    if value.kind != "identifier" or not isinstance(file.underlying(file.type_of(value)), Map):
        return None
    shared = file.binding(value)
    return shared if shared is not None and is_assigned_once(shared) else None


def _changes_map(file: GoFile, use: Node) -> bool:
    return access_kind(file, use) in _WRITES


def _address_given(file: GoFile, value: Node) -> Binding | None:
    """Return the variable whose address an argument is: a number, text, slice or map."""
    if value.kind != "unary_expression" or value["operator"].kind != "&":
        return None
    operand = value["operand"]
    under = file.underlying(file.type_of(operand))
    plain = isinstance(under, Slice | Map) or (isinstance(under, Named) and not under.package)
    return file.binding(operand) if operand.kind == "identifier" and plain else None


def _changes_pointee(file: GoFile, use: Node) -> bool:
    """Return whether `*p` itself, or an entry of the map it is, gets another value."""
    found = classify(use, file.binding(use))
    target = bare(found.target)
    if target.kind == "index_expression":
        target = bare(target["operand"])
        if not isinstance(file.underlying(file.type_of(target)), Map):
            return False
    return found.kind == "store" and target.kind == "unary_expression"


_Given = Callable[[GoFile, Node], Binding | None]
_Changes = Callable[[GoFile, Node], bool]


def _passed(file: GoFile, launch: Launch, given: _Given, changes: _Changes) -> Iterator[Finding]:
    decl, call, loop = launch.decl, launch.call, launch.loop
    assert decl is not None
    assert call is not None
    assert loop is not None
    if decl.node.kind != "function_declaration" or decl.file.package is not file.package:
        return
    if not overlaps(loop, launch) or LOCK_CALLS.search(decl.node.text):
        return
    for parameter, value in zip(parameters(decl.node), call["arguments"].children, strict=False):
        shared = given(file, value)
        if shared is None or parameter.name is None or parameter.variadic:
            continue
        if shared.kind == "range" or loop.contains(shared.node):
            continue
        binding = decl.file.binding(parameter.name)
        uses = [u for u in binding.uses if u is not parameter.name] if binding is not None else []
        written = [u for u in uses if changes(decl.file, u)]
        if written and not any(_is_safe(decl.file, u) for u in written):
            yield _finding(file, launch, shared, uses, written[0])


def _is_safe(file: GoFile, use: Node) -> bool:
    return bool(held_at(file, use)) or explained(file, use)


def _finding(
    file: GoFile, launch: Launch, shared: Binding, uses: list[Node], written: Node
) -> Finding:
    node = launch.node
    fix, reason = _fix(file, launch, shared, uses)
    return Finding(
        path=written.path,
        start=written.start,
        end=written.end,
        message=f"{_shown(written)} is written without a lock where several goroutines run at the"
        " same time",
        fixes=(fix,) if fix is not None else (),
        related=(Related(node.path, node.start, node.end, "launched in a loop here"),),
        reason=reason,
    )


def _accessed(file: GoFile, use: Node) -> Node:
    """Return what is shared: the map, or `*p` for a pointer."""
    if isinstance(file.underlying(file.type_of(use)), Map):
        return use
    outer, statement = use.parent, use.statement
    if outer is None or outer.kind != "unary_expression" or outer["operator"].kind != "*":
        raise BuilderError(f"{use.name} is passed on")
    if statement is None or any(is_slow(file, n) for n in statement.walk()):
        raise BuilderError("a call that may take long is part of the access")
    return outer


def _must_be_left_alone(launch: Launch, shared: Binding) -> None:
    """Raise BuilderError where the launching function may use the variable meanwhile."""
    function, loop = launch.function, launch.loop
    assert function is not None
    assert loop is not None
    waits = [n.start for n in function.own() if n.start > loop.end and _is_wait(n)]
    for use in shared.uses:
        if use.function is not function:
            raise BuilderError(f"a function literal uses {shared.name}")
        inside = loop.start < use.start and not launch.node.contains(use)
        if inside and not any(at < use.start for at in waits):
            raise BuilderError(f"{shared.name} is used while the goroutines run")


def _is_wait(node: Node) -> bool:
    if node.kind == "unary_expression":
        return node["operator"].kind == "<-"
    called = node.get("function") if node.kind == "call_expression" else None
    return called is not None and called.text.endswith(b".Wait")


def _shown(written: Node) -> str:
    """Return the map, or what the pointer leads to."""
    outer = written.parent
    return outer.name if outer is not None and outer.kind == "unary_expression" else written.name


@with_reason
def _fix(file: GoFile, launch: Launch, shared: Binding, uses: list[Node]) -> Fix:
    """Pass a lock along with the map or pointer.

    Sound: the launch is all that calls the function, and every use there is under the lock.
    """
    decl, call, loop = launch.decl, launch.call, launch.loop
    assert decl is not None
    assert call is not None
    assert loop is not None
    if not has_one_caller(decl) or decl.exported or launch.function is None:
        raise BuilderError(f"{decl.name} is called elsewhere too")
    if any(u.function is not decl.node for u in uses):
        raise BuilderError("a function literal uses it")
    if any(f.imported("sync") not in {None, "sync"} for f in (file, decl.file)):
        raise BuilderError("the name sync is taken")
    lock = free_name("mu", {*taken_names(decl.node), *taken_names(launch.function)})
    edits: list[Edit] = [*add_import(file.tree, "sync"), *add_import(decl.file.tree, "sync")]
    edits += insert_before(loop, f"var {lock} sync.Mutex")
    edits += add_argument(call, f"&{lock}", index=len(call["arguments"].children))
    edits += add_parameter(decl.node, lock, "*sync.Mutex")
    form = LockForm(lock, "")
    if not isinstance(decl.file.underlying(decl.file.type_of(uses[0])), Map):
        _must_be_left_alone(launch, shared)
    nodes = [_accessed(decl.file, use) for use in uses]
    edits += put_under_lock(decl.file, decl.node, nodes, form, together=len(nodes) > 1)[0]
    title = f"Guard {shared.name} with a mutex {lock}, passed along"
    return Fix(title, tuple(dict.fromkeys(edits)), Safety.UNSAFE, f"{decl.name} takes a lock")
