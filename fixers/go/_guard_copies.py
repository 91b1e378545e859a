"""Copies: values that are read under the lock, ahead of the statement that uses them.

if s.n > limit {    →   s.mu.Lock()
                        n := s.n
                        s.mu.Unlock()
                        if n > limit {
"""

from __future__ import annotations

import re

from threadmend.golang.access import lock_class
from threadmend.golang.builders import BuilderError, free_name, insert_before
from threadmend.golang.field_accesses import access_kind
from threadmend.golang.file import GoFile
from threadmend.golang.mutations import last_name, mutations
from threadmend.golang.syntax import BLOCKS, Node
from threadmend.golang.types import Map, Pointer, Slice
from threadmend.model import Edit

from ._guard_moves import LockForm
from ._quick import waits

__all__ = [
    "changes_in_place",
    "is_momentary",
    "last_part",
    "lowered",
    "read_ahead",
    "released_above",
]


def read_ahead(
    file: GoFile, statement: Node, nodes: list[Node], lock: LockForm, taken: set[str]
) -> list[Edit]:
    """Read the values under the lock into variables above the statement.

    Where the statement stands right below an Unlock of the lock, above that.
    """
    if statement.kind in {"labeled_statement", "defer_statement"}:
        raise BuilderError("the access is repeated or put off")
    if statement.kind == "for_statement" and not _ranged_over(statement, nodes):
        raise BuilderError("the access is repeated or put off")
    if above := _evaluated_above(file, statement, nodes, lock, taken):
        return above
    texts: dict[bytes, str] = {}
    edits: list[Edit] = []
    lines = []
    for node in nodes:
        value = _value(file, node, statement)
        if _has_two_results(value):
            raise BuilderError("the access has two results")
        if value.text not in texts:
            texts[value.text] = free_name(lowered(last_part(node)), taken)
            taken.add(texts[value.text])
            lines.append(f"{texts[value.text]} := {value.name}")
        new = texts[value.text].encode()
        edits.append(Edit(value.path, value.start, value.end, new))
    if (given := released_above(file, statement, lock)) is not None:
        return [*insert_before(given, "\n".join(lines)), *edits]
    code = "\n".join([lock.take, *lines, lock.give])
    return [*insert_before(statement, code), *edits]


def released_above(file: GoFile, statement: Node, lock: LockForm) -> Node | None:
    """Return the Unlock of a lock that a statement stands right below."""
    given = statement.previous
    if given is None or given.kind != "expression_statement":
        return None
    if given.name not in {f"{lock.name}.Unlock()", f"{lock.name}.RUnlock()"}:
        return None
    return None if file.data[given.end : statement.start].strip() else given


def _evaluated_above(
    file: GoFile, statement: Node, nodes: list[Node], lock: LockForm, taken: set[str]
) -> list[Edit]:
    """Evaluate what an `if` begins with under the lock, above it.

    if v, ok := s.m[k]; ok {   →   s.mu.Lock()
                                   v, ok := s.m[k]
                                   s.mu.Unlock()
                                   if ok {

    The names are visible for longer now: one that the function has elsewhere becomes another.
    """
    initial = statement.get("initializer") if statement.kind == "if_statement" else None
    if initial is None or initial.kind != "short_var_declaration" or len(nodes) != 1:
        return []
    if statement.parent is None or statement.parent.kind not in BLOCKS:
        return []
    right = initial["right"].children
    if len(right) != 1 or not right[0].contains(nodes[0]):
        return []
    value = _value(file, nodes[0], statement)
    if value is not right[0] or not _has_two_results(value) or statement.function is None:
        return []
    elsewhere = _names_outside(statement.function, statement)
    edits: list[Edit] = []
    names = []
    for target in initial["left"].children:
        binding = file.binding(target)
        names.append(target.name)
        if binding is not None and target.name in elsewhere:
            names[-1] = free_name(target.name, taken)
            taken.add(names[-1])
            others = [use for use in binding.uses if use is not target]
            edits += [Edit(u.path, u.start, u.end, names[-1].encode()) for u in others]
    code = f"{lock.take}\n{', '.join(names)} := {value.name}\n{lock.give}"
    gone = Edit(statement.path, initial.start, statement["condition"].start, b"")
    return [*insert_before(statement, code), gone, *edits]


