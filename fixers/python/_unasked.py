"""Futures that are kept, and that nobody asks for their result."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from threadmend.python.file import PythonFile
from threadmend.python.scope import Binding

__all__ = ["Kept", "kept", "listed"]


@dataclass(eq=False, frozen=True, slots=True)
class Kept:
    """A variable that holds futures (`is_list`) or one; `wait` is the last statement that waits
    for them with `concurrent.futures.wait`.
    """

    binding: Binding
    is_list: bool
    wait: ast.Expr | None

    @property
    def name(self) -> str:
        """Return the name of the variable."""
        return self.binding.name


def listed(file: PythonFile, call: ast.Call) -> ast.ListComp | None:
    """Return the comprehension of a statement that makes a list of futures and drops it."""
    above = file.parent(call)
    if isinstance(above, ast.ListComp) and above.elt is call:
        return above if isinstance(file.parent(above), ast.Expr) else None
    return None


def kept(file: PythonFile, call: ast.Call) -> Kept | None:
    """Return the variable of the function that keeps a job's future, when no use of it can see
    what the job raised.
    """
    target, is_list = _target(file, call)
    binding = file.binding(target)
    function = file.function(call)
    if binding is None or function is None or binding.scope is not function.scope:
        return None
    if any(site.kind not in {"assign", "annotation"} for site in binding.sites):
        return None
    if not is_list and len(binding.sites) > 1:
        return None
    waits = []
    for use in file.uses(binding):
        if isinstance(use.ctx, ast.Load) and not _adds(file, use) and not _counts(file, use):
            wait = _wait(file, use)
            if wait is None:
                return None
            waits.append(wait)
    if is_list and not _is_only_list(file, binding):
        return None
    return Kept(binding, is_list, max(waits, key=lambda w: w.lineno, default=None))


def _target(file: PythonFile, call: ast.Call) -> tuple[ast.expr | None, bool]:
    """Return the variable that a future goes into, and whether it is a list."""
    above = file.parent(call)
    if isinstance(above, ast.ListComp) and above.elt is call:
        top = file.parent(above)
        is_plain = isinstance(top, ast.Assign) and len(top.targets) == 1
        return (top.targets[0], True) if is_plain else (None, True)  # type: ignore[union-attr]
    if isinstance(above, ast.Call) and isinstance(above.func, ast.Attribute):
        is_added = above.func.attr == "append" and isinstance(file.parent(above), ast.Expr)
        return (above.func.value, True) if is_added else (None, True)
    if isinstance(above, ast.Assign) and len(above.targets) == 1:
        return above.targets[0], False
    return None, False


def _adds(file: PythonFile, use: ast.Name) -> bool:
    """Return whether a use adds a future to the list."""
    above = file.parent(use)
    call = None if above is None else file.parent(above)
    return (
        isinstance(above, ast.Attribute)
        and above.attr == "append"
        and isinstance(call, ast.Call)
        and isinstance(file.parent(call), ast.Expr)
    )


def _counts(file: PythonFile, use: ast.Name) -> bool:
    """Return whether a use only asks how many futures there are: `len(futures)`."""
    call = file.parent(use)
    return isinstance(call, ast.Call) and file.qualified(call.func) == "len"


def _wait(file: PythonFile, use: ast.Name) -> ast.Expr | None:
    """Return the statement `wait(futures)` that a use is the argument of."""
    call = file.parent(use)
    if isinstance(call, ast.List):  # wait([future])
        call = file.parent(call)
    statement = None if call is None else file.parent(call)
    if not isinstance(call, ast.Call) or not isinstance(statement, ast.Expr):
        return None
    if file.qualified(call.func) != "concurrent.futures.wait" or len(call.args) != 1:
        return None
    return None if call.keywords else statement


def _is_only_list(file: PythonFile, binding: Binding) -> bool:
    """Return whether the variable is a list of this function and nothing else is in it."""
    return all(
        site.kind == "assign" and isinstance(site.value, ast.List | ast.ListComp)
        for site in binding.sites
    )
