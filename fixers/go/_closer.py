"""One goroutine that closes a channel when all who send on it are done: the edits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from threadmend.golang.access import Access, is_assigned_once
from threadmend.golang.builders import (
    BuilderError,
    delete,
    free_name,
    insert_after,
    insert_at_start,
    insert_before,
    names_around,
    package_name,
    reach_import,
    replace,
)
from threadmend.golang.calls import has_one_caller
from threadmend.golang.channels import Channel
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import Launch
from threadmend.golang.repeats import launch_places
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.waitgroups import WaitGroupCall, waitgroup_calls
from threadmend.model import Edit

from ._counts_itself import added_for
from ._instead_of_sleep import is_pause_before, replaced_sleep, without_time

__all__ = [
    "after_sends",
    "anchor_in",
    "by_producer",
    "close_after",
    "close_below",
    "ends",
]


def sync_name(file: GoFile) -> str:
    """Return what the file calls the package sync."""
    return package_name(file.tree, "sync")


def _same_block(node: Node, block: Node) -> Node | None:
    """Return the statement of `block` that holds a node, literals in between not allowed."""
    at: Node | None = node
    while at is not None and at.parent is not block:
        if at.kind in FUNCTIONS:
            return None
        at = at.parent
    return at


def anchor_in(node: Node, make: Node) -> Node:
    """Return the statement around a node in the block in which the channel is made."""
    statement = make.statement
    block = statement.parent if statement is not None else None
    found = _same_block(node, block) if block is not None else None
    if found is None:
        raise BuilderError("the goroutines are launched in another block than the channel's")
    return found


def close_after(
    file: GoFile,
    function: Node,
    make: Node,
    channel: str,
    launches: Sequence[Launch],
    closes: Iterable[Node] = (),
    receives: Iterable[Node] = (),
    *,
    waits: bool = False,
    into: Node | None = None,
) -> list[Edit]:
    """Return edits that count the launched senders and close the channel after the last.

    `closes` are the statements that close it now: they go. `receives` are where the function
    itself receives: a Wait before them would wait for ever, so that it moves into the closer;
    with `waits` it does in any case. `into` is a close that stays, and now waits before.

        var wg sync.WaitGroup
        for … {
            wg.Add(1)
            go func() {
                defer wg.Done()
                …
            }()
        }
        go func() {
            wg.Wait()
            close(ch)
        }()
    """
    anchors = [
        anchor_in(place, make)
        for launch in launches
        for place in _launch_anchors(file, function, launch)
    ]
    last = max(anchors, key=lambda a: a.start)
    closes = list(closes)
    counted = _counted(file, function, launches)
    edits: list[Edit] = []
    if counted is None:
        name = free_name("wg", names_around(file, function))
        edits += _count(file, launches, anchors, name, closes)
        wait = None
    else:
        name, wait = counted
        for statement in closes:
            edits += delete(statement)
        if wait is not None and not waits and not _before_any(function, wait, receives):
            wait = None
    if into is not None:
        pause = into.previous
        if pause is not None and is_pause_before(file, pause):
            return [*edits, *replaced_sleep(pause, f"{name}.Wait()"), *without_time(file, pause)]
        return [*edits, *insert_before(into, f"{name}.Wait()")]
    closer = f"go func() {{\n\t{name}.Wait()\n\tclose({channel})\n}}()"
    if wait is not None:
        edits += replace(wait, closer)
    else:
        edits += insert_after(last, closer)
    return edits


def _launch_anchors(file: GoFile, function: Node, launch: Launch) -> list[Node]:
    """Return where a function launches: for a literal in a variable its declaration, and its calls.

    The declaration comes before the count of the goroutines, the calls before the closer.
    """
    places = launch_places(file, function, launch)
    if not places or launch.function is None:
        raise BuilderError("the senders are launched in different functions")
    if launch.function is function:
        return places
    return [launch.function.statement or launch.function, *places]


def _counted(
    file: GoFile, function: Node, launches: Sequence[Launch]
) -> tuple[str, Node | None] | None:
    """Return the WaitGroup that counts exactly these goroutines, and the function's Wait."""
    if any(launch.kind == "errgroup" or launch.kind == "timer" for launch in launches):
        raise BuilderError("an errgroup counts the senders")
    calls = [c for c in waitgroup_calls(file, function, inside=True) if c.access is not None]
    found: set[Access] = set()
    name = ""
    for launch in launches:
        own = [c for c in calls if _counts(c, launch)] or added_for(file, calls, launch)
        if not own:
            return None
        found.add(own[0].access)  # type: ignore[arg-type]
        name = own[0].waitgroup.name
    if len(found) != 1:
        raise BuilderError("several WaitGroups count the senders")
    access = found.pop()
    mine = [c for c in calls if c.access == access]
    for call in mine:
        if call.method == "Done" and not any(_holds(launch, call.call) for launch in launches):
            raise BuilderError("the WaitGroup counts other goroutines too")
        if call.method == "Go" and not any(launch.node is call.call for launch in launches):
            raise BuilderError("the WaitGroup counts other goroutines too")
    waits = [c for c in mine if c.method == "Wait"]
    if len(waits) > 1:
        raise BuilderError("the senders are waited for in several places")
    if not waits:
        return name, None
    statement = waits[0].call.parent
    if statement is None or statement.kind != "expression_statement":
        return name, None
    return name, statement if statement.function is function else None


