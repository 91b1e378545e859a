"""One lock for shared data: which one it is, and the fix that holds it wherever it has to be."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable, Iterator, Sequence

from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety
from threadmend.python.borrowed import all_sections
from threadmend.python.builders import BuilderError, reference
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, walk
from threadmend.python.functions import Function, function_of
from threadmend.python.locks import Lock, Section
from threadmend.python.outsiders import is_locked_outside
from threadmend.python.threads import reached
from threadmend.python.uses import owner_of

from ._answers import asked_elsewhere
from ._beside import existing, new, reentrant
from ._contended import contended
from ._data import Data, Use
from ._hold import Plan, edits_of, plan_of
from ._mild import is_mild
from ._unit import Unit
from ._units import units_of
from ._waiting import is_plain, may_return

__all__ = [
    "check_apart",
    "finding",
    "findings",
    "is_held_before",
    "raced",
    "takes_again",
    "with_units",
]


Raced = tuple[Data, list[Unit]]


def findings(file: PythonFile, kind: str, said: str) -> Iterator[Finding]:
    """Yield one finding for each of the data whose first unit is of a kind; `said` is the
    message, with `{}` for the data.
    """
    every = raced(file)
    for data, units in every:
        if units[0].kind == kind:
            yield finding(data, units, said, every)


def finding(data: Data, units: list[Unit], said: str, every: Sequence[Raced]) -> Finding:
    """Return the finding about data; `every` is what may get a lock in the same run."""
    file = data.file
    name = _shown(data, units[0].use)
    start, end = file.span(units[0].use.node)
    related = tuple(
        Related(file.path, *file.span(u.use.node), f"{name} is changed here as well")
        for u in units[1:]
    )
    near = any(data.is_near(unit.use) for unit in units)
    sure = near and not file.is_test and not is_mild(data, units)
    level = Confidence.HIGH if sure else Confidence.LOW
    message = said.format(name)
    try:
        fix = _fix(data, units, name, every)
    except BuilderError as error:
        return Finding(file.path, start, end, message, (), related, str(error), confidence=level)
    return Finding(file.path, start, end, message, (fix,), related, confidence=level)


def raced(file: PythonFile) -> list[Raced]:
    """Return the data that threads of a file race for, with the units that have to be steps."""
    known: list[Raced] | None = file.__dict__.get("_raced")
    if known is None:
        known = file.__dict__["_raced"] = with_units(contended(file))
    return known


def with_units(found: Iterable[Data]) -> list[Raced]:
    """Return the data that have units: each unit once, with the class that declares the data."""
    seen: set[ast.expr] = set()
    pairs: list[Raced] = []
    for data in found:
        units = [unit for unit in units_of(data) if unit.use.node not in seen]
        seen.update(unit.use.node for unit in units)
        if units:
            pairs.append((data, units))
    return pairs


def _shown(data: Data, use: Use) -> str:
    node = use.node
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return f"{data.file.text(node.func.value)}.{data.name}"  # a helper changes it
    return data.file.text(node)


def _fix(data: Data, units: list[Unit], name: str, every: Sequence[Raced]) -> Fix:
    file = data.file
    for step in {unit.use.function: None for unit in units if unit.kind != "check"}:
        asker = asked_elsewhere(data, step)
        if asker is not None:
            raise BuilderError(
                f"{asker.qualname} asks before it calls {step.name}: a lock has to be held for both"
            )
    plans = [plan_of(unit) for unit in units]
    plans += [plan_of(unit) for unit in _others(data, units) if not _joined(plans, unit)]
    units = [plan.unit for plan in plans]
    lock = existing(data, units)
    edits: list[Edit] = []
    # What else the file's fixes put under a lock may come to stand under the same one.
    functions = {unit.use.function for unit in units}
    functions |= {u.use.function for d, others in every if _meets(data, d) for u in others}
    returns = any(may_return(file, c, functions) for plan in plans for c in plan.calls())
    returns = returns or _is_nested(data, units, every)
    if lock is None:
        if any(_is_of_base(data, unit.use.function) for unit in units):
            raise BuilderError("a base uses it as well, which would have no lock")
        shown, edits = new(data, units[0].use, "RLock" if returns else "Lock")
    else:
        shown = lock.place.name
        if not lock.reentrant and (
            returns or is_held_before(file, lock, functions) or takes_again(file, plans, lock)
        ):
            edits = reentrant(data.owner, lock)
    for plan in reversed(plans):
        spelled, imports = _spelled(data, plan, shown)
        edits += [*imports, *edits_of(plan, spelled)]
    edits = list(dict.fromkeys(edits))
    check_apart(edits)
    reason = f"what ran at the same time now waits for {spelled}"
    return Fix(f"Hold a lock while {name} changes", tuple(edits), Safety.UNSAFE, reason)


def _is_of_base(data: Data, function: Function) -> bool:
    """Return whether a function is a method of a class above that of the data."""
    home = function.home
    return data.cls is not None and home is not data.cls and home in data.cls.mro


def _is_nested(data: Data, units: list[Unit], every: Sequence[Raced]) -> bool:
    """Return whether statements that get the lock stand in others that get it for other data of
    the object, or those in them: the thread would wait for itself.
    """
    blocks = [unit.block for unit in units]
    mine = [s for block in blocks for s in block]
    inside = {node for s in mine for node in ast.walk(s)}
    for other, found in every:
        if other is data or not _meets(data, other):
            continue
        further = (unit for unit in (*found, *_others(other, found)) if unit.block not in blocks)
        theirs = [s for unit in further for s in unit.block]
        if not inside.isdisjoint(theirs):
            return True
        if any(s in mine for one in theirs for s in ast.walk(one)):
            return True
    return False


def _meets(data: Data, other: Data) -> bool:
    """Return whether two data may get one lock: they belong to one class or scope."""
    if data.cls is not None or other.cls is not None:
        return data.cls is other.cls
    mine, its = data.binding, other.binding
    return mine is not None and its is not None and mine.scope is its.scope


def check_apart(edits: list[Edit]) -> None:
    """Refuse edits that get into each other's way."""
    ordered = sorted(edits)
    for one, following in itertools.pairwise(ordered):
        if one.path != following.path:
            continue
        both = one.start == following.start and one.end == one.start == following.end
        if one.end > following.start or both:
            raise BuilderError("the places are too close to each other")


