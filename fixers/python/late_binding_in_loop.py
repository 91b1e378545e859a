"""Bind loop variables when the function is made

A closure reads a loop variable when it runs, and in another thread, timer or callback that is
after the loop has gone on: all of them see the last value, or whatever comes in between.

Not reported: functions that have run before the loop goes on (joined, awaited, or waited for
in the same round, a pool that is closed in it); variables that are set outside of the loop as
well (not by another loop), or after the function is made, which the function may be meant to
follow.

Unsafe: a `def` gets a parameter that others could use.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python.file import PythonFile
from threadmend.python.flow import always_leaves, block_of
from threadmend.python.methodcalls import method_calls
from threadmend.python.scope import COMPREHENSIONS, Binding, ancestors, resolve, scope_of
from threadmend.python.syntax import FunctionNode
from threadmend.python.threads import Spawn

CATEGORY = "thread"
ALSO = "B023 W0640 cell-var-from-loop"
GATE = (
    rb"Thread|Timer|Process|submit|call_later|call_soon|call_at|add_done_callback|executor"
    rb"|\(lambda\b|[,=]\s*lambda\b|\n[ \t]{8,}def "
)

_KINDS = frozenset(
    {"thread", "timer", "submit", "executor", "to_thread", "call", "callback", "pool"}
)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_ENDS = frozenset({"join", "result", "get", "wait", "exception", "run_until_complete"})
_WAITING = frozenset({"map", "starmap", "apply"})
"""Methods of `multiprocessing.pool.ThreadPool` that return when the work is done."""
Loop = ast.For | ast.AsyncFor | ast.While | ast.ListComp | ast.SetComp | ast.DictComp


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the functions that run elsewhere and read a variable of the loop they are made in."""
    for spawn in file.spawns:
        closure = _closure(spawn)
        if closure is None or isinstance(spawn.node, ast.ClassDef) or not _is_later(spawn):
            continue
        loops = _loops_around(closure, spawn.node)
        ends = (at for at, loop in enumerate(loops) if _ends_in_round(file, spawn, loop))
        loops = loops[: next(ends, len(loops))]
        names = [
            name
            for name in _captured(closure)
            if any(_is_of_round(name, loop, closure) for loop in loops)
        ]
        if names:
            yield _finding(file, closure, names)


def _is_later(spawn: Spawn) -> bool:
    """Return whether a closure may run after the round that makes it, also by a helper that hands
    it to a thread or a timer.
    """
    if spawn.kind == "handed" and spawn.through is not None:
        return spawn.through.kind in _KINDS
    return spawn.kind in _KINDS


def _closure(spawn: Spawn) -> FunctionNode | None:
    """Return the lambda or nested def that is handed over."""
    if isinstance(spawn.target_node, ast.Lambda):
        return spawn.target_node
    if isinstance(spawn.target_node, ast.Name) and spawn.target is not None:
        found = spawn.target.node
        return found if getattr(found, "name", "") == spawn.target_node.id else None
    return None


def _loops_around(closure: FunctionNode, call: ast.AST) -> list[ast.AST]:
    """Return the loops whose rounds make both the closure and its thread, innermost first."""
    around = set(map(id, ancestors(call)))
    found = []
    below: ast.AST = closure
    for above in ancestors(closure):
        if isinstance(above, FunctionNode):
            break
        in_body = isinstance(above, _LOOPS) and below in above.body
        if id(above) in around and (in_body or isinstance(above, COMPREHENSIONS)):
            found.append(above)
        below = above
    return found


def _ends_in_round(file: PythonFile, spawn: Spawn, loop: ast.AST) -> bool:
    """Return whether the function has run when the next round begins."""
    assert isinstance(spawn.node, ast.Call)
    if isinstance(file.parent(spawn.node), ast.Await):
        return True
    if spawn.kind == "pool" and getattr(spawn.node.func, "attr", "") in _WAITING:
        return True
    for above in ancestors(spawn.node):
        if above is loop:
            break
        if isinstance(above, ast.With | ast.AsyncWith) and spawn.kind in {"submit", "pool"}:
            return True
        if isinstance(above, ast.Attribute) and above.attr in _ENDS:
            return True
    if isinstance(loop, COMPREHENSIONS):
        return False
    statement = file.statement(spawn.node)
    following = block_of(statement)[block_of(statement).index(statement) + 1 :]
    if always_leaves(following) and not any(isinstance(s, ast.Continue) for s in following):
        return True
    here = file.function_node(spawn.node)
    waits = [call for call, _ in method_calls(file, *_ENDS) if not _is_of_strings(call)]
    return any(file.function_node(w) is here and loop in ancestors(w) for w in waits)


