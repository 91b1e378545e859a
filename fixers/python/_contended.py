"""Data that several threads change: attributes, globals and captured names, with their uses."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Set
from functools import partial

from threadmend.python import api
from threadmend.python.circles import asked
from threadmend.python.classes import Class
from threadmend.python.decorated import is_put_off
from threadmend.python.file import PythonFile
from threadmend.python.functions import Function, attributes_of
from threadmend.python.implied import receiver_of, runs
from threadmend.python.locks import looks_like_lock
from threadmend.python.sharing import is_synchronized
from threadmend.python.threads import (
    Spawn,
    reached_outside,
    spawns_reaching,
    wrappers,
)
from threadmend.python.uses import is_self, use_mode

from ._alone import is_given_away, is_made_for
from ._captured import Running, captured, is_alone, is_begun_by
from ._data import Data, Use
from ._foreign import foreign_classes, foreign_names
from ._given import given, heard_abroad, reaching, run_abroad
from ._handed import argument_for, kept_functions
from ._listeners import listeners
from ._one_liners import lifted
from ._own_objects import is_fresh, is_own
from ._unthreaded import leave_out_other_roles, leave_out_set_up
from ._widgets import is_widget

__all__ = ["Running", "contended", "contended_by"]


def contended(file: PythonFile) -> list[Data]:
    """Return the data of a file that threads of the file change."""
    known: list[Data] | None = file.__dict__.get("_contended")
    if known is None:
        found = [*contended_by(file, reaching(file))] if spawns_reaching(file) else []
        found += filter(_is_raced, _parameters(file))
        known = file.__dict__["_contended"] = found
    return known


def contended_by(file: PythonFile, running: Running) -> list[Data]:
    """Return the attributes and variables of a file that threads change."""
    found = (*_attributes(file, running), *captured(file, running), *foreign_names(file, running))
    return [data for data in found if _is_raced(data)]


def _is_raced(data: Data) -> bool:
    """Return whether threads get into each other's way; coroutines take turns by themselves."""
    if any(use.changes and use.function.is_async for use in data.uses):
        return False
    return any(map(data.races, data.uses))


# -- attributes -----------------------------------------------------------------------------


def _attributes(file: PythonFile, running: Running) -> Iterator[Data]:
    named = {
        node.attr
        for function in running
        if function.file is file
        for node in function.own
        if isinstance(node, ast.Attribute)
    }
    for cls in (*file.classes, *foreign_classes(file, running)):
        if cls.inherits(*api.PER_THREAD):
            continue  # every thread has attributes of its own
        family = set(cls.mro)
        inside = {f for f in running if f.home in family}
        if not inside and named.isdisjoint(_names_of(cls)):
            continue
        others = _from_outside(file, cls)
        if not inside and not any(function in running for *_, function in others):
            continue
        by_class: dict[str, Data] = {}
        by_object: dict[str, Data] = {}
        outside = reached_outside(cls, running)
        quiet = {f for base in cls.mro for f in base.init_only}
        # What a base declares its objects share as well, which only this class tells.
        changed = {use.name for use in cls.uses if use.changes and use.function not in quiet}
        for name, node, owner, function, mode in [
            *_own_uses(cls),
            *((name, node, node.value, f, use_mode(node)) for name, node, f in others),
        ]:
            is_own = name in changed or cls.declarer(name) is cls
            if not is_own or function.file is not file or cls.method(name) is not None:
                continue
            whole = _is_class(file, owner)
            if (function in quiet and not whole) or is_synchronized(cls, name):
                continue
            if is_widget(cls, name):
                continue
            if whole and name not in cls.scope.bindings:
                continue
            known = by_class if whole else by_object
            home = None if cls.file is file else cls.file
            data = known.setdefault(name, Data(file, name, cls=cls, of_class=whole, home=home))
            spawns = running.get(function, [])
            threads: set[Spawn | None] = {
                s if whole else _one(cls, s)
                for s in spawns
                if whole or _is_shared_with(file, cls, s, owner, function)
            }
            if not whole:
                data.single |= {
                    s for s in spawns if _is_single(cls, s) or _is_given_new(owner, function, s)
                }
            somebody = function in outside or _is_handed_on(function)
            if not spawns and somebody and not _is_before_others(file, function, node):
                threads.add(None)
            data.uses.append(Use(node, mode, function, frozenset(threads)))
        yield from by_class.values()
        for data in by_object.values():
            leave_out_set_up(file, data)
            leave_out_other_roles(data)
            yield data


