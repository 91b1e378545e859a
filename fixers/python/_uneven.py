"""Attributes that most code uses under one lock, and where it does not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety
from threadmend.python.builders import BuilderError
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.functions import Function
from threadmend.python.guards import Guard, guards_of
from threadmend.python.held import Held, callers_seem_to_hold
from threadmend.python.locks import Lock
from threadmend.python.uses import AttributeUse

from ._beside import reentrant
from ._data import Data, Use
from ._deque_ends import are_at_its_ends
from ._guarding import check_apart, is_held_before, takes_again
from ._hold import Plan, edits_of, plan_of
from ._unit import Unit
from ._waiting import may_return

__all__ = [
    "Uneven",
    "entered",
    "guarded_data",
    "is_left_out",
    "is_made_with",
    "lock_of",
    "locks_itself",
    "uneven",
]

_SHARE = 2 / 3
_ALONE = re.compile(r"fork|__(?:del|repr|str|getstate|setstate|reduce|copy|deepcopy|len|bool)__")
_SIMPLE = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Return, ast.Delete)


@dataclass(frozen=True, slots=True, eq=False)
class Uneven:
    """A use without the lock that most others stand under.

    `is_step`: it computes the attribute's value from the old one, which has to be one step.
    """

    file: PythonFile
    cls: Class
    guard: Guard
    lock: Lock
    use: AttributeUse
    is_step: bool

    def finding(self, said: str) -> Finding:
        """Return the finding, with the fix that takes the lock; `said` gets the attribute, the
        lock and the number of the other uses.
        """
        return _finding(self, said)


def uneven(file: PythonFile) -> list[Uneven]:
    """Return the uses without the lock that most others are under, one of each statement."""
    known: list[Uneven] | None = file.__dict__.get("_uneven")
    if known is None:
        known = file.__dict__["_uneven"] = [] if file.is_test else list(_uneven(file))
    return known


def _uneven(file: PythonFile) -> Iterator[Uneven]:
    seen: set[ast.AST] = set()
    for cls in file.classes:
        for guard in guards_of(cls).values():
            if not guard.unlocked or not guard.is_meant or _share(file, guard) < _SHARE:
                continue
            lock = lock_of(file, cls, guard)
            if lock is None or are_at_its_ends(cls, guard):
                continue
            for use in guard.unlocked:
                statement = file.statement(use.node)
                if statement in seen or not _is_doubtful(file, use) or locks_itself(use):
                    continue
                if is_made_with(cls, lock, use.function.file.held(use.node)):
                    continue
                if callers_seem_to_hold(use.function, lock.place):
                    continue
                step = _is_step(file, guard, use)
                if step or guard.share >= _SHARE:
                    seen.add(statement)
                    yield Uneven(file, cls, guard, lock, use, step)


def guarded_data(file: PythonFile, cls: Class, guard: Guard) -> Data:
    """Return what a lock guards, as one: an attribute, and all others that it is held around."""
    data = Data(file, guard.name, cls=cls)
    beside = [g for g in guards_of(cls).values() if g.lock == guard.lock and g.name != guard.name]
    for other in (guard, *beside):
        for use in (*other.locked, *other.unlocked, *other.unsure):
            if use.function.file is file:
                data.uses.append(Use(use.node, use.mode, use.function, frozenset()))
    return data


def entered(file: PythonFile, lock: Lock, function: Function, plan: Plan) -> list[Edit]:
    """Return the edits that let a function enter a lock as planned: one that a function which was
    handed in may take again becomes re-entrant. Raises BuilderError where nobody could enter it.
    """
    if lock.reentrant:
        return []
    if is_held_before(file, lock, {function}) or takes_again(file, [plan], lock):
        raise BuilderError(f"{lock.place.name} would be taken twice by one thread")
    used = {use.node for use in plan.unit.data.uses}  # others call methods of these under the lock
    returns = any(
        may_return(file, call, {function})
        for call in plan.calls()
        if getattr(call.func, "value", None) not in used
    )
    return reentrant(file, lock) if returns else []


def is_made_with(cls: Class, lock: Lock, held: Held) -> bool:
    """Return whether a call made the lock with one that is held: they may be one."""
    return any(
        isinstance(made, ast.Call) and any(file.place(given) in held.locks for given in made.args)
        for file, made in cls.values_of(lock.own.name)
    )


def _share(file: PythonFile, guard: Guard) -> float:
    """Return the part that is locked when `n = n + 1` counts as one use without the lock."""
    apart = {file.statement(use.node) for use in guard.unlocked if use.function.file is file}
    other = sum(use.function.file is not file for use in guard.unlocked)
    return len(guard.locked) / (len(guard.locked) + len(apart) + other)


def _is_step(file: PythonFile, guard: Guard, use: AttributeUse) -> bool:
    """Return whether a use computes the value from the old one, in a class where several
    functions take the lock for that attribute.
    """
    if len(guard.locked) < 3 or len({u.function for u in guard.locked}) < 2:
        return False
    statement = file.statement(use.node)
    if isinstance(statement, ast.AugAssign):
        return _is_target(statement.target, use.node)
    if not isinstance(statement, ast.Assign) or not _is_target(statement.targets[0], use.node):
        return False
    if isinstance(statement.value, ast.BoolOp | ast.IfExp):
        return False
    text = file.text(use.node)
    return any(
        isinstance(node, ast.Attribute) and file.text(node) == text
        for node in ast.walk(statement.value)
    )


def _is_target(target: ast.expr, node: ast.expr) -> bool:
    while isinstance(target, ast.Subscript):
        target = target.value
    return target is node


def lock_of(file: PythonFile, cls: Class, guard: Guard) -> Lock | None:
    """Return the lock of threads that the class can name `self.lock`, unless a method answers by
    it whether something runs: that is held for as long as that does, whatever it uses.
    """
    for use in (use for one in cls.mro for use in one.uses):
        if use.function.file is file:
            lock = file.lock(use.node)
            if lock is not None and lock.place == lock.own == guard.lock:
                is_flag = _is_answered_by(cls, use.name)
                return lock if lock.family == "thread" and not is_flag else None
    return None


def _is_answered_by(cls: Class, name: str) -> bool:
    """Return whether a method does `return self.running.locked()`."""
    return any(
        use.name == name
        and isinstance(method := use.function.file.parent(use.node), ast.Attribute)
        and method.attr == "locked"
        and isinstance(use.function.file.statement(use.node), ast.Return)
        for one in cls.mro
        for use in one.uses
    )


def locks_itself(use: AttributeUse) -> bool:
    """Return whether an object of the project's own is changed by a method that takes its lock."""
    file, method = use.function.file, use.function.file.parent(use.node)
    call = None if method is None else file.parent(method)
    value = file.value(use.node)
    if not isinstance(method, ast.Attribute) or value is None or value.cls is None:
        return False
    called = value.cls.method(method.attr)
    if not isinstance(call, ast.Call) or call.func is not method or called is None:
        return False
    return any(section.function is called for section in called.file.sections)


