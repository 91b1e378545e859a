"""Use a lock of asyncio around await

A coroutine that awaits while it holds a lock of threads lets other tasks run; the first of
them that wants the lock blocks the only thread there is, and with it the one that could
release the lock. The program stands still.

Not reported: locks that are released before the await; locks of asyncio.

In tests it is a hint.

Unsafe: the lock becomes one of asyncio, or of trio or anyio in a program that runs on these, where
every use of it is in coroutines.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python.borrowed import borrowed_sections
from threadmend.python.builders import BuilderError, drop_import, reference
from threadmend.python.file import PythonFile
from threadmend.python.flow import walk
from threadmend.python.functions import Function
from threadmend.python.locks import Lock, Section
from threadmend.python.places import Place, only_result

from ._loops import loop_library
from ._tests import softened

CATEGORY = "asyncio"
GATE = rb"\bawait\b|\basync +with\b|\basync +for\b"

_LIBRARIES = ("asyncio", "trio", "anyio")
"""Those whose Lock() excludes tasks and is taken with `async with`."""


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the critical sections of thread locks in which a coroutine waits."""
    for section in file.sections:
        if section.lock.family != "thread" or isinstance(section.start, ast.AsyncWith):
            continue
        if section.function is None or not section.function.is_async:
            continue
        if section.kind == "acquire" and section.release is None:
            continue
        waits = next((node for node in walk(section.body) if isinstance(node, _WAITS)), None)
        if waits is not None:
            yield softened(file, _finding(file, section, waits))
    for section in borrowed_sections(file):
        if section.lock.family != "thread" or not isinstance(section.start, ast.With):
            continue
        waits = next((node for node in walk(section.body) if isinstance(node, _WAITS)), None)
        is_async = section.function is not None and section.function.is_async
        if waits is not None and is_async and section.kind == "borrowed":
            yield softened(file, _borrowed(file, section, waits))


_WAITS = (ast.Await, ast.AsyncWith, ast.AsyncFor)


def _borrowed(file: PythonFile, section: Section, waits: ast.AST) -> Finding:
    """Return the finding about a lock that a context manager of the project takes."""
    start, end = file.span(section.item)
    name = section.lock.place.name
    said = f"{name} is held across an await, and blocks the event loop for the next task"
    line = file.tree.line_of(file.span(waits)[0])
    related = (Related(file.path, *file.span(waits), f"{name} is held here (line {line})"),)
    reason = "a context manager takes the lock, which is no lock of asyncio"
    return Finding(file.path, start, end, said, related=related, reason=reason)


def _finding(file: PythonFile, section: Section, waits: ast.AST) -> Finding:
    name = file.text(section.item)
    start, end = file.span(section.item)
    said = f"{name} is held across an await, and blocks the event loop for the next task"
    line = file.tree.line_of(file.span(waits)[0])
    related = (Related(file.path, *file.span(waits), f"{name} is held here (line {line})"),)
    try:
        library = _library(section.lock)
        edits = _edits(file, section, f"{library}.Lock")
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    title = f"Make {name} a lock of {library}"
    fix = Fix(title, edits, Safety.UNSAFE, "the kind of the lock changes")
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _library(lock: Lock) -> str:
    """Return whose lock it is to become; raises BuilderError when nobody can tell."""
    found = loop_library(lock.value.file)
    if found not in _LIBRARIES:
        raise BuilderError("nobody can tell which library runs the coroutines")
    return found


