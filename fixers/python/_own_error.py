"""The exception of a module's own that says that something is not free."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import enclosing, walk

__all__ = ["own_error"]


def own_error(file: PythonFile, call: ast.Call) -> str | None:
    """Return the exception that stands for a lock which is not free: the one that another attempt
    to take it raises, or the one exception of the module that callers expect of this function and
    that nobody raises.
    """
    found = {error for error in _raised_beside(file, call) if error is not None}
    if not found:
        found = {cls for cls in _expected(file, call) if not _is_raised(file, cls)}
    error = found.pop() if len(found) == 1 else None
    if error is None or error.file is not file or error.method("__init__") is not None:
        return None
    return error.name if error.name in file.tree.scopes[0].bindings else None


def _raised_beside(file: PythonFile, call: ast.Call) -> Iterator[Class | None]:
    """Yield what other attempts to take the lock raise: `if not lock.acquire(…): raise Busy`."""
    lock = file.place(call.func.value) if isinstance(call.func, ast.Attribute) else None
    for other in file.calls("acquire"):
        test = file.parent(other)
        branch = file.parent(test) if isinstance(test, ast.UnaryOp) else None
        if other is call or not isinstance(branch, ast.If) or branch.test is not test:
            continue
        same = isinstance(other.func, ast.Attribute) and file.place(other.func.value) == lock
        first = branch.body[0]
        if same and lock is not None and isinstance(first, ast.Raise):
            yield _class_of(file, first.exc)


def _expected(file: PythonFile, call: ast.Call) -> Iterator[Class]:
    """Yield the exceptions of the project that callers of the function catch, by its name."""
    function = file.function(call)
    name = "" if function is None else function.name
    for path in file.project.paths if name else ():
        readable = file.encode(name) in file.project.source(path).data
        other = file.project.readable(path) if readable else None
        for site in other.calls(name) if other is not None else ():
            for around in enclosing(site, ast.Try):
                assert other is not None
                if isinstance(around, ast.Try) and site in walk(around.body):
                    yield from _caught(other, around)


def _caught(file: PythonFile, around: ast.Try) -> Iterator[Class]:
    for handler in around.handlers:
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        for kind in kinds:
            cls = _class_of(file, kind)
            if cls is not None:
                yield cls


def _is_raised(file: PythonFile, cls: Class) -> bool:
    """Return whether somebody raises an exception, or one of its subclasses."""
    known = {cls, *cls.heirs}
    for path in file.project.paths:
        data = file.project.source(path).data
        if any(file.encode(one.name) in data for one in known):
            other = file.project.readable(path)
            raised = other.nodes(ast.Raise) if other is not None else ()
            if any(_class_of(other, one.exc) in known for one in raised if other is not None):
                return True
    return False


def _class_of(file: PythonFile, node: ast.expr | None) -> Class | None:
    """Return the class of the project that an exception is of: of `Busy` and of `Busy("…")`."""
    node = node.func if isinstance(node, ast.Call) else node
    value = file.value(node)
    return value.cls if value is not None and value.is_class else None
