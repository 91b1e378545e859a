"""Signals that each goroutine gives for itself: by a method that only closes, on its own object.

func (l *latch) open() { close(l.opened) }     func (l *latch) wait() { <-l.opened }

for _, job := range jobs {
    s := newStep(job)               // has a latch of its own
    go s.apply()                    // … s.open(), but where it fails
    steps = append(steps, s)
}
"""

from __future__ import annotations

from threadmend.golang.calls import callers
from threadmend.golang.channel_index import Behind
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, launch_of_literal, launch_sites
from threadmend.golang.locks import declaration_of
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding, resolve_local
from threadmend.golang.setup import makes
from threadmend.golang.syntax import Node

__all__ = ["closing_call", "is_awaited", "is_of_each", "only_closes"]


def only_closes(decl: Decl | None) -> Node | None:
    """Return the `close(l.opened)` that is all a method does, with a channel of its object."""
    if decl is None or decl.kind != "method" or not decl.sound or not decl.has_body:
        return None
    statements = decl.node["body"].statements
    if len(statements) != 1 or statements[0].kind != "expression_statement":
        return None
    call = statements[0].children[0]
    if call.kind != "call_expression" or call["function"].text != b"close":
        return None
    arguments = call["arguments"].children
    operand = arguments[0] if len(arguments) == 1 else None
    if operand is None or operand.kind != "selector_expression":
        return None
    root = resolve_local(operand["operand"]) if operand["operand"].kind == "identifier" else None
    return call if root is not None and root.kind == "receiver" else None


def closing_call(file: GoFile, statement: Node) -> tuple[Decl, Node] | None:
    """Return the method that a statement calls, and its close, where it does nothing else."""
    call = statement.children[0] if statement.kind == "expression_statement" else None
    if call is None or call.kind != "call_expression" or call["arguments"].children:
        return None
    if call["function"].kind != "selector_expression":
        return None
    decl = file.callee(call)
    close = only_closes(decl)
    return (decl, close) if decl is not None and close is not None else None


def is_awaited(receive: ChannelOperation) -> bool:
    """Return whether somebody comes to a receive: a method that does nothing else is called."""
    function = receive.node.function
    if function is None or function.kind != "method_declaration":
        return True
    if len(function["body"].statements) != 1:
        return True
    decl = declaration_of(receive.file, function)
    if decl is None or decl.exported:
        return True
    return any(s.call is not None for s in callers(decl).in_code())


def is_of_each(file: GoFile, body: Node, operand: Node, channel: Behind) -> bool:
    """Return whether each goroutine that a loop launches has a channel of its own to close.

    It is made in the round, or in an object that is.
    """
    launches = _launches(file, body)
    if len(launches) != 1 or launches[0].loop is None:
        return False
    launch, loop = launches[0], launches[0].loop
    if channel.local:
        return all(loop.contains(c.make) for c in channel.local)
    root = _root(operand)
    if channel.shared is None or root is None or channel.shared.stores:
        return False
    if root.kind == "receiver" and root.function is body:
        called = launch.call["function"].get("operand") if launch.call is not None else None
        root = resolve_local(called) if called is not None and called.kind == "identifier" else None
    return root is not None and _is_made_in(root, loop)


def _launches(file: GoFile, body: Node) -> list[Launch]:
    if body.kind == "func_literal":
        launch = launch_of_literal(file, body)
        return [launch] if launch is not None else []
    decl = declaration_of(file, body)
    return launch_sites(file.package).get(decl.key, []) if decl is not None else []


def _root(path: Node) -> Binding | None:
    while path.kind == "selector_expression":
        path = path["operand"]
    return resolve_local(path) if path.kind == "identifier" else None


def _is_made_in(binding: Binding, loop: Node) -> bool:
    value = binding.value
    return loop["body"].contains(binding.node) and value is not None and makes(value)
