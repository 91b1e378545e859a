"""Where gofmt aligns: the gaps between columns, and the lines that begin a new section.

This follows go/printer (nodes.go, printer.go): a gap stands where it prints a tab or
vertical tab, a section begins where it prints a form feed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from threadmend.golang.builders.lines import first_on_line
from threadmend.golang.syntax import BLOCKS, Declaration, Node, SyntaxTree

__all__ = ["Gap", "Sections"]


class Gap(NamedTuple):
    """The blanks [start, end) between two columns.

    `cells` is the number of cells that end here; 0 is a gap that is always one blank.
    """

    start: int
    end: int
    cells: int
    hard: bool = False


_CLAUSES = frozenset(BLOCKS - {"block"})
_SPECS = ("import_spec", "var_spec", "const_spec", "type_spec", "type_alias")


class Sections:
    """Collects the gaps and the section starts (line numbers) of declarations."""

    def __init__(self, tree: SyntaxTree, declarations: Sequence[Declaration]) -> None:
        self.tree = tree
        self.line = tree.source.line_of
        self.gaps: dict[int, Gap] = {}
        self.starts: set[int] = set()
        self.raw: set[int] = set()
        """Lines that begin inside a raw string or block comment."""
        self._tabs_before_comment: dict[int, int] = {}
        for declaration in declarations:
            for node in declaration.node.walk():
                visit = _VISITS.get(node.kind)
                if visit is not None:
                    visit(self, node)
        if declarations:
            self._comments(declarations[0].start, declarations[-1].end)

    def gap(self, start: int, end: int, cells: int, *, hard: bool = False) -> None:
        """Record a gap, if only blanks stand there."""
        text = self.tree.data[start:end]
        if text.strip(b" \t") == b"" and (text or not hard):
            self.gaps[start] = Gap(start, end, cells, hard)

    def _blanks_before(self, end: int) -> int:
        """Return where the blanks begin that stand before an offset on its line."""
        start = self.tree.source.line_start(end)
        return start + len(self.tree.data[start:end].rstrip(b" \t"))

    def several(self, nodes: Sequence[Node]) -> None:
        """Record the starts in a list of statements, fields or specs on lines of their own."""
        previous: Node | None = None
        for node in nodes:
            line = self.line(node.start)
            if previous is None:
                self.starts.add(line)
            else:
                inner = previous
                while inner.kind == "labeled_statement" and inner.children[-1].field != "label":
                    inner = inner.children[-1]
                if self.line(inner.start) != self.line(inner.end - 1):
                    self.starts.add(line)
            previous = node

    def closing(self, node: Node) -> None:
        self.starts.add(self.line(node.end - 1))

    def block(self, node: Node) -> None:
        if self.line(node.start) != self.line(node.end):
            self.several(node.statements)
            self.closing(node)

    def clause(self, node: Node) -> None:
        self.starts.add(self.line(node.start))
        self.several(node.statements)

    def closed(self, node: Node) -> None:
        """A switch or select: its closing brace."""
        self.closing(node)

    def label(self, node: Node) -> None:
        self.starts.add(self.line(node.start))
        if len(node.children) > 1:
            self.starts.add(self.line(node.children[-1].start))

    def function(self, node: Node) -> None:
        start = self.line(node.start)
        if start != self.line(node.end):
            self.starts.add(start)
        body = node.get("body")
        if body is not None:
            one_line = self.line(body.start) == self.line(body.end)
            self.gap(self._blanks_before(body.start), body.start, int(one_line))

    def binary(self, node: Node) -> None:
        left, right = node.children[0], node.children[-1]
        if self.line(left.end) != self.line(right.start):
            self.starts.add(self.line(right.start))

    def parameters(self, node: Node) -> None:
        line = self.line(node.start)
        for child in node.children:
            if self.line(child.start) > line:
                self.starts.add(self.line(child.start))
            line = self.line(child.end)
        if self.line(node.end - 1) > line:
            self.closing(node)

    def group(self, node: Node) -> None:
        """A parenthesized group of specs, or a single spec."""
        specs = [c for c in node.children if c.kind in _SPECS]
        if not specs or self.line(node.start) == self.line(node.end):
            return
        if self.tree.data[node.end - 1 : node.end] != b")":
            return
        self.several(specs)
        self.closing(node)
        if specs[0].kind in {"var_spec", "const_spec"}:
            keep = _keep_type(specs) if len(specs) > 1 else [False]
            for spec, kept in zip(specs, keep, strict=True):
                self._value_spec(spec, kept, grouped=len(specs) > 1)
        elif specs[0].kind != "import_spec":
            for spec in specs:
                left = (spec.get("type_parameters") or spec["name"]).end
                right = next((c for c in spec.children if c.kind == "="), spec["type"]).start
                self.gap(left, right, int(len(specs) > 1))

    def _value_spec(self, spec: Node, keep_type: bool, *, grouped: bool) -> None:
        names, type_ = spec.all("name"), spec.get("type")
        self._list(names, 0, 0, closes=False)
        equals = next((c for c in spec.children if c.kind == "="), None)
        tabs = 3 if grouped else 0
        end = names[-1].end
        pending = 0
        if type_ is not None or keep_type:
            pending, tabs = 1, tabs - 1
        if type_ is not None:
            self.gap(end, type_.start, int(grouped))
            end, pending = type_.end, 0
        if equals is not None:
            self.gap(end, equals.start, pending + int(grouped))
            tabs -= 1
            end, pending = spec.end, 0
        if grouped:
            self._tabs_before_comment[end] = max(tabs, 0) + pending

    def fields(self, node: Node) -> None:
        if self.line(node.start) == self.line(node.end):
            return
        fields = node.children
        self.several(fields)
        self.closing(node)
        aligned = int(len(fields) > 1)
        for field in fields:
            names, type_, tag = field.all("name"), field["type"], field.get("tag")
            tabs = 2
            self._list(names, 0, 0, closes=False)
            if names:
                self.gap(names[-1].end, _type_start(field, names[-1]), aligned)
                tabs = 1
            if tag is not None:
                self.gap(type_.end, tag.start, (2 if names else 1) * aligned)
            elif aligned:
                self._tabs_before_comment[field.end] = tabs

    def interface(self, node: Node) -> None:
        if self.line(node.start) != self.line(node.end):
            self.several([c for c in node.children if c.kind != "interface"])
            self.closing(node)

    def arguments(self, node: Node) -> None:
        items = node.children
        spread = bool(items) and items[-1].kind == "variadic_argument"
        self._list(items, self.line(node.start), self.line(node.end - 1), closes=True)
        if spread and self.line(items[-1].end) < self.line(node.end - 1):
            self.closing(node)

    def expressions(self, node: Node) -> None:
        """The lists of an assignment, return or spec, which have no brackets."""
        parent = node.parent
        before = node.previous
        if parent is None:
            return
        if node.field == "left" or parent.kind == "expression_case":
            self._list(node.children, self.line(parent.start), self.line(node.end), closes=False)
        elif before is not None and node.field == "right":
            self._list(node.children, self.line(before.start), 0, closes=False)
        else:
            self._list(node.children, 0, 0, closes=False)

    def _list(self, items: Sequence[Node], opens: int, ends: int, *, closes: bool) -> None:
        """Follow exprList of go/printer. A line of 0 is an unknown position."""
        if not items:
            return
        first, last = self.line(items[0].start), self.line(items[-1].end)
        if not (opens == first == last):
            breaks = _Breaks(self, items, opens, bool(opens and ends))
            breaks.follow()
        if closes and last < ends:
            self.starts.add(ends)

    def raw_string(self, node: Node) -> None:
        first, last = self.line(node.start), self.line(node.end)
        if first != last:
            self.raw.update(range(first + 1, last + 1))
            self.starts.update(range(first + 1, last + 2))

    def _comments(self, start: int, end: int) -> None:
        tree = self.tree
        for comment in tree.comments_in(start, tree.source.line_end(end)):
            first, last = self.line(comment.start), self.line(comment.end)
            if first != last:
                self.raw.update(range(first + 1, last + 1))
                self.starts.update(range(first + 1, last + 1))
            if first_on_line(tree, comment.start):
                self.starts.add(first)
                continue
            rest = tree.data[comment.end : tree.source.line_end(comment.end)].strip()
            if rest and not rest.startswith((b"//", b"/*")):
                continue
            before = self._blanks_before(comment.start)
            tabs = self._tabs_before_comment.get(before, 0)
            if tabs:
                self.gap(before, comment.start, tabs)
            else:
                self.gap(before, comment.start, 1, hard=True)


class _Breaks:
    """The line breaks and key columns of one expression list (exprList of go/printer)."""

    def __init__(self, sections: Sections, items: Sequence[Node], opens: int, sized: bool) -> None:
        self.sections = sections
        self.line = sections.line
        self.items = items
        self.opens = opens
        self.sized = sized
        self.logarithms: list[float] = []

    def follow(self) -> None:
        last_break = -1
        size = 0
        line_before = self.opens
        for index, item in enumerate(self.items):
            line = self.line(item.start)
            breaks = 0 < line_before < line
            before, size = size, self._size(item)
            if index == 0 and breaks:
                self.sections.starts.add(line)
                last_break = 0
            elif breaks:
                apart = self._apart(before, size) or last_break + 1 < index
                if apart:
                    self.sections.starts.add(line)
                distance = line - self.line(self.items[index - 1].end)
                if distance > 0:
                    last_break = index
                if apart or distance > 1:
                    self.logarithms.clear()
            if item.kind == "keyed_element":
                self._pair(item, column=len(self.items) > 1 and size > 0 and breaks)
            if size > 0:
                self.logarithms.append(math.log(size))
            line_before = line

    def _size(self, item: Node) -> int:
        """Return the size that decides about alignment: of the key, or of the expression."""
        if not self.sized or self.line(item.start) != self.line(item.end):
            return 0
        return len((item.get("key") or item).text)

    def _apart(self, before: int, size: int) -> bool:
        """Return whether a new section begins: the sizes differ too much."""
        if before <= 0 or size <= 0:
            return True
        if not self.logarithms or (before <= 40 and size <= 40):
            return False
        mean = math.exp(math.fsum(self.logarithms) / len(self.logarithms))
        ratio = size / mean
        return 2.5 * ratio <= 1 or ratio >= 2.5

    def _pair(self, item: Node, *, column: bool) -> None:
        key, value = item.get("key"), item.get("value")
        if key is not None and value is not None:
            colon = self.sections.tree.data.find(b":", key.end, value.start)
            if colon >= 0:
                self.sections.gap(colon + 1, value.start, int(column))


def _type_start(field: Node, name: Node) -> int:
    """Return where a field's type begins, a `*` that stands apart included."""
    return next(child.start for child in field.children if child.start >= name.end)