def _spelled(data: Data, plan: Plan, shown: str) -> tuple[str, Sequence[Edit]]:
    """Return how a plan's place writes the lock, and the import that it needs for that."""
    node = plan.unit.use.node
    if data.cls is not None or (data.home is not None and isinstance(node, ast.Attribute)):
        owner = owner_of(data.file, node)
        if owner is not None:
            return f"{data.file.text(owner)}.{shown}", ()
        if isinstance(node, ast.Name) and data.cls is not None and not data.of_class:
            raise BuilderError("the object of the lock has no name here")
    if data.home is not None:
        return reference(data.file, f"{data.home.module}.{shown}", node)
    return shown, ()


def _joined(plans: list[Plan], unit: Unit) -> bool:
    """Return whether a plain change could be put to a unit that it follows directly."""
    file = unit.data.file
    for plan in plans:
        if plan.rest or isinstance(plan.block[0], ast.While):
            continue
        if after(plan.block[-1])[:1] == [unit.first]:
            calls = [n for n in walk(unit.block) if isinstance(n, ast.Call)]
            if all(is_plain(file, call) for call in calls):
                plan.block.append(unit.first)
                return True
    return False


def _others(data: Data, units: list[Unit]) -> list[Unit]:
    """Return the plain changes that would still get between: resets, additions, removals."""
    file = data.file
    inside = {node for unit in units for s in unit.block for node in ast.walk(s)}
    through = {helper for unit in units for helper in unit.through}
    found: list[Unit] = []
    seen: set[ast.stmt] = set()
    for use in data.uses:
        if not use.changes or not use.threads or use.node in inside or file.held(use.node):
            continue
        if use.function in through:
            continue
        statement = file.statement(use.node)
        plain = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Delete, ast.Return)
        if statement in seen or not isinstance(statement, plain):
            continue
        if file.function(use.node) is not use.function:
            continue
        seen.add(statement)
        found.append(Unit("change", data, use, [statement]))
    return found


def is_held_before(file: PythonFile, lock: Lock, functions: set[Function]) -> bool:
    """Return whether something calls one of the functions with the lock held."""
    for function in file.functions:
        if is_locked_outside(function, lock.place) and reached(function) & functions:
            return True
    for other, section in _sections_of(file, lock):
        for node in walk(section.body):
            callee = function_of(other, node.func) if isinstance(node, ast.Call) else None
            if callee is not None and reached(callee) & functions:
                return True
    return False


def _sections_of(file: PythonFile, lock: Lock) -> Iterator[tuple[PythonFile, Section]]:
    """Yield the sections of a lock in a file, and in the one that makes it: that of the class
    which a mixin is for.
    """
    for one in dict.fromkeys((file, lock.value.file)):
        for section in all_sections(one):
            if section.lock.place.anywhere == lock.place.anywhere:
                yield one, section


def takes_again(file: PythonFile, plans: list[Plan], lock: Lock) -> bool:
    """Return whether something that is called with the lock held takes it, or stands there."""
    sections = [section for _, section in _sections_of(file, lock)]
    inside = {node for plan in plans for s in plan.block for node in ast.walk(s)}
    late = [plan.unit.inner for plan in plans]
    if any(section.start in inside and section.start not in late for section in sections):
        return True
    taking = {section.function for section in sections}
    for plan in plans:
        for call in plan.calls():
            callee = function_of(file, call.func)
            if callee is not None and reached(callee) & taking:
                return True
    return False
