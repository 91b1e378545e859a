"""What a test runs, when all of that can run in a bubble of testing/synctest.

In a bubble time stands still until every goroutine waits for another one of the bubble; files,
networks and locks do not count as such a wait, and what was made outside must not be waited
for. So all code has to be visible, must keep to what lives in memory, and no package variable
may bring channels or locks from outside.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from threadmend.golang.builders import PREDECLARED
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, launches_in
from threadmend.golang.package import Decl
from threadmend.golang.syntax import Node
from threadmend.golang.targets import Body, bodies_of_value, targets
from threadmend.golang.types import Chan, Func, Named, is_named

from ._elapsed import measures

__all__ = ["Reach", "explored", "is_pause", "name_of"]

_MOST = 60  # bodies
_PURE = frozenset(
    {
        "bytes", "cmp", "context", "errors", "hash/crc32", "hash/fnv", "iter", "maps", "math",
        "math/bits", "math/rand", "math/rand/v2", "path", "slices", "sort", "strconv",
        "strings", "sync", "sync/atomic", "unicode", "unicode/utf8", "container/heap",
        "container/list", "container/ring", "encoding/hex", "encoding/base64", "encoding/binary",
        "go.uber.org/atomic", "golang.org/x/sync/errgroup",
    }
)  # fmt: skip
_ALLOWED = {
    "fmt": re.compile(r"[SF]?[Pp]rint|Append|Errorf"),
    "reflect": re.compile(r"DeepEqual"),
    "log": re.compile(r"Print"),
    "testing": re.compile(
        r"(?:Cleanup|Context|Errorf?|Fail|FailNow|Failed|Fatalf?|Helper|Logf?|Name"
        r"|Short|Skipf?|SkipNow|Skipped|Verbose)$"
    ),
    # Clocks are read outside of bubbles too: a date may have to be a real one.
    "time": re.compile(r"(?!(?:Until|LoadLocation\w*|Local)$)"),
    "github.com/stretchr/testify/assert": re.compile(r"(?!.*(?:Eventual|Never|HTTP|File|Dir))"),
    "github.com/stretchr/testify/require": re.compile(r"(?!.*(?:Eventual|Never|HTTP|File|Dir))"),
}
_OWN_METHODS = ("context.Context", "context.CancelFunc", "context.CancelCauseFunc", "sync.Locker")
_NAMES = frozenset({"identifier", "selector_expression"})
_CLOCKS = re.compile(r"(?:After|AfterFunc|NewTimer|NewTicker|Tick|Reset)$")
_DEADLINES = re.compile(r"With(?:Timeout|Deadline)")


@dataclass
class Reach:
    """The bodies that a test runs, what they call, and the goroutines that they launch."""

    bodies: list[Body] = field(default_factory=list)
    calls: dict[Node, list[tuple[Node, Body]]] = field(default_factory=dict)
    """By body: the calls in it, with the bodies that they run."""
    sites: dict[Node, list[tuple[GoFile, Node]]] = field(default_factory=dict)
    """By body: where it is called."""
    launches: list[tuple[Body, Launch]] = field(default_factory=list)
    sleeps: list[Node] = field(default_factory=list)
    values: list[Body] = field(default_factory=list)
    """Functions that are used as values, literals that are not launched included."""
    open_calls: list[tuple[Body, Node]] = field(default_factory=list)
    """Calls of function values: any of them."""
    has_clock: bool = False
    """Whether a timer, a ticker or a deadline plays a part."""


def explored(file: GoFile, test: Node, outside: Sequence[Node] = ()) -> Reach | None:
    """Return what a test runs; None when something in it does not go into a bubble.

    Statements that stay outside of it are not looked at.
    """
    reach = Reach()
    pending = [Body(file, test)]
    known = {test}
    while pending:
        body = pending.pop()
        if len(reach.bodies) == _MOST or body.file.imports_path("C"):
            return None
        reach.bodies.append(body)
        found = _looked_at(reach, body, outside)
        if found is None:
            return None
        for called in (*found, *reach.values):
            seen = any(
                b.node.tree is called.node.tree and b.node.contains(called.node)
                for b in reach.bodies
            )
            if called.node not in known and not seen:
                known.add(called.node)
                pending.append(called)
    for body, call in reach.open_calls:
        for value in reach.values:
            _note(reach, body, call, value)
    return reach


def _note(reach: Reach, body: Body, call: Node, called: Body) -> None:
    reach.calls.setdefault(body.node, []).append((call, called))
    reach.sites.setdefault(called.node, []).append((body.file, call))


def name_of(call: Node) -> str:
    """Return the last name of what a call calls."""
    function = call["function"]
    return function["field"].name if function.kind == "selector_expression" else function.name


def _looked_at(reach: Reach, body: Body, outside: Sequence[Node]) -> list[Body] | None:
    """Return the bodies that a body calls, after looking at everything in it."""
    file, found = body.file, []
    reach.launches += [(body, launch) for launch in launches_in(file, body.node)]
    for node in body.node.walk():
        if any(statement.contains(node) for statement in outside):
            continue
        if node.kind == "call_expression":
            called = _called(reach, body, node)
            if called is None:
                return None
            for one in called:
                _note(reach, body, node, one)
            found += called
        elif node.kind == "func_literal":
            if not _is_run_here(node):
                reach.values.append(Body(file, node))
        elif not _is_allowed(file, node):
            return None
        elif node.kind in _NAMES and node.field not in {"function", "name"}:
            reach.values += _as_value(file, node)
    return found


def _is_run_here(literal: Node) -> bool:
    """Return whether a literal is called where it stands, also as a goroutine or deferred."""
    return literal.field == "function"


def _as_value(file: GoFile, node: Node) -> list[Body]:
    """Return the function or method of the project that a name stands for as a value."""
    decl = file.package.workspace.inference.function_decl(node)
    if decl is None or not decl.sound or decl.file.path.startswith("$table/"):
        return []
    return [Body(decl.file, decl.node, decl)] if decl.has_body else []


# -- calls ---------------------------------------------------------------------------------------


def _called(reach: Reach, body: Body, call: Node) -> list[Body] | None:
    """Return the bodies that a call may run, None when it may do what a bubble does not take."""
    file, function = body.file, call["function"]
    while function.kind == "parenthesized_expression":
        function = function.children[0]
    if function.kind == "func_literal" or function.kind.endswith("_type"):
        return []
    if function.kind == "identifier" and file.resolve(function) is None:
        return [] if function.name in PREDECLARED else None
    if _is_type(file, function) or _is_own_method(file, function):
        return []
    decl = file.callee(call)
    if decl is not None and decl.file.path.startswith("$table/"):
        return _run_by(file, call) if _takes(reach, file, decl, call) else None
    found = targets(file, call)
    if found.complete and found.bodies:
        return list(found.bodies)
    if decl is None and _is_value(file, function):
        # It came from code that was looked at: there is no other way into a bubble.
        reach.open_calls.append((body, call))
        return []
    return None


def _is_value(file: GoFile, function: Node) -> bool:
    """Return whether what is called is a function in a variable or field, or a result."""
    if not isinstance(file.underlying(file.type_of(function)), Func):
        return False
    if function.kind == "selector_expression":
        found = file.selection(function)
        return found is not None and found.kind == "field"
    return function.kind in {"identifier", "call_expression", "index_expression"}


def _is_type(file: GoFile, function: Node) -> bool:
    if function.kind == "identifier":
        meant = file.resolve(function)
        return isinstance(meant, Decl) and meant.kind == "type"
    if function.kind == "selector_expression":
        found = file.selection(function)
        return found is not None and found.decl is not None and found.decl.kind == "type"
    return False


def _is_own_method(file: GoFile, function: Node) -> bool:
    """Return whether a call is of a context, a cancel function, a Locker or an error."""
    if is_named(file.type_of(function), *_OWN_METHODS):
        return True
    if function.kind != "selector_expression":
        return False
    type_, name = file.type_of(function["operand"]), function["field"].name
    if is_named(type_, "testing.TB"):
        return _ALLOWED["testing"].match(name) is not None
    return is_named(type_, *_OWN_METHODS) or type_ == Named("", "error")


def _takes(reach: Reach, file: GoFile, decl: Decl, call: Node) -> bool:
    """Return whether a function of a known package goes into a bubble; note clocks."""
    path, name = decl.file.package.path, decl.name
    if path == "time" and name == "Sleep":
        reach.sleeps.append(call)
    elif (path == "time" and _CLOCKS.match(name)) or _DEADLINES.match(name):
        reach.has_clock = True
    if path == "time" and name in {"Now", "Since"}:
        return measures(file, call)
    if path == "sync" and (name == "NewCond" or decl.receiver == "Cond"):
        return False
    allowed = _ALLOWED.get(path)
    return path in _PURE or (allowed is not None and allowed.match(name) is not None)


def _run_by(file: GoFile, call: Node) -> list[Body] | None:
    """Return the bodies of functions that are handed to a known one: `once.Do(s.close)`."""
    found: list[Body] = []
    for argument in call["arguments"].children:
        if argument.kind in {"identifier", "selector_expression"}:
            found += [b for b in bodies_of_value(file, argument).bodies if b.decl is not None]
    return found


# -- names ---------------------------------------------------------------------------------------


def _is_allowed(file: GoFile, node: Node) -> bool:
    """Return whether a node names no package variable, or one that nobody can wait for."""
    meant: object = None
    if node.kind == "identifier" and node.name != "_":
        meant = file.resolve(node)
    elif node.kind == "selector_expression":
        found = file.selection(node)
        meant = found.decl if found is not None and found.kind == "package" else None
    if not isinstance(meant, Decl) or meant.kind != "var":
        return True
    return _is_plain(file, meant)


def _is_plain(file: GoFile, decl: Decl) -> bool:
    """Return whether a package variable holds an error or a plain value: nothing to wait for."""
    type_ = file.package.workspace.inference.decl_type(decl)
    under = file.underlying(type_)
    is_error = type_ == Named("", "error") or re.match(r"[eE]rr[A-Z_]|EOF$", decl.name)
    return bool(is_error) or (isinstance(under, Named) and under.package == "")


# -- pauses --------------------------------------------------------------------------------------


def is_pause(file: GoFile, node: Node) -> bool:
    """Return whether a goroutine may wait at a node, mutexes left aside."""
    if node.kind == "send_statement":
        return True
    if node.kind == "select_statement":
        return not any(c.kind == "default_case" for c in node.children)
    if node.kind == "unary_expression":
        return node["operator"].kind == "<-"
    if node.kind == "range_clause":
        under = file.underlying(file.type_of(node["right"]))
        return under is None or isinstance(under, Chan)
    if node.kind == "call_expression":
        return name_of(node) in {"Sleep", "Wait", "Acquire"}
    return False
