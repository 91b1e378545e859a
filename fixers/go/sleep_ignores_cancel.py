"""Let a sleeping loop wake up when its context ends

A retry or polling loop that sleeps does not look at its context meanwhile: whoever cancels
waits for the rest of the sleep (with a back-off of a minute, a minute), a shutdown runs into
its deadline, and a retry is made whose result nobody wants. A timer in a select with the
context (or the stop channel) waits as long, and ends at once when it should.

`<-time.After(d)` as a statement is a sleep as well, and so is the call of a field that only ever
holds `time.Sleep`, in tests too: the field goes then.

Not reported:
- a sleep outside of a loop, or after which the loop is left, or of a constant under a
  millisecond;
- a loop over a channel, where the sleep paces what is received;
- a function that no context and no stop channel reaches;
- a sleep after the branch for contexts that can be cancelled (`if ctx.Done() != nil { … }`);
- a goroutine that nobody waits for and that gives up after a time of its own;
- a sleep that a fail point injects for a test.

Hints: tests and what helps them; short sleeps of loops that look at a context or a flag; a sleep
amid a round, which goes on with what it has taken; rounds that each owe a Done.

Unsafe: the function now returns early, with the context's error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.ambient import CLEANUP
from threadmend.golang.builders import BuilderError, package_name, with_reason
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.infer import is_decl
from threadmend.golang.leaving import leave_at, owed_by_rounds
from threadmend.golang.runners import only_launches
from threadmend.golang.scope import resolve_local
from threadmend.golang.sole_values import SoleValue
from threadmend.golang.stops import Stop, contexts_at, listens, stops_at
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import Chan
from threadmend.model import Confidence, Finding, Fix, Safety

from ._in_hand import in_hand
from ._kept_sleep import kept_sleeps, without_field
from ._pause_of_object import paused_by_object
from ._pause_with_error import paused_with_error
from ._sleeps_within import Pause, paused
from ._stop_cases import takes_until_closed
from ._tickers import is_time_call
from ._timer_wait import wait_on_timer

CATEGORY = "goroutine"
# The field that holds `time.Sleep` may be set up in another file.
GATE = rb"\.Sleep\b|\btime\.After\(|\.(?:sleep|pause|wait|delay)\w*\("

_SHORT = re.compile(r"(?:\d+ ?\* ?)?time\.(?:Micro|Nano)second(?: ?\* ?\d+)?|\d{1,6}")
_ASKED = re.compile(
    rb"\bif (?:(\w+) := )?[\w.]+\.Done\(\)(?:; \1)? != nil\b"
    rb"|\b(\w+) := [\w.]+\.Done\(\)\s(?s:.*)\bif (?:(\w+) := \2; \3|\2) != nil\b"
)


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the sleeps in loops during which a context or stop channel goes unheard."""
    for call in file.calls("Sleep", "After"):
        statement = call.parent
        if statement is not None and call["function"].text.endswith(b"After"):
            statement = _received(statement)
        if statement is None or statement.kind != "expression_statement":
            continue
        if statement.field in {"initializer", "update"}:
            continue  # `for ; !done(); time.Sleep(pause) {}`: no place for a select
        loop = innermost_loop(call)
        if loop is None and is_time_call(file, call):
            ways = (paused, paused_by_object, paused_with_error)
            pauses = next(filter(None, ([*way(file, call)] for way in ways)), [])
            if all(map(_counts, pauses)):  # the fix is for all of them
                yield from map(_paused, pauses[:1])
        if is_time_call(file, call):
            yield from _slept(file, call, loop)
    for call, sole in kept_sleeps(file):
        if call.parent is not None and call.parent.kind == "expression_statement":
            yield from _slept(file, call, innermost_loop(call), sole)


def _slept(
    file: GoFile, call: Node, loop: Node | None, sole: SoleValue | None = None
) -> Iterator[Finding]:
    """Yield the finding for a sleep in a loop that ignores what could end it."""
    if loop is None or _is_no_wait(file, call, loop) or _is_injected(call):
        return
    if _SHORT.fullmatch(_spelt_out(file, call["arguments"].children[0])):
        return
    stops = (s for s in stops_at(file, call) if _is_ours(call, s) and not _ends(call, s))
    stop = next((s for s in stops if not _made_in(loop, call, s)), None)
    if stop is not None:
        yield _finding(file, call, loop, stop, sole)


def _is_no_wait(file: GoFile, call: Node, loop: Node) -> bool:
    """Return whether a loop that sleeps in a call need not hear of an end in that time."""
    return (
        _over_channel(file, loop)
        or not _comes_again(call)
        or _is_left_alone(file, loop)
        or _ASKED.search(loop.tree.data, _beginning(loop), call.start) is not None
    )


