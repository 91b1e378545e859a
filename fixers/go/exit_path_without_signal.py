"""Signal on every path out of a goroutine that others wait for

A goroutine closes a channel, or sends on it, when it is done, and somebody waits for that. One
path out of it (an error, a cancelled context, nothing to do) returns without the signal: the
waiter waits for ever. Nobody notices until that error happens. The same goes for
- a slot of a semaphore, a buffered channel, that was taken for the goroutine and is not given
  back, and for one that a function, or a round of a loop, takes and keeps only where it fails;
- a token out of a pool, a channel that was filled beforehand;
- a function that sets a result, and does not close the channel by which others learn of it;
- one that ends its own goroutine by a close on some paths only;
- one that waits for goroutines which a context ends, and has not cancelled it;
- one that reports by a callback, of which somebody awaits one report for each call;
- a round of a loop that has received a request, and goes on to the next without an answer.

Not reported: a signal in a deferred call; a channel on which somebody else signals too; a
waiter that selects with another case, but for the launcher that selects with the end of a context
it was given; a signal that a loop sends; a way out that the only waiter orders when it leaves
itself, or by a flag where it does not wait; a callback whose result asks to be called again.

Unsafe: waiters go on where they hung before; a signal moved into a defer comes later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from threadmend.golang.access import meant_by
from threadmend.golang.branches import decisions, spelt_out
from threadmend.golang.calls import callers
from threadmend.golang.channel_index import behind, behind_channel
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Exit, Flow, flow_of
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.stops import ways_out
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.model import Confidence, Finding, Fix, Related

from ._announced import not_announced
from ._bodies import bodies, launched_in_loop
from ._consumer_kept import consumers_kept
from ._each_once import each_once
from ._every_tick import ticks
from ._exit_signals import Signals, signalled
from ._last_one import left_to_the_last
from ._leaked_senders import is_wait
from ._never_over import is_over_never
from ._never_signals import never_signalled
from ._or_given_up import is_for_caller, is_of_context
from ._own_signals import closing_call, is_awaited, is_of_each
from ._reported import unreported
from ._round_unanswered import unanswered_rounds
from ._same_flag import asks_the_same, is_late, leaves_word
from ._sent_away import asks_again, is_sent_away
from ._signal_once import signalled_once
from ._slot_entrusted import entrusted_slots
from ._slot_held import held_slots
from ._slot_kept import kept_slots
from ._stopped_by_waiter import given_up, stopped_by_waiter
from ._token_kept import kept_tokens
from ._uncancelled import uncancelled_waits

CATEGORY = "goroutine"
GATE = rb"<-|\bclose\(|(?m:^\s*[\w.]+\.\w+\([^,(){}]*\)$)|\w func\(\w[^()\n]*\)[,)]"


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the signals of goroutines that some path out skips although others wait."""
    ways = (
        _skipped,
        never_signalled,
        signalled_once,
        kept_slots,
        held_slots,
        entrusted_slots,
        kept_tokens,
        not_announced,
        consumers_kept,
        uncancelled_waits,
        unreported,
        unanswered_rounds,
    )
    yield from each_once(file, *ways)


def _skipped(file: GoFile) -> Iterator[Finding]:
    for body in bodies(file):
        flow: Flow | None = None
        for name, nodes in _operations(file, body).items():
            flow = flow or flow_of(body)
            signals = _signals(file, body, flow, nodes)
            if signals is None or _deferred(body, name):
                continue
            for waiter in _waiters(file, body, signals):
                exits = _skipping(file, flow, signals, waiter)
                if exits:
                    found = _finding(file, body, signals, exits, waiter)
                    elsewhere = all(_tells_elsewhere(file, e.node, waiter) for e in exits)
                    yield replace(found, confidence=Confidence.LOW) if elsewhere else found
                    break


def _operations(file: GoFile, body: Node) -> dict[str, list[Node]]:
    """Return the plain sends and closes of a body by their channel's text."""
    found: dict[str, list[Node]] = {}
    for node in body.own():
        if node.kind == "send_statement" and node.field != "communication":
            found.setdefault(meant_by(file, node["channel"]).name, []).append(node)
        elif node.kind == "expression_statement" and node.text.startswith(b"close("):
            call = node.children[0]
            arguments = call["arguments"].children if call.kind == "call_expression" else []
            if len(arguments) == 1:
                found.setdefault(meant_by(file, arguments[0]).name, []).append(node)
        elif node.kind == "expression_statement" and closing_call(file, node) is not None:
            found.setdefault(node.children[0]["function"].name, []).append(node)
    return found


