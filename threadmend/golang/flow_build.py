"""The one pass over a function that makes the points of its control flow and links them.

A statement hands on what is *pending*: the points (with the label of the edge) that
continue at whatever comes next. A point is linked when it is made; only `goto` waits for
the end of the pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from threadmend.golang.flow_graph import Defer, Exit, Graph, Label, Point
from threadmend.golang.node import bare
from threadmend.golang.noreturn import NoReturn
from threadmend.golang.syntax import Node
from threadmend.golang.unclosed import ranges_over_ticker

__all__ = ["TooDeepError", "build"]

# Blocks nested deeper than this are not code that somebody wrote.
_MAX_DEPTH = 150


class TooDeepError(Exception):
    """Raised for a function that nests deeper than the pass follows."""


_Pending = list[tuple[Point, Label]]


class _Target(NamedTuple):
    """What `break` and `continue` leave behind for the statement around them."""

    label: str
    breaks: _Pending
    continues: _Pending | None


def build(function: Node, noreturn: NoReturn) -> Graph:
    """Return the points, exits and defers of a function; raises TooDeepError."""
    body = function.get("body")
    builder = _Builder(noreturn)
    pending: _Pending = [(builder.point(function, []), "")]
    builder.dead = False
    if body is not None:
        pending = builder.statements(body.children, pending)
    end = Point(len(builder.points), body or function, None)
    builder.points.append(end)
    _link(pending, end)
    builder.finish()
    for point in builder.points:
        point.labels = _SHARED.setdefault(tuple(point.labels), point.labels)
    return Graph(builder.points, _exits(builder, end), builder.defers, bool(builder.gotos))


# Nearly all points have the labels that another one has.
_SHARED: dict[tuple[Label, ...], list[Label]] = {}


def _link(pending: _Pending, point: Point) -> None:
    for source, label in pending:
        source.successors.append(point)
        source.labels.append(label)
        point.predecessors.append(source)


def _exits(builder: _Builder, end: Point) -> list[Exit]:
    found = [exit_ for exit_ in builder.exits if exit_.point.live]
    if end.live and end.predecessors:
        found.append(Exit("end", end.node, end))
    if builder.endless:
        leaving = {exit_.point for exit_ in found if exit_.kind != "blocked"}
        found += [
            Exit("blocked", head.loop or head.node, head)
            for head in builder.endless
            if head.live and _runs_forever(head, leaving)
        ]
    found.sort(key=lambda exit_: exit_.point.index)
    return found


def _runs_forever(head: Point, leaving: set[Point]) -> bool:
    """Return whether a path from a loop's head returns to it and none leaves the function."""
    seen: set[Point] = set()
    todo = list(head.successors)
    while todo:
        point = todo.pop()
        if point in seen:
            continue
        if point in leaving:
            return False
        seen.add(point)
        todo.extend(point.successors)
    return head in seen


class _Builder:
    def __init__(self, noreturn: NoReturn) -> None:
        self.noreturn = noreturn
        self.points: list[Point] = []
        self.exits: list[Exit] = []
        self.defers: list[Defer] = []
        self.endless: list[Point] = []
        self.gotos: list[tuple[Point, str]] = []
        self.labels: dict[str, Point] = {}
        self.targets: list[_Target] = []
        self.fallen: _Pending = []
        self.loop: Node | None = None
        self.label = ""
        self.dead = False
        self.depth = 0

    def point(self, node: Node, pending: _Pending) -> Point:
        points = self.points
        point = Point(len(points), node, self.loop)
        points.append(point)
        if pending:
            _link(pending, point)
        else:
            self.dead = True
        return point

    def statements(self, nodes: list[Node], pending: _Pending) -> _Pending:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise TooDeepError
        for node in nodes:
            step = _STEPS.get(node.kind)
            if step is None:
                pending = [(self.point(node, pending), "")]
            else:
                pending = step(self, node, pending)
        self.depth -= 1
        return pending

    def finish(self) -> None:
        """Link the gotos, then mark what no path reaches."""
        for point, name in self.gotos:
            target = self.labels.get(name)
            if target is not None:
                _link([(point, "")], target)
        if not self.dead:
            return
        for point in self.points:
            point.live = False
        todo = [self.points[0]]
        while todo:
            point = todo.pop()
            if not point.live:
                point.live = True
                todo.extend(point.successors)

    def take_label(self) -> str:
        label, self.label = self.label, ""
        return label


