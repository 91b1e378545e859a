"""Hold the condition to wait and to notify

`wait`, `notify` and `notify_all` of a condition that the thread does not hold raise `RuntimeError`.
The `with` that is missing also keeps the change and the news of it together: between a test
outside of it and the wait, another thread notifies, and nobody hears it.

Not reported: code that is only ever called with the condition held; names and docstrings that say
so; conditions that the function is handed, that something takes by hand, or that a manager may
take which cannot be seen through; tests.

Unsafe: the statements around it now wait for whoever has the condition.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python import api
from threadmend.python.builders import BuilderError, delete, insert_at_end, is_alone, wrap
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, always_leaves, before, enclosing, walk
from threadmend.python.functions import Function, attributes_of, function_of, is_called
from threadmend.python.locks import Lock, set_to
from threadmend.python.threads import reached

CATEGORY = "lock"
GATE = rb"\.(?:wait|wait_for|notify|notify_all)\("

_NEWS = frozenset({"notify", "notify_all", "notifyAll"})
_METHODS = ("wait", "wait_for", *sorted(_NEWS))
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_KNOWN_MANAGERS = api.LOCKS | api.SEMAPHORES | api.EXECUTORS
_PLAIN_MANAGERS = ("contextlib.", "open", "os.", "tempfile.", "warnings.", "decimal.")


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the calls of conditions that nobody holds."""
    if file.is_test or b"ondition" not in b"".join(_sources(file)):
        return
    for call in file.calls(*_METHODS):
        func = call.func
        if not isinstance(func, ast.Attribute) or not file.is_a(func.value, api.CONDITIONS):
            continue
        lock = file.lock(func.value)
        if lock is None or not lock.is_condition or _has_other_lock(file, func.value, lock):
            continue
        if not _is_bare(file, call, lock):
            continue
        yield _finding(file, call, func, lock)


def _has_other_lock(file: PythonFile, node: ast.expr, lock: Lock) -> bool:
    """Return whether a condition is made with a lock of which nobody can tell which one it is."""
    made = lock.value.made
    if lock.place != lock.own:
        return False
    if isinstance(made, ast.Call) and all(map(_is_new, made.args[:1])):
        return False
    # A function makes it: with a lock that nobody else has?
    calls = [value for _, value in set_to(file, node)]
    return not (calls and all(isinstance(c, ast.Call) and all(map(_is_new, c.args)) for c in calls))


def _is_new(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant | ast.Call)


def _sources(file: PythonFile) -> Iterator[bytes]:
    yield file.data
    for cls in file.classes:
        yield from (base.file.data for base in cls.mro if base.file is not file)


# -- find -----------------------------------------------------------------------------------


def _is_bare(file: PythonFile, call: ast.Call, lock: Lock) -> bool:
    """Return whether certainly nobody holds the condition where it is called."""
    held = file.held(call)
    if held.unknown or lock.place in held or _is_veiled(file, call):
        return False
    function = file.function(call)
    if function is None:
        return True
    if isinstance(function.node, ast.Lambda) or _is_by_hand(file, function, lock):
        return False
    if function.home is not None and function.home.inherits(*api.CONDITIONS):
        return False
    if _is_given(file, call):
        return False
    is_open = function.is_private or function.outer is not None
    if is_open and not function.is_only_called and not _is_spawned(file, function):
        return False  # whoever gets it may hold the condition when calling it
    if any(site.caller and site.file.held(site.call) for site in function.callers):
        return False
    return not _is_held_abroad(function)


def _is_held_abroad(function: Function) -> bool:
    """Return whether some other file calls a method while it holds something, or hands it on: an
    heir, or whoever has the object.
    """
    name, project = function.file.encode(function.name), function.file.project
    word = re.compile(rb"\." + re.escape(name) + rb"\b")
    for path in project.paths:
        if path == function.file.path or not word.search(project.source(path).data):
            continue
        other = project.readable(path)
        for node in attributes_of(other).get(function.name, ()) if other is not None else ():
            assert other is not None
            if function_of(other, node) is function and (not is_called(node) or other.held(node)):
                return True
    return False


def _is_given(file: PythonFile, call: ast.Call) -> bool:
    """Return whether the condition is, or belongs to, what the function was handed: whoever has
    handed it over may hold it.
    """
    node: ast.AST = call.func
    while isinstance(node, ast.Attribute):
        node = node.value
    function, binding = file.function(call), file.binding(node)
    if function is None or binding is None or not isinstance(node, ast.Name):
        return False
    if node.id == function.self_name:
        return False
    return any(site.kind == "parameter" for site in binding.sites)


def _is_spawned(file: PythonFile, function: Function) -> bool:
    return any(spawn.is_threaded and spawn.target is function for spawn in file.spawns)


