"""Several goroutines of an object that send: they are counted, and the close waits for them.

func (c *crew) hire(id int) {          func (c *crew) dismiss() {
    c.senders.Add(1)                       close(c.bell)
    go c.toil(id)                          c.senders.Wait()
}                                          close(c.yarns)
                                       }
"""

from __future__ import annotations

from threadmend.golang.builders import (
    BuilderError,
    insert_at_start,
    insert_before,
    realigned,
)
from threadmend.golang.calls import callers
from threadmend.golang.channel_fields import SharedChannel
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch
from threadmend.golang.locks import declaration_of, held_at
from threadmend.golang.runners import only_launches
from threadmend.golang.stops import leaves_loop
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named
from threadmend.golang.waitgroups import waitgroup_calls
from threadmend.model import Fix, Safety

from ._beside import senders_beside
from ._close_fields import hears
from ._sending_loops import SendingLoop, receiver_of

__all__ = ["awaited_as_counted", "counted_and_awaited", "end_by_themselves"]


def counted_and_awaited(
    file: GoFile, call: Node, channel: SharedChannel, loop: SendingLoop
) -> Fix | None:
    """Count the goroutines that send, and wait for them before the close; None without a stop.

    The method that closes has told them to end by then, and no send waits without hearing it; or
    each of them sends but once, and somebody takes what is sent until the close.
    """
    statement = call.parent
    if statement is None or statement.kind != "expression_statement":
        return None
    base = call["arguments"].children[0]["operand"].name
    if not (_are_told(call, loop, base) or end_by_themselves(channel, call, loop)):
        return None
    if held_at(file, call):
        raise BuilderError("several goroutines send, and a lock is held at the close")
    workspace = channel.package.workspace
    name, edits = senders_beside(channel)
    for launch in loop.launches:
        path = _object(workspace.file_of(launch.node), loop, launch)
        edits += insert_before(launch.statement, f"{path}.{name}.Add(1)")
        if launch.literal is not None:
            edits += insert_at_start(launch.literal["body"], f"defer {path}.{name}.Done()")
    if any(launch.literal is None for launch in loop.launches):
        done = f"defer {receiver_of(loop.body)}.{name}.Done()"
        edits += insert_at_start(loop.body["body"], done)
    edits += insert_before(statement, f"{base}.{name}.Wait()")
    title = f"Wait for the senders before closing {channel.name}"
    reason = "the method now waits for the goroutines"
    return Fix(title, realigned(workspace, edits), Safety.UNSAFE, reason)


def awaited_as_counted(
    file: GoFile, call: Node, channel: SharedChannel, loop: SendingLoop
) -> Fix | None:
    """Wait, before the close, for goroutines that a WaitGroup of the object counts already.

    func (r *Relay) Join(p Peer) {          func (r *Relay) Shutdown() {
        r.peers.Add(1)                          close(r.quit)
        go func() {                             r.peers.Wait()
            defer r.peers.Done()                close(r.outbox)
            pull(p, r.deliver)              }
        }()
    }

    Sound: whatever a goroutine sends, it sends before its Done; and it was told to end. None
    where one is not counted so, or who closes waits for them already.
    """
    statement = call.parent
    if statement is None or statement.kind != "expression_statement" or held_at(file, call):
        return None
    base = call["arguments"].children[0]["operand"].name
    workspace = channel.package.workspace
    groups = {_group_of(workspace.file_of(x.node), channel, x) for x in loop.launches}
    group = groups.pop() if len(groups) == 1 else ""
    if not group or not _are_told(call, loop, base):
        return None
    edits = insert_before(statement, f"{base}.{group}.Wait()")
    reason = "the method now waits for the goroutines"
    title = f"Wait for the senders before closing {channel.name}"
    return Fix(title, tuple(edits), Safety.UNSAFE, reason)


