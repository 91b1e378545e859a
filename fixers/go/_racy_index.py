"""Index: each iteration writes an element of its own instead of appending.

    var out []T                          out := make([]T, len(items))
    for i, item := range items {         for i, item := range items {
        go func() {                 →        go func() {
            out = append(out, f(item))           out[i] = f(item)

Sound: every iteration of the one loop launches once, every goroutine appends exactly once,
and nobody else writes the slice; so after the wait it has as many elements as the loop has
iterations, one from each. Their order, which was the goroutines', becomes the loop's.
"""

from __future__ import annotations

import re

from threadmend.golang.builders import BuilderError, insert_before
from threadmend.golang.builders.spacing import respaced
from threadmend.golang.counts import Count, iterations, valid_at
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import Launch
from threadmend.golang.iterations import turns
from threadmend.golang.ordering import declaring_statement
from threadmend.golang.scope import bindings_in
from threadmend.golang.syntax import Node
from threadmend.golang.types import Array, Map, Named, Slice
from threadmend.model import Edit, Fix, Safety

from ._racy import Race

_PER_ITERATION = (1, 22)
_EMPTY = re.compile(rb"make\(([^,]+), 0(?:, [^()]+(?:\([^()]*\))?)?\)")


def by_index(race: Race) -> Fix | None:
    """Return the fix that indexes, when every iteration appends exactly once."""
    append = _only_append(race)
    statement = declaring_statement(race.binding)
    if append is None or statement is None or len(race.strands) != 1:
        return None
    launch = race.strands[0].launch
    if launch is None or launch.literal is None or not _once_per_run(launch.literal, append):
        return None
    loop = launch.loop
    if loop is None or launch.function is not race.binding.function:
        return None
    if not _once_per_iteration(loop, launch) or loop.parent is not statement.parent:
        return None
    if any(a.node.start < loop.end and not append.contains(a.node) for a in race.accesses):
        return None
    count = iterations(race.file, loop)
    if count is None or count.factor != 1 or not valid_at(race.file, count, statement):
        return None
    if not _exact(race, loop, count):
        return None
    declared = _declaration(race, statement, str(count))
    if declared is None:
        return None
    try:
        edits = [declared[0], *_indexed(race, loop, launch, append)]
    except BuilderError:
        return None
    title = f"Let each iteration fill its own element of {race.name}"
    if declared[1] and _sees_nil(race):
        reason = f"{race.name} is empty instead of nil when there is nothing to do"
        return Fix(title, tuple(edits), Safety.UNSAFE, reason)
    return Fix(title, tuple(edits))


def _only_append(race: Race) -> Node | None:
    """Return `xs = append(xs, v)` when it is the only thing that writes, and appends one."""
    writes = [a for a in race.accesses if a.writes]
    if len(writes) != 1 or any(a.kind == "address" for a in race.accesses):
        return None
    listed = writes[0].node.parent
    assignment = listed.parent if listed is not None else None
    if assignment is None or assignment.kind != "assignment_statement":
        return None
    if len(assignment["left"].children) != 1 or len(assignment["right"].children) != 1:
        return None
    if assignment["operator"].kind != "=" or writes[0].steps:
        return None
    call = assignment["right"].children[0]
    if call.kind != "call_expression" or call["function"].text != b"append":
        return None
    arguments = call["arguments"].children
    if len(arguments) != 2 or arguments[0].text != race.name.encode():
        return None
    if arguments[1].kind == "variadic_argument" or b"..." in call.text[-4:]:
        return None
    return assignment


def _once_per_run(literal: Node, append: Node) -> bool:
    """Return whether a goroutine appends exactly once, whatever path it takes."""
    if append.function is not literal:
        return False
    flow = flow_of(literal)
    point = flow.point_of(append)
    return point is not None and flow.complete and flow.count(point) == (1, 1)


def _once_per_iteration(loop: Node, launch: Launch) -> bool:
    """Return whether every iteration launches, and none leaves the loop early."""
    function = loop.function
    if function is None:
        return False
    flow = flow_of(function)
    point = flow.point_of(launch.node)
    heads = turns(flow, loop)
    if point is None or not heads or not flow.complete or launch.statement.parent is None:
        return False
    inside = [p for p in flow.points if p.live and loop["body"].contains(p.node)]
    if not inside or any(h in flow.reachable(inside[0], stop=lambda p: p is point) for h in heads):
        if inside[0] is not point:
            return False
    jumps = loop["body"].own()
    return not any(
        n.kind in {"break_statement", "goto_statement", "return_statement"} for n in jumps
    )


