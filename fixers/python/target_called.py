"""Hand over the function, not its result

`Thread(target=work())` runs `work` at once, in the thread that makes the new one, and then
starts a thread that has nothing to do. Nothing fails: the program is only as slow as without
threads, or the window stands still while it "loads in the background".

Not reported: calls that make the function (a closure, `partial`, a lambda, a method that
returns one); callables whose source is not in the project, but for `serve_forever` and
`run_forever`; a coroutine handed to a function
that takes one.

Unsafe: where the function may return something, since the caller could expect a callable from
it in a way that cannot be seen here; where its arguments are more than plain names and
constants, since they are then worked out later.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python.annotations import is_data
from threadmend.python.arguments import given_to, keyword
from threadmend.python.file import PythonFile
from threadmend.python.flow import is_none
from threadmend.python.functions import Function, function_of
from threadmend.python.threads import Spawn

CATEGORY = "thread"
GATE = (
    rb"(?:target|function|func|fn)\s*=|\.submit\(|run_in_executor\(|to_thread\(|Timer\b|\(\s*None,"
    rb"|(?:spawn|thread|start|launch|background)\w*\([\w.]+\("
)

_DATA = (ast.Constant, ast.JoinedStr, ast.Compare, ast.List, ast.Dict, ast.Set, ast.Tuple,
         ast.BinOp, ast.ListComp, ast.DictComp, ast.SetComp)  # fmt: skip
"""Results that nobody can call."""
_MAKERS = frozenset(
    {
        "abs", "all", "any", "bool", "bytes", "dict", "float", "frozenset", "int", "len", "list",
        "repr", "round", "set", "sorted", "str", "sum", "tuple",
    }
)  # fmt: skip
"""Builtins whose results nobody can call. A sum of numbers is one, whatever they are."""
_PLAIN = frozenset({"staticmethod", "classmethod", "functools.cache", "functools.lru_cache"})
"""Decorators that leave what a function returns as it is."""
_ENDLESS = frozenset({"run_forever", "serve_forever", "mainloop"})
_KINDS = frozenset({"thread", "timer", "process", "submit", "executor", "to_thread"})


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the threads and jobs whose target has already run when they are made."""
    for spawn in file.spawns:
        call = spawn.target_node
        if not isinstance(call, ast.Call) or not (_is_direct(spawn) or _is_helped(spawn)):
            continue
        function = function_of(file, call.func)
        if function is None and _is_endless(call):
            yield _endless(file, spawn, call)
            continue
        if function is None or isinstance(function.node, ast.Lambda) or _is_class(file, call.func):
            continue
        if function.is_async or function.is_generator or not _PLAIN.issuperset(function.decorators):
            continue
        if _may_return_callable(function):
            continue
        yield _finding(file, spawn, call, function)


def _is_direct(spawn: Spawn) -> bool:
    return spawn.kind in _KINDS and spawn.through is None


def _is_helped(spawn: Spawn) -> bool:
    """Return whether a helper of the project runs what it gets: `self._spawn(work())`."""
    inner = spawn.through
    return inner is not None and (spawn.kind == "handed" or spawn.begun or inner.kind == "run")


def _is_endless(call: ast.Call) -> bool:
    """Return whether a call of something that is not seen here never comes to return a function."""
    return isinstance(call.func, ast.Attribute) and call.func.attr in _ENDLESS


def _endless(file: PythonFile, spawn: Spawn, call: ast.Call) -> Finding:
    return _handed_over(file, spawn, call, "and does not return")


def _is_class(file: PythonFile, node: ast.expr) -> bool:
    value = file.value(node)
    return value is not None and value.is_class


def _may_return_callable(function: Function) -> bool:
    """Return whether a result of the function may be something to call: its annotation or all of
    its results say otherwise.
    """
    if is_data(function.file, getattr(function.node, "returns", None)):
        return False
    return not all(_is_data(function.file, value) for value in _results(function))


def _is_data(file: PythonFile, value: ast.expr) -> bool:
    """Return whether an expression is certainly nothing to call: also what a builtin makes."""
    if isinstance(value, ast.Call):
        return file.qualified(value.func) in _MAKERS
    if isinstance(value, ast.BoolOp):
        return all(_is_data(file, one) for one in value.values)
    if isinstance(value, ast.IfExp):
        return _is_data(file, value.body) and _is_data(file, value.orelse)
    return isinstance(value, _DATA) or (
        isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not)
    )


def _results(function: Function) -> list[ast.expr]:
    """Return the values that the function returns, None left out."""
    values = [found.value for found in function.returns() if found.value is not None]
    return [v for v in values if not is_none(v)]


