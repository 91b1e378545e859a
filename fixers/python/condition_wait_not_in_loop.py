"""Wait for a condition in a loop

`wait` returns when somebody notified, not when what was waited for is true: another thread may
have been faster, `notify_all` wakes all, and wake-ups happen without any. After an `if` the
code goes on with a condition that no longer holds. A loop whose test is made before the condition
is held misses what is notified between the two, and waits for ever.

A method that does nothing but wait counts where it is called, also one of a base class. So does a
wait behind a test that leaves where there is nothing to wait for.

Not reported: waits with a time limit, whose end is looked at; waits in a loop; code that tests
again after the wait; an `if` with an `else`, or whose test itself waits or takes something; for
tests ahead of the lock, loops that do more than to test, or conditions that nobody notifies here.

Unsafe: a test that is made with the condition held waits for it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import product

from threadmend.model import Edit, Finding, Fix
from threadmend.python import api
from threadmend.python.builders import BuilderError, delete, is_alone, replace, wrap
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, before, enclosing, walk
from threadmend.python.forwarded import only_call
from threadmend.python.functions import function_of
from threadmend.python.implied import stands_for
from threadmend.python.uses import is_self

from ._failing import is_told
from ._lost_news import lost_news

CATEGORY = "lock"
GATE = rb"\.wait\(\s*\)|\bif\b[^\n]*:[ \t]*(?:#[^\n]*)?\n\s*self\.\w+\(\)"


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the waits for a condition that is tested once."""
    helped = (call for call in file.nodes(ast.Call) if _is_helper(file, call))
    for call in (*(c for c in file.calls("wait") if _is_wait(file, c)), *helped):
        waits = file.statement(call)
        top = _tried(file, waits)
        test = file.parent(top)
        if not isinstance(test, ast.If) or top not in test.body or test.orelse:
            if (left := _left_before(file, call, top)) is not None:
                yield _behind(file, call, waits, left)
            continue
        if any(enclosing(call, ast.While)) or not _is_plain(file, test):
            continue
        is_last = test.body[-1] is waits
        if not is_last and not _is_counted(file, test, waits, top):
            continue
        # What comes before the wait is not done again, unless it only says that it waits.
        is_all = is_last and all(is_told(file, s) for s in test.body[:-1])
        if not _tests_again(file, test):
            yield _finding(file, call, test, None if is_all else waits)
    if not file.is_test:
        yield from lost_news(file)


def _left_before(file: PythonFile, call: ast.Call, wait: ast.stmt) -> ast.If | None:
    """Return the test right before a wait that leaves where there is nothing to wait for: `if
    self._items: return self._items.pop()`. Behind the wait it does the same.
    """
    test = next(iter(before(wait)[-1:]), None)
    if not isinstance(test, ast.If) or test.orelse or _is_repeated(call):
        return None
    if not isinstance(test.body[-1], ast.Return | ast.Raise) or not _is_plain(file, test):
        return None
    done, again = [file.text(s) for s in test.body], [file.text(s) for s in after(wait)]
    if done != again or _kept(file, test) is not test.test:
        return None  # what it waits for is not what the test asks
    return test


def _is_repeated(call: ast.Call) -> bool:
    return any(enclosing(call, ast.While)) or any(enclosing(call, ast.For))


def _behind(file: PythonFile, call: ast.Call, wait: ast.stmt, test: ast.If) -> Finding:
    """Return the finding about a wait behind a test that leaves."""
    start, end = file.span(call)
    text = file.text(test.test)
    negated = isinstance(test.test, ast.UnaryOp) and isinstance(test.test.op, ast.Not)
    if isinstance(test.test, ast.UnaryOp) and negated:
        again = file.text(test.test.operand)
    else:
        plain = isinstance(test.test, ast.Name | ast.Attribute | ast.Call)
        again = f"not {text}" if plain else f"not ({text})"
    said = f"{again} may hold again after the wait, and is not tested again"
    try:
        if "\n" in text or not is_alone(file, wait):
            raise BuilderError("the test is written over several lines")
        # Whoever comes here has just seen that the test fails: the first round waits as before.
        edits = wrap(file, [wait], f"while {again}:")
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    return Finding(file.path, start, end, said, fixes=(Fix("Test again after the wait", edits),))