def _signals(file: GoFile, body: Node, flow: Flow, nodes: list[Node]) -> Signals | None:
    closes = [n for n in nodes if n.kind == "expression_statement"]
    kind, chosen = ("close", closes) if closes else ("send", nodes)
    first = chosen[0]
    by = closing_call(file, first) if kind == "close" else None
    close = by[1] if by is not None else first.children[0]
    operand = first["channel"] if kind == "send" else close["arguments"].children[0]
    owner = by[0].file if by is not None else file
    channel = behind_channel(owner, first if kind == "send" else close, operand)
    if channel.local and any(c.escapes or c.function is body for c in channel.local):
        return None
    if channel.shared is not None and (channel.shared.escapes or not channel.shared.is_field):
        return None
    if channel.of("len"):
        return None  # who receives counts what is there
    if any(is_over_never(file, node) or _is_there(node, operand) for node in chosen):
        return None
    everywhere = channel.of("close") or channel.of("send")
    if by is not None:
        if len(everywhere) != 1 or any(s.node.function is not body for s in callers(by[0])):
            return None
    elif not everywhere or any(o.node.function is not body for o in everywhere):
        return None
    if kind == "send" and any(o.has_alternative for o in everywhere):
        return None
    if any(
        left_to_the_last(file, body, node) or _is_of_a_mode(file, body, node) for node in chosen
    ):
        return None
    points = frozenset(p for node in chosen if (p := flow.point_of(node)) is not None)
    if len(points) != len(chosen) or not flow.complete or any(flow.in_loop(p) for p in points):
        return None
    cases = [o.node for o in channel.of("send") if o.has_alternative]
    sends = frozenset(p for n in (*nodes, *cases) if (p := flow.point_of(n)) is not None) - points
    if len({node.text for node in chosen}) > 1 and by is None:
        operand = meant_by(file, operand)
    return Signals(kind, operand, tuple(chosen), points, sends, channel)


def _is_there(signal: Node, channel: Node) -> bool:
    """Return whether a signal is given where there is a channel: `if done != nil { done <- 1 }`."""
    wanted = channel.text + b" != nil"
    tests = (n for n in signal.ancestors() if n.kind == "if_statement")
    return any(test["condition"].text == wanted for test in tests)


def _is_of_a_mode(file: GoFile, body: Node, signal: Node) -> bool:
    """Return whether a switch from outside decides about a signal: `if p.replay { done <- true }`.

    Whoever waits for it looks at the same switch.
    """
    for decision in decisions(signal, body):
        text = spelt_out(file, decision.condition).lstrip(b"!")
        names = decision.condition.find("identifier") if _SWITCH.fullmatch(text) else ()
        root = next((n for n in names if n.text == text.partition(b".")[0]), None)
        binding = file.binding(root) if root is not None else None
        if binding is not None and binding.kind in {"receiver", "parameter"}:
            return True
    return False


_SWITCH = re.compile(rb"\w[\w.]*")


def _deferred(body: Node, name: str) -> bool:
    """Return whether a deferred call mentions the channel."""
    word = re.compile(rb"\b" + re.escape(name.encode()) + rb"\b")
    return any(word.search(n.text) for n in body.find("defer_statement"))


def _waiters(file: GoFile, body: Node, signals: Signals) -> Iterator[ChannelOperation]:
    """Yield the receives that wait for the signal and for nothing else."""
    looped = launched_in_loop(file, body)
    if looped and signals.kind == "close":
        looped = not is_of_each(file, body, _named(file, signals), signals.channel)
    for operation in signals.channel.of("receive", "range"):
        function = operation.node.function
        if not is_awaited(operation):
            continue
        if function is body:
            continue
        if operation.select is not None and not (
            signals.channel.local and is_for_caller(operation)
        ):
            continue
        if operation.file.is_test and not file.is_test:
            continue
        if signals.kind == "send" and operation.kind == "range":
            continue  # it waits for a close
        if looped and (signals.kind == "close" or innermost_loop(operation.anchor) is None):
            continue  # one of several may do
        asked = _conditions(operation.node)
        if asked and any(asked & _conditions(node) for node in signals.nodes):
            continue  # `if wanted { <-done }`, and `if wanted { done <- true }`
        yield operation


def _named(file: GoFile, signals: Signals) -> Node:
    """Return the channel, or the object that closes it, as the goroutine names it."""
    call = signals.nodes[0].children[0]
    by = closing_call(file, signals.nodes[0])
    return call["function"]["operand"] if by is not None else meant_by(file, signals.operand)


def _conditions(node: Node) -> set[bytes]:
    """Return the fields and their like that decide, in its function, whether a node runs."""
    found = set()
    inner = node
    for outer in node.ancestors():
        if outer.kind in FUNCTIONS:
            break
        if outer.kind == "if_statement" and inner.field == "consequence":
            if outer["condition"].kind == "selector_expression":
                found.add(outer["condition"].text)
        inner = outer
    return found


