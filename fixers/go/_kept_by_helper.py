"""A lock that a helper takes for its caller, and that one way out of the caller keeps.

t, ok := s.lockTicket(no)      // locked, when there is such a ticket
if !ok {
    return errUnknown
}
if t.paid {
    return nil                 // without s.mu.Unlock()
}

Likewise the lock of what the helper returns: `slot, ok := s.checkout(id)`, and `slot.checkin()`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import Access, access_of, is_assigned_once
from threadmend.golang.builders import BuilderError, insert_at_end, with_reason
from threadmend.golang.calls import Site, callers, code_callers
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Exit, Flow, Point, first_of, flow_of
from threadmend.golang.lock_helpers import net_acquires
from threadmend.golang.lock_operations import ordered
from threadmend.golang.locks import Held, locks_of, may_leave
from threadmend.golang.package import Decl
from threadmend.golang.releases import net_releases
from threadmend.golang.scope import Binding
from threadmend.golang.spoken import says_locked
from threadmend.golang.syntax import Node
from threadmend.golang.wording import bind
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._release_edits import release_at

__all__ = ["kept_by_helpers"]

_TAKES = re.compile(rb"\.R?Lock\(\)")
_RELEASE = re.compile(r"(?i)unlock|release")
_LOCKER = re.compile(r"(?<![bBcCf])[lL]ock|[aA]cquire|^(?:[bB]egin|[eE]nter|[hH]old|[gG]rab)")


def kept_by_helpers(file: GoFile) -> Iterator[Finding]:
    """Yield the calls of helpers that return locked after which a way out does not release."""
    always = net_acquires(file.package)
    for declaration in file.declarations(_TAKES):
        decl = file.package.function_at(file.path, declaration.start)
        if decl is None or decl.file.is_test or not decl.sound:
            continue
        held = always.get(decl.key) or _left_sometimes(decl)
        if len(held) != 1:
            continue
        for site in callers(decl):
            if site.call is None or site.launched or site.file.generated or site.file.is_test:
                continue
            # Through an interface (a sync.Locker) it may be another type's method.
            if site.file.package is file.package and site.file.callee(site.call) is decl:
                yield from _kept(site, site.call, decl, held, decl.key in always)


def _left_sometimes(decl: Decl) -> frozenset[Held]:
    """Return the lock that a function takes, and keeps where it succeeds."""
    operations = locks_of(decl.file, decl.node).operations
    left = may_leave(decl.file, decl.node)
    taken = [
        o.held for o in operations if o.acquires and o.held is not None and o.lock_class in left
    ]
    if not any(o.releases for o in operations) or len(taken) != 1:
        return frozenset()
    named = _LOCKER.search(decl.name) or _result_of(decl, taken[0]) is not None
    return frozenset(taken) if named else frozenset()


def _result_of(decl: Decl, lock: Held) -> int | None:
    """Return the place among the results of the object whose lock a function leaves taken.

    Only where a caller gives that lock back.
    """
    root = lock.access.root
    if not isinstance(root, Binding) or root.kind != "variable" or root.function is not decl.node:
        return None
    lists = [n.children[-1] for n in decl.node.own() if n.kind == "return_statement" and n.children]
    places = {
        i for values in lists for i, v in enumerate(values.children) if v.text == root.name.encode()
    }
    if len(places) != 1 or not is_assigned_once(root):
        return None
    sites = [s for s in code_callers(decl) if s.call is not None]
    return places.pop() if any(_only_gives(site, lock) for site in sites) else None


def _of_result(file: GoFile, call: Node, helper: Decl, lock: Held) -> Held | None:
    """Return the lock of what a helper returns in the words of its caller."""
    place, statement = _result_of(helper, lock), call.statement
    left = statement.get("left") if statement is not None else None
    if place is None or left is None or place >= len(left.children):
        return None
    if statement is None or statement["right"].children != [call]:
        return None
    object_ = access_of(file, left.children[place])
    if object_ is None:
        return None
    return Held(Access(object_.root, object_.steps + lock.access.steps), lock.mode, lock.lock_class)


def _kept(
    site: Site, call: Node, helper: Decl, left: frozenset[Held], always: bool
) -> Iterator[Finding]:
    file, function = site.file, call.function
    lock = next(iter(ordered(bind(file, call, helper.node, left))), None)
    lock = lock or _of_result(file, call, helper, ordered(left)[0])
    if function is None or lock is None or function.kind == "func_literal":
        return
    root = lock.access.root
    if isinstance(root, Binding) and not is_assigned_once(root):
        return
    flow = flow_of(function)
    start = _locked_from(flow, call, always)
    releases = _releases(file, flow, function, lock)
    if start is None or not releases or not flow.complete or _is_contract(file, function, lock):
        return
    stops = set(releases)
    if start in stops or any(start in flow.reachable(p) for p in stops):
        return
    exits = [
        e for e in flow.exits_from(start, stop=stops.__contains__) if e.kind in {"return", "end"}
    ]
    if exits:
        yield _finding(file, call, lock, exits, (flow, start, releases))


def _locked_from(flow: Flow, call: Node, always: bool) -> Point | None:
    """Return the point from which on the lock is held for certain.

    For a helper that may fail, what follows the test of its last result.
    """
    statement = call.statement
    if statement is None:
        return None
    if always:
        return flow.point_of(call) if statement.kind == "expression_statement" else None
    test = statement.next
    left = statement.get("left") if statement.kind == "short_var_declaration" else None
    if left is None or test is None or test.kind != "if_statement" or test.get("alternative"):
        return None
    said = left.children[-1].name
    failed = {f"!{said}", f"{said} != nil", f"{left.children[0].name} == nil"}
    inside = test["consequence"].statements
    if test["condition"].name not in failed or test.get("initializer") is not None:
        return None
    if not inside or inside[-1].kind != "return_statement" or test.next is None:
        return None
    return flow.point_of(first_of(test.next))


def _releases(file: GoFile, flow: Flow, function: Node, lock: Held) -> dict[Point, Node]:
    """Return the releases of a function by their points; none where one is out of its hands."""
    found: dict[Point, Node] = {}
    operations = {o.call: o for o in locks_of(file, function).operations}
    helpers = net_releases(file.package)
    for call in function.find("call_expression"):
        operation = operations.get(call)
        if operation is not None and operation.lock_class == lock.lock_class:
            if operation.access != lock.access or not operation.releases:
                return {}  # it locks by itself as well, or another object
        elif operation is not None or not _may_release(file, call, helpers, lock):
            continue
        point = flow.point_of(call)
        if point is None or call.function is not function or call.up("defer_statement"):
            return {}
        found[point] = call
    return found


def _may_release(
    file: GoFile, call: Node, helpers: dict[tuple[str, int], set[str]], lock: Held
) -> bool:
    decl = file.callee(call)
    if decl is not None and decl.key in helpers:
        return lock.lock_class in helpers[decl.key]
    return _RELEASE.search(call["function"].name.rpartition(".")[2]) is not None


def _is_contract(file: GoFile, function: Node, lock: Held) -> bool:
    """Return whether a function returns locked on purpose: by its name, or for a caller."""
    name = function["name"].name
    if _LOCKER.search(name) or says_locked(name):
        return True
    decl = file.package.function_at(file.path, function.start)
    return decl is not None and any(_only_gives(site, lock) for site in callers(decl))


def _only_gives(site: Site, lock: Held) -> bool:
    """Return whether a caller releases the lock, and does not take it."""
    outer, file = site.node.function, site.file
    if outer is None:
        return False
    own = [o for o in locks_of(file, outer).operations if o.lock_class == lock.lock_class]
    called = [file.callee(call) for call in outer.find("call_expression")]
    keys = [decl.key for decl in called if decl is not None]
    takers, givers = net_acquires(file.package), net_releases(file.package)
    if any(o.acquires for o in own) or any(key in takers for key in keys):
        return False
    gives = any(lock.lock_class in givers.get(key, ()) for key in keys)
    return gives or any(o.releases for o in own)


def _finding(
    file: GoFile,
    call: Node,
    lock: Held,
    exits: list[Exit],
    found: tuple[Flow, Point, dict[Point, Node]],
) -> Finding:
    places = []
    for exit_ in exits:
        node, last = exit_.node, exit_.kind == "end"
        where = node.end - 1 if last else node.start
        places.append(Related(node.path, where, node.end, "still held here"))
    fix, reason = _fix(file, exits, *found)
    name = str(lock.access)
    return Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=f"{name}, which {call['function'].name} takes, is not released on every path",
        fixes=(fix,) if fix is not None else (),
        related=tuple(places),
        reason=reason,
    )


@with_reason
def _fix(
    file: GoFile, exits: list[Exit], flow: Flow, start: Point, releases: dict[Point, Node]
) -> Fix:
    """Release before each exit that lacks it, as the function does elsewhere.

    Sound: every way to the exit comes from where the lock is held, and none by a release.
    """
    texts = {call.name for call in releases.values() if not call["arguments"].children}
    if len(texts) != 1:
        raise BuilderError("how the lock is released here cannot be told")
    unlock = texts.pop()
    edits: list[Edit] = []
    after = {p for release in releases for p in flow.reachable(release)}
    for exit_ in exits:
        point = flow.point_of(exit_.node)
        if exit_.kind == "end" or point is None:
            if any(flow.end in flow.reachable(p) for p in releases):
                raise BuilderError("the lock is held at the end of the function on some paths only")
            edits += insert_at_end(exit_.node.get("body") or exit_.node, unlock)
        elif point in after or not (point is start or flow.dominates(start, point)):
            raise BuilderError("the lock is held at the return on some paths only")
        else:
            edits += release_at(file, exit_.node, unlock)
    reason = "the lock is released where it stayed taken"
    return Fix(f"Call {unlock} on the paths that lack it", tuple(edits), Safety.UNSAFE, reason)
