"""Tests of a lock's own package: they try what the lock does when it is taken twice, or kept."""

from __future__ import annotations

from posixpath import dirname

from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node

__all__ = ["is_own_lock"]

_TAKES = frozenset({"Lock", "RLock", "TryLock", "TryRLock"})


def is_own_lock(file: GoFile, call: Node) -> bool:
    """Return whether a test takes a lock by a method that its own package declares.

    Not one that a struct gets from a lock embedded in it, nor a lock made for the tests.
    """
    if not file.is_test_file or call.kind != "call_expression":
        return False
    function = call["function"]
    if function.kind != "selector_expression" or function["field"].name not in _TAKES:
        return False
    decl = file.callee(call)
    if decl is None or dirname(decl.file.path) != dirname(file.path):
        return False
    return not decl.file.is_test_file
