"""What a pool of workers lacks: ways in which it leaves goroutines behind, or waits for ever."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.calls import callers
from threadmend.golang.channels import Channel, follow, initialised, operation_at
from threadmend.golang.counts import Count, iterations
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.stops import leaves_loop
from threadmend.golang.syntax import Node
from threadmend.golang.uses import declaration_of

from ._pool import Collector, Out, Pool

__all__ = ["Defect", "defects", "early_exits"]


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing that a pool lacks: `kind` names it, `node` of `file` shows it."""

    kind: str
    file: GoFile
    node: Node
    message: str
    out: Out | None = None


def defects(pool: Pool) -> list[Defect]:
    """Return what a pool lacks, the worst first; nothing for one that lives with the process."""
    if _never_returns(pool):
        return []
    found = list(_defects(pool))
    if _is_main(pool) and not any(d.kind in {"endless", "full"} for d in found):
        return [d for d in found if d.kind == "unclosed" and pool.waits]
    return found


def _is_main(pool: Pool) -> bool:
    name = pool.function.get("name")
    if name is None or name.name not in {"main", "init"}:
        return False
    return pool.function.kind == "function_declaration" and (
        name.name == "init" or pool.file.package.name == "main"
    )


def _never_returns(pool: Pool) -> bool:
    flow = flow_of(pool.function)
    point = flow.point_of(pool.worker.launch.node)
    if point is None or not flow.complete:
        return True
    return not any(e.kind in {"end", "return"} for e in flow.exits_from(point))


def _defects(pool: Pool) -> Iterator[Defect]:
    name = pool.tasks.binding.name
    file = pool.file
    for out in pool.outs:
        collector = out.collector
        if collector is not None and collector.operation.kind == "range":
            if not out.channel.of("close"):
                message = f"the loop over {out.name} never ends: nobody closes it"
                yield Defect("endless", file, collector.operation.node, message, out)
    if not pool.tasks.of("close"):
        message = f"the workers wait for ever: nobody closes {name}"
        yield Defect("unclosed", pool.worker.file, pool.worker.receive.node, message)
    if pool.feeder is None:
        leave = _skips(pool)
        if leave is not None:
            message = f"the workers wait for ever when the function returns here: {name} is open"
            yield Defect("skipped", file, leave, message)
    for out in pool.outs:
        if out.makes_room:
            continue
        yield from _stuck(pool, out)
    for node in early_exits(pool):
        if _lacks_room(pool, pool.tasks) and not any(s.has_alternative for s in pool.sends):
            message = f"nobody receives from {name} when the workers have left here"
            yield Defect("deserted", pool.worker.file, node, message)


def _stuck(pool: Pool, out: Out) -> Iterator[Defect]:
    """Yield why a worker may wait for ever on its send of a result."""
    collector = out.collector
    send = out.sends[0]
    if out.returned and not out.channel.of("close") and _is_ranged(pool, out):
        message = f"nobody closes {out.name}: the loops over what is returned never end"
        yield Defect("endless", pool.file, out.channel.escapes[0], message, out)
    if collector is None:
        if not out.returned and not out.channel.of("receive", "range"):
            if _lacks_room(pool, out.channel):
                message = f"nobody receives what the workers send to {out.name}"
                yield Defect("undrained", send.file, send.node, message, out)
        return
    if collector.runner is not None:
        return
    _, last = pool.feeding
    if pool.feeder is None and last.end <= collector.statement.start:
        slack = _constant(pool.tasks) + pool.number()
        if _lacks_room(pool, out.channel, slack) and _lacks_room(pool, pool.tasks):
            message = f"the tasks are sent before anybody receives from {out.name}:"
            message += " both sides wait for ever when there are enough of them"
            yield Defect("full", pool.file, pool.sends[0].anchor, message, out)
    if _lacks_room(pool, out.channel):
        leave = _leaves(collector)
        if leave is not None:
            message = f"the workers wait for ever on their sends to {out.name}"
            message += " when the function leaves here"
            yield Defect("left", pool.file, leave, message, out)


def _skips(pool: Pool) -> Node | None:
    """Return a return, among the statements that feed the workers, that skips the close."""
    first, last = pool.feeding
    for close in pool.tasks.of("close"):
        statement = close.node.parent
        if statement is None or statement.parent is not pool.block:
            return None
        if statement.kind != "expression_statement" or statement.start < last.end:
            return None
    for node in pool.function.own():
        if node.kind == "return_statement" and first.start <= node.start < last.end:
            return node
    return None


def _is_ranged(pool: Pool, out: Out) -> bool:
    """Return whether a caller receives until the channel is closed."""
    decl = declaration_of(pool.file, pool.function)
    for site in callers(decl) if decl is not None else ():
        if site.call is None:
            continue
        operation = operation_at(site.file, site.call)
        if operation is not None and operation.kind == "range":
            return True
        alias = initialised(site.file, site.call)
        if alias is not None:
            seen = Channel(out.channel.binding, out.channel.make, None)
            follow(site.file, alias, (), seen, 2)
            if seen.of("range"):
                return True
    return False


def _leaves(collector: Collector) -> Node | None:
    """Return the statement by which the function leaves with results still to come."""
    loop = collector.loop
    if loop is None:
        return collector.operation.node if collector.operation.kind == "receive" else None
    if not leaves_loop(loop):
        return None
    for node in loop["body"].own():
        if node.kind in {"return_statement", "goto_statement"}:
            return node
        if node.kind == "break_statement" and _breaks(node, loop) and not _after_end(node):
            return node
    return None


_NOT_OK = re.compile(rb"!\w*(?:[oO]k|more|open)\b")


def _after_end(node: Node) -> bool:
    """Return whether a statement runs when the channel was found closed."""
    test = node.up("if_statement")
    return test is not None and _NOT_OK.match(test["condition"].text) is not None


def _breaks(node: Node, loop: Node) -> bool:
    if len(node.children) > 1:
        return True
    return node.up("for_statement", "select_statement", *_SWITCHES) is loop


_SWITCHES = ("expression_switch_statement", "type_switch_statement")


def early_exits(pool: Pool) -> list[Node]:
    """Return the statements by which a worker leaves its loop although tasks are to come."""
    found = []
    loop = pool.worker.loop
    for node in loop["body"].own():
        if node.kind == "return_statement" or (
            node.kind == "break_statement" and _breaks(node, loop)
        ):
            if not _after_end(node):
                found.append(node)
    return found


# -- room --------------------------------------------------------------------------------


def _constant(channel: Channel) -> int:
    capacity = channel.capacity
    return int(capacity.name) if capacity is not None and capacity.name.isdigit() else 0


def _lacks_room(pool: Pool, channel: Channel, slack: int = 0) -> bool:
    """Return whether a channel is certain to have fewer slots than there may be sends."""
    capacity = channel.capacity
    if capacity is not None and not capacity.name.isdigit():
        return False
    count = pool.fed()
    if count is None:
        return True
    if not count.is_constant:
        return not _one_each(pool, count)
    sends = 1
    if channel is not pool.tasks:
        sends = max(1, len(channel.of("send")))
        if any(innermost_loop(s.node) is not pool.worker.loop for s in channel.of("send")):
            return True
    return count.factor * sends > _constant(channel) + slack


def _one_each(pool: Pool, count: Count) -> bool:
    """Return whether there is a worker for each task."""
    loop = pool.worker.launch.loop
    workers = iterations(pool.file, loop) if loop is not None else None
    return workers is not None and str(workers) == str(count)
