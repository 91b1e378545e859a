"""Functions that lock, and return the method, or a closure, that unlocks in the other mode.

func (s *store) enter(write bool) func() {
    if write {
        s.mu.Lock()
    } else {
        s.mu.RLock()
    }
    return s.mu.Unlock         // also after RLock
}
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import access_of
from threadmend.golang.builders import BuilderError, insert_after
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.locks import LockOperation, Locks, locks_of
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named
from threadmend.model import Edit

__all__ = ["RELEASE", "Returned", "returned_mismatches", "right_edits"]

RELEASE = {"write": "Unlock", "read": "RUnlock"}
_MODES = {"Unlock": "write", "RUnlock": "read"}
_CHANGES_MODE = re.compile(rb"(?i)(?:lock|grade)\w*\(")


@dataclass(frozen=True, slots=True)
class Returned:
    """A return of what unlocks, and the acquisitions on whose paths it stands.

    `field` is the name of the method, `wrong` the acquisitions that it does not give back.
    """

    statement: Node
    field: Node
    wrong: list[LockOperation]
    right: list[LockOperation]


def returned_mismatches(file: GoFile, function: Node) -> Iterator[Returned]:
    """Yield the returns of a method that unlocks in the mode in which the lock is not held."""
    locks = locks_of(file, function)
    if not any(o.method in {"Lock", "RLock"} for o in locks.operations):
        return
    for statement in function.own():
        if statement.kind != "return_statement" or len(statement.children) < 2:
            continue
        for value in statement.children[1].children:
            field = _released(file, value)
            found = _mismatch(file, locks, statement, field) if field is not None else None
            if found is not None:
                yield found


def _released(file: GoFile, value: Node) -> Node | None:
    """Return the name of the method by which a returned function unlocks."""
    if value.kind == "selector_expression":
        return value["field"] if value["field"].name in _MODES else None
    if value.kind != "func_literal":
        return None
    operations = locks_of(file, value).operations
    releases = [o for o in operations if o.releases]
    if len(operations) != 1 or len(releases) != 1:
        return None
    return releases[0].call["function"].get("field")


def _mismatch(file: GoFile, locks: Locks, statement: Node, field: Node) -> Returned | None:
    selector = field.parent
    selection = file.selection(selector) if selector is not None else None
    if selector is None or selection is None or not is_named(selection.owner, "sync.RWMutex"):
        return None
    access = access_of(file, selector["operand"], selection.via)
    same = [o for o in locks.operations if o.access == access]
    if access is None or not all(o.acquires and o.deferred is None for o in same):
        return None
    reaching = [o for o in same if _reaches(locks, o, same, statement)]
    wrong = [o for o in reaching if o.mode != _MODES[field.name]]
    if not wrong:
        return None
    return Returned(statement, field, wrong, [o for o in reaching if o not in wrong])


def _reaches(
    locks: Locks, taken: LockOperation, same: list[LockOperation], statement: Node
) -> bool:
    """Return whether the lock is held at a return as an acquisition took it."""
    flow = locks.flow
    start, end = flow.point_of(taken.call), flow.point_of(statement)
    others = {flow.point_of(o.call) for o in same if o is not taken}
    if start is None or end is None or not flow.complete:
        return False
    after = flow.reachable(start, stop=others.__contains__)
    return end in after and not any(
        _CHANGES_MODE.search(p.node.text)
        for p in after
        if p not in others and p is not end and p.node.kind == "expression_statement"
    )


def right_edits(returned: Returned) -> tuple[Edit, ...]:
    """Return the other method where it is always the right one, else on the paths that need it."""
    field, statement = returned.field, returned.statement
    right = RELEASE[returned.wrong[0].mode]
    if not returned.right:
        return (Edit(field.path, field.start, field.end, right.encode()),)
    text = statement.name
    if "\n" in text:
        raise BuilderError("what is returned takes several lines")
    at = field.start - statement.start
    data = statement.text
    text = (data[:at] + right.encode() + data[at + field.end - field.start :]).decode()
    edits: tuple[Edit, ...] = ()
    for taken in returned.wrong:
        above = taken.call.parent
        if above is None or above.kind != "expression_statement" or not _last(above, statement):
            raise BuilderError("the paths of both modes come together before the return")
        edits += insert_after(above, text)
    return edits


def _last(taking: Node, statement: Node) -> bool:
    """Return whether nothing runs between a statement that takes the lock and the return."""
    function = statement.function
    flow = flow_of(function) if function is not None else None
    point = flow.point_of(taking) if flow is not None else None
    if flow is None or point is None or taking.next is not None:
        return False
    return list(point.successors) == [flow.point_of(statement)]
