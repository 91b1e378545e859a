"""A table of functions, called under a lock that one of them takes.

    c.commands = map[string]func(){                 c.commands = map[string]func(){
        "reset": func() { c.Reset() },       →          "reset": func() { c.resetLocked() },
    }                                               }

    c.mu.Lock()
    defer c.mu.Unlock()
    c.commands[name]()

Which of them runs is decided by the key: each may, sooner or later. Those that touch what the
lock guards need the call to stay under it, so that the one that locks is changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import Access, access_of
from threadmend.golang.builders import BuilderError, with_reason
from threadmend.golang.calls import code_files
from threadmend.golang.field_accesses import accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.lock_operations import ordered
from threadmend.golang.locks import LOCK_CALLS, Held, held_at, lock_name, locks_of
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.targets import stored_values
from threadmend.golang.types import Func, Map, Named, deref
from threadmend.model import Finding, Fix, Related, Safety

from ._locked import call_edit, split
from ._relock_checks import check_named, check_place

__all__ = ["dispatched"]


def dispatched(file: GoFile) -> Iterator[Finding]:
    """Yield the calls, in a table of functions, that lock what their caller holds."""
    seen: set[tuple[str, int]] = set()
    for function in file.functions(LOCK_CALLS):
        for call in function.own():
            if call.kind != "call_expression":
                continue
            table, member = _table(file, call["function"])
            held = _held(file, call, table) if table is not None else []
            if table is None or not held:
                continue
            for own, owner, literal in _entries(file, table, member):
                for inner in literal.own():
                    if inner.kind == "call_expression" and (inner.path, inner.start) not in seen:
                        found = _relocked(own, owner, inner, held)
                        if found is not None:
                            seen.add((inner.path, inner.start))
                            yield _finding(file, call, table, own, inner, *found)


def _table(file: GoFile, function: Node) -> tuple[Node | None, str]:
    """Return the field `s.table` of `s.table[key]()`, and the field of the entry that is called.

    The entry may be in a local variable: `run, ok := s.table[key]`.
    """
    member = ""
    entry = function
    if not isinstance(file.underlying(file.type_of(function)), Func):
        return None, ""
    if function.kind == "selector_expression":
        selection = file.selection(function)
        if selection is None or selection.kind != "field":
            return None, ""
        member, entry = function["field"].name, function["operand"]
    if entry.kind == "identifier":
        binding = file.binding(entry)
        right = binding.declaration.get("right") if binding is not None else None
        if binding is None or right is None or binding.index or len(right.children) != 1:
            return None, ""
        entry = right.children[0]
    if entry.kind != "index_expression" or entry["operand"].kind != "selector_expression":
        return None, ""
    table = entry["operand"]
    is_map = isinstance(file.underlying(file.type_of(table)), Map)
    return (table, member) if is_map else (None, "")


def _held(file: GoFile, call: Node, table: Node) -> list[Held]:
    """Return the locks of the table's own object that are held at a call."""
    base = access_of(file, table["operand"])
    if base is None or base.steps or not isinstance(base.root, Binding):
        return []
    return [h for h in ordered(held_at(file, call)) if h.access.root == base.root]


def _entries(file: GoFile, table: Node, member: str) -> Iterator[tuple[GoFile, Binding, Node]]:
    """Yield the literals put into a table, with the variable that has the table's object."""
    package, name = file.package, table["field"].name
    owner = deref(file.type_of(table["operand"]))
    if not isinstance(owner, Named) or owner.package != package.key:
        return
    values = [(own, v, _target(v)) for own, v in stored_values(package, owner, name)]
    pattern = re.compile(rb"\.%b\[" % re.escape(name.encode()))
    for own in code_files(package):
        for statement in own.find("assignment_statement", pattern):
            left, right = statement["left"].children, statement["right"].children
            if len(left) == len(right) == 1 and left[0].kind == "index_expression":
                if left[0]["operand"].kind == "selector_expression":
                    if deref(own.type_of(left[0]["operand"]["operand"])) == owner:
                        values.append((own, right[0], left[0]["operand"]))
    for own, value, target in values:
        base = access_of(own, target["operand"]) if target is not None else None
        if base is None or base.steps or not isinstance(base.root, Binding):
            continue
        for literal in value.find("func_literal"):
            if _is_entry(literal, value, member):
                if not any(o.releases for o in locks_of(own, literal).operations):
                    yield own, base.root, literal


