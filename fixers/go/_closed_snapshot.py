"""Closes of a subscriber's channel that meet the sends to a copy of the list.

    func (b *Board) Publish(t Tick) {        func (s *Sub) Leave() {
        for _, s := range b.copied() {           if s.board.drop(s) {
            s.offer(t)                               close(s.ticks)
        }                                        }
    }                                        }

Who leaves takes itself off the list under its lock, but the copy still has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import (
    BuilderError,
    add_field,
    at_margin,
    insert_after,
    insert_at_start,
    insert_before,
    reach_import,
    realigned,
    replace,
    with_reason,
)
from threadmend.golang.calls import callers
from threadmend.golang.channel_fields import SharedChannel
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.locks import declaration_of, held_at, locks_of
from threadmend.golang.runners import runners_of
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._beside import beside, refuse_copies
from ._closer import sync_name

__all__ = ["closed_beside_snapshot"]

_TAKES_OFF = re.compile(rb"\bdelete\(|\bslices\.Delete|\bappend\([\w.]+\[:")


def closed_beside_snapshot(
    file: GoFile, call: Node, channel: SharedChannel, method: Node
) -> Iterator[Finding]:
    """Yield the close by an exported method that takes its object off a list and sends meet.

    The sends do not wait, and go to the elements of a copy with no lock held.
    """
    decl = declaration_of(file, method)
    sends = [s for s in channel.of("send") if not s.file.is_test]
    if decl is None or not decl.exported or len(sends) != 1 or not _takes_off(file, method):
        return
    send = sends[0]
    if held_at(file, call) or not _only_tries(send) or not _goes_to_copies(send):
        return
    name = call["arguments"].children[0].name
    fix, reason = _fix(file, call, channel, send)
    yield Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=f"{name} is closed while others may still send to it",
        fixes=(fix,) if fix is not None else (),
        related=(Related(send.node.path, send.node.start, send.node.end, "sent here"),),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


def _takes_off(file: GoFile, method: Node) -> bool:
    """Return whether a method, or a helper of it, takes something off a list under a lock."""
    calls = (n for n in method.own() if n.kind == "call_expression")
    helpers = [d for c in calls if (d := file.callee(c)) is not None and d.sound and d.has_body]
    return any(
        _TAKES_OFF.search(body.text) and locks_of(where, body).operations
        for where, body in [(file, method), *((d.file, d.node) for d in helpers)]
    )


def _only_tries(send: ChannelOperation) -> bool:
    """Return whether a send is in a select with a default, and nothing leaves that early."""
    select = send.select
    if select is None or send.calls or len(select.children) != 3:
        return False
    jumps = {"return_statement", "break_statement", "continue_statement", "goto_statement"}
    if any(n.kind in jumps for n in select.walk()):
        return False
    return any(c.kind == "default_case" for c in select.children)


def _goes_to_copies(send: ChannelOperation) -> bool:
    """Return whether the object is an element of a local list, and no lock held meanwhile.

    A goroutine goes over the list.
    """
    function, holder = send.node.function, send.node["channel"]["operand"]
    binding = send.file.binding(holder) if holder.kind == "identifier" else None
    if function is None or binding is None or held_at(send.file, send.node):
        return False
    places = [(send.file, send.node, binding)]
    if binding.kind == "receiver":
        decl = declaration_of(send.file, function)
        if decl is None or decl.exported or locks_of(send.file, function).operations:
            return False
        places = []
        for site in callers(decl):
            operand = site.call["function"].get("operand") if site.call is not None else None
            named = operand is not None and operand.kind == "identifier"
            owner = site.file.binding(operand) if operand is not None and named else None
            if site.call is None or owner is None or held_at(site.file, site.call):
                return False
            places.append((site.file, site.call, owner))
    return bool(places) and all(_is_element(*place) for place in places)


def _is_element(file: GoFile, node: Node, binding: Binding) -> bool:
    clause = binding.declaration
    if clause.kind != "range_clause" or node.function is None:
        return False
    listed = clause["right"]
    if listed.kind == "identifier":
        local = file.binding(listed)
        if local is None or local.kind != "variable":
            return False
    elif listed.kind != "call_expression":
        return False
    return bool(runners_of(file, node.function).launches)


@with_reason
def _fix(file: GoFile, call: Node, channel: SharedChannel, send: ChannelOperation) -> Fix:
    """Close under a lock of the subscriber's, and send only under it and before.

    Sound: a send does not wait, so that the close never waits long; the next one sees the flag.
    """
    base, function, select = (
        call["arguments"].children[0]["operand"],
        send.node.function,
        send.select,
    )
    holder, statement = send.node["channel"]["operand"].name, call.parent
    if base.kind != "identifier" or statement is None or function is None or select is None:
        raise BuilderError("who closes has no name for the subscriber")
    closing = file.binding(base)
    if statement.kind != "expression_statement" or closing is None or not is_assigned_once(closing):
        raise BuilderError("the close is deferred")
    refuse_copies(channel)
    place = beside(channel)
    mu, flag = place.free("mu"), place.free("closed")
    tree = channel.decl.file.tree
    edits: list[Edit] = [*reach_import(tree, "sync")]
    edits += add_field(
        place.struct, mu, f"{sync_name(channel.decl.file)}.RWMutex", before=place.field
    )
    edits += add_field(place.struct, flag, "bool", after=place.field)
    edits += insert_before(statement, f"{base.name}.{mu}.Lock()\n{base.name}.{flag} = true")
    edits += insert_after(statement, f"{base.name}.{mu}.Unlock()")
    if select.parent is function["body"] and function["body"].statements == [select]:
        lines = f"{holder}.{mu}.RLock()\ndefer {holder}.{mu}.RUnlock()"
        if function.get("result") is not None:
            raise BuilderError("what the function that sends should return cannot be told")
        edits += insert_at_start(function["body"], f"{lines}\nif {holder}.{flag} {{\n\treturn\n}}")
    else:
        if select.tree.comments_in(select.start, select.end):
            raise BuilderError("a comment in the select is in the way")
        inner = at_margin(select).replace("\n", "\n\t")
        code = f"if !{holder}.{flag} {{\n\t{inner}\n}}"
        edits += replace(select, f"{holder}.{mu}.RLock()\n{code}\n{holder}.{mu}.RUnlock()")
    aligned = realigned(channel.package.workspace, edits)
    title = f"Send to {channel.name} only until it is closed"
    return Fix(title, aligned, Safety.UNSAFE, "what is sent later is dropped")
