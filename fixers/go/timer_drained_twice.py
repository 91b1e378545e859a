"""Drain a timer's channel only when something is in it

`if !t.Stop() { <-t.C }` empties the channel of a timer that fired before it could be stopped.
When its tick was already received, Stop says false as well, and the channel stays empty: the
receive waits for ever. It happens in the loop that receives the tick in one case and resets
the timer in another, as soon as the first comes before the second.

Not reported: a timer that is reset or made anew between the tick and the Stop; a drain that
also asks a flag of its own.

Unsafe: before Go 1.23 a tick that is being sent at that moment stays in the channel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import Access, access_of, selector_meant
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Flow, Point, flow_of
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named
from threadmend.model import Edit, Finding, Fix, Related, Safety

CATEGORY = "select"
GATE = rb"!\w[\w.]*\.Stop\(\) \{[^{}]*<-"


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the receives after Stop which may find a channel that is empty already."""
    for stop in file.calls("Stop"):
        drain = _drain(file, stop)
        function = stop.function
        if drain is None or function is None:
            continue
        timer = access_of(file, stop["function"]["operand"])
        flow = flow_of(function)
        first = _received_before(file, flow, function, stop, timer) if timer else None
        if first is not None:
            yield _finding(file, stop, drain, first)


def _drain(file: GoFile, stop: Node) -> Node | None:
    """Return the receive in `if !t.Stop() { <-t.C }`."""
    negation, function = stop.parent, stop["function"]
    if negation is None or negation.kind != "unary_expression" or negation.field != "condition":
        return None
    test = negation.parent
    if test is None or test.kind != "if_statement" or function.kind != "selector_expression":
        return None
    statements = test["consequence"].statements
    receives = [r for s in statements for r in s.find("unary_expression") if _receives(r)]
    if len(receives) != 1 or test.get("alternative") is not None:
        return None
    receive = receives[0]
    if receive.parent not in statements or receive.parent.kind != "expression_statement":
        return None
    channel = selector_meant(file, receive["operand"])
    if channel is None or channel.text != function["operand"].text + b".C":
        return None
    owner = file.selection(function)
    return receive if owner is not None and is_named(owner.owner, "time.Timer") else None


def _receives(node: Node) -> bool:
    return node["operator"].kind == "<-"


def _received_before(
    file: GoFile, flow: Flow, function: Node, stop: Node, timer: Access
) -> Node | None:
    """Return a receive of the tick from which a path leads to Stop, the timer not restarted."""
    target = flow.point_of(stop)
    if target is None:
        return None
    restarts = _restarts(file, flow, function, timer)
    for node in function.own():
        if node.kind != "unary_expression" or node["operator"].kind != "<-":
            continue
        channel = selector_meant(file, node["operand"])
        if channel is None or channel["field"].name != "C":
            continue
        if access_of(file, channel["operand"]) != timer:
            continue
        point = flow.point_of(node)
        if point is not None and target in flow.reachable(point, stop=restarts.__contains__):
            return node
    return None


def _restarts(file: GoFile, flow: Flow, function: Node, timer: Access) -> set[Point]:
    """Return the points that reset the timer or put another one, or may do so out of sight."""
    found = set()
    for node in function.own():
        if node.kind == "call_expression":
            called = node["function"]
            if called.kind == "selector_expression" and called["field"].name == "Reset":
                if access_of(file, called["operand"]) != timer:
                    continue
            elif not _may_restart(file, node, function, timer):
                continue
        elif node.kind in {"assignment_statement", "short_var_declaration"}:
            targets = [access_of(file, left) for left in node["left"].children]
            if not any(t is not None and timer.under(t) for t in targets):
                continue
        else:
            continue
        point = flow.point_of(node)
        if point is not None:
            found.add(point)
    return found


def _may_restart(file: GoFile, call: Node, function: Node, timer: Access) -> bool:
    """Return whether a call gets the timer, or runs code that may start it."""
    if any(access_of(file, a) == timer for a in call["arguments"].children):
        return True
    name = (timer.steps[-1] if timer.steps else getattr(timer.root, "name", "")).encode()
    resets = re.compile(rb"\b" + re.escape(name) + rb"\.Reset\(")
    for other in file.package.files:
        if not (other.may_hold(name) and other.may_hold(b"Reset")):
            continue
        for found in resets.finditer(other.data):
            if other is not file or not function.start <= found.start() < function.end:
                return True
    literals = (n for n in function.own() if n.kind == "func_literal" and n is not function)
    if any(resets.search(literal.text) for literal in literals):
        return True
    decl = file.callee(call) if timer.steps else None
    if decl is None or decl.file.package.module is None:
        return False
    return name in decl.file.data[slice(*decl.span)]


def _finding(file: GoFile, stop: Node, drain: Node, first: Node) -> Finding:
    """Build the finding; the fix receives only what is there.

    Sound: a receive that found something finds it again; one that found nothing never came
    back. Before 1.23 Stop can return while the tick is on its way.
    """
    statement = drain.parent
    assert statement is not None
    indent = drain.tree.source.indent_at(statement.start)
    newline = drain.tree.source.newline
    lines = [b"select {", b"case " + drain.text + b":", b"default:", b"}"]
    edit = Edit(file.path, drain.start, drain.end, (newline + indent).join(lines))
    title = "Receive only when the tick is there"
    fix = Fix(title, (edit,))
    if file.go_version < (1, 23):
        reason = "a tick that is being sent at that moment stays behind"
        fix = Fix(title, (edit,), Safety.UNSAFE, reason)
    where = (Related(first.path, first.start, first.end, "the tick is received here"),)
    name = stop["function"]["operand"].name
    return Finding(
        path=file.path,
        start=drain.start,
        end=drain.end,
        message=f"the tick of {name} may have been received already, and no other one comes",
        fixes=(fix,),
        related=where if first is not drain else (),
    )
