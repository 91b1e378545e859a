"""What a call of a helper gives for one of its parameters, and which arguments it passes on."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.python.arguments import argument
from threadmend.python.elements import elements_of
from threadmend.python.functions import CallSite

if TYPE_CHECKING:
    from threadmend.python.functions import Function

__all__ = ["arguments_passed_on", "given_for"]


def given_for(helper: Function, site: CallSite, name: str, many: bool) -> Iterator[ast.expr]:
    """Yield what a call gives for a parameter; of a list, its elements."""
    rest = getattr(getattr(helper.node, "args", None), "vararg", None)
    if rest is not None and rest.arg == name:
        if many:
            start = len(_positional(helper))
            yield from (a for a in site.call.args[start:] if not isinstance(a, ast.Starred))
        return
    found = _argument(helper, site, name)
    if found is None:
        return
    if not many:
        yield found
    elif isinstance(found, ast.List | ast.Tuple):
        yield from (one for one in found.elts if not isinstance(one, ast.Starred))
    else:
        yield from (one for file, one in elements_of(site.file, found) if file is site.file)


def _positional(helper: Function) -> list[str]:
    arguments = getattr(helper.node, "args", None)
    if not isinstance(arguments, ast.arguments):
        return []
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    return names[1:] if helper.self_name else names


def _argument(helper: Function, site: CallSite, name: str) -> ast.expr | None:
    names = _positional(helper)
    at = names.index(name) if name in names else len(site.call.args)
    return argument(site.call, at, name)


def arguments_passed_on(
    helper: Function, site: CallSite, name: str, args: tuple[ast.expr, ...] | ast.expr | None
) -> tuple[ast.expr, ...] | None:
    """Return the arguments that a function gets: the rest of the call's (`*args`), or those that
    the helper passes on.
    """
    rest = getattr(getattr(helper.node, "args", None), "vararg", None)
    if isinstance(args, tuple) and len(args) == 1 and isinstance(args[0], ast.Starred):
        args = args[0].value
    behind = "" if rest is None or rest.arg == name else rest.arg
    if behind and isinstance(args, ast.Name) and args.id == behind:
        return _rest_of(helper, site)
    parts = _parts(args) if behind else []
    last = parts[-1] if parts else None
    if isinstance(last, ast.Starred) and isinstance(last.value, ast.Name):
        more = _rest_of(helper, site) if last.value.id == behind else None
        given = (_argument(helper, site, getattr(one, "id", "")) for one in parts[:-1])
        first = tuple(ast.Constant(None) if one is None else one for one in given)
        return None if more is None else (*first, *more)
    if isinstance(args, ast.Name):
        found = _argument(helper, site, args.id)
        return tuple(found.elts) if isinstance(found, ast.Tuple) else None
    if not isinstance(args, tuple):
        return None
    known = [_argument(helper, site, a.id) if isinstance(a, ast.Name) else None for a in args]
    return None if None in known else tuple(one for one in known if one is not None)


def _rest_of(helper: Function, site: CallSite) -> tuple[ast.expr, ...] | None:
    """Return what a call gives behind the positional parameters."""
    given = tuple(site.call.args[len(_positional(helper)) :])
    return None if any(isinstance(a, ast.Starred) for a in given) else given


def _parts(args: tuple[ast.expr, ...] | ast.expr | None) -> list[ast.expr]:
    """Return the elements of `(item, *rest)` and of `(item,) + rest`, which are the same; none of
    anything else.
    """
    if isinstance(args, ast.BinOp) and isinstance(args.op, ast.Add):
        if isinstance(args.left, ast.Tuple) and isinstance(args.right, ast.Name):
            return [*args.left.elts, ast.Starred(args.right)]
    elements = args.elts if isinstance(args, ast.Tuple) else args
    if not isinstance(elements, tuple | list):
        return []
    plain = not any(isinstance(one, ast.Starred) for one in elements[:-1])
    return list(elements) if plain else []
