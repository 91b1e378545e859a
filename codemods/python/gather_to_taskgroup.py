"""Run coroutines in a TaskGroup

When one of the coroutines of `asyncio.gather` raises, gather raises as well, and the others go on
with nobody to wait for them: they write to what is closed by then, and their own exceptions are
lost. A TaskGroup cancels them, waits for all, and raises what each raised (Python 3.11).

Not reported: `return_exceptions=True`; a gather that is kept, returned without await, or shielded;
arguments that may be futures; projects that run on Python before 3.11.

Unsafe: the others are cancelled now, and what is raised is an ExceptionGroup: callers that catch
the plain exception need `except*`. Inside of a `try` with handlers no fix is offered.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python.builders import (
    BuilderError,
    free_name,
    insert_before,
    reference,
    replace,
    replace_statement,
)
from threadmend.python.file import PythonFile
from threadmend.python.flow import enclosing
from threadmend.python.functions import function_of

CATEGORY = "asyncio"
GATE = rb"\bgather\b"
OPT_IN = True

_SIMPLE = (ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return)
_COROUTINES = frozenset({"asyncio.sleep", "asyncio.wait_for", "asyncio.to_thread"})
_COMPREHENSIONS = (ast.ListComp, ast.GeneratorExp)


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the awaited gathers whose coroutines go on after a failure."""
    if file.python_version < (3, 11):
        return
    for call in file.calls("gather"):
        if file.qualified(call.func) != "asyncio.gather" or call.keywords:
            continue
        awaited = file.parent(call)
        if not isinstance(awaited, ast.Await) or not call.args:
            continue
        if not all(_is_coroutine(file, argument) for argument in call.args):
            continue
        if len(call.args) > 1 or isinstance(call.args[0], ast.Starred):
            yield _finding(file, call, awaited)


def _is_coroutine(file: PythonFile, node: ast.expr) -> bool:
    """Return whether an argument is certainly a coroutine, or a starred comprehension of them."""
    if isinstance(node, ast.Starred):
        return _are_coroutines(file, node.value)
    if not isinstance(node, ast.Call):
        return False
    if file.qualified(node.func) in _COROUTINES:
        return True
    callee = function_of(file, node.func)
    return (
        callee is not None and callee.is_async and not callee.is_generator and not callee.decorators
    )


def _are_coroutines(file: PythonFile, node: ast.expr | None) -> bool:
    """Return whether an expression is a collection of coroutines that nobody else has: a
    comprehension, the variable of one, a function of the project that returns one.
    """
    if isinstance(node, _COMPREHENSIONS):
        return _is_coroutine(file, node.elt)
    if isinstance(node, ast.Name):
        binding = file.binding(node)
        if binding is None or len(binding.sites) != 1 or len(file.uses(binding)) != 2:
            return False
        site = binding.sites[0]
        return site.kind == "assign" and _are_coroutines(file, site.value)
    callee = function_of(file, node.func) if isinstance(node, ast.Call) else None
    if callee is None or callee.is_async or callee.is_generator or callee.decorators:
        return False
    returned = [r.value for r in callee.returns()]
    if len(returned) != 1 or not isinstance(returned[0], _COMPREHENSIONS):
        return False
    return _is_coroutine(callee.file, returned[0].elt)


def _finding(file: PythonFile, call: ast.Call, awaited: ast.Await) -> Finding:
    start, end = file.span(call)
    said = "when one of the coroutines raises, the others go on with nobody to wait for them"
    try:
        edits = _edits(file, call, awaited)
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    reason = "the others are cancelled, and an ExceptionGroup is raised"
    fix = Fix("Run them in a TaskGroup", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, fixes=(fix,))


def _edits(file: PythonFile, call: ast.Call, awaited: ast.Await) -> tuple[Edit, ...]:
    statement = file.statement(call)
    if not isinstance(statement, _SIMPLE) or not _is_direct(statement, awaited):
        raise BuilderError("the gather is a part of a larger expression")
    for above in enclosing(statement, ast.Try):
        assert isinstance(above, ast.Try)
        if above.handlers and statement in _inside(above.body):
            raise BuilderError("a handler here catches the exceptions, which become a group")
    starred = [a for a in call.args if isinstance(a, ast.Starred)]
    if starred and len(call.args) > 1:
        raise BuilderError("some of the arguments are starred")
    start, end = file.span(call)
    if b"#" in file.data[start:end]:
        raise BuilderError("a comment of the call would be lost")
    group, added = reference(file, "asyncio.TaskGroup", call)
    name = free_name(file, "group")
    lines = [f"async with {group}() as {name}:"]
    if starred:
        result = _many(file, starred[0], name, lines, isinstance(statement, ast.Expr))
    else:
        result = _few(file, call, statement, name, lines)
    text = "\n".join(lines)
    if isinstance(statement, ast.Expr):
        return (*replace_statement(file, statement, text), *added)
    return (*insert_before(file, statement, text), *replace(file, awaited, result), *added)


