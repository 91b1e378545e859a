"""Workers that a base starts and joins for the classes below: `self.spawn(self._send)` of a
service that keeps its threads, and waits for them in its `stop`.
"""

from __future__ import annotations

import ast
from typing import NamedTuple

from threadmend.model import Edit
from threadmend.python.builders import add_method, nothing
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import innermost_loop, target_of
from threadmend.python.functions import Function
from threadmend.python.queues import QueueUse
from threadmend.python.threads import Spawn
from threadmend.python.uses import is_self

__all__ = ["at_inherited_close", "joined_by_base"]


class Joined(NamedTuple):
    """A method of a base that joins each thread of a list, which a class below adds to."""

    cls: Class
    waiting: Function
    kept: str


def joined_by_base(file: PythonFile, spawn: Spawn) -> Joined | None:
    """Return who waits for the threads of a spawn: a base of the class that starts them."""
    starter, helper = file.function(spawn.node), _helper(spawn)
    cls = None if starter is None else starter.cls
    if cls is None or starter is None:
        return None
    if helper is None:
        kept = _kept(cls, starter, spawn.node)
    elif helper.cls in cls.mro and spawn.through is not None:
        kept = _kept(cls, helper, spawn.through.node)
    else:
        return None
    found = (_waiting(base, kept) for base in cls.mro if base is not cls) if kept else ()
    waiting = next((method for method in found if method is not None), None)
    if kept is None or waiting is None or cls.method(waiting.name) is not waiting:
        return None
    return Joined(cls, waiting, kept)


def at_inherited_close(file: PythonFile, use: QueueUse, spawn: Spawn) -> tuple[Edit, ...]:
    """Return the edits that put None for each worker, in a method over the one of the base that
    waits for them; none where no base keeps the workers, or it keeps others as well.
    """
    joined = joined_by_base(file, spawn)
    if joined is None or use.place.kind != "attribute" or use.is_bounded:
        return ()
    cls, waiting, kept = joined
    if waiting.parameters != ["self"] or cls.heirs or not _is_only_crew(cls, spawn):
        return ()
    queue = f"self.{use.place.name.rpartition('.')[2]}"
    name = waiting.name
    text = (
        f"def {name}(self){nothing(file)}:\n"
        f'    """Let the workers do what is left, and end."""\n'
        f"    for _ in self.{kept}:\n"
        f"        {queue}.put(None)\n"
        f"    super().{name}()\n"
    )
    return add_method(cls, text)


def _helper(spawn: Spawn) -> Function | None:
    """Return the method that makes the thread of a spawn for its own object."""
    call, inner = spawn.node, spawn.through
    if inner is None or inner.kind != "thread" or not isinstance(call, ast.Call):
        return None
    if not isinstance(call.func, ast.Attribute) or not is_self(spawn.file, call.func.value):
        return None
    return inner.file.function(inner.node) if inner.node is not call else None


def _kept(cls: Class, maker: Function, made: ast.AST) -> str | None:
    """Return the list of the object to which a method adds the thread that it makes."""
    file = maker.file
    binding = file.binding(target_of(file.parent(made)))
    for call in maker.calls:
        func, given = call.func, call.args[0] if call.args else None
        owner = func.value if isinstance(func, ast.Attribute) and func.attr == "append" else None
        if not isinstance(owner, ast.Attribute) or not is_self(file, owner.value):
            continue
        if given is made or (binding is not None and file.binding(given) is binding):
            values = cls.values_of(owner.attr)
            if len(values) == 1 and isinstance(values[0][1], ast.List):
                return owner.attr
    return None


def _waiting(cls: Class, kept: str) -> Function | None:
    """Return the only method of a class that joins each thread of a list."""
    found = [
        method
        for method in cls.methods.values()
        if any(_joins_each(method, call, kept) for call in method.calls)
    ]
    only = found[0] if len(found) == 1 else None
    return None if only is None or only.is_async or only.decorators else only


def _joins_each(method: Function, call: ast.Call, kept: str) -> bool:
    func, loop = call.func, innermost_loop(call)
    if not isinstance(func, ast.Attribute) or func.attr != "join" or call.args or call.keywords:
        return False
    text = method.file.text
    is_each = isinstance(loop, ast.For) and text(loop.target) == text(func.value)
    return is_each and isinstance(loop, ast.For) and text(loop.iter) == f"self.{kept}"


def _is_only_crew(cls: Class, spawn: Spawn) -> bool:
    """Return whether an object starts no other threads: of a method that starts what it is given,
    the calls count.
    """
    return all(
        one is spawn or _is_given(one, function)
        for base in cls.mro
        for one in base.file.spawns
        if (function := base.file.function(one.node)) is not None and function.home in cls.mro
    )


def _is_given(spawn: Spawn, function: Function) -> bool:
    """Return whether a function starts what is handed to it."""
    node = spawn.target_node
    return spawn.target is None and isinstance(node, ast.Name) and node.id in function.parameters
