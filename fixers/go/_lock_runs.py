"""Three locks and more that are taken one after the other, in an order that others do not keep.

    a.Lock()                     c.Lock()
    defer a.Unlock()             defer c.Unlock()
    b.Lock()               →     b.Lock()
    defer b.Unlock()             defer b.Unlock()
    c.Lock()                     a.Lock()
    defer c.Unlock()             defer a.Unlock()

To swap two of them would leave the third in the way of another function: all are sorted at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from threadmend.golang.file import GoFile
from threadmend.golang.lockorder import LockOrder, Witness
from threadmend.golang.locks import lock_operation
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Fix, Safety

__all__ = ["in_common_order"]

_FEWEST = 3  # two are swapped by the rule itself


@dataclass(frozen=True, slots=True)
class _Taken:
    """A Lock, with the defer of its Unlock right behind it."""

    lock_class: str
    first: Node
    last: Node

    @property
    def span(self) -> tuple[int, int]:
        return self.first.start, self.last.end


def in_common_order(graph: LockOrder, witnesses: list[Witness]) -> Fix | None:
    """Return the fix that sorts a run of locks as all others take them, None if it is none."""
    edits: set[Edit] = set()
    for witness in witnesses:
        run = _run(witness)
        order = _order(graph, witness.pair.function, run) if len(run) >= _FEWEST else None
        if order is None or order == run:
            return None
        file = witness.pair.file
        for old, new in zip(run, order, strict=True):
            if old is not new:
                start, end = new.span
                edits.add(Edit(file.path, *old.span, file.data[start:end]))
    names = ", ".join(_short(t.lock_class) for t in order or ())
    title = f"Take the locks in the order {names}"
    reason = "some locks are held for longer"
    return Fix(title, tuple(sorted(edits)), Safety.UNSAFE, reason)


def _run(witness: Witness) -> list[_Taken]:
    """Return the locks that are taken in a row, both locks of the witness among them."""
    pair = witness.pair
    taken = pair.taken_at.parent if pair.taken_at is not None else None
    if taken is None or taken.parent is None or len(pair.event.path) != 1:
        return []
    statements = taken.parent.statements
    runs: list[list[_Taken]] = [[]]
    index = 0
    while index < len(statements):
        found = _taken(pair.file, statements, index)
        if found is None:
            runs.append([])
            index += 1
            continue
        runs[-1].append(found)
        index += 1 if found.first is found.last else 2
    for run in runs:
        if any(t.first is taken for t in run) and any(t.first.contains(pair.node) for t in run):
            return run
    return []


def _taken(file: GoFile, statements: list[Node], index: int) -> _Taken | None:
    statement = statements[index]
    call = statement.children[0] if statement.kind == "expression_statement" else None
    operation = lock_operation(file, call) if call is not None else None
    if operation is None or not operation.acquires or operation.lock_class is None:
        return None
    root = operation.access.root if operation.access is not None else None
    if isinstance(root, Binding) and root.kind == "variable":
        return None
    behind = statements[index + 1] if index + 1 < len(statements) else None
    if behind is not None and behind.kind == "defer_statement":
        release = lock_operation(file, behind.children[-1])
        if release is not None and release.releases and release.access == operation.access:
            return _Taken(operation.lock_class, statement, behind)
    return _Taken(operation.lock_class, statement, statement)


def _order(graph: LockOrder, function: Node, run: list[_Taken]) -> list[_Taken] | None:
    """Return the run in the order that all other functions take the locks in."""
    by_class = {taken.lock_class: taken for taken in run}
    if len(by_class) < len(run):
        return None
    sorter: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(by_class, ()))
    for (held, taken), witnesses in graph.edges.items():
        if held in by_class and taken in by_class:
            if any(w.pair.function is not function for w in witnesses):
                sorter.add(taken, held)
    try:
        return [by_class[c] for c in sorter.static_order()]
    except CycleError:
        return None


def _short(lock_class: str) -> str:
    return lock_class.rpartition(".")[2]
