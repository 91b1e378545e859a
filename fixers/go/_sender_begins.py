"""From where on a launched sender may come to its send, and where it has ended before.

ch := open()                             errc <- err
go func() {                              if err != nil {
    for v := range ch {                      return
        all = append(all, v)             }
    }                                    values <- v
    done <- true    // after the close
}()
"""

from __future__ import annotations

from threadmend.golang.file import GoFile
from threadmend.golang.flow import Flow, Point
from threadmend.golang.local_fields import held_channels
from threadmend.golang.stops import leaves_loop
from threadmend.golang.syntax import FUNCTIONS, Node

from ._leaked_senders import Sender

__all__ = ["begins_at", "told_of_failure"]


def told_of_failure(file: GoFile, function: Node, sender: Sender) -> list[Node]:
    """Return where a function is told of the error with which the goroutine ends before its send.

    errc <- err                          if err := <-errc; err != nil {
    if err != nil {                          return err
        return                           }
    }                                    return <-values
    values <- v
    """
    body = sender.launch.literal
    told: list[Node] = []
    for statement in body["body"].statements if body is not None else ():
        after = statement.next
        if statement.kind != "send_statement" or after is None or after.kind != "if_statement":
            continue
        failed = statement["value"].text + b" != nil"
        last = after["consequence"].statements[-1:]
        if after["condition"].text == failed and last and last[0].kind == "return_statement":
            if all(after.end <= s.node.start for s in sender.sends if not s.calls):
                told.append(statement)
    found = []
    for other in held_channels(file, function):
        if any(s.node in told for s in other.of("send")):
            found += [n for o in other.of("receive") if (n := _on_failure(o.node)) is not None]
    return found


def _on_failure(receive: Node) -> Node | None:
    """Return the branch of the `if err != nil` that looks at what is received."""
    statement = receive.up("short_var_declaration", *FUNCTIONS)
    if statement is None or statement.kind in FUNCTIONS:
        return None
    names = statement["left"].children
    test = statement.parent if statement.field == "initializer" else statement.next
    if len(names) != 1 or test is None or test.kind != "if_statement":
        return None
    if test["condition"].text != names[0].text + b" != nil":
        return None
    return test["consequence"]


def begins_at(file: GoFile, function: Node, flow: Flow, sender: Sender) -> Point | None:
    """Return where the function lets a goroutine go on to its send.

    The launch, or, where the goroutine receives from another channel of the function first, the
    one send or close there that the function makes for it: whoever leaves before it, leaves a
    goroutine that never came to its send. Likewise where it first takes all of a channel that
    the function closes.
    """
    start, literal = flow.point_of(sender.place), sender.launch.literal
    if start is None or literal is None or any(s.calls for s in sender.sends):
        return start
    for statement in literal["body"].statements:
        if any(statement.contains(send.node) for send in sender.sends):
            return start
        closed = _closed_for(file, function, flow, statement)
        if closed is not None and closed in flow.reachable(start):
            return closed
        receive = statement.children[0] if statement.kind == "expression_statement" else None
        if (
            receive is None
            or receive.kind != "unary_expression"
            or receive["operator"].kind != "<-"
        ):
            continue
        for channel in held_channels(file, function):
            if channel.binding is file.binding(receive["operand"]) and not channel.escapes:
                given = [flow.point_of(o.node) for o in channel.of("send", "close")]
                later = [p for p in given if p is not None and p in flow.reachable(start)]
                return later[0] if len(later) == 1 and None not in given else start
    return start


def _closed_for(file: GoFile, function: Node, flow: Flow, loop: Node) -> Point | None:
    """Return the one place where a function closes the channel that a loop takes to its end."""
    clause = next((c for c in loop.children if c.kind == "range_clause"), None)
    if loop.kind != "for_statement" or clause is None or leaves_loop(loop):
        return None
    ranged = file.binding(clause["right"]) if clause["right"].kind == "identifier" else None
    closes = [
        node
        for node in function.own()
        if ranged is not None
        and node.kind == "expression_statement"
        and node.text == b"close(" + ranged.name.encode() + b")"
    ]
    return flow.point_of(closes[0]) if len(closes) == 1 else None
