"""Leave the loop, not the select, when an exit case breaks

A `break` inside a select leaves the select, and the endless loop around it goes on. On a
context that is done or a channel that is closed the same case is ready again at once: the
goroutine neither ends nor waits, it spins. The same goes for a break in any case, when nothing
else leaves the loop and code follows it, which then never runs.

Not reported: a break with a label, a loop with a condition or range of its own, a break that
skips the rest of its case only, statements after the select that leave the loop (or that run
after each signal of a channel: a context alone stays done).

Unsafe: what follows the loop now runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import is_assigned_once, uses_of
from threadmend.golang.builders import BuilderError, add_label, free_label, replace, with_reason
from threadmend.golang.file import GoFile
from threadmend.golang.functions import leave_with, result_nodes
from threadmend.golang.gathered import return_of_gathered
from threadmend.golang.stops import Stop, endless, leaves_loop, listens
from threadmend.golang.syntax import Declaration, Node
from threadmend.model import Edit, Finding, Fix, Safety

from ._stop_cases import deserted

CATEGORY = "select"
GATE = rb"\bbreak\b"


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the breaks that end a select's exit case and leave the endless loop running."""
    for statement in file.find("break_statement", _BREAK, _may_leave):
        if len(statement.children) > 1:
            continue
        case = _exit_case(file, statement) or _only_way_out(statement)
        select = case.parent if case is not None else None
        loop = _loop_around(select) if select is not None else None
        if loop is None or select is None or not endless(loop):
            continue
        following = [s for s in loop["body"].statements if s.start > select.start]
        if following and not _goes_round(case, statement, following):
            continue  # what follows the select may be meant to run
        yield _finding(file, statement, loop)


_BREAK = re.compile(rb"\bbreak\b")
_CASE = ("for_statement", "block", "select_statement", "communication_case", "break_statement")
_DEFAULT = (*_CASE[:3], "default_case", "break_statement")
_TEST = (*_CASE[:4], "if_statement", "block", "break_statement")


def _may_leave(declaration: Declaration) -> bool:
    """Return whether a break stands in a select's case, or in a test there, right in a loop."""
    for hit in _BREAK.finditer(declaration.tree.data, declaration.start, declaration.end):
        around = declaration.around(hit.start())[:-1]
        if around[-5:] in {_CASE, _DEFAULT} or around[-7:] == _TEST:
            return True
    return False


def _exit_case(file: GoFile, statement: Node) -> Node | None:
    """Return the case of a select that the break ends and that says it is over.

    The break is the case's last statement and the case receives from a context or a stop
    channel; or it is the last one of `if !ok { … }` after `v, ok := <-ch`.
    """
    parent = statement.parent
    if parent is None or parent.statements[-1] is not statement:
        return None
    if any(_SWITCHES_OFF.fullmatch(s.text) for s in parent.statements):
        return None  # `in = nil; break`: the case is over, and the loop goes on with the others
    if parent.kind == "communication_case":
        communication = parent.get("communication")
        if communication is not None and listens(file, communication):
            return parent
        return parent if _is_told_to_stop(parent) else None
    test = parent.parent
    if parent.kind != "block" or test is None or test.kind != "if_statement":
        return None
    case = test.parent
    if case is None or case.kind != "communication_case" or parent.field != "consequence":
        return None
    return case if _says_closed(file, case, test) else None


_SWITCHES_OFF = re.compile(rb"[\w.]+ = nil")
_TOLD = re.compile(rb"(?i)<-\s*[\w.]*(?:quit|stop|exit|shutdown|kill|halt|abort|terminate)\w*")


def _is_told_to_stop(case: Node) -> bool:
    """Return whether a case drops a value from a channel by which somebody says `stop <- true`.

    A last `break` does nothing in any case: in one alone it was meant for the loop.
    """
    communication, select = case.get("communication"), case.parent
    if communication is None or select is None or not _TOLD.fullmatch(communication.text):
        return False
    others = [c for c in select.children if c is not case and c.get("communication") is not None]
    return bool(others) and not any(
        other.statements and other.statements[-1].kind == "break_statement"
        for other in select.children
        if other is not case and other.kind.endswith("_case")
    )


def _only_way_out(statement: Node) -> Node | None:
    """Return the case of a select that the break ends, where nothing else could be meant to
    leave the loop: the code behind it would never run.
    """
    case = statement.parent
    select = case.parent if case is not None else None
    if case is None or select is None or case.kind not in {"communication_case", "default_case"}:
        return None
    loop = _loop_around(select)
    if case.statements[-1] is not statement or loop is None or leaves_loop(loop):
        return None
    if _ends_function(loop) or [b for b in loop.own() if b.kind == "break_statement"] != [
        statement
    ]:
        return None
    return case


