"""Calls that send to a field's channel above the launch of the only goroutine that receives.

func (t *tower) Start() error {
    replay(t.journal, t.hammer.swing)    // swing does `h.strikes <- s`: nobody receives yet
    go t.hammer.drive(t.bells)           // for s := range h.strikes { … }
}
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import Access, access_of
from threadmend.golang.builders import BuilderError, move_after, or_reason
from threadmend.golang.calls import has_one_caller
from threadmend.golang.channel_fields import SharedChannel, shared_channel
from threadmend.golang.channel_index import operand_of
from threadmend.golang.effects import Event, events_of_call
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, innermost_loop, launches
from threadmend.golang.scope import Binding
from threadmend.golang.stops import leaves_loop
from threadmend.golang.syntax import Node
from threadmend.golang.targets import Body
from threadmend.model import Finding, Fix, Safety

from ._too_early import above_launch

__all__ = ["called_before_launch"]

_PLAIN = frozenset({"expression_statement", "short_var_declaration", "assignment_statement"})
_DECIDES = frozenset({"expression_case", "type_case", "communication_case", "default_case"})
_FAILED = re.compile(rb"\w*[eE]rr\w* != nil")


def called_before_launch(file: GoFile) -> Iterator[Finding]:
    """Yield the calls that wait with a send for a receiver which is launched below them."""
    for launch in launches(file):
        channels = list(_received_alone(file, launch))
        for call in _calls_above(launch) if channels else ():
            event = _sends(file, launch, call, channels)
            if event is not None:
                yield above_launch(launch, call, event.operation, _fix(launch, call))
                break


def _received_alone(file: GoFile, launch: Launch) -> Iterator[tuple[SharedChannel, Access]]:
    """Yield the channels without room that only this goroutine receives from.

    With the path of each, as the function that launches names it.
    """
    call, decl = launch.call, launch.decl
    if launch.kind != "go" or launch.loop is not None or call is None or decl is None:
        return
    if decl.kind != "method" or call["function"].kind != "selector_expression":
        return
    if launch.statement.previous is None or not has_one_caller(decl):
        return
    owner = access_of(file, call["function"]["operand"])
    if owner is None or not isinstance(owner.root, Binding) or owner.root.kind == "variable":
        return  # an object of the function's own is followed from its make
    for node in decl.node.own():
        if node.kind != "range_clause" and not _is_receive(node):
            continue
        operand = operand_of(node)
        if operand.kind != "selector_expression" or operand["operand"].kind != "identifier":
            continue
        binding = decl.file.binding(operand["operand"])
        if binding is None or binding.kind != "receiver":
            continue
        channel = shared_channel(decl.file, operand)
        if channel is not None and _is_alone(channel, decl.node):
            yield channel, Access(owner.root, (*owner.steps, channel.name))


def _is_receive(node: Node) -> bool:
    return node.kind == "unary_expression" and node["operator"].kind == "<-"


def _is_alone(channel: SharedChannel, body: Node) -> bool:
    """Return whether all that is received from a channel without room is so by one function."""
    if not channel.is_field or channel.exported or channel.of("len"):
        return False
    if channel.escapes or channel.stores or not channel.makes:
        return False
    if not all(make.unbuffered for make in channel.makes):
        return False
    return all(o.function is body and not o.calls for o in channel.of("receive", "range"))


def _calls_above(launch: Launch) -> Iterator[Node]:
    """Yield the calls that straight code makes above a launch, the last first."""
    statement: Node | None = launch.statement.previous
    while statement is not None:
        if statement.kind == "if_statement":
            head = statement.get("initializer")
            if head is None or not _FAILED.fullmatch(statement["condition"].text):
                return
            yield from _calls_in(head)
        elif statement.kind in _PLAIN:
            yield from _calls_in(statement)
        elif statement.kind == "for_statement" and _ranges(statement):
            inside = statement["body"]
            yield from (c for c in _calls_in(inside) if not _is_decided(c, inside))
        else:
            return
        statement = statement.previous


def _ranges(loop: Node) -> bool:
    """Return whether a loop goes over what is there, and comes to its end."""
    clause = next((c for c in loop.children if c.kind == "range_clause"), None)
    return clause is not None and not leaves_loop(loop)


def _calls_in(statement: Node) -> Iterator[Node]:
    for node in statement.own():
        if node.kind == "call_expression" and not node.runs_later:
            yield node


def _sends(
    file: GoFile, launch: Launch, call: Node, channels: list[tuple[SharedChannel, Access]]
) -> Event | None:
    """Return the send on one of the channels that a call certainly comes to, when there is work."""
    function = launch.function
    if function is None:
        return None
    for event in events_of_call(Body(file, function), call):
        if event.kind != "block" or event.mode != "send" or not event.sure:
            continue
        if any(event.access == access for _, access in channels):
            if all(map(_is_straight, event.path[1:])):
                return event
    return None


def _is_straight(node: Node) -> bool:
    """Return whether nothing but an error, or the lack of work, keeps a function from a node.

    `if s.Force == 0 { continue }` looks at one value, and others follow; a `return` above asks
    about the object, which may know that nobody receives yet.
    """
    function = node.function
    return (
        function is not None
        and not _is_decided(node, function)
        and not any(
            n.kind == "return_statement" and n.end <= node.start and not _is_of_error(n)
            for n in function.own()
        )
    )


def _is_decided(node: Node, top: Node) -> bool:
    """Return whether a condition, up to some node around, decides that a node is reached."""
    for above in node.ancestors():
        if above is top:
            return False
        if above.kind in _DECIDES or (
            above.kind == "if_statement" and not _is_in_head(above, node)
        ):
            return True
    return True


def _is_in_head(test: Node, node: Node) -> bool:
    head = test.get("initializer")
    return test["condition"].contains(node) or (head is not None and head.contains(node))


def _is_of_error(statement: Node) -> bool:
    test = statement.up("if_statement")
    return test is not None and bool(_FAILED.fullmatch(test["condition"].text))


@or_reason
def _fix(launch: Launch, call: Node) -> Fix:
    """Call when the receiver runs.

    Sound: execution never got past the send, and nothing stands between the two.
    """
    statement = call.statement
    if statement is None or statement.kind != "expression_statement":
        raise BuilderError("the receiver would go on where the call fails")
    loop = innermost_loop(call)
    if loop is not None and len(loop["body"].statements) == 1:
        statement = loop
    elif loop is not None or statement.children[0] is not call:
        raise BuilderError("what comes between the call and the launch may be needed there")
    if statement.next is not launch.statement:
        raise BuilderError("what comes between the call and the launch may be needed there")
    edits = move_after(statement, launch.statement)
    return Fix("Call after the launch", edits, Safety.UNSAFE, "the receiver is launched earlier")
