"""Functions that return the channel of `time.After` to selects in loops.

    case <-s.idle():            func (s *session) idle() <-chan time.Time {
        return errIdle              return time.After(s.timeout)
                                }

The caller has the channel only, and nothing to stop. The function returns the timer instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.builders import (
    BuilderError,
    free_name,
    insert_at_start,
    insert_before,
    names_around,
    replace,
    with_reason,
)
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node
from threadmend.golang.timers import Waiting, time_afters, waits_on
from threadmend.model import Edit, Fix

from ._all_calls import all_calls

__all__ = ["TimerHelper", "timer_helpers"]


@dataclass(frozen=True, slots=True)
class TimerHelper:
    """A function that returns what `time.After` made, and the selects in loops that wait on it.

    `afters` are its calls of `time.After`, `calls` all calls of it.
    """

    file: GoFile
    function: Node
    afters: list[Node]
    calls: list[tuple[GoFile, Node]]
    waits: list[tuple[GoFile, Waiting]]

    @with_reason
    def fix(self) -> Fix:
        """Return the timer itself, stopped by the loops where another case is taken.

        Sound: it is made where it was, runs as long, and its channel is the one that was waited on.
        """
        result, name = self.function["result"], self.function.get("name")
        if name is not None and name.name[:1].isupper():
            raise BuilderError("the function that returns the channel is exported")
        if name is not None and _in_interface(self.file, name.name):
            raise BuilderError("an interface may ask for the function as it is")
        returns = [n for n in self.function.own() if n.kind == "return_statement"]
        if len(returns) != len(self.afters):
            raise BuilderError("the function does not always make a timer")
        package = self.afters[0]["function"]["operand"].name
        edits: list[Edit] = [
            Edit(result.path, result.start, result.end, f"*{package}.Timer".encode())
        ]
        for after in self.afters:
            field = after["function"]["field"]
            edits.append(Edit(field.path, field.start, field.end, b"NewTimer"))
        for file, call in self.calls:
            edits += self._at_call(file, call)
        return Fix("Return the timer, and stop it when another case is taken", tuple(edits))

    def _at_call(self, file: GoFile, call: Node) -> tuple[Edit, ...]:
        waiting = next((w for _, w in self.waits if w.call is call), None)
        if waiting is None:
            return replace(call, f"{call.name}.C")
        if sum(w.call.function is call.function for _, w in self.waits) > 1:
            raise BuilderError("several loops of one function wait on it")
        name = free_name("timer", names_around(file, call))
        edits = insert_before(waiting.select, f"{name} := {call.name}")
        edits += replace(call, f"{name}.C")
        for clause in waiting.others:
            edits += insert_at_start(clause, f"{name}.Stop()")
        return edits


def timer_helpers(file: GoFile) -> Iterator[TimerHelper]:
    """Yield the functions of a file whose timers a select in a loop leaves behind."""
    found: dict[Node, list[Node]] = {}
    for call in time_afters(file):
        values = call.parent
        if values is None or values.parent is None or values.parent.kind != "return_statement":
            continue
        if len(values.children) == 1 and call.function is not None:
            found.setdefault(call.function, []).append(call)
    for function, afters in found.items():
        result = function.get("result")
        if result is None or result.kind == "parameter_list":
            continue
        calls = all_calls(file, function)
        waits = [(f, w) for f, c in calls or () if (w := waits_on(c)) is not None]
        if function.kind != "func_literal" and not all(_is_direct(f, c) for f, c in calls or ()):
            continue  # an interface's method: what it runs may be another one
        if calls and waits:
            yield TimerHelper(file, function, afters, calls, waits)


def _is_direct(file: GoFile, call: Node) -> bool:
    selector = call["function"]
    selection = file.selection(selector) if selector.kind == "selector_expression" else None
    return selection is None or selection.decl is not None


def _in_interface(file: GoFile, name: str) -> bool:
    """Return whether an interface of the package has a method of this name."""
    asked = re.compile(rb"\binterface\s*\{[^}]*\b" + re.escape(name.encode()) + rb"\(")
    return any(asked.search(other.data) for other in file.package.files)
