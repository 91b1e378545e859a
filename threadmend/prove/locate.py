"""Locate: the places of a symptom in the project, and the objects that it names there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from threadmend.golang.access import lock_class
from threadmend.golang.evidence import Evidence, Site, function_at, nodes_at
from threadmend.golang.file import GoFile
from threadmend.golang.locks import lock_name, locks_of
from threadmend.golang.types import Chan, Named, deref
from threadmend.project import Project
from threadmend.prove.remap import Place, Remap
from threadmend.prove.symptom import Kind, Stack, Symptom

__all__ = ["Located", "LocatedStack", "locate", "objects_at"]


@dataclass(frozen=True, slots=True)
class LocatedStack:
    """A stack with those of its frames that are in the project, innermost first."""

    stack: Stack
    places: tuple[Place, ...]
    launch: Place | None
    holds: tuple[str, ...] = ()
    """The locks that its functions hold at these places, as they name them."""
    deferred: tuple[Place, ...] = ()
    """What the function at the top had deferred, when it was about to return."""

    @property
    def top(self) -> Place | None:
        """Return where the project's own code was."""
        return self.places[0] if self.places else None


@dataclass(frozen=True, slots=True)
class Located:
    """A symptom with its places and the classes of what it is about: locks, channels, groups."""

    symptom: Symptom
    stacks: tuple[LocatedStack, ...]
    objects: frozenset[str] = frozenset()

    @property
    def tops(self) -> list[Place]:
        """Return the place of each stack that has one."""
        return [stack.top for stack in self.stacks if stack.top is not None]

    @property
    def directories(self) -> set[str]:
        """Return the folders of all places."""
        places = [p for s in self.stacks for p in (*s.places, *([s.launch] if s.launch else []))]
        return {place.path.rpartition("/")[0] for place in places}

    @property
    def evidence(self) -> Evidence | None:
        """Return the symptom for rules; None when it is not about a place of Go code."""
        sites = tuple(
            Site(s.top.path, s.top.line, s.stack.doing)
            for s in self.stacks
            if s.top is not None and s.top.path.endswith(".go")
        )
        if not sites or self.symptom.kind in {Kind.FINDING, Kind.PYTHON}:
            return None
        return Evidence(str(self.symptom.kind), sites, self.symptom.message)

    def followed(self, maps: Mapping[str, Mapping[int, int]]) -> Located:
        """Return the symptom with its places in another text: lines by path and line."""

        def place(one: Place) -> Place:
            lines = maps.get(one.path)
            return one if lines is None else replace(one, line=lines.get(one.line, one.line))

        stacks = tuple(
            replace(
                s,
                places=tuple(map(place, s.places)),
                deferred=tuple(map(place, s.deferred)),
                launch=None if s.launch is None else place(s.launch),
            )
            for s in self.stacks
        )
        return replace(self, stacks=stacks)


def locate(symptom: Symptom, remap: Remap, project: Project) -> Located:
    """Return where a symptom is in the project."""
    stacks = tuple(
        _leaving(_told(_located(stack, remap), project), project) for stack in symptom.stacks
    )
    found = Located(symptom, stacks)
    if symptom.kind in {Kind.FINDING, Kind.PYTHON, Kind.RACE}:
        return found
    if symptom.kind is not Kind.PANIC:
        found = replace(found, stacks=tuple(_holding(s, project) for s in stacks))
    objects = frozenset(
        name
        for stack in found.stacks
        for place in (*stack.places[:1], *stack.deferred)
        if place.path.endswith(".go")
        for name in objects_at(project.go.file(place.path), place.line)
    )
    return replace(found, objects=objects)


def _located(stack: Stack, remap: Remap) -> LocatedStack:
    places = tuple(p for frame in stack.frames if (p := remap.place(frame)) is not None)
    launch = next((p for frame in stack.created if (p := remap.place(frame)) is not None), None)
    return LocatedStack(stack, places, launch)


def _told(located: LocatedStack, project: Project) -> LocatedStack:
    """Return a stack with what it does there; profiles as text leave that to the source."""
    top = located.top
    if located.stack.doing or top is None or not top.path.endswith(".go"):
        return located
    doing = _doing(project.go.file(top.path), top.line)
    return replace(located, stack=replace(located.stack, doing=doing))


def _leaving(located: LocatedStack, project: Project) -> LocatedStack:
    """Return a stack with the deferred calls that ran where its function returned.

    A call that was deferred is on the line of the closing brace or the `return`.
    """
    top = located.top
    if top is None or not top.path.endswith(".go"):
        return located
    file = project.go.file(top.path)
    function = function_at(file.tree, top.line)
    if function is None:
        return located
    line = file.source.line_of
    returns = [n for n in nodes_at(file, top.line, "return_statement") if n.function is function]
    if line(function.end - 1) != top.line and not returns:
        return located
    defers = (n for n in function.own() if n.kind == "defer_statement")
    return replace(
        located,
        deferred=tuple(replace(top, line=at) for n in defers if (at := line(n.start)) != top.line),
    )


def _holding(located: LocatedStack, project: Project) -> LocatedStack:
    """Return a stack with the locks that are held on the way to where it waits."""
    names: dict[str, None] = {}
    for place in located.places:
        if not place.path.endswith(".go"):
            continue
        file = project.go.file(place.path)
        function = function_at(file.tree, place.line)
        kinds = ("call_expression", "send_statement", "unary_expression", "select_statement")
        nodes = [n for n in nodes_at(file, place.line, *kinds) if n.function is function]
        if function is not None and nodes:
            held = locks_of(file, function).held_before(nodes[0])
            names.update(dict.fromkeys(sorted(lock_name(file, one) for one in held)))
    return replace(located, holds=tuple(names))


_WAITS = {
    "Lock": "sync.Mutex.Lock",
    "RLock": "sync.RWMutex.RLock",
    "Wait": "sync.WaitGroup.Wait",
}


def _doing(file: GoFile, line: int) -> str:
    """Return what waits on a line, in the words of goroutine dumps."""
    for node in nodes_at(file, line, "select_statement", "send_statement", "range_clause"):
        if node.kind == "select_statement":
            return "select"
        if node.kind == "send_statement":
            return "chan send"
        if isinstance(file.underlying(file.type_of(node["right"])), Chan):
            return "chan receive"
    for node in nodes_at(file, line, "unary_expression", "call_expression"):
        if node.kind == "unary_expression" and node["operator"].kind == "<-":
            return "chan receive"
        function = node.get("function")
        if function is not None and function.kind == "selector_expression":
            found = _WAITS.get(function["field"].name)
            if found is not None:
                return found
    return ""


def objects_at(file: GoFile, line: int) -> Iterator[str]:
    """Yield the classes of the locks, channels, groups and conditions named on a line."""
    for node in nodes_at(file, line, "identifier", "selector_expression"):
        if node.field == "field":
            continue
        type_ = file.type_of(node)
        named = deref(type_)
        shared = isinstance(named, Named) and named.package in {"sync", "sync/atomic"}
        if shared or isinstance(file.underlying(type_), Chan):
            name = lock_class(file, node)
            if name is not None:
                yield name
