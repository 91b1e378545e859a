"""What go/racy-field says about channels that are set to nil under a goroutine's feet.

    func (w *watcher) Start() {                 func (w *watcher) Start() {
        go func() {                                 done := w.done
            for {                                   go func() {
                select {                                for {
                case <-w.done:             →                select {
                    return                                  case <-done:

    func (w *watcher) Stop() {
        close(w.done)
        w.done = nil
    }

Whoever reads the field again after the close receives from nil, for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import access_of, lock_class
from threadmend.golang.awaited import comes_after_wait
from threadmend.golang.builders import (
    BuilderError,
    free_name,
    insert_before,
    taken_names,
    with_reason,
)
from threadmend.golang.calls import code_files
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import Launch, innermost_loop, launches_in
from threadmend.golang.package import Package
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Finding, Fix, Related, Safety

__all__ = ["channels_taken_away"]

_CLOSES = re.compile(rb"\bclose\(\w[\w.]*\.\w+\)\s*\n\s*[\w.]+ = nil\b")
_WAITS = re.compile(rb"\.Wait\(\)")
_LAUNCHES = re.compile(rb"\bgo\s+[\w(]|\.Go\(")


def channels_taken_away(package: Package) -> Iterator[Finding]:
    """Yield the closes that are followed by nil, where a goroutine reads the field each round."""
    for file in code_files(package):
        if file.generated or not file.holds(_CLOSES):
            continue
        for declaration in file.declarations(_CLOSES):
            for statement in declaration.index.get("assignment_statement", ()):
                target = _set_to_nil(statement)
                if target is None or lock_class(file, target) is None:
                    continue
                assigned = FieldAccess(file, target, "write", access_of(file, target["operand"]))
                # Whoever has waited for the goroutines of the object is the last one.
                if not assigned.held and not comes_after_wait(_read(assigned)):
                    found = _reader(package, file, target)
                    if found is not None:
                        yield _finding(target, *found)


def _read(access: FieldAccess) -> FieldAccess:
    return FieldAccess(access.file, access.node, "read", access.base)


def _set_to_nil(statement: Node) -> Node | None:
    """Return `s.done` of `close(s.done)` and then `s.done = nil`."""
    left, right = statement["left"].children, statement["right"].children
    before = statement.previous
    if len(left) != 1 or right[0].kind != "nil" or before is None:
        return None
    if left[0].kind != "selector_expression" or before.kind != "expression_statement":
        return None
    return left[0] if before.text == b"close(" + left[0].text + b")" else None


def _reader(package: Package, file: GoFile, target: Node) -> tuple[GoFile, Launch, Node] | None:
    """Return a launch whose goroutine receives from the field in a loop, without a lock."""
    for access in accesses_like(package, file, target):
        literal = access.node.function
        if access.kind != "read" or literal is None or literal.kind != "func_literal":
            continue
        if not _is_received_in_loop(access.node) or access.held:
            continue
        top = access.file.tree.declaration_at(access.node.start)
        for launch in launches_in(access.file, top.node) if top is not None else ():
            if launch.literal is literal and launch.kind != "timer":
                around = outer_function(launch.node)
                if around is not None and around is outer_function(target):
                    if _WAITS.search(access.file.data, launch.node.end, around.end):
                        continue  # a defer of who waits for it
                return access.file, launch, access.node
    return None


def _is_received_in_loop(node: Node) -> bool:
    parent = node.parent
    if parent is None or parent.kind != "unary_expression" or parent["operator"].kind != "<-":
        return False
    return innermost_loop(node) is not None


def _finding(target: Node, file: GoFile, launch: Launch, read: Node) -> Finding:
    fix, reason = _fix(file, launch, read)
    return Finding(
        path=target.path,
        start=target.start,
        end=target.end,
        message=f"{target.name} is set to nil while a goroutine may still have to receive from it",
        fixes=(fix,) if fix is not None else (),
        related=(Related(read.path, read.start, read.end, "received from in each round here"),),
        reason=reason,
    )


@with_reason
def _fix(file: GoFile, launch: Launch, read: Node) -> Fix:
    """Let the goroutine keep the channel that it was launched with."""
    literal, function = launch.literal, launch.function
    access = access_of(file, read)
    if literal is None or function is None or access is None or not _is_known(access.root, literal):
        raise BuilderError("the channel has no name where the goroutine is launched")
    for node in function.walk():
        if node.kind == "selector_expression" and node.text == read.text:
            if node.start > launch.node.start and not literal.contains(node):
                raise BuilderError("the function that launches uses the field afterwards")
            if literal.contains(node) and not _is_value(node):
                raise BuilderError("the goroutine writes the field itself")
    name = free_name(read["field"].name, taken_names(function))
    uses = [
        n
        for n in literal.find("selector_expression")
        if n.text == read.text and access_of(file, n) == access
    ]
    before = launch.statement
    if literal.start < before.start and literal.statement is not None:
        before = literal.statement  # `watch := func() {…}`, then `go watch()`
    edits: list[Edit] = [*insert_before(before, f"{name} := {read.name}")]
    edits.extend(Edit(u.path, u.start, u.end, name.encode()) for u in uses)
    return Fix("Let the goroutine keep its channel", tuple(edits), Safety.SAFE)


def _is_known(root: object, literal: Node) -> bool:
    return not isinstance(root, Binding) or not literal.contains(root.node)


def _is_value(node: Node) -> bool:
    parent = node.parent
    if parent is None or parent.field == "left":
        return False
    return not (parent.kind == "unary_expression" and parent["operator"].kind == "&")
