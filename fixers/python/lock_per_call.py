"""Share the lock

A lock keeps others out only when they take the same one. `with threading.Lock():`, or a lock
that a function makes for itself, is a new lock in every call: it is always free, and the code
under it runs in as many threads as like to. A lock that is only made when it is first asked for
(`if self.lock is None: self.lock = Lock()`) may be made twice at that moment; one that is
looked up in a mapping which nobody fills (`locks.get(key, Lock())`) is made in every call, one
that a property makes each time one looks. A semaphore that a call makes for itself limits nothing.

Not reported: a lock that a nested function, another call or an object gets to see; code that
runs once, at import; tests.

Unsafe: when the code under the lock waits for others, they may now wait for it; and where a
lock of asyncio would belong to another loop (before Python 3.10) there is no fix.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python.borrowed import all_sections
from threadmend.python.builders import BuilderError, add_attribute, delete, replace
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, target_of, walk
from threadmend.python.functions import Function, function_of
from threadmend.python.locks import Section, is_acquire, is_release
from threadmend.python.places import Place
from threadmend.python.threads import reached
from threadmend.python.uses import is_self

from ._fresh_lock import fresh_lock, fresh_locks
from ._gates import is_gate
from ._hoist import Home, declared, home_of, merged
from ._late_lock import late_locks
from ._unkept_lock import unkept_locks

CATEGORY = "lock"
GATE = rb"Lock\b|Semaphore\b|allocate_lock|(?:lock|guard|mutex)\w*\(\)"

_KINDS = frozenset({"threading.Lock", "threading.RLock", "asyncio.Lock"})
_SEMAPHORES = frozenset({"threading.Semaphore", "threading.BoundedSemaphore", "asyncio.Semaphore"})
_PLAIN = frozenset({"staticmethod", "classmethod"})
_WAITS = ("join", "wait", "result", "get", "acquire", "gather", "wait_for")


@dataclass(eq=False, slots=True)
class _Made:
    """A lock that a call makes for itself.

    `items` are the expressions that name it, `statement` is what makes it (None when the
    `with` statement does), `body` what runs under it, `parts` that by function and file.
    """

    kind: str
    node: ast.expr
    function: Function
    items: list[ast.expr]
    body: list[ast.stmt]
    statement: ast.stmt | None = None
    parts: list[tuple[Function, list[ast.stmt]]] = field(default_factory=list)
    home: Home = field(init=False)

    def __post_init__(self) -> None:
        self.parts = self.parts or [(self.function, self.body)]


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the locks that nobody else can take."""
    if file.is_test:
        return
    found = [*_entered(file), *_local(file), *_shown(file)]
    found.sort(key=lambda one: (one.node.lineno, one.node.col_offset))
    homes = merged([home_of(file, one.function, one.body) for one in found])
    for one, home in zip(found, homes, strict=True):
        one.home = home
    yield from _anew(file)
    yield from late_locks(file)
    yield from unkept_locks(file)
    for one in found:
        group = [two for two in found if two.home.key == one.home.key and two.kind == one.kind]
        yield _finding(file, one, group)


# -- find -----------------------------------------------------------------------------------


def _entered(file: PythonFile) -> Iterator[_Made]:
    """Yield `with threading.Lock():`."""
    for node in file.nodes(ast.With, ast.AsyncWith):
        function = file.function(node)
        for item in node.items:  # type: ignore[attr-defined]
            made = item.context_expr
            kind = _made(file, made) or _fresh(file, made) or _slots(file, made)
            if kind and function is not None and item.optional_vars is None:
                body = node.body  # type: ignore[attr-defined]
                yield _Made(kind, item.context_expr, function, [item.context_expr], body)


def _shown(file: PythonFile) -> Iterator[_Made]:
    """Yield `return threading.Lock()` of a property that methods take."""
    for fresh in fresh_locks(file):
        kind = _made(file, fresh.made)
        parts = [(s.function, s.body) for s in fresh.sections if s.function is not None]
        body = [s for function, part in parts if function.file is file for s in part]
        if kind:
            yield _Made(kind, fresh.made, fresh.getter, [fresh.made], body, parts=parts)


def _local(file: PythonFile) -> Iterator[_Made]:
    """Yield `lock = threading.Lock()` in a function, and `self.lock = …` right before its use."""
    for statement in file.nodes(ast.Assign, ast.AnnAssign):
        assert isinstance(statement, ast.Assign | ast.AnnAssign)
        made = statement.value
        kind = "" if made is None else _made(file, made) or _fresh(file, made)
        function = file.function(statement)
        target = target_of(statement)
        if not kind or function is None or len(getattr(statement, "targets", [target])) != 1:
            continue
        items = _uses_of_local(file, target, function) if isinstance(target, ast.Name) else []
        body = _under(file, items)
        if body and statement.value is not None:
            yield _Made(kind, statement.value, function, items, body, statement)


