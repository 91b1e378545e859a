"""Which context the group can give its goroutines: the first error then ends the others."""

from __future__ import annotations

import re
from dataclasses import dataclass

from threadmend.golang.access import uses_of
from threadmend.golang.contexts import derivations, kept_by
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import captures
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, is_named

from ._first_error import Errors, Exit
from ._group import Group

_ENDS = re.compile(
    rb"(?i)(?:close|stop|shut|clean|remove|delete|destroy|terminate|kill|unmount|umount|release"
    rb"|tear|purge|flush|rollback|abort|drain|unlock|disconnect|finali[sz]e|free|drop|evict)"
)

__all__ = ["Shared", "shared_context"]


@dataclass(frozen=True, slots=True)
class Shared:
    """The context of the goroutines and its `uses` in them.

    Where the function derives it with a cancel function that errors call, the group does both:
    `derived` is that statement, `parent` what it derives from, `gone` what goes with cancel.
    """

    binding: Binding
    uses: tuple[Node, ...]
    derived: Node | None = None
    parent: str = ""
    gone: tuple[Node, ...] = ()
    renamed: bool = True
    """Whether the group's context needs a name of its own."""


def shared_context(file: GoFile, group: Group, errors: Errors) -> Shared | None:
    """Return the context that all goroutines use and that nothing keeps behind Wait."""
    uses: dict[Binding, list[Node]] = {}
    for one in group.launched:
        inside = captures(one.literal)
        for alias, meant in one.aliases.items():
            inside.setdefault(meant, []).extend(u for u in alias.uses if u is not alias.node)
        for binding, places in inside.items():
            type_ = file.type_of(places[0]) if places else None
            if is_named(type_, "context.Context"):
                uses.setdefault(binding, []).extend(places)
    if len(uses) != 1 or _feeds(group) or _talks(file, group, errors):
        return None
    ((binding, places),) = uses.items()
    if any(_keeps(file, group, places, binding)):
        return None
    derived = _derived(file, group, errors, binding, places)
    if derived is not None:
        return derived
    if _written(binding) or any(_cleans(place) for place in (group.declared, *places)):
        return None
    return _plain(group, binding, places)


def _cleans(node: Node) -> bool:
    """Return whether a place is about the end of something, which errors should not keep back."""
    names = [name.text for f in node.ancestors() if (name := f.get("name")) is not None]
    call = node.parent.parent if node.parent is not None else None
    if call is not None and call.kind == "call_expression":
        names.append(call["function"].text.rpartition(b".")[2])
    return any(_ENDS.match(name) for name in names)


def _talks(file: GoFile, group: Group, errors: Errors) -> bool:
    """Return whether goroutines use other channels: who is at the other end may not end."""
    for one in group.launched:
        for binding, places in captures(one.literal).items():
            type_ = file.underlying(file.type_of(places[0]))
            if isinstance(type_, Chan) and binding is not errors.binding:
                if not _is_semaphore(binding):
                    return True
        for node in one.literal.find("selector_expression"):
            if isinstance(file.underlying(file.type_of(node)), Chan):
                return True
    return False


def _feeds(group: Group) -> bool:
    """Return whether the function talks to others until Wait: who listens may have ended."""
    launched = [one.statement for one in group.launched]
    for node in group.function.find("send_statement", "unary_expression", "go_statement"):
        if node.start >= group.end.start or any(one.contains(node) for one in launched):
            continue
        if node.kind == "go_statement":
            return True
        if node.start < group.declared.start:
            continue
        receives = node.kind == "unary_expression" and node["operator"].kind == "<-"
        if receives or (node.kind == "send_statement" and node["value"].text != b"struct{}{}"):
            return True
    return False


def _is_semaphore(binding: Binding) -> bool:
    return b"make(chan struct{}," in binding.declaration.text


def _written(binding: Binding) -> list[Node]:
    return [use.node for use in uses_of(binding) if use.kind in {"write", "address"}]


def _keeps(file: GoFile, group: Group, places: list[Node], binding: Binding) -> list[bool]:
    return [
        kept_by(file, one.literal, [p for p in places if one.literal.contains(p)]) is not None
        for one in group.launched
    ]


def _outside(group: Group, binding: Binding) -> list[Node]:
    """Return the uses of a context that no goroutine of the group makes."""
    literals = [one.statement for one in group.launched]
    return [
        u
        for u in binding.uses
        if u is not binding.node and not any(x.contains(u) for x in literals)
    ]


def _plain(group: Group, binding: Binding, places: list[Node]) -> Shared | None:
    """Return the context of a parameter or variable that the declaration can see."""
    if binding.visible > group.declared.start or not binding.scope.contains(group.declared):
        return None
    if _returns_before(group, group.declared):
        return None
    later = [u for u in _outside(group, binding) if u.start > group.declared.start]
    nested = [u for u in _outside(group, binding) if u.function is not group.function]
    return Shared(binding, tuple(places), renamed=bool(later or nested))


def _returns_before(group: Group, since: Node) -> bool:
    """Return whether the function may return between a statement and Wait.

    The group's context would last as long as its parent, then.
    """
    return any(
        node.function is group.function and since.start < node.start < group.end.start
        for node in group.function.find("return_statement")
    )


def _derived(
    file: GoFile, group: Group, errors: Errors, binding: Binding, places: list[Node]
) -> Shared | None:
    """Return the context of `ctx, cancel := context.WithCancel(parent)` that errors cancel."""
    own = [d for d in derivations(file) if file.binding(d.context) is binding]
    if len(own) != 1 or own[0].function_name != "WithCancel":
        return None
    found = own[0]
    if any(node is not found.context for node in _written(binding)):
        return None
    cancel = file.binding(found.cancel)
    statement, ends = found.statement, [e for x in errors.exits.values() for e in x]
    if (
        cancel is None
        or statement.kind != "short_var_declaration"
        or cancel.node is not found.cancel
    ):
        return None
    if statement.kind != "short_var_declaration" or statement.parent is not group.block:
        return None
    if not any(end.cancels for end in ends):
        return None
    if statement.start > group.end.start or _returns_before(group, statement):
        return None
    called = [u for u in cancel.uses if u is not cancel.node]
    if not all(any(_spans(e, u) for u in called) for e in ends if e.cancels):
        return None
    gone = []
    for use in called:
        if any(_spans(end, use) for end in ends):
            continue
        holder = use.statement
        if holder is None or holder.text != b"defer " + use.text + b"()":
            return None
        if holder.parent is not group.block:
            return None
        gone.append(holder)
    after = [u for u in _outside(group, binding) if u.start > group.end.start]
    if after or any(one.statement.start < statement.start for one in group.launched):
        return None
    parent = found.call["arguments"].children[0].name
    return Shared(binding, tuple(places), statement, parent, tuple(gone), renamed=False)


def _spans(end: Exit, node: Node) -> bool:
    return end.first.start <= node.start < end.last.end