def _group_of(file: GoFile, channel: SharedChannel, launch: Launch) -> str:
    """Return the field of the WaitGroup that counts a launched literal: Add before, Done at its
    end, both by the method that launches, on its own object. Empty if none does.
    """
    literal, outer = launch.literal, launch.function
    if launch.kind != "go" or literal is None or outer is None:
        return ""
    if outer.kind != "method_declaration" or not literal["body"].statements:
        return ""
    receiver, first = receiver_of(outer), literal["body"].statements[0]
    added = {
        c.access
        for c in waitgroup_calls(file, outer)
        if c.method == "Add" and c.call.end <= launch.node.start and not c.deferred
    }
    for done in waitgroup_calls(file, literal):
        if done.waitgroup.kind != "selector_expression":
            continue
        if done.method == "Done" and done.deferred is first and done.access in added:
            owner = file.selection(done.waitgroup)
            held = owner.owner if owner is not None and not owner.via else None
            if isinstance(held, Named) and held.name == channel.decl.name:
                if done.waitgroup["operand"].name == receiver:
                    return done.waitgroup["field"].name
    return ""


def _are_told(call: Node, loop: SendingLoop, base: str) -> bool:
    """Return whether every send hears a channel that was closed right before."""
    block = call.parent.parent if call.parent is not None else None
    receiver = receiver_of(loop.body) if loop.body.kind == "method_declaration" else base
    if block is None or receiver is None:
        return False
    ended = [s.text for s in block.statements if s.end <= call.start]
    return all(
        (select := send.select) is not None
        and any(s.startswith(b"close(") and hears(select, s, receiver, base) for s in ended)
        for send in loop.sends
    )


def end_by_themselves(channel: SharedChannel, close: Node, loop: SendingLoop) -> bool:
    """Return whether the goroutines send once, to one that receives until the channel is closed."""
    bodies = [loop.body, *(x.literal for x in loop.launches if x.literal is not None)]
    if any(True for body in bodies for _ in body.find("for_statement", "goto_statement")):
        return False
    for receive in channel.of("range"):
        body, ranged = receive.node.function, receive.node.parent
        if body is None or ranged is None or body is close.function or receive.calls:
            continue
        if not leaves_loop(ranged) and only_launches(receive.file, body):
            return True
    return False


def _object(file: GoFile, loop: SendingLoop, launch: Launch) -> str:
    """Return the object that a goroutine sends for, in the words of who launches it."""
    paths: set[str] = set()
    if launch.kind != "go" and not _always_runs(file, launch):
        raise BuilderError("several goroutines send")
    if launch.body is loop.body and launch.literal is None and launch.call is not None:
        operand = launch.call["function"].get("operand")
        paths = {operand.name} if operand is not None else set()
    elif launch.literal is loop.body:
        paths = {send.node["channel"]["operand"].name for send in loop.sends}
    elif launch.literal is not None:
        decl = declaration_of(loop.file, loop.body)
        for site in callers(decl) if decl is not None else []:
            if site.call is not None and launch.literal.contains(site.node):
                operand = site.call["function"].get("operand")
                paths.add(operand.name if operand is not None else "")
    path = paths.pop() if len(paths) == 1 else ""
    if not path.isidentifier() or _is_own(file, launch, path):
        raise BuilderError("several goroutines send")
    return path


def _always_runs(file: GoFile, launch: Launch) -> bool:
    """Return whether a function of the project launches the literal that it gets in any case."""
    decl = file.callee(launch.node) if launch.kind == "spawner" else None
    if decl is None or launch.literal is None or not decl.has_body:
        return False
    if any(True for _ in decl.node["body"].find("return_statement")):
        return False
    names = {n.name for p in decl.node["parameters"].children for n in p.all("name")}
    calls = [c for c in decl.node["body"].find("call_expression") if c["function"].name in names]
    return len(calls) == 1 and calls[0].up(*_CHOICES) is None


_CHOICES = ("if_statement", "for_statement", "communication_case", "expression_case")


def _is_own(file: GoFile, launch: Launch, name: str) -> bool:
    """Return whether a name in a launched literal means something else where it is launched."""
    literal = launch.literal
    if literal is None:
        return False
    return any(
        binding is not None and literal.contains(binding.node)
        for node in literal.find("identifier")
        if node.name == name
        for binding in [file.binding(node)]
    )
