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

from threadmend.golang.asked_by_others import belongs_to, calls_back, has_callers
from threadmend.golang.belief import is_beyond_judgement
from threadmend.golang.calls import code_files, own_callers
from threadmend.golang.count_helpers import counted_fields, waits
from threadmend.golang.crowds import HANDLER, crowds
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.flow import flow_of
from threadmend.golang.functions import doc_of, outer_function
from threadmend.golang.goroutines import Launch, launches_in, or_spawning
from threadmend.golang.handouts import handed_out
from threadmend.golang.kept_calls import is_kept, kept_launch
from threadmend.golang.lefts import (
    calls_leaving,
    lefts_of,
    lefts_of_call,
    may_start,
    touches_of_launch,
)
from threadmend.golang.locks import LOCK_CALLS, declaration_of
from threadmend.golang.pauses import pauses
from threadmend.golang.published import is_told_by_atomic
from threadmend.golang.repeats import runs_for_good, switches
from threadmend.golang.rounds import (
    ENDLESS,
    adds,
    goes_on,
    in_endless_loop,
    is_endless,
    is_of_one_call,
    rounds_of,
)
from threadmend.golang.scope import Binding
from threadmend.golang.setup import is_setup
from threadmend.golang.spoken import is_explained
from threadmend.golang.summaries import touches_of
from threadmend.golang.syntax import Declaration, Node
from threadmend.golang.touches import Touch
from threadmend.golang.types import Named, Type

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package

__all__ = ["Actor", "actors", "comes_after"]

_LAUNCH = re.compile(rb"\bgo\s+[\w(]|\.Go\(|\bAfterFunc\(")
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
    """Yield the writes of goroutines that methods may meet, one for each place."""
    seen: set[str] = set()
    for file in code_files(package):
        if file.generated or not may_start(file, _LAUNCH):
            continue
        for declaration in file.tree.declarations:
            if declaration.kind not in {"function_declaration", "method_declaration"}:
                continue
            for start in _starts(file, declaration):
                timed = start.launch.kind == "timer"
                own = () if timed or start.left else _of_launch(file, start.launch)
                for actor in (*own, *_watched(file, start)):
                    if actor.write.place not in seen:
                        seen.add(actor.write.place)
                        yield actor
    for decl in package.functions():
        for actor in _kept(decl):
            if actor.write.place not in seen:
                seen.add(actor.write.place)
                yield actor


def _kept(decl: Decl) -> Iterator[Actor]:
    """Yield the writes of a method that a goroutine calls through a field which keeps it."""
    if decl.kind != "method" or decl.exported or not decl.sound or not decl.has_body:
        return
    if decl.file.generated or decl.file.is_test:
        return
    launch = kept_launch(decl) if is_kept(decl) else None
    if launch is None or launch.body is None:
        return
    again = launch.kind == "timer" or any(n.kind == "for_statement" for n in launch.body.walk())
    start = _Start(decl.node, launch, touches_of(decl.file, decl.node))
    for touch in start.touches:
        if touch.writes and not touch.in_channel and not touch.locks and (again or adds(touch)):
            other = _onlooker(decl.file, start, touch, ENDLESS)
            if other is not None:
                yield Actor(launch, touch, other)


@dataclass(frozen=True, slots=True)
class _Start:
    """A launch by a function, or by one that it calls (`left`), touches in its own terms."""

    function: Node
    launch: Launch
    touches: list[Touch]
    left: bool = False

    @property
    def declaration(self) -> Node | None:
        """Return the function or method that the launch stands in."""
        literal = self.function.kind == "func_literal"
        return outer_function(self.function) if literal else self.function


def _starts(file: GoFile, declaration: Declaration) -> Iterator[_Start]:
    launch_names = or_spawning(file.package, _LAUNCH)
    if launch_names.search(file.data, declaration.start, declaration.end):
        for launch in launches_in(file, declaration.node):
            if launch.body is not None and launch.function is not None:
                yield _Start(launch.function, launch, touches_of_launch(file, launch))
    if calls_leaving(file, declaration):
        for call in declaration.index.get("call_expression", ()):
            if call.function is declaration.node:
                for left in lefts_of_call(file, call):
                    yield _Start(declaration.node, left.launch, left.touches, left=True)


def _of_launch(file: GoFile, launch: Launch) -> Iterator[Actor]:
    body = launch.body
    assert body is not None
    if not any(n.kind == "for_statement" and is_endless(file, n) for n in body.walk()):
        return
    if is_of_one_call(file, launch) and not _is_left(file, launch):
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
            if _meets(file, body, touch, other) and not _is_before(launch, other.node):
                yield Actor(launch, touch, other)
                break


def _watched(file: GoFile, start: _Start) -> Iterator[Actor]:
    """Yield the writes to what others know as well, with an exported function that looks there."""
    launch, body = start.launch, start.launch.body
    assert body is not None
    for touch in start.touches:
        if not touch.writes or touch.in_channel or touch.locks:
            continue
        workspace = file.package.workspace
        rounds = ENDLESS if launch.kind == "timer" else rounds_of(file, body, touch)
        if not rounds and any(goes_on(workspace.file_of(n), n) for n in touch.path):
            rounds = ENDLESS
        if not rounds and _adds_up(file, start, touch):
            rounds = ENDLESS
        if not rounds or not (start.left or launch.kind == "timer" or _is_left(file, launch)):
            continue
        other = _onlooker(file, start, touch, rounds)
        if other is not None:
            yield Actor(launch, touch, other)


