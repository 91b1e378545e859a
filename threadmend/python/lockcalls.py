"""Calls by which a lock is taken or given back without being named: helpers of the project, and
what an ExitStack enters.

    self._begin()                           with ExitStack() as stack:
    self._rows.clear()                          stack.enter_context(self._lock)
    self._end()                                 self._rows.clear()
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from threadmend.python import api
from threadmend.python.arguments import argument
from threadmend.python.bound import bound_calls
from threadmend.python.flow import after
from threadmend.python.functions import Function, function_of
from threadmend.python.implied import is_own, receiver_of, seen_of, text_at
from threadmend.python.locks import Lock, Section, lock_of, receiver
from threadmend.python.places import Place
from threadmend.python.scope import ancestors, parent

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile
    from threadmend.python.project import PythonProject

__all__ = [
    "LockCall",
    "entered_lock",
    "helped_sections",
    "helpers_of",
    "lock_calls",
    "nested_entries",
    "slot_calls",
    "stacked_sections",
]

_MANY = 60
"""Files of a project: of a larger one each process would read most for a few helpers."""

_BY_HAND = re.compile(rb"\.(?:acquire|release)\(")
_KEPT = re.compile(rb"= *[\w.]+\.(?:acquire|release) *(?:#.*)?$", re.M)
_PLAIN = frozenset({"acquire", "release"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_STACKS = frozenset({"contextlib.ExitStack", "contextlib.AsyncExitStack"})


@dataclass(frozen=True, slots=True, eq=False)
class LockCall:
    """The call of a helper that takes a lock and leaves it taken, or gives it back.

    `lock` is the lock, or the semaphore, and `text` how it is written, both as who calls the
    helper sees them.
    """

    call: ast.Call
    lock: Lock
    text: str
    takes: bool


def lock_calls(file: PythonFile) -> list[LockCall]:
    """Return the calls of such helpers in a file, of those for locks."""
    return [one for one in _all_calls(file) if one.lock.type in api.LOCKS]


def slot_calls(file: PythonFile) -> list[LockCall]:
    """Return the calls of such helpers for semaphores."""
    return [one for one in _all_calls(file) if one.lock.type in api.SEMAPHORES]


def _all_calls(file: PythonFile) -> list[LockCall]:
    known: list[LockCall] | None = file.__dict__.get("_lock_calls")
    if known is None:
        file.__dict__["_lock_calls"] = []  # what a helper holds is asked for meanwhile
        found = [*_lock_calls(file), *_bound(file)]
        known = file.__dict__["_lock_calls"] = found + list(_through_helpers(file, found))
    return known


def _lock_calls(file: PythonFile) -> Iterator[LockCall]:
    own = helpers_of(file)
    helpers = {function.name: None for function in own}
    foreign = _foreign(file.project)
    helpers |= {name: None for name in foreign if file.encode(name) in file.data}
    for call in file.calls(*helpers) if helpers else ():
        callee = function_of(file, call.func)
        if callee is None:
            continue
        found = own.get(callee) or (helpers_of(callee.file).get(callee) if foreign else None)
        seen = None if found is None else _seen(file, call, callee, receiver(found))
        if found is not None and seen is not None:
            takes = getattr(found.func, "attr", "") == "acquire"
            yield LockCall(call, *seen, takes)


def _bound(file: PythonFile) -> Iterator[LockCall]:
    """Yield the calls of a lock's method under another name: `take = self._lock.acquire`."""
    for call, kept in bound_calls(file, "acquire", "release") if _KEPT.search(file.data) else ():
        lock = _lock_of(file, kept.value)
        if lock is not None and not (call.args or call.keywords):
            yield LockCall(call, lock, file.text(kept.value), kept.attr == "acquire")


def _through_helpers(file: PythonFile, inner: list[LockCall]) -> Iterator[LockCall]:
    """Yield the calls of functions that do one thing to a lock by calling a helper."""
    by_function: dict[Function, list[LockCall]] = {}
    for one in inner:
        function = file.function(one.call)
        if function is not None:
            by_function.setdefault(function, []).append(one)
    for function, some in by_function.items():
        plain = any(getattr(c.func, "attr", "") in _PLAIN for c in function.calls)
        if not plain and _is_helper(function, [one.call for one in some]):
            for site in function.callers:
                seen = _seen_again(file, site.call, function, some[0])
                if seen is not None:
                    yield seen


def _seen_again(
    file: PythonFile, call: ast.Call, callee: Function, inner: LockCall
) -> LockCall | None:
    """Return what a function's call of a helper does as who calls the function sees it."""
    root, _, rest = inner.text.partition(".")
    names = callee.parameters[1:] if callee.self_name else callee.parameters
    if root in names:
        given = None if rest else argument(call, names.index(root), root)
        lock = _lock_of(file, given)
        seen = None if lock is None or given is None else (lock, file.text(given))
    else:
        owner = receiver_of(call)
        lock = inner.lock
        place, own = (seen_of(file, owner, callee, at) for at in (lock.place, lock.own))
        of_object = root == callee.self_name and owner is not None and not is_own(file, owner)
        text = f"{file.text(owner)}.{rest}" if of_object and owner is not None else inner.text
        seen = None
        if place is not None and own is not None:
            seen = (replace(lock, place=place, own=own), text)
    return None if seen is None else LockCall(call, *seen, inner.takes)


