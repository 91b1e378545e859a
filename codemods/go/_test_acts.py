"""What a test certainly does before it ends: closes, cancels, waits and receives.

    defer cancel()      close(stop)      wg.Wait()      <-done      defer s.Close()

Objects are told by tokens: a variable by its declaration, a parameter by the argument that it
gets, a field by its type. A context and its cancel function have one token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from threadmend.golang.access import is_assigned_once, lock_class
from threadmend.golang.file import GoFile
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.targets import bodies_of_value, targets

from ._bubble import Reach, name_of

__all__ = ["Acts", "Token", "acts_of", "token_of"]

Token = tuple[str, str, int]

_ENDED: Token = ("context", "of the test", 0)
"""`t.Context()` and what comes from it."""
_DEPTH = 4
_BLOCKS = frozenset(
    {"block", "func_literal", "expression_case", "type_case", "communication_case", "default_case"}
)
_FATAL = re.compile(rb"\.(?:Fatalf?|FailNow)\(|\bpanic\(")
_FROM = re.compile(rb"context\.With\w+\(")
_OF_TEST = re.compile(rb"\b\w+\.Context\(\)")


@dataclass
class Acts:
    """The tokens that are closed, cancelled, waited for and received from."""

    closed: set[Token] = field(default_factory=lambda: {_ENDED})
    waited: set[Token] = field(default_factory=set)
    received: set[Token] = field(default_factory=set)


def token_of(reach: Reach, file: GoFile, node: Node, depth: int = _DEPTH) -> Token | None:
    """Return what tells an object from others; None when it cannot be told."""
    while node.kind == "parenthesized_expression" or (
        node.kind == "unary_expression" and node["operator"].kind == "&"
    ):
        node = node.children[-1] if node.kind == "unary_expression" else node.children[0]
    if node.kind == "call_expression" and _OF_TEST.fullmatch(node.text):
        return _ENDED
    if node.kind == "selector_expression":
        name = lock_class(file, node)
        return ("field", name, 0) if name is not None else None
    binding = file.binding(node)
    if binding is None:
        return None
    if binding.kind == "parameter":
        return _of_argument(reach, binding, depth)
    if not is_assigned_once(binding):
        return None
    declaration = binding.declaration
    values = declaration.get("right")
    if values is not None and _FROM.match(values.text):
        if _OF_TEST.search(values.text):
            return _ENDED
        return ("context", declaration.path, declaration.start)
    if values is not None and _OF_TEST.fullmatch(values.text):
        return _ENDED
    return (f"variable {binding.name}", declaration.path, declaration.start)


def _of_argument(reach: Reach, binding: Binding, depth: int) -> Token | None:
    """Return the token of what a parameter gets, in the only call of its function."""
    function = binding.function
    sites = reach.sites.get(function, []) if function is not None else []
    call = _called_in_place(function)
    if call is not None and function is not None:
        sites = [(f, call) for b in reach.bodies if (f := b.file).path == function.path][:1]
    if len(sites) != 1 or depth == 0 or function is None:
        return None
    file, call = sites[0]
    names = [n for p in function["parameters"].children for n in p.all("name")]
    places = [n.start for n in names]
    given = call["arguments"].children
    if binding.node.start not in places or len(given) != len(places):
        return None
    return token_of(reach, file, given[places.index(binding.node.start)], depth - 1)


def _called_in_place(function: Node | None) -> Node | None:
    """Return the call of `go func(x T) {…}(y)`."""
    call = function.parent if function is not None else None
    return call if call is not None and call.kind == "call_expression" else None


# -- acts ----------------------------------------------------------------------------------------


def acts_of(reach: Reach, file: GoFile, test: Node) -> Acts:
    """Return what a test does in any case, when it does not fail."""
    acts = Acts()
    _collect(reach, acts, file, test["body"].statements, _DEPTH)
    return acts


def _collect(reach: Reach, acts: Acts, file: GoFile, statements: list[Node], depth: int) -> None:
    for statement in statements:
        if statement.kind == "select_statement":
            _select(reach, acts, file, statement)
        elif statement.kind not in {"go_statement", "for_statement"}:
            for node in _certain(statement):
                _act(reach, acts, file, node, depth)
        if any(n.kind == "return_statement" for n in statement.own()):
            return  # the rest may not run


def _certain(statement: Node) -> Iterator[Node]:
    """Yield the nodes of a statement that run whenever it does."""
    pending = [statement]
    while pending:
        node = pending.pop()
        yield node
        if node.kind == "binary_expression" and node["operator"].kind in {"&&", "||"}:
            pending.append(node["left"])
        else:
            pending += [c for c in node.children if c.kind not in _BLOCKS]


def _act(reach: Reach, acts: Acts, file: GoFile, node: Node, depth: int) -> None:
    if node.kind == "unary_expression" and node["operator"].kind == "<-":
        _note(acts.received, token_of(reach, file, node["operand"]))
        return
    if node.kind != "call_expression":
        return
    function, arguments = node["function"], node["arguments"].children
    name = name_of(node)
    if function.kind == "func_literal":
        _collect(reach, acts, file, function["body"].statements, depth)
    elif name == "close" and function.kind == "identifier" and len(arguments) == 1:
        _note(acts.closed, token_of(reach, file, arguments[0]))
    elif function.kind == "identifier" and _is_cancel(file, function):
        _note(acts.closed, token_of(reach, file, function))
    elif name == "Wait" and function.kind == "selector_expression":
        _note(acts.waited, token_of(reach, file, function["operand"]))
    elif name in {"Cleanup", "Do"} and len(arguments) == 1 and depth:
        _handed(reach, acts, file, arguments[0], depth - 1)
    if depth:
        body = targets(file, node).certain
        if body is not None and body.decl is not None:
            _collect(reach, acts, body.file, body.node["body"].statements, depth - 1)


def _is_cancel(file: GoFile, function: Node) -> bool:
    binding = file.binding(function)
    values = binding.declaration.get("right") if binding is not None else None
    return values is not None and _FROM.match(values.text) is not None


def _handed(reach: Reach, acts: Acts, file: GoFile, value: Node, depth: int) -> None:
    """Collect what a function does that is handed to t.Cleanup or once.Do."""
    if value.kind == "identifier" and _is_cancel(file, value):
        _note(acts.closed, token_of(reach, file, value))
        return
    body = bodies_of_value(file, value).certain
    if body is not None:
        _collect(reach, acts, body.file, body.node["body"].statements, depth)
    elif value.kind == "selector_expression" and value["field"].name == "Wait":
        _note(acts.waited, token_of(reach, file, value["operand"]))


def _select(reach: Reach, acts: Acts, file: GoFile, select: Node) -> None:
    """`select { case <-done: case <-time.After(d): t.Fatal() }` receives from done."""
    cases = [c for c in select.children if c.kind in {"communication_case", "default_case"}]
    going = [c for c in cases if not _FATAL.search(c.text)]
    if len(going) == 1 and going[0].kind == "communication_case":
        for node in going[0]["communication"].walk():
            if node.kind == "unary_expression" and node["operator"].kind == "<-":
                _note(acts.received, token_of(reach, file, node["operand"]))


def _note(tokens: set[Token], token: Token | None) -> None:
    if token is not None:
        tokens.add(token)
