"""Do not take a lock that the thread holds

A `threading.Lock` does not know who has it: a thread that takes it a second time waits for
itself, for ever, and everybody else with it. It happens when a method that locks calls another
one that locks as well, often years later and on a path that few tests take.

Not reported: re-entrant locks (`RLock`, a `Condition()` with its own lock); another object's
lock; a lock that is released in between; calls that tell the method not to lock; attempts
with a time limit or without waiting.

Unsafe: where code looks whether the lock is taken, or takes it without waiting, a re-entrant
lock answers differently in the thread that has it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Finding, Fix, Related, Safety
from threadmend.python.builders import BuilderError
from threadmend.python.file import PythonFile
from threadmend.python.flow import enclosing, walk
from threadmend.python.functions import Function
from threadmend.python.implied import receiver_of, runs
from threadmend.python.lockcalls import helpers_of
from threadmend.python.lockorder import Nesting, nestings
from threadmend.python.locks import is_acquire, receiver
from threadmend.python.places import Place

from ._handed_lock import is_handed_to_thread
from ._reentrant import is_looked_at, make_reentrant

CATEGORY = "lock"
GATE = (
    rb"\bwith\b|\.acquire\(|\bLock\("
    rb"|\n[ \t]+@(?!property|staticmethod|classmethod|override|abc\.|abstract|\w+\.[sg]etter)"
)


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the places where a thread takes a lock that it holds."""
    for nesting in nestings(file):
        inner = nesting.inner
        if not nesting.is_self or inner.lock.reentrant or nesting.outer.lock.reentrant:
            continue
        if not _is_same_object(nesting) or not nesting.outer.waits or not inner.section.waits:
            continue
        if nesting.outer.kind in {"acquire", "helped"} and nesting.outer.release is None:
            continue
        if _is_told(nesting) or _is_released_first(nesting) or _is_handed_over(nesting):
            continue
        if _leaves_before(nesting):
            continue
        yield _finding(file, nesting)


# -- find -----------------------------------------------------------------------------------


def _is_same_object(nesting: Nesting) -> bool:
    """Return whether the two locks are certainly one: of a global, of `self`, of a variable
    that is set once."""
    place = nesting.held
    if place.kind == "global" or place.base in {"self", "class"} or not place.base:
        return True
    owner = nesting.outer.item.value if isinstance(nesting.outer.item, ast.Attribute) else None
    binding = nesting.file.binding(owner)
    if binding is None or len(binding.sites) != 1:
        return False
    return nesting.file.statement(binding.sites[0].node) not in list(walk(nesting.outer.body))


def _is_told(nesting: Nesting) -> bool:
    """Return whether the inner lock is only taken when an argument or its owner says so."""
    section = nesting.inner.section
    file = nesting.inner.file
    for test in enclosing(section.start, ast.If, ast.IfExp):
        names = {n.id for n in ast.walk(test.test) if isinstance(n, ast.Name)}  # type: ignore[attr-defined]
        if section.function is not None and not names.isdisjoint(section.function.parameters[1:]):
            return True
        text = file.text(test.test)  # type: ignore[attr-defined]
        if "lock" in text.lower() or "own" in text or "get_ident" in text or "thread" in text:
            return True
    return False


def _is_released_first(nesting: Nesting) -> bool:
    """Return whether a function on the way releases the lock before it goes on."""
    for callee, end in _way(nesting):
        file = callee.file
        for call in file.calls("release"):
            if file.function(call) is file.function(end) and call.lineno < end.lineno:  # type: ignore[attr-defined]
                lock = file.lock(receiver(call))
                if lock is not None and lock.place.anywhere == nesting.held.anywhere:
                    return True
    return False


def _way(nesting: Nesting) -> Iterator[tuple[Function, ast.AST]]:
    """Yield the functions between the first lock and the second, each with where it goes on."""
    function, calls = nesting.function, nesting.inner.calls
    for number, call in enumerate(calls, start=1):
        function = None if function is None else runs(function).get(call)
        if function is None:
            return
        yield function, calls[number] if number < len(calls) else nesting.inner.section.start


