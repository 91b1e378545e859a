"""Whether a round of a loop goes on after a place with what it has taken before it."""

from __future__ import annotations

import re

from threadmend.golang.syntax import Node

__all__ = ["in_hand"]

_WORDS = re.compile(rb"\b[a-zA-Z_]\w*")
_ENDS = frozenset({"return_statement", "continue_statement", "break_statement", "goto_statement"})
_ERRORS = re.compile(rb"(?i).*err(?:or)?\d*$")


def in_hand(node: Node, loop: Node) -> bool:
    """Return whether a loop that is left at a place drops what the round has received.

    `case msg := <-queue: time.Sleep(delay); out <- msg`. Errors, and what is worked out of
    numbers, are nothing to lose.
    """
    after = _after(node, loop)
    if not after:
        return False
    taken = _taken(node, loop)
    if not taken:
        return False
    data = node.tree.data
    return any(taken & set(_WORDS.findall(data, s.start, s.end)) for s in after)


def _after(node: Node, loop: Node) -> list[Node]:
    """Return the statements of the round that follow a place on its path."""
    found: list[Node] = []
    statement = node.statement
    while statement is not None and statement is not loop:
        for later in statement.following:
            found.append(later)
            if later.kind in _ENDS:
                return found
        statement = statement.parent.statement if statement.parent is not None else None
        if statement is not None and not loop.contains(statement):
            break
    return found


def _taken(node: Node, loop: Node) -> set[bytes]:
    """Return the names that the round gives, before a place, to what it receives or is handed."""
    names: set[bytes] = set()
    for given in loop["body"].find(
        "short_var_declaration", "assignment_statement", "receive_statement"
    ):
        if given.start >= node.start or given.get("right") is None or given.get("left") is None:
            continue
        if given.function is not loop.function or not _comes_from_others(given["right"]):
            continue
        for name in given["left"].find("identifier"):
            if not _ERRORS.fullmatch(name.text) and name.text != b"_":
                names.add(name.text)
    return names


def _comes_from_others(value: Node) -> bool:
    """Return whether a value is received, or what a call took from a queue."""
    if any(n["operator"].kind == "<-" for n in value.find("unary_expression")):
        return True
    return any(_TAKES.search(c["function"].text) for c in value.find("call_expression"))


_TAKES = re.compile(
    rb"(?i:queue|backlog)\.\w+$|\.(?:Next|Pop|Dequeue|Take|Recv|Receive|Read|Accept)\w*$"
)