def _onlooker(file: GoFile, start: _Start, touch: Touch, rounds: str) -> FieldAccess | None:
    if isinstance(touch.access.root, Binding):
        known = handed_out(file, start.function, touch.access)
        if known is None or _has_waited(file, start, touch.access.root):
            return None
        return _looked_at(file, start, touch, *known, rounds)
    if rounds is not ENDLESS or len(touch.access.steps) > 0:
        return None
    if str(touch.access.root[0]).startswith("="):
        return None
    body = start.launch.body
    assert body is not None
    for other in accesses_like(file.package, touch.file, touch.node):
        answers = _answers_requests(other)
        if not answers and outer_function(other.node) is start.declaration:
            continue
        if not answers and file.package.name == "main":
            continue  # nobody else calls what it exports
        if _meets(file, body, touch, other):
            return other
    return None


def _has_waited(file: GoFile, start: _Start, root: Binding) -> bool:
    """Return whether a function waits for something before it returns a variable, each time.

    `if err := g.Wait(); err != nil { return nil, err }` leaves the goroutine, and keeps the object.
    """
    flow = flow_of(start.function)
    point = flow.point_of(start.launch.node)
    if root.kind != "variable" or start.left or point is None or not flow.complete:
        return False
    waits = pauses(file, start.function)
    early = flow.exits_from(point, stop=waits.__contains__)
    returns = [use.up("return_statement") for use in root.uses]
    return any(returns) and not any(e.node in returns for e in early)


def _is_left(file: GoFile, launch: Launch) -> bool:
    """Return whether the launching function does not wait for the goroutine's end.

    What the program's main function waits for is mostly the end of all.
    """
    function = launch.function
    if function is not None and file.package.name == "main" and function.get("name") is not None:
        if function["name"].name == "main":
            return True
    return function is not None and any(
        left.launch.node is launch.node for left in lefts_of(file, function)
    )


def _adds_up(file: GoFile, start: _Start, touch: Touch) -> bool:
    """Return whether each call of a method launches a goroutine that adds to a field.

    `func (r *Runner) Add(t Task) { go r.finish(t) }`: what counts, or collects, is there for many.
    """
    function, root = start.function, touch.access.root
    if start.left or start.launch.kind == "timer" or function.kind != "method_declaration":
        return False
    if not isinstance(root, Binding) or root.kind != "receiver" or root.scope is not function:
        return False
    name = function["name"].name
    if not name[:1].isupper() or runs_for_good(name) or is_setup(file, start.launch.node):
        return False
    if _waits_before(file, function, start.launch.node) or switches(function, root):
        return False
    return adds(touch)


# What one asks while the work goes on.
_MEANWHILE = re.compile(
    r"(?i)(?:(?:get)?(?:progress|percent\w*|remaining|processed|position|status)|is_?running)$"
)


def _looked_at(
    file: GoFile, start: _Start, touch: Touch, owner: Type | None, steps: tuple[str, ...], how: str
) -> FieldAccess | None:
    """Return the access of an exported method of the object, to the part that is written.

    Not what the method that launches does, on another path: `if now { s.send(); return }; go …`.
    """
    package, body = file.package, start.launch.body
    if not isinstance(owner, Named) or owner.package != package.key or body is None:
        return None
    for name, decls in package.methods(owner.name).items():
        if not name[:1].isupper() or _OWN_OR_LATE.match(name) or len(decls) != 1:
            continue
        decl = decls[0]
        if how is not ENDLESS and not _MEANWHILE.match(name):
            continue
        if not decl.sound or decl.file.is_test or not has_callers(decl):
            continue
        if belongs_to(decl.file, decl.node, body):
            continue
        if decl.node is start.declaration and start.launch.kind != "timer":
            continue
        if comes_after(decl.file, decl.node):
            continue
        if _is_waited_for(package, owner.name, body):
            continue
        for other in touches_of(decl.file, decl.node):
            base = other.access.root
            if not isinstance(base, Binding) or base.kind != "receiver" or not other.early:
                continue
            if other.access.steps != steps or other.apart:
                continue
            if other.locks and len(decl.node["body"].statements) > _SHORT:
                continue  # what hands work to the goroutine is ordered with it, perhaps
            if _stops(decl.node, other.path[0]) or calls_back(decl, touch):
                continue
            if start.launch.kind != "timer" and _leads_to(start.launch, other):
                continue
            if is_told_by_atomic(touch.path, other.path):
                continue
            for access in accesses_like(package, other.file, other.node):
                if access.node is other.node and _may_meet(access, bool(other.locks)):
                    return access
    return None


