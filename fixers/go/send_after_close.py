"""Send before the close, not after it

A send on a closed channel panics, and a select with a default does not help: the send is
chosen, and panics. The close belongs behind the last send on every path. Likewise a channel in a
field that one method closes and another one sends to, called in this order or at the same time.

Not reported: a channel that may be another one by then; a send by a function that does nothing
else and recovers from the panic; a send by a goroutine that nobody
orders after the close; a send on a path that excludes the close.

Where all who send and receive leave on a stop that nobody closes, that is closed instead.

Without a fix: a close and a send in different functions, unless one function calls both, and
is no test, which may mean that order.

Unsafe: the receivers see the channel closed later than before, or leave on their stop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial

from threadmend.golang.access import is_assigned_once
from threadmend.golang.at_calls import on_every_way
from threadmend.golang.builders import BuilderError, delete, insert_after
from threadmend.golang.channels import Channel, ChannelOperation, runner_of
from threadmend.golang.encounters import encounters
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Flow, Point, flow_of
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.iterations import decided_once
from threadmend.golang.local_fields import held_channels
from threadmend.golang.recovering import sends_if_open
from threadmend.golang.scope import Binding
from threadmend.golang.sequels import sequels
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.touches import Touch
from threadmend.golang.types import Chan
from threadmend.model import Confidence, Finding, Fix, Related, Safety

from ._calls_after import called_after, moved_behind
from ._close_given import is_part_of
from ._closed_stop import stop_closed
from ._counted_out import counted_behind, sends_after_leaving
from ._last_one import left_to_the_last

CATEGORY = "channel"
GATE = rb"\bclose\("

_CLOSES = re.compile(rb"\bclose\(")
_RECEIVES = re.compile(rb"<-\s*([\w.]+)$")


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the sends that come after a close of the same channel."""
    seen: set[int] = set()
    for function in file.functions(_CLOSES):
        for channel in held_channels(file, function):
            for close in channel.of("close"):
                if is_assigned_once(channel.binding):
                    pair = _launched_later(function, channel, close)
                    if pair is not None and pair.start not in seen:
                        seen.add(pair.start)
                        yield _finding(file, close.node, pair, None, "a goroutine sends")
        for call in function.own():
            if call.kind == "call_expression" and call["function"].text == b"close":
                yield from called_after(file, call)
                send = _send_after(file, function, call)
                if send is not None and send.start not in seen:
                    seen.add(send.start)
                    fix, reason = _fix(file, function, call, send)
                    yield _finding(file, call, send, fix, reason)
    yield from _in_other_functions(file)


def _in_other_functions(file: GoFile) -> Iterator[Finding]:
    """Yield the closes after which a call or goroutine may still send."""
    counted = set()
    for close, send, fix in sends_after_leaving(file):
        counted.add(close)
        yield _distant(close, send, fix)
    for encounter in encounters(file.package):
        if encounter.one.in_channel and encounter.one.file.path == file.path:
            other = encounter.other
            ended = partial(_has_ended, other.node)
            if other.writes or on_every_way(encounter.one.file, encounter.one.node, ended):
                continue
            if _are_never_built_together(encounter.one.node.path, other.node.path):
                continue
            if encounter.one.node not in counted and not _recovers(other):
                stopped = stop_closed(file, encounter.one.node)
                yield _distant(encounter.one.node, other.node, stopped or _APART)
    for one, other in sequels(file.package):
        if one.file.path == file.path and not other.writes:
            if _recovers(other) or (_once(other.node) and _has_ended(other.node, file, one.node)):
                continue
            stopped = stop_closed(file, one.node)
            yield _distant(one.node, other.node, stopped or _moved(one, other))


def _moved(close: Touch, send: Touch) -> Fix | str:
    """Return the fix that calls what closes last; a test may call it first on purpose."""
    if close.path[0].path.endswith("_test.go"):
        return "a test may call them in this order on purpose"
    return moved_behind(close.path[0], send.path[0])


_PLATFORM = re.compile(
    r"_(aix|android|darwin|dragonfly|freebsd|illumos|ios|js|linux|netbsd|openbsd|plan9|solaris"
    r"|wasip1|windows)(?:_[a-z0-9]+)?\.go$"
)


def _are_never_built_together(one: str, other: str) -> bool:
    """Return whether the names of two files are those of different platforms."""
    platforms = {m[1] for path in (one, other) if (m := _PLATFORM.search(path))}
    return len(platforms) == 2


def _recovers(send: Touch) -> bool:
    """Return whether nothing but the send, or the call that leads to it, ends with a panic."""
    return on_every_way(send.file, send.node, sends_if_open)


