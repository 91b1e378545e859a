"""Locks that are looked up in a mapping which nobody fills: each call makes one of its own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python.file import PythonFile, is_test
from threadmend.python.flow import is_none
from threadmend.python.functions import Function
from threadmend.python.uses import is_self

__all__ = ["unkept_locks"]

_KINDS = frozenset({"threading.Lock", "threading.RLock", "asyncio.Lock"})
_EMPTY = frozenset({"dict", "collections.OrderedDict", "weakref.WeakValueDictionary"})
_LOOKS = frozenset({"get", "keys", "values", "items", "pop", "clear"})
"""Methods of a mapping that put nothing into it."""


class _Lookup(NamedTuple):
    """What is asked for a lock before one is made: the mapping and the key."""

    mapping: ast.expr
    key: ast.expr


def unkept_locks(file: PythonFile) -> Iterator[Finding]:
    """Yield `lock = locks.get(key)`, `if lock is None: lock = Lock()` and its relatives, where
    nothing is ever put into the mapping.
    """
    for call in file.calls("Lock", "RLock"):
        function = file.function(call)
        if function is None or call.args or file.qualified(call.func) not in _KINDS:
            continue
        found = _in_get(file, call) or _in_place_of(file, function, call)
        if found is not None and _is_never_filled(file, found[0].mapping):
            yield _finding(file, call, *found)


def _finding(file: PythonFile, call: ast.Call, lookup: _Lookup, edit: Edit) -> Finding:
    start, end = file.span(call)
    name = file.text(lookup.mapping)
    said = f"nothing is ever put into {name}: every call makes a lock, which keeps nobody out"
    fix = Fix(f"Keep the lock in {name}", (edit,), Safety.UNSAFE, "a lock is kept for every key")
    return Finding(file.path, start, end, said, fixes=(fix,))


def _in_get(file: PythonFile, call: ast.Call) -> tuple[_Lookup, Edit] | None:
    """Return the lookup of `locks.get(key, Lock())` and of `locks.get(key) or Lock()`."""
    above = file.parent(call)
    if isinstance(above, ast.Call):
        func = above.func
        if isinstance(func, ast.Attribute) and func.attr == "get" and above.args[1:] == [call]:
            end = file.span(func)[1]
            edit = Edit(file.path, end - len("get"), end, b"setdefault")
            return _Lookup(func.value, above.args[0]), edit
    if isinstance(above, ast.BoolOp) and isinstance(above.op, ast.Or) and len(above.values) == 2:
        lookup = _lookup(above.values[0])
        if lookup is not None and above.values[1] is call:
            text = _kept(file, lookup, call)
            return lookup, Edit(file.path, *file.span(above), file.encode(text))
    return None


def _kept(file: PythonFile, lookup: _Lookup, call: ast.Call) -> str:
    mapping, key = file.text(lookup.mapping), file.text(lookup.key)
    if isinstance(lookup.key, ast.Tuple) and not key.startswith("("):
        key = f"({key})"
    return f"{mapping}.setdefault({key}, {file.text(call)})"


def _lookup(node: ast.expr | None) -> _Lookup | None:
    """Return the lookup of `locks.get(key)` and `locks[key]`."""
    if isinstance(node, ast.Subscript):
        return _Lookup(node.value, node.slice)
    func = node.func if isinstance(node, ast.Call) else None
    if not isinstance(node, ast.Call) or not isinstance(func, ast.Attribute):
        return None
    is_plain = len(node.args) == 1 or (len(node.args) == 2 and is_none(node.args[1]))
    if func.attr != "get" or not is_plain or node.keywords:
        return None
    return _Lookup(func.value, node.args[0])


def _in_place_of(
    file: PythonFile, function: Function, call: ast.Call
) -> tuple[_Lookup, Edit] | None:
    """Return the lookup that found nothing when the lock is made: the other value of a variable
    that the function does nothing with but to take or return it, or what it returns else.
    """
    above = file.parent(call)
    others: list[ast.expr | None] = []
    if isinstance(above, ast.Assign) and isinstance(above.targets[0], ast.Name):
        binding = file.binding(above.targets[0])
        if binding is None or binding.scope is not function.scope or len(above.targets) > 1:
            return None
        if len(binding.sites) != 2 or any(site.kind != "assign" for site in binding.sites):
            return None
        if not all(_only_gives(file, use) for use in file.uses(binding)):
            return None
        others = [site.value for site in binding.sites if site.value is not call]
    elif isinstance(above, ast.Return):
        others = [one.value for one in function.returns() if one is not above]
    lookup = _lookup(others[0]) if len(others) == 1 else None
    if lookup is None or not _is_lasting(file, lookup.key):
        return None
    return lookup, Edit(file.path, *file.span(call), file.encode(_kept(file, lookup, call)))


def _only_gives(file: PythonFile, use: ast.Name) -> bool:
    """Return whether a use of a lock puts it nowhere: it is set, tested, taken or returned."""
    above = file.parent(use)
    if isinstance(use.ctx, ast.Store) or isinstance(above, ast.Return | ast.withitem):
        return True
    if isinstance(above, ast.Attribute):
        return above.attr in {"acquire", "release", "locked"}
    return isinstance(above, ast.Compare | ast.UnaryOp | ast.If)


def _is_lasting(file: PythonFile, key: ast.expr) -> bool:
    """Return whether a key is the same where it is asked for again."""
    for node in ast.walk(key):
        if isinstance(node, ast.Call | ast.NamedExpr | ast.Await):
            return False
        binding = file.binding(node)
        if isinstance(node, ast.Name) and binding is not None and len(binding.sites) > 1:
            return False
    return True


# -- who fills it ---------------------------------------------------------------------------


def _is_never_filled(file: PythonFile, mapping: ast.expr) -> bool:
    """Return whether a mapping begins empty, and nothing in the project puts anything into it."""
    if isinstance(mapping, ast.Name):
        binding = file.binding(mapping)
        if binding is None or binding.scope.kind != "module" or len(binding.sites) != 1:
            return False
        uses = [use for use in file.uses(binding) if isinstance(use.ctx, ast.Load)]
        made = _is_empty(file, binding.sites[0].value)
        elsewhere = re.compile(rb"\b" + file.encode(mapping.id) + rb"\b")
        return made and all(_only_looks(file, u) for u in uses) and not _is_in(file, elsewhere)
    function = file.function(mapping)
    cls = None if function is None else function.home
    if not isinstance(mapping, ast.Attribute) or cls is None or not is_self(file, mapping.value):
        return False
    name, classes = mapping.attr, [*cls.mro, *cls.heirs]
    values = [value for one in classes for value in one.values_of(name)]
    if cls.is_open or not values or not all(_is_empty(at, value) for at, value in values):
        return False
    files = dict.fromkeys(one.file for one in classes)
    nodes = [(f, n) for f in files for n in f.nodes(ast.Attribute) if n.attr == name]
    for at, node in nodes:
        assert isinstance(node, ast.Attribute)
        if not is_self(at, node.value):
            return False
        if isinstance(node.ctx, ast.Load) and not _only_looks(at, node):
            return False
    return not _is_in(file, re.compile(rb"(?<!\bself)\." + file.encode(name) + rb"\b"))


def _is_empty(file: PythonFile, value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        return file.qualified(value.func) in _EMPTY and not (value.args or value.keywords)
    return isinstance(value, ast.Dict) and not value.keys


def _only_looks(file: PythonFile, use: ast.expr) -> bool:
    above = file.parent(use)
    if isinstance(above, ast.Subscript):
        return above.value is use and not isinstance(above.ctx, ast.Store)
    if isinstance(above, ast.Attribute):
        return above.attr in _LOOKS
    if isinstance(above, ast.Call):
        return use in above.args and file.qualified(above.func) == "len"
    return isinstance(above, ast.Compare | ast.For | ast.comprehension)


def _is_in(file: PythonFile, pattern: re.Pattern[bytes]) -> bool:
    """Return whether another file of the project that is no test says what a pattern finds."""
    project = file.project
    return any(
        pattern.search(project.source(path).data)
        for path in project.paths
        if path != file.path and not is_test(path)
    )
