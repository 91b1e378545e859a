"""Sends in the default case of a select that asks for a stop: for `sender-without-exit`."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, or_reason, replace
from threadmend.golang.channel_index import behind
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import held_at
from threadmend.golang.stops import endless
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Finding, Fix, Safety

from ._quick import is_slow
from ._stop_cases import finding

__all__ = ["behind_default"]


def behind_default(file: GoFile, send: Node) -> Iterator[Finding]:
    """Yield a send that is all that the default case of a stop's select does, in a loop.

    While it waits nobody asks for the stop. Who receives until the channel is closed takes
    what comes: such a receiver keeps the send from being reported.
    """
    default = send.parent
    select = default.parent if default is not None else None
    loop = innermost_loop(send)
    if default is None or select is None or loop is None or default.statements != [send]:
        return
    if select.parent is not loop["body"] or not endless(loop) or held_at(file, send):
        return
    stop = next((c for c in map(_stop, select.children) if c is not None), None)
    channel = behind(file, send)
    if stop is None or not channel.of("receive") or channel.of("range"):
        return
    if channel.shared is not None and channel.shared.escapes:
        return
    if not any(o.has_alternative for o in channel.of("receive")):
        return
    name = send["channel"].name
    message = f"the send to {name} waits where nobody asks for {stop.name} any more"
    yield finding(file, send, message, _as_case(file, default, send, stop))


def _stop(clause: Node) -> Node | None:
    """Return what a case receives that then leaves the function."""
    communication = clause.get("communication")
    if clause.kind != "communication_case" or communication is None or not clause.statements:
        return None
    if clause.statements[-1].kind != "return_statement":
        return None
    return next(communication.find("unary_expression"), None)


def _as_case(file: GoFile, default: Node, send: Node, stop: Node) -> Fix | str:
    """Make the default case one for the send.

    Sound: until the stop is ready the same send is waited for.
    """
    if default.tree.comments_in(default.start, send.start):
        return "a comment in it would be lost"
    if any(is_slow(file, n) for n in send["value"].walk()):
        return _select_within(send, stop)
    edit = Edit(send.path, default.start, send.end, b"case " + send.text + b":")
    reason = "the function now leaves without having sent"
    return Fix(f"Wait for {stop.name} too", (edit,), Safety.UNSAFE, reason)


@or_reason
def _select_within(send: Node, stop: Node) -> Fix:
    """Let the send wait for the stop too, in the default case.

    Sound: what is sent is computed where it was, when the stop has been asked for.
    """
    clause = stop.up("communication_case")
    statements = clause.statements if clause is not None else []
    if len(statements) != 1:
        raise BuilderError("what the stop's case does would have to be done twice")
    leave = statements[0].name
    code = f"select {{\ncase {send.name}:\ncase {stop.name}:\n\t{leave}\n}}"
    reason = "the function now leaves without having sent"
    return Fix(f"Wait for {stop.name} too", replace(send, code), Safety.UNSAFE, reason)
