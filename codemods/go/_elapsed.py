"""Whether a clock is read only to measure how long something took.

    start := time.Now()
    …
    if d := time.Since(start); d > time.Second {    t.Logf("took %v", time.Since(start))

In a bubble that is as long as its sleeps and timers: never longer, and exactly as long where
that is asked for. `<=` and `>=` would tell that from real time.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from threadmend.golang.access import uses_of
from threadmend.golang.file import GoFile
from threadmend.golang.scope import declared_name
from threadmend.golang.syntax import Node

__all__ = ["measures"]

_SAYS = re.compile(r"(?:\w+\.)?(?:Log|Error|Fatal|Print|Sprint)(?:f|ln)?$")


def measures(file: GoFile, call: Node) -> bool:
    """Return whether a call of time.Now or time.Since measures a time and no more."""
    if call["function"]["field"].name == "Now":
        return _only(file, call, _begins)
    return _is_told(file, call) or _only(file, call, lambda use: _is_told(file, use))


def _only(file: GoFile, call: Node, fits: Callable[[Node], bool]) -> bool:
    """Return whether `name := call`, and every use of the name fits."""
    name = declared_name(call)
    binding = None if name is None else file.binding(name)
    if binding is None:
        return False
    return all(fits(use.node) for use in uses_of(binding) if use.kind != "declare")


def _begins(use: Node) -> bool:
    """Return whether a moment is the argument of time.Since."""
    call = use.parent.parent if use.parent is not None else None
    if call is None or call.kind != "call_expression":
        return False
    return call["function"].text == b"time.Since"


def _is_told(file: GoFile, value: Node) -> bool:
    """Return whether a span is compared with another one, or printed."""
    parent = value.parent
    if parent is None:
        return False
    if parent.kind == "binary_expression":
        return parent["operator"].kind in {"<", ">"}
    call = parent.parent
    if parent.kind != "argument_list" or call is None or call.kind != "call_expression":
        return False
    return _SAYS.match(call["function"].name) is not None