def _finding(file: PythonFile, spawn: Spawn, call: ast.Call, function: Function) -> Finding:
    reason = ""
    if _results(function):
        reason = f"{file.text(call.func)} returns a value, which is no longer used here"
    elif not all(isinstance(a, ast.Name | ast.Constant) for a in given_to(call)):
        reason = "its arguments are worked out all the same, but it runs later"
    return _handed_over(file, spawn, call, "which then has nothing to run", reason)


def _handed_over(
    file: PythonFile, spawn: Spawn, call: ast.Call, why: str, reason: str = ""
) -> Finding:
    """Return the finding of a call that should be the target; `reason`: why that is unsafe."""
    name = file.text(call.func)
    start, end = file.span(call)
    said = f"{name} runs here, before the {_what(spawn)} starts, {why}"
    edits = _edits(file, spawn, call)
    if edits is None:
        return Finding(file.path, start, end, said, reason="its arguments have to be handed over")
    safety = Safety.UNSAFE if reason else Safety.SAFE
    fix = Fix(f"Hand over {name} instead of calling it", edits, safety, reason)
    return Finding(file.path, start, end, said, fixes=(fix,))


def _what(spawn: Spawn) -> str:
    kind = spawn.through.kind if spawn.through is not None else spawn.kind
    return kind if kind in {"thread", "timer", "process"} else "job"


def _edits(file: PythonFile, spawn: Spawn, call: ast.Call) -> tuple[Edit, ...] | None:
    """Return the edits that hand over the function and its arguments apart; None if that
    would not be the same call.
    """
    name, node = file.text(call.func), spawn.node
    assert isinstance(node, ast.Call)
    start, end = file.span(call)
    if not call.args and not call.keywords:
        return (Edit(file.path, start, end, file.encode(name)),)
    if any(isinstance(a, ast.Starred) for a in call.args) or any(
        k.arg is None for k in call.keywords
    ):
        return None
    if b"#" in file.data[start:end]:
        return None
    args = [file.text(a) for a in call.args]
    named = [f"{k.arg}={file.text(k.value)}" for k in call.keywords]
    if spawn.kind in {"submit", "to_thread"}:
        if keyword(node, "fn") is not None or keyword(node, "func") is not None:
            return None
        return (Edit(file.path, start, end, file.encode(", ".join([name, *args, *named]))),)
    if spawn.kind == "executor":
        if named or keyword(node, "func") is not None:
            return None
        return (Edit(file.path, start, end, file.encode(", ".join([name, *args]))),)
    if _is_helped(spawn):
        return _beside(file, spawn, call)
    if spawn.args != () or len(node.args) > 3 or keyword(node, "args") or keyword(node, "kwargs"):
        return None
    given = []
    if args:
        given.append(f"args=({', '.join(args)}{',' if len(args) == 1 else ''})")
    if named:
        pairs = ", ".join(f'"{k.arg}": {file.text(k.value)}' for k in call.keywords)
        given.append(f"kwargs={{{pairs}}}")
    if call not in node.args or node.args[-1] is call:
        return (Edit(file.path, start, end, file.encode(", ".join([name, *given]))),)
    # Behind the other plain arguments, which none may follow that has a name.
    if any(isinstance(a, ast.Starred) for a in node.args):
        return None
    last = file.span(node.args[-1])[1]
    more = Edit(file.path, last, last, file.encode("".join(f", {one}" for one in given)))
    return (Edit(file.path, start, end, file.encode(name)), more)


def _beside(file: PythonFile, spawn: Spawn, call: ast.Call) -> tuple[Edit, ...] | None:
    """Return the edit of `self._spawn(work(item))`, where the helper hands on what it gets behind
    the function.
    """
    node, inner = spawn.node, spawn.through
    helper = None if inner is None else inner.file.function(inner.node)
    if helper is None or not isinstance(node, ast.Call) or call.keywords:
        return None
    names = helper.parameters[1:] if helper.self_name else helper.parameters
    rest = helper.node.args.vararg
    given = keyword(inner.node, "args") if inner and isinstance(inner.node, ast.Call) else None
    if not isinstance(given, ast.Name) or node.args != [call]:
        return None
    args = ", ".join(file.text(a) for a in call.args)
    if rest is not None and given.id == rest.arg and len(names) == 1:
        text = f"{file.text(call.func)}, {args}"
    elif given.id in names[1:] and keyword(node, given.id) is None:
        comma = "," if len(call.args) == 1 else ""
        text = f"{file.text(call.func)}, {given.id}=({args}{comma})"
    else:
        return None
    return (Edit(file.path, *file.span(call), file.encode(text)),)
