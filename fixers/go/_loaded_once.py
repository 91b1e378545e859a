"""Several reads of one variable, made atomic, become one load: a test must hold for what follows.

if a.strokes == 0 {                     strokes := atomic.LoadUint64(&a.strokes)
        return 0                            if strokes == 0 {
}                                →          return 0
return a.sticky / a.strokes             }
                                        return atomic.LoadUint64(&a.sticky) / strokes

Two loads would each be right alone; between them others may change what the first one tested.
"""

from __future__ import annotations

from collections.abc import Iterable

from threadmend.golang.atomics import AtomicAccess
from threadmend.golang.builders import BuilderError, insert_before
from threadmend.golang.builders.names import free_name, names_around
from threadmend.golang.file import GoFile
from threadmend.golang.node import FUNCTIONS
from threadmend.golang.syntax import Node
from threadmend.model import Edit

from ._added_above import adds
from ._quick import is_slow, waits

__all__ = ["is_beside_test", "loaded_once"]

_LOOPS = frozenset({"for_statement"})
_LEAVES = frozenset({"return_statement", "break_statement", "continue_statement", "goto_statement"})


def loaded_once(
    file: GoFile, read: Node, reads: Iterable[Node], atomics: Iterable[AtomicAccess], load: str
) -> tuple[Edit, ...]:
    """Return the edits that load a variable once for a read and those beside it, () if alone.

    `reads` are the plain ones; atomic loads of the same variable join them. Sound: nothing
    between the load and the last of them may wait, or change the variable in this goroutine,
    so that all may well have been made at once.
    """
    same = [a for a in atomics if a.file is file and a.target.text == read.text]
    nodes = [r for r in reads if r.path == read.path and r.text == read.text]
    nodes += [a.call for a in same if a.operation == "Load"]
    nodes = [n for n in nodes if n.function is read.function and not _is_kept(n)]
    changes = [a.call for a in same if a.writes]
    for group in _groups(file, sorted(nodes, key=lambda n: n.start), changes):
        if any(n is read for n in group) and len(group) > 1:
            return _edits(file, group, read, load)
    return ()


def is_beside_test(read: Node, reads: Iterable[Node]) -> bool:
    """Return whether a function tests a variable and reads it again."""
    same = [r for r in reads if r.path == read.path and r.text == read.text]
    same = sorted((r for r in same if r.function is read.function), key=lambda r: r.start)
    return any(_is_tested(r) for r in same[:-1])


def _is_tested(read: Node) -> bool:
    """Return whether a read is part of the condition of a statement."""
    at = read
    for ancestor in read.ancestors():
        if at.field == "condition" or ancestor.kind == "expression_case":
            return True
        if ancestor.kind == "block":
            return False
        at = ancestor
    return False


def _is_kept(node: Node) -> bool:
    """Return whether a value is kept as it is in a variable: a later read is another one."""
    values = node.parent
    return values is not None and values.kind == "expression_list" and values.field == "right"


def _groups(file: GoFile, nodes: list[Node], changes: list[Node]) -> list[list[Node]]:
    """Return the reads in groups, each of which one load before its first one can serve."""
    found: list[list[Node]] = []
    for node in nodes:
        if found and _serves(file, found[-1][0], node, changes):
            found[-1].append(node)
        elif _runs_at_once(file, node):
            found.append([node])
    return found


def _runs_at_once(file: GoFile, read: Node) -> bool:
    """Return whether a read is made once, and first, whenever its statement is run."""
    statement = read.statement
    if statement is None or statement.kind in {"labeled_statement", *_LOOPS}:
        return False
    at = read
    for ancestor in read.ancestors():
        if ancestor.kind == "binary_expression" and ancestor["operator"].kind in {"&&", "||"}:
            if at.field == "right":
                return False
        if at.field == "alternative" or ancestor.kind in {"expression_case", *FUNCTIONS}:
            return False
        if at is statement:
            break
        at = ancestor
    return _is_reached(file, statement, read, [])


def _serves(file: GoFile, first: Node, read: Node, changes: list[Node]) -> bool:
    """Return whether a load before the statement of `first` serves another read."""
    statement = first.statement
    assert statement is not None
    block = statement.parent
    if block is None or not block.contains(read):
        return False
    for ancestor in read.ancestors():
        if ancestor is block:
            break
        if ancestor.kind in _LOOPS or ancestor.kind in FUNCTIONS:
            return False
    return _is_reached(file, statement, read, changes)


def _is_reached(file: GoFile, statement: Node, read: Node, changes: list[Node]) -> bool:
    """Return whether nothing waits or changes the variable from a statement to a read."""
    block = statement.parent
    assert block is not None
    left: list[Node] = []
    names = {n.name for n in read.find("identifier")}
    for node in block.own():
        if not statement.start <= node.start < read.start:
            continue
        if any(b.contains(node) for b in left):
            continue
        if node.kind == "block" and not node.contains(read) and _leaves(node):
            left.append(node)
        elif _may_change(file, node, read, names, changes):
            return False
    return True


def _leaves(block: Node) -> bool:
    """Return whether what follows a block is not reached through it."""
    last = block.statements[-1] if block.statements else None
    if last is not None and last.kind == "expression_statement":
        return last.text.startswith(b"panic(")
    return last is not None and last.kind in _LEAVES


def _may_change(file: GoFile, node: Node, read: Node, names: set[str], changes: list[Node]) -> bool:
    """Return whether a node before a read may wait, or give the variable another value."""
    if node.kind in {"assignment_statement", "short_var_declaration", "range_clause"}:
        left = node.get("left")
        written = left.children if left is not None else []
        return any(w.name in names or read.name.startswith(w.name) for w in written)
    if node.kind in {"inc_statement", "dec_statement"}:
        return read.name.startswith(node.children[0].name)
    if node.contains(read):
        return False
    if any(node is c for c in changes):
        return True
    return waits(file, node) or (node.kind != "func_literal" and is_slow(file, node))


def _edits(file: GoFile, group: list[Node], read: Node, load: str) -> tuple[Edit, ...]:
    statement = group[0].statement
    assert statement is not None
    own = read["field"].name if read.kind == "selector_expression" else "current"
    name = free_name(own[:1].lower() + own[1:], names_around(file, read))
    try:
        before = _declared(statement, f"{name} := ", read.name, load)
    except BuilderError:
        return ()
    used = [Edit(n.path, n.start, n.end, name.encode()) for n in group]
    return (*before, *used)


def _declared(statement: Node, declared: str, place: str, load: str) -> tuple[Edit, ...]:
    """Return the edits that declare the local variable, from the addition above if one is."""
    above = statement.previous
    if above is not None and above.kind == "expression_statement":
        call = above.children[0]
        if call.kind == "call_expression" and adds(call, place):
            return (Edit(call.path, call.start, call.start, declared.encode()),)
    return insert_before(statement, declared + load)
