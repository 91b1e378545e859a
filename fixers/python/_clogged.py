"""Objects around a queue with a limit: producers of a function fill one, and the function, which
takes from it by a method, joins them first.

    channel = Channel()                     class Channel:
    reader = Reader(source, channel)            def __init__(self):
    reader.start()                                  self.lines = queue.Queue(16)
    reader.join()                               def put(self, line):
    lines = list(channel.drain())                   self.lines.put(line)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.model import Edit
from threadmend.python.builders import BuilderError
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, block_of, innermost_loop, walk
from threadmend.python.functions import Function, function_of
from threadmend.python.places import Place
from threadmend.python.queues import QueueUse
from threadmend.python.scope import Binding, ancestors
from threadmend.python.threads import Spawn, is_repeated, reached
from threadmend.python.uses import is_self

from ._handed import makers

__all__ = ["Clogged", "clogged"]

_TAKES = frozenset({"get", "get_nowait"})


@dataclass(frozen=True, slots=True, eq=False)
class Clogged:
    """The object that a function has in a variable, the attribute that is its queue, and the
    statements behind the join that take from it; `at_once`: until it is empty.
    """

    cls: Class
    name: str
    use: QueueUse
    top: ast.stmt
    takes: list[ast.stmt]
    at_once: bool

    def without_limit(self) -> tuple[Edit, ...]:
        """Return the edit that lets the queue hold every item."""
        made, home = self.use.value.made, self.use.value.file
        calls = [
            call
            for file in makers(self.cls)
            for call in file.calls(self.cls.name)
            if (value := file.value(call)) is not None and value.cls is self.cls
        ]
        if len(calls) != 1 or self.cls.heirs:
            raise BuilderError(f"other code has such a {self.cls.name} as well")
        if not isinstance(made, ast.Call) or len(made.args) + len(made.keywords) != 1:
            raise BuilderError("the queue is made with more than a limit")
        start, end = home.span(made.func)[1], home.span(made)[1]
        if b"#" in home.data[start:end]:
            raise BuilderError("a comment would be lost")
        return (Edit(home.path, start, end, b"()"),)


def clogged(file: PythonFile, join: ast.Call, spawn: Spawn) -> Clogged | None:
    """Return the object that the thread which is joined fills, when the function of the join takes
    from it only afterwards.
    """
    function, statement = file.function(join), file.parent(join)
    if function is None or not isinstance(statement, ast.stmt) or spawn.target is None:
        return None
    loop = file.parent(statement)
    top = loop if isinstance(loop, ast.For) and len(loop.body) == 1 else statement
    for given in spawn.args or ():
        binding = file.binding(given)
        made = binding.sites[0].value if binding is not None and len(binding.sites) == 1 else None
        value = file.value(made) if isinstance(made, ast.Call) else None
        if binding is None or value is None or value.cls is None or value.made is not made:
            continue
        if binding.scope is not function.scope or _has_threads(value.cls):
            continue
        for name, use in _limited(value.cls):
            if _fills(value.cls, name, spawn):
                found = _taken_behind(file, binding, spawn, top, value.cls, name)
                if found is not None:
                    return Clogged(value.cls, name, use, top, *found)
    return None


def _has_threads(cls: Class) -> bool:
    targets = (spawn.target for spawn in cls.file.spawns)
    return any(target is not None and target.home in cls.mro for target in targets)


def _limited(cls: Class) -> Iterator[tuple[str, QueueUse]]:
    """Yield the attributes of a class that are queues of threads with a limit."""
    names = {use.name for one in cls.mro for use in one.uses}
    for name in sorted(names):
        values = cls.values_of(name)
        value = values[0][0].value(values[0][1]) if len(values) == 1 else None
        if value is not None and value.type.startswith("queue."):
            use = QueueUse(Place("attribute", cls.declarer(name).qualified, name, "self"), value)
            if use.is_bounded:
                yield name, use


def _calls_of(function: Function, cls: Class, name: str) -> Iterator[ast.Call]:
    """Yield the calls of a queue's methods in a method of the class that has it."""
    for call in function.calls if function.home in cls.mro else ():
        func = call.func
        queue = func.value if isinstance(func, ast.Attribute) else None
        if isinstance(queue, ast.Attribute) and queue.attr == name:
            if is_self(function.file, queue.value):
                yield call


def _method(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _fills(cls: Class, name: str, spawn: Spawn) -> bool:
    """Return whether a thread puts items again and again, each time for as long as it takes."""
    assert spawn.target is not None
    functions = reached(spawn.target)
    putting = {
        f
        for f in functions
        for call in _calls_of(f, cls, name)
        if _method(call) == "put" and len(call.args) == 1 and not call.keywords
    }
    again = any(
        callee in putting and innermost_loop(call) is not None
        for f in functions
        for call, callee in f.callees.items()
    )
    return bool(putting) and (again or is_repeated(spawn.node))


def _taken_behind(
    file: PythonFile, binding: Binding, spawn: Spawn, top: ast.stmt, cls: Class, name: str
) -> tuple[list[ast.stmt], bool] | None:
    """Return the statements behind a join that take from the queue of an object, and whether they
    end when it is empty; None when anything else may take.
    """
    rest, taking = after(top), list[ast.stmt]()
    at_once = False
    for use in file.uses(binding):
        if not isinstance(use.ctx, ast.Load) or spawn.node in ancestors(use):
            continue
        above = file.parent(use)
        call = file.parent(above) if isinstance(above, ast.Attribute) else None
        method = function_of(file, above) if isinstance(call, ast.Call) else None
        if method is None or not isinstance(call, ast.Call) or call.func is not above:
            return None
        gets = [
            _method(one) for f in reached(method) for one in _calls_of(f, cls, name)
            if _method(one) in _TAKES | {"empty"}
        ]  # fmt: skip
        if gets:
            statement = next((s for s in rest if call in walk(s)), None)
            if statement is None:
                return None
            taking.append(statement)
            at_once = at_once or "get_nowait" in gets or "empty" in gets
    in_block = top in block_of(top)
    return (taking, at_once) if taking and in_block else None
