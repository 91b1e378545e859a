"""What threads are given: the objects and functions behind parameters, and what runs by them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import partial

from threadmend.python import api
from threadmend.python.arguments import argument
from threadmend.python.circles import asked
from threadmend.python.classes import INITIALIZERS, Class
from threadmend.python.file import PythonFile
from threadmend.python.functions import Function
from threadmend.python.heircalls import by_super
from threadmend.python.offers import helped
from threadmend.python.project import PythonProject
from threadmend.python.threads import STARTS, Spawn, reached, spawns_reaching, wrappers
from threadmend.python.uses import is_self

from ._handed import asked_of, handed, kept_functions
from ._listeners import listeners

__all__ = ["abroad", "given", "heard_abroad", "in_threads", "reaching", "run_abroad"]

_MANY = 600
"""Files of a project, of which every process that is asked about one would read most."""


def given(file: PythonFile, node: ast.expr) -> Class | None:
    """Return the class of an object: by its constructor, by what spawns and constructor calls
    of the file hand in for a parameter.
    """
    # What objects hand each other in a circle is nothing that one knows.
    return asked(file, "_given_objects", node, None, partial(_given, file, node))


def _given(file: PythonFile, node: ast.expr) -> Class | None:
    value = file.value(node)
    if value is not None:
        return value.cls
    if isinstance(node, ast.Attribute):
        owner = file.value(node.value)
        if owner is None or owner.cls is None:
            return None
        found = {given(f, v) for f, v in owner.cls.values_of(node.attr) if v is not node}
        return found.pop() if len(found) == 1 else None
    binding = file.binding(node)
    if binding is None or len(binding.sites) != 1 or binding.sites[0].kind != "parameter":
        return None
    function = file.function(binding.scope.node)
    if function is None or is_self(file, node):
        return None
    values = [f.value(arg) for f, arg in handed(file, function, binding.name)]
    if all(value is None for value in values):
        return asked_of(file, binding)
    classes = {value.cls for value in values if value is not None and not value.is_class}
    return classes.pop() if len(classes) == 1 and None not in values else None


def _called(function: Function) -> Iterator[tuple[ast.expr, Function]]:
    """Yield the functions of the project that a function runs, and where: also methods of what
    it is given, and properties that it reads.
    """
    yield from function.callees.items()
    yield from _methods(function.file, function)


def _methods(file: PythonFile, function: Function) -> Iterator[tuple[ast.expr, Function]]:
    for call in function.calls:
        func = call.func
        made = file.value(func) if isinstance(func, ast.Name | ast.Attribute) else None
        if made is not None and made.is_class and made.cls is not None:
            maker = made.cls.method("__new__")
            if maker is not None:
                yield call, maker
        if call not in function.callees and isinstance(func, ast.Attribute):
            cls = given(file, func.value)
            method = None if cls is None else cls.method(func.attr)
            if method is not None:
                yield call, method
            for callback in kept_functions(file, func):
                yield call, callback
        elif call not in function.callees and isinstance(func, ast.Name | ast.Subscript):
            found = list(listeners(file, func))
            if found and not file.held(call):
                yield from ((call, listener) for listener in found)
    if b"@property" in file.data:
        for node in function.own:
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                cls = given(file, node.value) if isinstance(node.value, ast.Name) else None
                method = None if cls is None else cls.method(node.attr)
                if method is not None and "property" in method.decorators:
                    yield node, method


def reaching(file: PythonFile) -> dict[Function, list[Spawn]]:
    """Return what runs in other threads, and by which spawns: through given objects as well."""
    known: dict[Function, list[Spawn]] | None = file.__dict__.get("_reaching_given")
    if known is not None:
        return known
    known = {f: list(spawns) for f, spawns in spawns_reaching(file).items()}
    pending = list(known)
    while pending:
        function = pending.pop()
        if function.file is not file:
            continue
        for method in (*(m for _, m in _methods(file, function)), *_in_its_place(function)):
            for one in reached(method):
                before = known.setdefault(one, [])
                more = [s for s in known[function] if s not in before]
                # The thread of an object that is made with the function is one thread.
                more = [s for s in more if not any(other.through is s for other in before)]
                if more:
                    before += more
                    pending.append(one)
    file.__dict__["_reaching_given"] = known
    return known


def _in_its_place(function: Function) -> Iterator[Function]:
    """Yield the methods of subclasses that run where a method is called which they replace,
    unless it is called with a lock alone.
    """
    cls = function.cls
    if cls is None or function.name.startswith("__") or "property" in function.decorators:
        return
    sites = function.callers
    if sites and all(site.file.held(site.call) for site in sites):
        return
    yield from cls.overrides(function.name)


def abroad(project: PythonProject) -> dict[PythonFile, dict[Function, list[Spawn]]]:
    """Return by file what threads of other files run there: what those call themselves, and
    what that calls in its own file. A longer way leads through too much that is not seen.
    """
    known: dict[PythonFile, dict[Function, list[Spawn]]] | None
    known = project.__dict__.get("_abroad")
    if known is None:
        known = project.__dict__["_abroad"] = _abroad(project)
    return known


def _abroad(project: PythonProject) -> dict[PythonFile, dict[Function, list[Spawn]]]:
    found: dict[PythonFile, dict[Function, list[Spawn]]] = {}
    for file in dict.fromkeys((*project.files(STARTS, tests=False), *helped(project))):
        for spawn in file.spawns:
            target = spawn.target
            if spawn.is_threaded and target is not None and target.file is not file:
                _note(found, target, [spawn])
                _note_further(found, target, spawn)
        for function, spawns in reaching(file).items():
            if function.file is not file and function.outer is not None:
                _note_wrapper(found, function, spawns)
            if function.file is file:
                for node, callee in _called(function):
                    if callee.file is file or file.held(node):
                        continue
                    if not is_from_queue(file, _receiver(node)):
                        _note(found, callee, spawns)
                        _note_listeners(found, callee, spawns)
                for method in _in_its_place(function):
                    if method.file is not file:
                        _note(found, method, spawns)
    return found


def _note_listeners(
    found: dict[PythonFile, dict[Function, list[Spawn]]], callee: Function, spawns: list[Spawn]
) -> None:
    """Note the listeners of any file that an object of another one than the thread's calls."""
    for function in _at_others(callee) if callee.name not in INITIALIZERS else ():
        file = function.file
        for call in function.calls if file is callee.file else ():
            if isinstance(call.func, ast.Name | ast.Subscript) and not file.held(call):
                for listener in listeners(file, call.func):
                    if all(spawn.file is not listener.file for spawn in spawns):
                        _note(found, listener, spawns)
                        _note_heard(spawns, (function, call.func, listener))


