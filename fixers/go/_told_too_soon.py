"""Goroutines of a test that tell it something, and use its t once more after that.

go func() {
    first <- <-quotes           // all that the test waits for
    …
    t.Log("feed closed")
}()
<-first
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import classify
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import Launch, captures
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan

from ._ending_calls import only_ends, only_looks

__all__ = ["may_wait_to_send", "nothing_ends", "used_after_signals"]

_TELLS = (b"<-", b"close(")


def used_after_signals(
    file: GoFile, launch: Launch, test: Binding, signals: re.Pattern[bytes]
) -> Node | None:
    """Return a use of t behind all that a goroutine tells the test, on its straight way.

    Not one in a branch that leaves: the test may be waiting for more then, and still run.
    """
    literal = launch.literal
    if literal is None or any(h[0] not in _TELLS for h in signals.finditer(literal.text)):
        return None
    sends = [n for n in literal.find("send_statement", "call_expression") if _tells(n)]
    sends += (call for call, _ in _passed_to_send(file, launch))
    if not sends or any(n.function is not literal or n.field == "communication" for n in sends):
        return None
    if any(n.up("defer_statement") is not None for n in sends) or _receives(literal):
        return None
    if not _shares_only_channels(file, launch, test):
        return None
    flow = flow_of(literal)
    points = {flow.point_of(n) for n in sends}
    after = [flow.reachable(p) for p in points if p is not None]
    for use in test.uses:
        point = flow.point_of(use) if use.function is literal else None
        if point is None or _in_leaving_branch(use, literal):
            continue
        if all(point in reached for reached in after) and not points & flow.reachable(point):
            return use
    return None


def _tells(node: Node) -> bool:
    return node.kind == "send_statement" or node["function"].text == b"close"


def _passed_to_send(file: GoFile, launch: Launch) -> Iterator[tuple[Node, Binding]]:
    """Yield the calls in a goroutine that get a channel for nothing but to send on it."""
    for binding in captures(launch.node):
        if isinstance(file.underlying(file.type_of(binding.node)), Chan):
            for use in binding.uses:
                call = _call_with(use) if launch.node.contains(use) else None
                if call is not None and _only_sends(file, call, use):
                    yield call, binding


def _call_with(use: Node) -> Node | None:
    """Return the call that a variable is an argument of."""
    group = use.parent
    if group is None or group.kind != "argument_list" or group.parent is None:
        return None
    return group.parent if group.parent.kind == "call_expression" else None


def _only_sends(file: GoFile, call: Node, argument: Node) -> bool:
    """Return whether the parameter for an argument is a `chan<- T`."""
    called = file.callee(call)
    if called is None or called.kind not in {"func", "method"}:
        return False
    index = call["arguments"].children.index(argument)
    types = [
        parameter.get("type")
        for parameter in called.node["parameters"].children
        for _ in parameter.all("name") or [parameter]
    ]
    type_ = (
        called.file.underlying(called.file.type_from(types[index])) if index < len(types) else None
    )
    return isinstance(type_, Chan) and type_.direction == "send"


_MEASURES = frozenset({b"len", b"cap"})


def _is_measured(use: Node) -> bool:
    call = _call_with(use)
    return call is not None and call["function"].text in _MEASURES


def may_wait_to_send(file: GoFile, launch: Launch) -> bool:
    """Return whether what a goroutine calls may send on when the test receives no more."""
    for _, binding in _passed_to_send(file, launch):
        made = binding.values[0] if len(binding.values) == 1 else None
        if made is None or made.kind != "call_expression" or len(made["arguments"].children) < 2:
            return True
    return False


def _receives(literal: Node) -> bool:
    """Return whether the goroutine waits for a word of the test: a range may be over anything."""
    return any(n["operator"].kind == "<-" for n in literal.find("unary_expression"))


def _shares_only_channels(file: GoFile, launch: Launch, test: Binding) -> bool:
    """Return whether the test goes on with nothing of the goroutine's but where that sends.

    It may end what the goroutine works with, or look at it, if it does not wait there.
    """
    for binding in captures(launch.node):
        outside = [u for u in binding.uses if not launch.node.contains(u) and u is not binding.node]
        later = [u for u in outside if u.start > launch.node.end or u.up("defer_statement")]
        if binding is test or all(only_ends(file, u) or _is_look(file, launch, u) for u in later):
            continue
        inside = [u for u in binding.uses if launch.node.contains(u)]
        if not isinstance(file.underlying(file.type_of(binding.node)), Chan):
            return False
        sent = {call for call, _ in _passed_to_send(file, launch)}
        if not all(
            u.field == "channel" or _is_closed(u) or _is_measured(u) or _call_with(u) in sent
            for u in inside
        ):
            return False
        if any(classify(u, binding).kind == "write" for u in binding.uses[1:]):
            return False
    return True


def _is_look(file: GoFile, launch: Launch, use: Node) -> bool:
    return use.function is launch.function and only_looks(file, use)


def _is_closed(use: Node) -> bool:
    call = use.parent.parent if use.parent is not None else None
    return call is not None and call.kind == "call_expression" and _tells(call)


def _in_leaving_branch(use: Node, literal: Node) -> bool:
    for outer in use.ancestors():
        if outer is literal:
            return False
        if outer.kind in {"block", "expression_case", "communication_case"}:
            last = outer.statements[-1] if outer.statements else None
            if last is not None and last.kind in _LEAVES and outer is not literal["body"]:
                return True
    return False


_LEAVES = frozenset({"return_statement", "break_statement", "continue_statement"})


def nothing_ends(file: GoFile, launch: Launch, test: Binding) -> bool:
    """Return whether a goroutine that ranges over a channel may outlast a Cleanup that waits.

    What closes the channel has to be deferred: a Cleanup registered before ours runs after it.
    """
    literal, function = launch.literal, launch.function
    if literal is None or function is None:
        return False
    ranges = literal.find("range_clause")
    if not any(isinstance(file.underlying(file.type_of(r["right"])), Chan) for r in ranges):
        return False
    before = (u for u in test.uses if u is not test.node and u.end <= launch.node.start)
    if any(map(_registers, before)):
        return True
    return not any(n.kind == "defer_statement" for n in function.own())


def _registers(use: Node) -> bool:
    """Return whether t is passed on, or a Cleanup registered."""
    parent = use.parent
    if parent is None or parent.kind != "selector_expression":
        return True
    return parent["field"].name == "Cleanup"
