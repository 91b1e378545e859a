"""Move WaitGroup.Add out of the goroutine that it counts

The goroutine may not have run yet when the launching function reaches `wg.Wait()`: the
counter is still zero, Wait returns at once, and the program goes on (or ends) without the
goroutine's work. Whether that happens is up to the scheduler, so tests rarely see it.
`wg.Add` belongs right before the `go` statement, in the goroutine that will wait. Below it the
Done may come first, which panics.

Not reported: an Add that pays for a goroutine launched further down in the same body; an
Add on a WaitGroup that the goroutine itself declares; a goroutine that was already counted
before its launch, or whose launcher waits until it has counted itself; an Add below the launch
of a goroutine that waits for something.

Without a fix: a function that is also called without `go`, and a count that only the
goroutine knows.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import Access
from threadmend.golang.builders import (
    BuilderError,
    delete_calls,
    insert_at_start,
    insert_before,
    with_reason,
)
from threadmend.golang.calls import callers
from threadmend.golang.count_helpers import HelpedCall, count_call, count_calls, said
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.functions import call_of
from threadmend.golang.goroutines import (
    Launch,
    innermost_loop,
    launch_of_literal,
    launch_sites,
    launches,
    launches_in,
)
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.translate import at_launch
from threadmend.golang.waitgroups import WaitGroupCall
from threadmend.model import Edit, Finding, Fix, Related

from ._counted_too_late import counted_too_late

CATEGORY = "waitgroup"
ALSO = "govet staticcheck SA2000"
GATE = rb"\.Add\(|(?i:add|begin|start|enter|track|acquir|inc|count|open|regist|hold|join)\w*\(\)"


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the Adds that run in the goroutine which they pay for."""
    seen: set[int] = set()
    for launch in _launches_into(file):
        body = launch.body
        if not launch.uncounted or body is None or not (launch.call or launch.literal):
            continue
        for add in _own_adds(file, launch, body):
            if add.call.start not in seen:
                seen.add(add.call.start)
                yield _finding(file, launch, body, add)
    yield from counted_too_late(file)


def _launches_into(file: GoFile) -> Iterator[Launch]:
    """Yield the launches of this file's functions, those in the package's other files last."""
    for launch in launches(file):
        if launch.body is not None and launch.body.path == file.path:
            yield launch
    for sites in launch_sites(file.package).values():
        body = sites[0].body
        if body is None or body.path != file.path:
            continue
        for site in sites:
            where = file.package.workspace.file_of(site.node)
            if where is not file and (file.is_test or not where.is_test):
                yield site


def _own_adds(file: GoFile, launch: Launch, body: Node) -> Iterator[WaitGroupCall]:
    calls = list(count_calls(file, body))
    for add in calls:
        if (
            add.method != "Add"
            or _named(add) is None
            or add.access is None
            or add.deferred is not None
        ):
            continue
        if _named(add) is None or _declared_inside(add.access, body):
            continue
        if not any(c.method == "Done" and c.access == add.access for c in calls):
            continue
        if add.call.function is not body or _pays_for_a_child(file, body, add):
            continue
        if _counts_a_round(add, calls):
            continue
        if _counted_before(file, launch, body, add) or _is_awaited(launch, body, add):
            continue
        yield add


def _counts_a_round(add: WaitGroupCall, calls: list[WaitGroupCall]) -> bool:
    """Return whether a loop counts each of its rounds: `wg.Add(1); work(); wg.Done()`."""
    loop = innermost_loop(add.call)
    return loop is not None and any(
        c.method == "Done"
        and c.access == add.access
        and c.deferred is None
        and innermost_loop(c.call) is loop
        for c in calls
    )


def _declared_inside(access: Access, body: Node) -> bool:
    root = access.root
    if not isinstance(root, Binding) or not body.contains(root.node):
        return False
    return root.kind not in {"parameter", "receiver"} or root.scope is not body


