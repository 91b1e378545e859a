"""Results that are set and not announced: a path sets what others read, and does not close.

e.val, e.err = load(k)          <-e.ready
if e.err != nil {               return e.val, e.err
    return e.val, e.err         // whoever waits for e, waits for ever
}
close(e.ready)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import insert_before, with_reason
from threadmend.golang.channel_fields import SharedChannel, shared_channel
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Point, flow_of
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.model import Finding, Fix, Related, Safety

__all__ = ["not_announced"]

_CLOSES = re.compile(rb"\bclose\(\s*\w+\.\w+\s*\)")


def not_announced(file: GoFile) -> Iterator[Finding]:
    """Yield the exits behind a result that is set, on which its channel is not closed."""
    if file.is_test or file.generated:
        return
    for function in file.functions(_CLOSES):
        closes: dict[str, list[Node]] = {}
        for node in function.own():
            if node.kind == "expression_statement" and _CLOSES.fullmatch(node.text):
                operand = node.children[0]["arguments"].children[0]
                closes.setdefault(operand.name, []).append(node)
        for nodes in closes.values():
            finding = _unclosed(file, function, nodes)
            if finding is not None:
                yield finding


def _unclosed(file: GoFile, function: Node, closes: list[Node]) -> Finding | None:
    operand = closes[0].children[0]["arguments"].children[0]
    owner = file.binding(operand["operand"])
    channel = shared_channel(file, operand)
    if owner is None or channel is None or not channel.is_field:
        return None
    if any(b"close(" + operand.text in n.text for n in function.find("defer_statement")):
        return None
    waiter = _waiter(channel, function)
    flow = flow_of(function)
    points = {p for n in closes if (p := flow.point_of(n)) is not None}
    if waiter is None or not flow.complete or any(flow.in_loop(p) for p in points):
        return None
    stops = points | {p for p in flow.points if _may_close(file, p, owner)}
    read = _read_after(waiter)
    for node in function.own():
        if node.kind != "assignment_statement" or not _sets(file, node, owner, read):
            continue
        start = flow.point_of(node)
        if start is None or flow.in_loop(start) or start in stops:
            continue
        own = owner.kind == "receiver" or flow.reachable(start).isdisjoint(points)
        if own and not _alike(node, closes):
            continue  # another part of the object's life
        exits = flow.exits_from(start, stop=stops.__contains__)
        left = [e.node for e in exits if e.kind in {"return", "end"}]
        left = [node for node in left if not _is_in_vain(file, node, owner)]
        if left and all(n.kind == "return_statement" for n in left):
            return _finding(file, operand, closes[0], waiter, left)
    return None


def _is_in_vain(file: GoFile, exit_: Node, owner: Binding) -> bool:
    """Return whether nobody has got a new object: the call that hands it over, the first, failed.

    `if err := c.add(call); err != nil { return err }`
    """
    test = exit_.up("if_statement", *FUNCTIONS)
    if owner.kind != "variable" or test is None or test.kind != "if_statement":
        return False
    if not test["consequence"].contains(exit_) or b"!= nil" not in test["condition"].text:
        return False
    made = test.get("initializer") or test.previous
    given = [use for use in owner.uses if not _is_part(use)]
    return made is not None and bool(given) and made.contains(given[0])


def _is_part(use: Node) -> bool:
    """Return whether a variable is declared there, or one of its fields is meant."""
    above = use.parent
    if above is not None and above.kind == "selector_expression":
        return above["operand"] is use
    return above is not None and above.field == "left"


def _waiter(channel: SharedChannel, function: Node) -> ChannelOperation | None:
    """Return a receive of somebody else's."""
    for operation in channel.of("receive"):
        if operation.node.function is not function or innermost_loop(operation.node) is None:
            if not operation.file.is_test and not operation.calls:
                return operation
    return None


def _read_after(waiter: ChannelOperation) -> set[str]:
    """Return the fields that are read where the waiter goes on."""
    function = waiter.node.function
    found = set()
    for node in function.own() if function is not None else ():
        if node.kind == "selector_expression" and node.start > waiter.node.end:
            found.add(node["field"].name)
    return found


def _sets(file: GoFile, statement: Node, owner: Binding, read: set[str]) -> bool:
    """Return whether a statement sets a field of the channel's object that the waiter reads.

    To nil is no result: it is how an object is cleared.
    """
    if all(value.kind == "nil" for value in statement["right"].children):
        return False
    for target in statement["left"].children:
        if target.kind == "selector_expression" and target["field"].name in read:
            operand = target["operand"]
            if operand.kind == "identifier" and file.binding(operand) is owner:
                return True
    return False


def _alike(statement: Node, closes: list[Node]) -> bool:
    """Return whether the same field is set right before a close: two ends of one work."""
    first = statement["left"].children[0].text
    for close in closes:
        before = close.previous
        if before is not None and before.kind == "assignment_statement":
            if before["left"].children[0].text == first:
                return True
    return False


def _may_close(file: GoFile, point: Point, owner: Binding) -> bool:
    """Return whether a statement hands the object to code that may close its channel."""
    for node in point.own():
        if node.kind != "call_expression":
            continue
        function = node["function"]
        values = [*node["arguments"].children]
        if function.kind == "selector_expression":
            values.append(function["operand"])
        if any(v.kind == "identifier" and file.binding(v) is owner for v in values):
            decl = file.callee(node)
            if decl is None or not decl.has_body or b"close(" in decl.node.text:
                return True
    return False


def _finding(
    file: GoFile, operand: Node, close: Node, waiter: ChannelOperation, exits: list[Node]
) -> Finding:
    fix, reason = _fix(close, exits)
    exit_, at = exits[0], waiter.node
    return Finding(
        path=file.path,
        start=exit_.start,
        end=exit_.end,
        message=f"the result is set, and {operand.name} is not closed before this return",
        fixes=(fix,) if fix else (),
        related=(Related(at.path, at.start, at.end, "waits here"),),
        reason=reason,
    )


@with_reason
def _fix(close: Node, exits: list[Node]) -> Fix:
    edits = tuple(e for left in exits for e in insert_before(left, close.name))
    why = "the waiter goes on where it hung before"
    return Fix("Close it before returning", edits, Safety.UNSAFE, why)
