"""Open calls: of a parameter or a method of one, and what they run once what is passed is known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from threadmend.golang.access import Access
from threadmend.golang.locks import Held
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.targets import Body, bodies_of_value
from threadmend.golang.touches import Open, Touch, classes, held_within, is_early, is_on_copy
from threadmend.golang.types import Interface, Named, deref

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["Way", "as_passed", "open_call", "passed"]


def open_call(file: GoFile, body: Node, call: Node) -> Open | None:
    """Return the open call that a call in a body is, if it is one."""
    function, method = call["function"], ""
    if function.kind == "selector_expression":
        method, function = function["field"].name, function["operand"]
        if not isinstance(file.underlying(file.type_of(function)), Interface):
            return None
    if function.kind != "identifier":
        return None
    binding = file.binding(function)
    if binding is None or binding.kind != "parameter":
        return None
    held = held_within(file, body, call)
    return Open(binding, method, held, (call,), is_early(file, body, call), classes(held))


def passed(file: GoFile, argument: Node, method: str) -> tuple[Body | None, Node | None]:
    """Return the body that a parameter, or a method of it, means for an argument."""
    if not method:
        receiver = argument["operand"] if argument.kind == "selector_expression" else None
        return bodies_of_value(file, argument).certain, receiver
    type_ = deref(file.type_of(argument))
    if not isinstance(type_, Named) or isinstance(file.underlying(type_), Interface):
        return None, None
    package = file.package
    decls = package.methods(type_.name).get(method) if type_.package == package.key else None
    if not decls or not decls[0].sound:
        return None, None
    return Body(decls[0].file, decls[0].node, decls[0]), argument


class Way(NamedTuple):
    """How a call comes to what it runs: what is known of an `Open`, but for the parameter."""

    held: frozenset[Held]
    path: tuple[Node, ...]
    early: bool
    locks: frozenset[str]


def as_passed(touch: Touch, open_: Open | Way, body: Node, receiver: Access | None) -> Touch | None:
    """Return a touch of a body that an open call runs; its receiver is what was passed."""
    access = _received(touch.access, body, receiver)
    if access is None or is_on_copy(touch.file, touch.access):
        return None
    held = set(() if touch.apart else open_.held)
    for lock in touch.held:
        own = _received(lock.access, body, receiver)
        if own is not None:
            held.add(Held(own, lock.mode, lock.lock_class))
    return replace(
        touch,
        access=access,
        held=frozenset(held),
        locks=touch.locks if touch.apart else touch.locks | open_.locks,
        path=(*open_.path, *touch.path),
        early=touch.early and open_.early,
    )


def _received(access: Access, body: Node, receiver: Access | None) -> Access | None:
    root = access.root
    if not isinstance(root, Binding) or not body.contains(root.scope):
        return access
    if root.kind != "receiver" or receiver is None:
        return None
    return Access(receiver.root, receiver.steps + access.steps)
