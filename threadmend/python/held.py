"""Held: which locks are held where a node runs, in its function and through its callers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from threadmend.python import api
from threadmend.python.borrowed import borrowed_by, makers_of, wrapped_calls
from threadmend.python.circles import asked
from threadmend.python.constants import constant_of, made_with
from threadmend.python.flow import always_leaves, block_of, is_text
from threadmend.python.functions import Function, function_of
from threadmend.python.heircalls import (
    by_super,
    calls_by_bases,
    calls_by_heirs,
    is_only_called_by_heirs,
)
from threadmend.python.implied import receiver_of, seen_of
from threadmend.python.lentout import Lent, lent_out
from threadmend.python.lockcalls import entered_lock, lock_calls, nested_entries
from threadmend.python.locks import (
    Lock,
    acquisitions,
    is_acquire,
    is_release,
    lock_of,
    looks_like_lock,
    receiver,
    taken_under,
)
from threadmend.python.outsiders import are_outsiders_locked
from threadmend.python.places import Place
from threadmend.python.project import docstring
from threadmend.python.scope import parent
from threadmend.python.value import Value

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile

__all__ = ["Held", "callers_hold", "callers_seem_to_hold", "held_at", "held_here"]

_NAMED = re.compile(r"(?:_|\b)(?:un)?(?:locked|nolock|no_lock|lock_held|with_lock)(?:_|$)")
_SAID = re.compile(
    r"(?is)(?:lock|mutex|condition)\W+(?:\w+\W+){0,4}?(?:held|acquired|owned|taken)"
    r"|(?:hold|holding|holds|held|acquire|acquired|own)\W+(?:\w+\W+){0,4}?"
    r"(?:\w*_)?(?:lock|mutex|cond(?:ition)?(?:_var)?\b|cv\b)"
    r"|(?:not|n't|no)\W+(?:need|require)\w*\W+(?:(?:any|a|thread|to|for|be)\W+)*lock"
    r"|no\W+(?:thread\W+)?lock(?:s|ing)?\W+(?:(?:is|are)\W+)?(?:needed|required|necessary)"
    r"|not thread[- ]?safe|(?:under|with|inside)\W+(?:\w+\W+){0,3}?(?:lock|mutex)"
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


Release: TypeAlias = "tuple[ast.Call, str, Held]"
"""A call that releases something, with the text of that and what that is."""


@dataclass(frozen=True, slots=True)
class Held:
    """What is held somewhere: the locks whose place is known, and whether others may be.

    `unknown`: something that guards is held which is not a known lock, or a name, docstring or
    decorator says that the caller holds one. It is false only when certainly nothing is held.
    """

    locks: frozenset[Place] = frozenset()
    unknown: bool = False

    def __bool__(self) -> bool:
        return bool(self.locks) or self.unknown

    def __contains__(self, place: object) -> bool:
        return place in self.locks

    def __or__(self, other: Held) -> Held:
        return Held(self.locks | other.locks, self.unknown or other.unknown)


NOTHING = Held()
_UNKNOWN = Held(unknown=True)


def held_at(file: PythonFile, node: ast.AST) -> Held:
    """Return what is held where a node runs: see PythonFile.held."""
    here = held_here(file, node)
    function = file.function(node)
    return here if function is None else here | callers_hold(function)


def held_here(file: PythonFile, node: ast.AST) -> Held:
    """Return what the function of a node itself took around it."""
    found = NOTHING
    below: ast.AST = node
    above = parent(node)
    by_hand = _is_by_hand(file)
    gone: set[str] = set()
    while above is not None and not isinstance(below, _FUNCTIONS):
        if isinstance(above, ast.With | ast.AsyncWith):
            items = above.items
            if below in items:
                items = items[: items.index(below)]
            for item in items:
                if not gone or file.text(item.context_expr) not in gone:
                    found |= _entered(file, item.context_expr)
        if by_hand and isinstance(below, ast.stmt):
            found |= _acquired(file, below, gone)
            if isinstance(above, ast.If) and below in above.body:
                for call, how in acquisitions(above):
                    if how == "body" and file.text(receiver(call)) not in gone:
                        found |= _taken(file, receiver(call))
        below, above = above, parent(above)
    return found | _until_released(file, node) if by_hand else found


def _until_released(file: PythonFile, node: ast.AST) -> Held:
    """Return whether a function releases a lock behind a node that it has not taken: callers have,
    in the middle of something that nobody sees here.
    """
    known: dict[Function, list[Release]] | None = file.__dict__.get("_releasing")
    if known is None:
        known = file.__dict__["_releasing"] = {}
        for release in _releases(file):
            function = file.function(release[0])
            if function is not None:
                known.setdefault(function, []).append(release)
        for function in known:
            taken = {file.text(receiver(c)) for c in function.calls if is_acquire(c)}
            taken |= {file.text(item) for item in _items(function)}
            taken |= {o.text for o in lock_calls(file) if o.takes and o.call in function.calls}
            known[function] = [one for one in known[function] if one[1] not in taken]
    function = file.function(node) if known else None
    for call, _, held in known.get(function, ()) if function is not None else ():
        if held and getattr(node, "lineno", 0) < call.lineno:
            return _UNKNOWN
    return NOTHING


def _releases(file: PythonFile) -> Iterable[Release]:
    """Yield the releases of a file, also by helpers."""
    for call in file.calls("release"):
        if is_release(call):
            lock = receiver(call)
            yield call, file.text(lock), _taken(file, lock)
    yield from ((o.call, o.text, _of(o.lock)) for o in lock_calls(file) if not o.takes)


def _items(function: Function) -> Iterable[ast.expr]:
    for node in function.own:
        if isinstance(node, ast.With | ast.AsyncWith):
            yield from (item.context_expr for item in node.items)


def _is_by_hand(file: PythonFile) -> bool:
    """Return whether a file calls acquire or release at all."""
    known: bool | None = file.__dict__.get("_by_hand")
    if known is None:
        by_hand = b"acquire" in file.data or b".release" in file.data
        known = file.__dict__["_by_hand"] = by_hand or bool(_taken_by_calls(file))
    return known


def _taken_by_calls(file: PythonFile) -> dict[ast.AST, list[tuple[str, Held]]]:
    """Return what helpers and ExitStacks have taken behind statements, with the lock's text."""
    known: dict[ast.AST, list[tuple[str, Held]]] | None = file.__dict__.get("_taken_by_calls")
    if known is None:
        known = file.__dict__["_taken_by_calls"] = {}
        for one in lock_calls(file):
            statement = file.parent(one.call)
            if one.takes and isinstance(statement, ast.Expr):
                known.setdefault(statement, []).append((one.text, _of(one.lock)))
        for statement, section in nested_entries(file):
            text = "" if section is None else file.text(section.item)
            held = _UNKNOWN if section is None else _of(section.lock)
            known.setdefault(statement, []).append((text, held))
    return known


