"""Bodies: what one function's own statements take, block on, and call.

The first step of `effects`, which composes these facts over the call graph.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of, is_assigned_once, lock_class
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.groups import is_group
from threadmend.golang.holding import holding_of
from threadmend.golang.locks import Held, LockOperation, Locks, locks_of
from threadmend.golang.scope import Binding, position_of
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.targets import Body
from threadmend.golang.types import Chan, is_named

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["Event", "depends_on_flag", "events_of", "parameter_called"]


# Not frozen, which makes creation three times as slow: there are a hundred thousand.
@dataclass(slots=True, unsafe_hash=True)
class Event:
    """One thing that a body may do: take a lock, block, or call one of its parameters.

    `kind` is `acquire`, `block`, `choice` (it blocks until something ends) or `param`. `mode`:
    `write` or `read`; for a block `send`, `receive`, `wait`; for a parameter its index.
    `lock_class` and `access` say which lock, channel or WaitGroup. `path`: the calls that lead
    to it, outermost first, and the operation itself last. `sure`: no other candidate for a call
    on the way, and no condition on a flag that was passed. `held`: what is held on the way, in
    functions further in, when a function passed as an argument is called. `without`: the classes
    of locks that were released on the way: who held them before no longer does.
    """

    kind: str
    mode: str
    lock_class: str | None
    access: Access | None
    path: tuple[Node, ...]
    sure: bool = True
    held: frozenset[Held] = frozenset()
    without: frozenset[str] = frozenset()

    @property
    def key(self) -> tuple[object, ...]:
        """Return what makes two events one."""
        return (self.kind, self.mode, self.lock_class, self.access, self.held, self.without)

    @property
    def operation(self) -> Node:
        """Return the syntax that takes the lock or blocks."""
        return self.path[-1]


def parameter_called(file: GoFile, body: Node, function: Node) -> int | None:
    """Return which parameter of the body a call calls."""
    if function.kind != "identifier":
        return None
    binding = file.binding(function)
    return position_of(body, binding) if binding is not None else None


# --- events ------------------------------------------------------------------------------


def events_of(body: Body) -> list[Event]:
    """Return what a body's own statements do; computed once."""
    known: dict[Node, list[Event]] = body.file.package.facts.setdefault("body_events", {})
    found = known.get(body.node)
    if found is None:
        found = known[body.node] = list(_events(body))
    return found


def _kept(access: Access | None) -> Access | None:
    """Return the path, None when its receiver or parameter may mean another object by then."""
    root = access.root if access is not None else None
    if isinstance(root, Binding) and root.kind in {"receiver", "parameter"}:
        return access if is_assigned_once(root) else None
    return access


_BLOCKS = re.compile(rb"<-|\.Wait\(\)|\brange\b")


def _events(body: Body) -> Iterator[Event]:
    file, function = body.file, body.node
    locks = locks_of(file, function)
    for operation in locks.operations:
        if operation.acquires and operation.deferred is None:
            if _is_given_back(locks, operation):
                continue  # the caller's own lock, taken again
            sure = not depends_on_flag(body, operation.call)
            class_, access = operation.lock_class, _kept(operation.access)
            yield Event("acquire", operation.mode, class_, access, (operation.call,), sure)
    for node in function.own():
        if node.kind == "call_expression":
            index = parameter_called(file, function, node["function"])
            if index is not None and not node.is_launched:
                held = holding_of(file, function).at(node)
                yield Event("param", str(index), None, None, (node,), True, held)
    if _BLOCKS.search(file.data, function.start, function.end):
        yield from _blocks(file, function)


def _is_given_back(locks: Locks, taken: LockOperation) -> bool:
    """Return whether every way to a Lock passes an Unlock of what the function did not take.

    Only of a lock that no caller knows by this name, such as a parameter: `without` tells of the
    others.
    """
    if taken.access is None or (taken.lock_class is not None and ":" not in taken.lock_class):
        return False
    flow = locks.flow
    same = [o for o in locks.operations if o.access == taken.access and o.deferred is None]
    stops = {p for o in same if o.releases and (p := flow.point_of(o.call)) is not None}
    at = flow.point_of(taken.call)
    if not stops or at is None or not flow.complete:
        return False
    ahead = flow.reachable(flow.entry, stop=stops.__contains__)
    first = [o for o in same if flow.point_of(o.call) in ahead]
    return at not in ahead and all(o.releases for o in first)


