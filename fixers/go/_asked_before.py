"""Sends that only ask before whether the context is done, for receivers that leave when they like.

return func(e Entry) bool {            ctx, cancel := context.WithCancel(ctx)
    if ctx.Err() != nil {              defer cancel()
        return false                   for e := range open(ctx).entries {
    }                                      if e.over(limit) {
    s.entries <- e                             return e
    return true                            }
}                                      }
"""

from __future__ import annotations

import re

from threadmend.golang.channel_index import behind
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.leaving import Leave
from threadmend.golang.stops import Stop, endless, leaves_loop
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named

__all__ = ["asked_before"]

_ASKS = re.compile(rb"([\w.]+)\.Err\(\) != nil")
_KEEPS = re.compile(rb"(\w+) := ([\w.]+)\.Err\(\)")
_CANCELS = re.compile(rb"\bdefer \w*[cC]ancel\w*\(\)")


def asked_before(file: GoFile, send: Node) -> tuple[Stop, Leave] | None:
    """Return the context that is asked right above a send, and how the function leaves there.

    Somebody receives in a loop that is left early, and cancels a context as it leaves.
    """
    test = send.previous
    if test is None or test.kind != "if_statement" or test.get("alternative") is not None:
        return None
    statements = test["consequence"].statements
    if len(statements) != 1 or statements[0].kind != "return_statement":
        return None
    asked = _asked(test, statements[0])
    if asked is None or not is_named(file.type_of(asked[0]), "context.Context"):
        return None
    channel = behind(file, send)
    if not channel.unbuffered or (channel.shared is not None and channel.shared.escapes):
        return None
    receives = [r for r in channel.of("receive", "range") if not r.file.is_test]
    if not any(_leaves_early(r, send, receives) for r in receives):
        return None
    name = asked[0].name
    return Stop(f"{name}.Done()", name), Leave(asked[1])


def _asked(test: Node, leave: Node) -> tuple[Node, str] | None:
    """Return the context that a test asks, and the return as it reads without the test."""
    condition, initializer = test["condition"], test.get("initializer")
    if initializer is None:
        found = _ASKS.fullmatch(condition.text)
        call = next(iter(condition.find("call_expression")), None) if found else None
        return (call["function"]["operand"], leave.name) if call is not None else None
    kept = _KEEPS.fullmatch(initializer.text)
    if kept is None or condition.text != kept[1] + b" != nil":
        return None
    call = next(iter(initializer.find("call_expression")))
    text = re.sub(rb"\b" + kept[1] + rb"\b", kept[2] + b".Err()", leave.text)
    return call["function"]["operand"], text.decode()


def _leaves_early(receive: ChannelOperation, send: Node, receives: list[ChannelOperation]) -> bool:
    """Return whether a function leaves the loop in which it receives, and cancels then."""
    function = receive.node.function
    if function is None or function is send.function or not _CANCELS.search(function.text):
        return False
    if sum(r.node.function is function for r in receives) > 1:
        return False  # it may take the rest
    if receive.kind == "range":
        loop = receive.node.parent
        return loop is not None and leaves_loop(loop)
    loop = innermost_loop(receive.node)
    return loop is not None and endless(loop) and leaves_loop(loop)