def _leads_to(launch: Launch, touch: Touch) -> bool:
    """Return whether what launches a goroutine makes a touch: it does so before, in its own call.

    `func (m *monitor) Run() { m.Start() … }` meets nothing in Start that an earlier one launched.
    """
    launcher = outer_function(launch.node)
    return launcher is not None and any(launcher.contains(node) for node in touch.path)


def _is_before(launch: Launch, node: Node) -> bool:
    """Return whether the function that launches a goroutine is at a node before it does so.

    A second call of it would meet the first goroutine; nothing shows that there is one.
    """
    return node.function is launch.function and node.start < launch.node.start


def _is_waited_for(package: Package, owner: str, body: Node) -> bool:
    """Return whether users wait for a goroutine before they ask for what it has found.

    By a method Wait of the object, for a group that the goroutine tells of its end.
    """
    ends = counted_fields(package, body, "Done")
    return bool(ends) and any(
        counted_fields(package, decl.node, "Wait") & ends
        for name in ("Wait", "Join")
        for decl in package.methods(owner).get(name, ())
    )


def _may_meet(access: FieldAccess, locked: bool) -> bool:
    if locked:  # somebody else is expected there, whatever a comment says
        return access.kind not in {"call", "address", "declare"} and not access.setup
    return not is_beyond_judgement(access, any_object=True)


def _stops(function: Node, node: Node) -> bool:
    """Return whether a function asks a timer before a node whether it has stopped it.

    `if !t.Stop() { … }`, `stopped := t.Stop()`: not where nobody looks at the result.
    """
    return any(
        other.kind == "call_expression"
        and other.end < node.start
        and other["function"].text.endswith(b".Stop")
        and other.parent is not None
        and other.parent.kind not in {"expression_statement", "defer_statement", "go_statement"}
        for other in function.own()
    )


# `Last tells when it ran` says what comes back, and nothing about the time of the call.
_TERMS = re.compile(
    rb"(?i)\b(?:after|once|until)\b|(?<!says )(?<!tells )(?<!is )(?<!returns )(?<!reports )\bwhen\b"
)


def comes_after(file: GoFile, function: Node | None) -> bool:
    """Return whether a function's comment says when it may be called: after the end, mostly."""
    return function is not None and bool(_TERMS.search(doc_of(function)))


def _meets(file: GoFile, body: Node, touch: Touch, other: FieldAccess) -> bool:
    """Return whether an access is made by others while the goroutine runs, without a lock."""
    if other.kind not in {"read", "write", "update", "store"}:
        return False
    if _answers_requests(other):
        alone = other.held or other.fresh or body.contains(other.node)
        return not alone and not is_explained(other.file, other.node)
    if is_beyond_judgement(other, locked_too=True):
        return False
    function = outer_function(other.node)
    if function is None or not _is_open(other.file, function):
        return False
    if _OWN_OR_LATE.match(function["name"].name):
        return False
    if other.node.function is not function or body.contains(other.node):
        return False
    if function is outer_function(touch.node):
        return False
    asked = declaration_of(other.file, function)
    if asked is not None and calls_back(asked, touch):
        return False
    if other.held and len(function["body"].statements) > _SHORT:
        return False  # what hands work to the goroutine is ordered with it, perhaps
    if not other.held and _waits_before(other.file, function, other.node):
        return False
    decl = declaration_of(other.file, function)
    if decl is not None and decl.receiver:
        if _is_waited_for(other.file.package, decl.receiver, body):
            return False
    return not belongs_to(other.file, function, body)


def _answers_requests(access: FieldAccess) -> bool:
    """Return whether an HTTP server comes to an access with each request, whenever it comes."""
    function = access.node.function
    return any(c.body is function and c.why == HANDLER for c in crowds(access.file.package))


def _is_open(file: GoFile, function: Node) -> bool:
    """Return whether others may call a function: an exported one, or what one returns at once.

    `func table() *Table { return current }`, called by an exported function of the package. Of a
    program, only its own code calls what is exported.
    """
    body, decl = function.get("body"), declaration_of(file, function)
    if function["name"].name[:1].isupper():
        return decl is not None and has_callers(decl)
    if body is None or decl is None or function["parameters"].children:
        return False
    if [s.kind for s in body.statements] != ["return_statement"]:
        return False
    for site in own_callers(decl, LOCK_CALLS):
        caller = site.node.function
        above = declaration_of(site.file, caller) if caller is not None else None
        if site.call is None or caller is None or above is None or not above.exported:
            continue
        if not _waits_before(site.file, caller, site.node):
            if not _OWN_OR_LATE.match(above.name) and not is_setup(site.file, site.node):
                return not comes_after(site.file, caller)
    return False


def _waits_before(file: GoFile, function: Node, node: Node) -> bool:
    for other in function.own():
        if other.start >= node.start:
            return False
        if other.kind == "unary_expression" and other["operator"].kind == "<-":
            return True
        if other.kind in {"select_statement", "receive_statement", "send_statement"}:
            return True
        if other.kind == "call_expression":
            called = other["function"]
            field = called["field"].name if called.kind == "selector_expression" else ""
            if field in _WAITS or waits(file, other):
                return True
    return False
