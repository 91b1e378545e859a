"""Started with: what a function runs in a goroutine of its own making, among what it is given.

r.loop = loop.Start(pause, r.turn)        // func Start(…, f func()) *Loop { go l.run(f); … }
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.goroutines import Launch, launch_of_literal
from threadmend.golang.keepers import parameter_name
from threadmend.golang.launched import body_run_by
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = ["GIVES", "started_with"]

GIVES = re.compile(rb"[(,] ?\w+\.[a-z]\w*\)|, ?func\(\) \{")
"""A call whose last argument may be a method or a literal."""

_GOES = re.compile(rb"\bgo\b")
_WAITS = re.compile(rb"<-|\.Wait\(\)|\bselect\b")


def started_with(file: GoFile, call: Node) -> Iterator[Launch]:
    """Yield the launches, one for each argument that a call has a new goroutine run."""
    arguments = call["arguments"].children
    if call.runs_later or not any(a.kind in _VALUES for a in arguments):
        return
    decl = file.callee(call)
    if decl is None or not decl.sound or not decl.has_body:
        return
    places = _places(decl)
    for place, value in enumerate(arguments):
        if place in places and value.kind in _VALUES:
            body, run = body_run_by(file, value)
            if body is not None:
                yield Launch("started", call, None, body, run, value)


_VALUES = frozenset({"selector_expression", "func_literal", "identifier"})


def _places(decl: Decl) -> frozenset[int]:
    """Return the places of the parameters that a goroutine calls which a function leaves behind."""
    known: dict[tuple[str, int], frozenset[int]]
    known = decl.file.package.facts.setdefault("starts with", {})
    if decl.key not in known:
        body = decl.node["body"]
        known[decl.key] = frozenset()
        if _GOES.search(decl.file.data, body.start, body.end) and not _waits(decl):
            count = sum(max(1, len(p.all("name"))) for p in decl.node["parameters"].children)
            known[decl.key] = frozenset(i for i in range(count) if _is_started(decl, i))
    return known[decl.key]


def _waits(decl: Decl) -> bool:
    """Return whether a function itself may wait for what it has launched."""
    return any(
        node.kind in {"unary_expression", "call_expression", "select_statement"}
        and _WAITS.match(node.text[-7:] if node.kind == "call_expression" else node.text)
        for node in decl.node.own()
    )


def _is_started(decl: Decl, place: int) -> bool:
    """Return whether all uses of a parameter are calls by a goroutine, at once or by a function."""
    name = parameter_name(decl.node, place)
    binding = decl.file.binding(name) if name is not None else None
    uses = [use for use in binding.uses if use is not name] if binding is not None else []
    return bool(uses) and all(_is_run_apart(decl, use) for use in uses)


def _is_run_apart(decl: Decl, use: Node) -> bool:
    call, literal = use.parent, use.function
    if call is None:
        return False
    if use.field == "function" and call.kind == "call_expression":
        if call.is_launched:
            return True
        launch = launch_of_literal(decl.file, literal) if literal is not None else None
        return launch is not None and launch.kind == "go" and launch.function is decl.node
    outer = call.parent if call.kind == "argument_list" else None
    if outer is None or outer.kind != "call_expression" or not outer.is_launched:
        return False
    run = decl.file.callee(outer)
    if run is None or not run.sound or not run.has_body:
        return False
    place = next(i for i, a in enumerate(outer["arguments"].children) if a is use)
    name = parameter_name(run.node, place)
    binding = run.file.binding(name) if name is not None else None
    called = [u for u in binding.uses if u is not name] if binding is not None else []
    return bool(called) and all(
        u.field == "function" and u.function is run.node and not u.runs_later for u in called
    )
