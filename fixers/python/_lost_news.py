"""Waits whose test is made before the condition is held: news that come in between are lost."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python import api
from threadmend.python.builders import BuilderError, is_alone
from threadmend.python.builders.lines import indent_of, indent_unit, line_span
from threadmend.python.builders.statements import indented_lines
from threadmend.python.file import PythonFile
from threadmend.python.flow import always_leaves, is_text
from threadmend.python.functions import function_of
from threadmend.python.lockorder import takings
from threadmend.python.locks import Lock

from ._failing import is_logged

__all__ = ["lost_news"]

_NEWS = ("notify", "notify_all", "notifyAll")


def lost_news(file: PythonFile) -> Iterator[Finding]:
    """Yield the loops that test, then take the condition, and wait without a test."""
    for call in file.calls("wait"):
        func = call.func
        if call.args or call.keywords or not isinstance(func, ast.Attribute):
            continue
        lock = file.lock(func.value) if file.is_a(func.value, api.CONDITIONS) else None
        entered = _entered(file, call)
        loop = None if entered is None else _loop(file, entered)
        if lock is None or lock.family != "thread" or entered is None or loop is None:
            continue
        news = _news(file, lock, call)
        if news is not None and not file.held(loop) and _asks(file, loop):
            yield _finding(file, call, lock, entered, loop, news)


def _entered(file: PythonFile, call: ast.Call) -> ast.With | None:
    """Return `with x:` around nothing but `x.wait()`."""
    above = file.parent(file.statement(call))
    if not isinstance(above, ast.With) or len(above.items) != 1 or len(above.body) != 1:
        return None
    assert isinstance(call.func, ast.Attribute)
    same = file.text(above.items[0].context_expr) == file.text(call.func.value)
    return above if same and isinstance(file.parent(call), ast.Expr) else None


def _loop(file: PythonFile, entered: ast.With) -> ast.While | None:
    """Return the loop that does nothing else but to test, to leave and to write to a log."""
    loop = file.parent(entered)
    if not isinstance(loop, ast.While) or loop.orelse or loop.body[-1] is not entered:
        return None
    for statement in loop.body[:-1]:
        leaves = isinstance(statement, ast.If) and always_leaves(statement.body)
        if is_logged(file, statement):
            continue
        if not is_text(statement) and (not leaves or statement.orelse):  # type: ignore[attr-defined]
            return None
    return loop


def _asks(file: PythonFile, loop: ast.While) -> bool:
    """Return whether the test looks at what other threads change, and may be made again."""
    for node in ast.walk(loop.test):
        if isinstance(node, ast.NamedExpr | ast.Await | ast.Yield):
            return False
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in {"acquire", "wait", "get", "join", "poll", "recv"}:
                return False
    return any(isinstance(node, ast.Attribute) for node in ast.walk(loop.test))


def _news(file: PythonFile, lock: Lock, wait: ast.Call) -> ast.Call | None:
    """Return a notification of the condition by another function."""
    for call in file.calls(*_NEWS):
        if isinstance(call.func, ast.Attribute) and file.function(call) is not file.function(wait):
            other = file.lock(call.func.value)
            if other is not None and other.own.anywhere == lock.own.anywhere:
                return call
    return None


def _finding(
    file: PythonFile,
    call: ast.Call,
    lock: Lock,
    entered: ast.With,
    loop: ast.While,
    news: ast.Call,
) -> Finding:
    start, end = file.span(call)
    name = file.text(entered.items[0].context_expr)
    said = f"{file.text(loop.test)} is tested before {name} is held: news in between are lost"
    related = (Related(file.path, *file.span(news), "this may come after the test"),)
    try:
        edits = _edits(file, lock, entered, loop)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    reason = f"the test now waits for {name}"
    fix = Fix(f"Test with {name} held", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, fixes=(fix,), related=related)


def _edits(file: PythonFile, lock: Lock, entered: ast.With, loop: ast.While) -> tuple[Edit, ...]:
    """Draw `while test: with x: x.wait()` as `with x: while test: x.wait()`."""
    for node in ast.walk(loop):
        callee = function_of(file, node.func) if isinstance(node, ast.Call) else None
        if callee is not None and not lock.reentrant:
            if any(t.place.anywhere == lock.place.anywhere for t in takings(callee)):
                raise BuilderError("one thread would take the condition twice")
    if not all(is_alone(file, s) for s in (loop, entered, entered.body[0])):
        raise BuilderError("the statement shares its line with another one")
    first, inner = line_span(file, loop)[0], line_span(file, entered)[0]
    body = line_span(file, entered.body[0])[0]
    if file.data[inner:body].count(b"\n") != 1 or b"#" in file.data[inner:body]:
        raise BuilderError("a comment would be lost")
    indent, unit, newline = indent_of(file, loop), indent_unit(file, loop), file.source.newline
    head = file.encode(f"with {file.text(entered.items[0].context_expr)}:") + newline
    lines = [at for at in indented_lines(file, [loop], first, inner) if at < inner]
    edits = [Edit(file.path, first, first, indent + head + unit)]
    edits += [Edit(file.path, at, at, unit) for at in lines if at != first]
    edits.append(Edit(file.path, inner, body, b""))
    return tuple(edits)
