"""Calls of a method by classes of other modules that inherit it, and by those that it is
inherited from: what a method overrides the base calls.

class Gate:                             class Mailbox(Gate):
    def _wake(self):                        def post(self, letter):
        self._changed.notify_all()              with self._changed:
                                                    self._wake()
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from threadmend.python.functions import CallSite, Function, attributes_of, function_of, is_called

if TYPE_CHECKING:
    from threadmend.python.classes import Class

__all__ = ["by_super", "calls_by_bases", "calls_by_heirs", "is_only_called_by_heirs"]


def calls_by_bases(function: Function) -> list[CallSite]:
    """Return the calls of a method by the bases whose method of that name it overrides."""
    cls = function.cls
    if cls is None:
        return []
    overridden = [base.methods.get(function.name) for base in cls.mro[1:]]
    sites = [site for method in overridden if method is not None for site in method.callers]
    return [own for site in sites for own in _as_overridden(cls, site)]


def _as_overridden(cls: Class, site: CallSite) -> list[CallSite]:
    """Return the calls by which an object of the class gets to a call of its base: by `super()`,
    where the class overrides the method that makes it.
    """
    caller = site.caller
    own = None if caller is None else cls.methods.get(caller.name)
    if caller is None or own is None or own is caller or caller.cls not in cls.mro[1:]:
        return [site]
    calls = (call for call in own.calls if by_super(call.func) == caller.name)
    return [CallSite(call, own, own.file) for call in calls]


def by_super(func: ast.expr) -> str:
    """Return the name of the method that `super().m` names, empty for anything else."""
    made = func.value if isinstance(func, ast.Attribute) else None
    named = made.func if isinstance(made, ast.Call) else None
    is_super = isinstance(named, ast.Name) and named.id == "super"
    return func.attr if is_super and isinstance(func, ast.Attribute) else ""


def calls_by_heirs(function: Function) -> list[CallSite]:
    """Return the calls of a method in the other files of the project whose classes inherit it."""
    known: dict[Function, list[CallSite]] = function.file.__dict__.setdefault("_heir_calls", {})
    if function not in known:
        known[function] = [
            CallSite(call, heir.file.function(call), heir.file)
            for heir in _heirs_elsewhere(function)
            for call in heir.file.calls(function.name)
            if _is_in(heir, call.func) and function_of(heir.file, call.func) is function
        ]
    return known[function]


def is_only_called_by_heirs(function: Function) -> bool:
    """Return whether the files of those classes do nothing with the method but call it; unknown,
    and no, where these are too many to be read.
    """
    cls = function.cls
    if cls is not None and cls.file.project.below.has_many(cls):
        return False
    return all(
        is_called(node)
        for heir in _heirs_elsewhere(function)
        for node in attributes_of(heir.file).get(function.name, ())
    )


def _heirs_elsewhere(function: Function) -> list[Class]:
    cls = function.cls
    if cls is None or cls.file.project.below.has_many(cls):
        return []
    below = cls.file.project.below.heirs_with(cls, function.file.encode(function.name))
    return [heir for heir in below if heir.file is not cls.file]


def _is_in(heir: Class, node: object) -> bool:
    """Return whether a node is of a method of the class (files may hold several heirs)."""
    inside = heir.file.function(node)  # type: ignore[arg-type]
    return inside is not None and inside.home is heir
