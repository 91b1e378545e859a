"""References: what a critical section leaves in a local variable, to be used after the unlock.

    all := s.byPath        →   s.mu.Lock()
    encode(w, all)             all := maps.Clone(s.byPath)
                               s.mu.Unlock()
                               encode(w, all)

Sound: a copy made under the lock is what the reader would have seen at that moment. Where the
local is written through, it has to stay the thing itself, and there is no such form.
"""

from __future__ import annotations

from collections.abc import Sequence

from threadmend.golang.access import uses_of
from threadmend.golang.builders import BuilderError
from threadmend.golang.clones import clone
from threadmend.golang.file import GoFile
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map, Slice
from threadmend.model import Edit

from ._guard_copies import changes_in_place

__all__ = ["copied_references"]

_WRAPS = frozenset({"literal_element", "keyed_element", "literal_value", "composite_literal"})


def copied_references(
    file: GoFile, function: Node, statements: Sequence[Node], nodes: Sequence[Node]
) -> tuple[Edit, ...]:
    """Return edits that copy what the statements keep of the accesses for later statements.

    Raises BuilderError where something is kept and cannot be copied.
    """
    edits: list[Edit] = []
    last = max(s.end for s in statements)
    for node in nodes:
        if not isinstance(file.underlying(file.type_of(node)), Map | Slice):
            continue
        keeper = _keeper(file, node)
        if keeper is None or not changes_in_place(file, node):
            continue
        later = [u for u in uses_of(keeper) if u.node.start > last]
        if not later:
            continue
        copied = clone(file, function, node.name, file.type_of(node))
        if copied is None or any(u.kind in {"store", "address"} for u in later):
            raise BuilderError(f"{keeper.name} keeps {node.name} for longer than the lock")
        edits += [Edit(file.path, node.start, node.end, copied[0].encode()), *copied[1]]
    return tuple(edits)


def _keeper(file: GoFile, node: Node) -> Binding | None:
    """Return the local variable that a statement gives a value to, itself or a part of it."""
    value = node
    while (parent := value.parent) is not None:
        if parent.kind == "keyed_element" and parent.get("key") is value:
            return None
        address = parent.kind == "unary_expression" and value.kind == "composite_literal"
        if parent.kind not in _WRAPS and not address:
            break
        value = parent
    statement = parent.parent if parent is not None else None
    if parent is None or statement is None or parent.kind != "expression_list":
        return None
    if parent.field not in {"right", "value"}:
        return None
    left = statement.get("left")
    names = left.children if left is not None else statement.all("name")
    index = next(i for i, child in enumerate(parent.children) if child is value)
    if index >= len(names) or len(names) != len(parent.children):
        return None
    return file.binding(names[index]) if names[index].kind == "identifier" else None
