"""Families: the signatures that can only change together, and all calls that follow them.

A function is one with its variants for other platforms. A method comes with the interfaces of
the project that fix its signature, and with all implementations of those, in tests as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.builders.pointers import CannotFollow
from threadmend.golang.calls import Site, callers, sites_in
from threadmend.golang.sole_values import sole_value
from threadmend.golang.syntax import Node
from threadmend.golang.types import Func, Interface, Named
from threadmend.golang.uses import interface_methods, is_fixed_outside, variants

if TYPE_CHECKING:
    from threadmend.golang.package import Decl
    from threadmend.golang.workspace import Workspace

__all__ = ["CannotFollow", "Family", "family"]


@dataclass(frozen=True)
class Family:
    """Signatures that change together: declarations, methods of interfaces, and all calls.

    `interfaces` are the `method_elem` nodes, `fields` the function types of fields that hold
    nothing else.
    """

    decls: tuple[Decl, ...]
    interfaces: tuple[Node, ...]
    sites: tuple[Site, ...]
    fields: tuple[Node, ...] = ()

    @property
    def signatures(self) -> list[Node]:
        """Return every node with parameters that changes."""
        return [*(d.node for d in self.decls), *self.interfaces, *self.fields]


def family(
    decl: Decl, may_be: Callable[[Site], bool] = lambda site: True, *, fields: bool = False
) -> Family:
    """Return the family of a function or method.

    `may_be` says whether a call on a receiver of unknown type may be one of it, by its
    arguments. With `fields` it may be kept in a field of its own, and is called by that. Raises
    CannotFollow with the reason where not everything can be changed.
    """
    decls, interfaces = _members(decl)
    for member in decls:
        if is_fixed_outside(member):
            raise CannotFollow(f"{member.name} is known outside of Go")
        if member.file.generated:
            raise CannotFollow(f"{member.name} is generated ({member.file.path})")
        if len(member.node["parameters"].children) != len(decl.node["parameters"].children):
            raise CannotFollow(f"a variant of {member.name} has other parameters")
    workspace = decl.file.package.workspace
    for method in interfaces:
        if workspace.file_of(method).generated:
            raise CannotFollow(f"the interface is generated ({method.path})")
    sites = {site.node: site for site in _uses(decls, interfaces, may_be)}
    types: list[Node] = []
    for site in list(sites.values()):
        kept = sole_value(site) if fields and site.call is None else None
        if kept is not None:
            del sites[site.node]
            sites.update((call.node, call) for call in kept.calls)
            types.append(kept.type)
    for site in sites.values():
        where = f"{site.file.path}:{site.file.source.line_of(site.node.start)}"
        if site.file.generated:
            raise CannotFollow(f"generated code calls {decl.name} ({where})")
        if site.call is None:
            raise CannotFollow(f"{decl.name} is used as a value ({where})")
    ordered = sorted(sites.values(), key=lambda s: (s.file.path, s.node.start))
    return Family(tuple(decls), tuple(interfaces), tuple(ordered), tuple(types))


# -- what belongs together ---------------------------------------------------------------


def _members(decl: Decl) -> tuple[list[Decl], list[Node]]:
    if decl.kind != "method":
        return variants(decl), []
    workspace = decl.file.package.workspace
    decls = {d.key: d for d in variants(decl)}
    interfaces: dict[Node, Node] = {}
    pending = [decl]
    while pending:
        method = pending.pop()
        for interface in interface_methods(workspace, method.name):
            if interface in interfaces or not _implements(method, interface):
                continue
            interfaces[interface] = _elem(interface, method.name)
            for other in _methods_named(workspace, method.name):
                if other.key not in decls and _implements(other, interface):
                    for variant in variants(other):
                        decls[variant.key] = variant
                    pending.append(other)
        _refuse_embedding(method)
    ordered = sorted(decls.values(), key=lambda d: d.key)
    return ordered, sorted(interfaces.values(), key=lambda n: (n.path, n.start))


def _elem(interface: Node, name: str) -> Node:
    return next(m for m in interface.children if m.kind == "method_elem" and m["name"].name == name)


def _methods_named(workspace: Workspace, name: str) -> Iterator[Decl]:
    for package in workspace.packages:
        for methods in package.all_methods().values():
            yield from methods.get(name, ())


def _implements(decl: Decl, interface: Node) -> bool:
    """Return whether a type has an interface's methods, and this one with the same types."""
    inference = decl.file.package.workspace.inference
    owner = Named(decl.file.package.key, decl.receiver)
    for method in interface.children:
        if method.kind == "method_elem" and inference.member(owner, method["name"].name) is None:
            return False
    ours = inference.decl_type(decl)
    theirs = inference.member(Interface(interface), decl.name)
    signature = theirs.type if theirs is not None else None
    if not isinstance(signature, Func) or not isinstance(ours, Func):
        return True
    if len(signature.params) != len(ours.params) or len(signature.results) != len(ours.results):
        return False
    pairs = zip(signature.params + signature.results, ours.params + ours.results, strict=True)
    return all(a is None or b is None or a == b for a, b in pairs)


def _refuse_embedding(method: Decl) -> None:
    """Refuse a method that another type gets by embedding, and with it perhaps an interface."""
    workspace = method.file.package.workspace
    if not interface_methods(workspace, method.name):
        return
    name = re.escape(method.receiver.encode())
    embedded = re.compile(
        rb"^[ \t]+\*?(?:\w+\.)?" + name + rb"[ \t]*(?:`[^`]*`)?(?://.*)?\r?$", re.M
    )
    for package in workspace.packages:
        for file in package.files:
            if name in file.data and embedded.search(file.data):
                raise CannotFollow(f"{method.receiver} is embedded ({file.path})")


# -- who calls them ----------------------------------------------------------------------


def _uses(
    decls: list[Decl], interfaces: list[Node], may_be: Callable[[Site], bool]
) -> Iterator[Site]:
    if decls[0].kind != "method":
        yield from callers(decls[0])
        return
    keys = {d.key for d in decls}
    elems = set(interfaces)
    workspace = decls[0].file.package.workspace
    word = decls[0].name.encode()
    for package in workspace.packages:
        for file in package.files:
            if word in file.data:
                for site in sites_in(file, decls[0]):
                    if _is_one(site, keys, elems, may_be):
                        yield site
                for other in decls[1:]:
                    for site in sites_in(file, other):
                        if _is_one(site, keys, elems, may_be):
                            yield site


def _is_one(
    site: Site, keys: set[tuple[str, int]], elems: set[Node], may_be: Callable[[Site], bool]
) -> bool:
    selector = site.node.parent
    selection = site.file.selection(selector) if selector is not None else None
    where = f"{site.file.path}:{site.file.source.line_of(site.node.start)}"
    if selection is None or selector is None:
        if may_be(site):
            raise CannotFollow(f"a receiver of {site.node.name} has no known type ({where})")
        return False
    ours = (
        selection.decl.key in keys
        if selection.decl is not None
        else selection.node is not None and selection.node in elems
    )
    if ours and site.file.type_of(selector["operand"]) is None:
        raise CannotFollow(f"{site.node.name} is used as a method expression ({where})")
    return ours