def _made(file: PythonFile, node: ast.expr) -> str:
    """Return the kind of the lock that a call makes, empty for anything else."""
    if not isinstance(node, ast.Call):
        return ""
    name = file.qualified(node.func)
    return name if name in _KINDS else ""


def _slots(file: PythonFile, node: ast.expr) -> str:
    """Return the kind of a semaphore with a constant number of slots."""
    if isinstance(node, ast.Call) and all(isinstance(a, ast.Constant) for a in node.args):
        name = file.qualified(node.func)
        return name if name in _SEMAPHORES and not node.keywords else ""
    return ""


def _fresh(file: PythonFile, node: ast.expr) -> str:
    """Return the kind of the lock that a function of the project makes in every call."""
    callee = function_of(file, node.func) if isinstance(node, ast.Call) else None
    is_plain = callee is not None and _PLAIN.issuperset(callee.decorators)
    made = fresh_lock(callee) if callee is not None and is_plain else None
    return "" if made is None or callee is None else _made(callee.file, made)


def _uses_of_local(file: PythonFile, target: ast.Name, function: Function) -> list[ast.expr]:
    """Return the uses of a local lock; none when one does more than to hold it."""
    binding = file.binding(target)
    if binding is None or binding.scope is not function.scope or len(binding.sites) != 1:
        return []
    uses: list[ast.expr] = [use for use in file.uses(binding) if use is not target]
    if all(file.function(use) is function and _only_holds(file, use) for use in uses):
        return uses
    return []


def _only_holds(file: PythonFile, use: ast.expr) -> bool:
    above = file.parent(use)
    if isinstance(above, ast.withitem):
        return above.context_expr is use and above.optional_vars is None
    if isinstance(above, ast.Call):
        return any(s.item is above and _is_lent(s, use) for s in all_sections(file))
    call = None if above is None else file.parent(above)
    return isinstance(above, ast.Attribute) and (is_acquire(call) or is_release(call))


def _is_lent(section: Section, item: ast.expr) -> bool:
    """Return whether a context manager gets the lock that it takes as an argument."""
    call = section.item
    return section.kind == "borrowed" and isinstance(call, ast.Call) and item in call.args


def _under(file: PythonFile, items: list[ast.expr]) -> list[ast.stmt]:
    """Return the statements that run under a lock; none when it is never held by a block."""
    return [
        statement
        for section in all_sections(file)
        if section.item in items or any(_is_lent(section, item) for item in items)
        for statement in section.body
    ]


def _anew(file: PythonFile) -> Iterator[Finding]:
    """Yield `self.lock = threading.Lock()` of a method that goes on to take it."""
    for statement in file.nodes(ast.Assign):
        function = file.function(statement)
        if not _made(file, statement.value) or function is None or function.cls is None:
            continue
        target = statement.targets[0]
        place = file.place(target)
        if place is None or place.base != "self" or _is_initializer(function, function.cls):
            continue
        following = after(statement)
        sections = [s for s in file.sections if s.start in following and s.lock.place == place]
        if not sections or is_gate(file, place) or _is_handed_on(file, function, following, place):
            continue
        if isinstance(target, ast.Attribute):
            yield _made_anew(file, statement, target.attr, function.cls)


def _is_handed_on(
    file: PythonFile, function: Function, following: list[ast.stmt], place: Place
) -> bool:
    """Return whether the call goes on to start threads that take the lock, or those of an object
    whose other methods take it: the next call has threads of its own.
    """
    behind = set(walk(following))
    started = [s.target for s in file.spawns if s.node in behind and s.target is not None]
    own = any(target.home is not None and target.home is function.home for target in started)
    takers = {f for target in started for f in reached(target) if f is not function}
    for section in file.sections:
        taker = section.function
        if section.lock.place != place or taker is None or taker is function:
            continue
        if taker in takers or (own and taker.home is function.home):
            return True
    return False


def _is_initializer(function: Function, cls: Class) -> bool:
    """Return whether a method sets its object up: also one with a public name that says so."""
    if function in cls.init_only:
        return True
    callers = [site.caller for site in function.callers]
    return "init" in function.name and bool(callers) and all(c in cls.init_only for c in callers)


# -- fix ------------------------------------------------------------------------------------


