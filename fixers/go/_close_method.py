"""Closes in methods: a channel of the object (or of the package), with nothing that guards it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from threadmend.golang.access import Access, access_of
from threadmend.golang.calls import Site
from threadmend.golang.channel_fields import SharedChannel, shared_channel
from threadmend.golang.file import GoFile
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import launch_of_literal
from threadmend.golang.locks import declaration_of, held_at
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding
from threadmend.golang.setup import made_by_setup
from threadmend.golang.syntax import BLOCKS, FUNCTIONS, Node
from threadmend.golang.types import Struct

__all__ = [
    "ENDS",
    "MethodClose",
    "closes_another",
    "decided_at_calls",
    "launched_close",
    "method_close",
    "others_of",
    "outer_closes",
]

ENDS = re.compile(
    r"(?i)^(?:close|stop|shutdown|quit|cancel|halt|kill|finish|end|terminate|destroy|dispose"
    r"|teardown|release|disconnect|abort|exit|done|interrupt|signal|complete|leave|unsubscribe"
    r"|detach|hangup|logout)"
)


@dataclass(slots=True)
class MethodClose:
    """A close of a field or package variable, in a function that may be called again."""

    file: GoFile
    call: Node
    operand: Node
    channel: SharedChannel
    decl: Decl
    access: Access
    select: Node | None = None

    @property
    def statement(self) -> Node:
        parent = self.call.parent
        return parent if parent is not None else self.call


def method_close(file: GoFile, call: Node, ends: re.Pattern[str] = ENDS) -> MethodClose | None:
    """Return the close in a method whose name says that it ends its object, if a call is one."""
    function = call["function"]
    arguments = call["arguments"].children
    if function.kind != "identifier" or file.resolve(function) is not None or len(arguments) != 1:
        return None
    operand = arguments[0]
    outer = call.function
    if outer is None or outer.kind == "func_literal" or not ends.match(outer["name"].name):
        return None
    parent = call.parent
    if parent is None or parent.kind not in {"expression_statement", "defer_statement"}:
        return None
    return _close_in(file, call, operand, outer)


def launched_close(file: GoFile, call: Node) -> MethodClose | None:
    """Return the close in a goroutine that a method launches: `go func() { defer close(p.done)`."""
    literal, arguments = call.function, call["arguments"].children
    if literal is None or literal.kind != "func_literal" or len(arguments) != 1:
        return None
    launch = launch_of_literal(file, literal)
    statement = call.parent
    if launch is None or launch.loop is not None or launch.function is None or statement is None:
        return None
    deferred = statement.kind == "defer_statement" and statement.parent is literal["body"]
    if not deferred or launch.function.kind == "func_literal" or file.resolve(call["function"]):
        return None
    return _close_in(file, call, arguments[0], launch.function)


def _close_in(file: GoFile, call: Node, operand: Node, outer: Node) -> MethodClose | None:
    access = access_of(file, operand)
    decl = declaration_of(file, outer)
    channel = shared_channel(file, operand)
    if access is None or decl is None or channel is None:
        return None
    if isinstance(access.root, Binding):
        if access.root.kind != "receiver" or not channel.is_field:
            return None
        if len(access.steps) != 1 and not _is_of_part(file, operand, len(access.steps)):
            return None
    close = MethodClose(file, call, operand, channel, decl, access)
    if channel.nils or _made_again(channel) or _guarded(close) or _sends_first(close):
        return None
    return close


def _is_of_part(file: GoFile, operand: Node, depth: int) -> bool:
    """Return whether a field is that of a struct within the receiver's own, as `s.state.done`.

    Or is promoted from one that the receiver embeds: `s.done`.
    """
    path = operand
    while path.kind == "selector_expression" and depth > 0:
        selection = file.selection(path)
        if selection is None or (path is not operand and not _is_struct(file, path)):
            return False
        if not embeds_values(file, path["operand"], selection.via):
            return False
        depth -= 1 + len(selection.via)
        path = path["operand"]
    return depth == 0 and path.kind == "identifier"


def embeds_values(file: GoFile, owner: Node, via: tuple[str, ...]) -> bool:
    """Return whether each of the fields on the way from an object is a struct, no pointer to one.

    It lives with its owner then, and is nobody else's.
    """
    inference = file.package.workspace.inference
    type_ = file.type_of(owner)
    for name in via:
        member = inference.member(type_, name) if type_ is not None else None
        type_ = member.type if member is not None else None
        if not isinstance(file.underlying(type_), Struct):
            return False
    return True


def _is_struct(file: GoFile, path: Node) -> bool:
    return isinstance(file.underlying(file.type_of(path)), Struct)


def _made_again(channel: SharedChannel) -> bool:
    """Return whether a method makes the channel anew: after that a second close is right."""
    for made in channel.makes:
        function = made.call.function
        while function is not None and function.kind == "func_literal":
            function = function.function
        if function is None:
            continue
        statement = made.call.statement
        assigned = statement is not None and statement.kind == "assignment_statement"
        if assigned and (function.kind == "method_declaration" or not channel.is_field):
            if not (channel.is_field and made_by_setup(made.file, function)):
                return True
    return bool(channel.stores)


def _sends_first(close: MethodClose) -> bool:
    """Return whether a second call would panic, or wait, on a send before it comes to the close."""
    outer = close.call.function
    deferred = close.statement.kind == "defer_statement"
    return outer is not None and any(
        node.kind == "send_statement"
        and (deferred or node.end <= close.call.start)
        and access_of(close.file, node["channel"]) == close.access
        for node in outer.own()
    )


def _guarded(close: MethodClose) -> bool:
    """Return whether something decides that the close runs: a Once, a flag, a state."""
    outer = close.call.function
    node, above = close.statement, close.statement.parent
    while above is not None and node is not outer:
        if above.kind == "communication_case" or above.kind == "default_case":
            select = above.parent
            if select is None or select.kind != "select_statement":
                return True
            if above.kind != "default_case" or not _looks_at(select, close):
                return True
            if held_at(close.file, select):
                return True
            close.select = select
        elif above.kind == "select_statement":
            pass
        elif above.kind == "if_statement":
            if not _is_nil_test(above.get("condition"), close.operand):
                return True
        elif above.kind not in {"block", *FUNCTIONS}:
            return True
        if above.kind in BLOCKS:
            for statement in above.statements:
                if statement.start < node.start and _may_leave(statement, close):
                    return True
        node, above = above, above.parent
    return False


def _looks_at(select: Node, close: MethodClose) -> bool:
    """Return whether `select { case <-ch: default: close(ch) }` asks the channel itself."""
    cases = [c for c in select.children if c.kind == "communication_case"]
    if len(cases) != 1:
        return False
    communication = cases[0].get("communication")
    return communication is not None and communication.text == b"<-" + close.operand.text


def _is_nil_test(condition: Node | None, operand: Node) -> bool:
    return condition is not None and condition.text == operand.text + b" != nil"


def _may_leave(statement: Node, close: MethodClose) -> bool:
    """Return whether a statement before the close may return because of the object's state."""
    if statement.kind not in {"if_statement", "expression_switch_statement", "select_statement"}:
        return False
    leaves = any(True for _ in statement.find("return_statement", "goto_statement"))
    if not leaves and not any(_panics(c) for c in statement.find("call_expression")):
        return False
    if statement.kind == "if_statement":
        condition = statement["condition"]
        if statement.get("initializer") is None and condition.text.endswith(b" == nil"):
            return condition["left"].kind != "identifier"
        root = close.access.root
        name = root.name.encode() if isinstance(root, Binding) else b""
        text = statement.tree.data[statement.start : condition.end]
        if name and not re.search(rb"\b" + re.escape(name) + rb"\b", text):
            local = all(close.file.binding(n) is not None for n in condition.find("identifier"))
            return not local or b"err" not in condition.text
    return True


