"""Goroutines that are counted out, where the last one closes a channel, and send on it then.

func (w *walk) visit(page string) {       func (w *walk) leave() {
    …                                         if w.active.Add(-1) == 0 {
    w.leave()                                     close(w.found)
    w.found <- page  // panics                }
}                                         }
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import Access, access_of
from threadmend.golang.builders import BuilderError, move_after, or_reason
from threadmend.golang.calls import Site, callers
from threadmend.golang.file import GoFile
from threadmend.golang.locks import declaration_of
from threadmend.golang.syntax import Node
from threadmend.golang.wording import translated
from threadmend.model import Fix, Safety

from ._calls_after import LEAVES, WAITS
from ._last_one import left_to_the_last

__all__ = ["counted_behind", "sends_after_leaving"]


def sends_after_leaving(file: GoFile) -> Iterator[tuple[Node, Node, Fix | str]]:
    """Yield (close, send, fix) where a call counts a goroutine out that sends behind it."""
    for close in file.calls("close"):
        function, operands = close.function, close["arguments"].children
        if function is None or function.kind == "func_literal" or len(operands) != 1:
            continue
        decl = declaration_of(file, function)
        closed = access_of(file, operands[0])
        if decl is None or closed is None or not left_to_the_last(file, function, close):
            continue
        for site in callers(decl):
            send = _send_behind(site, function, closed)
            if send is not None and site.call is not None:
                yield close, send, counted_behind(site.call, send)
                break


def _send_behind(site: Site, function: Node, closed: Access) -> Node | None:
    """Return the send, below a call and in its block, on the channel that the call may close."""
    statement = site.call.parent if site.call is not None else None
    if statement is None or statement.kind != "expression_statement":
        return None
    given = translated(site.file, site.call, function, closed)
    for following in statement.following:
        if following.kind == "send_statement" and given is not None:
            if access_of(site.file, following["channel"]) == given:
                return following
    return None


@or_reason
def counted_behind(leaving: Node, send: Node) -> Fix:
    """Move what counts a goroutine out, and lets the last one close, behind its last send.

    Sound: nothing between them leaves or waits for anybody, and the count still comes to zero when
    the last goroutine has sent; before, that one itself met the closed channel.
    """
    statement, name = leaving, send["channel"].text
    while statement.parent is not None and statement.parent is not send.parent:
        statement = statement.parent
    if statement.parent is None or statement.end > send.start:
        raise BuilderError("the close and the send are in different blocks")
    last = send
    for other in send.following:
        if other.kind == "send_statement" and other["channel"].text == name:
            last = other
    for between in (s for s in statement.following if s.start <= last.start):
        if between.kind == "send_statement" and between["channel"].text == name:
            continue
        if WAITS.search(between.text):
            raise BuilderError("something in between may wait for the close")
        if any(n.kind in LEAVES for n in between.own()):
            raise BuilderError("a path in between leaves")
    edits = move_after(statement, last)
    title = f"Send on {send['channel'].name} before the goroutine is counted out"
    return Fix(title, edits, Safety.UNSAFE, "the channel is closed later")
