"""Reads of a captured variable: a statement uses a copy that is made under the lock before it."""

from __future__ import annotations

from threadmend.golang.builders import BuilderError
from threadmend.golang.builders.regions import Region
from threadmend.golang.captured import CapturedAccess
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map
from threadmend.model import Edit

from ._racy import Guarded, Race
from ._racy_quick import slow_parts


def _value(race: Race, access: CapturedAccess) -> Node:
    """Return the expression around an access that has to be evaluated under the lock."""
    node = access.node
    while node.parent is not None:
        outer = node.parent
        if outer.kind == "selector_expression" and node.field == "operand":
            if outer.parent is not None and outer.field == "function":
                call = outer.parent
                if access.steps[-1:] == ("[]",) and not call["arguments"].children:
                    return call
                return node
            node = outer
        elif outer.kind == "index_expression" and node.field == "operand":
            node = outer
        elif outer.kind == "argument_list" and outer.parent is not None:
            function = outer.parent["function"]
            quick = function.text in {b"len", b"cap", b"string"} and len(outer.children) == 1
            return outer.parent if quick else node
        else:
            break
    return node


def snapshot(
    race: Race,
    lock: str,
    statement: Node,
    accesses: list[CapturedAccess],
    reason: str = "",
) -> Guarded:
    """Read what is needed under the lock, into a variable that the statement uses instead."""
    lines: list[str] = []
    edits: list[Edit] = []
    known: dict[str, str] = {}
    for access in accesses:
        if access.kind != "read":
            raise BuilderError(f"{race.name} is written in the header of a statement")
        value = _value(race, access)
        text = value.name
        whole_map = value is access.node and isinstance(race.file.underlying(race.type), Map)
        if whole_map or slow_parts(race, value):
            raise BuilderError(f"{race.name} is used by more than one statement can lock")
        if text not in known:
            base = race.name if str(race.type) == "error" and text == race.name else "current"
            known[text] = race.names.free(base)
            lines.append(f"{known[text]} := {text}")
        edits.append(Edit(value.path, value.start, value.end, known[text].encode()))
    code = "\n".join([f"{lock}.Lock()", *lines, f"{lock}.Unlock()"])
    return Guarded(edits, [Region(statement, statement, code)], reason)


def _is_call(node: Node) -> bool:
    return node.kind == "call_expression"


def initialized_before(
    race: Race,
    lock: str,
    statement: Node,
    initializer: Node,
    accesses: list[CapturedAccess],
    reason: str,
) -> Guarded:
    """Move `v, ok := m[k]` out of the header of an `if`, under the lock."""
    if not all(initializer.contains(a.node) and a.kind == "read" for a in accesses):
        raise BuilderError(f"{race.name} is assigned in the header of a statement")
    slow = slow_parts(race, initializer)
    if slow and any(s["function"].name.startswith(f"{race.name}.") for s in slow if _is_call(s)):
        return snapshot(race, lock, statement, accesses, reason)
    if initializer.kind != "short_var_declaration" or slow:
        raise BuilderError(f"{race.name} is used in the header of a statement")
    function = statement.function
    edits: list[Edit] = []
    names = []
    for node in initializer["left"].children:
        outside = [
            n
            for n in (function.find("identifier") if function is not None else ())
            if n.text == node.text and not statement.contains(n)
        ]
        if node.text != b"_" and outside:
            fresh = race.names.free(node.name)
            binding = race.file.binding(node)
            uses = binding.uses if binding is not None else []
            renamed = (Edit(u.path, u.start, u.end, fresh.encode()) for u in uses)
            edits += (e for e in renamed if e.start != node.start)
            names.append(fresh)
        else:
            names.append(node.name)
    code = f"{lock}.Lock()\n{', '.join(names)} := {initializer['right'].name}\n{lock}.Unlock()"
    start = initializer.start
    edits.append(Edit(statement.path, start, statement["condition"].start, b""))
    return Guarded(edits, [Region(statement, statement, code)], reason)
