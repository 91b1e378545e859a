"""What the language layers hand to the map: operations in a list, graphs to look at."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Edge", "Graph", "Operation", "Vertex", "components", "labels", "short"]


@dataclass(frozen=True, slots=True, order=True)
class Vertex:
    """One thing: `kind` is `lock`, `channel`, `goroutine`, `function`, `missing`, `queue`,
    or `thread`."""

    name: str
    kind: str
    label: str = ""

    @property
    def text(self) -> str:
        """Return what is written on it."""
        return self.label or self.name


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """An arrow between the names of two vertices; `alarm`: part of what is wrong."""

    source: str
    target: str
    label: str = ""
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """Vertices and edges under a title; edges of a cycle of locks carry the alarm."""

    title: str
    vertices: tuple[Vertex, ...]
    edges: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One concurrent operation: where it begins, what it does, on what.

    `operation` is the method's name, or `send receive close range make go`, for Python also
    `with` and what a spawn is (`thread`, `submit`, `task`, …). `type` is the type of what it is
    done to (`sync.Mutex` also for a struct that embeds it, `chan int`, `queue.Queue`); None
    when it cannot be told. `class_` names the declaration that holds the value
    (`pkg/path.Type.field`, `pkg.mod.Class.attribute`), or the function that is spawned;
    `instance` is the expression as written. `guards` are the attributes that most code
    touches under the lock that is made here.
    """

    path: str
    line: int
    column: int
    operation: str
    type: str | None
    class_: str | None
    instance: str
    guards: tuple[str, ...] = ()


_VERSION = re.compile(r"/v\d+(?=\.)|/v\d+$")


def short(name: str) -> str:
    """Return a class without the path of its package: `cache.Store.mu`.

    A module's major version is none of its names; of dotted names the last three are shown.
    """
    if "/" in name:
        return _VERSION.sub("", name).rpartition("/")[2]
    return ".".join(name.split(".")[-3:]) if name.count(".") > 2 else name


def labels(names: Iterable[str]) -> dict[str, str]:
    """Return what to show for each class: short, with more of its path where two are alike."""
    every = sorted(set(names))
    found = {name: short(name) for name in every}
    groups: dict[str, list[str]] = {}
    for name, shown in found.items():
        groups.setdefault(shown, []).append(name)
    for shown, alike in groups.items():
        if len(alike) > 1:
            for name in alike:
                path = _VERSION.sub("", name).rpartition("/")[0].split("/")
                others = [_VERSION.sub("", n).split("/") for n in alike if n != name]
                size = 1
                while size < len(path) and any(o[-1 - size : -1] == path[-size:] for o in others):
                    size += 1
                found[name] = "/".join((*path[-size:], shown))
    return found


def components(names: Iterable[str], edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return the strongly connected components, each sorted, the largest first.

    Tarjan's algorithm without recursion (https://doi.org/10.1137/0201010).
    """
    following: dict[str, list[str]] = {name: [] for name in names}
    for source, target in sorted(set(edges)):
        following[source].append(target)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    found: list[list[str]] = []
    for start in following:
        work = [(start, iter(following[start]))] if start not in index else []
        while work:
            name, rest = work[-1]
            if name not in index:
                index[name] = low[name] = len(index)
                stack.append(name)
                on_stack.add(name)
            for target in rest:
                if target not in index:
                    work.append((target, iter(following[target])))
                    break
                if target in on_stack:
                    low[name] = min(low[name], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    group: list[str] = []
                    while not group or group[-1] != name:
                        group.append(stack.pop())
                        on_stack.discard(group[-1])
                    found.append(sorted(group))
    return sorted(found, key=lambda group: (-len(group), group))
