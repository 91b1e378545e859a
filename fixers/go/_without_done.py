"""Goroutines that are counted by an Add right above their launch, and never call Done."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.counting import Counter, counter_of, known_whole
from threadmend.golang.dones import may_call_done
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, launch_at
from threadmend.golang.syntax import Node
from threadmend.golang.waitgroups import WaitGroupCall, waitgroup_call

__all__ = ["without_done"]


def without_done(file: GoFile) -> list[tuple[WaitGroupCall, Launch]]:
    """Return the Add and the launch of each goroutine that keeps a Wait of its file."""
    known: list[tuple[WaitGroupCall, Launch]] | None = vars(file).get("_without_done")
    if known is None:
        known = vars(file)["_without_done"] = list(_without_done(file))
    return known


def _without_done(file: GoFile) -> Iterator[tuple[WaitGroupCall, Launch]]:
    for call in file.calls("Add"):
        launch = _launch_below(file, call)
        if launch is None or launch.body is None:
            continue
        add = waitgroup_call(file, call)
        if add is None or add.access is None or add.count is None or add.count.text != b"1":
            continue
        counter = counter_of(file, add)
        if counter is None or counter.escapes or not counter.of("Wait"):
            continue
        if may_call_done(counter.file_of(launch.body), launch.body, counter=known_whole(file, add)):
            continue
        if all(_accounted(counter, done) for done in counter.of("Done")):
            yield add, launch


def _launch_below(file: GoFile, call: Node) -> Launch | None:
    """Return the launch that stands right below an Add."""
    statement = call.parent
    after = statement.next if statement is not None else None
    if statement is None or statement.kind != "expression_statement" or after is None:
        return None
    if after.kind == "short_var_declaration" and after.next is not None:
        values = after["right"].children
        if len(values) == 1 and values[0].kind == "func_literal":
            after = after.next  # `work := func() {…}`, then `go work()`
    return launch_at(file, after)


def _accounted(counter: Counter, done: WaitGroupCall) -> bool:
    """Return whether a Done belongs to a goroutine that is counted for itself."""
    launches = counter.launches_that_run(done)
    if not launches:
        return False
    for launch in launches:
        before = launch.node.previous
        if before is None or not any(before.contains(a.call) for a in counter.of("Add")):
            return False
    return True
