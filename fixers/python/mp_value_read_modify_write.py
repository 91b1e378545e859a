"""Change a shared value under its lock

`counter.value += 1` reads and writes: each takes the lock of a `multiprocessing.Value`, and
between them another process counts as well. One of the two is lost. So it is with
`counts[i] += 1` of an `Array`, and with `if size > top.value: top.value = size`.

Not reported: plain reads and writes; changes under `get_lock()` or another lock; values made
with `lock=False` (they have none), and `RawValue`; values that one process alone changes, as far
as one can tell: the others read what it counts.

What the new value is made of is called before the lock is taken.

Unsafe: what else runs where a value is tested, or in between, under the lock then.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python import api
from threadmend.python.arguments import keyword
from threadmend.python.builders import BuilderError, wrap
from threadmend.python.builders.lines import indent_of, line_span
from threadmend.python.file import PythonFile
from threadmend.python.flow import enclosing, walk
from threadmend.python.value import Value

from ._ahead import calls_ahead, names_taken, result_name
from ._sole import is_changed_by_one
from ._touching import calls_into
from ._waiting import is_plain

CATEGORY = "process"
GATE = rb"\bValue\b|\bArray\b|\.value\b"

_KINDS = {"multiprocessing.Value", "multiprocessing.Array"}
_PROMISED = _KINDS | {
    f"multiprocessing.sharedctypes.{name}"
    for name in ("Synchronized", "SynchronizedBase", "SynchronizedArray", "SynchronizedString")
}


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the changes of a shared value that are no single step."""
    within: set[ast.AST] = set()
    for test in file.nodes(ast.If):
        target = _decided(file, test)
        if target is not None and not _is_locked(file, test):
            within.update(walk(test))
            yield _finding(file, test, target)
    changes: list[ast.AugAssign | ast.Assign] = [
        *file.nodes(ast.AugAssign),
        *file.nodes(ast.Assign),
    ]
    for statement in changes:
        changed = _changed(file, statement)
        if changed is not None and statement not in within and not _is_locked(file, statement):
            yield _finding(file, statement, changed)


# -- find -----------------------------------------------------------------------------------


def _decided(file: PythonFile, test: ast.If) -> ast.expr | None:
    """Return what `if size > top.value: top.value = size` sets, when its lock is not held."""
    if test.orelse or not any(isinstance(n, ast.Compare) for n in ast.walk(test.test)):
        return None
    for node in walk(test.body):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            target = node.targets[0]
            if target.attr == "value" and _reads(file, test.test, target):
                if _is_tested_again(file, node, test, target):
                    return None
                return target if _is_contended(file, target.value) else None
    return None


def _is_tested_again(file: PythonFile, change: ast.Assign, test: ast.If, target: ast.expr) -> bool:
    """Return whether an `if` further in asks once more, under the lock."""
    return any(
        inner is not test
        and inner in walk(test.body)
        and _reads(file, inner.test, target)
        and _is_locked(file, inner)
        for inner in enclosing(change, ast.If)
        if isinstance(inner, ast.If)
    )


def _changed(file: PythonFile, statement: ast.AugAssign | ast.Assign) -> ast.expr | None:
    """Return `v.value` of `v.value += 1` and of `v.value = v.value + 1`, `a[i]` of an array."""
    target = statement.target if isinstance(statement, ast.AugAssign) else statement.targets[0]
    if isinstance(target, ast.Attribute) and target.attr != "value":
        return None
    if not isinstance(target, ast.Attribute | ast.Subscript):
        return None
    if isinstance(statement, ast.Assign) and not _reads(file, statement.value, target):
        return None
    return target if _is_contended(file, target.value) else None


def _reads(file: PythonFile, expression: ast.expr, target: ast.expr) -> bool:
    """Return whether an expression reads what is set."""
    text = file.text(target)
    return any(
        isinstance(n, type(target)) and isinstance(n.ctx, ast.Load) and file.text(n) == text  # type: ignore[attr-defined]
        for n in ast.walk(expression)
    )


def _is_contended(file: PythonFile, node: ast.expr) -> bool:
    return _is_shared(file, node) and not is_changed_by_one(file, node)


def _is_shared(file: PythonFile, node: ast.expr) -> bool:
    """Return whether an expression is a Value or an Array with a lock: by its constructor, or by
    that of the argument that every process gets for the parameter.
    """
    binding = file.binding(node)
    either = binding.sites[0].value if binding is not None and len(binding.sites) == 1 else node
    if isinstance(either, ast.IfExp):
        return _is_shared(file, either.body) and _is_shared(file, either.orelse)
    value = file.value(node)
    if value is not None and not _is_promised(value):
        return _has_lock(value.file, value.type, value.made)
    function = file.function(node)
    if binding is None or function is None or not isinstance(node, ast.Name):
        return False
    if node.id not in function.parameters or function.self_name is not None:
        return False
    at = function.parameters.index(node.id)
    found = [
        other.value(spawn.args[at])
        for other in file.project.files(function.name.encode())
        for spawn in other.spawns
        if spawn.target is function and spawn.args is not None and at < len(spawn.args)
    ]
    return bool(found) and all(
        one is not None and _has_lock(one.file, one.type, one.made) for one in found
    )


