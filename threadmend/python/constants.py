"""Constants: what is written out, also under a name, or where the function gets it that makes an
object with it.

    WORKERS = 1                             def make_pool(size):
    pool = ThreadPoolExecutor(WORKERS)          return ThreadPoolExecutor(size)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.python.arguments import argument, default_of
from threadmend.python.functions import function_of

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function
    from threadmend.python.value import Value

__all__ = ["constant_of", "made_with"]


def constant_of(file: PythonFile, node: ast.expr | None) -> ast.Constant | None:
    """Return the constant that an expression is, of a variable the one that it is set to first."""
    if node is None or isinstance(node, ast.Constant):
        return node
    value = file.value(node)
    return value.made if value is not None and isinstance(value.made, ast.Constant) else None


def made_with(
    file: PythonFile, value: Value, position: int, *names: str
) -> Iterator[tuple[PythonFile, ast.expr]]:
    """Yield what an object is made with for an argument of its constructor, with the file where
    it stands: for a parameter of a function that makes it, what this file and its own give that.
    """
    made = value.made
    if not isinstance(made, ast.Call):
        return
    found = (argument(made, position, name) for name in names)
    given = next((one for one in found if one is not None), None)
    maker = value.file.function(made)
    if given is None:
        return
    if maker is None or not isinstance(given, ast.Name) or given.id not in maker.parameters:
        yield value.file, given
        return
    called = maker.name if maker.name != "__init__" or maker.cls is None else maker.cls.name
    for other in dict.fromkeys((file, value.file)):
        for call in other.calls(called):
            handed = _handed(maker, call, given.id) if _runs(other, call, maker) else None
            if handed is not None:
                yield other, handed


def _runs(file: PythonFile, call: ast.Call, maker: Function) -> bool:
    return function_of(file, call.func) is maker


def _handed(maker: Function, call: ast.Call, name: str) -> ast.expr | None:
    at = maker.parameters.index(name) - (maker.self_name is not None)
    return argument(call, at, name) or default_of(maker.node.args, name)
