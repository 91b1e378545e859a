"""The tasks of a pool: who sends them closes the channel, and listens to what ends the pool."""

from __future__ import annotations

from dataclasses import dataclass

from threadmend.golang.access import root_name, uses_of
from threadmend.golang.builders import BuilderError, delete, insert_after
from threadmend.golang.goroutines import Launch
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.waitgroups import waitgroup_calls
from threadmend.model import Edit

from ._pool import Pool
from ._pool_stop import Stop
from ._pool_text import Part, gone, indented, inside, part, sketch, stretch
from ._pool_worker import exit_select

__all__ = ["Fed", "fed"]


@dataclass(frozen=True, slots=True)
class Fed:
    """The new text of the statements that feed the workers (None: they stay as they are).

    `after`: the statement below which the function may wait for its workers, None where the
    tasks are closed when it returns. `edits` are those elsewhere.
    """

    code: str | None
    after: Node | None
    edits: tuple[Edit, ...] = ()


def fed(pool: Pool, kinds: set[str], stop: Stop | None) -> Fed:
    """Return how the tasks are sent.

    In place where that cannot meet the results; else by a goroutine, which closes the channel
    when it ends.
    """
    first, last = pool.feeding
    end = max((last, pool.launching), key=lambda n: n.start)
    if pool.feeder is not None:
        return Fed(_by_goroutine(pool, pool.feeder, stop), end)
    collecting = any(o.collector is None or o.collector.runner is None for o in pool.outs)
    if "skipped" in kinds:
        if collecting or pool.waits or stop is not None:
            raise BuilderError("the function returns while it sends the tasks")
        return Fed(None, None, tuple(_without_closes(pool, first, last)))
    early = last.start < pool.launching.start  # into the buffer, before anybody works
    if early or (stop is None and (not collecting or not kinds & {"full", "undrained"})):
        return _inline(pool, first, last, end)
    _check_movable(pool, first, last)
    if stop is not None:
        _check_outlives(pool, first, last)
    parts = _selects(pool, stop) if stop is not None else []
    body = indented(stretch(first, last, parts), 1)
    code = f"go func() {{\n\tdefer close({pool.tasks.binding.name})\n{body}\n}}()"
    return Fed(code, end, tuple(_without_closes(pool, first, last)))


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


def _inline(pool: Pool, first: Node, last: Node, end: Node) -> Fed:
    closes = pool.tasks.of("close")
    if not closes:
        edits = insert_after(last, f"close({pool.tasks.binding.name})")
        return Fed(None, end, edits)
    statement = closes[0].node.parent
    if len(closes) > 1 or statement is None or statement.parent is not pool.block:
        raise BuilderError(f"{pool.tasks.binding.name} is closed elsewhere")
    if statement.kind == "defer_statement":
        return Fed(None, None)
    return Fed(None, max((end, statement), key=lambda n: n.start))


def _by_goroutine(pool: Pool, feeder: Launch, stop: Stop | None) -> str | None:
    """Let the goroutine that feeds close the channel when it ends, and listen to the stop."""
    first, _ = pool.feeding
    name = pool.tasks.binding.name
    literal = feeder.literal
    closes = pool.tasks.of("close")
    if literal is None or not feeder.node.contains(literal):
        return _by_function(pool, feeder, stop)
    parts: list[Part] = []
    if stop is not None:
        _check_others(pool, literal)
        if any(s.node.function is not literal for s in pool.sends):
            raise BuilderError("another function sends the tasks")
        parts = _selects(pool, stop)
    head = "" if closes else f"\tdefer close({name})\n"
    for close in closes:
        statement = close.node.parent
        if statement is None or close.node.function is not literal:
            raise BuilderError(f"{name} is closed elsewhere")
        if stop is not None and statement.kind == "expression_statement":
            parts.append(gone(statement))
            head = f"\tdefer close({name})\n"
    if not parts and not head:
        return None
    body = f"{{\n{head}{indented(inside(literal['body'], parts), 1)}\n}}"
    return sketch(first, [part(literal["body"], body)])


