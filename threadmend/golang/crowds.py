"""Crowds: functions that several goroutines run at the same time, on one object.

    for range n { go s.work() }        // work, on s
    http.HandleFunc("/", s.serve)      // serve: one goroutine for each request
    for range n { go func() { c.Inc() }() }    // Inc, on c

Followed from the launches of a package and its HTTP handlers through calls whose callee is
certain. A launch in a loop that waits in each of its rounds runs one at a time.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import is_assigned_once, variable_meant
from threadmend.golang.calls import code_callers, code_files
from threadmend.golang.goroutines import (
    Launch,
    captures,
    innermost_loop,
    launch_of_literal,
    launches_in,
    or_spawning,
)
from threadmend.golang.iterations import ends_after
from threadmend.golang.locks import declaration_of, runs_in_place
from threadmend.golang.one_request import is_of_one_request
from threadmend.golang.scope import Binding, bindings_in
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.targets import targets
from threadmend.golang.types import Interface, Pointer, deref, is_named

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package

__all__ = ["HANDLER", "Crowd", "crowds", "is_made_anew", "overlaps", "own_nodes", "runs_along"]

HANDLER = "an HTTP handler"  # why a server runs a function in several goroutines
_DEPTH = 3
_PATHS = frozenset({"identifier", "selector_expression"})
_STARTS = re.compile(rb"\bgo\s+[\w(]|\.Go\(|\bResponseWriter\b")


@dataclass(frozen=True, slots=True)
class Crowd:
    """A body that several goroutines run at once.

    `shared` are its variables that mean one object for all of them: the receiver, pointer
    parameters, captured variables. `root` is what starts them (a launch's statement or the
    handler's function), `why` says so in words; `path` the calls from there, outermost first.
    """

    file: GoFile
    body: Node
    shared: frozenset[Binding]
    root: Node
    why: str
    path: tuple[Node, ...] = ()


def crowds(package: Package) -> list[Crowd]:
    """Return the crowds of a package, those started in test files left out."""
    known: list[Crowd] | None = package.facts.get("crowds")
    if known is None:
        known = package.facts["crowds"] = []
        seen: dict[tuple[Node, frozenset[Binding]], Crowd] = {}
        for root in _roots(package):
            for crowd in _followed(root, _DEPTH):
                seen.setdefault((crowd.body, crowd.shared), crowd)
        known.extend(seen.values())
    return known


def _roots(package: Package) -> Iterator[Crowd]:
    for file in code_files(package):
        starts = or_spawning(package, _STARTS)
        if file.generated or not file.holds(starts):
            continue
        for declaration in file.declarations(starts):
            found = [x for x in launches_in(file, declaration.node) if x.kind != "timer"]
            for launch in found:
                crowd = _launched(file, launch, found)
                if crowd is not None:
                    yield crowd
            yield from _handlers(file, declaration.node)
    yield from _called_back(package)


# -- launches -------------------------------------------------------------------------


def _launched(file: GoFile, launch: Launch, others: list[Launch]) -> Crowd | None:
    body = launch.body
    if body is None:
        return None
    if launch.decl is not None:
        file_of_body = launch.decl.file
        shared = _of_call(file, launch, body)
    else:
        file_of_body = file
        shared = frozenset(captures(body))
    loop = launch.loop
    if loop is not None and overlaps(loop, launch):
        shared = frozenset(b for b in shared if not _declared_in(file, b, loop, launch, body))
        return Crowd(file_of_body, body, shared, launch.node, "launched in a loop")
    again = _launched_again(launch, others)
    if again:
        shared = frozenset(
            b for b in shared if any(_is_given_to(launch, o, body, b) for o in again)
        )
        return Crowd(file_of_body, body, shared, launch.node, "launched more than once")
    return None


def _of_call(file: GoFile, launch: Launch, body: Node) -> frozenset[Binding]:
    call = launch.runs
    return frozenset(_passed(file, call, body, None)) if call is not None else frozenset()


def _declared_in(file: GoFile, binding: Binding, loop: Node, launch: Launch, body: Node) -> bool:
    """Return whether each round of a loop has an object of its own for a variable."""
    if body.contains(binding.node):
        # A receiver or parameter of the launched function: look at what is passed for it.
        call = launch.runs
        given = _given(call, body, binding) if call is not None else None
        outer = file.binding(_root(given)) if given is not None else None
        if outer is None:
            return given is not None and _root(given).kind != "identifier"
        return loop.contains(outer.node) or is_made_anew(outer, loop, launch)
    return loop.contains(binding.node) or is_made_anew(binding, loop, launch)


def is_made_anew(binding: Binding, loop: Node, launch: Launch) -> bool:
    """Return whether the loop's body assigns a variable before the launch: `w = &worker{}`."""
    for use in binding.uses:
        statement = use.statement
        if statement is None or statement.kind != "assignment_statement":
            continue
        if statement.parent is loop["body"] and statement.end <= launch.node.start:
            if use.parent is statement["left"]:
                return True
    return False


def overlaps(loop: Node, launch: Launch) -> bool:
    """Return whether the next round of a loop launches while what this one launched may run:
    none waits (`go f(); <-done`), and the launch is not what ends the loop.
    """
    waits = any(not launch.node.contains(node) and _is_wait(node) for node in loop.walk())
    return not waits and not ends_after(loop, launch.node)


def _is_wait(node: Node) -> bool:
    if node.kind == "unary_expression":
        return node["operator"].kind == "<-"
    if node.kind == "call_expression" and node["function"].kind == "selector_expression":
        return node["function"]["field"].name == "Wait"
    return node.kind in {"select_statement", "receive_statement"}


def _launched_again(launch: Launch, others: list[Launch]) -> list[Launch]:
    """Return the other launches of the same named function, without a wait on the way there."""
    if launch.decl is None or launch.call is None:
        return []
    text = launch.call["function"].text
    return [
        o
        for o in others
        if o is not launch
        and o.decl is not None
        and o.decl.key == launch.decl.key
        and o.call is not None
        and o.call["function"].text == text
        and o.function is launch.function
        and not _waits_between(launch, o)
    ]


def _waits_between(launch: Launch, other: Launch) -> bool:
    """Return whether the launching function waits after one launch, and before the other."""
    function = launch.function
    if function is None:
        return False
    start, end = sorted((launch.node, other.node), key=lambda n: n.start)
    return any(start.end <= node.start < end.start and _is_wait(node) for node in function.own())


def _is_given_to(launch: Launch, other: Launch, body: Node, binding: Binding) -> bool:
    """Return whether two launches hand one and the same thing to a receiver or parameter."""
    our, their = launch.runs, other.runs
    if our is None or their is None or binding.scope is not body:
        return True
    ours, theirs = _given(our, body, binding), _given(their, body, binding)
    return ours is not None and theirs is not None and ours.text == theirs.text


# -- callbacks ------------------------------------------------------------------------


def _called_back(package: Package) -> Iterator[Crowd]:
    """Yield the methods that a field keeps, and that a goroutine of each notice calls.

    `b.on(t.moved)`, where `publish` does `for _, h := range b.handlers { go h(e) }` and waits for
    none of them: the next notice comes while the one before is still being worked on.
    """
    from threadmend.golang.kept_calls import is_kept, kept_calls

    for decl in package.functions():
        if decl.kind != "method" or decl.file.is_test or decl.file.generated or not is_kept(decl):
            continue
        shared = frozenset(_receivers(decl.file, decl.node))
        for file, call in (kept_calls(decl, every=False) or ()) if shared else ():
            launch = _launch_around(file, call)
            if launch is not None and _goes_on(file, launch):
                yield Crowd(decl.file, decl.node, shared, launch.node, "called back in a goroutine")
                break


def _launch_around(file: GoFile, call: Node) -> Launch | None:
    """Return the launch of a goroutine that runs a call and not much else, once."""
    if call.is_launched and call.parent is not None:
        return launch_of_literal(file, call.parent)
    literal = call.function
    if literal is None or literal.kind != "func_literal" or innermost_loop(call) is not None:
        return None
    launch = launch_of_literal(file, literal)
    return launch if launch is not None and launch.literal is literal else None


def _goes_on(file: GoFile, launch: Launch) -> bool:
    """Return whether a function launches, waits for nothing, and is called again and again."""
    from threadmend.golang.repeats import is_called_again

    function, loop = launch.function, launch.loop
    if function is None or function.kind == "func_literal" or launch.kind == "timer":
        return False
    if any(_is_wait(node) for node in function.own()):
        return False
    if loop is not None and _is_endless(loop):
        return False
    return is_called_again(file, launch)


def _is_endless(loop: Node) -> bool:
    return not any(c.kind in {"range_clause", "for_clause"} for c in loop.children)


# -- handlers -------------------------------------------------------------------------


def _handlers(file: GoFile, declaration: Node) -> Iterator[Crowd]:
    """Yield the functions of an HTTP handler's shape: the server runs one per request."""
    for function in declaration.find(*FUNCTIONS):
        if _is_handler(file, function):
            if _is_only_called(file, function):
                continue  # by a handler perhaps: it is followed from there
            if _is_served_here(function):
                continue  # once, for the one request that is at hand
            if function.kind == "func_literal":
                captured = captures(function)
                shared = frozenset(v for v in captured if not is_of_one_request(file, v))
            else:
                shared = frozenset(_receivers(file, function))
            yield Crowd(file, function, shared, function, HANDLER)


def _is_handler(file: GoFile, function: Node) -> bool:
    parameters = function.get("parameters")
    if parameters is None or len(parameters.children) != 2:
        return False
    if b"ResponseWriter" not in parameters.text:
        return False
    types = [file.type_from(p.get("type")) for p in parameters.children]
    return is_named(types[0], "net/http.ResponseWriter") and is_named(types[1], "net/http.Request")


def _is_served_here(function: Node) -> bool:
    """Return whether a handler is called where it is made: `wrap(func(…) {…}).ServeHTTP(w, r)`."""
    for outer in function.ancestors():
        if outer.kind in FUNCTIONS or outer.kind.endswith("_statement"):
            return False
        if outer.kind == "call_expression" and outer["function"].kind == "selector_expression":
            called = outer["function"]
            if called["field"].name == "ServeHTTP" and called["operand"].contains(function):
                return True
    return False


def _is_only_called(file: GoFile, function: Node) -> bool:
    """Return whether code calls a function of a handler's shape, and nobody registers it."""
    name = function.get("name")
    decl = declaration_of(file, function)
    if name is None or decl is None or name.name == "ServeHTTP":
        return False
    sites = code_callers(decl)
    return bool(sites) and all(s.call is not None and not s.launched for s in sites)


def _receivers(file: GoFile, function: Node) -> Iterator[Binding]:
    for group in bindings_in(function).values():
        for binding in group:
            if binding.kind == "receiver" and _is_pointer(file, binding):
                yield binding


def _is_pointer(file: GoFile, binding: Binding) -> bool:
    return isinstance(file.type_of(binding.node), Pointer)


# -- calls ----------------------------------------------------------------------------


def own_nodes(file: GoFile, body: Node) -> Iterator[Node]:
    """Yield the nodes that run when a body runs: those of literals run in place included."""
    nodes, literals = body.tree.nodes, body.tree.literals
    at, stop = body.at, body.stop
    first = bisect_right(literals, at)
    for literal in literals[first : bisect_left(literals, stop, first)]:
        if literal >= at and not runs_along(file, nodes[literal]):
            yield from nodes[at : literal + 1]
            at = nodes[literal].stop
    yield from nodes[at:stop]


def runs_along(file: GoFile, literal: Node) -> bool:
    """Return whether a literal runs with the function around it, in place or when it ends."""
    if runs_in_place(file, literal):
        return True
    call = literal.parent
    return (
        call is not None
        and call.kind == "call_expression"
        and literal.field == "function"
        and call.parent is not None
        and call.parent.kind == "defer_statement"
    )


def _followed(crowd: Crowd, depth: int) -> Iterator[Crowd]:
    yield crowd
    if depth == 0:
        return
    file = crowd.file
    for node, decl in _own_calls(file, crowd.body):
        body = decl.node
        if body is crowd.body or any(body.contains(step) for step in crowd.path):
            continue
        shared = frozenset(_passed(file, node, body, crowd.shared))
        inner = Crowd(decl.file, body, shared, crowd.root, crowd.why, (*crowd.path, node))
        yield from _followed(inner, depth - 1)


def _own_calls(file: GoFile, body: Node) -> list[tuple[Node, Decl]]:
    """Return the calls of a body with the function of the package that each runs."""
    known: dict[Node, list[tuple[Node, Decl]]] = file.package.facts.setdefault("own calls", {})
    found = known.get(body)
    if found is None:
        found = known[body] = []
        for node in own_nodes(file, body):
            if node.kind == "call_expression" and not node.is_launched:
                decl = file.callee(node) or _only_method(file, node)
                if decl is not None and decl.file.package is file.package and decl.sound:
                    found.append((node, decl))
    return found


def _only_method(file: GoFile, call: Node) -> Decl | None:
    """Return the method that a call through an interface runs, where only one type has it."""
    function = call["function"]
    if function.kind != "selector_expression" or function["operand"].kind not in _PATHS:
        return None
    if not isinstance(file.underlying(file.type_of(function["operand"])), Interface):
        return None
    body = targets(file, call).certain
    decl = body.decl if body is not None else None
    return decl if decl is not None and decl.kind == "method" else None


def _passed(
    file: GoFile, call: Node, body: Node, shared: frozenset[Binding] | None
) -> Iterator[Binding]:
    """Yield the receiver and pointer parameters of a body that get a shared object.

    Without `shared` every variable counts as shared.
    """
    for group in bindings_in(body).values():
        for binding in group:
            if binding.kind not in {"receiver", "parameter"}:
                continue
            own = file.package.workspace.file_of(body)
            if not _is_pointer(own, binding) or not is_assigned_once(binding):
                continue
            given = _given(call, body, binding)
            root = _root(given) if given is not None else None
            if root is None or root.kind != "identifier":
                continue
            if given is not None and not _is_plain_path(file, given):
                continue
            meant = variable_meant(file, root)
            if meant is None or shared is None or meant in shared:
                yield binding


def _is_plain_path(file: GoFile, node: Node) -> bool:
    """Return whether a path leads to the same object every time: no index, no call."""
    while node.kind in {"selector_expression", "parenthesized_expression", "unary_expression"}:
        node = node.children[-1] if node.kind == "unary_expression" else node.children[0]
    return node.kind == "identifier" and deref(file.type_of(node)) is not None


def _given(call: Node, body: Node, binding: Binding) -> Node | None:
    """Return what a call passes for a receiver or parameter."""
    if binding.kind == "receiver":
        function = call["function"]
        return function["operand"] if function.kind == "selector_expression" else None
    names = [n for d in body["parameters"].children for n in (d.all("name") or [d])]
    arguments = call["arguments"].children
    index = next((i for i, n in enumerate(names) if n is binding.node), len(arguments))
    return arguments[index] if index < len(arguments) else None


def _root(node: Node) -> Node:
    while node.kind in {
        *("selector_expression", "parenthesized_expression", "index_expression"),
        "unary_expression",
    }:
        node = node.children[-1] if node.kind == "unary_expression" else node.children[0]
    return node
