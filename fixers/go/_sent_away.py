"""Paths without a signal that are as they should be: nobody waits, or the work goes on.

cancelled := atomic.Bool{}             poll(func() bool {
go func() {                                if tries++; tries == 3 {
    for … {                                    close(done)
        if cancelled.Load() {                  return true
            return                         }
        }                                  return false     // it is called again
    }                                  })
    results <- found                   <-done
}()
if … {
    cancelled.Store(true)
    return nil                             // and receives nothing
}
return <-results
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import classify, root_name
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Flow, flow_of
from threadmend.golang.functions import outer_function
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import FUNCTIONS, Node

from ._exit_signals import Signals

__all__ = ["asks_again", "is_sent_away"]

_TRUTH = frozenset({b"true", b"false"})


def asks_again(flow: Flow, signals: Signals, exit_: Node) -> bool:
    """Return whether a callback returns another truth value than where it signals."""
    said = _truth(exit_)
    if said is None or flow.function.kind != "func_literal":
        return False
    after = {point for signal in signals.points for point in flow.reachable(signal)}
    returns = [p.node for p in after if p.node.kind == "return_statement"]
    return bool(returns) and all(_truth(r) not in {None, said} for r in returns)


def _truth(exit_: Node) -> bytes | None:
    """Return `true` or `false` of a return that gives nothing else."""
    if exit_.kind != "return_statement":
        return None
    text = exit_.text.removeprefix(b"return").strip()
    return text if text in _TRUTH else None


def is_sent_away(file: GoFile, exit_: Node, waiter: ChannelOperation) -> bool:
    """Return whether a flag opens a path which the waiter sets only where it never waits."""
    outer = outer_function(waiter.node)
    flag = _flag(file, exit_) if outer is not None else None
    if outer is None or flag is None or waiter.node.function is not outer:
        return False
    own = exit_.function
    places = [p for n in flag.uses if n.function is not own for p in _settings(file, flag, n)]
    flow = flow_of(outer)
    end = flow.point_of(waiter.anchor)
    points = [flow.point_of(p) if p.function is outer else None for p in places]
    if not points or end is None or not flow.complete:
        return False
    return all(p is not None and p is not end and end not in flow.reachable(p) for p in points)


def _flag(file: GoFile, exit_: Node) -> Binding | None:
    """Return the variable around a goroutine that decides for a path: `if stop.Load() { … }`."""
    inner = exit_
    for outer in exit_.ancestors():
        if outer.kind in FUNCTIONS:
            return None
        if outer.kind == "if_statement" and inner is outer["consequence"]:
            asked = outer["condition"]
            if asked.kind == "call_expression" and not asked["arguments"].children:
                asked = asked["function"].get("operand") or asked
            root = root_name(asked) if asked.kind == "identifier" else None
            binding = file.binding(root) if root is not None else None
            if binding is not None and binding.function is not exit_.function:
                return binding
        inner = outer
    return None


def _settings(file: GoFile, flag: Binding, use: Node) -> Iterator[Node]:
    """Yield where the function sets a flag, by itself or by a local function that it calls."""
    if not _sets(use, flag):
        return
    literal = use.function
    if literal is None or literal.kind != "func_literal":
        yield use
        return
    values = literal.parent
    statement = values.parent if values is not None else None
    if statement is None or statement.kind != "short_var_declaration":
        yield use  # who runs it cannot be told
        return
    name = statement["left"].children[values.children.index(literal)] if values else None
    binding = file.binding(name) if name is not None else None
    for called in binding.uses if binding is not None else ():
        if binding is not None and called is not binding.node:
            yield called


def _sets(use: Node, flag: Binding) -> bool:
    """Return whether a use of a flag changes it: `stop = true`, `stop.Store(true)`."""
    if use is flag.node:
        return False
    if classify(use, flag).kind in {"write", "update", "address"}:
        return True
    parent = use.parent
    call = parent.parent if parent is not None and parent.kind == "selector_expression" else None
    return call is not None and call.kind == "call_expression" and bool(call["arguments"].children)
