"""Methods that close a channel on which a goroutine of the same object still sends."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from threadmend.golang.at_calls import on_every_way
from threadmend.golang.builders import (
    BuilderError,
    add_element,
    add_field,
    at_margin,
    delete,
    fields,
    free_name,
    insert_after,
    insert_at_start,
    insert_before,
    realigned,
    replace,
    with_reason,
)
from threadmend.golang.calls import callers
from threadmend.golang.channel_copies import by_any_name
from threadmend.golang.channel_fields import (
    SharedChannel,
    literals_of,
    shared_channel,
)
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.leaving import owed_after
from threadmend.golang.locks import declaration_of
from threadmend.golang.repeats import is_repeated
from threadmend.golang.runners import runners_of
from threadmend.golang.syntax import Node
from threadmend.golang.waitgroups import waitgroup_calls
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._closed_flag import closed_under_senders
from ._closed_snapshot import closed_beside_snapshot
from ._may_wait import may_wait
from ._sending_loops import SendingLoop, keeps_out, outermost, receiver_of, sending_loop

__all__ = ["closed_fields", "hears", "with_stop"]


def closed_fields(file: GoFile) -> Iterator[Finding]:
    """Yield the closes of a field's channel that do not wait for the goroutine that sends."""
    if file.is_test or file.generated:
        return
    for call in file.calls("close"):
        arguments = call["arguments"].children
        statement = call.parent
        if len(arguments) != 1 or arguments[0].kind != "selector_expression" or statement is None:
            continue
        if statement.kind not in {"expression_statement", "defer_statement"}:
            continue
        own = shared_channel(file, arguments[0])
        channel = by_any_name(own) if own is not None else None
        if channel is None or not channel.is_field or channel.stores:
            continue
        if any(own is copy for copy in channel.copies):
            continue
        if not all(_only_receives(e) for e in channel.escapes):
            continue
        if len(channel.of("close")) == 1 and _is_first_thing(file, call):
            copied = list(closed_beside_snapshot(file, call, channel, outermost(call)))
            loop = sending_loop(channel, call)
            if copied:
                yield from copied
            elif loop is not None and not on_every_way(
                file, call, partial(_ends_before, loop, call)
            ):
                yield _finding(file, call, channel, loop)
            elif loop is None and not channel.copies:
                yield from closed_under_senders(file, call, channel, outermost(call))


def _ends_before(loop: SendingLoop, closing: Node, file: GoFile, close: Node) -> bool:
    """Return whether a close, or a call that leads to one, comes when nothing is sent any more."""
    if close is closing:
        return keeps_out(loop, file, close)
    if not _is_first_thing(file, close):
        return True
    file_of = file.package.workspace.file_of
    several = any(is_repeated(file_of(launch.node), launch) for launch in loop.launches)
    return keeps_out(loop, file, close, alone=not several)


def _only_receives(escape: Node) -> bool:
    """Return whether a use hands the channel out for receiving only: `return p.events`."""
    statement, function = escape.up("return_statement"), escape.function
    result = function.get("result") if function is not None else None
    return statement is not None and result is not None and result.text.startswith(b"<-chan ")


def _is_first_thing(file: GoFile, call: Node) -> bool:
    """Return whether nothing before the close, in the whole function, may wait."""
    top = outermost(call)
    body = top.get("body")
    if body is None or top.kind != "method_declaration":
        return False
    deferred = call.up("defer_statement")  # itself, or in a literal
    if deferred is not None:
        return not may_wait(file, body, deferred.end, body.end)
    return not may_wait(file, body, body.start, call.start)


def _finding(file: GoFile, call: Node, channel: SharedChannel, loop: SendingLoop) -> Finding:
    name = call["arguments"].children[0].name
    send = loop.sends[0].node
    fix, reason = _fix(file, call, channel, loop)
    return Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=f"{name} is closed while a goroutine may still send to it",
        fixes=(fix,) if fix else (),
        related=(Related(send.path, send.start, send.end, "sent here"),),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


