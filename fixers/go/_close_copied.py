"""Goroutines that send on a copy of a field's channel: the owner counts them before it closes.

func (b *bureau) dispatch(r *reporter) {     func (b *bureau) shut() {
    b.senders.Add(1)                             close(b.deadline)
    go func() {                                  b.senders.Wait()
        defer b.senders.Done()                   close(b.wire)
        r.work()      // r.out is b.wire     }
    }()
}
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import (
    BuilderError,
    insert_before,
    realigned,
    replace,
)
from threadmend.golang.calls import callers
from threadmend.golang.channel_copies import by_any_name, copied_from
from threadmend.golang.channel_fields import SharedChannel, shared_channel
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch
from threadmend.golang.locks import declaration_of, held_at
from threadmend.golang.node import bare
from threadmend.golang.syntax import Node
from threadmend.model import Fix, Safety

from ._beside import senders_beside
from ._sending_loops import SendingLoop, receiver_of

__all__ = ["copies_counted"]


def copies_counted(file: GoFile, call: Node, channel: SharedChannel, loop: SendingLoop) -> Fix:
    """Count the goroutines that send on copies of a channel, and wait for them before the close.

    Sound: each of them hears what has been closed by then, and sends nothing when it has ended.
    Raises `BuilderError` where the owner of the channel has no name at a launch.
    """
    statement = call.parent
    if statement is None or statement.kind != "expression_statement" or held_at(file, call):
        raise BuilderError("several goroutines send, by another name of the channel")
    if not all(_is_told(file, call, send) for send in loop.sends):
        raise BuilderError("nothing tells the goroutines that send to end")
    workspace = channel.package.workspace
    name, edits = senders_beside(channel)
    for launch in loop.launches:
        owner = _owner_at(workspace.file_of(launch.node), launch, channel)
        edits += insert_before(launch.statement, f"{owner}.{name}.Add(1)")
        run = f"go func() {{\n\tdefer {owner}.{name}.Done()\n\t{launch.runs.name}\n}}()"  # type: ignore[union-attr]
        edits += replace(launch.statement, run)
    base = call["arguments"].children[0]["operand"].name
    edits += insert_before(statement, f"{base}.{name}.Wait()")
    title = f"Wait for the senders before closing {channel.name}"
    reason = "the method now waits for the goroutines"
    return Fix(title, realigned(workspace, edits), Safety.UNSAFE, reason)


def _is_told(file: GoFile, close: Node, send: ChannelOperation) -> bool:
    """Return whether a send gives up when what was closed right before the close is ready."""
    select, block = send.select, close.parent.parent if close.parent is not None else None
    if select is None or block is None:
        return False
    heard = [
        by_any_name(channel)
        for case in select.children
        for node in (case["communication"].find("unary_expression") if _is_case(case) else ())
        if node["operator"].kind == "<-" and case is not send.case
        if (channel := shared_channel(send.file, node["operand"])) is not None
    ]
    for above in block.statements:
        if above.end <= close.start and above.text.startswith(b"close("):
            operand = above.children[0]["arguments"].children[0]
            ended = shared_channel(file, operand)
            if ended is not None and any(by_any_name(ended) is one for one in heard):
                return True
    return False


def _is_case(clause: Node) -> bool:
    return clause.kind == "communication_case"


# -- whose channel a launched object has ---------------------------------------------------


def _owner_at(file: GoFile, launch: Launch, channel: SharedChannel) -> str:
    """Return what has the channel that a launched object got, as who launches it names that."""
    call, function = launch.call, launch.function
    operand = call["function"].get("operand") if call is not None else None
    if launch.kind != "go" or launch.literal is not None or operand is None or call is None:
        raise BuilderError("several goroutines send, by another name of the channel")
    if operand.kind != "identifier" or call["arguments"].children:
        raise BuilderError("the call of a goroutine that sends has arguments")
    binding, owners = file.binding(operand), set[str]()
    given = list(_values(file, launch, channel))
    for where, value in given:
        named = value.get("operand") if value.kind == "selector_expression" else None
        if named is None or named.kind != "identifier" or binding is None:
            raise BuilderError("the owner of the channel has no name there")
        if value.function is function and binding.kind == "variable":
            if binding.value is None or not binding.value.contains(value):
                raise BuilderError("the owner of the channel has no name there")
            owners.add(named.name)
        elif function is not None and binding.kind == "parameter":
            owners.add(_as_receiver(file, function, where, value, named))
        else:
            raise BuilderError("the owner of the channel has no name there")
    if len(owners) != 1:
        raise BuilderError("the owner of the channel has no name there")
    return owners.pop()


def _values(file: GoFile, launch: Launch, channel: SharedChannel) -> Iterator[tuple[GoFile, Node]]:
    """Yield where the channel is named for the objects whose method is launched."""
    file_of = file.package.workspace.file_of
    for copy in channel.copies:
        if launch.decl is None or launch.decl.receiver != copy.decl.name:
            continue
        for store in copy.stores:
            found = copied_from(file_of(store), store)
            if found is not None:
                yield file_of(found[1]), bare(found[1])


def _as_receiver(file: GoFile, function: Node, where: GoFile, value: Node, named: Node) -> str:
    """Return the receiver of a method that launches what it is given with its own channel.

    `d.dispatch(&reporter{out: d.wire})`: the object of the call has the channel.
    """
    decl, receiver = declaration_of(file, function), None
    if decl is not None and decl.kind == "method":
        receiver = receiver_of(function)
    calls = [s.call for s in callers(decl) if s.call is not None] if decl is not None else []
    around = [c for c in calls if c["arguments"].contains(value) and c.path == where.path]
    if receiver is None or len(around) != 1:
        raise BuilderError("the owner of the channel has no name there")
    called = around[0]["function"].get("operand")
    if called is None or called.text != named.text:
        raise BuilderError("the owner of the channel has no name there")
    return receiver
