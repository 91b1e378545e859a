"""Ends that a test does not hear of while it runs: those of its own context, and of what it tests.

func TestDrain(t *testing.T) {
    ctx, q := t.Context(), open()
    for q.depth() > 0 { time.Sleep(pause) }    // ctx ends after the test, q when the test ends it

"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.access import is_assigned_once
from threadmend.golang.functions import only_returned
from threadmend.golang.infer import is_decl
from threadmend.golang.inplace import is_called_in_place
from threadmend.golang.scope import Binding, argument_of
from threadmend.golang.subtests import TESTS, is_subtest
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, Type, is_named

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = ["ends_after_test", "is_of_test", "is_tested"]

_ENDS = re.compile(rb"(?i)cancel|timeout|deadline|signal|notify|interrupt|stop|group|limit")
_DEPTH = 4


def ends_after_test(file: GoFile, node: Node, binding: Binding) -> bool:
    """Return whether a context is a test's own, and a place is run by the test itself.

    `ctx := t.Context()`, also with values: it ends when the test and its subtests have returned,
    and tells something to the goroutines alone that outlive them.
    """
    value = binding.declaration.get("right") or binding.declaration.get("value")
    if value is None or len(value.children) != 1 or not is_assigned_once(binding):
        return False
    return is_of_test(file, value.children[0]) and _runs_in(file, node, binding.function)


def is_of_test(file: GoFile, value: Node, test: Binding | None = None, depth: int = _DEPTH) -> bool:
    """Return whether a value is `t.Context()`, or the same with more values.

    Also what a helper makes of the t that it is given, which is its parameter `test`.
    """
    if value.kind == "identifier":
        return _is_named_before(file, value, depth)
    if value.kind != "call_expression" or depth == 0:
        return False
    function, arguments = value["function"], value["arguments"].children
    if function.kind == "selector_expression" and function["field"].name == "Context":
        operand = function["operand"]
        known = test is not None and file.binding(operand) is test
        if known or is_named(file.type_of(operand), *TESTS):
            return True
    decl = file.callee(value)
    said = only_returned(decl.node) if decl is not None and decl.sound else None
    if decl is not None and said is not None:
        handed = _handed(file, value, decl, test)
        if handed is not None and is_of_test(decl.file, said, handed, depth - 1):
            return True
    if not arguments or not is_of_test(file, arguments[0], test, depth - 1):
        return False
    if decl is not None and decl.has_body and _ENDS.search(decl.file.data, *decl.span):
        return False
    return _ENDS.search(function.text) is None


def _is_named_before(file: GoFile, name: Node, depth: int) -> bool:
    binding = file.binding(name)
    if binding is None or depth == 0 or not is_assigned_once(binding):
        return False
    value = binding.declaration.get("right") or binding.declaration.get("value")
    if value is None or len(value.children) != 1 or binding.kind != "variable":
        return False
    return is_of_test(file, value.children[0], depth=depth - 1)


def _handed(file: GoFile, call: Node, decl: Decl, test: Binding | None) -> Binding | None:
    """Return the parameter in which a call hands a test to a function."""
    for name in decl.node["parameters"].find("identifier"):
        binding = decl.file.binding(name)
        if binding is None or binding.kind != "parameter" or binding.scope is not decl.node:
            continue
        given = argument_of(call, decl.node, binding)
        if given is None:
            continue
        if is_named(file.type_of(given), *TESTS) or (test and file.binding(given) is test):
            return binding
    return None


def _runs_in(file: GoFile, node: Node, function: Node | None) -> bool:
    """Return whether a place runs before a function returns, or in one of its subtests."""
    body = node.function
    while body is not None and body is not function:
        call = body.parent.parent if body.parent is not None else None
        if body.kind != "func_literal" or call is None:
            return False
        at_once = call.kind == "call_expression" and is_called_in_place(file, call, body)
        if not at_once and not is_subtest(file, body):
            return False
        body = body.function
    return body is not None


def is_tested(file: GoFile, binding: Binding, owner: Type | None) -> bool:
    """Return whether a test's variable holds an object of the program: the test ends it, and is
    not ended by it.
    """
    if not file.is_test or binding.kind == "receiver" or not isinstance(owner, Named):
        return False
    decl = file.package.lookup(owner.name) if owner.package == file.package.key else None
    return is_decl(decl, "type") and not decl.file.is_test