def _beginning(loop: Node) -> int:
    """Return where the block of a loop begins, which may name what the rounds ask."""
    return loop.parent.start if loop.parent is not None else loop.start


def _counts(pause: Pause) -> bool:
    """Return whether a loop that sleeps in a function of its own should hear of its end."""
    if _is_no_wait(pause.file, pause.call, pause.loop):
        return False
    return not _SHORT.fullmatch(pause.duration) and not _made_in(pause.loop, pause.call, pause.stop)


def _ends(call: Node, stop: Stop) -> bool:
    """Return whether a function that ends an object waits for that: its stop is ready by then."""
    top = call.tree.declaration_at(call.start)
    name = top.node.get("name") if top is not None else None
    return (
        "." in stop.receive.removesuffix(".Done()")
        and name is not None
        and (CLEANUP.search(name.name) is not None)
    )


def _comes_again(call: Node) -> bool:
    """Return whether the loop may come to a sleep again: it is not left after every sleep."""
    flow = flow_of(call.function) if call.function is not None else None
    point = flow.point_of(call) if flow is not None else None
    return flow is None or point is None or point in flow.reachable(point)


_INJECTED = re.compile(rb"(?i)fail_?point")


def _is_injected(call: Node) -> bool:
    """Return whether a fail point, which a test switches on, decides that somebody sleeps.

    `if v, err := EvalFailpoint("slow"); err == nil { time.Sleep(…) }`
    """
    for outer in call.ancestors():
        if outer.kind in FUNCTIONS:
            break
        if outer.kind == "if_statement":
            asked = (outer.get("initializer"), outer["condition"])
            if any(_INJECTED.search(a.text) for a in asked if a is not None):
                return True
    return False


def _received(receive: Node) -> Node | None:
    """Return the statement that a receive is, when it is no case of a select: a sleep."""
    statement = receive.parent if receive.kind == "unary_expression" else None
    if statement is None or statement.field == "communication":
        return None
    return statement


def _paused(pause: Pause) -> Finding:
    return Finding(
        path=pause.call.path,
        start=pause.call.start,
        end=pause.call.end,
        message=f"the loop sleeps in this call without listening to {pause.stop.receive}",
        fixes=(pause.fix,) if isinstance(pause.fix, Fix) else (),
        reason=pause.fix if isinstance(pause.fix, str) else "",
        confidence=Confidence.MEDIUM,
    )


def _over_channel(file: GoFile, loop: Node) -> bool:
    clause = next((c for c in loop.children if c.kind == "range_clause"), None)
    if clause is None:
        return takes_until_closed(file, loop)
    return isinstance(file.underlying(file.type_of(clause["right"])), Chan)


_LEAVES = ("return_statement", "break_statement")


def _is_left_alone(file: GoFile, loop: Node) -> bool:
    """Return whether a goroutine that nobody waits for retries until its own time is over.

    `go func() { for !release() { time.Sleep(pause); if time.Since(start) > limit { return } } }()`
    """
    body = loop.function
    if body is None or innermost_loop(loop) is not None or body["body"].statements[-1] is not loop:
        return False
    launches = only_launches(file, body)
    if not launches or not all(x.uncounted for x in launches):
        return False
    return any(
        b"time.Since(" in test["condition"].text and any(True for _ in test.find(*_LEAVES))
        for test in loop.find("if_statement")
    )


def _is_ours(call: Node, stop: Stop) -> bool:
    """Return whether a stop is a context, a local channel or one of the receiver's."""
    owner, dot, _ = stop.receive.partition(".")
    if stop.context or not dot:
        return True
    top = call.tree.declaration_at(call.start)
    receiver = top.node.get("receiver") if top is not None else None
    return receiver is not None and any(n.name == owner for n in receiver.find("identifier"))


def _made_in(loop: Node, call: Node, stop: Stop) -> bool:
    """Return whether the stop is made anew in each iteration: a context of one attempt.

    Or whenever somebody cancelled the last: `if ctx == nil { ctx, cancel = …WithCancel(s.ctx) }`.
    Or that of an object which each iteration gets anew: `if conn, err = dial(); err == nil {`.
    """
    name = rb"\b" + re.escape(stop.receive.partition(".")[0].encode()) + rb"\b[\w, ]*"
    made = re.compile(name + rb":=")
    if made.search(loop.tree.data, loop.start, call.start) is not None:
        return True
    owner, dot, _ = stop.receive.removesuffix(".Done()").partition(".")
    got = re.compile(rb"\b" + re.escape(owner.encode()) + rb"(?:, ?\w+)* = ")
    if dot and got.search(loop.tree.data, loop.start, loop.end) is not None:
        return True
    anew = re.compile(name + rb"=\s*context\.With(?:Cancel|Timeout|Deadline)")
    return bool(stop.context) and anew.search(loop.tree.data, loop.start, loop.end) is not None


