"""Close once: the close of a method runs through a `sync.Once` beside the channel."""

from __future__ import annotations

import re
from functools import partial
from itertools import takewhile

from threadmend.golang.access import selector_meant
from threadmend.golang.builders import (
    BuilderError,
    add_element,
    add_field,
    free_name,
    package_name,
    reach_import,
    realigned,
    with_reason,
    wrap,
)
from threadmend.golang.channel_fields import Make, SharedChannel, literals_of
from threadmend.golang.scope import Binding, bindings_in
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan
from threadmend.model import Edit, Fix, Safety

from ._beside import beside
from ._close_method import MethodClose, closes_another

__all__ = ["close_once"]


@with_reason
def close_once(close: MethodClose, others: list[MethodClose]) -> Fix:
    """Run the close through a `sync.Once` beside the channel.

    Sound: the first call does what it did; a later one, which panicked, does the rest of the
    function. The Once lives where the channel lives, and is not copied with it.
    """
    if close.channel.is_field:
        edits = _with_field(close, others)
    else:
        edits = _with_variable(close, others)
    title = f"Close {close.operand.name} only once"
    if any(map(_does_more, (close, *others))):
        reason = "a second caller waits for the first, which does the rest as well"
        return Fix(title, tuple(edits), Safety.UNSAFE, reason)
    if any(_is_made_for_others(made) for made in close.channel.makes):
        reason = "who sets the object up again does not get a channel that can be closed"
        return Fix(title, tuple(edits), Safety.UNSAFE, reason)
    return Fix(title, tuple(edits))


def _is_made_for_others(made: Make) -> bool:
    """Return whether an exported method makes the channel: others could call it again."""
    function, statement = made.call.function, made.call.statement
    if function is None or statement is None or statement.kind != "assignment_statement":
        return False
    return function.kind == "method_declaration" and function["name"].name[:1].isupper()


def _does_more(close: MethodClose) -> bool:
    """Return whether more than the close comes under the Once."""
    return close.select is not None and any(
        len(case.statements) > 1 for case in close.select.children if case.kind == "default_case"
    )


def _once_name(close: MethodClose) -> str:
    """Return the name for the Once: after the function, or the channel where there are more."""
    if _has_several(close.channel):
        own = close.operand.name.rpartition(".")[2]
        return f"{own[:1].lower()}{own[1:]}Once"
    found = re.match(r"[A-Z]?[a-z]*", close.decl.name)
    verb = (found[0] if found and found[0] else "close").lower()
    return f"{verb}Once"


def _has_several(channel: SharedChannel) -> bool:
    """Return whether the struct with a channel has another one."""
    file, names = channel.decl.file, list[Node]()
    for group in channel.decl.node.find("field_declaration"):
        if isinstance(file.underlying(file.type_from(group.get("type"))), Chan):
            names += group.all("name")
    return len(names) > 1


def _with_field(close: MethodClose, others: list[MethodClose]) -> list[Edit]:
    receiver = close.access.root
    if not isinstance(receiver, Binding):
        raise BuilderError("the channel's owner is not the receiver")
    decl, place = close.channel.decl, beside(close.channel)
    name = place.free(_once_name(close))
    type_ = f"{package_name(decl.file.tree, 'sync')}.Once"
    edits: list[Edit] = []
    if receiver.declaration["type"].kind != "pointer_type":
        edits += _made_with_channel(close.channel, name)
        type_ = f"*{type_}"
    edits += add_field(place.struct, name, type_, after=place.field)
    edits += reach_import(decl.file.tree, "sync")
    edits += _guard(close, f"{_owner(close)}.{name}")
    for other in others:
        edits += _guard(other, f"{_owner(other)}.{name}")
    return list(realigned(close.file.package.workspace, edits))


def _made_with_channel(channel: SharedChannel, name: str) -> list[Edit]:
    """Make a Once wherever a literal makes the channel: copies of the object share both."""
    edits: list[Edit] = []
    for made in channel.makes:
        element = made.call.up("keyed_element")
        literal = element.up("composite_literal") if element is not None else None
        own = {id(literal) for _, literal in literals_of(channel.decl)}
        direct = element is not None and made.call.parent in element.children
        if literal is None or id(literal) not in own or not direct:
            raise BuilderError("the receiver is a copy, and so would its Once be")
        package = package_name(made.file.tree, "sync")
        edits += add_element(literal, f"{name}: new({package}.Once)")
        edits += reach_import(made.file.tree, "sync")
    if not edits or channel.stores or channel.nils:
        raise BuilderError("the receiver is a copy, and so would its Once be")
    return edits


def _owner(close: MethodClose) -> str:
    """Return how a function spells the object whose channel it closes: `s` of `done := s.done`."""
    selector = selector_meant(close.file, close.operand)
    if selector is None:
        raise BuilderError("the channel has a name of its own where it is closed")
    return selector["operand"].name


def _with_variable(close: MethodClose, others: list[MethodClose]) -> list[Edit]:
    decl = close.channel.decl
    if decl.file.package is not close.file.package:
        raise BuilderError("the channel belongs to another package")
    names = {
        *close.file.package.names,
        *(i.name for f in close.file.package.files for i in f.imports),
    }
    name = free_name(_once_name(close), names)
    outer = close.call.function
    if outer is not None and any(name in bindings_in(n) for n in outer.find("block")):
        raise BuilderError(f"{name} is taken")
    package = package_name(decl.file.tree, "sync")
    source = decl.file.source
    end = source.line_end(decl.span[1])
    text = source.newline + f"var {name} {package}.Once".encode() + source.newline
    edits = [Edit(decl.file.path, end, end, text)]
    edits += reach_import(decl.file.tree, "sync")
    edits += _guard(close, name)
    for other in others:
        edits += _guard(other, name)
    return list(realigned(close.file.package.workspace, edits))


def _guard(close: MethodClose, once: str) -> list[Edit]:
    """Wrap the close, with the closes of the same method right below it."""
    if close.select is not None:
        return _instead_of_select(close, once)
    run = [close.statement]
    if close.statement.kind == "expression_statement":
        run += takewhile(partial(closes_another, close), close.statement.following)
    if len(run) > 1:
        return list(wrap(run, f"{once}.Do(func() {{", "})"))
    text = f"{once}.Do(func() {{ {close.call.name} }})"
    return [Edit(close.file.path, close.call.start, close.call.end, text.encode())]


def _instead_of_select(close: MethodClose, once: str) -> list[Edit]:
    """Ask the Once, not the channel: two callers may both find it open."""
    select = close.select
    assert select is not None
    for case in select.children:
        if case.kind == "communication_case":
            if any(s.kind != "return_statement" or s.children[1:] for s in case.statements):
                raise BuilderError("the closed channel's case does something of its own")
            if case.statements and select.next is not None:
                raise BuilderError("the closed channel's case leaves the function")
    default = next(c for c in select.children if c.kind == "default_case")
    first, last = default.statements[0], default.statements[-1]
    comments = select.tree.comments_in
    if comments(select.start, first.start) or comments(last.end, select.end):
        raise BuilderError("a comment would be lost")
    path, source = close.file.path, close.file.source
    if first is last:
        text = f"{once}.Do(func() {{ {close.call.name} }})"
        return [Edit(path, select.start, select.end, text.encode())]
    if close.statement not in default.statements or _may_leave(default):
        raise BuilderError("the default case does more than the close")
    if source.line_of(select.start) == source.line_of(first.start):
        raise BuilderError("the select stands on one line")
    # What else it does is done once now as well, as it was where nobody came at the same time.
    head = f"{once}.Do(func() {{".encode() + source.newline
    start = source.line_starts[source.line_of(first.start) - 1]
    return [Edit(path, select.start, start, head), Edit(path, select.end, select.end, b")")]


def _may_leave(default: Node) -> bool:
    """Return whether a statement leaves the function or the select: in a literal it would not."""
    return any(
        node.kind in _LEAVING and node.function is default.function
        for statement in default.statements
        for node in statement.walk()
    )


_LEAVING = frozenset(
    {"return_statement", "break_statement", "continue_statement", "goto_statement",
     "defer_statement", "labeled_statement"}
)  # fmt: skip
