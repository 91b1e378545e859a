"""A `sync.Map` that is looked up and stored to in two steps: the second one overwrites the first.

v, ok := m.Load(key)                v, ok := m.Load(key)
if !ok {                            if !ok {
    v = &bucket{}           →           v, _ = m.LoadOrStore(key, &bucket{})
    m.Store(key, v)                 }
}

if _, ok := m.Load(key); ok {       if _, ok := m.LoadOrStore(key, job); ok {
    return ErrTaken         →           return ErrTaken
}                                   }
m.Store(key, job)

Only where it shows: the value is an object of its own, or who comes second is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import BuilderError, at_margin, delete, replace, with_reason
from threadmend.golang.calls import code_files
from threadmend.golang.file import GoFile
from threadmend.golang.functions import outer_function
from threadmend.golang.locks import held_at
from threadmend.golang.package import Package
from threadmend.golang.setup import is_setup
from threadmend.golang.spoken import speaks_of_locks
from threadmend.golang.syntax import Node
from threadmend.golang.types import Pointer, is_named
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._beside_others import runs_beside_others
from ._decided_steps import leaves
from ._quick import slow_nodes
from ._stale_answers import is_made_anew, works
from ._store_helpers import has_close
from ._sync_map_objects import object_stored

__all__ = ["sync_map_steps"]

_STORE = re.compile(rb"\.Store\(")
_REASON = "who comes second gets what the first has stored"


def sync_map_steps(package: Package) -> Iterator[Finding]:
    """Yield the stores to a `sync.Map` under a key that was looked up before, and missing."""
    for file in code_files(package):
        if file.generated or file.broken or b"sync" not in file.data:
            continue
        for call in file.find("call_expression", _STORE):
            if _is_method(file, call, "Store") and not held_at(file, call):
                yield from _stored(file, call)


def _is_method(file: GoFile, call: Node, name: str) -> bool:
    function = call["function"]
    if function.kind != "selector_expression" or function["field"].name != name:
        return False
    type_ = file.type_of(function["operand"])
    type_ = type_.elem if isinstance(type_, Pointer) else type_
    return is_named(type_, "sync.Map")


def _stored(file: GoFile, store: Node) -> Iterator[Finding]:
    statement, function = store.parent, store.function
    if statement is None or statement.kind != "expression_statement" or function is None:
        return
    outer = outer_function(store)
    if outer is None or is_setup(file, store) or speaks_of_locks(file, outer):
        return
    key = store["arguments"].children[0]
    if not _is_kept(file, key) or not runs_beside_others(file, function):
        return
    for form in (_filled, _refused, object_stored):
        found = form(file, store, statement)
        if found is not None:
            load, fix, reason = found
            yield _finding(store, load, fix, reason)
            return


def _is_kept(file: GoFile, key: Node) -> bool:
    bindings = [file.binding(n) for n in key.find("identifier")]
    plain = all(n.kind not in {"call_expression", "index_expression"} for n in key.walk())
    return plain and all(b is None or is_assigned_once(b) for b in bindings)


def _load(file: GoFile, look: Node | None, store: Node) -> tuple[Node, Node] | None:
    """Return the call of `v, ok := m.Load(key)` on the map and key of a store, and its `ok`."""
    if look is None or look.kind != "short_var_declaration" or len(look["left"].children) != 2:
        return None
    call = look["right"].children[0]
    if call.kind != "call_expression" or not _is_method(file, call, "Load"):
        return None
    given = store["arguments"].children[0].text
    if call["arguments"].children[0].text != given:
        return None
    if call["function"]["operand"].text != store["function"]["operand"].text:
        return None
    return call, look["left"].children[1]


# -- if !ok { v = …; m.Store(key, v) } --------------------------------------------------


def _filled(file: GoFile, store: Node, statement: Node) -> tuple[Node, Fix | None, str] | None:
    """Return the look around a store of an object that is made in the same branch."""
    block = statement.parent
    test = block.parent if block is not None else None
    if block is None or test is None or test.kind != "if_statement":
        return None
    if test.get("alternative") is not None or test["consequence"] is not block:
        return None
    look = test.get("initializer") or test.previous
    found = _load(file, look, store)
    if found is None or look is None or not _is_missing(file, test["condition"], found[1]):
        return None
    value = store["arguments"].children[1]
    if not is_made_anew(file, _made(statement, value)) or not _is_free(file, block, store):
        return None
    fix, reason = _load_or_store(file, test, look, store)
    return found[0], fix, reason


def _made(statement: Node, value: Node) -> Node:
    """Return what the statement above assigns to the value, else the value itself."""
    above = statement.previous
    if above is not None and above.kind == "assignment_statement":
        if above["left"].text == value.text and len(above["right"].children) == 1:
            return above["right"].children[0]
    return value


def _is_missing(file: GoFile, condition: Node, found: Node) -> bool:
    if condition.kind != "unary_expression" or condition["operator"].kind != "!":
        return False
    return file.binding(condition["operand"]) is file.binding(found) is not None


def _is_free(file: GoFile, block: Node, store: Node) -> bool:
    """Return whether the value is made at once; one with a Close is lost in any case."""
    if has_close(file, store["arguments"].children[1]):
        return True
    return all(n is store for n in slow_nodes(file, block) if n.start < store.end)


@with_reason
def _load_or_store(file: GoFile, test: Node, look: Node, store: Node) -> Fix:
    block, value = test["consequence"], store["arguments"].children[1]
    inside, kept = block.statements, look["left"].children[0]
    if look.parent is test or kept.name == "_" or has_close(file, value):
        raise BuilderError("what was stored first is not at hand")
    made = _made(inside[-1], value)
    if inside[-1] is not store.parent or len(inside) != (1 if made is value else 2):
        raise BuilderError("more is done where the key is missing")
    if made is not value and value.text != kept.text:
        raise BuilderError("the value has a name of its own")
    map_, key = store["function"]["operand"].name, store["arguments"].children[0].name
    code = f"{kept.name}, _ = {map_}.LoadOrStore({key}, {made.name})"
    edits = list(replace(inside[-1], code))
    if len(inside) == 2:
        edits += delete(inside[0])
    return Fix(f"Load or store {map_}", tuple(edits), Safety.UNSAFE, _REASON)


# -- if _, ok := m.Load(key); ok { return … }; m.Store(key, v) --------------------------


def _refused(file: GoFile, store: Node, statement: Node) -> tuple[Node, Fix | None, str] | None:
    """Return the look right above a store, that leaves where the key is there."""
    test, function = statement.previous, store.function
    made: Node | None = None
    if test is not None and test.kind == "short_var_declaration":
        made, test = test, test.previous
    if test is None or test.kind != "if_statement" or test.get("alternative") is not None:
        return None
    look = test.get("initializer") or test.previous
    found = _load(file, look, store)
    if found is None or look is None or not leaves(test["consequence"]):
        return None
    if file.binding(test["condition"]) is not file.binding(found[1]):
        return None
    value = store["arguments"].children[1]
    if made is not None:
        if made["left"].children[0].text != value.text or not is_made_anew(file, value):
            return None
        if slow_nodes(file, made):
            return None
    elif function is None or not works(function, statement, function.end):
        return None
    fix, reason = _swapped(file, test, look, store, made)
    return found[0], fix, reason


@with_reason
def _swapped(file: GoFile, test: Node, look: Node, store: Node, made: Node | None) -> Fix:
    statement, value = store.parent, store["arguments"].children[1]
    call = look["right"].children[0]
    if statement is None:
        raise BuilderError("the store is a part of a larger statement")
    map_, key = store["function"]["operand"].name, store["arguments"].children[0].name
    stored = f"{map_}.LoadOrStore({key}, {value.name})"
    title = f"Load or store {map_}"
    if made is None:
        _check_old(file, look, test)
        edits = (Edit(file.path, call.start, call.end, stored.encode()), *delete(statement))
        return Fix(title, edits, Safety.UNSAFE, "who comes second is refused")
    if look.parent is not test or has_close(file, value):
        raise BuilderError("what was stored first is not at hand")
    names = ", ".join(n.name for n in look["left"].children)
    body = at_margin(test["consequence"])
    code = f"if {names} := {stored}; {test['condition'].name} {body}"
    return Fix(title, replace(statement, code), Safety.UNSAFE, _REASON)


def _check_old(file: GoFile, look: Node, test: Node) -> None:
    """Refuse where what was found is used behind the test: it would be what was stored."""
    kept = file.binding(look["left"].children[0])
    if kept is not None and any(u.start > test.end for u in kept.uses):
        raise BuilderError(f"{kept.name} is used behind the test")


# -- say --------------------------------------------------------------------------------


def _finding(store: Node, load: Node, fix: Fix | None, reason: str) -> Finding:
    map_ = store["function"]["operand"].name
    return Finding(
        path=store.path,
        start=store.start,
        end=store.end,
        message=f"{map_} is stored to on the ground of an earlier Load, in a step of its own:"
        " the second one overwrites the first",
        fixes=(fix,) if fix is not None else (),
        related=(Related(load.path, load.start, load.end, "looked up here"),),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )
