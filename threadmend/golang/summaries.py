"""Summaries: what a body touches through its calls.

    for touch in touches_of(file, body): ...

At a call a touch is translated into the caller's terms; what has no name there is dropped, so
that two equal paths mean one object. What a body launches counts as its own: for those who run
beside the body it makes no difference.

A call of a parameter, or of a method of an interface that is one, is open until the caller is
known: there it is what is passed (`poll(s.flush)` runs `s.flush`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from threadmend.golang.access import Access, access_of
from threadmend.golang.calls import code_files
from threadmend.golang.crowds import own_nodes
from threadmend.golang.given_constants import CONSTANTS, branch_of, leaves_out
from threadmend.golang.goroutines import launch_of_literal
from threadmend.golang.library import methods_called
from threadmend.golang.locks import Held
from threadmend.golang.node import bare
from threadmend.golang.open_calls import Way, as_passed, open_call, passed
from threadmend.golang.scope import Binding, argument_of
from threadmend.golang.syntax import Node
from threadmend.golang.targets import Body, targets
from threadmend.golang.touches import (
    EACH,
    ONE,
    Open,
    Summary,
    Touch,
    as_element,
    channel_touch,
    classes,
    held_within,
    is_early,
    is_on_copy,
    own_touch,
    written_names,
)
from threadmend.golang.types import Interface
from threadmend.golang.wording import translated

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = [
    "called",
    "called_body",
    "close_opens",
    "summary_of",
    "touches_after",
    "touches_of",
]

# Calls between a body and a touch: fewer in a package of many functions, for the time it takes.
_DEPTHS = ((12_000, 10), (60_000, 4), (1 << 62, 2))
_MOST = 80


def touches_of(file: GoFile, body: Node, depth: int | None = None) -> list[Touch]:
    """Return the touches of one run of a body."""
    return summary_of(file, body, depth).touches


def summary_of(file: GoFile, body: Node, depth: int | None = None) -> Summary:
    """Return what one run of a body does; computed once for each depth."""
    if depth is None:
        depth = _depth(file.package)
    known: dict[tuple[Node, int], Summary] = file.package.facts.setdefault("touches", {})
    key = (body, depth)
    if key not in known:
        known[key] = Summary()
        known[key] = _collect(file, body, depth)
    return known[key]


def touches_after(file: GoFile, body: Node, offset: int) -> Iterator[Touch]:
    """Yield what a body itself and its calls touch from an offset on, each time it does.

    `early` then says whether a call comes to it before it waits.
    """
    known: dict[tuple[Node, Node], list[Touch]]
    known = file.package.facts.setdefault("touches of nodes", {})
    defers = [n for n in body.own() if n.kind == "defer_statement"]
    for node in own_nodes(file, body):
        if node.kind not in _TOUCHING:
            continue
        if node.start < offset and not any(d.contains(node) for d in defers):
            continue
        key = (body, node)
        if key not in known:
            known[key] = list(_touches_at(file, body, node))
        yield from known[key]


_TOUCHING = frozenset({"selector_expression", "identifier", "send_statement", "call_expression"})


def _touches_at(file: GoFile, body: Node, node: Node) -> Iterator[Touch]:
    """Yield what a node of a body touches when the body has come to it."""
    if node.kind in {"selector_expression", "identifier"}:
        touch = own_touch(file, body, node, written_names(file))
        if touch is not None:
            yield replace(touch, early=True)
    elif (touch := channel_touch(file, body, node)) is not None:
        yield replace(touch, early=True)
    elif node.kind == "call_expression":
        yield from called(file, body, node, begins=True).touches


def _depth(package: Package) -> int:
    known: int | None = package.facts.get("touch depth")
    if known is None:
        size = sum(len(f.data) for f in code_files(package))
        known = next(depth for limit, depth in _DEPTHS if size < limit)
        package.facts["touch depth"] = known
    return known


def _collect(file: GoFile, body: Node, depth: int) -> Summary:
    found: dict[tuple[Access, bool, frozenset[str], bool, bool, int], Touch] = {}
    opens: list[Open] = []
    names = written_names(file)
    parameters = body.get("parameters")
    is_told = parameters is not None and b"bool" in parameters.text  # which way to go

    def add(touch: Touch) -> None:
        again = touch.path[0].up("for_statement") is not None
        branch = branch_of(body, touch.path[0]) if is_told else 0
        key = (touch.access, touch.writes, touch.locks, touch.early, again, branch)
        found.setdefault(key, touch)

    for node in own_nodes(file, body):
        if node.kind in {"selector_expression", "identifier"}:
            touch = own_touch(file, body, node, names)
            if touch is not None:
                add(touch)
        elif (touch := channel_touch(file, body, node)) is not None:
            add(touch)
        elif node.kind == "call_expression" and depth > 0:
            inner = called(file, body, node, depth)
            opens.extend(inner.opens)
            for touch in inner.touches:
                add(touch)
        elif node.kind == "func_literal" and node is not body and depth > 0:
            if launch_of_literal(file, node) is not None:
                inner = summary_of(file, node, depth - 1)
                early = is_early(file, body, node)
                opens.extend(replace(o, early=o.early and early) for o in inner.opens)
                for touch in inner.touches:
                    add(replace(touch, early=touch.early and early, apart=True))
        if len(found) > _MOST:
            break
    return Summary(list(found.values()), opens[:_MOST])


# -- calls ------------------------------------------------------------------------------


def called(
    file: GoFile, body: Node, call: Node, depth: int | None = None, *, begins: bool = False
) -> Summary:
    """Return what a call in a body touches, in the terms of the body.

    `begins`: what is early is told from the call on, and not from the beginning of the body.
    """
    if depth is None:
        depth = _depth(file.package)
    own = open_call(file, body, call)
    target = called_body(file, call) if own is None or own.method else None
    if target is None:
        if own is None:
            return _by_library(file, body, call, depth)
        return Summary([], [own])
    inner = target.node
    if inner is body or inner.get("body") is None:
        return Summary()
    summary = summary_of(target.file, inner, depth - 1)
    if not summary.touches and not summary.opens:
        return summary
    here = _Here(file, call, inner, body, target)
    here.early = here.early or begins
    found = Summary([t for t in map(here.touch, summary.touches) if t is not None])
    for open_ in summary.opens:
        here.close(open_, found, depth)
    return found


def _by_library(file: GoFile, body: Node, call: Node, depth: int) -> Summary:
    """Return what methods touch that a function of the standard library calls."""
    found = Summary()
    for argument, method in methods_called(file, call):
        held, early = held_within(file, body, call), is_early(file, body, call)
        binding = file.binding(argument) if argument.kind == "identifier" else None
        if binding is not None and isinstance(file.underlying(file.type_of(argument)), Interface):
            if binding.kind == "parameter":
                found.opens.append(Open(binding, method, held, (call,), early, classes(held)))
            continue
        target, _ = passed(file, argument, method)
        if target is None or target.node is body:
            continue
        given = as_element(file, access_of(file, argument), body)
        way = Way(held, (call,), early, classes(held))
        for touch in summary_of(target.file, target.node, max(0, depth - 2)).touches:
            closed = as_passed(touch, way, target.node, given)
            if closed is not None:
                found.touches.append(closed)
    return found


def close_opens(file: GoFile, body: Node, call: Node, inner: Node, opens: list[Open]) -> Summary:
    """Return what open calls of the function that a call runs do, in the terms of the body."""
    here, found = _Here(file, call, inner, body), Summary()
    for open_ in opens:
        here.close(open_, found, _depth(file.package))
    return found


_T = TypeVar("_T")


def _joined(one: frozenset[_T], other: frozenset[_T]) -> frozenset[_T]:
    """Return a union, one of the two where that has all of it: there are very many."""
    if one <= other:
        return other
    return one if other <= one else one | other


def called_body(file: GoFile, call: Node) -> Body | None:
    """Return the one body of the package that a call runs for sure."""
    decl = file.callee(call)
    if decl is not None:
        if decl.file.package is not file.package or not decl.sound:
            return None
        return Body(decl.file, decl.node, decl)
    target = targets(file, call).certain
    return target if target is not None and target.file.package is file.package else None


def _is_by_value(file: GoFile, call: Node, target: Body) -> bool:
    """Return whether a method is called by a value that somebody has stored: `s.onEnd()`."""
    if target.decl is None or target.decl.kind != "method" or file.callee(call) is not None:
        return False
    function = call["function"]
    selection = file.selection(function) if function.kind == "selector_expression" else None
    return selection is None or selection.kind != "method"  # that of an interface has its object


def _object_of(file: GoFile, call: Node, target: Body) -> Access | None:
    """Return the object of the method value that a body is called by, in the terms of a call.

    Of `s.onEnd()` it is `s` where a method does `t.onEnd = t.end` with its own object.
    """
    if target.bound is None:
        return None
    where, value = target.bound
    if _is_stored_in_its_object(call, value):
        return access_of(file, call["function"]["operand"])
    selection = where.selection(value)
    via = selection.via if selection is not None else ()
    return access_of(where, value["operand"], via)


def _is_stored_in_its_object(call: Node, value: Node) -> bool:
    """Return whether a method value is assigned to the field that a call names, of its object."""
    group = value.parent
    statement = group.parent if group is not None else None
    if group is None or statement is None or statement.kind != "assignment_statement":
        return False
    if call["function"].kind != "selector_expression" or group.field != "right":
        return False
    field = f"{value['operand'].name}.{call['function']['field'].name}"
    return any(left.name == field for left in statement["left"].children)


class _Here:
    """One call, and what it makes of the touches of the body that it runs."""

    def __init__(
        self, file: GoFile, call: Node, inner: Node, body: Node, target: Body | None = None
    ) -> None:
        self.file = file
        self.by_value = target is not None and _is_by_value(file, call, target)
        self.receiver = _object_of(file, call, target) if target is not None else None
        self.call = call
        self.inner = inner
        self.body = body
        self.launched = call.is_launched
        self.held = frozenset[Held]() if self.launched else held_within(file, body, call)
        self.locks = classes(self.held)
        self.early = is_early(file, body, call)
        given = call["arguments"].children
        self.constants = any(argument.kind in CONSTANTS for argument in given)

    def touch(self, touch: Touch) -> Touch | None:
        """Return a touch in the terms of the body around the call."""
        if is_on_copy(self.file, touch.access):
            return None
        at = touch.path[0] if touch.path else touch.node
        if self.constants and leaves_out(self.call, self.inner, at):
            return None
        access = self._own(touch.access, at)
        word = ONE if self.launched else EACH
        access = as_element(self.file, access, self.body, word)
        if access is None:
            return None
        # Not `replace`, which takes three times as long: this runs for every touch of a call.
        return Touch(
            touch.file,
            access,
            touch.writes,
            self._held(touch.held, touch.apart, at),
            (self.call, *touch.path),
            touch.place,
            touch.early and self.early,
            touch.locks if touch.apart else _joined(touch.locks, self.locks),
            touch.apart or self.launched,
        )

    def _held(
        self, held: frozenset[Held], apart: bool = False, at: Node | None = None
    ) -> frozenset[Held]:
        if not held:
            return frozenset() if apart else self.held
        given = (
            Held(access, lock.mode, lock.lock_class)
            for lock in held
            if (access := self._own(lock.access, at)) is not None
        )
        return _joined(frozenset(given), frozenset() if apart else self.held)

    def _own(self, access: Access, at: Node | None) -> Access | None:
        """Return a path of the body that is called in the terms of the one that calls."""
        root = access.root
        if self.by_value and isinstance(root, Binding) and root.kind == "receiver":
            if root.scope is self.inner:
                given = self.receiver
                return Access(given.root, given.steps + access.steps) if given else None
        return translated(self.file, self.call, self.inner, access, at=at)

    def close(self, open_: Open, found: Summary, depth: int) -> None:
        """Add what an open call runs, now that the argument is known."""
        open_ = replace(
            open_,
            held=self._held(open_.held),
            locks=open_.locks | self.locks,
            path=(self.call, *open_.path),
            early=open_.early and self.early,
        )
        if open_.parameter.scope is not self.inner:
            found.opens.append(open_)  # a parameter of a function around this one
            return
        argument = argument_of(self.call, self.inner, open_.parameter)
        if argument is None:
            return
        argument = bare(argument)
        binding = self.file.binding(argument) if argument.kind == "identifier" else None
        if binding is not None and binding.kind == "parameter" and not open_.method:
            found.opens.append(replace(open_, parameter=binding))
            return
        target, receiver = passed(self.file, argument, open_.method)
        if target is None:
            if binding is not None and binding.kind == "parameter":
                found.opens.append(replace(open_, parameter=binding))
            return
        if target.node is self.body or target.file.package is not self.file.package:
            return
        for touch in summary_of(target.file, target.node, max(0, depth - 2)).touches:
            given = as_element(self.file, access_of(self.file, receiver), self.body)
            closed = as_passed(touch, open_, target.node, given)
            if closed is not None:
                found.touches.append(closed)
