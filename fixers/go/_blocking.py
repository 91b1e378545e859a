"""What `lock-held-while-blocking` and `waitgroup-wait-under-lock` share."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import BuilderError
from threadmend.golang.effects import Pair, holders, pairs_of
from threadmend.golang.file import GoFile
from threadmend.golang.locks import lock_name
from threadmend.golang.syntax import Node
from threadmend.golang.unblocking import OtherSide, needing_lock
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._after_unlock import after_unlock

__all__ = ["blocked"]

_WORDS = {"send": "send", "receive": "receive", "wait": "Wait"}


def blocked(file: GoFile, modes: set[str]) -> Iterator[Finding]:
    """Yield the operations that wait, under a lock, for somebody who needs that lock."""
    seen: set[int] = set()
    for function in holders(file):
        for pair in sorted(pairs_of(file, function), key=lambda p: p.node.start):
            event = pair.event
            if event.kind != "block" or event.mode not in modes or not event.sure:
                continue
            if pair.node.start in seen:
                continue
            other = needing_lock(pair)
            if other is not None:
                seen.add(pair.node.start)
                yield _finding(file, pair, other)


def _finding(file: GoFile, pair: Pair, other: OtherSide) -> Finding:
    name = lock_name(file, pair.held)
    node = pair.node
    word = _WORDS[pair.event.mode]
    what = f"{_shown(pair.event.operation)} waits"
    if len(pair.event.path) > 1:
        what = f"{_shown(node)} waits in a {word}"
    message = f"{what} while {name} is held, and the other side needs {name}"
    related = []
    if pair.taken_at is not None:
        taken = pair.taken_at
        related.append(Related(taken.path, taken.start, taken.end, f"{name} is taken here"))
    for step in pair.event.path[1:]:
        related.append(Related(step.path, step.start, step.end, "where it waits"))
    operation = other.operation
    related.append(Related(operation.path, operation.start, operation.end, "the other side"))
    if other.takes is not None:
        takes = other.takes
        related.append(Related(takes.path, takes.start, takes.end, f"which needs {name} here"))
    fix, reason = None, ""
    try:
        fix = Fix(
            f"Release {name} before the {word}",
            _edits(file, pair),
            Safety.UNSAFE,
            "the critical section ends earlier",
        )
    except BuilderError as error:
        reason = str(error)
    return Finding(
        path=node.path,
        start=node.start,
        end=node.end,
        message=message,
        fixes=(fix,) if fix else (),
        related=tuple(related),
        reason=reason,
        confidence=Confidence.MEDIUM if other.buffered else Confidence.HIGH,
    )


def _shown(node: Node) -> str:
    text = " ".join(node.name.split())
    return text if len(text) <= 40 else text[:37] + "..."


def _edits(file: GoFile, pair: Pair) -> tuple[Edit, ...]:
    statement = pair.node.statement
    if statement is None or statement.function is not pair.function:
        raise BuilderError("what blocks is not a statement of its own")
    if statement.kind == "defer_statement":
        raise BuilderError("what blocks is deferred")
    # A loop or a condition around it goes along when it holds nothing else.
    while True:
        block = statement.parent
        around = block.statement if block is not None and block.kind == "block" else None
        if block is None or around is None or around.function is not pair.function:
            break
        if len(block.statements) != 1 or around.kind not in {"for_statement", "if_statement"}:
            break
        if around.get("alternative") is not None or _holds(pair, around):
            break
        statement = around
    return after_unlock(file, pair.held.access, statement)


def _holds(pair: Pair, statement: Node) -> bool:
    """Return whether the lock is taken inside of a statement."""
    return pair.taken_at is None or statement.contains(pair.taken_at)
