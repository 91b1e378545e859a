"""WaitGroups: the calls of Add, Done, Wait and Go, and which WaitGroup they mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of, selector_called
from threadmend.golang.functions import call_of
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["WAITGROUP_CALLS", "WaitGroupCall", "is_run_here", "waitgroup_call", "waitgroup_calls"]

WAITGROUP_CALLS = re.compile(rb"\.(?:Add|Done|Wait|Go)\b")
_METHODS = frozenset({"Add", "Done", "Wait", "Go"})


@dataclass(slots=True)
class WaitGroupCall:
    """One call on a `sync.WaitGroup`.

    `waitgroup` is the expression before the method, `access` the object that it means
    (embedded fields included), None for a computed one.
    """

    call: Node
    method: str
    waitgroup: Node
    access: Access | None

    @property
    def count(self) -> Node | None:
        """Return the argument of Add."""
        arguments = self.call["arguments"].children
        return arguments[0] if self.method == "Add" and len(arguments) == 1 else None

    @property
    def deferred(self) -> Node | None:
        """Return the defer statement when the call itself is deferred."""
        parent = self.call.parent
        return parent if parent is not None and parent.kind == "defer_statement" else None


def waitgroup_call(file: GoFile, call: Node) -> WaitGroupCall | None:
    """Return the WaitGroup operation that a call is, if its receiver is a WaitGroup."""
    function = selector_called(file, call)
    if function is None:
        return None
    method = function["field"].name
    if method not in _METHODS:
        return None
    selection = file.selection(function)
    if selection is None or not is_named(selection.owner, "sync.WaitGroup"):
        return None
    waitgroup = function["operand"]
    return WaitGroupCall(call, method, waitgroup, access_of(file, waitgroup, selection.via))


def waitgroup_calls(file: GoFile, root: Node, *, inside: bool = False) -> Iterator[WaitGroupCall]:
    """Yield the WaitGroup operations of a function, in source order.

    Those of literals in it are left out unless `inside`; a deferred literal runs with the
    function and counts as its own.
    """
    if not WAITGROUP_CALLS.search(file.data, root.start, root.end):
        return
    for node in root.walk() if inside else _own(root):
        if node.kind == "call_expression":
            found = waitgroup_call(file, node)
            if found is not None:
                yield found


def _own(root: Node) -> Iterator[Node]:
    for node in root.own():
        yield node
        if node.kind == "func_literal" and node is not root and is_run_here(node):
            yield from _own(node)


def is_run_here(literal: Node) -> bool:
    """Return whether a literal is called where it stands, at once or deferred."""
    call = call_of(literal)
    if call is None:
        return False
    return not call.is_launched
