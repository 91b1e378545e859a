"""Same goroutine: accesses that never meet a write, because who makes them has made it, too.

`go s.loop()` alone calls, at whatever depth, what reads and what writes: who reads there
without the lock sees what the same goroutine has written. The lock is for the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.access import access_of
from threadmend.golang.calls import Site, own_callers
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import (
    launch_of_literal,
    launch_sites,
    outermost_loop,
    started_by,
)
from threadmend.golang.locks import LOCK_CALLS, declaration_of
from threadmend.golang.repeats import is_repeated
from threadmend.golang.setup import is_made_here, is_setup
from threadmend.golang.uses import variants

if TYPE_CHECKING:
    from threadmend.golang.field_accesses import FieldAccess
    from threadmend.golang.file import GoFile
    from threadmend.golang.guards import Guard
    from threadmend.golang.package import Package
    from threadmend.golang.syntax import Node

__all__ = ["is_ahead_of_writers", "is_built_for", "is_only_writer", "launched_root", "run_together"]

_DEPTH = 6
_RUNS = 3


def is_only_writer(access: FieldAccess, guard: Guard) -> bool:
    """Return whether a read stands in the one function that writes, itself or through others."""
    if access.writes:
        return False
    reader = outer_function(access.node)
    writers = [a for a in (*guard.locked, *guard.unlocked) if a.writes and not a.setup]
    if all(outer_function(a.node) is reader or _runs_in(a, reader, _RUNS) for a in writers):
        return True
    if run_together(access, writers):
        return True
    functions = {outer_function(a.node) for a in writers}
    return len(functions) == 1 and _runs_in(access, functions.pop(), _RUNS)


def is_ahead_of_writers(access: FieldAccess, guard: Guard) -> bool:
    """Return whether a read stands in a function that only then calls or launches all who write.

    `s.mu.Lock(); s.tip = tip; s.mu.Unlock(); s.start(s.tip.height); go s.watch()`
    """
    function = access.node.function
    if access.writes or function is None or function is not outer_function(access.node):
        return False
    writes = [a for a in (*guard.locked, *guard.unlocked) if a.writes and not a.setup]
    return bool(writes) and all(
        other.node.start < access.node.start
        if other.node.function is function
        else _is_launched_behind(access, other) or _is_called_behind(access, other)
        for other in writes
    )


def _is_called_behind(access: FieldAccess, other: FieldAccess) -> bool:
    """Return whether only the function of an access comes to another one, behind it.

    By calls of its own, or of goroutines that it launches there.
    """
    function, writer = access.node.function, other.node.function
    decl = declaration_of(other.file, writer) if writer is not None else None
    if decl is None or decl.exported or outer_function(other.node) is not writer:
        return False
    sites = list(own_callers(decl, LOCK_CALLS))
    return bool(sites) and all(
        site.call is not None
        and _stands_behind(access, site.call)
        and (
            site.node.function is function
            or (
                site.node.function is not None
                and site.node.function.function is function
                and launch_of_literal(site.file, site.node.function) is not None
            )
        )
        for site in sites
    )


def _stands_behind(access: FieldAccess, node: Node) -> bool:
    """Return whether a node comes after an access, and no loop leads back."""
    loop = outermost_loop(access.node)
    return node.start > access.node.end and (loop is None or not loop.contains(node))


def _is_launched_behind(access: FieldAccess, other: FieldAccess) -> bool:
    """Return whether one goroutine alone comes to an access, launched behind another access."""
    root = launched_root(other)
    if root is None:
        return False
    if root.kind == "func_literal":
        return root.function is access.node.function and _stands_behind(access, root)
    decl = declaration_of(access.file.package.workspace.file_of(root), root)
    for site in own_callers(decl, LOCK_CALLS) if decl is not None else ():
        start = started_by(decl, site) if decl is not None else None
        if start is not None and start.function is access.node.function:
            return _stands_behind(access, start)
    return _launches_behind(access.file, access.node, root)


def _runs_in(access: FieldAccess, caller: Node | None, depth: int) -> bool:
    """Return whether the access's function runs only when `caller` calls it, levels down."""
    function = outer_function(access.node)
    return access.node.function is function and _is_called_in(access.file, function, caller, depth)


def _is_called_in(file: GoFile, function: Node | None, caller: Node | None, depth: int) -> bool:
    decl = declaration_of(file, function) if function is not None else None
    if decl is None or caller is None or depth == 0:
        return False
    sites = [s for s in own_callers(decl, LOCK_CALLS) if not _sets_up(s)]
    return bool(sites) and all(
        s.call is not None
        and not s.launched
        and (
            s.node.function is caller
            or (
                s.node.function is outer_function(s.node)
                and _is_called_in(s.file, s.node.function, caller, depth - 1)
            )
        )
        for s in sites
    )


