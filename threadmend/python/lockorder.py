"""Lock order: which locks a function takes, through its calls, and what is held meanwhile."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from threadmend.graph import components
from threadmend.python.attempts import attempts
from threadmend.python.borrowed import borrowed_sections
from threadmend.python.circles import asked
from threadmend.python.flow import walk
from threadmend.python.functions import Function
from threadmend.python.held import held_at
from threadmend.python.implied import is_own, receiver_of, runs, seen_from
from threadmend.python.locks import Lock, Section
from threadmend.python.places import Place
from threadmend.python.switches import is_switched_off, switches_of

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.file import PythonFile

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

__all__ = ["Nesting", "Taking", "circles", "nestings", "takings"]

_FARTHEST = 8
"""Through more calls nobody follows a claim, and hardly a run gets: each call on the way stands
behind conditions of its own, which may exclude each other.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Taking:
    """A lock that a function takes: itself (`calls` empty) or through calls, outermost first.

    `place` is the lock as the function that was asked sees it; `section` where it is taken.
    """

    place: Place
    section: Section
    calls: tuple[ast.expr, ...]
    file: PythonFile
    """The file of the section."""
    override: Function | None = None
    """What a class below the one that was asked has put in the place of what is called first."""

    @property
    def first(self) -> ast.AST:
        """Return what the function that was asked does for it."""
        return self.calls[0] if self.calls else self.section.start

    @property
    def lock(self) -> Lock:
        """Return the lock as the section names it."""
        return self.section.lock


@dataclass(frozen=True, slots=True, eq=False)
class Nesting:
    """A lock that is taken while another one is held.

    `outer` holds `held`; `inner` is what is taken in it. `function` is where `outer` stands,
    None at module level.
    """

    held: Place
    outer: Section
    inner: Taking
    function: Function | None
    file: PythonFile

    @property
    def is_self(self) -> bool:
        """Return whether the lock that is held is taken again by the same thread."""
        return self.held == self.inner.place


def takings(function: Function, cls: Class | None = None) -> list[Taking]:
    """Return the locks that a call of a function takes, each once by its shortest way.

    What a nested function takes counts only when it is called. Calls without a name (a property,
    `len(x)`) count as well; see implied. For an object of a class `cls` that inherits the
    function, what it calls on itself is what that class has put in the place of it.
    """
    if cls is function.home:
        cls = None
    # One that calls itself takes nothing more by that.
    answer = partial(_takings, function, cls)
    return asked(function.file, "_takings", (function, cls), [], answer)


def _takings(function: Function, cls: Class | None) -> list[Taking]:
    return _each_once(_all_takings(function, cls))


def _all_takings(function: Function, cls: Class | None) -> Iterator[Taking]:
    for section in _sections(function.file).get(function, ()):
        yield Taking(section.lock.place, section, (), function.file)
    for call, callee in runs(function).items():
        yield from _through(function.file, call, callee, cls or function.home)


def _sections(file: PythonFile) -> dict[Function | None, list[Section]]:
    found: dict[Function | None, list[Section]] | None = file.__dict__.get("_sections_by")
    if found is None:
        found = file.__dict__["_sections_by"] = {}
        for section in (*file.sections, *borrowed_sections(file)):
            found.setdefault(section.function, []).append(section)
    return found


def _through(
    file: PythonFile, call: ast.expr, callee: Function, cls: Class | None
) -> Iterator[Taking]:
    receiver = receiver_of(call)
    if cls is not None and (receiver is None or not is_own(file, receiver)):
        cls = None
    if cls is not None and isinstance(receiver, ast.Name):
        callee = _of_class(cls, callee)
    for taking in takings(callee, cls):
        if len(taking.calls) >= _FARTHEST or is_switched_off(call, callee, taking.first):
            continue
        place = seen_from(file, call, callee, taking.place)
        if place is not None:
            yield replace(taking, place=place, calls=(call, *taking.calls))


def _of_class(cls: Class, method: Function) -> Function:
    """Return the method that an object of a class has in the place of one that it inherits."""
    if method.cls is None or method.cls not in cls.mro:
        return method
    found = cls.counterpart(method)
    same = found is not None and found.is_async == method.is_async
    return found if found is not None and same and not found.is_generator else method


