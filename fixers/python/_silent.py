"""Jobs whose exceptions nobody would miss, and pools that are closed where they get them."""

from __future__ import annotations

import ast

from threadmend.python.arguments import argument, given_to
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, can_raise, enclosing
from threadmend.python.forwarded import only_call
from threadmend.python.functions import Function, function_of
from threadmend.python.implied import seen_from
from threadmend.python.places import Place
from threadmend.python.scope import Binding

from ._failing import is_told

__all__ = [
    "handed_pool_is_closed",
    "handles_everything",
    "helper_block",
    "pool_block",
    "shut_down_behind",
]


_ASKS = frozenset({"sys.exc_info", "sys.exception", "traceback.format_exc"})


def handles_everything(function: Function, depth: int = 3) -> bool:
    """Return whether the body is nothing but try statements (behind a docstring, imports and plain
    assignments) that handle every exception, without raising it again; what is taken out of
    collections beside them may be gone (`known.pop(key, None)`). Or that it does nothing but call
    such a function of the project.
    """
    call = function.node.body if isinstance(function.node, ast.Lambda) else only_call(function)
    if isinstance(call, ast.Call) and depth and not can_raise(given_to(call)):
        callee = function.callees.get(call)
        if callee is not None:
            return handles_everything(callee, depth - 1)
    body = [s for s in function.body if not _is_quiet(function.file, s)]
    if len(body) == 1 and isinstance(body[0], ast.While | ast.For | ast.With):
        body = [s for s in body[0].body if not _is_quiet(function.file, s)]
    if len(body) == 1 and isinstance(body[0], ast.Try) and not body[0].handlers:
        ended = all(_is_quiet(function.file, s) for s in body[0].finalbody)
        body = [s for s in body[0].body if not _is_quiet(function.file, s)] if ended else body
    return bool(body) and all(isinstance(s, ast.Try) and _handles(s, function) for s in body)