def _is_wait(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a call waits for a condition, for as long as it takes."""
    if call.args or call.keywords or not isinstance(call.func, ast.Attribute):
        return False
    return file.is_a(call.func.value, api.CONDITIONS)


def _is_helper(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a statement only has a method of its object wait, which does nothing else:
    `if self._is_empty(): self._pause()`.
    """
    func = call.func
    if call.args or call.keywords or not isinstance(func, ast.Attribute):
        return False
    if not is_self(file, func.value) or not isinstance(file.parent(call), ast.Expr):
        return False
    if not isinstance(file.parent(file.statement(call)), ast.If):
        return False
    helper = function_of(file, func)
    inner = None if helper is None else only_call(helper)
    if helper is None or inner is None or getattr(inner.func, "attr", "") != "wait":
        return False
    return _is_wait(helper.file, inner)


def _tried(file: PythonFile, wait: ast.stmt) -> ast.stmt:
    """Return the `try` that does nothing but wait, and something behind that in any case."""
    above = file.parent(wait)
    if isinstance(above, ast.Try) and above.body == [wait] and not above.handlers:
        return above
    return wait


def _is_counted(file: PythonFile, test: ast.If, wait: ast.stmt, top: ast.stmt) -> bool:
    """Return whether what stands around a wait only notes that somebody waits: `waiting += 1`
    before it and `waiting -= 1` behind it, which the test does not ask.
    """
    noted = [s for s in test.body if s is not top]
    if isinstance(top, ast.Try) and top is not wait:
        noted += [*top.orelse, *top.finalbody]
    wanted = _names(file, test.test)
    for statement in noted:
        if not isinstance(statement, ast.Assign | ast.AugAssign):
            return False
        target = statement.target if isinstance(statement, ast.AugAssign) else statement.targets[0]
        if not isinstance(statement.value, ast.Constant) or file.text(target) in wanted:
            return False
        if not isinstance(target, ast.Name | ast.Attribute):
            return False
    return is_alone(file, wait)


def _is_plain(file: PythonFile, test: ast.If) -> bool:
    """Return whether the test may be made again, and says `if`."""
    asked = [node for part in (test.test, _kept(file, test)) for node in ast.walk(part)]
    if any(isinstance(node, ast.NamedExpr | ast.Await) for node in asked):
        return False
    if any(_does_something(node) for node in asked):
        return False
    start = file.span(test)[0]
    return file.data[start : start + 2] == b"if"


def _kept(file: PythonFile, test: ast.If) -> ast.expr:
    """Return what was asked where the test is of a variable that keeps the answer: `is_empty`
    of `is_empty = not self._items`, which nobody changes; else the test itself.
    """
    negated = isinstance(test.test, ast.UnaryOp) and isinstance(test.test.op, ast.Not)
    name = test.test.operand if isinstance(test.test, ast.UnaryOp) and negated else test.test
    binding = file.binding(name)
    if binding is None or binding.scope.kind != "function" or not isinstance(name, ast.Name):
        return test.test
    values = [site.value for site in binding.sites if site.kind in {"assign", "walrus"}]
    only = values[0] if len(values) == len(binding.sites) == 1 else None
    return test.test if only is None else only


def _does_something(node: ast.AST) -> bool:
    """Return whether a part of a test waits or takes something: it cannot be asked again."""
    func = node.func if isinstance(node, ast.Call) else None
    return isinstance(func, ast.Attribute) and func.attr in _WAITS | api.MUTATORS


_WAITS = frozenset({"wait", "wait_for", "acquire", "join", "get_nowait", "recv", "result", "read"})


def _tests_again(file: PythonFile, test: ast.If) -> bool:
    """Return whether the code after the wait looks at the same thing once more."""
    wanted = _names(file, test.test)
    for statement in after(test):
        for node in walk(statement):
            if isinstance(node, ast.If | ast.While | ast.Assert | ast.IfExp):
                if wanted & _names(file, node.test) and not _looks_past(file, test.test, node):
                    return True
    return False


def _looks_past(file: PythonFile, waited: ast.expr, later: ast.AST) -> bool:
    """Return whether a later test only leaves in cases in which nobody would wait: `if closed
    and not items: return` behind `if not closed and not items: wait()`.
    """
    if not isinstance(later, ast.If) or later.orelse:
        return False
    if not isinstance(later.body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break):
        return False
    wanted = _names(file, waited)
    if not any(
        isinstance(node, ast.expr) and wanted & _names(file, node)
        for statement in after(later)
        for node in ast.walk(statement)
    ):
        return False  # what follows it does not rely on anything
    atoms = sorted(_atoms(file, waited) or ())
    told = _atoms(file, later.test)
    if not atoms or told is None or not told <= set(atoms) or len(atoms) > _MANY:
        return False
    for values in product((False, True), repeat=len(atoms)):
        known = dict(zip(atoms, values, strict=True))
        if _holds(file, waited, known) and _holds(file, later.test, known):
            return False
    return True


_MANY = 6


def _atoms(file: PythonFile, node: ast.expr) -> set[str] | None:
    """Return the variables of a test made of `not`, `and` and `or`; None for another one. A
    method that does nothing else than to ask for them stands for what it returns.
    """
    asked = stands_for(file, node)
    if asked is not None:
        return _atoms(asked[0].file, asked[1])
    if isinstance(node, ast.Name | ast.Attribute):
        return {file.text(node)}
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _atoms(file, node.operand)
    if not isinstance(node, ast.BoolOp):
        return None
    found: set[str] = set()
    for part in node.values:
        inside = _atoms(file, part)
        if inside is None:
            return None
        found |= inside
    return found


def _holds(file: PythonFile, node: ast.expr, known: dict[str, bool]) -> bool:
    asked = stands_for(file, node)
    if asked is not None:
        return _holds(asked[0].file, asked[1], known)
    if isinstance(node, ast.UnaryOp):
        return not _holds(file, node.operand, known)
    if isinstance(node, ast.BoolOp):
        parts = [_holds(file, part, known) for part in node.values]
        return all(parts) if isinstance(node.op, ast.And) else any(parts)
    return known[file.text(node)]


def _names(file: PythonFile, node: ast.expr) -> set[str]:
    found: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Name | ast.Attribute):
            found.add(file.text(part))
        asked = stands_for(file, part) if isinstance(part, ast.expr) else None
        if asked is not None:
            found |= _names(asked[0].file, asked[1])
    return found - {"self", "len", "not"}


