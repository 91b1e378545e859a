"""Assignments to a captured variable: what is computed first, and assigned under the lock then."""

from __future__ import annotations

from threadmend.golang.builders import BuilderError
from threadmend.golang.builders.blocks import place
from threadmend.golang.builders.regions import Region
from threadmend.golang.captured import CapturedAccess
from threadmend.golang.syntax import Node
from threadmend.model import Edit

from ._racy import Guarded, Race
from ._racy_quick import slow_parts


def assigned_under(
    race: Race, lock: str, statement: Node, accesses: list[CapturedAccess]
) -> Guarded:
    """Compute what takes long first, then assign under the lock; an error is kept if first."""
    left, right = statement["left"].children, statement["right"].children
    slow = slow_parts(race, statement)
    busy = [s for s in slow if any(s.contains(a.node) for a in race.accesses)]
    reason = "a call runs under the lock" if busy else ""
    first = _keeps_first(race, statement, accesses)
    if len(left) > 1 and len(right) == 1 and slow and not busy:
        return _unpacked(race, lock, statement, first)
    edits: list[Edit] = []
    before: list[str] = []
    texts = {}
    for node in slow:
        if node in busy:
            continue
        name = race.names.free(_name_for(race, node))
        before.append(f"{name} := {_outdented(statement, node)}")
        edits.append(Edit(node.path, node.start, node.end, name.encode()))
        texts[node] = name
    if first and len(left) == 1:
        value = texts.get(right[0], right[0].name)
        code = f"if {race.name} == nil {{\n\t{race.name} = {value}\n}}"
        if any(n in texts for n in right[0].walk() if n is not right[0]):
            raise BuilderError("the assigned error is computed in several steps")
        edits = [_indented(statement, code)]
    region = Region(
        statement, statement, "\n".join([*before, f"{lock}.Lock()"]), f"{lock}.Unlock()"
    )
    return Guarded(edits, [region], reason, not before)


def _keeps_first(race: Race, statement: Node, accesses: list[CapturedAccess]) -> bool:
    """Return whether an error is assigned by several goroutines and looked at in the end."""
    if str(race.type) != "error" or statement["operator"].kind != "=":
        return False
    if not any(a.whole for a in accesses) or any(a.kind == "read" for a in accesses):
        return False
    if any(n.text == b"nil" for n in statement["right"].children):
        return False
    for ancestor in statement.ancestors():
        condition = ancestor.get("condition") if ancestor.kind == "if_statement" else None
        if condition is not None and any(condition.contains(a.node) for a in race.accesses):
            return False
    if any(_is_own(a, statement) for a in race.accesses):
        return False
    several = any(a is b for a, b in race.pairs) or sum(1 for a in race.accesses if a.writes) > 1
    return several and (race.shown or any(a.places is not None and a.inside for a in accesses))


def _is_own(access: CapturedAccess, statement: Node) -> bool:
    """Return whether the function of an assignment asks the variable what it has just got, or
    someone clears it: what is kept from before would be taken for that.
    """
    if access.writes:
        assigned = access.node.statement
        right = assigned.get("right") if assigned is not None else None
        return right is not None and any(n.text == b"nil" for n in right.children)
    return access.node.function is statement.function


def _unpacked(race: Race, lock: str, statement: Node, first: bool) -> Guarded:
    """Rewrite `a, err = f()`: the results get names of their own, then they are assigned."""
    names, lines = [], []
    for node in statement["left"].children:
        if node.text == b"_":
            names.append("_")
            continue
        name = race.names.free(node.name if node.kind == "identifier" else "value")
        names.append(name)
        own = node.kind == "identifier" and race.file.binding(node) is race.binding
        if first and own:
            lines.append(f"if {node.name} == nil {{\n\t{node.name} = {name}\n}}")
        else:
            lines.append(f"{node.name} = {name}")
    if not first:
        targets = [n.name for n in statement["left"].children]
        kept = [(t, n) for t, n in zip(targets, names, strict=True) if n != "_"]
        lines = [f"{', '.join(t for t, _ in kept)} = {', '.join(n for _, n in kept)}"]
    value = statement["right"].children[0]
    made = _outdented(statement, value)
    before = f"{', '.join(names)} := {made}\n{lock}.Lock()"
    edit = _indented(statement, "\n".join(lines))
    return Guarded([edit], [Region(statement, statement, before, f"{lock}.Unlock()")])


def redeclared_under(
    race: Race, lock: str, statement: Node, accesses: list[CapturedAccess]
) -> Guarded:
    """Rewrite `v, err := f()`, which declares v alone: `v, err2 := f()`, then `err = err2`."""
    if any(not a.whole for a in accesses) or any(
        statement["right"].contains(a.node) for a in race.racing
    ):
        raise BuilderError(f"{race.name} is read where it is assigned")
    name = race.names.free(race.name)
    edits = [Edit(a.node.path, a.node.start, a.node.end, name.encode()) for a in accesses]
    after = f"{lock}.Lock()\n{race.name} = {name}\n{lock}.Unlock()"
    return Guarded(edits, [Region(statement, statement, "", after)])


def _outdented(statement: Node, value: Node) -> str:
    """Return the text of a value as it stands in a statement without indentation."""
    return value.name.replace("\n" + place(statement)[0].inner.decode(), "\n")


def _indented(statement: Node, code: str) -> Edit:
    indent = place(statement)[0].inner.decode()
    text = code.replace("\n", statement.tree.source.newline.decode() + indent)
    return Edit(statement.path, statement.start, statement.end, text.encode())


def _name_for(race: Race, node: Node) -> str:
    if str(race.type) == "error":
        return race.name
    if node.field == "index":
        return "key"
    return "value"


def hoisted(race: Race, lock: str, statement: Node, slow: list[Node]) -> Guarded:
    """Compute the slow arguments of a call before the lock is taken."""
    edits: list[Edit] = []
    before: list[str] = []
    reason = ""
    for node in slow:
        if any(node.contains(a.node) for a in race.accesses) or node.field == "function":
            reason = "a call runs under the lock"
            continue
        name = race.names.free("value")
        before.append(f"{name} := {node.name}")
        edits.append(Edit(node.path, node.start, node.end, name.encode()))
    opening = "\n".join([*before, f"{lock}.Lock()"])
    return Guarded(edits, [Region(statement, statement, opening, f"{lock}.Unlock()")], reason)