def _note_wrapper(
    found: dict[PythonFile, dict[Function, list[Spawn]]], wrapper: Function, spawns: list[Spawn]
) -> None:
    """Note what a decorator of another file does around a function that threads call, with what it
    was made with: `watch.charge(started)` of `@timed(watch)`.
    """
    file = wrapper.file
    for node, callee in _called(wrapper):
        owner = _receiver(node)
        if callee.file is file and callee.cls is not None and owner is not None:
            binding = file.binding(owner)
            if file.held(node) or binding is None or binding.scope is wrapper.scope:
                continue  # of the call alone
            _note(found, callee, spawns)
            _note_heard(spawns, (wrapper, owner, callee))


def _note_heard(spawns: list[Spawn], heard: tuple[Function, ast.expr, Function]) -> None:
    known = heard[0].file.project.__dict__.setdefault("_heard_abroad", {})
    for spawn in spawns:
        known.setdefault(spawn, []).append(heard)


def heard_abroad(spawn: Spawn) -> list[tuple[Function, ast.expr, Function]]:
    """Return the listeners that threads get to through objects of other files, and the methods
    through decorators: who calls them, by which expression.
    """
    known: dict[Spawn, list[tuple[Function, ast.expr, Function]]]
    known = spawn.file.project.__dict__.get("_heard_abroad", {})
    return known.get(spawn, [])


