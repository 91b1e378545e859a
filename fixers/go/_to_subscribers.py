"""Sends to subscribers under the lock that a subscriber needs to leave.

    f.mu.Lock()                             f.mu.Lock()
    defer f.mu.Unlock()                     watchers := maps.Clone(f.watchers)
    for _, w := range f.watchers {          f.mu.Unlock()
        w.ch <- ev                     →    for _, w := range watchers {
    }                                           select {
                                                case w.ch <- ev:
                                                case <-w.gone:
                                                }
                                            }

Who receives is out of sight, but whoever leaves takes the lock: to remove itself from the list
that the sends go over. One that no longer receives holds up everybody, itself too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import access_of, lock_class
from threadmend.golang.builders import BuilderError, with_reason
from threadmend.golang.channel_fields import SharedChannel, shared_channel_of
from threadmend.golang.channel_index import behind
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.leaving import Leave
from threadmend.golang.lock_operations import ordered
from threadmend.golang.locks import LOCK_CALLS, Held, held_at, lock_name
from threadmend.golang.mutations import Mutation, mutations
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding
from threadmend.golang.stops import Stop
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, Named, Pointer, deref
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._after_unlock import after_unlock
from ._stop_cases import in_select

__all__ = ["to_subscribers"]

# `append(list[:i], list[i+1:]...)`
_CUT = re.compile(rb"\bappend\([\w.]+\[[^\]]*:")


def to_subscribers(file: GoFile) -> Iterator[Finding]:
    """Yield the sends to the elements of a guarded list, which leave under the same lock."""
    for function in file.functions(LOCK_CALLS):
        for send in function.own():
            if send.kind != "send_statement" or send.field == "communication":
                continue
            loop, members = _members(file, send)
            if loop is None or members is None:
                continue
            held = _held(file, send, members)
            if held is None or not _goes_out(file, send):
                continue
            leaving = _leaving(file, members, held, function)
            if leaving is not None:
                yield _finding(file, send, loop, members, held, leaving)


def _members(file: GoFile, send: Node) -> tuple[Node | None, Node | None]:
    """Return the loop around a send to the channel of its variable, and the field it visits."""
    channel, loop = send["channel"], innermost_loop(send)
    if loop is None or channel.kind != "selector_expression" or send.function is not loop.function:
        return None, None
    binding = file.binding(channel["operand"]) if channel["operand"].kind == "identifier" else None
    clause = next((c for c in loop.children if c.kind == "range_clause"), None)
    if binding is None or clause is None or binding.declaration is not clause:
        return None, None
    right, element = clause["right"], file.type_of(channel["operand"])
    if right.kind != "selector_expression" or not isinstance(element, Pointer):
        return None, None
    return loop, right


def _held(file: GoFile, send: Node, members: Node) -> Held | None:
    base = access_of(file, members["operand"])
    if base is None or not isinstance(base.root, Binding):
        return None
    return next((h for h in ordered(held_at(file, send)) if h.access.root == base.root), None)


def _goes_out(file: GoFile, send: Node) -> bool:
    """Return whether a channel without a buffer is handed out, and nobody here receives."""
    shared = behind(file, send).shared
    if shared is None or not shared.makes or shared.stores or shared.copies:
        return False
    if not all(make.unbuffered for make in shared.makes):
        return False
    operations = [o for o in shared.operations if not o.file.is_test]
    return bool(shared.escapes) and not any(o.kind in {"receive", "range"} for o in operations)


def _leaving(file: GoFile, members: Node, held: Held, function: Node) -> Mutation | None:
    """Return where an element is taken out of the list, under the lock."""
    class_, name = lock_class(file, members), members["field"].name
    for mutation in mutations(file.package, class_ or "", name):
        if mutation.node.function is function or not mutation.under(held.lock_class):
            continue
        text = mutation.node.text
        if text.startswith((b"delete(", b"slices.Delete")) or _CUT.search(text):
            return mutation
    return None


def _finding(
    file: GoFile, send: Node, loop: Node, members: Node, held: Held, leaving: Mutation
) -> Finding:
    name = lock_name(file, held)
    fix, reason = _fix(file, send, loop, held)
    return Finding(
        path=send.path,
        start=send.start,
        end=send.end,
        message=f"{send.name} waits while {name} is held, and whoever leaves {members.name}"
        f" needs {name}",
        fixes=(fix,) if fix is not None else (),
        related=(Related(leaving.file.path, leaving.node.start, leaving.node.end, "leaves here"),),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


@with_reason
def _fix(file: GoFile, send: Node, loop: Node, held: Held) -> Fix:
    """Send without the lock, or until the other one has left.

    Raises BuilderError where nothing tells that, or where the loop needs the lock.
    """
    if len(loop["body"].statements) != 1:
        raise BuilderError("the loop does more than send")
    shared = behind(file, send).shared
    if shared is None or any(o.kind == "close" for o in shared.operations):
        raise BuilderError(f"{lock_name(file, held)} keeps the channel from being closed meanwhile")
    stop = _stop(file, send)
    if stop is None:
        raise BuilderError("nothing tells when a receiver has left")
    edits: tuple[Edit, ...] = after_unlock(file, held.access, loop)
    reason = "others may come in before the sends, and nothing is sent to who has left"
    chosen = in_select(file, send, stop, reason, leave=Leave(""))
    if not isinstance(chosen, Fix):
        raise BuilderError(chosen)
    if any(e.start <= loop.start and loop.end <= e.end and e.start < e.end for e in edits):
        raise BuilderError("the critical section goes on after it")
    title = f"Release {lock_name(file, held)} before the sends"
    return Fix(title, (*edits, *chosen.edits), Safety.UNSAFE, reason)


def _stop(file: GoFile, send: Node) -> Stop | None:
    """Return the channel of the same element that is closed when it leaves."""
    operand = send["channel"]["operand"]
    owner = deref(file.type_of(operand))
    if not isinstance(owner, Named) or owner.package != file.package.key:
        return None
    decl = file.package.lookup(owner.name)
    struct = decl.node.get("type") if decl is not None else None
    if decl is None or struct is None or struct.kind != "struct_type":
        return None
    for field in struct.find("field_declaration"):
        for name in field.all("name"):
            if name.name != send["channel"]["field"].name and _is_closed(file, decl, field, name):
                return Stop(f"{operand.name}.{name.name}")
    return None


def _is_closed(file: GoFile, decl: Decl, field: Node, name: Node) -> bool:
    if not isinstance(decl.file.underlying(decl.file.type_from(field.get("type"))), Chan):
        return False
    channel: SharedChannel = shared_channel_of(decl, name.name)
    kinds = {o.kind for o in channel.operations if not o.file.is_test}
    return bool(channel.makes) and "close" in kinds and "send" not in kinds
