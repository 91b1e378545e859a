"""Let a statement of a critical section run after the Unlock instead.

What it reads of the guarded object is copied to local variables while the lock is held.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from threadmend.golang.access import Access
from threadmend.golang.builders import (
    BuilderError,
    delete,
    insert_after,
    insert_before,
)
from threadmend.golang.builders.lines import content_end, leading_start
from threadmend.golang.file import GoFile
from threadmend.golang.lock_calls import lock_calls
from threadmend.golang.locks import LockOperation
from threadmend.golang.syntax import Node
from threadmend.model import Edit

from ._early_release import early_release
from ._lock_copies import Copies, written

__all__ = [
    "Moved",
    "after_unlock",
    "all_after_unlock",
    "call_after_unlock",
    "something_left",
    "widened",
]

_JUMPS = frozenset(
    {"return_statement", "break_statement", "continue_statement", "goto_statement"}
    | {"labeled_statement", "fallthrough_statement"}
)
_MOST_BETWEEN = 8


def after_unlock(
    file: GoFile,
    access: Access,
    statement: Node,
    *,
    move: bool = True,
    first: Sequence[str] = (),
    within: Sequence[Edit] = (),
    above: Node | None = None,
) -> tuple[Edit, ...]:
    """Return the edits after which a statement runs when the lock has been released.

    Raises BuilderError when something behind it, or it itself, needs the lock. `move`: it may
    run after what follows it in the critical section; a wait may not. `first` are lines to add
    where the lock is still held, `within` edits of the statement. `above`: a statement before it,
    from which on nothing needs the lock.
    """
    moved = Moved(statement, tuple(first), tuple(within))
    return all_after_unlock(file, access, (moved,), move=move, above=above)


@dataclass(frozen=True, slots=True)
class Moved:
    """A statement to run after the Unlock, lines to add above that, and edits of the statement."""

    statement: Node
    first: tuple[str, ...] = ()
    within: tuple[Edit, ...] = ()


def all_after_unlock(
    file: GoFile,
    access: Access,
    moved: Sequence[Moved],
    *,
    move: bool = True,
    above: Node | None = None,
) -> tuple[Edit, ...]:
    """Return the edits after which statements of one function, on different paths, run later."""
    function = moved[0].statement.function
    if function is None or any(m.statement.parent is None for m in moved):
        raise BuilderError("it is not a statement of a block")
    operations = [o for o in lock_calls(file, function) if o.access == access]
    edits: list[Edit] = []
    deferred: list[Copies] = []
    blocks: set[Node] = set()
    for one in moved:
        statement, block = one.statement, one.statement.parent
        if any(o.acquires and o.call.start > statement.end for o in operations):
            raise BuilderError("the lock is taken again further down")
        copies = Copies(file, function, access, statement, one.first, one.within)
        copies.sparing = bool(one.first) or _holds_more(file, access, statement)
        release = _following_release(operations, block, statement) if block is not None else None
        if release is None:
            deferred.append(copies)
            continue
        if block in blocks or block is None:
            raise BuilderError("it is called twice in a critical section")
        blocks.add(block)
        edits += _with_explicit(copies, statement, release, move)
    if deferred:
        edits += early_release(function, operations, deferred, move=move, above=above)
    for one in moved:
        block = one.statement.parent
        if block is not None and b"\n" not in block.text and _overlap(edits):
            raise BuilderError("the whole function stands on one line")
    return tuple(edits)


def _overlap(edits: Sequence[Edit]) -> bool:
    ordered = sorted(edits, key=lambda e: (e.path, e.start, e.end))
    return any(a.path == b.path and b.start < a.end for a, b in pairwise(ordered))


_WANTS_LOCK = re.compile(r"(?i)lock(?:ed|held)$|^locked")


def call_after_unlock(
    file: GoFile, access: Access, call: Node, *, above: Node | None = None
) -> tuple[Edit, ...]:
    """Return the edits after which a call runs when the lock has been released.

    `above`: a statement before it, from which on nothing needs the lock any more.
    Raises BuilderError when the critical section is there for the call: nothing else is in
    it, or the name of what is called says that it wants the lock.
    """
    function = call["function"]
    last = function.get("field") if function.kind == "selector_expression" else function
    if last is not None and _WANTS_LOCK.search(last.name):
        raise BuilderError("what is called wants the lock to be held")
    statement = call.parent
    if statement is None or statement.kind != "expression_statement":
        raise BuilderError("the result of the call is used in the critical section")
    statement = widened(statement)
    if not something_left(file, access, statement):
        raise BuilderError("the critical section is there for the call")
    return after_unlock(file, access, statement, above=above)


def something_left(file: GoFile, access: Access, statement: Node) -> bool:
    """Return whether the critical section holds more than a statement, or what it reads."""
    function, block = statement.function, statement.parent
    if function is None or block is None:
        return True
    if Copies(file, function, access, statement).taken()[0]:
        return True
    return _holds_more(file, access, statement)


def _holds_more(file: GoFile, access: Access, statement: Node) -> bool:
    function, block = statement.function, statement.parent
    if function is None or block is None:
        return True
    operations = [o for o in lock_calls(file, function) if o.access == access]
    about = {o.deferred or o.call.parent for o in operations}
    taken = [o.call.start for o in operations if o.acquires and o.call.end <= statement.start]
    begin = max(taken, default=block.start)
    inside = [s for s in block.statements if s.start > begin and s is not statement]
    for index, other in enumerate(inside):
        if other in about and other.kind != "defer_statement" and other.start > statement.start:
            inside = inside[:index]  # the release
            break
    return any(other not in about for other in inside)


def widened(statement: Node, stays: Callable[[Node], bool] = lambda around: False) -> Node:
    """Return the loop or condition that holds nothing else than a statement, as far as it goes.

    `stays` says what is no part of it.
    """
    while True:
        block = statement.parent
        around = block.statement if block is not None and block.kind == "block" else None
        if block is None or around is None or around.function is not statement.function:
            return statement
        if len(block.statements) != 1 or around.kind not in {"for_statement", "if_statement"}:
            return statement
        if around.get("alternative") is not None or stays(around):
            return statement
        statement = around


def _following_release(
    operations: list[LockOperation], block: Node, statement: Node
) -> Node | None:
    for following in block.statements:
        if following.start > statement.end:
            for operation in operations:
                if operation.releases and operation.deferred is None:
                    if operation.call.parent is following:
                        return following
    return None


def _with_explicit(copies: Copies, statement: Node, release: Node, move: bool) -> tuple[Edit, ...]:
    block = statement.parent
    assert block is not None
    between = [s for s in block.statements if statement.end <= s.start and s.end <= release.start]
    if len(between) > _MOST_BETWEEN:
        raise BuilderError("the critical section goes on after it")
    if not any(copies.touched(s) for s in between):
        # Nothing behind it needs the lock: the release moves up.
        copied, edits = copies.taken()
        above = "\n".join([*copied, release.name])
        return (*insert_before(statement, above), *delete(release), *edits, *copies.imports)
    if not move:
        raise BuilderError("what follows in the critical section waits for it")
    if any(node.kind in _JUMPS for s in between for node in s.own()):
        raise BuilderError("a path leaves between it and the release")
    names = {n.name for n in statement.find("identifier")}
    if statement.kind in {"short_var_declaration", "assignment_statement", "var_declaration"}:
        raise BuilderError("what is received is used in the critical section")
    for other in between:
        if any(written(n) and n.name in names for n in other.find("identifier")):
            raise BuilderError("what it needs changes further down in the critical section")
    copied, edits = copies.taken()
    moved = _comments(statement) + _moved(statement, edits)
    inserted = insert_after(release, moved)
    removed = delete(statement, comments="drop")
    if copied:
        removed = (
            Edit(statement.path, statement.start, statement.end, _joined(statement, copied)),
        )
    return (*inserted, *removed, *copies.imports)


def _comments(statement: Node) -> str:
    """Return the comments that stand directly above a statement and move with it."""
    tree = statement.tree
    start = leading_start(tree, statement.start)
    if tree.comments_in(statement.start, content_end(tree, statement.end)):
        raise BuilderError("a comment in it would be lost")
    lines = tree.data[start : tree.source.line_start(statement.start)].split(b"\n")
    return "".join(line.strip().decode() + "\n" for line in lines if line.strip())


def _joined(statement: Node, lines: list[str]) -> bytes:
    indent = statement.tree.source.indent_at(statement.start)
    return (statement.tree.source.newline + indent).join(line.encode() for line in lines)


def _moved(statement: Node, edits: list[Edit]) -> str:
    text = bytearray(statement.text)
    for edit in sorted(edits, reverse=True):
        text[edit.start - statement.start : edit.end - statement.start] = edit.new
    indent = statement.tree.source.indent_at(statement.start)
    lines = bytes(text).split(b"\n")
    return b"\n".join([lines[0], *(line.removeprefix(indent) for line in lines[1:])]).decode()
