"""Keep a reference to a task

The event loop holds its tasks weakly. A task that nobody else holds may be collected while it
waits, in the middle of its work and without a word.

Not reported: tasks of a TaskGroup, which keeps them; tasks that are awaited, returned or passed
on; those assigned to a variable that more is done with than to give the task a callback, or whose
function goes on and waits; `create_task` of other libraries; what stands outside of functions in
a notebook, which keeps the value of a cell. In tests it is a hint.

A function of the project that makes a task and returns it leaves it to its callers to hold it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Confidence, Edit, Finding, Fix
from threadmend.python.builders import (
    BuilderError,
    add_attribute,
    add_variable,
    free_attribute,
    free_name,
    hint,
    insert_after,
    is_alone,
    is_free,
)
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile, last_name
from threadmend.python.flow import innermost_loop
from threadmend.python.functions import Function

from ._begins_task import is_told, makes_task, started

CATEGORY = "asyncio"
ALSO = "RUF006"
GATE = rb"create_task\b|ensure_future\b|\basync\b|\bawait\b|\basyncio\b"

_RUNNERS = frozenset({"run", "run_forever", "run_until_complete", "serve_forever", "mainloop"})
_NAME = "_background_tasks"
_KEPT = "set[asyncio.Task[typing.Any]]"


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the tasks that nobody holds."""
    made = [c for c in file.calls("create_task", "ensure_future") if makes_task(file, c)]
    for call in (*made, *started(file)):
        statement = file.parent(call)
        if not isinstance(statement, ast.Expr | ast.Assign):
            continue
        if isinstance(statement, ast.Assign) and not _is_dropped(file, statement):
            continue
        if file.path.endswith(".ipynb") and file.function(call) is None:
            continue
        start, end = file.span(call)
        said = "nobody holds the task, which may be collected before it is done"
        try:
            edits = _edits(file, statement, call)
        except BuilderError as error:
            yield Finding(file.path, start, end, said, reason=str(error))
        else:
            fix = Fix("Keep the task until it is done", edits)
            # A test is over before anything is collected, mostly.
            level = Confidence.LOW if file.is_test else Confidence.HIGH
            yield Finding(file.path, start, end, said, fixes=(fix,), confidence=level)


def _is_dropped(file: PythonFile, statement: ast.Assign) -> bool:
    """Return whether the task's variable is one of the function's that nothing reads, or only
    to give the task a callback or a name: the loop does not hold it for that.
    """
    binding = file.binding(statement.targets[0]) if len(statement.targets) == 1 else None
    function = file.function(statement)
    if binding is None or function is None or binding.scope is not function.scope:
        return False
    if len(binding.sites) > 1 and binding.name != "_":
        return False
    if innermost_loop(statement) is None and _goes_on(function, statement):
        return False  # the variable holds it meanwhile
    return all(isinstance(u.ctx, ast.Store) or is_told(file, u) for u in file.uses(binding))


def _goes_on(function: Function, statement: ast.stmt) -> bool:
    """Return whether a function waits for something behind a statement, or runs a loop."""
    for node in function.own:
        if getattr(node, "lineno", 0) > statement.lineno:
            if isinstance(node, ast.Await | ast.AsyncWith | ast.AsyncFor | ast.Yield):
                return True
            if isinstance(node, ast.Call) and last_name(node.func) in _RUNNERS:
                return True
    return False


def _edits(file: PythonFile, statement: ast.Expr | ast.Assign, call: ast.Call) -> tuple[Edit, ...]:
    """Return the edits that hold the task in a set, which lets go of it when it is done."""
    held, added = _holder(file, statement)
    if isinstance(statement, ast.Assign):
        return (*added, *_kept(file, statement, held))
    task = "task" if is_free(file, "task", statement) else free_name(file, "task", statement)
    if not is_alone(file, statement):
        raise BuilderError("the statement shares its line with another one")
    at = file.span(call)[0]
    text = f"{held}.add({task})\n{task}.add_done_callback({held}.discard)"
    named = Edit(file.path, at, at, file.encode(f"{task} = "))
    return (*added, named, *insert_after(file, statement, text))


def _kept(file: PythonFile, statement: ast.Assign, held: str) -> tuple[Edit, ...]:
    """Return the edits that put a task which has a variable into the set."""
    if not is_alone(file, statement):
        raise BuilderError("the statement shares its line with another one")
    target = statement.targets[0]
    task = file.text(target)
    named: tuple[Edit, ...] = ()
    if task == "_":
        task = free_name(file, "task", statement)
        named = (Edit(file.path, *file.span(target), file.encode(task)),)
    text = f"{held}.add({task})\n{task}.add_done_callback({held}.discard)"
    return (*named, *insert_after(file, statement, text))


def _holder(file: PythonFile, statement: ast.stmt) -> tuple[str, tuple[Edit, ...]]:
    """Return the set that holds tasks, and the edits that make it: of the object where the
    code is a method's, else of the module.
    """
    function = file.function(statement)
    cls = None if function is None else function.cls
    if (
        function is not None
        and cls is not None
        and function.self_name
        and not function.is_classmethod
    ):
        try:
            name, edits = _attribute(cls)
        except BuilderError:
            pass
        else:
            return f"{function.self_name}.{name}", edits
    return _variable(file, statement)


def _attribute(cls: Class) -> tuple[str, tuple[Edit, ...]]:
    values = cls.values_of(_NAME)
    if values and all(file.is_a(value, {"set"}) for file, value in values):
        return _NAME, ()
    name = free_attribute(cls, _NAME)
    said, added = hint(cls.file, _KEPT)
    return name, (*add_attribute(cls, name, "set()", said), *added)


def _variable(file: PythonFile, statement: ast.stmt) -> tuple[str, tuple[Edit, ...]]:
    binding = file.tree.scopes[0].bindings.get(_NAME)
    if binding is not None and all(file.is_a(site.value, {"set"}) for site in binding.sites):
        return _NAME, ()
    name = free_name(file, _NAME)
    # Always at the same place, so that several tasks of a file share one set.
    body = file.tree.module.body
    blocks = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    first = next((s for s in body if isinstance(s, blocks)), statement)
    said, added = hint(file, _KEPT, first)
    return name, (*add_variable(file, f"{name}{said} = set()", before=first), *added)