def _leaves_before(nesting: Nesting) -> bool:
    """Return whether a function on the way returns before it goes on, where what the call is made
    for is there: `if cls._one: return cls._one`, called by `if cls._one: …`.
    """
    calls = nesting.inner.calls
    known = {
        _seen(nesting, nesting.file.place(test.test))
        for test in (enclosing(calls[0], ast.If) if calls else ())
        if isinstance(test, ast.If) and nesting.file.statement(calls[0]) in walk(test.body)
    }
    known.discard(None)
    return any(
        isinstance(statement, ast.If)
        and isinstance(statement.body[-1], ast.Return)
        and statement.lineno < end.lineno  # type: ignore[attr-defined]
        and _seen(nesting, function.file.place(statement.test)) in known
        for function, end in _way(nesting)
        if known
        for statement in function.body
    )


def _seen(nesting: Nesting, place: Place | None) -> Place | None:
    """Return a place as all functions see it that take a lock of the class: `cls.x` is `C.x`."""
    return place.anywhere if place is not None and nesting.held.base == "class" else place


def _is_handed_over(nesting: Nesting) -> bool:
    """Return whether the lock is a signal: some function releases what it did not take, and is
    no helper that does so for others.
    """
    file, place = nesting.file, nesting.held
    if is_handed_to_thread(file, place):
        return True
    for call in file.calls("release"):
        lock = file.lock(receiver(call))
        if lock is not None and lock.place.anywhere == place.anywhere:
            function = file.function(call)
            if function in helpers_of(file) and _is_taken_by_helper(file, place):
                continue
            if not any(
                file.function(taken) is function and file.lock(receiver(taken)) is not None
                for taken in file.calls("acquire")
                if isinstance(taken.func, ast.Attribute)
            ):
                return True
    return False


def _is_taken_by_helper(file: PythonFile, place: Place) -> bool:
    locks = (file.lock(receiver(c)) for c in helpers_of(file).values() if is_acquire(c))
    return any(lock is not None and lock.place.anywhere == place.anywhere for lock in locks)


def _finding(file: PythonFile, nesting: Nesting) -> Finding:
    inner = nesting.inner
    name = nesting.outer.name(file)
    node: ast.AST = inner.calls[0] if inner.calls else inner.section.item
    start, end = file.span(node)
    said = f"{name} is taken again while it is held: the thread waits for itself"
    if inner.calls:
        called = inner.override.qualname if inner.override else _called(file, node)
        said = f"{name} is held, and {called} takes it again: the thread waits for itself"
    related = [Related(file.path, *file.span(nesting.outer.item), "the lock is taken here")]
    if inner.calls:
        place = inner.file.span(inner.section.item)
        related.append(Related(inner.file.path, *place, "and taken again here"))
    fix = _fix(nesting)
    if isinstance(fix, str):
        return Finding(file.path, start, end, said, related=tuple(related), reason=fix)
    return Finding(file.path, start, end, said, fixes=(fix,), related=tuple(related))


def _called(file: PythonFile, node: ast.AST) -> str:
    """Return how to name what runs: `self.balance()`, the property `self.size`, `len(self)`."""
    if isinstance(node, ast.Call) and receiver_of(node) not in node.args:
        return f"{file.text(node.func)}()"
    return file.text(node)


# -- fix ------------------------------------------------------------------------------------


def _fix(nesting: Nesting) -> Fix | str:
    """Return the fix, or why there is none.

    With a re-entrant lock the second taking goes through. It is safe where the lock is
    only held in blocks of one thread: every execution that took the lock twice hung, all others
    take and release it as before.
    """
    lock = nesting.outer.lock
    if lock.family == "async":
        return "asyncio has no re-entrant lock; let the inner code assume that it is held"
    try:
        edits = make_reentrant(nesting.file, nesting.outer)
    except BuilderError as error:
        return str(error)
    title = f"Make {nesting.outer.name(nesting.file)} re-entrant"
    if is_looked_at(nesting.file, lock):
        reason = "a re-entrant lock can be taken where the code tests whether it is free"
        return Fix(title, edits, Safety.UNSAFE, reason)
    return Fix(title, edits)
