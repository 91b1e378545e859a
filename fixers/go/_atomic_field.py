"""A field or package variable that is only read, set and added to becomes a sync/atomic value.

stopped bool          →      stopped atomic.Bool
for !p.stopped {      →      for !p.stopped.Load() {
p.stopped = true      →      p.stopped.Store(true)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from threadmend.golang.builders import add_import, change_field_type, package_name
from threadmend.golang.builders.structs import fields
from threadmend.golang.calls import occurrences
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.package import Package
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named
from threadmend.model import Edit, Fix, Safety

__all__ = ["AtomicField", "atomic_field"]

_SINCE = (1, 19)
_TYPES = {
    "bool": "Bool",
    "int32": "Int32",
    "int64": "Int64",
    "int": "Int64",
    "uint32": "Uint32",
    "uint64": "Uint64",
}


@dataclass(frozen=True, slots=True)
class AtomicField:
    """The fix, and whether the field is a flag that nothing else hangs on."""

    fix: Fix
    flag: bool


def atomic_field(package: Package, access: FieldAccess) -> AtomicField | None:
    """Return the fix that makes a field atomic, None when some use has no such form.

    Each use is one load, store or add, so that it is one atomic step where it was one
    statement; what a function does in several steps may still mix, so the fix is unsafe.
    """
    type_ = access.file.type_of(access.node)
    if not isinstance(type_, Named) or type_.package or type_.name not in _TYPES:
        return None
    if access.base is None or package.go_version < _SINCE:
        return None
    declared = _declaration(package, access, type_.name)
    if declared is None:
        return None
    accesses = accesses_like(package, access.file, access.node)
    name = (access.place or "").rpartition(".")[2]
    if _used_otherwise(package, name, accesses):
        return None
    edits = list(declared)
    for one in accesses:
        edit = _used(one, type_.name)
        if edit is None:
            return None
        edits.append(edit)
    per_function = Counter(a.node.function for a in accesses)
    title = f"Make {name} an atomic.{_TYPES[type_.name]}"
    fix = Fix(title, tuple(edits), Safety.UNSAFE, "what is done in several steps may still mix")
    return AtomicField(fix, type_.name == "bool" and max(per_function.values()) == 1)


def _declaration(package: Package, access: FieldAccess, type_: str) -> list[Edit] | None:
    class_, _, name = (access.place or "").rpartition(".")
    decl = package.lookup(class_.rpartition(".")[2])
    struct = decl.node.get("type") if decl is not None and decl.kind == "type" else None
    if decl is None or struct is None or struct.kind != "struct_type" or decl.file.generated:
        return None
    if any(
        not any(n.kind == "pointer_type" for n in m.node["receiver"].walk())
        for methods in package.methods(decl.name).values()
        for m in methods
    ):
        return None
    tree = decl.file.tree
    known = package_name(tree, "sync/atomic")
    if known != "atomic" or decl.file.imported("atomic") not in {None, "sync/atomic"}:
        return None
    if package.lookup("atomic") is not None:
        return None
    for field in fields(struct):
        if [n.name for n in field.all("name")] == [name] and field.get("tag") is None:
            edits = change_field_type(field, f"atomic.{_TYPES[type_]}")
            return [*edits, *add_import(tree, "sync/atomic")]
    return None


def _used_otherwise(package: Package, name: str, accesses: list[FieldAccess]) -> bool:
    """Return whether a selector or key of that name is not among the accesses: who knows whose."""
    known = {(a.file.path, a.node.end) for a in accesses}
    for file in package.files:
        for at in occurrences(file.data, name.encode()):
            end = at + len(name)
            if (file.path, end) in known or file.tree.in_comment(at):
                continue
            before, after = file.data[at - 1 : at], file.data[end : end + 1]
            if before == b"." or after == b":":
                return True
    return False


def _used(access: FieldAccess, type_: str) -> Edit | None:
    """Return the edit that makes one use atomic, None for one that has no such form."""
    node = access.node
    parent, text = node.parent, node.name
    if parent is None:
        return None
    if access.kind == "read":
        load = f"{text}.Load()"
        return _edit(node, f"int({load})" if type_ == "int" else load)
    if parent.kind in {"inc_statement", "dec_statement"} and type_ != "bool":
        amount = "1" if parent.kind == "inc_statement" else "-1"
        return (
            None if amount == "-1" and type_[0] == "u" else _edit(parent, f"{text}.Add({amount})")
        )
    statement = parent.parent
    if statement is None or statement.kind != "assignment_statement":
        return None
    left, right = statement["left"].children, statement["right"].children
    if statement.field in {"initializer", "update"} or len(left) != 1 or len(right) != 1:
        return None
    if any(n.text == node.text for n in right[0].walk()):
        return None
    value = f"int64({right[0].name})" if type_ == "int" else right[0].name
    operator = statement["operator"].name
    if operator == "=":
        return _edit(statement, f"{text}.Store({value})")
    return _edit(statement, f"{text}.Add({value})") if operator == "+=" else None


def _edit(node: Node, code: str) -> Edit:
    return Edit(node.path, node.start, node.end, code.encode())
