"""Do not wait for a job of the pool that you run in

A job gives its own pool another job and waits for it. As soon as every thread of the pool runs
such a job, all of them wait for what is still in the queue, and no thread is left to do it. One
worker is enough to see it at once; with more it takes load.

Not reported: another pool; jobs that nobody waits for, or with a time limit; pools of
processes, which cannot be given to a job.

Unsafe: the inner jobs run in the thread of the outer one, one after the other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python.builders import delete, replace
from threadmend.python.file import PythonFile
from threadmend.python.flow import block_of, enclosing
from threadmend.python.functions import Function
from threadmend.python.places import Place
from threadmend.python.scope import scope_of
from threadmend.python.threads import Spawn, reached
from threadmend.python.uses import is_self

from ._pooled import in_place, waiting_inside
from ._started_by import Started, in_place_of, started_by

CATEGORY = "executor"
GATE = rb"\.submit\(|\.map\(|\.result\("

_WAITING = frozenset({"concurrent.futures.wait", "concurrent.futures.as_completed"})


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the jobs that a job waits for in the same pool."""
    jobs = [s for s in file.spawns if _is_job(file, s)]
    seen: set[Spawn] = set()
    told: set[ast.AST] = {job.node for job in jobs}
    for outer in jobs:
        if outer.target is None:
            continue
        functions = reached(outer.target)
        for inner in jobs:
            function = file.function(inner.node)
            if function not in functions or inner in seen or not _is_same_pool(outer, inner):
                continue
            if _is_own_pool(file, inner, function):
                continue
            if function is not None and _is_waited_for(file, inner, function):
                seen.add(inner)
                yield _finding(file, outer, inner, function)
            for one in started_by(file, inner, functions):
                if one.call not in told and _is_waited_for(file, one.spawn, one.caller):
                    told.add(one.call)
                    yield _of_helper(file, outer, one)
    for call, given, function in waiting_inside(file):
        yield _of_object(file, call, given, function)


def _of_object(file: PythonFile, call: ast.Call, given: ast.Call, function: Function) -> Finding:
    """Return the finding about a job of a class around a pool."""
    assert isinstance(call.func, ast.Attribute)
    pool = file.text(call.func.value)
    return _waiting(file, call, given, pool, function, in_place(file, call))


def _of_helper(file: PythonFile, outer: Spawn, one: Started) -> Finding:
    """Return the finding about the call of a helper that returns the future of a job."""
    direct = one.direct(file)
    placed = None if direct is None else in_place_of(file, one.call, direct)
    edits = None if direct is None else _called(file, one.call, direct, one.caller, placed)
    return _waiting(file, one.call, outer.node, file.text(_pool(one.spawn)), one.caller, edits)


def _waiting(
    file: PythonFile,
    inner: ast.AST,
    outer: ast.AST,
    pool: str,
    function: Function,
    edits: tuple[Edit, ...] | None,
) -> Finding:
    """Return the finding about a job that waits for one which it has given to its own pool."""
    start, end = file.span(inner)
    said = (
        f"a job of {pool} waits for another job of {pool}: with all threads waiting, nobody runs it"
    )
    related = (
        Related(file.path, *file.span(outer), f"{function.qualname} runs in {pool} from here"),
    )
    if edits is None:
        reason = "give the inner jobs a pool of their own, or wait for them outside of the pool"
        return Finding(file.path, start, end, said, related=related, reason=reason)
    reason = "the inner jobs run in the thread of the outer one, one after the other"
    fix = Fix("Call the function in the job itself", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, fixes=(fix,), related=related)


# -- find -----------------------------------------------------------------------------------


def _is_job(file: PythonFile, spawn: Spawn) -> bool:
    """Return whether a function goes to a pool, also by a helper of the same object that returns
    the future: `self._submit(self._load, name)`.
    """
    if spawn.kind in {"submit", "map"}:
        return spawn.is_threaded
    inner, call = spawn.through, spawn.node
    if spawn.kind != "handed" or inner is None or inner.kind != "submit" or not spawn.is_threaded:
        return False
    if inner.file is not file or not isinstance(call, ast.Call) or call.keywords:
        return False
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    is_own = owner is None or is_self(file, owner)
    if inner.node is call:
        return True  # one of those between which a condition chooses
    returned = isinstance(file.parent(inner.node), ast.Return)
    return is_own and returned and (spawn.target_node, *(spawn.args or ())) == tuple(call.args)


