"""Dead code: branches whose condition is written out and excludes them (`if True: … else: …`)."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile

__all__ = ["is_dead"]


def is_dead(file: PythonFile, offset: int) -> bool:
    """Return whether what stands at an offset never runs, by a constant condition around it."""
    return any(start <= offset < end for start, end in _spans(file))


def _spans(file: PythonFile) -> list[tuple[int, int]]:
    known: list[tuple[int, int]] | None = file.__dict__.get("_dead")
    if known is None:
        known = file.__dict__["_dead"] = []
        for node in file.nodes(ast.If, ast.While):
            assert isinstance(node, ast.If | ast.While)
            truth = _truth(node.test)
            if truth is None and isinstance(node, ast.If) and node.orelse:
                truth = _chosen(file, node.test)
            if truth is None:
                continue
            if not truth:
                block = node.body
            else:
                block = node.orelse if isinstance(node, ast.If) else []
            if block:
                known.append((file.span(block[0])[0], file.span(block[-1])[1]))
    return known


def _chosen(file: PythonFile, test: ast.expr) -> bool | None:
    """Return what a constant of the module says that tells two variants of the code apart."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _chosen(file, test.operand)
        return None if inner is None else not inner
    if not isinstance(test, ast.Name) or not test.id.isupper():
        return None
    binding = file.binding(test)
    if binding is None or binding.scope.kind != "module" or len(binding.sites) != 1:
        return None
    value = binding.sites[0].value
    if isinstance(value, ast.Constant) and isinstance(value.value, bool):
        return value.value
    return None


def _truth(test: ast.expr) -> bool | None:
    """Return what a condition certainly is."""
    if isinstance(test, ast.Constant):
        return bool(test.value)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _truth(test.operand)
        return None if inner is None else not inner
    if isinstance(test, ast.BoolOp):
        known = [_truth(value) for value in test.values]
        decided = isinstance(test.op, ast.Or)
        if decided in known:
            return decided
        return None if None in known else not decided
    return None
