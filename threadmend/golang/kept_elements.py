"""Kept elements: whether what a field lists is ever used under the locks of its elements.

for _, p := range t.pieces { p.finish() }              // finish takes p.mu: they are shared
for i, p := range saved.pieces { b[i] = p.state }      // nobody does: a copy, perhaps
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.access import lock_class
from threadmend.golang.calls import code_files
from threadmend.golang.locks import LOCK_CALLS
from threadmend.golang.scope import Binding

if TYPE_CHECKING:
    from threadmend.golang.field_accesses import FieldAccess
    from threadmend.golang.file import GoFile
    from threadmend.golang.syntax import Node

__all__ = ["is_of_unlocked_list"]


def is_of_unlocked_list(access: FieldAccess) -> bool:
    """Return whether the object of an access is an element of a field that nobody locks one of."""
    root = access.base.root if access.base is not None else None
    listed = _listed(root) if isinstance(root, Binding) else None
    class_ = lock_class(access.file, listed) if listed is not None else None
    if listed is None or class_ is None:
        return False
    known: dict[str, bool] = access.file.package.facts.setdefault("lists of locked elements", {})
    if class_ not in known:
        known[class_] = any(
            _locks_element(file, class_, listed["field"].text)
            for file in code_files(access.file.package)
        )
    return not known[class_]


def _listed(root: Binding) -> Node | None:
    """Return the field that a variable ranges over: `m.pieces`."""
    clause = root.declaration
    if root.kind != "range" or clause.kind != "range_clause":
        return None
    right: Node = clause["right"]
    return right if right.kind == "selector_expression" else None


def _locks_element(file: GoFile, class_: str, name: bytes) -> bool:
    """Return whether some code locks an element of a list, or calls a method that does."""
    if not file.holds(re.compile(rb"\b" + re.escape(name) + rb"\b")):
        return False
    for node in file.find("selector_expression", re.compile(re.escape(name))):
        if node["field"].text == name and lock_class(file, node) == class_:
            if _gets_known(node) or any(_takes_lock(file, use) for use in _elements(file, node)):
                return True
    return False


def _gets_known(listed: Node) -> bool:
    """Return whether an element is put into a list that was not made there: others know it."""
    holder = listed.parent
    call = holder.parent if holder is not None else None
    if holder is None or call is None:
        return False
    if holder.kind == "argument_list" and call["function"].text == b"append":
        return any(not _is_made(value) for value in holder.children[1:])
    statement = holder.statement
    if holder.kind != "index_expression" or call.field != "left" or statement is None:
        return False
    return any(not _is_made(value) for value in statement["right"].children)


def _is_made(value: Node) -> bool:
    return value.kind == "composite_literal" or (
        value.kind == "unary_expression" and value["operand"].kind == "composite_literal"
    )


def _elements(file: GoFile, listed: Node) -> list[Node]:
    """Return the uses of the elements of a list, where it is gone through or indexed."""
    parent = listed.parent
    if parent is not None and parent.kind == "index_expression":
        statement = parent.statement
        left = statement.get("left") if statement is not None else None
        names = left.children[:1] if left is not None and parent.parent is not left else []
        bindings = [file.binding(n) for n in names if n.kind == "identifier"]
        return [parent, *(use for b in bindings if b is not None for use in b.uses)]
    if parent is not None and parent.kind == "range_clause":
        names = parent["left"].children if parent.get("left") is not None else []
        bindings = [file.binding(n) for n in names[1:] if n.kind == "identifier"]
        return [use for b in bindings if b is not None for use in b.uses]
    return [listed]  # it goes somewhere: whoever has it may lock


_BUILTINS = frozenset({b"len", b"cap", b"append", b"copy"})


def _takes_lock(file: GoFile, element: Node) -> bool:
    """Return whether a method is called on an element that takes a lock, or it goes somewhere."""
    outer = element.parent
    call = outer.parent if outer is not None else None
    if outer is None or call is None:
        return False
    if outer.kind == "argument_list":
        return call["function"].text not in _BUILTINS
    if outer.kind != "selector_expression":
        return False
    if call.kind != "call_expression":
        return LOCK_CALLS.search(call.text) is not None  # p.mu.Lock()
    decl = file.callee(call)
    if decl is None or not decl.has_body:
        return True
    return LOCK_CALLS.search(decl.file.data, *decl.span) is not None
