"""A lock that is asked whether it is true: `while self._lock:`, where `with` was meant."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python import api
from threadmend.python.file import PythonFile
from threadmend.python.flow import innermost_loop, walk
from threadmend.python.locks import Lock

__all__ = ["tested"]


def tested(file: PythonFile) -> Iterator[Finding]:
    """Yield the `while lock:` and `if lock:` that mean `with lock:`."""
    for node in file.nodes(ast.While, ast.If):
        assert isinstance(node, ast.While | ast.If)
        start = file.span(node)[0]
        word = "while" if isinstance(node, ast.While) else "if"
        if node.orelse or file.data[start : start + len(word)] != word.encode():
            continue  # `elif`
        lock = file.lock(node.test)
        if lock is None or lock.type not in api.THREAD_LOCKS or not _is_certain(file, node, lock):
            continue
        yield _finding(file, node, word)


def _is_certain(file: PythonFile, node: ast.While | ast.If, lock: Lock) -> bool:
    """Return whether the variable never holds anything but a lock, and nobody asks on purpose."""
    function = file.function(node)
    if lock.place != lock.own or function is None:
        return False
    if lock.place.kind == "attribute":
        values = [] if function.home is None else function.home.values_of(lock.place.name)
        if not values or lock.place.base != "self":
            return False
        if not all(_is_made(f, made, lock) for f, made in values):
            return False
    elif lock.place.kind == "global":
        binding = file.binding(node.test)
        if binding is None or len(binding.sites) != 1:
            return False
        if not _is_made(file, binding.sites[0].value, lock):
            return False
    else:
        return False
    return not any(
        isinstance(inner, ast.Attribute) and file.text(inner.value) == file.text(node.test)
        for inner in walk(node.body)
    )


def _is_made(file: PythonFile, node: ast.AST | None, lock: Lock) -> bool:
    return isinstance(node, ast.Call) and file.qualified(node.func) == lock.type


def _finding(file: PythonFile, node: ast.While | ast.If, word: str) -> Finding:
    start, end = file.span(node.test)
    name = file.text(node.test)
    said = f"{name} is always true, and nothing is locked here"
    at = file.span(node)[0]
    ways = (ast.Break, ast.Continue)
    if word == "while" and any(
        isinstance(inner, ways) and innermost_loop(inner) is node for inner in walk(node.body)
    ):
        return Finding(file.path, start, end, said, reason="the loop is left by break or continue")
    edits = (Edit(file.path, at, at + len(word), b"with"),)
    fix = Fix(f"Write with for {word}", edits, Safety.UNSAFE, "the block now waits for the lock")
    return Finding(file.path, start, end, said, fixes=(fix,))
