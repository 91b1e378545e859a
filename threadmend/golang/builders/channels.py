"""Edits of how channels are made."""

from __future__ import annotations

from threadmend.golang.makers import Maker
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["with_capacity"]


def with_capacity(make: Node, capacity: str, maker: Maker | None = None) -> Edit:
    """Give a `make(chan T)` or `make(chan T, n)` call another capacity, as Go text.

    The call of a function that makes channels becomes a `make`, unless it says the capacity.
    """
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
