"""Edits of struct types and literals: add or remove a field, change a field's type.

Columns come from `realign`; here a single blank stands between name, type, tag and comment.
"""

from __future__ import annotations

import re

from threadmend.golang.builders.lines import (
    BuilderError,
    code_lines,
    content_end,
    first_on_line,
    leading_start,
    line_indent,
)
from threadmend.golang.builders.lists import Items, removed
from threadmend.golang.syntax import Node
from threadmend.model import Edit

_COMMENTED = re.compile(rb",[ \t]*//.*\r?\n")

__all__ = ["add_field", "change_field_type", "fields", "remove_element", "remove_field"]


def fields(struct_type: Node) -> list[Node]:
    """Return the field declarations of a struct type, in order."""
    return [c for c in _body(struct_type).children if c.kind == "field_declaration"]


def _body(struct_type: Node) -> Node:
    if struct_type.kind == "field_declaration_list":
        return struct_type
    for child in struct_type.children:
        if child.kind == "field_declaration_list":
            return child
    raise BuilderError(f"a {struct_type.kind} has no fields")


def add_field(
    struct_type: Node,
    name: str,
    type_: str,
    *,
    before: Node | None = None,
    after: Node | None = None,
    doc: str | None = None,
    tag: str | None = None,
    blank_line: bool = False,
) -> tuple[Edit, ...]:
    """Add a field, at the end or next to another field.

    An empty `name` embeds the type. `doc` is comment text, `//` left out. `blank_line` sets
    the new field apart from the field that it follows (from the one below with `before`).

    >>> add_field(struct, "mu", "sync.Mutex", before=counter)  # doctest: +SKIP
    """
    body = _body(struct_type)
    tree, source = body.tree, body.tree.source
    declared = fields(body)
    text = " ".join(part for part in (name, type_, tag) if part)
    if doc is not None:
        text = "".join(f"// {line}".rstrip() + "\n" for line in doc.split("\n")) + text
    newline = source.newline
    if not first_on_line(tree, body.end - 1) or any(
        not first_on_line(tree, field.start) for field in declared
    ):
        return _opened(body, declared, text, before or after, is_before=before is not None)
    indent = line_indent(tree, body.end - 1) + b"\t"
    lines = code_lines(text, indent, newline)
    apart = newline if blank_line and declared else b""
    if before is not None:
        at = leading_start(tree, before.start)
        return (Edit(source.path, at, at, lines + newline + apart),)
    if after is None and not declared:
        at = source.line_start(body.end - 1)
        return (Edit(source.path, at, at, lines + newline),)
    at = content_end(tree, (after or declared[-1]).end)
    return (Edit(source.path, at, at, newline + apart + lines),)


def _opened(
    body: Node, declared: list[Node], text: str, anchor: Node | None, *, is_before: bool
) -> tuple[Edit, ...]:
    """Give the fields of a one-line struct lines of their own, the new one among them."""
    tree, source = body.tree, body.tree.source
    if tree.comments_in(body.start, body.end):
        raise BuilderError("a one-line struct with comments")
    indent = line_indent(tree, body.start)
    items = [field.text.decode() for field in declared]
    at = next((i for i, field in enumerate(declared) if field is anchor), len(declared))
    items.insert(at if is_before else at + 1, text)
    lines = source.newline.join(code_lines(i, indent + b"\t", source.newline) for i in items)
    start = len(tree.data[: body.start].rstrip(b" \t"))
    new = b" {" + source.newline + lines + source.newline + indent + b"}"
    return (Edit(source.path, start, body.end, new),)


def change_field_type(field: Node, type_: str) -> tuple[Edit, ...]:
    """Replace the type of a field; an embedded one included, its `*` too.

    With `a, b T` all names get the new type.
    """
    names = field.all("name")
    parts = [c for c in field.children if c.field != "tag" and c not in names]
    if not parts:
        raise BuilderError("a field without a type")
    start, end = parts[0].start, parts[-1].end
    if field.tree.comments_in(start, end):
        raise BuilderError("a comment inside the type would be lost")
    indent = line_indent(field.tree, field.start)
    lines = code_lines(type_, indent, field.tree.source.newline).removeprefix(indent)
    return (Edit(field.path, start, end, lines),)


def remove_field(field: Node) -> tuple[Edit, ...]:
    """Remove a field declaration with the comments that belong to it.

    A blank line that would be left at the start or end of the struct, or next to another,
    goes too. Raises BuilderError where the field shares its line.
    """
    tree, source = field.tree, field.tree.source
    start = leading_start(tree, field.start)
    body = field.parent
    if body is not None and fields(body) == [field]:
        inside = tree.comments_in(body.start, body.end)
        if all(start <= c.start and c.end <= content_end(tree, field.end) for c in inside):
            opening = len(tree.data[: body.start].rstrip())
            return (Edit(source.path, opening, body.end, b"{}"),)
    end = source.line_end(content_end(tree, field.end))
    code = tree.data[field.end : end].split(b"//")[0].split(b"/*")[0]
    if not first_on_line(tree, field.start) or code.strip():
        raise BuilderError("the field shares its line")
    above = source.line_start(max(start - 1, 0))
    below = source.line_end(end)
    opens = tree.data[:start].rstrip().endswith(b"{")
    if not tree.data[end:below].strip() and (opens or not tree.data[above:start].strip()):
        end = below
    elif not tree.data[above:start].strip() and tree.data[end:below].strip() == b"}":
        start = above
    return (Edit(source.path, start, end, b""),)


def remove_element(element: Node) -> tuple[Edit, ...]:
    """Remove an element of a composite literal, with its line when it has one of its own.

    A comment at the end of that line goes with it.
    """
    body = element.parent
    if body is None or body.kind != "literal_value":
        raise BuilderError(f"a {element.kind} is no element of a literal")
    tree, source = body.tree, body.tree.source
    line = source.line_end(element.end)
    if first_on_line(tree, element.start) and _COMMENTED.fullmatch(tree.data, element.end, line):
        return (Edit(source.path, source.line_start(element.start), line, b""),)
    items = Items(body.tree, body.start + 1, body.children, body.end - 1)
    return (removed(items, next(i for i, e in enumerate(body.children) if e is element)),)


def add_element(literal: Node, text: str) -> tuple[Edit, ...]:
    """Add `name: value` to a struct literal that is written with names, at its end."""
    body = literal["body"]
    elements = body.children
    tree = literal.tree
    if not elements:
        if tree.comments_in(body.start, body.end):
            raise BuilderError("a literal with comments only")
        return (Edit(literal.path, body.start, body.end, f"{{{text}}}".encode()),)
    last = elements[-1]
    if b"\n" not in tree.data[last.end : body.end]:
        return (Edit(literal.path, last.end, last.end, f", {text}".encode()),)
    indent = tree.source.indent_at(last.start)
    end = tree.source.line_end(last.end)
    line = indent + text.encode() + b"," + tree.source.newline
    return (Edit(literal.path, end, end, line),)