def _counts(call: WaitGroupCall, launch: Launch) -> bool:
    if launch.kind == "waitgroup":
        return call.method == "Go" and call.call is launch.node
    return call.method == "Done" and _holds(launch, call.call)


def _holds(launch: Launch, node: Node) -> bool:
    return launch.literal is not None and launch.literal.contains(node)


def _before_any(function: Node, wait: Node, receives: Iterable[Node]) -> bool:
    flow = flow_of(function)
    point = flow.point_of(wait)
    if point is None:
        return False
    after = flow.reachable(point)
    return any(p in after for r in receives if (p := flow.point_of(r)))


def _count(
    file: GoFile,
    launches: Sequence[Launch],
    anchors: Sequence[Node],
    name: str,
    closes: list[Node],
) -> list[Edit]:
    """Declare a WaitGroup and count each launch."""
    edits: list[Edit] = list(reach_import(file.tree, "sync"))
    first = min(anchors, key=lambda a: a.start)
    declared = f"var {name} {sync_name(file)}.WaitGroup"
    declared_with_add = False
    for launch in launches:
        if not launch.uncounted or not (launch.call or launch.literal):
            raise BuilderError("the senders are not launched by go statements")
        add = f"{name}.Add(1)"
        if launch.statement is first:
            add = f"{declared}\n{add}"
            declared_with_add = True
        inside = [c for c in closes if launch.node.contains(c)]
        if launch.literal is not None and launch.node.contains(launch.literal):
            edits += insert_before(launch.statement, add)
            edits += _done(launch.literal, name, inside)
        else:
            edits += _wrapped(file, launch, name, add)
        closes = [c for c in closes if c not in inside]
    if not declared_with_add:
        edits += insert_before(first, declared)
    for statement in closes:
        edits += delete(statement)
    return edits


def _done(literal: Node, name: str, closes: Sequence[Node]) -> list[Edit]:
    body = literal["body"]
    statements = body.statements
    done = f"defer {name}.Done()"
    edits: list[Edit] = []
    if statements and statements[0] in closes:
        edits += replace(statements[0], done)
    else:
        edits += insert_at_start(body, done)
    for statement in closes:
        if statement is not statements[0]:
            edits += delete(statement)
    return edits


def _wrapped(file: GoFile, launch: Launch, name: str, add: str) -> list[Edit]:
    """Launch a literal that calls the named function and then says that it is done."""
    call = launch.call
    if call is None:
        raise BuilderError("what is launched cannot be wrapped")
    for argument in [call["function"], *call["arguments"].children]:
        if not _is_stable(file, launch, argument):
            raise BuilderError("the goroutine's arguments may change after the launch")
    code = f"go func() {{\n\tdefer {name}.Done()\n\t{call.name}\n}}()"
    return [*insert_before(launch.statement, add), *replace(launch.node, code)]


def _is_stable(file: GoFile, launch: Launch, argument: Node) -> bool:
    """Return whether an argument means the same when it is evaluated in the goroutine."""
    for node in argument.walk():
        if node.kind in {"call_expression", "index_expression", "func_literal"}:
            return False
        if node.kind == "unary_expression" and node["operator"].kind in {"*", "<-"}:
            return False
        if node.kind == "selector_expression" and node.field != "function":
            selection = file.selection(node)
            if selection is None or selection.kind != "package":
                return False
        if node.kind == "identifier":
            binding = file.binding(node)
            if binding is None:
                continue
            if binding.kind == "range" or binding.declaration.kind == "range_clause":
                if file.go_version < (1, 22):
                    return False
            elif not is_assigned_once(binding):
                return False
    return True