def _expression(b: _Builder, node: Node, pending: _Pending) -> _Pending:
    point = b.point(node, pending)
    call = node.children[0] if node.children else node
    if call.kind == "call_expression":
        kind = b.noreturn(call)
        if kind is not None:
            b.exits.append(Exit(kind, node, point))
            return []
    return [(point, "")]


def _return(b: _Builder, node: Node, pending: _Pending) -> _Pending:
    b.exits.append(Exit("return", node, b.point(node, pending)))
    return []


def _defer(b: _Builder, node: Node, pending: _Pending) -> _Pending:
    point = b.point(node, pending)
    call = node.children[-1]
    called = call.get("function")
    b.defers.append(Defer(node, point, call, call if called is None else bare(called)))
    return [(point, "")]


def _block(b: _Builder, node: Node, pending: _Pending) -> _Pending:
    return b.statements(node.children, pending)


def _nothing(b: _Builder, node: Node, pending: _Pending) -> _Pending:
    return pending


def _label_of(node: Node) -> str:
    for child in node.children:
        if child.kind == "label_name":
            return child.name
    return ""


def _break(b: _Builder, node: Node, pending: _Pending) -> _Pending:
    point, label = b.point(node, pending), _label_of(node)
    for target in reversed(b.targets):
        if not label or target.label == label:
            target.breaks.append((point, ""))
            break
    return []


def _continue(b: _Builder, node: Node, pending: _Pending) -> _Pending:
    point, label = b.point(node, pending), _label_of(node)
    for target in reversed(b.targets):
        if target.continues is not None and (not label or target.label == label):
            target.continues.append((point, ""))
            break
    return []


def _goto(b: _Builder, node: Node, pending: _Pending) -> _Pending:
    b.gotos.append((b.point(node, pending), _label_of(node)))
    return []


def _fallthrough(b: _Builder, node: Node, pending: _Pending) -> _Pending:
    b.fallen = [(b.point(node, pending), "")]
    return []


def _labelled(b: _Builder, node: Node, pending: _Pending) -> _Pending:
    name = _label_of(node)
    b.labels[name] = point = b.point(node, pending)
    inner = [child for child in node.children if child.kind != "label_name"]
    if inner and inner[0].kind in _BREAKABLE:
        b.label = name
    return b.statements(inner, [(point, "")])


def _if(b: _Builder, node: Node, pending: _Pending) -> _Pending:
    after: _Pending = []
    chained: Node | None = node
    # `else if` is followed here, not by recursion: generated chains are long.
    while chained is not None:
        condition = body = other = None
        for child in chained.children:
            field = child.field
            if field == "condition":
                condition = child
            elif field == "consequence":
                body = child
            elif field == "alternative":
                other = child
            elif field == "initializer":
                pending = [(b.point(child, pending), "")]
        test = b.point(condition or chained, pending)
        constant = condition.kind if condition is not None else ""
        pending = [] if constant == "false" else [(test, "true")]
        after += b.statements(body.children if body is not None else [], pending)
        pending = [] if constant == "true" else [(test, "false")]
        chained = None
        if other is not None:
            if other.kind == "if_statement":
                chained = other
            else:
                pending = b.statements(other.children, pending)
    return after + pending