def _is_before_others(file: PythonFile, function: Function, node: ast.expr) -> bool:
    """Return whether no thread runs yet, or any more, when a function that none runs uses what
    they share: it starts or joins them.
    """
    return is_alone(file, function) or is_begun_by(file, function, node)


Named = tuple[str, ast.expr, ast.expr, Function, str]
"""The name of an attribute, where it is used, of which object, by whom and how."""


def _own_uses(cls: Class) -> Iterator[Named]:
    """Yield the uses of a class's attributes by its methods: calls of helpers that only make one
    beside it, in the place of it where it changes something.
    """
    for use in (use for base in cls.mro for use in base.uses):
        through = list(lifted(use))
        if not (through and use.changes):
            yield use.name, use.node, use.owner, use.function, use.mode
        for call, caller, mode in through:
            assert isinstance(call.func, ast.Attribute)
            yield use.name, call, call.func.value, caller, mode


def _is_handed_on(function: Function) -> bool:
    """Return whether nothing calls a private method by its name: a callback, or one that is
    looked up at run time.
    """
    return function.cls is not None and function.is_private and not function.callers


def _is_class(file: PythonFile, node: ast.expr) -> bool:
    value = file.value(node)
    return value is not None and value.is_class


def _names_of(cls: Class) -> set[str]:
    """Return the names of the attributes of a class and of its objects."""
    return {use.name for base in cls.mro for use in base.uses} | cls.scope.bindings.keys()


def _from_outside(file: PythonFile, cls: Class) -> list[tuple[str, ast.Attribute, Function]]:
    """Return the attributes of the class or its objects that are named without `self`."""
    names = _names_of(cls)
    seen = {use.source or use.node for base in cls.mro for use in base.uses}
    found = [
        (name, node, function)
        for name in attributes_of(file)
        if name in names
        for owner, node, function in _owned(file, name)
        if owner is cls and node not in seen
    ]
    return sorted(found, key=lambda one: (one[1].lineno, one[1].col_offset))


def _owned(file: PythonFile, name: str) -> list[tuple[Class, ast.Attribute, Function]]:
    """Return the attributes of a name that are of objects whose class is known, with it."""
    known: dict[str, list[tuple[Class, ast.Attribute, Function]]]
    known = file.__dict__.setdefault("_owned_attributes", {})
    if name not in known:
        found = known[name] = []
        for node in attributes_of(file)[name]:
            function = file.function(node)
            if function is not None and isinstance(node.value, ast.Name | ast.Attribute):
                owner = given(file, node.value)
                if owner is not None:
                    found.append((owner, node, function))
    return known[name]


def _one(cls: Class, spawn: Spawn) -> Spawn:
    """Return the spawn that stands for all `run` methods of an object: it has one thread, also
    where its class is one of several below `cls`, each in a file of its own.
    """
    if isinstance(spawn.node, ast.ClassDef) and _is_relative(cls, spawn):
        runs = (s for s in spawn.file.spawns if isinstance(s.node, ast.ClassDef))
        known: dict[Class, Spawn] = cls.file.__dict__.setdefault("_runs_of_classes", {})
        return known.setdefault(cls, next(s for s in runs if _is_relative(cls, s)))
    return spawn


def _is_relative(cls: Class, spawn: Spawn) -> bool:
    assert isinstance(spawn.node, ast.ClassDef)
    own = spawn.file.class_of(spawn.node)
    return cls in own.mro or own in cls.mro


