"""Goroutines of a test that range over a subscription, which the test never gives up.

sub := hub.Subscribe()                 t.Cleanup(func() {
go func() {                                hub.Unsubscribe(sub)   // closes sub
    for ev := range sub {                  wg.Wait()
        t.Error(ev)                    })
    }
}()
"""

from __future__ import annotations

import re

from threadmend.golang.builders import (
    BuilderError,
    free_name,
    insert_before,
    package_name,
    reach_import,
    taken_names,
)
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, captures, innermost_loop
from threadmend.golang.scope import Binding
from threadmend.golang.stops import leaves_loop
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, deref
from threadmend.model import Edit, Fix, Safety

from ._counted import counted_launch

__all__ = ["subscribed"]


def subscribed(file: GoFile, launch: Launch, test: Binding) -> tuple[Node, Fix] | None:
    """Return the use of t in a goroutine that nothing ends, and how to end it with the test."""
    literal = launch.literal
    if literal is None or not launch.node.contains(literal) or innermost_loop(launch.node):
        return None
    for clause in literal.find("range_clause"):
        loop, channel = clause.parent, file.binding(clause["right"])
        if loop is None or channel is None or clause.function is not literal:
            continue
        use = next((u for u in test.uses if loop.contains(u)), None)
        if use is None or leaves_loop(loop) or channel not in captures(literal):
            continue
        end = _ended_by(file, launch, channel)
        if end is not None:
            fix = _fix(file, launch, test, end)
            return (use, fix) if fix is not None else None
    return None


def _ended_by(file: GoFile, launch: Launch, channel: Binding) -> str | None:
    """Return the call that closes what another call of the object gave: `hub.Leave(sub)`."""
    call = _made_by(channel)
    if call is None or call["function"].kind != "selector_expression":
        return None
    uses = [u for u in channel.uses if u is not channel.node]
    if any(not launch.node.contains(u) for u in uses):
        return None  # the test does something with it itself
    owner = call["function"]["operand"]
    type_ = deref(file.type_of(owner))
    if not isinstance(type_, Named) or owner.kind not in {"identifier", "selector_expression"}:
        return None
    package = file.package.workspace.package_by_key(type_.package)
    methods = package.methods(type_.name) if package is not None else {}
    names = [n for n, decls in methods.items() if all(_closes(d.node) for d in decls)]
    return f"{owner.name}.{names[0]}({channel.name})" if len(names) == 1 else None


def _made_by(channel: Binding) -> Node | None:
    values = channel.declaration.get("right")
    if values is None or len(values.children) != 1 or values.children[0].kind != "call_expression":
        return None
    return values.children[0]


def _closes(method: Node) -> bool:
    """Return whether a method takes one channel and closes it."""
    names = [n.name for p in method["parameters"].children for n in p.all("name")]
    return len(names) == 1 and bool(
        re.search(rb"\bclose\(%s\)" % re.escape(names[0].encode()), method.text)
    )


def _fix(file: GoFile, launch: Launch, test: Binding, end: str) -> Fix | None:
    function = launch.function
    if function is None:
        return None
    name = free_name("wg", taken_names(function))
    package = package_name(file.tree, "sync")
    cleanup = f"{test.name}.Cleanup(func() {{\n\t{end}\n\t{name}.Wait()\n}})"
    code = f"var {name} {package}.WaitGroup\n{cleanup}"
    try:
        edits: list[Edit] = list(insert_before(launch.node, f"{code}\n{name}.Add(1)"))
        counted = counted_launch(file, launch, name)
        if counted is None:
            return None
        edits += counted
        edits += reach_import(file.tree, "sync")
    except BuilderError:
        return None
    reason = "the test ends what it began, and waits for it"
    return Fix(f"Call {end} in a Cleanup", tuple(edits), Safety.UNSAFE, reason)
