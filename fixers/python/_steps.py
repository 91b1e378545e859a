"""Steps that a helper makes for callers which have tested the data before: `if not self._fits(n):
raise`, and then `self._take(n)`, where `_take` counts down. To lock the step alone is half of it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from threadmend.python.functions import Function
from threadmend.python.scope import parent
from threadmend.python.threads import Spawn
from threadmend.python.uses import is_self

from ._answers import answers_in
from ._checks import check
from ._data import Data, Use
from ._unit import Unit

__all__ = ["decided_on"]

_DEPTH = 3
"""Calls between a test and the step that it decides on."""


def decided_on(data: Data, found: list[Unit]) -> list[Unit]:
    """Return units with those of callers in the place of helpers' steps, where every call of the
    helper stands behind a test of the data; where only some do, both.
    """
    by_helper: dict[Function, list[Unit]] = {}
    for unit in found:
        by_helper.setdefault(unit.use.function, []).append(unit)
    kept: list[Unit] = []
    for helper, units in by_helper.items():
        calls = [*_calls(data, helper, _DEPTH)] if _are_steps(units) else []
        tested = [made for made in calls if made is not None]
        if len(tested) < len(calls) or not calls:
            kept += units
        kept += tested
    return kept


def _are_steps(units: list[Unit]) -> bool:
    return all(unit.kind in {"counter", "element"} for unit in units)


def _calls(data: Data, helper: Function, depth: int) -> Iterator[Unit | None]:
    """Yield for each call of a helper the unit of the test that decides on it, None without."""
    if not _is_helper(helper):
        return
    for site in helper.callers:
        caller = site.caller
        if caller is None or site.file is not data.file or caller.home is None:
            yield None
            continue
        if caller in caller.home.init_only:
            continue
        func = site.call.func
        if not isinstance(func, ast.Attribute) or not is_self(data.file, func.value):
            yield None
            continue
        found = _unit(data, helper, site.call, caller)
        if found is None and depth and caller is not helper and not _is_used_in(data, caller):
            further = [*_calls(data, caller, depth - 1)]
            for unit in further:
                if unit is not None:
                    unit.through |= {helper}
            yield from further or [None]
        else:
            yield found


def _is_helper(helper: Function) -> bool:
    cls = helper.cls
    return (
        cls is not None
        and helper.is_private
        and not helper.name.startswith("__")
        and helper.is_only_called
        and not (helper.is_async or helper.is_generator or helper.decorators)
        and not cls.overrides(helper.name)
    )


def _is_used_in(data: Data, function: Function) -> bool:
    return any(use.function is function for use in data.uses)


def _unit(data: Data, helper: Function, call: ast.Call, caller: Function) -> Unit | None:
    statement = parent(call)
    if not isinstance(statement, ast.Expr | ast.Assign | ast.AnnAssign | ast.Return):
        return None
    if caller.is_async or data.file.held(call):
        return None
    at = [use.threads for use in data.uses if use.function is caller] or [
        use.threads for use in data.uses if use.function is helper
    ]
    threads = frozenset[Spawn | None]().union(*at)
    uses = [*data.uses, *answers_in(data, caller, threads)]
    use = Use(call, "step", caller, threads)
    found = check(replace(data, uses=uses), use, statement) if data.races(use) else None
    if found is not None:
        found.through |= {helper}
    return found
