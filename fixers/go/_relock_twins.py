"""The `…Locked` twins of the functions between a held lock and the place that takes it again.

    func (d *D) allow(n int) bool {       func (d *D) allowLocked(n int) bool {
        has := d.reserved()                   has := d.reservedLocked()
        return has+n < d.stock()              return has+n < d.stockLocked()
    }                                     }

A function on the way that takes the lock in several calls gets all of them replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.builders import BuilderError
from threadmend.golang.calls import callers
from threadmend.golang.effects import events_of_call
from threadmend.golang.families import CannotFollow, family
from threadmend.golang.file import GoFile
from threadmend.golang.lock_calls import lock_call
from threadmend.golang.locks import declaration_of
from threadmend.golang.package import Decl
from threadmend.golang.syntax import Node
from threadmend.golang.targets import Body
from threadmend.model import Edit

from ._locked import Split, call_edit, copied, split, without_lock
from ._locked_interface import widened
from ._relock_checks import check_named, check_place, check_same_object

__all__ = ["Twin", "only_below", "others_beside", "renamed", "twin_of"]

_MOST = 4  # calls of one function that take the lock


@dataclass(frozen=True, slots=True)
class Twin:
    """What a call that leads to a lock is to call instead of `decl`: `name`, made by `edits`.

    `inner` is the first of the functions on the way that stay for others, too.
    """

    decl: Decl
    name: str
    edits: tuple[Edit, ...]
    inner: str


def twin_of(file: GoFile, path: tuple[Node, ...], kept: frozenset[Node] = frozenset()) -> Twin:
    """Return the twin of what the first call of a path to a lock calls.

    `kept`: calls in functions that nobody else calls, so that they are changed themselves.
    """
    workspace = file.package.workspace
    operation = path[-1]
    owner = workspace.file_of(operation)
    made = lock_call(owner, operation)
    function = operation.function
    decl = declaration_of(owner, function) if function is not None else None
    if decl is None or made is None or made.access is None:
        raise BuilderError("the function that locks has no name")
    check_place(file, path[0], decl.file)
    check_same_object(file, path[1:])
    try:
        result = split(decl, made.access)
    except BuilderError:
        if not _is_only_call(decl, path[0]) or operation is not path[1]:
            raise
        # What it does before it locks runs in the caller's critical section as it is.
        result = Split(decl.name, without_lock(decl.file, decl.node, made.access))
    twin = Twin(decl, result.name, result.edits, result.name)
    for index in range(len(path) - 2, 0, -1):
        twin = _around(file, path[index:], twin, path[index] in kept)
    return twin


def _around(file: GoFile, path: tuple[Node, ...], twin: Twin, kept: bool) -> Twin:
    """Return the twin of the function that makes the first call of a path, which calls `twin`."""
    workspace = file.package.workspace
    call = path[0]
    function, owner = call.function, workspace.file_of(call)
    between = declaration_of(owner, function) if function is not None else None
    if between is None:
        raise BuilderError("the lock is taken through a function without a name")
    others = _beside(Body(owner, between.node), path)
    calls = [(call, twin), *((other[0], twin_of(file, other)) for other in others)]
    edits = [edit for _, made in calls for edit in made.edits]
    for at, made in calls:
        check_named(at, made.decl)
        edits += widened(owner, at, made.decl, made.name)
    if kept:  # there is nobody to keep the old one for
        for at, made in calls:
            edits += [] if made.name == made.decl.name else [call_edit(at, made.name)]
        return Twin(between, between.name, tuple(edits), twin.inner)
    result = copied(between, [(at, made.name) for at, made in calls])
    return Twin(between, result.name, (*edits, *result.edits), result.name)


def _beside(body: Body, path: tuple[Node, ...]) -> list[tuple[Node, ...]]:
    """Return the other ways on which a function comes to the lock, one for each call."""
    operation = path[-1]
    meant = {
        e.access for e in events_of_call(body, path[0]) if e.access and e.operation is operation
    }
    found: dict[Node, tuple[Node, ...]] = {}
    for call in body.node.own() if meant else ():
        if call.kind != "call_expression" or call is path[0]:
            continue
        for event in events_of_call(body, call):
            if event.kind == "acquire" and event.sure and event.access in meant:
                found.setdefault(call, tuple(event.path))
    if len(found) >= _MOST:
        raise BuilderError("the lock is taken in too many calls")
    return [way for call, way in found.items() if call is not path[0]]


def others_beside(file: GoFile, path: tuple[Node, ...]) -> Iterator[tuple[Edit, ...]]:
    """Yield the edits by which the other calls of a function that take the lock leave it alone."""
    owner, function = file.package.workspace.file_of(path[0]), path[0].function
    for way in _beside(Body(owner, function), path) if function is not None else ():
        twin = twin_of(file, way)
        yield (*twin.edits, *renamed(owner, way[0], twin))


def renamed(file: GoFile, call: Node, twin: Twin) -> Iterator[Edit]:
    """Yield the edits that make a call call a twin, none for one that keeps its name."""
    check_named(call, twin.decl)
    yield from widened(file, call, twin.decl, twin.name)
    if twin.name != twin.decl.name:
        yield call_edit(call, twin.name)


def only_below(file: GoFile, path: tuple[Node, ...], site: int) -> frozenset[Node]:
    """Return which calls of a path are made by functions that run on that path and nowhere else.

    From the blamed call downwards: below a function that others call, others come along, too.
    """
    found: set[Node] = set()
    for index in range(site + 1, len(path) - 1):
        function = path[index].function
        owner = file.package.workspace.file_of(path[index])
        decl = declaration_of(owner, function) if function is not None else None
        if decl is None or not _is_only_used_by(decl, path[index - 1]):
            break
        found.add(path[index])
    return frozenset(found)


def _is_only_used_by(decl: Decl, call: Node) -> bool:
    """Return whether one call is the only use of an unexported function, interfaces counted."""
    if decl.exported or decl.node.contains(call):
        return False
    try:
        return [site.call for site in family(decl).sites] == [call]
    except CannotFollow:
        return False


def _is_only_call(decl: Decl, call: Node) -> bool:
    """Return whether nothing but one call uses an unexported function."""
    return not decl.exported and [site.call for site in callers(decl)] == [call]