def _note_further(
    found: dict[PythonFile, dict[Function, list[Spawn]]], target: Function, spawn: Spawn
) -> None:
    """Note what the target of a thread, a function of another file, calls in a third one."""
    file = target.file
    for function in _at_others(target):
        for node, callee in _called(function) if function.file is file else ():
            if callee.file is file or callee.file is spawn.file or file.held(node):
                continue
            if not is_from_queue(file, _receiver(node)):
                _note(found, callee, [spawn])


def _receiver(node: ast.expr) -> ast.expr | None:
    """Return the object of a call of a method, or of a property."""
    func = node.func if isinstance(node, ast.Call) else node
    return func.value if isinstance(func, ast.Attribute) else None


def is_from_queue(file: PythonFile, node: ast.expr | None, depth: int = 3) -> bool:
    """Return whether an object has come out of a queue: one thread at a time has it."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in _GETS and file.is_a(node.func.value, api.QUEUES)
    binding = file.binding(node)
    if binding is None or len(binding.sites) != 1 or depth == 0:
        return False
    site = binding.sites[0]
    if site.kind != "parameter":
        return is_from_queue(file, site.value, depth - 1)
    function = file.function(binding.scope.node)
    given = [] if function is None else list(_arguments(function, binding.name))
    return bool(given) and all(is_from_queue(file, value, depth - 1) for value in given)


_GETS = frozenset({"get", "get_nowait"})


def _arguments(function: Function, name: str) -> Iterator[ast.expr | None]:
    """Yield what the calls of its file pass for a parameter of a function."""
    at = function.parameters.index(name) if name in function.parameters else -1
    at -= function.self_name is not None
    for site in function.callers if at >= 0 else ():
        starred = (a.value for a in site.call.args[: at + 1] if isinstance(a, ast.Starred))
        yield next(starred, None) or argument(site.call, at, name)


def _note(
    found: dict[PythonFile, dict[Function, list[Spawn]]], entry: Function, spawns: list[Spawn]
) -> None:
    inherited = _inherited(entry)
    for function in _at_others(entry):
        abroad = function.file is not entry.file
        if abroad and (function not in inherited or any(s.file is function.file for s in spawns)):
            continue
        known = found.setdefault(function.file, {}).setdefault(function, [])
        known += [s for s in spawns if s not in known]


def _inherited(entry: Function) -> set[Function]:
    """Return the methods that a method runs of its own object: also those of bases and mixins,
    which may stand in any file.
    """
    found = {entry}
    pending = [entry]
    while pending:
        one = pending.pop()
        for call, callee in one.callees.items():
            func = call.func
            own = isinstance(func, ast.Attribute) and (
                is_self(one.file, func.value) or by_super(func)
            )
            if own and callee.cls is not None and callee not in found:
                found.add(callee)
                pending.append(callee)
    return found


def _at_others(entry: Function) -> list[Function]:
    """Return what a function certainly runs, but for what an initializer calls of the object that
    it makes: nobody else has that yet.
    """
    found: dict[Function, None] = {}
    pending = [entry]
    while pending:
        one = pending.pop()
        if one in found:
            continue
        found[one] = None
        made = one.home if one.name in INITIALIZERS else None
        callees = [*one.callees.values(), *wrappers(one)]
        pending += [f for f in callees if made is None or f.home not in made.mro]
    return list(found)


def run_abroad(spawn: Spawn) -> Iterator[Function]:
    """Yield what a thread runs in the file of its target, which is another one than that which
    starts it.
    """
    if spawn.target is not None and spawn.target.file is not spawn.file:
        yield from (f for f in _at_others(spawn.target) if f.file is spawn.target.file)


def in_threads(file: PythonFile, *, of_many: bool = False) -> dict[Function, list[Spawn]]:
    """Return what of a file runs in other threads, those that other files start included.

    For one file alone, the files of a large project are not all asked (`of_many`: they are).
    """
    found = {function: list(spawns) for function, spawns in reaching(file).items()}
    if len(file.project.paths) > _MANY and not of_many:
        return found
    for function, spawns in abroad(file.project).get(file, {}).items():
        known = found.setdefault(function, [])
        known += [s for s in spawns if not any(s is other.through for other in known)]
    return found
