"""Producers of another file, and helpers that join them or empty their queue."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.model import Edit
from threadmend.python import api
from threadmend.python.arguments import argument
from threadmend.python.builders import (
    BuilderError,
    delete,
    free_name,
    insert_after,
    is_alone,
    replace_statement,
)
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, is_text, leaves, walk
from threadmend.python.functions import CallSite, Function
from threadmend.python.queues import QueueUse
from threadmend.python.threads import Spawn, reached
from threadmend.python.uses import is_self

__all__ = [
    "Tail",
    "as_written",
    "moved",
    "producer",
    "puts_elsewhere",
    "puts_of_its_own",
    "tail_of",
    "takes_in",
]


_ALL_AT_ONCE = frozenset({"dict", "extend", "frozenset", "join", "list", "max", "min", "set",
                          "sorted", "sum", "tuple", "update"})  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """What a helper does from the join on (`rest`), or the call of one that does nothing else, and
    the statements behind its only call (`call`) that take from the queue.
    """

    helper: Function
    rest: list[ast.stmt]
    call: ast.stmt
    takes: list[ast.stmt]


def producer(file: PythonFile, node: ast.expr) -> Spawn | None:
    """Return the thread of a class of another file that an expression certainly is."""
    value = file.value(node)
    cls = None if value is None else value.cls
    if value is None or cls is None or cls.file is file or not isinstance(value.made, ast.Call):
        return None
    run = cls.method("run") if cls.inherits(*api.THREADS) else None
    if run is None or value.file is not file:
        return None
    return Spawn("thread", value.made, None, run, tuple(value.made.args), file)


def puts_elsewhere(file: PythonFile, use: QueueUse, spawn: Spawn) -> list[ast.Call]:
    """Return the calls of put of a thread that keeps the queue which it was made with, or of a
    function of another file that gets it.
    """
    if spawn.target is not None and spawn.target.file is not file:
        names = spawn.target.parameters[1:] if spawn.target.self_name else spawn.target.parameters
        given = zip(names, spawn.args or (), strict=False)
        own = [name for name, node in given if file.place(node) == use.place]
        found = [put for name in own for put in _puts_into(spawn.target, name, 0)]
        if found:
            return found
    cls = None if spawn.target is None else spawn.target.home
    init = None if cls is None else cls.method("__init__")
    if cls is None or init is None or spawn.target is None or cls.file is file:
        return []
    names = [
        name
        for at, name in enumerate(init.parameters[1:])
        if isinstance(spawn.node, ast.Call)
        and file.place(argument(spawn.node, at, name)) == use.place
    ]
    kept = {
        one.name
        for one in cls.uses
        if one.mode == "write"
        and any(isinstance(v, ast.Name) and v.id in names for _, v in cls.values_of(one.name))
    }
    return [
        call
        for function in reached(spawn.target)
        for call in function.calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr == "put"
        and isinstance(call.func.value, ast.Attribute)
        and call.func.value.attr in kept
    ]


def _puts_into(function: Function, name: str, depth: int) -> Iterator[ast.Call]:
    """Yield the calls by which a function, or one that it calls, puts into a parameter."""
    binding = function.scope.bindings.get(name)
    if binding is None or [site.kind for site in binding.sites] != ["parameter"] or depth > 3:
        return
    for use in function.file.uses(binding):
        above = function.file.parent(use)
        call = above if isinstance(above, ast.Call) else function.file.parent(above or use)
        if isinstance(above, ast.Attribute) and isinstance(call, ast.Call):
            if above.attr == "put" and call.func is above:
                yield call
        elif isinstance(call, ast.Call):
            callee = function.callees.get(call)
            names = [] if callee is None else callee.parameters[callee.self_name is not None :]
            for at, inner in enumerate(names):
                if callee is not None and argument(call, at, inner) is use:
                    yield from _puts_into(callee, inner, depth + 1)


def puts_of_its_own(
    file: PythonFile, use: QueueUse, spawn: Spawn, thread: ast.expr
) -> list[ast.Call]:
    """Return the calls of put of a thread into a queue that it has made: `reader.rows`."""
    place = file.place(thread)
    if place is None or use.place.kind != "attribute" or use.place.base != "/".join(place):
        return []
    target, name = spawn.target, use.place.name
    cls = None if target is None else target.home
    if cls is None or target is None or cls.declarer(name).qualified != use.place.owner:
        return []
    return [
        call
        for function in reached(target)
        for call in function.calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr == "put"
        and isinstance(call.func.value, ast.Attribute)
        and call.func.value.attr == name
        and is_self(function.file, call.func.value.value)
    ]


def takes_in(
    use: QueueUse, file: PythonFile, function: Function, spawn: Spawn | None = None
) -> list[ast.Call] | None:
    """Return the calls of a function that take from the queue, themselves or by a helper that
    nobody else calls; None when somebody else takes as well. Others may call a public helper, but
    not while the thread of a `spawn` runs that the function itself starts and waits for.
    """
    is_whole = spawn is not None and file.function(spawn.node) is function
    found = []
    for get in use.gets:
        taker = file.function(get)
        if taker is not function:
            sites = [] if taker is None else _callers_with(use, file, taker, get)
            if taker is None or len(sites) != 1 or not taker.is_only_called:
                return None
            if sites[0].caller is not function or not (taker.is_private or is_whole):
                return None
            get = sites[0].call
            if taker.is_generator and not _is_used_up(file, get):
                return None
        found.append(get)
    return found


def _is_used_up(file: PythonFile, call: ast.AST) -> bool:
    """Return whether a generator is gone through where it is called, not handed on as it is."""
    above = file.parent(call)
    if isinstance(above, ast.comprehension):
        whole = file.parent(above)
        is_lazy = isinstance(whole, ast.GeneratorExp)
        return not is_lazy or (whole is not None and _is_used_up(file, whole))
    if isinstance(above, ast.Call) and call in above.args:
        name = above.func.attr if isinstance(above.func, ast.Attribute) else ""
        return name in _ALL_AT_ONCE or file.qualified(above.func) in _ALL_AT_ONCE
    return isinstance(above, ast.For | ast.Starred)


def _callers_with(
    use: QueueUse, file: PythonFile, taker: Function, get: ast.Call
) -> list[CallSite]:
    """Return the calls of a helper that takes from a queue: those that hand it this one, where it
    takes from what it is given.
    """
    node = get.func.value if isinstance(get.func, ast.Attribute) else None
    binding = file.binding(node)
    names = taker.parameters[1:] if taker.self_name else taker.parameters
    if binding is None or binding.scope is not taker.scope or binding.name not in names:
        return taker.callers
    at = names.index(binding.name)
    given = [(site, argument(site.call, at, binding.name)) for site in taker.callers]
    return [site for site, one in given if one is None or file.place(one) == use.place]


def tail_of(file: PythonFile, use: QueueUse, top: ast.stmt, helper: Function) -> Tail | None:
    """Return what a helper does from its join on, when its only caller takes behind the call."""
    if top not in helper.body or not helper.is_private or len(helper.callers) != 1:
        return None
    call, caller, _ = helper.callers[0]
    statement = file.parent(call)
    if caller is None or not helper.is_only_called or not isinstance(statement, ast.Expr):
        return None
    gets = takes_in(use, file, caller)
    first = next(s for s in helper.body if not is_text(s))
    if not gets or caller.self_name != helper.self_name:
        return None
    takes = [s for s in after(statement) if any(get in walk(s) for get in gets)]
    if len([get for get in gets if any(get in walk(s) for s in takes)]) != len(gets):
        return None
    if first is top:
        return _whole(helper, statement, takes)
    return Tail(helper, helper.body[helper.body.index(top) :], statement, takes)


def _whole(helper: Function, statement: ast.Expr, takes: list[ast.stmt]) -> Tail | None:
    """Return the call of a helper that does nothing but join, as what comes too early."""
    call = statement.value
    if not takes or not isinstance(call, ast.Call) or call.args or call.keywords:
        return None
    between = after(statement)
    alone = len([s for s in helper.body if not is_text(s)]) == 1
    if not alone or leaves(between[: between.index(takes[-1])]):
        return None
    return Tail(helper, [statement], statement, takes)


def moved(file: PythonFile, tail: Tail) -> tuple[Edit, ...]:
    """Return the edits that do the end of the helper behind what takes from the queue."""
    if not all(is_alone(file, s) for s in (*tail.rest, tail.call, tail.takes[-1])):
        raise BuilderError("the statement shares its line with another one")
    for node in walk(tail.rest):
        binding = file.binding(node)
        local = binding is not None and binding.scope is tail.helper.scope
        if isinstance(node, ast.Return | ast.Yield | ast.YieldFrom | ast.Await):
            raise BuilderError("the helper returns something")
        if local and isinstance(node, ast.Name) and node.id != tail.helper.self_name:
            raise BuilderError("what follows the join needs a variable of the helper")
    text = as_written(file, tail.rest)
    gone = [edit for s in tail.rest for edit in delete(file, s, comments=False)]
    last = tail.takes[-1]
    if isinstance(last, ast.Return) and last.value is not None:
        name = free_name(file, "result", last)
        whole = f"{name} = {file.text(last.value)}\n{text}\nreturn {name}"
        return (*gone, *replace_statement(file, last, whole))
    if any(isinstance(node, ast.Return) for node in walk(last)):
        raise BuilderError("the code that empties the queue returns")
    return (*gone, *insert_after(file, last, text))


def as_written(file: PythonFile, block: list[ast.stmt]) -> str:
    """Return whole statements as they are written, without their indentation."""
    start = file.tree.starts[block[0].lineno - 1]
    text = file.data[start : file.span(block[-1])[1]].decode(file.tree.encoding)
    if "\t" in text or '"""' in text or "'''" in text:
        raise BuilderError("tabs and long strings are not moved")
    return textwrap.dedent(text).replace("\r\n", "\n")
