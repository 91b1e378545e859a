"""Join the threads whose results are read

A function starts threads that fill a list, and returns it: whether anything is in it depends
on how fast they are.

Not reported: threads that are joined, or awaited through an event, a queue or a barrier; what
they write is not read by the function that starts them; objects that outlive the function.

Unsafe: the function takes as long as its threads.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python import api
from threadmend.python.builders import (
    BuilderError,
    free_name,
    insert_after,
    insert_before,
    is_alone,
)
from threadmend.python.classes import use_mode
from threadmend.python.file import PythonFile
from threadmend.python.flow import block_of, innermost_loop
from threadmend.python.functions import Function
from threadmend.python.scope import Binding, ancestors
from threadmend.python.threads import Spawn

CATEGORY = "thread"
GATE = rb"Thread\("

_WAITS = frozenset({"join", "wait", "get", "acquire", "is_alive", "result", "wait_for", "sleep"})
_MADE = api.COLLECTIONS | {"list", "dict", "set"}


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the threads whose results are read before they can be there."""
    for spawn in file.spawns:
        if spawn.kind != "thread" or spawn.target is None or spawn.daemon:
            continue
        function = file.function(spawn.node)
        if function is None or _waits(function):
            continue
        started = _started(file, spawn)
        if started is None:
            continue
        written = _written(file, function, spawn)
        read = _read_after(file, function, started, written)
        if read is not None:
            yield _finding(file, spawn, started, *read)


def _waits(function: Function) -> bool:
    """Return whether the function waits for anything: a join, an event, a queue."""
    for call in function.calls():
        if isinstance(call.func, ast.Attribute) and call.func.attr in _WAITS:
            if not isinstance(call.func.value, ast.Constant):  # "".join waits for nothing
                return True
    return False


def _started(file: PythonFile, spawn: Spawn) -> ast.Expr | None:
    """Return the statement that starts the thread: `Thread(…).start()` or `t.start()`."""
    attribute = file.parent(spawn.node)
    if isinstance(attribute, ast.Attribute) and attribute.attr == "start":
        call = file.parent(attribute)
        statement = file.parent(call) if call is not None else None
        return statement if isinstance(statement, ast.Expr) else None
    if isinstance(attribute, ast.Assign) and isinstance(attribute.targets[0], ast.Name):
        binding = file.binding(attribute.targets[0])
        names = file.uses(binding) if binding is not None else []
        starts = [n for n in names if isinstance(n.ctx, ast.Load) and not _kept(file, n)]
        if len(starts) == 1:
            above = file.parent(starts[0])
            call = file.parent(above) if isinstance(above, ast.Attribute) else None
            statement = file.parent(call) if call is not None else None
            if isinstance(above, ast.Attribute) and above.attr == "start":
                return statement if isinstance(statement, ast.Expr) else None
    return None


def _kept(file: PythonFile, node: ast.expr) -> ast.Expr | None:
    """Return the statement `threads.append(t)` that keeps a thread in a list."""
    call = file.parent(node)
    if not isinstance(call, ast.Call) or call.args != [node]:
        return None
    statement = file.parent(call)
    func = call.func
    if isinstance(func, ast.Attribute) and func.attr == "append":
        if isinstance(func.value, ast.Name) and isinstance(statement, ast.Expr):
            return statement
    return None


def _keeper(file: PythonFile, spawn: Spawn, outer: ast.stmt) -> str | None:
    """Return the list, made before a loop, that keeps the threads of the loop already."""
    above = file.parent(spawn.node)
    target = above.targets[0] if isinstance(above, ast.Assign) else None
    binding = file.binding(target)
    for node in file.uses(binding) if binding is not None else ():
        kept = _kept(file, node)
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


def _written(file: PythonFile, function: Function, spawn: Spawn) -> list[Binding]:
    """Return the containers that the function makes and the thread changes."""
    assert spawn.target is not None
    found = []
    for node in spawn.target.own:
        if isinstance(node, ast.Name) and use_mode(node) in {"mutate", "augment"}:
            binding = spawn.target.file.binding(node)
            if binding is not None and binding.scope is function.scope:
                found.append(binding)
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


def _is_made_here(file: PythonFile, binding: Binding) -> bool:
    return all(
        site.kind == "assign" and site.value is not None and file.is_a(site.value, _MADE)
        for site in binding.sites
    )


def _read_after(
    file: PythonFile, function: Function, started: ast.stmt, written: list[Binding]
) -> tuple[Binding, ast.stmt] | None:
    """Return the first read of such a container behind the start, in the same block or one
    around it.
    """
    anchor: ast.stmt = started
    while (loop := innermost_loop(anchor)) is not None:
        anchor = loop
    block = block_of(anchor)
    for statement in block[block.index(anchor) + 1 :]:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                binding = file.binding(node)
                if binding in written and file.function(node) is function:
                    assert binding is not None
                    return binding, statement
    return None


def _finding(
    file: PythonFile, spawn: Spawn, started: ast.Expr, binding: Binding, read: ast.stmt
) -> Finding:
    start, end = file.span(started)
    said = f"{binding.name} is read without waiting for the thread that fills it"
    related = (Related(file.path, *file.span(read), f"{binding.name} is read here"),)
    try:
        edits = _edits(file, spawn, started)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    reason = "the function takes as long as its threads"
    fix = Fix("Join before the results are read", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _edits(file: PythonFile, spawn: Spawn, started: ast.Expr) -> tuple[Edit, ...]:
    """Return the edits that name the thread, collect those of a loop, and join them."""
    if not is_alone(file, started):
        raise BuilderError("the statement shares its line with another one")
    outer: ast.stmt | None = None
    at: ast.stmt = started
    while (loop := innermost_loop(at)) is not None:
        outer = at = loop
    edits: list[Edit] = []
    name = _name(file, spawn)
    if name is None:
        name = free_name(file, "thread", started)
        first, last = file.span(started)
        close = file.span(spawn.node)[1]
        edits.append(Edit(file.path, first, first, file.encode(f"{name} = ")))
        edits.append(Edit(file.path, close, last, b""))
        text = f"{name}.start()"
        if outer is not None:
            text += f"\n{_list(file, started)}.append({name})"
        edits += insert_after(file, started, text)
    elif outer is not None and (keeper := _keeper(file, spawn, outer)) is not None:
        return insert_after(file, outer, f"for {name} in {keeper}:\n    {name}.join()")
    elif outer is not None:
        edits += insert_after(file, started, f"{_list(file, started)}.append({name})")
    if outer is None:
        return tuple(_joined(file, edits, started, f"{name}.join()"))
    names = _list(file, started)
    edits += insert_before(file, outer, f"{names} = []")
    edits += insert_after(file, outer, f"for {name} in {names}:\n    {name}.join()")
    return tuple(edits)


def _joined(file: PythonFile, edits: list[Edit], started: ast.Expr, text: str) -> list[Edit]:
    more = insert_after(file, started, text)
    if edits and edits[-1].start == more[0].start:
        joined = Edit(file.path, more[0].start, more[0].end, edits[-1].new + more[0].new)
        return [*edits[:-1], joined]
    return [*edits, *more]


def _list(file: PythonFile, at: ast.AST) -> str:
    return free_name(file, "threads", at)


def _name(file: PythonFile, spawn: Spawn) -> str | None:
    above = next(ancestors(spawn.node), None)
    if isinstance(above, ast.Assign) and isinstance(above.targets[0], ast.Name):
        return above.targets[0].id
    return None
