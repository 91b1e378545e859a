"""A map that is passed to a function which a loop launches: each goroutine writes the same one.

    for _, t := range texts {             var mu sync.Mutex
        go tally(t, counts, &wg)      →   for _, t := range texts {
    }                                         go tally(t, counts, &wg, &mu)

The function gets the lock with the map; its stores are made under it.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import (
    BuilderError,
    add_argument,
    add_import,
    add_parameter,
    free_name,
    insert_before,
    parameters,
    taken_names,
)
from threadmend.golang.calls import callers, code_files
from threadmend.golang.crowds import overlaps
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, launches_in, or_spawning
from threadmend.golang.guards import access_kind
from threadmend.golang.lefts import STARTS
from threadmend.golang.locks import LOCK_CALLS, held_at
from threadmend.golang.package import Package
from threadmend.golang.races import explained
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._guard_edits import LockForm, put_under_lock

__all__ = ["passed_maps"]

_WRITES = frozenset({"write", "update", "store"})


def passed_maps(package: Package) -> Iterator[Finding]:
    """Yield the maps that functions launched in a loop get as arguments, and write."""
    for file in code_files(package):
        if file.generated or file.is_test:
            continue
        for declaration in file.declarations(or_spawning(file.package, STARTS)):
            for launch in launches_in(file, declaration.node):
                if launch.kind == "go" and launch.loop is not None and launch.decl is not None:
                    yield from _passed(file, launch)


def _passed(file: GoFile, launch: Launch) -> Iterator[Finding]:
    decl, call, loop = launch.decl, launch.call, launch.loop
    assert decl is not None
    assert call is not None
    assert loop is not None
    if decl.node.kind != "function_declaration" or decl.file.package is not file.package:
        return
    if not overlaps(loop, launch) or LOCK_CALLS.search(decl.node.text):
        return
    given = call["arguments"].children
    for parameter, value in zip(parameters(decl.node), given, strict=False):
        shared = file.binding(value) if value.kind == "identifier" else None
        if shared is None or parameter.name is None or parameter.variadic:
            continue
        if not isinstance(file.underlying(file.type_of(value)), Map):
            continue
        if shared.kind == "range" or loop.contains(shared.node) or not is_assigned_once(shared):
            continue
        binding = decl.file.binding(parameter.name)
        uses = [u for u in binding.uses if u is not parameter.name] if binding is not None else []
        written = [u for u in uses if access_kind(decl.file, u) in _WRITES]
        if written and not any(_is_safe(decl.file, u) for u in written):
            yield _finding(file, launch, shared, uses, written[0])


def _is_safe(file: GoFile, use: Node) -> bool:
    return bool(held_at(file, use)) or explained(file, use)


def _finding(
    file: GoFile, launch: Launch, shared: Binding, uses: list[Node], written: Node
) -> Finding:
    node, fix, reason = launch.node, None, ""
    try:
        fix = _fix(file, launch, shared, uses)
    except BuilderError as error:
        reason = str(error)
    return Finding(
        path=written.path,
        start=written.start,
        end=written.end,
        message=f"{written.name} is written without a lock where several goroutines run at the"
        " same time",
        fixes=(fix,) if fix is not None else (),
        related=(Related(node.path, node.start, node.end, "launched in a loop here"),),
        reason=reason,
    )


def _fix(file: GoFile, launch: Launch, shared: Binding, uses: list[Node]) -> Fix:
    """Pass a lock along with the map.

    Sound: the launch is all that calls the function, and every use there is under the lock.
    """
    decl, call, loop = launch.decl, launch.call, launch.loop
    assert decl is not None
    assert call is not None
    assert loop is not None
    if len(callers(decl)) != 1 or decl.exported or launch.function is None:
        raise BuilderError(f"{decl.name} is called elsewhere too")
    if any(u.function is not decl.node for u in uses):
        raise BuilderError("a function literal uses the map")
    if any(f.imported("sync") not in {None, "sync"} for f in (file, decl.file)):
        raise BuilderError("the name sync is taken")
    lock = free_name("mu", {*taken_names(decl.node), *taken_names(launch.function)})
    edits: list[Edit] = [*add_import(file.tree, "sync"), *add_import(decl.file.tree, "sync")]
    edits += insert_before(loop, f"var {lock} sync.Mutex")
    edits += add_argument(call, f"&{lock}", index=len(call["arguments"].children))
    edits += add_parameter(decl.node, lock, "*sync.Mutex")
    form = LockForm(lock, "")
    edits += put_under_lock(decl.file, decl.node, uses, form, together=len(uses) > 1)[0]
    title = f"Guard {shared.name} with a mutex {lock}, passed along"
    return Fix(title, tuple(dict.fromkeys(edits)), Safety.UNSAFE, f"{decl.name} takes a lock")
