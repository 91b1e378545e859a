"""Methods that close a channel of their object, without a guard against a second call."""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import access_of
from threadmend.golang.calls import Site, callers, code_callers, importers, own_callers
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Flow, Point, flow_of
from threadmend.golang.functions import doc_of
from threadmend.golang.goroutines import innermost_loop, launch_of_literal
from threadmend.golang.locks import declaration_of
from threadmend.golang.package import Decl
from threadmend.golang.recovering import recovers
from threadmend.golang.runners import only_launches
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Finding, Related

from ._close_beside_goroutine import beside_a_goroutine
from ._close_method import (
    ENDS,
    MethodClose,
    closes_another,
    decided_at_calls,
    launched_close,
    method_close,
    others_of,
    outer_closes,
)
from ._close_once import close_once

__all__ = ["closed_by_methods"]

_NO_LAST = re.compile(rb"(?!)")


def closed_by_methods(file: GoFile) -> Iterator[Finding]:
    """Yield the closes in functions such as Close and Stop that nothing guards."""
    seen: set[tuple[tuple[str, int], str]] = set()
    for call in file.calls("close"):
        if file.is_test or file.generated:
            continue
        close = method_close(file, call) or _behind_an_end(file, call) or _run_twice(file, call)
        if close is None:
            continue
        key = (close.decl.key, str(close.access))
        if key not in seen:
            seen.add(key)
            yield from _finding(close)


def _behind_an_end(file: GoFile, call: Node) -> MethodClose | None:
    """Return the close in a helper of any name that an exported Close or Stop always calls.

    In the helper of a part only where that is called on an object which anybody may close again.
    """
    close = method_close(file, call, _ANY)
    if close is None or close.decl.exported:
        return None
    found = outer_closes(close, list(own_callers(close.decl, _NO_LAST)))
    own = any(outer.decl.receiver == close.decl.receiver for outer in found)
    return close if own or any(map(_is_open, found)) else None


def _run_twice(file: GoFile, call: Node) -> MethodClose | None:
    """Return the close in a method of any name that runs twice on one object, as can be seen."""
    close = method_close(file, call, _ANY) or launched_close(file, call)
    return close if close is not None and _seen_twice(close) is not None else None


def _seen_twice(close: MethodClose) -> tuple[Site, Site] | None:
    visible = list(own_callers(close.decl, _NO_LAST))
    return (
        _called_twice(visible) or _by_two_goroutines(visible) or beside_a_goroutine(close, visible)
    )


def _is_of_goroutine(close: MethodClose) -> bool:
    """Return whether nobody but a goroutine comes to a close: `go func() { a.finish() }()`."""
    function = close.call.function
    return function is not None and bool(only_launches(close.file, function))


_ANY = re.compile("")


def _finding(close: MethodClose) -> Iterator[Finding]:
    if _closes_before(close) or _SAYS.search(_docs_of(close)):
        return
    if recovers(close.file, close.decl.node):
        return  # the second call does nothing
    visible = list(own_callers(close.decl, _NO_LAST))
    others = others_of(close)
    place = (close.file.path, close.call.start)
    if any(ENDS.match(o.decl.name) and (o.file.path, o.call.start) < place for o in others):
        return  # reported there
    twice = _seen_twice(close)
    if twice is None and (any(site.launched for site in visible) or _is_of_goroutine(close)):
        return
    if _only_in_once(visible) or (twice is None and decided_at_calls(close, visible)):
        return
    public = close.decl.exported and (not close.decl.receiver or close.decl.receiver[:1].isupper())
    hidden = close.decl.exported and bool(importers(close.file.package))
    sure = twice is not None or ((public or not (visible or hidden)) and _is_open(close))
    sure = sure or any(_is_open(o) for o in outer_closes(close, visible))
    fix, reason = close_once(close, others)
    name = close.operand.name
    owner = f"{close.decl.receiver}." if close.decl.receiver else ""
    yield Finding(
        path=close.file.path,
        start=close.call.start,
        end=close.call.end,
        message=_message(close, f"{owner}{close.decl.name}", name),
        fixes=(fix,) if fix else (),
        related=tuple(
            Related(s.node.path, s.node.start, s.node.end, "called here") for s in twice or ()
        ),
        reason=reason,
        confidence=Confidence.MEDIUM if sure else Confidence.LOW,
    )


