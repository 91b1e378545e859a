"""Locks that a function takes, by an attempt, and that nobody releases: `if lock.acquire(False):`
where the lock was only to be asked.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Finding, Fix, Safety
from threadmend.python.builders import BuilderError, wrap
from threadmend.python.file import PythonFile, last_name
from threadmend.python.functions import Function
from threadmend.python.locks import is_acquire, receiver
from threadmend.python.scope import parent

__all__ = ["never_released"]


def never_released(file: PythonFile) -> Iterator[Finding]:
    """Yield the attempts that succeed for good: whoever else releases the lock took it before, and
    waits for it for ever from then on.
    """
    for call in file.calls("acquire"):
        branch, function = parent(call), file.function(call)
        if not isinstance(branch, ast.If) or branch.test is not call or not is_acquire(call):
            continue
        lock = file.lock(receiver(call))
        name = last_name(receiver(call))
        if lock is None or lock.type != "threading.Lock" or function is None or name is None:
            continue
        if lock.place.kind == "local" or _releases(function, name) or not _is_attempt(call):
            continue
        if _is_section_elsewhere(file, function, name):
            yield _finding(file, call, branch)


def _is_attempt(call: ast.Call) -> bool:
    return bool(call.args or call.keywords)


def _releases(function: Function, name: str) -> bool:
    """Return whether a function gives a lock back, or hands it to something that may."""
    return any(
        last_name(node) == name and not _is_acquired(node)
        for node in function.own
        if isinstance(node, ast.Attribute | ast.Name)
    )


def _is_acquired(node: ast.expr) -> bool:
    """Return whether a node is `x` of `x.acquire`."""
    above = parent(node)
    return isinstance(above, ast.Attribute) and above.attr == "acquire"


def _is_section_elsewhere(file: PythonFile, function: Function, name: str) -> bool:
    """Return whether other functions of the project take the lock for a while, and each that
    releases it took it as well: it is handed to nobody.
    """
    found = False
    project, word = file.project, file.encode(name)
    for path in project.paths:
        if word not in project.source(path).data:
            continue
        other = project.readable(path)
        if other is None:
            return False
        nodes: list[ast.Attribute | ast.Name] = [*other.nodes(ast.Attribute)]
        nodes += other.tree.names.get(name, ())
        for node in nodes:
            if last_name(node) != name or not isinstance(node.ctx, ast.Load):
                continue
            taking = other.function(node)
            if taking is function:
                continue
            above = parent(node)
            way = above.attr if isinstance(above, ast.Attribute) else ""
            is_owner = taking is not None and _acquires(taking, name)
            if isinstance(above, ast.withitem) or (way == "release" and is_owner):
                found = True
            elif way not in {"acquire", "locked"}:
                return False
    return found


def _acquires(function: Function, name: str) -> bool:
    return any(
        isinstance(node, ast.Attribute | ast.Name)
        and last_name(node) == name
        and _is_acquired(node)
        for node in function.own
    )


def _finding(file: PythonFile, call: ast.Call, branch: ast.If) -> Finding:
    start, end = file.span(call)
    name = file.text(receiver(call))
    said = f"{name} stays locked for good when this attempt succeeds: nobody releases it"
    try:
        edits = wrap(file, branch.body, "try:", f"finally:\n    {name}.release()")
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    fix = Fix(f"Release {name} in finally", edits, Safety.UNSAFE, "others may take it afterwards")
    return Finding(file.path, start, end, said, fixes=(fix,))
