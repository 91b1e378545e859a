"""Hold a lock with `with`

Between `acquire()` and `release()` something raises, and the lock is never released: every
other thread that wants it waits for ever, and the traceback that could explain it is of
another thread. A `return` that somebody adds in between does the same, every time, and so does
an exception that none of the handlers names which release it; in a `contextmanager`, what is
raised under its `with` comes out of the `yield`. `while self._lock:` locks nothing: it is a slip
of the pen. `finally: if lock.locked(): lock.release()` takes the lock away from whoever has it,
when the task was cancelled while it still waited for it. `if lock.acquire(False):` that only meant
to ask has the lock from then on.

Not reported: acquire and release that do not stand in one block; a release in `finally`;
nothing in between that can raise or leave; a lock that is handed over on purpose (left
with it held by `yield`, `break` or `continue`, or released and taken again in between), or by
which functions tell each other something;
locks of other libraries, whose `with` may mean something else.

Unsafe: with a `return` or `raise` in between the lock is now released where it was not, and
code that relied on that would behave differently.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Confidence, Edit, Finding, Fix, Safety
from threadmend.python.attempts import asked_for, attempted
from threadmend.python.builders import (
    BuilderError,
    add_handler,
    begin_try_earlier,
    section_to_try,
    section_to_with,
)
from threadmend.python.file import PythonFile, last_name
from threadmend.python.flow import is_text, leaves, walk
from threadmend.python.functions import function_of
from threadmend.python.lockcalls import helped_sections
from threadmend.python.locks import Section, receiver

from ._anybodys import released_for_others
from ._handed_lock import is_handed_to_thread
from ._leaving import before_try, half_handled, way_out
from ._never_released import never_released
from ._tested_lock import tested

CATEGORY = "lock"
ALSO = "R1732 consider-using-with"
GATE = rb"\.acquire\(|lock\w*\(\)|release\w*\(\)|\b(?:while|if) [\w.]+:"


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the locks that an exception or a return leaves taken."""
    told: set[ast.stmt] = set()
    for section in [*file.sections, *_tried(file), *_helped(file)]:
        if section.release is None or section.is_protected:
            continue
        lost = way_out(file, section)
        if lost is None or _has_arguments(section) or _is_signal(file, section):
            continue
        told.add(section.start)
        yield _finding(file, section, *lost)
    for section, tried in _late(file):
        yield _finding(file, section, leaves(section.body), [], tried)
    for section in file.sections:
        half = half_handled(file, section)
        if half is not None and section.start not in told and not _is_signal(file, section):
            yield _half_finding(file, section, half)
    yield from tested(file)
    yield from released_for_others(file)
    yield from never_released(file)


def _tried(file: PythonFile) -> Iterator[Section]:
    """Yield what lies between `if not x.acquire(timeout=1): return`, or `if lock: x.acquire()`,
    and the release.
    """
    yield from asked_for(file)
    for call in file.calls("acquire"):
        lock = file.lock(call.func.value) if isinstance(call.func, ast.Attribute) else None
        section = None if lock is None else attempted(file, call, lock)
        if section is not None:
            yield section


def _helped(file: PythonFile) -> Iterator[Section]:
    """Yield what lies between two calls of helpers, of which the last one only releases."""
    for section in helped_sections(file):
        release = section.release.value if isinstance(section.release, ast.Expr) else None
        helper = function_of(file, release.func) if isinstance(release, ast.Call) else None
        if helper is None or len([s for s in helper.body if not is_text(s)]) == 1:
            yield section


def _late(file: PythonFile) -> Iterator[tuple[Section, ast.Try]]:
    """Yield what lies between `x.acquire()` and a try statement that releases in `finally`."""
    for section in file.sections:
        for call in section.acquiring if section.release is None and section.waits else ():
            found = before_try(file, call, section.lock)
            if found is not None and not _is_signal(file, found[0]):
                yield found


