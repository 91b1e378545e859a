"""One each: the calls of a function that start one goroutine each, by a helper that launches it.

    func (c *crew) send(j job) {            for _, j := range jobs {
        go func() {                             c.send(j)       // as good as the launch itself
            defer c.Done()                  }
            c.run(j)
        }()
    }

The helper launches on every path, once, and all its callers are visible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of
from threadmend.golang.calls import Site, callers
from threadmend.golang.flow import flow_of
from threadmend.golang.functions import call_of
from threadmend.golang.locks import declaration_of
from threadmend.golang.scope import Binding
from threadmend.golang.strands import literal_binding
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.goroutines import Launch

__all__ = ["starts_of"]


def starts_of(file: GoFile, function: Node, launch: Launch, on: Access) -> list[Node]:
    """Return the nodes of a function at each of which a launch starts one goroutine.

    The launch itself, or the calls of a helper that makes it in any case: a function, a method or
    a literal in a variable. Nothing where it cannot be told. The helper has to be given the
    object that `on`, something of that object in the function's words, is reached through.
    """
    inner = launch.function
    if inner is None or inner is function:
        return [launch.node] if inner is not None else []
    if not _launches_once(inner, launch.node):
        return []
    home = file.package.workspace.file_of(inner)
    if inner.kind == "func_literal":
        found = _calls_of_variable(home, inner)
    else:
        found = _calls_of_declared(home, inner, on)
    return found if all(c.function is function and not c.is_launched for c in found) else []


def _launches_once(function: Node, launch: Node) -> bool:
    """Return whether each run of a function comes to a launch, once."""
    flow = flow_of(function)
    point = flow.point_of(launch)
    if point is None or not flow.complete or flow.in_loop(point):
        return False
    exits = flow.exits_from(flow.entry, stop=lambda p: p is point)
    return not any(e.kind in {"return", "end"} for e in exits)


def _calls_of_variable(file: GoFile, literal: Node) -> list[Node]:
    """Return all calls of `send := func(j job) { go … }`; none where it is used otherwise."""
    binding = literal_binding(file, literal)
    uses = [u for u in binding.uses if u is not binding.node] if binding is not None else []
    calls = [call for use in uses if (call := call_of(use)) is not None]
    return calls if len(calls) == len(uses) else []


def _calls_of_declared(file: GoFile, function: Node, on: Access) -> list[Node]:
    decl = declaration_of(file, function)
    if decl is None or decl.exported:
        return []
    sites = callers(decl)
    known = all(s.call is not None and not s.deferred and _is_given(s, on) for s in sites)
    return [s.call for s in sites if s.call is not None] if known else []


def _is_given(site: Site, on: Access) -> bool:
    """Return whether a call gets the variable that a path starts from: `l` of `l.group`.

    As receiver or argument. A local variable is followed by who counts.
    """
    called = site.call["function"] if site.call is not None else None
    if site.call is None or called is None or not isinstance(on.root, Binding):
        return False
    given = [access_of(site.file, a) for a in site.call["arguments"].children]
    if called.kind == "selector_expression":
        selection = site.file.selection(called)
        via = selection.via if selection is not None else ()
        given.append(access_of(site.file, called["operand"], via))
    return not on.steps or any(base is not None and on.under(base) for base in given)
