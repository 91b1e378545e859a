"""Crowded calls: those that let several goroutines run at the same time what they are passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.crowds import overlaps, own_nodes
from threadmend.golang.goroutines import Launch, innermost_loop, launches_in
from threadmend.golang.lefts import lefts_of
from threadmend.golang.summaries import called_body, close_opens, summary_of
from threadmend.golang.syntax import Node
from threadmend.golang.targets import Body
from threadmend.golang.touches import Open, Summary
from threadmend.golang.types import Func

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["crowded", "crowded_opens", "crowding_body"]


def crowded(file: GoFile, body: Node, call: Node) -> Summary:
    """Return what a call lets several goroutines do at the same time with what it passes.

    `parallel(8, s.step)` runs `s.step` in goroutines that a loop of `parallel` launches.
    """
    target = crowding_body(file, call)
    if target is None or target.node is body or target.node.get("body") is None:
        return Summary()
    opens = crowded_opens(target.file, target.node)
    return close_opens(file, body, call, target.node, opens)


def crowding_body(file: GoFile, call: Node) -> Body | None:
    """Return the one body that a call runs for sure, also of another package of the module."""
    decl = file.callee(call)
    if decl is None or decl.file.package is file.package:
        return called_body(file, call)
    if not decl.sound or decl.file.package.module is not file.package.module:
        return None
    return Body(decl.file, decl.node, decl)


def crowded_opens(file: GoFile, body: Node) -> list[Open]:
    """Return the open calls that several goroutines of a body make at the same time."""
    known: dict[Node, list[Open]] = file.package.facts.setdefault("crowded", {})
    if body not in known:
        known[body] = []
        found: list[Open] = []
        for launch in launches_in(file, body):
            loop, literal = launch.loop, launch.literal
            if launch.kind == "timer" or loop is None or literal is None:
                continue
            if launch.function is body and overlaps(loop, launch):
                opens = summary_of(file, literal).opens
                found.extend(o for o in opens if o.parameter.scope is body and not o.locks)
        if not found and _takes_function(file, body):
            for node in own_nodes(file, body):
                if node.kind == "call_expression":
                    found.extend(crowded(file, body, node).opens)
                    found.extend(_launched_in_loop(file, body, node))
        known[body] = found
    return known[body]


def _takes_function(file: GoFile, body: Node) -> bool:
    parameters = body.get("parameters")
    return parameters is not None and any(
        isinstance(file.underlying(file.type_from(p.get("type"))), Func)
        for p in parameters.children
    )


def _launched_in_loop(file: GoFile, body: Node, call: Node) -> list[Open]:
    """Return the open calls of goroutines that a call leaves running, in each round of a loop.

    `for _, x := range xs { f.spawn(do, x) }`
    """
    loop, target = innermost_loop(call), called_body(file, call)
    if loop is None or target is None or target.node is body or target.node.get("body") is None:
        return []
    if call.function is not body or not overlaps(loop, Launch("go", call, call, None, None)):
        return []
    inner = target.node
    opens = [
        open_
        for left in lefts_of(target.file, inner)
        if left.launch.function is inner and left.launch.literal is not None
        for open_ in summary_of(target.file, left.launch.literal).opens
        if open_.parameter.scope is inner and not open_.locks
    ]
    closed = close_opens(file, body, call, inner, opens).opens if opens else []
    return [o for o in closed if o.parameter.scope is body and not o.locks]