def _sets_up(site: Site) -> bool:
    """Return whether a function is called in code that only sets its object up."""
    return site.call is not None and not site.launched and is_setup(site.file, site.call)


def launched_root(access: FieldAccess) -> Node | None:
    """Return the function whose one launch alone leads to an access."""
    return _root(access.file, access.node, _DEPTH)


def run_together(access: FieldAccess, others: list[FieldAccess]) -> bool:
    """Return whether one launch alone runs an access and all the others, or comes after them."""
    root = _root(access.file, access.node, _DEPTH)
    if root is None or _is_pool(access.file.package, root):
        return False
    return all(_runs_before_or_in(o.file, o.node, root, _DEPTH) for o in others)


def _runs_before_or_in(file: GoFile, node: Node, root: Node, depth: int) -> bool:
    """Return whether a node runs in the goroutine of a function, or before it is launched.

    `func (s *S) Start() { s.dial(); go s.loop() }`, where `loop` dials again by itself.
    """
    function, outer = node.function, outer_function(node)
    if function is root or (outer is root and function is outer):
        return True
    decl = declaration_of(file, outer) if outer is function and outer is not None else None
    if decl is None or depth == 0:
        return False
    if any(other.node is root for other in variants(decl)):
        return True
    if _launches_behind(file, node, root):
        return True
    sites = [s for s in own_callers(decl, LOCK_CALLS) if not decl.node.contains(s.node)]
    return (
        bool(sites)
        and not decl.exported
        and all(
            s.call is not None
            and not s.launched
            and _runs_before_or_in(s.file, s.call, root, depth - 1)
            for s in sites
        )
    )


def _launches_behind(file: GoFile, node: Node, root: Node) -> bool:
    """Return whether a function launches another one behind a node, itself or by a call."""
    function = node.function
    decl = declaration_of(file.package.workspace.file_of(root), root)
    if function is None or decl is None:
        return False
    for site in own_callers(decl, LOCK_CALLS):
        if not site.launched:
            continue
        if site.node.function is function:
            return site.node.start > node.end
        launcher = site.node.function
        above = declaration_of(site.file, launcher) if launcher is not None else None
        for call in own_callers(above, LOCK_CALLS) if above is not None else ():
            if call.node.function is function and not call.launched:
                return call.node.start > node.end
    return False


def _root(file: GoFile, node: Node, depth: int) -> Node | None:
    """Return the function that one goroutine runs, and that alone leads to a node."""
    function, outer = node.function, outer_function(node)
    if function is not outer and function is not None:
        return function if launch_of_literal(file, function) is not None else None
    decl = declaration_of(file, outer) if outer is not None and depth > 0 else None
    if decl is None or decl.exported:
        return None
    same = variants(decl)  # a call is known to be one of them
    sites = [s for d in same for s in own_callers(d, LOCK_CALLS) if not d.node.contains(s.node)]
    if len(sites) == 1 and started_by(decl, sites[0]) is not None:
        return same[0].node
    if any(s.launched or s.call is None for s in sites):
        return None
    roots = {_root(s.file, s.node, depth - 1) for s in sites}
    return roots.pop() if len(roots) == 1 else None


def _is_pool(package: Package, root: Node) -> bool:
    """Return whether a loop launches a function several times for one object."""
    file = package.workspace.file_of(root)
    decl = declaration_of(file, root)
    own = [launch_of_literal(file, root)] if decl is None else launch_sites(package).get(decl.key)
    return any(
        launch is not None
        and launch.loop is not None
        and is_repeated(package.workspace.file_of(launch.node), launch)
        for launch in own or ()
    )


def is_built_for(access: FieldAccess) -> bool:
    """Return whether an access stands in a method that is called on objects just made, only."""
    function = access.node.function
    return function is not None and _is_built_for(access.file, function, _RUNS)


def _is_built_for(file: GoFile, function: Node, depth: int) -> bool:
    decl = declaration_of(file, function)
    if decl is None or decl.exported or decl.kind != "method" or depth == 0:
        return False
    sites = list(own_callers(decl, LOCK_CALLS))
    for site in sites:
        operand = site.call["function"].get("operand") if site.call is not None else None
        if operand is None or site.launched:
            return False
        if is_made_here(site.file, operand, access_of(site.file, operand)):
            continue
        binding = site.file.binding(operand) if operand.kind == "identifier" else None
        above = site.node.function
        if binding is None or binding.kind != "receiver" or above is None:
            return False
        if not _is_built_for(site.file, above, depth - 1):
            return False
    return bool(sites)
