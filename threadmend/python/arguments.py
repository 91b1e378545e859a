"""The arguments of a call, by position or name."""

from __future__ import annotations

import ast

__all__ = ["argument", "default_of", "given_to", "keyword"]


def given_to(call: ast.Call) -> list[ast.expr]:
    """Return the arguments of a call, those with a name last."""
    return [*call.args, *(k.value for k in call.keywords)]


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


def default_of(arguments: ast.arguments, name: str) -> ast.expr | None:
    """Return what a parameter is when a call does not give it."""
    positional = [*arguments.posonlyargs, *arguments.args]
    behind = positional[len(positional) - len(arguments.defaults) :]
    pairs = [*zip(behind, arguments.defaults, strict=True)]
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    pairs += [(one, default) for one, default in named if default is not None]
    return next((default for one, default in pairs if one.arg == name), None)
