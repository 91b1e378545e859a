"""A lock whose unlock function a helper returns, not called on some path.

l, unpin, err := s.pin(id)     // takes l.mu and returns l.mu.Unlock
if err != nil {
    return err
}
if l.sealed {
    return errSealed           // without unpin()
}
unpin()
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import Access, is_assigned_once, uses_of
from threadmend.golang.builders import BuilderError, with_reason
from threadmend.golang.calls import Site, callers
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Exit, Flow, Point, flow_of
from threadmend.golang.functions import call_of
from threadmend.golang.locks import locks_of
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.model import Edit, Finding, Fix, Related

from ._release_edits import release_at

__all__ = ["kept_returned"]

_LENDS = re.compile(rb"\breturn\b[^\n]*(?:\.R?Unlock\b(?!\()|\bfunc\(\))")


@dataclass(frozen=True, slots=True)
class _Lender:
    """A function that returns, at an index, what unlocks; `always`: never nil in its place."""

    decl: Decl
    index: int
    always: bool


def kept_returned(file: GoFile) -> Iterator[Finding]:
    """Yield the calls after which a returned unlock function is not called on some path."""
    for declaration in file.declarations(_LENDS):
        decl = file.package.function_at(file.path, declaration.start)
        lender = _lender(file, decl) if decl is not None else None
        for site in callers(lender.decl) if lender is not None else ():
            if site.call is not None and not site.launched and not site.file.generated:
                assert lender is not None
                yield from _kept(site, site.call, lender)


def _lender(file: GoFile, decl: Decl) -> _Lender | None:
    given: dict[int, list[bool | None]] = {}
    for statement in decl.node.own():
        if statement.kind == "return_statement" and len(statement.children) > 1:
            for index, value in enumerate(statement.children[1].children):
                given.setdefault(index, []).append(_unlocks(file, decl.node, value))
    for index, values in given.items():
        if any(values) and not any(v is False for v in values):
            return _Lender(decl, index, all(values))
    return None


def _unlocks(file: GoFile, function: Node, value: Node) -> bool | None:
    """Return whether a value gives back a lock that is held where it is returned; None for nil."""
    if value.kind == "nil":
        return None
    locks = locks_of(file, function)
    kept = {o.access for o in locks.operations if o.releases and o.deferred is not None}
    held = {h.access for h in locks.held_before(value)} - kept
    if value.kind == "selector_expression" and value["field"].name in {"Unlock", "RUnlock"}:
        return any(str(access) == value["operand"].name for access in held)
    if value.kind == "func_literal":
        first: dict[Access | None, bool] = {}
        for operation in locks_of(file, value).operations:
            first.setdefault(operation.access, operation.releases)
        return any(releases and access in held for access, releases in first.items())
    return False


# -- the callers ------------------------------------------------------------------------


def _kept(site: Site, call: Node, lender: _Lender) -> Iterator[Finding]:
    statement = call.statement
    function = call.function
    if statement is None or statement.kind != "short_var_declaration" or function is None:
        return
    if statement["right"].children != [call]:
        return
    names = statement["left"].children
    binding = site.file.binding(names[lender.index]) if lender.index < len(names) else None
    if binding is None or not is_assigned_once(binding):
        return
    flow = flow_of(function)
    start, releases = flow.point_of(call), _releases(flow, function, binding)
    if start is None or not releases or not flow.complete:
        return
    others = [site.file.binding(n) for n in names if n.kind == "identifier"]
    with_none = [] if lender.always else [b for b in others if b is not None]
    exits = [
        e
        for e in flow.exits_from(start, stop=releases.__contains__)
        if e.kind in {"return", "end"} and not _has_none(site.file, e.node, statement, with_none)
    ]
    if exits:
        yield _finding(site.file, call, binding.name, exits, flow, releases)


def _releases(flow: Flow, function: Node, binding: Binding) -> set[Point]:
    """Return where the function is called, empty when it goes anywhere else."""
    found = set()
    for use in uses_of(binding)[1:]:
        call = call_of(use.node)
        if call is None:
            return set()
        point = flow.point_of(call) if use.function is function else None
        if point is None:
            return set()
        found.add(point)
    return found


def _has_none(file: GoFile, node: Node, statement: Node, results: list[Binding]) -> bool:
    """Return whether an exit stands where a test of the other results says there is none."""
    for test in node.ancestors():
        if test.kind in FUNCTIONS:
            return False
        condition = test.get("condition") if test.kind == "if_statement" else None
        for name in condition.find("identifier") if condition is not None else ():
            binding = file.binding(name)
            if binding in results and binding is not None:
                changed = [
                    u.node for u in uses_of(binding) if u.kind in {"write", "update", "declare"}
                ]
                if not any(statement.end <= n.start < name.start for n in changed):
                    return True
    return False


def _finding(
    file: GoFile, call: Node, name: str, exits: list[Exit], flow: Flow, releases: set[Point]
) -> Finding:
    places = []
    for exit_ in exits:
        node = exit_.node
        ends = node.kind in FUNCTIONS or node.kind == "block"
        start = node.end - 1 if ends else node.start
        places.append(Related(node.path, start, node.end, "still held here"))
    fix, reason = _fix(file, name, exits, flow, releases)
    return Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=f"{name}, which releases the lock that is taken here, is not called on every path",
        fixes=(fix,) if fix is not None else (),
        related=tuple(places),
        reason=reason,
    )


@with_reason
def _fix(file: GoFile, name: str, exits: list[Exit], flow: Flow, releases: set[Point]) -> Fix:
    """Call the function right before each exit that lacks it.

    Sound: no path on which it was called already leads to such an exit.
    """
    released = {p for r in releases for p in flow.reachable(r, feasible=False)}
    edits: list[Edit] = []
    for exit_ in exits:
        if exit_.kind != "return":
            raise BuilderError("the function's end is reached with and without the lock")
        if flow.point_of(exit_.node) in released:
            raise BuilderError("the lock is held at the return on some paths only")
        edits.extend(release_at(file, exit_.node, f"{name}()"))
    return Fix(f"Call {name} on the paths that lack it", tuple(edits))
