"""Signals beside changes that come without the lock: before the signal, or only after it.

    q.wakeOne()                 // whoever wakes finds nothing, and waits again
    q.mu.Lock()
    q.items = append(q.items, v)
    q.mu.Unlock()

A method that does nothing else than to signal stands for the signal where it is called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import access_of
from threadmend.golang.builders import BuilderError, delete, insert_after, insert_before, or_reason
from threadmend.golang.callers_locks import caller_classes
from threadmend.golang.calls import callers
from threadmend.golang.conditions import CondCall
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.functions import doc_of, outer_function
from threadmend.golang.locks import declaration_of, held_at, locks_of
from threadmend.golang.setup import is_made_here
from threadmend.golang.syntax import Node
from threadmend.golang.targets import targets
from threadmend.model import Fix, Safety

__all__ = ["by_helpers", "unlocked"]

_METHODS = frozenset({"Signal", "Broadcast"})


def by_helpers(call: CondCall) -> Iterator[CondCall]:
    """Yield the calls, in the same file, of a method that does nothing else than this signal.

    Their `cond` is what the method is called on, `method` is its name.
    """
    statement, function = call.statement, call.call.function
    if statement is None or function is None or function["body"].statements != [statement]:
        return
    decl = declaration_of(call.file, function)
    if decl is None or decl.kind != "method":
        return
    for site in callers(decl):
        if site.call is None or site.file is not call.file or site.launched or site.deferred:
            continue
        called = site.call["function"]
        if called.kind == "selector_expression":
            owner = called["operand"]
            yield CondCall(site.file, site.call, decl.name, owner, call.lock_class)


def unlocked(call: CondCall, names: frozenset[str]) -> Iterator[tuple[str, Fix | str]]:
    """Say what changes without the lock before a signal, or only after it, with the fix."""
    function = call.call.function
    signal = call.statement
    if function is None or signal is None or call.call.up("defer_statement") is not None:
        return
    flow = flow_of(function)
    at = flow.point_of(call.call)
    writes = list(_writes(call.file, function, names))
    before, after = [], []
    for write in writes:
        point = flow.point_of(write)
        if at is None or point is None:
            continue
        if at in flow.reachable(point):
            before.append(write)
        elif point in flow.reachable(at):
            after.append(write)
    bare = [w for w in before if not held_at(call.file, w)]
    if _is_told(call.file, function):
        return
    if bare and call.method in _METHODS and not locks_of(call.file, function).operations:
        message = f"{_target(bare[0])} changes without the lock: a waiter may miss the signal"
        yield message, _locked(call, bare, signal)
    elif after and not before and not _changes_before(call, function, names):
        message = f"{call.cond.name}.{call.method} comes before {_target(after[0])} changes"
        yield message, _moved(signal, after[-1])


def _changes_before(call: CondCall, function: Node, names: frozenset[str]) -> bool:
    """Return whether what is called before a signal changes what the waiters test."""
    return any(
        _target(node) in names
        for other in function["body"].find("call_expression")
        if other.end <= call.call.start
        for called in targets(call.file, other).bodies
        for node in called.node.walk()
    )


def _is_told(file: GoFile, function: Node) -> bool:
    """Return whether callers hold a lock, or the comment says that they do."""
    outer = outer_function(function) if function.kind == "func_literal" else function
    if outer is None:
        return False
    return bool(_HELD.search(doc_of(outer)) or caller_classes(file, outer))


_HELD = re.compile(rb"(?i)\bheld\b|\bholds?\b|\bholding\b|\blocked\b")


def _writes(file: GoFile, function: Node, names: frozenset[str]) -> Iterator[Node]:
    """Yield the statements of a function that change what the waiters test."""
    for node in function["body"].own():
        target = _changed(node)
        if target is None or _target(node) not in names:
            continue
        owner = target["operand"] if target.kind == "selector_expression" else target
        if is_made_here(file, node, access_of(file, owner)):
            continue
        if target.kind == "identifier":
            binding = file.binding(target)
            if binding is not None and (
                binding.node is target or _unpublished(file, function, binding.function)
            ):
                continue
        yield node


def _unpublished(file: GoFile, function: Node, maker: Node | None) -> bool:
    """Return whether a local of the function itself is written where nothing runs beside it."""
    return maker is function and not any(n.kind == "go_statement" for n in function.own())


def _changed(node: Node) -> Node | None:
    """Return the variable or field that a statement changes: assigned, counted, stored to."""
    if node.kind == "assignment_statement":
        target = node["left"].children[0]
        while target.kind == "index_expression":
            target = target["operand"]
        return target if target.kind in {"selector_expression", "identifier"} else None
    if node.kind in {"inc_statement", "dec_statement"}:
        target = node.children[0]
        return target if target.kind in {"selector_expression", "identifier"} else None
    if node.kind == "expression_statement" and node.children[0].kind == "call_expression":
        function = node.children[0]["function"]
        if function.kind == "selector_expression" and function["field"].name in {"Store", "Add"}:
            inner = function["operand"]
            return inner if inner.kind in {"selector_expression", "identifier"} else None
    return None


def _target(statement: Node) -> str:
    target = _changed(statement)
    if target is None:
        return ""
    return target["field"].name if target.kind == "selector_expression" else target.name


@or_reason
def _locked(call: CondCall, writes: list[Node], signal: Node) -> Fix:
    """Take the variable's lock from the first change to the last.

    Sound: nothing else runs under it, and the function takes no lock of its own.
    """
    first, last = writes[0], writes[-1]
    if first.parent is None or first.parent is not last.parent:
        raise BuilderError("the changes are in several blocks")
    between = [s for s in first.parent.statements if first.start <= s.start <= last.start]
    if any(_may_block(s) for s in between):
        raise BuilderError("code between the changes may block")
    name = call.cond.name
    edits = insert_before(first, f"{name}.L.Lock()") + insert_after(last, f"{name}.L.Unlock()")
    reason = "the change waits for whoever holds the lock"
    return Fix("Change the state under the lock", edits, Safety.UNSAFE, reason)


def _may_block(statement: Node) -> bool:
    calls = [n for n in statement.find("call_expression") if n["function"].name != "append"]
    plain = all(re.search(r"\.(?:Store|Add|Load)$", n["function"].name) for n in calls)
    blocking = ("send_statement", "select_statement", "return_statement")
    return not plain or next(statement.find(*blocking), None) is not None


@or_reason
def _moved(signal: Node, write: Node) -> Fix:
    """Signal after the last change, and after the lock under which it happens is released."""
    anchor: Node | None = write
    while anchor is not None and anchor.parent is not signal.parent:
        anchor = anchor.parent
    if anchor is None:
        raise BuilderError("the change is in another block")
    following = anchor.next
    if following is not None and re.search(rb"\.Unlock\(\)$", following.text):
        anchor = following
    edits = delete(signal) + insert_after(anchor, signal.name)
    return Fix("Signal after the change", edits, Safety.UNSAFE, "waiters wake up later")
