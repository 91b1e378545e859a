"""Own copy: a goroutine that only uses the variable for itself gets one of its own.

    err = work()      →      err := work()

Sound: in the goroutine every read comes after an assignment of its own, so it never needs
the value from outside; and outside (and in other goroutines) every read after the launch
comes after an assignment there, so nobody needs the goroutine's value.
"""

from __future__ import annotations

from threadmend.golang.builders import BuilderError, add_import, delete, insert_at_start
from threadmend.golang.builders.lines import leading_start
from threadmend.golang.builders.spelling import spelled_type_of
from threadmend.golang.captured import CapturedAccess
from threadmend.golang.flow import Flow, Point, flow_of
from threadmend.golang.iterations import point_in
from threadmend.golang.scope import bindings_in, resolve_local
from threadmend.golang.strands import Place, Strand
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import Map, Named, Slice, Tuple, Type
from threadmend.model import Edit, Fix, Safety

from ._racy import Race

_CLONE = (1, 21)


def own_copy(race: Race) -> Fix | None:
    """Return the fix that gives each writing goroutine its own variable, if nobody shares it."""
    literals = _writers(race)
    if not literals or race.binding.kind not in {"variable", "result", "parameter"}:
        return None
    outside = [a for a in race.accesses if not any(s.body.contains(a.node) for s in literals)]
    if any(not _is_plain(a) for a in race.accesses if a not in outside):
        return None
    for strand in literals:
        if exposed(race, strand.body):
            return None
        if not _unread_after(race, strand, outside, literals):
            return None
    edits: list[Edit] = []
    try:
        for strand in literals:
            declared = _declare(race, strand.body)
            if declared is None:
                return None
            edits += declared
        dropped = _drop_outer(race, outside)
    except BuilderError:
        return None
    if dropped is None:
        return None
    edits += dropped
    name = race.name
    one = len(literals) == 1 and not any(a is b for a, b in race.pairs)
    whose = "the goroutine" if one else "each goroutine"
    return Fix(f"Give {whose} its own {name}", tuple(edits))


def _drop_outer(race: Race, outside: list[CapturedAccess]) -> tuple[Edit, ...] | None:
    """Delete the declaration that nothing uses any more; None when it cannot go alone.

    Go refuses a variable that is declared and never read.
    """
    if race.binding.kind != "variable" or any(a.kind == "read" for a in outside):
        return ()
    spec = race.binding.declaration
    statement = spec.parent
    if outside or spec.kind != "var_spec" or statement is None or spec.get("value") is not None:
        return None
    alone = len(spec.all("name")) == 1 and len(list(statement.find("var_spec"))) == 1
    return delete(statement) if alone else None


def fresh_copy(race: Race) -> Fix | None:
    """Return the fix that copies the variable when the goroutine starts, if nobody else needs it.

        log = log.With(k)      →      log := log
                                      log = log.With(k)

    Each goroutine goes on from the value that it finds; what several of them would have put
    together stays apart, which is why the fix is unsafe.
    """
    literals = _writers(race)
    under = race.file.underlying(race.type)
    if not literals or under is None or isinstance(under, Map | Named):
        return None
    outside = [a for a in race.accesses if not any(s.body.contains(a.node) for s in literals)]
    if any(a.writes and a in race.racing for a in outside):
        return None
    if any(a.steps and a.writes for a in race.accesses) or race.binding.kind == "result":
        return None
    if not all(_unread_after(race, s, outside, literals) for s in literals):
        return None
    edits: list[Edit] = []
    for strand in literals:
        if bindings_in(strand.body).get(race.name) or bindings_in(strand.body["body"]).get(
            race.name
        ):
            return None
        copy = _copied(race, under)
        if copy is None:
            return None
        edits += insert_at_start(strand.body["body"], f"{race.name} := {copy}")
        if copy.startswith("slices."):
            edits += add_import(race.file.tree, "slices")
    title = f"Give each goroutine its own copy of {race.name}"
    reason = f"what one goroutine does to {race.name} is no longer seen by the others"
    return Fix(title, tuple(dict.fromkeys(edits)), Safety.UNSAFE, reason)


def _copied(race: Race, under: Type) -> str | None:
    """Return a copy that shares no memory that an append would write."""
    if not isinstance(under, Slice):
        return race.name
    if race.file.go_version >= _CLONE and race.file.imported("slices") in {None, "slices"}:
        return f"slices.Clone({race.name})"
    type_ = spelled_type_of(race.file, race.binding)
    return f"append({type_}(nil), {race.name}...)" if type_ else None


def _is_plain(access: CapturedAccess) -> bool:
    """Return whether an access is a read or assignment of the whole variable."""
    return access.kind in {"read", "write", "update"} and access.places is not None


