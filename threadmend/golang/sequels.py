"""Sequels: a call that closes a channel in a field, and a later one that sends on it.

    s.Finish()    // close(s.out), on every path
    s.Write(x)    // s.out <- x

Both in one function, on one object, over calls whose callee is certain. The closing function
closes on each of its paths; the sending one tests nothing before it sends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.calls import code_files
from threadmend.golang.flow import flow_of
from threadmend.golang.summaries import called
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.touches import Touch

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = ["sequels"]

_CLOSES = re.compile(rb"\bclose\(\w+\.")
_SENDS = re.compile(rb"\w\.\w+ <- ")


def sequels(package: Package) -> list[tuple[Touch, Touch]]:
    """Return the pairs of a close and a send after it, each over a call."""
    known: list[tuple[Touch, Touch]] | None = package.facts.get("sequels")
    if known is None:
        known = package.facts["sequels"] = []
        names = _closing_names(package)
        if names and any(f.holds(_SENDS) for f in code_files(package)):
            pattern = re.compile(rb"\.(?:" + b"|".join(sorted(names)) + rb")\(")
            for file in code_files(package):
                if not file.generated and file.holds(pattern):
                    for declaration in file.declarations(pattern):
                        for function in declaration.node.find(*FUNCTIONS):
                            known.extend(_in_function(file, function, names))
    return known


def _closing_names(package: Package) -> set[bytes]:
    """Return the names of the methods that close a channel in a field."""
    return {
        re.escape(d.name.encode())
        for d in package.functions()
        if d.receiver and _CLOSES.search(d.file.data, *d.span)
    }


def _in_function(file: GoFile, function: Node, names: set[bytes]) -> Iterator[tuple[Touch, Touch]]:
    flow = flow_of(function)
    calls = [n for n in function.own() if n.kind == "call_expression" and not _is_put_off(n)]
    for index, call in enumerate(calls):
        name = call["function"].children[-1] if call["function"].children else call["function"]
        start = flow.point_of(call)
        if name.text not in names or start is None:
            continue
        closes = [t for t in _on_channels(file, function, call) if t.writes and _is_sure(t)]
        if not closes:
            continue
        reached = flow.reachable(start)
        for later in calls[index + 1 :]:
            if flow.point_of(later) in reached:
                for send in _on_channels(file, function, later):
                    for close in closes:
                        if not send.writes and send.access == close.access and not _tests(send):
                            yield close, send
                            return


def _on_channels(file: GoFile, function: Node, call: Node) -> Iterator[Touch]:
    for touch in called(file, function, call).touches:
        if touch.in_channel and not touch.apart:
            yield touch


def _is_put_off(call: Node) -> bool:
    return call.up("defer_statement", "go_statement") is not None


def _is_sure(touch: Touch) -> bool:
    """Return whether each run of the functions on the way comes to the close."""
    for node in touch.path[1:]:
        function = node.function
        if function is None or function.kind == "func_literal":
            return False
        flow = flow_of(function)
        point = flow.point_of(node)
        if point is None or flow.exits_from(flow.entry, stop={point}.__contains__):
            return False
    return True


def _tests(touch: Touch) -> bool:
    """Return whether a function on the way tests something before it sends."""
    for node in touch.path[1:]:
        function = node.function
        if function is None or function.kind == "func_literal":
            return True
        if any(n.kind == "if_statement" and n.start < node.start for n in function.own()):
            return True
    return False