def _says_closed(file: GoFile, case: Node, test: Node) -> bool:
    """Return whether a test is `!ok` of the receive that the case makes."""
    communication = case.get("communication")
    left = communication.get("left") if communication is not None else None
    condition = test.get("condition")
    if left is None or len(left.children) != 2 or condition is None:
        return False
    ok = file.binding(left.children[1])
    if ok is None or condition.kind != "unary_expression" or condition["operator"].kind != "!":
        return False
    if not is_assigned_once(ok):
        return False  # the `ok` of something else by then: `m, ok := event.(*Map)`
    return any(use.node is condition["operand"] for use in uses_of(ok))


def _goes_round(case: Node | None, statement: Node, following: list[Node]) -> bool:
    """Return whether nothing that follows the select can keep it from being ready again."""
    if case is not statement.parent:
        return not _may_go(following)
    done = (
        _CONTEXT.search(case["communication"].text) if case and case.get("communication") else None
    )
    if done is None:
        return False  # a channel may be another one by then; a context stays done
    root = done[1].partition(b".")[0]
    return not any(
        n.kind in _LEAVES
        or (n.kind == "call_expression" and _STOPS.search(n["function"].text))
        or (n.kind == "assignment_statement" and n["left"].text.partition(b".")[0] == root)
        for s in following
        for n in s.walk()
    )


_CONTEXT = re.compile(rb"<-\s*([\w.]+(?:\.Context\(\))?)\.Done\(\)$")
_LEAVES = frozenset({"return_statement", "break_statement", "goto_statement"})
_STOPS = re.compile(rb"\.(?:Exit|Goexit|Fatal\w*|Panic\w*|FailNow|Skip\w*)$")


def _may_go(following: list[Node]) -> bool:
    """Return whether what follows the select leaves the loop, or waits, when it is over.

    Anything else runs again and again: a closed channel is always ready.
    """
    return any(
        n.kind in _GOES and not (n.kind == "call_expression" and n["function"].text in _PLAIN)
        for s in following
        for n in s.walk()
    )


_PLAIN = frozenset({b"len", b"cap", b"append", b"min", b"max"})


_GOES = frozenset(
    {
        *("return_statement", "break_statement", "goto_statement", "call_expression"),
        *("select_statement", "send_statement", "labeled_statement"),
    }
)


def _loop_around(select: Node) -> Node | None:
    block = select.parent
    if block is None or block.kind != "block" or block.parent is None:
        return None
    return block.parent if block.parent.kind == "for_statement" else None


def _finding(file: GoFile, statement: Node, loop: Node) -> Finding:
    fix, reason = _fix(file, statement, loop)
    return Finding(
        path=file.path,
        start=statement.start,
        end=statement.end,
        message="break leaves the select; the endless loop around it goes on",
        fixes=(fix,) if fix else (),
        reason=reason,
    )


@with_reason
def _fix(file: GoFile, statement: Node, loop: Node) -> Fix:
    function = loop.function
    if function is None:
        raise BuilderError("the loop is not in a function")
    reason = "what follows the loop now runs"
    body = function["body"]
    others = _partners(file, statement)
    if loop.parent is body and body.statements[-1] is loop:
        leave = leave_with(function) or _returned(file, loop)
        if leave is None and not any(n.kind == "return_statement" for n in loop.own()):
            leave = return_of_gathered(file, function, loop, statement)
        if leave is None:
            raise BuilderError("what the function should return then cannot be told")
        title = "Return instead of leaving the select"
        return Fix(title, replace(statement, leave) + others, Safety.UNSAFE, reason)
    if result_nodes(function) and not leaves_loop(loop) and _ends_function(loop):
        raise BuilderError("what the function should return then cannot be told")
    edits, label = _labelled(loop, function)
    edits += replace(statement, f"break {label}") + others
    return Fix(f"Break to the label {label}", edits, Safety.UNSAFE, reason)


def _partners(file: GoFile, statement: Node) -> tuple[Edit, ...]:
    """Let the other ends of what the select waits for leave with the loop."""
    case = statement.parent if statement.parent is not None else None
    communication = case.get("communication") if case is not None else None
    select = case.parent if case is not None else None
    if communication is None or select is None:
        return ()
    stop = next((n for n in communication.find("unary_expression")), None)
    return deserted(file, select, Stop(stop["operand"].name)) if stop is not None else ()


def _returned(file: GoFile, loop: Node) -> str | None:
    """Return the return statement, when the loop has but one kind of them: `return got`."""
    returns = [n for n in loop.own() if n.kind == "return_statement"]
    for name in (n for r in returns for n in r.find("identifier")):
        binding = file.binding(name)
        if binding is not None and loop.contains(binding.node):
            return None
    return returns[0].name if len({r.text for r in returns}) == 1 else None


def _ends_function(loop: Node) -> bool:
    statement = loop.parent if loop.parent and loop.parent.kind == "labeled_statement" else loop
    return statement.next is None


def _labelled(loop: Node, function: Node) -> tuple[tuple[Edit, ...], str]:
    """Return the edits that label a loop, and the label; one that it has is used."""
    parent = loop.parent
    if parent is not None and parent.kind == "labeled_statement":
        return (), parent["label"].name
    label = free_label(function)
    return add_label(loop, label), label
