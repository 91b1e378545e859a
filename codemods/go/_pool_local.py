"""The whole life of a pool that a function builds: fed, told to end, counted, closed, drained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from threadmend.golang.builders import (
    BuilderError,
    add_imports,
    delete,
    insert_after,
    insert_at_end,
    insert_before,
    package_name,
)
from threadmend.golang.syntax import Node
from threadmend.model import Edit

from ._pool import Out, Pool
from ._pool_collect import alone, collected, drained, with_error
from ._pool_defects import Defect, early_exits
from ._pool_feed import Fed, fed
from ._pool_stop import Given, Stop, free, given, stop_of
from ._pool_text import put, sketch
from ._pool_worker import Workers, workers

__all__ = ["Repair", "repair"]


@dataclass
class Repair:
    """The edits of a pool, and in words what they do and what changes for the callers."""

    edits: list[Edit] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a pool is to become.

    `closers` are the results that a goroutine closes after the workers, `group` the WaitGroup
    that counts them, `counts` whether it is new, `waits` whether anybody waits for it.
    """

    pool: Pool
    kinds: frozenset[str]
    stop: Stop | None
    known: Given | None
    closers: tuple[Out, ...]
    group: str
    counts: bool
    waits: bool

    @property
    def returns_results(self) -> bool:
        """Return whether the results are received by whoever called the function."""
        return any(out.returned for out in self.pool.outs)


def repair(pool: Pool, found: list[Defect]) -> Repair:
    """Return the edits that give a pool its whole life; BuilderError says why there are none.

    With the context that is at hand where everything can listen to it, else without.
    """
    if pool.unclear:
        raise BuilderError(pool.unclear)
    together = [o for o in pool.outs if o.collector is None or not alone(o.collector)]
    if len(together) > 1 or (together and len(pool.outs) > 1):
        raise BuilderError("the workers send on several channels")
    kinds = frozenset(d.kind for d in found)
    try:
        return _carried_out(_plan(pool, kinds, context=True))
    except BuilderError:
        return _carried_out(_plan(pool, kinds, context=False))


def _plan(pool: Pool, kinds: frozenset[str], *, context: bool) -> _Plan:
    fails = "deserted" in kinds and not _told(pool)
    stop = stop_of(pool, leaves="left" in kinds, fails=fails, context=context)
    collectors = [out.collector for out in pool.outs if out.collector is not None]
    if stop is not None and stop.is_context and any(map(alone, collectors)):
        raise BuilderError("the results are received one by one")
    if stop is not None and (pool.counts_tasks() or pool.answers_elsewhere()):
        raise BuilderError("who waits for each task would wait for those that nobody does")
    closers = tuple(out for out in pool.outs if _needs_closer(pool, out, kinds))
    waits = not (pool.outs or pool.is_waited() or pool.answers_elsewhere())
    waits = waits or bool(closers)
    group = pool.group.waitgroup.name if pool.group is not None else _free_group(pool)
    return _Plan(
        pool=pool,
        kinds=kinds,
        stop=stop,
        known=given(pool, stop) if stop is not None else None,
        closers=closers,
        group=group,
        counts=waits and pool.group is None,
        waits=waits,
    )


def _free_group(pool: Pool) -> str:
    name = free(pool, "wg")
    return name if name == "wg" else free(pool, "workers")


def _told(pool: Pool) -> bool:
    """Return whether every worker that leaves early has sent what went wrong."""
    sends = [send.node for out in pool.outs for send in out.sends]
    for node in early_exits(pool):
        test = node.up("if_statement")
        if test is None or not any(test["consequence"].contains(send) for send in sends):
            return False
    return True


def _needs_closer(pool: Pool, out: Out, kinds: frozenset[str]) -> bool:
    """Return whether the results need a goroutine that waits and closes."""
    if out.collector is not None and alone(out.collector):
        return False
    for close in out.channel.of("close"):
        literal = close.node.function
        if literal is pool.function and not kinds & {"full", "endless"}:
            if any(w.call.start < close.node.start for w in pool.waits):
                return False  # the function itself has waited
        if close.calls or literal is None or literal is pool.worker.body:
            continue
        if literal is not pool.function and b".Wait()" in literal.text:
            return False
    return True


# -- the function ----------------------------------------------------------------------------


def _carried_out(plan: _Plan) -> Repair:
    pool, stop = plan.pool, plan.stop
    exits = "left" in plan.kinds
    if plan.returns_results and stop is not None:
        exits = True  # who receives may end with the context too
    count = plan.group if plan.counts else ""
    made = workers(pool, exits, "deserted" in plan.kinds, stop, plan.known, count)
    feed = fed(pool, set(plan.kinds), stop)
    edits = [*made.edits, *feed.edits, *(stop.edits if stop is not None else ())]
    for out in plan.closers:
        edits += _cleared(plan, out)
    edits += _statements(plan, made, feed)
    for out in plan.closers:
        if out.collector is not None:
            edits += collected(pool, out, out.collector)
        elif not out.returned:
            edits += drained(pool, out)
    ends = plan.waits or pool.waits or any(o.collector is not None for o in pool.outs)
    if stop is not None and stop.is_context and ends and not plan.returns_results:
        edits += with_error(pool, stop)
    return Repair(_with_imports(plan, edits), list(_said(plan)), _why(plan))


