"""A callback that logs what a job raised, for futures that nobody asks."""

from __future__ import annotations

import ast

from threadmend.model import Edit
from threadmend.python.builders import add_variable, free_name, hint, nothing, reference
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.functions import Function

__all__ = ["raises_unseen", "teller"]

_NAME = "_log_failure"
_TEXT = '''def {name}(future{said}){returns}:
    """Log what a job raised: nobody asks for its result."""
    if not future.cancelled() and future.exception() is not None:
        {log}.error("a job failed", exc_info=future.exception())
'''


def raises_unseen(target: Function | None) -> bool:
    """Return whether a job is known, logs nothing of its own by a decorator, and is not part
    of the logging: that would log its own failures for ever.
    """
    if target is None or target.decorators:
        return False
    return target.home is None or not _is_handler(target.home)


def _is_handler(cls: Class) -> bool:
    return cls.inherits("logging.Handler") or any("Handler" in name for name in cls.base_names)


def teller(file: PythonFile) -> tuple[str, tuple[Edit, ...]]:
    """Return the name of the module's callback, and the edits that write one where there is
    none: always at the same place, so that the jobs of a file share it.
    """
    name = _NAME
    known = file.tree.scopes[0].bindings.get(name)
    if known is not None:
        if len(known.sites) == 1 and _is_ours(known.sites[0].node):
            return name, ()
        name = free_name(file, _NAME)
    log, added = _logger(file)
    body = file.tree.module.body
    blocks = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    first = next((s for s in body if isinstance(s, blocks)), body[-1])
    said, imports = hint(file, "concurrent.futures.Future[typing.Any]", first)
    text = _TEXT.format(name=name, log=log, said=said, returns=nothing(file))
    return name, (*add_variable(file, text, before=first), *added, *imports)


def _is_ours(node: ast.AST) -> bool:
    """Return whether a function is a callback that logs exceptions."""
    return isinstance(node, ast.FunctionDef) and any(
        isinstance(n, ast.Attribute) and n.attr == "exception" for n in ast.walk(node)
    )


def _logger(file: PythonFile) -> tuple[str, tuple[Edit, ...]]:
    """Return the logger of the module, or how to get one."""
    for name, binding in file.tree.scopes[0].bindings.items():
        if len(binding.sites) == 1 and isinstance(binding.sites[0].value, ast.Call):
            if file.qualified(binding.sites[0].value.func) == "logging.getLogger":
                return name, ()
    made, added = reference(file, "logging.getLogger")
    return f"{made}(__name__)", added
