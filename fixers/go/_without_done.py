"""Goroutines that an Add counts, and that do not call Done, never or on some paths."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.counting import Counter, counter_of, known_whole
from threadmend.golang.dones import may_call_done
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import Launch, innermost_loop, launch_at
from threadmend.golang.iterations import point_in
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.waitgroups import WaitGroupCall, waitgroup_call

from ._launched_list import launched_list

__all__ = ["ends_unsaid", "without_done"]


def without_done(file: GoFile) -> list[tuple[WaitGroupCall, Launch]]:
    """Return the Add and the launch of each goroutine that keeps a Wait of its file."""
    known: list[tuple[WaitGroupCall, Launch]] | None = vars(file).get("_without_done")
    if known is None:
        known = vars(file)["_without_done"] = list(_without_done(file))
    return known


def _without_done(file: GoFile) -> Iterator[tuple[WaitGroupCall, Launch]]:
    for call in file.calls("Add"):
        below = _launch_below(file, call)
        listed = launched_list(file, below) if below is not None else []
        alone = [below] if below is not None and below.body is not None else []
        if not alone and not listed:
            continue
        add = waitgroup_call(file, call)
        if add is None or add.access is None or add.count is None or add.count.text != b"1":
            continue
        counter = None if _is_anothers(add) else counter_of(file, add)
        if counter is None or counter.escapes or not counter.of("Wait"):
            continue
        whole, beside = known_whole(file, add), [x.body for x in listed]
        for launch in (*alone, *listed):
            assert launch.body is not None
            if may_call_done(counter.file_of(launch.body), launch.body, counter=whole):
                continue
            dones = [d for d in counter.of("Done") if d.call.function not in beside]
            if all(_accounted(counter, done) for done in dones):
                yield add, launch


def _is_anothers(add: WaitGroupCall) -> bool:
    """Return whether the group is what a call gave: who made it may count it down."""
    root = add.access.root if add.access is not None and not add.access.steps else None
    return isinstance(root, Binding) and any(
        value.kind == "call_expression" and value["function"].text != b"new"
        for value in (root.values or ())
    )


def ends_unsaid(file: GoFile, launch: Launch, place: Node, wait: Node) -> bool:
    """Return whether a Wait goes on only after a place in a goroutine, if it goes on at all.

    The goroutine is counted, calls Done itself on some other path, and never before the place.
    """
    body, awaited = launch.body, waitgroup_call(file, wait)
    if body is None or awaited is None or awaited.access is None or body.path != file.path:
        return False
    calls = [c for n in file.calls("Add", "Done") if (c := waitgroup_call(file, n)) is not None]
    calls = [c for c in calls if c.access == awaited.access]
    if not any(c.method == "Add" and _counts(c, launch) for c in calls):
        return False
    dones = [c.call for c in calls if c.method == "Done" and c.call.function is body]
    flow = flow_of(body)
    end = point_in(flow, place)
    points = [flow.point_of(done) for done in dones]
    if not points or end is None or not flow.complete:
        return False
    return not any(p is None or p is end or end in flow.reachable(p) for p in points)


def _counts(add: WaitGroupCall, launch: Launch) -> bool:
    """Return whether an Add counts each goroutine that a launch starts."""
    if add.count is None or add.call.start > launch.node.start:
        return False
    if add.call.function is not launch.function:
        return False
    alike = innermost_loop(add.call) is innermost_loop(launch.node)
    return alike or add.count.text != b"1"


def _launch_below(file: GoFile, call: Node) -> Launch | None:
    """Return the first launch below an Add, in its list of statements."""
    statement = call.parent
    if statement is None or statement.kind != "expression_statement":
        return None
    waitgroup = call["function"].text.rpartition(b".")[0]
    after = statement.next
    while after is not None:
        launch = launch_at(file, after)
        if launch is not None:
            return launch
        if not _is_unrelated(after, waitgroup):
            return None
        after = after.next
    return None


def _is_unrelated(statement: Node, waitgroup: bytes) -> bool:
    """Return whether a statement neither counts nor leads elsewhere: `work := func() {…}`."""
    if not _leads_on(statement):
        return False
    return not any(n.text == waitgroup for n in statement.find("identifier", "selector_expression"))


def _leads_on(statement: Node) -> bool:
    """Return whether nothing in a statement launches, or leaves the list that it stands in."""
    return not any(node.kind in _LEAVES for node in (statement, *statement.own()))


_LEAVES = frozenset(
    {
        *("return_statement", "break_statement", "continue_statement", "goto_statement"),
        *("go_statement", "defer_statement", "labeled_statement", "fallthrough_statement"),
    }
)


def _accounted(counter: Counter, done: WaitGroupCall) -> bool:
    """Return whether a Done belongs to a goroutine that is counted for itself."""
    launches = counter.launches_that_run(done)
    return bool(launches) and all(_counted_above(counter, launch) for launch in launches)


def _counted_above(counter: Counter, launch: Launch) -> bool:
    """Return whether an Add stands above a launch, behind nothing but unrelated statements."""
    before = launch.statement.previous
    while before is not None:
        for add in counter.of("Add"):
            if before.contains(add.call):
                return True
        if not _leads_on(before):
            return False
        before = before.previous
    return False