def _finding(file: PythonFile, one: _Made, group: list[_Made]) -> Finding:
    start, end = file.span(one.node)
    what = "semaphore" if one.kind in _SEMAPHORES else "lock"
    said = f"every call makes a {what} of its own, which keeps nobody out"
    version = file.python_version
    if one.kind in {"asyncio.Lock", "asyncio.Semaphore"} and version < (3, 10):
        reason = f"before Python 3.10 {one.kind} belongs to the loop that is running"
        return Finding(file.path, start, end, said, reason=reason)
    try:
        name, edits = _edits(file, one, group)
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    title = f"Share {name} between all calls"
    waits = _waits(one.body)
    reason = f"{waits}() under a lock that others take as well may wait for them" if waits else ""
    if any(isinstance(file.parent(item), ast.Call) for item in one.items):
        reason = reason or "what takes the lock may give up, or do more under it"
    if reason:
        fix = Fix(title, edits, Safety.UNSAFE, reason)
        return Finding(file.path, start, end, said, fixes=(fix,))
    # Nothing under the lock waits: with the lock shared, one call runs after the other, and
    # every outcome of that was possible before.
    return Finding(file.path, start, end, said, fixes=(Fix(title, edits),))


def _edits(file: PythonFile, one: _Made, group: list[_Made]) -> tuple[str, tuple[Edit, ...]]:
    kind = one.kind
    if kind == "threading.Lock" and _reaches_itself(group):
        kind = "threading.RLock"
    made_of = one.node.args if kind in _SEMAPHORES and isinstance(one.node, ast.Call) else []
    given = ", ".join(file.text(argument) for argument in made_of)
    target = None if one.statement is None else target_of(one.statement)
    known_as = target.id if isinstance(target, ast.Name) else ""
    # The property that makes the lock looks like one that the data is guarded by.
    but = one.function.name if one.node in one.items and one.statement is None else ""
    name, made = declared(file, one.home, one.function, kind, group[0].node, given, known_as, but)
    maker = _own_maker(file, one, group)
    if maker is not None and name == f"{one.function.self_name}.{name.rpartition('.')[2]}":
        mine = f"{maker.self_name}.{name.rpartition('.')[2]}"
        shared = fresh_lock(maker)
        return name, (*made, *([] if shared is None else replace(file, shared, mine)))
    edits = [*made]
    edits += [Edit(file.path, *file.span(item), file.encode(name)) for item in one.items]
    if one.statement is not None:
        edits += delete(file, one.statement, comments=False)
    return name, tuple(edits)


def _own_maker(file: PythonFile, one: _Made, group: list[_Made]) -> Function | None:
    """Return the method that makes a lock for the `with` statements of the same object, and for
    nobody else: when it returns one that the object keeps, all of them share that.
    """
    call = one.node
    if one.statement is not None or call not in one.items or not isinstance(call, ast.Call):
        return None
    maker, func = function_of(file, call.func), call.func
    if maker is None or not isinstance(func, ast.Attribute) or not is_self(file, func.value):
        return None
    plain = maker.file is file and not maker.decorators and maker.self_name is not None
    is_own = plain and maker.cls is not None and maker.cls is one.function.cls
    if not is_own or one.home.key is not maker.cls or maker.cls is None:
        return None
    entered = {other.node for other in group}
    if not maker.is_private or not maker.is_only_called:
        return None
    if any(site.call not in entered for site in maker.callers):
        return None
    return None if maker.cls.overrides(maker.name) else maker


def _reaches_itself(group: list[_Made]) -> bool:
    """Return whether code under the lock calls code that takes it: it has to be re-entrant."""
    parts = [part for one in group for part in one.parts]
    takers = {function for function, _ in parts}
    for function, body in parts:
        for node in walk(body):
            callee = function.callees.get(node) if isinstance(node, ast.Call) else None
            if callee is not None and not takers.isdisjoint(reached(callee)):
                return True
    return False


def _waits(body: list[ast.stmt]) -> str:
    """Return the name of a call that may wait for somebody else, empty when there is none."""
    for node in walk(body):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in _WAITS and not (node.func.attr in {"get", "join"} and node.args):
                return node.func.attr
    return ""


def _made_anew(file: PythonFile, statement: ast.Assign, name: str, cls: Class) -> Finding:
    start, end = file.span(statement.value)
    said = "every call makes a new lock, which keeps nobody out"
    values = [value for _, value in cls.values_of(name) if value is not statement.value]
    try:
        if any(not _made(cls.file, value) for value in values):
            raise BuilderError("the lock is made in several ways")
        edits = delete(file, statement, comments=False)
        if not values:
            edits = (*edits, *add_attribute(cls, name, file.text(statement.value)))
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    reason = "one call now waits for another one"
    fix = Fix(f"Make self.{name} once, with the object", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, fixes=(fix,))
