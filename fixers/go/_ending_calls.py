"""Calls that wait for nobody: `h.Stop()` only closes a channel, `h.Size()` only looks."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.file import GoFile
from threadmend.golang.functions import method_call
from threadmend.golang.goroutines import Launch, captures, innermost_loop
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Array, Chan, Map, Slice, deref, is_named

from ._quick import is_slow, waits

__all__ = ["ending_statement", "only_ends", "only_looks"]

_DEPTH = 2


def only_ends(file: GoFile, use: Node) -> bool:
    """Return whether a use of an object calls a method that ends it, and waits for nobody."""
    call = method_call(use)
    decl = file.callee(call) if call is not None else None
    return decl is not None and _ends(decl, _DEPTH)


def only_looks(file: GoFile, use: Node) -> bool:
    """Return whether a use of an object calls a method, outside of a loop, that only computes.

    Its own, or one of a part of it.

    It may take a lock, which tells nobody that somebody else has ended.
    """
    call = method_call(_of_part(file, use))
    decl = file.callee(call) if call is not None else None
    asked_again = call is None or innermost_loop(call) is not None
    return decl is not None and not asked_again and _is_quick(decl, _DEPTH)


def _of_part(file: GoFile, use: Node) -> Node:
    """Return the part of an object whose method is called: `r.drive` of `r.drive.Wind(3)`."""
    part = use
    while part.parent is not None and part.parent.kind == "selector_expression":
        selection = file.selection(part.parent)
        if part.field != "operand" or selection is None or selection.kind != "field":
            break
        part = part.parent
    return part


def _is_quick(decl: Decl, depth: int) -> bool:
    if decl.kind not in {"func", "method"} or not decl.sound or not decl.has_body:
        return False
    if not decl.node["body"].statements:
        return False  # who knows what it stands for
    for node in decl.node["body"].walk():
        if node.kind == "for_statement" and waits(decl.file, node):
            return False
        if node.kind == "call_expression" and _is_brief(decl.file, node):
            continue
        if is_slow(decl.file, node):
            callee = decl.file.callee(node) if node.kind == "call_expression" else None
            if callee is None or not depth or not _is_quick(callee, depth - 1):
                return False
    return True


def ending_statement(file: GoFile, launch: Launch, test: Binding) -> Node | None:
    """Return the last statement of a test itself that ends what a goroutine of it works with."""
    function = launch.function
    if function is None or launch.loop is not None:
        return None
    found = []
    captured = [b for b in captures(launch.literal or launch.node) if b is not test]
    for binding, channel in [*((b, None) for b in captured), *_made_by(file, captured)]:
        for use in binding.uses:
            call = method_call(use) if use.start > launch.node.end else None
            statement = call.parent if call is not None else None
            if statement is None or statement.kind != "expression_statement":
                continue
            if statement.parent is function["body"] and _ends_for(file, use, channel):
                found.append(statement)
    return max(found, key=lambda s: s.start, default=None)


def _made_by(file: GoFile, captured: list[Binding]) -> Iterator[tuple[Binding, Chan]]:
    """Yield the objects whose methods made the channels of a goroutine: `c := hub.Subscribe()`."""
    for binding in captured:
        channel = file.underlying(file.type_of(binding.node))
        for call in binding.values if isinstance(channel, Chan) else ():
            operand = call["function"].get("operand") if call.kind == "call_expression" else None
            owner = file.binding(operand) if operand is not None else None
            if owner is not None and owner.kind == "variable" and isinstance(channel, Chan):
                yield owner, channel


def _ends_for(file: GoFile, use: Node, channel: Chan | None) -> bool:
    """Return whether a use of an object ends it, and on every path such a channel."""
    if not only_ends(file, use):
        return False
    call = method_call(use)
    decl = file.callee(call) if call is not None else None
    if channel is None or decl is None:
        return channel is None
    for close in decl.node["body"].find("call_expression"):
        if _closes(decl.file, close) and not _is_optional(close):
            closed = [
                decl.file.underlying(decl.file.type_of(a)) for a in close["arguments"].children
            ]
            if any(isinstance(c, Chan) and c.elem == channel.elem for c in closed):
                return True
    return False


def _is_optional(close: Node) -> bool:
    return close.up("if_statement", "communication_case", "expression_case") is not None


def _ends(decl: Decl, depth: int) -> bool:
    """Return whether a method closes or cancels something, and does nothing that could wait."""
    if decl.kind != "method" or not decl.sound or not decl.has_body:
        return False
    ended = False
    for node in decl.node["body"].walk():
        if node.kind in {"send_statement", "go_statement", "type_conversion"}:
            return False
        if node.kind == "range_clause" and not _is_list(decl.file, node):
            return False
        if node.kind == "unary_expression" and node["operator"].kind == "<-":
            select = node.up("select_statement")
            if select is None or all(c.kind != "default_case" for c in select.children):
                return False
        if node.kind == "call_expression":
            closes = _closes(decl.file, node)
            if not closes and not _is_brief(decl.file, node):
                callee = decl.file.callee(node)
                if callee is None or not depth or not _ends(callee, depth - 1):
                    return False
                closes = True
            ended = ended or closes
    return ended


def _is_list(file: GoFile, clause: Node) -> bool:
    """Return whether a loop goes through what is there, and waits for nothing."""
    type_ = deref(file.underlying(file.type_of(clause["right"])))
    return isinstance(type_, Slice | Array | Map)


def _closes(file: GoFile, call: Node) -> bool:
    function = call["function"]
    if function.kind == "identifier" and function.name == "close":
        return file.resolve(function) is None
    return is_named(file.type_of(function), "context.CancelFunc", "context.CancelCauseFunc")


def _is_brief(file: GoFile, call: Node) -> bool:
    """Return whether a call locks, looks at a flag, or runs what it is given on the spot, once."""
    function = call["function"]
    selection = file.selection(function) if function.kind == "selector_expression" else None
    owner = str(selection.owner) if selection is not None and selection.owner else ""
    if owner in {"sync.Mutex", "sync.RWMutex"} or owner.startswith("sync/atomic."):
        return True
    return owner == "sync.Once" or (owner == "time.Ticker" and function["field"].name == "Stop")