@with_reason
def _fix(file: GoFile, call: Node, channel: SharedChannel, loop: SendingLoop) -> Fix:
    """Let the goroutine that sends close when it ends; a stop channel tells it to."""
    from ._close_counted import awaited_as_counted, counted_and_awaited, end_by_themselves

    if channel.copies:
        from ._close_copied import copies_counted

        _refuse_own(file, call, loop)
        counted = None
        if all(_is_own_name(channel, send) for send in loop.sends):
            counted = counted_and_awaited(file, call, channel, loop)
        return counted or copies_counted(file, call, channel, loop)
    waits = _wait_of(call, loop)
    if waits is not None and call.parent is not None:
        _refuse_own(file, call, loop)
        edits = list(insert_before(call.parent, waits))
        reason = "the method now waits for the goroutines"
        title = f"Wait for the senders before closing {channel.name}"
        return Fix(title, tuple(edits), Safety.UNSAFE, reason)
    launch, workspace = loop.launches[0], channel.package.workspace
    group = _group(call, loop, launch)
    if group is not None:
        _refuse_own(file, call, loop)
        return _told_and_awaited(call, channel, loop, *group)
    counted = awaited_as_counted(file, call, channel, loop)
    if counted is not None:
        _refuse_own(file, call, loop)
        return counted
    alone = len(loop.launches) == 1 and not is_repeated(workspace.file_of(launch.node), launch)
    if not alone or end_by_themselves(channel, call, loop):
        several = counted_and_awaited(file, call, channel, loop)
        if several is None:
            raise BuilderError("several goroutines send")
        _refuse_own(file, call, loop)
        return several
    if not _runs_once(loop, launch):
        raise BuilderError("the goroutine may call the method that sends more than once")
    if loop.body.get("result") is not None or loop.body.kind != "method_declaration":
        raise BuilderError("the function that sends is no method without results")
    receiver = receiver_of(loop.body)
    if receiver is None:
        raise BuilderError("the method that sends has no name for its receiver")
    refuse_other_names(channel, loop, receiver)
    stop = _stop_channel(call, loop, receiver)
    if stop:
        edits = list(delete(call.parent)) if call.parent is not None else []
    else:
        edits = with_stop(call, channel, loop, receiver)
    edits += insert_at_start(loop.body["body"], f"defer close({receiver}.{channel.name})")
    aligned = realigned(workspace, edits)
    title = f"Let the goroutine that sends close {channel.name}"
    return Fix(title, aligned, Safety.UNSAFE, "the channel is closed later")


def _is_own_name(channel: SharedChannel, send: ChannelOperation) -> bool:
    """Return whether a send names the channel by the field that it was made for."""
    named = shared_channel(send.file, send.node["channel"])
    return named is not None and (named.decl.key, named.name) == (channel.decl.key, channel.name)


def _refuse_own(file: GoFile, call: Node, loop: SendingLoop) -> None:
    """Raise BuilderError where a goroutine that sends closes, too: it would wait for itself."""
    closers = {each.node for each in runners_of(file, outermost(call)).launches}
    if any(launch.node in closers for launch in loop.launches):
        raise BuilderError("a goroutine that sends closes as well, and would wait for itself")


def _group(call: Node, loop: SendingLoop, launch: Launch) -> tuple[str, str] | None:
    """Return the object and its WaitGroup, as a launched literal names them, that counts it.

    The literal ends with `defer p.group.Done()`; who launches it added to the group before, and
    who closes has not waited.
    """
    literal, outer = launch.literal, launch.function
    if literal is not loop.body or outer is None or outer.kind != "method_declaration":
        return None
    receiver = receiver_of(outer)
    if receiver is None or literal.get("result") is not None or call.parent is None:
        return None
    if call.parent.kind != "expression_statement":
        return None
    added = {c.access for c in waitgroup_calls(loop.file, outer) if c.method == "Add"}
    for done in waitgroup_calls(loop.file, literal):
        if done.method == "Done" and done.deferred is not None and done.access in added:
            name = done.waitgroup.name
            if name.startswith(f"{receiver}."):
                return receiver, name.removeprefix(f"{receiver}.")
    return None


def _told_and_awaited(
    call: Node, channel: SharedChannel, loop: SendingLoop, receiver: str, group: str
) -> Fix:
    """Tell the goroutines to end, wait for them, and close then.

    Sound: each of them was counted before it began, and none sends after its Done.
    """
    base = call["arguments"].children[0]["operand"].name
    assert call.parent is not None
    if any(owed_after(loop.body, send.node) is not None for send in loop.sends):
        raise BuilderError("the goroutine owes others something after the send")
    edits = with_stop(call, channel, loop, receiver)
    edits += insert_after(call.parent, f"{base}.{group}.Wait()\nclose({base}.{channel.name})")
    aligned = realigned(channel.package.workspace, edits)
    title = f"Let the senders end before {channel.name} is closed"
    reason = "values that nobody has taken by then are not sent any more"
    return Fix(title, aligned, Safety.UNSAFE, reason)


def _runs_once(loop: SendingLoop, launch: Launch) -> bool:
    """Return whether the goroutine is the function that sends, or calls it in one place."""
    if launch.body is loop.body:
        return True
    decl = declaration_of(loop.file, loop.body)
    sites = callers(decl) if decl is not None else []
    if len(sites) != 1 or sites[0].call is None or innermost_loop(sites[0].call) is not None:
        return False
    return sites[0].node.function is launch.body