def _statements(plan: _Plan, made: Workers, feed: Fed) -> Iterator[Edit]:
    """Yield the edits of the statements that launch and feed, and of what comes between."""
    pool = plan.pool
    first, last = pool.feeding
    changed = {s: sketch(s, parts) for s, parts in made.parts.items() if parts}
    if any(first.start <= s.start < last.end for s in changed):
        raise BuilderError("the tasks are sent where the workers are launched")
    prelude = [plan.stop.prelude] if plan.stop is not None and plan.stop.prelude else []
    if plan.counts:
        sync = package_name(pool.file.tree, "sync")
        prelude.append(f"var {plan.group} {sync}.WaitGroup")
    if prelude:
        anchors = [pool.launching, *made.parts]
        if plan.stop is not None and feed.code is not None:
            anchors.append(first)
        top = min(anchors, key=lambda n: n.start)
        yield from insert_before(top, "\n".join(prelude))
    for statement, code in changed.items():
        yield put(statement, statement, code)
    if feed.code is not None:
        yield put(first, last, feed.code)
    if "skipped" in plan.kinds:
        name = pool.tasks.binding.name
        waiting = f"defer {plan.group}.Wait()\n" if plan.waits else ""
        yield from insert_after(pool.launching, f"{waiting}defer close({name})")
    elif plan.closers and (wait := _own_wait(plan, plan.closers[0])) is not None:
        yield from insert_after(wait, f"close({plan.closers[0].name})")
    elif plan.closers:
        closes = "".join(f"\tclose({out.name})\n" for out in plan.closers)
        code = f"go func() {{\n\t{plan.group}.Wait()\n{closes}}}()"
        yield from insert_after(max((last, pool.launching), key=lambda n: n.start), code)
    elif plan.waits:
        if feed.after is None:
            raise BuilderError("the tasks are closed when the function returns")
        yield from _wait(plan, feed.after)


def _wait(plan: _Plan, after: Node) -> tuple[Edit, ...]:
    """Wait when the function has done everything else: a worker may need some of it."""
    code = f"{plan.group}.Wait()"
    last = plan.pool.block.statements[-1]
    if last is after:
        return insert_after(after, code)
    if last.kind == "return_statement":
        return insert_before(last, code)
    return insert_at_end(plan.pool.block, code)


def _own_wait(plan: _Plan, out: Out) -> Node | None:
    """Return where the function waits for its workers with nobody waiting for it meanwhile.

    A goroutine collects, or the channel has room for what is sent.
    """
    pool = plan.pool
    collector = out.collector
    if collector is None or out.channel.of("close"):
        return None
    capacity = out.channel.capacity
    roomy = capacity is not None and not capacity.name.isdigit() and "full" not in plan.kinds
    if collector.runner is None and not (roomy and collector.operation.kind == "range"):
        return None
    ends = [pool.feeding[1].end, pool.launching.end]
    ends += [c.node.end for c in pool.tasks.of("close") if c.node.function is pool.function]
    for wait in pool.waits:
        statement = wait.call.parent
        if statement is not None and statement.parent is pool.block:
            early = collector.runner is not None or statement.end <= collector.statement.start
            if statement.kind == "expression_statement" and statement.start >= max(ends) and early:
                return statement
    return None


def _cleared(plan: _Plan, out: Out) -> list[Edit]:
    """Remove the waits and closes whose place is in the closer now."""
    pool = plan.pool
    edits: list[Edit] = []
    closes = out.channel.of("close")
    calls = [c.node for c in closes if c.node.function is pool.function]
    for wait in pool.waits if _own_wait(plan, out) is None else ():
        collector = out.collector
        before = collector is None or wait.call.start < collector.statement.start
        before = before or collector is None or collector.runner is not None
        if wait.call.function is pool.function and before:
            calls.append(wait.call)
    for call in calls:
        statement = call.parent
        if statement is None or statement.kind not in {"expression_statement", "defer_statement"}:
            raise BuilderError(f"{call.name} is part of a statement")
        if statement.parent is not pool.block:
            raise BuilderError(f"{call.name} stands in another block")
        edits += delete(statement)
    others = [c for c in closes if c.node.function is not pool.function]
    if any(c.node.function is not pool.worker.body for c in others):
        raise BuilderError(f"another goroutine closes {out.name}")
    return edits


# -- around it -------------------------------------------------------------------------------


def _with_imports(plan: _Plan, edits: list[Edit]) -> list[Edit]:
    tree = plan.pool.file.tree
    stop, known = plan.stop, plan.known
    paths = {"sync"} if plan.counts else set()
    mine = set(add_imports(tree, ["context"]))
    if mine and any(e in mine for e in edits):  # the context that the function was given
        edits = [e for e in edits if e not in mine]
        paths.add("context")
    if stop is not None and stop.is_context and (stop.prelude or stop.cancel):
        if "context." in f"{stop.prelude} {stop.error}":
            paths.add("context")
    if known is not None and known.context and known.edits:
        worker = plan.pool.worker.file.tree
        if worker.source.path == tree.source.path:
            paths.add("context")
        else:
            edits += add_imports(worker, ["context"])
    return [*edits, *add_imports(tree, paths)]


def _said(plan: _Plan) -> Iterator[str]:
    name = plan.pool.tasks.binding.name
    if "skipped" in plan.kinds:
        yield f"close {name} when the function returns"
    elif not plan.pool.tasks.of("close"):
        yield f"close {name}"
    for out in plan.closers:
        yield f"close {out.name} after the workers"
    if plan.waits and not plan.closers:
        yield "wait for the workers"
    if plan.stop is not None:
        yield f"listen to {plan.stop.name}"
        if plan.stop.cancel:
            yield "return the first error"


def _why(plan: _Plan) -> str:
    if plan.returns_results:
        return "whoever receives now sees the end of the results"
    if not plan.pool.outs and not plan.waits:
        return "the workers now end after the last task"
    if not plan.pool.outs or any(out.collector is None for out in plan.pool.outs):
        return "the function now waits for its workers"
    if plan.stop is not None and plan.stop.is_context:
        return f"it ends when {plan.stop.name} does, with results still to come"
    return "the tasks are now sent while results are received"
