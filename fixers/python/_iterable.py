"""Queues of the project that one can loop over: a method takes each item and yields it."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from threadmend.model import Edit
from threadmend.python import api
from threadmend.python.builders import BuilderError, insert_before, wrap
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, innermost_loop, is_text
from threadmend.python.functions import Function
from threadmend.python.uses import is_self

__all__ = ["Yielding", "undone"]

_QUEUES = frozenset({name for name in api.QUEUES if not name.endswith("SimpleQueue")})
_LEAVING = (ast.Return, ast.Break)


@dataclass(frozen=True, slots=True)
class Yielding:
    """`item = self.get()` … `yield item` in a loop of a method; `ends` are the tests in between
    that leave the loop with an item that ends it.
    """

    function: Function
    call: ast.Call
    given: ast.Expr
    ends: tuple[ast.If, ...]

    def edits(self) -> tuple[Edit, ...]:
        """Return the edits that report an item as done when whoever loops asks for the next one."""
        file, done = self.function.file, f"{self.function.self_name}.task_done()"
        edits = wrap(file, [self.given], "try:", f"finally:\n    {done}")
        for one in self.ends:
            if len(one.body) > 1:
                raise BuilderError("the loop does more when it ends")
            edits += insert_before(file, one.body[0], done)
        return edits


def undone(file: PythonFile, join: ast.Call) -> Yielding | None:
    """Return the generator that takes the items of a queue which a call joins, when it alone takes
    any, and nobody reports one as done.
    """
    func = join.func
    value = file.value(func.value) if isinstance(func, ast.Attribute) else None
    cls = None if value is None or value.is_class else value.cls
    if cls is None or not cls.inherits(*_QUEUES) or "join" in cls.methods:
        return None
    found = [one for m in cls.methods.values() if (one := _yielding(m)) is not None]
    if len(found) != 1 or _is_taken_elsewhere(cls, found[0]):
        return None
    return found[0]


def _yielding(method: Function) -> Yielding | None:
    gets = [call for call in method.calls if _is_own(method, call, "get")]
    above = method.file.parent(gets[0]) if len(gets) == 1 else None
    yields = [node for node in method.own if isinstance(node, ast.Yield | ast.YieldFrom)]
    if not isinstance(above, ast.Assign) or len(yields) != 1 or above.value is not gets[0]:
        return None
    item, loop, given = above.targets[0], innermost_loop(above), method.file.parent(yields[0])
    if not isinstance(item, ast.Name) or loop is None or not isinstance(given, ast.Expr):
        return None
    rest = after(above)
    value = yields[0].value
    if rest[-1:] != [given] or not isinstance(value, ast.Name) or value.id != item.id:
        return None
    ends = [s for s in rest[:-1] if not is_text(s)]
    if not all(isinstance(s, ast.If) and _leaves(s) for s in ends):
        return None
    return Yielding(method, gets[0], given, tuple(s for s in ends if isinstance(s, ast.If)))


def _leaves(statement: ast.If) -> bool:
    return not statement.orelse and isinstance(statement.body[-1], _LEAVING)


def _is_own(method: Function, call: ast.Call, name: str) -> bool:
    """Return whether a method calls another one of its object."""
    func = call.func
    if not isinstance(func, ast.Attribute) or func.attr != name:
        return False
    return is_self(method.file, func.value) and method.self_name is not None


def _is_taken_elsewhere(cls: Class, one: Yielding) -> bool:
    """Return whether other code takes items of such a queue, or may report one as done."""
    for file in cls.file.project.files():
        for call in file.calls("task_done", "get", "get_nowait"):
            if call is one.call or not isinstance(call.func, ast.Attribute):
                continue
            value = file.value(call.func.value)
            if value is None and call.func.attr == "task_done":
                return True
            if value is not None and value.cls is not None and value.cls in (cls, *cls.mro):
                return True
    return False
