"""What go/racy-capture says about literals that are passed to a function that crowds run.

    first := ""                                  first := ""
                                            →    var mu sync.Mutex
    parallel(4, n, func(i int) {                 parallel(4, n, func(i int) {
        first = names[i]                             mu.Lock()
    })                                               defer mu.Unlock()
                                                     first = names[i]
                                                 })

`parallel` calls its parameter in goroutines that a loop launches. An element at an index that
the call gets belongs to that call alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from threadmend.golang.access import classify
from threadmend.golang.builders import (
    BuilderError,
    add_import,
    free_name,
    import_name,
    insert_before,
    package_name,
    taken_names,
    with_reason,
)
from threadmend.golang.captured import accesses_of
from threadmend.golang.crowded_calls import crowded_opens, crowding_body
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import captures
from threadmend.golang.lefts import calls_leaving, may_crowd
from threadmend.golang.races import explained
from threadmend.golang.scope import Binding, argument_of
from threadmend.golang.syntax import Node
from threadmend.golang.targets import bodies_of_value
from threadmend.golang.touches import held_within
from threadmend.golang.types import Map, Struct
from threadmend.model import Finding, Fix, Related, Safety

from ._guard_edits import LockForm, put_under_lock
from ._kept_closures import kept_closures
from ._racy import Names, Race, top_of
from ._racy_copy import own_in
from ._racy_mutex import by_mutex

__all__ = ["passed_on"]

_LITERAL = re.compile(rb"func\(")
_WRITES = frozenset({"write", "update", "store"})
_WAITS_FOR = "each call waits for its turn at {}"


def passed_on(file: GoFile) -> Iterator[Finding]:
    """Yield the variables that a literal writes which several goroutines call at once."""
    known: set[Node] = set()
    for declaration in file.declarations(_LITERAL):
        if not calls_leaving(file, declaration, beside=True):
            continue
        for call in declaration.index.get("call_expression", ()):
            literal = _crowded_literal(file, call)
            if literal is None or literal in known:
                continue  # passed on once is enough
            known.add(literal)
            yield from _findings(file, call, literal)
    yield from _kept_and_called(file, known)


def _kept_and_called(file: GoFile, known: set[Node]) -> Iterator[Finding]:
    """Yield the variables that a literal of the file writes which a crowd somewhere calls."""
    for kept in kept_closures(file.package):
        if kept.file.path != file.path or kept.literal in known:
            continue
        yield from _findings(file, kept.call, kept.literal)


def _crowded_literal(file: GoFile, call: Node) -> Node | None:
    name = call["function"].children[-1] if call["function"].children else call["function"]
    if not call["arguments"].children or not may_crowd(file, name.text):
        return None
    target = crowding_body(file, call)
    if target is None or target.node.get("body") is None:
        return None
    for open_ in crowded_opens(target.file, target.node):
        argument = argument_of(call, target.node, open_.parameter)
        if argument is None or open_.method:
            continue
        body = bodies_of_value(file, argument).certain
        if body is not None and body.node.kind == "func_literal" and body.file.path == file.path:
            return body.node
    return None


def _is_shared_write(file: GoFile, literal: Node, binding: Binding, use: Node) -> bool:
    """Return whether a use writes what all calls of the literal share, without a lock."""
    if binding.kind not in {"variable", "parameter", "result"}:
        return False
    found = classify(use, binding)
    if found.kind not in _WRITES or use.function is not literal:
        return False
    at, own = use, False
    while at is not found.target and at.parent is not None:
        at = at.parent
        if at.kind == "selector_expression" and not _is_part(file, at):
            return False  # a field: go/racy-field
        if at.kind == "index_expression":
            held = file.underlying(file.type_of(at["operand"]))
            own = own or (not isinstance(held, Map) and not _is_common(literal, at["index"]))
    if own or held_within(file, literal, use) or explained(file, use):
        return False
    return not any(_decides(literal, a) for a in use.ancestors() if literal.contains(a))


def _is_part(file: GoFile, selector: Node) -> bool:
    """Return whether a field belongs to a struct that a variable holds by itself."""
    selection = file.selection(selector)
    known = selection is not None and selection.kind == "field" and not selection.via
    return known and isinstance(file.underlying(file.type_of(selector["operand"])), Struct)


def _is_common(literal: Node, index: Node) -> bool:
    """Return whether an index takes the same values in each call: of a loop in the literal."""
    if index.kind == "int_literal":
        return True
    if index.kind != "identifier":
        return False
    for loop in literal["body"].find("for_statement"):
        for clause in loop.children:
            if clause.kind == "range_clause" and _names(clause.get("left"), index):
                return not _uses_parameter(literal, clause["right"])
    return False


def _names(left: Node | None, index: Node) -> bool:
    return left is not None and any(n.text == index.text for n in left.children)


def _uses_parameter(literal: Node, node: Node) -> bool:
    names = {n.text for n in literal["parameters"].find("identifier")}
    return any(n.text in names for n in node.find("identifier"))


def _decides(literal: Node, node: Node) -> bool:
    """Return whether a condition on the call's own arguments lets few of them in."""
    if node.kind != "if_statement":
        return False
    names = {n.text for n in literal["parameters"].find("identifier")}
    return any(
        binary["left"].text in names or binary["right"].text in names
        for binary in node["condition"].find("binary_expression")
    )


