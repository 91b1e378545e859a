"""Tests ahead of a lock whose section takes away, or counts on, what the test saw."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python.file import PythonFile
from threadmend.python.flow import target_of, walk
from threadmend.python.locks import Section
from threadmend.python.scope import scope_of
from threadmend.python.uses import use_mode

from ._own_entry import is_of_this_thread

__all__ = ["consumed"]

_TAKING = frozenset({"pop", "popleft", "popitem", "remove"})
_CHANGES = frozenset({"write", "augment", "mutate", "delete"})
_ORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_COPIES = frozenset({"list", "tuple", "set", "dict", "sorted"})
_READY = frozenset({"KeyError", "IndexError", "LookupError", "ValueError", "AttributeError"})


def consumed(file: PythonFile, section: Section, test: ast.expr) -> ast.expr | None:
    """Return what a test ahead of a section looks at, when the section relies on it and changes
    it: another thread may have done that after the test.
    """
    if _is_for_this_thread(file, test):
        return None
    compared = {
        id(part)
        for node in ast.walk(test)
        if isinstance(node, ast.Compare) and all(isinstance(op, _ORDERS) for op in node.ops)
        for side in (node.left, *node.comparators)
        for part in ast.walk(side)
    }
    inside = list(walk(section.body))
    for seen in _looked_at(file, test):
        text = file.text(seen)
        uses = [n for n in inside if isinstance(n, type(seen)) and file.text(n) == text]
        uses.sort(key=_place)
        changes = [n for n in uses if use_mode(n) in _CHANGES]
        if not changes or _is_looped(file, section, text):
            continue
        early = [n for n in uses if _place(n) <= _place(changes[0])]
        if any(_is_looked_after(file, section, use) for use in early):
            continue
        if id(seen) in compared and any(use_mode(n) in {"write", "mutate"} for n in uses):
            return seen
        if _is_missed(test, seen) and use_mode(uses[0]) == "mutate":
            return seen  # nothing of it is read before
        if any(_takes(file, use) for use in uses) or _is_used_up(uses):
            return seen
    return None


def _is_for_this_thread(file: PythonFile, test: ast.expr) -> bool:
    """Return whether a test is for the thread's own entry, which no other thread takes away:
    `me in holders`, where `me` is the thread that runs.
    """
    for node in ast.walk(test):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            if is_of_this_thread(file, node.left):
                return True
    return False


def _looked_at(file: PythonFile, test: ast.expr) -> Iterator[ast.Name | ast.Attribute]:
    """Yield the attributes and globals of a test, longest first."""
    for node in ast.walk(test):
        if not isinstance(node, ast.Name | ast.Attribute):
            continue
        above = file.parent(node)
        if isinstance(above, ast.Call) and above.func is node:
            continue
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            root = root.value
        binding = file.binding(root)
        if binding is None:
            continue
        if isinstance(node, ast.Name) and binding.scope is scope_of(node):
            continue  # only this function sees it
        yield node


def _is_missed(test: ast.expr, seen: ast.expr) -> bool:
    """Return whether a test is whether something is not in a collection yet."""
    return any(
        isinstance(node, ast.Compare)
        and any(isinstance(op, ast.NotIn) for op in node.ops)
        and seen in node.comparators
        for node in ast.walk(test)
    )


def _takes(file: PythonFile, use: ast.expr) -> bool:
    """Return whether a use takes something out, or computes from what is there."""
    mode, above = use_mode(use), file.parent(use)
    if mode == "augment":
        return True
    if mode != "mutate":
        return False
    if isinstance(above, ast.Attribute):
        return above.attr in _TAKING and not _has_default(file.parent(above))
    return isinstance(file.statement(use), ast.AugAssign | ast.Delete)


def _has_default(call: ast.AST | None) -> bool:
    """Return whether `d.pop(key, None)` is ready for nothing to be there."""
    return isinstance(call, ast.Call) and len(call.args) + len(call.keywords) > 1


def _is_used_up(uses: list[ast.Name | ast.Attribute]) -> bool:
    """Return whether a section uses an object and then forgets it: `conn.close(); conn = None`."""
    written = [n for n in uses if use_mode(n) == "write"]
    return bool(written) and any(
        use_mode(n) in {"read", "call"} and (n.lineno, n.col_offset) < _place(written[-1])
        for n in uses
    )


def _is_looped(file: PythonFile, section: Section, text: str) -> bool:
    """Return whether a section goes over the collection, or a copy, which may be empty by now."""
    return any(
        (
            isinstance(node, ast.For | ast.AsyncFor | ast.comprehension)
            and text in file.text(node.iter)
        )
        or (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and file.qualified(node.value.func) in _COPIES
            and text in map(file.text, node.value.args)
        )
        for node in walk(section.body)
    )


def _place(node: ast.expr) -> tuple[int, int]:
    return (node.lineno, node.col_offset)


def _is_looked_after(file: PythonFile, section: Section, use: ast.expr) -> bool:
    """Return whether a section tests again, or is ready for what it does not find."""
    if _is_read_to_test(file, section, use):
        return True
    if isinstance(use.ctx, ast.Load):  # type: ignore[attr-defined]
        below: ast.AST = use
        for above in file.ancestors(use):
            if isinstance(above, ast.If | ast.While | ast.IfExp) and below is above.test:
                return True
            if isinstance(above, ast.Assert | ast.BoolOp | ast.Compare | ast.NamedExpr):
                return True
            if above is section.start:
                break
            below = above
    for above in file.ancestors(use):
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            break
        if isinstance(above, ast.Try) and any(_is_ready(handler) for handler in above.handlers):
            return True
        if isinstance(above, ast.With) and any(
            "suppress" in file.text(item.context_expr) for item in above.items
        ):
            return True
    return False


def _is_read_to_test(file: PythonFile, section: Section, use: ast.expr) -> bool:
    """Return whether a use is read into a variable that the section tests: `job = d.get(key)`."""
    statement = file.statement(use)
    name = target_of(statement) if isinstance(statement, ast.Assign | ast.AnnAssign) else None
    if not isinstance(name, ast.Name):
        return False
    return any(
        isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert)
        and any(isinstance(n, ast.Name) and n.id == name.id for n in ast.walk(node.test))
        for node in walk(section.body)
    )


def _is_ready(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    named = (n.id for n in ast.walk(handler.type) if isinstance(n, ast.Name))
    return any(name in _READY or name == "Exception" for name in named)
