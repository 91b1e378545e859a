"""What a test says of the place that was looked at: whether it is taken, or free.

if s.Has(key) { … }                 // taken
if _, ok := s.Get(key); !ok { … }   // free
if !s.vacant(key) { … }             // taken: `return s.m[key] == nil`
"""

from __future__ import annotations

from threadmend.golang.file import GoFile
from threadmend.golang.node import bare
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node

from ._decided_steps import Decided
from ._locked_steps import Step

__all__ = ["passes_on", "says_taken"]

_EMPTY = frozenset({b'""', b"nil", b"0", b"false"})
_SAYS_NO = frozenset({"nil", "false"})
_LITERALS = frozenset({"nil", "true", "false", "int_literal", "interpreted_string_literal"})


def says_taken(found: Decided) -> bool | None:
    """Return whether the test holds where the place is taken, None where that cannot be told."""
    if found.test is None:
        return None
    asked = _answer(found.look, found.test)
    if asked is None:
        return None
    name, position = asked
    outside = _sign(name, found.test)
    inside = _returned(found.look, position)
    return None if outside is None or inside is None else outside is inside


def _answer(look: Step, test: Node) -> tuple[Node, int] | None:
    """Return where a test names the answer, and which of the results that is."""
    kept = next((o for o in look.at.ancestors() if o.kind == "short_var_declaration"), None)
    names = kept["left"].children if kept is not None else []
    bindings = [look.file.binding(n) for n in names]
    for node in test.walk():
        if node is look.at:
            return node, 0
        binding = look.file.binding(node) if node.kind == "identifier" else None
        if binding is not None and binding in bindings:
            return node, bindings.index(binding)
    return None


def _sign(name: Node, test: Node) -> bool | None:
    """Return whether an expression holds where what it names is set; None for other questions."""
    sign, at = True, name
    while at is not test:
        outer = at.parent
        if outer is None:
            return None
        if outer.kind == "unary_expression" and outer["operator"].kind == "!":
            sign = not sign
        elif outer.kind == "binary_expression" and outer["operator"].kind in {"==", "!="}:
            other = outer["right"] if at is outer["left"] else outer["left"]
            if bare(other).text not in _EMPTY:
                return None
            sign = sign if outer["operator"].kind == "!=" else not sign
        elif outer.kind == "binary_expression":
            if outer["operator"].kind not in {"&&", "||"}:
                return None
        elif outer.kind not in {"parenthesized_expression", "expression_list"}:
            return None
        at = outer
    return sign


def _returned(look: Step, position: int) -> bool | None:
    """Return whether a result of what looks says that the place is set."""
    if look.decl is None:
        return True
    signs: set[bool | None] = set()
    for node in look.decl.node.own():
        if node.kind == "return_statement" and len(node.children) > 1:
            values = node.children[1].children
            if position >= len(values):
                return None
            signs |= _of_return(look, node, values[position])
    return signs.pop() if len(signs) == 1 else None


def _of_return(look: Step, node: Node, value: Node) -> set[bool | None]:
    """Return the sign of a result, nothing where it is the same whatever is found."""
    if look.inner is not None:
        outside, inside = _sign(look.inner.at, value), _returned(look.inner, 0)
        return {None if outside is None or inside is None else outside is inside}
    plain = value.kind in _LITERALS
    if not plain and not _is_error(look, value):
        return {_of_value(look, value)}
    test = node.up("if_statement")
    if test is None or (value.kind not in {*_SAYS_NO, "true"} and plain):
        return set()
    asked = _of_value(look, test["condition"])
    if asked is None or value.kind in _SAYS_NO:
        return {None if asked is None else not asked}
    return {asked}


def _is_error(look: Step, value: Node) -> bool:
    return str(look.access.file.type_of(value)) == "error"


def passes_on(found: Decided) -> tuple[str, bool] | None:
    """Return the constant that a method compares the place with, and whether equals pass the test.

    `if !p.isIdle(id) { return false }`, where isIdle is `return p.conns[id].state == idle`.
    """
    decl, test = found.look.decl, found.test
    if decl is None or test is None or found.look.inner is not None:
        return None
    returned = [n for n in decl.node.own() if n.kind == "return_statement"]
    asked = _answer(found.look, test)
    if len(returned) != 1 or asked is None or len(returned[0].children) < 2:
        return None
    value, outside = bare(returned[0].children[1].children[0]), _sign(asked[0], test)
    if value.kind != "binary_expression" or outside is None:
        return None
    operator = value["operator"].kind
    if operator not in {"==", "!="}:
        return None
    equal = outside is (operator == "==")
    return value["right"].name, equal is (found.refusal is None)


def _of_value(look: Step, value: Node) -> bool | None:
    """Return the sign of what is returned: of the element itself, or of the `ok` beside it."""
    file = look.access.file
    for node in value.walk():
        if node.text == look.access.node.text and node.kind == look.access.node.kind:
            outer = node.parent
            if outer is not None and outer.kind == "index_expression" and node is not value:
                node = outer
            return _sign(node, value)
        if node.kind == "identifier" and _is_found(file, look, file.binding(node)):
            return _sign(node, value)
    return None


def _is_found(file: GoFile, look: Step, binding: Binding | None) -> bool:
    """Return whether a variable is what the look-up gives, or says whether it was found."""
    at = look.access.node
    statement = at.up("short_var_declaration") or at.statement
    if binding is None or statement is None:
        return False
    return statement.contains(binding.node) and file.binding(binding.node) is binding