def helpers_of(file: PythonFile) -> dict[Function, ast.Call]:
    """Return the functions of a file that do one thing to a lock, with their `x.acquire()` or
    `x.release()`.
    """
    known: dict[Function, ast.Call] | None = file.__dict__.get("_lock_helpers")
    if known is None:
        known = file.__dict__["_lock_helpers"] = {}
        if _BY_HAND.search(file.data):
            calls: dict[Function, list[ast.Call]] = {}
            for call in file.calls("acquire", "release"):
                function = file.function(call)
                if function is not None and isinstance(call.func, ast.Attribute):
                    calls.setdefault(function, []).append(call)
            known.update((f, some[0]) for f, some in calls.items() if _is_helper(f, some))
    return known


def _is_helper(function: Function, calls: list[ast.Call]) -> bool:
    statement = parent(calls[0])
    return (
        len(calls) == 1
        and not (calls[0].args or calls[0].keywords)
        and isinstance(statement, ast.Expr | ast.Return)
        and statement in function.body
        and not (function.is_async or function.is_generator)
    )


def _foreign(project: PythonProject) -> frozenset[str]:
    """Return the names of the helpers of a project, where it is small enough to be asked."""
    known: frozenset[str] | None = project.__dict__.get("_lock_helpers")
    if known is None:
        files = project.files(_BY_HAND, tests=False) if len(project.paths) <= _MANY else ()
        known = frozenset(f.name for file in files for f in helpers_of(file))
        project.__dict__["_lock_helpers"] = known
    return known


def _seen(
    file: PythonFile, call: ast.Call, callee: Function, item: ast.expr
) -> tuple[Lock, str] | None:
    """Return the lock of a helper, and how it is written, as who calls the helper sees it."""
    binding = callee.file.binding(item)
    if binding is not None and [site.kind for site in binding.sites] == ["parameter"]:
        names = callee.parameters[1:] if callee.self_name else callee.parameters
        at = names.index(binding.name) if binding.name in names else None
        given = None if at is None else argument(call, at, binding.name)
        lock = _lock_of(file, given)
        return None if lock is None or given is None else (lock, file.text(given))
    owner = receiver_of(call)
    lock = _seen_of(file, owner, callee, item)
    if lock is None:
        return _by_key(file, call, callee, item)
    text = text_at(file, call, callee, item)
    return None if text is None else (lock, text)


def _by_key(
    file: PythonFile, call: ast.Call, callee: Function, item: ast.expr
) -> tuple[Lock, str] | None:
    """Return the semaphore that an object has for a key, as who calls a method with the key sees
    it: that of `self._for(url).acquire()`, or `self._by_host[host].acquire()`.
    """
    value, owner = callee.file.value(item), receiver_of(call)
    if value is None or not value.is_a(api.SEMAPHORES) or owner is None or callee.cls is None:
        return None
    head: ast.expr | None = None
    keys: list[ast.expr] = []
    if isinstance(item, ast.Call) and not item.keywords:
        head, keys = item.func, item.args
    elif isinstance(item, ast.Subscript):
        head, keys = item.value, [item.slice]
    of_self = isinstance(head, ast.Attribute) and is_own(callee.file, head.value)
    given = [_given(file, call, callee, key) for key in keys]
    if not of_self or not keys or None in given:
        return None
    assert isinstance(head, ast.Attribute)
    within = seen_of(
        file, owner, callee, Place("attribute", callee.cls.qualified, head.attr, "self")
    )
    if within is None:
        return None
    key = ", ".join(one for one in given if one is not None)
    sign = f"({key})" if isinstance(item, ast.Call) else f"[{key}]"
    place = within._replace(name=within.name + sign)
    return Lock(place, value.type, False, place, value), f"{file.text(owner)}.{head.attr}{sign}"


def _given(file: PythonFile, call: ast.Call, callee: Function, key: ast.expr) -> str | None:
    """Return how what a function gets for a parameter is written where it is called."""
    names = callee.parameters[1:] if callee.self_name else callee.parameters
    binding = callee.file.binding(key)
    if not isinstance(key, ast.Name) or binding is None or key.id not in names:
        return None
    if [site.kind for site in binding.sites] != ["parameter"]:
        return None
    given = argument(call, names.index(key.id), key.id)
    return None if given is None else file.text(given)


def _seen_of(
    file: PythonFile, owner: ast.expr | None, callee: Function, item: ast.expr
) -> Lock | None:
    """Return a lock that a method names, as who calls it on an object sees it."""
    lock = _lock_of(callee.file, item)
    place = None if lock is None else seen_of(file, owner, callee, lock.place)
    own = None if lock is None else seen_of(file, owner, callee, lock.own)
    if lock is None or place is None or own is None:
        return None
    return replace(lock, place=place, own=own)


