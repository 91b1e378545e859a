"""Signals that a goroutine gives once, in its loop: a path that leaves before the first time.

for batch := range batches {            ready := make(chan struct{})
    if err := use(batch); err != nil {  go work(ready)
        return                          <-ready  // for ever
    }
    if ready != nil {
        close(ready)
        ready = nil
    }
}
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import uses_of
from threadmend.golang.builders import insert_after, insert_at_start, with_reason
from threadmend.golang.channel_index import Behind, behind_channel
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Exit, flow_of
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan
from threadmend.model import Confidence, Finding, Fix, Related, Safety

from ._bodies import bodies, launched_in_loop

__all__ = ["signalled_once"]

_ONCE = re.compile(rb"(\w+(?:\.\w+)*)\.Do\(func\(\) \{\s*close\((\w+(?:\.\w+)*)\)\s*\}\)")
_CHANGES = frozenset({"write", "update", "address", "store"})


@dataclass(frozen=True, slots=True)
class _Signal:
    """A close that only the first round of a loop runs.

    `again` gives it at the end where it was not given yet, and may stand behind `below`, a
    statement, or at the start of the function.
    """

    statement: Node
    close: Node
    again: str
    below: Node | None = None


def signalled_once(file: GoFile) -> Iterator[Finding]:
    """Yield the closes in a loop that a goroutine may leave before the first of them."""
    for body in bodies(file):
        if body.get("result") is not None or launched_in_loop(file, body):
            continue
        for signal in _signals(file, body):
            waiter = _waiter(file, body, signal)
            exits = _early(file, body, signal) if waiter is not None else []
            exits = [e for e in exits if waiter is not None and not _told(e.node, waiter)]
            if waiter is not None and exits:
                yield _finding(file, body, signal, exits, waiter)


def _signals(file: GoFile, body: Node) -> Iterator[_Signal]:
    if not re.search(rb"\bclose\(", body.text):
        return
    for statement in body.own():
        if innermost_loop(statement) is None:
            continue
        if statement.kind == "if_statement":
            found = _by_test(file, body, statement)
        elif statement.kind == "expression_statement":
            found = _by_once(file, statement)
        else:
            continue
        if found is not None:
            yield found


def _by_test(file: GoFile, body: Node, test: Node) -> _Signal | None:
    """Return the close of `if ch != nil { close(ch); ch = nil }`, or of the same with a flag."""
    statements = test["consequence"].statements
    if test.get("alternative") or test.get("initializer") or len(statements) != 2:
        return None
    closing, marking = sorted(statements, key=lambda s: s.kind == "assignment_statement")
    if closing.kind != "expression_statement" or not closing.text.startswith(b"close("):
        return None
    close = closing.children[0]
    if marking.kind != "assignment_statement" or len(close["arguments"].children) != 1:
        return None
    name, mark = close["arguments"].children[0].name, marking["left"].name
    binding = file.binding(marking["left"].children[0])
    again = f"defer func() {{\n\tif {test['condition'].name} {{\n\t\tclose({name})\n\t}}\n}}()"
    if binding is None or not _changes_there(binding, marking, body):
        return None
    asked = test["condition"].name
    if mark == name and asked == f"{name} != nil" and marking["right"].text == b"nil":
        return _Signal(test, close, again) if binding.kind == "parameter" else None
    declaration = binding.declaration.statement
    if asked != f"!{mark}" or marking["right"].text != b"true" or declaration is None:
        return None
    if declaration.parent is not body["body"] or b"true" in declaration.text:
        return None
    return _Signal(test, close, again, declaration)


def _changes_there(binding: Binding, marking: Node, body: Node) -> bool:
    """Return whether a variable of the goroutine's own changes nowhere else."""
    if binding.scope is not body and not body.contains(binding.scope):
        return False
    changes = [u.node for u in uses_of(binding) if u.kind in _CHANGES]
    return all(marking.contains(node) for node in changes)


