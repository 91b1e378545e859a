"""Which variable a name means, within one function: just enough for its conditions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from threadmend.golang.flow_graph import Point
from threadmend.golang.syntax import BLOCKS, FUNCTIONS, Node

__all__ = ["Names", "declared_and_assigned"]

_SCOPES = (
    BLOCKS
    | FUNCTIONS
    | {
        "if_statement",
        "for_statement",
        "expression_switch_statement",
        "type_switch_statement",
    }
)


class Names:
    """The variables that a function declares, literals inside it included when asked."""

    def __init__(self, function: Node, points: list[Point]) -> None:
        self._function = function
        # Per name: (scope's start, scope's end, where the declaration ends).
        self._declared: dict[bytes, list[tuple[int, int, int]]] = {}
        self._parameters(function)
        for point in points[1:-1]:
            self._declare(point.node)

    def resolve(self, identifier: Node) -> str:
        """Return "name@scope" for a variable of the function, "name@" for any other."""
        return self._at(identifier.text, identifier.start, identifier.start)

    def resolve_target(self, identifier: Node) -> str:
        """Return the same for the target of an assignment or declaration."""
        statement = identifier.parent
        while statement is not None and statement.kind in {"expression_list", "var_spec"}:
            statement = statement.parent
        if statement is None:
            return self.resolve(identifier)
        # `x := …` is in scope only after the statement, `for x := range` after its clause.
        return self._at(identifier.text, identifier.start, statement.end)

    def changed_elsewhere(self, names: Iterable[str]) -> set[str]:
        """Return which of these variables a literal assigns or whose address is taken."""
        wanted = {name for name in names if not name.endswith("@")}
        text = self._function.text
        plain = {name.partition("@")[0].encode() for name in wanted}
        if not any(b"&" + name in text for name in plain) and text.count(b"func") < 2:
            return set()
        found: set[str] = set()
        for node in self._function.walk():
            kind = node.kind
            if kind == "unary_expression" and node.children[0].kind == "&":
                base = _base(node["operand"])
                if base is not None:
                    found.add(self.resolve(base))
            elif kind == "func_literal" and node is not self._function:
                found |= self._assigned_in(node)
        return found & wanted

    def _assigned_in(self, literal: Node) -> set[str]:
        self._parameters(literal)
        statements = [n for n in literal.own() if n.kind in _ASSIGNING]
        for node in statements:
            self._declare(node)
        found = set()
        for node in statements:
            for targets, _, _ in declared_and_assigned(node):
                for target in targets:
                    base = _base(target)
                    if base is not None:
                        found.add(self.resolve_target(base))
        return found

    def _at(self, name: bytes, offset: int, until: int) -> str:
        """Return the innermost variable around an offset among those declared until then."""
        best = -1
        for start, end, visible in self._declared.get(name, ()):
            if start <= offset < end and visible <= until and start > best:
                best = start
        return f"{name.decode('utf-8', 'replace')}@{'' if best < 0 else best}"

    def _parameters(self, function: Node) -> None:
        for group in function.children:
            if group.kind == "parameter_list":
                for parameter in group.children:
                    for name in parameter.children:
                        if name.field == "name":
                            self._add(name, function, function.start)

    def _declare(self, node: Node) -> None:
        kind = node.kind
        if kind == "short_var_declaration" or kind in {"range_clause", "receive_statement"}:
            if kind == "short_var_declaration" or any(c.kind == ":=" for c in node.children):
                left = node.get("left")
                for name in left.children if left is not None else ():
                    self._add(name, _scope(node), node.end)
        elif kind in {"var_declaration", "const_declaration"}:
            for spec in _specs(node):
                for name in spec.children:
                    if name.field == "name":
                        self._add(name, _scope(node), spec.end)
        elif node.parent is not None and node.parent.kind == "type_switch_statement":
            alias = node.parent.get("alias")
            for name in alias.children if alias is not None and node.field == "value" else ():
                self._add(name, node.parent, node.end)

    def _add(self, name: Node, scope: Node, visible: int) -> None:
        entry = (scope.start, scope.end, visible)
        self._declared.setdefault(name.text, []).append(entry)


def _scope(node: Node) -> Node:
    at = node.parent
    while at is not None and at.kind not in _SCOPES:
        at = at.parent
    assert at is not None
    # Parameters and the body share one scope.
    if at.kind == "block" and at.parent is not None and at.parent.kind in FUNCTIONS:
        return at.parent
    return at


def _base(node: Node) -> Node | None:
    """Return the variable that an assignable expression is a part of."""
    while node.kind != "identifier":
        if not node.children:
            return None
        node = node.get("operand") or node.children[0]
    return node


def _specs(node: Node) -> list[Node]:
    found = []
    for child in node.children:
        if child.kind in {"var_spec", "const_spec"}:
            found.append(child)
        elif child.kind == "var_spec_list":
            found.extend(child.children)
    return found


_ASSIGNING = frozenset(
    {
        "short_var_declaration",
        "assignment_statement",
        "var_declaration",
        "inc_statement",
        "dec_statement",
        "range_clause",
        "receive_statement",
    }
)


def declared_and_assigned(node: Node) -> Iterator[tuple[list[Node], list[Node], Node | None]]:
    """Yield (targets, values, type) for what a simple statement declares or assigns.

    The values are empty where none stand beside the targets one by one; the type is that of
    a `var` without values.
    """
    kind = node.kind
    if kind not in _ASSIGNING:
        return
    if kind == "var_declaration":
        for spec in _specs(node):
            value = spec.get("value")
            values = value.children if value is not None else []
            yield spec.all("name"), values, None if values else spec.get("type")
        return
    if kind in {"inc_statement", "dec_statement"}:
        yield node.children[:1], [], None
        return
    left, right = node.get("left"), node.get("right")
    if left is None:
        return
    operator = node.get("operator")
    plain = kind == "short_var_declaration" or (operator is not None and operator.kind == "=")
    values = right.children if plain and right is not None else []
    yield left.children, values, None
