"""Workers that end where the object is closed that has them, or is used for the last time."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit
from threadmend.python.builders import (
    add_method,
    free_attribute,
    free_name,
    insert_after,
    insert_before,
    nothing,
)
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile, is_test
from threadmend.python.flow import always_leaves, block_of, target_of
from threadmend.python.functions import Function
from threadmend.python.queues import QueueUse
from threadmend.python.threads import Spawn
from threadmend.python.uses import is_self

from ._handed import makers
from ._workers import each

__all__ = ["at_close", "at_last_wait"]

_CLOSING = ("close", "stop", "shutdown", "terminate", "quit", "disconnect", "__exit__")
_AT_END = frozenset({"__exit__", "__del__"})
_CLOSES = frozenset({*_CLOSING, "release", "cleanup", "kill"})


def at_close(file: PythonFile, use: QueueUse, spawn: Spawn) -> tuple[Edit, ...]:
    """Return the edits that put None and wait for the worker where its object is closed, or the
    object that has made it; none where nobody closes anything.
    """
    if use.place.kind != "attribute":
        return ()
    queue = use.place.name.rpartition(".")[2]
    if isinstance(spawn.node, ast.ClassDef):
        cls = file.class_of(spawn.node)
        closing = _closing(cls)
        if closing is not None and closing.self_name:
            me = closing.self_name
            return _at_end(closing, _ended(f"{me}.{queue}", me), spawn)
        return _at_owner(cls, queue)
    starter, above = file.function(spawn.node), file.parent(spawn.node)
    target = above.targets[0] if isinstance(above, ast.Assign) else None
    if starter is None or starter.cls is None:
        return ()
    closing = _closing(starter.cls)
    if closing is None or not closing.self_name or closing is starter:
        return ()
    me = closing.self_name
    if spawn.many:
        return _all_ended(file, spawn, closing, f"{me}.{queue}")
    if starter.name != "__init__":
        return ()
    if not isinstance(target, ast.Attribute) or not is_self(file, target.value):
        return ()
    return _at_end(closing, _ended(f"{me}.{queue}", f"{me}.{target.attr}"), spawn)


def at_last_wait(file: PythonFile, use: QueueUse, spawn: Spawn) -> tuple[Edit, ...]:
    """Return the edits that end the workers of a list, and wait for them, in the method that waits
    for all items, where the project shows that this is the last that is done to each object.
    """
    maker = file.function(spawn.node)
    waiting = file.function(use.joins[0]) if len(use.joins) == 1 else None
    if maker is None or waiting is None or waiting.cls is None or maker.cls is not waiting.cls:
        return ()
    last, me = waiting.body[-1], waiting.self_name
    workers = each(file, spawn)
    if last is not file.statement(use.joins[0]) or workers is None or waiting.is_async:
        return ()
    own = f"{me}."
    if not workers.startswith(own) or not workers[len(own) :].isidentifier():
        return ()
    if not _is_last_of_all(waiting.cls, waiting):
        return ()
    name = free_name(file, "worker", last)
    queue = use.text(file, use.joins[0])
    told = f"for _ in {workers}:\n    {queue}.put(None)"
    return insert_after(file, last, f"{told}\nfor {name} in {workers}:\n    {name}.join()")


def _is_last_of_all(cls: Class, method: Function) -> bool:
    """Return whether every object of a class that other code than tests makes is a variable of a
    function, in no loop but the one that makes it, on which the method is called last.
    """
    project, name = cls.file.project, cls.file.encode(method.name)
    if method.callers or cls.heirs:
        return False
    ended = False
    for path in project.paths:
        data = project.source(path).data
        if is_test(path) or (cls.file.encode(cls.name) not in data and name not in data):
            continue
        file = project.readable(path)
        for call in file.calls(cls.name) if file is not None else ():
            assert file is not None
            value = file.value(call)
            if value is None or value.cls is not cls or value.made is not call:
                continue
            if not _is_ended_by(file, call, method):
                return False
            ended = True
    return ended


def _is_ended_by(file: PythonFile, made: ast.Call, method: Function) -> bool:
    """Return whether the last use of a variable that keeps a new object calls a method of it."""
    binding = file.binding(target_of(file.parent(made)))
    if binding is None or len(binding.sites) != 1 or binding.scope.kind != "function":
        return False
    uses = [use for use in file.uses(binding) if isinstance(use.ctx, ast.Load)]
    last = file.parent(uses[-1]) if uses else None
    call = file.parent(last) if isinstance(last, ast.Attribute) else None
    if (
        not isinstance(call, ast.Call)
        or call.func is not last
        or not isinstance(last, ast.Attribute)
    ):
        return False
    plain = all(isinstance(file.parent(use), ast.Attribute) for use in uses)
    once = sum(getattr(file.parent(use), "attr", "") == method.name for use in uses) == 1
    same_block = block_of(file.statement(made)) is block_of(file.statement(call))
    own = all(file.function(use) is file.function(made) for use in uses)
    return plain and once and same_block and own and last.attr == method.name


def _all_ended(file: PythonFile, spawn: Spawn, closing: Function, queue: str) -> tuple[Edit, ...]:
    """Return the edit that ends all workers of a list which the object keeps."""
    workers, starter = each(file, spawn), file.function(spawn.node)
    own = "" if starter is None else f"{starter.self_name}."
    if workers is None or not workers.startswith(own) or not workers[len(own) :].isidentifier():
        return ()
    attribute = workers[len(own) :]
    is_again = starter is not None and starter.name != "__init__"
    if is_again and not _is_listed_at_first(closing, attribute):
        return ()  # nobody may have started any
    kept = f"{closing.self_name}.{attribute}"
    name = free_name(file, "worker", closing.body[-1])
    # Each takes one, whoever is first: one for those alone that are seen to live is too few.
    told = f"for _ in {kept}:\n    {queue}.put(None)"
    waited = f"{told}\nfor {name} in {kept}:\n    {name}.join()"
    return _at_end(closing, f"{waited}\n{kept}.clear()" if is_again else waited, spawn)


def _is_listed_at_first(closing: Function, attribute: str) -> bool:
    """Return whether an attribute is an empty list from the beginning, and nothing else."""
    cls = closing.cls
    values = [] if cls is None else cls.values_of(attribute)
    node = values[0][1] if len(values) == 1 else None
    maker = None if node is None else values[0][0].function(node)
    return (
        cls is not None
        and isinstance(node, ast.List)
        and not node.elts
        and maker is not None
        and maker in cls.init_only
        and not any(use.function is closing for use in cls.uses_of(attribute))
    )


def _closing(cls: Class) -> Function | None:
    """Return the method that closes an object of a class, which no other one calls but what ends a
    `with` statement.
    """
    named = (cls.methods.get(name) for name in _CLOSING)
    method = next((m for m in named if m is not None), None)
    if method is None or method.is_async or method.is_static or method.is_generator:
        return None
    others = [one for name, one in cls.methods.items() if name not in _AT_END]
    return None if any(site.caller in others for site in method.callers) else method


def _ended(queue: str, thread: str) -> str:
    return f"if {thread}.is_alive():\n    {queue}.put(None)\n    {thread}.join()"


def _at_end(closing: Function, text: str, spawn: Spawn | None = None) -> tuple[Edit, ...]:
    """Return the edit that adds to the end of a method, before what it returns, and before it
    closes what the worker of a spawn works with.
    """
    last = closing.body[-1]
    used = _closed(closing, spawn)
    if used is not None:
        return insert_before(closing.file, used, text)
    only = last.body[0] if isinstance(last, ast.With) and len(last.body) == 1 else last
    if isinstance(only, ast.Return):
        return insert_before(closing.file, last, text)
    return () if always_leaves(closing.body) else insert_after(closing.file, last, text)


def _closed(closing: Function, spawn: Spawn | None) -> ast.stmt | None:
    """Return the first statement of a method that closes what a worker works with."""
    worker = None if spawn is None else spawn.target
    cls = closing.cls
    if worker is None or cls is None:
        return None
    used = {use.name for use in cls.uses if use.function is worker}
    for statement in closing.body:
        call = statement.value if isinstance(statement, ast.Expr) else None
        func = call.func if isinstance(call, ast.Call) else None
        owner = func.value if isinstance(func, ast.Attribute) and func.attr in _CLOSES else None
        if isinstance(owner, ast.Attribute) and is_self(closing.file, owner.value):
            if owner.attr in used:
                return statement
    return None


def _at_owner(cls: Class, queue: str) -> tuple[Edit, ...]:
    """Return the edits that end a thread where the only object that keeps one is closed."""
    owners = list(_owners(cls))
    if len(owners) != 1:
        return ()
    closing, attribute = owners[0]
    name = free_attribute(cls, "stop")
    head = f"def {name}(self){nothing(cls.file)}:\n"
    head += '    """Let the thread do what is left, and end."""\n'
    body = _ended(f"self.{queue}", "self").replace("\n", "\n    ")
    told = _at_end(closing, f"{closing.self_name}.{attribute}.{name}()")
    return (*add_method(cls, f"{head}    {body}\n"), *told) if told else ()


def _owners(cls: Class) -> Iterator[tuple[Function, str]]:
    """Yield the closing methods of the classes that make such an object for themselves, and use
    it there, with the attribute that keeps it.
    """
    for other in makers(cls):
        for owner in other.classes:
            closing = _closing(owner)
            if closing is None or owner is cls:
                continue
            for name in {use.name for use in owner.uses if use.function is closing}:
                values = owner.values_of(name)
                made = values[0][0].value(values[0][1]) if len(values) == 1 else None
                if made is not None and made.cls is cls and isinstance(made.made, ast.Call):
                    yield closing, name
