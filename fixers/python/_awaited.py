"""Loops that end when the threads of a function have ended."""

from __future__ import annotations

import ast

__all__ = ["waits_for_all"]

_ASKS = frozenset({"is_alive", "isAlive", "enumerate", "active_count", "activeCount"})


def waits_for_all(loop: ast.stmt) -> bool:
    """Return whether a loop joins one thread after the other (`for t in threads: t.join()`,
    `while threads: threads.pop().join()`), or goes on while any of them is alive.
    """
    if not isinstance(loop, ast.For | ast.While):
        return False
    calls = [node for node in ast.walk(loop) if isinstance(node, ast.Call)]
    named = {getattr(call.func, "attr", "") for call in calls}
    if isinstance(loop, ast.While):
        if "sleep" in named and named & _ASKS:
            return True
        owner, taken = ast.dump(loop.test), "pop"
    else:
        owner, taken = ast.dump(loop.target).replace("Store()", "Load()"), ""
    return any(_joins(statement, owner, taken) for statement in loop.body)


def _joins(statement: ast.stmt, owner: str, taken: str) -> bool:
    """Return whether a statement joins the element of a round, or what it takes out of a list."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return False
    if call.func.attr != "join" or call.args or call.keywords:
        return False
    thread = call.func.value
    if taken and isinstance(thread, ast.Call) and isinstance(thread.func, ast.Attribute):
        return thread.func.attr == taken and ast.dump(thread.func.value) == owner
    return not taken and ast.dump(thread) == owner
