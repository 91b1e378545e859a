"""Wait for goroutines with a WaitGroup, not by sleeping

`time.Sleep` after a launch hopes that the goroutine has ended by then. On a loaded machine it
has not, and what it should have done is missing; on an idle one the time is wasted.
`wg.Wait()` returns when the last goroutine has ended, neither before nor after. So do launches by
a function that only this caller calls: it waits for them itself then.

Not reported: functions that also wait by other means; goroutines that go on for ever, block,
or whose code is not visible; launches that an `if` decides on; a Sleep that is not right behind
the launches; loops that sleep; what comes after it having nothing to do with the goroutines; a
comment that says that they shall have started.

Unsafe: Wait takes as long as the goroutines do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import (
    BuilderError,
    free_name,
    insert_before,
    package_name,
    taken_names,
    with_reason,
)
from threadmend.golang.file import GoFile
from threadmend.golang.functions import remarks_beside
from threadmend.golang.goroutines import Launch, captures, innermost_loop, launches_in
from threadmend.golang.locks import LOCK_CALLS, locks_of
from threadmend.golang.scope import resolve_local
from threadmend.golang.syntax import Node
from threadmend.golang.targets import targets
from threadmend.golang.types import Chan
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._counted import counted_launch
from ._instead_of_sleep import replaced_sleep, sync_for_time
from ._sleep_behind_helper import helper_above

CATEGORY = "select"
GATE = rb"\btime\.Sleep\("

_WAITS = re.compile(rb"<-|\bselect\b|\bchan\b|\.Wait\(|WaitGroup|errgroup|\.Eventually|sync\.Cond")
_GOES_ON = re.compile(
    rb"<-|\bselect\b|\bfor\s*\{|\bfor true\b|\.Wait\(|range \w*[cC]h(an)?\b|\bcancel\w*\("
    rb"|range [\w.]*(?:Tick\(|\.C\b)"
)
_SERVES = re.compile(
    r"Listen\w*|Serve\w*|Accept\w*|Run|Start\w*|Watch\w*|Subscribe\w*|Recv\w*|Read\w*|Poll\w*"
    r"|Dial\w*|Connect\w*|Loop|Block\w*|Stop|Close|Shutdown|Exec|Do|Query\w*|Fetch\w*|Wait\w*"
)
_UNLOCK = re.compile(rb"[\w.]+\.R?Unlock\(\)")
_SETTLED = re.compile(rb"(?:fmt\.Print\w*|log\.Print\w*|println|print)\(")
_STARTS = re.compile(
    rb"(?i)\b(?:to|actually|potentially|has|have|is|are) (?:\w+ )?"
    rb"(?:start|begin|begun|launch|get going)"
)


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the sleeps that stand where a Wait should."""
    for call in file.calls("Sleep"):
        function, statement = call.function, call.parent
        operand = call["function"].get("operand")
        if operand is None or function is None or file.imported(operand.name) != "time":
            continue
        if function.kind == "function_declaration" and function["name"].name == "init":
            continue  # what a package starts for the whole program: it waits for the start
        if statement is None or statement.kind != "expression_statement":
            continue
        if innermost_loop(call) is not None or _WAITS.search(function.text):
            continue
        launches = _launches(file, function, statement)
        if not launches:
            yield from _behind_helper(file, function, call, statement)
        if not launches or not all(_ends(file, launch) for launch in launches):
            continue
        if _may_hold(file, function, call) and _locks(file, launches):
            continue  # it may hold what they wait for
        if any(_STARTS.search(remark) for remark in remarks_beside(call)):
            continue  # it is not the end that is waited for
        if _matters(file, launches, statement):
            yield _finding(file, call, statement, launches)


def _behind_helper(file: GoFile, function: Node, call: Node, statement: Node) -> Iterator[Finding]:
    """Yield the Sleep behind a helper that launches what comes to its end by itself."""
    helper = helper_above(file, function, statement)
    if helper is None or _WAITS.search(helper.decl.node.text):
        return
    own = helper.decl.file
    if any(_STARTS.search(remark) for remark in remarks_beside(call)):
        return
    if not all(_ends(own, launch) for launch in helper.launches) or _may_hold(file, function, call):
        return
    if any(_goes_on_below(file, literal["body"], _DEPTH, set()) for literal in helper.given):
        return
    if helper.matters(statement):
        fix, reason = with_reason(helper.fix)(file, statement)
        yield Finding(
            path=file.path,
            start=call.start,
            end=call.end,
            message=f"what {helper.decl.name} launches may not have ended when the sleep is over",
            fixes=(fix,) if fix else (),
            related=tuple(
                Related(x.node.path, x.node.start, x.node.end, "launched here")
                for x in helper.launches
            ),
            reason=reason,
            confidence=Confidence.MEDIUM,
        )


def _may_hold(file: GoFile, function: Node, call: Node) -> bool:
    """Return whether the function may hold a lock while it sleeps."""
    own = (n for n in function.own() if n.kind == "call_expression" and n.end <= call.start)
    taken = [n for n in own if LOCK_CALLS.search(n.text) and b"{" not in n.text]
    if not taken:
        return False
    statement = call.statement
    released = statement.previous if statement is not None else None
    if released is None or not _UNLOCK.fullmatch(released.text) or len(taken) != 2:
        return True
    return any(o.deferred is not None for o in locks_of(file, function).operations[:2])


