"""A wait in what runs under a lock, as a function that takes it was given: run in two halves.

b.locked(func() {                 b.locked(func() {
    b.home = true                     b.home = true
    b.below.Wait()         →      })
    counts = b.counts             b.below.Wait()
})                                b.locked(func() {
                                      counts = b.counts
                                  })
"""

from __future__ import annotations

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import BuilderError, delete, insert_after, insert_before
from threadmend.golang.effects import Pair
from threadmend.golang.file import GoFile
from threadmend.golang.lock_runners import held_by_runner
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["given_to_runner", "run_in_two"]

_LEAVES = frozenset({"return_statement", "defer_statement", "goto_statement", "labeled_statement"})


def given_to_runner(pair: Pair) -> Node | None:
    """Return the literal that waits and that a function runs under the lock of a pair."""
    literal, call = pair.event.operation.function, pair.node
    if literal is None or literal.kind != "func_literal" or call.kind != "call_expression":
        return None
    if literal.parent is not call["arguments"] or literal.path != pair.file.path:
        return None
    held = held_by_runner(pair.file, literal)
    return literal if any(h.lock_class == pair.held.lock_class for h in held) else None


def run_in_two(pair: Pair, literal: Node) -> tuple[tuple[Edit, ...], bool]:
    """Return the edits after which nothing is held during the wait, and whether it was the last.

    Raises BuilderError where the literal is more than a list of statements.
    """
    file, call = pair.file, pair.node
    waiting, outer = pair.event.operation.statement, call.parent
    body = literal["body"]
    if outer is None or outer.kind != "expression_statement" or literal.get("result") is not None:
        raise BuilderError("what runs under the lock has a result")
    if waiting is None or waiting.parent is not body or waiting.kind != "expression_statement":
        raise BuilderError("what blocks is in a branch or loop of what runs under the lock")
    if literal["parameters"].children or any(n.kind in _LEAVES for n in literal.own()):
        raise BuilderError("what runs under the lock may be left earlier")
    _check_names(file, literal, waiting)
    siblings = body.statements
    if waiting is siblings[-1]:
        return (*delete(waiting), *insert_after(outer, waiting.name)), True
    if waiting is siblings[0]:
        return (*delete(waiting), *insert_before(outer, waiting.name)), False
    return (_halves(call, literal, waiting),), False


def _check_names(file: GoFile, literal: Node, waiting: Node) -> None:
    """Refuse variables of the literal that the wait, or what is behind it, uses."""
    for name in literal["body"].find("identifier"):
        binding = file.binding(name)
        if name.start < waiting.start or binding is None or not literal.contains(binding.node):
            continue
        if binding.node.start < waiting.start:
            raise BuilderError(f"{binding.name} is needed before and after the wait")
    call = literal.parent.parent if literal.parent is not None else None
    for name in call.find("identifier") if call is not None else ():
        binding = file.binding(name)
        if literal.contains(name) or binding is None:
            continue
        if not is_assigned_once(binding):
            raise BuilderError(f"{binding.name} may be another one by then")


def _halves(call: Node, literal: Node, waiting: Node) -> Edit:
    """Close the literal before the wait, and open another one behind it."""
    source = call.tree.source
    indent, newline = source.indent_at(call.start), source.newline
    head = call.tree.data[call.start : literal["body"].start]
    tail = call.tree.data[literal.end : call.end]
    if newline in head or newline in tail:
        raise BuilderError("what runs under the lock is given in several lines")
    lines = (b"}" + tail, waiting.text, head + b"{")
    code = newline.join(indent + line for line in lines)
    return Edit(call.path, source.line_start(waiting.start), waiting.end, code)
