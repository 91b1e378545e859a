"""Wait for an event instead of a flag

`while not self.ready: time.sleep(2)` sees the flag up to one sleep late. An Event wakes whoever
waits for it at once. A worker that sleeps between two looks at `self.stopped` keeps whoever
stops it waiting for as long.

Not reported: flags that are set by the same thread, or by code that is not seen here; flags
with other values than True and False; loops that do nothing but wait until a flag is False, or
that show progress; sleeps of less than a second between pieces of work are hints.

Unsafe: the variable becomes an Event, for everybody who reads it. Where it cannot, or where the
loop runs while it is True, it gets an Event beside it that wakes the loop.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety
from threadmend.python.builders import BuilderError, drop_import
from threadmend.python.file import PythonFile
from threadmend.python.flow import always_leaves
from threadmend.python.functions import Function
from threadmend.python.heircalls import calls_by_heirs
from threadmend.python.threads import spawns_reaching
from threadmend.python.uses import use_mode

from ._flags import Flag, event_beside, event_edits, flag_of, flag_of_other, value_given
from ._given import in_threads
from ._tests import softened

CATEGORY = "thread"
GATE = rb"\bsleep\b"


@dataclass(eq=False, frozen=True, slots=True)
class Poll:
    """A loop that looks at a flag (`node`) and sleeps, until it has the value `end`.
    `is_alone`: it does nothing else; `is_whole`: and ends for no other reason, with nothing to do;
    `others`: further flags of which each ends it.
    """

    file: PythonFile
    loop: ast.While
    node: ast.expr
    sleep: ast.Call
    end: bool
    is_alone: bool
    is_whole: bool
    others: tuple[ast.expr, ...] = ()


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the loops that sleep until another thread sets a flag."""
    for loop in file.nodes(ast.While) if b"sleep" in file.data else ():
        poll = _poll(file, loop)
        for node in () if poll is None else (poll.node, *poll.others):
            assert poll is not None
            flag = flag_of(file, node)
            setter = None if flag is None else _setter(poll, flag)
            if setter is None and (flag := flag_of_other(file, node)) is not None:
                setter = _setter(poll, flag)
            if flag is not None and setter is not None:
                others = tuple(n for n in (poll.node, *poll.others) if n is not node)
                poll = replace(poll, node=node, others=others)
                yield softened(file, _finding(poll, flag, setter))
                break


def _poll(file: PythonFile, loop: ast.While) -> Poll | None:
    """Return what `while not flag:`, `while flag:` and `while True: if flag: break` look at,
    when the loop ends with a sleep.
    """
    rest, is_whole, end = loop.body, False, True
    others: tuple[ast.expr, ...] = ()
    tests = _tests(loop.test)
    node = next((found for test in tests if (found := _negated(test)) is not None), None)
    if node is None and isinstance(tests[0], ast.Name | ast.Attribute):
        node, end = tests[0], False
    elif node is not None:
        is_whole = len(tests) == 1
    elif isinstance(loop.test, ast.Constant) and loop.test.value:
        leading = _leading(file, loop)
        flags = [one.test for one in leading if _is_flag(one.test)]
        node = flags[0] if flags else None
        rest, others = rest[len(leading) :], tuple(flags[1:])
        is_whole = len(leading) == 1 and isinstance(leading[0].body[0], ast.Break)
    last = rest[-1] if rest else None
    while isinstance(last, ast.Try) and not last.orelse and not last.finalbody:
        last = last.body[-1]
    call = last.value if isinstance(last, ast.Expr) else None
    if not isinstance(node, ast.Name | ast.Attribute) or not isinstance(call, ast.Call):
        return None
    if file.qualified(call.func) != "time.sleep" or len(call.args) != 1 or loop.orelse:
        return None
    if not end and len(rest) == 1:
        return None  # it waits until something is over
    is_alone = rest == [last] and (is_whole or isinstance(loop.test, ast.Constant))
    return Poll(file, loop, node, call, end, is_alone, is_whole and is_alone, others)


def _leading(file: PythonFile, loop: ast.While) -> list[ast.If]:
    """Return the tests that a loop begins with of which each leaves it: `if flag: break`."""
    found = []
    for statement in loop.body:
        if not isinstance(statement, ast.If) or statement.orelse:
            break
        if not always_leaves(statement.body) or isinstance(statement.body[-1], ast.Continue):
            break
        if not _is_flag(statement.test) and not _is_quiet(file, statement.test):
            break
        found.append(statement)
    return found


def _is_flag(node: ast.expr) -> bool:
    return isinstance(node, ast.Name | ast.Attribute)


def _is_quiet(file: PythonFile, test: ast.expr) -> bool:
    """Return whether a test does no work: it looks at variables, or at the clock."""
    return all(
        (file.qualified(node.func) or "").startswith("time.")
        for node in ast.walk(test)
        if isinstance(node, ast.Call)
    )


def _tests(node: ast.expr) -> list[ast.expr]:
    """Return the parts of an `and`."""
    is_and = isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And)
    return node.values if is_and else [node]  # type: ignore[attr-defined]


def _negated(node: ast.expr) -> ast.expr | None:
    """Return `x` of `not x`."""
    is_not = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    return node.operand if is_not else None  # type: ignore[attr-defined]


