"""Methods that are launched, and tell a WaitGroup of their own object when they end."""

from __future__ import annotations

import re
from collections.abc import Iterable

from threadmend.golang.access import Access, access_of
from threadmend.golang.calls import has_one_caller
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch
from threadmend.golang.scope import Binding
from threadmend.golang.waitgroups import WaitGroupCall, waitgroup_calls

__all__ = ["added_for"]


def added_for(file: GoFile, calls: Iterable[WaitGroupCall], launch: Launch) -> list[WaitGroupCall]:
    """Return the Adds, among the calls of the launching function, for a launched method.

    It defers a Done for a WaitGroup of its object, is launched here and nowhere else, and the
    WaitGroup counts nothing besides:

        s.walkers.Add(1)
        go s.walk(t)        // func (s *Survey) walk(t Transect) { defer s.walkers.Done(); …
    """
    decl, call = launch.decl, launch.call
    operand = call["function"].get("operand") if call is not None else None
    base = access_of(file, operand)
    if decl is None or base is None or launch.kind != "go" or not has_one_caller(decl):
        return []
    for done in waitgroup_calls(decl.file, decl.node):
        root = done.access.root if done.access is not None else None
        if done.method != "Done" or done.deferred is None or done.access is None:
            continue
        if not isinstance(root, Binding) or root.kind != "receiver":
            continue
        access = Access(base.root, base.steps + done.access.steps)
        adds = [c for c in calls if c.method == "Add" and c.access == access]
        adds = [c for c in adds if c.call.end <= launch.node.start]
        if adds and _count_of(file, done.access.steps[-1:]) == len(adds) + 1:
            return adds
    return []


def _count_of(file: GoFile, steps: tuple[str, ...]) -> int:
    """Return in how many places of a package a field of that name counts up, or down."""
    if not steps:
        return 0
    counts = re.compile(rb"\b%s\.(?:Add|Done|Go)\(" % re.escape(steps[0].encode()))
    return sum(len(counts.findall(each.data)) for each in file.package.files)