def by_producer(file: GoFile, channel: Channel, launch: Launch) -> list[Edit]:
    """Return edits that let the one goroutine that sends close when it ends."""
    name = channel.binding.name
    literal = launch.literal
    if literal is not None and launch.node.contains(literal):
        sends = channel.of("send")
        send = sends[0]
        given = len(send.calls) == 1 and send.calls[0] is launch.call
        inner = send.node["channel"].name if given else name
        return _close_in(file, literal, [s.node if s.calls else s.anchor for s in sends], inner)
    decl = launch.decl
    sends = [s for s in channel.of("send") if s.calls and s.calls[0] is launch.call]
    if decl is not None and has_one_caller(decl) and sends and len(sends[0].calls) == 1:
        inner = sends[0].node["channel"].name
        return _close_in(decl.file, decl.node, [s.node for s in sends], inner)
    if launch.call is None or launch.kind != "go":
        raise BuilderError("what is launched cannot be wrapped")
    if any(True for _ in launch.call["arguments"].find("call_expression")):
        raise BuilderError("the goroutine's arguments are computed at its launch")
    code = f"go func() {{\n\tdefer close({name})\n\t{launch.call.name}\n}}()"
    return list(replace(launch.node, code))


def _close_in(file: GoFile, producer: Node, sends: list[Node], name: str) -> list[Edit]:
    """Close when the producer ends; before it waits for those who wait for the close."""
    last = max(sends, key=lambda s: s.start)
    waits = [c for c in waitgroup_calls(file, producer) if c.method == "Wait"]
    if not any(c.deferred is not None or c.call.start > last.end for c in waits):
        return list(insert_at_start(producer["body"], f"defer close({name})"))
    statement = next((s for s in producer["body"].statements if s.contains(last)), None)
    if statement is None or any(s.function is not producer for s in sends):
        raise BuilderError("the producer sends in a function of its own, and waits")
    if any(c.deferred is None and c.call.start < statement.end for c in waits):
        raise BuilderError("the producer waits between its sends")
    if any(
        n.kind in {"return_statement", "goto_statement"} and n.start < statement.end
        for n in producer["body"].own()
    ):
        raise BuilderError("some paths leave before the last send")
    return list(insert_after(statement, f"close({name})"))


def after_sends(file: GoFile, function: Node, channel: Channel) -> list[Edit]:
    """Close below the last statement that sends, or at the function's end."""
    sends = [s.anchor for s in channel.of("send")]
    receives = [r.anchor for r in channel.of("receive", "range")]
    return close_below(file, function, channel.make, channel.binding.name, sends, receives)


def close_below(
    file: GoFile,
    function: Node,
    made: Node,
    name: str,
    sends: Sequence[Node],
    receives: Sequence[Node] = (),
) -> list[Edit]:
    """Close below the last of some statements that send, or at the function's end.

    `made` makes the channel, or what holds it.
    """
    anchors = [anchor_in(s, made) for s in sends]
    last = max(anchors, key=lambda a: a.start)
    flow = flow_of(function)
    start = flow.point_of(made)
    inside = {p for p in flow.points if p.live and last.contains(p.node)}
    if start is None:
        raise BuilderError("the channel is not made by a statement")
    statement = made.statement
    check = _check_of(statement)
    early = [
        e
        for e in flow.exits_from(start, stop=lambda p: p in inside)
        if check is None or not check.contains(e.node)
    ]
    leaving = any(n.kind in {"return_statement", "goto_statement"} for n in last.own())
    if not early and not leaving:
        return list(insert_after(last, f"close({name})"))
    later = [c for c in waitgroup_calls(file, function) if c.method == "Wait"]
    own = [r for r in receives if r.function is function]
    if later or own or statement is None or function.kind not in FUNCTIONS:
        raise BuilderError("some paths leave before the last send")
    otherwise = check.get("alternative") if check is not None else None
    if otherwise is not None:
        # `if err != nil { return err } else { … }`: with an error there is nothing to close
        if otherwise.kind != "block":
            raise BuilderError("some paths leave before the last send")
        return list(insert_at_start(otherwise, f"defer close({name})"))
    return list(insert_after(check or statement, f"defer close({name})"))


def _check_of(statement: Node | None) -> Node | None:
    """Return the `if err != nil { … }` behind `x, err := f()`: there is no x in it."""
    check = statement.next if statement is not None else None
    left = statement.get("left") if statement is not None else None
    if check is None or check.kind != "if_statement" or left is None or len(left.children) < 2:
        return None
    return check if check["condition"].name == f"{left.children[-1].name} != nil" else None


def ends(launch: Launch) -> bool:
    """Return whether a goroutine comes to its end on some path."""
    if launch.body is None:
        return False
    flow = flow_of(launch.body)
    return flow.complete and any(e.kind in {"end", "return"} for e in flow.exits_from(flow.entry))
