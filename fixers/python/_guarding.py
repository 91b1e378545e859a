"""One lock for shared data: which one it is, and the fix that holds it wherever it has to be."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety
from threadmend.python import api
from threadmend.python.builders import (
    BuilderError,
    add_attribute,
    add_variable,
    free_attribute,
    free_name,
    insert_after,
    reference,
    replace,
)
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, walk
from threadmend.python.functions import Function, function_of
from threadmend.python.locks import Lock
from threadmend.python.threads import reached

from ._contended import Data, Use, contended
from ._hold import Plan, edits_of, plan_of
from ._units import Unit, units_of
from ._waiting import is_plain, may_return

__all__ = ["check_apart", "findings", "is_held_before", "takes_again"]


def findings(file: PythonFile, kind: str, said: str) -> Iterator[Finding]:
    """Yield one finding for each of the data whose first unit is of a kind; `said` is the
    message, with `{}` for the data.
    """
    for data, units in _raced(file):
        if units[0].kind != kind:
            continue
        name = _shown(data, units[0].use)
        start, end = file.span(units[0].use.node)
        related = tuple(
            Related(file.path, *file.span(u.use.node), f"{name} is changed here as well")
            for u in units[1:]
        )
        near = any(data.is_near(unit.use) for unit in units)
        level = Confidence.HIGH if near and not file.is_test else Confidence.LOW
        message = said.format(name)
        try:
            fix = _fix(data, units, name)
        except BuilderError as error:
            yield Finding(file.path, start, end, message, (), related, str(error), confidence=level)
        else:
            yield Finding(file.path, start, end, message, (fix,), related, confidence=level)


def _raced(file: PythonFile) -> list[tuple[Data, list[Unit]]]:
    known: list[tuple[Data, list[Unit]]] | None = file.__dict__.get("_raced")
    if known is None:
        pairs = [(data, units_of(data)) for data in contended(file)]
        known = file.__dict__["_raced"] = [(d, units) for d, units in pairs if units]
    return known


def _shown(data: Data, use: Use) -> str:
    return data.file.text(use.node)


def _fix(data: Data, units: list[Unit], name: str) -> Fix:
    file = data.file
    plans = [plan_of(unit) for unit in units]
    plans += [plan_of(unit) for unit in _others(data, units) if not _joined(plans, unit)]
    units = [plan.unit for plan in plans]
    lock = _existing(data, units)
    edits: list[Edit] = []
    # What else the file's fixes put under a lock may come to stand under the same one.
    functions = {unit.use.function for unit in units}
    functions |= {u.use.function for d, others in _raced(file) if _meets(data, d) for u in others}
    returns = any(may_return(file, c, functions) for plan in plans for c in plan.calls())
    if lock is None:
        shown, edits = _new(data, units[0].use, "RLock" if returns else "Lock")
    else:
        shown = lock.place.name
        if not lock.reentrant and (
            returns or is_held_before(file, lock, functions) or takes_again(file, plans, lock)
        ):
            edits = _reentrant(file, lock)
    for plan in plans:
        edits += edits_of(plan, _spelled(data, plan, shown))
    check_apart(edits)
    reason = f"what ran at the same time now waits for {_spelled(data, plans[0], shown)}"
    return Fix(f"Hold a lock while {name} changes", tuple(edits), Safety.UNSAFE, reason)


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
        both = one.start == following.start and one.end == one.start == following.end
        if one.end > following.start or both:
            raise BuilderError("the places are too close to each other")


def _spelled(data: Data, plan: Plan, shown: str) -> str:
    node = plan.unit.use.node
    if data.cls is not None and isinstance(node, ast.Attribute):
        return f"{data.file.text(node.value)}.{shown}"
    return shown


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
    found: list[Unit] = []
    seen: set[ast.stmt] = set()
    for use in data.uses:
        if not use.changes or not use.threads or use.node in inside or file.held(use.node):
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


# -- the lock -------------------------------------------------------------------------------


def _existing(data: Data, units: list[Unit]) -> Lock | None:
    """Return the lock that most other uses stand under, or the only one of the owner."""
    file = data.file
    locks = list(_locks(data))
    counts = [0] * len(locks)
    for use in data.uses:
        held = file.held(use.node).locks
        for number, lock in enumerate(locks):
            counts[number] += lock.place in held
    for unit in units:
        if unit.inner is not None:
            late = file.lock(unit.inner.items[0].context_expr)
            for number, lock in enumerate(locks):
                counts[number] += 1000 * (late is not None and late.place == lock.place)
    most = max(counts, default=0)
    if most:
        return locks[counts.index(most)]
    if any(file.held(use.node).locks for use in data.uses):
        raise BuilderError("its other uses stand under a lock that cannot be named here")
    places = {lock.place for lock in locks}
    return locks[0] if len(places) == 1 else None


def _locks(data: Data) -> Iterator[Lock]:
    """Yield the locks of threads that stand where the data does."""
    file = data.file
    if data.cls is not None:
        seen = set()
        for use in (use for cls in data.cls.mro for use in cls.uses):
            if use.name in seen or use.function.file is not file:
                continue
            lock = file.lock(use.node)
            if lock is None or lock.family != "thread" or lock.own != lock.place:
                continue
            if data.of_class and lock.place.base != "class":
                continue
            seen.add(use.name)
            yield lock
    elif data.binding is not None:
        for binding in data.binding.scope.bindings.values():
            site = binding.sites[0]
            if site.kind == "assign" and isinstance(site.node, ast.Name):
                lock = file.lock(site.node)
                if lock is not None and lock.family == "thread" and lock.own == lock.place:
                    yield lock


def _new(data: Data, use: Use, kind: str) -> tuple[str, list[Edit]]:
    """Return the name of a new lock beside the data, and the edits that make it."""
    if data.cls is not None:
        return _new_attribute(data, data.cls, kind)
    file = data.file
    assert data.binding is not None
    text, added = reference(file, f"threading.{kind}", use.node)
    name = free_name(file, f"{data.name.lower().strip('_')}_lock")
    if data.binding.scope.kind == "module" and data.name.startswith("_"):
        name = free_name(file, f"_{name}")
    line = f"{name} = {text}()"
    site = data.binding.sites[0]
    if site.kind == "parameter":
        return name, [*added, *add_variable(file, line, site.node)]
    statement = file.statement(site.node)
    owner = data.binding.scope.node if _is_local(data) else statement
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or file.function(
        statement
    ) is not file.function(owner):
        raise BuilderError("there is no place for a lock")
    return name, [*added, *insert_after(file, statement, line)]


def _new_attribute(data: Data, cls: Class, kind: str) -> tuple[str, list[Edit]]:
    file = data.file
    at = cls.methods.get("__init__")
    text, added = reference(file, f"threading.{kind}", at.node if at else None)
    name = "_lock"
    if free_attribute(cls, name) != name:
        name = free_attribute(cls, f"_{data.name.strip('_')}_lock")
    if data.of_class:
        site = cls.scope.bindings[data.name].sites[0]
        line = f"{name} = {text}()"
        return name, [*added, *insert_after(file, file.statement(site.node), line)]
    fields = [s for s in cls.node.body if isinstance(s, ast.AnnAssign)]
    if _is_dataclass(cls) and at is None and fields:
        field, more = reference(file, "dataclasses.field")
        given = f"    default_factory={text}, init=False, repr=False, compare=False\n"
        line = f"{name}: {text} = {field}(\n{given})"
        return name, [*added, *more, *insert_after(file, fields[-1], line)]
    return name, [*added, *add_attribute(cls, name, f"{text}()")]


def _is_dataclass(cls: Class) -> bool:
    file = cls.file
    for one in cls.node.decorator_list:
        if (
            file.qualified(one.func if isinstance(one, ast.Call) else one)
            == "dataclasses.dataclass"
        ):
            return True
    return False


def _is_local(data: Data) -> bool:
    return data.binding is not None and data.binding.scope.kind == "function"


def is_held_before(file: PythonFile, lock: Lock, functions: set[Function]) -> bool:
    """Return whether something calls one of the functions with the lock held."""
    for section in file.sections:
        if section.lock.place.anywhere != lock.place.anywhere:
            continue
        for node in walk(section.body):
            callee = function_of(file, node.func) if isinstance(node, ast.Call) else None
            if callee is not None and reached(callee) & functions:
                return True
    return False


def takes_again(file: PythonFile, plans: list[Plan], lock: Lock) -> bool:
    """Return whether something that is called with the lock held takes it."""
    taking = {s.function for s in file.sections if s.lock.place.anywhere == lock.place.anywhere}
    for plan in plans:
        for call in plan.calls():
            callee = function_of(file, call.func)
            if callee is not None and reached(callee) & taking:
                return True
    return False


def _reentrant(file: PythonFile, lock: Lock) -> list[Edit]:
    """Return the edits that make an existing lock re-entrant."""
    made = lock.value.made
    if not isinstance(made, ast.Call) or lock.value.file is not file or lock.is_condition:
        raise BuilderError(f"what runs meanwhile may take {lock.place.name} again")
    if lock.type != "threading.Lock" or file.qualified(made.func) not in api.THREAD_LOCKS:
        raise BuilderError(f"what runs meanwhile may take {lock.place.name} again")
    text, added = reference(file, "threading.RLock", made)
    return [*added, *replace(file, made.func, text)]
