"""Count exactly the goroutines that call Done

The counter of a WaitGroup has to be raised once for each Done. Raised too often, `wg.Wait()`
waits for ever; too seldom, Wait returns early or Done panics with "negative WaitGroup counter".
Where the number is written down (`wg.Add(3)`, `wg.Add(len(xs))`) it has to match the launches
that follow, also in rounds of a loop that are skipped.

Not reported: counts that cannot be told; a WaitGroup that other code has; a Done that other
functions call; one Done for each item of work.

Unsafe: Wait waits for more, or for fewer, than before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.builders import BuilderError, delete, insert_before
from threadmend.golang.counting import counter_of
from threadmend.golang.counts import iterations
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.infer import is_decl
from threadmend.golang.one_each import starts_of
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.waitgroups import WaitGroupCall, waitgroup_call
from threadmend.model import Edit, Finding, Fix, Related, Safety

CATEGORY = "waitgroup"
GATE = rb"\.Add\("


@dataclass(slots=True)
class _Start:
    """A launch, or the call of a helper that launches one goroutine each time."""

    node: Node

    @property
    def statement(self) -> Node:
        """Return the statement that launches."""
        return self.node.statement or self.node

    @property
    def loop(self) -> Node | None:
        """Return the innermost loop around it."""
        return innermost_loop(self.node)


@dataclass(slots=True)
class _Plan:
    """A local WaitGroup: its one Add, and the launches of its one function."""

    file: GoFile
    function: Node
    add: WaitGroupCall
    launches: list[_Start]

    @property
    def name(self) -> str:
        return self.add.waitgroup.name

    @property
    def count(self) -> str:
        return self.add.count.name if self.add.count is not None else ""


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the Adds whose count is not that of the Dones."""
    for call in file.calls("Add"):
        add = waitgroup_call(file, call)
        if add is None or add.access is None or add.count is None:
            continue
        root = add.access.root
        if not isinstance(root, Binding) or call.function is not root.function:
            continue
        plan = _plan(file, add)
        if plan is None:
            continue
        finding = _straight(plan) or _before_loop(plan) or _in_loop(plan)
        if finding is not None:
            yield finding


def _plan(file: GoFile, add: WaitGroupCall) -> _Plan | None:
    """Return what launches what a WaitGroup counts; None when not all of it is clear."""
    counter = counter_of(file, add)
    function = add.call.function
    if counter is None or counter.escapes or counter.of("Go") or function is None:
        return None
    if len(counter.of("Add")) != 1 or not counter.of("Wait") or not counter.of("Done"):
        return None
    statement = add.call.parent
    if statement is None or statement.kind != "expression_statement" or add.deferred:
        return None
    flow = flow_of(function)
    # An object's Wait stands in another method.
    shared = add.access is not None and bool(add.access.steps)
    waits = [] if shared else [flow.point_of(w.call) for w in counter.of("Wait")]
    if not flow.complete or None in waits:
        return None
    launches: dict[int, _Start] = {}
    for done in counter.of("Done"):
        if not _once(done):
            return None
        found = counter.launches_that_run(done)
        if not found:
            return None
        for launch in found:
            starts = starts_of(file, function, launch, add.access) if add.access else []
            if not starts or any(start.start in launches for start in starts):
                return None
            launches |= {start.start: _Start(start) for start in starts}
    return _Plan(file, function, add, [launches[k] for k in sorted(launches)])


def _once(done: WaitGroupCall) -> bool:
    """Return whether a Done runs exactly once per run of its function."""
    function = done.call.function
    if function is None:
        return False
    flow = flow_of(function)
    point = flow.point_of(done.deferred or done.call)
    if point is None or not flow.complete or flow.in_loop(point):
        return False
    exits = flow.exits_from(flow.entry, stop=lambda p: p is point)
    return not any(e.kind in {"return", "end"} for e in exits)


def _always(plan: _Plan, launch: _Start, block: Node) -> bool:
    """Return whether a launch stands in a block itself, with nothing that jumps before it."""
    return launch.statement.parent is block