def _edits(file: PythonFile, section: Section, new: str) -> tuple[Edit, ...]:
    """Return the edits of the constructor and of every use; raises BuilderError when the lock
    is used where nothing can be awaited.
    """
    lock = section.lock
    home = lock.value.file
    maker = _maker(lock)
    if lock.type != "threading.Lock" or maker is None:
        raise BuilderError(f"a {lock.type} has no counterpart in asyncio that could replace it")
    if maker is lock.value.made:
        _not_given(file, lock, maker)
    elif _is_early(home, maker, new):
        raise BuilderError("before Python 3.10 asyncio.Lock belongs to the loop that is running")
    edits: list[Edit] = []
    showing = list(_showing(lock))
    for other in _users(file, lock, showing):
        for use in other.sections:
            if _same(use.lock.place, lock.place):
                if use.function is None or not use.function.is_async:
                    raise BuilderError("the lock is also used outside of coroutines")
                edits.append(_awaited(other, use))
        _other_uses(other, section, showing)
    name, added = reference(home, new, maker)
    kinds = [maker, *_annotated(home, maker, lock.type), *_returned(home, showing, lock.type)]
    edits += [Edit(home.path, *home.span(kind), home.encode(name)) for kind in kinds]
    return (*edits, *added, *drop_import(home, maker, added, kinds))


def _is_early(home: PythonFile, maker: ast.expr, new: str) -> bool:
    """Return whether a lock of asyncio would be made where no loop runs yet that it is for."""
    is_outside = home.function(maker) is None and home.python_version < (3, 10)
    return is_outside and new == "asyncio.Lock"


def _maker(lock: Lock) -> ast.expr | None:
    """Return what names the kind of a lock where it is made: `threading.Lock` of a call, of
    `field(default_factory=threading.Lock)` and of `defaultdict(threading.Lock)`.
    """
    made = lock.value.made
    if isinstance(made, ast.Call):
        return made.func
    is_named = isinstance(made, ast.Name | ast.Attribute)
    return made if is_named and lock.value.file.qualified(made) == lock.type else None


def _annotated(file: PythonFile, maker: ast.expr, kind: str) -> list[ast.expr]:
    """Return what names the kind of a lock in the annotation of what it is assigned to."""
    statement = file.statement(maker)
    if not isinstance(statement, ast.AnnAssign):
        return []
    names = (n for n in ast.walk(statement.annotation) if isinstance(n, ast.Name | ast.Attribute))
    return [name for name in names if file.qualified(name) == kind]


def _showing(lock: Lock) -> Iterator[Function]:
    """Yield the properties, and methods, of the lock's object that return it and do nothing else:
    who takes what they return takes the lock.
    """
    home = lock.value.file
    owner = home.project.class_named(lock.place.owner) if lock.place.kind == "attribute" else None
    for cls in (owner, *owner.heirs) if owner is not None else ():
        for method in cls.methods.values():
            result = only_result(method)
            if not isinstance(result, ast.Attribute) or method.is_async:
                continue
            place = method.file.place(result)
            if place is not None and _same(place, lock.place):
                yield method


def _returned(home: PythonFile, showing: list[Function], kind: str) -> list[ast.expr]:
    """Return what names the kind of a lock in what methods say that they return."""
    found: list[ast.expr] = []
    for method in showing:
        said = getattr(method.node, "returns", None)
        for name in ast.walk(said) if said is not None else ():
            if isinstance(name, ast.Name | ast.Attribute) and method.file.qualified(name) == kind:
                found.append(name)
            elif isinstance(name, ast.Constant) and isinstance(name.value, str):
                raise BuilderError(f"{method.name} says in a string what it returns")
        if found and method.file is not home:
            raise BuilderError(f"{method.name} says in another file what it returns")
    return found


def _not_given(file: PythonFile, lock: Lock, maker: ast.expr) -> None:
    """Raise BuilderError when somebody hands an object the lock that it makes by default."""
    home = lock.value.file
    owner = next((n for n in home.ancestors(maker) if isinstance(n, ast.ClassDef)), None)
    if owner is None or home.function(maker) is not None:
        return
    name = lock.place.name.rpartition(".")[2]
    fields = [s.target for s in owner.body if isinstance(s, ast.AnnAssign)]
    at = next((n for n, f in enumerate(fields) if isinstance(f, ast.Name) and f.id == name), 99)
    for path in file.project.paths:
        other = file.project.readable(path) if owner.name.encode() in _data(file, path) else None
        for call in other.calls(owner.name, "replace") if other is not None else ():
            if len(call.args) > at or any(word.arg in {name, None} for word in call.keywords):
                raise BuilderError("a caller may give the object its lock")


