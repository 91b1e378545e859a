"""Results of threads: what they fill, and where it is read before they are done."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python import api
from threadmend.python.arguments import argument
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, innermost_loop
from threadmend.python.functions import Function
from threadmend.python.scope import Binding, parent
from threadmend.python.threads import Spawn
from threadmend.python.uses import AttributeUse, is_self, use_mode

from ._object_results import read_of_object
from ._waits import waits

__all__ = ["objects", "read_early", "read_of_filled", "returned", "waits"]

_TAKING = frozenset({"pop", "popleft", "popitem", "remove", "discard", "clear"})
_MADE = api.COLLECTIONS | {"list", "dict", "set"}


def read_early(file: PythonFile, spawn: Spawn, start: ast.stmt) -> tuple[str, ast.stmt] | None:
    """Return what is read behind the start of a thread that fills it, and the statement that
    reads it first: a container of the function, an attribute that it returns, or one of an object
    that it has made.
    """
    function = file.function(start)
    if function is None:
        return None
    written = _written(file, function, spawn)
    read = _read_after(file, function, start, written) or returned(file, spawn, start)
    return read or read_of_object(file, function, spawn, _behind(start))


def read_of_filled(
    file: PythonFile, start: ast.stmt, filled: list[Binding]
) -> tuple[str, ast.stmt] | None:
    """Return what a function that has made containers reads of them behind a statement, and the
    statement that reads it first.
    """
    function = file.function(start)
    if function is None:
        return None
    made = [b for b in filled if b.scope is function.scope and _is_made_here(file, b)]
    return _read_after(file, function, start, made)


def objects(file: PythonFile) -> Iterator[Spawn]:
    """Yield the objects of Thread and Process classes of the file, as the spawns that they are
    once they are started.
    """
    for spawn in file.spawns:
        if spawn.kind != "run" or not isinstance(spawn.node, ast.ClassDef):
            continue
        cls = file.class_of(spawn.node)
        kind = "thread" if cls.inherits(*api.THREADS) else "process"
        for call in file.calls(cls.name):
            value = file.value(call)
            if value is not None and value.made is call and value.cls is cls:
                yield Spawn(kind, call, None, spawn.target, tuple(call.args), file)


def _written(file: PythonFile, function: Function, spawn: Spawn) -> list[Binding]:
    """Return the containers that the function makes and the thread changes."""
    assert spawn.target is not None
    found = []
    for node in spawn.target.own:
        if isinstance(node, ast.Name) and use_mode(node) in {"mutate", "augment"}:
            binding = spawn.target.file.binding(node)
            if binding is not None and binding.scope is function.scope:
                found.append(binding)
    if spawn.target_node is None:
        found += _kept(file, function, spawn)
    for position, given in enumerate(spawn.args or ()):
        binding = file.binding(given)
        names = spawn.target.parameters[1:] if spawn.target.self_name else spawn.target.parameters
        if binding is None or binding.scope is not function.scope or position >= len(names):
            continue
        if any(
            isinstance(n, ast.Name) and n.id == names[position] and use_mode(n) == "mutate"
            for n in spawn.target.own
        ):
            found.append(binding)
    return [b for b in found if _is_made_here(file, b)]


def _kept(file: PythonFile, function: Function, spawn: Spawn) -> Iterator[Binding]:
    """Yield the containers that an object keeps as attributes, and its thread changes."""
    cls = None if spawn.target is None else spawn.target.cls
    init = None if cls is None else cls.methods.get("__init__")
    if cls is None or init is None or not isinstance(spawn.node, ast.Call):
        return
    changed = {
        use.name
        for use in cls.uses
        if use.function is spawn.target and use.mode in {"mutate", "augment"}
    }
    for use in cls.uses:
        above = file.parent(use.node)
        value = above.value if isinstance(above, ast.Assign | ast.AnnAssign) else None
        if use.function is not init or use.name not in changed or not isinstance(value, ast.Name):
            continue
        if value.id in init.parameters[1:]:
            given = argument(spawn.node, init.parameters.index(value.id) - 1, value.id)
            binding = file.binding(given)
            if binding is not None and binding.scope is function.scope:
                yield binding


def _is_made_here(file: PythonFile, binding: Binding) -> bool:
    return all(
        site.kind == "assign" and site.value is not None and file.is_a(site.value, _MADE)
        for site in binding.sites
    )


def _read_after(
    file: PythonFile, function: Function, started: ast.stmt, written: list[Binding]
) -> tuple[str, ast.stmt] | None:
    """Return the first read of such a container behind the start, in the same block or one
    around it.
    """
    for statement in _behind(started):
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                binding = file.binding(node)
                if binding in written and file.function(node) is function:
                    assert binding is not None
                    return binding.name, statement
    return None


def returned(file: PythonFile, spawn: Spawn, started: ast.stmt) -> tuple[str, ast.stmt] | None:
    """Return the attribute that the thread changes and that the method which starts it returns,
    or something made of it; not a collection itself, in which the caller may see more later.
    """
    target, node = spawn.target, spawn.target_node
    if not isinstance(node, ast.Attribute) or not is_self(file, node.value) or target is None:
        return None
    if target.cls is None or target.file is not file:
        return None
    uses = [use for use in target.cls.uses if use.function is target]
    taken = {use.name for use in uses if _takes(use.node)}
    changed = {use.name for use in uses if use.changes} - taken
    written = {use.name for use in uses if use.mode == "write" or _is_counted(file, use)}
    for outer in _behind(started):
        for statement in (outer, *_under_locks(file, outer)):
            if isinstance(statement, ast.Return) and statement.value is not None:
                for read in ast.walk(statement.value):
                    if isinstance(read, ast.Attribute) and read.attr in changed:
                        is_live = read is statement.value and read.attr not in written
                        if is_self(file, read.value) and not is_live:
                            return file.text(read), outer
    return None


def _is_counted(file: PythonFile, use: AttributeUse) -> bool:
    """Return whether `+=` makes another value: not the same list, longer."""
    return use.mode == "augment" and not file.is_a(use.node, _MADE)


def _takes(node: ast.expr) -> bool:
    """Return whether a use takes something out: such a thread works on what it finds."""
    above = parent(node)
    return isinstance(above, ast.Attribute) and above.attr in _TAKING


def _under_locks(file: PythonFile, statement: ast.stmt) -> list[ast.stmt]:
    """Return the statements of `with lock:`."""
    if not isinstance(statement, ast.With):
        return []
    return statement.body if all(file.lock(i.context_expr) for i in statement.items) else []


def _behind(started: ast.stmt) -> list[ast.stmt]:
    """Return the statements behind a start, in its block, behind the loops around it, and behind
    what it is tried in.
    """
    anchor, found = started, list[ast.stmt]()
    while True:
        while (loop := innermost_loop(anchor)) is not None:
            anchor = loop
        found += after(anchor)
        above = parent(anchor)
        if not isinstance(above, ast.Try | ast.With) or anchor not in above.body:
            return found
        anchor = above
