"""Edits of how channels are made."""

from __future__ import annotations

from threadmend.golang.builders.lines import BuilderError
from threadmend.golang.calls import has_one_caller
from threadmend.golang.makers import Maker
from threadmend.golang.object_makers import FieldMaker
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["with_capacity", "with_room"]


def with_capacity(make: Node, capacity: str, maker: Maker | None = None) -> Edit:
    """Give a `make(chan T)` or `make(chan T, n)` call another capacity, as Go text.

    The call of a function that makes channels becomes a `make`, unless it says the capacity. In a
    function that makes an object the channel gets it there, where one place alone calls that.
    """
    if isinstance(maker, FieldMaker) and maker.position is None:
        return _in_object(make, capacity, maker)
    if maker is not None and maker.position is not None:
        size = make["arguments"].children[maker.position]
        return Edit(make.path, size.start, size.end, capacity.encode())
    if maker is not None:
        text = b"make(%s, %s)" % (maker.type.text, capacity.encode())
        return Edit(make.path, make.start, make.end, text)
    element, *sizes = make["arguments"].children
    if sizes:
        return Edit(make.path, sizes[0].start, sizes[0].end, capacity.encode())
    return Edit(make.path, element.end, element.end, f", {capacity}".encode())


def with_room(make: Node, capacity: str, maker: Maker | None = None) -> tuple[Edit, ...]:
    """Give a channel another capacity, which the function that makes its object may have to get.

    newCall() becomes newCall(len(names)), and that `func newCall(room int) *call`.
    """
    if not isinstance(maker, FieldMaker) or maker.position is not None or capacity.isdigit():
        return (with_capacity(make, capacity, maker),)
    if maker.parameter_for(make, capacity) is not None:
        return (with_capacity(make, capacity, maker),)
    decl = maker.decl
    if decl.exported or not has_one_caller(decl):
        raise BuilderError(f"{decl.name} makes the channel for others, too")
    name = next((n for n in _NAMES if n.encode() not in decl.node.text), None)
    if name is None or maker.make["arguments"].children[1:]:
        raise BuilderError(f"{decl.name}, which makes the channel, knows no room for it")
    return (
        _added(make["arguments"], capacity),
        _added(decl.node["parameters"], f"{name} int"),
        with_capacity(maker.make, name),
    )


_NAMES = ("room", "capacity", "slots")


def _added(listed: Node, text: str) -> Edit:
    """Add an argument or a parameter to a list on one line."""
    if b"\n" in listed.text:
        raise BuilderError("the list of arguments goes over several lines")
    at = listed.end - 1
    return Edit(listed.path, at, at, (f", {text}" if listed.children else text).encode())


def _in_object(call: Node, capacity: str, maker: FieldMaker) -> Edit:
    name = maker.decl.name
    if not maker.is_only_called_once:
        raise BuilderError(f"{name} makes the channel for others, too")
    if not capacity.isdigit():
        parameter = maker.parameter_for(call, capacity)
        if parameter is None:
            raise BuilderError(
                f"{name}, which makes the channel, does not know how many values come"
            )
        capacity = parameter
    return with_capacity(maker.make, capacity)