def _keep_type(specs: Sequence[Node]) -> list[bool]:
    """Return for every spec whether its type column is kept (keepTypeColumn)."""
    keep = [False] * len(specs)
    begin = -1
    typed = False
    for index, spec in enumerate(specs):
        if spec.get("value") is not None:
            if begin < 0:
                begin, typed = index, False
        elif begin >= 0:
            keep[begin:index] = [typed] * (index - begin)
            begin = -1
        typed = typed or spec.get("type") is not None
    if begin >= 0:
        keep[begin:] = [typed] * (len(specs) - begin)
    return keep


_Visit = Callable[[Sections, Node], None]
_VISITS: dict[str, _Visit] = {
    "block": Sections.block,
    "expression_switch_statement": Sections.closed,
    "type_switch_statement": Sections.closed,
    "select_statement": Sections.closed,
    "labeled_statement": Sections.label,
    "function_declaration": Sections.function,
    "method_declaration": Sections.function,
    "binary_expression": Sections.binary,
    "parameter_list": Sections.parameters,
    "type_parameter_list": Sections.parameters,
    "import_spec_list": Sections.group,
    "var_spec_list": Sections.group,
    "const_declaration": Sections.group,
    "type_declaration": Sections.group,
    "field_declaration_list": Sections.fields,
    "interface_type": Sections.interface,
    "argument_list": Sections.arguments,
    "literal_value": Sections.arguments,
    "expression_list": Sections.expressions,
    "raw_string_literal": Sections.raw_string,
    **dict.fromkeys(_CLAUSES, Sections.clause),
}
