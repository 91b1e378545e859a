"""One pass over a module: parents, scopes, nodes by type, and what each store binds."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field

from threadmend.python.children import FIELDS
from threadmend.python.scope import COMPREHENSIONS, Scope, Site, parent

__all__ = ["Index", "build"]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(slots=True)
class Index:
    """What one pass over a module notes."""

    scopes: list[Scope]
    by_type: dict[type[ast.AST], list[ast.AST]]
    names: dict[str, list[ast.Name]]


@dataclass(slots=True)
class _Pass:
    """One pass over a module: what is left to look at, and what binds names."""

    index: Index
    pending: list[tuple[Scope, list[ast.AST]]]
    stores: list[tuple[Scope, ast.Name]] = field(default_factory=list)
    bound: list[tuple[Scope, str, Site]] = field(default_factory=list)

    def enter(self, node: ast.AST, kind: str, above: Scope, body: list[ast.AST]) -> Scope:
        """Open a scope whose own nodes are `body`."""
        scope = Scope(node, kind, above)
        node.inner_ = scope  # type: ignore[attr-defined]
        self.index.scopes.append(scope)
        for child in body:
            child.parent_ = node  # type: ignore[attr-defined]
        self.pending.append((scope, body))
        return scope


def build(module: ast.Module) -> Index:
    """Note parents, scopes and names of a module's nodes.

    Lists are in no order: what needs one sorts by place.
    """
    top = Scope(module, "module", None)
    run = _Pass(Index([top], {}, {}), [(top, [module])])
    while run.pending:
        _read(run, *run.pending.pop())
    for scope, name, site in run.bound:
        scope.bind(name, site)
    # What `nonlocal` means is known when every other store is.
    for last in (False, True):
        for scope, store in run.stores:
            if (scope.elsewhere.get(store.id) == "nonlocal") is last:
                _store(scope, store)
    for scope in run.index.scopes:
        for binding in scope.bindings.values():
            if len(binding.sites) > 1:
                binding.sites.sort(key=_position)
    return run.index


def _read(run: _Pass, scope: Scope, todo: list[ast.AST]) -> None:
    """Note the nodes of one scope; nested ones are left for later."""
    by_type, names, stores = run.index.by_type, run.index.names, run.stores
    fields, special = FIELDS, _SPECIAL
    add = todo.append
    for node in todo:  # grows on the way
        kind = node.__class__
        node.scope_ = scope  # type: ignore[attr-defined]
        if kind in by_type:
            by_type[kind].append(node)
        else:
            by_type[kind] = [node]
        if kind is ast.Name:
            text = node.id  # type: ignore[attr-defined]
            if text in names:
                names[text].append(node)  # type: ignore[arg-type]
            else:
                names[text] = [node]  # type: ignore[list-item]
            if node.ctx.__class__ is not ast.Load:  # type: ignore[attr-defined]
                stores.append((scope, node))  # type: ignore[arg-type]
            continue
        if kind in special:
            special[kind](run, scope, node, todo)
            continue
        for name in fields[kind]:
            value = getattr(node, name)
            if value.__class__ is list:
                for child in value:
                    if child.__class__ in fields:
                        child.parent_ = node  # type: ignore[attr-defined]
                        add(child)
            elif value.__class__ in fields:
                value.parent_ = node  # type: ignore[attr-defined]
                add(value)


def _position(site: Site) -> tuple[int, int]:
    return (getattr(site.node, "lineno", 0), getattr(site.node, "col_offset", 0))


_Todo = list[ast.AST]


def _push(todo: _Todo, node: ast.AST, *parts: object) -> None:
    for part in parts:
        for child in part if isinstance(part, list) else (part,):
            if isinstance(child, ast.AST):
                child.parent_ = node  # type: ignore[attr-defined]
                todo.append(child)


def _function(run: _Pass, scope: Scope, node: ast.AST, todo: _Todo) -> None:
    assert isinstance(node, _FUNCTIONS)
    arguments = node.args
    _push(todo, node, arguments)
    if isinstance(node, ast.Lambda):
        inner = run.enter(node, "lambda", scope, [node.body])
    else:
        run.bound.append((scope, node.name, Site(node, "def")))
        _push(todo, node, node.decorator_list, node.returns, getattr(node, "type_params", None))
        inner = run.enter(node, "function", scope, [*node.body])
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    for argument in (*every, arguments.vararg, arguments.kwarg):
        if argument is not None:
            annotation = argument.annotation if argument in every else None
            site = Site(argument, "parameter", annotation=annotation)
            run.bound.append((inner, argument.arg, site))


def _class(run: _Pass, scope: Scope, node: ast.AST, todo: _Todo) -> None:
    assert isinstance(node, ast.ClassDef)
    run.bound.append((scope, node.name, Site(node, "class")))
    parameters = getattr(node, "type_params", None)
    _push(todo, node, node.decorator_list, node.bases, node.keywords, parameters)
    run.enter(node, "class", scope, [*node.body])


def _comprehension(run: _Pass, scope: Scope, node: ast.AST, todo: _Todo) -> None:
    assert isinstance(node, COMPREHENSIONS)
    body: _Todo = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    inner = run.enter(node, "comprehension", scope, body)
    for number, generator in enumerate(node.generators):
        # The first iterable is evaluated outside.
        _push(todo if number == 0 else body, generator, generator.iter)
        _push(body, generator, generator.target, generator.ifs)
        generator.parent_ = node  # type: ignore[attr-defined]
        generator.scope_ = inner  # type: ignore[attr-defined]
        run.index.by_type.setdefault(ast.comprehension, []).append(generator)


def _import(run: _Pass, scope: Scope, node: ast.AST, todo: _Todo) -> None:
    assert isinstance(node, ast.Import | ast.ImportFrom)
    for alias in node.names:
        name = alias.asname or alias.name
        if isinstance(node, ast.Import) and alias.asname is None:
            name = name.partition(".")[0]
        run.bound.append((scope, name, Site(node, "import", alias=alias)))
    _push(todo, node, node.names)


def _elsewhere(run: _Pass, scope: Scope, node: ast.AST, todo: _Todo) -> None:
    assert isinstance(node, ast.Global | ast.Nonlocal)
    kind = "global" if isinstance(node, ast.Global) else "nonlocal"
    scope.elsewhere.update(dict.fromkeys(node.names, kind))


def _handler(run: _Pass, scope: Scope, node: ast.AST, todo: _Todo) -> None:
    assert isinstance(node, ast.ExceptHandler)
    if node.name:
        run.bound.append((scope, node.name, Site(node, "except", annotation=node.type)))
    _push(todo, node, node.type, node.body)


def _pattern(run: _Pass, scope: Scope, node: ast.AST, todo: _Todo) -> None:
    name = getattr(node, "name", None) or getattr(node, "rest", None)
    if isinstance(name, str):
        run.bound.append((scope, name, Site(node, "match")))
    _push(todo, node, list(ast.iter_child_nodes(node)))


_SPECIAL: dict[type[ast.AST], Callable[[_Pass, Scope, ast.AST, _Todo], None]] = {
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
    **dict.fromkeys(COMPREHENSIONS, _comprehension),
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
