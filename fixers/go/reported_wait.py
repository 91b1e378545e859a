"""End the wait in which a run left a goroutine

A goroutine was seen to wait on a channel for ever. `threadmend fix --from` reads goroutine
dumps, profiles and time-outs; without one, this rule says nothing. The channel at that place
is made where its struct is made, when nobody does; it is closed when the only goroutine that
sends on it is done, when that may end without a value.

Not reported: waits for which another rule knows the reason.

Unsafe: always; a closed channel gives its receiver the zero value.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import lock_class
from threadmend.golang.builders import BuilderError, insert_at_start
from threadmend.golang.builders.structs import fields
from threadmend.golang.channels import Channel, local_channels, runner_of
from threadmend.golang.evidence import nodes_at, sites_in
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import Launch
from threadmend.golang.guards import accesses_like
from threadmend.golang.package import Package
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan
from threadmend.model import Edit, Finding, Fix, Related, Safety

CATEGORY = "channel"


def check(package: Package) -> Iterator[Finding]:
    """Yield the waits that were seen and whose channel says how they can end."""
    seen: set[tuple[str, int]] = set()
    for _, site, file in sites_in(package, "blocked", "deadlock"):
        if (site.path, site.line) in seen:
            continue
        seen.add((site.path, site.line))
        if "nil chan" in site.doing:
            yield from _never_made(package, file, site.line)
        elif site.doing == "chan receive":
            yield from _never_sent(file, site.line)


# -- a channel that nobody makes ------------------------------------------------------------


def _never_made(package: Package, file: GoFile, line: int) -> Iterator[Finding]:
    for node in nodes_at(file, line, "selector_expression"):
        selection = file.selection(node)
        channel = file.underlying(file.type_of(node))
        if selection is None or selection.kind != "field" or not isinstance(channel, Chan):
            continue
        if any(a.writes for a in accesses_like(package, file, node)):
            return  # somebody makes it, later than it is used
        owner = (lock_class(file, node) or "").rpartition(".")[0].rpartition(".")[2]
        literals = list(_literals(package, owner))
        name = node["field"].name
        if any(e.children[0].name == name for one in literals for e in one["body"].children):
            return  # somebody gives it
        edits = _made(package, owner, name, literals)
        title = f"Make {name} where the value is made"
        reason = "values that are made elsewhere still have no channel"
        yield Finding(
            path=file.path,
            start=node.start,
            end=node.end,
            message=f"{node.name} was seen to be nil, and nobody makes it",
            fixes=(Fix(title, edits, Safety.UNSAFE, reason),) if edits else (),
            reason="" if edits else "no literal of the type says where to make it",
        )
        return


def _literals(package: Package, owner: str) -> Iterator[Node]:
    for file in package.files:
        if not file.is_test and not file.generated:
            for literal in file.find("composite_literal"):
                if literal["type"].name == owner:
                    yield literal


def _made(package: Package, owner: str, name: str, literals: list[Node]) -> tuple[Edit, ...]:
    """Return the edits that make a field's channel in every literal of its struct."""
    decl = package.lookup(owner)
    struct = decl.node.get("type") if decl is not None and decl.kind == "type" else None
    if struct is None or struct.kind != "struct_type":
        return ()
    declared = next((f for f in fields(struct) if any(n.name == name for n in f.all("name"))), None)
    if declared is None:
        return ()
    type_ = declared["type"].name.replace("<-chan", "chan").replace("chan<-", "chan")
    edits = [_keyed(literal, f"{name}: make({type_})") for literal in literals]
    return tuple(e for e in edits if e is not None) if None not in edits else ()


def _keyed(literal: Node, code: str) -> Edit | None:
    """Return the edit that adds a key to a literal, None for one that stands in several lines."""
    body = literal["body"]
    elements = body.children
    if any(e.kind != "keyed_element" for e in elements) or b"\n" in body.text:
        return None
    at = elements[-1].end if elements else body.start + 1
    return Edit(literal.path, at, at, (f", {code}" if elements else code).encode())


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
