"""Close the executor

An executor that nobody shuts down keeps its threads until it is collected, and jobs that are
still queued run on when the program ends. `with` waits for them, also after an exception.

Not reported: executors that are shut down, returned, stored or passed on, but to functions that
only give them jobs; what a helper hands out that keeps it.

In tests it is a hint.

Unsafe: where not every future is waited for, since `with` waits for all of them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeGuard

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python import api
from threadmend.python.builders import BuilderError, is_alone, put_under
from threadmend.python.file import PythonFile
from threadmend.python.flow import block_of, target_of, walk
from threadmend.python.functions import Function, function_of
from threadmend.python.scope import Binding, ancestors, parent

from ._tests import softened

CATEGORY = "executor"
ALSO = "R1732 consider-using-with SIM115"
GATE = rb"PoolExecutor\b|\.(?:submit|map|run_in_executor)\("

_TAKERS = frozenset({"list", "tuple", "set", "dict", "sorted", "sum", "any", "all", "next"})
_METHODS = frozenset({"submit", "map"})


Made = ast.Assign | ast.AnnAssign


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the executors of a function that nobody closes."""
    for statement in file.nodes(ast.Assign, ast.AnnAssign):
        assert isinstance(statement, ast.Assign | ast.AnnAssign)
        target = target_of(statement)
        if not isinstance(target, ast.Name) or len(getattr(statement, "targets", [target])) != 1:
            continue
        if not isinstance(statement.value, ast.Call) or file.function(statement) is None:
            continue
        if getattr(statement.value.func, "attr", "") == "enter_context":
            continue  # an ExitStack closes it
        if not file.is_a(statement.value, api.EXECUTORS) or not _is_new(file, statement.value):
            continue
        binding = file.binding(target)
        if binding is None or len(binding.sites) != 1 or binding.scope.kind != "function":
            continue
        calls = _calls(file, binding)
        if calls:
            yield softened(file, _finding(file, statement, binding, calls))


def _is_new(file: PythonFile, call: ast.Call, depth: int = 3) -> bool:
    """Return whether each run of a call makes an executor: it is the constructor, or a helper
    that returns what it made and keeps nothing.
    """
    value = file.value(call)
    made = None if value is None else value.made
    if made is None or made is call:
        return made is call
    helper = function_of(file, call.func)
    returned = [] if helper is None else [one.value for one in helper.returns()]
    if helper is None or not returned or not depth:
        return False
    new = [_made(helper.file, one) for one in returned if one is not None]
    return all(one is not None and _is_new(helper.file, one, depth - 1) for one in new)


def _made(file: PythonFile, node: ast.expr) -> ast.Call | None:
    """Return the call that makes what a function returns, also by a variable that is only that."""
    binding = file.binding(node)
    if binding is None:
        return node if isinstance(node, ast.Call) else None
    values = [site.value for site in binding.sites]
    uses = (use for use in file.uses(binding) if isinstance(use.ctx, ast.Load))
    if binding.scope.kind != "function" or len(values) != 1:
        return None
    plain = all(isinstance(parent(use), ast.Return | ast.Attribute) for use in uses)
    return values[0] if plain and isinstance(values[0], ast.Call) else None


def _calls(file: PythonFile, binding: Binding) -> list[ast.Call]:
    """Return the calls of submit and map, none when the executor is used in any other way."""
    found = []
    for name in file.uses(binding):
        if isinstance(name.ctx, ast.Store):
            continue
        attribute = file.parent(name)
        call = file.parent(attribute) if attribute is not None else None
        if isinstance(attribute, ast.keyword):
            attribute = call
        if _runs_in(attribute, name) or _only_submits(file, attribute, name):
            attribute, call = attribute.func, attribute  # type: ignore[union-attr]
        elif not isinstance(attribute, ast.Attribute) or attribute.attr not in _METHODS:
            return []
        if not isinstance(call, ast.Call) or call.func is not attribute:
            return []
        if file.function(call) is not file.function(binding.sites[0].node):
            return []
        found.append(call)
    return found


def _only_submits(file: PythonFile, call: ast.AST | None, name: ast.Name, depth: int = 2) -> bool:
    """Return whether a call hands an executor to a function that gives it jobs before it returns,
    and keeps it nowhere.
    """
    callee = function_of(file, call.func) if isinstance(call, ast.Call) else None
    if not isinstance(call, ast.Call) or callee is None or callee.decorators:
        return False
    if callee.is_async or callee.is_generator or callee.name == "__init__":
        return False
    parameter = _taken_as(call, callee, name)
    binding = None if parameter is None else callee.scope.bindings.get(parameter)
    if binding is None or len(binding.sites) != 1:
        return False
    other = callee.file
    for use in other.uses(binding):
        above = other.parent(use)
        top = other.parent(above) if above is not None else None
        if other.function(use) is not callee:
            return False
        if isinstance(above, ast.Attribute) and isinstance(top, ast.Call) and top.func is above:
            if above.attr in _METHODS:
                continue
        inner = top if isinstance(above, ast.keyword) else above
        again = isinstance(inner, ast.Call) and function_of(other, inner.func) is callee
        if not again and not (depth and _only_submits(other, inner, use, depth - 1)):
            return False
    return True


