"""The arguments of a call, by position or name."""

from __future__ import annotations

import ast

__all__ = ["argument", "keyword"]


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """Return the value of a keyword argument."""
    return next((k.value for k in call.keywords if k.arg == name), None)


def argument(call: ast.Call, position: int, name: str) -> ast.expr | None:
    """Return an argument by position or name; None when it is not given or not plain."""
    given = keyword(call, name)
    if given is not None:
        return given
    plain = call.args[: position + 1]
    if len(plain) <= position or any(isinstance(a, ast.Starred) for a in plain):
        return None
    return plain[position]
