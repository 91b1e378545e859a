"""Tests whose answer stays as it is: others at most change what is inside of the object, or put
another one in its place.
"""

from __future__ import annotations

import ast
from dataclasses import replace

from threadmend.python import api
from threadmend.python.flow import enclosing, walk

from ._data import Data, Use
from ._unit import looks

__all__ = [
    "is_found_so",
    "is_none_until_made",
    "is_not_none_for_good",
    "is_only_asked_for_none",
    "tests",
]

_REPLACES = frozenset({"write", "augment", "delete"})


def is_only_asked_for_none(data: Data, use: Use) -> bool:
    """Return whether the test is whether there is an object, which stays as it is once it is
    there, and the change is one inside of it: `if self.store is not None: self.store.remove(key)`.
    """
    if any(u.mode in _REPLACES for u in data.uses) or use.mode in _REPLACES:
        return False
    asked = tests(data, use)
    return bool(asked) and all(_asks_for_none(data, test) for test in asked)


def is_not_none_for_good(data: Data, use: Use) -> bool:
    """Return whether the test is whether there is an object, and whoever changes it leaves one
    there: `if self.cache is not None: self.cache = {}`. What was found out stays true.
    """
    asked = tests(data, use)
    if not asked or not all(_asks_for_none(data, test) for test in asked):
        return False
    if any(isinstance(n, ast.Is) for test in asked for n in ast.walk(test)):
        return False
    return all(_leaves_an_object(data, one) for one in data.uses if one.changes)


def _leaves_an_object(data: Data, use: Use) -> bool:
    """Return whether a change is inside of the object, or puts a new collection there, or what is
    worked out and never None: `self.next = time() + self.pause`.
    """
    if use.mode == "mutate":
        return True
    statement = data.file.statement(use.node)
    value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
    if use.mode != "write" or value is None:
        return False
    if isinstance(value, ast.BinOp):
        return not looks(data, value)
    return isinstance(value, ast.Dict | ast.List | ast.Set) or data.file.is_a(
        value, api.COLLECTIONS
    )


def is_none_until_made(data: Data, use: Use) -> bool:
    """Return whether the test is whether there is no object yet, and threads that run meanwhile
    only change what is inside of one: `if self.rows is None: self.rows = Table(size)`.
    """
    asked = tests(data, use)
    if use.mode != "write" or not asked or not all(_asks_for_none(data, test) for test in asked):
        return False
    others = [one for one in data.uses if one is use or one.mode in _REPLACES]
    return not replace(data, uses=others).races(use)


def is_found_so(data: Data, use: Use, statement: ast.stmt, test: ast.stmt) -> bool:
    """Return whether a change only sets what the test has found: `if self.open: return`, and then
    `self.open = False`.
    """
    value = statement.value if isinstance(statement, ast.Assign) else None
    if use.mode != "write" or not isinstance(value, ast.Constant) or not isinstance(test, ast.If):
        return False
    asked, is_left = test.test, statement not in walk([*test.body, *test.orelse])
    negated = isinstance(asked, ast.UnaryOp) and isinstance(asked.op, ast.Not)
    if isinstance(asked, ast.UnaryOp) and negated:
        asked = asked.operand
    if not any(one.node is asked for one in data.uses) or not isinstance(value.value, bool):
        return False
    if not is_left and statement not in walk(test.body):
        return False
    return value.value is (negated == is_left)


def tests(data: Data, use: Use) -> list[ast.expr]:
    """Return the tests of the data that stand above a use."""
    return [
        above.test
        for above in enclosing(use.node, ast.If)
        if isinstance(above, ast.If) and looks(data, above.test)
    ]


def _asks_for_none(data: Data, test: ast.expr) -> bool:
    """Return whether all that a test asks of the data is `x is None` or `x is not None`."""
    asked = [node for node in ast.walk(test) if any(use.node is node for use in data.uses)]
    for node in asked:
        above = data.file.parent(node)
        if not isinstance(above, ast.Compare) or above.left is not node:
            return False
        last = above.comparators[-1]
        if not isinstance(last, ast.Constant) or last.value is not None:
            return False
    return bool(asked)
