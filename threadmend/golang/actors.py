"""Actors: a goroutine that writes a field round after round, and methods that use it meanwhile.

    func (m *monitor) Start()         { go m.run() }
    func (m *monitor) run()           { for { m.status = check(); time.Sleep(m.pause) } }
    func (m *monitor) Status() string { return m.status }

The loop has no end that a caller could wait for, so that whoever calls the method does so
while the goroutine runs. Only exported methods of the same type count, which neither wait
for anything nor belong to the goroutine themselves, and only writes without a lock.

Likewise what a function of the library calls round after round, where the object that has it is
handed out: `go io.Copy(file, io.TeeReader(body, u.progress))` in a constructor that returns `u`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import Access
from threadmend.golang.belief import is_beyond_judgement, outer_function
from threadmend.golang.calls import code_files, own_callers
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import Launch, innermost_loop, launches_in
from threadmend.golang.guards import FieldAccess, accesses_like
from threadmend.golang.lefts import touches_of_launch
from threadmend.golang.library import methods_called
from threadmend.golang.locks import LOCK_CALLS, declaration_of
from threadmend.golang.scope import Binding
from threadmend.golang.summaries import touches_of
from threadmend.golang.syntax import Node
from threadmend.golang.touches import Touch
from threadmend.golang.types import Chan, Named, deref

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = ["Actor", "actors", "in_endless_loop", "is_handed_out"]

_LAUNCH = re.compile(rb"\bgo\s+[\w(]|\.Go\(")
# What printing calls, in the goroutine too, and what is asked when all is over.
_OWN_OR_LATE = re.compile(
    r"(?:String|GoString|Error|Format|Marshal\w*|Err|Result\w*|Trailer|Header|Close|Stop)$"
)
_SHORT = 4
_WAITS = frozenset({"Wait", "Lock", "RLock", "Do"})


@dataclass(frozen=True, slots=True)
class Actor:
    """A write in the loop of a launched goroutine, and an access that may meet it."""

    launch: Launch
    write: Touch
    other: FieldAccess


def actors(package: Package) -> Iterator[Actor]:
    """Yield the writes of goroutines that methods may meet, one for each field."""
    seen: set[str] = set()
    for file in code_files(package):
        if file.generated or not file.holds(_LAUNCH):
            continue
        for declaration in file.declarations(_LAUNCH):
            for launch in launches_in(file, declaration.node):
                if launch.body is not None and launch.kind != "timer":
                    for actor in (*_of_launch(file, launch), *_watched(file, launch)):
                        if actor.write.place not in seen:
                            seen.add(actor.write.place)
                            yield actor


def _of_launch(file: GoFile, launch: Launch) -> Iterator[Actor]:
    body = launch.body
    assert body is not None
    if not any(n.kind == "for_statement" and _is_endless(file, n) for n in body.walk()):
        return
    own = launch.decl.file if launch.decl is not None else file
    for touch in touches_of(own, body):
        root = touch.access.root
        if (
            not touch.writes
            or touch.in_channel
            or touch.locks
            or len(touch.access.steps) != 1
            or not isinstance(root, Binding)
        ):
            continue
        if root.kind != "receiver" or not in_endless_loop(own, body, touch):
            continue
        for other in accesses_like(file.package, touch.file, touch.node):
            if _meets(file, body, touch, other):
                yield Actor(launch, touch, other)
                break


def _watched(file: GoFile, launch: Launch) -> Iterator[Actor]:
    """Yield the writes to parts of an object that is handed out, with a method that looks there."""
    body, own = launch.body, launch.decl.file if launch.decl is not None else file
    assert body is not None
    for touch in touches_of_launch(file, launch):
        root = touch.access.root
        if not touch.writes or touch.in_channel or touch.locks or not isinstance(root, Binding):
            continue
        if not is_handed_out(launch, touch.access):
            continue
        if in_endless_loop(own, body, touch):
            if root.kind == "receiver" and len(touch.access.steps) == 1:
                continue
        elif not any(_goes_on(file.package.workspace.file_of(n), n) for n in touch.path):
            continue
        other = _looked_at(file, root, launch, touch)
        if other is not None:
            yield Actor(launch, touch, other)


def _goes_on(file: GoFile, call: Node) -> bool:
    """Return whether a function of the library calls what it is given again and again."""
    if call.kind != "call_expression" or not any(methods_called(file, call)):
        return False
    outer: Node | None = call
    while outer is not None and not outer.kind.endswith("_statement"):
        if outer.kind == "call_expression" and outer["function"].kind == "selector_expression":
            if outer["function"]["field"].name in _COPIES:
                return True
        outer = outer.parent
    return False


_COPIES = frozenset({"Copy", "CopyN", "CopyBuffer", "ReadAll"})


def _looked_at(file: GoFile, root: Binding, launch: Launch, touch: Touch) -> FieldAccess | None:
    """Return the access of an exported method of the object, to the part that is written.

    Not what the method that launches does on another path: `if now { s.send(); return }; go …`.
    """
    body = launch.body
    assert body is not None
    package, owner = file.package, deref(file.type_of(root.node))
    if not isinstance(owner, Named) or owner.package != package.key:
        return None
    for name, decls in package.methods(owner.name).items():
        if not name[:1].isupper() or _OWN_OR_LATE.match(name) or len(decls) != 1:
            continue
        decl = decls[0]
        if not decl.sound or decl.file.is_test or _belongs_to(decl.file, decl.node, body):
            continue
        for other in touches_of(decl.file, decl.node):
            base = other.access.root
            if not isinstance(base, Binding) or base.kind != "receiver" or not other.early:
                continue
            if other.access.steps != touch.access.steps or other.locks or other.apart:
                continue
            if decl.node is launch.function and not _comes_after(launch, other.path[0]):
                continue
            for access in accesses_like(package, other.file, other.node):
                if access.node is other.node and not is_beyond_judgement(access, any_object=True):
                    return access
    return None


def _comes_after(launch: Launch, node: Node) -> bool:
    """Return whether the launching function may come to a node after the launch."""
    assert launch.function is not None
    flow = flow_of(launch.function)
    start, point = flow.point_of(launch.node), flow.point_of(node)
    return start is None or point is None or point in flow.reachable(start)


def is_handed_out(launch: Launch, access: Access) -> bool:
    """Return whether an object outlives the launching function: its receiver, or its result."""
    root, function = access.root, launch.function
    if not isinstance(root, Binding) or function is None or root.function is not function:
        return False
    if root.kind == "receiver":
        return True
    returns = [n for n in function.own() if n.kind == "return_statement"]
    return root.kind == "variable" and any(
        use.up("return_statement") in returns and use.parent is not None
        and use.parent.kind in {"expression_list", "return_statement"}
        for use in root.uses
    )  # fmt: skip


def _is_endless(file: GoFile, loop: Node) -> bool:
    """Return whether a loop runs until somebody ends it: `for {`, `for x := range channel`."""
    for child in loop.children:
        if child.kind == "range_clause":
            return isinstance(file.underlying(file.type_of(child["right"])), Chan)
        if child.kind == "for_clause" or child.field == "condition":
            return False
        if child.kind not in {"block", "for"}:
            return False
    return True


def in_endless_loop(file: GoFile, body: Node, touch: Touch) -> bool:
    """Return whether a goroutine comes to a touch in each round of its endless loop."""
    step: Node | None = next((n for n in touch.path if body.contains(n)), None)
    while step is not None:
        loop = innermost_loop(step)
        if loop is None:
            return False
        if _is_endless(file, loop):
            return True
        step = loop
    return False


def _meets(file: GoFile, body: Node, touch: Touch, other: FieldAccess) -> bool:
    """Return whether an access is made by others while the goroutine runs, without a lock."""
    if other.kind not in {"read", "write", "update", "store"}:
        return False
    if is_beyond_judgement(other, locked_too=True):
        return False
    function = outer_function(other.node)
    if function is None or not function["name"].name[:1].isupper():
        return False
    if _OWN_OR_LATE.match(function["name"].name):
        return False
    if other.node.function is not function or body.contains(other.node):
        return False
    if function is outer_function(touch.node):
        return False
    if other.held and len(function["body"].statements) > _SHORT:
        return False  # what hands work to the goroutine is ordered with it, perhaps
    if not other.held and _waits_before(function, other.node):
        return False
    return not _belongs_to(other.file, function, body)


def _waits_before(function: Node, node: Node) -> bool:
    for other in function.own():
        if other.start >= node.start:
            return False
        if other.kind == "unary_expression" and other["operator"].kind == "<-":
            return True
        if other.kind in {"select_statement", "receive_statement", "send_statement"}:
            return True
        if other.kind == "call_expression" and other["function"].kind == "selector_expression":
            if other["function"]["field"].name in _WAITS:
                return True
    return False


def _belongs_to(file: GoFile, function: Node, body: Node) -> bool:
    """Return whether the goroutine itself calls a method, or it is passed on as a value."""
    decl = declaration_of(file, function)
    if decl is None:
        return True
    for site in own_callers(decl, LOCK_CALLS):
        if site.call is None or body.contains(site.node):
            return True
    return False
