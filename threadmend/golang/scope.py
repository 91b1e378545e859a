"""Scopes: which declaration an identifier inside a function means.

Purely syntactic and local to one file: names that no scope of the function declares are
left to the package (`GoFile.resolve`).
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.syntax import FUNCTIONS, Node

__all__ = [
    "SCOPES",
    "Binding",
    "argument_of",
    "bindings_in",
    "declared_by",
    "declared_name",
    "identifiers",
    "position_of",
    "resolve_local",
]


class Binding:
    """One local name: a parameter, result, receiver, variable, constant, type or label.

    `node` is the declaring identifier, `declaration` the syntax that declares it
    (`parameter_declaration`, `short_var_declaration`, `var_spec`, `range_clause`,
    `receive_statement`, `type_switch_statement`, a case clause, …), `index` its position on
    the left side, `scope` the node in which it is visible, from byte `visible` on.
    """

    __slots__ = ("_uses", "declaration", "index", "kind", "name", "node", "scope", "visible")

    def __init__(
        self, kind: str, node: Node, declaration: Node, scope: Node, visible: int, index: int = 0
    ) -> None:
        self.kind = kind
        self.node = node
        self.name = node.name
        self.declaration = declaration
        self.scope = scope
        self.visible = visible
        self.index = index
        self._uses: list[Node] | None = None

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name} at {self.node.path}:{self.node.start}>"

    @property
    def is_variable(self) -> bool:
        """Return whether the name holds a value that can be assigned."""
        return self.kind in {"variable", "parameter", "result", "receiver", "range"}

    @property
    def values(self) -> list[Node]:
        """Return what the declaration sets its names to: one each, or one call for all."""
        if self.declaration.kind == "range_clause":
            return []
        listed = self.declaration.get("right") or self.declaration.get("value")
        if listed is None:
            return []
        return listed.children if listed.kind == "expression_list" else [listed]

    @property
    def value(self) -> Node | None:
        """Return what the declaration sets the name to, None when it is one of several results."""
        values = self.values
        return values[self.index] if self.index < len(values) else None

    @property
    def function(self) -> Node | None:
        """Return the function, method or literal that the name belongs to."""
        return self.scope if self.scope.kind in FUNCTIONS else self.scope.function

    @property
    def uses(self) -> list[Node]:
        """Return every identifier that means this binding, its declaration included."""
        if self._uses is None:
            self._uses = [
                node
                for node in identifiers(self.scope, self.name)
                if node is self.node or resolve_local(node) is self
                if not node.tree.is_field_key(node)
            ]
        return self._uses


Table = dict[str, list[Binding]]

SCOPES = frozenset(
    {
        *FUNCTIONS,
        "block",
        "if_statement",
        "for_statement",
        "expression_switch_statement",
        "type_switch_statement",
        "expression_case",
        "type_case",
        "communication_case",
        "default_case",
    }
)
"""Where variables can be declared."""

_SCOPES = SCOPES | {"type_declaration", "type_spec", "type_alias"}
_PARAMETERS = {"receiver": "receiver", "parameters": "parameter", "result": "result"}
_NAMES = frozenset({"identifier", "type_identifier"})


def identifiers(root: Node, name: str) -> Iterator[Node]:
    """Yield the identifiers of this name at or below `root`, in source order."""
    top = root
    while top.parent is not None:
        top = top.parent
    index = top.tree.names.get(top)
    if index is None:
        index = top.tree.names[top] = {}
        data = top.tree.data
        for node in top.walk():
            if node.kind in _NAMES:
                index.setdefault(data[node.start : node.end], []).append(node)
    for node in index.get(name.encode(), ()):
        if root.start <= node.start and node.end <= root.end:
            yield node


def resolve_local(node: Node) -> Binding | None:
    """Return the local binding that an identifier means, None when the package decides.

    The key of a struct literal, a selector's field and a label look like names and are none:
    the caller sorts those out (`GoFile.resolve`).
    """
    known: dict[Node, Binding | None] = node.tree.meanings
    if node not in known:
        known[node] = _find_local(node)
    return known[node]


def _find_local(node: Node) -> Binding | None:
    name = node.name
    at = node.start
    scope = node.parent
    while scope is not None:
        if scope.kind in _SCOPES:
            found = bindings_in(scope).get(name)
            if found:
                best = None
                for binding in found:
                    if binding.visible <= at or binding.node is node:
                        best = binding
                if best is not None:
                    return best
        scope = scope.parent
    return None


def bindings_in(scope: Node) -> Table:
    """Return the names that a scope node itself declares."""
    tables = scope.tree.scopes
    table = tables.get(scope)
    if table is None:
        table = tables[scope] = {}
        _fill(scope, table)
    return table


def _fill(scope: Node, table: Table) -> None:
    kind = scope.kind
    if kind in FUNCTIONS:
        _function(scope, table)
    elif kind == "if_statement" or kind == "expression_switch_statement":
        _statement(scope.get("initializer"), scope, table)
    elif kind == "for_statement":
        _for(scope, table)
    elif kind == "type_switch_statement":
        _statement(scope.get("initializer"), scope, table)
    elif kind in {"type_spec", "type_alias"}:
        _type_parameters(scope, table)
    else:
        if kind == "communication_case":
            _receive(scope, table)
        elif kind == "type_case" or kind == "default_case":
            _type_case(scope, table)
        for statement in scope.statements:
            _statement(statement, scope, table)


def _add(table: Table, binding: Binding) -> None:
    if binding.name != "_":
        table.setdefault(binding.name, []).append(binding)


def _function(scope: Node, table: Table) -> None:
    _type_parameters(scope, table)
    body = scope.get("body")
    # `func (txn *txn)`: the signature's own types are looked up outside of the body.
    start = body.start if body else scope.end
    for field, kind in _PARAMETERS.items():
        group = scope.get(field)
        if group is None or group.kind != "parameter_list":
            continue
        for declaration in group.children:
            for index, name in enumerate(declaration.all("name")):
                _add(table, Binding(kind, name, declaration, scope, start, index))
            if kind == "receiver":
                for node in declaration.find("type_arguments"):
                    for index, name in enumerate(node.find("type_identifier")):
                        _add(table, Binding("type", name, declaration, scope, scope.start, index))


def _type_parameters(scope: Node, table: Table) -> None:
    group = scope.get("type_parameters")
    if group is None:
        return
    for declaration in group.children:
        for index, name in enumerate(declaration.all("name")):
            _add(table, Binding("type", name, declaration, scope, scope.start, index))


def _for(scope: Node, table: Table) -> None:
    for clause in scope.children:
        if clause.kind == "for_clause":
            _statement(clause.get("initializer"), scope, table, kind="range")
        elif clause.kind == "range_clause" and any(c.kind == ":=" for c in clause.children):
            left = clause.get("left")
            for index, name in enumerate(left.children if left else ()):
                if name.kind == "identifier":
                    _add(table, Binding("range", name, clause, scope, clause.end, index))


def _receive(scope: Node, table: Table) -> None:
    statement = scope.get("communication")
    if statement is None or statement.kind != "receive_statement":
        return
    if any(c.kind == ":=" for c in statement.children):
        left = statement.get("left")
        for index, name in enumerate(left.children if left else ()):
            if name.kind == "identifier":
                _add(table, Binding("variable", name, statement, scope, statement.end, index))


def _type_case(scope: Node, table: Table) -> None:
    switch = scope.parent
    if switch is None or switch.kind != "type_switch_statement":
        return
    alias = switch.get("alias")
    if alias is not None and alias.children:
        name = alias.children[0]
        _add(table, Binding("variable", name, scope, scope, scope.start))


def _statement(node: Node | None, scope: Node, table: Table, kind: str = "variable") -> None:
    while node is not None and node.kind == "labeled_statement":
        node = node.children[-1] if len(node.children) > 1 else None
    if node is None:
        return
    if node.kind == "short_var_declaration":
        _short(node, scope, table, kind)
    elif node.kind in {"var_declaration", "const_declaration"}:
        word = "variable" if node.kind == "var_declaration" else "constant"
        for spec in node.find("var_spec", "const_spec"):
            if spec.function is node.function:
                for index, name in enumerate(spec.all("name")):
                    _add(table, Binding(word, name, spec, scope, spec.end, index))
    elif node.kind == "type_declaration":
        for spec in node.children:
            name_node = spec.get("name")
            if name_node is not None:
                _add(table, Binding("type", name_node, spec, scope, name_node.start))


def _short(node: Node, scope: Node, table: Table, kind: str) -> None:
    left = node.get("left")
    for index, name in enumerate(left.children if left else ()):
        if name.kind != "identifier":
            continue
        # `a, err := f()` declares only the names that this very scope does not have yet;
        # a function's parameters and results share the scope of its body.
        known = table.get(name.name)
        if known and any(b.visible <= name.start for b in known):
            continue
        owner = scope.parent
        if owner is not None and owner.kind in FUNCTIONS and scope.field == "body":
            if name.name in bindings_in(owner):
                continue
        _add(table, Binding(kind, name, node, scope, node.end, index))


# -- parameters and arguments -----------------------------------------------------------------


def declared_name(value: Node, *, untyped: bool = False) -> Node | None:
    """Return the name that `x := value` or `var x = value` gives a value; None where a call gives
    several, and with `untyped` for `var x T = value`.
    """
    values = value.parent
    if values is None or values.kind != "expression_list" or values.parent is None:
        return None
    statement = values.parent
    if values.field not in {"right", "value"}:
        return None
    if statement.kind == "short_var_declaration":
        names = statement["left"].children
    elif statement.kind == "var_spec" and not (untyped and statement.get("type")):
        names = statement.all("name")
    else:
        return None
    if len(names) != len(values.children):
        return None
    return names[next(i for i, child in enumerate(values.children) if child is value)]


def declared_by(name: Node) -> Binding | None:
    """Return the binding that a name in a declaration declares, None when it existed."""
    scope = name.parent
    while scope is not None:
        for binding in bindings_in(scope).get(name.name, ()) if scope.kind in SCOPES else ():
            if binding.node is name:
                return binding
        scope = scope.parent
    return None


def argument_of(call: Node, body: Node, root: Binding) -> Node | None:
    """Return the argument that a call passes for a parameter of a body."""
    position = position_of(body, root)
    arguments = call["arguments"].children
    return arguments[position] if position is not None and position < len(arguments) else None


def position_of(body: Node, root: Binding) -> int | None:
    """Return the index of a parameter of a body; None for another binding or a variadic one."""
    if root.kind != "parameter" or root.scope is not body:
        return None
    position = 0
    for declaration in body["parameters"].children:
        if declaration.kind != "parameter_declaration":
            return None
        for name in declaration.all("name") or [declaration]:
            if name is root.node:
                return position
            position += 1
    return None
