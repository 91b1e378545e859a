"""Loops that sleep in a function which takes their context and returns an error, but sleeps on.

func (b *backoff) wait(ctx context.Context) error {
    time.Sleep(b.next)
    b.next *= 2
    return ctx.Err()                    // looks when the time is over
}
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import BuilderError
from threadmend.golang.calm import runs_calmly
from threadmend.golang.file import GoFile
from threadmend.golang.functions import result_nodes
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.leaving import leave_at
from threadmend.golang.stops import listens
from threadmend.golang.syntax import Node
from threadmend.model import Fix, Safety

from ._given_context import Given, own_context
from ._sleeps_within import Pause
from ._timer_wait import wait_on_timer

__all__ = ["paused_with_error"]

_COMPUTES = re.compile(rb"(?:time|math|rand)\.\w+|min|max|len|u?int(?:\d\d)?|float(?:32|64)")


def paused_with_error(file: GoFile, sleep: Node) -> Iterator[Pause]:
    """Yield the calls, in loops that look at its result, of the function around a Sleep.

    It does nothing but sleep and compute, and can say that its context is done.
    """
    body, statement = sleep.function, sleep.statement
    results = result_nodes(body) if body is not None else []
    if body is None or statement is None or not results or results[-1].text != b"error":
        return
    if statement.parent is not body["body"] or innermost_loop(sleep) is not None:
        return
    given = own_context(file, sleep, exported=True)
    if given is None or listens(file, body) or not _only_sleeps(file, body, sleep, given.name):
        return
    fix = _fix(file, sleep, given)
    for caller, call, context in given.calls:
        loop = innermost_loop(call)
        ignored = call.parent is not None and call.parent.kind == "expression_statement"
        if loop is not None and not ignored and not call.is_launched:
            yield Pause(call, caller, loop, context, sleep, fix)


def _only_sleeps(file: GoFile, body: Node, sleep: Node, context: str) -> bool:
    """Return whether a function works on nothing besides its Sleep."""
    if any(True for _ in body.find("send_statement", "go_statement", "func_literal")):
        return False
    asks = f"{context}.Err".encode()
    for call in body.find("call_expression"):
        function = call["function"]
        if call is sleep or function.text == asks or _COMPUTES.fullmatch(function.text):
            continue
        if not runs_calmly(file, call):
            return False
    return True


def _fix(file: GoFile, sleep: Node, given: Given) -> Fix | str:
    """Wait on a timer and the context, and return its error.

    Sound: who calls looks at the error, and it may be that of the context.
    """
    leave = leave_at(file, sleep, given.stop)
    if isinstance(leave, str):
        return leave
    try:
        edits = leave.edits + wait_on_timer(file, sleep, given.stop.receive, leave.code)
    except BuilderError as error:
        return str(error)
    title = f"Let {given.decl.name} wait on a timer and the context"
    return Fix(title, edits, Safety.UNSAFE, "the loop now ends when the context does")
