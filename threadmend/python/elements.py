"""What a collection holds and what a parameter gets, told by all that is put or handed in."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.python.scope import Site, parent

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function

__all__ = ["elements_of", "handed_in"]

_SAME = frozenset({"list", "sorted", "reversed", "tuple", "set"})
_ADDING = {"append": 0, "add": 0, "appendleft": 0, "insert": 1}
_TAKING = {"submit": 0, "map": 0, "to_thread": 0, "run_in_executor": 1, "call_soon": 0,
           "call_soon_threadsafe": 0, "call_later": 1}  # fmt: skip
"""Where the function stands that gets the arguments behind it."""
_HANDED = {"target": "args", "function": "args", "initializer": "initargs"}
"""Where the arguments stand of a function that is an argument itself."""

Elements = list[tuple["PythonFile", ast.expr]]


def elements_of(file: PythonFile, node: ast.expr | None) -> Elements:
    """Return every expression that is put into a list, set or tuple; empty when not all are
    known.
    """
    if isinstance(node, ast.Call) and file.qualified(node.func) in _SAME and len(node.args) == 1:
        return elements_of(file, node.args[0])
    value = file.value(node)
    if value is None or value.type not in {"list", "set", "tuple", "collections.deque"}:
        return []
    found: Elements = []
    made = value.made
    if isinstance(made, ast.List | ast.Set | ast.Tuple):
        found += [(value.file, e) for e in made.elts if not isinstance(e, ast.Starred)]
    elif isinstance(made, ast.ListComp | ast.SetComp):
        found.append((value.file, made.elt))
    elif made is None or (isinstance(made, ast.Call) and made.args):
        return []
    return found + list(_added(file, node))


def _added(file: PythonFile, node: ast.expr | None) -> Iterator[tuple[PythonFile, ast.expr]]:
    """Yield what `append` and its like add to a variable or an attribute."""
    nodes: list[tuple[PythonFile, ast.expr]] = []
    binding = file.binding(node)
    if binding is not None:
        nodes = [(file, use) for use in file.uses(binding)]
    elif isinstance(node, ast.Attribute):
        owner = file.value(node.value)
        if owner is not None and owner.cls is not None:
            uses = owner.cls.uses_of(node.attr)
            nodes = [(use.function.file, use.node) for use in uses]
    for other, use in nodes:
        above = parent(use)
        call = parent(above) if above is not None else None
        if isinstance(above, ast.Attribute) and isinstance(call, ast.Call) and call.func is above:
            at = _ADDING.get(above.attr)
            if at is not None and len(call.args) > at:
                yield other, call.args[at]


def handed_in(file: PythonFile, site: Site) -> list[ast.expr]:
    """Return what a parameter gets in all calls of its function in the file, also those by
    `Thread(target=f, args=(…))`, `submit(f, …)` and `Pool(initializer=f, initargs=(…))`; empty
    when a use of the function is none of these.
    """
    assert isinstance(site.node, ast.arg)
    arguments = parent(site.node.parent_)  # type: ignore[attr-defined]
    function = file.function(arguments) if arguments is not None else None
    if function is None or function.name == "<lambda>" or function.is_classmethod:
        return []
    names = function.parameters[1:] if function.self_name else function.parameters
    if site.node.arg not in names:
        return []
    found = []
    for use in _uses(file, function):
        given = _given(use, names.index(site.node.arg), site.node.arg)
        if given is None:
            return []
        found.append(given)
    return found


def _uses(file: PythonFile, function: Function) -> Iterator[ast.expr]:
    from threadmend.python.functions import attributes_of

    if function.self_name is None:
        binding = function.node.scope_.lookup(function.name)  # type: ignore[union-attr]
        if binding is not None:
            yield from (n for n in file.uses(binding) if isinstance(n.ctx, ast.Load))
    else:
        yield from attributes_of(file).get(function.name, ())


def _given(use: ast.expr, position: int, name: str) -> ast.expr | None:
    """Return the argument of a parameter where its function is used."""
    above = parent(use)
    if isinstance(above, ast.Call) and above.func is use:
        return _argument(above.args, above.keywords, position, name)
    if isinstance(above, ast.keyword) and above.arg in _HANDED:
        call = parent(above)
        assert isinstance(call, ast.Call)
        handed = next((k.value for k in call.keywords if k.arg == _HANDED[above.arg]), None)
        if isinstance(handed, ast.Tuple | ast.List):
            return _argument(handed.elts, [], position, name)
        return None
    if isinstance(above, ast.Call) and isinstance(above.func, ast.Attribute):
        at = _TAKING.get(above.func.attr)
        if at is not None and len(above.args) > at and above.args[at] is use:
            return _argument(above.args[at + 1 :], above.keywords, position, name)
    return None


def _argument(
    given: list[ast.expr], keywords: list[ast.keyword], position: int, name: str
) -> ast.expr | None:
    if any(isinstance(e, ast.Starred) for e in given[: position + 1]):
        return None
    if position < len(given):
        return given[position]
    return next((k.value for k in keywords if k.arg == name), None)
