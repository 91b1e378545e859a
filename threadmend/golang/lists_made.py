"""Lists made of a field: methods that return a new list of what a map or list in a field holds.

func (s *subs) list() []func(int) {     // a copy, in some order
    fs := make([]func(int), 0, len(s.funcs))
    for _, f := range s.funcs { fs = append(fs, f) }
    return fs
}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.locks import LOCK_CALLS
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map, Slice

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = ["listed_field"]

_COPIES = frozenset({b"slices.Clone", b"maps.Clone", b"slices.Collect", b"slices.Sorted"})


def listed_field(file: GoFile, call: Node) -> Node | None:
    """Return the field, in the words of the method, whose elements a call of it lists anew.

    None where the method takes a lock, is given something, or may return the field itself.
    """
    decl = file.callee(call)
    if decl is None or decl.kind != "method" or not decl.sound or not decl.has_body:
        return None
    if call["arguments"].children or LOCK_CALLS.search(decl.file.data, *decl.span):
        return None
    returns = [n for n in decl.node["body"].own() if n.kind == "return_statement"]
    values = [v for r in returns for v in (r.children[1].children if len(r.children) > 1 else ())]
    fields = [_source(decl, value) for value in values if value.kind != "nil"]
    if not fields or len(values) != len(returns) or None in fields:
        return None
    return fields[0] if len({f.text for f in fields if f is not None}) == 1 else None


def _source(decl: Decl, value: Node) -> Node | None:
    """Return the field whose elements a returned value lists: a copy, or what was appended."""
    if value.kind == "call_expression" and value["function"].text in _COPIES:
        return _only_field(decl, value["arguments"])
    binding = decl.file.binding(value) if value.kind == "identifier" else None
    if binding is None or binding.kind != "variable":
        return None
    made = binding.value
    if made is not None and made.kind == "call_expression" and made["function"].text in _COPIES:
        return _source(decl, made)
    found = [_appended(decl, binding, use) for use in binding.uses]
    fields = [f for f in found if f is not None]
    return fields[0] if fields and len({f.text for f in fields}) == 1 else None


def _appended(decl: Decl, binding: Binding, use: Node) -> Node | None:
    """Return the field from which `fs = append(fs, s.funcs[id])` takes an element."""
    arguments = use.parent
    call = arguments.parent if arguments is not None and arguments.kind == "argument_list" else None
    if call is None or call["function"].text != b"append" or arguments is None:
        return None
    given = arguments.children
    if given[0] is not use or len(given) != 2:
        return None
    element = given[1]
    while element.kind in {"index_expression", "variadic_argument"}:
        element = element.children[0]
    if element.kind == "identifier":
        variable = decl.file.binding(element)
        clause = variable.declaration if variable is not None else None
        if variable is None or clause is None or clause.kind != "range_clause":
            return None
        element = clause["right"]
    return _only_field(decl, element)


def _only_field(decl: Decl, root: Node) -> Node | None:
    """Return the one list or map in a field of the method's own object that an expression has."""
    found: dict[bytes, Node] = {}
    for node in root.find("selector_expression"):
        binding = decl.file.binding(node["operand"])
        if binding is not None and binding.kind == "receiver":
            if isinstance(decl.file.underlying(decl.file.type_of(node)), Slice | Map):
                found.setdefault(node.text, node)
    return next(iter(found.values())) if len(found) == 1 else None
