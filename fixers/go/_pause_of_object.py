"""Loops that sleep in a method of their own object, which does not listen to the object's stop.

func (p *Pump) loop() {                    func (l *lifecycle) pause(d time.Duration) {
    for !p.stopped() {                         time.Sleep(d)
        …                                  }
        p.pause(p.every)
    }                                      func (p *Pump) Close() { close(p.stop); <-p.done }
}
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, insert_after
from threadmend.golang.calls import callers
from threadmend.golang.file import GoFile
from threadmend.golang.functions import result_nodes
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.leaving import leave_at
from threadmend.golang.locks import declaration_of
from threadmend.golang.stops import listens, stops_at
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Fix, Safety

from ._sleeps_within import Pause
from ._timer_wait import wait_on_timer

__all__ = ["left_behind", "paused_by_object"]


def paused_by_object(file: GoFile, sleep: Node) -> Iterator[Pause]:
    """Yield a loop that pauses in the method around a Sleep, which all that it does ends with.

    All calls of the method are the last in a round of a loop of their object, or before a test
    whether to go on.
    """
    body, statement = sleep.function, sleep.statement
    decl = declaration_of(file, body) if body is not None else None
    if decl is None or decl.kind != "method" or decl.exported or file.is_test or body is None:
        return
    if statement is None or statement.parent is not body["body"] or statement.next is not None:
        return
    if innermost_loop(sleep) is not None or result_nodes(body):
        return
    names = [n.name for d in body["receiver"].children for n in d.all("name")]
    stop = next(
        (s for s in stops_at(file, sleep) if names and s.receive.startswith(f"{names[0]}.")), None
    )
    sites = callers(decl)
    if stop is None or stop.context or listens(file, body) or not sites:
        return
    field = stop.receive.rpartition(".")[2]
    try:
        edits = wait_on_timer(file, sleep, stop.receive)
        for site in sites:
            call = site.call
            if call is None or site.launched or site.deferred or innermost_loop(call) is None:
                return
            told = _told(site.file, call, field)
            if told is None:
                return
            edits += told
    except BuilderError:
        return
    first = sites[0]
    loop = innermost_loop(first.node)
    if loop is not None and first.call is not None:
        title = f"Let {decl.name} wait on a timer and {stop.receive}"
        why = f"the loop now ends when {stop.receive} is ready"
        fix = Fix(title, edits, Safety.UNSAFE, why)
        yield Pause(first.call, first.file, loop, stop, sleep, fix)


def _told(file: GoFile, call: Node, field: str) -> tuple[Edit, ...] | None:
    """Return the edits that end a loop behind a pause when its object is stopped.

    Empty where the next round asks by itself, None where the loop cannot be left.
    """
    loop, statement = innermost_loop(call), call.parent
    if loop is None or statement is None:
        return None
    if statement.parent is loop["body"] and statement.next is None and _asks(file, loop, field):
        return ()
    return left_behind(file, call, field)


def left_behind(file: GoFile, call: Node, field: str) -> tuple[Edit, ...] | None:
    """Return the edits by which the code behind a call asks for a stop of its object, and leaves.

    None where it cannot be left there.
    """
    statement = call.parent
    if statement is None or statement.kind != "expression_statement":
        return None
    stops = (s for s in stops_at(file, call) if s.receive.rpartition(".")[2] == field)
    stop = next(stops, None)
    if stop is None:
        return None
    leave = leave_at(file, call, stop)
    if isinstance(leave, str):
        return None
    code = f"select {{\ncase <-{stop.receive}:\n\t{leave.code}\ndefault:\n}}"
    return leave.edits + insert_after(statement, code)


def _asks(file: GoFile, loop: Node, field: str) -> bool:
    """Return whether a round of a loop asks for the stop, itself or by a method."""
    if listens(file, loop):
        return True
    receives = re.compile(rb"<-\s*\w+\." + re.escape(field.encode()) + rb"\b")
    conditions = [c for c in loop.children if c is not loop["body"]]
    conditions += [test["condition"] for test in loop.find("if_statement")]
    for condition in conditions:
        for call in condition.find("call_expression"):
            asked = file.callee(call)
            if asked is not None and receives.search(asked.file.data, *asked.span):
                return True
    return False
