"""Where a thread is started, and the list that holds it."""

from __future__ import annotations

import ast

from threadmend.python.file import PythonFile
from threadmend.python.flow import block_of, target_of
from threadmend.python.threads import Spawn
from threadmend.python.uses import is_self

__all__ = ["keeper", "kept_by_object", "list_of", "started"]


def started(file: PythonFile, spawn: Spawn) -> ast.Expr | None:
    """Return the statement that starts the thread: `Thread(…).start()` or `t.start()`, also in a
    loop over the list that holds the threads.
    """
    from_list = _from_list(file, spawn)
    if from_list is not None:
        return from_list
    attribute = file.parent(spawn.node)
    if isinstance(attribute, ast.Attribute) and attribute.attr == "start":
        call = file.parent(attribute)
        statement = file.parent(call) if call is not None else None
        if isinstance(statement, ast.ListComp) and statement.elt is call:
            statement = file.parent(statement)  # [Thread(…).start() for …]
        return statement if isinstance(statement, ast.Expr) else None
    made = target_of(attribute)
    if isinstance(made, ast.Name):
        binding = file.binding(made)
        names = file.uses(binding) if binding is not None else []
        loads = [n for n in names if isinstance(n.ctx, ast.Load) and not kept_in(file, n)]
        if not all(isinstance(file.parent(n), ast.Attribute) for n in loads):
            return None  # goes elsewhere
        starts = [n for n in loads if file.parent(n).attr == "start"]  # type: ignore[union-attr]
        if len(starts) == 1:
            call = file.parent(file.parent(starts[0]))  # type: ignore[arg-type]
            statement = file.parent(call) if isinstance(call, ast.Call) else None
            return statement if isinstance(statement, ast.Expr) else None
    return None


def kept_in(file: PythonFile, node: ast.expr) -> ast.Expr | None:
    """Return the statement `threads.append(t)` that keeps a thread in a list."""
    call = file.parent(node)
    if not isinstance(call, ast.Call) or call.args != [node]:
        return None
    statement = file.parent(call)
    func = call.func
    if isinstance(func, ast.Attribute) and func.attr == "append":
        if isinstance(func.value, ast.Name | ast.Attribute) and isinstance(statement, ast.Expr):
            return statement
    return None


def kept_by_object(file: PythonFile, spawn: Spawn) -> str | None:
    """Return the list of the object that keeps a thread: `self.threads.append(t)`."""
    above = file.parent(spawn.node)
    binding = file.binding(target_of(above))
    nodes = [spawn.node, *(file.uses(binding) if binding is not None else ())]
    for node in nodes:
        kept = kept_in(file, node) if isinstance(node, ast.expr) else None
        if kept is not None and isinstance(kept.value, ast.Call):
            assert isinstance(kept.value.func, ast.Attribute)
            held = kept.value.func.value
            if isinstance(held, ast.Attribute) and is_self(file, held.value):
                return file.text(held)
    return None


def keeper(file: PythonFile, spawn: Spawn, outer: ast.stmt) -> str | None:
    """Return the list, made before a loop, that keeps the threads of the loop already."""
    above = file.parent(spawn.node)
    binding = file.binding(target_of(above))
    for node in file.uses(binding) if binding is not None else ():
        kept = kept_in(file, node)
        if kept is None or not isinstance(kept.value, ast.Call):
            continue
        assert isinstance(kept.value.func, ast.Attribute)
        name = kept.value.func.value
        made = file.binding(name)
        if made is None or len(made.sites) != 1 or made.scope.kind != "function":
            continue
        site = made.sites[0]
        if file.is_a(site.value, "list") and file.span(site.node)[0] < file.span(outer)[0]:
            if block_of(kept) is block_of(file.statement(spawn.node)):
                return file.text(name)
    return None


def list_of(file: PythonFile, spawn: Spawn) -> ast.Name | None:
    """Return the variable of the function whose list holds the threads: a comprehension, or
    `threads.append(Thread(…))`.
    """
    above = file.parent(spawn.node)
    if isinstance(above, ast.ListComp) and above.elt is spawn.node:
        top = file.parent(above)
        target = target_of(top)
        return target if isinstance(target, ast.Name) else None
    nodes: list[ast.expr] = [spawn.node] if isinstance(spawn.node, ast.Call) else []
    if target_of(above) is not None:
        binding = file.binding(target_of(above))
        nodes = [*file.uses(binding)] if binding is not None else []
    for node in nodes:
        kept = kept_in(file, node)
        if kept is not None and isinstance(kept.value, ast.Call):
            assert isinstance(kept.value.func, ast.Attribute)
            name = kept.value.func.value
            return name if isinstance(name, ast.Name) else None
    return None


def _from_list(file: PythonFile, spawn: Spawn) -> ast.Expr | None:
    """Return `t.start()` of `for t in threads`."""
    name = list_of(file, spawn)
    binding = file.binding(name)
    for use in file.uses(binding) if binding is not None else ():
        loop = file.parent(use)
        if not isinstance(loop, ast.For) or loop.iter is not use:
            continue
        for statement in loop.body:
            call = statement.value if isinstance(statement, ast.Expr) else None
            func = call.func if isinstance(call, ast.Call) else None
            if isinstance(func, ast.Attribute) and func.attr == "start":
                if isinstance(loop.target, ast.Name) and isinstance(func.value, ast.Name):
                    if func.value.id == loop.target.id:
                        assert isinstance(statement, ast.Expr)
                        return statement
    return None
