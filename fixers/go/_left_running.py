"""Flags that a goroutine, left running by a constructor or a start method, shares with callers.

    func New() *poller {                       func (p *poller) Stop() {
        p := &poller{}                             p.stopped = true
        go p.loop()   // for !p.stopped {…}    }
        return p
    }

A flag that the goroutine looks at in each of its rounds and an exported method sets is there for
that: for whom else. So is a number that it reads there and an exported method counts up or down.
Fields that the goroutine writes are the business of `golang/actors`.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import BuilderError
from threadmend.golang.calls import code_files
from threadmend.golang.crowds import own_nodes
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import Launch, innermost_loop, launches_in, or_spawning
from threadmend.golang.guards import guard_of
from threadmend.golang.handouts import is_handed_out
from threadmend.golang.lefts import STARTS, touches_of_launch
from threadmend.golang.package import Package
from threadmend.golang.races import explained, shared_writes
from threadmend.golang.rounds import in_endless_loop
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.touches import Touch, is_early
from threadmend.golang.types import Named
from threadmend.model import Finding, Fix, Related

from ._atomic_field import atomic_field
from ._new_lock import guard_fields

__all__ = ["left_running"]

_LEAVES = frozenset({"return_statement", "break_statement"})


def left_running(package: Package) -> Iterator[Finding]:
    """Yield a finding for each flag that a goroutine shares with an exported method."""
    known = {w.place for w in shared_writes(package)}
    for file in code_files(package):
        if file.generated or file.is_test:
            continue
        for declaration in file.declarations(or_spawning(file.package, STARTS)):
            for launch in launches_in(file, declaration.node):
                if launch.function is not declaration.node or launch.body is None:
                    continue
                if launch.kind == "timer" or not _stays(launch):
                    continue
                for touch in touches_of_launch(file, launch):
                    if touch.place not in known:
                        finding = _shared(package, file, launch, touch)
                        if finding is not None:
                            known.add(touch.place)
                            yield finding


def _stays(launch: Launch) -> bool:
    """Return whether the launching function only starts: it launches once and waits for nobody."""
    return launch.loop is None


def _shared(package: Package, file: GoFile, launch: Launch, touch: Touch) -> Finding | None:
    if touch.locks or touch.in_channel or touch.writes or len(touch.access.steps) != 1:
        return None
    if not is_handed_out(launch, touch.access) or explained(touch.file, touch.node):
        return None
    own = launch.decl.file if launch.decl is not None else file
    flag = _decides_rounds(touch) and _is_bool(touch)
    if not flag and (launch.body is None or not in_endless_loop(own, launch.body, touch)):
        return None
    accesses = accesses_like(package, touch.file, touch.node)
    if guard_of(accesses, written=False) is not None or any(a.held for a in accesses):
        return None
    inside = {outer_function(n) for n in touch.path} | _reached(file, launch)
    for access in accesses:
        function = outer_function(access.node)
        if function is None or function in inside or access.fresh or access.file.is_test:
            continue
        if not flag and access.kind != "update":
            continue  # it may be set once, before the goroutine begins
        if access.writes and _is_open(access, function):
            return _finding(package, launch, touch, access, accesses)
    return None


def _decides_rounds(touch: Touch) -> bool:
    """Return whether a goroutine leaves its loop because of what it reads."""
    node, loop = touch.node, innermost_loop(touch.node)
    if loop is None or node.function is not loop.function:
        return False
    inner = node
    for ancestor in node.ancestors():
        if ancestor is loop:
            return inner.field != "body"
        if ancestor.kind == "if_statement":
            last = ancestor["consequence"].statements[-1:]
            return inner.field == "condition" and bool(last) and last[0].kind in _LEAVES
        if ancestor.kind.endswith("_statement"):
            return False
        inner = ancestor
    return False


def _is_bool(touch: Touch) -> bool:
    type_ = touch.file.type_of(touch.node)
    return isinstance(type_, Named) and not type_.package and type_.name == "bool"


def _reached(file: GoFile, launch: Launch) -> set[Node | None]:
    """Return the functions that a goroutine runs, two calls deep."""
    assert launch.body is not None
    own = launch.decl.file if launch.decl is not None else file
    found: set[Node | None] = {launch.body, launch.function}
    edge = [(own, launch.body)]
    for _ in range(3):
        following = []
        for inside, body in edge:
            for node in own_nodes(inside, body):
                decl = inside.callee(node) if node.kind == "call_expression" else None
                if decl is not None and decl.node not in found:
                    found.add(decl.node)
                    following.append((decl.file, decl.node))
        edge = following
    return found


def _is_open(access: FieldAccess, function: Node) -> bool:
    """Return whether any caller may come to an access at any time."""
    if function.kind != "method_declaration" or not function["name"].name[:1].isupper():
        return False
    base = access.base
    if base is None or not isinstance(base.root, Binding) or base.root.kind != "receiver":
        return False
    if base.steps or access.node.function is not function:
        return False
    if explained(access.file, access.node):
        return False
    return is_early(access.file, function, access.node)


def _finding(
    package: Package,
    launch: Launch,
    touch: Touch,
    access: FieldAccess,
    accesses: list[FieldAccess],
) -> Finding:
    fix, reason = _fix(package, touch, access, accesses)
    node = access.node
    return Finding(
        path=node.path,
        start=node.start,
        end=node.end,
        message=f"{node.name} is written while a goroutine looks at it in its rounds",
        fixes=(fix,) if fix is not None else (),
        related=(
            Related(launch.node.path, launch.node.start, launch.node.end, "launched here"),
            Related(touch.node.path, touch.node.start, touch.node.end, "read here"),
        ),
        reason=reason,
    )


def _fix(
    package: Package, touch: Touch, access: FieldAccess, accesses: list[FieldAccess]
) -> tuple[Fix | None, str]:
    atomic = atomic_field(package, access)
    if atomic is not None and atomic.flag:
        return atomic.fix, ""
    tops = {outer_function(touch.node), outer_function(access.node)}
    own = [a for a in accesses if a.node is touch.node]
    try:
        return guard_fields(package, [access], tops, own), ""
    except BuilderError as error:
        return (atomic.fix, "") if atomic is not None else (None, str(error))