def _is_quiet(file: PythonFile, statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        is_text = isinstance(statement.value, ast.Constant)
        return is_text or _takes_what_is_there(statement.value) or is_told(file, statement)
    if isinstance(statement, ast.Assign):
        return isinstance(statement.value, ast.Constant | ast.Name)
    if isinstance(statement, ast.If) and not statement.orelse:
        return _is_asked(statement.test) and all(_leaves(s) for s in statement.body)
    return isinstance(statement, ast.Pass | ast.Global | ast.Nonlocal | ast.Import | ast.ImportFrom)


def _is_asked(test: ast.expr) -> bool:
    """Return whether a test is a name, or asks an event: `stopped.is_set()`."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test = test.operand
    if isinstance(test, ast.Call) and isinstance(test.func, ast.Attribute):
        return test.func.attr == "is_set" and isinstance(test.func.value, ast.Name | ast.Attribute)
    return isinstance(test, ast.Name)


def _leaves(statement: ast.stmt) -> bool:
    """Return whether a statement only leaves the function or the round."""
    if isinstance(statement, ast.Return):
        return statement.value is None or isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Continue | ast.Break)


def _takes_what_is_there(node: ast.expr) -> bool:
    """Return whether a call is `x.pop(key, None)` or `x.discard(key)` of names."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    least = {"pop": 2, "discard": 1}.get(node.func.attr)
    plain = all(isinstance(a, ast.Name | ast.Constant) for a in node.args)
    return least is not None and len(node.args) == least and plain


def _handles(statement: ast.Try, function: Function) -> bool:
    for part in statement.finalbody:
        for node in ast.walk(part):
            if isinstance(node, ast.Call) and function.file.qualified(node.func) in _ASKS:
                return True  # on the way out it says what was raised
    for handler in statement.handlers:
        kinds: list[str | None] = [None]
        if handler.type is not None:
            parts = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
            kinds = [function.file.qualified(part) for part in parts]
        if {None, "Exception", "BaseException"}.intersection(kinds):
            raised = (n for s in handler.body for n in ast.walk(s) if isinstance(n, ast.Raise))
            return next(raised, None) is None
    return False


def pool_block(file: PythonFile, call: ast.Call) -> ast.With | ast.Try | None:
    """Return the `with` statement of the pool that a job is given to (or of the ExitStack that
    it was entered into), or the `try` without handlers that shuts a local pool down in `finally`.
    """
    assert isinstance(call.func, ast.Attribute)
    pool = file.binding(call.func.value)
    return None if pool is None else _closing(file, call, pool)


def shut_down_behind(file: PythonFile, call: ast.Call) -> tuple[ast.stmt, ast.stmt] | None:
    """Return the statement with the call that gives a job to a pool, and one behind it in the same
    block that shuts the pool down and waits: `pool.shutdown()`, or a call of a helper that does.
    """
    assert isinstance(call.func, ast.Attribute)
    place = file.place(call.func.value)
    function, at = file.function(call), file.statement(call)
    while place is not None and function is not None:
        for later in after(at):
            if _waits_for_all(file, later, place):
                return at, later
        above = file.parent(at)
        if not isinstance(above, ast.For | ast.AsyncFor | ast.While | ast.If | ast.With):
            return None
        at = above
    return None


def _waits_for_all(file: PythonFile, statement: ast.stmt, pool: Place) -> bool:
    """Return whether a statement shuts a pool down, or has a helper do it in any case."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call):
        return False
    if _is_shutdown(call):
        assert isinstance(call.func, ast.Attribute)
        return file.place(call.func.value) == pool
    helper = function_of(file, call.func)
    if helper is None or helper.is_async or helper.is_generator:
        return False
    for inner in helper.body:
        if any(isinstance(node, ast.Return) for node in ast.walk(inner)):
            return False
        made = inner.value if isinstance(inner, ast.Expr) else None
        if isinstance(made, ast.Call) and _is_shutdown(made):
            assert isinstance(made.func, ast.Attribute)
            place = helper.file.place(made.func.value)
            if place is not None and seen_from(file, call, helper, place) == pool:
                return True
    return False


def handed_pool_is_closed(file: PythonFile, call: ast.Call) -> bool:
    """Return whether jobs are given to a pool that all callers of a helper hand in, and close
    behind the call: nothing but them has to wait.
    """
    helper = file.function(call)
    assert isinstance(call.func, ast.Attribute)
    pool = file.binding(call.func.value)
    if helper is None or pool is None or pool.scope is not helper.scope or helper.is_async:
        return False
    if [site.kind for site in pool.sites] != ["parameter"] or pool.name not in helper.parameters:
        return False
    if not helper.is_only_called or (not helper.is_private and helper.outer is None):
        return False
    position = helper.parameters.index(pool.name) - (helper.self_name is not None)
    given = [file.binding(argument(s.call, position, pool.name)) for s in helper.callers]
    blocks = (
        one is not None and _closing(file, site.call, one)
        for one, site in zip(given, helper.callers, strict=True)
    )
    return bool(given) and all(blocks)


def helper_block(file: PythonFile, call: ast.Call) -> list[ast.stmt] | None:
    """Return the body of a helper that gives jobs to a pool which its only caller hands in, and
    has nothing else to do for before it closes it.
    """
    helper = file.function(call)
    assert isinstance(call.func, ast.Attribute)
    pool = file.binding(call.func.value)
    if helper is None or pool is None or pool.scope is not helper.scope or helper.is_async:
        return None
    if pool.sites[0].kind != "parameter" or len(pool.sites) != 1 or helper.is_generator:
        return None
    if len(helper.callers) != 1 or not helper.is_only_called:
        return None
    if pool.name not in helper.parameters or (not helper.is_private and helper.outer is None):
        return None
    at, caller, _ = helper.callers[0]
    position = helper.parameters.index(pool.name) - (helper.self_name is not None)
    given = file.binding(argument(at, position, pool.name))
    block = None if given is None else _closing(file, at, given)
    if caller is None or block is None or file.parent(at) is not block.body[-1]:
        return None
    return helper.body


def _closing(file: PythonFile, at: ast.AST, pool: Binding) -> ast.With | ast.Try | None:
    """Return the statement around a place that closes a pool at its end."""
    stack = _stack_of(file, pool)
    for above in enclosing(at, ast.With, ast.Try):
        if isinstance(above, ast.With):
            given = [file.binding(item.optional_vars) for item in above.items]
            if pool in given or (stack is not None and stack in given):
                return above
        elif isinstance(above, ast.Try) and not above.handlers and not above.orelse:
            if any(_shuts_down(file, s, pool) for s in above.finalbody):
                return above
    return None


def _stack_of(file: PythonFile, pool: Binding) -> Binding | None:
    """Return the variable `stack` of `pool = stack.enter_context(…)`."""
    made = pool.sites[0].value if len(pool.sites) == 1 else None
    if not isinstance(made, ast.Call) or not isinstance(made.func, ast.Attribute):
        return None
    return file.binding(made.func.value) if made.func.attr == "enter_context" else None


def _shuts_down(file: PythonFile, statement: ast.stmt, pool: Binding) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or not _is_shutdown(call):
        return False
    return isinstance(call.func, ast.Attribute) and file.binding(call.func.value) is pool


def _is_shutdown(call: ast.Call) -> bool:
    """Return whether a call is `pool.shutdown()`, which waits."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr != "shutdown" or call.args:
        return False
    if any(k.arg == "cancel_futures" for k in call.keywords):
        return False
    waits = next((k.value for k in call.keywords if k.arg == "wait"), None)
    return waits is None or (isinstance(waits, ast.Constant) and waits.value is True)
