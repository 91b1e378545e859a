"""Atomic: a counter or flag that is only read, set and added to becomes a sync/atomic value.

    count := 0      →      var count atomic.Int64
    count++         →      count.Add(1)
    use(count)      →      use(int(count.Load()))

Sound: every use is one load, store or add, so each is one atomic step where it was one
statement; values and their types stay as they were.
"""

from __future__ import annotations

from threadmend.golang.builders import add_import, package_name
from threadmend.golang.captured import CapturedAccess
from threadmend.golang.ordering import declaring_statement
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named
from threadmend.model import Edit, Fix, Safety

from ._loaded_once import is_beside_test
from ._racy import Race

_SINCE = (1, 19)
_TYPES = {
    "int": "Int64",
    "int32": "Int32",
    "int64": "Int64",
    "uint": "Uint64",
    "uint32": "Uint32",
    "uint64": "Uint64",
    "bool": "Bool",
}
_WIDE = {"int": "int64", "uint": "uint64"}


def by_atomic(race: Race) -> Fix | None:
    """Return the fix that makes a counter or flag atomic, if all uses allow it."""
    type_ = race.type
    if race.file.go_version < _SINCE or not isinstance(type_, Named) or type_.package:
        return None
    if type_.name not in _TYPES or race.binding.kind != "variable":
        return None
    package = _package(race)
    if package is None or any(a.steps or a.kind == "address" for a in race.accesses):
        return None
    declared = _declaration(race, type_.name, package)
    if declared is None:
        return None
    edits = list(declared)
    for access in race.accesses:
        edit = _access(race, access, type_.name)
        if edit is None:
            return None
        edits.append(edit)
    edits += add_import(race.file.tree, "sync/atomic")
    title = f"Make {race.name} an {package}.{_TYPES[type_.name]}"
    between = _decides(race)
    if between:
        return Fix(title, tuple(edits), Safety.UNSAFE, between)
    return Fix(title, tuple(edits))


def _package(race: Race) -> str | None:
    """Return the name by which sync/atomic is (or will be) known where the variable is used."""
    name = package_name(race.file.tree, "sync/atomic")
    if race.file.imported(name) not in {None, "sync/atomic"}:
        return None
    taken = race.file.imported(name) is None and name in race.names.taken
    return None if taken or race.file.package.lookup(name) is not None else name


def _declaration(race: Race, type_: str, package: str) -> tuple[Edit, ...] | None:
    """Return the edits that declare the variable with its new type and first value."""
    statement = declaring_statement(race.binding)
    declaration = race.binding.declaration
    if statement is None:
        return None
    atomic = f"{package}.{_TYPES[type_]}"
    path, name = statement.path, race.name
    if statement.kind == "short_var_declaration" and declaration is statement:
        values = statement["right"].children
        if len(statement["left"].children) != 1 or len(values) != 1:
            return None
        code = f"var {name} {atomic}" + _initial(statement, name, values[0], type_)
        return (Edit(path, statement.start, statement.end, code.encode()),)
    if declaration.kind == "var_spec" and len(declaration.all("name")) == 1:
        value = declaration.get("value")
        first = value.children[0] if value is not None else None
        grouped = b"(" in statement.text[: declaration.start - statement.start]
        if first is not None and grouped and first.text not in {b"0", b"false"}:
            return None
        code = f"{name} {atomic}"
        if first is not None and not grouped:
            code += _initial(statement, name, first, type_)
        return (Edit(path, declaration.start, declaration.end, code.encode()),)
    return None


def _initial(statement: Node, name: str, value: Node, type_: str) -> str:
    if value.text in {b"0", b"false", b"int64(0)", b"int32(0)", b"uint64(0)", b"uint32(0)"}:
        return ""
    indent = statement.tree.source.indent_at(statement.start).decode()
    return f"\n{indent}{name}.Store({_wide(value, type_)})"


def _wide(value: Node, type_: str) -> str:
    """Return a value in the atomic type's own type."""
    text = value.name
    if type_ not in _WIDE or value.kind == "int_literal":
        return text
    if value.kind == "parenthesized_expression":
        return _WIDE[type_] + text
    return f"{_WIDE[type_]}({text})"


def _access(race: Race, access: CapturedAccess, type_: str) -> Edit | None:
    """Return the edit that makes one use atomic, None for one that has no such form."""
    node = access.node
    parent = node.parent
    if parent is None or (access.places is None and access.writes):
        return None
    if access.kind == "read":
        load = f"{race.name}.Load()"
        text = f"{type_}({load})" if type_ in _WIDE else load
        return Edit(node.path, node.start, node.end, text.encode())
    if parent.kind in {"inc_statement", "dec_statement"}:
        amount = "1" if parent.kind == "inc_statement" else _minus_one(type_)
        return _replaced(parent, f"{race.name}.Add({amount})") if amount else None
    statement = parent.parent
    if statement is None or statement.kind != "assignment_statement":
        return None
    if statement.field in {"initializer", "update"} or len(statement["left"].children) != 1:
        return None
    values = statement["right"].children
    if len(values) != 1 or race.name in {n.name for n in values[0].find("identifier")}:
        return None
    operator = statement["operator"].name
    value = _wide(values[0], type_)
    if operator == "=":
        return _replaced(statement, f"{race.name}.Store({value})")
    if operator == "+=" and type_ != "bool":
        return _replaced(statement, f"{race.name}.Add({value})")
    if operator == "-=" and type_ in {"int", "int32", "int64"}:
        simple = values[0].kind in {"identifier", "int_literal", "call_expression"}
        return _replaced(statement, f"{race.name}.Add(-{value})") if simple else None
    return None


def _minus_one(type_: str) -> str | None:
    return "-1" if type_.startswith("int") else None


def _replaced(statement: Node, code: str) -> Edit:
    return Edit(statement.path, statement.start, statement.end, code.encode())


def _decides(race: Race) -> str:
    """Return why single steps may not be enough: a read decides about a write, or another read."""
    for strand in race.strands:
        inside = race.inside(strand.body)
        reads = [a.node for a in inside if a.kind == "read"]
        if any(_tested(read, [a for a in inside if a.writes]) for read in reads):
            return f"another goroutine may change {race.name} between its test and its write"
        if any(is_beside_test(read, reads) for read in reads):
            return f"another goroutine may change {race.name} after its test"
    return ""


def _tested(read: Node, writes: list[CapturedAccess]) -> bool:
    """Return whether a read is part of the condition of a statement that writes."""
    for ancestor in read.ancestors():
        if ancestor.kind in {"if_statement", "for_statement"}:
            header = ancestor.get("condition") or ancestor.children[0]
            if header.contains(read) and any(ancestor.contains(w.node) for w in writes):
                return True
        if ancestor.kind in {"block", "func_literal"}:
            return False
    return False
