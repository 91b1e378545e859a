"""Workers of an object that one function makes, feeds and drops without closing their channel.

p := newPool(3)                 // go p.work(), for t := range p.tasks
for _, job := range jobs {
    p.tasks <- job              // or p.submit(job)
}
return collect(…)
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import BuilderError
from threadmend.golang.calls import callers
from threadmend.golang.channel_fields import SharedChannel
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, launch_of_literal, launch_sites
from threadmend.golang.locks import declaration_of
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Fix, Safety

from ._closer import close_below
from ._own_object import OwnObject, object_around, variable_for

__all__ = ["fed_by_owner"]


def fed_by_owner(file: GoFile, body: Node, shared: SharedChannel) -> tuple[str, Fix | str] | None:
    """Return the name of a function that feeds workers of an object of its own, and the fix."""
    make = shared.makes[0].call if len(shared.makes) == 1 else None
    maker = make.function if make is not None else None
    if make is None or maker is None or maker.kind == "func_literal":
        return None
    owners = [o for o in _owners(shared, make, maker) if o.is_alone()]
    feeds = _feeds(shared, owners)
    if not feeds or not _launched_for_it(file, body, shared, maker, owners):
        return None
    fed = [owner for owner in owners if id(owner) in feeds]
    name = fed[0].function["name"].name
    edits: tuple[Edit, ...] = ()
    try:
        for owner in fed:
            edits += _closed(owner, shared, feeds[id(owner)])
    except BuilderError as error:
        return name, str(error)
    what = f"{fed[0].binding.name}.{shared.name}"
    return name, Fix(
        f"Close {what} after the last send", edits, Safety.UNSAFE, "the workers now end"
    )


# -- who holds the object ------------------------------------------------------------------


def _owners(shared: SharedChannel, make: Node, maker: Node) -> Iterator[OwnObject]:
    """Yield the variables that an object with this channel is made for."""
    file = shared.makes[0].file
    own = variable_for(file, object_around(make))
    if own is not None:
        yield OwnObject(file, maker, own, make)
    decl = declaration_of(file, maker)
    for site in callers(decl) if decl is not None and not decl.receiver else ():
        function = site.node.function
        if site.call is None or site.launched or site.file.is_test or function is None:
            continue
        binding = variable_for(site.file, site.call)
        if binding is not None and function.get("name") is not None:
            if site.file.package is shared.package:
                yield OwnObject(site.file, function, binding, site.call)


# -- who sends -----------------------------------------------------------------------------


def _feeds(shared: SharedChannel, owners: list[OwnObject]) -> dict[int, list[Node]]:
    """Return where each owner sends, or calls a method that does; nothing if others may."""
    found: dict[int, list[Node]] = {}
    for send in shared.of("send"):
        if send.file.is_test:
            continue
        places = _places(send)
        if places is None:
            return {}
        for file, place, holder in places:
            owner = next((o for o in owners if file.binding(holder) is o.binding), None)
            if owner is None or place.function is not owner.function:
                return {}
            found.setdefault(id(owner), []).append(place)
    return found


def _places(send: ChannelOperation) -> list[tuple[GoFile, Node, Node]] | None:
    """Return the sends on a variable's field that an operation is, directly or by a method."""
    operand = send.node["channel"]
    if send.calls or operand.kind != "selector_expression":
        return None
    holder = operand["operand"]
    binding = send.file.binding(holder) if holder.kind == "identifier" else None
    function = send.node.function
    if binding is None or function is None:
        return None
    if binding.kind != "receiver":
        return [(send.file, send.node, holder)]
    decl = declaration_of(send.file, function)
    found = []
    for site in callers(decl) if decl is not None else ():
        if site.file.is_test:
            continue
        selector = site.call["function"] if site.call is not None else None
        if site.call is None or site.launched or site.deferred or selector is None:
            return None
        found.append((site.file, site.call, selector["operand"]))
    return found or None


def _launched_for_it(
    file: GoFile, body: Node, shared: SharedChannel, maker: Node, owners: list[OwnObject]
) -> bool:
    """Return whether the worker is launched where the object is made, or by one of its methods."""
    decl = declaration_of(file, body)
    sites: list[Launch] = list(launch_sites(file.package).get(decl.key, ())) if decl else []
    if decl is None:
        launch = launch_of_literal(file, body)
        sites = [launch] if launch is not None else []
    makers = [maker, *(o.function for o in owners)]
    for site in sites:
        function = site.function
        if function is None:
            return False
        if not any(function is one for one in makers):
            named = declaration_of(file.package.workspace.file_of(function), function)
            if named is None or named.receiver != shared.decl.name:
                return False
    return bool(sites)


# -- the fix -------------------------------------------------------------------------------


def _closed(owner: OwnObject, shared: SharedChannel, feeds: list[Node]) -> tuple[Edit, ...]:
    """Close the channel below the last send.

    Sound: nobody else has the object to send on its channel, and the workers range over it.
    """
    text = f"{owner.binding.name}.{shared.name}"
    return tuple(close_below(owner.file, owner.function, owner.made, text, feeds))
