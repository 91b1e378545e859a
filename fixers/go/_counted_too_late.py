"""An Add that stands below the launch of the goroutine which it counts.

go func() {
    defer wg.Done()
    …
}()
wg.Add(1)    // the Done may have come first: negative WaitGroup counter
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, move_after, move_before, with_reason
from threadmend.golang.counting import Counter, counter_of
from threadmend.golang.counts import Count, valid_at
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch
from threadmend.golang.locks import held_at
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan
from threadmend.golang.waitgroups import WaitGroupCall, waitgroup_call
from threadmend.model import Finding, Fix, Related

__all__ = ["counted_too_late"]

# What the goroutine waits for before its Done may come after the Add.
_WAITS = re.compile(rb"<-|\bselect\b|\.Wait\(")
_LOCKS = re.compile(rb"\.R?Lock\(")


def counted_too_late(file: GoFile) -> Iterator[Finding]:
    """Yield the Adds that raise the counter when what they count has been launched."""
    for call in file.calls("Add"):
        add = waitgroup_call(file, call)
        statement = call.parent
        if add is None or statement is None or statement.kind != "expression_statement":
            continue
        counter = counter_of(file, add)
        if add.count is None or counter is None or counter.escapes or counter.of("Go"):
            continue
        found = _launched_above(counter, add, statement)
        if found is not None:
            yield _finding(file, add, statement, *found)


def _launched_above(
    counter: Counter, add: WaitGroupCall, statement: Node
) -> tuple[Launch, Node] | None:
    """Return the nearest launch above an Add that no other one pays for, and its statement."""
    function = add.call.function
    launches = _launches(counter, function)
    adds = [other for other in counter.of("Add") if other.call.function is function]
    if launches is None:
        return None
    if len(adds) != len(counter.of("Add")):  # others pay, too: for whom, in an object, is unknown
        local = not (add.access and add.access.steps)
        if local or len(adds) < len(launches):
            return None
    above = [la for la in launches if la.node.start < add.call.start]
    if not above:
        return None
    last = above[-1]
    anchor = _beside(last.statement, statement)
    before = [other for other in adds if other.call.start < last.node.start]
    if anchor is None or any(a.count is None or a.count.name != "1" for a in before):
        return None
    if len(before) >= len(above) or _may_wait(counter.file_of(last.body or last.node), last):
        return None
    between = _between(anchor, statement)
    if any(_WAITS.search(s.text) for s in between):
        return None
    return last, anchor


def _launches(counter: Counter, function: Node | None) -> list[Launch] | None:
    """Return the launches in a function that run a Done, in order, None if one is unknown."""
    found: dict[int, Launch] = {}
    for done in counter.of("Done"):
        launches = counter.launches_that_run(done)
        if not launches:
            return None
        for launch in launches:
            if launch.function is function:
                found[launch.node.start] = launch
    return [found[start] for start in sorted(found)]


def _beside(launched: Node, add: Node) -> Node | None:
    """Return the launch, or the loop right around it, that stands in the same block as an Add."""
    if launched.parent is add.parent:
        return launched
    block = launched.parent
    loop = block.parent if block is not None else None
    if loop is None or loop.kind != "for_statement" or loop.parent is not add.parent:
        return None
    return loop


def _between(anchor: Node, statement: Node) -> list[Node]:
    found: list[Node] = []
    below = anchor.next
    while below is not None and below is not statement:
        found.append(below)
        below = below.next
    return found


def _may_wait(file: GoFile, launch: Launch) -> bool:
    """Return whether the goroutine may wait for something that comes behind the Add."""
    body = launch.body
    if body is None or _WAITS.search(body["body"].text):
        return True
    if _LOCKS.search(body["body"].text) and held_at(file, launch.statement):
        return True
    ranges = body.find("range_clause")
    return any(isinstance(file.underlying(file.type_of(r["right"])), Chan) for r in ranges)


def _finding(
    file: GoFile, add: WaitGroupCall, statement: Node, launch: Launch, anchor: Node
) -> Finding:
    fix, reason = _fix(file, add, statement, launch, anchor)
    name = add.waitgroup.name
    return Finding(
        path=file.path,
        start=add.call.start,
        end=add.call.end,
        message=f"{name}.Add comes after the launch of the goroutine it counts",
        fixes=(fix,) if fix else (),
        related=(Related(launch.node.path, launch.node.start, launch.node.end, "launched here"),),
        reason=reason,
    )


@with_reason
def _fix(file: GoFile, add: WaitGroupCall, statement: Node, launch: Launch, anchor: Node) -> Fix:
    """Move the Add before the launch, or the launch below what the count needs.

    Sound: the counter was zero or positive there, so Add cannot panic, and Wait can only wait
    for longer. What is declared in between neither waits nor changes what the goroutine sees.
    """
    name = add.waitgroup.name
    assert add.count is not None
    if valid_at(file, Count(1, (add.count.name,), (add.count,)), anchor):
        edits = move_before(statement, anchor)
        return Fix(f"Move {name}.Add before the go statement", edits)
    between = _between(anchor, statement)
    if anchor is not launch.statement or not all(_only_declares(file, s) for s in between):
        raise BuilderError("what is counted is not known before the launch")
    edits = move_after(launch.statement, statement)
    return Fix(f"Launch the goroutine below {name}.Add", edits)


_HARMLESS = frozenset({b"cap", b"len", b"make", b"new"})
_DECLARES = frozenset({"const_declaration", "short_var_declaration", "var_declaration"})


def _only_declares(file: GoFile, statement: Node) -> bool:
    """Return whether a statement declares new names or counts, and runs nothing else."""
    if statement.kind == "expression_statement":
        call = waitgroup_call(file, statement.children[0])
        return call is not None and call.method == "Add"
    if statement.kind not in _DECLARES:
        return False
    if statement.kind == "short_var_declaration":
        names = statement["left"].children
        if any((binding := file.binding(n)) is not None and binding.node is not n for n in names):
            return False  # another variable is set as well
    calls = (n for n in statement.own() if n.kind == "call_expression")
    return all(call["function"].text in _HARMLESS for call in calls)
