"""Waits with a lock held for a thread of the project that knows who made it, and takes the lock:

self._thread = Refresher(self)          class Refresher(Thread):
…                                           def run(self):
with self._lock:                                while not self.done.wait(1):
    self._thread.join()                             self.owner.refresh()
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python import api
from threadmend.python.arguments import argument
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import walk
from threadmend.python.functions import Function
from threadmend.python.held import held_here
from threadmend.python.lockorder import Taking, takings
from threadmend.python.places import Place
from threadmend.python.scope import parent
from threadmend.python.uses import is_self

__all__ = ["waits_for_owned"]


def waits_for_owned(file: PythonFile) -> Iterator[tuple[ast.Call, Place, Taking]]:
    """Yield the calls that wait for such a thread, with the lock that is held and where the
    thread takes it.
    """
    told: set[ast.AST] = set()
    for section in file.sections:
        function = section.function
        if function is None or function.home is None or section.lock.family != "thread":
            continue
        for call in walk(section.body):
            if call in told or not isinstance(call, ast.Call):
                continue
            cls = _waited_for(file, call)
            if cls is None or section.lock.place not in held_here(file, call).locks:
                continue
            taking = _taken_of(file, call, function.home, cls, section.lock.place)
            if taking is not None:
                told.add(call)
                yield call, section.lock.place, taking


def _waited_for(file: PythonFile, call: ast.Call) -> Class | None:
    """Return the class of the thread that a call waits for: `x.join()`, or `x.stop()` that joins
    what it is called on.
    """
    func = call.func
    if not isinstance(func, ast.Attribute) or call.args or call.keywords:
        return None
    value = file.value(func.value)
    cls = None if value is None or value.is_class else value.cls
    if cls is None or not cls.inherits(*api.THREADS) or is_self(file, func.value):
        return None
    method = cls.method(func.attr)
    if func.attr == "join" and method is None:
        return cls
    return cls if method is not None and any(_is_join(method, n) for n in method.body) else None


def _is_join(method: Function, statement: ast.stmt) -> bool:
    """Return whether a statement is `self.join()`, of a method of a thread."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or call.args or call.keywords:
        return False
    func = call.func
    return (
        isinstance(func, ast.Attribute) and func.attr == "join" and is_self(method.file, func.value)
    )


def _taken_of(
    file: PythonFile, call: ast.Call, home: Class, cls: Class, held: Place
) -> Taking | None:
    """Return where a thread takes a lock of the object that made it."""
    run = cls.method("run")
    assert isinstance(call.func, ast.Attribute)
    names = [] if run is None else list(_owners(file, call.func.value, home, cls))
    for taking in takings(run, cls) if run is not None and names else ():
        if taking.lock.family != "thread" or not taking.section.waits:
            continue
        if taking.section.kind == "tried" or taking.place.anywhere != held.anywhere:
            continue
        if held.base == "self" and taking.place.base in names:
            return taking
    return None


def _owners(file: PythonFile, thread: ast.expr, home: Class, cls: Class) -> Iterator[str]:
    """Yield the attributes by which a thread keeps who made it, as the base of a place: what
    each call that makes it hands in as `self`.
    """
    init = cls.method("__init__")
    made = _made(file, thread, home, cls)
    if init is None or not made:
        return
    for name in init.parameters[1:]:
        at = init.parameters.index(name) - 1
        given = [(other, argument(call, at, name)) for other, call in made]
        if not all(node is not None and is_self(other, node) for other, node in given):
            continue
        binding = init.scope.bindings.get(name)
        for use in init.file.uses(binding) if binding is not None else ():
            above = parent(use)
            target = above.targets[0] if isinstance(above, ast.Assign) else None
            if isinstance(above, ast.AnnAssign):
                target = above.target
            if not isinstance(target, ast.Attribute) or not is_self(init.file, target.value):
                continue
            place = init.file.place(target)
            if place is not None and cls.is_lasting(target.attr):
                yield "/".join(place)


def _made(
    file: PythonFile, thread: ast.expr, home: Class, cls: Class
) -> list[tuple[PythonFile, ast.Call]]:
    """Return the calls that make what a thread's variable holds, none when something else may."""
    found: list[tuple[PythonFile, ast.expr]] = []
    if isinstance(thread, ast.Attribute) and is_self(file, thread.value):
        found = home.values_of(thread.attr)
    else:
        value = file.value(thread)
        if value is not None and value.made is not None:
            found = [(value.file, value.made)]
    calls: list[tuple[PythonFile, ast.Call]] = []
    for other, node in found:
        if isinstance(node, ast.Constant) and node.value is None:
            continue
        value = other.value(node)
        if not isinstance(node, ast.Call) or value is None or value.cls is not cls:
            return []
        calls.append((other, node))
    return calls
