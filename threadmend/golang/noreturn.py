"""Which calls never return, judged by how they are written."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from threadmend.golang.syntax import FUNCTIONS, Node

__all__ = ["ExitKind", "NoReturn", "noreturn"]

ExitKind = Literal["return", "end", "panic", "exit", "goexit", "blocked"]
NoReturn = Callable[[Node], ExitKind | None]

_FATAL = frozenset({b"Fatal", b"Fatalf", b"Fatalln", b"Fatalw", b"FatalDepth"})
_PANIC = frozenset({b"Panic", b"Panicf", b"Panicln", b"Panicw"})
_TEST_ONLY = frozenset({b"FailNow", b"Skip", b"Skipf", b"SkipNow"})
_FAIL = frozenset({b"Fail", b"Failf", b"FailNow", b"FailNowf"})
_TEST_NAMES = frozenset({b"t", b"b", b"tb", b"f"})


def noreturn(call: Node) -> ExitKind | None:
    """Return how a call leaves the function, or None where it returns (or may).

    `t.Fatal` and its like end the goroutine where the receiver is a testing parameter (or,
    in a test file, is named like one); on anything else `Fatal` is a logger's and ends the
    process.
    """
    function = call.children[0]
    data = function.tree.data
    if function.kind == "identifier":
        return "panic" if data[function.start : function.end] == b"panic" else None
    if function.kind != "selector_expression":
        return None
    field = function.children[-1]
    name = data[field.start : field.end]
    if name in _FATAL:
        return "goexit" if _is_test(function.children[0]) else "exit"
    if name in _PANIC:
        return "panic"
    if name in _TEST_ONLY and _is_test(function.children[0]):
        return "goexit"
    if name in _FAIL and _is_require(function.children[0], name):
        return "goexit"
    if name == b"Exit":
        return "exit" if function.children[0].text == b"os" else None
    if name == b"Goexit":
        return "goexit" if function.children[0].text == b"runtime" else None
    return None


def _is_test(receiver: Node) -> bool:
    name = receiver.text
    if receiver.kind == "call_expression":
        return name.endswith(b".T()")
    if receiver.kind != "identifier":
        return name.rpartition(b".")[2] in {b"t", b"tb", b"T", b"TB"}
    function = receiver.function
    while function is not None:
        for kind in _parameter_types(function, name):
            # testing.TB, what embeds it (modTest), what stands in for it.
            return b"test" in kind.lower() or b"Fatal" in kind or kind == b"TB"
        function = function.function
    return name in _TEST_NAMES and receiver.path.endswith("_test.go")


def _is_require(receiver: Node, name: bytes) -> bool:
    """Return whether a failed check of testify ends the test: all of `require`, not of `assert`."""
    if receiver.kind != "identifier":
        return False
    text, function = receiver.text, receiver.function
    if text in {b"require", b"assert"}:
        return text == b"require" or b"Now" in name
    made = re.compile(rb"\b" + re.escape(text) + rb"\s*:?=\s*require\.New\(")
    while function is not None:
        if made.search(receiver.tree.data, function.start, function.end):
            return True
        function = function.function
    return False


def _parameter_types(function: Node, name: bytes) -> list[bytes]:
    assert function.kind in FUNCTIONS
    found = []
    for group in function.children:
        if group.field in {"parameters", "receiver"}:
            for parameter in group.children:
                if any(n.text == name for n in parameter.all("name")):
                    kind = parameter.get("type")
                    found.append(b"" if kind is None else kind.text)
    return found
