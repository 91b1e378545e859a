"""What two locks guard, and somebody compares and corrects under both: it changes in one step.

    func (d *depot) receive(n int) {        func (l *ledger) reconcile(d *depot) {
        d.mu.Lock()                             l.mu.Lock()
        defer d.mu.Unlock()                     defer l.mu.Unlock()
        d.stock += n                            l.booked += d.level() - l.booked
        d.book.enter(n)                     }
    }

To enter `n` behind the critical section would show a difference that is none, and correct it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from threadmend.golang.file import GoFile
from threadmend.golang.lockorder import Witness
from threadmend.golang.node import bare
from threadmend.golang.syntax import Node
from threadmend.golang.targets import targets

__all__ = ["compared_by"]

_CHANGES = frozenset({"assignment_statement", "inc_statement", "dec_statement"})
_COMPARES = frozenset({"-", "==", "!=", "<", "<=", ">", ">="})
_DEPTH = 2


def compared_by(witness: Witness, others: Iterable[Witness]) -> Witness | None:
    """Return who compares what a function changes with what it calls to be changed, and acts."""
    pair = witness.pair
    ours = set(_changed(pair.function))
    inner = pair.event.operation.function
    theirs = set(_changed(inner)) if inner is not None else set()
    for other in others if ours and theirs else ():
        if not any(True for f in _functions(other) for _ in _changed(f)):
            continue  # only says so
        for function in _functions(other):
            where = other.pair.file.package.workspace.file_of(function)
            for node in function.own():
                if node.kind == "binary_expression" and node["operator"].kind in _COMPARES:
                    left = set(_read(where, node["left"], _DEPTH))
                    right = set(_read(where, node["right"], _DEPTH))
                    if (left & ours and right & theirs) or (left & theirs and right & ours):
                        return other
    return None


def _functions(witness: Witness) -> Iterator[Node]:
    """Yield the functions that a witness comes through on its way to the second lock."""
    yield witness.pair.function
    for node in witness.pair.event.path[1:]:
        if node.function is not None:
            yield node.function


def _changed(function: Node) -> Iterator[str]:
    """Yield the names of the fields that a function changes."""
    for node in function.own():
        if node.kind in _CHANGES:
            left = node.get("left")
            for target in left.children if left is not None else node.children[:1]:
                place = bare(target)
                while place.kind in {"index_expression", "slice_expression"}:
                    place = bare(place["operand"])
                if place.kind == "selector_expression":
                    yield place["field"].name


def _read(file: GoFile, value: Node, depth: int) -> Iterator[str]:
    """Yield the names of the fields that a value is made of, by what it calls, too."""
    for node in value.walk():
        if node.kind == "selector_expression":
            yield node["field"].name
        elif node.kind == "call_expression" and depth > 0:
            target = targets(file, node).certain
            for inner in target.node.own() if target is not None else ():
                if inner.kind == "return_statement" and target is not None:
                    yield from _read(target.file, inner, depth - 1)
