"""Read under the lock what changes together

A sum and a count that every method changes under one lock belong together. Whoever reads both
without it, `self.total / self.count`, may see the sum of one moment and the count of another.
So may who reads one of them twice: `if self.timer: self.timer.cancel()`, where others set it to
None under the lock.

Not reported: attributes that change apart, or somewhere without the lock; reads
of one of them, or in most functions; private helpers and properties; `repr`, pickling and handlers
after a fork.

Unsafe: what ran at the same time now waits for the lock.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python.builders import BuilderError, wrap
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import blocks, walk
from threadmend.python.functions import Function
from threadmend.python.guards import Guard, guards_of
from threadmend.python.locks import Lock
from threadmend.python.uses import AttributeUse

from ._gone import gone
from ._guarding import is_held_before
from ._tests import softened
from ._uneven import is_left_out, lock_of

CATEGORY = "shared-state"
GATE = rb"[lL]ock|Condition"

_PURE = frozenset({"len", "min", "max", "sum", "round", "float", "int", "dict", "list", "tuple"})


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the statements that read several such attributes, or one twice, without the lock."""
    for cls in file.classes if not file.is_test else ():
        seen: set[Function] = set()
        guards = [g for g in guards_of(cls).values() if _is_whole(g)]
        for first in guards:
            changed = _sections(file, first)
            partners = [g for g in guards if g.lock == first.lock and _together(file, first, g)]
            lock = lock_of(file, cls, first) if len(partners) > 1 and len(changed) > 1 else None
            if lock is None:
                continue
            for function, statement, uses in _torn(file, cls, partners):
                if function not in seen:
                    seen.add(function)
                    yield softened(file, _finding(file, lock, function, statement, uses, first))
    if not file.is_test:
        yield from gone(file)


def _is_whole(guard: Guard) -> bool:
    """Return whether every change is under the lock, and the reads of some functions are not."""
    reads = {use.function for use in guard.unlocked if use.mode == "read"}
    if any(use.mode != "read" for use in guard.unlocked) or not reads:
        return False
    return len(reads) <= len({use.function for use in guard.locked})


def _together(file: PythonFile, first: Guard, other: Guard) -> bool:
    """Return whether two attributes always change in one section, or do in some, one of which
    computes both: a move from one to the other. Where all is set to nothing they change apart.
    """
    if first is other or _sections(file, first) == _sections(file, other):
        return True
    both = _sections(file, first) & _sections(file, other)
    moving = _sections(file, first, computed=True) & _sections(file, other, computed=True)
    return len(both) > 1 and bool(moving)


def _sections(file: PythonFile, guard: Guard, *, computed: bool = False) -> set[ast.AST]:
    """Return the sections that change an attribute, or count it; of other files, the functions."""
    found: set[ast.AST] = set()
    for use in (use for use in guard.locked if use.changes):
        if computed and use.mode != "augment":
            continue
        within = [a for a in file.ancestors(use.node) if isinstance(a, ast.With)]
        found.add(within[0] if within else use.function.node)
    return found


def _torn(
    file: PythonFile, cls: Class, partners: list[Guard]
) -> Iterator[tuple[Function, ast.stmt, list[AttributeUse]]]:
    """Yield the statements that read two of some attributes, with all such reads around."""
    uses = [use for guard in partners for use in guard.unlocked if use.function.file is file]
    for use in uses:
        function = use.function
        if function.home is not cls or function.is_async or is_left_out(function):
            continue
        if function.is_private:
            continue  # whoever reads it may hold the lock: that is seen of calls alone
        statement = file.statement(use.node)
        same = {u.name for u in uses if file.statement(u.node) is statement}
        if len(same) > 1 and not blocks(statement):
            yield function, statement, [u for u in uses if u.function is function]


def _finding(
    file: PythonFile,
    lock: Lock,
    function: Function,
    statement: ast.stmt,
    uses: list[AttributeUse],
    guard: Guard,
) -> Finding:
    here = [u for u in uses if file.statement(u.node) is statement]
    names = " and ".join(dict.fromkeys(ast.unparse(u.node) for u in here))
    held = f"{ast.unparse(here[0].owner)}.{lock.place.name}"
    said = f"{names} are read without {held}, under which they change together"
    start, end = file.span(statement)
    changing = next(u for u in guard.locked if u.changes)
    related: tuple[Related, ...] = ()
    if changing.function.file is file:
        related = (Related(file.path, *file.span(changing.node), "they change here"),)
    try:
        edits = _edits(file, lock, function, statement, uses, held)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    fix = Fix(f"Hold {held} here as well", edits, Safety.UNSAFE, f"it waits for {held}")
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _edits(
    file: PythonFile,
    lock: Lock,
    function: Function,
    statement: ast.stmt,
    uses: list[AttributeUse],
    held: str,
) -> tuple[Edit, ...]:
    """Return the edits that take the lock from the first read in the block to the last."""
    block = next(
        (b for a in file.ancestors(statement) for b in blocks(a) if statement in b), [statement]
    )
    reading = [s for s in block if any(u.node in set(ast.walk(s)) for u in uses)]
    part = block[block.index(reading[0]) : block.index(reading[-1]) + 1]
    for node in walk(part):
        if isinstance(node, ast.Await | ast.Yield | ast.YieldFrom):
            raise BuilderError("the lock would be held while others run")
        if isinstance(node, ast.Call):
            name = file.qualified(node.func)
            if name not in _PURE or not hasattr(builtins, name):
                raise BuilderError("the lock would be held for a call")
    if not lock.reentrant and is_held_before(file, lock, {function}):
        raise BuilderError(f"{held} would be taken twice by one thread")
    return wrap(file, part, f"with {held}:")
