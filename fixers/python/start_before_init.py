"""Start the thread when the object is complete

A thread that is started in the middle of `__init__` may run before the rest of it, and reads
attributes that are not there yet: an `AttributeError` on a loaded machine, never at home.

Not reported: attributes that have a value before the start, or in the class; threads that wait
for something first (an event, a queue, a lock that `__init__` holds or that others have as well);
functions that do not read the object; what is only read behind `hasattr(self, …)`.

Unsafe: where a helper, or the `__init__` of a base, starts the thread: all of it comes later.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python.arguments import argument, default_of
from threadmend.python.builders import (
    BuilderError,
    delete,
    insert_after,
    is_alone,
    with_comment,
)
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import walk
from threadmend.python.functions import Function, function_of
from threadmend.python.scope import Binding, Site
from threadmend.python.threads import reached
from threadmend.python.uses import AttributeUse

from ._begun import begun, callee_of, may_follow, run_by, started

CATEGORY = "thread"
GATE = rb"\bdef __init__\("

_MOMENT = 0.5
_LONG = 10
"""Seconds of a sleep after which what the thread was started before is done."""
"""Seconds that a slow `__init__` takes longer than."""
_WAITS = frozenset({"wait", "get", "acquire", "join", "recv", "wait_for"})


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the threads that are started before what they read."""
    for cls in file.classes:
        init = cls.methods.get("__init__")
        if init is None or init.self_name is None:
            continue
        for statement in init.body:
            direct = started(file, cls, statement)
            target = direct or begun(cls, init, statement)
            if target is None or file.held(statement):
                continue
            late = _late(cls, init, statement, target)
            if late and not _waits(cls, target, _set_in(init, late)):
                yield _finding(file, cls, init, statement, target, late)


def _waits(cls: Class, target: Function, late: set[str], depth: int = 3) -> bool:
    """Return whether the thread waits for something before it reads what is set late."""
    for node in _as_run(target.body or [target.node.body]):  # type: ignore[list-item]
        if isinstance(node, ast.With | ast.AsyncWith):
            if all(_is_free(target, item.context_expr) for item in node.items):
                continue
            return True
        if isinstance(node, ast.Attribute) and _is_own(target, node) and node.attr in late:
            return False
        if isinstance(node, ast.Call):
            if _is_wait(node, target.file):
                return True
            callee = callee_of(cls, target, node)
            if callee is not None and depth and _waits(cls, callee, late, depth - 1):
                return True
            if callee is not None and any(
                isinstance(n, ast.Attribute) and _is_own(f, n) and n.attr in late
                for f in reached(callee)
                for n in f.own
            ):
                return False
    return False


def _is_free(target: Function, node: ast.expr) -> bool:
    """Return whether nobody else has what is entered: a lock that the object has made for itself,
    which nobody takes before the object is complete unless `__init__` holds it, or a new file.
    """
    if isinstance(node, ast.Call):
        # a file, a connection, a lock of its own: what a library has just made is not another's
        file = target.file
        name = file.qualified(node.func)
        return name is not None and function_of(file, node.func) is None and not file.lock(node)
    lock = target.file.lock(node)
    if lock is None or lock.own.base != "self" or target.home is None:
        return False
    values = [v for _, v in target.home.values_of(lock.own.name)]
    return all(isinstance(v, ast.Call) for v in values)


def _is_wait(call: ast.Call, file: PythonFile | None = None) -> bool:
    """Return whether a call may wait: not `", ".join(names)` and `options.get("port")`, nor for so
    short a time as in `while not self._stop.wait(0.1)` that it is no wait for anything.
    """
    if file is not None and call.args and file.qualified(call.func) == "time.sleep":
        # The rest of an initializer is no matter of seconds.
        return (_seconds(file, call.args[0]) or 0) >= _LONG
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in _WAITS:
        return False
    limit = argument(call, 0, "timeout") if call.func.attr == "wait" else None
    seconds = None if limit is None else _seconds(file, limit)
    if seconds is not None:
        return seconds > _MOMENT
    if call.func.attr not in {"get", "join"} or not call.args:
        return True
    first = call.args[0]
    return isinstance(first, ast.Constant) and isinstance(first.value, int | float)


def _seconds(file: PythonFile | None, node: ast.expr, depth: int = 3) -> float | None:
    """Return how long something waits: a number, also that of a variable, of an attribute and of
    a parameter that nobody has to give.
    """
    if isinstance(node, ast.Constant):
        value = node.value
        return value if isinstance(value, int | float) else None
    if file is None or depth == 0:
        return None
    values: list[tuple[PythonFile, ast.expr | None]] = []
    binding = file.binding(node)
    if binding is not None:
        values = [(file, _value(binding, site)) for site in binding.sites]
    elif isinstance(node, ast.Attribute):
        owner = file.value(node.value)
        values = [*owner.cls.values_of(node.attr)] if owner is not None and owner.cls else []
    found = [None if v is None else _seconds(other, v, depth - 1) for other, v in values]
    known = [one for one in found if one is not None]
    return max(known) if known and len(known) == len(found) else None


def _value(binding: Binding, site: Site) -> ast.expr | None:
    """Return what a variable is set to, a parameter by its default."""
    above = binding.scope.node
    if site.kind == "parameter" and isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef):
        return default_of(above.args, binding.name)
    return site.value if site.kind == "assign" else None


