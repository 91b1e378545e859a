"""Scopes and bindings: what a name means where it stands."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = [
    "Binding",
    "Index",
    "Scope",
    "Site",
    "ancestors",
    "build",
    "parent",
    "resolve",
    "scope_of",
]

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


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


@dataclass(slots=True)
class Index:
    """What one pass over a module notes."""

    scopes: list[Scope]
    by_type: dict[type[ast.AST], list[ast.AST]]
    names: dict[str, list[ast.Name]]


def parent(node: ast.AST) -> ast.AST | None:
    """Return the node that a node is a direct part of."""
    found: ast.AST | None = getattr(node, "parent_", None)
    return found


def scope_of(node: ast.AST) -> Scope:
    """Return the scope that a node is evaluated in (of a `def`: the one that it is in)."""
    at: ast.AST | None = node
    while at is not None:
        found: Scope | None = getattr(at, "scope_", None)
        if found is not None:
            return found
        at = getattr(at, "parent_", None)
    raise ValueError("the node is in no indexed module")


def resolve(node: ast.Name) -> Binding | None:
    """Return the variable that a name means; None for a builtin or an unknown name."""
    return scope_of(node).lookup(node.id)


# -- one pass -----------------------------------------------------------------------------------

_LEAVES = (ast.expr_context, ast.operator, ast.boolop, ast.unaryop, ast.cmpop)
_fields: dict[type[ast.AST], tuple[str, ...]] = {}
_SKIPPED = frozenset({"ctx", "op", "ops", "id", "attr", "arg", "kind", "type_comment", "n", "s"})


def _node_fields(kind: type[ast.AST]) -> tuple[str, ...]:
    found = _fields.get(kind)
    if found is None:
        leaf = kind is ast.Constant or kind is ast.Name
        found = () if leaf else tuple(f for f in reversed(kind._fields) if f not in _SKIPPED)
        _fields[kind] = found
    return found


def build(module: ast.Module) -> Index:
    """Note parents, scopes and names of a module's nodes."""
    top = Scope(module, "module", None)
    index = Index([top], {}, {})
    module.scope_ = top  # type: ignore[attr-defined]
    stores: list[tuple[Scope, ast.Name]] = []
    stack: list[tuple[ast.AST, Scope]] = [(module, top)]
    by_type, names = index.by_type, index.names
    while stack:
        node, scope = stack.pop()
        kind = node.__class__
        known = by_type.get(kind)
        if known is None:
            by_type[kind] = [node]
        else:
            known.append(node)
        if kind is ast.Name:
            name: ast.Name = node  # type: ignore[assignment]
            name.scope_ = scope  # type: ignore[attr-defined]
            names.setdefault(name.id, []).append(name)
            if name.ctx.__class__ is not ast.Load:
                stores.append((scope, name))
            continue
        special = _SPECIAL.get(kind)
        if special is not None:
            special(node, scope, index, stack)
            continue
        for field_name in _node_fields(kind):
            value = getattr(node, field_name)
            if value.__class__ is list:
                for child in reversed(value):
                    if isinstance(child, ast.AST) and not isinstance(child, _LEAVES):
                        child.parent_ = node  # type: ignore[attr-defined]
                        stack.append((child, scope))
            elif isinstance(value, ast.AST):
                value.parent_ = node  # type: ignore[attr-defined]
                stack.append((value, scope))
    # What `nonlocal` means is known when every other store is.
    for scope, name in stores:
        if scope.elsewhere.get(name.id) != "nonlocal":
            _store(scope, name)
    for scope, name in stores:
        if scope.elsewhere.get(name.id) == "nonlocal":
            _store(scope, name)
    for found in index.scopes:
        for binding in found.bindings.values():
            if len(binding.sites) > 1:
                binding.sites.sort(key=_position)
    return index


def _position(site: Site) -> tuple[int, int]:
    return (getattr(site.node, "lineno", 0), getattr(site.node, "col_offset", 0))


_Stack = list[tuple[ast.AST, Scope]]


def _push(stack: _Stack, node: ast.AST, children: object, scope: Scope) -> None:
    if isinstance(children, ast.AST):
        children.parent_ = node  # type: ignore[attr-defined]
        stack.append((children, scope))
    elif isinstance(children, list):
        for child in reversed(children):
            if isinstance(child, ast.AST):
                child.parent_ = node  # type: ignore[attr-defined]
                stack.append((child, scope))


def _function(node: ast.AST, scope: Scope, index: Index, stack: _Stack) -> None:
    assert isinstance(node, _FUNCTIONS)
    is_lambda = isinstance(node, ast.Lambda)
    inner = Scope(node, "lambda" if is_lambda else "function", scope)
    index.scopes.append(inner)
    node.inner_ = inner  # type: ignore[union-attr]
    arguments = node.args
    arguments.parent_ = node  # type: ignore[attr-defined]
    arguments.scope_ = scope  # type: ignore[attr-defined]
    if not isinstance(node, ast.Lambda):
        scope.bind(node.name, Site(node, "def"))
        for part in (node.decorator_list, node.returns, getattr(node, "type_params", None)):
            _push(stack, node, part, scope)
    for part in (arguments.kw_defaults, arguments.defaults):
        _push(stack, arguments, part, scope)
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    for argument in (*every, arguments.vararg, arguments.kwarg):
        if argument is not None:
            argument.parent_ = arguments  # type: ignore[attr-defined]
            plain = argument in every
            annotation = argument.annotation
            site = Site(argument, "parameter", annotation=annotation if plain else None)
            inner.bind(argument.arg, site)
            _push(stack, argument, annotation, scope)
    _push(stack, node, node.body, inner)
    body: list[ast.AST] = [*node.body] if isinstance(node.body, list) else [node.body]
    for child in body:
        child.scope_ = inner  # type: ignore[attr-defined]
    node.scope_ = scope  # type: ignore[union-attr]