def _by_function(pool: Pool, feeder: Launch, stop: Stop | None) -> str | None:
    """Close the tasks when the named function that feeds them returns."""
    first, _ = pool.feeding
    if stop is not None:
        raise BuilderError("another function sends the tasks")
    if pool.tasks.of("close"):
        return None
    if feeder.call is None or any(True for _ in feeder.call["arguments"].find("call_expression")):
        raise BuilderError("the feeder's arguments are computed at its launch")
    head = f"\tdefer close({pool.tasks.binding.name})\n"
    return sketch(first, [part(feeder.node, f"go func() {{\n{head}\t{feeder.call.name}\n}}()")])


# -- into a goroutine ----------------------------------------------------------------------


def _check_movable(pool: Pool, first: Node, last: Node) -> None:
    """Refuse to move statements into a goroutine that the function's own code depends on.

    Sound for what is left: the statements assign nothing from outside, nothing that they read
    is assigned below them, and they do not leave the function.
    """
    function = pool.function
    if any(
        first.start <= call.call.start < last.end for call in waitgroup_calls(pool.file, function)
    ):
        raise BuilderError("the tasks are counted while they are sent")
    receives = (o.collector.statement for o in pool.outs if o.collector is not None)
    if any(first.start <= r.start < last.end for r in receives):
        raise BuilderError("the results decide about the next tasks")
    for node in function.walk():
        if not first.start <= node.start < last.end:
            continue
        if node.kind in {"return_statement", "goto_statement", "defer_statement"}:
            if node.function is function:
                raise BuilderError("the function returns while it sends the tasks")
        if node.kind == "labeled_statement" or (
            node.kind == "send_statement" and all(s.node is not node for s in pool.sends)
        ):
            raise BuilderError("the statements that send the tasks do more than that")
        if node.kind != "identifier":
            continue
        binding = pool.file.binding(node)
        if binding is None or not binding.is_variable:
            continue
        if node.field == "function" and binding.kind == "variable":
            raise BuilderError(f"{binding.name} is called while the tasks are sent")
        inner = first.start <= binding.node.start < last.end
        if inner and any(u.start >= last.end for u in binding.uses):
            raise BuilderError(f"{binding.name} is used after the tasks are sent")
        if not inner:
            _check_reads(pool, binding, first, last)


def _check_others(pool: Pool, literal: Node) -> None:
    """Refuse to end early who sends something else as well: others wait for that."""
    known = {send.node for send in pool.sends}
    for node in literal.walk():
        if node.kind == "send_statement" and node not in known:
            raise BuilderError("who sends the tasks sends something else as well")


def _check_reads(pool: Pool, binding: Binding, first: Node, last: Node) -> None:
    for use in uses_of(binding):
        if use.kind not in {"write", "update", "store"}:
            continue
        moved = first.start <= use.node.start < last.end
        if moved or use.node.start >= last.end or _turns(pool, use.node):
            raise BuilderError(f"{binding.name} changes while the tasks are sent")


def _turns(pool: Pool, node: Node) -> bool:
    """Return whether a node runs again after the pool has started."""
    around = pool.block
    while around.parent is not None and around.kind not in FUNCTIONS:
        if around.kind == "for_statement":
            return around.contains(node)
        around = around.parent
    return False


def _check_outlives(pool: Pool, first: Node, last: Node) -> None:
    """Refuse calls of methods of the function's own objects: who feeds may outlive it."""
    for node in pool.function.walk():
        if node.kind != "call_expression" or not first.start <= node.start < last.end:
            continue
        called = node["function"]
        root = root_name(called["operand"]) if called.kind == "selector_expression" else None
        binding = pool.file.binding(root) if root is not None else None
        if binding is not None and not first.start <= binding.node.start < last.end:
            if pool.function.contains(binding.node) and binding.kind != "receiver":
                raise BuilderError(f"{binding.name} would be used after the function has left")
