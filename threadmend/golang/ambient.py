"""Ambient contexts: under which context a place runs, and where work leaves it on purpose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.branches import decisions, spelt_out
from threadmend.golang.closures import Search
from threadmend.golang.contexts import awaits_end
from threadmend.golang.joins import is_joined
from threadmend.golang.node import parenthesized
from threadmend.golang.scope import Binding
from threadmend.golang.stops import visible
from threadmend.golang.subtests import TESTS
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import is_named

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["CLEANUP", "Ambient", "ambient", "left", "speaks_of_detachment"]

CLEANUP = re.compile(
    r"(?i)clos|shut|stop|clean|roll_?back|release|unlock|tear_?down|abort|revoke|resign"
    r"|undo|kill|terminat|flush|drain|destroy|umount|unmount|detach"
)
"""Names of work that has to be done even though the context has ended."""

_ORDER = ("context", "request", "command", "test")


@dataclass(frozen=True, slots=True)
class Ambient:
    """The context that a place runs under: `text` is its expression.

    `kind` is `context` for a variable, else what has it: `request`, `command`, `test`.
    """

    text: str
    kind: str
    binding: Binding


def ambient(file: GoFile, node: Node, *, parent: bool = False) -> Ambient | None:
    """Return the context of the innermost function around a node that has one.

    With `parent` it is to take the place of `context.Background()`: one with a time limit of
    its own, or derived from Background itself, was made for something else.
    """
    found = sorted(_candidates(file, node, parent), key=lambda a: _ORDER.index(a.kind))
    found = [a for a in found if not _is_special(a, found)]
    for function in node.ancestors():
        if function.kind in FUNCTIONS:
            for candidate in found:
                if candidate.binding.function is function:
                    return candidate
    return None


def _candidates(file: GoFile, node: Node, parent: bool) -> Iterator[Ambient]:
    type_of = file.package.workspace.inference.binding_type
    for binding in visible(node):
        name = binding.name
        type_ = type_of(binding)
        if type_ is None or name == "_":
            continue
        if is_named(type_, "context.Context"):
            if not _is_made_up(binding, parent):
                yield Ambient(name, "context", binding)
        elif binding.kind == "parameter":
            if is_named(type_, "net/http.Request"):
                yield Ambient(f"{name}.Context()", "request", binding)
            elif is_named(type_, "github.com/spf13/cobra.Command"):
                yield Ambient(f"{name}.Context()", "command", binding)
            elif is_named(type_, *TESTS) and file.go_version >= (1, 24):
                yield Ambient(f"{name}.Context()", "test", binding)


_LIMITS = re.compile(rb"context\.With(?:Timeout|Deadline)(?:Cause)?\(\s*(\w+)\b")


def _is_special(one: Ambient, found: list[Ambient]) -> bool:
    """Return whether a context was made, with a limit, for some of the work only.

    `dialCtx, cancel := context.WithTimeout(ctx, …)`, where ctx is in scope as well.
    """
    values = one.binding.declaration.get("right")
    if one.kind != "context" or one.text == "ctx" or values is None:
        return False
    limited = _LIMITS.match(values.text)
    return limited is not None and any(
        other.kind == "context"
        and other.text == limited[1].decode()
        and other.binding is not one.binding
        and other.binding.function is one.binding.function
        for other in found
    )


_ENDLESS = re.compile(rb"context\.(?:Background|TODO)\(\)|nil|context\.WithoutCancel\(.*", re.S)
_OWN = re.compile(rb"\bcontext\.(?:Background|TODO|WithTimeout\w*|WithDeadline\w*)\(")


def _is_made_up(binding: Binding, parent: bool) -> bool:
    """Return whether a variable holds a context that is not that of its surroundings."""
    values = binding.declaration.get("right") or binding.declaration.get("value")
    if values is None or binding.kind != "variable":
        return binding.kind == "variable"  # `var ctx context.Context`: nil for now
    if _ENDLESS.fullmatch(values.text):
        return True
    return parent and _OWN.search(values.text) is not None


# -- work that leaves its context ------------------------------------------------------


_LEAVES = {"go_statement": "goroutine", "defer_statement": "deferred call"}


def left(file: GoFile, node: Node, context: Ambient) -> str:
    """Return how a place runs outside of the life of a context, `""` when it runs within.

    `goroutine`, `deferred call`, `function value` (handed to code that cannot be seen, or
    kept), `cleanup` (by the names of the functions around it, or that record a failure),
    `afterwards` (the context has ended when the place is reached).
    """
    boundary = context.binding.function
    found = ""
    for outer in node.ancestors():
        if outer.kind in _LEAVES and not is_joined(file, outer):
            found = found or _LEAVES[outer.kind]
        if outer.kind == "func_literal" and outer is not boundary:
            how = _handed(file, outer)
            if how:  # a callback may run at any time, whatever it begins
                return how
        if outer is boundary or outer.kind in {"function_declaration", "method_declaration"}:
            break
    if found or _is_passed_for_nothing(file, context):
        return found or "goroutine"
    if _is_cleanup(node) or _tells_failure(file, boundary):
        return "cleanup"
    return "afterwards" if _has_ended(file, node, context) else ""


def _is_passed_for_nothing(file: GoFile, context: Ambient) -> bool:
    """Return whether a goroutine gets the context of who launches it, and makes no use of it.

    `go func(ctx context.Context) { s.tell(context.Background()) }(ctx)`
    """
    literal, binding = context.binding.function, context.binding
    if literal is None or literal.kind != "func_literal" or binding.kind != "parameter":
        return False
    call = literal.parent
    started = call.parent if call is not None and call.kind == "call_expression" else None
    if started is None or started.kind != "go_statement" or is_joined(file, started):
        return False
    return all(use is binding.node for use in binding.uses)


def _is_cleanup(node: Node) -> bool:
    for function in node.ancestors():
        name = function.get("name") if function.kind in FUNCTIONS else None
        if name is not None and CLEANUP.search(name.name) and not _TEST.match(name.name):
            return True
    return False


def _tells_failure(file: GoFile, function: Node | None) -> bool:
    """Return whether a function is given the error that it records: the context may be its cause.

    `func (q *Queue) markFailed(ctx context.Context, job *Job, cause error) error`
    """
    parameters = function.get("parameters") if function is not None else None
    for parameter in parameters.children if parameters is not None else ():
        type_ = parameter.get("type")
        if type_ is not None and is_named(file.type_from(type_), ".error"):
            return True
    return False


_TEST = re.compile(r"(?:Test|Benchmark|Fuzz|Example)(?![a-z])")


_IN_PLACE = frozenset(
    {
        *("sort", "slices", "strings", "bytes", "maps", "path/filepath", "io/fs"),
        *("iter", "database/sql", "sync"),
    }
)


# Functions that keep what they are given, by their names.
_KEEPS = re.compile(
    r"(?:[Nn]ew|[Mm]ake|[Ww]ith|[Oo]n|[Rr]egister|[Ss]et|[Aa]dd|[Ss]ubscribe|[Ss]tart|[Hh]andle)(?![a-z])"
)


def _handed(file: GoFile, literal: Node) -> str:
    """Return how a literal's code runs otherwise than in place."""
    parent = parenthesized(literal).parent
    if parent is None:
        return "function value"
    if parent.kind == "call_expression":  # func() {…}()
        return ""
    call = parent.parent if parent.kind == "argument_list" else None
    if call is None or call.kind != "call_expression":
        return "function value"
    function = literal.function
    if function is None or Search(file, function).value(literal) is not None:
        return "function value"
    decl = file.callee(call)
    if decl is None or _KEEPS.match(decl.name):
        return "function value"
    package = decl.file.package
    seen = package.module is not None and decl.has_body
    return "" if seen or package.path in _IN_PLACE else "function value"


