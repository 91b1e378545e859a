"""Workers that end where the object is closed that has them."""

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
)
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import always_leaves
from threadmend.python.functions import Function
from threadmend.python.queues import QueueUse
from threadmend.python.threads import Spawn
from threadmend.python.uses import is_self

from ._handed import makers
from ._workers import each

__all__ = ["at_close"]

_CLOSING = ("close", "stop", "shutdown", "terminate", "quit", "disconnect", "__exit__")


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
            return _at_end(closing, _ended(f"{me}.{queue}", me))
        return _at_owner(cls, queue)
    starter, above = file.function(spawn.node), file.parent(spawn.node)
    target = above.targets[0] if isinstance(above, ast.Assign) else None
    if starter is None or starter.cls is None or starter.name != "__init__":
        return ()
    closing = _closing(starter.cls)
    if closing is None or not closing.self_name:
        return ()
    me = closing.self_name
    if spawn.many:
        return _all_ended(file, spawn, closing, f"{me}.{queue}")
    if not isinstance(target, ast.Attribute) or not is_self(file, target.value):
        return ()
    return _at_end(closing, _ended(f"{me}.{queue}", f"{me}.{target.attr}"))


def _all_ended(file: PythonFile, spawn: Spawn, closing: Function, queue: str) -> tuple[Edit, ...]:
    """Return the edit that ends all workers of a list which the object keeps."""
    workers, starter = each(file, spawn), file.function(spawn.node)
    own = "" if starter is None else f"{starter.self_name}."
    if workers is None or not workers.startswith(own) or not workers[len(own) :].isidentifier():
        return ()
    kept = f"{closing.self_name}.{workers[len(own) :]}"
    name = free_name(file, "worker", closing.body[-1])
    # Each takes one, whoever is first: one for those alone that are seen to live is too few.
    told = f"for _ in {kept}:\n    {queue}.put(None)"
    return _at_end(closing, f"{told}\nfor {name} in {kept}:\n    {name}.join()")


def _closing(cls: Class) -> Function | None:
    """Return the method that closes an object of a class, which no other one calls."""
    named = (cls.methods.get(name) for name in _CLOSING)
    method = next((m for m in named if m is not None), None)
    if method is None or method.is_async or method.is_static or method.is_generator:
        return None
    return None if any(s.caller in cls.methods.values() for s in method.callers) else method


def _ended(queue: str, thread: str) -> str:
    return f"if {thread}.is_alive():\n    {queue}.put(None)\n    {thread}.join()"


def _at_end(closing: Function, text: str) -> tuple[Edit, ...]:
    """Return the edit that adds to the end of a method, before what it returns."""
    last = closing.body[-1]
    only = last.body[0] if isinstance(last, ast.With) and len(last.body) == 1 else last
    if isinstance(only, ast.Return):
        return insert_before(closing.file, last, text)
    return () if always_leaves(closing.body) else insert_after(closing.file, last, text)


def _at_owner(cls: Class, queue: str) -> tuple[Edit, ...]:
    """Return the edits that end a thread where the only object that keeps one is closed."""
    owners = list(_owners(cls))
    if len(owners) != 1:
        return ()
    closing, attribute = owners[0]
    name = free_attribute(cls, "stop")
    head = f'def {name}(self):\n    """Let the thread do what is left, and end."""\n'
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
