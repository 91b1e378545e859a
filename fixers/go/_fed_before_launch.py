"""Sends to a field's channel above the launch of the only goroutine that receives from it.

func (c *compactor) Start() {
    c.wake <- struct{}{}    // waits for ever where somebody has filled the only slot
    go c.run()
}
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, delete, insert_after, or_reason
from threadmend.golang.calls import Site, callers
from threadmend.golang.capacities import slots_of
from threadmend.golang.channel_fields import SharedChannel, shared_channel
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, launch_sites, launches
from threadmend.golang.locks import declaration_of
from threadmend.golang.spawners import spawned
from threadmend.golang.syntax import Node
from threadmend.model import Finding, Fix, Related, Safety

__all__ = ["fed_before_launch"]

_PLAIN = frozenset({"expression_statement", "send_statement", "short_var_declaration"})


def fed_before_launch(file: GoFile) -> Iterator[Finding]:
    """Yield the sends that have no slot left, or none at all, until the goroutine is launched."""
    for launch in (*launches(file), *_by_spawners(file)):
        for send in _sends_above(launch):
            channel = shared_channel(file, send["channel"])
            if channel is not None and _is_only_receiver(file, launch, channel):
                slots = _slots(channel)
                before = _before(file, send) if slots else None
                if slots == 0 or (slots is not None and before is not None and slots < before[0]):
                    yield _finding(launch, send, before[1] if before else None)
                break


def _by_spawners(file: GoFile) -> Iterator[Launch]:
    """Yield the calls that give a literal to a function that runs it in a goroutine."""
    for literal in spawned(file):
        arguments = literal.parent if literal.kind == "func_literal" else None
        call = arguments.parent if arguments is not None else None
        if call is not None and call.kind == "call_expression" and literal is not call["function"]:
            yield Launch("spawner", call, None, literal, None)


def _sends_above(launch: Launch) -> Iterator[Node]:
    """Yield the plain sends on fields that straight code makes above a launch, the last first."""
    statement: Node | None = launch.statement.previous
    if launch.kind == "timer" or launch.loop is not None:
        return
    while statement is not None and statement.kind in _PLAIN:
        if statement.kind == "send_statement":
            if statement["channel"].kind == "selector_expression":
                yield statement
        elif b"<-" in statement.text:
            return
        statement = statement.previous


def _is_only_receiver(file: GoFile, launch: Launch, channel: SharedChannel) -> bool:
    """Return whether all that is received from a channel is so by what this launch runs."""
    body = launch.body
    receives = channel.of("receive", "range")
    if body is None or not channel.is_field or not channel.makes or not receives:
        return False
    if channel.escapes or channel.stores or channel.of("len"):
        return False
    if not all(r.node.path == body.path and body.contains(r.node) for r in receives):
        return False
    key = launch.decl.key if launch.decl is not None else None
    return key is None or len(launch_sites(file.package).get(key, ())) == 1


def _slots(channel: SharedChannel) -> int | None:
    """Return how many slots the channel has at most, None if that is not written down."""
    found = [0 if m.capacity is None else slots_of(m.file, m.capacity) for m in channel.makes]
    known = [n for n in found if n is not None]
    return max(known) if len(known) == len(found) else None


def _before(file: GoFile, send: Node) -> tuple[int, Node | None] | None:
    """Return how many values are sent until a send is made, and what was sent before the call."""
    function = send.function
    decl = declaration_of(file, function) if function is not None else None
    own = [s for s in (send, *_above(send)) if _is_send_to(s, send["channel"].text)]
    if decl is None or decl.kind != "method":
        return len(own), None
    most: tuple[int, Node | None] = (len(own), None)
    for site in callers(decl):
        earlier = _sent_by_caller(site, send["channel"])
        if len(own) + len(earlier) > most[0]:
            most = (len(own) + len(earlier), earlier[0])
    return most


def _sent_by_caller(site: Site, channel: Node) -> list[Node]:
    """Return the plain sends above a call to the channel of the object whose method is called."""
    call = site.call
    statement = call.statement if call is not None else None
    if call is None or statement is None or call["function"].kind != "selector_expression":
        return []
    wanted = call["function"]["operand"].text + b"." + channel["field"].text
    return [s for s in _above(statement) if _is_send_to(s, wanted)]


def _above(statement: Node) -> Iterator[Node]:
    above = statement.previous
    while above is not None:
        yield above
        above = above.previous


def _is_send_to(statement: Node, channel: bytes) -> bool:
    return statement.kind == "send_statement" and statement["channel"].text == channel


def _finding(launch: Launch, send: Node, earlier: Node | None) -> Finding:
    fix = _fix(launch, send)
    node, name = launch.node, send["channel"].name
    related = [Related(node.path, node.start, node.end, "launched here")]
    if earlier is not None:
        related.append(Related(earlier.path, earlier.start, earlier.end, "the slot is taken here"))
    return Finding(
        path=send.path,
        start=send.start,
        end=send.end,
        message=f"the send to {name} waits for ever: its receiver is launched below",
        fixes=(fix,) if isinstance(fix, Fix) else (),
        related=tuple(related),
        reason=fix if isinstance(fix, str) else "",
    )


@or_reason
def _fix(launch: Launch, send: Node) -> Fix:
    """Send when the receiver runs.

    Sound: nothing in between changes what is sent, and execution never got past the send.
    """
    if send.next is not launch.statement and send["value"].kind not in _CONSTANTS:
        raise BuilderError("what is sent may change until the receiver is launched")
    edits = (*delete(send), *insert_after(launch.statement, send.name))
    return Fix("Send after the launch", edits, Safety.UNSAFE, "the receiver is launched earlier")


_CONSTANTS = frozenset({"composite_literal", "int_literal", "true", "false", "nil"})
