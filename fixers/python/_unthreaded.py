"""Uses of an object's data where none of its threads runs: before they are started, or in objects
that start none, because a switch is off.

def __init__(self, receiving):          def send(self, frame):
    self.receiving = receiving              if self.receiving:
    if self.receiving:                          raise ValueError
        Thread(target=self._receive)        self.retries -= 1   # no thread of the object runs
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import always_leaves, enclosing
from threadmend.python.functions import Function
from threadmend.python.scope import parent
from threadmend.python.threads import Spawn
from threadmend.python.uses import is_self

from ._alone import is_called_before
from ._data import Data

__all__ = ["leave_out_other_roles", "leave_out_set_up"]


def leave_out_set_up(file: PythonFile, data: Data) -> None:
    """Take the uses for nobody's that come before any thread which uses the data is started."""
    starts = _starts(data)
    starters = {file.function(s.node) if s.file is file else None for s in starts}
    known = {one for one in starters if one is not None and one.home is data.cls}
    if known and known == starters:
        for use in data.uses:
            if use.threads == {None} and is_called_before(use.function, known):
                use.threads = frozenset()


def leave_out_other_roles(data: Data) -> None:
    """Take the uses for nobody's that are of objects which start none of the threads."""
    starts = _starts(data)
    for use in data.uses if data.cls is not None and starts else ():
        if use.threads == {None} and data.cls is not None:
            if _has_no_thread(data.cls, use.function, use.node, starts):
                use.threads = frozenset()


def _starts(data: Data) -> set[Spawn]:
    return {spawn for use in data.uses for spawn in use.threads if spawn is not None}


def _has_no_thread(cls: Class, function: Function, node: ast.expr, spawns: Iterable[Spawn]) -> bool:
    """Return whether a method gets to a node only in objects that start none of the threads: what
    is on where these are started is off there, and stays so.
    """
    off = set(_known(function, node, is_on=False))
    fixed = {name for name in off if _is_fixed(cls, name)}
    return bool(fixed) and all(
        spawn.kind == "thread"
        and spawn.file is function.file
        and not fixed.isdisjoint(_known(spawn.file.function(spawn.node), spawn.node, is_on=True))
        for spawn in spawns
    )


def _is_fixed(cls: Class, name: str) -> bool:
    """Return whether only the initializer sets a switch, and what it calls."""
    quiet = {f for base in cls.mro for f in base.init_only}
    changes = [use for use in cls.uses if use.name == name and use.changes]
    return bool(changes) and all(use.function in quiet for use in changes)


def _known(function: Function | None, node: ast.AST, *, is_on: bool) -> Iterator[str]:
    """Yield the attributes of `self` that are certainly true at a node (`is_on`), or false."""
    for test, outcome in () if function is None else _decided(function, node):
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            test, outcome = test.operand, not outcome
        if outcome is is_on and isinstance(test, ast.Attribute) and function is not None:
            if is_self(function.file, test.value):
                yield test.attr


def _decided(function: Function, node: ast.AST) -> Iterator[tuple[ast.expr, bool]]:
    """Yield the tests whose outcome is known at a node: those that it stands under, and those
    before it in the function's own block that leave.
    """
    body = getattr(function.node, "body", [])
    at: ast.AST = node
    for above in [*enclosing(node, ast.stmt)]:
        if isinstance(above, ast.If) and at in (*above.body, *above.orelse):
            yield above.test, at in above.body
        at = above
        if parent(above) is function.node:
            break
    if isinstance(body, list) and at in body:
        for statement in body[: body.index(at)]:
            if isinstance(statement, ast.If) and not statement.orelse:
                if always_leaves(statement.body):
                    yield statement.test, False
