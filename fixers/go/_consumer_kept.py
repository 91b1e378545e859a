"""Functions that end their own goroutine on some paths out, and on others leave it behind.

lines := make(chan string)          d := show(r)       // a goroutine ranges over d.ticks
go func() {                         for … {
    for line := range lines { … }       if err != nil {
}()                                         return err // it stays
for … {                                 }
    if err != nil {                     …
        return err // it stays      }
    }                               d.end()            // close(d.ticks)
    lines <- line
}
close(lines)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from threadmend.golang.builders import BuilderError, insert_before, with_reason
from threadmend.golang.channel_fields import shared_channel
from threadmend.golang.channels import (
    Channel,
    ChannelOperation,
    local_channels,
    runner_of,
)
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Point, flow_of
from threadmend.golang.functions import call_of
from threadmend.golang.goroutines import Launch, launch_of_literal, launch_sites
from threadmend.golang.locks import declaration_of
from threadmend.golang.makers import making
from threadmend.golang.named_like import may_call
from threadmend.golang.package import Decl
from threadmend.golang.syntax import Node
from threadmend.model import Finding, Fix, Related, Safety

__all__ = ["consumers_kept"]

_CLOSES = re.compile(rb"\bclose\(")
_DECLARES = re.compile(rb":=\s*[\w.&]+(?:\[[\w.]+\])?\(")


def consumers_kept(file: GoFile) -> Iterator[Finding]:
    """Yield the exits on which the goroutine that takes what a function sends is left behind."""
    if file.is_test or file.generated:
        return
    for function in file.functions(making(file.package)):
        if _CLOSES.search(file.data, function.start, function.end):
            for channel in local_channels(file, function):
                yield from _of_channel(file, function, channel)
    is_asked = may_call(file.package.workspace, _CLOSES, _closed_by)
    for function in file.functions(_DECLARES, is_asked):
        for statement in function.own():
            if statement.kind == "short_var_declaration":
                yield from _of_object(file, function, statement)


def _of_channel(file: GoFile, function: Node, channel: Channel) -> Iterator[Finding]:
    closes, ranges = channel.of("close"), channel.of("range")
    if channel.escapes or not closes or len(ranges) != 1:
        return
    launch = runner_of(ranges[0], function)
    if not isinstance(launch, Launch) or launch.function is not function:
        return
    if launch.kind != "go" or launch.loop is not None:
        return
    if any(c.calls or c.node.function is not function for c in closes):
        return
    nodes = [c.node.parent for c in closes]
    ends = [n for n in nodes if n is not None and n.kind == "expression_statement"]
    if len(ends) == len(nodes):
        at = ranges[0].node
        told = _told_of_its_end(file, function, launch, ranges[0])
        alone = all(runner_of(send, function) is function for send in channel.of("send"))
        yield from _left(function, launch.node, ends, channel.binding.name, at, told, alone)


def _told_of_its_end(
    file: GoFile, function: Node, launch: Launch, range_: ChannelOperation
) -> list[Node]:
    """Return where the function learns that the goroutine has left its loop, or will not come.

    The receives from another channel on which it alone sends, or which it closes, with no way
    back to the loop: `finished <- copyAll(w, lines)`.
    """
    body = launch.body
    anchor = next((n for n in (range_.node, *range_.calls) if n.function is body), None)
    found: list[Node] = []
    flow = flow_of(body) if body is not None else None
    loop = flow.point_of(anchor) if flow is not None and anchor is not None else None
    if flow is None or loop is None or not flow.complete:
        return []
    for other in local_channels(file, function):
        told = other.of("send", "close")
        if other.escapes or not told or any(o.node.function is not body for o in told):
            continue
        points = [flow.point_of(o.node) for o in told if not o.node.is_deferred]
        if all(p is not None and loop not in flow.reachable(p) for p in points):
            found += [o.anchor for o in other.of("receive", "range")]
    return found


def _of_object(file: GoFile, function: Node, statement: Node) -> Iterator[Finding]:
    """Find a local object whose goroutine a method ends, called on some paths only."""
    names, values = statement["left"].children, statement["right"].children
    if len(names) != 1 or len(values) != 1 or values[0].kind != "call_expression":
        return
    binding = file.binding(names[0])
    if binding is None or binding.node is not names[0]:
        return
    ends, range_ = [], None
    for use in binding.uses:
        selector = use.parent
        if use is binding.node:
            continue
        if (
            selector is None
            or selector.kind != "selector_expression"
            or use.function is not function
        ):
            return  # somebody else has it
        call = call_of(selector)
        if call is None:
            continue
        decl = file.callee(call)
        closed = _closed_by(decl) if decl is not None else None
        if closed is None:
            continue
        if call.parent is None or call.parent.kind != "expression_statement":
            return
        range_ = range_ or closed
        ends.append(call.parent)
    if ends and range_ is not None and len({e.text for e in ends}) == 1:
        yield from _left(function, statement, ends, ends[0].children[0]["function"].name, range_)


def _closed_by(decl: Decl) -> Node | None:
    """Return the loop of the goroutine that a method ends, when it closes on every path."""
    if decl.kind != "method" or not decl.has_body:
        return None
    for statement in decl.node["body"].statements:
        if statement.kind != "expression_statement" or not statement.text.startswith(b"close("):
            continue
        operand = statement.children[0]["arguments"].children[0]
        channel = shared_channel(decl.file, operand)
        if operand.kind != "selector_expression" or channel is None or not channel.is_field:
            continue
        ranges = channel.of("range")
        if len(ranges) == 1 and len(channel.of("close")) == 1:
            node = ranges[0].node
            return node if _is_launched(ranges[0].file, node.function) else None
    return None


def _is_launched(file: GoFile, body: Node | None) -> bool:
    if body is None:
        return False
    if body.kind == "func_literal":
        return launch_of_literal(file, body) is not None
    decl = declaration_of(file, body)
    return decl is not None and decl.key in launch_sites(file.package)


def _left(
    function: Node,
    start: Node,
    ends: list[Node],
    name: str,
    range_: Node,
    told: Sequence[Node] = (),
    alone: bool = True,
) -> Iterator[Finding]:
    flow = flow_of(function)
    begin = flow.point_of(start)
    stops: set[Point] = {p for n in ends if (p := flow.point_of(n)) is not None}
    if begin is None or not flow.complete or len(stops) != len(ends) or flow.in_loop(begin):
        return
    stops |= {p for n in told if (p := flow.point_of(n)) is not None}
    exits = flow.exits_from(begin, stop=stops.__contains__)
    left = [e.node for e in exits if e.kind in {"return", "end"}]
    if not left or any(n.kind != "return_statement" for n in left):
        return
    code = ends[0].name
    fix, reason = _fix(code, left, alone)
    yield Finding(
        path=function.path,
        start=left[0].start,
        end=left[0].end,
        message=f"the function returns here without {_verb(code, name)}, and its goroutine stays",
        fixes=(fix,) if fix else (),
        related=(Related(range_.path, range_.start, range_.end, "waits for the close"),),
        reason=reason,
    )


@with_reason
def _fix(code: str, left: list[Node], alone: bool) -> Fix:
    if not alone:
        raise BuilderError("others may still send to it there")
    edits = tuple(e for exit_ in left for e in insert_before(exit_, code))
    why = "the goroutine ends where it stayed before"
    return Fix(f"{code} before returning", edits, Safety.UNSAFE, why)


def _verb(code: str, name: str) -> str:
    return f"closing {name}" if code.startswith("close(") else f"calling {name}"
