"""Fanned: literals that one call runs side by side, each in a goroutine of its own.

func both(fs ...func()) {                 both(                    // the two run at the same time,
    var wg sync.WaitGroup                     func() { … },        // and have ended behind the call
    for _, f := range fs {                    func() { … },
        wg.Add(1)                         )
        go func() { defer wg.Done(); f() }()
    }
    wg.Wait()
}
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.access import is_assigned_once
from threadmend.golang.goroutines import launches_in
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package

__all__ = ["fanned", "fans_out"]

_HEAD = re.compile(rb"^func (?:\([^)\n]*\) )?(\w+)\([^\n{]*(?:\.\.\.|\[\])func\(", re.M)
# What keeps a goroutine from running beside the one before.
_ORDERS = re.compile(rb"<-|\bselect\b|\.(?:R?Lock|Acquire|TryLock)\(|SetLimit\(")
_WAITS = re.compile(rb"\.Wait\(")


def fans_out(package: Package) -> re.Pattern[bytes] | None:
    """Return what a call of a function of the package that may fan out looks like."""
    known: tuple[re.Pattern[bytes] | None] | None = package.facts.get("fanning names")
    if known is None:
        names = {m[1] for f in package.files for m in _HEAD.finditer(f.data)}
        words = b"|".join(sorted(names))
        known = (re.compile(rb"\b(?:" + words + rb")\(") if names else None,)
        package.facts["fanning names"] = known
    return known[0]


def fanned(file: GoFile, call: Node) -> list[Node]:
    """Return the literals that a call runs side by side: its arguments, or those of one slice."""
    decl = file.callee(call)
    if decl is None or not decl.sound or not decl.has_body:
        return []
    known: dict[tuple[str, int], int | None] = decl.file.package.facts.setdefault("fans out", {})
    if decl.key not in known:
        known[decl.key] = _place(decl)
    place, arguments = known[decl.key], call["arguments"].children
    if place is None or place >= len(arguments):
        return []
    given = arguments[place:]
    if len(given) == 1 and given[0].kind == "composite_literal":
        given = [e.children[0] for e in given[0]["body"].children if len(e.children) == 1]
    return [node for node in given if node.kind == "func_literal"]


def _place(decl: Decl) -> int | None:
    """Return the place of the last parameter, whose every function a loop launches."""
    node, file = decl.node, decl.file
    names = [n for p in node["parameters"].children for n in p.all("name")]
    body = node["body"]
    if not names or not re.search(rb"(?:\.\.\.|\[\])func\(", node["parameters"].children[-1].text):
        return None
    given = file.binding(names[-1])
    if given is None or not is_assigned_once(given) or not _WAITS.search(body.text):
        return None
    for launch in launches_in(file, node):
        loop = launch.loop
        if launch.function is not node or loop is None or loop.parent is not body:
            continue
        clause = next((c for c in loop.children if c.kind == "range_clause"), None)
        if clause is None or file.binding(clause["right"]) is not given:
            continue
        if _ORDERS.search(loop.text) or _WAITS.search(loop.text) or launch.kind == "timer":
            continue
        left = clause.get("left")
        each = file.binding(left.children[-1]) if left is not None else None
        if each is not None and _runs(file, launch.node, each):
            return len(names) - 1
    return None


def _runs(file: GoFile, launch: Node, each: object) -> bool:
    """Return whether a launch calls the function of a round, or hands it to what launches it."""
    for name in launch.find("identifier"):
        if file.binding(name) is each and name.parent is not None:
            return name.field == "function" or name.parent.kind == "argument_list"
    return False
