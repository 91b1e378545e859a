"""What a call makes that lives longer than the context it would be given."""

from __future__ import annotations

import re

from threadmend.golang.ambient import Ambient
from threadmend.golang.contexts import derivations
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node

__all__ = ["lives_on"]


def lives_on(file: GoFile, call: Node, context: Ambient | None = None) -> bool:
    """Return whether what a call makes is used when the context has ended, or has its own.

    A command that is started and never waited for, or that somebody else gets to start; a
    request that is given a context later, or passed on together with it; what a constructor of
    the project makes; anything that is returned from a function that cancels the context on its
    way out.
    """
    statement = call.statement
    if statement is None:
        return False
    if _is_handed_on(file, call) or _begins(file, call):
        return True
    if statement.kind == "return_statement" and _is_cancelled_here(file, context):
        return True
    left_side = statement.get("left")
    if left_side is None or not left_side.children:
        return False
    name = left_side.children[0].name
    function = call.function
    text = function.text if function is not None else b""
    start = rb"\b" + re.escape(name.encode())
    if re.search(start + rb"\.WithContext\(", text):
        return True
    if context is not None and _goes_together(context, name, text):
        return True
    if re.search(start + rb"\.Start\(", text) and not _waits_here(function, start):
        return True
    if _is_sent_by_callee(call, context, start):
        return True
    if left_side.children[0].kind != "identifier":
        return _is_cancelled_here(file, context)
    returned = re.search(rb"\breturn [^\n]*" + start + rb"\b", text)
    return bool(returned) and _is_cancelled_here(file, context)


def _waits_here(function: Node | None, start: bytes) -> bool:
    """Return whether the function itself waits for a command, and not a goroutine of its own."""
    wait = re.compile(start + rb"\.Wait\(")
    calls = (n for n in function.own() if n.kind == "call_expression") if function else ()
    return any(wait.match(node.text) for node in calls)


def _is_sent_by_callee(call: Node, context: Ambient | None, start: bytes) -> bool:
    """Return whether a literal makes a request for somebody who has the context.

    `s.send(ctx, func() (*http.Request, error) { … })`
    """
    literal = call.function
    outer = literal.parent if literal is not None and literal.kind == "func_literal" else None
    if literal is None or outer is None or outer.kind != "argument_list" or context is None:
        return False
    if context.text.encode() not in [a.text for a in outer.children]:
        return False
    return re.search(rb"\breturn " + start + rb",", literal.text) is not None


def _goes_together(context: Ambient, name: str, text: bytes) -> bool:
    """Return whether what is made gets the context later: `client.Do(ctx, req)`."""
    both = rb"\(" + re.escape(context.text.encode()) + rb",[^()\n]*\b" + re.escape(name.encode())
    return bool(re.search(both + rb"\b", text))


def _is_cancelled_here(file: GoFile, context: Ambient | None) -> bool:
    """Return whether the context is derived in this function, with its cancel function."""
    if context is None or context.kind != "context" or context.binding.kind != "variable":
        return False
    return any(file.binding(d.context) is context.binding for d in derivations(file))


_BEGINS = re.compile(
    r"^(?:[Nn]ew|[Mm]ake|[Ss]tart|[Ww]atch|[Ss]ubscribe|[Ss]pawn|[Ll]aunch|[Rr]un|[Ss]erve"
    r"|[Ll]isten|[Oo]pen|[Rr]egister)(?![a-z])"
)


def _begins(file: GoFile, call: Node) -> bool:
    """Return whether a function of the project begins something, by its name."""
    decl = file.callee(call)
    if decl is None or decl.file.package.module is None:
        return False
    return bool(_BEGINS.match(decl.name))


def _is_handed_on(file: GoFile, call: Node) -> bool:
    """Return whether a command is returned, stored or passed: who starts it may stop it, too."""
    decl = file.callee(call)
    if decl is None or (decl.file.package.path, decl.name) != ("os/exec", "Command"):
        return False
    parent = call.parent
    if parent is not None and parent.kind == "selector_expression":
        return False  # exec.Command(…).Run()
    statement = call.statement
    if statement is None or parent is None or parent.kind != "expression_list":
        return True
    left_side = statement.get("left")
    name = left_side.children[0] if left_side is not None and left_side.children else None
    binding = file.binding(name) if name is not None and name.kind == "identifier" else None
    if binding is None:
        return True
    return any(_is_value(use) for use in binding.uses if use is not binding.node)


def _is_value(use: Node) -> bool:
    parent = use.parent
    if parent is None or parent.kind == "selector_expression":
        return False
    statement = parent.parent
    return not (
        parent.kind == "expression_list"
        and parent.field == "left"
        and statement is not None
        and statement.kind == "assignment_statement"
    )
