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
from threadmend.python.scope import parent
from threadmend.python.uses import is_self

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function

__all__ = ["forwarded", "only_call", "put_through"]


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


def put_through(file: PythonFile, put: ast.Call) -> list[ast.Call]:
    """Return the calls of a method of the same object that puts what it is given: what
    `self.submit(job)` does is `self._jobs.put(job)`, whatever else `submit` does.
    """
    helper = file.function(put)
    item = put.args[0] if len(put.args) == 1 and not put.keywords else None
    if helper is None or helper.cls is None or not isinstance(item, ast.Name):
        return []
    statement = parent(put)
    if helper.is_static or helper.decorators or helper.parameters[1:2] != [item.id]:
        return []
    if not isinstance(statement, ast.Expr) or statement not in helper.body:
        return []
    return [
        site.call
        for site in helper.callers
        if site.file is file
        and len(site.call.args) == 1
        and isinstance(site.call.func, ast.Attribute)
        and is_self(file, site.call.func.value)
    ]


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
