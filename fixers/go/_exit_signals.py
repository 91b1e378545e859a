"""Fixes that give a signal on every path out of a goroutine: in a defer, or before each exit."""

from __future__ import annotations

import re
from dataclasses import dataclass

from threadmend.golang.builders import (
    BuilderError,
    delete,
    insert_after,
    insert_at_start,
    insert_before,
)
from threadmend.golang.channel_index import Behind
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Exit, Point, flow_of
from threadmend.golang.scope import resolve_local
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan
from threadmend.model import Edit, Fix, Safety

from ._rest_taken import rest_taken

__all__ = ["Signals", "failed_at", "is_visible", "signalled"]


@dataclass(frozen=True, slots=True)
class Signals:
    """The closes of a channel in one body, or its sends where it is never closed."""

    kind: str
    operand: Node
    nodes: tuple[Node, ...]
    points: frozenset[Point]
    sends: frozenset[Point]
    channel: Behind


def signalled(
    file: GoFile, body: Node, signals: Signals, exits: list[Exit], waiter: Node
) -> Fix | str:
    """Return the fix that gives a signal at the exits without one, or why there is none."""
    texts = {" ".join(node.name.split()) for node in signals.nodes}
    deferrable = len(texts) == 1 and (signals.kind == "close" or _is_bare(signals))
    try:
        if deferrable and not _waits_later(signals):
            rest = rest_taken(file, body, exits, waiter)
            return _moved(body, signals, exits, rest)
        return _repeated(file, signals, exits)
    except BuilderError as error:
        return str(error)


_BARE = re.compile(rb"(?:struct\{\}\{\}|true|false|nil|\d+)$")


def _is_bare(signals: Signals) -> bool:
    """Return whether what is sent says nothing: a constant that no receiver looks at."""
    if not all(_BARE.search(node["value"].text) for node in signals.nodes):
        return False
    if all(node["value"].text == b"struct{}{}" for node in signals.nodes):
        return True
    return all(
        o.node.parent is not None and o.node.parent.kind == "expression_statement"
        for o in signals.channel.of("receive")
    )


_WAITS = re.compile(
    rb"<-|\.Wait\(|\bselect\b|\brange\b|\.(?:Accept|Serve|Read|Recv|Receive|Run)\w*\("
)


def _waits_later(signals: Signals) -> bool:
    """Return whether something that may wait, or go round for long, follows a signal.

    It may need the signal, which says that the goroutine is ready.
    """
    function = signals.nodes[0].function
    flow = flow_of(function) if function is not None else None
    for point in signals.points:
        for later in flow.reachable(point) if flow is not None else ():
            if flow is None or later is flow.end:
                continue
            if flow.in_loop(later) or _WAITS.search(later.node.text):
                return True
    return False


def _moved(body: Node, signals: Signals, exits: list[Exit], rest: tuple[Edit, ...]) -> Fix:
    """Signal in a defer at the start of the goroutine, where the channel is known.

    `rest`: the edits by which it takes what is left, before it leaves early.

    Sound: the goroutine signals once on every path, after all that it did before.
    """
    text = signals.nodes[0].name
    code = f"defer {text}" if signals.kind == "close" else f"defer func() {{ {text} }}()"
    edits = _at_start(body, signals.nodes[0], code, exits)
    for node in signals.nodes:
        edits += delete(node)
    reason = "the signal now comes at the end of the goroutine, on every path"
    if rest:
        reason += ", which takes what is left first"
    return Fix(f"Defer {text}", edits + rest, Safety.UNSAFE, reason)


def _at_start(body: Node, signal: Node, code: str, exits: list[Exit]) -> tuple[Edit, ...]:
    """Insert code where a goroutine begins, below the variables that the signal names."""
    bindings = (resolve_local(n) for n in signal.find("identifier"))
    declared = [b.node for b in bindings if b is not None and b.kind == "variable"]
    own = [n.statement for n in declared if n.function is body]
    statements = [s for s in own if s is not None]
    if not statements:
        return insert_at_start(body["body"], code)
    last = max(statements, key=lambda s: s.start)
    if last.parent is not body["body"] or any(e.node.start < last.end for e in exits):
        raise BuilderError("what the signal names is not known when the goroutine begins")
    return insert_after(last, code)


def _repeated(file: GoFile, signals: Signals, exits: list[Exit]) -> Fix | str:
    """Signal before each exit that skips it.

    Sound: no other signal was sent on that path.
    """
    edits: tuple[Edit, ...] = ()
    for exit_ in exits:
        if exit_.node.kind != "return_statement":
            return "what to send at the end of the goroutine cannot be told"
        code = _signal_at(file, signals, exit_.node)
        if code is None:
            return "what to send there cannot be told"
        edits += insert_before(exit_.node, code)
    title = "Close it before returning" if signals.kind == "close" else "Send before returning"
    return Fix(title, edits, Safety.UNSAFE, "the waiter goes on where it hung before")


def _signal_at(file: GoFile, signals: Signals, exit_: Node) -> str | None:
    """Return the signal as it can be given at an exit."""
    first = signals.nodes[0]
    if signals.kind == "close":
        return first.name
    name = signals.operand.name
    channel = file.underlying(file.type_of(signals.operand))
    if isinstance(channel, Chan) and str(channel.elem) == "error":
        failed = failed_at(exit_)
        return f"{name} <- {failed or 'nil'}"
    if _is_lost(first["value"], exit_):
        return None  # the value is not there when the work failed
    if all(is_visible(file, node, exit_) for node in first["value"].find("identifier")):
        if first["value"].kind in {"identifier", "selector_expression"} or _BARE.search(
            first["value"].text
        ):
            return first.name
    return None


def failed_at(exit_: Node) -> str | None:
    """Return the error that an exit is taken for: `err` of `if err != nil { return }`."""
    case = exit_.up("communication_case", "if_statement")
    if case is not None and case.kind == "communication_case":
        communication = case.get("communication")
        done = re.fullmatch(r"<-(.+)\.Done\(\)", communication.name if communication else "")
        return f"{done[1]}.Err()" if done else None
    test = exit_.up("if_statement")
    if test is None or not test["consequence"].contains(exit_):
        return None
    found = re.search(r"\b(\w*[eE]rr\w*) != nil", test["condition"].name)
    return found[1] if found else None


def _is_lost(value: Node, exit_: Node) -> bool:
    """Return whether a value came with the error that an exit is taken for: `v, err := f()`."""
    failed = failed_at(exit_)
    function = exit_.function
    if failed is None or function is None:
        return False
    branch = exit_.up("communication_case", "if_statement")
    names = {n.name for n in value.find("identifier")}
    before = (n for n in branch.find("identifier") if n.end <= exit_.start) if branch else ()
    if any(n.name in names for n in before):
        return False  # filled in for the failure
    for node in function.find("short_var_declaration", "assignment_statement"):
        together = {n.name for n in node["left"].find("identifier")}
        if failed in together and names & together and node.end <= exit_.start:
            return True
    return False


def is_visible(file: GoFile, name: Node, exit_: Node) -> bool:
    """Return whether a variable means the same at an exit."""
    binding = file.binding(name)
    if binding is None:
        return True
    return binding.scope.contains(exit_) and binding.visible <= exit_.start
