"""Edits of how channels are made."""

from __future__ import annotations

from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["with_capacity"]


def with_capacity(make: Node, capacity: str) -> Edit:
    """Give a `make(chan T)` or `make(chan T, n)` call another capacity, as Go text."""
    element, *size = make["arguments"].children
    if size:
        return Edit(make.path, size[0].start, size[0].end, capacity.encode())
    return Edit(make.path, element.end, element.end, f", {capacity}".encode())
