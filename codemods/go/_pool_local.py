"""The whole life of a pool that a function builds: fed, told to end, counted, closed, drained."""

from __future__ import annotations

from dataclasses import dataclass, field

from threadmend.golang.access import uses_of
from threadmend.golang.builders import (
    BuilderError,
    add_imports,
    delete,
    import_name,
    insert_after,
    insert_before,
)
from threadmend.golang.goroutines import Launch
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.model import Edit

from ._pool import Out, Pool
from ._pool_collect import alone, collected, drained, with_error
from ._pool_defects import Defect
from ._pool_stop import Given, Stop, free, given, stop_of
from ._pool_text import Part, gone, indented, part, put, sketch, stretch
from ._pool_worker import Workers, exit_select, workers

__all__ = ["Repair", "repair"]


@dataclass
class Repair:
    """The edits of a pool, and in words what they do and what changes for the callers."""

    edits: list[Edit] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    why: str = ""


def repair(pool: Pool, found: list[Defect]) -> Repair:
    """Return the edits that give a pool its whole life; BuilderError says why there are none.

    With the context that is at hand where everything can listen to it, else without.
    """
    if pool.unclear:
        raise BuilderError(pool.unclear)
    if len(pool.outs) > 1:
        raise BuilderError("the workers send on several channels")
    kinds = {d.kind for d in found}
    try:
        return _repair(pool, kinds, context=True)
    except BuilderError:
        return _repair(pool, kinds, context=False)


def _repair(pool: Pool, kinds: set[str], *, context: bool) -> Repair:
    out = pool.outs[0] if pool.outs else None
    fails = "deserted" in kinds and not _told(pool, out)
    leaves = "left" in kinds
    stop = stop_of(pool, leaves=leaves, fails=fails, context=context)
    collector = out.collector if out is not None else None
    if stop is not None and stop.is_context and collector is not None and alone(pool, collector):
        raise BuilderError("the results are received one by one")
    known = given(pool, stop) if stop is not None else None
    closing = _closing(pool, out)
    group = _group_name(pool) or free(pool, "wg")
    waits = closing or (out is None and not _is_waited(pool))
    count = group if waits and pool.group is None else ""
    exits = leaves
    if out is not None and out.returned and stop is not None and not out.makes_room:
        exits = True  # who receives may end with the context too
    made = workers(pool, exits, "deserted" in kinds, stop, known, count)
    result = Repair([*made.edits, *(stop.edits if stop is not None else ())])
    _assemble(pool, kinds, out, stop, made, group, count, closing, waits, result)
    _say(pool, kinds, stop, closing, waits, result)
    _imports(pool, stop, known, count, result)
    return result


def _told(pool: Pool, out: Out | None) -> bool:
    """Return whether every worker that leaves early has sent what went wrong."""
    from ._pool_defects import early_exits

    for node in early_exits(pool):
        test = node.up("if_statement")
        sends = out.sends if out is not None else ()
        if test is None or not any(test["consequence"].contains(s.node) for s in sends):
            return False
    return True


def _group_name(pool: Pool) -> str:
    return pool.group.waitgroup.name if pool.group is not None else ""


def _is_waited(pool: Pool) -> bool:
    return any(w.call.function is pool.function for w in pool.waits)


def _closing(pool: Pool, out: Out | None) -> bool:
    """Return whether the results need a goroutine that waits and closes."""
    if out is None:
        return False
    if out.collector is not None and alone(pool, out.collector):
        return False
    for close in out.channel.of("close"):
        literal = close.node.function
        if close.calls or literal is None or literal is pool.worker.body:
            continue
        if literal is not pool.function and any(w.call.function is literal for w in pool.waits):
            return False
    return True


# -- the function ----------------------------------------------------------------------------