def _has_ended(send: Node, _: GoFile, close: Node) -> bool:
    """Return whether a close, or a call that leads to it, comes when nothing is sent any more.

    A Wait stands above it, or the function that sends makes it after its last send.
    """
    if close.function is not None and close.function is send.function:
        flow = flow_of(close.function)
        start, point = flow.point_of(close), flow.point_of(send)
        return flow.complete and start is not None and point not in flow.reachable(start)
    function = close.function
    own = function.own() if function is not None else iter(())
    once = _once(send)
    calls = (n for n in own if n.kind == "call_expression" and n.end <= close.start)
    return any(
        call["function"].text.endswith(b".Wait") or (once and call["function"].text.endswith(once))
        for call in calls
    )


def _once(send: Node) -> bytes:
    """Return `.once.Do` where a send is what a Once of an object does.

    Whoever calls that before, `h.once.Do(func() {})`, has waited for the send, or excludes it.
    """
    literal = send.function
    call = literal.up("call_expression") if literal is not None else None
    if call is None or literal not in call["arguments"].children:
        return b""
    name, dot, method = call["function"].text.rpartition(b".")
    field = name.rpartition(b".")
    return b"." + field[2] + dot + method if method == b"Do" and field[1] else b""


_APART = "the close and the send are in different functions: one has to tell the other"


def _distant(close: Node, send: Node, fix: Fix | str) -> Finding:
    name = close["arguments"].children[0].name
    return Finding(
        path=close.path,
        start=close.start,
        end=close.end,
        message=f"{name} is closed while others may still send to it, which panics",
        fixes=(fix,) if isinstance(fix, Fix) else (),
        related=(Related(send.path, send.start, send.end, "sent here"),),
        reason=fix if isinstance(fix, str) else "",
        confidence=Confidence.MEDIUM,
    )


def _send_after(file: GoFile, function: Node, close: Node) -> Node | None:
    """Return a send that the function itself makes after it closed, on the same path."""
    arguments = close["arguments"].children
    statement = close.parent
    if file.resolve(close["function"]) is not None or len(arguments) != 1 or statement is None:
        return None
    operand = arguments[0]
    if statement.kind != "expression_statement" or not _is_fixed(file, function, operand):
        return None
    flow = flow_of(function)
    start = flow.point_of(close)
    if start is None or not flow.complete:
        return None
    loop = innermost_loop(close)
    if loop is not None and decided_once(file, close, loop):
        return None  # what tells the rounds apart may tell the sends apart as well
    for node in function.own():
        if node.kind != "send_statement" or node["channel"].text != operand.text:
            continue
        if file.resolve(_root(node["channel"])) is not file.resolve(_root(operand)):
            continue
        if _is_switched_off(close, node) or _is_claimed(file, close, node):
            continue
        point = flow.point_of(node)
        if point is not None and point in flow.reachable(start, stop=_declares(file, operand)):
            return node
    return None


def _is_switched_off(close: Node, send: Node) -> bool:
    """Return whether the case that sends receives from a channel that is nil after the close.

    `case n, ok := <-in: if !ok { close(out); in = nil; continue }; out <- n`
    """
    clause, block = send.up("communication_case"), close.up("block")
    if clause is None or block is None or not clause.contains(close):
        return False
    received = _RECEIVES.search(clause["communication"].text)
    if received is None:
        return False
    off = received[1] + b" = nil"
    return any(s.text == off and s.start > close.end for s in block.statements)


def _is_claimed(file: GoFile, close: Node, send: Node) -> bool:
    """Return whether the first alone who asks comes to a close, and to a send, of two ifs.

    `if c.finish() { close(c.out) }`, where finish says `return !c.finished.Swap(true)`. Or the
    round has asked for that flag above the send.
    """
    claims = [{t.text: t for t in _tests(node) if _claims(file, t)} for node in (close, send)]
    if set(claims[0]) & set(claims[1]):
        return True
    loop = innermost_loop(send)
    asked = [n for n in loop.own() if n.kind == "if_statement"] if loop is not None else []
    return any(
        test.end < send.start and loads.search(test["condition"].text)
        for claim in claims[0].values()
        for loads in _loads(file, claim)
        for test in asked
        if any(True for _ in test["consequence"].find("return_statement"))
    )


def _loads(file: GoFile, claim: Node) -> Iterator[re.Pattern[bytes]]:
    """Yield what asks for the flag that a claim sets."""
    decl = file.callee(claim) if claim.kind == "call_expression" else None
    found = _CLAIM.search(decl.node.text if decl is not None else claim.text)
    if found is not None:
        yield re.compile(rb"\b" + re.escape(found[1]) + rb"\.Load\(\)")


def _tests(node: Node) -> Iterator[Node]:
    """Yield the conditions of the ifs of a function that a node stands in the first branch of."""
    inner = node
    for outer in node.ancestors():
        if outer.kind in FUNCTIONS:
            return
        if outer.kind == "if_statement" and inner.field == "consequence":
            yield outer["condition"]
        inner = outer


def _claims(file: GoFile, test: Node) -> bool:
    decl = file.callee(test) if test.kind == "call_expression" else None
    text = decl.node.text if decl is not None and decl.sound else test.text
    return _CLAIM.search(text) is not None