def _each_once(found: Iterable[Taking]) -> list[Taking]:
    """Return the shortest way to each lock, and to what only some callers ask for."""
    best: dict[tuple[Place, frozenset[tuple[str, bool]]], Taking] = {}
    for taking in found:
        key = (taking.place, switches_of(taking.first))
        other = best.get(key)
        if other is None or len(taking.calls) < len(other.calls):
            best[key] = taking
    return list(best.values())


def nestings(file: PythonFile) -> list[Nesting]:
    """Return every lock that is taken while another one (or itself) is held, in source order.

    Within one `with a, b:` the second is taken under the first.
    """
    known: list[Nesting] | None = file.__dict__.get("_nestings")
    if known is None:
        known = file.__dict__["_nestings"] = list(_nestings(file))
    return known


def _nestings(file: PythonFile) -> Iterator[Nesting]:
    inner_sections: dict[ast.AST, list[Section]] = {}
    entered = [s for s in borrowed_sections(file) if not _is_called(s)]
    for section in (*file.sections, *entered):
        inner_sections.setdefault(section.start, []).append(section)
    for outer in (*file.sections, *borrowed_sections(file), *attempts(file)):
        held = outer.lock.place
        same = inner_sections.get(outer.start, [])
        for later in same[same.index(outer) + 1 :] if outer in same else ():
            taking = Taking(later.lock.place, later, (), file)
            yield Nesting(held, outer, taking, outer.function, file)
        seen: set[Place] = set()
        for node in walk(outer.body):
            for taking in _taken_at(file, node, inner_sections, outer):
                if taking.place not in seen or taking.place == held:
                    seen.add(taking.place)
                    yield Nesting(held, outer, taking, outer.function, file)


def _taken_at(
    file: PythonFile,
    node: ast.AST,
    sections: dict[ast.AST, list[Section]],
    outer: Section,
) -> Iterator[Taking]:
    for section in sections.get(node, ()):
        if _still_held(file, section, outer):
            yield Taking(section.lock.place, section, (), file)
    if isinstance(node, ast.expr) and outer.function is not None:
        callee = runs(outer.function).get(node)
        if callee is not None and outer.lock.place in held_at(file, node):
            yield from _through(file, node, callee, outer.function.home)
            yield from _by_heirs(file, node, callee, outer)


def _by_heirs(
    file: PythonFile, call: ast.expr, method: Function, outer: Section
) -> Iterator[Taking]:
    """Yield where a class below takes a lock again that the base holds while it calls a method of
    its own: a hook, which that class has put something else in the place of.
    """
    receiver, holder, held = receiver_of(call), outer.function, outer.lock.place
    home = holder.home if holder is not None else None
    if home is None or holder is None or receiver is None or not is_own(file, receiver):
        return
    if method.cls not in home.mro or file.project.below.has_many(home):
        return
    for override in home.overrides(method.name):
        heir = override.cls
        if heir is None or override.is_async != method.is_async or override.is_generator:
            continue
        between = heir.mro[: heir.mro.index(home)]
        if heir.counterpart(holder) is not holder or any(c.declares(held.name) for c in between):
            continue
        for taking in takings(override, heir):
            if seen_from(file, call, override, taking.place) == held:
                if not is_switched_off(call, override, taking.first):
                    calls = (call, *taking.calls)
                    yield replace(taking, place=held, calls=calls, override=override)


def _is_called(section: Section) -> bool:
    """Return whether a function is what takes the lock: what runs it is asked for anyway."""
    return section.kind == "helped" or isinstance(section.start, _FUNCTIONS)


def _still_held(file: PythonFile, section: Section, outer: Section) -> bool:
    """Return whether the outer lock was not released in between."""
    return outer.lock.place in held_at(file, section.start)


def circles(orders: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return the groups of locks that lead back to each other, by pairs (held, taken)."""
    pairs = list(orders)
    names = sorted({name for pair in pairs for name in pair})
    return [group for group in components(names, pairs) if len(group) > 1]
