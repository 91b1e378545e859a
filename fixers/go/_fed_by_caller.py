"""Workers of a function that returns their channel, and callers who feed it and do not close it.

jobs := start(3, results)       // for job := range jobs, in goroutines
for _, x := range xs {
    jobs <- x
}
return collect(results, len(xs))
"""

from __future__ import annotations

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import BuilderError
from threadmend.golang.calls import Site, callers
from threadmend.golang.channels import Channel, follow, initialised
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.locks import declaration_of
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Fix, Safety

from ._closer import close_below
from ._unreceived import is_returned

__all__ = ["fed_by_caller"]


def fed_by_caller(file: GoFile, channel: Channel) -> tuple[str, Fix | str] | None:
    """Return the name of a function that feeds the workers of another one, and the fix."""
    function = channel.function
    if function is None or not channel.escapes or channel.of("close", "send", "compare"):
        return None
    if not all(is_returned(node, function) for node in channel.escapes):
        return None
    if not is_assigned_once(channel.binding):
        return None
    decl = declaration_of(file.package.workspace.file_of(function), function)
    name, edits, reason = "", tuple[Edit, ...](), ""
    for site in callers(decl) if decl is not None else ():
        if site.file.is_test:
            continue
        fed = _feeds(channel, site)
        if fed is None:
            return None  # it may be closed there, or kept
        caller, alias, sends = fed
        name = name or caller["name"].name
        try:
            assert site.call is not None
            edits += tuple(close_below(site.file, caller, site.call, alias, sends))
        except BuilderError as error:
            reason = str(error)
    if not name:
        return None
    why = "the workers now end"
    return name, reason or Fix("Close it after the last send", edits, Safety.UNSAFE, why)


def _feeds(channel: Channel, site: Site) -> tuple[Node, str, list[Node]] | None:
    """Return a caller that does nothing but send, its name for the channel, and its sends."""
    caller = site.node.function
    alias = initialised(site.file, site.call) if site.call is not None else None
    if alias is None or caller is None or caller.get("name") is None:
        return None
    if site.file.package.name == "main" and caller["name"].name == "main":
        return None
    seen = Channel(alias, channel.make, channel.capacity)
    follow(site.file, alias, (), seen, 2)
    sends = [o.anchor for o in seen.of("send")]
    if seen.escapes or not sends or len(sends) != len(seen.operations):
        return None
    flow = flow_of(caller)
    ends = any(e.kind in {"return", "end"} for e in flow.exits_from(flow.entry))
    if not flow.complete or not ends or any(s.function is not caller for s in sends):
        return None
    return caller, alias.name, sends