def _is_shared_with(
    file: PythonFile, cls: Class, spawn: Spawn, owner: ast.expr, at: Function
) -> bool:
    """Return whether a thread gets to an object that others have as well: not one that it
    makes for itself, or that is made anew for it.
    """
    target = spawn.target
    if target is None:
        return False
    if not isinstance(owner, ast.Name) or not is_self(file, owner):
        return not is_own(file, owner, at, spawn) and not _is_part(spawn, at, owner)
    if target.home is not None and _are_kin(cls, target.home):
        if at not in _of_same(target):
            asked = [*_asked_of_others(cls, spawn)]
            if asked or target.outer is not None:
                return any(not is_own(f.file, n, f, spawn) for f, n in asked)
        if spawn.method_node is not None:
            return not _is_for(spawn, spawn.method_node.value)
        return spawn.kind != "handler"
    return bool(_calls(cls, spawn))


def _are_kin(cls: Class, other: Class) -> bool:
    """Return whether an object may be of two classes: one is a base of the other, or a class below
    is made of both.
    """
    if other in cls.mro or cls in other.mro:
        return True
    return any(other in heir.mro for heir in cls.heirs)


def _of_same(target: Function) -> Set[Function]:
    """Return what a nested function runs of the object whose method it is nested in, and not of
    other objects of the class.
    """
    known: dict[Function, Set[Function]]
    known = target.file.__dict__.setdefault("_of_same_object", {})
    if target not in known:
        found: dict[Function, None] = {}
        pending = [target]
        while pending:
            one = pending.pop()
            if one not in found:
                found[one] = None
                ran = [*one.callees.items(), *runs(one).items()]
                mine = [f for call, f in ran if not _is_others(one, call, f)]
                pending += [f for f in mine if not is_put_off(f)]
                pending += wrappers(one)
        known[target] = found.keys()
    return known[target]


def _is_others(function: Function, call: ast.expr, callee: Function) -> bool:
    """Return whether a call is of a method of another object than the function's own."""
    owner = receiver_of(call)
    if callee.cls is None or owner is None:
        return False
    return not is_self(function.file, owner) and not _is_super(owner)


def _is_super(node: ast.expr) -> bool:
    func = node.func if isinstance(node, ast.Call) else None
    return isinstance(func, ast.Name) and func.id == "super"


def _asked_of_others(cls: Class, spawn: Spawn) -> Iterator[tuple[Function, ast.expr]]:
    """Yield the objects of a class, not a thread's own, whose methods it calls, and where."""
    assert spawn.target is not None
    for function in _of_same(spawn.target):
        for call, callee in function.callees.items():
            if callee.home in cls.mro and _is_others(function, call, callee):
                assert isinstance(call.func, ast.Attribute)
                yield function, call.func.value


def _is_single(cls: Class, spawn: Spawn) -> bool:
    """Return whether every thread that a spawn starts has an object of its own: one that the
    thread's own object has made, or that is made to be handed to it.
    """
    calls = _calls(cls, spawn)
    return bool(calls) and all(
        _is_part(spawn, function, node)
        or _is_given_new(node, function, spawn)
        or _is_part_of_own(spawn, function, node)
        for function, node in calls
    )


def _is_part_of_own(spawn: Spawn, function: Function, node: ast.expr) -> bool:
    """Return whether an object is an attribute that another one has made for itself, of which each
    thread only uses such as it has alone: `self.reader` of a connection that it is handed.
    """
    home, own = function.home, None if spawn.target is None else spawn.target.home
    if home is None or (own is not None and home in own.mro):
        return False
    if not isinstance(node, ast.Attribute) or not is_self(function.file, node.value):
        return False
    values = home.values_of(node.attr)
    if not values or not all(isinstance(v, ast.Call) and f.function(v) for f, v in values):
        return False
    named = attributes_of(function.file).get(node.attr, ())
    if not all(is_self(function.file, one.value) for one in named):
        return False  # others get to it as well
    if not _calls(home, spawn):
        return True
    answer = partial(_is_single, home, spawn)
    return asked(spawn.file, "_single_owners", (home, spawn), False, answer)


def _is_given_new(owner: ast.expr, function: Function, spawn: Spawn) -> bool:
    """Return whether a thread uses an object that it is handed, and that each run of the function
    which starts it makes anew.
    """
    if spawn.target is not function or spawn.many or not isinstance(owner, ast.Name):
        return False
    given = argument_for(spawn, owner.id)
    binding = spawn.file.binding(given)
    if binding is None or len(binding.sites) != 1 or binding.scope.kind != "function":
        return False
    site = binding.sites[0]
    return site.kind == "assign" and isinstance(site.value, ast.Call)


