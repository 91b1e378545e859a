"""What a function writes on, and a goroutine that it launched before reads.

    go func() {                            stopped2 := stopped
        for range stopped {           →    go func() {
        }                                      for range stopped2 {
        done <- nil                            }
    }()                                        done <- nil
    for {                                  }()
        select {                           …
        case _, ok := <-stopped:
            if !ok {
                stopped = nil
            }
        case err := <-done:
            return err
        }
    }

A channel that is set to nil so that a select passes it over is one: the goroutine may find nil,
and wait for ever.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import classify
from threadmend.golang.builders import with_reason
from threadmend.golang.captured import CapturedAccess
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, launches
from threadmend.golang.ordering import Ordering
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, Named, deref
from threadmend.golang.waitgroups import waitgroup_calls
from threadmend.model import Finding, Fix

from ._launcher_writes import Meeting, ReadRace, first_meeting, read_races
from ._signal_skipped import is_answer
from ._tickers import received

__all__ = ["parent_writes"]

_CHANGES = frozenset({"write", "update", "store"})


def parent_writes(file: GoFile, known: set[Binding]) -> Iterator[Finding]:
    """Yield the variables that a goroutine only reads while the function around writes them.

    Those of `known` are told of already.
    """
    started = (launch for launch in launches(file) if launch.kind != "timer")
    for race in read_races(file, started, known, _meeting):
        yield race.finding("function", *_fix(race))


def _meeting(file: GoFile, binding: Binding, launch: Launch, uses: list[Node]) -> Meeting | None:
    """Return the read of a goroutine and the write that it may meet."""
    literal, end = launch.literal, launch.statement.end
    assert literal is not None
    if binding.function is not launch.function:
        return None
    if binding.kind not in {"variable", "parameter", "result"}:
        return None
    if any(classify(use, binding).kind != "read" for use in uses):
        return None
    if _orders_itself(file, binding, uses):
        return None
    later = [n for n in binding.uses if n.start > end and n.function is launch.function]
    writes = [n for n in later if classify(n, binding).kind in _CHANGES]
    if not writes or all(is_answer(use, writes[0]) for use in uses):
        return None
    if _is_told(file, uses, "Done"):
        if _is_told(file, [n for n in later if n.start < writes[0].start], "Wait"):
            return None
    return first_meeting(file, binding, literal, later, _CHANGES, Ordering.concurrent)


def _orders_itself(file: GoFile, binding: Binding, uses: list[Node]) -> bool:
    """Return whether the goroutine tells others by the variable that it is done with it.

    It closes the channel, or sends to it; it calls Done. One that only receives does not.
    """
    type_ = file.package.workspace.inference.binding_type(binding)
    if isinstance(file.underlying(type_), Chan):
        return not all(received(use) for use in uses)
    named = deref(type_)
    return isinstance(named, Named) and (named.package or "").split("/")[-1] in _ORDERING


def _is_told(file: GoFile, uses: list[Node], method: str) -> bool:
    """Return whether a method of the variable calls Done, or Wait, of a group inside of it."""
    for use in uses:
        call = use.parent.parent if use.parent is not None and use.field == "operand" else None
        decl = file.callee(call) if call is not None and call.kind == "call_expression" else None
        if decl is not None and decl.has_body and decl.sound:
            if any(found.method == method for found in waitgroup_calls(decl.file, decl.node)):
                return True
    return False


_ORDERING = frozenset({"sync", "atomic", "errgroup", "context", "semaphore"})


@with_reason
def _fix(race: ReadRace) -> Fix:
    """Copy the variable above the launch.

    Unsafe: the goroutine no longer sees what the function assigns later on. One that looks again
    and again may wait for just that, and gets no fix, but for a channel that is set to nil: that
    is meant for a select of the function's own.
    """
    if not _is_passed_over(race.file, race.write):
        race.refuse_waiting("function")
    name = race.binding.name
    return race.copied(race.names.free(name), f"Copy {name} for the goroutine")


def _is_passed_over(file: GoFile, write: CapturedAccess) -> bool:
    """Return whether a channel variable is set to nil."""
    statement = write.node.statement
    if statement is None or statement.kind != "assignment_statement":
        return False
    channel = isinstance(file.underlying(file.type_of(write.node)), Chan)
    return channel and statement["right"].text == b"nil"
