"""Ways out of a goroutine that the only one who waits for it has ordered: `close(done); return`.

Or by a variable that it sets when it has given up: `case <-ctx.Done(): cancelled = true`.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import uses_of
from threadmend.golang.calls import callers
from threadmend.golang.channel_index import behind
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Flow, Point, is_never_after
from threadmend.golang.functions import outer_function
from threadmend.golang.locks import declaration_of
from threadmend.golang.syntax import Node

__all__ = ["given_up", "stopped_by_waiter"]


def stopped_by_waiter(file: GoFile, exit_: Node, waiter: ChannelOperation) -> bool:
    """Return whether a goroutine leaves because of a stop that only who waits gives.

    Who gives it and receives no more does not miss the signal. The stop may be given by a
    method that the waiter calls, and in a defer.
    """
    case = exit_.up("communication_case")
    communication = case.get("communication") if case is not None else None
    receive = next(iter(communication.find("unary_expression")), None) if communication else None
    function = waiter.anchor.function
    if receive is None or function is None or receive["operator"].kind != "<-":
        return False
    stop = behind(file, receive)
    given = stop.of("close", "send")
    if not given or not stop.known:
        return False
    return all(
        places and all(_is_last(place, waiter, function) for place in places)
        for places in (list(_places(operation, function)) for operation in given)
    )


def _places(operation: ChannelOperation, function: Node) -> Iterator[Node]:
    """Yield where the stop is given, as seen by the function that waits."""
    own = operation.node.function
    if own is function or operation.anchor.function is function:
        yield operation.anchor
        return
    literal = own is not None and own.kind == "func_literal" and outer_function(own)
    if own is not None and literal is function:
        yield operation.node
        return
    decl = declaration_of(operation.file, own) if own is not None else None
    for site in callers(decl) if decl is not None else ():
        yield site.call or site.node


def _is_last(place: Node, waiter: ChannelOperation, function: Node) -> bool:
    """Return whether a function that gives the stop does not wait afterwards."""
    deferred = place.up("defer_statement")
    if deferred is not None and deferred.function is function:
        return True
    return place.function is function and is_never_after(waiter.anchor, place)


def given_up(file: GoFile, flow: Flow, waiter: ChannelOperation) -> set[Point]:
    """Return the points to which a goroutine comes only when nobody waits for it any more.

    They are behind a flag that its launcher alone sets, and does not wait after that.
    """
    found = set()
    function = waiter.anchor.function
    for test in flow.function.own():
        if test.kind != "if_statement" or test["condition"].kind != "identifier":
            continue
        flag = file.binding(test["condition"])
        if flag is None or flag.kind != "variable" or flag.function is not function:
            continue
        sets = [use for use in uses_of(flag) if use.kind not in {"read", "declare"}]
        if sets and all(
            use.kind == "write"
            and use.function is function
            and is_never_after(waiter.anchor, use.node)
            for use in sets
        ):
            first = test["consequence"].statements[:1]
            point = flow.point_of(first[0]) if first else None
            found |= {point} if point is not None else set()
    return found
