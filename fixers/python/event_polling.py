"""Wait for the event instead of sleeping

A loop that sleeps between two looks at `event.is_set()` ends up to one sleep late: a service
takes five seconds to stop, a test a minute. `event.wait(5)` sleeps as long, and ends at once.

Not reported: loops that wait until an event is clear, which has no `wait`; loops without a
look at the event in their condition or as `if event.is_set(): break`, also by a property or a
method that returns it; asyncio's events, whose
`wait` takes no time; objects that are no Event by their constructor.

Unsafe: where something follows the sleep in the loop, which then runs sooner.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Finding, Fix, Safety
from threadmend.python import api
from threadmend.python.builders import drop_import, replace
from threadmend.python.file import PythonFile
from threadmend.python.flow import block_of, innermost_loop
from threadmend.python.forwarded import only_call
from threadmend.python.heircalls import calls_by_heirs
from threadmend.python.implied import receiver_of, stands_for
from threadmend.python.uses import is_self

CATEGORY = "thread"
GATE = rb"\bsleep\b"

_EVENTS = api.EVENTS - {"asyncio.Event"}


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the sleeps in loops that an event ends."""
    for call in file.calls("sleep"):
        statement = file.parent(call)
        if file.qualified(call.func) != "time.sleep" or not isinstance(statement, ast.Expr):
            continue
        if len(call.args) != 1 or call.keywords:
            continue
        loop = innermost_loop(statement)
        helped = _in_helper(file, call) if loop is None else None
        if helped is not None and not _is_breath(call.args[0]):
            yield _finding(file, call, helped[0], is_last=helped[1])
        if not isinstance(loop, ast.While) or _is_on_the_way_out(statement):
            continue
        if _is_breath(call.args[0]) and len(loop.body) > 1:
            continue
        event = _event(file, loop)
        if event is not None:
            yield _finding(file, call, event, is_last=loop.body[-1] is statement)


def _in_helper(file: PythonFile, call: ast.Call) -> tuple[str, bool] | None:
    """Return the event that ends all loops which have a helper do nothing but sleep, and whether
    they do so at their ends: `while not self._stop.is_set(): self.work(); self._rest()`.
    """
    helper = file.function(call)
    if helper is None or helper.self_name is None or only_call(helper) is not call:
        return None
    if not helper.is_private or not helper.is_only_called or calls_by_heirs(helper):
        return None
    found: set[str] = set()
    at_end = True
    for site in helper.callers:
        statement, loop = file.parent(site.call), innermost_loop(site.call)
        event = _event(file, loop) if isinstance(loop, ast.While) else None
        receiver = receiver_of(site.call)
        if event is None or receiver is None or not isinstance(statement, ast.Expr):
            return None
        if not is_self(file, receiver) or file.text(receiver) != helper.self_name:
            return None
        found.add(event)
        at_end = at_end and isinstance(loop, ast.While) and loop.body[-1] is statement
    event = found.pop() if len(found) == 1 else ""
    return (event, at_end) if event.startswith(f"{helper.self_name}.") else None


def _is_on_the_way_out(sleep: ast.Expr) -> bool:
    """Return whether the loop is left behind a sleep: it gives something time to end."""
    last = block_of(sleep)[-1]
    return isinstance(last, ast.Return | ast.Break | ast.Raise)


def _is_breath(given: ast.expr) -> bool:
    """Return whether a sleep is so short that the event has nobody wait for it."""
    return (
        isinstance(given, ast.Constant)
        and isinstance(given.value, int | float)
        and (given.value <= _BREATH)
    )


_BREATH = 0.01
"""Seconds that a loop rests between two rounds of its work."""


def _event(file: PythonFile, loop: ast.While) -> str | None:
    """Return the event that ends a loop when it is set."""
    found = _told(file, loop.test, when=False)
    for statement in _always(loop.body) if found is None else ():
        if isinstance(statement, ast.If) and isinstance(statement.body[-1], ast.Break | ast.Return):
            # Whatever is done on the way out, the loop ends with the event.
            found = found or _told(file, statement.test, when=True)
    return found


def _always(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that every round comes to, in the blocks of try and with as well."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.Try | ast.With):
            yield from _always(statement.body)


def _told(file: PythonFile, test: ast.expr, *, when: bool) -> str | None:
    """Return the event that suffices for a test to come out so once it is set: `e.is_set()`,
    `not e.is_set()`, a property or a method that returns such a test.
    """
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _told(file, test.operand, when=not when)
    if isinstance(test, ast.BoolOp):
        suffices = isinstance(test.op, ast.Or) == when
        told = (_told(file, value, when=when) for value in test.values if suffices)
        return next(filter(None, told), None)
    event = _is_set(file, test)
    if event is not None:
        return file.text(event) if when else None
    behind = stands_for(file, test)
    receiver = receiver_of(test)
    if behind is None or receiver is None:
        return None
    method, value = behind
    head, _, tail = (_told(method.file, value, when=when) or "").partition(".")
    if not tail or head != method.self_name:
        return None
    is_others = tail.startswith("_") and not is_self(file, receiver)
    return None if is_others else f"{file.text(receiver)}.{tail}"


def _is_set(file: PythonFile, node: ast.expr) -> ast.expr | None:
    """Return `event` of `event.is_set()`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    if node.func.attr not in {"is_set", "isSet"} or not file.is_a(node.func.value, _EVENTS):
        return None
    return node.func.value


def _finding(file: PythonFile, call: ast.Call, event: str, *, is_last: bool) -> Finding:
    start, end = file.span(call)
    said = f"the loop sleeps on when {event} is set"
    edits = (*replace(file, call.func, f"{event}.wait"), *drop_import(file, call.func))
    title = f"Wait for {event} instead of sleeping"
    if is_last:
        # The condition is looked at next, as before: only the sleep may be shorter.
        return Finding(file.path, start, end, said, fixes=(Fix(title, edits),))
    reason = "what follows in the loop runs sooner when the event is set"
    return Finding(file.path, start, end, said, fixes=(Fix(title, edits, Safety.UNSAFE, reason),))
