"""Feeders that select on a stop, and wait at their end for the result that the worker sends.

    result := make(chan error, 1)
    go func() { result <- o.work() }()      // ranges over o.rows, returns early on an error
    for … {
        select {
        case o.rows <- row:                 // nobody receives any more
        case <-ctx.Done():
            return ctx.Err()
        }
    }
    close(o.rows)
    return <-result

The result is there as soon as the worker has left: the select takes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.builders import add_case, at_margin, or_reason, replace
from threadmend.golang.calls import has_one_caller
from threadmend.golang.channel_index import behind
from threadmend.golang.channels import Channel, ChannelOperation, local_channels
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop, launch_of_literal
from threadmend.golang.locks import held_at
from threadmend.golang.makers import making
from threadmend.golang.syntax import Node
from threadmend.model import Fix, Safety

__all__ = ["Fed", "fed_beside_results"]


_CANCELS = re.compile(rb"(?i)cancel\w*\(|stop\w*\(")


@dataclass(frozen=True, slots=True)
class Fed:
    """A send in a loop that a worker receives in `loop`, and the result that tells of its end.

    `literal` is what the worker's goroutine runs.
    """

    send: ChannelOperation
    receive: ChannelOperation
    loop: Node
    literal: Node
    result: str

    @property
    def is_told(self) -> bool:
        """Return whether a case beside the send may be ready when the worker has left."""
        select, worker = self.send.select, self.receive.node.function
        text = self.literal.text + (worker.text if worker is not None else b"")
        if _CANCELS.search(text):
            return True
        for case in select.children if select is not None else ():
            communication = case.get("communication")
            for node in communication.find("unary_expression") if communication else ():
                name = node["operand"].name.rpartition(".")[2].encode()
                if re.search(rb"\b" + re.escape(name) + rb"\b", text):
                    return True
        return False

    @or_reason
    def fix(self) -> Fix:
        """Take the result beside the send.

        Sound: it is what the function returns at its end; while the worker runs there is none.
        """
        communication, code = f"err := <-{self.result}", "return err"
        select = self.send.select
        if select is not None:
            edits = add_case(select, communication, code)
        else:
            text = at_margin(self.send.node)
            select_text = f"select {{\ncase {text}:\ncase {communication}:\n\t{code}\n}}"
            edits = replace(self.send.node, select_text)
        reason = "the function returns the worker's result when the worker has left"
        return Fix(f"Take {self.result} where the worker is fed", edits, Safety.UNSAFE, reason)


def fed_beside_results(file: GoFile) -> Iterator[Fed]:
    """Yield the sends to a worker whose only result the function returns at its end."""
    for function in file.functions(making(file.package)):
        body = function.get("body")
        last = body.statements[-1] if body is not None and body.statements else None
        if last is None or last.kind != "return_statement":
            continue
        for channel in local_channels(file, function):
            if last.text == b"return <-" + channel.binding.name.encode():
                yield from _fed(file, function, channel)


def _fed(file: GoFile, function: Node, result: Channel) -> Iterator[Fed]:
    room = result.capacity
    if room is None or room.kind != "int_literal" or room.text == b"0" or result.escapes:
        return
    literals = {s.node.function for s in result.of("send")}
    literal = next(iter(literals)) if len(literals) == 1 else None
    if literal is None or literal.kind != "func_literal":
        return
    launch = launch_of_literal(file, literal)
    if launch is None or launch.kind != "go" or launch.loop is not None:
        return
    if launch.function is not function:
        return
    for operation in _fields_and_channels(file, function):
        known = behind(file, operation.node)
        receives = known.of("receive", "range")
        loop = receives[0].node.parent if len(receives) == 1 else None
        if loop is None or receives[0].kind != "range" or not known.of("close"):
            continue
        if known.shared is not None and known.shared.escapes:
            continue
        if known.shared is None and (operation.select is None or not known.known):
            continue  # a plain send on a local channel is told in another way
        if _runs(file, literal, receives[0], result.binding.name):
            yield Fed(operation, receives[0], loop, literal, result.binding.name)


def _fields_and_channels(file: GoFile, function: Node) -> Iterator[ChannelOperation]:
    """Yield the sends in a function's loops that nothing about the result stands beside."""
    for node in function.own():
        if node.kind != "send_statement" or innermost_loop(node) is None:
            continue
        operation = ChannelOperation("send", node, file)
        select = operation.select
        cases = select.children if select is not None else []
        if any(c.kind == "default_case" for c in cases) or held_at(file, node):
            continue
        yield operation


def _runs(file: GoFile, literal: Node, receive: ChannelOperation, result: str) -> bool:
    """Return whether a literal sends the result after it left the receiving loop."""
    statements = literal["body"].statements
    if receive.node.function is literal:
        return receive.node.parent in statements
    last = statements[-1] if statements else None
    if last is None or last.kind != "send_statement" or last["channel"].name != result:
        return False
    call = last["value"]
    decl = file.callee(call) if call.kind == "call_expression" else None
    if decl is None or decl.node is not receive.node.function:
        return False
    return has_one_caller(decl)
