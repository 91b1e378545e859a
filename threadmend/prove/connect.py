"""Connect: which findings are about what a symptom shows.

A finding belongs to a symptom when it is of a category that can bring it about, and one of
its places (its own, a related one, where its fix edits) is a line of the symptom, or names
the same lock, channel or group.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from threadmend.golang.evidence import function_at, nodes_at
from threadmend.golang.syntax import Node
from threadmend.model import Finding
from threadmend.project import Project
from threadmend.prove.locate import Located, objects_at
from threadmend.prove.remap import Place
from threadmend.prove.symptom import BUSY, Kind

__all__ = ["Connections", "is_connected"]

_BY_KIND = {
    Kind.RACE: frozenset({"shared-state", "mutex", "waitgroup"}),
    Kind.BLOCKED: frozenset({"channel", "goroutine", "select", "context", "mutex", "waitgroup"}),
    Kind.DEADLOCK: frozenset({"channel", "goroutine", "select", "context", "mutex", "waitgroup"}),
    Kind.PANIC: frozenset({"channel", "waitgroup", "mutex", "goroutine", "shared-state"}),
}
_WIDER = {Kind.RACE: frozenset({"goroutine", "select", "channel"})}
"""What may be behind a symptom, too: asked only when nothing nearer mends it."""
_MISSED = re.compile(r"has no attribute '(\w+)'")
_LOCKS = frozenset({"mutex", "waitgroup"})
_LOOPS = frozenset({"select", "goroutine"})


class Connections:
    """The symptoms of a run, asked about findings; positions count in the project given."""

    def __init__(self, located: Sequence[Located], *, wider: bool = False) -> None:
        self._located = list(located)
        self._wider = wider

    def __call__(self, finding: Finding, project: Project) -> bool:
        """Return whether a finding explains a symptom."""
        wider = self._wider
        return any(is_connected(one, finding, project, wider=wider) for one in self._located)


def is_connected(
    located: Located, finding: Finding, project: Project, *, wider: bool = False
) -> bool:
    """Return whether a finding is about what a symptom shows."""
    kind = located.symptom.kind
    if kind is Kind.FINDING:
        tops = {(place.path, place.line) for place in located.tops}
        return any(line in tops for line in _own_lines(finding, project))
    if kind is Kind.PYTHON:
        if not finding.path.endswith(".py"):
            return False
        return _meets(_lines_of(located), finding, project) or _speaks_of(finding, located)
    if finding.category not in _categories(located, wider=wider):
        return False
    if kind is Kind.RACE:
        near = finding.category == "shared-state"
        if _meets(_race_lines(located, near=near), finding, project):
            return True
        return wider and finding.category in _LOCKS and _is_copied(located, finding, project)
    if kind is Kind.PANIC and finding.category == "channel":
        # Several things can be wrong with one channel; this is about a send, or about a close.
        return _meets(_lines_of(located), finding, project)
    if located.objects and _objects(finding, project) & located.objects:
        return True
    if finding.category in _LOOPS and _is_around(located, finding, project):
        return True
    lines = _lines_of(located)
    if kind is Kind.PANIC:
        return _meets(lines, finding, project)
    # A fix that edits around a wait need not be about it: a timer that is stopped before it.
    return any(line in lines for line in _own_lines(finding, project))


def _speaks_of(finding: Finding, located: Located) -> bool:
    """Return whether a finding is about the attribute that a thread missed: it is set too late
    in another place than the one where it is read.
    """
    missed = _MISSED.search(located.symptom.message)
    if missed is None or finding.path not in {path for path, _ in _lines_of(located)}:
        return False
    return re.search(rf"\.{re.escape(missed[1])}\b", finding.message) is not None


def _categories(located: Located, *, wider: bool) -> frozenset[str]:
    found = _BY_KIND.get(located.symptom.kind, frozenset())
    if wider:
        found |= _WIDER.get(located.symptom.kind, frozenset())
    states = {stack.stack.doing for stack in located.stacks}
    if located.symptom.kind is Kind.BLOCKED and all("Mutex" in state for state in states):
        return _LOCKS
    return found


def _race_lines(located: Located, *, near: bool) -> set[tuple[str, int]]:
    """Return the lines of the accesses, and unless `near` those of calls and launches."""
    lines = {(place.path, place.line) for place in located.tops}
    if near:
        return lines
    for stack in located.stacks:
        lines |= {(place.path, place.line) for place in _some(stack.launch)}
        lines |= {(p.path, p.line) for p in stack.places[1:3]}
    return lines


def _lines_of(located: Located) -> set[tuple[str, int]]:
    places = [
        place
        for stack in located.stacks
        for place in (*stack.places[:3], *stack.deferred, *_some(stack.launch))
    ]
    return {(place.path, place.line) for place in places}


def _is_around(located: Located, finding: Finding, project: Project) -> bool:
    """Return whether a finding is about a statement inside of which a goroutine waits, or lies
    in a loop in which a goroutine that never waits goes round.
    """
    for stack in located.stacks:
        place = stack.top
        if place is not None and place.path == finding.path and place.path.endswith(".go"):
            if stack.stack.doing in BUSY and _in_its_loop(place, finding, project):
                return True
            tree = project.go.tree(place.path)
            declaration = tree.declaration_at(finding.start)
            line = tree.source.line_of
            for node in declaration.node.walk() if declaration is not None else ():
                if node.start == finding.start and line(node.start) <= place.line <= line(node.end):
                    return True
    return False


def _in_its_loop(place: Place, finding: Finding, project: Project) -> bool:
    """Return whether a finding lies in the outermost loop of a function around a place."""
    tree = project.go.tree(place.path)
    function = function_at(tree, place.line)
    loops = [n for n in function.own() if n.kind == "for_statement"] if function else []
    line = tree.source.line_of

    def around(loop: Node) -> bool:
        return line(loop.start) <= place.line <= line(loop.end)

    outer = next((loop for loop in loops if around(loop)), None)
    return outer is not None and outer.start <= finding.start < outer.end


def _is_copied(located: Located, finding: Finding, project: Project) -> bool:
    """Return whether a finding is about the head of a method that is called at a symptom.

    A receiver that is no pointer is read as a whole where the method is called.
    """
    lines = set(_own_lines(finding, project))
    for place in located.tops:
        if place.path.endswith(".go"):
            file = project.go.file(place.path)
            for call in nodes_at(file, place.line, "call_expression"):
                decl = file.callee(call)
                if decl is not None and decl.receiver:
                    source = decl.file.source
                    if (decl.file.path, source.line_of(decl.node.start)) in lines:
                        return True
    return False


def _some(place: Place | None) -> list[Place]:
    return [] if place is None else [place]


def _meets(lines: set[tuple[str, int]], finding: Finding, project: Project) -> bool:
    if any(line in lines for line in _own_lines(finding, project)):
        return True
    return any(line in lines for line in _edited_lines(finding, project))


def _own_lines(finding: Finding, project: Project) -> Iterator[tuple[str, int]]:
    for path, start, end in [
        (finding.path, finding.start, finding.end),
        *((place.path, place.start, place.end) for place in finding.related),
    ]:
        if path in project:
            source = project.source(path)
            first = source.line_of(min(start, len(source.data)))
            last = min(source.line_of(min(end, len(source.data))), first + 20)
            yield from ((path, line) for line in range(first, last + 1))


def _edited_lines(finding: Finding, project: Project) -> Iterator[tuple[str, int]]:
    for fix in finding.fixes[:1]:
        for edit in fix.edits:
            if edit.path in project and edit.path.endswith(".go"):
                source = project.source(edit.path)
                yield (edit.path, source.line_of(min(edit.start, len(source.data))))


def _groups_lines(finding: Finding, project: Project) -> Iterator[tuple[str, int]]:
    """Yield the edited lines of what is about a WaitGroup: there it is handed over."""
    if finding.category == "waitgroup":
        yield from _edited_lines(finding, project)


def _objects(finding: Finding, project: Project) -> set[str]:
    return {
        name
        for path, line in {*_own_lines(finding, project), *_groups_lines(finding, project)}
        if path.endswith(".go")
        for name in objects_at(project.go.file(path), line)
    }