def _is_promised(value: Value) -> bool:
    """Return whether only an annotation says what a value is, which does not tell whether it has a
    lock: `Synchronized` is also what `Value(…, lock=…)` makes of any lock.
    """
    return value.made is None and value.type in _PROMISED


def _has_lock(file: PythonFile, kind: str, made: ast.expr | None) -> bool:
    """Return whether a value has a lock that can be taken again while it is held."""
    if kind not in _KINDS or not isinstance(made, ast.Call):
        return False
    if any(k.arg is None for k in made.keywords):
        return False
    lock = keyword(made, "lock")
    if lock is None or (isinstance(lock, ast.Constant) and lock.value is True):
        return True
    return file.is_a(lock, api.REENTRANT)


def _is_locked(file: PythonFile, statement: ast.stmt) -> bool:
    """Return whether a lock is held, or any `with` around may be one."""
    if file.held(statement):
        return True
    for above in enclosing(statement, ast.With):
        assert isinstance(above, ast.With)
        if any("lock" in file.text(item.context_expr).lower() for item in above.items):
            return True
    return False


# -- fix ------------------------------------------------------------------------------------


def _finding(file: PythonFile, statement: ast.stmt, target: ast.expr) -> Finding:
    assert isinstance(target, ast.Attribute | ast.Subscript)
    name = file.text(target.value)
    start, end = file.span(statement.test if isinstance(statement, ast.If) else statement)
    said = f"{file.text(target)} is read and written in two steps"
    try:
        edits = (*wrap(file, [statement], f"with {name}.get_lock():"), *_ahead(file, statement))
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    title = f"Change {file.text(target)} under its lock"
    if _keeps_calls(file, statement):
        reason = "what it calls runs under the lock"
        fix = Fix(title, edits, Safety.UNSAFE, reason)
    else:
        # The lock is re-entrant, and each step took it before.
        fix = Fix(title, edits)
    return Finding(file.path, start, end, said, fixes=(fix,))


def _ahead(file: PythonFile, statement: ast.stmt) -> Iterator[Edit]:
    """Yield the edits that call what the new value is made of before the lock is taken."""
    if not isinstance(statement, ast.AugAssign | ast.Assign):
        return
    start, taken = line_span(file, statement)[0], names_taken(file)
    head = b""
    for call in _movable(file, statement):
        name = result_name(call, taken)
        line = indent_of(file, statement) + file.encode(f"{name} = {file.text(call)}")
        head += line + file.source.newline
        yield Edit(file.path, *file.span(call), file.encode(name))
    if head:
        yield Edit(file.path, start, start, head)


def _movable(file: PythonFile, statement: ast.AugAssign | ast.Assign) -> list[ast.expr]:
    """Return the calls that a new value is made of and that can run before the old one is read:
    they are not given the shared value.
    """
    target = statement.target if isinstance(statement, ast.AugAssign) else statement.targets[0]
    assert isinstance(target, ast.Attribute | ast.Subscript)
    shared = target.value
    calls = calls_ahead(file, statement.value, lambda node: _looks(file, shared, node), set())
    return [] if "\n" in file.text(statement) else calls


def _looks(file: PythonFile, shared: ast.expr, node: ast.expr) -> bool:
    """Return whether an expression names the shared value, or calls a function that does."""
    text, kind, place = file.text(shared), type(shared), file.place(shared)
    for inner in ast.walk(node):
        if isinstance(inner, kind) and file.text(inner) == text:
            return True
        for function in calls_into(file, inner) if isinstance(inner, ast.Call) else ():
            named = (n for n in function.own if isinstance(n, kind))
            seen = (function.file.place(n) for n in named)
            if place is not None and any(p and p.anywhere == place.anywhere for p in seen):
                return True
    return False


def _keeps_calls(file: PythonFile, statement: ast.stmt) -> bool:
    """Return whether something is called under the lock that may take a while, or wait."""
    if isinstance(statement, ast.If):
        return any(isinstance(n, ast.Call) for n in walk(statement))
    assert isinstance(statement, ast.AugAssign | ast.Assign)
    moved = {n for call in _movable(file, statement) for n in ast.walk(call)}
    return any(
        isinstance(n, ast.Await | ast.Yield | ast.YieldFrom)
        or (isinstance(n, ast.Call) and n not in moved and not is_plain(file, n))
        for n in walk(statement)
        if n not in moved
    )
