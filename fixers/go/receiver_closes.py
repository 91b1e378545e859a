"""Let the sender close the channel, not the receiver

Only who sends knows when there is nothing left to send. A receiver that closes because it
has seen enough takes the channel from under the sender, and the next send panics.

Not reported: a receiver that closes after it has received all that is sent, or has waited for
the goroutines, or when the sender has said on another channel that it is through; a channel of
which the receiver is the sender too; a channel that is passed to code that is not visible.

Unsafe: the receiver no longer stops early; it takes what the sender has. Where it leaves with
more than a test, it tells the sender to end instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import (
    BuilderError,
    delete,
    free_name,
    replace,
    taken_names,
    with_reason,
)
from threadmend.golang.calls import has_one_caller
from threadmend.golang.channels import Channel, ChannelOperation, runner_of
from threadmend.golang.countdowns import counts_all
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of, is_never_after
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.iterations import own_condition
from threadmend.golang.local_fields import held_channels
from threadmend.golang.locks import declaration_of
from threadmend.golang.makers import making
from threadmend.golang.repeats import is_repeated
from threadmend.golang.stops import ways_out
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._close_by_receiver import closed_by_receivers, has_enough
from ._closer import after_sends, by_producer, close_after, ends
from ._each_once import each_once
from ._left_open import left_open
from ._sentinel import past, sent_sentinel, without_sentinel
from ._stop_of_receiver import told_to_stop

CATEGORY = "channel"
GATE = rb"\bmake\(\s*(?:chan\b|\w+[,)])|\bclose\("

_MAKES = re.compile(rb"\bmake\(\s*(?:chan\b|\w+[,)])")


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the closes by a function that receives while another goroutine sends."""
    yield from each_once(file, _of_locals, closed_by_receivers)


def _of_locals(file: GoFile) -> Iterator[Finding]:
    """Yield those on channels of variables and of a local object's fields."""
    for function in file.functions(making(file.package, _MAKES)):
        for channel in held_channels(file, function):
            closes = channel.of("close")
            if len(closes) != 1 or channel.escapes or not is_assigned_once(channel.binding):
                continue
            loop = _receiving_loop(function, channel, closes[0])
            if loop is None or _has_waited(closes[0], loop) or counts_all(file, function, loop):
                continue
            if _told_by_sender(file, function, channel, closes[0], loop):
                continue
            if _others_send(function, channel, closes[0]):
                yield _finding(file, function, channel, closes[0], loop)


def _receiving_loop(function: Node, channel: Channel, close: ChannelOperation) -> Node | None:
    """Return the loop in which the closing function receives until it has seen enough."""
    body = close.node.function
    if body is None or any(s.node.function is body for s in channel.of("send")):
        return None
    for receive in channel.of("receive", "range"):
        if receive.node.function is not body:
            continue
        loop = receive.node.parent if receive.kind == "range" else innermost_loop(receive.node)
        if loop is None:
            continue
        if receive.kind != "range" and _is_counted(loop):
            # One for each that is sent, unless it was left early.
            if not loop.contains(close.node) and _after_a_break(loop, close):
                return loop
            continue
        if loop.contains(close.node) and close.node.parent is not None:
            return loop
        after = _after_a_break(loop, close)
        if after:
            return loop
    return None


def _is_counted(loop: Node) -> bool:
    return any(c.kind in {"for_clause", "range_clause"} for c in loop.children)


def _after_a_break(loop: Node, close: ChannelOperation) -> bool:
    """Return whether the close runs after the loop was left in the middle."""
    body = close.node.function
    if body is None:
        return False
    flow = flow_of(body)
    parent = close.node.parent
    point = flow.point_of(close.node)
    if point is None or not flow.complete or parent is None:
        return False
    if parent.kind == "defer_statement":
        return any(n.kind in {"return_statement", "break_statement"} for n in loop["body"].own())
    leaves = [
        p
        for p in flow.points
        if p.live and loop.contains(p.node) and p.node.kind == "break_statement"
        if not any(loop.contains(s.node) for s in p.successors)
    ]
    return any(point in flow.reachable(p) for p in leaves)


def _has_waited(close: ChannelOperation, loop: Node) -> bool:
    """Return whether the goroutines have ended by the close: `wg.Wait()` stands above it."""
    body = close.node.function
    flow = flow_of(body) if body is not None else None
    point = flow.point_of(close.node) if flow is not None else None
    if body is None or flow is None or point is None:
        return False
    for call in body.own():
        if call.kind != "call_expression" or not call["function"].text.endswith(b".Wait"):
            continue
        at = flow.point_of(call)
        if loop.end <= call.start < close.node.start and not call["arguments"].children:
            if at is not None and flow.dominates(at, point):
                return True
    return False


