"""Functions that wait for something."""

from __future__ import annotations

import ast
import re

from threadmend.python.functions import Function

__all__ = ["waits"]

_WAITS = frozenset({"join", "wait", "get", "acquire", "is_alive", "result", "wait_for", "sleep"})
_SAYS_SO = re.compile(r"_*(?:wait|join|poll)_\w")
_EVENT_LOOPS = frozenset({"exec", "exec_", "mainloop", "wait_window", "wait_variable", "ShowModal"})
"""A window is shown until somebody, as a rule the thread itself, closes it."""


def waits(function: Function) -> bool:
    """Return whether the function waits for anything: a join, an event, a queue, a dialog, or
    what an object says that it waits for (`state.wait_till_done()`).
    """
    for call in function.calls:
        func = call.func
        if not isinstance(func, ast.Attribute):
            continue
        if func.attr in _WAITS | _EVENT_LOOPS or _SAYS_SO.match(func.attr):
            # "".join and {}.get wait for nothing
            if not isinstance(func.value, ast.Constant) and not _is_dict(function, func.value):
                return True
    return False


def _is_dict(function: Function, node: ast.expr) -> bool:
    return function.file.is_a(node, "dict")
