"""Unblocking: who could end a blocking operation, and whether that needs a lock.

The other side of a send is a receive of the same channel, that of a receive a send or close,
that of `wg.Wait` a Done. It needs the lock when it takes it on the way to its operation, or
in the round of a loop that comes back to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of, is_assigned_once, lock_class
from threadmend.golang.calls import callers
from threadmend.golang.channel_fields import shared_channel
from threadmend.golang.channels import Channel, ChannelOperation, channel_of
from threadmend.golang.effects import Event, Pair, effects_of
from threadmend.golang.flow import Flow, Point, flow_of
from threadmend.golang.goroutines import innermost_loop, launch_of_literal
from threadmend.golang.groups import is_group
from threadmend.golang.infer import is_decl
from threadmend.golang.lock_relations import is_foreign, needed_by_given, related
from threadmend.golang.locks import declaration_of, entry_locks, held_at, locks_of
from threadmend.golang.makers import is_make, maker_of
from threadmend.golang.scope import Binding, argument_of
from threadmend.golang.syntax import Node
from threadmend.golang.targets import Body, bodies_of_value
from threadmend.golang.uses import is_api
from threadmend.golang.waitgroups import WaitGroupCall, waitgroup_call
from threadmend.golang.wording import translated

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["OtherSide", "closed_under", "needing_lock"]

_OPPOSITE = {"send": ("receive", "range"), "receive": ("send", "close")}


@dataclass(frozen=True, slots=True)
class OtherSide:
    """Why nobody ends the wait: an operation of the other side, and where it needs the lock.

    `takes` is None when its function is only called with the lock held. `buffered`: the
    channel has a buffer, so that the operation does not always wait. `stop`: the operation
    waits for the end, and this is a place that needs the lock before (see `stop_waits`).
    """

    operation: Node
    takes: Node | None
    buffered: bool = False
    stop: bool = False


def needing_lock(pair: Pair) -> OtherSide | None:
    """Return an operation that could end the wait of a pair and that needs the held lock.

    For a channel all operations of the other side have to need it, and no use of the channel
    may be out of sight. For a WaitGroup one Done is enough.
    """
    if pair.event.mode == "wait":
        return _done(pair)
    found = _operations(*_waited_on(pair))
    if found is None:
        return None
    operations, buffered = found
    if buffered and (_makes_room(operations, pair) or not _goes_on(operations)):
        return None
    others = [
        o
        for o in operations
        if o.kind in _OPPOSITE[pair.event.mode]
        and (pair.file.is_test or not o.file.is_test)
        and not _same_goroutine(o, pair)
    ]
    result: OtherSide | None = None
    for other in others:
        place = _channel_place(other)
        takes = _needs(other.file, other.node, access_of(other.file, place), pair)
        if takes is None:
            return None
        result = result or OtherSide(other.node, takes[0], buffered)
    return result


def closed_under(pair: Pair) -> bool:
    """Return whether the channel that a pair sends on is closed under a lock of the same class.

    Without the lock, the send might come after the close, and panic.
    """
    if pair.event.mode != "send":
        return False
    found = _operations(*_waited_on(pair))
    return any(
        held.lock_class == pair.held.lock_class
        for operation in (found[0] if found is not None else ())
        if operation.kind == "close"
        for held in held_at(operation.file, operation.node)
    )


def _goes_on(operations: list[ChannelOperation]) -> bool:
    """Return whether somebody receives in a loop: else a buffer may hold all there ever is."""
    return any(
        o.kind == "range" or (o.kind == "receive" and innermost_loop(o.node) is not None)
        for o in operations
    )


def _makes_room(operations: list[ChannelOperation], pair: Pair) -> bool:
    """Return whether the function looks at a buffer itself, so that it may know of a free slot."""
    function = pair.event.operation.function
    own = [o for o in operations if o.function is function]
    return any(o.kind in {"receive", "range", "len"} for o in own)


def _same_goroutine(operation: ChannelOperation, pair: Pair) -> bool:
    return operation.function in {pair.function, pair.event.operation.function}


def _channel_operand(node: Node) -> Node:
    if node.kind == "send_statement":
        return node["channel"]
    return node["right"] if node.kind == "range_clause" else node["operand"]


def _waited_on(pair: Pair) -> tuple[GoFile, Node]:
    """Return the channel that an event is about, as the first function names it that can.

    `put(s.events, n)` waits on s.events: its parameter is another name for that.
    """
    workspace = pair.file.package.workspace
    *calls, operation = pair.event.path
    operand = _channel_operand(operation)
    file = workspace.file_of(operation)
    for call in reversed(calls):
        binding = file.binding(operand) if operand.kind == "identifier" else None
        if binding is None or binding.kind != "parameter" or call.kind != "call_expression":
            break
        given = argument_of(call, binding.scope, binding)
        if given is None or not is_assigned_once(binding):
            break
        operand, file = given, workspace.file_of(call)
    return file, operand


def _channel_place(operation: ChannelOperation) -> Node:
    node = operation.node
    if node.kind == "call_expression":
        return node["arguments"].children[0]
    return _channel_operand(node)


def _operations(file: GoFile, operand: Node) -> tuple[list[ChannelOperation], bool] | None:
    """Return what is done to a channel, and whether it has a buffer; None when unknown."""
    shared = shared_channel(file, operand)
    if shared is not None:
        if shared.escapes or shared.stores or not shared.makes:
            return None
        if any(_is_large(m.file, m.capacity) for m in shared.makes):
            return None
        return shared.operations, not all(m.unbuffered for m in shared.makes)
    binding = file.binding(operand)
    if binding is None:
        return None
    declaration = binding.declaration
    right = declaration.get("right") or declaration.get("value")
    values = right.children if right is not None else []
    if binding.index >= len(values) or values[binding.index].kind != "call_expression":
        return None
    make = values[binding.index]
    maker = maker_of(file, make)
    if maker is None and not is_make(make):
        return None
    channel = channel_of(file, binding, make, maker)
    if channel.escapes or _has_room(channel):
        return None
    return channel.operations, not channel.unbuffered


def _has_room(channel: Channel) -> bool:
    """Return whether a buffer holds all that is ever sent: each send happens once."""
    capacity, sends = channel.capacity, channel.of("send")
    if capacity is None or not capacity.text.isdigit() or len(sends) > int(capacity.text):
        return False
    loops = (innermost_loop(at) for send in sends for at in (send.node, send.anchor))
    return not any(loop is not None and not loop.contains(channel.make) for loop in loops)


def _is_large(file: GoFile, capacity: Node | None) -> bool:
    """Return whether a buffer is made so large, by a constant, that it is not meant to fill."""
    if capacity is None:
        return False
    if capacity.kind == "int_literal":
        return len(capacity.text) > 3
    return capacity.kind == "identifier" and is_decl(file.resolve(capacity), "const", "var")


def _done(pair: Pair) -> OtherSide | None:
    """Return a Done, or the body of a `wg.Go`, that needs the lock."""
    wanted = pair.event.lock_class
    if wanted is None:
        return None
    for file in pair.file.package.files:
        if file.is_test and not pair.file.is_test:
            continue
        for call in file.calls("Done", "Go", "TryGo"):
            found = waitgroup_call(file, call) or _group_call(file, call)
            if found is None or found.method not in {"Done", "Go"}:
                continue
            if lock_class(file, found.waitgroup) != wanted:
                given_to = _needs_given(file, found, wanted, pair)
                if given_to is not None:
                    return OtherSide(call, given_to[0])
                continue
            takes: tuple[Node | None] | None
            if found.method == "Done":
                if call.function in {pair.function, pair.event.operation.function}:
                    continue
                takes = _needs(file, call, found.access, pair)
                given = needed_by_given(pair, call.function) if call.function else None
                takes = (given,) if takes is None and given is not None else takes
                if takes is not None and _is_done_before(file, call, wanted, pair):
                    continue
            else:
                takes = _body_needs(file, call, found.access, pair)
            if takes is not None:
                return OtherSide(call, takes[0])
    return None


def _needs_given(
    file: GoFile, done: WaitGroupCall, wanted: str, pair: Pair
) -> tuple[Node | None] | None:
    """Return where a function that is given the WaitGroup takes the lock before its Done.

    `go s.deliver(m, &wg)`, launched by the function that waits.
    """
    root, function = done.access.root if done.access is not None else None, done.call.function
    if not isinstance(root, Binding) or root.kind != "parameter" or root.scope is not function:
        return None
    decl, flow = declaration_of(file, root.scope), flow_of(root.scope)
    if decl is None or done.method != "Done" or len(pair.event.path) != 1:
        return None
    for site in callers(decl):
        launched = launch_of_literal(site.file, site.node.function or site.node)
        outer = site.node.function if launched is None else launched.function
        given = argument_of(site.call, decl.node, root) if site.call is not None else None
        if given is None or outer is not pair.function or not (site.launched or launched):
            continue
        if lock_class(site.file, given) != wanted:
            continue
        for event in effects_of(Body(file, decl.node)):
            first = event.path[0]
            access = translated(site.file, site.call, decl.node, event.access, at=first)
            start, at = flow.point_of(first), flow.point_of(done.call)
            before = done.deferred is not None or (start and at in flow.reachable(start))
            if before and _is_wanted(replace(event, access=access), None, pair):
                return (first,)
    return None


def _group_call(file: GoFile, call: Node) -> WaitGroupCall | None:
    """Return the launch by an errgroup that a call is: Wait waits for it, too."""
    function = call["function"]
    selection = file.selection(function) if function.kind == "selector_expression" else None
    if selection is None or not is_group(file.package.workspace, selection.owner):
        return None
    group = function["operand"]
    return WaitGroupCall(call, "Go", group, access_of(file, group, selection.via))


def _is_done_before(file: GoFile, done: Node, wanted: str, pair: Pair) -> bool:
    """Return whether the function calls Done another time, without the lock: in two phases."""
    function = done.function
    for call in function.own() if function is not None else ():
        if call.kind != "call_expression" or call is done:
            continue
        found = waitgroup_call(file, call)
        if found is not None and found.method == "Done":
            if lock_class(file, found.waitgroup) == wanted:
                if _needs(file, call, found.access, pair) is None:
                    return True
    return False


def _body_needs(
    file: GoFile, call: Node, access: Access | None, pair: Pair
) -> tuple[Node | None] | None:
    body = bodies_of_value(file, call["arguments"].children[0]).certain
    if body is None:
        return None
    for event in effects_of(body):
        if event.kind == "acquire" and event.sure and event.lock_class == pair.held.lock_class:
            if related(pair, event.access, access):
                return (event.path[0],)
    return None


def _needs(
    file: GoFile, node: Node, access: Access | None, pair: Pair
) -> tuple[Node | None] | None:
    """Return where the function around an operation takes the lock before it gets there."""
    function = node.function
    if function is None:
        return None
    flow = flow_of(function)
    at = flow.point_of(node)
    wanted = pair.held.lock_class
    deferred = node.parent is not None and node.parent.kind == "defer_statement"
    if function.kind == "func_literal" and function.is_deferred:
        outer = function.function
        if outer is None or function.parent is None:
            return None
        function, flow, deferred = outer, flow_of(outer), True
        at = flow.point_of(function)
    launched = _reached_from_launch(flow, function, pair)
    for event in effects_of(Body(file, function)):
        if not _is_wanted(event, access, pair, function):
            continue
        start = flow.point_of(event.path[0])
        if start is None or (launched is not None and start not in launched):
            continue
        if deferred or (at is not None and at in flow.reachable(start)):
            return (event.path[0],)
    around = _in_a_round(file, function, access, pair)
    if around is not None or function.kind == "func_literal":
        return around
    released = {o.lock_class for o in locks_of(file, function).operations if o.releases}
    for held in entry_locks(file, function):
        if held.lock_class == wanted and wanted not in released:
            if related(pair, held.access, access):
                return (None,)
    return None


def _reached_from_launch(flow: Flow, function: Node, pair: Pair) -> set[Point] | None:
    """Return what a function comes to once it has launched who waits; None if it does not.

    What it locks before that, it has given back, or nobody could wait under the lock.
    """
    inner: Node | None = pair.node
    while inner is not None and inner.function is not function:
        inner = inner.function
    statement = inner.up("go_statement") if inner is not None else None
    start = flow.point_of(statement) if statement is not None else None
    return flow.reachable(start) if start is not None else None


def _in_a_round(
    file: GoFile, function: Node, access: Access | None, pair: Pair, depth: int = 2
) -> tuple[Node | None] | None:
    """Return where those who call a function take the lock between two calls of it.

    `for { s.next() }`, where `next` receives first and locks afterwards. All callers have to
    be in sight, and to call it in such a loop.
    """
    decl = declaration_of(file, function) if function.kind != "func_literal" else None
    if decl is None or depth == 0 or pair.event.mode == "wait" or is_api(decl):
        return None
    takes: tuple[Node | None] | None = None
    for site in callers(decl):
        if site.file.is_test and not pair.file.is_test:
            continue
        outer = site.node.function
        if site.call is None or site.launched or outer is None:
            return None
        given = translated(site.file, site.call, function, access)
        takes = _between_rounds(site.file, site.call, outer, given, pair)
        takes = takes or _in_a_round(site.file, outer, given, pair, depth - 1)
        if takes is None:
            return None
    return takes


def _between_rounds(
    file: GoFile, call: Node, function: Node, access: Access | None, pair: Pair
) -> tuple[Node | None] | None:
    flow = flow_of(function)
    at = flow.point_of(call)
    following = flow.reachable(at) if at is not None else set()
    if at is None or at not in following:
        return None
    for event in effects_of(Body(file, function)):
        if _is_wanted(event, access, pair):
            start = flow.point_of(event.path[0])
            if start in following and (start is at or at in flow.reachable(start)):
                return (event.path[0],)
    return None


def _is_wanted(
    event: Event, access: Access | None, pair: Pair, function: Node | None = None
) -> bool:
    """Return whether an event takes the lock that the pair holds, so that it waits.

    Or one of its class that a function value brings along into `function`.
    """
    if event.kind != "acquire" or not event.sure or event.lock_class != pair.held.lock_class:
        return False
    if pair.held.mode == "read" and event.mode == "read":
        return False
    if function is not None and is_foreign(event.access, function):
        return True
    return related(pair, event.access, access)
