"""A channel that limits how many goroutines of a group run at a time."""

from __future__ import annotations

import re
from dataclasses import dataclass

from threadmend.golang.access import is_assigned_once
from threadmend.golang.file import GoFile
from threadmend.golang.infer import is_decl
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node

from ._group import Group, Launched, siblings

__all__ = ["Limit", "limit_of"]


@dataclass(frozen=True, slots=True)
class Limit:
    """`made` is `sem := make(chan struct{}, n)`, `gone` the sends and receives; n is `size`."""

    made: Node
    size: Node
    gone: tuple[Node, ...]


def limit_of(file: GoFile, group: Group) -> Limit | None:
    """Return the semaphore that every launch acquires just before and releases deferred.

    sem <- struct{}{}
    wg.Add(1)
    go func() { defer wg.Done(); defer func() { <-sem }(); … }()
    """
    found = [_semaphores(file, group, one) for one in group.launched]
    named = {binding for one in found for binding in one}
    if len(named) != 1 or not all(found):
        return None
    (semaphore,) = named
    made = semaphore.declaration.statement
    made_by = re.fullmatch(rb"\w+ := make\(chan struct\{\}, (.+)\)", semaphore.declaration.text)
    if made is None or made_by is None or made.parent is not group.block:
        return None
    gone = [node for one in found for node in one[semaphore]]
    uses = [u for u in semaphore.uses if u is not semaphore.node]
    if not all(any(node.contains(u) for node in gone) for u in uses):
        return None
    call = next(made.find("call_expression"))
    size = call["arguments"].children[1]
    if not _is_count(file, size) or not is_assigned_once(semaphore):
        return None
    return Limit(made, size, tuple(gone))


def _is_count(file: GoFile, size: Node) -> bool:
    """Return whether a size is an int that means the same wherever the group is declared."""
    if size.kind == "int_literal":
        return size.text != b"0"
    if str(file.type_of(size)) not in {"int", "untyped int"}:
        return False
    if size.kind == "call_expression":
        return size.text in {b"runtime.NumCPU()", b"runtime.GOMAXPROCS(0)"}
    binding = file.binding(size)
    if binding is not None:
        return binding.kind == "constant" or is_assigned_once(binding)
    if size.kind == "identifier":
        return is_decl(file.resolve(size), "const")
    return size.kind == "selector_expression" and all(
        n.kind in {"selector_expression", "identifier", "field_identifier"} for n in size.walk()
    )


def _semaphores(file: GoFile, group: Group, one: Launched) -> dict[Binding, list[Node]]:
    """Return the channels that a launch acquires and its goroutine releases."""
    found: dict[Binding, list[Node]] = {}
    for statement in one.body.statements:
        if statement.kind != "defer_statement":
            break
        released = re.fullmatch(
            rb"defer func\(\) \{\s*<-(\w+);?\s*(?:\w+\.Done\(\))?;?\s*\}\(\)"
            rb"|defer func\(\) \{\s*\w+\.Done\(\);?\s*<-(\w+)\s*\}\(\)",
            statement.text,
        )
        if released is None:
            continue
        receive = next(n for n in statement.find("unary_expression"))
        semaphore = file.binding(receive["operand"])
        acquired = _acquired(group, one, released[1] or released[2])
        if semaphore is not None and acquired is not None:
            found[semaphore] = [acquired, statement]
    return found


def _acquired(group: Group, one: Launched, name: bytes) -> Node | None:
    """Return the `sem <- struct{}{}` that stands directly before a launch."""
    around, at = siblings(one.statement, group.adds)
    before = around[at - 1] if at > 0 else None
    text = re.compile(re.escape(name) + rb" <- struct\{\}\{\}")
    return before if before is not None and text.fullmatch(before.text) else None