def _finding(file: GoFile, call: Node, loop: Node, stop: Stop, sole: SoleValue | None) -> Finding:
    fix, reason = _fix(file, call, loop, stop, sole)
    return Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=f"the loop sleeps without listening to {stop.receive}",
        fixes=(fix,) if fix is not None else (),
        reason=reason,
        confidence=_confidence(file, call, loop, stop),
    )


def _confidence(file: GoFile, call: Node, loop: Node, stop: Stop) -> Confidence:
    """Return low where the sleep is short and the loop looks at a context by itself, or is soon
    over.
    """
    length = _milliseconds(_spelt_out(file, call["arguments"].children[0]))
    if file.is_test_file or length <= _SHORTEST or _supports_tests(file):
        return Confidence.LOW
    contexts = {*contexts_at(file, call), stop.context} - {""}
    outer = [o for o in (loop, *loop.ancestors()) if o.kind == "for_statement"]
    outer = [o for o in outer if o.function is loop.function]
    looks = any(listens(file, o) for o in outer) or any(
        f"{context}.Err()" in loop.name for context in contexts
    )
    looks = looks or _asks_flag(loop)
    if (looks and length <= 100) or owed_by_rounds(loop) is not None or in_hand(call, loop):
        return Confidence.LOW
    return Confidence.MEDIUM if looks else Confidence.HIGH


_SHORTEST = 10  # milliseconds for which nobody minds to wait

_TESTING = re.compile(
    rb'"(?:testing|github\.com/(?:stretchr/testify|onsi)/\w+|gopkg\.in/check\.v\d)"'
)


def _supports_tests(file: GoFile) -> bool:
    """Return whether a file that is no `_test.go` file helps tests."""
    return file.holds(_TESTING)


def _asks_flag(loop: Node) -> bool:
    """Return whether each round asks an atomic flag of its own: `for !s.stopped.Load() {`."""
    return _LOADS.search(loop.tree.data, loop.start, loop["body"].start) is not None


_LOADS = re.compile(rb"\.Load\w*\(")


def _spelt_out(file: GoFile, duration: Node) -> str:
    """Return a duration, that of a constant when it is the name of one."""
    binding = resolve_local(duration) if duration.kind == "identifier" else None
    meant = file.resolve(duration) if duration.kind == "identifier" and binding is None else None
    if is_decl(meant, "const"):
        given = meant.node.get("value")
        if given is not None and meant.index < len(given.children):
            return given.children[meant.index].name
    spec = binding.declaration if binding is not None else None
    values = spec.get("value") if spec is not None and spec.kind == "const_spec" else None
    if binding is None or values is None or binding.index >= len(values.children):
        return duration.name
    return values.children[binding.index].name


_AMOUNT = re.compile(r"(?:(\d+) ?\* ?)?time\.(Millisecond|Second)(?: ?\* ?(\d+))?")


def _milliseconds(duration: str) -> int:
    """Return a constant duration in milliseconds, a large number when it is not constant."""
    found = _AMOUNT.fullmatch(duration)
    if found is None:
        return 1 << 30
    unit = 1000 if found[2] == "Second" else 1
    return unit * int(found[1] or 1) * int(found[3] or 1)


@with_reason
def _fix(file: GoFile, call: Node, loop: Node, stop: Stop, sole: SoleValue | None) -> Fix:
    """Wait on a timer and the stop together.

    Sound: nothing of the loop's body runs that did not run before, and where the function
    still owes something to others it is not left; nor where the round goes on with what it has
    taken: only the pause ends there, and the loop's own look at the context ends the loop.
    """
    title = f"Wait on a timer and {stop.receive}"
    package = package_name(file.tree, "time") if sole is not None else ""
    if in_hand(call, loop):
        if not listens(file, loop):
            raise BuilderError("leaving there would lose what the round has taken")
        edits = wait_on_timer(file, call, stop.receive, package=package)
        if sole is not None:
            edits = without_field(file, sole, edits)
        return Fix(title, edits, Safety.UNSAFE, f"the pause now ends when {stop.receive} is ready")
    leave = leave_at(file, call, stop)
    if isinstance(leave, str):
        raise BuilderError(leave)
    edits = leave.edits + wait_on_timer(file, call, stop.receive, leave.code, package=package)
    if sole is not None:
        edits = without_field(file, sole, edits)
    reason = f"the loop now ends when {stop.receive} is ready"
    return Fix(title, edits, Safety.UNSAFE, reason)
