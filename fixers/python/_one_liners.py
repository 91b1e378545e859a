"""Tests and changes of data that a helper makes for who calls it: `if self._is_free(seat):
self._claim(seat)` is as good as what the two do.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python.flow import without_text
from threadmend.python.functions import Function
from threadmend.python.places import only_statement
from threadmend.python.scope import parent
from threadmend.python.uses import AttributeUse, is_self

from ._failing import untold
from ._own_entry import is_of_this_thread

__all__ = ["lifted"]


def lifted(use: AttributeUse) -> Iterator[tuple[ast.Call, Function, str]]:
    """Yield the calls that stand for a use, which is all that a method of the same object does,
    with who makes them and what they do: `read` or `mutate`. Those that change something stand in
    its place: nobody else calls the method, and each is a statement of its own.
    """
    helper = use.function
    if not use.changes:
        if _is_answer(helper) and _is_about_something(helper):
            yield from ((call, caller, "read") for call, caller in _sites(helper) or ())
        return
    if not _is_one_step(helper):
        return
    if _is_single_step(use) or _is_step_itself(use):
        return
    if not helper.is_private or not helper.is_only_called:
        return
    sites = _sites(helper)
    if sites and all(isinstance(parent(call), ast.Expr) for call, _ in sites):
        yield from ((call, caller, "mutate") for call, caller in sites)


def _is_about_something(helper: Function) -> bool:
    """Return whether an answer is about an argument, or only for the class itself: `is_running()`
    is what others ask who start and stop an object that they have for themselves.
    """
    return helper.is_private or len(helper.parameters) > 1


def _is_answer(function: Function) -> bool:
    """Return whether a method only works out an answer: in one statement, or with variables of its
    own and tests ahead of that.
    """
    known: dict[Function, bool] = function.file.__dict__.setdefault("_answers", {})
    if function not in known:
        last = function.body[-1] if function.body else None
        known[function] = (
            _is_plain(function)
            and isinstance(last, ast.Return)
            and last.value is not None
            and all(_is_quiet(one) for one in function.own if isinstance(one, ast.stmt))
        )
    return known[function]


def _is_quiet(statement: ast.stmt) -> bool:
    """Return whether a statement only tests, returns or sets a variable of its function."""
    if isinstance(statement, ast.Assign):
        return all(isinstance(target, ast.Name) for target in statement.targets)
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.If | ast.Return)


def _is_one_step(function: Function) -> bool:
    """Return whether a method is one statement, but for what it tells of it, and nothing is around
    that.
    """
    known: dict[Function, bool] = function.file.__dict__.setdefault("_one_liners", {})
    if function not in known:
        known[function] = _is_plain(function) and _only(function) is not None
    return known[function]


def _is_plain(function: Function) -> bool:
    return (
        function.cls is not None
        and not function.name.startswith("__")
        and not (function.is_async or function.is_generator or function.decorators)
    )


def _only(function: Function) -> ast.stmt | None:
    steps = untold(function.file, without_text(function.body))
    if len(steps) == 1 and isinstance(steps[0], ast.Assign | ast.AugAssign | ast.Expr):
        return steps[0]
    return only_statement(function)[0]


def _sites(helper: Function) -> list[tuple[ast.Call, Function]] | None:
    """Return the calls of a helper on the same object, and who makes them; None when one is of
    another object, or a subclass does something else in its place.
    """
    file, found = helper.file, []
    for site in helper.callers:
        func, caller = site.call.func, site.caller
        if site.file is not file or caller is None or not isinstance(func, ast.Attribute):
            return None
        if caller.home is None or not is_self(file, func.value):
            return None
        if any(is_of_this_thread(file, given) for given in site.call.args):
            return None
        found.append((site.call, caller))
    if helper.cls is None or helper.cls.overrides(helper.name):
        return None
    return found


def _is_single_step(use: AttributeUse) -> bool:
    """Return whether nothing is lost when a change is made twice: a constant is set, or something
    put into a set.
    """
    above = parent(use.node)
    if isinstance(above, ast.Assign) and isinstance(above.value, ast.Constant):
        return True
    return isinstance(above, ast.Attribute) and above.attr in {"add", "discard"}


def _is_step_itself(use: AttributeUse) -> bool:
    """Return whether a helper reads what it changes: it is what has to be one step."""
    if use.mode == "augment" or isinstance(_only(use.function), ast.AugAssign):
        return True
    cls = use.function.home
    others = [] if cls is None else cls.uses_of(use.name)
    return any(one.function is use.function and one.node is not use.node for one in others)
