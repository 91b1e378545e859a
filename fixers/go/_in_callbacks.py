"""Sends that a goroutine makes in functions within it: callbacks and closures that it calls.

go func() {                                           go func() {
    defer close(out)                                      defer close(out)
    filepath.WalkDir(root, func(…) error {                for _, item := range items {
        out <- path                                           emit(item) // out <- item
        return nil                                        }
    })                                                }()
}()
"""

from __future__ import annotations

import re

from threadmend.golang.file import GoFile
from threadmend.golang.functions import call_of, result_nodes
from threadmend.golang.goroutines import innermost_loop, launch_of_literal
from threadmend.golang.leaving import Leave
from threadmend.golang.locks import runs_in_place
from threadmend.golang.syntax import Node

__all__ = ["leave_of", "runs_again_in"]

_REPEATS = re.compile(r"(?i)walk|each|range|iter|scan|visit|list|all$")
_DEPTH = 4


def runs_again_in(file: GoFile, send: Node) -> Node | None:
    """Return the goroutine's literal that runs a send again and again, in literals of its own."""
    at, again = send, innermost_loop(send) is not None
    for _ in range(_DEPTH):
        literal = at.function
        if literal is None or literal.kind != "func_literal":
            return None
        if at is not send and launch_of_literal(file, literal) is not None:
            return literal if again else None
        found = _runs(file, literal)
        if found is None:
            return None
        at, repeated = found
        again = again or repeated or innermost_loop(at) is not None
    return None


def leave_of(file: GoFile, send: Node) -> Leave | None:
    """Return how a callback of a loop over something ends it, where it always goes on so far.

    `m.Range(func(key, value any) bool { out <- key; return true })`: with false.
    """
    literal = send.function
    results = result_nodes(literal) if literal is not None else []
    if literal is None or literal.field == "function" or [r.text for r in results] != [b"bool"]:
        return None
    call = literal.parent.parent if literal.parent is not None else None
    if call is None or call.kind != "call_expression":
        return None
    returns = [n for n in literal.own() if n.kind == "return_statement"]
    if not _REPEATS.search(call["function"].name.rpartition(".")[2]):
        return None
    return Leave("return false") if all(r.text == b"return true" for r in returns) else None


def _runs(file: GoFile, literal: Node) -> tuple[Node, bool] | None:
    """Return the call that runs a literal, and whether it does so more than once."""
    group = literal.parent
    if group is None or group.parent is None:
        return None
    if group.kind == "argument_list":
        call = group.parent
        name = call["function"].name.rpartition(".")[2] if call.kind == "call_expression" else ""
        repeats = bool(_REPEATS.search(name))
        return (call, repeats) if repeats or runs_in_place(file, literal) else None
    if group.kind != "expression_list" or len(group.children) != 1:
        return None
    return _called(file, literal, group.parent)


def _called(file: GoFile, literal: Node, statement: Node) -> tuple[Node, bool] | None:
    """Return the call of `emit := func(…) {…}` when one goroutine alone calls it."""
    left = statement.get("left")
    if left is None or len(left.children) != 1 or left.children[0].kind != "identifier":
        return None
    binding = file.binding(left.children[0])
    if binding is None or not binding.is_variable:
        return None
    calls: list[Node] = []
    repeats = False
    for use in binding.uses:
        if use is binding.node or use is left.children[0]:
            continue
        call = call_of(use)
        if call is None:
            return None
        if literal.contains(call):
            repeats = True  # it calls itself
        else:
            calls.append(call)
    if not calls or len({id(c.function) for c in calls}) != 1:
        return None
    if any(c.is_launched for c in calls):
        return None
    return calls[0], repeats
