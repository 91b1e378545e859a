"""Published: what is set in one place alone, before an atomic says that it is there.

c.mu.Lock(); c.conn = conn; c.mu.Unlock()     func (c *C) Send(b []byte) error {
c.state.Store(open)                               if c.state.Load() != open { return errClosed }
go c.read()                                       return c.conn.Write(b)
                                              }

Or before a channel is closed that the reader has received from, or with a flag that is set once and
that the reader has asked under the lock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from threadmend.golang.access import is_assigned_once
from threadmend.golang.calls import own_callers
from threadmend.golang.found_set import flags_found, flags_set_behind
from threadmend.golang.functions import outer_function
from threadmend.golang.locks import LOCK_CALLS, declaration_of

if TYPE_CHECKING:
    from threadmend.golang.field_accesses import FieldAccess
    from threadmend.golang.file import GoFile
    from threadmend.golang.guards import Guard
    from threadmend.golang.syntax import Node

__all__ = ["is_published", "is_told_by_atomic"]

_LOADS = re.compile(rb"\.Load(?:Int32|Int64|Uint32|Uint64|Pointer)?\(")
_STORES = re.compile(rb"\.(?:Store|Swap|CompareAndSwap)(?:Int32|Int64|Uint32|Uint64|Pointer)?\(")
_LEAVES = frozenset({"return_statement", "continue_statement"})
_DEPTH = 2


def is_published(access: FieldAccess, guard: Guard) -> bool:
    """Return whether a read comes after the one write, by an atomic or a launch in between."""
    writes = [a for a in (*guard.locked, *guard.unlocked) if a.writes and not a.setup]
    setter = outer_function(writes[0].node) if len(writes) == 1 else None
    function = outer_function(access.node)
    if access.writes or function is None:
        return False
    if writes and all(_is_announced(access, write) for write in writes):
        return True
    if writes and _is_told_by_flag(access, writes):
        return True
    if setter is None or function is setter:
        return False
    write = writes[0]
    if _is_launched_behind(access.file, function, write):
        return True
    if _is_found_set(access, write):
        return True
    tells = (n for n in setter.own() if n.kind == "call_expression" and n.start > write.node.end)
    if not any(_does(write.file, call, _STORES, _DEPTH) for call in tells):
        return False
    return _asks_before(access, function)


def _is_found_set(access: FieldAccess, write: FieldAccess) -> bool:
    """Return whether a condition around a read has found what is set behind the write."""
    told = flags_set_behind(write.node)
    return bool(told) and any(
        name == flag and value in {b"", found}
        for name, value in flags_found(access.file, access.node)
        for flag, found in told
    )


_STORED = re.compile(
    rb"\b(\w+)\.(?:Store|Swap|CompareAndSwap)\("
    rb"|atomic\.(?:Store|Swap|CompareAndSwap)\w+\(&[\w.]*?(\w+),"
)
_LOADED = re.compile(rb"\b(\w+)\.Load\(|atomic\.Load\w+\(&[\w.]*?(\w+)\)")


def is_told_by_atomic(write: Sequence[Node], read: Sequence[Node]) -> bool:
    """Return whether an atomic is set behind a write, and asked before a read.

    Both are given with the calls that lead there, so that either may stand further out:
    `for … { t.start() }; c.started.Store(true)`, `if c.started.Load() { … t.recv.Stats() }`.
    """
    stored = {name for at in write for name in _named(at, _STORED, behind=True)}
    return bool(stored) and any(
        name in stored for at in read for name in _named(at, _LOADED, behind=False)
    )


def _named(at: Node, pattern: re.Pattern[bytes], *, behind: bool) -> Iterator[bytes]:
    """Yield the last names of the atomics that a function uses behind a node, or before it."""
    function = at.function
    if function is None:
        return
    start, end = (at.end, function.end) if behind else (function.start, at.start)
    for match in pattern.finditer(at.tree.data, start, end):
        yield match[1] or match[2]


def _is_announced(access: FieldAccess, write: FieldAccess) -> bool:
    """Return whether a function has received what is closed behind a write: `<-c.ready; c.err`."""
    function, writer = access.node.function, outer_function(write.node)
    if function is None or writer is None:
        return False
    closed = set(_CLOSED.findall(write.file.data, write.node.end, writer.end))
    for node in function.own():
        if node.start >= access.node.start:
            return False
        if node.kind != "unary_expression" or node["operator"].kind != "<-":
            continue
        channel, case = node["operand"], node.up("communication_case")
        if case is not None and not case.contains(access.node):
            continue
        if channel.kind == "selector_expression" and channel["field"].text in closed:
            return True
    return False


def _is_told_by_flag(access: FieldAccess, writes: Sequence[FieldAccess]) -> bool:
    """Return whether a read depends on a flag that is set with what it reads, and but once.

    `if m.ready { return }; m.ready, m.err = true, err`, and `if ready { return m.err }`.
    """
    flags = [_set_once(write) for write in writes]
    return bool(flags[0].intersection(*flags[1:]) & set(_true_at(access)))


def _set_once(write: FieldAccess) -> set[bytes]:
    """Return the flags that a function sets beside a write, and leaves on when they are set."""
    function = write.node.function
    body = function.get("body") if function is not None else None
    told: set[bytes] = set()
    asked: set[bytes] = set()
    for statement in body.statements if body is not None else ():
        if statement.kind == "if_statement" and statement.end <= write.node.start:
            condition, last = statement["condition"], statement["consequence"].statements[-1:]
            if condition.kind == "selector_expression" and last and last[0].kind in _LEAVES:
                asked.add(condition["field"].text)
        if statement.kind == "assignment_statement":
            targets, values = statement["left"].children, statement["right"].children
            for target, value in zip(targets, values, strict=False):
                if value.text == b"true" and target.kind == "selector_expression":
                    told.add(target["field"].text)
    return told & asked


def _true_at(access: FieldAccess) -> Iterator[bytes]:
    """Yield the flags that are known to be set where an access is made."""
    inner = access.node
    for outer in access.node.ancestors():
        if outer.kind == "if_statement" and inner.field == "consequence":
            yield from _flag(access.file, outer["condition"])
        if outer.kind == "block":
            for above in outer.statements:
                if above.kind != "if_statement" or above.start >= inner.start:
                    continue
                condition, last = above["condition"], above["consequence"].statements[-1:]
                negated = condition.kind == "unary_expression" and last
                if negated and condition["operator"].kind == "!" and last[0].kind in _LEAVES:
                    yield from _flag(access.file, condition["operand"])
        if outer.kind in {"func_literal", "function_declaration", "method_declaration"}:
            return
        inner = outer


def _flag(file: GoFile, test: Node) -> Iterator[bytes]:
    """Yield the field that a test asks, by a variable that it was read into, perhaps."""
    binding = file.binding(test) if test.kind == "identifier" else None
    if binding is not None and binding.value is not None and is_assigned_once(binding):
        test = binding.value
    if test.kind == "selector_expression":
        yield test["field"].text


_CLOSED = re.compile(rb"\bclose\([\w.]*\.(\w+)\)")


def _is_launched_behind(file: GoFile, function: Node, write: FieldAccess) -> bool:
    """Return whether all that runs a function are launches behind a write, in the same function."""
    decl = declaration_of(file, function)
    sites = list(own_callers(decl, LOCK_CALLS)) if decl is not None and not decl.exported else []
    return bool(sites) and all(
        site.launched
        and site.node.function is write.node.function
        and site.node.start > write.node.end
        for site in sites
    )


def _asks_before(access: FieldAccess, function: Node) -> bool:
    """Return whether a function leaves above an access when an atomic does not allow it."""
    body = function["body"]
    asked: int | None = None
    for node in body.own():
        if node.start >= access.node.start:
            return False
        if node.kind == "call_expression" and _does(access.file, node, _LOADS, _DEPTH):
            asked = node.start
        if node.kind == "if_statement" and not node.contains(access.node):
            inside = node["consequence"].statements
            if inside and inside[-1].kind in _LEAVES:
                if asked is not None or _does_in(access.file, node):
                    return True
    return False


def _does_in(file: GoFile, test: Node) -> bool:
    calls = test["condition"].find("call_expression")
    return any(_does(file, call, _LOADS, _DEPTH) for call in calls)


def _does(file: GoFile, call: Node, what: re.Pattern[bytes], depth: int) -> bool:
    """Return whether a call is an operation on an atomic, or of a function that makes one."""
    if what.search(call["function"].text + b"("):
        return True
    decl = file.callee(call) if depth > 0 else None
    if decl is None or not decl.has_body or decl.file.package is not file.package:
        return False
    if len(decl.node["body"].statements) > 3:
        return False  # it does other things, and more
    calls = decl.node.find("call_expression")
    return any(_does(decl.file, inner, what, depth - 1) for inner in calls)