def _exact(race: Race, loop: Node, count: Count) -> bool:
    """Return whether the bound is the number of iterations, and an index counts them."""
    clause = next(c for c in loop.children if c.kind in {"range_clause", "for_clause"})
    if clause.kind == "for_clause":
        start = clause["initializer"]["right"].children[0]
        return start.text == b"0" and clause["condition"]["operator"].kind == "<"
    under = race.file.underlying(race.file.type_of(clause["right"]))
    return not isinstance(under, Map) and isinstance(under, Slice | Array | Named)


def _declaration(race: Race, statement: Node, length: str) -> tuple[Edit, bool] | None:
    """Return the edit that makes the slice with its length, and whether it was nil before."""
    declaration = race.binding.declaration
    path = statement.path
    if statement.kind == "short_var_declaration" and len(statement["left"].children) == 1:
        value = statement["right"].children[0]
        made = _EMPTY.fullmatch(value.text)
        if made is not None:
            type_ = made[1].decode()
        elif value.kind == "composite_literal" and not value["body"].children:
            type_ = value["type"].name
        else:
            return None
        return Edit(path, value.start, value.end, f"make({type_}, {length})".encode()), False
    alone = statement.kind == "var_declaration" and b"(" not in statement.text.split(b"\n")[0][:5]
    if alone and declaration.kind == "var_spec" and len(declaration.all("name")) == 1:
        type_node = declaration.get("type")
        if declaration.get("value") is not None or type_node is None:
            return None
        if type_node.kind not in {"slice_type", "type_identifier", "qualified_type"}:
            return None
        code = f"{race.name} := make({type_node.name}, {length})".encode()
        return Edit(path, statement.start, statement.end, code), True
    return None


def _sees_nil(race: Race) -> bool:
    """Return whether somebody could tell an empty slice from a nil one."""
    for access in race.accesses:
        parent = access.node.parent
        if access.writes or parent is None or parent.kind == "range_clause":
            continue
        if parent.kind in {"index_expression", "slice_expression", "variadic_argument"}:
            continue
        if parent.kind == "argument_list" and parent.parent is not None:
            function = parent.parent["function"]
            if function.text in {b"len", b"cap", b"append", b"copy", b"strings.Join"}:
                continue
            if function.text.startswith((b"sort.", b"slices.Sort")):
                continue
        if any(a is access for a in race.inside(race.strands[0].body)):
            continue
        return True
    return False


def _indexed(race: Race, loop: Node, launch: Launch, append: Node) -> list[Edit]:
    """Return the edits of the loop's head, the launch and the append."""
    name, edits = _index_name(race, loop)
    value = append["right"].children[0]["arguments"].children[1]
    literal = launch.literal
    assert literal is not None
    passed = _is_passed(launch, literal, name)
    if not passed and any(bindings_in(n).get(name) for n in literal.walk() if n.children):
        raise BuilderError(f"the goroutine declares another {name}")
    text = f"{race.name}[{name}] = ".encode()
    edits.append(Edit(append.path, append.start, value.start, text))
    tail = append.end
    edits.append(Edit(append.path, value.end, tail, b""))
    data = append.tree.data
    edits += (e for e in respaced(value, 1) if data[e.start : e.end] != e.new)
    if race.file.go_version < _PER_ITERATION and not passed:
        edits += insert_before(launch.statement, f"{name} := {name}")
    return edits


def _is_passed(launch: Launch, literal: Node, name: str) -> bool:
    """Return whether the goroutine gets the index as an argument, under its own name."""
    if launch.call is None or launch.kind != "go":
        return False
    names = [n.name for p in literal["parameters"].children for n in p.all("name")]
    given = [a.name for a in launch.call["arguments"].children]
    return (name, name) in zip(names, given, strict=False)


def _index_name(race: Race, loop: Node) -> tuple[str, list[Edit]]:
    clause = next(c for c in loop.children if c.kind in {"range_clause", "for_clause"})
    if clause.kind == "for_clause":
        return clause["initializer"]["left"].children[0].name, []
    left = clause.get("left")
    if left is None:
        name = race.names.free("i")
        start = clause.start
        return name, [Edit(loop.path, start, start, f"{name} := ".encode())]
    if not any(c.kind == ":=" for c in clause.children):
        raise BuilderError("the loop assigns a variable from outside")
    first = left.children[0]
    if first.text != b"_":
        return first.name, []
    name = race.names.free("i")
    return name, [Edit(loop.path, first.start, first.end, name.encode())]
