"""Units: the statements that read shared data and change it by what they read."""

from __future__ import annotations

import ast
from dataclasses import replace

from threadmend.python.api import MUTATORS, QUEUES, THREAD_LOCKS
from threadmend.python.constants import constant_of
from threadmend.python.file import PythonFile
from threadmend.python.flow import block_of, enclosing, walk
from threadmend.python.held import callers_seem_to_hold
from threadmend.python.locks import looks_like_lock

from ._checks import check
from ._confined import is_said_to_be_of_one_thread
from ._data import Data, Use
from ._own_entry import is_of_this_thread, is_other_entry, is_put_there_before, key_of
from ._steps import decided_on
from ._unit import Unit, independent, is_in, loaded, looks, reads, stored

__all__ = ["units_of"]

_SIMPLE = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr)


def units_of(data: Data) -> list[Unit]:
    """Return the units of data that threads get into each other's way in, in source order."""
    found = []
    for use in data.uses:
        if use.changes and _races(data, use) and data.file.function(use.node) is use.function:
            unit = _unit(data, use)
            if unit is None or is_said_to_be_of_one_thread(use.function):
                continue
            if not callers_seem_to_hold(use.function, None):
                found.append(unit)
    found = decided_on(data, found)
    found.sort(key=lambda unit: (unit.first.lineno, -_end(unit.block[-1])))
    kept: list[Unit] = []
    for unit in found:
        if not kept or unit.first.lineno > _end(kept[-1].block[-1]):
            kept.append(unit)
        elif _end(unit.block[-1]) > _end(kept[-1].block[-1]):
            last = kept[-1]
            if unit.first in last.block:
                last.block = [*last.block, *(s for s in unit.block if s not in last.block)]
                last.early = [s for s in last.early if s not in unit.block]
    return kept


def _races(data: Data, use: Use) -> bool:
    """Return whether another thread may be at what a use changes: of an entry whose key is written
    out, not at the other ones.
    """
    others = [u for u in data.uses if not is_other_entry(data.file, u.node, use.node)]
    return data.races(use) and (
        len(others) == len(data.uses) or replace(data, uses=others).races(use)
    )


def _end(statement: ast.stmt) -> int:
    return statement.end_lineno or 0


def _unit(data: Data, use: Use) -> Unit | None:
    file = data.file
    statement = file.statement(use.node)
    if _is_under_new_lock(data, use) or _is_under_its_lock(data, use):
        return None
    if _is_until_unlock(file, statement) or _is_just_made(file, use, statement):
        return None
    key = key_of(file, use.node) if use.mode == "mutate" else None
    if key is not None and (is_of_this_thread(file, key) or is_put_there_before(file, use.node)):
        return None
    checked = check(data, use, statement)
    if checked is not None or file.held(use.node):
        return None if checked is None else _with_result(data, checked)
    if use.mode == "augment":
        return _with_reads(data, Unit("counter", data, use, [statement]))
    if use.mode == "write":
        return _computed(data, use, statement, "counter")
    if use.mode == "mutate":
        if isinstance(statement, ast.AugAssign) and is_in(use.node, statement.target, file):
            return _with_reads(data, Unit("element", data, use, [statement]))
        return _computed(data, use, statement, "element")
    return None


def _is_under_new_lock(data: Data, use: Use) -> bool:
    """Return whether a use stands under a lock that each call makes for itself: to share that
    lock is what it takes (see python/lock-per-call).
    """
    for above in data.file.ancestors(use.node):
        for item in getattr(above, "items", ()):
            made = getattr(item, "context_expr", None)
            if isinstance(made, ast.Call) and data.file.is_a(made, THREAD_LOCKS):
                return True
    return False


def _is_under_its_lock(data: Data, use: Use) -> bool:
    """Return whether a use is of the element that the lock around it is for: `with
    self.locks[key]: self.users[key] = user`.
    """
    file, key = data.file, key_of(data.file, use.node)
    if key is None:
        return False
    text = file.text(key)
    return any(
        isinstance(lock := getattr(item, "context_expr", None), ast.Subscript)
        and file.text(lock.slice) == text
        and (looks_like_lock(file.text(lock.value)) or file.is_a(lock, THREAD_LOCKS))
        for around in file.ancestors(use.node)
        for item in getattr(around, "items", ())
    )


