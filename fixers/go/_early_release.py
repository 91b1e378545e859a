"""A deferred release turned into one on each way out, above statements that need no lock.

func (s *section) enter(train string) error {    func (s *section) enter(train string) error {
    s.mu.Lock()                                      s.mu.Lock()
    defer s.mu.Unlock()                              if s.train != "" {
    if s.train != "" {                                   s.refused++
        s.refused++                                      s.mu.Unlock()
        notify(refused)                    →             notify(refused)
        return errOccupied                               return errOccupied
    }                                                }
    s.train = train                                  s.train = train
    notify(entered)                                  s.mu.Unlock()
    return nil                                       notify(entered)
}                                                    return nil
                                                 }

What is left of the function behind such a statement runs without the lock, too: it may ask for
nothing that the lock guards but what a return reads, which is copied.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from threadmend.golang.builders import BuilderError, insert_after, insert_at_end, insert_before
from threadmend.golang.file import GoFile
from threadmend.golang.lock_calls import lock_call
from threadmend.golang.locks import LockOperation
from threadmend.golang.package import Decl
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, Struct
from threadmend.model import Edit

from ._local_release import deferred_releases
from ._lock_copies import Copies

__all__ = ["early_release"]

_ELSEWHERE = "the release is not in the same block"


def early_release(
    function: Node,
    operations: list[LockOperation],
    moved: Sequence[Copies],
    *,
    move: bool,
    above: Node | None,
) -> tuple[Edit, ...]:
    """Return the edits that release before each moved statement, and on all other ways out.

    No path may come through two of the statements. Raises BuilderError where the lock is still
    needed behind one of them, or on another way out where it would be gone.
    """
    body = function.get("body")
    if body is None or any(o.releases and o.deferred is None for o in operations):
        raise BuilderError(_ELSEWHERE)
    deferred = deferred_releases(moved[0].file, function, moved[0].access, operations)
    if len(deferred) != 1 or deferred[0].defer.parent is not body:
        raise BuilderError(_ELSEWHERE)
    release, defer = deferred[0], deferred[0].defer
    if any(defer.start > c.statement.start for c in moved):
        raise BuilderError(_ELSEWHERE)
    unlock = release.code
    later = [n for n in body.own() if n.kind == "defer_statement" and n.start > defer.end]
    if not all(_releases_another(moved[0], n) for n in later):
        raise BuilderError("another deferred call may need the lock")
    edits: list[Edit] = [*release.removed()]
    free: list[Node] = []  # what runs without the lock
    for copies in moved:
        tail = _tail(copies.statement, body)
        _check_behind(copies, tail, moved, move)
        copied, replaced = copies.taken(*(s for s in tail.behind if copies.touched(s)))
        until = above if above is not None and not copied else copies.statement
        edits += insert_before(until, "\n".join([*copied, unlock]))
        edits += replaced
        if tail.leave:
            last = tail.behind[-1] if tail.behind else copies.statement
            edits += insert_after(last, tail.leave)
        free += [copies.statement, *tail.behind]
        if until is not copies.statement and until.parent is not None:
            between = until.parent.statements
            free += [s for s in between if until.start <= s.start < copies.statement.start]
    for node in body.own():
        if node.start < defer.end or any(s.contains(node) for s in free):
            continue
        if node.kind == "return_statement":
            edits += _before_return(moved[0], node, unlock)
        elif _panics(node):
            edits += insert_before(node, unlock)
    if function.get("result") is None and not any(c.statement.parent is body for c in moved):
        if body.statements[-1].kind != "return_statement":
            edits += insert_at_end(body, unlock)
    edits += [edit for copies in moved for edit in copies.imports]
    return tuple(edits)


@dataclass(frozen=True, slots=True)
class _Tail:
    """What runs behind a moved statement, and the return to add so that nothing else does."""

    behind: list[Node]
    leave: str = ""


def _tail(statement: Node, body: Node) -> _Tail:
    """Return what runs behind a statement; raises BuilderError where others come there, too.

    `if open { b.state = opened; b.notify() }` at the end, or before a plain `return nil`.
    """
    behind = list(statement.following)
    if statement.parent is body or (behind and behind[-1].kind == "return_statement"):
        return _Tail(behind)
    shared: list[Node] = []
    around = statement
    while around.parent is not body:
        block = around.parent
        if block is None or block.kind not in _INNER:
            raise BuilderError(_ELSEWHERE)
        outer = block.parent
        while outer is not None and outer.parent is not None and outer.field == "alternative":
            outer = outer.parent
        if outer is None or outer.kind not in _BRANCHES:
            raise BuilderError(_ELSEWHERE)
        around = outer
        shared += around.following
    function = statement.function
    if not shared and function is not None and function.get("result") is None:
        if not _falls_through(around):
            raise BuilderError(_ELSEWHERE)
        return _Tail(behind, "return")
    if len(shared) == 1 and shared[0].kind == "return_statement" and _is_constant(shared[0]):
        return _Tail(behind, shared[0].name)
    raise BuilderError(_ELSEWHERE)


_INNER = frozenset({"block", "expression_case", "default_case", "type_case"})
_BRANCHES = frozenset({"if_statement", "expression_switch_statement", "type_switch_statement"})


def _falls_through(branches: Node) -> bool:
    """Return whether some way leads past an `if` or a switch: it lacks the branch for all else."""
    if branches.kind == "if_statement":
        other = branches.get("alternative")
        return other is None or (other.kind == "if_statement" and _falls_through(other))
    return not any(c.kind == "default_case" for c in branches.children)


def _is_constant(returned: Node) -> bool:
    """Return whether a return names nothing that a branch could have declared anew."""
    return all(
        n.kind in _PLAIN and n.kind != "identifier" for n in returned.walk() if n is not returned
    )


def _check_behind(copies: Copies, tail: _Tail, moved: Sequence[Copies], move: bool) -> None:
    """Refuse what needs the lock behind a moved statement, and what does not leave by a return."""
    for behind in tail.behind:
        if any(behind.contains(other.statement) for other in moved):
            raise BuilderError("it is called twice in the critical section")
        if copies.touched(behind) and (
            behind.kind != "return_statement" or not move or not copies.replaceable(behind)
        ):
            raise BuilderError("the critical section goes on after it")
        if copies.touched(behind) and _may_change(copies.file, copies.statement, behind):
            raise BuilderError("what is returned may be changed by the call")
        if copies.statement.parent is not copies.function.get("body"):
            if any(n.kind in _JUMPS for n in behind.own()):
                raise BuilderError("a path leads back into the critical section")


_JUMPS = frozenset(
    {"break_statement", "continue_statement", "goto_statement", "fallthrough_statement"}
)


def _before_return(copies: Copies, returned: Node, unlock: str) -> tuple[Edit, ...]:
    """Return the edits that release before a return; what it reads of a field is copied."""
    own = Copies(copies.file, copies.function, copies.access, returned)
    copied, replaced = own.taken() if own.replaceable(returned) else ([], [])
    if own.imports or not _is_plain(copies.file, returned, replaced):
        raise BuilderError("an earlier return computes its values under the lock")
    return (*insert_before(returned, "\n".join([*copied, unlock])), *replaced)


def _is_plain(file: GoFile, returned: Node, copied: Sequence[Edit] = ()) -> bool:
    """Return whether a return only names constants, variables, and fields of local copies.

    Or what is `copied` for it, or makes an error or a text of them.
    """
    own = [n for n in returned.find("selector_expression") if _is_of_copy(file, n)]
    own += [n for n in returned.find("call_expression") if _only_formats(file, n)]
    return all(
        v.kind in _PLAIN
        or any(o.contains(v) for o in own)
        or any(e.start <= v.start and v.end <= e.end for e in copied)
        for v in returned.walk()
        if v is not returned
    )


_FORMATTING = frozenset({"fmt", "errors", "strconv"})


def _only_formats(file: GoFile, call: Node) -> bool:
    """Return whether a call makes a text or an error of plain values: `fmt.Errorf("no %s", name)`.

    What an argument points to may be guarded.
    """
    function = call["function"]
    if function.kind != "selector_expression" or function["operand"].kind != "identifier":
        return False
    if file.imported(function["operand"].name) not in _FORMATTING:
        return False
    return all(_is_value(file, argument) for argument in call["arguments"].children)


def _is_value(file: GoFile, argument: Node) -> bool:
    if argument.kind.endswith("_literal") and argument.kind != "func_literal":
        return argument.kind != "composite_literal"
    type_ = file.type_of(argument)
    if argument.kind == "selector_expression":
        selection = file.selection(argument)  # `ErrFull` of another package
        known = selection is not None and selection.kind == "package"
        return (known or _is_of_copy(file, argument)) and _is_basic(type_)
    if argument.kind == "identifier" and file.binding(argument) is None:
        return _is_sentinel(file.resolve(argument))
    return argument.kind == "identifier" and _is_basic(type_)


def _is_sentinel(meant: object) -> bool:
    """Return whether a package variable is an error that is made where it is declared."""
    if not isinstance(meant, Decl) or meant.kind != "var":
        return False
    value = meant.node.get("value")
    return value is not None and value.text.startswith((b"errors.New(", b"fmt.Errorf("))


def _is_basic(type_: object) -> bool:
    return isinstance(type_, Named) and not type_.package


def _is_of_copy(file: GoFile, selector: Node) -> bool:
    """Return whether a field is one of a struct that a local variable holds by itself."""
    operand = selector["operand"]
    binding = file.binding(operand) if operand.kind == "identifier" else None
    if binding is None or binding.kind not in {"variable", "range", "parameter"}:
        return False
    if not isinstance(file.underlying(file.type_of(operand)), Struct):
        return False
    selection = file.selection(selector)
    return selection is not None and selection.kind == "field" and not selection.via


def _may_change(file: GoFile, statement: Node, returned: Node) -> bool:
    """Return whether a statement calls what writes a field that a return reads.

    `s.add(); return s.n`, where `add` counts `n` up.
    """
    read = {n["field"].text for n in returned.find("selector_expression")}
    for call in statement.find("call_expression") if read else ():
        decl = file.callee(call)
        found = _WRITES.finditer(decl.file.data, *decl.span) if decl is not None else ()
        if any((match[1] or match[2]) in read for match in found):
            return True
    return False


_WRITES = re.compile(
    rb"\.(\w+)(?:\[[^\n\]]*\])?[ ]?(?:[-+*/|&^%]?=[^=]|\+\+|--)|\bdelete\([\w.]*\.(\w+),"
)


def _panics(node: Node) -> bool:
    if node.kind != "expression_statement" or node.children[0].kind != "call_expression":
        return False
    return node.children[0]["function"].text == b"panic"


def _releases_another(copies: Copies, defer: Node) -> bool:
    """Return whether a deferred call gives back a lock of another object, and no more."""
    operation = lock_call(copies.file, defer.children[-1])
    return operation is not None and operation.releases and not copies.touched(defer)


_PLAIN = frozenset(
    {"expression_list", "identifier", "nil", "true", "false", "int_literal", "return"}
    | {"interpreted_string_literal", "interpreted_string_literal_content", ",", '"'}
)