def _setter(poll: Poll, flag: Flag) -> ast.expr | None:
    """Return the place where another thread than that of the loop sets the flag. A loop that
    does nothing else waits for another thread, wherever that comes from.
    """
    file = flag.file
    reaching = spawns_reaching(file)
    if not reaching:
        return _setter_abroad(poll, flag) if poll.is_alone else None
    function = poll.file.function(poll.loop)
    if function is None or (flag.is_other and not poll.is_alone):
        return None
    mine = reaching.get(function, [])
    if not mine and not poll.is_alone:
        return None  # it shows that something happens meanwhile
    for node in flag.uses:
        other = file.function(node)
        if other is None or other is function or use_mode(node) != "write":
            continue
        if value_given(file, node) is not poll.end or _is_signal(file, other):
            continue
        if (poll.is_alone and not flag.is_other) or reaching.get(other, []) != mine:
            if flag.cls is None or other not in flag.cls.init_only:
                return node
    return None


def _setter_abroad(poll: Poll, flag: Flag) -> ast.expr | None:
    """Return the place where a thread of another file sets the flag of a class: by a method that it
    calls, or that an heir of the class calls in it.
    """
    function = poll.file.function(poll.loop)
    for node in flag.uses if flag.cls is not None else ():
        setter = flag.file.function(node)
        if setter is None or setter is function or use_mode(node) != "write":
            continue
        if value_given(flag.file, node) is poll.end and any(map(_is_threaded, _sites(setter))):
            return node
    return None


def _sites(setter: Function) -> Iterator[Function]:
    """Yield a method and those of heirs in other files that call it."""
    yield setter
    yield from (site.caller for site in calls_by_heirs(setter) if site.caller is not None)


def _is_threaded(function: Function) -> bool:
    return function in in_threads(function.file)


def _is_signal(file: PythonFile, function: Function) -> bool:
    return any(spawn.kind == "signal" and spawn.target is function for spawn in file.spawns)


def _finding(poll: Poll, flag: Flag, setter: ast.expr) -> Finding:
    file = poll.file
    start, end = file.span(poll.sleep)
    name = file.text(poll.node)
    said = f"the loop sees {name} up to a sleep late"
    level = Confidence.LOW if not poll.is_alone and _is_short(poll.sleep) else Confidence.HIGH
    place = (flag.file.path, *flag.file.span(setter))
    related = (Related(*place, f"another thread sets {name} here"),)
    try:
        fix = _fix(poll, flag, name)
    except BuilderError as error:
        return Finding(
            file.path, start, end, said, related=related, reason=str(error), confidence=level
        )
    return Finding(file.path, start, end, said, related=related, fixes=(fix,), confidence=level)


def _is_short(call: ast.Call) -> bool:
    """Return whether a sleep takes less than a second for certain."""
    value = call.args[0]
    return (
        isinstance(value, ast.Constant) and isinstance(value.value, int | float) and value.value < 1
    )


def _fix(poll: Poll, flag: Flag, name: str) -> Fix:
    """Return the fix: the flag becomes an Event, or gets one beside it."""
    said = "who sets the flag from elsewhere wakes nobody, as before"
    if poll.end and not flag.is_other and not poll.others:
        try:
            edits, reason = _edits(poll, flag), f"{name} becomes an Event"
            return Fix(f"Make {name} an Event, and wait for it", edits, Safety.UNSAFE, reason)
        except BuilderError as error:
            try:
                edits = _woken(poll, flag)
            except BuilderError:
                raise error from None
            return Fix(f"Wake the loop when {name} is set", edits, Safety.UNSAFE, said)
    done = "set" if poll.end else "cleared"
    return Fix(f"Wake the loop when {name} is {done}", _woken(poll, flag), Safety.UNSAFE, said)


def _woken(poll: Poll, flag: Flag) -> tuple[Edit, ...]:
    """Return the edits that wait for an Event beside the flag, set where the flag ends the loop."""
    file = poll.file
    event, edits = event_beside(flag, poll.end, _also(poll, flag))
    place = event if flag.cls is None else f"{file.text(poll.node.value)}.{event}"  # type: ignore[attr-defined]
    waits = Edit(file.path, *file.span(poll.sleep.func), file.encode(f"{place}.wait"))
    return (*edits, waits, *drop_import(file, poll.sleep.func, edits))


def _also(poll: Poll, flag: Flag) -> list[Flag]:
    """Return the other flags that end the loop and that another thread sets."""
    found = []
    for node in poll.others:
        other = flag_of_other(poll.file, node) if flag.is_other else flag_of(poll.file, node)
        if other is not None and other.file is flag.file and other.cls is flag.cls:
            if _setter(poll, other) is not None:
                found.append(other)
    return found


def _edits(poll: Poll, flag: Flag) -> tuple[Edit, ...]:
    file, name = flag.file, flag.file.text(poll.node)
    if not poll.is_whole:
        waits = Edit(file.path, *file.span(poll.sleep.func), file.encode(f"{name}.wait"))
        edits = event_edits(flag, None)
        return (*edits, waits, *drop_import(file, poll.sleep.func, edits))
    start, end = file.span(poll.loop)
    if b"#" in file.data[start:end]:
        raise BuilderError("a comment of the loop would be lost")
    waits = Edit(file.path, start, end, file.encode(f"{name}.wait()"))
    edits = event_edits(flag, poll.node)
    return (*edits, waits, *drop_import(file, poll.sleep.func, edits))
