"""Finished: objects that nobody writes once the function that makes them has handed them on.

func Inspect(knots []Knot) *Report {
    rep := &Report{torn: map[int]int{}}
    for _, k := range knots {
        wg.Add(1)
        go func() { defer wg.Done(); rep.note(k) }()   // the lock is for these goroutines
    }
    wg.Wait()
    return rep                                         // whoever reads it now needs none
}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of
from threadmend.golang.awaited import has_waited
from threadmend.golang.calls import Site, own_callers
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import launch_of_literal
from threadmend.golang.locks import LOCK_CALLS, declaration_of, runs_in_place
from threadmend.golang.scope import Binding, argument_of
from threadmend.golang.setup import is_made_here
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.field_accesses import FieldAccess
    from threadmend.golang.file import GoFile
    from threadmend.golang.guards import Guard
    from threadmend.golang.package import Decl

__all__ = ["is_finished"]

_DEPTH = 3


def is_finished(access: FieldAccess, guard: Guard) -> bool:
    """Return whether all writes are done when somebody else can read what an access reads."""
    if access.writes:
        return False
    every = (*guard.locked, *guard.unlocked)
    writes = [a for a in every if a.writes and not a.setup]
    return (
        any(a.node.function is not None for a in writes)
        and all(_is_of_maker(a.file, a.node, a.base, _DEPTH) for a in writes)
        and _reads_later(access.file, access.node, access.base, _DEPTH)
    )


def _is_of_maker(file: GoFile, node: Node, base: Access | None, depth: int) -> bool:
    """Return whether only functions that have made the object themselves come to a write of it,
    in goroutines that they wait for before they hand it on.
    """
    root, function = (base.root if base is not None else None), outer_function(node)
    if not isinstance(root, Binding) or function is None:
        return False
    if root.kind not in {"receiver", "parameter"}:
        return _is_made_in(file, node, root, function) and _is_kept_until_done(file, root, function)
    decl = declaration_of(file, function)
    if decl is None or node.function is not function or depth == 0:
        return False
    if decl.exported and not decl.receiver[:1].islower():
        return False
    sites = list(own_callers(decl, LOCK_CALLS))
    return bool(sites) and all(
        operand is not None
        and _is_of_maker(site.file, operand, access_of(site.file, operand), depth - 1)
        for site in sites
        for operand in (_given(site, decl, root),)
    )


def _given(site: Site, decl: Decl, root: Binding) -> Node | None:
    """Return what a call gives a receiver or parameter, None for other uses of the function."""
    if site.call is None:
        return None
    if root.kind == "parameter":
        return argument_of(site.call, decl.node, root)
    return site.call["function"].get("operand")


def _is_made_in(file: GoFile, node: Node, root: Binding, function: Node) -> bool:
    """Return whether a function makes an object, and a place in it runs before it returns.

    Of goroutines, `_is_kept_until_done` says that.
    """
    if root.function is not function or not is_made_here(file, root.declaration, Access(root)):
        return False
    inner = node.function
    while inner is not None and inner is not function:
        if not runs_in_place(file, inner) and launch_of_literal(file, inner) is None:
            return False
        inner = inner.function
    return True


def _is_kept_until_done(file: GoFile, root: Binding, function: Node) -> bool:
    """Return whether a function waits for its goroutines before anybody else gets an object."""
    launched = {use for use in root.uses if _is_launched(file, use, function)}
    for use in root.uses:
        if use in launched or _is_owner(use) or use.start <= root.declaration.end:
            continue
        if use.function is not function or (launched and not has_waited(file, use)):
            return False
    return all(_is_owner(use) or _is_owner_there(file, use) for use in launched)


def _is_launched(file: GoFile, use: Node, function: Node) -> bool:
    """Return whether a goroutine of a function uses a variable, or is given it."""
    inner = use.function
    while inner is not None and inner is not function:
        if launch_of_literal(file, inner) is not None:
            return True
        inner = inner.function
    return use.up("go_statement") is not None


def _is_owner(use: Node) -> bool:
    """Return whether a field or method is selected from a variable: `rep.note(k)`, `rep.seen`."""
    return (
        use.field == "operand"
        and use.parent is not None
        and use.parent.kind == "selector_expression"
    )


def _is_owner_there(file: GoFile, use: Node) -> bool:
    """Return whether a goroutine's function gets a variable, and only uses its fields and methods.

    `go collect(rep, knot)`
    """
    arguments = use.parent
    call = arguments.parent if arguments is not None else None
    if call is None or call.kind != "call_expression" or use.parent is not call["arguments"]:
        return False
    if call.parent is None or call.parent.kind != "go_statement":
        return False
    decl = file.callee(call)
    if decl is None or not decl.has_body:
        return False
    taken = [
        name
        for declaration in decl.node["parameters"].children
        for name in declaration.all("name")
        if (binding := decl.file.binding(name)) is not None
        if argument_of(call, decl.node, binding) is use
        if all(_is_owner(u) for u in binding.uses if u is not binding.node)
    ]
    return len(taken) == 1


def _reads_later(file: GoFile, node: Node, base: Access | None, depth: int) -> bool:
    """Return whether a read does not run while the goroutines of the maker do."""
    root, function = (base.root if base is not None else None), outer_function(node)
    if function is None or node.function is not function or not isinstance(root, Binding):
        return False
    if root.kind != "receiver":
        return root.function is not function or root.kind != "variable" or has_waited(file, node)
    decl = declaration_of(file, function)
    if decl is None or depth == 0:
        return False
    return all(
        operand is not None
        and not site.launched
        and _reads_later(site.file, operand, access_of(site.file, operand), depth - 1)
        for site in own_callers(decl, LOCK_CALLS)
        for operand in (_given(site, decl, root),)
    )