def _as_run(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Yield what a body evaluates, about in the order of its evaluation."""
    for statement in body:
        found = [n for n in walk(statement) if isinstance(n, ast.expr | ast.With | ast.AsyncWith)]
        # A call comes after its arguments, which end before it.
        yield from sorted(found, key=_evaluated)


def _evaluated(node: ast.AST) -> tuple[int, int]:
    if isinstance(node, ast.With | ast.AsyncWith):
        last = node.items[-1].context_expr
        return (last.end_lineno or 0, (last.end_col_offset or 0) + 1)
    return (getattr(node, "end_lineno", 0), getattr(node, "end_col_offset", 0))


def _is_own(function: Function, node: ast.Attribute) -> bool:
    """Return whether an attribute is one of the function's own object."""
    return isinstance(node.value, ast.Name) and node.value.id == function.self_name


def _set_in(init: Function, statements: list[ast.stmt]) -> set[str]:
    """Return the attributes that statements of `__init__` set."""
    return {
        node.attr
        for node in walk(statements)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and _is_own(init, node)
    }


def _late(cls: Class, init: Function, start: ast.stmt, target: Function) -> list[ast.stmt]:
    """Return the statements behind the start that first set an attribute the thread reads."""
    index = init.body.index(start)
    functions = run_by(cls, target)
    helpers = {f for statement in init.body for f in _called(init, statement)} | functions
    early = {
        use.name
        for one in cls.mro
        for use in one.uses
        if use.mode == "write"
        and (use.function in helpers or _comes_before(init, use, init.body[index]))
    }
    known = early.union(*(c.scope.bindings for c in cls.mro))
    read = {
        use.name
        for one in cls.mro
        for use in one.uses
        if use.function in functions
        and use.mode in {"read", "mutate", "augment", "call"}
        and not _is_asked_first(use)
    }
    rest = init.body[index + 1 :]
    return [s for s in rest if (_set_in(init, [s]) & read) - known]


def _is_asked_first(use: AttributeUse) -> bool:
    """Return whether a function asks for an attribute before it reads it: `hasattr(self, "rows")`,
    also by the name that a private one has from outside.
    """
    return any(
        isinstance(node.func, ast.Name)
        and node.func.id == "hasattr"
        and isinstance(asked := node.args[-1], ast.Constant)
        and str(asked.value).endswith(use.name)
        and node.lineno <= use.node.lineno
        for node in use.function.calls
    )


def _called(init: Function, statement: ast.stmt) -> set[Function]:
    """Return the functions that a statement of `__init__` calls, and what those call."""
    called = (init.callees.get(n) for n in walk(statement) if isinstance(n, ast.Call))
    return {f for one in called if one is not None for f in reached(one)}


def _comes_before(init: Function, use: AttributeUse, start: ast.stmt) -> bool:
    """Return whether an attribute is set in `__init__` before a statement of it."""
    return use.function is init and use.node.lineno < start.lineno


def _finding(
    file: PythonFile,
    cls: Class,
    init: Function,
    start: ast.stmt,
    target: Function,
    late: list[ast.stmt],
) -> Finding:
    first, end = file.span(start)
    text = file.text(late[0]).partition("\n")[0]
    said = f"{target.name} may run before {text.partition(' = ')[0]} is set"
    related = tuple(
        Related(file.path, *file.span(statement), "set after the start") for statement in late
    )
    if _depends(init, start):
        reason = "what follows the start may rely on the thread"
        return Finding(file.path, first, end, said, related=related, reason=reason)
    try:
        last = _last(cls, init, start, target, late)
        jumped = init.body[init.body.index(start) + 1 : init.body.index(last) + 1]
        if not may_follow(init, start, jumped):
            raise BuilderError("what follows the call may rely on what it sets")
        edits = _moved(file, start, last)
    except BuilderError as error:
        return Finding(file.path, first, end, said, related=related, reason=str(error))
    if start.value in init.callees:  # type: ignore[attr-defined]
        reason = "the rest of what is called comes later as well"
        fix = Fix(f"Call it after {text.partition(' = ')[0]} is set", edits, Safety.UNSAFE, reason)
        return Finding(file.path, first, end, said, related=related, fixes=(fix,))
    # Nothing in between waits for the thread: it only starts later.
    fix = Fix(f"Start after {text.partition(' = ')[0]} is set", edits)
    return Finding(file.path, first, end, said, related=related, fixes=(fix,))


def _last(
    cls: Class, init: Function, start: ast.stmt, target: Function, late: list[ast.stmt]
) -> ast.stmt:
    """Return the last statement behind the start that sets something the thread uses: also what
    it sets itself, which it would lose again.
    """
    functions = run_by(cls, target)
    used = {u.name for one in cls.mro for u in one.uses if u.function in functions}
    rest = init.body[init.body.index(start) + 1 :]
    return [s for s in rest if s in late or _set_in(init, [s]) & used][-1]


def _depends(init: Function, start: ast.stmt) -> bool:
    """Return whether code behind the start waits for something."""
    rest = init.body[init.body.index(start) + 1 :]
    return any(isinstance(node, ast.Call) and _is_wait(node) for node in walk(rest))


def _moved(file: PythonFile, start: ast.stmt, last: ast.stmt) -> tuple[Edit, ...]:
    if not is_alone(file, start):
        raise BuilderError("the statement shares its line with another one")
    gone = delete(file, start, comments=False)
    return (*gone, *insert_after(file, last, with_comment(file, start)))
