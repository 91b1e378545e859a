"""What a goroutine owes its launcher where a call ends it: the send behind the test of an error.

track, err := y.Park(name)
if err != nil {
    t.Fatalf("park %s: %v", name, err)    // t.Errorf, and on to the send
}
parked <- track
"""

from __future__ import annotations

from dataclasses import dataclass

from threadmend.golang.channel_index import behind
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, Func, Interface, Map, Pointer, is_named

__all__ = ["Sent", "sent_next"]


@dataclass(frozen=True, slots=True)
class Sent:
    """A send that others wait for, and that is skipped.

    `alike`: it can be made after a failure as well, and nothing else comes before it.
    """

    name: str
    alike: bool
    reason: str


def sent_next(file: GoFile, body: Node, statement: Node) -> Sent | None:
    """Return the send of a goroutine that comes after the block of a statement, if any."""
    sends = [
        node
        for node in body.own()
        if node.kind == "send_statement" and node.start > statement.end
        if node.field != "communication" and _is_awaited(file, node)
    ]
    if not sends:
        return None
    name = sends[0]["channel"].name
    if len(sends) == 1 and _is_next(body, statement, sends[0]) and _is_harmless(file, sends[0]):
        return Sent(name, True, "what is sent is what the failed call left")
    return Sent(name, False, f"whoever waits for {name} waits on")


def _is_awaited(file: GoFile, send: Node) -> bool:
    """Return whether somebody waits for what is sent, and for nothing else."""
    return any(not o.has_alternative for o in behind(file, send).of("receive"))


def _is_next(body: Node, statement: Node, send: Node) -> bool:
    """Return whether a send ends a goroutine right behind the `if` of a statement."""
    block = statement.parent
    test = block.parent if block is not None else None
    if test is None or test.kind != "if_statement" or test.get("alternative") is not None:
        return False
    if block is not test["consequence"] or statement.next is not None:
        return False
    return test.next is send and send.next is None and send.parent is body["body"]


def _is_harmless(file: GoFile, send: Node) -> bool:
    """Return whether a value can be made after a failure, and a receiver need not dereference it.

    Names, and literals of names.
    """
    allowed = {"identifier", "composite_literal", "literal_value", "literal_element"}
    allowed |= {"keyed_element", "type_identifier", "qualified_type", "package_identifier"}
    allowed |= {"true", "false", "nil", "int_literal", "struct_type", "field_declaration_list"}
    allowed |= {"interpreted_string_literal", "interpreted_string_literal_content"}
    value = send["value"]
    if any(
        node.kind not in allowed for node in value.walk() if node.children or node.name.isalnum()
    ):
        return False
    channel = file.underlying(file.type_of(send["channel"]))
    if not isinstance(channel, Chan):
        return False
    if is_named(channel.elem, ".error"):
        return True
    under = file.underlying(channel.elem)
    return not isinstance(under, Pointer | Interface | Map | Func | Chan) and under is not None