def _pays_for_a_child(file: GoFile, body: Node, add: WaitGroupCall) -> bool:
    """Return whether a goroutine that the body launches calls Done on the WaitGroup."""
    for child in launches_in(file, body):
        if child.node is body or child.node.start < add.call.start:
            continue
        if child.kind == "waitgroup" or child.body is body:
            continue  # it counts itself, as this body does
        if _has_its_own(file, body, add, child):
            continue
        if child.literal is None:
            # What it runs gets the WaitGroup: it may be the one that is counted.
            if child.call is None or _mentions(child.call, add.access):
                return True
            if child.decl is not None and child.decl.kind == "method":
                return True
        elif any(
            c.method == "Done" and c.access == add.access for c in count_calls(file, child.literal)
        ):
            return True
    return False


def _has_its_own(file: GoFile, body: Node, add: WaitGroupCall, child: Launch) -> bool:
    """Return whether another `Add(1)` pays for a child: the one right above its launch.

    And the one that is asked about pays for the `defer wg.Done()` right below it.
    """
    own = add.call.parent.next if add.call.parent is not None else None
    if own is None or own.text != b"defer " + add.waitgroup.text + b".Done()":
        return False
    above = child.statement.previous
    return any(
        other.call.parent is above and other.call is not add.call and other.access == add.access
        for other in count_calls(file, body)
        if other.method == "Add" and _is_one(other)
    )


def _mentions(node: Node, access: Access | None) -> bool:
    name = access.root.name if access and isinstance(access.root, Binding) else ""
    return any(n.kind == "identifier" and n.name == name for n in node.walk())


def _counted_before(file: GoFile, launch: Launch, body: Node, add: WaitGroupCall) -> bool:
    """Return whether the launching function adds to the WaitGroup before the launch."""
    function = launch.function
    if function is None:
        return False
    named = _named(add)
    outer = at_launch(launch.call or launch.node, body, named) if named is not None else None
    if outer is None:
        return False
    where = file.package.workspace.file_of(function)
    for other in count_calls(where, function):
        if other.method == "Add" and other.call.start < launch.node.start:
            if _counts_another(where, other, launch):
                continue
            theirs = _named(other)
            if theirs is not None and theirs.text == outer.encode():
                return True
            if other.access == add.access:
                return True
    return False


def _is_awaited(launch: Launch, body: Node, add: WaitGroupCall) -> bool:
    """Return whether the launcher goes on when the goroutine has told that it counts itself.

    `go c.run(); <-c.started`, where run sends on c.started, or closes it, behind its Add.
    """
    statement = launch.statement
    after = statement.next if statement is not None else None
    receive = after.children[0] if after is not None and after.children else None
    if after is None or after.kind != "expression_statement" or receive is None:
        return False
    if receive.kind != "unary_expression" or receive["operator"].kind != "<-":
        return False
    for node in body.own():
        if node.start < add.call.end or node.up("defer_statement") is not None:
            continue
        told = node.get("channel") if node.kind == "send_statement" else None
        if node.kind == "call_expression" and node["function"].text == b"close":
            told = next(iter(node["arguments"].children), None)
        if told is not None and told.function is body:
            inside = launch.literal is not None
            said = told.name if inside else at_launch(launch.call, body, told)
            if said == receive["operand"].name:
                return True
    return False


def _counts_another(file: GoFile, add: WaitGroupCall, launch: Launch) -> bool:
    """Return whether an `Add(1)` counts the other goroutine that is launched right below it."""
    statement = add.call.parent
    below = statement.next if statement is not None else None
    if below is None or below.kind != "go_statement" or below is launch.node:
        return False
    other = launch_of_literal(file, below)
    if other is None or other.literal is None or not _is_one(add):
        return False
    calls = count_calls(file, other.literal)
    return any(c.method == "Done" and c.access == add.access for c in calls)


def _finding(file: GoFile, launch: Launch, body: Node, add: WaitGroupCall) -> Finding:
    name = said(add)
    fix, reason = _fix(file, launch, body, add)
    return Finding(
        path=file.path,
        start=add.call.start,
        end=add.call.end,
        message=f"{name} is called inside the goroutine it counts",
        fixes=(fix,) if fix else (),
        related=(Related(launch.node.path, launch.node.start, launch.node.end, "launched here"),),
        reason=reason,
    )