def _pool(spawn: Spawn) -> ast.expr:
    node = spawn.node if spawn.through is None else spawn.through.node
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Attribute)
    return node.func.value


def _is_same_pool(outer: Spawn, inner: Spawn) -> bool:
    """Return whether both jobs go to one pool, which the outer job may get as an argument."""
    file = outer.file
    first, second = file.place(_pool(outer)), file.place(_pool(inner))
    if first is None or second is None:
        return False
    return first == second or _handed_in(outer, second) == first


def _is_own_pool(file: PythonFile, inner: Spawn, function: Function | None) -> bool:
    """Return whether the call makes the pool that it uses: no other job runs in that."""
    binding = file.binding(_pool(inner))
    return (
        binding is not None
        and function is not None
        and binding.scope is function.scope
        and all(site.kind != "parameter" for site in binding.sites)
    )


def _handed_in(outer: Spawn, place: Place) -> Place | None:
    """Return what the outer job is given for a parameter that the inner one uses."""
    target = outer.target
    if target is None or outer.args is None or place.name not in target.parameters:
        return None
    number = target.parameters.index(place.name) - (target.self_name is not None)
    return outer.file.place(outer.args[number]) if 0 <= number < len(outer.args) else None


def _is_waited_for(file: PythonFile, inner: Spawn, function: Function) -> bool:
    """Return whether the function waits for the job, for as long as it takes."""
    statement = file.statement(inner.node)
    if inner.kind == "map":
        return not isinstance(statement, ast.Expr) or statement.value is not inner.node
    is_looped_over = isinstance(file.parent(inner.node), ast.comprehension)
    if (
        isinstance(statement, ast.Return)
        and not _result_of(file, inner.node)
        and not is_looped_over
    ):
        return False
    if isinstance(statement, ast.Expr) and statement.value is inner.node:
        return False  # nobody has the future
    above = file.parent(inner.node)
    if isinstance(above, ast.Attribute) and above.attr not in {"result", "exception"}:
        return False  # it gets a callback, and is nobody's
    for call in function.calls:
        if call.lineno < inner.node.lineno or call.keywords or len(call.args) > 1:
            continue
        if _is_of_another(call, inner):
            continue
        if isinstance(call.func, ast.Attribute) and call.func.attr in {"result", "exception"}:
            if not call.args:
                return True
        if file.qualified(call.func) in _WAITING or _is_handed_on(file, inner, function, call):
            return True
    return False


def _is_of_another(call: ast.Call, inner: Spawn) -> bool:
    """Return whether `f(…).result()` asks for what another call returns."""
    asked = call.func.value if isinstance(call.func, ast.Attribute) else None
    return isinstance(asked, ast.Call) and asked is not inner.node


def _is_handed_on(file: PythonFile, inner: Spawn, function: Function, call: ast.Call) -> bool:
    """Return whether a call gives the future, or the list of them, to a helper that asks for the
    result of its parameter, or of what that holds.
    """
    helper = function.callees.get(call)
    assign = file.statement(inner.node)
    target = assign.targets[0] if isinstance(assign, ast.Assign) else None
    binding = file.binding(target)
    given = call.args[0] if len(call.args) == 1 else None
    if helper is None or binding is None or file.binding(given) is not binding:
        return False
    names = helper.parameters[1:] if helper.self_name else helper.parameters
    return bool(names) and any(
        isinstance(asked.func, ast.Attribute)
        and asked.func.attr == "result"
        and not (asked.args or asked.keywords)
        and _is_of(helper, asked.func.value, names[0])
        for asked in helper.calls
    )


def _is_of(helper: Function, node: ast.expr, name: str) -> bool:
    """Return whether an expression is a parameter, or the variable of a loop over it."""
    binding = helper.file.binding(node)
    if binding is None or len(binding.sites) != 1:
        return False
    site = binding.sites[0]
    if site.kind == "for" and site.value is not None:
        return isinstance(site.value, ast.Name) and _is_of(helper, site.value, name)
    return site.kind == "parameter" and binding.name == name