def _is_direct(statement: ast.stmt, awaited: ast.Await) -> bool:
    return getattr(statement, "value", None) is awaited


def _inside(body: list[ast.stmt]) -> set[ast.AST]:
    return {node for statement in body for node in ast.walk(statement)}


def _many(
    file: PythonFile, starred: ast.Starred, group: str, lines: list[str], is_dropped: bool
) -> str:
    """Write `tasks = [group.create_task(f(x)) for x in xs]`; return what the results are."""
    made = starred.value
    if not isinstance(made, ast.ListComp | ast.GeneratorExp):
        return _each(file, made, group, lines, is_dropped)
    start, end = file.span(made.elt)
    first = file.span(made)[0] + 1
    last = file.span(made)[1] - 1
    if isinstance(made, ast.GeneratorExp) and file.data[first - 1 : first] != b"(":
        raise BuilderError("the generator has no parentheses")
    coding = file.tree.encoding
    before, inner, behind = (
        file.data[a:b].decode(coding) for a, b in ((first, start), (start, end), (end, last))
    )
    if "\n" in before + inner + behind:
        before, inner, behind = (" ".join(t.split()) for t in (before, inner, behind))
        behind = f" {behind}"
    text = f"[{before}{group}.create_task({inner}){behind.rstrip()}]"
    if is_dropped and len(made.generators) == 1 and not made.generators[0].ifs:
        loop = made.generators[0]
        target, items = file.text(loop.target), file.text(loop.iter)
        if not loop.is_async and "\n" not in target + items:
            lines += [f"    for {target} in {items}:", f"        {group}.create_task({inner})"]
            return ""
    if is_dropped:
        lines.append(f"    {text}")
        return ""
    tasks, task = free_name(file, "tasks"), free_name(file, "task")
    lines.append(f"    {tasks} = {text}")
    return f"[{task}.result() for {task} in {tasks}]"


def _each(file: PythonFile, made: ast.expr, group: str, lines: list[str], is_dropped: bool) -> str:
    """Write a task for each of what a variable or a call holds; return what the results are."""
    text = file.text(made)
    if "\n" in text:
        raise BuilderError("an argument has several lines")
    one = free_name(file, "coroutine", made)
    if is_dropped:
        lines += [f"    for {one} in {text}:", f"        {group}.create_task({one})"]
        return ""
    tasks, task = free_name(file, "tasks"), free_name(file, "task")
    lines.append(f"    {tasks} = [{group}.create_task({one}) for {one} in {text}]")
    return f"[{task}.result() for {task} in {tasks}]"


def _few(
    file: PythonFile, call: ast.Call, statement: ast.stmt, group: str, lines: list[str]
) -> str:
    """Write a line for each coroutine; return what the results are."""
    texts = [file.text(argument) for argument in call.args]
    if any("\n" in text for text in texts):
        raise BuilderError("an argument has several lines")
    if isinstance(statement, ast.Expr):
        lines += [f"    {group}.create_task({text})" for text in texts]
        return ""
    names = _names(file, call, statement)
    lines += [
        f"    {name} = {group}.create_task({text})" for name, text in zip(names, texts, strict=True)
    ]
    results = ", ".join(f"{name}.result()" for name in names)
    target = statement.targets[0] if isinstance(statement, ast.Assign) else None
    unpacked = isinstance(target, ast.Tuple) and len(target.elts) == len(names)
    return results if unpacked else f"[{results}]"


def _names(file: PythonFile, call: ast.Call, statement: ast.stmt) -> list[str]:
    """Return names for the tasks: after the targets, else after the coroutines."""
    target = statement.targets[0] if isinstance(statement, ast.Assign) else None
    stems = []
    for number, argument in enumerate(call.args):
        found: ast.expr = argument.func if isinstance(argument, ast.Call) else argument
        if isinstance(target, ast.Tuple) and len(target.elts) == len(call.args):
            found = target.elts[number]
        last = getattr(found, "attr", getattr(found, "id", ""))
        stems.append(f"{last}_task" if last else "task")
    names: list[str] = []
    for stem in stems:
        number, name = 1, free_name(file, stem)
        while name in names:
            number += 1
            name = free_name(file, f"{stem}_{number}")
        names.append(name)
    return names
