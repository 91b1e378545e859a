"""reread(): calls that the grammar takes for conversions.

With one argument, `h.fns[i](x)` and `Map[int](x)` look like conversions to a generic type, and
the grammar says so wherever what stands in the brackets may be a type. In code they are calls
nearly always, and so they read the same as with two arguments:

    type_conversion_expression             call_expression
      type: generic_type                     function: index_expression
        type: qualified_type `h.fns`           operand: selector_expression
        type_arguments: type_elem `i`          index: identifier
      operand: `x`                           arguments: argument_list `(x)`

Types that cannot be read as expressions (`Map[[]int](x)`), and several of them, stay types: the
call has `type_arguments`, as the grammar itself gives it with two arguments. A conversion to a
generic type is such a call too, as `T(x)` always was.
"""

from __future__ import annotations

from threadmend.golang.node import Node

__all__ = ["CONVERSION", "reread"]

CONVERSION = "type_conversion_expression"


def reread(root: Node, index: dict[str, list[Node]]) -> None:
    """Turn the conversions to generic types of a declaration into calls, its nodes renumbered."""
    found = [n for n in index[CONVERSION] if n["type"].kind == "generic_type"]
    for conversion in found:
        _become_call(conversion)
    if found:
        _renumber(root, index)


def _become_call(conversion: Node) -> None:
    type_, operand = conversion["type"], conversion["operand"]
    head, given = type_["type"], type_["type_arguments"]
    listed = Node()
    listed.kind, listed.tree = "argument_list", conversion.tree
    listed.start = conversion.tree.data.index(b"(", type_.end, operand.start)
    listed.end = conversion.end
    _adopt(listed, [(n, "") for n in conversion.children if n.start >= operand.start])
    conversion.kind = "call_expression"
    _as_expression(head)
    if len(given.children) == 1 and _may_be_value(given.children[0]):
        value = given.children[0].children[0]
        _as_expression(value)
        type_.kind = "index_expression"
        _adopt(type_, [(head, "operand"), (value, "index")])
        _adopt(conversion, [(type_, "function"), (listed, "arguments")])
    else:
        called = [(head, "function"), (given, "type_arguments"), (listed, "arguments")]
        _adopt(conversion, called)


def _adopt(parent: Node, children: list[tuple[Node, str]]) -> None:
    parent.children = [node for node, _ in children]
    for node, field in children:
        node.parent, node.field = parent, field


def _may_be_value(element: Node) -> bool:
    """Return whether a type argument reads as an expression too: a name, `*p`, `m[k]`."""
    if len(element.children) != 1:
        return False
    node = element.children[0]
    while node.kind == "pointer_type":
        node = node.children[-1]
    if node.kind == "generic_type":
        given = node["type_arguments"].children
        return len(given) == 1 and _may_be_value(given[0])
    return node.kind in {"type_identifier", "qualified_type"}


def _as_expression(node: Node) -> None:
    """Give a type the kinds that it has as an expression."""
    if node.kind == "type_identifier":
        node.kind = "identifier"
    elif node.kind == "qualified_type":
        package, name = node["package"], node["name"]
        node.kind = "selector_expression"
        package.kind, package.field = "identifier", "operand"
        name.kind, name.field = "field_identifier", "field"
    elif node.kind == "pointer_type":
        node.kind = "unary_expression"
        node.children[0].field = "operator"
        node.children[-1].field = "operand"
        _as_expression(node.children[-1])
    elif node.kind == "generic_type":
        head, value = node["type"], node["type_arguments"].children[0].children[0]
        node.kind = "index_expression"
        _as_expression(head)
        _as_expression(value)
        _adopt(node, [(head, "operand"), (value, "index")])


def _renumber(root: Node, index: dict[str, list[Node]]) -> None:
    """Put the nodes of a declaration in order again, in its tree and by kind."""
    nodes = root.tree.nodes
    branching = {n for group in index.values() for n in group}
    del nodes[root.at :]
    index.clear()
    open_: list[tuple[Node, int]] = [(root, -1)]
    while open_:
        node, child = open_.pop()
        if child < 0:
            node.at = len(nodes)
            nodes.append(node)
            if node in branching or node.kind == "argument_list":
                index.setdefault(node.kind, []).append(node)
            child = 0
        if child == len(node.children):
            node.stop = len(nodes)
            continue
        open_ += ((node, child + 1), (node.children[child], -1))
