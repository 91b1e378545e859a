"""Do not wait with a lock held that others need

`stop` takes the lock, says that it is over and joins the thread; the thread wants the lock to look
whether it is over. Neither goes on. The same goes for an executor that is shut down and for the
result of a job, while the lock is held that a job takes; and for an event, a queue or a condition
with another lock held, where whoever sets, puts or notifies needs that lock.

Not reported: waits with a time limit; locks that the thread takes of another object than the one
that made it, or only by an attempt; events, queues and conditions that somebody serves without the
lock, or out of sight; what is released in between; asyncio; tests.

Unsafe: what stood under the lock is done after it was released, when others may have changed what
it looks at.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python import api
from threadmend.python.arguments import argument, keyword
from threadmend.python.borrowed import all_sections
from threadmend.python.builders import (
    BuilderError,
    delete,
    free_name,
    insert_after,
    is_alone,
    replace_statement,
    unwrap,
)
from threadmend.python.builders.lines import indent_of, indent_unit
from threadmend.python.file import PythonFile
from threadmend.python.flow import walk
from threadmend.python.functions import Function
from threadmend.python.held import held_here
from threadmend.python.implied import is_own, receiver_of, runs
from threadmend.python.lockorder import Taking, takings
from threadmend.python.locks import Section
from threadmend.python.places import Place
from threadmend.python.threads import Spawn, reached
from threadmend.python.uses import is_self

from ._owned_threads import waits_for_owned
from ._past_lock import is_past_lock
from ._signalled import signalled

CATEGORY = "lock"
GATE = rb"\.(?:join|shutdown|result|wait|get)\("


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the waits for threads that wait for the lock."""
    if file.is_test:
        return
    told: set[ast.AST] = set()
    for call, function, targets in _waits(file):
        held = held_here(file, call).locks
        found = next(_taken(function, held, targets), None) if held else None
        if found is not None and not is_past_lock(file, call, found[0], targets):
            told.add(call)
            yield _finding(file, call, *found)
    for call, place, served in signalled(file):
        section = _section(file, call, place)
        if section is not None:
            said = f"{file.text(call.func)}() waits with {section.name(file)} held, under which"
            said += f" {file.text(served.func)}() ends the wait"
            told.add(call)
            yield _told(file, call, section, said, file, served)
    for section in file.sections:
        for call, inner in _called(file, section):
            if call in told or section.lock.place not in held_here(file, call).locks:
                continue
            found = next(_taken(inner[1], [section.lock.place], inner[2]), None)
            if found is not None:
                told.add(call)
                yield _finding(file, call, *found)
    for call, place, taking in waits_for_owned(file):
        if call not in told:
            yield _finding(file, call, place, taking)


# -- find -----------------------------------------------------------------------------------

_Wait = tuple[ast.Call, Function, list[Function]]


def _waits(file: PythonFile) -> list[_Wait]:
    """Return the calls that wait for functions, with where they stand."""
    known: list[_Wait] | None = file.__dict__.get("_thread_waits")
    if known is None:
        known = file.__dict__["_thread_waits"] = []
        for call in file.calls("join", "shutdown", "result"):
            func, function = call.func, file.function(call)
            if isinstance(func, ast.Attribute) and function is not None and not function.is_async:
                targets = list(_waited_for(file, call, func, function))
                if targets:
                    known.append((call, function, targets))
    return known


def _called(file: PythonFile, section: Section) -> Iterator[tuple[ast.Call, _Wait]]:
    """Yield the calls in a section of methods of the same object that wait, and the waits."""
    if section.function is None or section.lock.family != "thread" or not _waits(file):
        return
    for node in walk(section.body):
        callee = runs(section.function).get(node) if isinstance(node, ast.Call) else None
        receiver = None if callee is None else receiver_of(node)
        if callee is None or (receiver is not None and not is_own(file, receiver)):
            continue
        for wait in _waits(file):
            if wait[1] in reached(callee) and _is_of_object(section.function, wait[1]):
                assert isinstance(node, ast.Call)
                yield node, wait


def _waited_for(
    file: PythonFile, call: ast.Call, func: ast.Attribute, function: Function
) -> Iterator[Function]:
    """Yield the functions that have to end before a call returns."""
    if func.attr == "join":
        if not call.args and not call.keywords:
            yield from _of_thread(file, func.value, function)
    elif func.attr == "shutdown" and file.is_a(func.value, api.EXECUTORS):
        wait = argument(call, 0, "wait")
        if wait is None or (isinstance(wait, ast.Constant) and wait.value is True):
            cancel = keyword(call, "cancel_futures")
            yield from _jobs(file, func.value, file.spawns if cancel is None else ())
    elif func.attr == "result" and not call.args and not call.keywords:
        made = file.value(func.value)
        node = func.value if isinstance(func.value, ast.Call) else made and made.made
        for spawn in file.spawns:
            if spawn.kind == "submit" and spawn.node is node and spawn.target is not None:
                if _is_of_self(file, spawn):
                    yield spawn.target


def _of_thread(file: PythonFile, node: ast.expr, function: Function) -> Iterator[Function]:
    if is_self(file, node):
        cls = function.home
        run = cls.method("run") if cls is not None and cls.inherits(*api.THREADS) else None
        if run is not None:
            yield run
        return
    made = file.value(node)
    if made is None or not file.is_a(node, api.THREADS):
        return
    for spawn in file.spawns:
        if spawn.kind in {"thread", "timer"} and spawn.node is made.made:
            if spawn.target is not None and spawn.is_threaded and _is_of_self(file, spawn):
                yield spawn.target


