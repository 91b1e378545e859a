"""Memos: caches of values that two threads may both work out, with the same result.

hit = _cache.get(key)
if hit is None:
    hit = _cache[key] = parse(key)      # twice at worst; the other one is dropped
"""

from __future__ import annotations

import ast
import re

from ._data import Data, Use
from ._unit import Unit

__all__ = ["is_memo"]

_NAMED = re.compile(r"(?i)(?:^|_)(?:cached?|caches|memo)(?:_|$)")
_HELD = re.compile(
    r"(?i)conn|client|session|socket|thread|process|worker|lock|open|server|pool|queue|stream"
    r"|handle|login|driver|channel|event|lock|semaphore|future|task"
)
"""What there should be one of: the second one would be left open, or others would wait for it."""
_KINDS = (ast.List, ast.Dict, ast.Set)
_TAKING = frozenset({"clear", "pop", "popitem", "move_to_end"})


def is_memo(data: Data, units: list[Unit]) -> bool:
    """Return whether data is called a cache, and its entries are only set and dropped as a whole:
    nobody adds to one, and none is something that is opened, or waited for.
    """
    if _NAMED.search(data.name) is None or _HELD.search(data.name):
        return False
    if any(unit.kind != "check" for unit in units):
        return False
    values = [_value(data, unit.use) for unit in units]
    if any(value is None or not _is_plain(data, value) for value in values):
        return False
    return all(_is_whole(data, use) for use in data.uses if use.changes)


def _is_whole(data: Data, use: Use) -> bool:
    """Return whether a change sets an entry, or drops some: not one inside of an entry."""
    above = data.file.parent(use.node)
    if isinstance(above, ast.Subscript):
        return isinstance(above.ctx, ast.Del) or _value(data, use) is not None
    if isinstance(above, ast.Attribute):
        return above.attr in _TAKING
    return isinstance(above, ast.Assign) and isinstance(above.value, ast.Dict)


def _value(data: Data, use: Use) -> ast.expr | None:
    """Return `v` of `data[key] = v`."""
    entry = data.file.parent(use.node)
    above = None if entry is None else data.file.parent(entry)
    if (
        isinstance(entry, ast.Subscript)
        and isinstance(above, ast.Assign)
        and entry in above.targets
    ):
        return above.value
    return None


def _is_plain(data: Data, value: ast.expr) -> bool:
    """Return whether a value is worked out: not an object of the project, nor a collection that
    is filled later, nor something that is held open.
    """
    file = data.file
    binding = file.binding(value) if isinstance(value, ast.Name) else None
    sites = [] if binding is None else [s for s in binding.sites if s.kind != "parameter"]
    made = [s.value for s in sites if s.value is not None] if binding is not None else [value]
    for one in made:
        if isinstance(one, _KINDS) and not any(ast.iter_child_nodes(one)):
            return False
        known = file.value(one)
        if known is not None and known.cls is not None:
            return False
        for node in ast.walk(one):
            named = node.func if isinstance(node, ast.Call) else node if node is one else None
            if isinstance(named, ast.Name | ast.Attribute) and _HELD.search(file.text(named)):
                return False
    return bool(made)
