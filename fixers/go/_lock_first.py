"""A lock that a called function takes, or a branch, taken before the function's own instead.

func (l *ledger) audit() int {           func (l *ledger) audit() int {
    l.log.Lock()                             l.acct.Lock()
    defer l.log.Unlock()          →          defer l.acct.Unlock()
    return l.sum() + len(l.lines)            l.log.Lock()
}                                            defer l.log.Unlock()
                                             return l.sumLocked() + len(l.lines)
                                         }
"""

from __future__ import annotations

import re
from itertools import pairwise

from threadmend.golang.access import Access
from threadmend.golang.builders import BuilderError, delete_all, insert_before
from threadmend.golang.calls import callers
from threadmend.golang.effects import Pair
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import declaration_of, lock_operation, locks_of
from threadmend.golang.scope import Binding, resolve_local
from threadmend.golang.syntax import Node
from threadmend.golang.types import Interface
from threadmend.model import Edit

from ._locked import call_edit, split
from ._locked_interface import widened
from ._relock_checks import check_named, check_place

_NAME = re.compile(r"[^\W\d]\w*")

__all__ = ["hoisted", "means_the_same", "taken_first"]


def taken_first(pair: Pair, deep: bool = False) -> tuple[Edit, ...]:
    """Return the edits that take a callee's lock at the place where the caller takes its own.

    `deep`: also the lock of what the callee calls, where nobody else calls that.

    Sound: the callee's critical section becomes a part of a longer one. Raises BuilderError when
    the callee does not lock from beginning to end, or the caller has no name for the lock yet.
    """
    path, access = pair.event.path, pair.event.access
    workspace = pair.file.package.workspace
    if (
        len(path) < 2
        or (len(path) > 2 and not deep)
        or access is None
        or not isinstance(access.root, Binding)
    ):
        raise BuilderError("the second lock is taken in a function further down")
    call = path[-2]
    file = workspace.file_of(call)
    for above, below in pairwise(path[:-1]):
        _check_only_call(workspace.file_of(below), above, below)
    owner = workspace.file_of(pair.event.operation)
    inner = lock_operation(owner, pair.event.operation)
    function = pair.event.operation.function
    decl = declaration_of(owner, function) if function is not None else None
    if decl is None or inner is None or inner.access is None:
        raise BuilderError("the function that locks has no name")
    check_place(file, call, decl.file)
    check_named(call, decl)
    operand = call["function"].get("operand")
    if operand is not None and isinstance(file.underlying(file.type_of(operand)), Interface):
        raise BuilderError("an interface stands before the second lock")
    if any(o.access == access for o in locks_of(pair.file, pair.function).operations):
        raise BuilderError("the second lock is taken more than once")
    outer = _held_to_the_end(pair)
    block = outer.parent
    until = pair.node.start
    between = [s for s in block.statements if outer.end <= s.start < until] if block else []
    if not means_the_same(access, outer, between):
        raise BuilderError("which object the second lock belongs to is decided in between")
    steps = access.steps[: len(access.steps) - len(inner.via)]
    name = str(Access(access.root, steps))
    take, give = ("RLock", "RUnlock") if pair.event.mode == "read" else ("Lock", "Unlock")
    result = split(decl, inner.access)
    return (
        *insert_before(outer, f"{name}.{take}()\ndefer {name}.{give}()"),
        *result.edits,
        *widened(file, call, decl, result.name),
        call_edit(call, result.name),
    )


def _check_only_call(file: GoFile, above: Node, below: Node) -> None:
    """Refuse where others than one call come to the function that makes a call further down."""
    function = below.function
    decl = declaration_of(file, function) if function is not None else None
    if decl is None or decl.exported or [s.call for s in callers(decl)] != [above]:
        raise BuilderError("the second lock is taken in a function further down")
    if locks_of(file, decl.node).operations or above.runs_later or below.runs_later:
        raise BuilderError("the function in between takes locks itself")


