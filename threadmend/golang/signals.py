"""Signals: what in a piece of code may order it with another goroutine, and on which object.

A signal is a channel operation, a WaitGroup's Done or Wait, a lock, an atomic operation, a
Once, or a call that is not known and may do any of these to what it is handed. Two signals
match when they may synchronise with each other: the answer errs on the side of yes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from threadmend.golang.access import Access
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node

__all__ = ["Signal", "may_match", "without"]

Token = Access
_WAITS = re.compile(
    r"(?i)wait|join|stop|close|shutdown|drain|finish|eventually|flush|barrier|await|quit|kill"
    r"|settle|teardown|terminate"
)
_EXCLUDES = re.compile(r"(?i)lock|acquire|enter|exclusive|mutex|serial")
_ATOMIC_CLAIMS = re.compile(r"CompareAndSwap|Add|Swap|Or|And|LoadOrStore|LoadAndDelete")


@dataclass(frozen=True, slots=True)
class Signal:
    """One operation that may synchronise.

    `kind`: `send` (also close), `receive` (also range), `done`, `wait`, `lock`, `atomic`,
    `once`, `settled` (all other goroutines are blocked or done: synctest.Wait), or `call` for
    one that is not known. `objects` are what it is done to; `anything`: it may do it to
    objects that are not visible. `name` is the last name of what is called.
    """

    kind: str
    node: Node
    objects: frozenset[Token]
    name: str = ""
    anything: bool = False

    @property
    def waits(self) -> bool:
        """Return whether an unknown call sounds as if it waited for others."""
        return self.kind == "call" and bool(_WAITS.search(self.name))

    @property
    def outside(self) -> bool:
        """Return whether code that is not visible may know one of the objects."""
        return not self.objects or any(_is_known_outside(o.root) for o in self.objects)

    @property
    def may_exclude(self) -> bool:
        """Return whether an unknown call sounds as if it took a lock."""
        return self.kind == "call" and bool(_EXCLUDES.search(self.name))

    @property
    def claims(self) -> bool:
        """Return whether it is an atomic operation that only one goroutine wins."""
        return self.kind == "atomic" and bool(_ATOMIC_CLAIMS.search(self.name))


_PAIRS = {
    "send": {"send", "receive"},
    "receive": {"send", "receive"},
    "done": {"wait"},
    "wait": {"done"},
    "lock": {"lock"},
    "atomic": {"atomic"},
    "once": {"once"},
}


def may_match(release: Signal, acquire: Signal) -> bool:
    """Return whether what happens before `release` may so happen before what follows `acquire`."""
    if acquire.kind == "settled" or release.kind == "settled":
        return acquire.kind == "settled"
    if acquire.waits:
        known = release.kind != "call" and not release.outside
        return not known or _share(release.objects, acquire.objects)
    if release.anything or acquire.anything:
        other = acquire if release.anything else release
        return (other.kind == "call" or other.outside) and acquire.kind in _ACQUIRES
    if release.kind == "call" or acquire.kind == "call":
        return _share(release.objects, acquire.objects)
    return acquire.kind in _PAIRS[release.kind] and _share(release.objects, acquire.objects)


_ACQUIRES = frozenset({"receive", "wait", "lock", "atomic", "once", "call"})


def _is_known_outside(root: object) -> bool:
    """Return whether an object may be known to code outside of the function that holds it.

    A channel or group made here and never handed on is not.
    """
    if not isinstance(root, Binding) or root.kind != "variable":
        return True
    if root.values:
        value = root.value
        if value is None or value.kind not in {"call_expression", "composite_literal"}:
            return True
        if value.kind == "call_expression" and value["function"].text not in {b"make", b"new"}:
            return True
    return any(use is not root.node and _hands_on(use) for use in root.uses)


def _hands_on(use: Node) -> bool:
    node, outer = use, use.parent
    while outer is not None and outer.kind in {"unary_expression", "parenthesized_expression"}:
        if outer.kind == "unary_expression" and outer["operator"].kind == "<-":
            return False
        node, outer = outer, outer.parent
    if outer is None or node.field in {"operand", "channel"}:
        return False
    if outer.kind == "argument_list" and outer.parent is not None:
        return outer.parent["function"].text not in {b"close", b"len", b"cap"}
    return outer.kind not in {"send_statement", "range_clause", "binary_expression"}


def _share(one: frozenset[Token], other: frozenset[Token]) -> bool:
    return any(a.under(b) or b.under(a) for a in one for b in other)


_OF_PARTS = frozenset({"done", "wait", "send", "receive"})


def without(signal: Signal, binding: Binding) -> Signal:
    """Return a signal that is not given on a variable: its accesses are to be ordered.

    A group or channel in a field of it may order those of the others: `data.wg.Wait()`.
    """
    part = signal.kind in _OF_PARTS
    objects = frozenset(
        o
        for o in signal.objects
        if o.root is not binding or (part and o.steps and not o.steps[0].startswith("["))
    )
    return replace(signal, objects=objects) if objects != signal.objects else signal