def _is_veiled(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a manager around the call may take the condition unseen."""
    for above in file.ancestors(call):
        if isinstance(above, _FUNCTIONS):
            return False
        for item in getattr(above, "items", ()) if _is_with(above) else ():
            made = item.context_expr
            if file.is_a(made, _KNOWN_MANAGERS):
                continue
            inner = made.func if isinstance(made, ast.Call) else made
            name = file.qualified(inner) or ""
            if function_of(file, inner) is None and not name.startswith(_PLAIN_MANAGERS):
                return True
    return False


def _is_with(node: ast.AST) -> bool:
    return isinstance(node, ast.With | ast.AsyncWith)


def _is_by_hand(file: PythonFile, function: Function, lock: Lock) -> bool:
    """Return whether the lock is taken by hand in the function, or for whoever calls a method of
    the class (`acquire`, `__enter__`).
    """
    for call in file.calls("acquire", "enter_context", "__enter__", "enter_async_context"):
        func = call.func
        if not isinstance(func, ast.Attribute):
            continue
        given = call.args[0] if func.attr.startswith("enter") and call.args else func.value
        taken = file.lock(given)
        if taken is None or taken.place.anywhere != lock.place.anywhere:
            continue
        at = file.function(call)
        if at is function or at is None or not _is_whole(file, call):
            return True
    return False


def _is_whole(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a section that begins with a call ends in the same block."""
    statement = file.statement(call)
    return any(s.start is statement and s.release is not None for s in file.sections)


# -- fix ------------------------------------------------------------------------------------


def _finding(file: PythonFile, call: ast.Call, func: ast.Attribute, lock: Lock) -> Finding:
    start, end = file.span(call)
    name = file.text(func.value)
    said = f"{name}.{func.attr} raises RuntimeError: {name} is not held here"
    try:
        edits = _edits(file, call, func, lock)
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    fix = Fix(f"Hold {name}", edits, Safety.UNSAFE, f"what is put under {name} waits for it")
    return Finding(file.path, start, end, said, fixes=(fix,))


def _edits(file: PythonFile, call: ast.Call, func: ast.Attribute, lock: Lock) -> tuple[Edit, ...]:
    statement = file.statement(call)
    word = "with"
    if lock.family == "async":
        inside = file.function(call)
        if inside is None or not inside.is_async:
            raise BuilderError("only a coroutine can take the lock of tasks")
        word = "async with"
    if func.attr in _NEWS:
        section = _section_before(file, statement, lock)
        if section is not None and is_alone(file, statement):
            text = file.text(statement)
            return (*insert_at_end(file, section.body, text), *delete(file, statement))
        block = [*_changes_before(statement), statement]
    else:
        block = _waiting(file, call, statement)
    _check_block(file, block, lock)
    return wrap(file, block, f"{word} {file.text(func.value)}:")


def _section_before(
    file: PythonFile, statement: ast.stmt, lock: Lock
) -> ast.With | ast.AsyncWith | None:
    """Return the section that ends right before a statement and would keep the call as well."""
    earlier = before(statement)
    last = earlier[-1] if earlier else None
    if not isinstance(last, ast.With | ast.AsyncWith) or len(last.items) != 1:
        return None
    taken = file.lock(last.items[0].context_expr)
    if taken is None or taken.place != lock.place or always_leaves(last.body):
        return None
    return last


def _changes_before(statement: ast.stmt) -> list[ast.stmt]:
    """Return the changes right before a notification: what it is the news of."""
    found: list[ast.stmt] = []
    for earlier in reversed(before(statement)):
        if not _is_change(earlier):
            break
        found.insert(0, earlier)
    return found


def _is_change(statement: ast.stmt) -> bool:
    targets: list[ast.expr] = []
    value: ast.expr | None = None
    if isinstance(statement, ast.Assign):
        targets, value = statement.targets, statement.value
    elif isinstance(statement, ast.AugAssign | ast.AnnAssign):
        targets, value = [statement.target], statement.value
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        func = statement.value.func
        if not isinstance(func, ast.Attribute) or func.attr not in api.MUTATORS:
            return False
        return not any(isinstance(n, ast.Call | ast.Await) for a in statement.value.args
                       for n in ast.walk(a))  # fmt: skip
    if value is None or any(isinstance(n, ast.Call | ast.Await) for n in ast.walk(value)):
        return False
    return all(isinstance(target, ast.Attribute | ast.Subscript) for target in targets)


def _waiting(file: PythonFile, call: ast.Call, statement: ast.stmt) -> list[ast.stmt]:
    """Return the statements that have to be one step with a wait: the loop around it, and what
    relies on what the loop waits for.
    """
    loop = next(enclosing(call, ast.While), None)
    test: ast.AST | None = None
    if isinstance(loop, ast.While) and not isinstance(loop.test, ast.Constant):
        statement, test = loop, loop.test
    elif isinstance(branch := file.parent(statement), ast.If) and statement in branch.body:
        statement, test = branch, branch.test
    elif call.args and isinstance(call.args[0], ast.Lambda):
        test = call.args[0].body
    wanted = set() if test is None else _named(test)
    rest = after(statement)
    last = max((n for n, later in enumerate(rest) if wanted & _named(later)), default=-1)
    return [statement, *rest[: last + 1]]


def _named(node: ast.AST) -> set[str]:
    """Return the attributes and variables of a node, as they are written."""
    parts = (n for n in ast.walk(node) if isinstance(n, ast.Name | ast.Attribute))
    return {ast.unparse(n) for n in parts} - {"self", "cls", "len", "any", "all", "not"}


def _check_block(file: PythonFile, block: list[ast.stmt], lock: Lock) -> None:
    for node in walk(block):
        if isinstance(node, ast.Yield | ast.YieldFrom):
            raise BuilderError("the condition would be held while the generator waits")
        if isinstance(node, ast.Await) and lock.family != "async":
            raise BuilderError("a lock of threads would be held across an await")
        callee = function_of(file, node.func) if isinstance(node, ast.Call) else None
        if callee is not None and not lock.reentrant and _takes(file, callee, lock):
            raise BuilderError("one thread would take the condition twice")
    taken = [s for s in file.sections if s.lock.place == lock.place and s.start in set(walk(block))]
    if taken and not lock.reentrant:
        raise BuilderError("one thread would take the condition twice")


def _takes(file: PythonFile, function: Function, lock: Lock) -> bool:
    functions = reached(function)
    return any(
        s.function in functions and s.lock.place.anywhere == lock.place.anywhere
        for s in file.sections
    )
