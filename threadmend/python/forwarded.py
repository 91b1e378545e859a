"""Helpers that only make one call, of a queue's method, say, for who calls them.

def _next(self):                        item = self._next()
    return self._jobs.get()             self._done()

def _done(self):
    self._jobs.task_done()
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.python.implied import text_at
from threadmend.python.places import only_statement

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function

__all__ = ["forwarded", "only_call"]


def forwarded(file: PythonFile, call: ast.Call) -> list[tuple[ast.Call, str]]:
    """Return the calls of the helper that a call `q.get()` without arguments is all of, each
    with how the queue is written there; none when others may call the helper.
    """
    helper = file.function(call)
    if helper is None or call.args or call.keywords or not isinstance(call.func, ast.Attribute):
        return []
    if only_call(helper) is not call or not helper.callers or not helper.is_only_called:
        return []
    if not helper.is_private and any(_named_elsewhere(file, helper)):
        return []
    found = []
    for site in helper.callers:
        text = text_at(file, site.call, helper, call.func.value)
        if text is None:
            return []
        found.append((site.call, text))
    return found


def only_call(helper: Function) -> ast.Call | None:
    """Return the call that a function only makes, returning what that returns; a coroutine
    awaits it.
    """
    only, names = only_statement(helper)
    value = only.value if isinstance(only, ast.Return | ast.Expr) else None
    if isinstance(value, ast.Name):
        value = names.get(value.id, value)
    if isinstance(value, ast.Await):
        value = value.value
    elif helper.is_async:
        return None
    return value if isinstance(value, ast.Call) and not helper.decorators else None


def _named_elsewhere(file: PythonFile, helper: Function) -> Iterator[bool]:
    name, project = file.encode(helper.name), file.project
    for path in project.paths:
        yield path != file.path and name in project.source(path).data