def _class(node: ast.AST, scope: Scope, index: Index, stack: _Stack) -> None:
    assert isinstance(node, ast.ClassDef)
    inner = Scope(node, "class", scope)
    index.scopes.append(inner)
    node.inner_ = inner  # type: ignore[attr-defined]
    node.scope_ = scope  # type: ignore[attr-defined]
    scope.bind(node.name, Site(node, "class"))
    parts = (node.decorator_list, node.bases, node.keywords, getattr(node, "type_params", None))
    for part in parts:
        _push(stack, node, part, scope)
    _push(stack, node, node.body, inner)
    for child in node.body:
        child.scope_ = inner  # type: ignore[attr-defined]


def _comprehension(node: ast.AST, scope: Scope, index: Index, stack: _Stack) -> None:
    assert isinstance(node, _COMPREHENSIONS)
    inner = Scope(node, "comprehension", scope)
    index.scopes.append(inner)
    node.scope_ = scope  # type: ignore[union-attr]
    for number, generator in enumerate(node.generators):
        generator.parent_ = node  # type: ignore[attr-defined]
        generator.scope_ = inner  # type: ignore[attr-defined]
        _push(stack, generator, generator.target, inner)
        _push(stack, generator, generator.iter, scope if number == 0 else inner)
        _push(stack, generator, generator.ifs, inner)
        if number == 0:
            generator.iter.scope_ = scope  # type: ignore[attr-defined]
    parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    _push(stack, node, parts, inner)
    for part in parts:
        part.scope_ = inner  # type: ignore[attr-defined]


def _import(node: ast.AST, scope: Scope, index: Index, stack: _Stack) -> None:
    assert isinstance(node, ast.Import | ast.ImportFrom)
    for alias in node.names:
        alias.parent_ = node  # type: ignore[attr-defined]
        name = alias.asname or alias.name
        if isinstance(node, ast.Import) and alias.asname is None:
            name = name.partition(".")[0]
        scope.bind(name, Site(node, "import", alias=alias))


def _elsewhere(node: ast.AST, scope: Scope, index: Index, stack: _Stack) -> None:
    assert isinstance(node, ast.Global | ast.Nonlocal)
    kind = "global" if isinstance(node, ast.Global) else "nonlocal"
    scope.elsewhere.update(dict.fromkeys(node.names, kind))


def _handler(node: ast.AST, scope: Scope, index: Index, stack: _Stack) -> None:
    assert isinstance(node, ast.ExceptHandler)
    if node.name:
        scope.bind(node.name, Site(node, "except", annotation=node.type))
    _push(stack, node, node.body, scope)
    _push(stack, node, node.type, scope)


def _pattern(node: ast.AST, scope: Scope, index: Index, stack: _Stack) -> None:
    name = getattr(node, "name", None) or getattr(node, "rest", None)
    if isinstance(name, str):
        scope.bind(name, Site(node, "match"))
    for child in ast.iter_child_nodes(node):
        _push(stack, node, child, scope)


_SPECIAL = {
    ast.FunctionDef: _function,
    ast.AsyncFunctionDef: _function,
    ast.Lambda: _function,
    ast.ClassDef: _class,
    ast.Import: _import,
    ast.ImportFrom: _import,
    ast.Global: _elsewhere,
    ast.Nonlocal: _elsewhere,
    ast.ExceptHandler: _handler,
    ast.MatchAs: _pattern,
    ast.MatchStar: _pattern,
    ast.MatchMapping: _pattern,
    **dict.fromkeys(_COMPREHENSIONS, _comprehension),
}


# -- what a store binds ---------------------------------------------------------------------------


def _store(scope: Scope, name: ast.Name) -> None:
    site = _site(name)
    if site.kind == "walrus":
        while scope.kind == "comprehension" and scope.above is not None:
            scope = scope.above
    scope.bind(name.id, site)


def _site(name: ast.Name) -> Site:
    if isinstance(name.ctx, ast.Del):
        return Site(name, "delete")
    above = parent(name)
    if isinstance(above, ast.Assign):
        return Site(name, "assign", above.value)
    if isinstance(above, ast.AnnAssign):
        kind = "annotation" if above.value is None else "assign"
        return Site(name, kind, above.value, above.annotation)
    if isinstance(above, ast.AugAssign):
        return Site(name, "augment", above.value)
    if isinstance(above, ast.NamedExpr):
        return Site(name, "walrus", above.value)
    if isinstance(above, ast.For | ast.AsyncFor | ast.comprehension):
        return Site(name, "for", above.iter)
    if isinstance(above, ast.withitem):
        return Site(name, "with", above.context_expr)
    return Site(name, "unpack", _unpacked(name))


def _unpacked(name: ast.Name) -> ast.expr | None:
    """Return the value of `a` in `a, b = 1, 2`; None when it cannot be told apart."""
    above = parent(name)
    top = parent(above) if above is not None else None
    if not isinstance(above, ast.Tuple | ast.List) or not isinstance(top, ast.Assign):
        return None
    value = top.value
    if not isinstance(value, ast.Tuple | ast.List) or len(value.elts) != len(above.elts):
        return None
    starred = any(isinstance(e, ast.Starred) for e in (*above.elts, *value.elts))
    return None if starred else value.elts[above.elts.index(name)]


def ancestors(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a node is in, from the inside."""
    at = parent(node)
    while at is not None:
        yield at
        at = parent(at)
