"""Let a worker end when its channel is closed or its context ends

A goroutine that receives in an endless loop has no way out. When the channel is closed, the
receive gives zero values without waiting: the worker spins, and handles jobs that nobody sent.
When it is not, the worker waits for ever for the next job, after everybody who could send one
has gone; each start leaves one behind. A loop over a ticker's channel has no way out either, and
the goroutine of an object that a function makes, uses and drops without calling the method that
ends it has nobody left who could.

Not reported: a loop that something leaves, a loop that a goroutine does not run, a channel of
which nothing is known, a worker that lives as long as the process.

Unsafe: the goroutine now ends.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from threadmend.golang.builders import (
    BuilderError,
    delete,
    free_name,
    insert_after,
    replace,
    taken_names,
    wrap,
)
from threadmend.golang.channel_fields import SharedChannel
from threadmend.golang.channel_index import Behind, behind, operand_of
from threadmend.golang.file import GoFile
from threadmend.golang.functions import result_nodes
from threadmend.golang.leaving import leave_at
from threadmend.golang.stops import Stop, endless, leaves_loop, listens, stops_at
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan
from threadmend.model import Edit, Finding, Fix, Safety

from ._bodies import bodies
from ._every_tick import at_a_tick, at_every_tick, ticks
from ._fed_by_caller import fed_by_caller
from ._fed_by_owner import fed_by_owner
from ._fed_here import fed_here
from ._never_stopped import never_stopped
from ._refused_after import Refusal, closed_with_flag, refused_after
from ._stop_cases import finding, partners_too
from ._waits_for_workers import closed_around, waiting_method

CATEGORY = "goroutine"
GATE = rb"<-|\brange\b|:="


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the receiving loops of goroutines that nothing ends."""
    for body in bodies(file):
        for loop in body.own():
            if loop.kind != "for_statement":
                continue
            if leaves_loop(loop):
                yield from _until_closed(file, body, loop)
                continue
            clause = next((c for c in loop.children if c.kind == "range_clause"), None)
            if clause is not None:
                yield from _ranges(file, body, loop, clause)
            elif endless(loop):
                yield from _receives(file, body, loop)
    yield from never_stopped(file)


# -- for { v := <-ch } -------------------------------------------------------------------


def _receives(file: GoFile, body: Node, loop: Node) -> Iterator[Finding]:
    statements = [(s, r) for s in loop["body"].statements if (r := _receive(s)) is not None]
    if len(statements) != 1 or listens(file, loop):
        return
    statement, receive = statements[0]
    if ticks(file, receive):
        yield from _at_tick(file, receive, at_a_tick(file, loop, receive))
        return
    channel = behind(file, receive)
    skip = _skips(file, statement)
    if skip is not None:
        yield _spinning(file, receive, skip, channel)
    elif _tests_ok(statement):
        return
    elif (closes := channel.of("close")) and all(_is_last(c.node, body) for c in closes):
        return  # when the loop has ended
    elif closes:
        name = operand_of(receive).name
        message = f"the loop goes on with zero values when {name} is closed"
        yield finding(file, receive, message, _with_ok(file, loop, statement, receive))
    else:
        stops = stops_at(file, statement)
        if stops and (channel.local or (channel.shared is not None and channel.shared.is_field)):
            message = f"the worker waits for {operand_of(receive).name} for ever"
            message += f" and does not listen to {stops[0].receive}"
            fix = _with_select(file, loop, statement, receive, stops[0])
            yield finding(file, receive, message, fix)
        elif channel.shared is not None and channel.known and channel.shared.is_field:
            for found in _never_closed(file, body, receive, channel.shared):
                yield _until_close(file, found, loop, statement, receive, channel.shared)


def _is_last(close: Node, body: Node) -> bool:
    """Return whether the body that receives closes the channel itself, when it leaves."""
    return close.is_deferred and close.function is body


def _receive(statement: Node) -> Node | None:
    """Return the receive of `v := <-ch`, `v, ok := <-ch` or `<-ch`."""
    if statement.kind == "expression_statement":
        value = statement.children[0]
    elif statement.kind in {"short_var_declaration", "assignment_statement"}:
        values = statement["right"].children
        if len(values) != 1:
            return None
        value = values[0]
    else:
        return None
    if value.kind == "unary_expression" and value["operator"].kind == "<-":
        return value
    return None


def _tests_ok(statement: Node) -> bool:
    left = statement.get("left")
    return left is not None and len(left.children) == 2


def _skips(file: GoFile, statement: Node) -> Node | None:
    """Return the `continue` of `v, ok := <-ch` and `if !ok { continue }`."""
    test = statement.next
    left = statement.get("left")
    if left is None or len(left.children) != 2 or test is None or test.kind != "if_statement":
        return None
    if test["condition"].name != f"!{left.children[1].name}" or test.get("initializer"):
        return None
    inside = test["consequence"].statements
    if len(inside) == 1 and inside[0].kind == "continue_statement":
        return inside[0] if len(inside[0].children) == 1 else None
    return None