def _by_once(file: GoFile, statement: Node) -> _Signal | None:
    """Return the close of `once.Do(func() { close(ch) })`, the only use of the Once."""
    found = _ONCE.fullmatch(statement.text)
    close = next(
        (c for c in statement.find("call_expression") if c.name.startswith("close(")), None
    )
    if found is None or close is None:
        return None
    once = statement.children[0]["function"]["operand"]
    if once.kind != "identifier":
        return None
    binding = file.binding(once)
    if binding is None or len(uses_of(binding)) != 2:
        return None
    own = binding.scope is close.function or statement.function is binding.declaration.function
    below = binding.declaration.statement if own else None
    again = f"defer {once.name}.Do(func() {{ {close.name} }})"
    return _Signal(statement, close, again, below)


def _waiter(file: GoFile, body: Node, signal: _Signal) -> ChannelOperation | None:
    """Return a receive that waits for the signal and for nothing else."""
    operand = signal.close["arguments"].children[0]
    channel = behind_channel(file, signal.close, operand)
    if not _is_known(channel, signal) or [o.node for o in channel.of("close")] != [signal.close]:
        return None
    for operation in channel.of("receive"):
        if operation.node.function is body or operation.select is not None:
            continue
        if file.is_test or not operation.file.is_test:
            return operation
    return None


def _is_known(channel: Behind, signal: _Signal) -> bool:
    if channel.shared is not None:
        return channel.known and not channel.of("send")
    escapes = [e for c in channel.local for e in c.escapes]
    if not channel.local or channel.of("send"):
        return False
    return all(signal.statement.contains(e) for e in escapes)


def _early(file: GoFile, body: Node, signal: _Signal) -> list[Exit]:
    """Return the exits before the first signal: from within the loop, or at a channel's end."""
    flow, loop = flow_of(body), innermost_loop(signal.statement)
    inner = signal.statement.get("consequence")
    first = inner.statements[0] if inner is not None else signal.statement
    point = flow.point_of(first)
    if point is None or loop is None or not flow.complete:
        return []
    exits = flow.exits_from(flow.entry, stop=lambda p: p is point)
    exits = [e for e in exits if e.kind in {"return", "end"}]
    if signal.below is not None and any(e.node.start < signal.below.end for e in exits):
        if any(e.kind == "return" and e.node.start < signal.below.end for e in exits):
            return []
    inside = [e for e in exits if e.kind == "return" and loop.contains(e.node)]
    if inside:
        return inside
    clause = next((c for c in loop.children if c.kind == "range_clause"), None)
    ranged = clause["right"] if clause is not None else None
    over = file.underlying(file.type_of(ranged)) if ranged is not None else None
    return exits if isinstance(over, Chan) else []


def _told(exit_: Node, waiter: ChannelOperation) -> bool:
    """Return whether the waiter receives before what is sent right before an exit."""
    around, outer = exit_.parent, waiter.node.function
    if exit_.kind != "return_statement" or around is None or outer is None:
        return False
    sent = {s["channel"].text for s in around.statements if s.kind == "send_statement"}
    return any(
        n["operator"].kind == "<-" and n["operand"].text in sent
        for n in outer.own()
        if n.kind == "unary_expression" and n.start < waiter.node.start
    )


def _finding(
    file: GoFile, body: Node, signal: _Signal, exits: list[Exit], waiter: ChannelOperation
) -> Finding:
    name = signal.close["arguments"].children[0].name
    at = exits[0].node if exits[0].kind == "return" else signal.close
    where = "the goroutine returns here" if at is not signal.close else "the goroutine may end"
    fix, reason = _fix(name, body, signal)
    certain = at is not signal.close and not file.is_test
    return Finding(
        path=file.path,
        start=at.start,
        end=at.end,
        message=f"{where} without closing {name}, which others wait for",
        fixes=(fix,) if fix else (),
        reason=reason,
        related=(Related(waiter.node.path, waiter.node.start, waiter.node.end, "waits here"),),
        confidence=Confidence.HIGH if certain else Confidence.MEDIUM,
    )


@with_reason
def _fix(name: str, body: Node, signal: _Signal) -> Fix:
    if signal.below is None:
        edits = insert_at_start(body["body"], signal.again)
    else:
        edits = insert_after(signal.below, signal.again)
    why = "the waiter goes on where it hung before"
    return Fix(f"Close {name} at the end, if not yet", edits, Safety.UNSAFE, why)
