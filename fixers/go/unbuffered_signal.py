"""Give a signal channel a buffer

`signal.Notify` does not wait: when the receiver is not just then in its receive, the signal
is dropped. On an unbuffered channel a Ctrl-C during start-up, or while another signal is
handled, does nothing, and the process goes on as if nobody had asked it to stop. One slot
is enough to remember that somebody did.

Not reported: a channel whose `make` is not visible, or one that has a buffer.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import with_capacity
from threadmend.golang.channel_fields import (
    Make,
    arguments_of,
    made,
    made_by,
    shared_channel,
)
from threadmend.golang.file import GoFile
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.model import Finding, Fix, Related

CATEGORY = "channel"
ALSO = "govet sigchanyzer staticcheck SA1017"
GATE = rb"\.Notify\("


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the calls of signal.Notify with a channel that was made without a buffer."""
    if not file.imports_path("os/signal"):
        return
    for call in file.calls("Notify"):
        arguments = call["arguments"].children
        if not arguments or not _is_notify(file, call):
            continue
        unbuffered = [m for m in _makes(file, arguments[0]) if m.unbuffered]
        if unbuffered:
            yield _finding(file, call, arguments[0], unbuffered)


def _is_notify(file: GoFile, call: Node) -> bool:
    function = call["function"]
    if function.kind != "selector_expression" or function["operand"].kind != "identifier":
        return False
    selection = file.selection(function)
    path = file.imported(function["operand"].name)
    return path == "os/signal" and (selection is None or selection.kind == "package")


def _makes(file: GoFile, channel: Node, depth: int = 2) -> list[Make]:
    """Return where a channel expression was made, through fields and parameters."""
    direct = made(file, channel)
    if direct is not None:
        return [direct]
    binding = file.binding(channel)
    if isinstance(binding, Binding):
        named = made_by(file, binding)
        if named is not None:
            return [named]
        if binding.kind == "parameter" and depth:
            sites = arguments_of(file, binding) or []
            return [m for f, node in sites for m in _makes(f, node, depth - 1)]
        return []
    shared = shared_channel(file, channel)
    return shared.makes if shared is not None else []


def _finding(file: GoFile, call: Node, channel: Node, makes: list[Make]) -> Finding:
    return Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=f"{_name(channel)} has no buffer, so that a signal is lost while nobody receives",
        fixes=(_fix(makes),),
        related=tuple(
            Related(m.call.path, m.call.start, m.call.end, "made here")
            for m in makes
            if not call.contains(m.call)
        ),
    )


def _name(channel: Node) -> str:
    return "the channel" if channel.kind == "call_expression" else channel.name


def _fix(makes: list[Make]) -> Fix:
    """Make room for one signal.

    Sound: Notify never waits for the receiver, so nothing relied on one being there.
    """
    edits = tuple(with_capacity(make.call, "1", make.maker) for make in makes)
    return Fix("Make room for one signal", edits)
