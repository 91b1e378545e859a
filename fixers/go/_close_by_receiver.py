"""Who has received enough, and closes a field's channel under the goroutine that sends.

    func (t *tail) Head(n int) []string {       func (t *tail) follow() {
        for len(out) < n {                          for t.scan() {
            out = append(out, <-t.lines)                t.lines <- t.text()  // panics
        }                                           }
        close(t.lines)                          }
        return out
    }

A channel of its own tells the goroutine to end; the other one is collected with the object.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, or_reason, realigned
from threadmend.golang.channel_fields import SharedChannel, shared_channel
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of, is_never_after
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.leaving import owed_after
from threadmend.golang.locks import held_at
from threadmend.golang.recovering import sends_if_open
from threadmend.golang.repeats import is_repeated
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Finding, Fix, Related, Safety

from ._close_fields import with_stop
from ._sending_loops import SendingLoop, keeps_out, receiver_of, sending_loop

__all__ = ["closed_by_receivers", "has_enough"]


def closed_by_receivers(file: GoFile) -> Iterator[Finding]:
    """Yield the closes of a field's channel by the function that receives from it."""
    if file.is_test or file.generated:
        return
    for call in file.calls("close"):
        operands, method = call["arguments"].children, call.function
        if len(operands) != 1 or operands[0].kind != "selector_expression" or method is None:
            continue
        if method.kind == "func_literal" or call.parent is None:
            continue
        channel = shared_channel(file, operands[0])
        if channel is None or not channel.is_field or channel.stores or channel.escapes:
            continue
        if call.parent.kind != "expression_statement" or len(channel.of("close")) != 1:
            continue
        loop = sending_loop(channel, call)
        if loop is None:
            continue
        if _leaves_range(channel, call):
            if held_at(file, call) or any(sends_if_open(s.file, s.node) for s in loop.sends):
                continue
        elif keeps_out(loop, file, call) or not _had_enough(channel, call, method):
            continue
        yield _finding(call, channel, loop)


def _had_enough(channel: SharedChannel, close: Node, method: Node) -> bool:
    """Return whether the close follows a receive in a loop that ends when there is enough."""
    flow = flow_of(method)
    end = flow.point_of(close)
    for receive in channel.of("receive"):
        loop = innermost_loop(receive.node)
        if receive.node.function is not method or loop is None or _tells(receive):
            continue
        if any(c.kind in {"for_clause", "range_clause"} for c in loop.children):
            continue  # it may know how many there are
        start = flow.point_of(receive.node)
        waits = {p for p in flow.points if _waits(p.node) and p is not start}
        if start is not None and end in flow.reachable(start, stop=waits.__contains__):
            return True
    return False


def _leaves_range(channel: SharedChannel, close: Node) -> bool:
    """Return whether the close is where the only loop over the channel is left with enough."""
    ranges, statement = channel.of("range"), close.parent
    loop = ranges[0].node.parent if len(ranges) == 1 else None
    if loop is None or statement is None or channel.of("receive") or ranges[0].calls:
        return False
    return (
        loop.contains(close)
        and has_enough(statement, loop)
        and is_never_after(ranges[0].node, close)
    )


def has_enough(statement: Node, loop: Node) -> bool:
    """Return whether the test asks for what the loop has done so far, not for what it received:
    `len(found) == n`. Going on would give another result.
    """
    block = statement.parent
    test = block.parent if block is not None else None
    if test is None or test.kind != "if_statement":
        return False
    asked = {n.name for n in test["condition"].find("identifier")}
    for node in loop["body"].own():
        if node.kind in {"assignment_statement", "inc_statement", "dec_statement"}:
            target = node["left"].children[0] if node.kind[0] == "a" else node.children[0]
            if next((n.name for n in target.walk() if n.kind == "identifier"), "") in asked:
                return True
    return False


def _tells(receive: ChannelOperation) -> bool:
    """Return whether a receive says that the channel was closed: `v, ok := <-ch`."""
    statement = receive.node.up(
        "receive_statement", "short_var_declaration", "assignment_statement"
    )
    left = statement.get("left") if statement is not None else None
    return left is not None and len(left.children) > 1


_STATEMENTS = ("receive_statement", "short_var_declaration", "assignment_statement")


def _waits(node: Node) -> bool:
    if node.kind in {"select_statement", "communication_case"} or node.field == "communication":
        return False
    return b".Wait(" in node.text if node.kind == "expression_statement" else False


def _finding(call: Node, channel: SharedChannel, loop: SendingLoop) -> Finding:
    name, send = call["arguments"].children[0].name, loop.sends[0].node
    fix = _fix(call, channel, loop)
    return Finding(
        path=call.path,
        start=call.start,
        end=call.end,
        message=f"the receiver closes {name}, and the sender's next value panics",
        fixes=(fix,) if isinstance(fix, Fix) else (),
        related=(Related(send.path, send.start, send.end, "sent here"),),
        reason=fix if isinstance(fix, str) else "",
        confidence=Confidence.MEDIUM,
    )


@or_reason
def _fix(call: Node, channel: SharedChannel, loop: SendingLoop) -> Fix:
    """Tell the goroutine to end by a channel of its own; nobody waits for the close.

    Sound: no receiver asks whether the channel is closed, and what it did not take is lost
    before as after.
    """
    waiting = [r for r in channel.of("range") if not is_never_after(r.node, call)]
    if waiting or any(_tells(r) for r in channel.of("receive")):
        raise BuilderError("a receiver waits for the close")
    launch, workspace = loop.launches[0], channel.package.workspace
    if len(loop.launches) != 1 or is_repeated(workspace.file_of(launch.node), launch):
        raise BuilderError("several goroutines send")
    receiver = receiver_of(loop.body) if loop.body.kind == "method_declaration" else None
    if receiver is None or loop.body.get("result") is not None:
        raise BuilderError("the function that sends is no method without results")
    if any(owed_after(loop.body, send.node) is not None for send in loop.sends):
        raise BuilderError("the goroutine owes others something after the send")
    edits = with_stop(call, channel, loop, receiver)
    aligned = realigned(channel.package.workspace, edits)
    title = "Tell the goroutine to end by a channel of its own"
    return Fix(title, aligned, Safety.UNSAFE, "the goroutine ends where it panicked")
