"""Classes around a pool: methods that give it a function, and return its future or its results."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit
from threadmend.python import api
from threadmend.python.builders import free_name, replace
from threadmend.python.file import PythonFile
from threadmend.python.flow import is_text
from threadmend.python.functions import Function, function_of
from threadmend.python.project import PythonProject
from threadmend.python.threads import reached
from threadmend.python.uses import is_self

__all__ = ["in_place", "waiting_inside"]


def waiting_inside(file: PythonFile) -> Iterator[tuple[ast.Call, ast.Call, Function]]:
    """Yield the calls by which a job waits for other jobs of the pool that it runs in, with the
    call that gives it to the pool, and the function that the first is in.
    """
    names = _names(file.project)
    calls = file.calls(*names) if names else []
    given = [(call, m) for call in calls if (m := _method(file, call)) is not None]
    for inner, method in given:
        function = file.function(inner)
        if function is None or not _is_waited_for(file, inner, method):
            continue
        for outer, other in given:
            job = function_of(file, outer.args[0])
            if job is None or function not in reached(job) or _pool(method) != _pool(other):
                continue
            if _is_same(file, outer, inner) or _is_handed_in(file, outer, inner, job):
                yield inner, outer, function
                break


def _is_waited_for(file: PythonFile, call: ast.Call, method: Function) -> bool:
    if _gives_futures(method):
        kept = _kept(file, call)
        return kept is not None and any(_loop_of(file, use) is not None for use in kept)
    return _gives_results(method) or _asked(file, call) is not None


def in_place(file: PythonFile, call: ast.Call) -> tuple[Edit, ...] | None:
    """Return the edits that call the function where its job is waited for."""
    method = _method(file, call)
    if method is None or call.keywords or any(isinstance(a, ast.Starred) for a in call.args):
        return None
    first, *rest = call.args
    if _gives_futures(method):
        return _values_in_place(file, call)
    head = f"({file.text(first)})" if isinstance(first, ast.Lambda) else file.text(first)
    asked = _asked(file, call)
    if asked is not None:
        return replace(file, asked, f"{head}({', '.join(map(file.text, rest))})")
    if len(rest) != 1 or not _gives_results(method):
        return None
    one = free_name(file, "item", call)
    return replace(file, call, f"[{head}({one}) for {one} in {file.text(rest[0])}]")


def _is_same(file: PythonFile, outer: ast.Call, inner: ast.Call) -> bool:
    assert isinstance(outer.func, ast.Attribute)
    assert isinstance(inner.func, ast.Attribute)
    place = file.place(outer.func.value)
    return place is not None and place == file.place(inner.func.value)


def _is_handed_in(file: PythonFile, outer: ast.Call, inner: ast.Call, job: Function) -> bool:
    """Return whether the job gets the object around the pool as an argument, and uses that."""
    assert isinstance(outer.func, ast.Attribute)
    assert isinstance(inner.func, ast.Attribute)
    binding = file.binding(inner.func.value)
    if binding is None or binding.scope is not job.scope or len(binding.sites) != 1:
        return False
    names = job.parameters[1:] if job.self_name else job.parameters
    at = names.index(binding.name) + 1 if binding.name in names else len(outer.args)
    given = file.place(outer.args[at]) if at < len(outer.args) else None
    return given is not None and given == file.place(outer.func.value)


def _values_in_place(file: PythonFile, call: ast.Call) -> tuple[Edit, ...] | None:
    """Return the edits that make values of the futures of a list, and of what asks them:
    `parts = [f(item) for item in items]`, `sum(part for part in parts)`.
    """
    kept = _kept(file, call)
    if kept is None or len(call.args) != 2:
        return None
    function, items = call.args
    head = f"({file.text(function)})" if isinstance(function, ast.Lambda) else file.text(function)
    one = free_name(file, "item", call)
    edits = list(replace(file, call, f"[{head}({one}) for {one} in {file.text(items)}]"))
    for use in kept:
        asked = _loop_of(file, use)
        if asked is None:
            return None
        for result, name in asked:
            edits += replace(file, result, name)
    return tuple(edits)


def _kept(file: PythonFile, call: ast.Call) -> list[ast.Name] | None:
    """Return the uses of the variable that keeps what a call returns."""
    assigned = file.parent(call)
    target = assigned.targets[0] if isinstance(assigned, ast.Assign) else None
    binding = file.binding(target)
    if binding is None or len(binding.sites) != 1 or binding.scope.kind != "function":
        return None
    return [use for use in file.uses(binding) if use is not target]


def _loop_of(file: PythonFile, use: ast.Name) -> list[tuple[ast.Call, str]] | None:
    """Return what asks each future of a list for its result, and the loop's variable; None where
    the list, or the variable, is used in another way.
    """
    loop = file.parent(use)
    if not isinstance(loop, ast.For | ast.comprehension) or loop.iter is not use:
        return None
    binding = file.binding(loop.target)
    if binding is None or len(binding.sites) != 1:
        return None
    found = []
    for one in file.uses(binding):
        if one is not loop.target:
            result = _asked(file, one)
            if result is None or result.args or result.keywords:
                return None
            found.append((result, binding.name))
    return found or None


def _asked(file: PythonFile, node: ast.expr) -> ast.Call | None:
    """Return `x.result()` of a call that returns a future, or of a variable that is one."""
    above = file.parent(node)
    asked = None if above is None else file.parent(above)
    if not isinstance(above, ast.Attribute) or above.attr != "result":
        return None
    plain = isinstance(asked, ast.Call) and not asked.args and not asked.keywords
    return asked if plain and isinstance(asked, ast.Call) else None


def _method(file: PythonFile, call: ast.Call) -> Function | None:
    """Return the method of a class around a pool that a call gives a function."""
    if not isinstance(call.func, ast.Attribute) or not call.args or is_self(file, call.func.value):
        return None
    method = function_of(file, call.func)
    return method if method is not None and _is_pooled(method) else None


def _is_pooled(method: Function) -> bool:
    if method.cls is None or method.is_async or len(method.parameters) < 2:
        return False
    return _gives_future(method) or _gives_results(method) or _gives_futures(method)


def _names(project: PythonProject) -> frozenset[str]:
    """Return the names of all such methods of a project."""
    known: frozenset[str] | None = project.__dict__.get("_pooled_names")
    if known is None:
        known = project.__dict__["_pooled_names"] = frozenset(
            method.name
            for file in project.files(b".submit(", tests=False)
            for cls in file.classes
            for method in cls.methods.values()
            if _is_pooled(method)
        )
    return known


def _returned(method: Function) -> ast.expr | None:
    """Return what a method returns that does nothing else but set a variable before that."""
    body = [s for s in method.body if not is_text(s)]
    last = body[-1] if body else None
    if not isinstance(last, ast.Return) or len(body) > 2:
        return None
    if len(body) == 2 and not isinstance(body[0], ast.Assign):
        return None
    return last.value


def _gives_future(method: Function) -> bool:
    call = _returned(method)
    return isinstance(call, ast.Call) and len(method.body) < 3 and _submits(method, call)


def _pool(method: Function) -> str | None:
    """Return the attribute that is the pool to which a method gives functions."""
    for call in method.calls:
        func = call.func
        if isinstance(func, ast.Attribute) and func.attr == "submit":
            if isinstance(func.value, ast.Attribute) and is_self(method.file, func.value.value):
                return func.value.attr
    others = (
        function_of(method.file, call.func)
        for call in method.calls
        if isinstance(call.func, ast.Attribute) and is_self(method.file, call.func.value)
    )
    found = (_pool(other) for other in others if other is not None and _gives_future(other))
    return next(found, None)


def _gives_futures(method: Function) -> bool:
    """Return whether a method returns the list of the futures of a function for each item."""
    listed = _returned(method)
    if not isinstance(listed, ast.ListComp) or len(method.parameters) != 3:
        return False
    over, call = _over(listed), listed.elt
    if over is None or not isinstance(call, ast.Call) or not _submits(method, call):
        return False
    plain = len(call.args) == 2 and not call.keywords and _is_name(call.args[1], over[0])
    return plain and _is_name(over[1], method.parameters[2])


def _submits(method: Function, call: ast.Call) -> bool:
    """Return whether a call gives the method's first parameter to a pool of the object, itself or
    by another method.
    """
    func, name = call.func, method.parameters[1]
    if not isinstance(func, ast.Attribute) or not call.args:
        return False
    if not isinstance(call.args[0], ast.Name) or call.args[0].id != name:
        return False
    if func.attr == "submit" and method.file.is_a(func.value, api.EXECUTORS):
        return isinstance(func.value, ast.Attribute) and is_self(method.file, func.value.value)
    other = function_of(method.file, func) if is_self(method.file, func.value) else None
    return other is not None and other is not method and _gives_future(other)


def _gives_results(method: Function) -> bool:
    """Return whether a method returns the list of what a function gives for each of some items."""
    listed = _returned(method)
    if not isinstance(listed, ast.ListComp) or len(method.parameters) != 3:
        return False
    over = _over(listed)
    future = over[0] if over is not None else None
    elt = listed.elt
    if over is None or not isinstance(elt, ast.Call) or not isinstance(elt.func, ast.Attribute):
        return False
    if elt.func.attr != "result" or elt.args or not _is_name(elt.func.value, future):
        return False
    jobs: ast.expr | None = over[1]
    binding = method.file.binding(jobs)
    if binding is not None:
        jobs = binding.sites[0].value if len(binding.sites) == 1 else None
    inner = _over(jobs) if isinstance(jobs, ast.ListComp) else None
    if inner is None or not isinstance(jobs, ast.ListComp) or not isinstance(jobs.elt, ast.Call):
        return False
    call = jobs.elt
    plain = len(call.args) == 2 and not call.keywords and _is_name(call.args[1], inner[0])
    return plain and _is_name(inner[1], method.parameters[2]) and _submits(method, call)


def _over(listed: ast.ListComp) -> tuple[str, ast.expr] | None:
    """Return the variable and the items of a comprehension that takes each once."""
    only = listed.generators[0]
    if len(listed.generators) > 1 or only.ifs or not isinstance(only.target, ast.Name):
        return None
    return only.target.id, only.iter


def _is_name(node: ast.expr, name: str | None) -> bool:
    return isinstance(node, ast.Name) and node.id == name