def _spinning(file: GoFile, receive: Node, skip: Node, channel: Behind) -> Finding:
    name = operand_of(receive).name
    leave = leave_at(file, skip, Stop(name))
    fix: Fix | str
    if isinstance(leave, str):
        fix = leave
    else:
        edits = leave.edits + replace(skip, leave.code)
        fix = Fix("Leave the loop instead", edits, Safety.UNSAFE, _ENDS)
    return finding(file, receive, f"the loop spins when {name} is closed", fix)


_ENDS = "the goroutine now ends"


def _ok_name(file: GoFile, node: Node) -> str:
    top = file.tree.declaration_at(node.start)
    assert top is not None
    return free_name("ok", taken_names(top.node, names=file.package.names))


def _with_ok(file: GoFile, loop: Node, statement: Node, receive: Node) -> Fix | str:
    """Test whether the channel is closed.

    Sound: what is received until then is handled as before.
    """
    leave = leave_at(file, statement, Stop(operand_of(receive).name), received=loop)
    if isinstance(leave, str):
        return leave
    ok = _ok_name(file, statement)
    try:
        if statement.kind == "short_var_declaration":
            name = statement["left"].children[0]
            edits: tuple[Edit, ...] = (Edit(file.path, name.end, name.end, f", {ok}".encode()),)
            edits += insert_after(statement, f"if !{ok} {{\n\t{leave.code}\n}}")
        elif statement.kind == "expression_statement":
            code = f"if _, {ok} := {receive.name}; !{ok} {{\n\t{leave.code}\n}}"
            edits = replace(statement, code)
        else:
            return "the value is assigned to a variable from outside of the loop"
    except BuilderError as error:
        return str(error)
    return Fix("End when the channel is closed", leave.edits + edits, Safety.UNSAFE, _ENDS)


def _until_close(
    file: GoFile,
    found: Finding,
    loop: Node,
    statement: Node,
    receive: Node,
    channel: SharedChannel,
) -> Finding:
    """Let a loop without a test end at the close, which the fix adds: nobody closed till now."""
    ended = _as_range(loop, statement, receive, channel)
    if ended is None:
        fix = _with_ok(file, loop, statement, receive)
        if isinstance(fix, str):
            return dataclasses.replace(found, fixes=(), reason=fix)
        ended = fix.edits
    fixes = (dataclasses.replace(fix, edits=fix.edits + ended) for fix in found.fixes)
    return dataclasses.replace(found, fixes=tuple(fixes))


def _as_range(
    loop: Node, statement: Node, receive: Node, channel: SharedChannel
) -> tuple[Edit, ...] | None:
    """Return `for v := range ch` for a loop that begins with `v := <-ch`.

    The channel is looked up but once then: it has to stay the one that was made for the object.
    """
    body, left, function = loop["body"], statement.get("left"), loop.function
    if channel.stores or len(channel.makes) != 1 or body.statements[0] is not statement:
        return None
    if loop.tree.comments_in(loop.start, statement.end) or len(body.statements) < 2:
        return None
    if statement.kind == "assignment_statement" or (function and result_nodes(function)):
        return None  # an endless loop needs no return behind it
    if next(body.find("func_literal"), None) is not None or b"&" in body.text:
        return None  # before Go 1.22, the variable of a range is the same in each round
    value = f"{left.children[0].name} := " if left is not None else ""
    head = f"for {value}range {operand_of(receive).name} {{".encode()
    return (Edit(loop.path, loop.start, body.start + 1, head), *delete(statement))


def _with_select(file: GoFile, loop: Node, statement: Node, receive: Node, stop: Stop) -> Fix | str:
    """Receive in a select with what ends the worker; the rest of the iteration goes inside."""
    leave = leave_at(file, statement, stop)
    if isinstance(leave, str):
        return leave
    if statement.kind == "assignment_statement":
        return "the value is assigned to a variable from outside of the loop"
    rest = [s for s in loop["body"].statements if s.start > statement.start]
    if any(n.kind == "break_statement" and n.up("for_statement") is loop for n in loop.own()):
        return "a break would leave the select"
    ok = _ok_name(file, statement)
    names = statement.get("left")
    value = names.children[0].name if names is not None else "_"
    head = _HEAD.format(
        stop=stop.receive, leave=leave.code, value=value, ok=ok, receive=receive.name
    )
    try:
        if not rest:
            edits = replace(statement, f"{head}\n}}")
        else:
            edits = delete(statement) + wrap(rest, head)
    except BuilderError as error:
        return str(error)
    title = f"Receive in a select with {stop.receive}"
    edits += partners_too(behind(file, receive), stop, "send")
    return Fix(title, leave.edits + edits, Safety.UNSAFE, _ENDS)


_HEAD = """\
select {{
case <-{stop}:
	{leave}
case {value}, {ok} := {receive}:
	if !{ok} {{
		{leave}
	}}"""


