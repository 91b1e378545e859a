"""Fields that a goroutine sets when it begins to serve, and that whoever stops it reads.

    func (a *app) Start() { go a.web.run() }
    func (w *web) run()   { w.srv = &http.Server{…}; w.srv.Serve(w.ln) }
    func (w *web) stop()  { if w.srv != nil { w.srv.Close() } }

To stop is to call while the other runs: nothing says that the goroutine came to its assignment,
and what the reader sees may be half of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import with_reason
from threadmend.golang.calls import code_files, own_callers
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import innermost_loop, or_spawning
from threadmend.golang.guards import guard_of
from threadmend.golang.lefts import STARTS, Left, lefts_of
from threadmend.golang.locks import LOCK_CALLS, declaration_of
from threadmend.golang.package import Package
from threadmend.golang.races import explained, shared_writes
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.touches import Touch, is_early
from threadmend.model import Finding, Related

from ._new_lock import guard_fields

__all__ = ["stopped_while_running"]

_STOPS = re.compile(r"(?:[Ss]top|[Ss]hutdown|[Cc]lose|[Kk]ill|[Aa]bort|[Ii]nterrupt)(?![a-z])")


def stopped_while_running(package: Package) -> Iterator[Finding]:
    """Yield a finding for each field that a goroutine sets and its stop method reads."""
    known = {w.place for w in shared_writes(package)}
    for file in code_files(package):
        if file.generated or file.is_test:
            continue
        for declaration in file.declarations(or_spawning(file.package, STARTS)):
            if declaration.kind != "method_declaration":
                continue
            for left in lefts_of(file, declaration.node, 0):
                if innermost_loop(left.launch.node) is None:
                    for touch in left.touches:
                        if touch.place not in known:
                            found = _shared(package, declaration.node, left, touch)
                            if found is not None:
                                known.add(touch.place)
                                yield found


def _shared(package: Package, starter: Node, left: Left, touch: Touch) -> Finding | None:
    root, node = touch.access.root, touch.node
    if not touch.writes or touch.in_channel or touch.locks or touch.held or not touch.early:
        return None
    if not isinstance(root, Binding) or root.kind != "receiver" or root.scope is not starter:
        return None
    if any(s.startswith("[") for s in touch.access.steps) or explained(touch.file, node):
        return None
    accesses = accesses_like(package, touch.file, node)
    if guard_of(accesses, written=False) is not None or any(a.held for a in accesses):
        return None
    function = outer_function(node)
    write = next((a for a in accesses if a.node is node), None)
    if write is None or write.kind != "write" or not _serves(accesses, write):
        return None
    for other in accesses:
        if outer_function(other.node) not in {function, starter} and _stops(other):
            return _finding(package, left, write, other)
    return None


def _serves(accesses: list[FieldAccess], write: FieldAccess) -> bool:
    """Return whether the goroutine goes on to call or wait for what it has set."""
    for access in accesses:
        node = access.node
        if node.function is not write.node.function or node.start <= write.node.end:
            continue
        outer = node.parent
        if outer is not None and outer.kind == "unary_expression":
            return outer["operator"].kind == "<-"
        if outer is not None and outer.kind == "selector_expression" and outer.field == "function":
            return True
    return False


def _stops(access: FieldAccess) -> bool:
    """Return whether an access stands in a method that stops the object, before it waits."""
    function = outer_function(access.node)
    if function is None or function.kind != "method_declaration" or access.file.is_test:
        return False
    if not _STOPS.match(function["name"].name) or access.node.function is not function:
        return False
    base = access.base
    if base is None or not isinstance(base.root, Binding) or base.root.kind != "receiver":
        return False
    if access.held or explained(access.file, access.node):
        return False
    decl = declaration_of(access.file, function)
    if decl is None or any(s.launched for s in own_callers(decl, LOCK_CALLS)):
        return False
    return is_early(access.file, function, access.node)


def _finding(package: Package, left: Left, write: FieldAccess, other: FieldAccess) -> Finding:
    node = write.node
    tops = {outer_function(node), outer_function(other.node)}
    fix, reason = with_reason(guard_fields)(package, [write], tops, [other])
    launch = left.launch.node
    return Finding(
        path=node.path,
        start=node.start,
        end=node.end,
        message=f"{node.name} is written in a goroutine, while others may stop it",
        fixes=(fix,) if fix is not None else (),
        related=(
            Related(launch.path, launch.start, launch.end, "launched here"),
            Related(other.node.path, other.node.start, other.node.end, "used to stop it here"),
        ),
        reason=reason,
    )
