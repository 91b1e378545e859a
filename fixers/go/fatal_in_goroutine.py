"""Report a test's failure from another goroutine with Error, not Fatal

`t.Fatal`, `t.FailNow`, `t.Skip` and the checks of testify's `require` end the goroutine that
calls them by runtime.Goexit. In a goroutine other than the test's own they end that one: the
test goes on, may wait for ever for what the goroutine owed it, and may pass.

Not reported: the function of `t.Run`, which is the subtest's own goroutine; benchmarks that
hand the goroutine a `*testing.PB` only.

A function that nothing but goroutines calls is one of theirs.

Without a fix: Skip; functions with results.

Unsafe: in a function that goroutines call: they go on behind the call, where they ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from threadmend.golang.builders import (
    BuilderError,
    add_import,
    import_name,
    insert_after,
    remove_import,
    with_reason,
)
from threadmend.golang.file import GoFile
from threadmend.golang.functions import leave_with
from threadmend.golang.goroutines import Launch, launches
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._fatal_helpers import launched_behind

CATEGORY = "goroutine"
ALSO = "govet testinggoroutine staticcheck SA2002"
GATE = rb"\.(?:Fatalf?|FailNow|Skipf?|SkipNow)\(|\brequire\."

_TESTING = ("testing.T", "testing.B", "testing.F", "testing.TB", "testing.common")
_REPLACED = {"Fatal": "Error", "Fatalf": "Errorf", "FailNow": "Fail"}
_SKIPS = frozenset({"Skip", "Skipf", "SkipNow"})
_REQUIRE = "github.com/stretchr/testify/require"
_ASSERT = "github.com/stretchr/testify/assert"
_CALLS = re.compile(GATE)


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the calls that end a goroutine which is not the test's."""
    if not file.imports_path("testing", _REQUIRE):
        return
    seen: set[int] = set()
    for launch in launches(file):
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
            yield _in_helper(_finding(file, behind, function, node, name))


_TESTS = re.compile(rb"func (?:Test|Benchmark|Fuzz|Example)")
_GO = re.compile(rb"\bgo\s|\.Go\(|AfterFunc\(")


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


def _in_helper(found: Finding) -> Finding:
    """Return the finding of a call in a function whose callers go on when it returns."""
    why = "the goroutine goes on when the function has returned"
    fixes = tuple(replace(f, safety=Safety.UNSAFE, reason=why) for f in found.fixes)
    return replace(found, fixes=fixes)


def _runs(file: GoFile, body: Node) -> Iterator[Node]:
    """Yield what the goroutine itself runs: literals are entered unless they are subtests."""
    for node in body.own():
        yield node
        if node.kind == "func_literal" and node is not body and _in_place(node):
            yield from _runs(file, node)


def _in_place(literal: Node) -> bool:
    call = literal.parent
    if call is None or call.kind != "call_expression" or literal.field != "function":
        return False
    return call.parent is not None and call.parent.kind != "go_statement"


def _ends_goroutine(file: GoFile, call: Node) -> str:
    """Return the name of the method or check that ends the goroutine, `""` for others."""
    function = call["function"]
    if function.kind != "selector_expression":
        return ""
    name = function["field"].name
    operand = function["operand"]
    if operand.kind == "identifier" and file.imported(operand.name) == _REQUIRE:
        return "" if name == "New" else f"require.{name}"
    if name not in _REPLACED and name not in _SKIPS:
        return ""
    selection = file.selection(function)
    owner = selection.owner if selection else None
    return name if is_named(owner, *_TESTING) else ""


def _finding(file: GoFile, launch: Launch, body: Node, call: Node, name: str) -> Finding:
    fix, reason = _fix(file, body, call, name)
    text = call["function"].name
    return Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=f"{text} ends the goroutine that calls it, not the test",
        fixes=(fix,) if fix else (),
        related=(Related(launch.node.path, launch.node.start, launch.node.end, "launched here"),),
        reason=reason,
    )


@with_reason
def _fix(file: GoFile, body: Node, call: Node, name: str) -> Fix:
    """Mark the test as failed and leave the goroutine where the call would have ended it.

    Sound: the test failed before and fails after; the goroutine ended there and ends there,
    its defers run.
    """
    statement = call.parent
    if statement is None or statement.kind != "expression_statement":
        raise BuilderError("the call is part of another statement")
    if call.function is not body:
        raise BuilderError("the call stands in a function literal of its own")
    leave = leave_with(body)
    if name in _SKIPS:
        raise BuilderError("a test can only be skipped from its own goroutine")
    if leave is None:
        raise BuilderError("what the function should return then cannot be told")
    if name.startswith("require."):
        return _assert(file, body, call, statement, leave)
    method = call["function"]["field"]
    edits: tuple[Edit, ...] = (Edit(file.path, method.start, method.end, _REPLACED[name].encode()),)
    if not _is_last(body, statement):
        edits += insert_after(statement, leave)
    return Fix(f"Call {_REPLACED[name]} and return", edits)


def _is_last(body: Node, statement: Node) -> bool:
    """Return whether nothing runs after the statement, or it returns anyhow."""
    after = statement.next
    if after is not None:
        return after.kind == "return_statement"
    return statement.parent is body.get("body")


def _assert(file: GoFile, body: Node, call: Node, statement: Node, leave: str) -> Fix:
    """Use assert; what the arguments say stays as it is, however many lines it takes."""
    known = import_name(file.tree, _ASSERT)
    check_name = call["function"]["field"].name
    package = call["function"]["operand"]
    name = (known or "assert").encode()
    edits: tuple[Edit, ...] = (Edit(file.path, package.start, package.end, name),)
    title = f"Check with assert.{check_name}"
    if not _is_last(body, statement):
        newline = file.source.newline + file.source.indent_at(statement.start)
        tail = b" {" + newline + b"\t" + leave.encode() + newline + b"}"
        edits = (
            Edit(file.path, package.start, package.end, b"if !" + name),
            Edit(file.path, statement.end, statement.end, tail),
        )
        title += " and return"
    if known is None:
        edits += _import_instead(file) if _only_use(file, call) else add_import(file.tree, _ASSERT)
    elif _only_use(file, call):
        edits += remove_import(file.tree, _REQUIRE)
    return Fix(title, edits)


def _only_use(file: GoFile, call: Node) -> bool:
    """Return whether the package name of a call stands nowhere else in the file."""
    name = call["function"]["operand"].text
    return len(re.findall(rb"\b" + re.escape(name) + rb"\.", file.data)) == 1


def _import_instead(file: GoFile) -> tuple[Edit, ...]:
    """Import assert in the place of require, which nothing else uses."""
    for entry in file.imports:
        if entry.path == _REQUIRE:
            path = entry.node["path"]
            return (Edit(file.path, path.start, path.end, f'"{_ASSERT}"'.encode()),)
    raise BuilderError("the import of require was not found")