def hoisted(pair: Pair) -> tuple[Edit, ...]:
    """Return the edits that take a lock of a branch above the function's own, until it returns.

        r.mu.Lock()                     r.lobby.mu.Lock()
        defer r.mu.Unlock()             defer r.lobby.mu.Unlock()
        …                          →    r.mu.Lock()
        if len(r.members) == 0 {        defer r.mu.Unlock()
            r.lobby.mu.Lock()           …

    Sound: the branch runs under both locks as before, the rest under one more. Raises
    BuilderError where the branch decides which lock it is, or if there is one.
    """
    file, access = pair.file, pair.event.access
    inner = lock_operation(file, pair.node)
    statement = inner.call.parent if inner is not None else None
    if inner is None or access is None or statement is None or inner.access != access:
        raise BuilderError("a lock is taken through a helper")
    outer = _held_to_the_end(pair)
    own = [o for o in locks_of(file, pair.function).operations if o.access == access]
    ends = [o.deferred or o.call.parent for o in own if o is not inner and o.releases]
    same = [o.call for o in own if o.acquires or o.tries]
    if same != [inner.call] or not ends or innermost_loop(inner.call) is not None:
        raise BuilderError("the second lock is taken more than once")
    for end in (statement, *ends):
        if end is None or end.kind not in {"expression_statement", "defer_statement"}:
            raise BuilderError("a lock operation is part of another statement")
        if end.function is not pair.function or end.start < outer.start:
            raise BuilderError("the second lock is released elsewhere")
    block = outer.parent
    between = (
        [s for s in block.statements if outer.end <= s.start < statement.start] if block else []
    )
    if not means_the_same(access, outer, between):
        raise BuilderError("which object the second lock belongs to is decided in between")
    owner = inner.lock.text.rpartition(b".")[0]
    for above in statement.ancestors():
        test = above.get("condition") or above.get("value")
        if test is not None and any(n.text == owner for n in test.walk()):
            raise BuilderError(f"a condition asks about {owner.decode()}")
    name = inner.lock.name
    take, give = ("RLock", "RUnlock") if inner.mode == "read" else ("Lock", "Unlock")
    gone = [node for node in (statement, *ends) if node is not None]
    return (*insert_before(outer, f"{name}.{take}()\ndefer {name}.{give}()"), *delete_all(gone))


def _held_to_the_end(pair: Pair) -> Node:
    """Return the statement that takes the first lock, released by the defer right behind it."""
    taken = pair.taken_at
    outer = taken.parent if taken is not None else None
    if taken is None or outer is None or outer.kind != "expression_statement":
        raise BuilderError("a lock is taken through a helper")
    behind = outer.next
    if outer.parent is not pair.function.get("body") or behind is None:
        raise BuilderError("the first lock is taken in an inner block")
    release = _released_by(pair.file, behind)
    if release is None or release != pair.held.access:
        raise BuilderError("the first lock is not released by a defer")
    return outer


def _released_by(file: GoFile, statement: Node) -> Access | None:
    call = statement.children[-1] if statement.kind == "defer_statement" else None
    operation = lock_operation(file, call) if call is not None else None
    return operation.access if operation is not None and operation.releases else None


def means_the_same(access: Access, outer: Node, between: list[Node]) -> bool:
    """Return whether the second lock's expression is the same object above the first Lock."""
    root = access.root
    if not isinstance(root, Binding):
        return True
    if root.visible > outer.start:
        return False
    named = {n for step in access.steps if step.startswith("[") for n in _NAME.findall(step)}
    function = outer.function
    for name in function["body"].find("identifier") if named and function is not None else ():
        binding = resolve_local(name) if name.name in named else None
        if binding is None:
            continue
        if binding.visible > outer.start:
            return False  # `for _, name := range names { m[name].mu.Lock()`: one in each round
        if any(s.contains(name) and _is_assigned(name.parent) for s in between):
            return False
    for statement in between:
        for name in statement.find("identifier"):
            group = name.parent
            if _is_assigned(group) and name.name == root.name:
                return False
            if group is not None and group.kind == "selector_expression" and name.name == root.name:
                owner = group.parent
                if _is_assigned(owner):
                    if access.steps[:1] == (group["field"].name,):
                        return False
    return True


def _is_assigned(group: Node | None) -> bool:
    return group is not None and group.kind == "expression_list" and group.field == "left"
