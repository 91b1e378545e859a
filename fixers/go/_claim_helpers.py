"""Methods that say whether a key is taken, and methods that take it, each under the lock."""

from __future__ import annotations

from dataclasses import dataclass

from threadmend.golang.field_accesses import FieldAccess
from threadmend.golang.file import GoFile
from threadmend.golang.locks import declaration_of, locks_of
from threadmend.golang.node import bare
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map

__all__ = ["Claim", "Question", "claim_of", "element_of", "question_of"]

_EMPTY = frozenset({b'""', b"nil", b"0", b"false"})


@dataclass(frozen=True, slots=True)
class Question:
    """A method that returns whether a key of a guarded map is taken.

    `position` is the result that says so, `negated` whether it says that the key is free, `empty`
    what the element of a free one is, "" where the second value of the look-up tells.
    """

    decl: Decl
    access: FieldAccess
    key: Binding
    position: int
    negated: bool
    empty: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A method that stores under a parameter, or a field of one, and does not look before."""

    decl: Decl
    access: FieldAccess
    parameter: Binding
    field: str
    store: Node


def element_of(access: FieldAccess) -> Node | None:
    """Return `s.m[key]` where it is the receiver's own map that an access means."""
    node, element = access.node, access.node.parent
    if element is None or element.kind != "index_expression" or node.field != "operand":
        return None
    if access.base is None or access.base.steps or not isinstance(access.base.root, Binding):
        return None
    own = access.base.root.kind == "receiver" and access.held_here
    return element if own and isinstance(_map(access), Map) else None


def _map(access: FieldAccess) -> object:
    return access.file.underlying(access.file.type_of(access.node))


def _method(access: FieldAccess, element: Node | None) -> Decl | None:
    function = access.node.function
    if element is None or function is None or function.kind != "method_declaration":
        return None
    return declaration_of(access.file, function)


def question_of(access: FieldAccess) -> Question | None:
    """Return the method around a look-up that does nothing else but say what it has found."""
    element = element_of(access) if access.kind == "read" else None
    decl = _method(access, element)
    if decl is None or element is None or element["index"].kind != "identifier":
        return None
    key = access.file.binding(element["index"])
    statements = _unlocked(access.file, decl)
    if key is None or key.kind != "parameter" or not statements:
        return None
    last = statements[-1]
    if last.kind != "return_statement" or len(last.children) < 2:
        return None
    values = last.children[1].children
    if len(statements) == 1:
        return _compared(access, decl, key, element, values)
    look = statements[0]
    if len(statements) != 2 or look.kind != "short_var_declaration":
        return None
    if look["right"].children != [element] or len(look["left"].children) != 2:
        return None
    found = look["left"].children[1]
    for position, value in enumerate(values):
        negated = value.kind == "unary_expression" and value["operator"].kind == "!"
        named = bare(value["operand"]) if negated else value
        if named.kind == "identifier" and named.text == found.text:
            return Question(decl, access, key, position, negated, "")
    return None


def _compared(
    access: FieldAccess, decl: Decl, key: Binding, element: Node, values: list[Node]
) -> Question | None:
    """Return the method that is `return s.m[key] != nil`."""
    value = bare(values[0]) if len(values) == 1 else None
    if value is None or value.kind != "binary_expression" or value["left"] is not element:
        return None
    operator = value["operator"].kind
    if operator not in {"==", "!="} or value["right"].text not in _EMPTY:
        return None
    return Question(decl, access, key, 0, operator == "==", value["right"].name)


def _unlocked(file: GoFile, decl: Decl) -> list[Node]:
    """Return the statements of a method that are no operation of a lock."""
    operations = locks_of(file, decl.node).operations
    own = {o.deferred or o.call.parent for o in operations}
    return [s for s in decl.node["body"].statements if s not in own]


def claim_of(access: FieldAccess, accesses: list[FieldAccess]) -> Claim | None:
    """Return the method around a store that only locks before it, and returns nothing."""
    element = element_of(access) if access.kind == "store" else None
    decl, store = _method(access, element), access.node.statement
    if decl is None or element is None or store is None or decl.exported:
        return None
    if store.kind != "assignment_statement" or store["operator"].kind != "=":
        return None
    if len(store["left"].children) != 1 or store["left"].children[0] is not element:
        return None
    if decl.node.get("result") is not None or store.parent is not decl.node["body"]:
        return None
    if any(n.kind == "return_statement" for n in decl.node.own()):
        return None
    if any(a is not access and a.node.function is decl.node for a in accesses):
        return None
    if _unlocked(access.file, decl)[0] is not store:
        return None
    index, field = element["index"], ""
    if index.kind == "selector_expression" and index["operand"].kind == "identifier":
        index, field = index["operand"], index["field"].name
    parameter = access.file.binding(index) if index.kind == "identifier" else None
    if parameter is None or parameter.kind != "parameter":
        return None
    return Claim(decl, access, parameter, field, store)
