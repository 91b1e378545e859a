"""Contexts that only the function of a place can cancel, which it does behind the place.

ctx, cancel := context.WithCancel(context.Background())
defer cancel()
for poll(ctx) != nil { time.Sleep(pause) }

"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.access import is_assigned_once
from threadmend.golang.functions import only_returned
from threadmend.golang.inplace import is_called_in_place
from threadmend.golang.scope import Binding, argument_of, resolve_local
from threadmend.golang.syntax import Node
from threadmend.golang.test_ends import is_of_test
from threadmend.golang.unended import is_endless

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["is_own"]

_MADE = re.compile(rb"context\.WithCancel(?:Cause)?")
_MADE_OF_NOTHING = re.compile(rb"context\.WithCancel(?:Cause)?\(context\.(?:Background|TODO)\(\)\)")


def is_own(file: GoFile, node: Node, binding: Binding) -> bool:
    """Return whether only the function of a place can cancel a context, and has not: it is there.

    `ctx, cancel := context.WithCancel(context.Background())`, cancel called here alone.
    """
    function, made = node.function, binding.declaration
    value = made.get("right") or made.get("value")
    if value is None or binding.index or binding.function is not function:
        return False
    names = made["left"].children if made.get("left") is not None else made.all("name")
    if len(names) != 2 or not is_assigned_once(binding) or len(value.children) != 1:
        return False
    if not _is_made_of_nothing(file, value.children[0]):
        return False
    cancel = resolve_local(names[1])
    uses = cancel.uses if cancel is not None else []
    return all(u is names[1] or _is_called_by(file, function, u) for u in uses)


def _is_made_of_nothing(file: GoFile, value: Node) -> bool:
    """Return whether a value is a context without a parent, also of a function that makes one."""
    if _MADE_OF_NOTHING.fullmatch(value.text):
        return True
    if value.kind == "call_expression" and _MADE.fullmatch(value["function"].text):
        return is_of_test(file, value["arguments"].children[0])
    decl = file.callee(value) if value.kind == "call_expression" else None
    said = only_returned(decl.node) if decl is not None and decl.sound else None
    if decl is None or said is None or not said.text.startswith(b"context.WithCancel"):
        return False
    parent = said["arguments"].children[0]
    binding = decl.file.binding(parent) if parent.kind == "identifier" else None
    given = argument_of(value, decl.node, binding) if binding is not None else parent
    return given is not None and is_endless(file, given)


def _is_called_by(file: GoFile, function: Node | None, use: Node) -> bool:
    """Return whether a function calls a variable, also in a deferred literal or by a helper."""
    inner = use.function
    if inner is not function:
        if inner is None or not inner.is_deferred or inner.function is not function:
            return False
    if use.field == "function":
        return True
    call = use.parent.parent if use.parent is not None else None
    given = call is not None and call.kind == "call_expression" and use.up("argument_list")
    return bool(given) and call is not None and is_called_in_place(file, call, use)