def _for(b: _Builder, node: Node, pending: _Pending) -> _Pending:
    label = b.take_label()
    outer = b.loop
    body: list[Node] = []
    condition = update = ranged = None
    for child in node.children:
        kind = child.kind
        if kind == "for_clause":
            for part in child.children:
                if part.field == "initializer":
                    pending = [(b.point(part, pending), "")]
                elif part.field == "condition":
                    condition = part
                elif part.field == "update":
                    update = part
        elif kind == "range_clause":
            ranged = child
            pending = [(b.point(child.get("right") or child, pending), "")]
        elif child.field == "body":
            body = child.children
        elif kind != "for":
            condition = child
    b.loop = node
    head = b.point(ranged or condition or node, pending)
    into: Label = "range-next" if ranged else "true" if condition else ""
    target = _Target(label, [], [])
    b.targets.append(target)
    back = b.statements(body, [(head, into)]) + (target.continues or [])
    b.targets.pop()
    if update is not None:
        back = [(b.point(update, back), "")]
    _link(back, head)
    b.loop = outer
    if ranged is not None and not ranges_over_ticker(ranged):
        return [*target.breaks, (head, "range-done")]
    if ranged is not None or condition is None or condition.kind == "true":
        b.endless.append(head)
        return target.breaks
    return [*target.breaks, (head, "false")]


def _switch(b: _Builder, node: Node, pending: _Pending) -> _Pending:
    target = _Target(b.take_label(), [], None)
    clauses: list[Node] = []
    for child in node.children:
        if child.field in {"initializer", "value"}:
            pending = [(b.point(child, pending), "")]
        elif child.kind in {"expression_case", "default_case"}:
            clauses.append(child)
    # The cases are tested in order, the default clause is entered after the last test
    # wherever it stands, and `fallthrough` goes to the clause that stands next.
    entries: list[_Pending] = []
    default = -1
    for clause in clauses:
        value = clause.get("value")
        if value is None:
            default = len(entries)
            entries.append([])
            continue
        test = b.point(value, pending)
        entries.append([(test, "true")])
        pending = [(test, "false")]
    if default >= 0:
        entries[default] = pending
        pending = []
    b.targets.append(target)
    for clause, entry in zip(clauses, entries, strict=True):
        fallen, b.fallen = b.fallen, []
        pending = pending + b.statements(clause.statements, entry + fallen)
    b.fallen = []
    b.targets.pop()
    return target.breaks + pending


def _type_switch(b: _Builder, node: Node, pending: _Pending) -> _Pending:
    target = _Target(b.take_label(), [], None)
    head: Point | None = None
    b.targets.append(target)
    after: _Pending = []
    defaulted = False
    for child in node.children:
        if child.field == "initializer":
            pending = [(b.point(child, pending), "")]
        elif child.field == "value":
            head = b.point(child, pending)
        elif head is not None and child.kind == "type_case":
            after += b.statements(child.statements, [(head, "case")])
        elif head is not None and child.kind == "default_case":
            defaulted = True
            after += b.statements(child.statements, [(head, "default")])
    b.targets.pop()
    if head is not None and not defaulted:
        after.append((head, "default"))
    return target.breaks + after


def _select(b: _Builder, node: Node, pending: _Pending) -> _Pending:
    target = _Target(b.take_label(), [], None)
    head = b.point(node, pending)
    b.targets.append(target)
    after: _Pending = []
    blocked = True
    for clause in node.children:
        if clause.kind == "communication_case":
            blocked = False
            communication = clause.get("communication") or clause
            received = b.point(communication, [(head, "case")])
            after += b.statements(clause.statements, [(received, "")])
        elif clause.kind == "default_case":
            blocked = False
            after += b.statements(clause.statements, [(head, "default")])
    b.targets.pop()
    if blocked:
        b.exits.append(Exit("blocked", node, head))
    return target.breaks + after


_BREAKABLE = frozenset(
    {"for_statement", "select_statement", "expression_switch_statement", "type_switch_statement"}
)

_STEPS: dict[str, Callable[[_Builder, Node, _Pending], _Pending]] = {
    "expression_statement": _expression,
    "return_statement": _return,
    "if_statement": _if,
    "for_statement": _for,
    "expression_switch_statement": _switch,
    "type_switch_statement": _type_switch,
    "select_statement": _select,
    "defer_statement": _defer,
    "block": _block,
    "labeled_statement": _labelled,
    "break_statement": _break,
    "continue_statement": _continue,
    "goto_statement": _goto,
    "fallthrough_statement": _fallthrough,
    "empty_statement": _nothing,
}