def _writers(race: Race) -> list[Strand] | None:
    """Return the goroutines that write, each a literal of its own."""
    found: dict[Node, Strand] = {}
    for access in race.accesses:
        if access.writes:
            for place in access.places or ():
                if place.strand.launch is not None:
                    found[place.strand.body] = place.strand
    bodies = list(found)
    if any(a is not b and a.contains(b) for a in bodies for b in bodies):
        return None
    return list(found.values())


def exposed(race: Race, literal: Node) -> bool:
    """Return whether a goroutine may read the value that the variable has when it starts."""
    return _exposed(race, literal, [flow_of(literal).entry], literal)


def own_in(race: Race, literal: Node) -> tuple[Edit, ...] | None:
    """Return the edits by which a literal that several goroutines call has its own variable.

    Nobody reads the variable behind the literal, and in it every read comes after an assignment.
    """
    uses = race.inside(literal)
    outside = [a for a in race.accesses if a not in uses]
    if any(a.node.function is not literal or a.kind not in {"read", "write"} for a in uses):
        return None
    if race.binding.kind == "variable" and not any(a.kind == "read" for a in outside):
        return None  # Go refuses a variable that nobody reads
    looped = literal.up("for_statement") is not None
    if any((looped or a.node.start > literal.end) and not a.whole for a in outside):
        return None
    try:
        return None if exposed(race, literal) else _declare(race, literal)
    except BuilderError:
        return None


# -- who needs whose value ------------------------------------------------------------


def _exposed(race: Race, function: Node, starts: list[Point], within: Node) -> bool:
    """Return whether a read in a function can see the value that the variable has at `starts`."""
    flow = flow_of(function)
    reads, kills = _points(race, flow, within)
    if not flow.complete:
        return True
    return any(
        reads & flow.reachable(start, stop=lambda p: p in kills and p not in reads)
        for start in starts
    )


def _points(race: Race, flow: Flow, within: Node) -> tuple[set[Point], set[Point]]:
    """Return the points of a function that read the variable, and those that replace it."""
    reads: set[Point] = set()
    kills: set[Point] = set()
    for access in race.accesses:
        if not within.contains(access.node):
            continue
        point = point_in(flow, access.node)
        if point is None:
            continue
        own = access.node.function is flow.function or access.node is flow.function
        if access.whole or access.kind == "return":
            if own:
                kills.add(point)
        else:
            reads.add(point)
    return reads, kills


def _unread_after(
    race: Race, strand: Strand, outside: list[CapturedAccess], literals: list[Strand]
) -> bool:
    """Return whether nobody outside of the writing goroutines can read what `strand` writes."""
    for access in outside:
        if access.kind == "address" or access.places is None:
            return False
        for place in access.places:
            if access.writes and (access.whole or access.kind == "return"):
                continue
            if _reads_value(race, strand, place, literals):
                return False
    return True


def _reads_value(race: Race, strand: Strand, place: Place, literals: list[Strand]) -> bool:
    """Return whether a read at a place may see a value assigned after the launch of `strand`."""
    if place.strand.launch is not None and place.strand != strand.parent:
        body = place.strand.body
        return _exposed(race, body, [flow_of(body).entry], body)
    assert strand.at is not None
    targets = {level.function: level.node for level in place.levels}
    for level in strand.at.levels:
        flow = flow_of(level.function)
        start = point_in(flow, level.node)
        if start is None or not flow.complete:
            return True
        _, kills = _points(race, flow, level.function)
        kills -= _inside(flow, kills, literals)
        read = point_in(flow, targets[level.function]) if level.function in targets else None
        if read is not None and _reads_here(race, flow, read, literals):
            kills.discard(read)
        after = flow.reachable(start, stop=kills.__contains__)
        if read is not None and read in after:
            return True
        if not flow.exits_from(start, stop=kills.__contains__):
            return False
    return False


def _inside(flow: Flow, points: set[Point], literals: list[Strand]) -> set[Point]:
    return {p for p in points if any(s.body.contains(p.node) for s in literals)}


def _reads_here(race: Race, flow: Flow, point: Point, literals: list[Strand]) -> bool:
    """Return whether a point reads the variable, outside of the goroutines."""
    return any(
        not (a.whole or a.kind == "return") and point_in(flow, a.node) is point
        for a in race.accesses
        if not any(s.body.contains(a.node) for s in literals)
    )


# -- the declaration ------------------------------------------------------------------


def _declare(race: Race, literal: Node) -> tuple[Edit, ...] | None:
    """Declare the variable inside a literal: at its assignments, else at the beginning."""
    uses = race.inside(literal)
    if not uses:
        return ()
    if all(a.whole for a in uses):
        # Go wants a variable to be read: a value that nobody reads is dropped.
        return tuple(Edit(a.node.path, a.node.start, a.node.end, b"_") for a in uses)
    first = uses[0]
    found = short_declaration(race, first, uses)
    if found is not None:
        return found
    each = _each_in_its_if(race, uses)
    if each is not None:
        return each
    type_ = spelled_type_of(race.file, race.binding)
    body = literal["body"]
    if type_ is None or bindings_in(literal).get(race.name) or bindings_in(body).get(race.name):
        return None
    return insert_at_start(body, f"var {race.name} {type_}")


