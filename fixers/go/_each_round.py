"""Loops that count off every item that they receive, but for some: `continue` before Done."""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, insert_before
from threadmend.golang.calls import callers
from threadmend.golang.count_helpers import count_call, counts, home, said
from threadmend.golang.counting import Counter, counter_of
from threadmend.golang.dones import leads_to_done
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import declaration_of
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan
from threadmend.golang.waitgroups import WaitGroupCall
from threadmend.model import Edit, Finding, Fix, Related, Safety

__all__ = ["skipped_rounds"]


def skipped_rounds(file: GoFile) -> Iterator[Finding]:
    """Yield the loops over a channel whose last statement is a Done that some round skips.

    Who sends on the channel adds one for each value, or a value has the group that it counts in.
    """
    for function in file.functions(counts(file.package, "Done")):
        for loop in function.own():
            clause = next((c for c in loop.children if c.kind == "range_clause"), None)
            done = _last(file, loop) if loop.kind == "for_statement" and clause else None
            if clause is None or done is None:
                continue
            if not isinstance(file.underlying(file.type_of(clause["right"])), Chan):
                continue
            skips = _skips(file, function, loop, clause, done)
            if skips and (
                _is_of_item(file, loop, clause, done, skips) or _is_each(file, clause, done)
            ):
                yield _finding(file, done, skips)


def _last(file: GoFile, loop: Node) -> WaitGroupCall | None:
    statements = loop["body"].statements
    if not statements or statements[-1].kind != "expression_statement":
        return None
    call = statements[-1].children[0]
    found = count_call(file, call) if call.kind == "call_expression" else None
    return found if found is not None and found.method == "Done" else None


def _skips(
    file: GoFile, function: Node, loop: Node, clause: Node, done: WaitGroupCall
) -> list[Node]:
    """Return the plain `continue`s of the loop that are reached without a Done."""
    flow = flow_of(function)
    points = set()
    for node in loop["body"].own():
        if node.kind != "call_expression":
            continue
        call = count_call(file, node)
        if call is None and leads_to_done(file, node):
            points.add(flow.point_of(node))
        if call is not None and call.method == "Done" and call.access == done.access:
            points.add(flow.point_of(node))
    head = flow.point_of(clause)
    if head is None or None in points or not flow.complete or done.access is None:
        return []
    ahead = flow.reachable(head, stop=points.__contains__)
    return [
        node
        for node in loop["body"].own()
        if node.kind == "continue_statement"
        and len(node.children) == 1
        and innermost_loop(node) is loop
        and flow.point_of(node) in ahead
    ]


def _is_of_item(
    file: GoFile, loop: Node, clause: Node, done: WaitGroupCall, skips: list[Node]
) -> bool:
    """Return whether the value itself leads to the group: `for j := range jobs { …; j.wg.Done() }`.

    And a round is skipped for a reason that has nothing to do with what the value is, without
    handing it to anybody who may call Done.
    """
    left = clause.get("left")
    item = file.binding(left.children[0]) if left is not None else None
    if item is None or done.access is None or done.access.root is not item:
        return False
    for use in item.uses:
        if use is not item.node and use.field != "operand" and not _is_printed(use):
            return False
    for skip in skips:
        test = skip.up("if_statement")
        if test is None or not loop["body"].contains(test):
            return False
        if any(test["condition"].contains(use) for use in item.uses):
            return False
    return True


_PRINTS = re.compile(rb"(?:log|slog|fmt)\.\w+$|\.\w*(?:log|Log|Print|Debug|Info|Warn|Error)\w*$")


def _is_printed(use: Node) -> bool:
    call = use.up("call_expression")
    return call is not None and _PRINTS.search(call["function"].text) is not None


def _is_each(file: GoFile, clause: Node, done: WaitGroupCall) -> bool:
    counter = counter_of(*home(file, done))
    return counter is not None and _one_for_each(counter, clause)


def _one_for_each(counter: Counter, clause: Node) -> bool:
    """Return whether every Add stands beside a send on the channel of the loop."""
    if counter.escapes or not counter.of("Wait") or not counter.of("Add"):
        return False
    name = clause["right"].name.rpartition(".")[2]
    for add in counter.of("Add"):
        function = add.call.function
        if function is None or not all(_sends(f, name) for f in _adding(counter, function)):
            return False
    return True


def _sends(function: Node, name: str) -> bool:
    sends = function.find("send_statement")
    return any(s["channel"].name.rpartition(".")[2] == name for s in sends)


def _adding(counter: Counter, function: Node) -> list[Node]:
    """Return a function that adds; of one that does nothing else, those that call it."""
    if len(function["body"].statements) != 1:
        return [function]
    decl = declaration_of(counter.file_of(function), function)
    sites = callers(decl) if decl is not None else ()
    outer = [site.node.function for site in sites if site.call is not None]
    return [f for f in outer if f is not None] or [function]


def _finding(file: GoFile, done: WaitGroupCall, skips: list[Node]) -> Finding:
    name = said(done)
    edits: tuple[Edit, ...] = ()
    reason = ""
    try:
        for skip in skips:
            edits += insert_before(skip, f"{name}()")
    except BuilderError as error:
        reason = str(error)
    fix = Fix(
        f"Call {name} for what is skipped, too",
        edits,
        Safety.UNSAFE,
        "Wait goes on where it waited for ever",
    )
    return Finding(
        path=file.path,
        start=done.call.start,
        end=done.call.end,
        message=f"{name} is not called for every value that is received",
        fixes=() if reason else (fix,),
        related=tuple(Related(s.path, s.start, s.end, "goes on without Done") for s in skips),
        reason=reason,
    )