def _is_until_unlock(file: PythonFile, statement: ast.stmt) -> bool:
    """Return whether a statement is tried between methods that say they lock and unlock:
    `sync.lock()`, and `finally: sync.unlock()`, of an object that keeps its lock to itself.
    """
    for tried in enclosing(statement, ast.Try):
        assert isinstance(tried, ast.Try)
        if statement not in walk(tried.body):
            continue
        inside = walk(tried.finalbody)
        ended = {file.text(call.func) for call in inside if isinstance(call, ast.Call)}
        for before in (*block_of(tried)[: block_of(tried).index(tried)], *tried.body[:1]):
            call = before.value if isinstance(before, ast.Expr) else None
            func = call.func if isinstance(call, ast.Call) else None
            if isinstance(func, ast.Attribute) and func.attr.startswith("lock"):
                if f"{file.text(func.value)}.un{func.attr}" in ended:
                    return True
    return False


def _is_just_made(file: PythonFile, use: Use, statement: ast.stmt) -> bool:
    """Return whether a change is one inside of an entry that the same block has just put there:
    `rows[key] = {}`, and then `rows[key]["size"] = size`.
    """
    entry = file.parent(use.node)
    if not isinstance(entry, ast.Subscript) or not isinstance(entry.ctx, ast.Load):
        return False
    block = block_of(statement)
    return any(
        isinstance(one, ast.Assign)
        and isinstance(one.targets[0], ast.Subscript)
        and file.text(one.targets[0]) == file.text(entry)
        for one in block[: block.index(statement)]
    )


def _computed(data: Data, use: Use, statement: ast.stmt, kind: str) -> Unit | None:
    """Return the unit of `x = f(x)`, and of `t = x` … `x = f(t)`."""
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        value: ast.expr | None = statement.value
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        call = statement.value
        if not isinstance(call.func, ast.Attribute) or call.func.attr not in MUTATORS:
            return None
        value = call
    else:
        return None
    if value is None or _names_itself(value) or _is_ones_own(data, use):
        return None
    if _is_put_back(data, use, value):
        return None
    if _is_clamped(data, use, value):
        return None
    mine = [node for node in reads(data) if node is not use.node and _is_of_same(data, node, use)]
    if any(is_in(node, value, data.file) for node in mine):
        return _with_reads(data, Unit(kind, data, use, [statement]))
    first = _source(data, statement, value, mine)
    if first is None:
        return None
    block = block_of(statement)
    part = block[block.index(first) : block.index(statement) + 1]
    return Unit(kind, data, use, part, independent(data, part))


def _is_put_back(data: Data, use: Use, value: ast.expr) -> bool:
    """Return whether an entry only gets the object back that it has: `page = pages[key]`, which is
    filled, and then `pages[key] = page`.
    """
    file, entry = data.file, data.file.parent(use.node)
    binding = file.binding(value) if isinstance(value, ast.Name) else None
    if binding is None or binding.scope is not use.function.scope or len(binding.sites) != 1:
        return False
    site, taken = binding.sites[0], binding.sites[0].value
    return (
        site.kind == "assign"
        and isinstance(entry, ast.Subscript)
        and isinstance(taken, ast.Subscript)
        and _loaded(entry) == ast.dump(taken)
    )


def _is_of_same(data: Data, node: ast.expr, use: Use) -> bool:
    """Return whether an attribute is read of the object that it is changed of: `self.rows =
    fresh.rows` takes over what another one has.
    """
    if data.of_class or not isinstance(node, ast.Attribute):
        return True
    if not isinstance(use.node, ast.Attribute):
        return True
    return ast.dump(node.value) == ast.dump(use.node.value)


