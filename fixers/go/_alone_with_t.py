"""Goroutines of a test's helper that have nothing but its t, and so tell nobody when they end.

func watch(t *testing.T, every time.Duration) {
    t.Helper()
    go func() {
        for range 4 {
            time.Sleep(every)
            t.Logf("still here after %s", every)
        }
    }()
}
"""

from __future__ import annotations

import re

from threadmend.golang.file import GoFile
from threadmend.golang.functions import result_nodes
from threadmend.golang.goroutines import Launch, captures
from threadmend.golang.subtests import TESTS
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, Type, is_named

__all__ = ["tells_nobody"]

# What fails the test when some time has passed is a watchdog, which is not to be waited for.
_SAYS = frozenset({"Log", "Logf", "Name", "Helper"})
_LIBRARY = frozenset({"time", "fmt", "strings", "strconv", "math", "os", "errors"})
_BUILTIN = frozenset({"len", "cap", "append", "string", "int", "min", "max"})


def tells_nobody(file: GoFile, launch: Launch) -> bool:
    """Return whether a goroutine of a helper has t and plain values alone.

    It logs, calls library functions, and the helper gives nothing back.
    """
    function, literal = launch.function, launch.literal
    if function is None or literal is None or launch.kind != "go":
        return False
    if function.kind == "func_literal" or result_nodes(function) or literal is not launch.body:
        return False
    tests = set()
    for binding in captures(literal):
        type_ = file.type_of(binding.node)
        if binding.kind == "parameter" and is_named(type_, *TESTS):
            tests.add(binding)
        elif not _is_plain(file.underlying(type_)):
            return False
    return bool(tests) and all(
        _is_harmless(file, call, {t.name for t in tests})
        for call in literal.find("call_expression")
    )


def _is_plain(type_: Type | None) -> bool:
    """Return whether a type is a predeclared one of numbers, texts or flags."""
    if not isinstance(type_, Named) or type_.package:
        return False
    return type_.name in {"bool", "string"} or bool(_NUMBERS.fullmatch(type_.name))


_NUMBERS = re.compile(r"u?int(?:8|16|32|64|ptr)?|float(?:32|64)|byte|rune")


def _is_harmless(file: GoFile, call: Node, tests: set[str]) -> bool:
    function = call["function"]
    if function.kind == "identifier":
        return function.name in _BUILTIN
    if function.kind != "selector_expression" or function["operand"].kind != "identifier":
        return False
    owner = function["operand"].name
    if owner in tests:
        return function["field"].name in _SAYS
    return file.imported(owner) in _LIBRARY