def _taken_as(call: ast.Call, callee: Function, name: ast.Name) -> str | None:
    """Return the parameter that gets an argument."""
    names = callee.parameters[callee.self_name is not None :]
    if any(isinstance(given, ast.Starred) for given in call.args):
        return None
    if name in call.args:
        at = call.args.index(name)
        return names[at] if at < len(names) else None
    return next((word.arg for word in call.keywords if word.value is name), None)


def _runs_in(call: ast.AST | None, name: ast.Name) -> bool:
    """Return whether a call is `loop.run_in_executor(name, …)`."""
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "run_in_executor"
        and call.args[:1] == [name]
    )


def _finding(file: PythonFile, statement: Made, binding: Binding, calls: list[ast.Call]) -> Finding:
    start, end = file.span(statement)
    said = f"nobody shuts {binding.name} down"
    try:
        edits = _edits(file, statement, binding, calls)
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    title = f"Close {binding.name} with a with statement"
    if all(map(_is_waited_for, calls)):
        return Finding(file.path, start, end, said, fixes=(Fix(title, edits),))
    reason = "the function waits for jobs that it did not wait for"
    return Finding(file.path, start, end, said, fixes=(Fix(title, edits, Safety.UNSAFE, reason),))


def _is_waited_for(call: ast.Call) -> bool:
    """Return whether the result of a job is asked for on the spot, or by a name that is."""
    if getattr(call.func, "attr", "") not in {*_METHODS, "run_in_executor"}:
        return False  # what the function that gets the executor returns is not looked at
    for above in ancestors(call):
        if isinstance(above, ast.Attribute) and above.attr == "result":
            return True
        if isinstance(above, ast.Call) and getattr(above.func, "id", "") in _TAKERS:
            return True
        if isinstance(above, ast.For) and call in ast.walk(above.iter):
            return True
        if isinstance(above, ast.Assign | ast.Return | ast.For):
            function = next((a for a in ancestors(above) if isinstance(a, ast.FunctionDef)), None)
            attributes = ast.walk(function) if function is not None else iter(())
            waits = {"result", "as_completed", "wait", "list"}
            return any(
                (isinstance(n, ast.Attribute) and n.attr in waits)
                or (isinstance(n, ast.Name) and n.id in waits)
                for n in attributes
            )
    return False


def _edits(
    file: PythonFile, statement: Made, binding: Binding, calls: list[ast.Call]
) -> tuple[Edit, ...]:
    """Return the edits that put the statements up to the last use, and what reads the results
    of the last jobs, under `with`.
    """
    if not is_alone(file, statement):
        raise BuilderError("the statement shares its line with another one")
    block = block_of(statement)
    rest = block[block.index(statement) + 1 :]
    last = -1
    for number, following in enumerate(rest):
        inside = set(map(id, ast.walk(following)))
        if any(id(call) in inside for call in calls):
            last = number
    if last < 0 or sum(_is_in(call, rest) for call in calls) < len(calls):
        raise BuilderError("the executor is used outside of the block that makes it")
    kept = {n.id for s in rest[: last + 1] for n in walk([s]) if _is_set(n)}
    reading = (n for n, s in enumerate(rest) if n > last and _reads_results(s, kept))
    last = max([last, *reading])
    if any(getattr(call.func, "attr", "") == "run_in_executor" for call in calls):
        # The block must not end before the jobs do: that would stop the loop.
        waits = [n for n, s in enumerate(rest) if any(isinstance(a, ast.Await) for a in walk(s))]
        last = max([last, *waits])
    if _goes_on_with_it(calls, rest[last + 1 :]):
        raise BuilderError("a job may wait for what is done behind it")
    header = f"with {file.text(binding.sites[0].value or statement)} as {binding.name}:"
    return put_under(file, statement, header, rest[: last + 1])


def _goes_on_with_it(calls: list[ast.Call], behind: list[ast.stmt]) -> bool:
    """Return whether methods of what a job gets are called behind it, while the job goes on:
    `pool.submit(watch, server)`, and then `server.run()`.
    """
    given = {n.id for c in calls if not _is_waited_for(c) for a in c.args for n in ast.walk(a)
             if isinstance(n, ast.Name)} - {"self"}  # fmt: skip
    called = (n.func for n in walk(behind) if isinstance(n, ast.Call))
    owners = (f.value for f in called if isinstance(f, ast.Attribute))
    return any(isinstance(owner, ast.Name) and owner.id in given for owner in owners)


def _is_in(call: ast.Call, statements: list[ast.stmt]) -> bool:
    return any(above in statements for above in ancestors(call))


def _is_set(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _reads_results(statement: ast.stmt, futures: set[str]) -> bool:
    """Return whether a statement asks what the variables that are set with the jobs hold."""
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in {"result", "exception", "add_done_callback"}
        for node in ast.walk(statement)
    ) and any(isinstance(n, ast.Name) and n.id in futures for n in ast.walk(statement))