def _target(value: Node) -> Node | None:
    """Return `s.table` of `s.table = value`."""
    group = value.parent
    statement = group.parent if group is not None else None
    if group is None or statement is None or statement.kind != "assignment_statement":
        return None
    left = statement["left"].children
    one = len(left) == 1 == len(group.children) and left[0].kind == "selector_expression"
    return left[0] if one else None


def _is_entry(literal: Node, value: Node, member: str) -> bool:
    """Return whether a literal is what an entry is, or what its field that is called holds."""
    inner: Node = literal
    while inner is not value and inner.parent is not None:
        inner = inner.parent
        if inner.kind not in _HOLDS:
            return False
    holder = literal.parent
    element = holder.parent if holder is not None else None
    key = element.get("key") if element is not None and element.kind == "keyed_element" else None
    named = key.children[0] if key is not None and key.children else None
    return named is None or named.kind != "identifier" or named.name in {member, ""}


_HOLDS = frozenset(
    {
        *("literal_element", "keyed_element", "literal_value", "composite_literal"),
        *("unary_expression", "parenthesized_expression"),
    }
)


Locked = tuple[Decl, Access, Held]


def _relocked(file: GoFile, owner: Binding, call: Node, held: list[Held]) -> Locked | None:
    """Return the method that a call runs on the object, and the lock that both take."""
    function = call["function"]
    base = access_of(file, function["operand"]) if function.kind == "selector_expression" else None
    if call.is_launched:
        return None
    decl = file.callee(call) if base == Access(owner) else None
    body = decl.node.get("body") if decl is not None else None
    if decl is None or body is None or decl.kind != "method" or not decl.sound:
        return None
    for operation in locks_of(decl.file, decl.node).operations:
        access, statement = operation.access, operation.call.parent
        if not operation.acquires or access is None or not isinstance(access.root, Binding):
            continue
        if access.root.kind != "receiver" or statement is None or statement.parent is not body:
            continue
        for lock in held:
            if lock.access.steps == access.steps and "write" in {lock.mode, operation.mode}:
                return decl, access, lock
    return None


def _finding(
    file: GoFile, outer: Node, table: Node, own: GoFile, call: Node, decl: Decl,
    access: Access, lock: Held,
) -> Finding:  # fmt: skip
    name = lock_name(file, lock)
    taken = locks_of(decl.file, decl.node).operations
    again = next(o.call for o in taken if o.access == access and o.acquires)
    fix, reason = _fix(file, table, own, call, decl, access, lock)
    return Finding(
        path=call.path,
        start=call.start,
        end=call.end,
        message=f"{call['function'].name} locks {name}, which is held when {table.name} calls it",
        fixes=(fix,) if fix is not None else (),
        related=(
            Related(outer.path, outer.start, outer.end, f"called here while {name} is held"),
            Related(again.path, again.start, again.end, "and taken again here"),
        ),
        reason=reason,
    )


@with_reason
def _fix(
    file: GoFile, table: Node, own: GoFile, call: Node, decl: Decl, access: Access, lock: Held
) -> Fix:
    """Call the method's half that does not lock.

    Raises BuilderError where the table is also used without the lock.
    """
    for use in accesses_like(file.package, file, table):
        if not use.setup and not use.fresh and not use.writes:
            if not any(h.lock_class == lock.lock_class for h in use.held):
                raise BuilderError(f"{table.name} is also used without {lock_name(file, lock)}")
    check_place(own, call, decl.file)
    check_named(call, decl)
    result = split(decl, access)
    title = f"Call {result.name}, which leaves {lock_name(file, lock)} to its callers"
    reason = "what ran in the inner critical section now runs in the outer one"
    return Fix(title, (*result.edits, call_edit(call, result.name)), Safety.UNSAFE, reason)