def _of(lock: Lock) -> Held:
    return Held(frozenset({lock.place}))


def _acquired(file: PythonFile, statement: ast.stmt, gone: set[str]) -> Held:
    """Return what statements further up in the same block took and did not release.

    `gone` collects what they released and did not take again, for the blocks around.
    """
    found = NOTHING
    here: set[str] = set()
    at = (statement.lineno, statement.col_offset)
    for earlier in reversed(_telling(file, block_of(statement))):
        if (earlier.lineno, earlier.col_offset) >= at:
            continue
        for call, how in acquisitions(earlier):
            lock = receiver(call)
            text = file.text(lock)
            if how == "after" and text not in here and text not in gone:
                found |= _taken(file, lock)
                here.add(text)
        for text, held in _taken_by_calls(file).get(earlier, ()):
            if text not in here and text not in gone:
                found |= held
        for text in _taken_when_asked(file, earlier):
            if text not in here | gone:
                found |= _UNKNOWN  # by those who ask for it
        here.update(_released(file, earlier))
    gone |= here
    return found


def _telling(file: PythonFile, block: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Return the statements of a block that take or release something: most have none, and are
    asked about at every use below them.
    """
    known: dict[ast.stmt, list[ast.stmt]] = file.__dict__.setdefault("_telling", {})
    if block[0] not in known:
        known[block[0]] = [
            statement
            for statement in block
            if any(True for _ in acquisitions(statement))
            or _taken_by_calls(file).get(statement)
            or any(True for _ in _taken_when_asked(file, statement))
            or _released(file, statement)
        ]
    return known[block[0]]


def _taken_when_asked(file: PythonFile, statement: ast.stmt) -> Iterable[str]:
    """Return the locks of `if lock: x.acquire()`, or a helper's call in its place."""
    yield from (file.text(receiver(call)) for call in taken_under(statement))
    for inner in statement.body if isinstance(statement, ast.If) else ():
        yield from (text for text, _ in _taken_by_calls(file).get(inner, ()))


def _released(file: PythonFile, statement: ast.stmt) -> Iterable[str]:
    """Return the locks that a statement may release and then go on behind itself."""
    known: dict[ast.AST, list[str]] | None = file.__dict__.get("_released_in")
    if known is None:
        known = file.__dict__["_released_in"] = {}
        for call, text, _ in _releases(file):
            inner = file.statement(call)
            leaves = always_leaves(block_of(inner))
            for above in (inner, *file.ancestors(inner)):
                if isinstance(above, _FUNCTIONS):
                    break
                if above is inner or not leaves:
                    known.setdefault(above, []).append(text)
    return known.get(statement, ())


def _taken(file: PythonFile, node: ast.expr) -> Held:
    lock = lock_of(file, node)
    if lock is not None:
        return Held(frozenset({lock.place}))
    value = file.value(node)
    if value is not None and value.is_a(api.SEMAPHORES):
        return _UNKNOWN if _is_for_one(file, value) else NOTHING
    return Held(unknown=True)


def _is_for_one(file: PythonFile, value: Value) -> bool:
    """Return whether a semaphore has one slot, and does what a lock does."""
    made = value.made
    if not isinstance(made, ast.Call):
        return False
    slots = [constant_of(other, given) for other, given in made_with(file, value, 0, "value")]
    alone = not made.args and not made.keywords
    return alone or any(one is not None and one.value == 1 for one in slots)


def _entered(file: PythonFile, node: ast.expr) -> Held:
    """Return what entering a context manager takes."""
    lock = lock_of(file, node)
    if lock is not None:
        return Held(frozenset({lock.place}))
    target = node.func if isinstance(node, ast.Call) else node
    if isinstance(node, ast.Call):
        callee = function_of(file, target)
        if callee is not None and any("contextmanager" in d for d in callee.decorators):
            for inner in callee.own:
                if isinstance(inner, ast.Yield):
                    return _translated(held_here(callee.file, inner), node, callee)
    value = file.value(node)
    if value is not None and value.cls is not None:
        lock = entered_lock(file, node)
        if lock is not None:
            return _of(lock)
    if value is not None and value.is_a(api.SEMAPHORES):
        return _UNKNOWN if _is_for_one(file, value) else NOTHING
    if value is not None and value.is_a(api.EXECUTORS | {"open"}):
        return NOTHING
    name = file.text(target)
    if looks_like_lock(name) or (value is not None and looks_like_lock(value.type)):
        return Held(unknown=value is None or not value.type.startswith(tuple(api.LOCKS)))
    return NOTHING


# -- callers --------------------------------------------------------------------------------


def _assumes_lock(function: Function) -> bool:
    """Return whether the name, the docstring or a comment at the top says that callers lock."""
    if _NAMED.search(function.name) or _SAID.search(docstring(function.node)):
        return True
    if _SAID.search(_comments_at_top(function)):
        return True
    return any(looks_like_lock(name) for name in function.decorators)


def _comments_at_top(function: Function) -> str:
    """Return the comments ahead of the first statement of a function, the docstring aside."""
    file, node = function.file, function.node
    if isinstance(node, ast.Lambda):
        return ""
    start, first = file.span(node)[0], node.body[0]
    if is_text(first) and len(node.body) > 1:
        start, first = file.span(first)[1], node.body[1]
    head = file.data[start : file.span(first)[0]]
    lines = (line.strip() for line in head.splitlines()[1:])
    return b"\n".join(line for line in lines if line.startswith(b"#")).decode("utf-8", "replace")


def callers_hold(function: Function) -> Held:
    """Return what is held whenever a function is called.

    Decorators that lock; and for a private method or a nested function that is only ever
    called, what all of its callers in the file hold (initializers, which nobody else can
    disturb, do not count).
    """
    # One that calls itself holds what its other callers hold.
    answer = partial(_callers_hold, function)
    return asked(function.file, "_callers_hold", function, NOTHING, answer)


def _callers_hold(function: Function) -> Held:
    said = Held(unknown=_assumes_lock(function)) | _decorated(function)
    asking = _asks_at_once(function)
    if asking is not None:
        return said | held_at(function.file, asking)
    lent = lent_out(function) if function.is_private or function.outer is not None else None
    if lent is None:
        return said
    home = function.home
    quiet = home.init_only if home is not None else frozenset[Function]()
    if function in quiet:
        return said
    sites = [s for s in function.callers if s.caller is not function and s.caller not in quiet]
    if not sites and is_only_called_by_heirs(function):
        # What the class itself does not call is there for its heirs.
        sites = calls_by_heirs(function)
    sites = sites or calls_by_bases(function)
    if not sites and not lent:
        return said
    held = [_translated(held_at(s.file, s.call), s.call, function) for s in sites]
    held += [_held_by_helper(function, one) for one in lent]
    if not all(held):
        return said
    locks = frozenset.intersection(*(h.locks for h in held))
    return said | Held(locks, unknown=not locks or any(h.unknown and not h.locks for h in held))


def _asks_at_once(function: Function) -> ast.Call | None:
    """Return the call that runs a lambda before it returns, as the thread that has the lock:
    `cond.wait_for(lambda: self.free)`, `sorted(rows, key=lambda row: self.rank[row])`.
    """
    above = parent(function.node)
    call = parent(above) if isinstance(above, ast.keyword) else above
    if not isinstance(function.node, ast.Lambda) or not isinstance(call, ast.Call):
        return None
    func, file = call.func, function.file
    if isinstance(func, ast.Attribute):
        return call if func.attr in {"wait_for", "sort"} else None
    return call if file.qualified(func) in {"sorted", "min", "max"} else None


def _held_by_helper(function: Function, lent: Lent) -> Held:
    """Return what is held where a helper runs the function that it is handed."""
    held, owner = held_at(lent.helper.file, lent.call), receiver_of(lent.handing)
    seen = [seen_of(function.file, owner, lent.helper, place) for place in held.locks]
    found = Held(frozenset(place for place in seen if place is not None))
    around = held_at(function.file, lent.handing)
    return found | around | Held(unknown=held.unknown or None in seen)


def callers_seem_to_hold(function: Function, place: Place | None, depth: int = 3) -> bool:
    """Return whether every call of a method that the project shows holds a lock (None: one or
    another), or comes from an initializer or before the object's thread is started, and other
    files use the class without naming the method. Its name allows others to call it as well: that
    is no proof.
    """
    if place is not None and are_outsiders_locked(function, place):
        return True
    sites = [site for site in function.callers if site.caller is not function]
    sites = sites or calls_by_bases(function)
    home = function.home
    if not sites or not depth or home is None or not function.is_only_called:
        return False
    if not function.is_private and not _is_of_used_class(function, home.name):
        return False
    return all(
        site.caller in home.init_only
        or _has(held_at(site.file, site.call), place)
        or site.starts_later
        or (site.caller is not None and callers_seem_to_hold(site.caller, place, depth - 1))
        for site in sites
    )


def _has(held: Held, place: Place | None) -> bool:
    return bool(held) if place is None else place in held


def _is_of_used_class(function: Function, name: str) -> bool:
    """Return whether other files of the project name a class, and none the method."""
    project, file = function.file.project, function.file
    method, cls = file.encode(function.name), project.naming(file.encode(name))
    code = re.compile(rb"(?m)^[^#\n]*\b" + re.escape(method) + rb"\b")
    elsewhere = set(project.naming(method)) - {file.path}
    if any(code.search(project.source(path).data) for path in elsewhere):
        return False  # more than a comment
    return not set(cls) <= {file.path}


def _translated(held: Held, call: ast.Call, callee: Function) -> Held:
    """Return what a callee sees of what is held: `self.x` stays only across `self.m()`."""
    func = call.func
    same = callee.cls is None or (
        isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name)
    )
    if same or by_super(func):
        return held
    kept = frozenset(p for p in held.locks if p.kind == "global" or p.base == "class")
    return Held(kept, held.unknown or len(kept) < len(held.locks))


def _decorated(function: Function) -> Held:
    """Return what a decorator of the project takes around the call of the function."""
    found = NOTHING
    for section in borrowed_by(function):
        found |= Held(frozenset({section.lock.place}))
    if found:
        return found
    makers = (maker for _, maker in makers_of(function))
    held = (held_here(m.file, call) for m in makers for _, call in wrapped_calls(m))
    return Held(unknown=True) if any(held) else NOTHING
