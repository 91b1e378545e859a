"""Threads that a helper of the file makes, starts and returns: `self._spawn(work, items)`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit
from threadmend.python.builders import (
    BuilderError,
    free_name,
    insert_after,
    insert_before,
    is_alone,
    replace,
)
from threadmend.python.file import PythonFile
from threadmend.python.flow import innermost_loop, target_of
from threadmend.python.functions import Function, function_of
from threadmend.python.scope import parent
from threadmend.python.threads import Spawn

from ._results import waits
from ._started import kept_in, list_of, started

__all__ = ["begun_by_makers", "joined_here", "returns_thread", "started_by_helper"]


def begun_by_makers(file: PythonFile) -> Iterator[Spawn]:
    """Yield the calls of helpers of the file that start a thread of their own, with a nested
    function as its target, and return it: `threads = [self._ask(host, found) for host in hosts]`.
    """
    for inner in file.spawns:
        target = inner.target
        helper = file.function(inner.node)
        if inner.kind != "thread" or inner.through is not None or inner.many or target is None:
            continue
        if helper is None or target.outer is not helper or helper.is_async:
            continue
        if returns_thread(file, inner.node, helper):
            for site in helper.callers:
                yield Spawn("thread", site.call, None, target, (), file, inner, begun=True)


def started_by_helper(file: PythonFile, spawn: Spawn) -> ast.stmt | None:
    """Return the statement that calls the helper and drops the thread, or the list of threads,
    which nobody else has; or that keeps the thread in a variable or a list of the function.
    """
    inner, call = spawn.through, spawn.node
    statement = file.parent(call)
    if not (spawn.kind == "handed" or spawn.begun) or inner is None or inner.kind != "thread":
        return None
    if not isinstance(call, ast.Call):
        return None
    if not isinstance(statement, ast.Expr):
        return _keeping(file, spawn) if spawn.begun and not inner.many else None
    helper = function_of(file, call.func)
    if helper is None or inner.file.function(inner.node) is not helper:
        return None
    if inner.many:
        return statement if _are_returned(inner, helper) else None
    return statement if returns_thread(inner.file, inner.node, helper) else None


def _keeping(file: PythonFile, spawn: Spawn) -> ast.stmt | None:
    """Return the statement that keeps what the helper returns in a variable or a list of the
    function: nobody else has it.
    """
    statement = file.statement(spawn.node)
    kept = target_of(file.parent(spawn.node)) or list_of(file, spawn)
    binding = file.binding(kept)
    function = file.function(spawn.node)
    if not isinstance(kept, ast.Name) or binding is None or function is None:
        return None
    if binding.scope is not function.scope or any(s.kind != "assign" for s in binding.sites):
        return None
    for use in file.uses(binding):
        above = file.parent(use)
        if isinstance(use.ctx, ast.Load) and kept_in(file, use) is None and not _is_tested(use):
            if not (isinstance(above, ast.Attribute) and above.attr == "append"):
                return None
    return statement


def _is_tested(use: ast.Name) -> bool:
    """Return whether somebody only asks whether there is a thread: `if not threads`."""
    above = parent(use)
    if isinstance(above, ast.UnaryOp):
        above = parent(above)
    return isinstance(above, ast.If)


def _are_returned(inner: Spawn, helper: Function) -> bool:
    """Return whether a function starts threads in a loop, and only returns the list of them."""
    file, held, last = inner.file, list_of(inner.file, inner), helper.body[-1]
    binding = file.binding(held)
    if binding is None or not isinstance(last, ast.Return) or len(helper.returns()) != 1:
        return False
    if file.binding(last.value) is not binding or started(file, inner) is None:
        return False
    return binding.scope is helper.scope and not waits(helper)


def returns_thread(file: PythonFile, made: ast.AST, helper: Function) -> bool:
    """Return whether a function starts the thread that it makes, returns it in the end, and
    gives it to nobody else.
    """
    assigned = file.parent(made)
    target = assigned.targets[0] if isinstance(assigned, ast.Assign) else None
    last = helper.body[-1]
    if not isinstance(target, ast.Name) or not isinstance(last, ast.Return):
        return False
    binding = file.binding(target)
    if binding is None or len(binding.sites) != 1 or len(helper.returns()) != 1:
        return False
    loads = [use for use in file.uses(binding) if use is not target and use is not last.value]
    used = [file.parent(use) for use in loads]
    if file.binding(last.value) is not binding:
        return False
    return all(isinstance(one, ast.Attribute) for one in used) and any(
        isinstance(s, ast.Expr) and isinstance(s.value, ast.Call) and s.value.func in used
        for s in helper.body
        if file.text(s) == f"{target.id}.start()"
    )


def joined_here(file: PythonFile, statement: ast.stmt, spawn: Spawn) -> tuple[Edit, ...]:
    """Return the edits that keep what the helper returns, and join it: behind the loop where
    there is one, each where it is a list.
    """
    if not is_alone(file, statement):
        raise BuilderError("the statement shares its line with another one")
    outer: ast.stmt = statement
    while (loop := innermost_loop(outer)) is not None:
        outer = loop
    if not isinstance(statement, ast.Expr) or statement.value is not spawn.node:
        return _joined_as_kept(file, statement, outer, spawn)
    name, text = free_name(file, "thread", statement), file.text(statement.value)
    if outer is statement and spawn.through is not None and spawn.through.many:
        names = free_name(file, "threads", statement)
        kept = replace(file, statement.value, f"{names} = {text}")
        return (*kept, *insert_after(file, statement, f"for {name} in {names}:\n    {name}.join()"))
    if outer is statement:
        kept = replace(file, statement.value, f"{name} = {text}")
        return (*kept, *insert_after(file, statement, f"{name}.join()"))
    names = free_name(file, "threads", statement)
    if spawn.through is not None and spawn.through.many:
        raise BuilderError("each round starts several threads")
    return (
        *insert_before(file, outer, f"{names} = []"),
        *replace(file, statement.value, f"{names}.append({text})"),
        *insert_after(file, outer, f"for {name} in {names}:\n    {name}.join()"),
    )


def _joined_as_kept(
    file: PythonFile, statement: ast.stmt, outer: ast.stmt, spawn: Spawn
) -> tuple[Edit, ...]:
    """Return the edits that join the thread by the variable, or all by the list, that has them."""
    one = target_of(statement)
    listed = list_of(file, spawn)
    if isinstance(one, ast.Name) and one is not listed and outer is statement:
        return insert_after(file, statement, f"{one.id}.join()")
    name = one.id if isinstance(one, ast.Name) and one is not listed else ""
    name = name or free_name(file, "thread", statement)
    held = listed.id if listed is not None else free_name(file, "threads", statement)
    joined = insert_after(file, outer, f"for {name} in {held}:\n    {name}.join()")
    if listed is not None:
        return joined
    return (
        *insert_before(file, outer, f"{held} = []"),
        *insert_after(file, statement, f"{held}.append({name})"),
        *joined,
    )
