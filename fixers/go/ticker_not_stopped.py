"""Stop a ticker that only one function uses

Before Go 1.23 a ticker that is not stopped stays in the runtime's heap of timers for ever: it
fires on and wakes the scheduler, once per interval, for every call of the function. The version
that counts is the `go` line of go.mod. From 1.23 on an unreferenced ticker is collected, and
the finding is a hint of low confidence; so is a timer, which fires only once.

Not reported:
- a ticker that is returned or passed on; one whose channel is, unless by an unexported function
  whose callers end; one that is stored, unless in a field that only one method waits for, once
  for each value;
- a function that never returns, and package main's `main`;
- a ticker that is stopped on every path, in a deferred function too; a timer that fired.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import uses_of
from threadmend.golang.builders import BuilderError, insert_after, insert_at_start, with_reason
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop, launch_of_literal
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Finding, Fix, Related

from ._made_tickers import made_tickers
from ._ticker_fields import Kept, kept_tickers
from ._ticker_helpers import TickerHelper, ticker_helper
from ._tickers import COLLECTED, first_exit, is_time_call, only_user, ranged_for_ever, received

CATEGORY = "select"
GATE = rb"\.New(?:Ticker|Timer)\(|<-\s*\w+\.C\b|\brange \w+\.C\b"


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the tickers and timers that their function leaves running when it returns."""
    for call, kind, binding in made_tickers(file):
        if kind == "ticker" and is_time_call(file, call):
            kept = kept_tickers(file, call) if binding is None else None
            if kept is not None:
                yield _of_field(file, kept)
            helper = ticker_helper(file, call)
            if helper is not None:
                yield _of_helper(file, helper)
        if binding is None or binding.function is None or _escapes(binding):
            continue
        owner = _owner(file, binding)
        if owner is not None and _leaks(file, kind, call, binding, owner):
            yield _finding(file, kind, call, binding, owner)


def _escapes(binding: Binding) -> bool:
    """Return whether a ticker is used for more than its channel, Stop and Reset."""
    for use in uses_of(binding):
        if use.kind == "declare":
            continue
        selector = use.node.parent
        if selector is None or selector.kind != "selector_expression":
            return True
        name = selector["field"].name
        if name == "C":
            if not received(selector):
                return True
        elif name not in {"Stop", "Reset"} or selector.field != "function":
            return True
    return False


def _owner(file: GoFile, binding: Binding) -> Node | None:
    """Return the function that the ticker ends with.

    The one that makes it; or the goroutine that alone uses it.
    """
    maker = binding.function
    user = only_user(binding)
    if user is None or user is maker:
        return maker
    if user.kind == "func_literal" and user.function is maker:
        launch = launch_of_literal(file, user)
        if launch is not None and launch.kind != "timer" and launch.function is maker:
            return user
        return maker
    return None


def _leaks(file: GoFile, kind: str, call: Node, binding: Binding, owner: Node) -> bool:
    stops = set()
    for use in uses_of(binding):
        selector = use.node.parent
        field = selector.get("field") if selector is not None else None
        if selector is None or field is None:
            continue
        if field.name == "C" and ranged_for_ever(selector):
            return False
        fired = field.name == "C" and kind == "timer"
        if field.name != "Stop" and not fired:
            continue
        if use.function is not owner:
            if owner is binding.function:
                return False  # a literal stops it: deferred, a cleanup, a callback
            continue
        stops.add(selector)
    start = call if owner is binding.function else owner["body"]
    if start is not call:
        statements = owner["body"].statements
        if not statements or any(statements[0].contains(stop) for stop in stops):
            return False
        start = statements[0]
    return first_exit(file, owner, start, stops) is not None


def _of_field(file: GoFile, kept: Kept) -> Finding:
    waits = kept.waits
    return Finding(
        path=file.path,
        start=kept.call.start,
        end=kept.call.end,
        message=f"the ticker {kept.name} is not stopped when {waits['name'].name} returns",
        fixes=(kept.fix,),
        related=(Related(waits.path, waits.start, waits["body"].start, "alone waits for it"),),
        confidence=Confidence.LOW if file.go_version >= COLLECTED else Confidence.HIGH,
    )


def _of_helper(file: GoFile, helper: TickerHelper) -> Finding:
    call, user = helper.call, helper.user
    return Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=f"nobody can stop the ticker whose channel {helper.name} returns",
        fixes=(helper.fix,) if helper.fix is not None else (),
        related=(Related(user.path, user.start, user.end, "left running here"),),
        reason=helper.reason,
        confidence=Confidence.LOW if file.go_version >= COLLECTED else Confidence.HIGH,
    )


def _finding(file: GoFile, kind: str, call: Node, binding: Binding, owner: Node) -> Finding:
    fix, reason = _fix(binding, owner)
    hint = file.go_version >= COLLECTED or kind == "timer"
    confidence = Confidence.LOW if hint else Confidence.HIGH
    if file.is_test_file and not hint:
        confidence = Confidence.MEDIUM
    return Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=f"the {kind} {binding.name} is not stopped when the function returns",
        fixes=(fix,) if fix is not None else (),
        reason=reason,
        confidence=confidence,
    )


@with_reason
def _fix(binding: Binding, owner: Node) -> Fix:
    """Stop it at the end of the function that uses it.

    Sound: nobody else knows the ticker, and Stop may be called twice.
    """
    code = f"defer {binding.name}.Stop()"
    if owner is not binding.function:
        edits = insert_at_start(owner["body"], code)
    elif innermost_loop(binding.node) is not None:
        raise BuilderError("it is made in a loop, where a defer would wait for the function's end")
    else:
        statement = binding.node.statement
        if statement is None:
            raise BuilderError("it is made in the header of a statement")
        edits = insert_after(statement, code)
    return Fix(f"Defer {binding.name}.Stop()", edits)