def _findings(file: GoFile, call: Node, literal: Node) -> Iterator[Finding]:
    """Yield a finding for each variable that the literal writes; one lock guards them together."""
    shared = {
        binding: uses
        for binding, uses in captures(literal).items()
        if any(_is_shared_write(file, literal, binding, use) for use in uses)
    }
    alone = {binding: _fix_alone(file, literal, binding) for binding in shared}
    locked = {b: uses for b, uses in shared.items() if alone[b] is None}
    together, reason = _locked(file, literal, locked) if len(locked) > 1 else (None, "")
    if together is not None and together.reason != _WAITS_FOR.format(_names_of(locked)):
        together = None  # what makes it long stands between them
    for binding, uses in shared.items():
        write = next(u for u in uses if _is_shared_write(file, literal, binding, u))
        fix = alone[binding] or together
        if fix is None:
            fix, reason = _locked(file, literal, {binding: uses})
        yield Finding(
            path=file.path,
            start=write.start,
            end=write.end,
            message=f"several goroutines write {binding.name} at the same time",
            fixes=(fix,) if fix is not None else (),
            related=(Related(call.path, call.start, call["function"].end, "called by goroutines"),),
            reason="" if fix is not None else reason,
        )


def _fix_alone(file: GoFile, literal: Node, binding: Binding) -> Fix | None:
    """Return the fix of one variable: a copy of its own for each call, the first of the errors."""
    accesses = accesses_of(file, binding)
    if accesses is None or literal.function is None or literal.statement is None:
        return None
    type_ = file.package.workspace.inference.binding_type(binding)
    names = Names.of(file, top_of(literal))
    race = Race(file, binding, type_, accesses, [], [], names, shown=True)
    own = own_in(race, literal)
    if own is not None:
        return Fix(f"Give each call its own {binding.name}", own)
    race.racing = [a for a in accesses if a.node.function is literal]
    race.pairs = [(a, a) for a in race.racing if a.writes]
    if str(type_) != "error" or not all(a.whole for a in race.racing):
        return None
    locked, _ = by_mutex(race)  # of errors, the first is kept
    if locked is None:
        return None
    reason = locked.reason or _WAITS_FOR.format(binding.name)
    return replace(locked, safety=Safety.UNSAFE, reason=reason)


@with_reason
def _locked(file: GoFile, literal: Node, shared: dict[Binding, list[Node]]) -> Fix:
    """Declare a lock before the literal's statement, and take it around the uses."""
    function, statement = literal.function, literal.statement
    if function is None or statement is None:
        raise BuilderError("the literal is made elsewhere")
    package = package_name(file.tree, "sync")
    name = free_name("mu", taken_names(function))
    inside = [u for uses in shared.values() for u in uses if u.function is literal]
    inside.sort(key=lambda u: u.start)
    edits, risk = put_under_lock(file, literal, inside, LockForm(name, name), together=True)
    edits = (*insert_before(statement, f"var {name} {package}.Mutex"), *edits)
    if import_name(file.tree, "sync") is None:
        edits = (*edits, *add_import(file.tree, "sync"))
    what = _names_of(shared)
    reason = risk or _WAITS_FOR.format(what)
    return Fix(f"Guard {what} with a mutex", tuple(edits), Safety.UNSAFE, reason)


def _names_of(shared: Iterable[Binding]) -> str:
    return " and ".join(sorted(binding.name for binding in shared))