_CLAIM = re.compile(rb"\b(\w+)\.(?:CompareAndSwap\w*|CAS|Swap\w*)\(")


def _root(node: Node) -> Node:
    while node.kind == "selector_expression":
        node = node["operand"]
    return node


def _is_fixed(file: GoFile, function: Node, operand: Node) -> bool:
    """Return whether an expression means the same channel all through the function."""
    if operand.kind not in {"identifier", "selector_expression"}:
        return False
    if not isinstance(file.underlying(file.type_of(operand)), Chan):
        return False
    root = _root(operand)
    meant = file.resolve(root) if root.kind == "identifier" else None
    if isinstance(meant, Binding) and not is_assigned_once(meant):
        return False
    for node in function.walk():
        if node.kind == "assignment_statement":
            if any(is_part_of(operand, left) for left in node["left"].children):
                return False
    return meant is not None


def _declares(file: GoFile, operand: Node) -> Callable[[Point], bool]:
    """Return a stop for paths: the declaration of the variable, which makes a new one."""
    meant = file.resolve(_root(operand))
    declared = meant.node if isinstance(meant, Binding) else None

    def stop(point: Point) -> bool:
        return declared is not None and point.node.contains(declared)

    return stop


def _launched_later(function: Node, channel: Channel, close: ChannelOperation) -> Node | None:
    """Return a send of a goroutine that is launched after the close."""
    if runner_of(close, function) is not function or close.node.function is not function:
        return None
    if close.node.parent is None or close.node.parent.kind != "expression_statement":
        return None
    flow = flow_of(function)
    start, make = flow.point_of(close.node), flow.point_of(channel.make)
    if start is None or not flow.complete:
        return None
    after = flow.reachable(start, stop=lambda p: p is make)
    for send in channel.of("send"):
        runner = runner_of(send, function)
        if isinstance(runner, Launch) and runner.function is function:
            point = flow.point_of(runner.node)
            if point is not None and point in after and flow.dominates(start, point):
                return send.node
        elif runner is function and send.calls:
            point = flow.point_of(send.anchor)
            if point is None or point not in after or send.anchor.function is not function:
                continue
            if flow.dominates(start, point):
                return send.node
    return None


def _finding(file: GoFile, close: Node, send: Node, fix: Fix | None, reason: str) -> Finding:
    name = close["arguments"].children[0].name
    return Finding(
        path=send.path,
        start=send.start,
        end=send.end,
        message=f"the send to {name} comes after its close and panics",
        fixes=(fix,) if fix else (),
        related=(Related(close.path, close.start, close.end, "closed here"),),
        reason="" if fix else reason,
    )


def _fix(file: GoFile, function: Node, close: Node, send: Node) -> tuple[Fix | None, str]:
    """Move the close behind the last send, where one straight path leads from one to the other."""
    statement = close.parent
    if left_to_the_last(file, function, close):
        moved = counted_behind(close, send)
        return (moved, "") if isinstance(moved, Fix) else (None, moved)
    last = _last_send(function, close, send)
    flow = flow_of(function)
    if statement is None or last is None or not _straight(flow, statement, last):
        return None, "the close and the send are not on one straight path"
    if last.parent is not statement.parent:
        return None, "the close and the send are not in one block"
    name = close["arguments"].children[0].text
    for between in statement.following:
        if between is last:
            break
        if re.search(rb"\b" + re.escape(name) + rb"\b", between.text):
            if between.kind != "send_statement":
                return None, "the channel is used between the close and the send"
        if re.search(rb"(?i)wait|<-", between.text) and between.kind != "send_statement":
            return None, "something in between may wait for the close"
    try:
        edits = (*delete(statement), *insert_after(last, close.name))
    except BuilderError as error:
        return None, str(error)
    title = f"Close {name.decode()} after the last send"
    return Fix(title, edits, Safety.UNSAFE, "the channel is closed later"), ""


def _last_send(function: Node, close: Node, send: Node) -> Node | None:
    """Return the last statement of the close's block that sends, loops included."""
    name = send["channel"].text
    statement = close.parent
    block = statement.parent if statement is not None else None
    found = None
    for node in block.statements if block is not None else ():
        if node.start < close.end:
            continue
        if any(s["channel"].text == name for s in node.find("send_statement")):
            found = node
    return found


def _straight(flow: Flow, statement: Node, last: Node) -> bool:
    """Return whether the close always leads to the end of the last statement that sends."""
    start = flow.point_of(statement)
    end = flow.point_of(last)
    if start is None or end is None or innermost_loop(statement) is not innermost_loop(last):
        return False
    if not flow.postdominates(end, start) or not flow.dominates(start, end):
        return False
    leaves = ("return_statement", "goto_statement", "break_statement")
    own = [n for n in last.own() if n.kind in leaves and n.kind not in FUNCTIONS]
    return not own