def _has_ended(file: GoFile, node: Node, context: Ambient) -> bool:
    """Return whether the context is done, or was cancelled, on the way to a node."""
    text = re.escape(context.text.encode())
    around = context.binding.function
    done = awaits_end(around if around is not None else node, context.text.encode())
    failed = re.compile(rb"\b" + text + rb"\.Err\(\)\s*!=\s*nil|context\.Cause\(" + text)
    asked = decisions(node, around)
    if any(d.holds and failed.search(spelt_out(file, d.condition)) for d in asked):
        return True
    below: Node = node
    for outer in node.ancestors():
        if outer.kind == "communication_case" and below.field != "communication":
            if done.search(outer["communication"].text):
                return True
        if outer.kind in _SEQUENCES:
            for statement in outer.statements:
                if statement.start >= below.start:
                    break
                if _ends(statement, done):
                    return True
        if outer is around:
            break
        below = outer
    return False


_SEQUENCES = frozenset({"block", "expression_case", "type_case", "communication_case"})
_CANCELS = re.compile(rb"(?i)\w*cancel\w*\((?:\w*)\)|\w+\.Wait\(\)")
_HOLD_SELECTS = frozenset({"select_statement", "for_statement", "labeled_statement"})
_LEAVING = re.compile(rb"(?:return|continue|goto)\b|(?:panic|os\.Exit|log\.Fatal\w*)\(")
_RETURNS = re.compile(rb"return\b|(?:panic|os\.Exit|log\.Fatal\w*)\(")


def _ends(statement: Node, done: re.Pattern[bytes]) -> bool:
    if statement.kind == "expression_statement":  # <-ctx.Done(), cancel(), g.Wait()
        return bool(done.search(statement.text) or _CANCELS.fullmatch(statement.text))
    if statement.kind in _HOLD_SELECTS:
        # in a loop, too: for { select { case <-ctx.Done(): break loop … } }
        leaving = _RETURNS if statement.kind != "select_statement" else _LEAVING
        for clause in statement.find("communication_case"):
            if done.search(clause["communication"].text):
                return not any(leaving.match(s.text) for s in clause.statements)
    return False


_SAYS = re.compile(
    rb"(?i)detach|outliv|background|independ|cancel|shut|own context|separate|regardless"
    rb"|even if|even when|intention|deliberate|on purpose|don't use|do not use|lifetime|new context"
)


_NAMED = re.compile(rb"(?i)\b(?:background|detached|fresh|separate) context|context\.Background")
_EXCUSED = re.compile(rb"//nolint:[\w,]*(?:contextcheck|noctx)")


def speaks_of_detachment(file: GoFile, node: Node) -> bool:
    """Return whether a comment gives a reason for another context.

    It stands at the statement, or further up in the function and names such a context.
    """
    statement = node.statement or node
    source = file.source
    for outer in node.ancestors():
        if outer.kind in FUNCTIONS and outer.kind != "func_literal":
            break
        if outer.kind.endswith("statement"):
            line = file.data[source.line_start(outer.start) : source.line_end(outer.start)]
            if _EXCUSED.search(line):
                return True
    function = node.function
    before = file.tree.comments_in(function.start, statement.start) if function is not None else ()
    if any(_NAMED.search(file.data, c.start, c.end) for c in before):
        return True
    start = source.line_start(statement.start)
    while start > 0:  # the comment lines right above
        above = source.line_start(start - 1)
        if not file.data[above:start].lstrip().startswith(b"//"):
            break
        start = above
    end = source.line_end(node.end)
    comments = file.tree.comments_in(start, end)
    return any(_SAYS.search(file.data[c.start : c.end]) for c in comments)