def _launches(file: GoFile, function: Node, sleep: Node) -> list[Launch]:
    """Return the launches right above a Sleep, when the function has no other ones."""
    run: list[Node] = []
    before = sleep.previous
    if before is not None and _UNLOCK.fullmatch(before.text):
        before = before.previous
    found = [
        launch
        for launch in launches_in(file, function)
        if launch.kind != "timer" or launch.function is function
    ]
    while before is not None and any(before.contains(x.node) for x in found):
        run.append(before)
        before = before.previous
    mine = [x for x in found if any(r.contains(x.node) for r in run)]
    if len(mine) != len(found) or not all(x.uncounted for x in mine):
        return []
    if all(_is_optional(x, sleep) for x in mine):
        return []
    return mine if all(x.function is function for x in mine) else []


def _is_optional(launch: Launch, sleep: Node) -> bool:
    """Return whether an `if` decides on the launch, and the Sleep comes either way."""
    return any(a.kind == "if_statement" and not a.contains(sleep) for a in launch.node.ancestors())


def _ends(file: GoFile, launch: Launch) -> bool:
    """Return whether all of a goroutine's code is visible and comes to its end by itself."""
    body = launch.body
    if body is None or any(n.kind == "send_statement" for n in body.walk()):
        return False
    return not _goes_on_below(file, body, _DEPTH, set())


_DEPTH = 4


def _goes_on_below(file: GoFile, body: Node, depth: int, seen: set[Node]) -> bool:
    """Return whether code may go on for ever, or what it calls, levels down."""
    seen.add(body)
    if _goes_on(file, body):
        return True
    return depth > 0 and any(
        _goes_on_below(called.file, called.node, depth - 1, seen)
        for node in body.find("call_expression")
        for called in targets(file, node).bodies
        if called.node not in seen
    )


def _goes_on(file: GoFile, body: Node) -> bool:
    """Return whether code may wait, or serve for ever, as a method named Run does.

    A function in a field (`check.Run()`) is somebody's callback, whatever its name.
    """
    if _GOES_ON.search(body.text) or any(_is_over_channel(file, n) for n in body.walk()):
        return True
    for call in body.find("call_expression"):
        function = call["function"]
        if function.kind != "selector_expression" or not _SERVES.fullmatch(function["field"].name):
            continue
        selection = file.selection(function)
        if selection is None or selection.kind != "field":
            return True
    return False


def _is_over_channel(file: GoFile, node: Node) -> bool:
    """Return whether a loop receives until somebody closes the channel."""
    if node.kind != "range_clause":
        return False
    return isinstance(file.underlying(file.type_of(node["right"])), Chan)


def _locks(file: GoFile, launches: list[Launch]) -> bool:
    """Return whether a goroutine takes a lock, in what it calls too."""
    for launch in launches:
        assert launch.body is not None
        texts = [launch.body.text]
        for node in launch.body.walk():
            if node.kind == "call_expression":
                texts += [called.node.text for called in targets(file, node).bodies]
        if any(LOCK_CALLS.search(text) for text in texts):
            return True
    return False


def _matters(file: GoFile, launches: list[Launch], sleep: Node) -> bool:
    """Return whether what follows the Sleep needs the goroutines to have ended."""
    after = sleep.next
    if after is None:
        function = sleep.function
        return function is not None and sleep.parent is function.get("body")
    shared: set[object] = set()
    for launch in launches:
        root = launch.literal if launch.literal is not None else launch.node
        shared |= {b for b in captures(root) if b.kind != "parameter" or b.name != "t"}
        for call in root.find("call_expression"):
            for called in targets(file, call).bodies:
                if called.node.kind == "func_literal":
                    shared |= set(captures(called.node))
    only_prints = True
    while after is not None:
        if not _SETTLED.match(after.text):
            only_prints = False
        for node in after.walk():
            if node.kind == "identifier" and resolve_local(node) in shared:
                return True
        after = after.next
    return only_prints


def _finding(file: GoFile, call: Node, statement: Node, launches: list[Launch]) -> Finding:
    fix, reason = _fix(file, statement, launches)
    word = "goroutine" if len(launches) == 1 and launches[0].loop is None else "goroutines"
    return Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=f"the {word} may not have ended when the sleep is over",
        fixes=(fix,) if fix else (),
        related=tuple(
            Related(x.node.path, x.node.start, x.node.end, "launched here") for x in launches
        ),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


@with_reason
def _fix(file: GoFile, sleep: Node, launches: list[Launch]) -> Fix:
    """Count the goroutines and wait for them where the Sleep was."""
    function = sleep.function
    if function is None:
        raise BuilderError("the call stands outside of a function")
    name = free_name("wg", taken_names(function))
    package = package_name(file.tree, "sync")
    first = sleep
    if first.previous is not None and _UNLOCK.fullmatch(first.previous.text):
        first = first.previous
    while first.previous is not None and any(first.previous.contains(x.node) for x in launches):
        first = first.previous
    direct = any(launch.statement is first for launch in launches)
    declared = f"var {name} {package}.WaitGroup"
    edits: list[Edit] = []
    for launch in launches:
        add = f"{name}.Add(1)"
        if launch.statement is first:
            add = f"{declared}\n{add}"
        edits.extend(insert_before(launch.statement, add))
        counted = counted_launch(file, launch, name)
        if counted is None:
            raise BuilderError("an argument of the launch would be evaluated later")
        edits.extend(counted)
    if not direct:
        edits.extend(insert_before(first, declared))
    edits.extend(replaced_sleep(sleep, f"{name}.Wait()"))
    edits.extend(sync_for_time(file, sleep))
    title = f"Wait with a WaitGroup {name} instead of sleeping"
    return Fix(title, tuple(edits), Safety.UNSAFE, "Wait takes as long as the goroutines do")
