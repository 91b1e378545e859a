"""Slots: channels with room for several, which keep goroutines from being too many.

r.slots <- struct{}{}                  // r.slots = make(chan struct{}, 8)
go func() {
    defer func() { <-r.slots }()       // runs beside what was launched before
    fn()
}()
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of
from threadmend.golang.capacities import slots_of
from threadmend.golang.channel_fields import Make, arguments_of, made_by, shared_channel_of
from threadmend.golang.infer import is_decl
from threadmend.golang.scope import Binding
from threadmend.golang.types import Named, deref
from threadmend.golang.wording import translated

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.syntax import Node

__all__ = ["has_room", "takes_only_slots", "without_slots"]

_CALLS = 2
_LONGEST = 200
# A slot that is taken or given back, as a statement of its own.
_SLOT = re.compile(
    rb"^\s*(?:defer func\(\) \{ *)?<-[\w.]+(?= *\}\(\)$|$)|^\s*[\w.]+ <- [\w.]+(?:\{\}){0,2}$",
    re.M,
)


def without_slots(text: bytes) -> bytes:
    """Return code without what looks like taking a slot, or giving one back."""
    return _SLOT.sub(b"", text) if b"<-" in text else text


def takes_only_slots(file: GoFile, function: Node) -> bool:
    """Return whether all that a function and its literals send and receive is a slot.

    Of one channel, which has room for several: taken, and given back by whom it was taken for.
    """
    sent: set[Access | None] = set()
    received: set[Access | None] = set()
    for node in function.find("send_statement", "unary_expression", "call_expression"):
        operation = (
            _operation(file, node) if node.kind != "call_expression" else _helped(file, node)
        )
        if operation is not None:
            (sent if operation[0] == "send" else received).add(operation[1])
    if not sent and not received:
        return True
    (slots,) = sent if len(sent) == 1 else (None,)
    return slots is not None and sent == received and has_room(file, slots)


def _operation(file: GoFile, node: Node) -> tuple[str, Access | None] | None:
    """Return what a node does to which channel, if it sends or receives."""
    if node.kind == "send_statement":
        return "send", access_of(file, node["channel"])
    if node.kind == "unary_expression" and node["operator"].kind == "<-":
        return "receive", access_of(file, node["operand"])
    return None


def _helped(file: GoFile, call: Node) -> tuple[str, Access | None] | None:
    """Return what a call does whose function is one send or receive: `r.acquire()`."""
    decl = file.callee(call)
    if decl is None or not decl.sound or not decl.has_body:
        return None
    start, end = decl.span
    if end - start > _LONGEST or b"<-" not in decl.file.data[start:end]:
        return None
    statements = decl.node["body"].statements
    if len(statements) != 1:
        return None
    done = statements[0]
    if done.kind == "expression_statement":
        done = done.children[0]
    operation = _operation(decl.file, done)
    if operation is None:
        return None
    return operation[0], translated(file, call, decl.node, operation[1])


def has_room(file: GoFile, channel: Access, depth: int = _CALLS) -> bool:
    """Return whether a channel was made with room for more than one value.

    A number that is not known counts as more than one; a channel that others may have made does
    not.
    """
    root = channel.root
    if channel.steps:
        makes = _makes_of_field(file, channel)
        return bool(makes) and all(map(_is_roomy, makes))
    if not isinstance(root, Binding):
        return False
    make = made_by(file, root)
    if make is not None:
        return _is_roomy(make)
    given = arguments_of(file, root) if depth and root.kind == "parameter" else None
    accesses = [(f, access_of(f, each)) for f, each in given or ()]
    return bool(accesses) and all(a is not None and has_room(f, a, depth - 1) for f, a in accesses)


def _makes_of_field(file: GoFile, channel: Access) -> list[Make]:
    """Return where the channel in a field is made, nothing when others may have made it."""
    if not isinstance(channel.root, Binding):
        return []
    inference = file.package.workspace.inference
    owner = inference.binding_type(channel.root)
    *parts, name = channel.steps
    for part in parts:
        member = inference.member(owner, part) if owner is not None else None
        owner = member.type if member is not None and member.kind == "field" else None
    member = inference.member(owner, name) if owner is not None else None
    owner = member.owner if member is not None and member.kind == "field" else deref(owner)
    if member is None or not isinstance(owner, Named) or owner.local:
        return []
    package = file.package.workspace.package_by_key(owner.package)
    decl = package.lookup(owner.name) if package is not None and package.module else None
    if decl is None:
        return []
    shared = shared_channel_of(decl, name)
    return [] if shared.stores or shared.exported else shared.makes


def _is_roomy(make: Make) -> bool:
    room = make.capacity
    if room is None or _written_out(make.file, room) in {b"0", b"1"}:
        return False
    return slots_of(make.file, room) not in {0, 1}


def _written_out(file: GoFile, number: Node) -> bytes:
    """Return a number as it is written, also that of a constant."""
    meant = file.resolve(number) if number.kind == "identifier" else None
    if isinstance(meant, Binding):
        return meant.value.text if meant.value is not None else number.text
    if is_decl(meant, "const") and (value := meant.node.get("value")) is not None:
        return value.text
    return number.text