def _told_by_sender(
    file: GoFile, function: Node, channel: Channel, close: ChannelOperation, loop: Node
) -> bool:
    """Return whether the close comes when the sender has said, on another channel, that it is
    through: `case <-stop: close(ch)`, where the sender closes `stop` and sends no more. Or the
    receiving loop before the close is left in such a case, and in no other way.
    """
    inside = close.node.up("communication_case")
    clauses = [inside] if inside else [w.up("communication_case") for w in ways_out(loop)]
    told = [c.get("communication") if c is not None else None for c in clauses]
    if not told:
        return False
    for stop in held_channels(file, function):
        received = [r.node for r in stop.of("receive")]
        if stop is channel or not all(t and any(map(t.contains, received)) for t in told):
            continue
        signals = [s for s in stop.of("close", "send") if s.function is not close.node.function]
        if stop.escapes or not signals:
            return False
        return all(
            is_never_after(s.node, signal.node) for s in channel.of("send") for signal in signals
        )
    return False


def _others_send(function: Node, channel: Channel, close: ChannelOperation) -> bool:
    """Return whether all sends are other goroutines', and can go on after the close."""
    closer = runner_of(close, function)
    if closer is None:
        return False
    sends = channel.of("send")
    for send in sends:
        runner = runner_of(send, function)
        if runner is None:
            return False
        mine = runner.node if isinstance(runner, Launch) else runner
        theirs = closer.node if isinstance(closer, Launch) else closer
        if mine is theirs:
            return False
    return any(
        innermost_loop(s.node) is not None or innermost_loop(s.anchor) is not None for s in sends
    )


def _finding(
    file: GoFile, function: Node, channel: Channel, close: ChannelOperation, loop: Node
) -> Finding:
    name = close.node["arguments"].children[0].name
    send = channel.of("send")[0].node
    fix, reason = _fix(file, function, channel, close, loop)
    return Finding(
        path=close.node.path,
        start=close.node.start,
        end=close.node.end,
        message=f"the receiver closes {name} while a goroutine still sends to it",
        fixes=(fix,) if fix else (),
        related=(Related(send.path, send.start, send.end, "sent here"),),
        reason=reason,
    )


@with_reason
def _fix(
    file: GoFile, function: Node, channel: Channel, close: ChannelOperation, loop: Node
) -> Fix:
    """Move the close to the sender, and receive until then."""
    name = channel.binding.name
    if not _is_only_use(close):
        raise BuilderError("the receiving function is used elsewhere too")
    runners = {}
    for send in channel.of("send"):
        runner = runner_of(send, function)
        node = runner.node if isinstance(runner, Launch) else runner
        if node is not None and runner is not None:
            runners[node.start] = runner
    launches = [r for r in runners.values() if isinstance(r, Launch)]
    if any(not ends(x) for x in launches):
        raise BuilderError("the sender never ends by itself")
    parent = close.node.parent
    unseen = left_open(file, function, channel, parent) if parent is not None else None
    if unseen is not None:
        return unseen
    alone = launches[0] if len(launches) == len(runners) == 1 else None
    if alone is not None and is_repeated(file, alone, channel.make):
        alone = None
    try:
        edits = _without_close(channel, close, loop, alone)
    except BuilderError:
        stopped = told_to_stop(file, function, channel, close)
        if stopped is None:
            raise
        return stopped
    if not launches:
        edits += after_sends(file, function, channel)
    elif len(launches) != len(runners):
        raise BuilderError("the function sends as well as the goroutines that it launches")
    elif alone is not None:
        edits += by_producer(file, channel, alone)
    else:
        receives = [r.anchor for r in channel.of("receive", "range")]
        receives = [r for r in receives if r.function is function]
        edits += close_after(file, function, channel.make, name, launches, (), receives)
    reason = "the receiver takes all that is sent, where it stopped before"
    return Fix(f"Let the sender close {name}", tuple(edits), Safety.UNSAFE, reason)


def _is_only_use(close: ChannelOperation) -> bool:
    """Return whether the function that closes is called from this one place only."""
    if not close.calls:
        return True
    body = close.node.function
    decl = declaration_of(close.file, body) if body is not None else None
    return decl is not None and has_one_caller(decl) and len(close.calls) == 1