def _is_doubtful(file: PythonFile, use: AttributeUse) -> bool:
    """Return whether a use is more than a single read, which sees one value or the other."""
    function = use.function
    if function.file is not file or function.is_async or is_left_out(function):
        return False
    statement = file.statement(use.node)
    if use.changes:
        return True
    if isinstance(statement, ast.For | ast.If | ast.With | ast.Try):
        return False
    assert function.home is not None
    guards = guards_of(function.home)
    lock = guards[use.name].lock if use.name in guards else None
    others = {n for g in guards.values() if g.lock == lock for n in (u.node for u in g.unlocked)}
    return sum(node in others for node in ast.walk(statement)) > 1


def is_left_out(function: Function) -> bool:
    """Return whether one thread alone is taken to run a function: after a fork, or for `repr`."""
    return _ALONE.search(function.name) is not None


def _finding(one: Uneven, said: str) -> Finding:
    file, guard, lock, use = one.file, one.guard, one.lock, one.use
    start, end = file.span(use.node)
    name, held = ast.unparse(use.node), lock.place.name
    count = len(guard.locked)
    said = said.format(name, held, count)
    first = guard.locked[0].node
    related: tuple[Related, ...] = ()
    if guard.locked[0].function.file is file:
        related = (Related(file.path, *file.span(first), f"{name} is used under {held} here"),)
    data = guarded_data(file, one.cls, guard)
    statement = file.statement(use.node)
    spelled = f"{ast.unparse(use.owner)}.{held}"  # a span inside of an f-string is not known
    try:
        if not isinstance(statement, _SIMPLE):
            raise BuilderError("the lock would be held for the whole statement")
        unit = Unit("change", data, Use(use.node, use.mode, use.function, frozenset()), [statement])
        plan = plan_of(unit)
        edits = (*entered(file, lock, use.function, plan), *edits_of(plan, spelled))
        check_apart([*edits])
    except BuilderError as error:
        return Finding(
            file.path, start, end, said, (), related, str(error), confidence=Confidence.MEDIUM
        )
    fix = Fix(f"Hold {spelled} here as well", edits, Safety.UNSAFE, f"it waits for {spelled}")
    return Finding(file.path, start, end, said, (fix,), related, confidence=Confidence.MEDIUM)
