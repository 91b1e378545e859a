"""Reach: which function names may lead to a lock, a wait or a callback, told by bytes alone.

Most calls under a lock lead nowhere: `effects` asks here before it looks at what a call runs.
A field that keeps a literal (`OnAdd: func() {…}`) leads where the literal does; one that keeps a
method value (`OnAdd: s.add`, or `newSet(s.add)`, which does `OnAdd: add`) where the method does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadmend.golang.workspace import Workspace

__all__ = ["Reach", "reach_of"]

# Written for speed over a whole workspace: a plain start is looked for at once, and a word
# that nothing follows is not tried again from each of its letters.
_FUNCTION = re.compile(rb"\nfunc[ \t]*(?:\([^)\n]*\)[ \t]*)?(\w+)")
_CALLED = re.compile(rb"\b(\w++)(?:\[[\w, .*\[\]]*\])?\(")
_LOCKS = re.compile(rb"\.(?:Try)?R?(?:Lock|Unlock)\(")
_WAITS = re.compile(rb"<-|\.Wait\(\)")
# A literal that a field or variable gets, up to the brace in the column where its line begins.
_KEPT = re.compile(rb"([ \t]*)[^\n]*?\b(\w+)[ \t]*(?::|=|:=)[ \t]*(?:\w+\()?func\(")
# How many calls away from a lock, a wait, a callback a name still matters.
_FAR, _NEAR, _NEXT = 8, 2, 1


class Reach:
    """The names that functions of a workspace have, and those of them that may matter."""

    def __init__(
        self, declared: frozenset[bytes], relevant: frozenset[bytes], waiting: frozenset[bytes]
    ) -> None:
        self.declared = declared
        self.relevant = relevant
        self.waiting = waiting

    def matters(self, name: bytes) -> bool:
        """Return whether a call of something with this name may take a lock or wait."""
        return name in self.relevant or name not in self.declared

    def may_wait(self, name: bytes) -> bool:
        """Return whether a call of something with this name may wait, by calls of its own too."""
        return name in self.waiting or name not in self.declared


def reach_of(workspace: Workspace) -> Reach:
    """Return what the names of a workspace lead to; computed once."""
    known: Reach | None = workspace.facts.get("reach")
    if known is None:
        known = workspace.facts["reach"] = _read(workspace)
    return known


def _read(workspace: Workspace) -> Reach:
    callers: dict[bytes, set[bytes]] = {}
    declared: set[bytes] = set()
    locks: set[bytes] = set()
    waits: set[bytes] = set()
    takes: set[bytes] = set()
    kept: list[tuple[bytes, bytes]] = []
    takers: list[tuple[str, bytes, bytes]] = []
    for path in workspace.go_files:
        data = workspace.source(path).data
        heads = list(_FUNCTION.finditer(data))
        for index, head in enumerate(heads):
            end = heads[index + 1].start() if index + 1 < len(heads) else len(data)
            name = head[1]
            declared.add(name)
            if _LOCKS.search(data, head.end(), end):
                locks.add(name)
            if _WAITS.search(data, head.end(), end):
                waits.add(name)
            if b"func(" in data[head.end() : data.find(b"\n", head.end())]:
                takes.add(name)
                takers.append((path, name, data[head.end() : end]))
            for called in set(_CALLED.findall(data, head.end(), end)):
                callers.setdefault(called, set()).add(name)
            if b"func(" in data[head.end() : end]:
                kept.extend(_kept(data, head.end(), end))
    for field, method in _kept_methods(workspace, takers):
        if field not in declared and method in declared and field in callers:
            callers.setdefault(method, set()).add(field)
    for name, body in kept:
        if name in callers and name not in declared:  # called by the name of a field
            if _LOCKS.search(body):
                locks.add(name)
            if _WAITS.search(body):
                waits.add(name)
            for called in set(_CALLED.findall(body)):
                callers.setdefault(called, set()).add(name)
    taking = _closure(callers, takes, _NEXT)
    relevant = _closure(callers, locks, _FAR) | _closure(callers, waits, _NEAR) | taking
    waiting = _closure(callers, waits, _FAR) | taking
    return Reach(frozenset(declared), frozenset(relevant), frozenset(waiting))


def _kept(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the literals that a function gives to names, each with its text."""
    at = data.find(b"func(", start, end)
    while at >= 0:
        line = data.rfind(b"\n", start, at)
        match = _KEPT.match(data, line + 1, end) if line >= 0 else None
        if match is not None:
            last = data.find(b"\n" + match[1] + b"}", match.end(), end)
            yield match[2], data[match.end() : last if last >= 0 else end]
        following = data.find(b"\n", at, end)
        at = data.find(b"func(", following, end) if following >= 0 else -1


# A field of a function type; the values that one may get; the methods that a call is given.
_FIELD = re.compile(rb"\n[ \t]+(\w++)[ \t]+func\(")
_KEYED = re.compile(rb":[ \t]+(?:\w+\.)*(\w++)[ \t]*[,}\n]")
_ASSIGNED = re.compile(rb" = (?:\w+\.)*(\w++)[ \t]*[\n}]")
_NAME = re.compile(rb"\w*\Z")
_METHOD_VALUE = re.compile(rb"\.(\w++)[ \t\n]*[,)]")
_LONGEST = 40  # bytes of a field's name


def _kept_methods(
    workspace: Workspace, takers: list[tuple[str, bytes, bytes]]
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the fields of function types with the methods whose values they may keep.

    `takers` are the functions that are given one: their path, name and text. Who else is given a
    method by other packages is not known.
    """
    folders: dict[str, list[bytes]] = {}
    for path in workspace.go_files:
        folders.setdefault(path.rpartition("/")[0], []).append(workspace.source(path).data)
    texts = [data for inside in folders.values() for data in inside]
    fields = {name for data in texts for name in _FIELD.findall(data)}
    for data in texts if fields else ():
        yield from _given(data, fields)
    for path, taker, text in takers if fields else ():
        head = text.partition(b"\n")[0]
        kept = {f for f, v in _given(text, fields) if re.search(rb"\b" + v + rb" +\S*\w", head)}
        near = folders[path.rpartition("/")[0]]
        named = [data for data in near if taker + b"(" in data] if kept else []
        call = re.compile(re.escape(taker) + rb"\(([^{}]*?\))[ \t]*[\n;}]") if named else None
        for given in (g for data in named for g in call.findall(data)) if call is not None else ():
            for method in _METHOD_VALUE.findall(given):
                yield from ((field, method) for field in kept)


def _given(data: bytes, fields: set[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for pattern in (_KEYED, _ASSIGNED):
        for match in pattern.finditer(data):
            start = match.start()
            name = _NAME.search(data, max(start - _LONGEST, 0), start)
            if name is not None and name[0] in fields:
                yield name[0], match[1]


def _closure(callers: dict[bytes, set[bytes]], names: set[bytes], calls: int) -> set[bytes]:
    """Return the names, and those from which so many calls lead to one of them."""
    found = set(names)
    edge = names
    for _ in range(calls):
        edge = {caller for name in edge for caller in callers.get(name, ())} - found
        found |= edge
    return found
