"""Change a shared value under its lock

`counter.value += 1` reads and writes: each takes the lock of a `multiprocessing.Value`, and
between them another process counts as well. One of the two is lost.

Not reported: plain reads and writes; changes under `get_lock()` or another lock; values made
with `lock=False` (they have none), and `RawValue`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Finding, Fix
from threadmend.python.builders import BuilderError, wrap
from threadmend.python.file import PythonFile
from threadmend.python.flow import enclosing

CATEGORY = "process"
GATE = rb"\.value\b"


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the changes of a shared value that are no single step."""
    changes: list[ast.AugAssign | ast.Assign] = [
        *file.nodes(ast.AugAssign),
        *file.nodes(ast.Assign),
    ]
    for statement in changes:
        value = _changed(file, statement)
        if value is None or file.held(statement) or _is_locked(file, statement):
            continue
        name = file.text(value)
        start, end = file.span(statement)
        said = f"{name}.value is read and written in two steps"
        try:
            edits = wrap(file, [statement], f"with {name}.get_lock():")
        except BuilderError as error:
            yield Finding(file.path, start, end, said, reason=str(error))
        else:
            # The lock is re-entrant, and each step took it before.
            fix = Fix(f"Change {name}.value under its lock", edits)
            yield Finding(file.path, start, end, said, fixes=(fix,))


def _changed(file: PythonFile, statement: ast.AugAssign | ast.Assign) -> ast.expr | None:
    """Return `v` of `v.value += 1` and of `v.value = v.value + 1`."""
    target = statement.target if isinstance(statement, ast.AugAssign) else statement.targets[0]
    if not isinstance(target, ast.Attribute) or target.attr != "value":
        return None
    if isinstance(statement, ast.Assign):
        text = file.text(target)
        if not any(
            isinstance(n, ast.Attribute) and n.attr == "value" and file.text(n) == text
            for n in ast.walk(statement.value)
        ):
            return None
    return target.value if _is_shared(file, target.value) else None


def _is_shared(file: PythonFile, node: ast.expr) -> bool:
    """Return whether an expression is a Value with a lock: by its constructor, or by that of
    the argument that every process gets for the parameter.
    """
    value = file.value(node)
    if value is not None:
        return value.type == "multiprocessing.Value" and _has_lock(value.made)
    binding = file.binding(node)
    function = file.function(node)
    if binding is None or function is None or not isinstance(node, ast.Name):
        return False
    given = [
        spawn.args[function.parameters.index(node.id)]
        for spawn in file.spawns
        if spawn.target is function
        and spawn.args is not None
        and node.id in function.parameters
        and function.parameters.index(node.id) < len(spawn.args)
        and function.self_name is None
    ]
    found = [file.value(one) for one in given]
    return bool(found) and all(
        one is not None and one.type == "multiprocessing.Value" and _has_lock(one.made)
        for one in found
    )


def _has_lock(made: ast.expr | None) -> bool:
    if not isinstance(made, ast.Call):
        return False
    return not any(k.arg == "lock" or k.arg is None for k in made.keywords)


def _is_locked(file: PythonFile, statement: ast.stmt) -> bool:
    """Return whether any `with` around may be the lock."""
    for above in enclosing(statement, ast.With):
        assert isinstance(above, ast.With)
        if any("lock" in file.text(item.context_expr).lower() for item in above.items):
            return True
    return False