def _is_of_self(file: PythonFile, spawn: Spawn) -> bool:
    """Return whether what a thread runs is no method of another object than the one at hand."""
    node = spawn.target_node
    return not isinstance(node, ast.Attribute) or is_self(file, node.value)


def _jobs(file: PythonFile, pool: ast.expr, spawns: Iterable[Spawn]) -> Iterator[Function]:
    place = file.place(pool)
    for spawn in spawns:
        func = spawn.node.func if isinstance(spawn.node, ast.Call) else None
        if spawn.kind not in {"submit", "map"} or not _is_of_self(file, spawn):
            continue
        if isinstance(func, ast.Attribute):
            if place is not None and file.place(func.value) == place and spawn.target is not None:
                yield spawn.target


def _taken(
    function: Function, held: Iterable[Place], targets: Iterable[Function]
) -> Iterator[tuple[Place, Taking]]:
    """Yield the locks that are held and that a thread takes, of the same object or the module."""
    for target in targets:
        for taking in takings(target):
            place = taking.place
            if taking.lock.family != "thread" or not taking.section.waits:
                continue
            if place not in held or taking.section.kind == "tried":
                continue
            own = place.base == "self" and target.home is not None
            if place.kind == "global" or (own and _is_of_object(function, target)):
                yield place, taking


def _is_of_object(function: Function, target: Function) -> bool:
    """Return whether two methods, or functions in them, have one object."""
    return function.home is not None and target.home in function.home.mro


# -- fix ------------------------------------------------------------------------------------


def _finding(file: PythonFile, call: ast.Call, place: Place, taking: Taking) -> Finding:
    section = _section(file, call, place)
    name = place.name if section is None else section.name(file)
    said = f"{file.text(call.func)}() waits with {name} held for what takes {name}"
    return _told(file, call, section, said, taking.file, taking.section.item)


def _told(
    file: PythonFile,
    call: ast.Call,
    section: Section | None,
    said: str,
    other: PythonFile,
    place: ast.AST,
) -> Finding:
    start, end = file.span(call)
    related = [Related(other.path, *other.span(place), "what it waits for waits here")]
    try:
        if section is None:
            raise BuilderError("nobody can see where the lock is released")
        name = section.name(file)
        seen = Related(file.path, *file.span(section.item), "the lock is taken here")
        related.insert(0, seen)
        edits = _edits(file, call, section)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=tuple(related), reason=str(error))
    reason = "others may take the lock before it"
    fix = Fix(f"Wait after {name} was released", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, fixes=(fix,), related=tuple(related))


def _section(file: PythonFile, call: ast.Call, place: Place) -> Section | None:
    """Return the innermost section of a lock that a call is in."""
    above = set(file.ancestors(call))
    inside = [s for s in all_sections(file)
              if s.lock.place == place and not above.isdisjoint(s.body)]  # fmt: skip
    return inside[-1] if inside else None


def _edits(file: PythonFile, call: ast.Call, section: Section) -> tuple[Edit, ...]:
    """Move the wait, when it is the last that is done under the lock, behind the section."""
    above = list(file.ancestors(call))
    moved = next(s for s in section.body if s in above)
    if section.body[-1] is not moved:
        raise BuilderError("more is done under the lock afterwards")
    is_answer = isinstance(moved, ast.Return) and moved.value is call
    if is_answer and section.kind == "with" and call.func.attr == "result":  # type: ignore[attr-defined]
        assert isinstance(moved, ast.Return)
        return _read_first(file, call, moved, section.start)
    if not (is_answer or _is_plain(moved)) or not is_alone(file, moved):
        raise BuilderError("more is done there than to wait")
    if len(section.body) == 1 and isinstance(section.start, ast.With):
        return unwrap(file, section.start)
    if len(section.body) == 1:
        raise BuilderError("nothing else is done under the lock")
    last = _end(file, section)
    return (*delete(file, moved), *insert_after(file, last, _text(file, moved)))


def _read_first(
    file: PythonFile, call: ast.Call, last: ast.Return, section: ast.stmt
) -> tuple[Edit, ...]:
    """Draw `with lock: return self.jobs[key].result()` as `with lock: job = self.jobs[key]` and
    `return job.result()` behind it.
    """
    assert isinstance(call.func, ast.Attribute)
    text = file.text(call.func.value)
    if isinstance(call.func.value, ast.Call) or "\n" in text or not is_alone(file, last):
        raise BuilderError("more is done there than to wait")
    name = free_name(file, "waited", last)
    first = replace_statement(file, last, f"{name} = {text}")
    rest = file.text(last).replace(text, name, 1)
    return (*first, *insert_after(file, section, rest))


def _is_plain(statement: ast.stmt) -> bool:
    """Return whether a statement does nothing but call, in tests and loops."""
    if isinstance(statement, ast.If | ast.For):
        return not statement.orelse and all(_is_plain(inner) for inner in statement.body)
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)


def _end(file: PythonFile, section: Section) -> ast.stmt:
    """Return the statement with which a section ends."""
    if section.kind == "with":
        return section.start
    if section.release is None:
        raise BuilderError("nobody can see where the lock is released")
    above = file.parent(section.release)
    return above if isinstance(above, ast.Try) else section.release


def _text(file: PythonFile, statement: ast.stmt) -> str:
    """Return a statement as at the top level, with four blanks for a level."""
    base, unit = indent_of(file, statement).decode(), indent_unit(file, statement).decode()
    found: list[str] = []
    for line in file.text(statement).splitlines():
        rest = line[len(base) :] if line.startswith(base) and found else line
        code = rest.lstrip()
        level = (len(rest) - len(code)) // max(len(unit), 1) if found else 0
        found.append("    " * level + code)
    return "\n".join(found)
