"""Whether a call may end the goroutine that it is made in: by a test's FailNow, or by Goexit."""

from __future__ import annotations

import re

from threadmend.golang.file import GoFile
from threadmend.golang.noreturn import noreturn
from threadmend.golang.subtests import TESTS
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named

__all__ = ["ends_goroutine"]

_REQUIRE = "github.com/stretchr/testify/require"
_ASSERT = "github.com/stretchr/testify/assert"  # reports, and goes on
_TELLS = re.compile(r"(?i:must|require|fatal|failnow|noerr)|^(?:OK|Ok|Ensure)")
_DEEP = 4


def ends_goroutine(file: GoFile, call: Node, deep: int = _DEEP) -> bool:
    """Return whether a call ends its goroutine on some path, itself or by what it calls.

    Of a function that nobody can look into its name tells, where it is given the test.
    """
    if noreturn(call) == "goexit":
        return True
    function = call["function"]
    if function.kind == "selector_expression" and function["operand"].kind == "identifier":
        package = file.imported(function["operand"].name)
        if package in {_REQUIRE, _ASSERT}:
            return package == _REQUIRE
    given = any(is_named(file.type_of(a), *TESTS) for a in call["arguments"].children)
    decl = file.callee(call)
    if decl is None and function.kind == "identifier":
        return given  # a function value: one of the tests'
    if decl is None or decl.node.get("body") is None:
        return given and _TELLS.search(function.name.rpartition(".")[2]) is not None
    if deep == 0:
        return given
    return any(
        ends_goroutine(decl.file, node, deep - 1)
        for node in decl.node.own()
        if node.kind == "call_expression" and (given or _ENDS.search(node.text))
    )


_ENDS = re.compile(rb"\.(?:Fatalf?|FailNow|SkipNow|Skipf?|Goexit)\(|\brequire\.")
