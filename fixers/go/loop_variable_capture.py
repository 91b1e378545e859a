"""Give each iteration its own copy of a loop variable that outlives it.

Before Go 1.22 a loop has one variable for all of its iterations. A goroutine, a deferred or
stored function, or a stored address that uses it does so when the loop has moved on: most
of them see the last value, and a goroutine also races with the loop. The version that
counts is the `go` line of go.mod, or a `//go:build go1.N` line of the file.

Not reported:
- modules of Go 1.22 and later, where each iteration has its own variable;
- functions that run in their iteration: called in place, passed to a function that only
  calls them, a subtest without `t.Parallel`, a goroutine that the iteration waits for;
- a loop that ends with the iteration (a `return` or `break` follows);
- variables copied (`v := v`) or passed as an argument, whose value is taken at once.

Unsafe: a function that also assigns the variable: the next iteration no longer sees it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from threadmend.golang.access import classify
from threadmend.golang.builders import BuilderError, insert_at_start, insert_before, with_reason
from threadmend.golang.closures import Later, outlives, used_later
from threadmend.golang.file import GoFile
from threadmend.golang.iterations import ends_after
from threadmend.golang.scope import Binding, bindings_in
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, Struct
from threadmend.model import Edit, Finding, Fix, Related, Safety

CATEGORY = "shared-state"
ALSO = "govet loopclosure scopelint exportloopref copyloopvar"
GATE = rb"\bfor\b"

_PER_ITERATION = (1, 22)
_LOOPS = re.compile(rb"^([ \t]*).*\bfor\s+(\w+)(?:\s*,\s*(\w+))*\s*:?=", re.M)
_LITERAL = re.compile(rb"\bfunc\s*\(")
_PHRASES = {
    "goroutine": "the goroutine uses",
    "deferred function": "the deferred call uses",
    "parallel subtest": "the parallel subtest uses",
    "timer function": "the timer's function uses",
    "cleanup function": "the cleanup function uses",
    "finalizer": "the finalizer uses",
    "stored function": "a function or pointer that is kept uses",
}


@dataclass(frozen=True, slots=True)
class _Capture:
    """A use of a loop variable that comes after its iteration."""

    binding: Binding
    use: Node
    later: Later


def check(file: GoFile) -> Iterator[Finding]:
    """Yield one finding for each loop whose variables outlive their iteration."""
    if file.go_version >= _PER_ITERATION:
        return
    for declaration in file.declarations(_LOOPS):
        if not _may_capture(file.data, declaration.start, declaration.end):
            continue
        for loop in declaration.index.get("for_statement", ()):
            variables = _variables(file, loop)
            captures = [c for v in variables for c in _captures(file, loop, v)]
            if captures:
                yield _finding(file, loop, captures)


def _may_capture(data: bytes, start: int, end: int) -> bool:
    """Return whether the text of a function has a loop variable where one can be captured.

    Most functions have none: this keeps them from being lowered. A loop goes on to the next
    brace at its own indentation, as gofmt writes it, or else to the function's end.
    """
    for loop in _LOOPS.finditer(data, start, end):
        brace = _word(rb"\n%s\}(?!\s*\{)", loop[1]).search(data, loop.end(), end)
        stop = brace.start() if brace else end
        literal = _LITERAL.search(data, loop.end(), stop)
        for name in {loop[2], loop[3]} - {None, b"_"}:
            if literal and _word(rb"\b%s\b", name).search(data, literal.end(), stop):
                return True
            handed = rb"&\s*%s\b|\b(?:go|defer)\s+%s\b|\b%s\.\w+\s*[,)}]"
            if _word(handed, name).search(data, loop.end(), stop):
                return True
    return False


@lru_cache(maxsize=1000)
def _word(pattern: bytes, name: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern.replace(b"%s", name))


def _variables(file: GoFile, loop: Node) -> list[Binding]:
    """Return the variables that a loop declares or assigns in its head."""
    declared = [b for found in bindings_in(loop).values() for b in found if b.kind == "range"]
    if declared:
        return sorted(declared, key=lambda b: b.node.start)
    clause = next((c for c in loop.children if c.kind == "range_clause"), None)
    left = clause.get("left") if clause is not None else None
    names = left.children if left is not None else []
    found = [file.binding(name) for name in names if name.kind == "identifier"]
    return [b for b in found if b is not None and b.function is loop.function]


def _captures(file: GoFile, loop: Node, binding: Binding) -> Iterator[_Capture]:
    """Yield the uses of a loop variable that can come after its iteration."""
    body = loop["body"]
    for use in binding.uses:
        if not body.contains(use) or file.binding(use) is not binding:
            continue
        later = None
        address = _address(file, use)
        if address is not None:
            later = outlives(file, loop, address)
        if later is None and use.function is not loop.function:
            later = used_later(file, loop, use)
        if later is not None and not ends_after(loop, use) and not _is_awaited_at_end(loop, use):
            yield _Capture(binding, use, later)


_DEFERRED_WAIT = re.compile(rb"\b([\w.]+)\.Wait\(\)")


def _is_awaited_at_end(loop: Node, use: Node) -> bool:
    """Return whether a literal inside of the loop defers the wait for the goroutine of a use.

    `t.Run(…, func(t) { defer func() { wg.Wait() }(); go func() { use(v); wg.Done() }() })`
    """
    goroutine = use.function
    around = goroutine.function if goroutine is not None else None
    if goroutine is None or around is None or around is loop.function:
        return False
    if around.kind != "func_literal" or not loop.contains(around):
        return False
    for deferred in around.own():
        if deferred.kind != "defer_statement" or deferred.start > goroutine.start:
            continue
        for match in _DEFERRED_WAIT.finditer(deferred.text):
            done = re.compile(rb"\b%s\.Done\(\)" % re.escape(match[1]))
            if done.search(use.tree.data, use.end, goroutine.end):
                return True
    return False


def _address(file: GoFile, use: Node) -> Node | None:
    """Return the expression that takes the address of a variable or of a part of it.

    That is `&v`, `&v.f`, `v[:]` of an array, and `v.M` where M has a pointer receiver.
    """
    node, parent = use, use.parent
    while parent is not None and parent.kind in {"selector_expression", "parenthesized_expression"}:
        if parent.kind == "selector_expression":
            if node.field != "operand" or not _is_struct(file, node):
                return None
            if _takes_pointer(file, parent):
                return parent
        node, parent = parent, parent.parent
    if parent is not None and parent.kind == "unary_expression" and parent["operator"].kind == "&":
        return parent
    return None


def _is_struct(file: GoFile, node: Node) -> bool:
    type_ = file.type_of(node)
    return isinstance(type_, Named | Struct) and isinstance(file.underlying(type_), Struct)


def _takes_pointer(file: GoFile, selector: Node) -> bool:
    """Return whether `v.M` takes the address of v: M is declared on the pointer."""
    selection = file.selection(selector)
    if selection is None or selection.kind != "method" or selection.via or selection.decl is None:
        return False
    receiver = selection.decl.node.get("receiver")
    return receiver is not None and b"*" in receiver.text


# -- what is said ---------------------------------------------------------------------


def _finding(file: GoFile, loop: Node, captures: list[_Capture]) -> Finding:
    captures = sorted(captures, key=lambda c: c.use.start)
    first = captures[0]
    names = sorted({c.binding.name for c in captures})
    seen: set[tuple[str, int]] = {(first.binding.name, first.later.node.start)}
    related = []
    for capture in captures[1:]:
        key = (capture.binding.name, capture.later.node.start)
        if key not in seen:
            seen.add(key)
            message = f"{_PHRASES[capture.later.how]} {capture.binding.name}"
            related.append(Related(file.path, capture.use.start, capture.use.end, message))
    variables = "variable " + names[0] if len(names) == 1 else "variables " + ", ".join(names)
    fix, reason = _fix(loop, captures)
    return Finding(
        path=file.path,
        start=first.use.start,
        end=first.use.end,
        message=f"{_PHRASES[first.later.how]} the loop {variables}, which the next iteration "
        "changes",
        fixes=(fix,) if fix is not None else (),
        related=tuple(related),
        reason=reason,
    )


# -- the copy -------------------------------------------------------------------------


@with_reason
def _fix(loop: Node, captures: list[_Capture]) -> Fix:
    """Copy the variables at the start of the body.

    What could change: the copy takes the value that the variable has when the iteration
    begins. In a range loop nothing but the body writes it until the iteration ends, and
    the body writes the copy then; in a three-part loop the head must see what the body
    writes, so there the copy is made right above the statement that captures, if nothing
    is written after.
    """
    bindings = {c.binding: None for c in sorted(captures, key=lambda c: c.binding.node.start)}
    names = [b.name for b in bindings]
    copy = f"{', '.join(names)} := {', '.join(names)}"
    body = loop["body"]
    if any(bindings_in(body).get(name) for name in names):
        raise BuilderError(f"the loop's body declares another {' or '.join(names)}")
    written = [use for b in bindings for use in _writes(loop, b, captures)]
    inside = [use for use in written if use.function is not loop.function]
    ranged = all(b.scope is loop for b in bindings) and _is_range(loop)
    if ranged or not written:
        edits = insert_at_start(body, copy)
    elif inside:
        raise BuilderError(f"the function also assigns {names[0]}, which the loop's head reads")
    else:
        edits = _above_capture(loop, captures, written, copy)
    if not edits:
        raise BuilderError(f"the loop's body assigns {names[0]} after it is captured")
    title = f"Copy {' and '.join(names)} for each iteration"
    if inside:
        reason = f"the function assigns {names[0]}, which then changes the copy only"
        return Fix(title, edits, Safety.UNSAFE, reason)
    return Fix(title, edits)


def _is_range(loop: Node) -> bool:
    return any(c.kind == "range_clause" for c in loop.children)


def _writes(loop: Node, binding: Binding, captures: list[_Capture]) -> Iterator[Node]:
    """Yield the places in the body that may assign a loop variable."""
    reported = {c.use for c in captures}
    for use in binding.uses:
        if loop["body"].contains(use):
            kind = classify(use).kind
            if kind in {"write", "update"} or (kind == "address" and use not in reported):
                yield use


def _above_capture(
    loop: Node, captures: list[_Capture], written: list[Node], copy: str
) -> tuple[Edit, ...]:
    """Copy right above the one statement of the body that captures; () if that is not enough."""
    statements = {_own_statement(loop, c.use) for c in captures}
    statement = statements.pop()
    if statements or statement is None or any(w.end > statement.start for w in written):
        return ()
    return insert_before(statement, copy)


def _own_statement(loop: Node, use: Node) -> Node | None:
    """Return the innermost statement of the loop's own function that holds a use."""
    node: Node | None = use
    while node is not None and node.function is not loop.function:
        node = node.function
    return node.statement if node is not None else None
