"""What a with statement gives: `pool` of `with Workers(3) as pool:`."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from threadmend.python import api
from threadmend.python.annotations import annotated
from threadmend.python.scope import parent
from threadmend.python.value import Value, agreed

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function

__all__ = ["ENTER_SELF", "entered"]

ENTER_SELF = api.EXECUTORS | {
    "multiprocessing.Pool", "multiprocessing.pool.ThreadPool", "subprocess.Popen", "httpx.Client",
    "requests.Session", "requests.session",
}  # fmt: skip
"""Objects of others that a with statement gives themselves."""

ValueOf = Callable[["PythonFile", ast.AST | None], Value | None]


def entered(file: PythonFile, node: ast.expr, value_of: ValueOf) -> Value | None:
    """Return what entering an expression gives: the object itself, what its `__enter__` returns,
    or what a `contextmanager` of the project yields.
    """
    item = parent(node)
    is_async = item is not None and isinstance(parent(item), ast.AsyncWith)
    callee = _manager(file, node, is_async=is_async)
    if callee is not None:
        given = [n.value for n in callee.own if isinstance(n, ast.Yield)]
        return agreed(value_of(callee.file, one) for one in given)
    found = value_of(file, node)
    if found is None or found.is_class:
        return None
    if found.is_a(ENTER_SELF):
        return found
    enter = found.cls.method("__aenter__" if is_async else "__enter__") if found.cls else None
    if enter is None or enter.decorators or enter.is_generator:
        return None
    returned = [r.value for r in enter.returns()]
    if returned and all(isinstance(r, ast.Name) and r.id == enter.self_name for r in returned):
        return found
    known = agreed(value_of(enter.file, one) for one in returned)
    if known is None and returned and not isinstance(enter.node, ast.Lambda):
        return annotated(enter.file, enter.node.returns)
    return known


def _manager(file: PythonFile, node: ast.expr, *, is_async: bool) -> Function | None:
    """Return the generator that makes what is entered, by the decorator of contextlib."""
    from threadmend.python.functions import function_of

    callee = function_of(file, node.func) if isinstance(node, ast.Call) else None
    wanted = "asynccontextmanager" if is_async else "contextmanager"
    if callee is None or [d.rpartition(".")[2] for d in callee.decorators] != [wanted]:
        return None
    return callee