def _has_arguments(section: Section) -> bool:
    """Return whether the lock is taken only perhaps: `acquire(timeout=1)`, and nobody looks."""
    if section.kind != "acquire":
        return False
    value: ast.AST = section.start.value  # type: ignore[attr-defined]
    call = value.value if isinstance(value, ast.Await) else value
    return isinstance(call, ast.Call) and bool(call.args or call.keywords)


def _is_signal(file: PythonFile, section: Section) -> bool:
    """Return whether threads tell each other something by a lock: a nested function only takes it,
    or only releases what another one took; or the function that takes it also releases it where
    it has not taken it, for whoever has (a barrier).
    """
    place = section.lock.place
    if place.kind != "local":
        return _is_released_untaken(file, section)
    if is_handed_to_thread(file, place):
        return True
    found: dict[ast.AST | None, set[str]] = {}
    for call in file.calls("acquire", "release"):
        lock = file.lock(call.func.value) if isinstance(call.func, ast.Attribute) else None
        if lock is not None and lock.place == place:
            found.setdefault(file.function_node(call), set()).add(last_name(call.func) or "")
    return any(len(done) == 1 for done in found.values())


def _is_released_untaken(file: PythonFile, section: Section) -> bool:
    """Return whether a release of the lock in the same function belongs to no section, where all
    of them are told by statements of their own.
    """
    if section not in file.sections:
        return False
    function, place = section.function, section.lock.place
    mine = [s for s in file.sections if s.function is function and s.lock.place == place]
    within = {node for s in mine for node in (*walk(s.body), s.release)}
    for call in file.calls("release"):
        statement = file.statement(call)
        if file.function(call) is function and statement not in within:
            lock = file.lock(receiver(call))
            if lock is not None and lock.place == place:
                return True
    return False


def _finding(
    file: PythonFile,
    section: Section,
    leaving: list[ast.AST],
    released: list[ast.stmt],
    tried: ast.Try | None = None,
) -> Finding:
    name = section.name(file)
    start, end = file.span(section.start)
    what = f"{name} stays locked when the code before its release raises"
    if leaving:
        line = getattr(leaving[0], "lineno", 0)
        word = type(leaving[0]).__name__.lower()
        what = f"{name} stays locked after the {word} in line {line}"
    title = f"Hold {name} with a with statement"
    try:
        if tried is not None:
            edits = begin_try_earlier(file, section.start, section.body, tried)
            title = f"Begin to try as soon as {name} is held"
        elif section.kind in {"tried", "helped"}:
            edits, title = section_to_try(file, section, released), f"Release {name} in finally"
        else:
            edits = section_to_with(file, section, released)
    except BuilderError as error:
        return Finding(file.path, start, end, what, reason=str(error))
    # A fix that begins to look at an attempt's result leaves it to the next round to harden.
    is_mild = section.kind == "tried" or (tried is not None and not leaving)
    confidence = Confidence.MEDIUM if is_mild else Confidence.HIGH
    fix = _fix(title, edits, leaving)
    return Finding(file.path, start, end, what, fixes=(fix,), confidence=confidence)


def _half_finding(file: PythonFile, section: Section, tried: ast.Try) -> Finding:
    """Return the finding about exceptions that no handler releases for."""
    name = section.name(file)
    start, end = file.span(section.start)
    said = f"{name} stays locked when the code raises what line {tried.handlers[0].lineno} does"
    said += " not name"
    text = f"except BaseException:\n    {name}.release()\n    raise"
    try:
        edits = add_handler(file, tried, text)
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    # Only where the lock was lost for good does anything else happen than before.
    fix = Fix(f"Release {name} whatever is raised", edits)
    return Finding(file.path, start, end, said, fixes=(fix,))


def _fix(title: str, edits: tuple[Edit, ...], leaving: list[ast.AST]) -> Fix:
    """Return the fix. It is safe where only an exception leaves the block: then the lock was
    lost for good, and no execution that goes on to take it was correct.
    """
    if leaving:
        reason = "the lock is released on a path that kept it"
        return Fix(title, edits, Safety.UNSAFE, reason)
    return Fix(title, edits)