def _without_close(
    channel: Channel, close: ChannelOperation, loop: Node, launch: Launch | None
) -> list[Edit]:
    """Drop the close with the test that decides it, when that does nothing else."""
    statement = close.node.parent
    if statement is None or statement.kind not in {"expression_statement", "defer_statement"}:
        raise BuilderError("the close is part of another statement")
    if own_condition(loop) is not None and not loop.contains(statement):
        return [*_drained(close, statement), *_asked(close, loop)]
    if loop.contains(statement) and has_enough(statement, loop):
        raise BuilderError("the receiver has enough before all is sent: it needs a stop channel")
    if sent_sentinel(channel, loop):
        ranged = _ranged(close, loop)
        if launch is not None:
            gone = without_sentinel(channel, statement, loop, launch)
            if gone is not None:
                return [*gone, *ranged]
        return [*delete(statement), *past(statement, loop), *ranged]
    if not loop.contains(statement):
        return [*_drained(close, statement), *_ranged(close, loop)]
    return [*_without_test(statement, statement.next), *_ranged(close, loop)]


def _drained(close: ChannelOperation, statement: Node) -> list[Edit]:
    """Take what is left, so that the sender can end, where the receiver closed."""
    name = close.node["arguments"].children[0].name
    code = f"for range {name} {{\n}}"
    if statement.kind == "defer_statement":
        code = f"defer func() {{\n\tfor range {name} {{\n\t}}\n}}()"
    return list(replace(statement, code))


def _without_test(statement: Node, jump: Node | None) -> list[Edit]:
    block = statement.parent
    test = block.parent if block is not None else None
    if block is None or test is None or test.kind != "if_statement" or test.get("alternative"):
        raise BuilderError("more than a test decides the close")
    if test["consequence"] is not block or test.get("initializer") is not None:
        raise BuilderError("more than a test decides the close")
    wanted = [statement] if jump is None else [statement, jump]
    if block.statements != wanted:
        raise BuilderError("the test does more than closing")
    last = wanted[-1]
    if last.kind not in {"break_statement", "return_statement", "expression_statement"}:
        raise BuilderError("the test does more than closing")
    if last.kind == "return_statement" and last.children[1:]:
        raise BuilderError("the receiver returns a value when it has seen enough")
    if test.next is not None and test.parent is not None and test.parent.kind == "block":
        raise BuilderError("the receiver goes on with the value after the test")
    if any(True for _ in test["condition"].find("call_expression", "unary_expression")):
        raise BuilderError("the test has effects of its own")
    return list(delete(test))


def _asked(close: ChannelOperation, loop: Node) -> list[Edit]:
    """Leave a loop that has a condition of its own when the channel is closed before it ends.

    `for len(got) < n { v := <-ch; … }` → `… { v, ok := <-ch; if !ok { break }; … }`
    """
    first, function = _first_receive(close, loop), close.node.function
    values, names = first["right"].children, first["left"].children
    ok = free_name("ok", taken_names(function) if function is not None else ())
    code = f"{names[0].name}, {ok} := {values[0].name}\nif !{ok} {{\n\tbreak\n}}"
    return list(replace(first, code))


def _ranged(close: ChannelOperation, loop: Node) -> list[Edit]:
    """Turn `for { v := <-ch; … }` into `for v := range ch { … }`."""
    if _is_counted(loop):
        return []
    if own_condition(loop) is not None:
        raise BuilderError("the loop has a condition of its own")
    body, first = loop["body"], _first_receive(close, loop)
    if loop.tree.comments_in(loop.start, first.end):
        raise BuilderError("a comment would be lost")
    if not first.next or len(body.statements) < 2:
        raise BuilderError("the received value is not used")
    name = close.node["arguments"].children[0].name
    head = f"for {first['left'].children[0].name} := range {name} {{".encode()
    if loop.parent is not None and loop.parent.kind == "labeled_statement":
        raise BuilderError("the loop has a label")
    return [Edit(loop.path, loop.start, body.start + 1, head), *delete(first)]


def _first_receive(close: ChannelOperation, loop: Node) -> Node:
    """Return the statement `v := <-ch` with which the body of a loop begins."""
    statements = loop["body"].statements
    first = statements[0] if statements else None
    name = close.node["arguments"].children[0].name
    if first is not None and first.kind == "short_var_declaration":
        values, names = first["right"].children, first["left"].children
        if len(names) == 1 and values[0].text.replace(b" ", b"") == b"<-" + name.encode():
            return first
    raise BuilderError("the loop does not begin with the receive")