def _skipping(file: GoFile, flow: Flow, signals: Signals, waiter: ChannelOperation) -> list[Exit]:
    """Return the exits without a signal; for who receives once, a value is one as well."""
    stops = signals.points if waiter.kind == "range" else signals.points | signals.sends
    stops |= given_up(file, flow, waiter)
    exits = flow.exits_from(flow.entry, stop=lambda p: p in stops)
    kinds = {"return", "end", "goexit"}
    left = [e for e in exits if e.kind in kinds and not _says_so(file, e.node, waiter)]
    left = [e for e in left if not asks_again(flow, signals, e.node)]
    left = [e for e in left if not is_sent_away(file, e.node, waiter)]
    left = [e for e in left if not leaves_word(file, e.node, waiter) and not is_late(e.node)]
    if waiter.select is not None:
        left = [e for e in left if not is_of_context(e.node)]
    forever = [n.end for n in flow.function["body"].statements if _ticks_for_ever(file, n)]
    return [
        e
        for e in left
        if e.node.start < min(forever, default=e.node.end) and not (forever and e.kind == "end")
        if not stopped_by_waiter(file, e.node, waiter) and not asks_the_same(file, e.node, waiter)
    ]


def _ticks_for_ever(file: GoFile, statement: Node) -> bool:
    """Return whether a loop takes one tick after another, and only a return leaves it."""
    clause = next((c for c in statement.children if c.kind == "range_clause"), None)
    if statement.kind != "for_statement" or clause is None or not ticks(file, clause):
        return False
    return all(way_out.kind == "return_statement" for way_out in ways_out(statement))


def _says_so(file: GoFile, exit_: Node, waiter: ChannelOperation) -> bool:
    """Return whether the waiter learns first, in another way, that it need not wait."""
    outer = outer_function(waiter.node)
    if exit_.kind != "return_statement" or outer is None:
        return False
    own = exit_.function
    earlier = [n for n in outer.walk() if n.start < waiter.node.start and n.function is not own]
    if exit_.children[1:] and any(is_wait(n) for n in earlier):
        return True  # `return err`, and g.Wait() gives it to the waiter
    test = exit_.parent.parent if exit_.parent is not None else None
    said = [s for s in (_said_before(exit_), _said_before(test)) if s]
    channels = {meant_by(file, s["channel"]).text for s in said if s.kind == "send_statement"}
    return any(
        n.kind == "unary_expression"
        and n["operator"].kind == "<-"
        and meant_by(file, n["operand"]).text in channels
        for n in earlier
    )


def _said_before(node: Node | None) -> Node | None:
    """Return the statement before a node, passing those that tell nobody anything."""
    before = node.previous if node is not None else None
    while before is not None and before.kind in _SIDE and not _TELLS.search(before.text):
        before = before.previous
    return before


_SIDE = frozenset({"expression_statement", "short_var_declaration", "assignment_statement"})
_TELLS = re.compile(rb"<-|\bclose\(")


def _tells_elsewhere(file: GoFile, exit_: Node, waiter: ChannelOperation) -> bool:
    """Return whether something is sent right before an exit, to others than the waiter's function.

    ready <- nil, err: who receives that may never come to wait.
    """
    before, outer = exit_.previous, outer_function(waiter.node)
    while before is not None and before.kind in {*_SIDE, "send_statement"}:
        if before.kind == "send_statement":
            operations = behind(file, before).of("receive")
            return bool(operations) and all(outer_function(o.node) is not outer for o in operations)
        before = before.previous
    return False


def _finding(
    file: GoFile, body: Node, signals: Signals, exits: list[Exit], waiter: ChannelOperation
) -> Finding:
    fix = signalled(file, body, signals, exits, waiter.node)
    exit_ = exits[0].node
    signal = f"{'closing' if signals.kind == 'close' else 'sending on'} {signals.operand.name}"
    if closing_call(file, signals.nodes[0]) is not None:
        signal = signals.nodes[0].name
    at = exit_ if exit_.kind == "return_statement" else signals.nodes[0]
    where = "the goroutine returns here" if at is exit_ else "the goroutine may end"
    return Finding(
        path=file.path,
        start=at.start,
        end=at.end,
        message=f"{where} without {signal}, which others wait for",
        fixes=(fix,) if isinstance(fix, Fix) else (),
        related=(Related(waiter.node.path, waiter.node.start, waiter.node.end, "waits here"),),
        reason="" if isinstance(fix, Fix) else fix,
        confidence=Confidence.MEDIUM if file.is_test else Confidence.HIGH,
    )
