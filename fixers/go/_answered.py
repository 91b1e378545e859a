"""Answers that come because the request was taken: whoever takes it sends one in the same case.

select {                              case f := <-n.asked:
case n.asked <- f:                        f()
    <-n.answered                          n.answered <- struct{}{}
case <-n.closed:                      case <-n.closed:
}                                         return
"""

from __future__ import annotations

from threadmend.golang.channels import ChannelOperation
from threadmend.golang.syntax import Node

__all__ = ["answers_what_it_took"]


def answers_what_it_took(receive: Node, sends: list[ChannelOperation]) -> bool:
    """Return whether every send answers a request that stands right before the receive.

    The request was taken by then, as a send on a channel without room shows; between its receive
    and the answer nothing leaves.
    """
    request = _request_before(receive)
    if request is None or not sends:
        return False
    name = _last(request["channel"])
    return all(_answers(send.node, name) for send in sends)


def _request_before(receive: Node) -> Node | None:
    """Return the send that is the statement before a receive, or the case in which it stands."""
    statement = receive.statement
    before = statement.previous if statement is not None else None
    if before is None and statement is not None:
        case = statement.up("communication_case")
        if case is not None and case.statements[:1] == [statement]:
            before = case["communication"]
    return before if before is not None and before.kind == "send_statement" else None


def _answers(send: Node, name: bytes) -> bool:
    """Return whether the case of a select that receives from a channel always comes to a send."""
    case = send.up("communication_case")
    communication = case.get("communication") if case is not None else None
    if case is None or communication is None or communication.contains(send):
        return False
    taken = [n for n in communication.find("unary_expression") if n["operator"].kind == "<-"]
    if not taken or _last(taken[0]["operand"]) != name or send not in case.statements:
        return False
    earlier = [s for s in case.statements if s.end <= send.start]
    return not any(n.kind in _LEAVES for s in earlier for n in s.own())


_LEAVES = frozenset({"return_statement", "goto_statement", "break_statement", "continue_statement"})


def _last(channel: Node) -> bytes:
    return channel.text.rpartition(b".")[2]
