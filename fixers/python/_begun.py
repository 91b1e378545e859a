"""Threads that a call in `__init__` starts: a helper of the class, or the `__init__` of a base."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence, Set

from threadmend.python import api
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import walk
from threadmend.python.functions import Function
from threadmend.python.threads import reached

__all__ = ["begun", "callee_of", "may_follow", "run_by", "started"]

_OF_THREADS = frozenset({"daemon", "name"})


def started(file: PythonFile, cls: Class, statement: ast.AST) -> Function | None:
    """Return the method of a class that a statement has run beside it: `….start()`, or the call
    of a helper that starts a thread and returns it.
    """
    call = statement.value if isinstance(statement, ast.Expr | ast.Assign) else None
    if not isinstance(call, ast.Call):
        return None
    for spawn in file.spawns:
        if spawn.node is call and spawn.begun and spawn.target is not None:
            return spawn.target if spawn.target.home in cls.mro else None
    if not isinstance(call.func, ast.Attribute) or isinstance(statement, ast.Assign):
        return None
    if call.func.attr != "start" or call.args:
        return None
    thread = call.func.value
    if isinstance(thread, ast.Name) and thread.id == "self":
        return cls.method("run") if cls.inherits(*api.THREADS) else None
    value = file.value(thread)
    if value is None or not value.is_a(api.THREADS) or value.made is None:
        return None
    for spawn in file.spawns:
        if spawn.node is value.made and spawn.target is not None and spawn.target.home in cls.mro:
            return spawn.target
    return None


def begun(cls: Class, init: Function, statement: ast.stmt) -> Function | None:
    """Return the method that a thread runs which a call of `__init__` starts: `self._open()`,
    `super().__init__(…)`.
    """
    call = statement.value if isinstance(statement, ast.Expr) else None
    callee = init.callees.get(call) if isinstance(call, ast.Call) else None
    if callee is None or callee.home not in cls.mro:
        return None
    for function in (f for f in run_by(cls, callee) if f.home in cls.mro):
        for node in function.own:
            target = started(function.file, cls, node)
            if target is not None and not function.file.held(node):
                return cls.method(target.name) or target
    return None


def run_by(cls: Class, function: Function) -> Set[Function]:
    """Return what a method of an object of a class runs: what the class overrides is its own."""
    found: dict[Function, None] = {}
    pending = [function]
    while pending:
        one = pending.pop()
        if one not in found:
            found[one] = None
            called = (callee_of(cls, one, call) for call in one.calls)
            pending += (callee for callee in called if callee is not None)
    return found.keys()


def callee_of(cls: Class, function: Function, call: ast.Call) -> Function | None:
    """Return what a call in a method runs for an object of a class, which may override it, or
    only have what a base leaves to it.
    """
    func, callee = call.func, function.callees.get(call)
    if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name):
        if func.value.id == function.self_name and function.cls in cls.mro:
            return cls.method(func.attr) or callee
    return callee


def may_follow(init: Function, call: ast.stmt, jumped: Sequence[ast.stmt]) -> bool:
    """Return whether a call may come after the statements behind it: they, and what they call, use
    nothing that it uses, set nothing that it uses, and no name of its arguments.
    """
    value = call.value if isinstance(call, ast.Expr | ast.Assign) else None
    callee = init.callees.get(value) if isinstance(value, ast.Call) else None
    if callee is None:
        return True
    there = [(f.own, f.self_name) for f in reached(callee)]
    there += [([*ast.walk(call)], init.self_name)]
    used = {name for own, me in there for name in _attributes(own, me, ast.Load, ast.Store)}
    after = [*walk(jumped)]
    bound = {n.id for n in after if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    if any(isinstance(n, ast.Name) and n.id in bound for n in walk(call)):
        return False
    called = [init.callees[n] for n in after if isinstance(n, ast.Call) and n in init.callees]
    behind = [(after, init.self_name)]
    behind += [(f.own, f.self_name) for f in {f for one in called for f in reached(one)}]
    mine = {name for own, me in behind for name in _attributes(own, me, ast.Store)}
    read = {name for own, me in behind for name in _attributes(own, me, ast.Load)} - mine
    if mine & (used | _OF_THREADS) or {name for name in read & used if not _is_method(init, name)}:
        return False
    return not any(_is_whole(node, me) for own, me in behind for node in own)


def _is_method(init: Function, name: str) -> bool:
    return init.cls is not None and init.cls.method(name) is not None


def _attributes(
    nodes: Sequence[ast.AST], self_name: str | None, *contexts: type[ast.expr_context]
) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == self_name and isinstance(node.ctx, contexts):
                yield node.attr


def _is_whole(node: ast.AST, self_name: str | None) -> bool:
    """Return whether a node is a call that gets the object itself, or `super()`."""
    if not isinstance(node, ast.Call):
        return False
    named = isinstance(node.func, ast.Name) and node.func.id == "super"
    return named or any(isinstance(a, ast.Name) and a.id == self_name for a in node.args)
