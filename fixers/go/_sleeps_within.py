"""Loops that sleep in a function of their own, `p.pause(try)`, which hears of no context."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.builders import BuilderError, insert_after
from threadmend.golang.file import GoFile
from threadmend.golang.functions import result_nodes
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.leaving import leave_at
from threadmend.golang.locks import declaration_of
from threadmend.golang.scope import argument_of, resolve_local
from threadmend.golang.stops import Stop, listens
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Fix, Safety

from ._given_context import Given, given_context, own_context
from ._timer_wait import wait_on_timer

__all__ = ["Pause", "paused"]


@dataclass(frozen=True, slots=True)
class Pause:
    """A call in a loop of a function that only sleeps, and the context that goes unheard."""

    call: Node
    file: GoFile
    loop: Node
    stop: Stop
    sleep: Node
    fix: Fix | str

    @property
    def duration(self) -> str:
        """Return how long the call sleeps: the argument where it says so."""
        length, body = self.sleep["arguments"].children[0], self.sleep.function
        binding = resolve_local(length) if length.kind == "identifier" else None
        if binding is None or body is None:
            return length.name
        given = argument_of(self.call, body, binding)
        return given.name if given is not None else length.name


def paused(file: GoFile, sleep: Node) -> Iterator[Pause]:
    """Yield the calls in loops of the function around a Sleep, which hears of no context.

    The function is the project's own, returns nothing, ends with the Sleep, and every call of
    it has a context at hand, or passes it already.
    """
    body, statement = sleep.function, sleep.statement
    decl = declaration_of(file, body) if body is not None else None
    if decl is None or decl.exported or file.is_test or body is None or statement is None:
        return
    if innermost_loop(sleep) is not None or result_nodes(body):
        return
    if statement.parent is not body["body"] or statement.next is not None:
        return
    given = own_context(file, sleep) or given_context(file, sleep)
    if given is None or any(not _is_statement(call) for _, call, _ in given.calls):
        return
    fix = _fix(file, sleep, given)
    for caller, call, context in given.calls:
        loop = innermost_loop(call)
        if loop is not None:
            yield Pause(call, caller, loop, context, sleep, fix)


def _is_statement(call: Node) -> bool:
    return call.parent is not None and call.parent.kind == "expression_statement"


def _fix(file: GoFile, sleep: Node, given: Given) -> Fix | str:
    """Let the function take the context, and its callers leave when it is done.

    Sound: nothing of a loop's body runs that did not run before.
    """
    try:
        edits: tuple[Edit, ...] = wait_on_timer(file, sleep, given.stop.receive)
        edits += given.edits()
        for caller, call, stop in given.calls:
            checked = _checked(caller, call, stop)
            if isinstance(checked, str):
                return checked
            edits += checked
    except BuilderError as error:
        return str(error)
    title = f"Let {given.decl.name} wait on a timer and the context"
    return Fix(title, edits, Safety.UNSAFE, "the loop now ends when the context does")


def _checked(file: GoFile, call: Node, stop: Stop) -> tuple[Edit, ...] | str:
    """Leave a loop behind the pause when the context is done, unless the loop looks itself."""
    loop, statement = innermost_loop(call), call.parent
    if loop is None or statement is None or listens(file, loop):
        return ()
    if f"{stop.context}.Err()" in loop.name:
        return ()
    leave = leave_at(file, call, stop)
    if isinstance(leave, str):
        return leave
    code = f"if {stop.context}.Err() != nil {{\n\t{leave.code}\n}}"
    return leave.edits + insert_after(statement, code)