def _result_of(file: PythonFile, node: ast.AST) -> ast.Call | None:
    """Return the call `x.result()` of an expression."""
    above = file.parent(node)
    call = None if above is None else file.parent(above)
    if isinstance(above, ast.Attribute) and above.attr == "result" and isinstance(call, ast.Call):
        return None if call.args or call.keywords or call.func is not above else call
    return None


def _finding(file: PythonFile, outer: Spawn, inner: Spawn, function: Function) -> Finding:
    pool, edits = file.text(_pool(inner)), _edits(file, inner, function)
    return _waiting(file, inner.node, outer.node, pool, function, edits)


# -- fix ------------------------------------------------------------------------------------


def _edits(file: PythonFile, inner: Spawn, function: Function) -> tuple[Edit, ...] | None:
    call = inner.node
    assert isinstance(call, ast.Call)
    if not call.args or isinstance(call.args[0], ast.Starred):
        return None
    if inner.kind == "map":
        if call.keywords or scope_of(call).lookup("map") is not None:
            return None
        return replace(file, call.func, "map")
    target = file.text(call.args[0])
    rest = [*call.args[1:], *call.keywords]
    head = f"({target})" if isinstance(call.args[0], ast.Lambda) else target
    direct = f"{head}({', '.join(file.text(argument) for argument in rest)})"
    return _called(file, call, direct, function)


def _called(
    file: PythonFile,
    call: ast.Call,
    direct: str,
    function: Function,
    placed: tuple[Edit, ...] | None = None,
) -> tuple[Edit, ...] | None:
    """Return the edits that put a call of the function in the place of its future; `placed` does
    that where the future itself stands.
    """
    result = _result_of(file, call)
    if result is not None:
        return replace(file, result, direct)
    results = _results(file, call, function)
    return None if results is None else (*(placed or replace(file, call, direct)), *results)


def _results(file: PythonFile, call: ast.Call, function: Function) -> tuple[Edit, ...] | None:
    """Return the edits that read values where futures were: of `f = submit(…)`, and of
    `fs = [submit(…) for …]` with the loop over it.
    """
    above = file.parent(call)
    if isinstance(above, ast.Assign):
        return _plain(file, above.targets, function)
    kept = _kept_in(file, call, function)
    if not kept:
        return None
    edits: tuple[Edit, ...] = ()
    for use in kept:
        read = _loop_over(file, use, function)
        if read is None:
            return None
        edits = (*edits, *read)
    return edits


def _kept_in(file: PythonFile, call: ast.Call, function: Function) -> list[ast.Name] | None:
    """Return the uses of the list that keeps futures, that of `fs = [submit(…) for …]` or of
    `fs = []` with one `fs.append(submit(…))`; None for other forms.
    """
    above = file.parent(call)
    target: ast.expr | None = None
    added: ast.expr | None = None
    if isinstance(above, ast.ListComp) and above.elt is call:
        assign = file.parent(above)
        target = assign.targets[0] if isinstance(assign, ast.Assign) else None
    elif isinstance(above, ast.Call) and isinstance(above.func, ast.Attribute):
        if above.func.attr == "append" and isinstance(file.parent(above), ast.Expr):
            target = added = above.func.value
    if not isinstance(target, ast.Name):
        return None
    binding = file.binding(target)
    if binding is None or binding.scope is not function.scope or len(binding.sites) != 1:
        return None
    made = binding.sites[0].value
    if added is not None and not (isinstance(made, ast.List) and not made.elts):
        return None
    return [u for u in file.uses(binding) if u is not added and isinstance(u.ctx, ast.Load)]


