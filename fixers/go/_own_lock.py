"""Tests of a lock's own package: they try what the lock does when it is taken twice, or kept."""

from __future__ import annotations

from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, deref

__all__ = ["is_own_lock"]

_TAKES = frozenset({"Lock", "RLock", "TryLock", "TryRLock"})


def is_own_lock(file: GoFile, call: Node) -> bool:
    """Return whether a test takes a lock of a type that its own package declares."""
    if not file.is_test_file or call.kind != "call_expression":
        return False
    function = call["function"]
    if function.kind != "selector_expression" or function["field"].name not in _TAKES:
        return False
    type_ = deref(file.type_of(function["operand"]))
    return isinstance(type_, Named) and type_.package == file.package.key and not type_.local
