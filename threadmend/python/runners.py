"""Classes of the project whose threads run what their objects are made with:
`Runner(work, item).start()`.

class Runner(threading.Thread):
    def __init__(self, work, *args):
        super().__init__()
        self._work, self._args = work, args

    def run(self):
        self._work(*self._args)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from threadmend.python.arguments import argument
from threadmend.python.flow import enclosing, is_none
from threadmend.python.functions import Function
from threadmend.python.locks import looks_like_lock
from threadmend.python.uses import is_self

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.threads import Spawn

__all__ = ["Runner", "runners_of"]


class Runner(NamedTuple):
    """A class whose thread calls a parameter of its `__init__`, with parameters, when known; or
    with no `name` a `hook`, an attribute that is None until somebody sets it.
    """

    cls: Class
    init: Function
    name: str
    args: tuple[ast.expr, ...] | None
    hook: str = ""


def runners_of(spawn: Spawn) -> Iterator[Runner]:
    """Yield what the thread of a class calls of what its objects are made with: what `run` calls in
    a class of threads, and the method that is the target where an object starts a thread for
    itself, with the other methods that these call. What they call under a lock is left out.
    """
    cls = _class_of(spawn)
    init = None if cls is None else cls.method("__init__")
    if cls is None or init is None or spawn.target is None:
        return
    for method in _own(spawn.target, cls):
        for call in method.calls:
            func = call.func
            if isinstance(func, ast.Attribute) and is_self(method.file, func.value):
                name = _parameter(cls, init, func.attr)
                if _is_locked(method, call):
                    continue
                if name:
                    yield Runner(cls, init, name, _arguments(cls, init, method, call))
                elif _is_hook(cls, func.attr):
                    yield Runner(cls, init, "", None, func.attr)


def _class_of(spawn: Spawn) -> Class | None:
    """Return the class whose object runs in a thread of its own: one of threads, or one that has
    `Thread(target=self._work)`.
    """
    if isinstance(spawn.node, ast.ClassDef):
        return spawn.file.class_of(spawn.node)
    node, starter = spawn.target_node, spawn.file.function(spawn.node)
    if not isinstance(node, ast.Attribute) or not is_self(spawn.file, node.value):
        return None
    return None if starter is None or spawn.kind not in {"thread", "timer"} else starter.cls


def _own(target: Function, cls: Class) -> list[Function]:
    """Return a method and those of the same object that it calls."""
    found: list[Function] = []
    pending = [target]
    while pending:
        one = pending.pop()
        if one not in found and one.cls in cls.mro:
            found.append(one)
            pending += [
                callee
                for call, callee in one.callees.items()
                if isinstance(call.func, ast.Attribute) and is_self(one.file, call.func.value)
            ]
    return found


def _is_locked(method: Function, call: ast.Call) -> bool:
    """Return whether a call seems to be made under a lock."""
    return any(
        looks_like_lock(method.file.text(item.context_expr))
        for block in enclosing(call, ast.With)
        for item in getattr(block, "items", ())
    )


def _is_hook(cls: Class, attribute: str) -> bool:
    """Return whether the methods of a class only ever set an attribute to None."""
    values = [value for _, value in cls.values_of(attribute)]
    return bool(values) and all(map(is_none, values)) and cls.method(attribute) is None


def _parameter(cls: Class, init: Function | None, attribute: str) -> str:
    """Return the parameter of `__init__` that an attribute keeps for good, also by handing it on to
    the `__init__` of a base.
    """
    values = cls.values_of(attribute)
    if init is None or len(values) != 1 or cls.method(attribute) is not None:
        return ""
    file, value = values[0]
    binding = file.binding(value)
    if binding is None or not isinstance(value, ast.Name):
        return ""
    if [site.kind for site in binding.sites] != ["parameter"]:
        return ""
    if binding.scope is init.scope:
        return binding.name
    keeper = file.function(binding.scope.node)
    return "" if keeper is None else _handed_up(init, keeper, binding.name)


def _handed_up(init: Function, keeper: Function, name: str) -> str:
    """Return the parameter of an `__init__` that it hands to that of a base for `name`."""
    if keeper.name != "__init__" or name not in keeper.parameters:
        return ""
    for call, callee in init.callees.items():
        if callee is keeper:
            at = keeper.parameters.index(name)
            is_super = isinstance(call.func, ast.Attribute) and isinstance(
                call.func.value, ast.Call
            )
            given = argument(call, at - is_super, name)
            binding = init.file.binding(given)
            if binding is None or binding.scope is not init.scope:
                return ""
            kinds = [site.kind for site in binding.sites]
            return binding.name if kinds == ["parameter"] else ""
    return ""


def _arguments(
    cls: Class, init: Function, method: Function, call: ast.Call
) -> tuple[ast.expr, ...] | None:
    """Return the arguments of a call in the thread as names of parameters of `__init__`."""
    found: list[ast.expr] = []
    for given in call.args:
        inner = given.value if isinstance(given, ast.Starred) else given
        name = ""
        if isinstance(inner, ast.Attribute) and is_self(method.file, inner.value):
            name = _parameter(cls, init, inner.attr)
        if not name:
            return None
        one = ast.Name(name, ast.Load())
        found.append(ast.Starred(one, ast.Load()) if inner is not given else one)
    return tuple(found)
