"""Locks that are taken under another one by a function which the object was made with."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from threadmend.python.file import PythonFile
from threadmend.python.flow import walk
from threadmend.python.held import held_at
from threadmend.python.lockorder import Nesting, nestings, takings

from ._handed import kept_functions

__all__ = ["all_nestings"]


def all_nestings(file: PythonFile) -> list[Nesting]:
    """Return every lock that is taken while another one is held: also by `self._on_evict(key)`,
    under the lock of an object that somebody made with a method which takes his own.
    """
    known: list[Nesting] | None = file.__dict__.get("_all_nestings")
    if known is None:
        known = file.__dict__["_all_nestings"] = [*nestings(file), *_by_callbacks(file)]
    return known


def _by_callbacks(file: PythonFile) -> Iterator[Nesting]:
    for outer in file.sections:
        function = outer.function
        if function is None or function.home is None or outer.lock.place.kind == "local":
            continue
        for call in walk(outer.body):
            func = call.func if isinstance(call, ast.Call) else None
            if not isinstance(func, ast.Attribute) or call in function.callees:
                continue
            assert isinstance(call, ast.Call)
            if outer.lock.place not in held_at(file, call):
                continue
            for callback in dict.fromkeys(kept_functions(file, func)):
                if callback.is_async or callback.is_generator:
                    continue
                for taking in takings(callback):
                    if taking.place.kind == "local" or taking.place.anywhere == outer.lock.place:
                        continue
                    # Whose lock it is, the object that calls cannot name.
                    place = taking.place
                    if place.kind == "attribute" and place.base != "class":
                        place = place._replace(base="?")
                    inner = replace(taking, place=place, calls=(call, *taking.calls))
                    yield Nesting(outer.lock.place, outer, inner, function, file)