def _lock_of(file: PythonFile, node: ast.expr | None) -> Lock | None:
    """Return the lock, or the semaphore, that an expression certainly is."""
    value = file.value(node)
    if value is None or not value.is_a(api.SEMAPHORES):
        return lock_of(file, node)
    place = file.place(node)
    return None if place is None else Lock(place, value.type, False, place, value)


def entered_lock(file: PythonFile, node: ast.expr) -> Lock | None:
    """Return the lock that an object of the project takes in its `__enter__`."""
    value = file.value(node)
    cls = None if value is None or value.is_class else value.cls
    enter = None if cls is None else cls.method("__enter__")
    if enter is None:
        return None
    own = helpers_of(enter.file).get(enter)
    lock = None if own is None else _seen_of(file, node, enter, receiver(own))
    if lock is not None:
        return lock if lock.type in api.LOCKS else None
    through = [one for one in lock_calls(enter.file) if one.call in enter.calls and one.takes]
    if len(through) != 1:
        return None
    lock = through[0].lock
    place, seen = (seen_of(file, node, enter, at) for at in (lock.place, lock.own))
    return None if place is None or seen is None else replace(lock, place=place, own=seen)


# -- sections -------------------------------------------------------------------------------


def helped_sections(file: PythonFile, calls: Sequence[LockCall] | None = None) -> Iterator[Section]:
    """Yield what lies between the call of a helper that takes a lock and the one that gives it
    back in the same block, or in the `finally` of the try statement after it: kind `helped`.
    """
    calls = lock_calls(file) if calls is None else calls
    ends = {one.call: one.text for one in calls if not one.takes}
    for one in calls:
        start = parent(one.call)
        if one.takes and isinstance(start, ast.Expr):
            rest = after(start)
            body, release = _until_released(file, rest, one.text, ends)
            function = file.function(start)
            yield Section(one.lock, "helped", start, one.call, body, release, function)
    for section in file.sections if ends else ():
        if section.acquiring and section.release is None and section.waits:
            text = file.text(section.item)
            body, release = _until_released(file, section.body, text, ends)
            if release is not None:
                item = section.acquiring[0]
                yield replace(section, kind="helped", item=item, body=body, release=release)


def _until_released(
    file: PythonFile, rest: list[ast.stmt], text: str, ends: dict[ast.Call, str]
) -> tuple[list[ast.stmt], ast.stmt | None]:
    for number, following in enumerate(rest):
        if _releases(file, following, text, ends):
            return rest[:number], following
        if isinstance(following, ast.Try) and number == 0:
            for last in following.finalbody:
                if _releases(file, last, text, ends):
                    return following.body, last
    return rest, None


def _releases(file: PythonFile, statement: ast.stmt, text: str, ends: dict[ast.Call, str]) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call):
        return False
    if call in ends:
        return ends[call] == text
    func = call.func
    is_plain = isinstance(func, ast.Attribute) and func.attr == "release"
    return is_plain and file.text(receiver(call)) == text


def stacked_sections(file: PythonFile) -> list[Section]:
    """Return what follows `stack.enter_context(lock)` in its block: kind `stacked`."""
    known: list[Section] | None = file.__dict__.get("_stacked")
    if known is None:
        known = file.__dict__["_stacked"] = []
        for call in file.calls("enter_context") if b".enter_context(" in file.data else ():
            start = parent(call)
            lock = lock_of(file, call.args[0]) if len(call.args) == 1 else None
            if lock is not None and isinstance(start, ast.Expr | ast.Assign):
                if _stack_of(file, call) is not None:
                    body, function = after(start), file.function(call)
                    item = call.args[0]
                    known.append(Section(lock, "stacked", start, item, body, None, function))
    return known


def nested_entries(file: PythonFile) -> Iterator[tuple[ast.stmt, Section | None]]:
    """Yield the statements behind which something is held that an ExitStack has entered: with its
    section, None where nobody can tell what it is.
    """
    if b".enter_context(" not in file.data:
        return
    for section in stacked_sections(file):
        yield section.start, section
    for call in file.calls("enter_context"):
        end = _stack_of(file, call)
        for above in ancestors(call):
            if above is end or isinstance(
                above, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
            ):
                break
            if isinstance(above, ast.stmt):
                yield above, None


def _stack_of(file: PythonFile, call: ast.Call) -> ast.With | ast.AsyncWith | None:
    """Return the with statement that leaves what a call of `enter_context` has entered."""
    stack = file.binding(receiver_of(call))
    if stack is None:
        return None
    for above in ancestors(call):
        if isinstance(above, _FUNCTIONS):
            return None
        if isinstance(above, ast.With | ast.AsyncWith):
            for item in above.items:
                named = item.optional_vars or item.context_expr
                if file.binding(named) is stack:
                    made: ast.expr | None = item.context_expr
                    if item.optional_vars is None:
                        made = stack.sites[0].value if len(stack.sites) == 1 else None
                    name = file.qualified(made.func) if isinstance(made, ast.Call) else None
                    return above if name in _STACKS else None
    return None
