"""Wait for the goroutines that use a test's t before the test ends

`t.Error` panics when its test has ended: "Fail in goroutine after TestX has completed". A
goroutine that nobody waits for gets there whenever the machine is slow: the panic ends the
whole test binary in the middle of another test, and what it meant to check was never checked.

Not reported: goroutines that signal their end in any way (a channel, a WaitGroup, a lock, an
atomic, a cancel); those that share a variable with what the test does after the launch,
because it may wait for them by that.

Unsafe: the test takes as long as its goroutines do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import (
    BuilderError,
    add_import,
    free_name,
    import_name,
    insert_at_start,
    insert_before,
    taken_names,
)
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, captures, launches
from threadmend.golang.scope import Binding
from threadmend.golang.stops import endless
from threadmend.golang.subtests import TESTS
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

CATEGORY = "goroutine"
GATE = rb"\*testing\.[TBF]\b"

_SIGNALS = re.compile(
    rb"<-|\bclose\(|\.Done\(|\.Signal|\.Broadcast|\.Unlock|\.RUnlock|\.Store|\.Add\(|[cC]ancel"
    rb"|\.Set\(|atomic|\.Swap|\.CompareAndSwap|\.Release\(|\.Send\(|\.Publish|\.Fire\(|\.Close\("
)


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the goroutines that use t and that the test does not wait for."""
    if not file.is_test:
        return
    for launch in launches(file):
        literal = launch.literal
        if launch.kind != "go" or literal is None or not launch.node.contains(literal):
            continue
        if _SIGNALS.search(launch.node.text):
            continue
        test = _test_of(file, launch)
        if test is None or _shares(launch, literal, test):
            continue
        use = next((u for u in test.uses if literal.contains(u)), None)
        if use is not None:
            yield _finding(file, launch, literal, test, use)


def _test_of(file: GoFile, launch: Launch) -> Binding | None:
    """Return the t of the test (or subtest) that launches."""
    function = launch.function
    if function is None or launch.literal is None:
        return None
    for binding in captures(launch.literal):
        if binding.kind == "parameter" and binding.scope is function:
            if is_named(file.type_of(binding.node), *TESTS) and _is_test(function):
                return binding
    return None


def _is_test(function: Node) -> bool:
    """Return whether the test ends with the function: a test, or the function of t.Run."""
    name = function.get("name")
    if name is not None:
        return re.match(r"(Test|Benchmark|Fuzz)(?![a-z])", name.name) is not None
    arguments = function.parent
    call = arguments.parent if arguments is not None else None
    if call is None or call.kind != "call_expression":
        return False
    return call["function"].text.endswith(b".Run")


def _shares(launch: Launch, literal: Node, test: Binding) -> bool:
    """Return whether the test goes on with something that the goroutine has."""
    for binding in captures(literal):
        if binding is test:
            continue
        for use in binding.uses:
            if literal.contains(use) or use is binding.node:
                continue
            if use.start > launch.node.end or use.up("defer_statement") is not None:
                return True
            if use.function is not launch.function:
                return True
    return False


def _finding(file: GoFile, launch: Launch, literal: Node, test: Binding, use: Node) -> Finding:
    fix, reason = _fix(file, launch, literal, test)
    return Finding(
        path=file.path,
        start=use.start,
        end=use.end,
        message=f"{test.name} is used by a goroutine that the test does not wait for",
        fixes=(fix,) if fix else (),
        related=(Related(file.path, launch.node.start, launch.node.end, "launched here"),),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


def _fix(file: GoFile, launch: Launch, literal: Node, test: Binding) -> tuple[Fix | None, str]:
    """Wait for the goroutine when the test is cleaned up."""
    function = launch.function
    if function is None or any(endless(n) for n in literal.find("for_statement")):
        return None, "the goroutine goes on for ever: it lacks a way to be stopped"
    name = free_name("wg", taken_names(function))
    package = import_name(file.tree, "sync") or "sync"
    lines = (
        f"var {name} {package}.WaitGroup",
        f"{test.name}.Cleanup({name}.Wait)",
        f"{name}.Add(1)",
    )
    edits: list[Edit] = []
    try:
        edits.extend(insert_before(launch.node, "\n".join(lines)))
        edits.extend(insert_at_start(literal["body"], f"defer {name}.Done()"))
        if import_name(file.tree, "sync") is None:
            edits.extend(add_import(file.tree, "sync"))
    except BuilderError as error:
        return None, str(error)
    reason = "the test takes as long as its goroutines do"
    return Fix("Wait for the goroutine in a Cleanup", tuple(edits), Safety.UNSAFE, reason), ""