def _panics(call: Node) -> bool:
    return call["function"].name == "panic"


_ANY = re.compile("")


def others_of(close: MethodClose) -> list[MethodClose]:
    """Return the unguarded closes of the same channel in other functions."""
    found = []
    for operation in close.channel.of("close"):
        if operation.file.is_test or operation.calls or operation.node.function is None:
            continue
        if operation.node.function is not close.call.function:
            other = method_close(operation.file, operation.node, _ANY)
            if other is not None and other.select is None:
                found.append(other)
    return found


def outer_closes(
    close: MethodClose,
    sites: list[Site],
    *,
    parts: bool = False,
    ends: re.Pattern[str] = ENDS,
) -> list[MethodClose]:
    """Return the methods (`Close`) of an exported type that run the close through another method.

    Unguarded ones; each as if it closed itself:
    `func (c *Conn) Close() error { c.shutdown(); return nil }`, or that of a struct which is a
    part of the object: `c.link.shutdown()`. With `parts` also those of types that have a pointer
    to the closing object. `ends` says by which names.
    """
    if not parts and close.decl.exported:
        return []
    found = []
    for site in sites:
        outer = site.node.function
        if site.call is None or outer is None or outer.kind != "method_declaration":
            continue
        decl, selector = declaration_of(site.file, outer), site.call["function"]
        if decl is None or not (decl.exported and decl.receiver[:1].isupper()):
            continue
        selection = site.file.selection(selector)
        via = selection.via if selection is not None else ()
        access = access_of(site.file, selector["operand"], via)
        if not ends.match(decl.name) or access is None or not _is_receivers(access):
            continue
        if not parts and not _is_own(close, site, selector, via, decl):
            continue
        parent = site.call.parent
        if parent is None or parent.kind not in {"expression_statement", "defer_statement"}:
            continue
        given = MethodClose(site.file, site.call, selector, close.channel, decl, access)
        if not _guarded(given):
            found.append(given)
    return found


