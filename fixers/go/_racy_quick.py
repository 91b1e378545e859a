"""What takes long, so that a captured variable's new lock is not held over it."""

from __future__ import annotations

import re

from threadmend.golang.captured import is_buffer
from threadmend.golang.node import bare
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, Pointer, deref, is_named

from ._racy import Race

_QUICK_PACKAGES = frozenset(
    {
        *("fmt", "errors", "strings", "strconv", "time", "math", "sort", "slices", "maps"),
        *("bytes", "unicode", "path", "path/filepath", "log", "cmp", "go.uber.org/multierr"),
        *("github.com/stretchr/testify/assert", "github.com/hashicorp/go-multierror"),
        "github.com/pkg/errors",
    }
)
_QUICK_METHODS = frozenset({"Error", "Err", "String", "Len", "Name", "ID", "Key"})
# These end the goroutine, and a lock that it holds then is never released.
_ENDS = re.compile(r"Fatal|FailNow|Skip|Panic|Exit")
_TESTS = ("testing.T", "testing.B", "testing.F", "testing.TB", "testing.common")


def is_slow(race: Race, node: Node) -> bool:
    """Return whether an expression may wait or work for long."""
    if node.kind == "unary_expression":
        return node["operator"].kind == "<-"
    if node.kind != "call_expression":
        return False
    function = bare(node["function"])
    if function.kind == "identifier":
        meant = race.file.resolve(function)
        return meant is not None and getattr(meant, "kind", "") != "type"
    if function.kind == "selector_expression":
        operand = function["operand"]
        if operand.kind == "identifier" and race.file.binding(operand) is None:
            path = race.file.imported(operand.name)
            if path is not None:
                name = function["field"].name
                sleeps = path == "time" and name == "Sleep"
                return path not in _QUICK_PACKAGES or sleeps or bool(_ENDS.match(name))
        if race.file.binding(operand) is race.binding:
            return _is_of_somebody_else(race) and function["field"].name not in _QUICK_METHODS
        if is_named(race.file.type_of(operand), *_TESTS):
            return bool(_ENDS.match(function["field"].name))
        quick = function["field"].name in _QUICK_METHODS
        return not (quick and not node["arguments"].children)
    return function.kind not in {"array_type", "slice_type", "map_type", "pointer_type"}


def _is_of_somebody_else(race: Race) -> bool:
    """Return whether the variable only leads to an object whose methods may take long.

    `server.ListenAndServe()`: the lock is for the variable, and no buffer.
    """
    type_ = deref(race.type) if isinstance(race.file.underlying(race.type), Pointer) else None
    return (
        isinstance(type_, Named)
        and not is_buffer(race.type)
        and not any(a.writes and a.steps for a in race.racing)
    )


def slow_parts(race: Race, root: Node) -> list[Node]:
    """Return the outermost slow expressions below a node, in source order."""
    found: list[Node] = []
    for node in root.own():
        if is_slow(race, node) and not any(f.contains(node) for f in found):
            found.append(node)
    return found