def _message(close: MethodClose, method: str, name: str) -> str:
    if close.select is not None:  # it asks first, and another may close in between
        return f"two calls of {method} at the same time may both close {name}, which panics"
    return f"a second call of {method} closes {name} again and panics"


# What the author says about it: "must be called once", "not idempotent".
_SAYS = re.compile(
    rb"(?i)\b(?:not|non)[- ]idempotent"
    rb"|\b(?:call(?:ed)?|used|closed|stopped)\b.{0,20}(?<!than )(?<!at )\b(?:once|one time)\b"
    rb"|\b(?:not|never)\b.{0,30}\b(?:more than once|twice|again|multiple times)\b"
    rb"|\bmust (?:be )?call(?:ed)? (?:either\b.{0,40}\bor|exactly one of|one of)\b"
)


def _docs_of(close: MethodClose) -> bytes:
    """Return the comments above the method and above its type."""
    found = close.file.package.lookup(close.decl.receiver) if close.decl.receiver else None
    above = found.node.up("type_declaration") if found is not None else None
    return doc_of(close.decl.node) + (doc_of(above) if above is not None else b"")


def _closes_before(close: MethodClose) -> bool:
    """Return whether the statement right above closes another channel: one finding will do."""
    before = close.statement.previous
    return before is not None and closes_another(close, before)


def _is_open(close: MethodClose) -> bool:
    """Return whether somebody may well call the function again, as far as can be seen.

    Not one that gives a result, nor one that only the module can call, and that it calls in
    one place outside of loops; in a module with programs nor one whose only caller has one, too.
    """
    result = close.decl.node.get("result")
    if result is not None and result.text.strip(b"()") != b"error":
        return False
    program = close.file.package.name == "main" or "/internal/" in f"/{close.file.package.path}/"
    if close.decl.exported and close.decl.receiver[:1].isupper() and not program:
        return not (_has_program(close.file) and _called_once(close.decl, _CALLERS))
    sites = [s for s in callers(close.decl) if s.call is not None]
    own = [s for s in sites if not s.file.is_test]
    if not own:
        return not sites or close.decl.exported
    return len(own) != 1 or innermost_loop(own[0].node) is not None


# The method's own caller, and who calls that.
_CALLERS = 2


def _has_program(file: GoFile) -> bool:
    """Return whether the module has programs: what its packages export is theirs to call."""
    module = file.package.module
    return module is not None and any(package.name == "main" for package in module.packages)


def _called_once(decl: Decl, depth: int) -> bool:
    """Return whether one run of the program calls a function once, as far as can be seen.

    From one place outside of loops and literals, in a function of which the same holds.
    """
    if not depth or (decl.name in {"init", "main"} and decl.file.package.name == "main"):
        return True
    sites = code_callers(decl)
    site = sites[0] if len(sites) == 1 else None
    outer = site.node.function if site is not None else None
    if site is None or site.call is None or outer is None or outer.kind == "func_literal":
        return False
    above = declaration_of(site.file, outer)
    return (
        innermost_loop(site.node) is None and above is not None and _called_once(above, depth - 1)
    )


_HELPERS = 3