def short_declaration(
    race: Race, first: CapturedAccess, uses: list[CapturedAccess], *, read: bool = False
) -> tuple[Edit, ...] | None:
    """Make the first assignment a declaration, if all other uses are in its scope after it.

    `read`: the caller adds a read, as Go wants one.
    """
    assignment = _assignment(first)
    if assignment is None or not first.whole or not _declares_only(race, assignment, first.node):
        return None
    scope = assignment.parent
    if scope is None or any(not scope.contains(a.node) for a in uses):
        return None
    if not read and not any(a.kind == "read" for a in uses):
        return None
    if (
        scope.kind != "block"
        and assignment.field != "initializer"
        and not scope.kind.endswith("_case")
    ):
        return None
    reads = [a for a in uses if a is not first and assignment.contains(a.node)]
    if reads:
        return None
    edits = _becomesshort_declaration(assignment)
    return (*edits, *_declared_above(race, assignment)) if edits is not None else None


def _declared_above(race: Race, assignment: Node) -> tuple[Edit, ...]:
    """Drop `var log string` right above `log, err := f()`, which declares both now."""
    above = assignment.previous
    specs = list(above.find("var_spec")) if above is not None else []
    if above is None or above.kind != "var_declaration" or len(specs) != 1:
        return ()
    names, tree = specs[0].all("name"), above.tree
    if len(names) != 1 or specs[0].get("value") is not None:
        return ()
    other = next((n for n in assignment["left"].children if n.text == names[0].text), None)
    if other is None or tree.comments_in(leading_start(tree, above.start), assignment.start):
        return ()
    declared = race.file.type_from(specs[0].get("type"))
    same = declared is not None and _assigned_type(race, assignment, other) == declared
    return delete(above) if same else ()


def _assigned_type(race: Race, assignment: Node, name: Node) -> Type | None:
    """Return the type of what an assignment gives to one of its names, None if unknown."""
    inference, values = race.file.package.workspace.inference, assignment["right"].children
    index = next(i for i, n in enumerate(assignment["left"].children) if n is name)
    if len(values) == len(assignment["left"].children):
        return inference.value_type(values[index])
    results = inference.type_of(values[0])
    return (
        results.items[index] if isinstance(results, Tuple) and index < len(results.items) else None
    )


def _each_in_its_if(race: Race, uses: list[CapturedAccess]) -> tuple[Edit, ...] | None:
    """Declare in the header of every `if err = f(); err != nil`, if all uses are in such."""
    left = list(uses)
    edits: list[Edit] = []
    while left:
        first = left[0]
        assignment = _assignment(first)
        if assignment is None or assignment.field != "initializer" or assignment.parent is None:
            return None
        inside = [a for a in left if assignment.parent.contains(a.node)]
        found = short_declaration(race, first, inside)
        if found is None:
            return None
        edits += found
        left = [a for a in left if a not in inside]
    return tuple(edits)


def _assignment(access: CapturedAccess) -> Node | None:
    listed = access.node.parent
    statement = listed.parent if listed is not None else None
    if listed is None or statement is None or listed.field != "left":
        return None
    return statement if statement.kind == "assignment_statement" else None


def _becomesshort_declaration(assignment: Node) -> tuple[Edit, ...] | None:
    operator = assignment["operator"]
    if operator.kind != "=":
        return None
    return (Edit(assignment.path, operator.start, operator.end, b":="),)


def _declares_only(race: Race, assignment: Node, name: Node) -> bool:
    """Return whether `:=` would declare this variable alone, with the same type.

    Other names on the left must be `_` or declared in the very same scope.
    """
    scope = assignment.parent
    if assignment.field == "initializer":
        others = [n for n in assignment["left"].children if n is not name]
        if any(n.text != b"_" for n in others):
            return False
    else:
        for other in assignment["left"].children:
            if other is name or other.text == b"_":
                continue
            binding = resolve_local(other) if other.kind == "identifier" else None
            if binding is None or binding.scope is not scope or scope.kind in FUNCTIONS:
                return False
    return _same_type(race, assignment, name)


def _same_type(race: Race, assignment: Node, name: Node) -> bool:
    """Return whether the assigned value has the variable's own type, as far as is known."""
    values, names = assignment["right"].children, assignment["left"].children
    if len(values) not in {1, len(names)}:
        return False
    value = _assigned_type(race, assignment, name)
    if value is not None:
        return value == race.type
    index = next(i for i, n in enumerate(names) if n is name)
    # An unknown call: by convention it returns `error`, not a type of its own.
    unknown = values[0 if len(values) == 1 else index]
    error = str(race.type) == "error" or (race.type is None and race.name == "err")
    return unknown.kind == "call_expression" and error