def _assemble(
    pool: Pool,
    kinds: set[str],
    out: Out | None,
    stop: Stop | None,
    made: Workers,
    group: str,
    count: str,
    closing: bool,
    waits: bool,
    result: Repair,
) -> None:
    edits = result.edits
    edits += _cleared(pool, out, closing)
    first, last = pool.feeding
    collector = out.collector if out is not None else None
    tail = ""
    if closing and out is not None:
        tail = f"go func() {{\n\t{group}.Wait()\n\tclose({out.name})\n}}()"
        if collector is not None and collector.runner is not None:
            tail = f"{group}.Wait()\nclose({out.name})"
    elif waits:
        tail = f"{group}.Wait()"
    fed = _fed(pool, kinds, out, stop, result)
    after = max((last, pool.launching), key=lambda n: n.start)
    prelude = stop.prelude if stop is not None else ""
    if count:
        sync = import_name(pool.file.tree, "sync") or "sync"
        prelude = "\n".join(x for x in (prelude, f"var {count} {sync}.WaitGroup") if x)
    anchors = [pool.launching, first, *made.parts]
    if prelude:
        edits += insert_before(min(anchors, key=lambda n: n.start), prelude)
    for statement, parts in made.parts.items():
        if parts and statement is not after:
            edits.append(put(statement, statement, sketch(statement, parts)))
    own = made.parts.get(pool.launching, [])
    code = fed if after is last else sketch(after, own)
    if after is not last:
        if fed is not None:
            edits.append(put(first, last, fed))
    elif pool.launching is last:
        raise BuilderError("the tasks are sent where the workers are launched")
    if tail:
        edits += insert_after(after, tail)
    if code is not None:
        edits.append(put(first if after is last else after, after, code))
    if out is not None and closing:
        if collector is not None:
            edits += collected(pool, out, collector)
        elif not out.returned:
            edits += drained(pool, out)
    if stop is not None and stop.is_context and not (out is not None and out.returned):
        edits += with_error(pool, stop)


def _cleared(pool: Pool, out: Out | None, closing: bool) -> list[Edit]:
    """Remove the waits and closes whose place is in the closer now."""
    edits: list[Edit] = []
    if not closing or out is None:
        return edits
    calls = [c.node for c in out.channel.of("close") if c.node.function is pool.function]
    for wait in pool.waits:
        before = out.collector is None or wait.call.start < out.collector.statement.start
        if wait.call.function is pool.function and (before or out.returned):
            calls.append(wait.call)
    for call in calls:
        statement = call.parent
        if statement is None or statement.kind not in {"expression_statement", "defer_statement"}:
            raise BuilderError(f"{call.name} is part of a statement")
        if statement.parent is not pool.block:
            raise BuilderError(f"{call.name} stands in another block")
        edits += delete(statement)
    others = [c for c in out.channel.of("close") if c.node.function is not pool.function]
    if any(c.node.function is not pool.worker.body for c in others):
        raise BuilderError(f"another goroutine closes {out.name}")
    return edits


def _imports(
    pool: Pool, stop: Stop | None, known: Given | None, count: str, result: Repair
) -> None:
    paths = set()
    if count:
        paths.add("sync")
    tree = pool.file.tree
    if stop is not None and stop.is_context:
        mine = set(add_imports(tree, ["context"]))
        if mine and any(e in mine for e in result.edits):
            result.edits[:] = [e for e in result.edits if e not in mine]
            paths.add("context")
        if "context." in stop.prelude or stop.cancel:
            paths.add("context")
    if known is not None and known.context and any(known.edits):
        worker = pool.worker.file.tree
        if worker.source.path == tree.source.path:
            paths.add("context")
        else:
            result.edits += add_imports(worker, ["context"])
    result.edits += add_imports(tree, paths)


def _say(
    pool: Pool, kinds: set[str], stop: Stop | None, closing: bool, waits: bool, result: Repair
) -> None:
    out = pool.outs[0] if pool.outs else None
    if not pool.tasks.of("close"):
        result.done.append(f"close {pool.tasks.binding.name}")
    if closing and out is not None:
        result.done.append(f"close {out.name} after the workers")
    elif waits:
        result.done.append("wait for the workers")
    if stop is not None:
        result.done.append(f"listen to {stop.name}")
    if stop is not None and stop.cancel:
        result.done.append("return the first error")
    if out is None or out.collector is None:
        result.why = "the function now waits for its workers"
    elif stop is not None and stop.is_context:
        result.why = f"it ends when {stop.name} does, with results still to come"
    else:
        result.why = "the tasks are now sent while results are received"
    if out is not None and out.returned:
        result.why = "whoever receives now sees the end of the results"


# -- the tasks -------------------------------------------------------------------------------


def _fed(
    pool: Pool, kinds: set[str], out: Out | None, stop: Stop | None, result: Repair
) -> str | None:
    """Return the new text of the statements that feed the workers, None when they stay."""
    first, last = pool.feeding
    if pool.feeder is not None:
        return _by_goroutine(pool, pool.feeder, stop)
    if last.start < pool.launching.start:
        return _inline(pool, first, last)  # into the buffer, before anybody works
    inside = out is not None and (out.collector is None or out.collector.runner is None)
    roomy = inside and out is not None and "full" not in kinds and out.collector is not None
    if stop is None and (not inside or roomy):
        return _inline(pool, first, last)
    _check_movable(pool, first, last, "left" in kinds or stop is not None)
    parts = _selects(pool, stop) if stop is not None else []
    result.edits += _without_closes(pool, first, last)
    body = indented(stretch(first, last, parts), 1)
    name = pool.tasks.binding.name
    return f"go func() {{\n\tdefer close({name})\n{body}\n}}()"


