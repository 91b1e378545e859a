"""Functions that are handed to helpers which run them there and then: `self._locked(change)`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from threadmend.python.functions import attributes_of, function_of, is_called
from threadmend.python.scope import parent

if TYPE_CHECKING:
    from threadmend.python.functions import Function

__all__ = ["Lent", "lent_out", "run_through"]


class Lent(NamedTuple):
    """Where a helper calls the function that it is handed by `handing`."""

    call: ast.Call
    helper: Function
    handing: ast.Call


def lent_out(function: Function) -> list[Lent] | None:
    """Return where helpers run a function that is handed to them; None when its file does
    anything else with it but call it.
    """
    found: list[Lent] = []
    for node in _mentions(function):
        some = list(_run_for(function, node))
        if not some:
            return None
        found += some
    return found


def run_through(function: Function) -> Iterator[Function]:
    """Yield the functions that a function hands to helpers which run them there and then."""
    for call in function.callees:
        for given in call.args:
            if isinstance(given, ast.Name | ast.Attribute | ast.Lambda):
                work = function_of(function.file, given)
                if work is not None and any(_run_for(function, given)):
                    yield work


def _mentions(function: Function) -> Iterator[ast.expr]:
    """Yield where a function is named, or stands, without being called."""
    if isinstance(function.node, ast.Lambda):
        yield function.node
        return
    file = function.file
    methods = attributes_of(file).get(function.name, ()) if function.cls is not None else ()
    for node in (*file.tree.names.get(function.name, ()), *methods):
        if isinstance(node.ctx, ast.Load) and not is_called(node):
            if isinstance(node, ast.Attribute) or function_of(file, node) is function:
                yield node


def _run_for(function: Function, node: ast.expr) -> Iterator[Lent]:
    """Yield the calls of the parameter for which a helper is given a function, when calling it is
    all that it does with it.
    """
    handing = parent(node)
    if not isinstance(handing, ast.Call) or node not in handing.args:
        return
    helper = function_of(function.file, handing.func)
    if helper is None or helper.is_generator or helper.is_async or helper.decorators:
        return
    names = helper.parameters[1:] if helper.self_name else helper.parameters
    at = handing.args.index(node)
    if at >= len(names) or any(isinstance(a, ast.Starred) for a in handing.args[:at]):
        return
    binding = helper.scope.bindings.get(names[at])
    uses = [] if binding is None else helper.file.uses(binding)
    calls = [parent(use) for use in uses if isinstance(use.ctx, ast.Load)]
    if binding is None or [site.kind for site in binding.sites] != ["parameter"]:
        return
    own = [
        c for c in calls if isinstance(c, ast.Call) and c in helper.calls and _is_of(c, names[at])
    ]
    if len(own) == len(calls):
        yield from (Lent(call, helper, handing) for call in own)


def _is_of(call: ast.Call, name: str) -> bool:
    """Return whether a call is of a name."""
    return isinstance(call.func, ast.Name) and call.func.id == name