def _finding(file: PythonFile, call: ast.Call, test: ast.If, waits: ast.stmt | None) -> Finding:
    start, end = file.span(call)
    text = file.text(test.test)
    said = f"{text} may hold again after the wait, and is not tested again"
    at = file.span(test)[0]
    # The test and the wait are repeated as they stand; when the test fails at once, as it did
    # in every run that was right before, nothing changes.
    edits: tuple[Edit, ...] = (Edit(file.path, at, at + 2, b"while"),)
    try:
        if _kept(file, test) is not test.test:
            edits = _asked_in_loop(file, test, waits)
        elif waits is not None:
            if "\n" in text:
                raise BuilderError("the test is written over several lines")
            edits = wrap(file, [waits], f"while {text}:")
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    fix = Fix("Test again after the wait", edits)
    return Finding(file.path, start, end, said, fixes=(fix,))


def _asked_in_loop(file: PythonFile, test: ast.If, waits: ast.stmt | None) -> tuple[Edit, ...]:
    """Return the edits that ask again what a variable keeps: testing the variable again would
    wait for ever.
    """
    kept = _kept(file, test)
    asking = file.statement(kept)
    uses = [n for n in ast.walk(test.test) if isinstance(n, ast.Name)]
    others = [u for u in file.uses(file.binding(uses[0])) if isinstance(u.ctx, ast.Load)]  # type: ignore[arg-type]
    if waits is not None or others != uses or before(test)[-1:] != [asking]:
        raise BuilderError(f"{file.text(uses[0])} stays what it was before the wait")
    text = file.text(kept)
    if "\n" in text or not isinstance(asking, ast.Assign):
        raise BuilderError("the test is written over several lines")
    at = file.span(test)[0]
    return (
        *delete(file, asking, comments=False),
        Edit(file.path, at, at + 2, b"while"),
        *replace(file, uses[0], text),
    )
