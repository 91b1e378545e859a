"""Hold a semaphore with `with`

A slot that is not given back when the code in between raises is lost. After as many errors as
there are slots everybody waits for ever. So is one for a job whose callback gives it back
(`job.add_done_callback(…)`), when submitting the job raises.

Not reported: acquire and release that do not stand in one block, which hand the slot over; a
release in `finally`; nothing in between that can raise or leave (calls that only log
or measure in front of a try statement that releases); semaphores of other libraries.

Unsafe: the slot is given back on a path that kept it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Finding, Fix, Safety
from threadmend.python import api
from threadmend.python.attempts import attempted
from threadmend.python.builders import (
    BuilderError,
    begin_try_earlier,
    section_to_try,
    section_to_with,
    wrap,
)
from threadmend.python.file import PythonFile
from threadmend.python.flow import block_of, can_raise, leaves, walk
from threadmend.python.lockcalls import helped_sections, slot_calls
from threadmend.python.locks import Lock, Section, is_release, receiver

from ._failing import untold
from ._given_back import until_callback
from ._leaving import before_try, goes_round

CATEGORY = "lock"
GATE = (
    rb"\.acquire\(|release\w*\(\)"
    rb"|\.\w*(?:release|leave|exit|free|done|finish|unlock|give|put|return|back|end)\w*\("
)
"""Also the helpers by which other modules give slots back."""


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the slots that an exception or a return keeps."""
    for call in file.calls("acquire"):
        slot = _slot(file, call)
        late = None if slot is None or call.args or call.keywords else before_try(file, call, slot)
        if late is not None:
            yield _finding(file, *late)
            continue
        jobs = None if slot is None else until_callback(file, call, slot)
        if jobs is not None:
            yield _for_a_job(file, call, jobs)
            continue
        section = None if slot is None else _section(file, call, slot)
        if section is None or (section.kind == "acquire" and (call.args or call.keywords)):
            continue
        if _is_lost(file, section):
            yield _finding(file, section)
    given = {one.call for one in slot_calls(file) if not one.takes}
    for section in helped_sections(file, slot_calls(file)):
        if section.release is not None and not section.is_protected and _is_lost(file, section):
            if given.isdisjoint(walk(section.body)):
                yield _finding(file, section)


def _is_lost(file: PythonFile, section: Section) -> bool:
    """Return whether something leaves a section, and the slot is kept then."""
    leaving = leaves(section.body)
    plain = ast.Return | ast.Raise | ast.Await
    if not all(isinstance(n, plain) or goes_round(file, section, n) for n in leaving):
        return False
    if not leaving and not can_raise(untold(file, section.body)):
        return False
    return not any(is_release(node) for node in walk(section.body))


def _for_a_job(file: PythonFile, call: ast.Call, between: list[ast.stmt]) -> Finding:
    """Return the finding about a slot for a job that gives it back, if it ever comes to be."""
    start, end = file.span(call)
    name = file.text(receiver(call))
    said = f"the slot of {name} is lost when there is no job in the end: nobody gives it back"
    try:
        handler = f"except BaseException:\n    {name}.release()\n    raise"
        edits = wrap(file, between, "try:", handler)
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    reason = "the slot is given back on a path that kept it"
    fix = Fix(f"Release {name} when that fails", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, fixes=(fix,))


def _slot(file: PythonFile, call: ast.Call) -> Lock | None:
    """Return the semaphore that `x.acquire()` takes a slot of."""
    if not isinstance(call.func, ast.Attribute):
        return None
    item = receiver(call)
    value, place = file.value(item), file.place(item)
    if value is None or place is None or not value.is_a(api.SEMAPHORES):
        return None
    return Lock(place, value.type, False, place, value)


def _section(file: PythonFile, call: ast.Call, lock: Lock) -> Section | None:
    """Return what lies between `x.acquire()`, or `if not x.acquire(timeout=1): return`, and
    `x.release()` of one block.
    """
    item = receiver(call)
    above = file.parent(call)
    statement = file.parent(above) if isinstance(above, ast.Await) else above
    if not isinstance(statement, ast.Expr):
        return attempted(file, call, lock)
    block = block_of(statement)
    rest = block[block.index(statement) + 1 :]
    for number, following in enumerate(rest):
        inner = following.value if isinstance(following, ast.Expr) else None
        if isinstance(inner, ast.Call) and is_release(inner):
            if file.text(receiver(inner)) == file.text(item):
                body, function = rest[:number], file.function(statement)
                return Section(lock, "acquire", statement, item, body, following, function)
    return None


def _finding(file: PythonFile, section: Section, tried: ast.Try | None = None) -> Finding:
    name = section.name(file)
    start, end = file.span(section.start)
    said = f"the slot of {name} is lost when the code before its release raises or leaves"
    try:
        if tried is not None:
            edits = begin_try_earlier(file, section.start, section.body, tried)
            title = f"Begin to try as soon as {name} has given a slot"
        elif section.kind in {"tried", "helped"}:
            edits, title = section_to_try(file, section), f"Release {name} in finally"
        else:
            edits, title = section_to_with(file, section), f"Hold {name} with a with statement"
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    reason = "the slot is given back on a path that kept it"
    return Finding(file.path, start, end, said, fixes=(Fix(title, edits, Safety.UNSAFE, reason),))
