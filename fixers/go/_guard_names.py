"""Names: a function that sets a field, or asks for it several times, goes on with a variable.

s.srv = newServer()       →   srv := newServer()
return s.srv.Serve(l)         s.mu.Lock()
                              s.srv = srv
                              s.mu.Unlock()
                              return srv.Serve(l)

if s.srv != nil {         →   s.mu.Lock()
    s.srv.Close()             srv := s.srv
                              s.mu.Unlock()
                              if srv != nil {
                                  srv.Close()
"""

from __future__ import annotations

from collections.abc import Sequence

from threadmend.golang.builders import free_name, insert_after, insert_before, taken_names
from threadmend.golang.field_accesses import access_kind
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, Func, Interface, Pointer
from threadmend.model import Edit

from ._guard_copies import changes_in_place, last_part, lowered
from ._guard_moves import LockForm
from ._quick import waits

__all__ = ["named_once"]

_HEADERS = frozenset({"if_statement", "expression_statement", "return_statement"})


def named_once(
    file: GoFile, function: Node, nodes: Sequence[Node], lock: LockForm
) -> tuple[Edit, ...]:
    """Return the edits that let all accesses but one use a variable, where that is right.

    What the field holds has an identity: a pointer, interface, channel or function, and nobody
    changes what it leads to. Nothing between the accesses waits, unless the function set the
    field itself.
    """
    ordered = sorted(nodes, key=lambda n: n.start)
    first, others = ordered[0], ordered[1:]
    statement, body = first.statement, function.get("body")
    if not others or statement is None or body is None or statement.parent is not body:
        return ()
    if any(n.text != first.text or n.function is not function for n in ordered):
        return ()
    if not isinstance(file.underlying(file.type_of(first)), Pointer | Interface | Chan | Func):
        return ()
    if any(access_kind(file, n) != "read" for n in others) or changes_in_place(file, first):
        return ()
    name = free_name(lowered(last_part(first)), set(taken_names(function)))
    edits = [Edit(n.path, n.start, n.end, name.encode()) for n in others]
    if access_kind(file, first) == "read":
        if statement.kind not in _HEADERS or _waits_between(file, body, first, others[-1]):
            return ()
        edits.append(Edit(first.path, first.start, first.end, name.encode()))
        code = f"{lock.take}\n{name} := {first.name}\n{lock.give}"
        return (*insert_before(statement, code), *edits)
    value = _assigned(statement, first)
    if value is None or any(statement.contains(n) for n in others):
        return ()
    edits.append(Edit(value.path, value.start, value.end, name.encode()))
    above = insert_before(statement, f"{name} := {value.name}\n{lock.take}")
    return (*above, *insert_after(statement, lock.give), *edits)


def _assigned(statement: Node, target: Node) -> Node | None:
    """Return the value of `s.f = value`."""
    if statement.kind != "assignment_statement" or statement["operator"].kind != "=":
        return None
    left, right = statement["left"].children, statement["right"].children
    if left != [target] or len(right) != 1 or right[0].kind == "nil":
        return None
    return right[0]


def _waits_between(file: GoFile, body: Node, first: Node, last: Node) -> bool:
    return any(
        first.end <= node.start and node.end <= last.start and waits(file, node)
        for node in body.own()
    )