def _is_ones_own(data: Data, use: Use) -> bool:
    """Return whether the element is that of an item which a worker takes from a queue: no other
    worker takes the same.
    """
    file, above = data.file, data.file.parent(use.node)
    key = above.slice if isinstance(above, ast.Subscript) and above.value is use.node else None
    binding = file.binding(key) if isinstance(key, ast.Name) else None
    if binding is None or len(binding.sites) != 1 or binding.scope is not use.function.scope:
        return False
    taken = binding.sites[0].value
    if not isinstance(taken, ast.Call) or not isinstance(taken.func, ast.Attribute):
        return False
    return taken.func.attr in {"get", "get_nowait"} and file.is_a(taken.func.value, QUEUES)


def _with_reads(data: Data, unit: Unit) -> Unit:
    """Return a unit with the plain reads right before and after: `n = self.n; self.n += 1`."""
    block = block_of(unit.first)
    at = end = block.index(unit.first)
    if at and isinstance(block[at - 1], ast.Assign) and _is_read(data, block[at - 1]):
        at -= 1
    if end + 1 < len(block) and isinstance(block[end + 1], ast.Assign | ast.Return):
        end += _is_read(data, block[end + 1])
    unit.block = block[at : end + 1]
    return unit


def _with_result(data: Data, unit: Unit) -> Unit:
    """Return a unit with the plain read behind a test that only sets: `if n >= most: n = 0`, `else:
    n = n + 1`, `mine = n`. It is meant to be what was set.
    """
    tested = unit.block[-1]
    if unit.inner is not None or unit.block != [tested] or not isinstance(tested, ast.If):
        return unit
    arms = (*tested.body, *tested.orelse)
    block = block_of(tested)
    following = block[block.index(tested) + 1 :][:1]
    if all(_is_set_to_plain(s) for s in arms) and any(
        isinstance(s, ast.Assign) and _is_read(data, s) for s in following
    ):
        unit.block = [tested, *following]
    return unit


def _is_set_to_plain(statement: ast.stmt) -> bool:
    is_set = isinstance(statement, ast.Assign | ast.AugAssign)
    return is_set and not any(isinstance(n, ast.Call) for n in ast.walk(statement))


def _is_read(data: Data, statement: ast.stmt) -> bool:
    """Return whether a statement keeps or returns what the data is, and nothing else."""
    value = statement.value  # type: ignore[attr-defined]
    if value is None or (isinstance(statement, ast.Assign) and not all(
        isinstance(target, ast.Name) for target in statement.targets
    )):  # fmt: skip
        return False
    calls = (ast.Call, ast.Await, ast.Yield, ast.Lambda)
    return looks(data, value) and not any(isinstance(n, calls) for n in ast.walk(value))


def _is_clamped(data: Data, use: Use, value: ast.expr) -> bool:
    """Return whether the old value is only kept in bounds: `x = min(x, 200)` is the same the
    second time.
    """
    name = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
    if name not in {"min", "max"} or not isinstance(value, ast.Call) or value.keywords:
        return False
    rest = [arg for arg in value.args if ast.dump(arg) != _loaded(use.node)]
    return len(rest) < len(value.args) and all(constant_of(data.file, arg) for arg in rest)


def _loaded(node: ast.expr) -> str:
    return ast.dump(node).replace("ctx=Store()", "ctx=Load()")


def _names_itself(value: ast.expr) -> bool:
    """Return whether the value is only chosen by the old one: `x = x or default`."""
    return isinstance(value, ast.BoolOp | ast.IfExp)


def _source(
    data: Data, statement: ast.stmt, value: ast.expr, mine: list[ast.expr]
) -> ast.stmt | None:
    """Return the statement further up in the block that read what the value is made of."""
    block = block_of(statement)
    wanted = loaded(value)
    found = None
    for earlier in reversed(block[: block.index(statement)]):
        if not isinstance(earlier, ast.Assign) or not wanted & stored(earlier):
            continue
        wanted |= loaded(earlier.value)
        if any(is_in(node, earlier.value, data.file) for node in mine):
            found = earlier
    return found