def _wait_of(call: Node, loop: SendingLoop) -> str | None:
    """Return the Wait, in the closing method's words, that a WaitGroup of the object offers.

    Every goroutine that sends ends with `defer x.wg.Done()`, and something ends it: a
    channel that was closed further up.
    """
    receiver = receiver_of(loop.body) if loop.body.kind == "method_declaration" else None
    base = call["arguments"].children[0]["operand"].name
    block = call.parent.parent if call.parent is not None else None
    if receiver is None or block is None or call.parent is None:
        return None
    if call.parent.kind != "expression_statement":
        return None
    above = [s for s in block.statements if s.end <= call.start]
    ended = [s for s in above if s.text.startswith(b"close(")]
    if not any(hears(loop.body, s.text, receiver, base) for s in ended):
        return None
    for done in waitgroup_calls(loop.file, loop.body):
        if done.method == "Done" and done.deferred is not None:
            name = done.waitgroup.name
            if name.startswith(f"{receiver}."):
                return f"{base}.{name.removeprefix(receiver + '.')}.Wait()"
    return None


def hears(body: Node, close: bytes, receiver: str, base: str) -> bool:
    """Return whether a function ranges over, or receives from, what a statement closes."""
    operand = close.removeprefix(b"close(").removesuffix(b")")
    own = operand.replace(base.encode() + b".", receiver.encode() + b".", 1)
    return b"range " + own in body.text or b"<-" + own in body.text


def _stop_channel(call: Node, loop: SendingLoop, receiver: str) -> bool:
    """Return whether the closing method closes another channel that ends the sending one."""
    function = call.function
    if function is None:
        return False
    flow = flow_of(loop.body)
    if not any(e.kind in {"end", "return"} for e in flow.exits_from(flow.entry)):
        return False
    for other in function.find("call_expression"):
        if other is call or other["function"].text != b"close" or not other["arguments"].children:
            continue
        operand = other["arguments"].children[0]
        if operand.kind == "selector_expression":
            heard = f"<-{receiver}.{operand['field'].name}".encode()
            if heard in loop.body.text:
                return True
    return False


def refuse_other_names(channel: SharedChannel, loop: SendingLoop, receiver: str) -> None:
    """Raise BuilderError where who sends does not have the channel in a field of its receiver."""
    own = f"{receiver}.{channel.name}".encode()
    if any(send.node["channel"].text != own for send in loop.sends):
        raise BuilderError("who sends knows the channel by another name")


def with_stop(call: Node, channel: SharedChannel, loop: SendingLoop, receiver: str) -> list[Edit]:
    """Add a channel that ends the goroutine, closed where its own was closed."""
    refuse_other_names(channel, loop, receiver)
    struct = channel.decl.node.get("type")
    if struct is None or struct.kind != "struct_type":
        raise BuilderError("the struct is not declared with the type")
    declared = fields(struct)
    taken = {n.name for f in declared for n in f.all("name")}
    taken |= set(channel.package.methods(channel.decl.name))
    name = free_name("done", taken)
    after = next(f for f in declared if any(n.name == channel.name for n in f.all("name")))
    edits = list(add_field(struct, name, "chan struct{}", after=after))
    literals = list(literals_of(channel.decl, tests=False))
    if not literals:
        raise BuilderError("no place makes a value of the type")
    for file, literal in literals:
        if file.package is not channel.package:
            raise BuilderError("another package makes values of the type")
        if any(e.kind != "keyed_element" for e in literal["body"].children):
            raise BuilderError("values of the type are written without field names")
        edits += add_element(literal, f"{name}: make(chan struct{{}})")
    for send in loop.sends:
        if send.case is not None:
            edits += _another_case(send, f"case <-{receiver}.{name}:")
            continue
        code = f"select {{\ncase {at_margin(send.node)}:\ncase <-{receiver}.{name}:\n\treturn\n}}"
        edits += replace(send.node, code)
    operand = call["arguments"].children[0]
    field = operand["field"]
    edits.append(Edit(call.path, field.start, field.end, name.encode()))
    return edits


def _another_case(send: ChannelOperation, head: str) -> list[Edit]:
    case = send.case
    select = send.select
    if case is None or select is None or any(c.kind == "default_case" for c in select.children):
        raise BuilderError("the send is a case that has a default beside it")
    indent = case.tree.source.indent_at(case.start)
    newline = case.tree.source.newline
    at = case.tree.source.line_start(case.start)
    text = indent + head.encode() + newline + indent + b"\treturn" + newline
    return [Edit(case.path, at, at, text)]