def _before_loop(plan: _Plan) -> Finding | None:
    """Find an Add before a loop that launches another number of goroutines."""
    add = plan.add
    if len(plan.launches) != 1 or innermost_loop(add.call) is not None:
        return None
    launch = plan.launches[0]
    loop = launch.loop
    if loop is None or loop.start < add.call.end or innermost_loop(loop) is not None:
        return None
    if add.call.statement is None or add.call.statement.parent is not loop.parent:
        return None
    times = iterations(plan.file, loop)
    if times is None:
        return None
    if str(times) == plan.count:
        skipped = _skipped(plan, launch, loop)
        if skipped is None:
            return None
        message = f"{plan.name} counts {plan.count} goroutines, but not every round launches one"
        return _moved(plan, launch, message, skipped)
    number = plan.count.isdecimal()
    if not _always(plan, launch, loop["body"]) or _leaves(loop):
        return None
    if times.is_constant and number:
        message = f"{plan.name} counts {plan.count} goroutines, but {times} are launched"
    elif number and str(times).startswith("len(") and not _is_filled(plan, loop):
        message = f"{plan.name} counts {plan.count} for a loop that launches {times} goroutines"
    else:
        return None
    return _moved(plan, launch, message, loop)


def _is_filled(plan: _Plan, loop: Node) -> bool:
    """Return whether the function itself fills what the loop ranges over: the number may fit."""
    for clause in loop.find("range_clause"):
        name = clause["right"]
        binding = plan.file.binding(name) if name.kind == "identifier" else None
        if binding is not None and binding.kind == "variable":
            if len([u for u in binding.uses if u.field != "right"]) > 1:
                return True
    return False


def _leaves(loop: Node) -> bool:
    """Return whether a jump may skip launches of a loop."""
    return any(
        n.kind in {"break_statement", "continue_statement", "return_statement", "goto_statement"}
        for n in loop["body"].own()
    )


def _skipped(plan: _Plan, launch: _Start, loop: Node) -> Node | None:
    """Return what lets a round (or the rest of the loop) go by without its launch."""
    flow = flow_of(plan.function)
    point = flow.point_of(launch.node)
    if point is None or not flow.complete:
        return None
    for node in loop["body"].own():
        if node.kind in {"continue_statement", "break_statement"} and node.end < launch.node.start:
            if node.children[1:] or not _ends_round(node, loop):
                continue
            return node
    parent = launch.statement.parent
    if parent is None or parent is loop["body"]:
        return None
    holder = parent.parent
    if holder is not None and holder.kind == "if_statement" and holder.get("alternative") is None:
        return holder if holder.parent is loop["body"] else None
    return None


def _ends_round(jump: Node, loop: Node) -> bool:
    for ancestor in jump.ancestors():
        if ancestor is loop:
            return True
        if ancestor.kind == "for_statement":
            return False
        if jump.kind == "break_statement" and ancestor.kind.endswith(
            ("switch_statement", "select_statement")
        ):
            return False
    return False


def _in_loop(plan: _Plan) -> Finding | None:
    """Find an Add of the whole number in each round, and a round that skips its launch."""
    add = plan.add
    if len(plan.launches) != 1:
        return None
    launch = plan.launches[0]
    loop = launch.loop
    if loop is None or innermost_loop(add.call) is not loop or innermost_loop(loop) is not None:
        return None
    statement = add.call.statement
    if statement is None or statement.parent is not loop["body"]:
        return None
    if plan.count == "1":
        flow = flow_of(plan.function)
        start, end = flow.point_of(add.call), flow.point_of(launch.node)
        if start is None or end is None or launch.node.start < add.call.end:
            return None
        for node in loop["body"].own():
            if add.call.end < node.start < launch.node.start and node.kind in {
                "continue_statement",
                "break_statement",
            }:
                if not node.children[1:] and _ends_round(node, loop):
                    if flow.point_of(node) in flow.reachable(start, stop=lambda p: p is end):
                        message = f"{plan.name} counts a goroutine that this round may not launch"
                        return _moved(plan, launch, message, node)
        return None
    times = iterations(plan.file, loop)
    if times is not None and str(times) == plan.count and launch.statement.parent is loop["body"]:
        message = f"{plan.name} counts {plan.count} goroutines in every round, which launches one"
        return _moved(plan, launch, message, launch.node)
    return None