def _blocks(file: GoFile, function: Node) -> Iterator[Event]:
    for node in function.own():
        if node.kind == "send_statement":
            mode, operand = "send", node["channel"]
        elif node.kind == "unary_expression" and node["operator"].kind == "<-":
            mode, operand = "receive", node["operand"]
        elif node.kind == "range_clause":
            if not isinstance(file.underlying(file.type_of(node["right"])), Chan):
                continue
            mode, operand = "receive", node["right"]
        elif node.kind == "call_expression" and _is_wait(file, node) and not node.is_launched:
            mode, operand = "wait", node["function"]["operand"]
        else:
            continue
        kind = "block"
        if mode != "wait" and (operation := ChannelOperation(mode, node, file)).has_alternative:
            if not _waits_or_ends(operation):
                continue
            kind = "choice"
        via = _via(file, node) if mode == "wait" else ()
        class_, access = lock_class(file, operand, via), access_of(file, operand, via)
        yield Event(kind, mode, class_, access, (node,))


def _waits_or_ends(operation: ChannelOperation) -> bool:
    """Return whether all other cases of an operation's select only say that it is all over.

    They receive from a channel of the object that is only ever closed. A context does not count:
    the caller may end this call alone.
    """
    from threadmend.golang.channel_fields import shared_channel

    select, case = operation.select, operation.case
    if select is None or case is None or any(c.kind == "default_case" for c in select.children):
        return False
    for other in select.children:
        if other is case or other.kind != "communication_case":
            continue
        received = other["communication"]
        value = received.children[-1] if received.kind == "receive_statement" else received
        if value.kind != "unary_expression":
            return False
        channel = shared_channel(operation.file, value["operand"])
        if channel is None or channel.stores or channel.of("send") or not channel.of("close"):
            return False
    return True


def _is_wait(file: GoFile, call: Node) -> bool:
    function = call["function"]
    if function.kind != "selector_expression" or function["field"].name != "Wait":
        return False
    selection = file.selection(function)
    owner = selection.owner if selection is not None else None
    return is_named(owner, "sync.WaitGroup") or is_group(file.package.workspace, owner)


def _via(file: GoFile, call: Node) -> tuple[str, ...]:
    selection = file.selection(call["function"])
    return selection.via if selection is not None else ()


# --- conditions -------

_ABOUT_LOCKS = re.compile(rb"(?i)lock|held\b|holding")
_TESTS = frozenset({"if_statement", "expression_switch_statement"})


def depends_on_flag(body: Body, node: Node) -> bool:
    """Return whether a condition on a parameter, or about locks, decides if a node runs."""
    inner = node
    for outer in node.ancestors():
        if outer.kind in FUNCTIONS:
            return False
        if outer.kind in _TESTS and inner.field not in {"condition", "initializer", "value"}:
            condition = outer.get("condition") or outer.get("value")
            if condition is not None and _is_flag(body, condition):
                return True
        inner = outer
    return False


def _is_flag(body: Body, condition: Node) -> bool:
    if _ABOUT_LOCKS.search(condition.text.replace(b".TryLock()", b"").replace(b".TryRLock()", b"")):
        return True
    for name in condition.find("identifier"):
        binding = body.file.binding(name)
        if binding is not None and binding.kind == "parameter":
            if str(body.file.type_of(name)) == "bool" or _is_asked_for_nothing(name):
                return True
            if _is_told_apart(name):
                return True
    return False


def _is_asked_for_nothing(name: Node) -> bool:
    """Return whether a condition asks if a parameter was given: `ts == nil`, `key.IsEmpty()`.

    Only some callers come to what it decides about.
    """
    parent = name.parent
    if parent is None:
        return False
    if parent.kind == "binary_expression":
        return parent["right"].kind == "nil" and parent["left"] is name
    call = parent.parent
    return (
        parent.kind == "selector_expression"
        and call is not None
        and call.kind == "call_expression"
        and _NOTHING.fullmatch(parent["field"].name) is not None
    )


def _is_told_apart(name: Node) -> bool:
    """Return whether a condition asks how a text begins, ends or reads that a function is given.

    `strings.HasPrefix(string(ref), "metadata:")`, `kind == "head"`.
    """
    for outer in name.ancestors():
        if outer.kind == "binary_expression" and outer["operator"].kind in {"==", "!="}:
            return any(_is_tag(outer[side]) for side in ("left", "right"))
        if outer.kind == "call_expression":
            if outer["function"].text.startswith(b"strings."):
                return True
        elif outer.kind not in _WRAPPED:
            return False
    return False


def _is_tag(node: Node) -> bool:
    """Return whether a node is a text that is not empty: that asks whether there is any."""
    return node.kind in _TEXTS and len(node.text) > len(b'""')


_WRAPPED = frozenset({"argument_list", "type_conversion_expression", "parenthesized_expression"})
_TEXTS = frozenset({"interpreted_string_literal", "raw_string_literal", "rune_literal"})

_NOTHING = re.compile(r"(?i)is_?(?:empty|zero|nil|none|undef|null|unset|default)")
