"""Classes that helpers of the project make objects of: `hire(Worker, inbox)`.

def hire(kind, *args):
    worker = kind(*args)
    worker.start()
    return worker
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.python.calling import run_by
from threadmend.python.scope import parent

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.file import PythonFile

__all__ = ["made_by_helpers"]


def made_by_helpers(file: PythonFile, cls: Class) -> Iterator[tuple[ast.Call, list[ast.expr]]]:
    """Yield the calls of a file that hand a class to a function which calls it, with the arguments
    that it gets there.
    """
    from threadmend.python.functions import function_of

    for node in file.tree.names.get(cls.name, ()):
        call = parent(node)
        if not isinstance(call, ast.Call) or node not in call.args:
            continue
        helper = function_of(file, call.func)
        if helper is None or helper.name == "__init__":
            continue
        for run, args in run_by(helper, call.args, bound=helper.self_name is not None):
            if run is node and args is not None and not call.keywords:
                yield call, list(args)