def _straight(plan: _Plan) -> Finding | None:
    """Find a number that is not that of the launches beside it."""
    add = plan.add
    statement = add.call.statement
    written = _number(plan)
    if statement is None or written is None or innermost_loop(add.call) is not None:
        return None
    if any(launch.node.start < add.call.start for launch in plan.launches):
        return None
    if any(launch.statement.parent is not statement.parent for launch in plan.launches):
        return _optional(plan, written)
    flow = flow_of(plan.function)
    point = flow.point_of(add.call)
    last = flow.point_of(plan.launches[-1].node)
    if point is None or last is None or not flow.postdominates(last, point):
        return None
    number = len(plan.launches)
    if written == number:
        return None
    count = add.count
    assert count is not None
    message = f"{plan.name} counts {written} goroutines, but {number} call Done"
    edit = Edit(count.path, count.start, count.end, str(number).encode())
    fix = Fix(f"Count {number}", (edit,), Safety.UNSAFE, _WHY)
    return _finding(plan, message, plan.launches[-1].node, fix, "")


def _optional(plan: _Plan, written: int) -> Finding | None:
    """Find a number that counts a launch which an `if` may leave out."""
    block = plan.add.call.statement.parent if plan.add.call.statement is not None else None
    held = [_branch(launch, block) for launch in plan.launches]
    left_out = [h for h in held if h is not None]
    if block is None or written != len(plan.launches) or not left_out:
        return None
    if any(
        h is None and x.statement.parent is not block
        for h, x in zip(held, plan.launches, strict=True)
    ):
        return None
    if any(n.kind in _JUMPS for h in left_out for n in h.own()):
        return None
    message = f"{plan.name} counts {written} goroutines, but not each of them is always launched"
    finding = _moved(plan, plan.launches[0], message, left_out[0])
    if not finding.fixes:
        return finding
    edits = list(finding.fixes[0].edits)
    try:
        for launch in plan.launches[1:]:
            edits.extend(insert_before(launch.statement, f"{plan.name}.Add(1)"))
    except BuilderError as error:
        return _finding(plan, message, left_out[0], None, str(error))
    title = f"Count with {plan.name}.Add(1) at each launch"
    fix = Fix(title, tuple(edits), Safety.UNSAFE, _WHY)
    return _finding(plan, message, left_out[0], fix, "")


_JUMPS = frozenset({"return_statement", "goto_statement", "break_statement", "continue_statement"})


def _branch(launch: _Start, block: Node | None) -> Node | None:
    """Return the `if` without an else in a block, whose consequence launches."""
    inside = launch.statement.parent
    branch = inside.parent if inside is not None else None
    if branch is None or branch.kind != "if_statement" or branch.parent is not block:
        return None
    return branch if inside is branch["consequence"] and not branch.get("alternative") else None


def _number(plan: _Plan) -> int | None:
    """Return the count that is written down, or given by a constant of the package."""
    if plan.count.isdecimal():
        return int(plan.count)
    count = plan.add.count
    decl = plan.file.resolve(count) if count is not None and count.kind == "identifier" else None
    if not is_decl(decl, "const"):
        return None
    values = decl.node.get("value")
    value = values.children[decl.index] if values and decl.index < len(values.children) else None
    return int(value.name) if value is not None and value.name.isdecimal() else None


_WHY = "Wait waits for another number of goroutines than before"


def _moved(plan: _Plan, launch: _Start, message: str, because: Node) -> Finding:
    """Count each goroutine right before its launch."""
    statement = plan.add.call.parent
    name = plan.name
    if statement is None:
        return _finding(plan, message, because, None, "the call is part of another statement")
    edits: list[Edit] = []
    try:
        edits.extend(delete(statement))
        edits.extend(insert_before(launch.statement, f"{name}.Add(1)"))
    except BuilderError as error:
        return _finding(plan, message, because, None, str(error))
    fix = Fix(f"Move {name}.Add(1) to the launch", tuple(edits), Safety.UNSAFE, _WHY)
    return _finding(plan, message, because, fix, "")


def _finding(plan: _Plan, message: str, because: Node, fix: Fix | None, reason: str) -> Finding:
    call = plan.add.call
    return Finding(
        path=call.path,
        start=call.start,
        end=call.end,
        message=message,
        fixes=(fix,) if fix else (),
        related=(Related(because.path, because.start, because.end, "because of this"),),
        reason=reason,
    )
