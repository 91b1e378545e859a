"""What go/racy-capture says about literals that are kept somewhere, and that a crowd calls.

    s := &scanner{emit: func(f finding) {       var mu sync.Mutex
        found = append(found, f)            →   s := &scanner{emit: func(f finding) {
    }}                                              mu.Lock()
    for range workers { go s.work() }               defer mu.Unlock()
                                                    found = append(found, f)
                                                }}

A field of the object that all of them work on, a variable that they share, or what a function
returned: `memo := remember(load)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.calls import code_files
from threadmend.golang.crowds import Crowd, crowds, own_nodes
from threadmend.golang.file import GoFile
from threadmend.golang.locks import held_at
from threadmend.golang.package import Package
from threadmend.golang.races import explained
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.targets import Body, bodies_of_value, targets

__all__ = ["KeptClosure", "kept_closures"]


@dataclass(frozen=True, slots=True)
class KeptClosure:
    """A literal of a file, and the call by which several goroutines run it."""

    file: GoFile
    literal: Node
    call: Node


def kept_closures(package: Package) -> list[KeptClosure]:
    """Return the literals of a package that crowds call, and that were made for all of them."""
    known: list[KeptClosure] | None = package.facts.get("kept closures")
    if known is None:
        known = package.facts["kept closures"] = []
        files = {f.path for f in code_files(package)}
        seen: set[Node] = set()
        for crowd in crowds(package):
            for call, body in _calls(crowd):
                if body.node in seen or body.file.path not in files or body.file.generated:
                    continue
                if _is_made_inside(crowd, body.node):
                    continue
                seen.add(body.node)
                known.append(KeptClosure(body.file, body.node, call))
    return known


def _calls(crowd: Crowd) -> Iterator[tuple[Node, Body]]:
    """Yield the calls in a crowd's body that run a literal all of it shares, without a lock."""
    file = crowd.file
    workspace = file.package.workspace
    if any(_is_ordered(workspace.file_of(step), step) for step in crowd.path):
        return
    for node in own_nodes(file, crowd.body):
        if node.kind != "call_expression" or file.callee(node) is not None:
            continue
        function = node["function"]
        owner = function["operand"] if function.kind == "selector_expression" else function
        binding = file.binding(owner) if owner.kind == "identifier" else None
        if binding is None or binding not in crowd.shared or _is_ordered(file, node):
            continue
        target = targets(file, node).certain or _reassigned(file, binding, owner is function, crowd)
        if target is not None and target.node.kind == "func_literal":
            yield node, target


def _is_ordered(file: GoFile, call: Node) -> bool:
    """Return whether a lock, an Once or a claim keeps the others of a crowd from a call."""
    return bool(held_at(file, call)) or explained(file, call)


def _reassigned(file: GoFile, binding: Binding, itself: bool, crowd: Crowd) -> Body | None:
    """Return what a parameter means that was given another value once, before the launch."""
    if binding.kind != "parameter" or not itself:
        return None
    values = []
    for use in binding.uses:
        group = use.parent
        statement = group.parent if group is not None else None
        if group is None or group.field != "left" or statement is None:
            continue
        right = statement.get("right")
        plain = statement.kind == "assignment_statement" and right is not None
        if not plain or right is None or len(right.children) != 1 or len(group.children) != 1:
            return None
        if statement.parent is not binding.scope["body"] or statement.end > crowd.root.start:
            return None
        values.append(right.children[0])
    return bodies_of_value(file, values[0]).certain if len(values) == 1 else None


def _is_made_inside(crowd: Crowd, literal: Node) -> bool:
    """Return whether each goroutine makes the literal for itself, or runs it as its own."""
    return literal is crowd.body or any(
        outer.tree is literal.tree and outer.contains(literal) for outer in (crowd.root, crowd.body)
    )
