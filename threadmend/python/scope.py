"""Scopes and bindings: what a name means where it stands."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = [
    "COMPREHENSIONS",
    "Binding",
    "Scope",
    "Site",
    "ancestors",
    "parent",
    "resolve",
    "scope_of",
]

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(slots=True, eq=False)
class Site:
    """A place that binds a name.

    `kind` is one of `assign` (with the value), `annotation` (`x: T` alone), `augment`,
    `for`, `with` (the value is the context expression), `unpack` (a part of the value),
    `import`, `def`, `class`, `parameter`, `except`, `match`, `delete`, `walrus`.
    """

    node: ast.AST
    kind: str
    value: ast.expr | None = None
    annotation: ast.expr | None = None
    alias: ast.alias | None = None


@dataclass(slots=True, eq=False)
class Binding:
    """A variable: its name, its scope, and every place that binds it, in source order."""

    name: str
    scope: Scope
    sites: list[Site] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<Binding {self.name} of {self.scope.kind}>"


@dataclass(slots=True, eq=False)
class Scope:
    """A module, class, function, lambda or comprehension, and the names bound in it."""

    node: ast.AST
    kind: str
    """`module`, `class`, `function`, `lambda` or `comprehension`."""
    above: Scope | None
    bindings: dict[str, Binding] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)
    """Names declared `global` or `nonlocal`."""

    def owner(self, name: str) -> Scope:
        """Return the scope in which a store to `name` here binds."""
        said = self.elsewhere.get(name)
        if said is None:
            return self
        scope: Scope = self
        while scope.above is not None:
            scope = scope.above
            if said == "nonlocal" and scope.kind == "function" and name in scope.bindings:
                return scope
        return scope if said == "global" else self

    def bind(self, name: str, site: Site) -> None:
        """Note that a place binds a name."""
        scope = self.owner(name)
        scope.bindings.setdefault(name, Binding(name, scope)).sites.append(site)

    def lookup(self, name: str) -> Binding | None:
        """Return what a name means in this scope; None for a builtin or an unknown name."""
        scope: Scope | None = self.owner(name)
        first = True
        while scope is not None:
            if (first or scope.kind != "class") and name in scope.bindings:
                return scope.bindings[name]
            # Names of a class are not seen from its methods, but are from its comprehensions'
            # first iterable, which belongs to the class scope already.
            first = False
            scope = scope.above
        return None


def parent(node: ast.AST) -> ast.AST | None:
    """Return the node that a node is a direct part of."""
    found: ast.AST | None = getattr(node, "parent_", None)
    return found


def scope_of(node: ast.AST) -> Scope:
    """Return the scope that a node is evaluated in (of a `def`: the one that it is in)."""
    found: Scope = node.scope_  # type: ignore[attr-defined]
    return found


def resolve(node: ast.Name) -> Binding | None:
    """Return the variable that a name means; None for a builtin or an unknown name."""
    return scope_of(node).lookup(node.id)


def ancestors(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a node is in, from the inside."""
    at = parent(node)
    while at is not None:
        yield at
        at = parent(at)
