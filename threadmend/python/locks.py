"""Locks: which lock an expression is, where it is taken and released, critical sections."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.python import api
from threadmend.python.arguments import argument
from threadmend.python.flow import block_of, is_none
from threadmend.python.places import Place
from threadmend.python.scope import parent

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function
    from threadmend.python.value import Value

__all__ = [
    "Lock",
    "Section",
    "acquisitions",
    "lock_of",
    "looks_like_lock",
    "sections_of",
    "taken_under",
]

_LOCKISH = re.compile(r"(?i)lock|mutex|sem(?:aphore)?\b|cond(?:ition)?\b|synchron|critical|guard")


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that excludes other threads, processes or tasks.

    `place` is which lock; a `Condition(self._lock)` has the place of its lock. `type` is the
    constructor: `threading.Lock`. `own` is the place that the expression names itself.
    """

    place: Place
    type: str
    reentrant: bool
    own: Place
    value: Value

    @property
    def family(self) -> str:
        """Return `thread`, `process` or `async`."""
        head = self.type.partition(".")[0]
        return {"multiprocessing": "process", "asyncio": "async"}.get(head, "thread")

    @property
    def is_condition(self) -> bool:
        """Return whether the expression is a Condition, with wait and notify."""
        return self.type in api.CONDITIONS


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A critical section.

    `kind` is `with`; or `acquire`, for a statement that acquires with its release further
    down the same block or in the `finally` of the try statement after or around it. `body` are the
    statements in between (of a try statement: its own), `start` the With or the acquiring
    statement, `item` the expression of the lock, `release` the releasing statement. Of the kinds
    `borrowed` and `tried`, see there and `attempts.py`.
    """

    lock: Lock
    kind: str
    start: ast.stmt
    item: ast.expr
    body: list[ast.stmt]
    release: ast.stmt | None
    function: Function | None

    def name(self, file: PythonFile) -> str:
        """Return how to call the lock, as its file or its object does."""
        if self.kind == "helped" and self.lock.place.base not in {"", "self"}:
            assert isinstance(self.item, ast.Call)
            func, given = self.item.func, self.item.args
            if isinstance(func, ast.Attribute):
                return file.text(func.value)
            return file.text(given[0]) if given else self.lock.place.name
        if self.kind not in {"borrowed", "helped"}:
            return file.text(self.item)
        return f"self.{self.lock.place.name}" if self.lock.place.base else self.lock.place.name

    @property
    def acquiring(self) -> list[ast.Call]:
        """Return the `acquire()` calls of the statement that begins it, none for other kinds."""
        if self.kind != "acquire":
            return []
        return [n for n in ast.walk(self.start) if isinstance(n, ast.Call) and is_acquire(n)]

    @property
    def waits(self) -> bool:
        """Return whether the lock is taken by all means: not `acquire(timeout=1)`."""
        return not any(call.args or call.keywords for call in self.acquiring)

    @property
    def is_protected(self) -> bool:
        """Return whether an exception in the body releases the lock."""
        return self.kind not in {"acquire", "tried", "helped"} or (
            self.release is not None and _is_caught(self.release, self.item)
        )


def _is_caught(release: ast.stmt, item: ast.expr) -> bool:
    """Return whether a lock is released in a `finally`, or by what handles exceptions of it."""
    at: ast.AST = release
    above = parent(at)
    while above is not None and not isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef):
        if isinstance(above, ast.Try):
            if at in above.finalbody:
                return True
            handling = list(above.finalbody)
            if at in above.body:
                handling += [s for handler in above.handlers for s in handler.body]
            for node in (node for statement in handling for node in ast.walk(statement)):
                if is_release(node) and ast.dump(receiver(node)) == ast.dump(item):  # type: ignore[arg-type]
                    return True
                if isinstance(node, ast.Expr) and ast.dump(node) == ast.dump(release):
                    return True
        at, above = above, parent(above)
    return False


def lock_of(file: PythonFile, node: ast.AST | None) -> Lock | None:
    """Return the lock that an expression certainly is: see PythonFile.lock."""
    value = file.value(node)
    if value is None or value.is_class or value.type not in api.LOCKS:
        return None
    own = file.place(node)
    if own is None:
        return None
    reentrant = value.type in api.REENTRANT
    if value.type in api.CONDITIONS:
        inner = _inner(value) if value.made is not None else None
        if value.made is None:  # by an annotation: that of what a function returns, say
            given = _given_to_maker(file, node, None)
            if given is not None:
                return Lock(given.place, value.type, given.reentrant, own, value)
        if inner is not None:
            known = lock_of(value.file, inner)
            if known is None:
                made = value.file.value(inner)
                reentrant = made is not None and made.type in api.REENTRANT
                shared = value.file.place(inner)
                given = _given_to_maker(file, node, inner)
                if given is not None:
                    shared, reentrant = given.place, given.reentrant
                if shared is None or shared.kind == "local":
                    return Lock(own, value.type, reentrant, own, value)
            else:
                shared, reentrant = known.place, known.reentrant
            if shared.base == "self" and own.kind == "attribute":
                shared = shared._replace(base=own.base)
            return Lock(shared, value.type, reentrant, own, value)
        # What `Condition(*args)` is made with nobody knows.
        reentrant = not value.type.startswith("asyncio.") or _is_spread(value)
    return Lock(own, value.type, reentrant, own, value)


def _inner(value: Value) -> ast.expr | None:
    """Return the lock that a Condition is made with."""
    if not isinstance(value.made, ast.Call):
        return None
    for keyword in value.made.keywords:
        if keyword.arg == "lock":
            return None if is_none(keyword.value) else keyword.value
    given = value.made.args[0] if value.made.args else None
    return None if given is None or is_none(given) or _is_spread(value) else given


def _given_to_maker(file: PythonFile, node: ast.AST | None, inner: ast.expr | None) -> Lock | None:
    """Return the lock that a function gets which makes a condition with it (`inner`, where that is
    known), when that is all that a variable is set to: `self.cond = make_condition(self.lock)`.
    """
    from threadmend.python.functions import function_of

    found: list[Lock | None] = []
    for other, made in set_to(file, node):
        maker = function_of(other, made.func) if isinstance(made, ast.Call) else None
        parameter = None if maker is None else _parameter(maker, inner)
        if maker is None or parameter is None or not isinstance(made, ast.Call):
            return None
        names = maker.parameters[1:] if maker.self_name else maker.parameters
        given = argument(made, names.index(parameter), parameter)
        found.append(None if given is None else lock_of(other, given))
    first = found[0] if found else None
    same = all(one is not None and first is not None and one.place == first.place for one in found)
    return first if same else None


def _parameter(maker: Function, inner: ast.expr | None) -> str | None:
    """Return the parameter of a function that is the lock of the condition which it returns."""
    if inner is None:
        made = (one.value for one in maker.returns() if isinstance(one.value, ast.Call))
        conditions = (c for c in made if maker.file.qualified(c.func) in api.CONDITIONS)
        inner = next((c.args[0] for c in conditions if c.args), None)
    parameter = maker.file.binding(inner)
    if parameter is None or parameter.scope is not maker.scope:
        return None
    names = maker.parameters[1:] if maker.self_name else maker.parameters
    if [site.kind for site in parameter.sites] != ["parameter"] or parameter.name not in names:
        return None
    return parameter.name


def set_to(file: PythonFile, node: ast.AST | None) -> list[tuple[PythonFile, ast.expr | None]]:
    """Return what a variable or an attribute is set to."""
    binding = file.binding(node)
    if binding is not None:
        return [(file, site.value) for site in binding.sites]
    owner = file.value(node.value) if isinstance(node, ast.Attribute) else None
    if owner is None or owner.cls is None or not isinstance(node, ast.Attribute):
        return []
    return [*owner.cls.values_of(node.attr)]


def _is_spread(value: Value) -> bool:
    """Return whether a constructor gets arguments that do not stand there one by one."""
    made = value.made
    return isinstance(made, ast.Call) and (
        any(isinstance(given, ast.Starred) for given in made.args)
        or any(keyword.arg is None for keyword in made.keywords)
    )


def looks_like_lock(text: str) -> bool:
    """Return whether a name suggests a lock: enough to stay quiet, never to speak."""
    return _LOCKISH.search(text.rpartition(".")[2]) is not None


# -- taking and releasing -------------------------------------------------------------------


def acquisitions(statement: ast.stmt) -> Iterator[tuple[ast.Call, str]]:
    """Yield the `x.acquire()` calls of a statement and how the lock is held after them.

    `after`: behind the statement (`x.acquire()`, `ok = x.acquire()`, `if not x.acquire():
    return`, `while not x.acquire(): …`); `body`: in the body of `if x.acquire(False):`.
    """
    if isinstance(statement, ast.Expr | ast.Assign | ast.AnnAssign):
        value: ast.expr | None = statement.value
        if isinstance(value, ast.Await):
            value = value.value
        if is_acquire(value):
            assert isinstance(value, ast.Call)
            yield value, "after"
    elif isinstance(statement, ast.If | ast.While):
        test = statement.test
        negated = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
        inner = test.operand if isinstance(test, ast.UnaryOp) else test
        if is_acquire(inner):
            assert isinstance(inner, ast.Call)
            yield inner, "after" if negated else "body"


def taken_under(statement: ast.stmt) -> Iterator[ast.Call]:
    """Yield the calls of `if lock: x.acquire()`, behind which x is held perhaps."""
    if isinstance(statement, ast.If):
        for inner in (*statement.body, *statement.orelse):
            value = inner.value if isinstance(inner, ast.Expr) else None
            if isinstance(value, ast.Call) and is_acquire(value):
                yield value


def is_acquire(node: ast.AST | None) -> bool:
    """Return whether a node is a call `x.acquire(…)`."""
    return _is_method(node, "acquire")


def is_release(node: ast.AST | None) -> bool:
    """Return whether a node is a call `x.release(…)`."""
    return _is_method(node, "release")


def _is_method(node: ast.AST | None, name: str) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == name
    )


def receiver(call: ast.Call) -> ast.expr:
    """Return `x` of `x.acquire()`."""
    assert isinstance(call.func, ast.Attribute)
    return call.func.value


# -- sections -------------------------------------------------------------------------------


def sections_of(file: PythonFile) -> list[Section]:
    """Return the critical sections of a file, in source order: see PythonFile.sections."""
    found = list(_with_sections(file))
    for call in file.calls("acquire"):
        statement = parent(call)
        statement = parent(statement) if isinstance(statement, ast.Await) else statement
        if is_acquire(call) and isinstance(statement, ast.Expr):
            section = _acquire_section(file, statement, call)
            if section is not None:
                found.append(section)
    return sorted(found, key=lambda s: (s.start.lineno, s.start.col_offset))


def _with_sections(file: PythonFile) -> Iterator[Section]:
    for node in file.nodes(ast.With, ast.AsyncWith):
        assert isinstance(node, ast.With | ast.AsyncWith)
        for item in node.items:
            lock = lock_of(file, item.context_expr)
            if lock is not None:
                function = file.function(node)
                yield Section(lock, "with", node, item.context_expr, node.body, None, function)


def _acquire_section(file: PythonFile, statement: ast.Expr, call: ast.Call) -> Section | None:
    item = receiver(call)
    lock = lock_of(file, item)
    if lock is None:
        return None
    text = file.text(item)
    block = block_of(statement)
    rest = block[block.index(statement) + 1 :]
    function = file.function(statement)
    for number, following in enumerate(rest):
        if isinstance(following, ast.Expr) and is_release(following.value):
            if file.text(receiver(following.value)) == text:  # type: ignore[arg-type]
                body = rest[:number]
                return Section(lock, "acquire", statement, item, body, following, function)
        if isinstance(following, ast.Try) and number == 0:
            for last in following.finalbody:
                if isinstance(last, ast.Expr) and is_release(last.value):
                    if file.text(receiver(last.value)) == text:  # type: ignore[arg-type]
                        body = following.body
                        return Section(lock, "acquire", statement, item, body, last, function)
    above = parent(statement)
    if isinstance(above, ast.Try) and block is above.body:  # taken in the try statement itself
        for last in above.finalbody:
            if isinstance(last, ast.Expr) and is_release(last.value):
                if file.text(receiver(last.value)) == text:  # type: ignore[arg-type]
                    return Section(lock, "acquire", statement, item, rest, last, function)
    return Section(lock, "acquire", statement, item, rest, None, function)
