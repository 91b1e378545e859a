"""Wording: locks and paths of a callee as a caller would name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from threadmend.golang.access import (
    Access,
    access_of,
    is_assigned_once,
    lock_class,
    selector_called,
    uses_of,
)
from threadmend.golang.backrefs import homeward
from threadmend.golang.locks import Held
from threadmend.golang.made_around import unwrapped
from threadmend.golang.scope import Binding, argument_of
from threadmend.golang.selfrefs import without_detours
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["bind", "translated"]


def bind(file: GoFile, call: Node, body: Node, held: frozenset[Held]) -> frozenset[Held]:
    """Return locks in the words of a caller: what the body's receiver and parameters are there.

    Locks of the body's own variables are left out.
    """
    found = set()
    for lock in held:
        access = translated(file, call, body, lock.access)
        if access is not None:
            found.add(Held(access, lock.mode, _class_given(file, call, body, lock)))
    return frozenset(found)


def _class_given(file: GoFile, call: Node, body: Node, lock: Held) -> str | None:
    """Return the class of a lock in a caller's words: `enter(&s.mu)` takes that of the field."""
    root = lock.access.root
    if lock.access.steps or not isinstance(root, Binding):
        return lock.lock_class
    argument = argument_of(call, body, root)
    return lock_class(file, argument) if argument is not None else lock.lock_class


_LONGEST = 6  # steps of a path; a recursion through `next` would grow it for ever


def translated(
    file: GoFile,
    call: Node | None,
    body: Node,
    access: Access | None,
    extra: Mapping[Binding, Access | None] | None = None,
    at: Node | None = None,
) -> Access | None:
    """Return a callee's access path in the caller's terms, None when it has none there.

    A parameter or receiver that gets another value, as in `for ; r != nil; r = r.base`, is what
    the caller gave only where that comes later: `at` is the place that is asked about.
    """
    if access is None:
        return None
    root = access.root
    if not isinstance(root, Binding):
        return access
    if extra and root in extra:
        base: Access | None = extra[root]
    elif not body.contains(root.scope):
        return access  # captured: the same variable
    elif call is None or root.scope is not body:
        return None
    elif _is_kept(file, root):
        known: dict[tuple[Node, Access], Access | None]
        known = file.package.facts.setdefault("translated", {})
        key = (call, access)
        if key not in known:
            known[key] = _under(file, _given(file, call, body, root), access)
        return known[key]
    elif at is not None and _is_given_at(root, at):
        base = _given(file, call, body, root)
    else:
        return None
    return _under(file, base, access)


def _under(file: GoFile, base: Access | None, access: Access) -> Access | None:
    """Return a path whose first variable is an object of the caller, the shortest one."""
    if base is None or len(base.steps) + len(access.steps) > _LONGEST:
        return None
    path = unwrapped(file, Access(base.root, base.steps + access.steps))
    return without_detours(file, homeward(file, path))


def _is_kept(file: GoFile, root: Binding) -> bool:
    """Return whether a receiver or parameter is never assigned; every event of a callee asks."""
    known: dict[Binding, bool] = file.package.facts.setdefault("kept parameters", {})
    if root not in known:
        known[root] = is_assigned_once(root)
    return known[root]


def _is_given_at(parameter: Binding, node: Node) -> bool:
    """Return whether the first run of a place finds in a parameter what the caller gave.

    It does where every assignment stands further down, or between two rounds of a loop.
    """
    for use in uses_of(parameter):
        if use.kind not in {"write", "update"} or use.node.start > node.start:
            continue
        update = next((a for a in use.node.ancestors() if a.field == "update"), None)
        loop = update.up("for_statement") if update is not None else None
        if loop is None or not loop["body"].contains(node):
            return False
    return True


def _given(file: GoFile, call: Node, body: Node, root: Binding) -> Access | None:
    """Return what a call gives for a receiver or parameter; every event of a callee asks."""
    known: dict[tuple[Node, Binding], Access | None] = file.package.facts.setdefault("given", {})
    key = (call, root)
    if key not in known:
        known[key] = _find_given(file, call, body, root)
    return known[key]


def _find_given(file: GoFile, call: Node, body: Node, root: Binding) -> Access | None:
    if root.kind == "receiver":
        function = selector_called(file, call)
        if function is None:
            return None
        selection = file.selection(function)
        via = selection.via if selection is not None else ()
        return access_of(file, function["operand"], via)
    argument = argument_of(call, body, root)
    return access_of(file, argument) if argument is not None else None