def _is_part(spawn: Spawn, function: Function, node: ast.expr) -> bool:
    """Return whether an object is an attribute that the thread's own object made for itself."""
    if not isinstance(node, ast.Attribute) or not is_self(function.file, node.value):
        return False
    target = spawn.method_node
    if not isinstance(spawn.node, ast.ClassDef):
        if target is None:
            return False
        if _is_of_target(function, spawn) and _is_for(spawn, target.value):
            pass  # a thread, an object
        elif spawn.many or not is_self(spawn.file, target.value):
            return False
    values = [] if function.home is None else function.home.values_of(node.attr)
    made = [v for _, v in values if not isinstance(v, ast.Constant)]
    return bool(made) and all(isinstance(v, ast.Call) for v in made)


def _is_of_target(function: Function, spawn: Spawn) -> bool:
    """Return whether a function is a method of the object whose method the thread runs."""
    own = None if spawn.target is None else spawn.target.home
    return own is not None and function.home is not None and function.home in own.mro


def _is_for(spawn: Spawn, node: ast.expr) -> bool:
    """Return whether an object is made for a thread: right there, or to be nobody else's."""
    return is_fresh(spawn.file, node, spawn.node) or is_made_for(spawn, node)


def _calls(cls: Class, spawn: Spawn) -> list[tuple[Function, ast.expr]]:
    """Return the objects whose methods the threads of a spawn call, and where, unless they
    made them for themselves.
    """
    known: dict[tuple[Class, Spawn], list[tuple[Function, ast.expr]]]
    known = spawn.file.__dict__.setdefault("_calls_of_class", {})
    if (cls, spawn) not in known:
        known[cls, spawn] = list(_receivers(cls, spawn))
    return known[cls, spawn]


def _receivers(cls: Class, spawn: Spawn) -> Iterator[tuple[Function, ast.expr]]:
    running = [
        function
        for function, spawns in reaching(spawn.file).items()
        if spawn in spawns and function.file is spawn.file
    ]
    target = spawn.method_node
    if target is None or not _is_for(spawn, target.value):
        running += run_abroad(spawn)
    yield from ((f, n) for f, n, heard in heard_abroad(spawn) if heard.home in cls.mro)
    for function in running:
        if function.home in cls.mro:
            continue
        for call in function.calls:
            func = call.func
            if isinstance(func, ast.Name | ast.Subscript):
                heard = any(f.home in cls.mro for f in listeners(function.file, func))
                if heard and not function.file.held(call):
                    yield function, func
            if not isinstance(func, ast.Attribute):
                continue
            if any(f.home in cls.mro for f in kept_functions(function.file, func)):
                yield function, func
            if cls.method(func.attr) is None:
                continue
            owner = given(function.file, func.value)
            if owner is None or not (owner in cls.mro or cls in owner.mro):
                continue
            if not is_own(function.file, func.value, function, spawn):
                yield function, func.value


# -- parameters -----------------------------------------------------------------------------


def _parameters(file: PythonFile) -> Iterator[Data]:
    """Yield the containers that a thread's function gets handed, the same for all threads."""
    for spawn in file.spawns:
        target = spawn.target
        if not spawn.is_threaded or target is None or target.file is not file:
            continue
        for name in target.parameters:
            arg = argument_for(spawn, name)
            binding = target.scope.bindings.get(name)
            if not isinstance(arg, ast.Name) or binding is None or len(binding.sites) > 1:
                continue
            if is_given_away(spawn, arg):
                continue
            if not file.is_a(arg, api.COLLECTIONS) or is_fresh(file, arg, spawn.node):
                continue
            if any(looks_like_lock(other) for other in target.parameters):
                continue
            data = Data(file, name, binding=binding)
            threads: frozenset[Spawn | None] = frozenset({spawn})
            for node in file.uses(binding):
                function = file.function(node)
                if function is not None and not isinstance(node.ctx, ast.Param):
                    data.uses.append(Use(node, use_mode(node), function, threads))
            yield data
