"""A context for a function that takes none, from its callers, who all have one at hand."""

from __future__ import annotations

from dataclasses import dataclass

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import (
    add_argument,
    add_import,
    add_parameter,
    free_name,
    import_name,
    names_around,
)
from threadmend.golang.calls import callers
from threadmend.golang.families import CannotFollow, family
from threadmend.golang.file import GoFile
from threadmend.golang.locks import declaration_of
from threadmend.golang.package import Decl
from threadmend.golang.scope import bindings_in, position_of
from threadmend.golang.stops import Stop, contexts_at, stops_at
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["Given", "given_context", "own_context"]

_PATHS = frozenset({"identifier", "selector_expression"})


@dataclass(frozen=True, slots=True)
class Given:
    """A function that can take a context as its first parameter.

    `name` is what the parameter would be called, `calls` are all calls with the context that
    each can pass, `above` the functions around calls that gain one for it in turn. `present`:
    it takes the context already, and `calls` have what they pass. `alike` are the other
    signatures that change with it: the interfaces that it implements, who else does, the types of
    fields that keep it.
    """

    decl: Decl
    name: str
    calls: tuple[tuple[GoFile, Node, Stop], ...]
    above: tuple[Given, ...] = ()
    present: bool = False
    alike: tuple[Node, ...] = ()

    @property
    def stop(self) -> Stop:
        """Return the parameter as something to listen to."""
        return Stop(f"{self.name}.Done()", self.name)

    def edits(self) -> tuple[Edit, ...]:
        """Return the edits of the signature, the import and the calls; raises BuilderError."""
        if self.present:
            return ()
        tree = self.decl.file.tree
        package = import_name(tree, "context")
        type_ = f"{package or 'context'}.Context"
        edits: tuple[Edit, ...] = tuple(add_parameter(self.decl.node, self.name, type_, index=0))
        if package is None:
            edits += add_import(tree, "context")
        for other in self.alike:
            edits += self._alike(other)
        for _, call, stop in self.calls:
            edits += tuple(add_argument(call, stop.context))
        for outer in self.above:
            edits += outer.edits()
        return tuple(dict.fromkeys(edits))  # one import for all that a file declares

    def _alike(self, signature: Node) -> tuple[Edit, ...]:
        """Return the edits of another signature, in a function that makes no use of it."""
        tree = self.decl.file.package.workspace.file_of(signature).tree
        package = import_name(tree, "context")
        name = "_" if signature.get("body") is not None else self.name
        edits = add_parameter(signature, name, f"{package or 'context'}.Context", index=0)
        return (*edits, *(add_import(tree, "context") if package is None else ()))


def own_context(file: GoFile, node: Node, *, exported: bool = False) -> Given | None:
    """Return the context that the function around a node takes and that all its calls pass.

    All that the project shows, where it may be `exported`.
    """
    function = node.function
    decl = declaration_of(file, function) if function is not None else None
    if decl is None or (decl.exported and not exported) or file.is_test or function is None:
        return None
    bindings = (b for name in contexts_at(file, node) for b in bindings_in(function).get(name, ()))
    own = next((b for b in bindings if b.kind == "parameter" and is_assigned_once(b)), None)
    at = position_of(function, own) if own is not None else None
    if own is None or at is None:
        return None
    calls = []
    for site in callers(decl):
        given = site.call["arguments"].children[at : at + 1] if site.call is not None else []
        if site.call is None or not given or given[0].kind not in _PATHS:
            return None
        context = given[0].name
        calls.append((site.file, site.call, Stop(f"{context}.Done()", context)))
    return Given(decl, own.name, tuple(calls), present=True) if calls else None


def given_context(
    file: GoFile, node: Node, depth: int = 2, *, alike: bool = False, exported: bool = False
) -> Given | None:
    """Return how the function around a node can get a context, which it has none of.

    It is the project's own and not exported (but with `exported`, where other packages of the
    project call it), no interface fixes its signature (but with `alike`, where those change,
    too), and every call of it (in tests too) has a context in scope, or stands in a function
    that can get one.
    """
    function = node.function
    decl = declaration_of(file, function) if function is not None else None
    if depth == 0 or decl is None or file.is_test or contexts_at(file, node):
        return None
    if decl.exported and not (exported and _is_called_elsewhere(decl)):
        return None
    try:
        found = family(decl, fields=True)
    except CannotFollow:
        return None
    others = tuple(node for node in found.signatures if node is not decl.node)
    if (len(others) > len(found.fields) and not alike) or not found.sites:
        return None
    calls, above = [], {}
    for site in found.sites:
        if site.call is None:
            return None
        stop = next((s for s in stops_at(site.file, site.call) if s.context), None)
        if stop is None:
            outer = given_context(site.file, site.call, depth - 1, alike=alike)
            if outer is None or outer.decl.key == decl.key or outer.above:
                return None
            above[outer.decl.key] = outer
            stop = outer.stop
        calls.append((site.file, site.call, stop))
    name = free_name("ctx", names_around(file, node))
    return Given(decl, name, tuple(calls), tuple(above.values()), alike=others)


def _is_called_elsewhere(decl: Decl) -> bool:
    """Return whether another package of the project calls a function: it is exported for that."""
    package = decl.file.package
    return any(s.file.package is not package and not s.file.is_test for s in callers(decl))
