"""Objects that have a queue and the threads which take from it; others put into it, or the methods
of a class below.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import innermost_loop
from threadmend.python.functions import Function
from threadmend.python.queues import QueueUse, queues_of
from threadmend.python.uses import is_self

__all__ = ["Crew", "crew_of"]


@dataclass(frozen=True, slots=True)
class Crew:
    """The class of the object, in `file`, and what its own methods do with the queue."""

    cls: Class
    file: PythonFile
    queues: list[QueueUse]

    def seen_from(self, file: PythonFile, put: ast.Call, workers: str) -> str:
        """Return `self.crew.threads` for the list `self.threads`, where something is put."""
        return f"{file.text(_owner(put))}.{workers.partition('.')[2]}"

    def is_joined(self, file: PythonFile, put: ast.Call, workers: str) -> bool:
        """Return whether who puts joins the workers: in a loop over their list, or by a method of
        their object which has one.
        """
        ender, owner = file.function(put), file.text(_owner(put))
        if ender is None or not workers.startswith("self.") or workers.count(".") > 1:
            return False
        if _joins(ender, self.seen_from(file, put, workers)):
            return True
        return any(
            isinstance(call.func, ast.Attribute)
            and file.text(call.func.value) == owner
            and _joins(callee, workers)
            for call, callee in ender.callees.items()
        )


def crew_of(file: PythonFile, use: QueueUse) -> Crew | None:
    """Return the object that has a queue into which a file only puts: all through one expression
    and no other file that does.
    """
    if use.escapes or not all(_is_of_object(file, put) for put in use.puts):
        return None
    if len({file.text(_owner(put)) for put in use.puts}) != 1:
        return None
    value = file.value(_owner(use.puts[0]))
    cls = None if value is None or value.is_class else value.cls
    if cls is not None and is_self(file, _owner(use.puts[0])):
        cls = next((base for base in cls.mro if base.file is not file), None)
    if cls is None:
        return None
    there = [u for u in queues_of(cls.file) if u.place.anywhere == use.place.anywhere and u.gets]
    if not all(
        _is_kept(file, use.puts[0], cls.file.function(node)) for u in there for node in u.gets
    ):
        return None
    name = use.place.name.encode()
    puts = re.compile(rb"\." + re.escape(name) + rb"\.put(?:_nowait)?\(")
    project = file.project
    others = {path for path in project.paths if path not in {file.path, cls.file.path}}
    if any(puts.search(project.source(path).data) for path in others):
        return None
    return Crew(cls, cls.file, there) if there and not any(u.escapes for u in there) else None


def _is_of_object(file: PythonFile, put: ast.Call) -> bool:
    """Return whether something is put into an attribute of another object than `self`, or of one
    that a base of another file has set up.
    """
    func = put.func
    queue = func.value if isinstance(func, ast.Attribute) else None
    owner = queue.value if isinstance(queue, ast.Attribute) else None
    if not isinstance(owner, ast.Name | ast.Attribute) or not isinstance(queue, ast.Attribute):
        return False
    function = file.function(put)
    home = None if function is None else function.home
    return not is_self(file, owner) or _is_of_base(home, queue.attr)


def _is_of_base(cls: Class | None, name: str) -> bool:
    """Return whether nothing but classes of other files sets an attribute."""
    values = [] if cls is None else cls.values_of(name)
    return cls is not None and bool(values) and all(f is not cls.file for f, _ in values)


def _is_kept(file: PythonFile, put: ast.Call, taker: Function | None) -> bool:
    """Return whether the object of a class below still runs the method that takes the items."""
    function = file.function(put)
    home = None if function is None or not is_self(file, _owner(put)) else function.home
    return home is None or taker is None or home.method(taker.name) is taker


def _owner(put: ast.Call) -> ast.expr:
    """Return `self.crew` of `self.crew.jobs.put(job)`."""
    assert isinstance(put.func, ast.Attribute)
    assert isinstance(put.func.value, ast.Attribute)
    return put.func.value.value


def _joins(function: Function, workers: str) -> bool:
    """Return whether a function joins each of a list."""
    file = function.file
    loops = (innermost_loop(call) for call in function.calls if _is_join(call))
    return any(isinstance(loop, ast.For) and file.text(loop.iter) == workers for loop in loops)


def _is_join(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "join"
