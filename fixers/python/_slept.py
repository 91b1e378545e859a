"""Helpers that only sleep: for how long, written as who calls them would write it."""

from __future__ import annotations

import ast
from collections.abc import Set

from threadmend.model import Edit
from threadmend.python.arguments import argument
from threadmend.python.builders import BuilderError, reference
from threadmend.python.file import PythonFile
from threadmend.python.flow import innermost_loop, is_text, walk
from threadmend.python.functions import Function, function_of

__all__ = ["pause_in", "slept_between_tries", "slept_here"]

_PLAIN = (ast.Name, ast.Attribute, ast.Constant)


def slept_here(
    file: PythonFile, call: ast.Call, callee: Function, sleep: ast.Call
) -> tuple[Edit, ...] | None:
    """Return the edits that await asyncio.sleep in place of a call of a function which does nothing
    but sleep, for as long as its object and its arguments say; None where that says more.
    """
    if not _is_all(callee, sleep) or not isinstance(file.parent(call), ast.Expr):
        return None
    seconds = _written(file, call, callee, sleep.args[0])
    if seconds is None:
        return None
    try:
        name, added = reference(file, "asyncio.sleep", call)
    except BuilderError:
        return None
    return (Edit(file.path, *file.span(call), file.encode(f"await {name}({seconds})")), *added)


def slept_between_tries(function: Function, certain: Set[ast.AST]) -> ast.Call | None:
    """Return the call of time.sleep between two tries of a loop that the function certainly comes
    to: in a handler of what is tried until it works, or behind it.
    """
    file = function.file
    for call in function.calls:
        if file.qualified(call.func) != "time.sleep":
            continue
        loop = innermost_loop(call)
        if loop not in certain or isinstance(loop, ast.AsyncFor) or loop is None:
            continue
        for tried in (s for s in loop.body if isinstance(s, ast.Try)):
            leaves = (*walk(tried.body), *walk(tried.orelse))
            ends = any(isinstance(n, ast.Return | ast.Break) for n in leaves)
            handling = [s for handler in tried.handlers for s in handler.body]
            behind = loop.body[loop.body.index(tried) + 1 :]
            if ends and call in {*walk(handling), *walk(behind)}:
                return call
    return None


def pause_in(file: PythonFile, call: ast.Call) -> str | None:
    """Return for how long a call sleeps, of `time.sleep` or of a helper that does nothing else,
    `""` where the call says nothing; None for any other.
    """
    if file.qualified(call.func) == "time.sleep":
        return file.text(call.args[0]) if call.args else ""
    callee = function_of(file, call.func)
    if callee is None or callee.decorators or not callee.is_private or len(callee.calls) != 1:
        return None
    sleep = callee.calls[0]
    if callee.file.qualified(sleep.func) != "time.sleep" or not _is_all(callee, sleep):
        return None
    return _written(file, call, callee, sleep.args[0])


def _is_all(callee: Function, sleep: ast.Call) -> bool:
    """Return whether a function does nothing but sleep."""
    body = [s for s in callee.body if not is_text(s)]
    is_all = len(body) == 1 and isinstance(body[0], ast.Expr) and body[0].value is sleep
    return is_all and len(sleep.args) == 1 and not sleep.keywords


def _written(file: PythonFile, call: ast.Call, callee: Function, node: ast.expr) -> str | None:
    """Return an expression of a function as the text that means the same at a call of it."""
    there = callee.file
    start, end = there.span(node)
    text, at = there.data[start:end], start
    pieces = []
    for name in (n for n in ast.walk(node) if isinstance(n, ast.Name)):
        binding = there.binding(name)
        if binding is None or (binding.scope.kind == "module" and there is file):
            continue
        given = _given(call, callee, name.id) if binding.scope is callee.scope else None
        if not isinstance(given, _PLAIN):
            return None
        pieces.append((*there.span(name), there.encode(file.text(given))))
    for first, last, new in sorted(pieces, reverse=True):
        text = text[: first - at] + new + text[last - at :]
    return text.decode(there.tree.encoding) if b"\n" not in text else None


def _given(call: ast.Call, callee: Function, name: str) -> ast.expr | None:
    """Return what a call gives for a parameter, or the object whose method it is."""
    if name == callee.self_name:
        return call.func.value if isinstance(call.func, ast.Attribute) else None
    names = callee.parameters[callee.self_name is not None :]
    if name not in names or any(isinstance(a, ast.Starred) for a in call.args):
        return None
    return argument(call, names.index(name), name)
