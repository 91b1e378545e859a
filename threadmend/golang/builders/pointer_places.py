"""Turn a copy into a pointer: of a range variable, a new variable, an element, a field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.builders.names import free_name, names_of_file, taken_names
from threadmend.golang.builders.pointers import (
    CannotFollow,
    Rewrite,
    assigned_pointer,
    follow,
    pointer_to,
    prefixed,
    refer,
)
from threadmend.golang.builders.statements import insert_at_start
from threadmend.golang.infer import is_decl
from threadmend.golang.nocopy import is_ours
from threadmend.golang.node import parenthesized
from threadmend.golang.scope import SCOPES, Binding, bindings_in, declared_by, declared_name
from threadmend.golang.syntax import Node
from threadmend.golang.types import Array, Map, Named, Pointer, Slice
from threadmend.golang.uses import addressable, field_uses, is_api, type_uses
from threadmend.model import Edit

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = ["elements_to_pointers", "field_to_pointer", "range_by_index", "variable_to_pointer"]


# -- for _, x := range xs --------------------------------------------------------------


def range_by_index(file: GoFile, clause: Node, variable: Node) -> Rewrite:
    """Return `for i := range xs { x := &xs[i]` for `for _, x := range xs {`."""
    loop = clause.parent
    operand = clause["right"]
    binding = declared_by(variable)
    if loop is None or binding is None:
        raise CannotFollow("the loop assigns to a variable from outside")
    _check_ranged(file, clause, variable, operand)
    rewrite = Rewrite()
    own = _own_copy(loop["body"], binding)
    if own is not None:
        follow(file, own, rewrite)
        rewrite.claims.append(own.declaration["right"])
    else:
        follow(file, binding, rewrite)
    left = clause["left"]
    key = left.children[0]
    index = key.name
    if key.text == b"_":
        index = free_name("i", taken_names(loop, names=_visible(file, loop)))
    rewrite.edits.append(Edit(file.path, left.start, left.end, index.encode()))
    ranged = f"({operand.name})" if operand.kind == "unary_expression" else operand.name
    pointer = f"&{ranged}[{index}]"
    if own is not None:
        value = own.declaration["right"]
        rewrite.edits.append(Edit(file.path, value.start, value.end, pointer.encode()))
    else:
        rewrite.edits.extend(insert_at_start(loop["body"], f"{variable.name} := {pointer}"))
    return rewrite


def _own_copy(body: Node, variable: Binding) -> Binding | None:
    """Return the variable of `x := x` at the start of a loop over x.

    A name that the body itself declares in another way leaves no room for a pointer.
    """
    known = bindings_in(body).get(variable.name)
    if not known:
        return None
    declaration = known[0].declaration
    if len(known) == 1 and declaration is body.statements[0]:
        if declaration.kind == "short_var_declaration" and len(variable.uses) == 2:
            if declaration["right"].text == variable.name.encode():
                return known[0]
    raise CannotFollow(f"the loop declares {variable.name} again")


def _visible(file: GoFile, node: Node) -> Iterator[str]:
    """Yield the names that mean something where a statement stands."""
    yield from names_of_file(file)
    for scope in node.ancestors():
        if scope.kind in SCOPES:
            for name, bindings in bindings_in(scope).items():
                if any(b.visible <= node.start for b in bindings):
                    yield name


def _check_ranged(file: GoFile, clause: Node, variable: Node, operand: Node) -> None:
    """Refuse what cannot be indexed, or would not be the same thing a second time."""
    under = file.underlying(file.type_of(operand))
    if isinstance(under, Pointer):
        under = file.underlying(under.elem)
    if isinstance(under, Map):
        raise CannotFollow("an element of a map has no address; the map has to hold pointers")
    if not isinstance(under, Slice | Array):
        raise CannotFollow("what is ranged over cannot be indexed")
    if clause["left"].children[-1] is not variable or len(clause["left"].children) != 2:
        raise CannotFollow("the copy is the loop's key")
    if not _steady(operand):
        raise CannotFollow("what is ranged over is computed; it needs a name first")
    if isinstance(under, Array) and not addressable(file, operand):
        if not isinstance(file.underlying(file.type_of(operand)), Pointer):
            raise CannotFollow("the array has no address")
    loop = clause.parent
    assert loop is not None
    for target in _targets(loop["body"]):
        if target.text == operand.text or operand.text.startswith(target.text + b"."):
            raise CannotFollow(f"{operand.name} is assigned in the loop")
    root = operand
    while root.kind in {"selector_expression", "unary_expression"}:
        root = root.get("operand") or root.children[-1]
    for name in loop["body"].find("identifier"):
        if name.name == root.name and file.resolve(name) is not file.resolve(root):
            if not file.package.workspace.inference.is_field_key(name):
                raise CannotFollow(f"{root.name} means something else in the loop")


def _steady(node: Node) -> bool:
    """Return whether an expression is only names and fields."""
    if node.kind == "selector_expression":
        return _steady(node["operand"])
    if node.kind == "unary_expression":
        return node["operator"].kind == "*" and _steady(node["operand"])
    return node.kind == "identifier"


def _targets(block: Node) -> list[Node]:
    found = []
    for statement in block.find("assignment_statement"):
        found.extend(statement["left"].children)
    return found


# -- x := y ------------------------------------------------------------------------------


def variable_to_pointer(file: GoFile, statement: Node, position: int, value: Node) -> Rewrite:
    """Return `x := &y` for `x := y` (and `var x T = y`), with the uses of x following."""
    rewrite = Rewrite()
    if statement.kind == "assignment_statement":
        raise CannotFollow(_why_not_assigned(file, statement["left"].children, position))
    names = statement.all("name") if statement.kind == "var_spec" else statement["left"].children
    values = statement["value" if statement.kind == "var_spec" else "right"].children
    if len(names) != len(values):
        raise CannotFollow("the value comes with an ok")
    if statement.function is None:
        raise CannotFollow("a package variable may be used from anywhere")
    binding = declared_by(names[position])
    if binding is None:
        raise CannotFollow(f"{names[position].name} was declared before")
    type_node = statement.get("type")
    if type_node is not None:
        if len(names) > 1:
            raise CannotFollow("several variables share the type")
        rewrite.edits.append(prefixed(type_node, b"*"))
    rewrite.edits.append(pointer_to(file, value))
    follow(file, binding, rewrite)
    return rewrite


def _why_not_assigned(file: GoFile, left: list[Node], position: int) -> str:
    target = left[position].name if position < len(left) else "the variable"
    return f"{target} holds a value; it would have to be a pointer everywhere"


# -- []T{a, b} ---------------------------------------------------------------------------


def elements_to_pointers(file: GoFile, literal: Node) -> Rewrite:
    """Return `xs := []*T{&a, &b}` for `xs := []T{a, b}`, with the uses of xs following.

    `literal` is the `literal_value` of a slice, array or map literal.
    """
    whole = literal.parent
    if whole is None or whole.kind != "composite_literal":
        raise CannotFollow("the literal stands inside of another one")
    type_node = whole["type"]
    element = type_node.get("value" if type_node.kind == "map_type" else "element")
    if element is None:
        raise CannotFollow("the elements' type is declared elsewhere")
    binding = _sole_name(whole)
    if binding is None:
        raise CannotFollow("the literal is not the value of a local variable")
    rewrite = Rewrite()
    rewrite.edits.append(prefixed(element, b"*"))
    for item in literal.children:
        value = item.children[-1] if item.kind == "keyed_element" else item
        inner = value.children[0]
        if inner.kind != "literal_value":
            rewrite.edits.append(pointer_to(file, inner))
    for use in binding.uses:
        if use is not binding.node:
            _follow_container(file, use, rewrite, is_map=type_node.kind == "map_type")
    return rewrite


def _sole_name(literal: Node) -> Binding | None:
    name = declared_name(literal, untyped=True)
    return None if name is None or name.function is None else declared_by(name)


def _follow_container(file: GoFile, use: Node, rewrite: Rewrite, *, is_map: bool) -> None:
    place = parenthesized(use)
    parent = place.parent
    if parent is not None and parent.kind == "range_clause" and place.field == "right":
        left = parent.get("left")
        if left is not None and len(left.children) == 2 and left.children[1].text != b"_":
            binding = declared_by(left.children[1])
            if binding is None:
                raise CannotFollow("a loop assigns to a variable from outside")
            rewrite.claims.append(left)
            follow(file, binding, rewrite)
        return
    if parent is not None and parent.kind == "index_expression" and place.field == "operand":
        if is_map:
            raise CannotFollow("a missing key would be a nil pointer")
        _refer_or_star(file, parent, rewrite)
        return
    if parent is not None and parent.kind == "argument_list" and parent.parent is not None:
        function = parent.parent["function"]
        if function.name in {"len", "cap"} and file.resolve(function) is None:
            return
    raise CannotFollow(f"{use.name} is handed on")


def _refer_or_star(file: GoFile, node: Node, rewrite: Rewrite) -> None:
    """Let a place that now holds a pointer be used: assigned a pointer, or read with `*`."""
    if not refer(file, node, rewrite):
        return
    values = parenthesized(node).parent
    if values is not None and values.field == "left":
        rewrite.edits.append(assigned_pointer(file, node))
    else:
        rewrite.edits.append(prefixed(node, b"*"))


# -- S{f: x}, s.f = x ----------------------------------------------------------------------


def field_to_pointer(file: GoFile, owner: Decl, name: str) -> Rewrite:
    """Return the change of a struct's field `f T` to `f *T`, wherever it is used.

    Every value of the struct has to be made by a literal that sets the field: a zero value
    would have a nil pointer in it.
    """
    field = _field(owner, name)
    rewrite = Rewrite()
    rewrite.edits.append(prefixed(field["type"], b"*"))
    if is_api(owner) and name[:1].isupper():
        rewrite.reasons.append(f"{owner.name}.{name} is exported; code elsewhere has to follow")
    for using, node in type_uses(owner):
        for literal in _made(using, node, owner):
            rewrite.edits.append(pointer_to(using, _given(literal, name, owner)))
    for using, node, certain in field_uses(owner, field, name):
        if not certain:
            line = using.source.line_of(node.start)
            raise CannotFollow(f"the type of {node.name} is not known ({using.path}:{line})")
        _refer_or_star(using, node, rewrite)
    return rewrite


def _field(owner: Decl, name: str) -> Node:
    struct = owner.node.get("type")
    if struct is None or struct.kind != "struct_type" or owner.node.get("type_parameters"):
        raise CannotFollow(f"{owner.name} is not a plain struct")
    for group in struct.children:
        for field in group.children:
            if any(n.name == name for n in field.all("name")):
                if len(field.all("name")) > 1:
                    raise CannotFollow(f"{name} shares its type with other fields")
                return field
    raise CannotFollow(f"{name} is embedded")


def _made(file: GoFile, node: Node, owner: Decl) -> list[Node]:
    """Return the literal that a mention of a struct makes; refuse mentions that make zeros."""
    parent = node.parent
    line = f"{file.path}:{file.source.line_of(node.start)}"
    if parent is None:
        raise CannotFollow(f"{owner.name} is used in a way that is not known ({line})")
    if parent.kind == "composite_literal":
        return [parent["body"]]
    if parent.kind == "pointer_type":
        return []
    if parent.kind == "parameter_declaration" and parent.parent is not None:
        if parent.parent.field in {"parameters", "receiver"} or not parent.all("name"):
            return []
    if parent.kind in {"function_declaration", "method_declaration", "func_literal"}:
        return []  # an unnamed result
    raise CannotFollow(f"a zero {owner.name} is made, or may be ({line})")


def _given(literal: Node, name: str, owner: Decl) -> Node:
    line = f"{literal.path}:{literal.tree.source.line_of(literal.start)}"
    for element in literal.children:
        if element.kind == "keyed_element" and element["key"].name == name:
            value = element["value"].children[0]
            if value.kind == "literal_value":
                break
            return value
    raise CannotFollow(f"{owner.name} is made without {name} ({line})")


def owner_of(file: GoFile, type_: object) -> Decl | None:
    """Return the declaration of a struct type by a value's or pointer's type."""
    if isinstance(type_, Pointer):
        type_ = type_.elem
    if not isinstance(type_, Named) or type_.local or type_.args:
        return None
    package = file.package.workspace.package_by_key(type_.package)
    if package is None or not is_ours(package):
        return None
    decl = package.lookup(type_.name)
    return decl if is_decl(decl, "type") else None
