"""End the wait in which a run left a goroutine

A goroutine was seen to wait on a channel for ever. `threadmend fix --from` reads goroutine
dumps, profiles and time-outs; without one, this rule says nothing. The channel at that place
is made where its struct is made, when nobody does; it is closed when the only goroutine that
sends on it is done, when that may end without a value; a send moves below the launch of its
receiver; the goroutine listens to the context or stop channel that is in scope.

Not reported: waits for which another rule knows the reason.

Unsafe: always; a closed channel gives its receiver the zero value.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, insert_at_start
from threadmend.golang.channels import Channel, local_channels, runner_of
from threadmend.golang.ended import may_have_ended
from threadmend.golang.evidence import Site, nodes_at, sites_in
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import Launch
from threadmend.golang.package import Package
from threadmend.golang.stops import stops_at
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan
from threadmend.model import Finding, Fix, Related, Safety

from ._sent_early import sent_too_early
from ._stop_cases import in_select
from ._unmade import is_made, made_with_values_of

CATEGORY = "channel"


def check(package: Package) -> Iterator[Finding]:
    """Yield the waits that were seen and whose channel says how they can end."""
    seen: set[tuple[str, int]] = set()
    for evidence, site, file in sites_in(package, "blocked", "deadlock"):
        if (site.path, site.line) in seen:
            continue
        seen.add((site.path, site.line))
        if "nil chan" in site.doing:
            yield from _never_made(file, site.line)
            continue
        found: Iterator[Finding] = iter(())
        if site.doing == "chan receive":
            found = _never_sent(file, site.line)
        elif site.doing == "chan send":
            found = sent_too_early(file, site.line)
        first = next(found, None)
        if first is None and evidence.kind == "blocked":
            # In a deadlock it is one of several that has to give way: which, nobody says.
            first = next(_without_exit(file, site), None)
        if first is not None:
            yield first


# -- a channel that nobody makes ------------------------------------------------------------


def _never_made(file: GoFile, line: int) -> Iterator[Finding]:
    for node in nodes_at(file, line, "selector_expression"):
        selection = file.selection(node)
        channel = file.underlying(file.type_of(node))
        if selection is None or selection.kind != "field" or not isinstance(channel, Chan):
            continue
        if is_made(file, node):
            return  # somebody makes it, later than it is used
        name = node["field"].name
        fixes: tuple[Fix, ...] = ()
        why = ""
        try:
            reason = "values that are made elsewhere still have no channel"
            edits = made_with_values_of(file, node)
            fixes = (Fix(f"Make {name} where the value is made", edits, Safety.UNSAFE, reason),)
        except BuilderError as error:
            why = str(error)
        yield Finding(
            path=file.path,
            start=node.start,
            end=node.end,
            message=f"{node.name} was seen to be nil, and nobody makes it",
            fixes=fixes,
            reason=why,
        )
        return


# -- a value that is not always sent --------------------------------------------------------


def _never_sent(file: GoFile, line: int) -> Iterator[Finding]:
    for receive in nodes_at(file, line, "unary_expression"):
        function = receive.function
        if receive["operator"].kind != "<-" or function is None:
            continue
        for channel in local_channels(file, function):
            if any(o.node is receive for o in channel.of("receive")):
                yield from _silent(file, function, channel, receive)


def _silent(file: GoFile, function: Node, channel: Channel, receive: Node) -> Iterator[Finding]:
    """Yield the only goroutine that sends, if some of its paths end without."""
    sends = channel.of("send")
    launches = {r.node: r for r in (runner_of(s, function) for s in sends) if isinstance(r, Launch)}
    if channel.escapes or channel.of("close", "range") or len(launches) != 1:
        return
    launch = next(iter(launches.values()))
    literal = launch.literal
    if literal is None or launch.loop is not None or any(s.calls for s in sends):
        return
    if any(s.function is not literal or s.has_alternative for s in sends):
        return
    flow = flow_of(literal)
    points = {p for s in sends if (p := flow.point_of(s.node)) is not None}
    if not flow.complete or not flow.exits_from(flow.entry, stop=lambda p: p in points):
        return
    name = channel.binding.name
    try:
        edits, why = insert_at_start(literal["body"], f"defer close({name})"), ""
    except BuilderError as error:
        edits, why = (), str(error)
    reason = "where the goroutine sends nothing, the zero value is received"
    title = f"Close {name} when the goroutine ends"
    yield Finding(
        path=file.path,
        start=receive.start,
        end=receive.end,
        message=f"the receive was seen to wait: the goroutine may end without sending on {name}",
        fixes=(Fix(title, edits, Safety.UNSAFE, reason),) if edits else (),
        related=(Related(file.path, launch.node.start, literal["body"].start, "launched here"),),
        reason=why,
    )


# -- a stop in scope --------------------------------------------------------------------------


def _is_communication(node: Node) -> bool:
    """Return whether a select waits for an operation, and not what one of its cases does."""
    case = node.up("communication_case")
    if case is None or case.function is not node.function:
        return False
    communication = case.get("communication")
    return communication is not None and communication.contains(node)


def _without_exit(file: GoFile, site: Site) -> Iterator[Finding]:
    """Yield the send or receive that does not listen to a context or stop channel in scope."""
    kinds = {"chan send": "send_statement", "chan receive": "unary_expression"}
    for node in nodes_at(file, site.line, kinds.get(site.doing, "")):
        if node.kind == "unary_expression" and node["operator"].kind != "<-":
            continue
        if _is_communication(node) or node.function is None:
            continue
        own = node["channel"] if node.kind == "send_statement" else node["operand"]
        stops = [s for s in stops_at(file, node) if s.receive != own.name]
        if not stops or any(may_have_ended(file, node, stop) for stop in stops):
            continue  # the last word of a function that was stopped has to be heard
        stop = stops[0]
        fix = in_select(file, node, stop, f"the goroutine now ends with {stop.receive}")
        word = "send to" if node.kind == "send_statement" else "receive from"
        yield Finding(
            path=file.path,
            start=node.start,
            end=node.end,
            message=f"the {word} {own.name} was seen to wait for ever, beside {stop.receive}",
            fixes=(fix,) if isinstance(fix, Fix) else (),
            reason="" if isinstance(fix, Fix) else fix,
        )
        return
