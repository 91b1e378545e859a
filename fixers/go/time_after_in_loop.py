"""Reuse one timer instead of time.After in a loop.

Each time.After makes a timer. Before Go 1.23 it stays in memory until it fires, also when
another case of the select was taken: a loop that handles ten thousand messages a second
with a timeout of a minute holds six hundred thousand timers. The version that counts is the
`go` line of go.mod. From Go 1.23 on the timer is collected and only its allocation is left,
which is a hint of low confidence.

The timer is set again right before each select, so that its time counts from there as that
of time.After does: an idle timeout stays one.

A function of the module that returns what time.After made is one as well: it returns the timer,
and who waits on it in a loop stops it.

Not reported:
- a select that runs once: every case leaves the loop;
- `<-time.After(d)` outside of a select, which always waits for its timer;
- a channel that is made before the loop, a deadline for all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import uses_of
from threadmend.golang.builders import (
    BuilderError,
    delete,
    free_name,
    insert_at_start,
    insert_before,
    names_around,
    replace,
    with_reason,
)
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import outermost_loop
from threadmend.golang.infer import is_decl
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.timers import Waiting, waits_in_loops
from threadmend.model import Confidence, Edit, Finding, Fix

from ._timer_helpers import timer_helpers

CATEGORY = "select"
GATE = rb"\.After\("

_COLLECTED = (1, 23)
_DRAIN = """\
if !{name}.Stop() {{
	select {{
	case <-{name}.C:
	default:
	}}
}}
"""


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the calls of time.After that a select in a loop waits on."""
    named: set[str] = set()
    top = -1
    for waiting in waits_in_loops(file):
        if _only_sleeps(waiting.call):
            continue
        declaration = file.tree.declaration_at(waiting.call.start)
        if declaration is not None and declaration.start != top:
            # Several fixes may be taken together: no two timers of a function share a name.
            named, top = set(), declaration.start
        name = _free_name(file, waiting.call, named)
        fix, reason = _fix(file, waiting, name)
        named.add(name)
        yield _finding(file, waiting, fix, reason)
    for helper in timer_helpers(file):
        fix, reason = helper.fix()
        for using, waiting in helper.waits:
            yield _finding(using, waiting, fix, reason)


def _only_sleeps(call: Node) -> bool:
    """Return whether a select has no other case: it always waits for its timer."""
    case = call.up("communication_case")
    select = case.parent if case is not None else None
    return select is not None and len([c for c in select.children if c.kind in _CASES]) == 1


_CASES = frozenset({"communication_case", "default_case"})


def _finding(file: GoFile, waiting: Waiting, fix: Fix | None, reason: str) -> Finding:
    if file.go_version >= _COLLECTED:
        message, confidence = "time.After makes a new timer in each iteration", Confidence.LOW
    elif waiting.abandons():
        message = "each iteration leaves the timer of time.After running until it fires"
        confidence = Confidence.LOW if file.is_test_file else Confidence.HIGH
    else:
        message = "the timer of time.After runs on when the loop ends by another case"
        confidence = Confidence.LOW if file.is_test_file else Confidence.MEDIUM
    return Finding(
        path=file.path,
        start=waiting.call.start,
        end=waiting.call.end,
        message=message,
        fixes=(fix,) if fix is not None else (),
        reason=reason,
        confidence=confidence,
    )


def _free_name(file: GoFile, node: Node, named: set[str]) -> str:
    return free_name("timer", frozenset({*names_around(file, node), *named}))


# -- two forms ------------------------------------------------------------------------


@with_reason
def _fix(file: GoFile, waiting: Waiting, name: str) -> Fix:
    """Return a timer made once, or one that each iteration stops when it is not needed.

    Both wait as long as before: the timer starts where time.After did. One made before the
    loop needs its duration there, without running anything of the loop twice or early.
    """
    if _is_gone_to(waiting.select):
        raise BuilderError("a goto leads to the select")
    if _known_before(file, waiting):
        return Fix("Set one timer again in each iteration", _reused(file, waiting, name))
    if waiting.variable is not None:
        raise BuilderError("the duration is known in the loop only, and the channel has a name")
    return Fix("Stop the timer when another case is taken", _stopped(waiting, name))


def _is_gone_to(select: Node) -> bool:
    """Return whether a goto passes what would stand before a select: `goto cont`."""
    labelled, function = select.parent, select.function
    if labelled is None or labelled.kind != "labeled_statement" or function is None:
        return False
    label = rb"\bgoto " + re.escape(labelled["label"].text) + rb"\b"
    return re.search(label, function.text) is not None


def _known_before(file: GoFile, waiting: Waiting) -> bool:
    """Return whether the duration can be told before the loop.

    Before Go 1.23 it must be the same there as in the loop: a timer that was set to zero
    could fire while it is being stopped.
    """
    loop = outermost_loop(waiting.call)
    assert loop is not None
    old = file.go_version < _COLLECTED
    for node in waiting.duration.walk():
        if node.kind == "call_expression" and not _is_conversion(file, node):
            return False
        if node.kind in {"index_expression", "func_literal", "type_assertion_expression"}:
            return False
        if node.kind == "unary_expression" and node["operator"].kind in {"<-", "*"}:
            return False
        if node.kind == "identifier":
            binding = file.binding(node)
            if binding is not None and (
                loop.contains(binding.node) or (old and _assigned_in(loop, binding))
            ):
                return False
    return True


def _is_conversion(file: GoFile, call: Node) -> bool:
    function = call["function"]
    if function.kind == "selector_expression":
        selection = file.selection(function)
        return selection is not None and is_decl(selection.decl, "type")
    if function.kind != "identifier":
        return False
    meant = file.resolve(function)
    return is_decl(meant, "type") or (meant is None and function.name in _NUMBERS)


_NUMBERS = frozenset({"int", "int32", "int64", "uint32", "uint64", "float64", "min", "max", "len"})


def _assigned_in(loop: Node, binding: Binding) -> bool:
    changes = {"write", "update", "address", "store"}
    return any(use.kind in changes and loop.contains(use.node) for use in uses_of(binding))


def _reused(file: GoFile, waiting: Waiting, name: str) -> tuple[Edit, ...]:
    """Make the timer before the loop, and set it again before each select."""
    loop = outermost_loop(waiting.call)
    assert loop is not None
    duration = waiting.duration.name
    package = waiting.call["function"]["operand"].name
    made = f"{name} := {package}.NewTimer({duration})\ndefer {name}.Stop()"
    drain = _DRAIN.format(name=name) if file.go_version < _COLLECTED else ""
    again = f"{drain}{name}.Reset({duration})"
    edits = insert_before(loop, made)
    if waiting.variable is None:
        edits += insert_before(waiting.select, again)
        return edits + replace(waiting.call, f"{name}.C")
    edits += insert_before(waiting.variable.declaration, again)
    edits += delete(waiting.variable.declaration)
    for use in uses_of(waiting.variable):
        if use.kind != "declare":
            edits += replace(use.node, f"{name}.C")
    return edits


def _stopped(waiting: Waiting, name: str) -> tuple[Edit, ...]:
    """Make the timer before the select, and stop it in every case but its own."""
    package = waiting.call["function"]["operand"].name
    made = f"{name} := {package}.NewTimer({waiting.duration.name})"
    edits = insert_before(waiting.select, made) + replace(waiting.call, f"{name}.C")
    for clause in waiting.others:
        edits += insert_at_start(clause, f"{name}.Stop()")
    return edits