def _by_two_goroutines(
    sites: list[Site], depth: int = _HELPERS, seen: frozenset[tuple[str, int]] = frozenset()
) -> tuple[Site, Site] | None:
    """Return two calls on one object of a method that always comes to a close at its end.

    By itself, or in the goroutine that it launches: a copy in both directions,
    `go l.pump(a, b); go l.pump(b, a)` with `defer l.hangUp()` in `pump`.
    """
    for site in sites if depth else ():
        outer = _method_that_ends(site)
        decl = declaration_of(site.file, outer) if outer is not None else None
        if decl is None or decl.key in seen:
            continue
        outer_sites = [s for s in code_callers(decl) if s.call is not None]
        if _only_in_once(outer_sites):
            continue
        found = _called_twice(outer_sites)
        found = found or _by_two_goroutines(outer_sites, depth - 1, seen | {decl.key})
        if found is not None:
            return found
    return None


def _method_that_ends(site: Site) -> Node | None:
    """Return the method which makes a call on its own object in any case.

    It, or the goroutine that it launches, comes to the call on every path.
    """
    call, body = site.call, site.node.function
    if call is None or body is None or call["function"].kind != "selector_expression":
        return None
    base = access_of(site.file, call["function"]["operand"])
    if base is None or not isinstance(base.root, Binding) or base.root.kind != "receiver":
        return None
    statement = call.parent
    if statement is None or statement.parent is not body["body"]:
        return None
    flow = flow_of(body)
    exits = flow.exits_from(flow.entry, stop=lambda p: p is flow.point_of(call))
    if not flow.complete or (statement.kind != "go_statement" and exits):
        return None
    if any(_is_claim(above) for above in body["body"].statements if above.end <= call.start):
        return None
    if statement.kind == "defer_statement" and not flow.exits_from(flow.entry):
        return None
    if body.kind == "func_literal":
        launch = launch_of_literal(site.file, body)
        body = launch.function if launch is not None and launch.loop is None else None
    return body if body is not None and body.kind == "method_declaration" else None


def _is_claim(statement: Node) -> bool:
    """Return whether only the first call goes on: `if !s.started.CompareAndSwap(…) { return }`."""
    if statement.kind != "if_statement" or not any(statement.find("return_statement")):
        return False
    return bool(_CLAIM.search(statement["condition"].text))


_CLAIM = re.compile(rb"\b(?:CompareAndSwap\w*|CAS|Swap\w*|TryLock)\(")


def _called_twice(sites: list[Site]) -> tuple[Site, Site] | None:
    """Return two calls on one object, of which one may run after the other."""
    placed = []
    for site in sites:
        call, function = site.call, site.node.function
        if call is None or function is None or call["function"].kind != "selector_expression":
            continue
        selection = site.file.selection(call["function"])
        base = access_of(site.file, call["function"]["operand"])
        if selection is None or selection.decl is None or base is None:
            continue
        point = flow_of(function).point_of(call)
        if point is not None:
            placed.append((site, function, base, point))
    for site, function, base, point in placed:
        flow = flow_of(function)
        root = base.root
        made = _made_at(site.file, flow, root) if isinstance(root, Binding) else set()
        for other, second, owner, other_point in placed:
            if other is site or second is not function or owner != base:
                continue
            if other_point in flow.reachable(point, stop=made.__contains__):
                return site, other
    return None


def _made_at(file: GoFile, flow: Flow, root: Binding) -> set[Point]:
    """Return where a variable gets an object: after each, its calls are of another one."""
    made = {flow.point_of(root.node)}
    for node in flow.function.own():
        if node.kind == "assignment_statement" and node["operator"].text == b"=":
            if any(
                n.kind == "identifier" and file.binding(n) is root for n in node["left"].children
            ):
                made.add(flow.point_of(node))
    return {point for point in made if point is not None}


def _only_in_once(sites: list[Site]) -> bool:
    """Return whether every call stands in a literal that a Once runs, or is its argument."""
    if not sites:
        return False
    for site in sites:
        node = site.node
        text = b""
        for above in node.ancestors():
            if above.kind == "call_expression" and above is not site.call:
                text = above["function"].text
                if text.endswith((b".Do", b".OnceFunc", b"OnceFunc")):
                    break
        if not text.endswith((b".Do", b"OnceFunc")):
            return False
    return True
