"""What a function calls of its own arguments, and with which: a wrapper around the work of others.

def logged(work, *args):                Thread(target=logged, args=(fetch, url))
    try:
        work(*args)                     # fetch(url)
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadmend.python.functions import Function

__all__ = ["Run", "run_by"]

Run = tuple[ast.expr, "tuple[ast.expr, ...] | None"]
"""A function that is called, and its arguments (None: not known)."""


def run_by(function: Function, given: Sequence[ast.expr], *, bound: bool) -> list[Run]:
    """Return what a function that gets some arguments calls of them; `bound`: its object is none
    of these.
    """
    names = function.parameters[1:] if bound else function.parameters
    rest = function.node.args.vararg
    known = dict(zip(names, given, strict=False))
    found: list[Run] = []
    for call in function.calls:
        binding = function.file.binding(call.func)
        if binding is None or binding.scope is not function.scope or binding.name not in known:
            continue
        if [site.kind for site in binding.sites] == ["parameter"]:
            args = _passed_on(call, known, rest, given[len(names) :])
            found.append((known[binding.name], args))
    return found


def _passed_on(
    call: ast.Call,
    known: dict[str, ast.expr],
    rest: ast.arg | None,
    others: Sequence[ast.expr],
) -> tuple[ast.expr, ...] | None:
    """Return the arguments of a call as who calls the function gives them."""
    found: list[ast.expr] = []
    for argument in call.args:
        inner = argument.value if isinstance(argument, ast.Starred) else argument
        name = inner.id if isinstance(inner, ast.Name) else ""
        if isinstance(argument, ast.Starred) and rest is not None and name == rest.arg:
            found += others
        elif name in known and inner is argument:
            found.append(known[name])
        else:
            return None
    return tuple(found)
