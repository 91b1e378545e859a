"""Let a statement of a critical section run after the Unlock instead.

What it reads of the guarded object is copied to local variables while the lock is held.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from threadmend.golang.access import Access
from threadmend.golang.builders import (
    BuilderError,
    delete,
    insert_after,
    insert_at_end,
    insert_before,
)
from threadmend.golang.builders.lines import content_end, leading_start
from threadmend.golang.file import GoFile
from threadmend.golang.lock_calls import lock_call, lock_calls
from threadmend.golang.locks import LockOperation
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, Struct
from threadmend.model import Edit

from ._local_release import DeferredRelease, deferred_releases
from ._lock_copies import Copies, written

__all__ = ["after_unlock", "call_after_unlock", "something_left", "widened"]

_JUMPS = frozenset(
    {"return_statement", "break_statement", "continue_statement", "goto_statement"}
    | {"labeled_statement", "fallthrough_statement"}
)
_MOST_BETWEEN = 8


def after_unlock(
    file: GoFile,
    access: Access,
    statement: Node,
    *,
    move: bool = True,
    first: Sequence[str] = (),
    within: Sequence[Edit] = (),
    above: Node | None = None,
) -> tuple[Edit, ...]:
    """Return the edits after which a statement runs when the lock has been released.

    Raises BuilderError when something behind it, or it itself, needs the lock. `move`: it may
    run after what follows it in the critical section; a wait may not. `first` are lines to add
    where the lock is still held, `within` edits of the statement. `above`: a statement before it,
    from which on nothing needs the lock.
    """
    function = statement.function
    block = statement.parent
    if function is None or block is None:
        raise BuilderError("it is not a statement of a block")
    operations = [o for o in lock_calls(file, function) if o.access == access]
    if any(o.acquires and o.call.start > statement.end for o in operations):
        raise BuilderError("the lock is taken again further down")
    copies = Copies(file, function, access, statement, first, within)
    release = _following_release(operations, block, statement)
    if release is not None:
        edits = _with_explicit(copies, statement, release, move)
    else:
        edits = _with_deferred(copies, operations, statement, move, above)
    if statement.parent is not None and b"\n" not in statement.parent.text and _overlap(edits):
        raise BuilderError("the whole function stands on one line")
    return edits


def _overlap(edits: Sequence[Edit]) -> bool:
    ordered = sorted(edits, key=lambda e: (e.path, e.start, e.end))
    return any(a.path == b.path and b.start < a.end for a, b in pairwise(ordered))


_WANTS_LOCK = re.compile(r"(?i)lock(?:ed|held)$|^locked")


def call_after_unlock(
    file: GoFile, access: Access, call: Node, *, above: Node | None = None
) -> tuple[Edit, ...]:
    """Return the edits after which a call runs when the lock has been released.

    `above`: a statement before it, from which on nothing needs the lock any more.
    Raises BuilderError when the critical section is there for the call: nothing else is in
    it, or the name of what is called says that it wants the lock.
    """
    function = call["function"]
    last = function.get("field") if function.kind == "selector_expression" else function
    if last is not None and _WANTS_LOCK.search(last.name):
        raise BuilderError("what is called wants the lock to be held")
    statement = call.parent
    if statement is None or statement.kind != "expression_statement":
        raise BuilderError("the result of the call is used in the critical section")
    statement = widened(statement)
    if not something_left(file, access, statement):
        raise BuilderError("the critical section is there for the call")
    return after_unlock(file, access, statement, above=above)


def something_left(file: GoFile, access: Access, statement: Node) -> bool:
    """Return whether the critical section holds more than a statement, or what it reads."""
    function, block = statement.function, statement.parent
    if function is None or block is None:
        return True
    if Copies(file, function, access, statement).taken()[0]:
        return True
    operations = [o for o in lock_calls(file, function) if o.access == access]
    about = {o.deferred or o.call.parent for o in operations}
    taken = [o.call.start for o in operations if o.acquires and o.call.end <= statement.start]
    begin = max(taken, default=block.start)
    inside = [s for s in block.statements if s.start > begin and s is not statement]
    for index, other in enumerate(inside):
        if other in about and other.kind != "defer_statement" and other.start > statement.start:
            inside = inside[:index]  # the release
            break
    return any(other not in about for other in inside)


def widened(statement: Node, stays: Callable[[Node], bool] = lambda around: False) -> Node:
    """Return the loop or condition that holds nothing else than a statement, as far as it goes.

    `stays` says what is no part of it.
    """
    while True:
        block = statement.parent
        around = block.statement if block is not None and block.kind == "block" else None
        if block is None or around is None or around.function is not statement.function:
            return statement
        if len(block.statements) != 1 or around.kind not in {"for_statement", "if_statement"}:
            return statement
        if around.get("alternative") is not None or stays(around):
            return statement
        statement = around


def _following_release(
    operations: list[LockOperation], block: Node, statement: Node
) -> Node | None:
    for following in block.statements:
        if following.start > statement.end:
            for operation in operations:
                if operation.releases and operation.deferred is None:
                    if operation.call.parent is following:
                        return following
    return None


def _with_explicit(copies: Copies, statement: Node, release: Node, move: bool) -> tuple[Edit, ...]:
    block = statement.parent
    assert block is not None
    between = [s for s in block.statements if statement.end <= s.start and s.end <= release.start]
    if len(between) > _MOST_BETWEEN:
        raise BuilderError("the critical section goes on after it")
    if not any(copies.touched(s) for s in between):
        # Nothing behind it needs the lock: the release moves up.
        copied, edits = copies.taken()
        above = "\n".join([*copied, release.name])
        return (*insert_before(statement, above), *delete(release), *edits, *copies.imports)
    if not move:
        raise BuilderError("what follows in the critical section waits for it")
    if any(node.kind in _JUMPS for s in between for node in s.own()):
        raise BuilderError("a path leaves between it and the release")
    names = {n.name for n in statement.find("identifier")}
    if statement.kind in {"short_var_declaration", "assignment_statement", "var_declaration"}:
        raise BuilderError("what is received is used in the critical section")
    for other in between:
        if any(written(n) and n.name in names for n in other.find("identifier")):
            raise BuilderError("what it needs changes further down in the critical section")
    copied, edits = copies.taken()
    moved = _comments(statement) + _moved(statement, edits)
    inserted = insert_after(release, moved)
    removed = delete(statement, comments="drop")
    if copied:
        removed = (
            Edit(statement.path, statement.start, statement.end, _joined(statement, copied)),
        )
    return (*inserted, *removed, *copies.imports)


def _comments(statement: Node) -> str:
    """Return the comments that stand directly above a statement and move with it."""
    tree = statement.tree
    start = leading_start(tree, statement.start)
    if tree.comments_in(statement.start, content_end(tree, statement.end)):
        raise BuilderError("a comment in it would be lost")
    lines = tree.data[start : tree.source.line_start(statement.start)].split(b"\n")
    return "".join(line.strip().decode() + "\n" for line in lines if line.strip())


def _joined(statement: Node, lines: list[str]) -> bytes:
    indent = statement.tree.source.indent_at(statement.start)
    return (statement.tree.source.newline + indent).join(line.encode() for line in lines)


def _moved(statement: Node, edits: list[Edit]) -> str:
    text = bytearray(statement.text)
    for edit in sorted(edits, reverse=True):
        text[edit.start - statement.start : edit.end - statement.start] = edit.new
    indent = statement.tree.source.indent_at(statement.start)
    lines = bytes(text).split(b"\n")
    return b"\n".join([lines[0], *(line.removeprefix(indent) for line in lines[1:])]).decode()


def _with_deferred(
    copies: Copies,
    operations: list[LockOperation],
    statement: Node,
    move: bool,
    above: Node | None,
) -> tuple[Edit, ...]:
    """Turn `defer x.Unlock()` into an Unlock before the statement and before other returns."""
    function = statement.function
    body = function.get("body") if function is not None else None
    explicit = [o for o in operations if o.releases and o.deferred is None]
    if function is None or body is None or explicit:
        raise BuilderError("the release is not in the same block")
    deferred = deferred_releases(copies.file, function, copies.access, operations)
    if len(deferred) != 1:
        raise BuilderError("the release is not in the same block")
    release, defer = deferred[0], deferred[0].defer
    if statement.parent is not body and defer.parent is body:
        return _in_last_branch(copies, release, statement, body)
    if statement.parent is not body:
        raise BuilderError("the release is not in the same block")
    if defer.parent is not body or defer.start > statement.start:
        raise BuilderError("the release is not in the same block")
    later = [n for n in body.own() if n.kind == "defer_statement" and n.start > defer.end]
    if not all(_releases_another(copies, n) for n in later):
        raise BuilderError("another deferred call may need the lock")
    behind = [s for s in body.statements if s.start >= statement.end and copies.touched(s)]
    if any(s.kind != "return_statement" or not move or not copies.replaceable(s) for s in behind):
        raise BuilderError("the critical section goes on after it")
    if any(_may_change(copies.file, statement, s) for s in behind):
        raise BuilderError("what is returned may be changed by the call")
    unlock = release.code
    copied, replaced = copies.taken(*behind)
    until = above if above is not None and not copied else statement
    edits: list[Edit] = [*release.removed()]
    for node in body.own():
        if node.kind == "return_statement" and defer.end < node.start < until.start:
            if not _is_plain(copies.file, node):
                raise BuilderError("an earlier return computes its values under the lock")
            edits += insert_before(node, unlock)
        elif _panics(node) and defer.end < node.start < until.start:
            edits += insert_before(node, unlock)
    edits += insert_before(until, "\n".join([*copied, unlock]))
    return (*edits, *replaced, *copies.imports)


def _in_last_branch(
    copies: Copies, release: DeferredRelease, statement: Node, body: Node
) -> tuple[Edit, ...]:
    """Release in front of the statement that ends an `if`, and on each other way out.

    `if open { b.state = opened; b.notify() }`, the last thing under a deferred Unlock.
    """
    block, defer = statement.parent, release.defer
    test = block.statement if block is not None and block.kind == "block" else None
    if test is None or block is None or test.kind != "if_statement" or test.parent is not body:
        raise BuilderError("the release is not in the same block")
    function = statement.function
    is_last = block.statements[-1] is statement and body.statements[-1] is test
    if function is None or function.get("result") is not None or not is_last:
        raise BuilderError("the release is not in the same block")
    if test.get("alternative") is not None or defer.start > test.start:
        raise BuilderError("the release is not in the same block")
    later = [n for n in body.own() if n.kind == "defer_statement" and n.start > defer.end]
    if later:
        raise BuilderError("another deferred call may need the lock")
    unlock = release.code
    edits: list[Edit] = [*release.removed()]
    for node in body.own():
        if defer.end < node.start and not statement.contains(node):
            if node.kind == "return_statement" or _panics(node):
                edits += insert_before(node, unlock)
    copied, replaced = copies.taken()
    edits += insert_before(statement, "\n".join([*copied, unlock]))
    edits += insert_after(statement, "return")
    edits += insert_at_end(body, unlock)
    return (*edits, *replaced, *copies.imports)


def _is_plain(file: GoFile, returned: Node) -> bool:
    """Return whether a return only names constants, variables, and fields of local copies.

    Or makes an error or a text of them.
    """
    own = [n for n in returned.find("selector_expression") if _is_of_copy(file, n)]
    own += [n for n in returned.find("call_expression") if _only_formats(file, n)]
    return all(
        v.kind in _PLAIN or any(o.contains(v) for o in own)
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
    local = argument.kind == "identifier" and file.binding(argument) is not None
    return local and _is_basic(type_)


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