def _is_of_strings(call: ast.Call) -> bool:
    """Return whether a `join` or `get` is one of strings or dicts: it has arguments, and `join`
    another one than a number of seconds.
    """
    func, given = call.func, call.args[0] if call.args else None
    if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Constant):
        return True
    name = getattr(func, "attr", "")
    is_time = isinstance(given, ast.Constant) and isinstance(given.value, int | float)
    return given is not None and (name == "get" or (name == "join" and not is_time))


def _captured(closure: FunctionNode) -> list[Binding]:
    """Return the variables of functions around that a closure reads and does not set."""
    body = closure.body if isinstance(closure.body, list) else [closure.body]
    found: dict[str, Binding] = {}
    for node in (n for part in body for n in ast.walk(part)):
        if isinstance(node, ast.Name):
            binding = resolve(node)
            if binding is not None and not _is_inside(binding.scope.node, closure):
                if any(_is_inside(site.node, closure) for site in binding.sites):
                    continue  # nonlocal: shared on purpose
                found.setdefault(node.id, binding)
    return list(found.values())


def _is_inside(node: ast.AST, closure: FunctionNode) -> bool:
    return node is closure or closure in ancestors(node)


def _is_of_round(binding: Binding, loop: ast.AST, closure: FunctionNode) -> bool:
    """Return whether each round gives a variable another value, before the closure is made."""
    if binding.scope is not scope_of(closure):
        return False
    if any(site.kind in {"def", "class", "import", "augment"} for site in binding.sites):
        return False
    start = (closure.lineno, closure.col_offset)
    # What the loop itself sets has nothing to do with a later loop's variable of that name.
    own = isinstance(loop, ast.For | ast.AsyncFor) and any(
        loop.target in (site.node, *ancestors(site.node)) for site in binding.sites
    )
    for site in binding.sites:
        if loop not in (site.node, *ancestors(site.node)):
            if own:
                continue
            return False
        if not isinstance(loop, COMPREHENSIONS) and _position(site.node) > start:
            return False
    return bool(binding.sites)


def _position(node: ast.AST) -> tuple[int, int]:
    return (getattr(node, "lineno", 0), getattr(node, "col_offset", 0))


def _finding(file: PythonFile, closure: FunctionNode, bindings: list[Binding]) -> Finding:
    names = [binding.name for binding in bindings]
    start, end = file.span(closure)
    is_lambda = isinstance(closure, ast.Lambda)
    what = "the lambda" if is_lambda else f"{getattr(closure, 'name', '')}"
    if not is_lambda:
        end = file.data.find(b"\n", start) if b"\n" in file.data[start:end] else end
    said = f"{what} reads {' and '.join(names)} when it runs, after the loop has gone on"
    edit = _edit(file, closure, names)
    if edit is None:
        return Finding(file.path, start, end, said, reason="its parameters leave no room")
    title = f"Bind {' and '.join(names)} when {what} is made"
    if is_lambda:
        return Finding(file.path, start, end, said, fixes=(Fix(title, (edit,)),))
    reason = f"{what} gets a parameter"
    return Finding(file.path, start, end, said, fixes=(Fix(title, (edit,), Safety.UNSAFE, reason),))


def _edit(file: PythonFile, closure: FunctionNode, names: list[str]) -> Edit | None:
    """Return the edit that adds `name=name` to the parameters."""
    new = ", ".join(f"{name}={name}" for name in names)
    arguments = closure.args
    if arguments.kwarg is not None:
        return None
    parts: list[ast.AST] = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    parts += [*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)]
    if arguments.vararg is not None:
        parts.append(arguments.vararg)
    if not parts:
        at = file.span(closure)[0]
        if isinstance(closure, ast.Lambda):
            return Edit(file.path, at + len("lambda"), at + len("lambda"), file.encode(f" {new}"))
        at = file.data.index(b"(", at) + 1
        return Edit(file.path, at, at, file.encode(new))
    last = max(parts, key=lambda part: file.span(part)[1])
    start, end = file.span(last)
    if file.data[:start].rstrip().endswith(b"("):
        return None if last in arguments.defaults else _after(file, end, new)
    return _after(file, end, new)


def _after(file: PythonFile, end: int, new: str) -> Edit:
    return Edit(file.path, end, end, file.encode(f", {new}"))
