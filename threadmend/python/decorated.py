"""What decorators of the project do with a function: the function that they put around it, and
whether that only hands it on to a loop or a thread.

    def idle(work):
        def later(*args):
            GLib.idle_add(work, *args)
        return later
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from threadmend.python.file import last_name
from threadmend.python.functions import Function, function_of
from threadmend.python.scope import parent

__all__ = ["is_put_off", "worn_by", "wrappers"]

_LATER = frozenset({"idle_add", "threads_add_idle", "timeout_add", "call_soon_threadsafe",
                    "callFromThread", "CallAfter", "singleShot", "after_idle", "Thread",
                    "start_new_thread", "submit", "apply_async"})  # fmt: skip
"""Calls that have a loop or a thread run a function, and go on."""


def wrappers(function: Function) -> Iterator[Function]:
    """Yield what decorators of the project make of a function: it runs when the function is
    called by its name.
    """
    for decorator in getattr(function.node, "decorator_list", ()):
        is_made = isinstance(decorator, ast.Call)
        maker = function_of(function.file, decorator.func if is_made else decorator)
        inner = None if maker is None else _inner(maker)
        if is_made and inner is not None:
            inner = _inner(inner)
        if inner is not None:
            yield inner


def worn_by(wrapper: Function) -> list[Function]:
    """Return the functions of the project that a decorator puts a nested function around."""
    maker = wrapper.outer
    while maker is not None and maker.outer is not None:
        maker = maker.outer
    if maker is None or maker.cls is not None:
        return []
    known: dict[Function, list[Function]] = maker.file.__dict__.setdefault("_worn", {})
    if wrapper not in known:
        known[wrapper] = list(_wearing(maker, wrapper))
    return known[wrapper]


_FEW = 1500
"""Files of a project that are searched for who wears a decorator."""


def _wearing(maker: Function, wrapper: Function) -> Iterator[Function]:
    project, name = maker.file.project, re.escape(maker.file.encode(maker.name))
    worn = re.compile(rb"@[\w.]*\b" + name + rb"\b")
    for path in project.paths if len(project.paths) <= _FEW else ():
        file = project.readable(path) if worn.search(project.source(path).data) else None
        for function in () if file is None else file.functions:
            if getattr(function.node, "decorator_list", ()) and wrapper in wrappers(function):
                yield function


def is_put_off(function: Function) -> bool:
    """Return whether a decorator of the project has a function run by a loop or another thread
    instead of by who calls it.
    """
    decorators = getattr(function.node, "decorator_list", ())
    makers = (function_of(function.file, decorator) for decorator in decorators)
    return any(maker is not None and _puts_off(maker) for maker in makers)


def _puts_off(maker: Function) -> bool:
    """Return whether a decorator makes a function that only hands on the one that it is given."""
    inner = _inner(maker)
    if inner is None or len(maker.parameters) != 1:
        return False
    binding = maker.scope.bindings.get(maker.parameters[0])
    uses = () if binding is None else maker.file.uses(binding)
    inside = [n for n in uses if n in inner.own and isinstance(n.ctx, ast.Load)]
    return bool(inside) and all(map(_is_handed_to_later, inside))


def _is_handed_to_later(node: ast.Name) -> bool:
    above = parent(node)
    call = parent(above) if isinstance(above, ast.keyword) else above
    if not isinstance(call, ast.Call) or call.func is node:
        return False
    return last_name(call.func) in _LATER


def _inner(maker: Function) -> Function | None:
    """Return the nested function that a function returns."""
    returned = [function_of(maker.file, r.value) for r in maker.returns()]
    only = returned[0] if len(returned) == 1 else None
    return only if only is not None and only.outer is maker else None
