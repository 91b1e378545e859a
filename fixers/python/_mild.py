"""Races that cost little: values that come out the same again, or replace what they differ from;
counters that are only reset.
"""

from __future__ import annotations

import ast
import builtins

from threadmend.python.scope import Binding

from ._data import Data, Use
from ._memos import is_memo
from ._unit import Unit

__all__ = ["is_mild"]

_PURE = frozenset(
    {"re.compile", "bytes.fromhex", "dict.fromkeys", "logging.getLogger", "threading.local"}
)
_IMPURE = frozenset({"open", "input", "object", "iter", "next", "print", "id", "eval", "exec"})


def is_mild(data: Data, units: list[Unit]) -> bool:
    """Return whether a race for data does no harm that a careful reader would mend."""
    if all(_is_told_apart(data, unit) for unit in units):
        return True
    if _is_same_again(data) or _is_chosen_again(data) or _is_only_reset(data, units):
        return True
    return is_memo(data, units) or _is_made_at_import(data, units)


def _is_made_at_import(data: Data, units: list[Unit]) -> bool:
    """Return whether a global is worked out when it is first asked for, which its module does while
    it is imported: `AGENT = f"app/{version()}"`. Nobody finds it missing later.
    """
    if data.binding is None or data.binding.scope.kind != "module":
        return False
    makers = {use.function for use in data.uses if use.changes}
    if len(makers) != 1 or any(unit.kind != "check" for unit in units):
        return False
    return any(
        site.caller is None
        and site.file is data.owner
        and not any(isinstance(a, ast.If | ast.ClassDef) for a in site.file.ancestors(site.call))
        for site in makers.pop().callers
    )


def _is_told_apart(data: Data, unit: Unit) -> bool:
    """Return whether a unit is `if x != new: x = new`: what counts is the new value, whoever
    comes first.
    """
    test = unit.first.test if isinstance(unit.first, ast.If) else None
    value = _value(data, unit.use)
    if value is None or not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return False
    if not isinstance(test.ops[0], ast.NotEq | ast.IsNot):
        return False
    sides = {data.file.text(test.left), data.file.text(test.comparators[0])}
    return sides == {data.file.text(unit.use.node), data.file.text(value)}


def _is_same_again(data: Data) -> bool:
    """Return whether every value is made of nothing that changes, and only ever replaced: two
    threads that both make it make the same, and no reader sees half of one.
    """
    changing = [use for use in data.uses if use.changes]
    values = [_value(data, use) for use in changing]
    if any(use.mode != "write" for use in changing) or any(v is None for v in values):
        return False
    made = [v for v in values if v is not None and not isinstance(v, ast.Constant)]
    return bool(made) and all(_is_pure(data, value) for value in made)


def _is_chosen_again(data: Data) -> bool:
    """Return whether a variable is set once, to one of several classes or functions: `if selector
    is None: selector = Epoll if has_epoll() else Poll`. Whoever comes second chooses the same.
    """
    changing = [use for use in data.uses if use.changes]
    return all(
        use.mode == "write"
        and isinstance(value := _value(data, use), ast.Name)
        and isinstance(binding := data.file.binding(value), Binding)
        and [site.kind for site in binding.sites] in (["class"], ["def"])
        for use in changing
    )


def _value(data: Data, use: Use) -> ast.expr | None:
    statement = data.file.statement(use.node)
    return statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None


def _is_pure(data: Data, value: ast.expr) -> bool:
    """Return whether an expression uses nothing but literals, globals that stay as they are, and
    functions that give the same each time.
    """
    inner = {
        n.id for n in ast.walk(value) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    for node in ast.walk(value):
        if isinstance(node, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr | ast.Lambda):
            return False
        if isinstance(node, ast.Call) and not _is_pure_call(data, node, inner):
            return False
        if isinstance(node, ast.Name) and node.id not in inner and not _is_fixed(data, node):
            return False
    return isinstance(value, ast.DictComp | ast.ListComp | ast.SetComp | ast.Call | ast.BinOp)


def _is_pure_call(data: Data, call: ast.Call, inner: set[str]) -> bool:
    name = data.file.qualified(call.func)
    if name in _PURE:
        return True
    if isinstance(call.func, ast.Attribute):
        roots = {n.id for n in ast.walk(call.func.value) if isinstance(n, ast.Name)}
        return bool(roots) and roots <= inner
    return name is not None and hasattr(builtins, name) and name not in _IMPURE


def _is_fixed(data: Data, node: ast.Name) -> bool:
    """Return whether a name is a builtin, a module, or a global that is set once."""
    binding = data.file.binding(node)
    if binding is None:
        return True
    return binding.scope.kind == "module" and len(binding.sites) == 1


def _is_only_reset(data: Data, units: list[Unit]) -> bool:
    """Return whether one thread alone counts, by constants, and others set it back."""
    counting = [use for use in data.uses if use.changes and not _is_constant(data, use)]
    if any(unit.kind != "counter" for unit in units):
        return False
    for use in counting:
        statement = data.file.statement(use.node)
        if not isinstance(statement, ast.AugAssign) or not isinstance(
            statement.value, ast.Constant
        ):
            return False
    alone = Data(data.file, data.name, data.cls, data.binding, data.of_class, counting, data.single)
    return not any(map(alone.races, counting))


def _is_constant(data: Data, use: Use) -> bool:
    return use.mode == "write" and isinstance(_value(data, use), ast.Constant)
