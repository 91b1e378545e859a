"""Closes by a goroutine of an object, and by the method that ends the object, too.

type fuse struct{ blown chan struct{} }           func (w *watchdog) guard() {   // go l.guard()
func (f *fuse) blow() { close(f.blown) }              select {
                                                      case <-w.alarm:
func (l *Line) Stop() { l.blow() }                        w.blow()
                                                      case <-w.blown: …

Whatever brings the goroutine to its close, Stop closes again after it: nothing decides there.
"""

from __future__ import annotations

import re

from threadmend.golang.access import Access, access_of
from threadmend.golang.calls import Site, own_callers
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import Launch, launch_of_literal, launch_sites
from threadmend.golang.locks import declaration_of
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, deref

from ._close_method import ENDS, MethodClose, outer_closes

__all__ = ["beside_a_goroutine"]


_HELPERS = 2
_NO_LAST = re.compile(rb"(?!)")
_ANY = re.compile("")


def beside_a_goroutine(close: MethodClose, sites: list[Site]) -> tuple[Site, Site] | None:
    """Return the calls of a closing method by a goroutine and by who ends the same object.

    An exported method ends it, of any name: the goroutine is no part of it.
    """
    for end in outer_closes(close, sites, parts=True, ends=_ANY):
        if end.decl.node is close.decl.node:
            continue
        if not ENDS.match(end.decl.name) and _is_run_inside(end):
            continue
        for site in sites:
            if site.call is not None and site.call is not end.call:
                if _by_goroutine_of(site, end) or _by_helper(site, end, _HELPERS):
                    return site, next(s for s in sites if s.call is end.call)
    return None


def _is_run_inside(end: MethodClose) -> bool:
    """Return whether the package itself calls a method, or starts it as a goroutine."""
    return any(True for _ in own_callers(end.decl, _NO_LAST))


def _by_helper(site: Site, end: MethodClose, depth: int, below: tuple[str, ...] = ()) -> bool:
    """Return whether a goroutine calls a method of its object that always comes to a call.

    `func (l *Link) fail(err error) { log.Print(err); l.finish() }`
    """
    outer, base = site.node.function, _path(site.file, site.call)
    decl = declaration_of(site.file, outer) if outer is not None else None
    point = flow_of(outer).point_of(site.call) if outer is not None and site.call else None
    if outer is None or decl is None or base is None or point is None or not depth:
        return False
    if decl.node is end.decl.node or not isinstance(base.root, Binding):
        return False
    flow = flow_of(outer)
    always = flow.complete and not flow.exits_from(flow.entry, stop=lambda p: p is point)
    if base.root.kind != "receiver" or not always:
        return False
    below = (*base.steps, *below)
    return any(
        _by_goroutine_of(each, end, below) or _by_helper(each, end, depth - 1, below)
        for each in own_callers(decl, _NO_LAST)
        if each.call is not None
    )


def _by_goroutine_of(site: Site, end: MethodClose, below: tuple[str, ...] = ()) -> bool:
    """Return whether a call runs in a goroutine of the object that a method ends.

    `below` leads from what is called to the part that closes.
    """
    base = _path(site.file, site.call)
    if base is not None and below:
        base = Access(base.root, (*base.steps, *below))
    function = outer_function(site.node)
    decl = declaration_of(site.file, function) if function is not None else None
    root = base.root if base is not None else None
    if base is None or decl is None or not isinstance(root, Binding):
        return False
    inner = site.node.function
    if inner is not None and inner is not function:
        launch = launch_of_literal(site.file, inner)
        return (
            launch is not None
            and launch.kind != "timer"
            and launch.loop is None
            and root.function is launch.function
            and base.steps == end.access.steps
            and _is_of(site.file, root.node, end.decl.receiver)
        )
    if (
        root.kind != "receiver"
        or base.steps != end.access.steps[len(end.access.steps) - len(base.steps) :]
    ):
        return False
    above = end.access.steps[: len(end.access.steps) - len(base.steps)]
    return any(
        _is_launched_on(launch, decl, above, end)
        for launch in launch_sites(site.file.package).get(decl.key, ())
    )


def _is_launched_on(launch: Launch, decl: Decl, above: tuple[str, ...], end: MethodClose) -> bool:
    """Return whether a goroutine is one of the object itself, or of the part that it embeds."""
    file = end.file.package.workspace.file_of(launch.node)
    if launch.loop is not None or launch.call is None:
        return False
    if (above[-1] if above else end.decl.receiver) == decl.receiver:
        return True
    owner = _path(file, launch.call)
    return (
        owner is not None
        and owner.steps == above
        and isinstance(owner.root, Binding)
        and _is_of(file, owner.root.node, end.decl.receiver)
    )


def _is_of(file: GoFile, node: Node, name: str) -> bool:
    type_ = deref(file.type_of(node))
    return isinstance(type_, Named) and type_.name == name


def _path(file: GoFile, call: Node | None) -> Access | None:
    """Return the object that a method is called on, with the embedded fields on the way."""
    selector = call["function"] if call is not None else None
    if selector is None or selector.kind != "selector_expression":
        return None
    selection = file.selection(selector)
    return access_of(file, selector["operand"], selection.via) if selection is not None else None
