"""Test goroutines in a bubble of testing/synctest, not in real time

A test that sleeps until its goroutines must be done is slow on every machine and fails on the one
that is slower still. `synctest.Test` (Go 1.25) runs it where time is not real: it goes on at once
when all goroutines wait. What slept only to let others run becomes `synctest.Wait()`, which
returns when all of them wait; where timers play a part the sleeps stay, and take no time.

Not reported: tests with subtests, files, networks, commands, clock times or code that is not
visible; that use channels, locks or other state of package variables; in which a lock may be
held while somebody waits, or a loop turns without waiting; whose goroutines are not certain to
end with the test. Modules below Go 1.25.

Unsafe: time in the bubble is not real, and a goroutine that stays behind fails the test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.builders import BuilderError, add_import, import_name, wrap
from threadmend.golang.builders.lines import content_end
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._bubble import Reach, explored
from ._ends import all_end
from ._imports import mentions, swap_import
from ._standstill import spins, waits_under_lock

CATEGORY = "testing"
GATE = rb"\btime\.Sleep\("

_PATH = "testing/synctest"
_MESSAGE = "the test waits for its goroutines in real time"
_TITLE = "Run the test in a bubble of testing/synctest"
_TITLES = "Run the tests in bubbles of testing/synctest"
_REASON = "time in the bubble is not real, and a goroutine that stays behind fails the test"
_NAME = re.compile(r"Test(?![a-z])")
_TAKEN = re.compile(rb"(?<![/\w-])synctest\b")
_BEFORE = re.compile(rb"\w+\.Parallel\(\)")


@dataclass(frozen=True, slots=True)
class _Test:
    """A test that can run in a bubble, and its first Sleep."""

    sleep: Node
    node: Node
    reach: Reach
    outside: int


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the tests that sleep for goroutines that can be in a bubble."""
    if not file.is_test_file or file.go_version < (1, 25):
        return
    if _TAKEN.search(file.data) and import_name(file.tree, _PATH) != "synctest":
        return
    tests = list(_tests(file))
    if not tests:
        return
    gone = sum(s.text.count(b"time.") for test in tests for s in _replaced(test))
    if mentions(file, "time") > gone:
        for test in tests:
            yield from _finding(file, [test], add_import(file.tree, _PATH))
    else:  # the import of time goes with the last of them
        yield from _finding(file, tests, swap_import(file, "time", _PATH))


def _tests(file: GoFile) -> Iterator[_Test]:
    for call in file.calls("Sleep"):
        node = _test_around(file, call)
        if node is not None:
            outside = [s for s in node["body"].statements[:1] if _BEFORE.fullmatch(s.text)]
            reach = explored(file, node, outside)
            if reach is not None and reach.sleeps[0] is call and _fits(reach):
                yield _Test(call, node, reach, len(outside))


def _finding(file: GoFile, tests: list[_Test], imports: tuple[Edit, ...]) -> Iterator[Finding]:
    try:
        edits = tuple(edit for test in tests for edit in _edits(file, test))
    except BuilderError:
        return
    first, *others = [test.sleep for test in tests]
    related = tuple(Related(file.path, s.start, s.end, "and this one") for s in others)
    title = _TITLE if not others else _TITLES
    fix = Fix(title, (*edits, *imports), Safety.UNSAFE, _REASON)
    yield Finding(file.path, first.start, first.end, _MESSAGE, (fix,), related=related)


def _test_around(file: GoFile, sleep: Node) -> Node | None:
    """Return the test that a Sleep is in, when it has a name for its T and no bubble yet."""
    test = sleep.up("function_declaration")
    if test is None or not _NAME.match(test["name"].name) or _TAKEN.search(test.text):
        return None
    return test if _t_of(file, test) else None


def _t_of(file: GoFile, test: Node) -> str:
    parameters = test["parameters"].children
    if len(parameters) != 1 or test.get("type_parameters") is not None:
        return ""
    name, type_ = parameters[0].get("name"), parameters[0].get("type")
    is_test = type_ is not None and is_named(file.type_from(type_), "testing.T")
    return name.name if name is not None and is_test and name.name != "_" else ""


def _fits(reach: Reach) -> bool:
    if not reach.launches and not reach.has_clock:
        return False
    return not spins(reach) and not waits_under_lock(reach) and all_end(reach)


# -- edits ---------------------------------------------------------------------------------------


def _edits(file: GoFile, test: _Test) -> tuple[Edit, ...]:
    """Wrap the body; let sleeps wait for goroutines instead of for time.

    time.Sleep(50 * time.Millisecond)  →  synctest.Wait()
    """
    t, body = _t_of(file, test.node), test.node["body"]
    kind = test.node["parameters"].children[0]["type"].name
    edits = wrap(body.statements[test.outside :], f"synctest.Test({t}, func({t} {kind}) {{", "})")
    replaced = _replaced(test)
    if replaced:
        return (*edits, *(Edit(file.path, s.start, s.end, b"synctest.Wait()") for s in replaced))
    pauses = [s for s in test.reach.sleeps if _is_pause_of(test.node, s)]
    last = body.statements[-1]
    return (*edits, *(_followed(file, s) for s in pauses if s.parent is not last))


def _replaced(test: _Test) -> list[Node]:
    """Return the sleeps that need no time: all of them are for the test's own goroutine."""
    reach = test.reach
    if reach.has_clock or any(s.function is not test.node for s in reach.sleeps):
        return []
    return [s for s in reach.sleeps if _is_pause_of(test.node, s)]


def _is_pause_of(test: Node, sleep: Node) -> bool:
    """Return whether a Sleep is a statement of the test's own goroutine, outside of loops."""
    statement = sleep.parent
    return (
        sleep.function is test
        and statement is not None
        and statement.kind == "expression_statement"
        and innermost_loop(sleep) is None
    )


def _followed(file: GoFile, sleep: Node) -> Edit:
    """Let goroutines that wake at the same moment run before the test goes on."""
    at = content_end(file.tree, sleep.end)
    indent = file.source.indent_at(sleep.start)
    text = file.source.newline + indent + b"\tsynctest.Wait()"
    return Edit(file.path, at, at, text)
