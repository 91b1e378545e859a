"""What a collection holds and what a parameter gets, told by all that is put or handed in."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.python.calling import run_by
from threadmend.python.flow import target_of
from threadmend.python.handedclasses import made_by_helpers
from threadmend.python.made_abroad import made_abroad
from threadmend.python.scope import Site, parent
from threadmend.python.selves import calls_with_self

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function
    from threadmend.python.value import Value

__all__ = [
    "DICTS",
    "Holder",
    "elements_of",
    "handed_abroad",
    "handed_in",
    "iterated",
    "taken_from",
    "unpacked",
    "values_in",
]

DICTS = frozenset({"dict", "collections.OrderedDict", "weakref.WeakValueDictionary"})
"""Mappings that hold nothing but what is put into them."""
_SAME = frozenset({"list", "sorted", "reversed", "tuple", "set"})
_ADDING = {"append": 0, "add": 0, "appendleft": 0, "insert": 1}
_TAKING = {"submit": 0, "to_thread": 0, "run_in_executor": 1, "call_soon": 0,
           "call_soon_threadsafe": 0, "call_later": 1}  # fmt: skip
"""Where the function stands that gets the arguments behind it."""
_HANDED = {"target": "args", "function": "args", "initializer": "initargs"}
"""Where the arguments stand of a function that is an argument itself."""

_ROWS = frozenset({"list", "set", "tuple", "collections.deque"})
_DEPTH = 4
"""How many copies of copies are followed."""

Elements = list[tuple["PythonFile", ast.expr]]
Holder = tuple[ast.expr, bool]
"""A collection, and whether it is a mapping, whose values are meant."""


def elements_of(file: PythonFile, node: ast.expr | None, depth: int = 0) -> Elements:
    """Return every expression that is put into a list, set or tuple, or that a generator of the
    project yields; empty when not all are known.
    """
    given = _yielded(file, node)
    if given or depth > _DEPTH:
        return given
    value = file.value(node)
    if value is None or value.type not in _ROWS:
        return []
    found: Elements = []
    for one in _begun(file, node) or [value]:
        first = _first(one, depth)
        if first is None:
            return []
        found += first
    return found + list(_added(file, node))


def _begun(file: PythonFile, node: ast.expr | None) -> list[Value]:
    """Return each of the several collections that an attribute is set to: `[]` at first, all of
    them later; none where it is set once.
    """
    owner = file.value(node.value) if isinstance(node, ast.Attribute) else None
    if owner is None or owner.cls is None or not isinstance(node, ast.Attribute):
        return []
    given = owner.cls.values_of(node.attr)
    values = [other.value(one) for other, one in given] if len(given) > 1 else []
    return [value for value in values if value is not None and value.type in _ROWS]


def _first(value: Value, depth: int) -> Elements | None:
    """Return what a list, set or tuple is made with, None when that is not known."""
    made = value.made
    if isinstance(made, ast.List | ast.Set | ast.Tuple):
        return [(value.file, e) for e in made.elts if not isinstance(e, ast.Starred)]
    if isinstance(made, ast.ListComp | ast.SetComp):
        return [(value.file, made.elt)]
    if isinstance(made, ast.Call) and made.args:
        copied = _copied(value.file, made)
        return (elements_of(value.file, copied, depth + 1) or None) if copied is not made else None
    return None if made is None else []


def _yielded(file: PythonFile, node: ast.expr | None) -> Elements:
    """Return what a call of a generator of the project yields; empty when not all is known."""
    from threadmend.python.functions import function_of

    callee = function_of(file, node.func) if isinstance(node, ast.Call) else None
    if callee is None or not callee.is_generator or callee.is_async or callee.decorators:
        return []
    given = [one.value for one in callee.own if isinstance(one, ast.Yield)]
    if None in given or any(isinstance(one, ast.YieldFrom) for one in callee.own):
        return []
    return [(callee.file, one) for one in given if one is not None]


def _asked(node: ast.AST | None, name: str) -> ast.expr | None:
    """Return `x` of `x.values()`."""
    func = node.func if isinstance(node, ast.Call) and not node.args else None
    return func.value if isinstance(func, ast.Attribute) and func.attr == name else None


def values_in(file: PythonFile, node: ast.expr | None) -> Elements:
    """Return every expression that is put into a mapping as a value; empty when not all are known:
    by `d[k] = v`, `d.setdefault(k, v)` and by what makes it.
    """
    value = file.value(node)
    if value is None or value.type not in DICTS:
        return []
    known: dict[object, Elements] = file.__dict__.setdefault("_values_in", {})
    key = file.binding(node) or (file.place(node) if isinstance(node, ast.Attribute) else None)
    if key is None:
        return []
    if key not in known:
        known[key] = []
        made, kept = _displayed(value.made), list(_kept(file, node))
        if made is not None and None not in kept:
            known[key] = [(value.file, e) for e in made] + [e for e in kept if e is not None]
    return known[key]


def _displayed(made: ast.expr | None) -> list[ast.expr] | None:
    """Return the values that a mapping begins with."""
    if isinstance(made, ast.Dict):
        return made.values if None not in made.keys else None
    if isinstance(made, ast.DictComp):
        return [made.value]
    if isinstance(made, ast.Call):
        plain = not made.args and all(k.arg is not None for k in made.keywords)
        return [k.value for k in made.keywords] if plain else None
    return [] if isinstance(made, ast.Name | ast.Attribute) else None  # a factory


def _kept(file: PythonFile, node: ast.expr | None) -> Iterator[tuple[PythonFile, ast.expr] | None]:
    """Yield what is set as a value of a mapping, None for what is not told apart."""
    from threadmend.python.uses import assigned_value

    for other, use in _uses_of(file, node):
        above = parent(use)
        if isinstance(above, ast.Subscript) and above.value is use:
            if isinstance(above.ctx, ast.Store):
                given = assigned_value(above)
                yield None if given is None else (other, given)
        elif isinstance(above, ast.Attribute) and above.attr in {"setdefault", "update"}:
            call = parent(above)
            is_put = isinstance(call, ast.Call) and above.attr == "setdefault"
            put = call.args[1:2] if isinstance(call, ast.Call) and is_put else []
            yield (other, put[0]) if put else None


def _copied(file: PythonFile, node: ast.expr | None) -> ast.expr | None:
    """Return `x` of `list(x)` and its like."""
    while isinstance(node, ast.Call) and len(node.args) == 1 and file.qualified(node.func) in _SAME:
        node = node.args[0]
    return node


def iterated(file: PythonFile, node: ast.expr | None) -> Holder | None:
    """Return what a loop over an expression takes its items from: `d` of `list(d.values())`."""
    node = _copied(file, node)
    mapping = _asked(node, "values")
    if mapping is not None:
        return mapping, True
    return None if node is None else (node, False)


def taken_from(kind: str, func: ast.Attribute) -> Holder | None:
    """Return the collection, of a kind, out of which a method gets what it returns: `rows.pop()`,
    `byname.get(name)`.
    """
    if kind in DICTS and func.attr in {"get", "setdefault", "pop"}:
        return func.value, True
    return (func.value, False) if kind in _ROWS and func.attr in {"pop", "popleft"} else None


def unpacked(file: PythonFile, name: ast.AST) -> Holder | None:
    """Return where `x` is from in `for k, x in d.items()`, `for n, x in enumerate(xs)` and
    `for n, (x, y) in enumerate(zip(xs, ys))`.
    """
    places: list[int] = []
    above = parent(name)
    while isinstance(above, ast.Tuple):
        places.append(above.elts.index(name))  # type: ignore[arg-type]
        name, above = above, parent(above)
    if not isinstance(above, ast.For | ast.comprehension) or above.target is not name:
        return None
    return _at(file, above.iter, places) if places else None


def _at(file: PythonFile, node: ast.expr | None, places: list[int]) -> Holder | None:
    """Return what the items come from that stand at a place of those of an iterable, the outermost
    place last.
    """
    node = _copied(file, node)
    if not places:
        return iterated(file, node)
    mapping = _asked(node, "items")
    if mapping is not None:
        return (mapping, True) if places == [1] else None
    if not isinstance(node, ast.Call):
        return None
    name, place = file.qualified(node.func), places[-1]
    if name == "enumerate" and node.args and place == 1:
        return _at(file, node.args[0], places[:-1])
    plain = name == "zip" and not any(isinstance(one, ast.Starred) for one in node.args)
    return _at(file, node.args[place], places[:-1]) if plain and place < len(node.args) else None


def _added(file: PythonFile, node: ast.expr | None) -> Iterator[tuple[PythonFile, ast.expr]]:
    """Yield what `append` and its like add to a variable or an attribute."""
    for other, use in _uses_of(file, node):
        above = parent(use)
        call = parent(above) if above is not None else None
        if isinstance(above, ast.Attribute) and isinstance(call, ast.Call) and call.func is above:
            at = _ADDING.get(above.attr)
            if at is not None and len(call.args) > at:
                yield other, call.args[at]


def _uses_of(file: PythonFile, node: ast.expr | None) -> Elements:
    """Return the uses of a variable or an attribute."""
    binding = file.binding(node)
    if binding is not None:
        return [(file, use) for use in file.uses(binding)]
    owner = file.value(node.value) if isinstance(node, ast.Attribute) else None
    if owner is None or owner.cls is None or not isinstance(node, ast.Attribute):
        return []
    return [(use.function.file, use.node) for use in owner.cls.uses_of(node.attr)]


def handed_in(file: PythonFile, site: Site) -> Elements:
    """Return what a parameter gets in all calls of its function in the file, also those by
    `Thread(target=f, args=(…))`, `submit(f, …)`, `partial(f, …)` and
    `Pool(initializer=f, initargs=(…))`; empty when a use of the function is none of these.
    Objects that hand themselves over to a method or a class of another file count as well.
    """
    assert isinstance(site.node, ast.arg)
    arguments = parent(site.node.parent_)  # type: ignore[attr-defined]
    function = file.function(arguments) if arguments is not None else None
    if function is None or function.name == "<lambda>" or function.is_classmethod:
        return []
    name = site.node.arg
    names = function.parameters[1:] if function.self_name else function.parameters
    if name not in names:
        return []
    at = names.index(name)
    if function.name == "__init__":
        calls = [(file, call) for call in _constructions(file, function)]
        found = [(f, _argument(c.args, c.keywords, at, name)) for f, c in calls]
        if function.cls is not None:
            helped = made_by_helpers(file, function.cls)
            found += [(file, _argument(given, [], at, name)) for _, given in helped]
    else:
        found = [(file, _given(file, use, at, name)) for use in _uses(file, function)]
    if function.cls is not None and all(given is not None for _, given in found):
        abroad = calls_with_self(function)
        found += [(f, _argument(c.args, c.keywords, at, name)) for f, c in abroad]
    known = [(f, given) for f, given in found if given is not None]
    return known if len(known) == len(found) else []


def handed_abroad(file: PythonFile, site: Site) -> Elements:
    """Return what a parameter of `__init__` gets in all calls of its class in other files; empty
    when one of them gives nothing for it.
    """
    assert isinstance(site.node, ast.arg)
    arguments = parent(site.node.parent_)  # type: ignore[attr-defined]
    init = file.function(arguments) if arguments is not None else None
    if init is None or site.node.arg not in init.parameters[1:]:
        return []
    at, name = init.parameters.index(site.node.arg) - 1, site.node.arg
    found = [(f, _argument(c.args, c.keywords, at, name)) for f, c in made_abroad(init)]
    known = [(f, given) for f, given in found if given is not None]
    return known if len(known) == len(found) else []


def _constructions(file: PythonFile, function: Function) -> Iterator[ast.Call]:
    """Yield the calls of a class in its file, by what its subclasses hand on as well."""
    from threadmend.python.functions import function_of

    assert function.cls is not None
    for call in file.calls(function.cls.name, "__init__"):
        if function_of(file, call.func) is function:
            yield call


def _uses(file: PythonFile, function: Function) -> Iterator[ast.expr]:
    from threadmend.python.functions import attributes_of

    if function.self_name is None:
        binding = function.node.scope_.lookup(function.name)  # type: ignore[union-attr]
        if binding is not None:
            yield from (n for use in file.uses(binding) for n in _renamed(file, use))
    else:
        yield from attributes_of(file).get(function.name, ())


def _renamed(file: PythonFile, use: ast.Name) -> list[ast.Name]:
    """Return the uses of the variable that a function is set to, if it is set to one."""
    binding = file.binding(target_of(parent(use)))
    if binding is None or len(binding.sites) != 1 or binding.name == use.id:
        return [use] if isinstance(use.ctx, ast.Load) else []
    return [n for n in file.uses(binding) if isinstance(n.ctx, ast.Load)]


def _through(file: PythonFile, use: ast.expr) -> tuple[ast.expr, ...] | None:
    """Return the arguments with which a function is called that another one is handed to run."""
    from threadmend.python.functions import function_of

    above = parent(use)
    listed = parent(above) if isinstance(above, ast.Tuple | ast.List) else None
    call = parent(listed) if isinstance(listed, ast.keyword) else above
    if not isinstance(call, ast.Call):
        return None
    named: ast.expr | None = None
    given: list[ast.expr] = []
    if isinstance(listed, ast.keyword) and isinstance(above, ast.Tuple | ast.List):
        if listed.arg == "args":
            named = next((k.value for k in call.keywords if k.arg in {"target", "function"}), None)
            given = above.elts
    else:
        at = _TAKING.get(call.func.attr, 99) if isinstance(call.func, ast.Attribute) else 99
        if at < len(call.args):
            named, given = call.args[at], call.args[at + 1 :]
    target = function_of(file, named)
    if target is None:
        return None
    runs = run_by(target, given, bound=target.self_name is not None)
    return next((args for node, args in runs if node is use), None)


def _given(file: PythonFile, use: ast.expr, position: int, name: str) -> ast.expr | None:
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
    if isinstance(above, ast.Call) and above.args[:1] == [use]:
        if file.qualified(above.func) == "functools.partial":
            return _argument(above.args[1:], above.keywords, position, name)
    if isinstance(above, ast.Call) and isinstance(above.func, ast.Attribute):
        at = _TAKING.get(above.func.attr)
        if at is not None and len(above.args) > at and above.args[at] is use:
            return _argument(above.args[at + 1 :], above.keywords, position, name)
    through = _through(file, use)
    return None if through is None else _argument(list(through), [], position, name)


def _argument(
    given: list[ast.expr], keywords: list[ast.keyword], position: int, name: str
) -> ast.expr | None:
    if any(isinstance(e, ast.Starred) for e in given[: position + 1]):
        return None
    if position < len(given):
        return given[position]
    return next((k.value for k in keywords if k.arg == name), None)
