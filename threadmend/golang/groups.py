"""Groups: types of the project that launch what they are given, and wait for all of it.

    func (g *group) Go(f func() error) {          func (g *group) Wait() error {
        g.wg.Add(1)                                    g.wg.Wait()
        go func() {                                    return g.err
            defer g.wg.Done()                      }
            if err := f(); err != nil { … }
        }()
    }

What is launched so runs like what an `errgroup.Group` launches.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.access import is_assigned_once
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, Type, deref, is_named

if TYPE_CHECKING:
    from threadmend.golang.package import Decl
    from threadmend.golang.workspace import Workspace

__all__ = ["is_error_group", "is_group"]

_GO = re.compile(rb"\bgo\b|\.Go\(")
_WAIT = re.compile(rb"\.Wait\(\)")
# Under a lock, or one at a time, what is launched does not run side by side.
_SERIAL = re.compile(rb"\bR?Lock\(\)|\bActive\b|SetLimit\(1\)")


def is_error_group(type_: Type | None) -> bool:
    """Return whether a type is errgroup.Group, or a Group of a package that is named like it.

    Companies wrap it (`safegroup.Group`): Go launches, Wait waits.
    """
    type_ = deref(type_)
    if not isinstance(type_, Named) or type_.name != "Group":
        return False
    return type_.package.endswith("group")


def is_group(workspace: Workspace, type_: Type | None) -> bool:
    """Return whether `Go` of a type launches its argument and `Wait` waits for that.

    An `errgroup.Group` does, and a type of the project whose methods show it.
    """
    if is_error_group(type_):
        return True
    type_ = deref(type_)
    if not isinstance(type_, Named) or type_.local:
        return False
    known: dict[tuple[str, str], bool] = workspace.facts.setdefault("own groups", {})
    key = (type_.package, type_.name)
    if key not in known:
        known[key] = False  # a group that is made of itself
        known[key] = _launches(workspace, type_) and _waits(workspace, type_)
    return known[key]


def _method(workspace: Workspace, type_: Named, name: str) -> Decl | None:
    package = workspace.package_by_key(type_.package)
    found = package.methods(type_.name).get(name, ()) if package is not None else ()
    return found[0] if len(found) == 1 and found[0].sound else None


def _launches(workspace: Workspace, type_: Named) -> bool:
    decl = _method(workspace, type_, "Go")
    body = decl.node.get("body") if decl is not None else None
    if decl is None or body is None or not _GO.search(decl.file.data, body.start, body.end):
        return False
    if _SERIAL.search(decl.file.data, body.start, body.end):
        return False
    names = [n for p in decl.node["parameters"].children for n in p.all("name")]
    if len(names) != 1:
        return False
    given = decl.file.binding(names[0])
    if given is None or not is_assigned_once(given):
        return False
    uses = [use for use in given.uses if use is not names[0]]
    return any(_is_run(decl, use) for use in uses)


def _is_run(decl: Decl, use: Node) -> bool:
    """Return whether a goroutine that the method launches calls the parameter."""
    from threadmend.golang.goroutines import launches_in

    return any(
        launch.node.contains(use) and (use.field == "function" or launch.kind != "go")
        for launch in launches_in(decl.file, decl.node)
    )


def _waits(workspace: Workspace, type_: Named) -> bool:
    decl = _method(workspace, type_, "Wait")
    body = decl.node.get("body") if decl is not None else None
    if decl is not None and body is not None:
        return _WAIT.search(decl.file.data, body.start, body.end) is not None
    selection = workspace.inference.member(type_, "Wait")
    owner = selection.owner if selection is not None else None
    return is_named(owner, "sync.WaitGroup", "golang.org/x/sync/errgroup.Group")