# -- for v := range ch -------------------------------------------------------------------


def _ranges(file: GoFile, body: Node, loop: Node, clause: Node) -> Iterator[Finding]:
    """Yield the loops over a field's channel that nobody closes."""
    if not isinstance(file.underlying(file.type_of(clause["right"])), Chan):
        return
    if ticks(file, clause):
        yield from _at_tick(file, clause, at_every_tick(file, loop, clause))
        return
    channel = behind(file, clause)
    if len(channel.local) == 1:
        by = fed_by_caller(file, channel.local[0])
        if by is not None:
            message = f"the worker waits for {clause['right'].name}, which {by[0]} feeds"
            yield finding(file, clause, f"{message} and does not close", by[1])
        return
    if channel.shared is None or not channel.known or channel.of("close"):
        return
    if not channel.shared.is_field:
        return  # a package variable lives as long as the process
    name = clause["right"].name
    stops = stops_at(file, loop["body"].statements[0]) if loop["body"].statements else []
    if stops and not listens(file, loop):
        message = f"the worker waits for {name}, which nobody closes,"
        message += f" and does not listen to {stops[0].receive}"
        yield finding(file, clause, message, _over_select(file, loop, clause, stops[0]))
        return
    yield from _never_closed(file, body, clause, channel.shared)


def _at_tick(file: GoFile, at: Node, found: tuple[str, Fix | str] | None) -> Iterator[Finding]:
    if found is not None:
        message = f"the goroutine ticks for ever and does not listen to {found[0]}"
        yield finding(file, at, message, found[1])


def _never_closed(file: GoFile, body: Node, at: Node, shared: SharedChannel) -> Iterator[Finding]:
    """Yield the finding where it can be told who should close the channel of a worker."""
    name = operand_of(at).name
    fed = fed_here(file, body, shared) or fed_by_owner(file, body, shared)
    if fed is not None:
        message = f"the worker waits for {name}, which {fed[0]} feeds and does not close"
        yield finding(file, at, message, fed[1])
        return
    wait = waiting_method(shared)
    if wait is not None:
        message = f"{wait.method} waits for a worker that waits for {name}, which nobody closes"
        if wait.items:
            message = f"the worker waits for {name}, which {wait.method} does not close"
        yield finding(file, at, message, closed_around(shared, wait))
        return
    refusal = refused_after(shared)
    if refusal is not None and not _asks(refusal, body):
        message = f"the worker waits for {name}, to which nobody sends after {refusal.method}"
        yield finding(file, at, message, closed_with_flag(refusal))


def _asks(refusal: Refusal, body: Node) -> bool:
    """Return whether a worker itself looks at the flag."""
    flag = refusal.set["left"].children[0]["field"].text
    return b"." + flag in body.text


# -- for { v, ok := <-ch; if !ok { return } … } ------------------------------------------


def _until_closed(file: GoFile, body: Node, loop: Node) -> Iterator[Finding]:
    """Yield the loops that only a close ends, over a field's channel that nobody closes."""
    statements = loop["body"].statements
    receive = _receive(statements[0]) if statements and endless(loop) else None
    left = statements[0].get("left") if receive is not None else None
    if receive is None or left is None or len(left.children) != 2 or len(statements) < 2:
        return
    test = statements[1]
    if test.kind != "if_statement" or test["condition"].text != b"!" + left.children[1].text:
        return
    rest = [s for s in statements if s is not test]
    if any(n.kind in _JUMPS for s in rest for n in s.walk()):
        return  # something else may end it
    channel = behind(file, receive)
    if channel.shared is not None and channel.known and not channel.of("close"):
        if channel.shared.is_field:
            yield from _never_closed(file, body, receive, channel.shared)


_JUMPS = frozenset({"return_statement", "goto_statement", "break_statement"})


def _over_select(file: GoFile, loop: Node, clause: Node, stop: Stop) -> Fix | str:
    statements = loop["body"].statements
    leave = leave_at(file, statements[0], stop)
    if isinstance(leave, str):
        return leave
    left = clause.get("left")
    if left is not None and clause["left"].kind != "expression_list":
        return "the loop assigns to a variable from outside"
    ok = _ok_name(file, loop)
    value = left.name if left is not None else "_"
    if left is not None and b":=" not in clause.text:
        return "the loop assigns to a variable from outside"
    receive = f"<-{clause['right'].name}"
    head = _HEAD.format(stop=stop.receive, leave=leave.code, value=value, ok=ok, receive=receive)
    try:
        edits: tuple[Edit, ...] = (Edit(file.path, clause.start, loop["body"].start, b""),)
        edits += wrap(statements, head)
    except BuilderError as error:
        return str(error)
    title = f"Receive in a select with {stop.receive}"
    edits += partners_too(behind(file, clause), stop, "send")
    return Fix(title, leave.edits + edits, Safety.UNSAFE, _ENDS)