def _data(file: PythonFile, path: str) -> bytes:
    return file.project.source(path).data


def _users(file: PythonFile, lock: Lock, showing: list[Function]) -> list[PythonFile]:
    """Return the files that may use a lock: those that hold its name, or that of what shows it."""
    home = lock.value.file
    is_private = lock.place.kind == "local" or lock.place.name.startswith("_")
    if home is file and is_private and not showing:
        cls = file.project.class_named(lock.place.owner) if lock.place.base == "self" else None
        if cls is None or all(heir.file is file for heir in cls.heirs):
            return [file]
    names = [file.encode(name) for name in (_last(lock.place), *(f.name for f in showing))]
    found = {file: None, home: None}
    for path in file.project.paths:
        if any(name in file.project.source(path).data for name in names):
            other = file.project.readable(path)
            if other is None:
                raise BuilderError(f"{path} may use the lock")
            found[other] = None
    return list(found)


def _awaited(file: PythonFile, use: Section) -> Edit:
    """Return the edit that awaits the lock: `async with`, or `await lock.acquire()`."""
    if use.kind == "with":
        if len(getattr(use.start, "items", ())) != 1:
            raise BuilderError("the lock is taken together with others")
        at = file.span(use.start)[0]
        return Edit(file.path, at, at, b"async ")
    call = use.start.value if isinstance(use.start, ast.Expr) else None
    if not isinstance(call, ast.Call) or call.args or call.keywords or use.release is None:
        raise BuilderError("the lock is taken in a way that asyncio does not have")
    at = file.span(call)[0]
    return Edit(file.path, at, at, b"await ")


def _same(one: Place, other: Place) -> bool:
    return one.anywhere == other.anywhere


def _other_uses(file: PythonFile, section: Section, showing: list[Function]) -> None:
    """Raise BuilderError when the lock is used other than in a `with` statement."""
    place = section.lock.place
    items = {id(s.item) for s in file.sections}
    items |= {id(_receiver(s.release)) for s in file.sections if s.release is not None}
    names: list[ast.Attribute | ast.Name] = [*file.nodes(ast.Attribute), *file.nodes(ast.Name)]
    known = {_last(place), *(method.name for method in showing)}
    for name in names:
        if not isinstance(name.ctx, ast.Load) or _name(name) not in known:
            continue
        above = file.parent(name)
        node = above if isinstance(above, ast.Call) and _is_shown(name, above, showing) else name
        function = file.function(name)
        if id(node) in items or (function in showing and only_result(function) is name):
            continue
        found = file.place(node)
        if found is not None and _same(found, place):
            raise BuilderError("the lock is used in another way than with")
        if place.base and _may_take(file, name, node):
            raise BuilderError(f"{file.text(node)} may be the lock, and is taken here as well")


def _is_shown(name: ast.Attribute | ast.Name, call: ast.Call, showing: list[Function]) -> bool:
    return call.func is name and any(method.name == _name(name) for method in showing)


def _may_take(file: PythonFile, name: ast.Attribute | ast.Name, node: ast.expr) -> bool:
    """Return whether a lock of an object that nobody tells the kind of is taken."""
    if not isinstance(name, ast.Attribute) or file.value(name.value) is not None:
        return False
    above = file.parent(node)
    if isinstance(above, ast.Attribute):
        return above.attr in {"acquire", "release"}
    return isinstance(above, ast.withitem) and isinstance(file.parent(above), ast.With)


def _receiver(release: ast.stmt) -> ast.expr | None:
    """Return `lock` of `lock.release()`."""
    call = release.value if isinstance(release, ast.Expr) else None
    func = call.func if isinstance(call, ast.Call) else None
    return func.value if isinstance(func, ast.Attribute) else None


def _last(place: Place) -> str:
    return place.name.rpartition(".")[2]


def _name(node: ast.Attribute | ast.Name) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id