def _is_own(
    close: MethodClose, site: Site, selector: Node, via: tuple[str, ...], outer: Decl
) -> bool:
    """Return whether a method calls another one on its own object, or on a struct within it."""
    path = selector["operand"]
    if path.kind == "identifier" and not via:
        return outer.receiver == close.decl.receiver
    if not embeds_values(site.file, path, via):
        return False
    while path.kind == "selector_expression":
        selection = site.file.selection(path)
        if selection is None or not _is_struct(site.file, path):
            return False
        path = path["operand"]
        if not embeds_values(site.file, path, selection.via):
            return False
    return path.kind == "identifier"


def decided_at_calls(close: MethodClose, sites: list[Site]) -> bool:
    """Return whether something decides every call of a method that only its package can call.

    `if !c.closed { c.closed = true; c.end() }`
    """
    return not close.decl.exported and bool(sites) and all(_is_decided(close, s) for s in sites)


def _is_decided(close: MethodClose, site: Site) -> bool:
    call, outer = site.call, site.node.function
    if call is None or outer is None or call["function"].kind != "selector_expression":
        return False
    decl = declaration_of(site.file, outer_function(outer) or outer)
    access = access_of(site.file, call["function"]["operand"])
    if decl is None or access is None or call.parent is None:
        return False
    return _guarded(MethodClose(site.file, call, call["function"], close.channel, decl, access))


def _is_receivers(access: Access) -> bool:
    """Return whether a path leads from a receiver through fields alone."""
    indexed = any(step.startswith("[") for step in access.steps)
    return isinstance(access.root, Binding) and access.root.kind == "receiver" and not indexed


def closes_another(close: MethodClose, statement: Node) -> bool:
    """Return whether a statement closes another channel of the object."""
    if statement.kind != "expression_statement":
        return False
    call = statement.children[0]
    other = method_close(close.file, call) if call.kind == "call_expression" else None
    return other is not None and other.select is None