def _names_outside(root: Node, part: Node) -> set[str]:
    """Return the names that a piece of code has outside of a part of it."""
    kinds = ("identifier", "type_identifier", "package_identifier")
    return {node.name for node in root.find(*kinds) if not part.contains(node)}


def is_momentary(file: GoFile, statement: Node) -> bool:
    """Return whether a value that is read before a statement is not out of date in its blocks."""
    if any(n.kind == "for_statement" for n in statement.own()):
        return False
    return not any(waits(file, n) for n in statement.own())


def _ranged_over(loop: Node, nodes: list[Node]) -> bool:
    """Return whether accesses stand where a range loop evaluates what it goes over: once."""
    clause = next((c for c in loop.children if c.kind == "range_clause"), None)
    return clause is not None and all(clause["right"].contains(node) for node in nodes)


def lowered(name: str) -> str:
    """Return a name as that of a variable of a function."""
    return name[:1].lower() + name[1:]


def _value(file: GoFile, node: Node, statement: Node) -> Node:
    """Return the largest expression around an access that can be read ahead of time."""
    if node.function is not statement.function:
        raise BuilderError("the access stands in a function of its own")
    value = node
    parent = value.parent
    if parent is not None and parent.kind == "unary_expression" and parent["operator"].kind == "&":
        raise BuilderError(f"the address of {node.name} is taken")
    if access_kind(file, node) == "call":
        raise BuilderError(f"a method of {node.name} may change it")
    while parent is not None:
        if parent.kind == "argument_list" and len(parent.children) == 1:
            call = parent.parent
            if call is not None and call["function"].name in {"len", "cap"}:
                value, parent = call, call.parent
                continue
        if parent.kind == "index_expression" and value.field == "operand":
            key = parent.get("index")
            if isinstance(file.underlying(file.type_of(value)), Map) and key is not None:
                if key.kind in {"identifier", "interpreted_string_literal"}:
                    value, parent = parent, parent.parent
                    continue
        break
    if parent is None or (parent.kind == "expression_list" and parent.field == "left"):
        raise BuilderError("the assigned value is computed by calls")
    if changes_in_place(file, value):
        raise BuilderError(f"what {value.name} refers to is used for longer than a moment")
    if _tests_for_nil(statement, node):
        raise BuilderError("the object is tested for nil in the same statement")
    return value


def _has_two_results(value: Node) -> bool:
    """Return whether a value is that of `v, ok := m[k]`."""
    parent = value.parent
    if parent is None or parent.kind != "expression_list" or len(parent.children) > 1:
        return False
    left = parent.parent.get("left") if parent.parent is not None else None
    return left is not None and len(left.children) > 1


def changes_in_place(file: GoFile, value: Node) -> bool:
    """Return whether a value is a slice or map, or points to what, changes where it is."""
    if isinstance(file.underlying(file.type_of(value)), Pointer):
        return _is_changed_through(file, last_name(value))
    if not isinstance(file.underlying(file.type_of(value)), Map | Slice):
        return False
    class_, name = lock_class(file, value), last_name(value)
    if class_ is None:
        return True
    return any(m.kind == "store" for m in mutations(file.package, class_, name))


def _is_changed_through(file: GoFile, name: str) -> bool:
    """Return whether the package assigns to something below a pointer, told by bytes."""
    below = rb"\." + re.escape(name.encode()) + rb"\.[\w.]+(?:\[[^\]\n]*\][\w.]*)*"
    written = re.compile(below + rb"[ \t]*(?:[-+|&*/]?=[^=]|\+\+|--)")
    return any(written.search(f.data) for f in file.package.files if not f.is_test)


def _tests_for_nil(statement: Node, node: Node) -> bool:
    """Return whether a statement's header tests the very object before it is read."""
    if node.kind != "selector_expression":
        return False
    name = node["operand"].text
    header = statement.get("condition") or statement
    return any(
        binary["right"].kind == "nil" and binary["left"].text == name
        for binary in header.find("binary_expression")
    )


def last_part(node: Node) -> str:
    """Return the field of a selector, or the variable's own name."""
    return node["field"].name if node.kind == "selector_expression" else node.name