def _loop_over(file: PythonFile, used: ast.expr, function: Function) -> tuple[Edit, ...] | None:
    """Return the edits of a loop over futures that makes it one over values; none of a test
    whether there are any.
    """
    futures, around = used, file.parent(used)
    if isinstance(around, ast.UnaryOp | ast.If) or _is_length(around):
        return ()
    edits: tuple[Edit, ...] = ()
    if isinstance(around, ast.Call) and around in function.callees:
        return _in_helper(file, around, function.callees[around])
    if isinstance(around, ast.Call):
        if file.qualified(around.func) != "concurrent.futures.as_completed" or around.keywords:
            return None
        edits = replace(file, around, file.text(used))
        used, around = around, file.parent(around)
    if not isinstance(around, ast.For | ast.comprehension) or around.iter is not used:
        return None
    values = _plain(file, [around.target], function)
    if values is None or not isinstance(around, ast.comprehension):
        return None if values is None else (*edits, *values)
    return _all_of(file, around, futures) or (*edits, *values)


def _all_of(file: PythonFile, loop: ast.comprehension, values: ast.expr) -> tuple[Edit, ...]:
    """Return the edits of `sum(f.result() for f in fs)` and `return [f.result() for f in fs]`
    where `fs` are the values by now: it is all of them; none of other comprehensions.
    """
    whole = file.parent(loop)
    if not isinstance(whole, ast.GeneratorExp | ast.ListComp) or len(whole.generators) > 1:
        return ()
    asked = whole.elt.func if isinstance(whole.elt, ast.Call) else None
    name = asked.value if isinstance(asked, ast.Attribute) else None
    if loop.ifs or not isinstance(name, ast.Name) or file.text(name) != file.text(loop.target):
        return ()
    above, text = file.parent(whole), file.text(values)
    is_lazy = isinstance(whole, ast.GeneratorExp)
    if isinstance(above, ast.Assign) and isinstance(whole, ast.ListComp):
        return _renamed(file, values, above) or replace(file, whole, f"list({text})")
    if isinstance(above, ast.Return) and isinstance(whole, ast.ListComp):
        return replace(file, whole, text)
    if isinstance(above, ast.Call) and above.args == [whole] and not (is_lazy and above.keywords):
        return replace(file, whole, f"({text})" if is_lazy else text)
    return ()


def _renamed(file: PythonFile, values: ast.expr, again: ast.Assign) -> tuple[Edit, ...]:
    """Return the edits that give the list of values the name that the statement would which only
    makes one more of it: `lines = [f.result() for f in fs]`.
    """
    first, second = file.binding(values), file.binding(again.targets[0])
    if first is None or second is None or len(again.targets) != 1:
        return ()
    if len(second.sites) != 1 or len(first.sites) != 1 or second.scope is not first.scope:
        return ()
    made, loads = first.sites[0].node, [u for u in file.uses(first) if isinstance(u.ctx, ast.Load)]
    if not isinstance(made, ast.Name) or len(loads) != 1:
        return ()
    if block_of(file.statement(made)) is not block_of(again):
        return ()
    return (*replace(file, made, second.name), *delete(file, again, comments=False))


def _in_helper(file: PythonFile, call: ast.Call, helper: Function) -> tuple[Edit, ...] | None:
    """Return the edits of a helper that loops over futures, when nobody else calls it."""
    names = helper.parameters[1:] if helper.self_name else helper.parameters
    binding = helper.scope.bindings.get(names[0]) if names else None
    if binding is None or helper.file is not file or len(call.args) + len(call.keywords) != 1:
        return None
    if not helper.is_private or len(helper.callers) != 1 or not helper.is_only_called:
        return None
    edits: tuple[Edit, ...] = ()
    for use in file.uses(binding):
        read = _loop_over(file, use, helper) if isinstance(use.ctx, ast.Load) else None
        if read is None:
            return None
        edits = (*edits, *read)
    return edits


def _is_length(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "len"


def _plain(
    file: PythonFile, targets: list[ast.expr], function: Function
) -> tuple[Edit, ...] | None:
    """Return the edits that make `x.result()` of a variable `x`; None when it has other uses."""
    target = targets[0]
    binding = file.binding(target)
    if len(targets) != 1 or binding is None or len(binding.sites) != 1:
        return None
    if binding.scope.kind != "comprehension" and binding.scope is not function.scope:
        return None
    edits: list[Edit] = []
    for use in file.uses(binding):
        if use is target:
            continue
        result = _result_of(file, use)
        if result is None or next(enclosing(use, ast.Lambda), None) is not None:
            return None
        edits += replace(file, result, file.text(use))
    return tuple(edits)
