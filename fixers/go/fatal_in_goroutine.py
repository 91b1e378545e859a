"""Report a test's failure from another goroutine with Error, not Fatal

`t.Fatal`, `t.FailNow`, `t.Skip` and the checks of testify's `require` end the goroutine that
calls them by runtime.Goexit. In a goroutine other than the test's own they end that one: the
test goes on, may wait for ever for what the goroutine owed it, and may pass.

Not reported: the function of `t.Run`, which is the subtest's own goroutine; benchmarks that
hand the goroutine a `*testing.PB` only.

A function that nothing but goroutines calls is one of theirs, and so is a handler that goes to
an HTTP server.

Without a fix: Skip; functions with results that do not return there; where a caller's caller
would go on.

Unsafe: in a function that goroutines call: it gets a result, by which they know when to leave;
in a handler: its client gets an answer; where the goroutine owes a value that others wait for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from threadmend.golang.file import GoFile
from threadmend.golang.functions import result_nodes
from threadmend.golang.goroutines import Launch, launch_of_literal, launches, launches_in
from threadmend.golang.served import served_by
from threadmend.golang.spawners import spawned
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named
from threadmend.golang.waitgroups import is_run_here
from threadmend.model import Confidence, Finding, Related, Safety

from ._fatal_fix import REPLACED, SKIPS, ends_callers_too, fix_here, goes_nowhere
from ._fatal_helpers import launched_behind

CATEGORY = "goroutine"
ALSO = "govet testinggoroutine staticcheck SA2002"
GATE = rb"\.(?:Fatalf?|FailNow|Skipf?|SkipNow)\(|\brequire\."

_TESTING = ("testing.T", "testing.B", "testing.F", "testing.TB", "testing.common")
_REQUIRE = "github.com/stretchr/testify/require"
_CALLS = re.compile(GATE)


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the calls that end a goroutine which is not the test's."""
    if not file.imports_path("testing", _REQUIRE):
        return
    seen: set[int] = set()
    for launch in (*launches(file), *_given_to_spawners(file)):
        body = launch.body
        if body is None or body.path != file.path or not _CALLS.search(body.text):
            continue
        for node in _runs(file, body):
            if node.kind != "call_expression" or node.start in seen:
                continue
            found = _ends_goroutine(file, node)
            if found:
                seen.add(node.start)
                yield _finding(file, launch, body, node, found)
    for function in _helpers(file):
        ending = [
            (node, name)
            for node in function.own()
            if node.kind == "call_expression" and node.start not in seen
            if (name := _ends_goroutine(file, node))
        ]
        behind = launched_behind(file, function) if ending else None
        if behind is None:
            continue
        for node, name in ending:
            seen.add(node.start)
            in_helper = _finding(file, behind, function, node, name)
            yield _in_helper(file, function, ending, in_helper)


_TESTS = re.compile(rb"func (?:Test|Benchmark|Fuzz|Example)")
_GO = re.compile(rb"\bgo\s|\.Go\(|AfterFunc\(|\bResponseWriter\b")


def _given_to_spawners(file: GoFile) -> Iterator[Launch]:
    """Yield the launches of literals by helpers, in several goroutines: `inParallel(8, func() …)`.

    A helper that runs one, and waits for it, may well stand for the test's own goroutine.
    """
    for body in spawned(file) if _CALLS.search(file.data) else ():
        call = body.parent.parent if body.parent is not None else None
        if body.kind == "func_literal" and call is not None and call.kind == "call_expression":
            if launch_of_literal(file, body) is None and _runs_several(file, call):
                yield Launch("spawner", call, None, body, None, body)


def _runs_several(file: GoFile, call: Node) -> bool:
    """Return whether a helper launches in a loop."""
    decl = file.callee(call)
    found = launches_in(decl.file, decl.node) if decl is not None else ()
    return any(launch.loop is not None for launch in found)


def _helpers(file: GoFile) -> Iterator[Node]:
    """Yield the functions that end their goroutine and that others may call.

    Not those that only the package testing calls; their literals, where they launch something.
    """
    for declaration in file.declarations(_CALLS):
        start, end = declaration.start, declaration.end
        test = _TESTS.match(file.data, start) is not None
        if declaration.kind == "var_declaration":
            continue
        if not test:
            yield declaration.node
        if _GO.search(file.data, start, end):
            for literal in declaration.index.get("func_literal", ()):
                if _CALLS.search(literal.text):
                    yield literal


def _in_helper(
    file: GoFile, function: Node, ending: list[tuple[Node, str]], found: Finding
) -> Finding:
    """Return the finding of a call in a function whose callers go on when it returns."""
    if not found.fixes or result_nodes(function) or goes_nowhere(file, function):
        return found
    if served_by(file, function) is not None:
        return found
    fix, reason = ends_callers_too(file, function, ending)
    return replace(found, fixes=(fix,) if fix is not None else (), reason=reason)


def _runs(file: GoFile, body: Node) -> Iterator[Node]:
    """Yield what the goroutine itself runs: literals are entered unless they are subtests."""
    for node in body.own():
        yield node
        if node.kind == "func_literal" and node is not body and is_run_here(node):
            yield from _runs(file, node)


def _ends_goroutine(file: GoFile, call: Node) -> str:
    """Return the name of the method or check that ends the goroutine, `""` for others."""
    function = call["function"]
    if function.kind != "selector_expression":
        return ""
    name = function["field"].name
    operand = function["operand"]
    if operand.kind == "identifier" and file.imported(operand.name) == _REQUIRE:
        return "" if name == "New" else f"require.{name}"
    if name not in REPLACED and name not in SKIPS:
        return ""
    selection = file.selection(function)
    owner = selection.owner if selection else None
    return name if is_named(owner, *_TESTING) else ""


def _finding(file: GoFile, launch: Launch, body: Node, call: Node, name: str) -> Finding:
    fix, reason = fix_here(file, body, call, name)
    text, served = call["function"].name, launch.kind == "server"
    if served and fix is not None and fix.safety is not Safety.UNSAFE:
        fix = replace(fix, safety=Safety.UNSAFE, reason=_ANSWERED)
    return Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=f"{text} ends the goroutine that calls it, not the test",
        fixes=(fix,) if fix else (),
        related=(
            Related(
                launch.node.path,
                launch.node.start,
                launch.node.end,
                "a server runs it in goroutines of its own" if served else "launched here",
            ),
        ),
        reason=reason,
        confidence=Confidence.MEDIUM if served else Confidence.HIGH,
    )


_ANSWERED = "the client gets an answer where its connection broke off"
