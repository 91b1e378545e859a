"""Threads that a helper makes and starts, and that nobody else has, while they fill what the helper
is given: `self._spawn(host, found)`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from threadmend.model import Edit
from threadmend.python.arguments import argument
from threadmend.python.builders import (
    BuilderError,
    free_name,
    insert_after,
    is_alone,
    replace_statement,
)
from threadmend.python.file import PythonFile
from threadmend.python.flow import target_of
from threadmend.python.functions import Function
from threadmend.python.scope import Binding
from threadmend.python.threads import Spawn
from threadmend.python.uses import use_mode

from ._helper_starts import returns_thread
from ._started import kept_in, list_of, started
from ._waits import waits

__all__ = ["Unreturned", "returned_by_helper", "unreturned"]


class Unreturned(NamedTuple):
    """The call of a helper that starts a thread which nobody has: the helper or its caller drops
    it. `filled` are the variables of the caller that the thread fills.
    """

    spawn: Spawn
    statement: ast.stmt
    filled: list[Binding]


def unreturned(file: PythonFile) -> Iterator[Unreturned]:
    """Yield the calls of helpers of the file whose threads fill what the call hands in."""
    for inner in file.spawns:
        helper = file.function(inner.node)
        if helper is None or not _is_for_callers(file, inner, helper):
            continue
        names = _filled(file, inner, helper)
        for site in helper.callers if names else ():
            statement = file.parent(site.call) if site.file is file else None
            filled = [b for name in names if (b := _handed(file, helper, site.call, name))]
            if isinstance(statement, ast.Expr) and filled:
                call = Spawn("thread", site.call, None, inner.target, (), file, inner, begun=True)
                yield Unreturned(call, statement, filled)


def _is_for_callers(file: PythonFile, inner: Spawn, helper: Function) -> bool:
    """Return whether a helper starts one thread, in every call, that its caller has to wait for:
    it does not do so itself, and drops the thread or returns it.
    """
    if inner.kind != "thread" or inner.through is not None or inner.many or inner.begun:
        return False
    if helper.is_async or helper.is_generator or helper.decorators:
        return False
    if inner.target is None or waits(helper):
        return False
    if helper.returns():
        return returns_thread(file, inner.node, helper)
    return _is_dropped(file, inner, helper)


def _is_dropped(file: PythonFile, inner: Spawn, helper: Function) -> bool:
    """Return whether a helper that returns nothing lets nobody have the thread it starts."""
    start = started(file, inner)
    if start is None or start not in helper.body or list_of(file, inner) is not None:
        return False
    binding = file.binding(target_of(file.parent(inner.node)))
    if binding is None:
        return isinstance(file.parent(inner.node), ast.Attribute)
    own = binding.scope is helper.scope and len(binding.sites) == 1
    return own and not any(kept_in(file, use) for use in file.uses(binding))


def _filled(file: PythonFile, inner: Spawn, helper: Function) -> list[str]:
    """Return the parameters of a helper that its thread fills: handed on, or named by a nested
    function.
    """
    target, found = inner.target, []
    assert target is not None
    names = target.parameters[1:] if target.self_name else target.parameters
    changed = {n for n in target.own if isinstance(n, ast.Name) and use_mode(n) == "mutate"}
    for name, given in zip(names, inner.args or (), strict=False):
        if isinstance(given, ast.Name) and given.id in helper.parameters:
            if any(node.id == name for node in changed):
                found.append(given.id)
    for node in changed if target.outer is helper else ():
        binding = file.binding(node)
        if binding is not None and binding.scope is helper.scope:
            if node.id in helper.parameters:
                found.append(node.id)
    return sorted(set(found))


def _handed(file: PythonFile, helper: Function, call: ast.Call, name: str) -> Binding | None:
    """Return the variable that a call hands in for a parameter."""
    names = helper.parameters[1:] if helper.self_name else helper.parameters
    if name not in names or any(isinstance(given, ast.Starred) for given in call.args):
        return None
    return file.binding(argument(call, names.index(name), name))


def returned_by_helper(file: PythonFile, spawn: Spawn) -> tuple[Edit, ...]:
    """Return the edits by which the helper of a dropped thread returns it."""
    inner = spawn.through
    assert inner is not None
    helper, start = file.function(inner.node), started(file, inner)
    if helper is None or start is None or not is_alone(file, start):
        raise BuilderError("the helper has no statement that starts the thread alone")
    name = target_of(file.parent(inner.node))
    edits: list[Edit] = []
    returns = getattr(helper.node, "returns", None)
    if isinstance(returns, ast.Constant) and returns.value is None:
        assert isinstance(inner.node, ast.Call)
        kind = file.text(inner.node.func)
        edits.append(Edit(file.path, *file.span(returns), file.encode(kind)))
    elif returns is not None:
        raise BuilderError("the helper says that it returns something else")
    last = helper.body[-1]
    if isinstance(name, ast.Name):
        return (*edits, *insert_after(file, last, f"return {name.id}"))
    new = free_name(file, "thread", start)
    made = f"{new} = {file.text(inner.node)}\n{new}.start()"
    if last is start:
        return (*edits, *replace_statement(file, start, f"{made}\nreturn {new}"))
    return (
        *edits,
        *replace_statement(file, start, made),
        *insert_after(file, last, f"return {new}"),
    )