@with_reason
def _fix(file: GoFile, launch: Launch, body: Node, add: WaitGroupCall) -> Fix:
    """Move the Add before every launch.

    Sound: Add then happens before the goroutine starts, hence before its Done; the counter
    was zero or positive there before, so Add cannot panic; Wait can only wait for longer.
    """
    statement = add.call.parent
    if statement is None or statement.kind != "expression_statement":
        raise BuilderError("the call is part of another statement")
    sites = _all_launches(file, launch, body)
    if sites is None:
        raise BuilderError("the function is also used other than by a go statement")
    edits: list[Edit] = []
    for site in sites:
        code = _code_at(site, body, add)
        if code is None:
            raise BuilderError("the count is only known inside the goroutine")
        edits.extend(insert_before(site.statement, code))
    done = _done_to_lead(file, body, statement, add)
    if done is False:
        raise BuilderError("the goroutine may end before the Add, and its Done stands elsewhere")
    if not isinstance(done, Node):
        edits.extend(delete_calls([statement]))
    else:
        block = body["body"]
        edits.extend(delete_calls([statement, done], done.name))
        edits.extend(insert_at_start(block, done.name))
    return Fix(f"Move {said(add)} before the go statement", tuple(edits))


def _all_launches(file: GoFile, launch: Launch, body: Node) -> list[Launch] | None:
    """Return every launch of the body, None when it is used in another way too."""
    if launch.node.contains(body):
        return [launch]
    calls: list[Node | None]
    if launch.decl is not None:
        calls = [site.call if site.launched else None for site in callers(launch.decl)]
    else:
        name = launch.call["function"] if launch.call else None
        binding = file.binding(name)
        uses = binding.uses if binding else []
        calls = [_launched_call(use) for use in uses if binding and use is not binding.node]
    found = []
    for call in calls:
        if call is None or call.parent is None:
            return None
        found.append(Launch("go", call.parent, call, body, launch.decl))
    return found or None


def _launched_call(name: Node) -> Node | None:
    call = call_of(name)
    above = call.parent if call is not None else None
    return call if above is not None and above.kind == "go_statement" else None


def _done_to_lead(file: GoFile, body: Node, statement: Node, add: WaitGroupCall) -> Node | bool:
    """Return what has to happen to Done when Add no longer stands where it stood.

    True: nothing, every path passes the Add. A `defer wg.Done()`: it becomes the first
    statement, because paths leave before it. False: neither can be shown.
    """
    flow = flow_of(body)
    point = flow.point_of(statement)
    if point is None or not flow.complete:
        return False
    if not flow.exits_from(flow.entry, stop=lambda p: p is point) and not flow.in_loop(point):
        return True
    after = statement.next
    if after is None or after.kind != "defer_statement" or flow.in_loop(point):
        return False
    if statement.parent is not body["body"]:
        return False
    call = after.children[-1]
    done = count_call(file, call) if call.kind == "call_expression" else None
    if done is not None and done.method == "Done" and done.access == add.access:
        root = add.access.root if add.access else None
        inside = isinstance(root, Binding) and root.scope is not body and body.contains(root.node)
        return False if inside else after
    return False


def _code_at(site: Launch, body: Node, add: WaitGroupCall) -> str | None:
    """Return the Add as it reads at a launch, None when it cannot be said there."""
    call, named = site.call or site.node, _named(add)
    if named is None:
        return None
    waitgroup = at_launch(call, body, named)
    if waitgroup is None:
        return None
    if isinstance(add, HelpedCall):
        return f"{waitgroup}.{add.call['function']['field'].name}()"
    number = at_launch(call, body, add.count) if add.count is not None else None
    return f"{waitgroup}.Add({number})" if number is not None else None


def _named(operation: WaitGroupCall) -> Node | None:
    """Return what stands before the method: the WaitGroup, or the object that a helper is of."""
    if isinstance(operation, HelpedCall):
        return operation.call["function"].get("operand")
    return operation.waitgroup


def _is_one(add: WaitGroupCall) -> bool:
    """Return whether an Add counts one goroutine; a helper does."""
    if isinstance(add, HelpedCall):
        return True
    return add.count is not None and add.count.text == b"1"
