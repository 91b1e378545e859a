"""Dones: whether code that a goroutine runs may call WaitGroup.Done, itself or further down.

Functions of the project are read; a WaitGroup that is handed on may be counted down there. A
function value counts where a literal exists that it could be and that calls Done.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from threadmend.golang.functions import call_of
from threadmend.golang.goroutines import launch_of_literal
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.targets import targets
from threadmend.golang.types import deref, is_named
from threadmend.golang.waitgroups import WaitGroupCall, waitgroup_call

if TYPE_CHECKING:
    from threadmend.golang.access import Access
    from threadmend.golang.counting import Counter
    from threadmend.golang.file import GoFile

__all__ = ["done_in_other_literal", "leads_to_done", "may_call_done"]

_DEPTH = 4
_METHODS = frozenset({"Add", "Done", "Wait", "Go"})


def may_call_done(
    file: GoFile,
    body: Node,
    known: Collection[Node] = (),
    *,
    counter: Counter | None = None,
) -> bool:
    """Return whether a body may call Done other than by the `known` calls.

    Its literals, and the functions that it calls as far as the project has them, are read. Where
    a `counter` knows the WaitGroup as a whole, the Dones of others do not count.
    """
    only: frozenset[Node] | None = None
    if counter is not None:
        dones = [c for c in counter.of("Done") if c.call not in known]
        only = frozenset(c.call for c in dones if not _is_launched_apart(counter, c, body))
        if not only:
            return any(_gives_method(file, node) for node in body.find("selector_expression"))
    return _Reader(only).may(file, body, known, _DEPTH)


def leads_to_done(file: GoFile, call: Node) -> bool:
    """Return whether a function that is called, or one further down, may call Done."""
    return _Reader(None).call_may(file, call, _DEPTH)


def _is_launched_apart(counter: Counter, done: WaitGroupCall, body: Node) -> bool:
    """Return whether a literal that is launched where it stands, outside of `body`, calls Done."""
    function = done.call.function
    if function is None or function.kind != "func_literal" or body.contains(function):
        return False
    return any(launch.literal is not None for launch in counter.launches_that_run(done))


def done_in_other_literal(file: GoFile, body: Node, access: Access) -> bool:
    """Return whether a literal outside of `body`, not launched by itself, calls Done.

    The body may run it without anybody seeing it: as a callback.
    """
    root = access.root
    if not isinstance(root, Binding):
        return False
    for use in root.uses:
        literal = use.function
        if literal is None or literal.kind != "func_literal" or body.contains(use):
            continue
        selector = use.up("call_expression")
        operation = waitgroup_call(file, selector) if selector is not None else None
        if operation is None or operation.method != "Done" or operation.access != access:
            continue
        if literal.contains(root.node) or launch_of_literal(file, literal) is not None:
            continue
        return True
    return False


def _hands_on(file: GoFile, node: Node) -> bool:
    """Return whether an expression gives a WaitGroup, or its method, to somebody else."""
    parent = node.parent
    if parent is None or node.field in {"field", "name"}:
        return False
    if parent.kind == "selector_expression" and node.field == "operand":
        called = call_of(parent) is not None
        return not called and parent["field"].name in _METHODS and _is_waitgroup(file, node)
    if parent.kind not in {"argument_list", "unary_expression", "expression_list"}:
        return False
    return _is_waitgroup(file, node)


def _is_waitgroup(file: GoFile, node: Node) -> bool:
    return is_named(deref(file.type_of(node)), "sync.WaitGroup")


def _gives_method(file: GoFile, node: Node) -> bool:
    """Return whether an expression is the method itself, for somebody else to call: `wg.Done`."""
    return (
        node["field"].name == "Done"
        and call_of(node) is None
        and _is_waitgroup(file, node["operand"])
    )


class _Reader:
    """Reads bodies for a Done: for one of `only`, or for any."""

    def __init__(self, only: frozenset[Node] | None) -> None:
        self.only = only
        self.seen: set[tuple[str, int]] = set()

    def may(self, file: GoFile, body: Node, known: Collection[Node], depth: int) -> bool:
        """Return whether a body may call Done, functions that it calls counted."""
        self.seen.add((body.path, body.start))
        for node in body.walk():
            if node.kind == "call_expression":
                if node not in known and self.call_may(file, node, depth):
                    return True
            elif node.kind in {"identifier", "selector_expression"}:
                if self.only is None and _hands_on(file, node):
                    return True
        return False

    def call_may(self, file: GoFile, call: Node, depth: int) -> bool:
        """Return whether a call is Done, or runs a body that may call it."""
        operation = waitgroup_call(file, call)
        if operation is not None:
            return operation.method == "Done" and (self.only is None or call in self.only)
        function = call["function"]
        if function.kind == "func_literal":
            return False  # it is read with the body
        if function.kind == "identifier" and file.resolve(function) is None:
            return False  # a builtin, a conversion
        for body in targets(file, call).bodies:
            if (body.node.path, body.node.start) in self.seen:
                continue
            if depth == 0 or self.may(body.file, body.node, (), depth - 1):
                return True
        return False
