"""Use a ticker that can be stopped instead of time.Tick

`time.Tick` gives only the channel. Before Go 1.23 the ticker behind it can neither be stopped
nor collected: a function that returns leaves one running for every call, and a call in a loop
one for every iteration. The version that counts is the `go` line of go.mod; from 1.23 on the
finding is a hint of low confidence.

Not reported:
- a function that never returns, and package main's `main`;
- a channel that is returned, stored or passed on.

Unsafe: in a loop, where the ticker no longer starts anew in each iteration; with an interval
that is not a constant, for which NewTicker panics when it is not positive.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import uses_of
from threadmend.golang.builders import (
    BuilderError,
    free_name,
    insert_before,
    names_around,
    replace,
    with_reason,
)
from threadmend.golang.channels import initialised
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import outermost_loop
from threadmend.golang.infer import is_decl
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Edit, Finding, Fix, Safety

from ._tickers import COLLECTED, first_exit, is_time_call, only_user, ranged_for_ever, received

CATEGORY = "select"
ALSO = "staticcheck SA1015"
GATE = rb"\.Tick\("


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the calls of time.Tick whose ticker outlives its use."""
    for call in file.calls("Tick"):
        function = call.function
        if function is None or not is_time_call(file, call):
            continue
        binding = initialised(file, call)
        if binding is None and not received(call):
            continue
        if binding is not None and not _only_received(binding):
            continue
        users = [call] if binding is None else binding.uses
        if any(ranged_for_ever(user) for user in users):
            continue
        looped = _loop(call) is not None
        if looped or first_exit(file, function, call, set()) is not None:
            yield _finding(file, call, binding)


def _only_received(binding: Binding) -> bool:
    uses = [use for use in uses_of(binding) if use.kind != "declare"]
    return all(received(use.node) for use in uses)


def _loop(call: Node) -> Node | None:
    """Return the outermost loop that runs a call again and again, not the one it feeds."""
    parent = call.parent
    if parent is not None and parent.kind == "range_clause":
        return outermost_loop(parent.parent) if parent.parent is not None else None
    return outermost_loop(call)


def _finding(file: GoFile, call: Node, binding: Binding | None) -> Finding:
    fix, reason = _fix(file, call, binding)
    message = "the ticker of time.Tick cannot be stopped when the function returns"
    if _loop(call) is not None:
        message = "each iteration leaves a ticker of time.Tick running"
    confidence = Confidence.LOW if file.go_version >= COLLECTED else Confidence.HIGH
    return Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=message,
        fixes=(fix,) if fix is not None else (),
        reason=reason,
        confidence=confidence,
    )


@with_reason
def _fix(file: GoFile, call: Node, binding: Binding | None) -> Fix:
    """Make the ticker before the statement (before the loop), and stop it at the end."""
    if binding is not None and only_user(binding) not in {None, call.function}:
        raise BuilderError("another function receives from it")
    if binding is not None and _shared(binding, call):
        raise BuilderError("several functions receive from it")
    duration = call["arguments"].children[0]
    loop = _loop(call)
    if loop is not None and not _known_before(file, duration, loop):
        raise BuilderError("the interval is known in the loop only")
    statement = loop if loop is not None else call.statement
    if statement is None:
        raise BuilderError("it is made outside of a function")
    name = free_name("ticker", names_around(file, call))
    package = call["function"]["operand"].name
    made = f"{name} := {package}.NewTicker({duration.name})\ndefer {name}.Stop()"
    edits: tuple[Edit, ...] = insert_before(statement, made)
    edits += replace(call, f"{name}.C")
    title = "Use a ticker, and stop it"
    if loop is not None:
        reason = "the ticker no longer starts anew in each iteration"
        return Fix(title, edits, Safety.UNSAFE, reason)
    if not _is_constant(file, duration):
        reason = "NewTicker panics when the interval is not positive"
        return Fix(title, edits, Safety.UNSAFE, reason)
    return Fix(title, edits)


def _shared(binding: Binding, call: Node) -> bool:
    return any(use.function is not call.function for use in uses_of(binding))


def _known_before(file: GoFile, duration: Node, loop: Node) -> bool:
    for node in duration.walk():
        if node.kind == "call_expression":
            return False
        if node.kind == "identifier":
            binding = file.binding(node)
            if binding is not None and loop.contains(binding.node):
                return False
    return True


def _is_constant(file: GoFile, duration: Node) -> bool:
    """Return whether an interval consists of numbers and constants."""
    for node in duration.walk():
        if node.kind in {"call_expression", "index_expression"}:
            return False
        if node.kind == "identifier" and node.parent is not None:
            if node.parent.kind == "selector_expression":
                if file.imported(node.name) != "time":
                    return False
            elif not _names_constant(file, node):
                return False
    return True


def _names_constant(file: GoFile, node: Node) -> bool:
    meant = file.resolve(node)
    return is_decl(meant, "const") or (isinstance(meant, Binding) and meant.kind == "constant")