def _selects(pool: Pool, stop: Stop) -> list[Part]:
    for send in pool.sends:
        if send.calls or send.select is not None:
            raise BuilderError("another function sends the tasks")
    return [part(s.node, exit_select(s.node, stop.receive)) for s in pool.sends]


def _without_closes(pool: Pool, first: Node, last: Node) -> list[Edit]:
    """Remove the function's own close of the tasks: who feeds them closes when it ends."""
    edits: list[Edit] = []
    for close in pool.tasks.of("close"):
        statement = close.node.parent
        if statement is None or statement.parent is not pool.block or close.calls:
            raise BuilderError(f"{pool.tasks.binding.name} is closed elsewhere")
        if first.start <= statement.start < last.end:
            raise BuilderError(f"{pool.tasks.binding.name} is closed while tasks are sent")
        edits += delete(statement)
    return edits


def _inline(pool: Pool, first: Node, last: Node) -> str | None:
    if pool.tasks.of("close"):
        return None
    return f"{stretch(first, last)}\nclose({pool.tasks.binding.name})"


def _by_goroutine(pool: Pool, feeder: Launch, stop: Stop | None) -> str | None:
    """Let the goroutine that feeds close the channel when it ends, and listen to the stop."""
    first, _ = pool.feeding
    name = pool.tasks.binding.name
    literal = feeder.literal
    closes = pool.tasks.of("close")
    if literal is None or not feeder.node.contains(literal):
        if stop is not None:
            raise BuilderError("another function sends the tasks")
        if closes:
            return None
        if feeder.call is None or any(
            True for _ in feeder.call["arguments"].find("call_expression")
        ):
            raise BuilderError("the feeder's arguments are computed at its launch")
        text = f"go func() {{\n\tdefer close({name})\n\t{feeder.call.name}\n}}()"
        return sketch(first, [part(feeder.node, text)])
    parts: list[Part] = []
    if stop is not None:
        if any(s.node.function is not literal for s in pool.sends):
            raise BuilderError("another function sends the tasks")
        parts = _selects(pool, stop)
    head = f"\tdefer close({name})\n" if not closes else ""
    for close in closes:
        statement = close.node.parent
        if statement is None or close.node.function is not literal:
            raise BuilderError(f"{name} is closed elsewhere")
        if stop is not None and statement.kind == "expression_statement":
            parts.append(gone(statement))
            head = f"\tdefer close({name})\n"
    if not parts and not head:
        return None
    from ._pool_text import inside

    body = f"{{\n{head}{indented(inside(literal['body'], parts), 1)}\n}}"
    return sketch(first, [part(literal["body"], body)])


def _check_movable(pool: Pool, first: Node, last: Node, outlives: bool) -> None:
    """Refuse to move statements into a goroutine that the function's own code depends on.

    Sound for what is left: the statements assign nothing from outside, nothing that they read
    is assigned below them, and they do not leave the function.
    """
    function = pool.function
    for node in function.walk():
        if not first.start <= node.start < last.end:
            continue
        if node.kind in {"return_statement", "goto_statement", "defer_statement"}:
            if node.function is function:
                raise BuilderError("the function returns while it sends the tasks")
        if node.kind != "identifier":
            continue
        binding = pool.file.binding(node)
        if binding is None or not binding.is_variable:
            continue
        inner = first.start <= binding.node.start < last.end
        if inner and any(u.start >= last.end for u in binding.uses):
            raise BuilderError(f"{binding.name} is used after the tasks are sent")
        if not inner:
            _check_reads(pool, binding, first, last)


def _check_reads(pool: Pool, binding: Binding, first: Node, last: Node) -> None:
    for use in uses_of(binding):
        if use.kind not in {"write", "update", "store"}:
            continue
        inside = first.start <= use.node.start < last.end
        if inside or use.node.start >= last.end or _loops(pool, use.node):
            raise BuilderError(f"{binding.name} changes while the tasks are sent")


def _loops(pool: Pool, node: Node) -> bool:
    """Return whether a node runs again after the pool has started."""
    around = pool.block
    while around.parent is not None and around.kind not in FUNCTIONS:
        if around.kind == "for_statement":
            return around.contains(node)
        around = around.parent
    return False
