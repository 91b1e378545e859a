"""Leaving early: with which statement a function can be left at a place, and what it would skip.

A loop that learns to stop must not take with it what the rest of its function owes to others:
a lock that is held, a `wg.Done()` or `close(ch)` that is not deferred, a value that somebody
waits for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.builders import BuilderError, add_label, free_label
from threadmend.golang.functions import result_nodes
from threadmend.golang.goroutines import innermost_loop, outermost_loop
from threadmend.golang.locks import locks_of
from threadmend.golang.refusals import refusal
from threadmend.golang.stops import Stop, endless, leaves_loop
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import Array, Named, Struct, TypeParam
from threadmend.model import Edit

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["Leave", "leave_at", "owed_after", "owed_by_rounds", "zero_value"]


@dataclass(frozen=True, slots=True)
class Leave:
    """The statement that leaves, and edits elsewhere that it needs (a label)."""

    code: str
    edits: tuple[Edit, ...] = ()


def leave_at(file: GoFile, node: Node, stop: Stop, *, received: Node | None = None) -> Leave | str:
    """Return how the function around a node can be left there, or why it cannot.

    A return where nothing is owed after the node; else, where only the code behind the
    outermost loop owes something and the function returns nothing, a break out of that loop.
    With `received`, a loop whose rounds begin with the receive at the node, what a round owes
    it owes for a value that has not come.
    """
    function = node.function
    if function is None:
        return "the place is not in a function"
    if _holds_lock(file, function, node):
        return "a lock is held there"
    outer = outermost_loop(node)
    if released := _released_by_others(node):
        return f"the other ways out begin with {_first_line(released)}"
    if outer is not None and (rounds := owed_by_rounds(outer)) is not None:
        return f"leaving there would skip {_first_line(rounds)} of the rounds to come"
    waits = received is not None and received["body"].statements[0].contains(node)
    owed = owed_after(function, node, received if waits else None)
    left = _left_on(node, stop)
    if (
        left is not None
        and not result_nodes(function)
        and (owed is None or not left.contains(owed))
    ):
        return _break_out(function, left)
    if owed is None and outer is not None and _ends_by_count(function, outer):
        return _break_out(function, outer)
    if owed is not None:
        if outer is None or outer.contains(owed) or result_nodes(function):
            return f"leaving there would skip {_first_line(owed)}"
        return _break_out(function, outer)
    values = _values(file, function, stop)
    if values is None:
        return "what the function should return then cannot be told"
    return Leave(f"return {values}" if values else "return")


def _holds_lock(file: GoFile, function: Node, node: Node) -> bool:
    locks = locks_of(file, function)
    deferred = {o.access for o in locks.operations if o.releases and o.deferred is not None}
    return any(held.access not in deferred for held in locks.held_before(node))


def _released_by_others(node: Node) -> Node | None:
    """Return what another return in the loop around a node gives back first: `unlock(); return`.

    A lock that was taken before the loop is held there, too, by whatever name.
    """
    loop = innermost_loop(node)
    for way_out in loop["body"].own() if loop is not None else ():
        if way_out.kind != "return_statement":
            continue
        before = way_out.previous
        while before is not None:
            if before.kind == "expression_statement" and _GIVES_BACK.match(before.text):
                if not _UNLOCKS.search(before.text):  # `_holds_lock` knows of those
                    return before
            before = before.previous
    return None


_GIVES_BACK = re.compile(rb"(?i)(?:[\w.]+\.)?(?:unlock|release|rollback)\w*\([^()]*\)$")
_OWES = re.compile(rb"(?s)(?:close|\w*[cC]ancel)\(.*\)$|.*\.Done\(\)$|\w+\.(?:End|Finish)\(.*\)$")
_UNLOCKS = re.compile(rb"\.R?Unlock\(\)")


def owed_after(function: Node, node: Node, beside: Node | None = None) -> Node | None:
    """Return the first statement after a node by which a function lets others go on.

    A close, a cancel, a Done that is not deferred, the end of a span, a plain send; none in a loop
    to pass by. Or what takes back the value that the round has put into a channel: its slot.
    """
    if slot := _slot_after(node):
        return slot
    for statement in function["body"].own():
        if statement.start <= node.start or _on_another_arm(statement, node):
            continue
        if beside is not None and beside.contains(statement):
            continue
        if statement.kind == "expression_statement" and _OWES.match(statement.text):
            return statement
        if statement.kind == "send_statement" and statement.field != "communication":
            loop = innermost_loop(statement)
            if loop is None or not loop.contains(node) or not leaves_loop(loop):
                return statement
    return None


def owed_by_rounds(loop: Node) -> Node | None:
    """Return the Done that each round of a counted loop owes: as many were added before it.

    `wg.Add(n); for i := 0; i < n; i++ { …; locked(func() { defer wg.Done(); … }) }`
    """
    if not any(c.kind in _COUNTED for c in loop.children) or endless(loop):
        return None
    data = loop.tree.data
    for call in loop["body"].find("call_expression"):
        done = _DONE.fullmatch(call.text)
        if done is not None and call.parent is not None and call.parent.kind in _STATEMENTS:
            added = re.compile(re.escape(done[1]) + rb"\.(?:Add|Go)\(")
            if added.search(data, loop.start, loop.end) is None:
                return call
    return None


_DONE = re.compile(rb"([\w.]+)\.Done\(\)")
_STATEMENTS = frozenset({"expression_statement", "defer_statement"})


def _left_on(node: Node, stop: Stop) -> Node | None:
    """Return the loop that another select around a node leaves by a break on the same stop."""
    wanted = f"<-{stop.receive}"
    for loop in node.ancestors():
        if loop.kind in FUNCTIONS:
            break
        if loop.kind != "for_statement":
            continue
        label = _label_of(loop)
        for case in loop["body"].find("communication_case") if label is not None else ():
            communication = case.get("communication")
            if communication is None or communication.name != wanted or not case.statements:
                continue
            if case.function is loop.function and case.statements[-1].name == f"break {label}":
                return loop
    return None


def _label_of(loop: Node) -> str | None:
    parent = loop.parent
    labelled = parent is not None and parent.kind == "labeled_statement"
    return parent["label"].name if parent is not None and labelled else None


def _slot_after(node: Node) -> Node | None:
    """Return the statement that frees the slot which a round has taken before a node.

    `slots <- x; time.Sleep(pause); go func() { work(); <-slots }()`
    """
    loop = innermost_loop(node)
    if loop is None:
        return None
    body = loop["body"]
    taken = {
        send["channel"].text
        for send in body.find("send_statement")
        if send.end <= node.start and not _on_another_arm(send, node)
    }
    for receive in body.find("unary_expression") if taken else ():
        if receive.start > node.start and receive["operator"].kind == "<-":
            if receive["operand"].text in taken and receive.parent is not None:
                return receive.statement
    return None


def _ends_by_count(function: Node, loop: Node) -> bool:
    """Return whether what follows a counted loop runs as well when the count is not reached.

    Behind a clause that steps nothing (`for next := get(); next == old; {`) the condition holds.
    """
    clause = next((c for c in loop.children if c.kind in _COUNTED), None)
    if result_nodes(function) or clause is None:
        return False
    if clause.kind == "for_clause" and clause.get("update") is None:
        return False
    return not endless(loop) and loop is not function["body"].statements[-1]


_COUNTED = frozenset({"for_clause", "range_clause"})


def _on_another_arm(statement: Node, node: Node) -> bool:
    """Return whether a statement stands in another arm of a branch around the node."""
    for ancestor in statement.ancestors():
        if ancestor.kind in _ARMS and not ancestor.contains(node):
            parent = ancestor.parent
            if parent is not None and parent.contains(node):
                return True
        if ancestor.kind in FUNCTIONS:
            return False
    return False


_ARMS = frozenset({"communication_case", "expression_case", "type_case", "default_case"})


def _break_out(function: Node, loop: Node) -> Leave | str:
    if _UNLOCKS.search(function.tree.data, loop.end, function.end):
        return "what follows the loop releases a lock"
    parent = loop.parent
    if parent is not None and parent.kind == "labeled_statement":
        return Leave(f"break {parent['label'].name}")
    label = free_label(function)
    try:
        return Leave(f"break {label}", add_label(loop, label))
    except BuilderError as error:
        return str(error)


def _first_line(node: Node) -> str:
    return node.name.partition("\n")[0]


# -- the values --------------------------------------------------------------------------


def _values(file: GoFile, function: Node, stop: Stop) -> str | None:
    """Return the values to return when `stop` is ready, `""` for none, None if unknown.

    The context's error comes last, or the one by which the package says that an object has
    ended; what the function returns elsewhere on the same stop is preferred.
    """
    results = result_nodes(function)
    if not results:
        return ""
    known = _returned_on(function, stop)
    if known is not None:
        return known
    last = refusal(file, function)
    if stop.context:
        last = f"{stop.context}.Err()" if results[-1].text == b"error" else None
    if last is None:
        return None
    zeros = [zero_value(file, result) for result in results[:-1]]
    if any(zero is None for zero in zeros):
        return None
    return ", ".join([*(z for z in zeros if z), last])


def _returned_on(function: Node, stop: Stop) -> str | None:
    """Return what another select of the function returns when the same stop is ready."""
    wanted = f"<-{stop.receive}"
    for case in function.find("communication_case"):
        communication = case.get("communication")
        if communication is None or communication.name != wanted or case.function is not function:
            continue
        last = case.statements[-1] if case.statements else None
        if last is not None and last.kind == "return_statement" and len(last.children) > 1:
            text = last.children[-1].name
            if _LITERAL.fullmatch(text.replace(stop.context, "ctx") if stop.context else text):
                return text
    return None


# Nothing that may mean something else at another place: literals, errors of the package.
_LITERAL = re.compile(
    r"(?:nil|true|false|\"\"|-?\d+|ctx\.Err\(\)|(?:\w+\.)?[eE]rr[A-Z]\w*)"
    r"(?:, (?:nil|true|false|\"\"|-?\d+|ctx\.Err\(\)|(?:\w+\.)?[eE]rr[A-Z]\w*))*"
)

_BASIC = {"bool": "false", "string": '""', "error": "nil", "any": "nil"}
_NUMBERS = re.compile(r"u?int(?:8|16|32|64|ptr)?|float(?:32|64)|complex(?:64|128)|byte|rune")
_NIL = frozenset(
    {
        *("pointer_type", "slice_type", "map_type", "channel_type", "function_type"),
        "interface_type",
    }
)


def zero_value(file: GoFile, type_: Node) -> str | None:
    """Return the zero value of a type expression as Go text, None when it cannot be told."""
    if type_.kind in _NIL:
        return "nil"
    meant = file.type_from(type_)
    if isinstance(meant, TypeParam):
        return f"*new({type_.name})"
    under = file.underlying(meant)
    if isinstance(under, (Struct, Array)):
        return f"{type_.name}{{}}"
    if isinstance(under, Named):
        if under.package == "time" and under.name in {"Duration", "Month", "Weekday"}:
            return "0"
        if under.package:
            return None
        if _NUMBERS.fullmatch(under.name):
            return "0"
        return _BASIC.get(under.name)
    return "nil" if under is not None else None
