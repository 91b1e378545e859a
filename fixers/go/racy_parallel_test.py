"""Give each parallel subtest its own copy of what it writes

Subtests that call `t.Parallel()` run at the same time, after the function that started them has
returned. What several of them capture and one of them writes is a data race: the result of one
subtest is checked by another, and the test fails now and then, or passes and should not.

Not reported: variables of the round of the loop that starts the subtest; accesses under a lock;
elements of a slice; atomics and channels; a write above `t.Parallel()`.

Without a fix: maps and what pointers lead to, which a copy of the variable would still share,
unless it can be made in each subtest.

Unsafe: what a subtest writes is no longer seen outside of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import Use, classify
from threadmend.golang.builders import BuilderError, delete, insert_after, with_reason
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import captures, innermost_loop
from threadmend.golang.locks import held_at
from threadmend.golang.nocopy import nocopy
from threadmend.golang.scope import Binding
from threadmend.golang.setup import runs_once
from threadmend.golang.subtests import is_subtest, parallel_call
from threadmend.golang.summaries import touches_of
from threadmend.golang.syntax import Node
from threadmend.golang.types import Array, Func, Map, Named, Pointer, Slice, Struct
from threadmend.model import Edit, Finding, Fix, Related, Safety

CATEGORY = "shared-state"
GATE = rb"\.Parallel\(\)"

_WRITES = frozenset({"write", "update", "store"})


@dataclass(slots=True)
class _Subtest:
    """A parallel subtest: its function, and the call from which on it runs beside others."""

    literal: Node
    parallel: Node
    loop: Node | None


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the variables that parallel subtests share and write."""
    subtests = list(_subtests(file))
    seen: set[Binding] = set()
    for subtest in subtests:
        if b"<-" in subtest.literal.text:
            continue  # they may take turns
        for binding in captures(subtest.literal):
            if binding in seen:
                continue
            others = _others(subtests, subtest, binding)
            if others is None:
                continue
            write = _write(file, subtest, binding)
            called = None if write is not None else _written_by_call(file, subtest, binding)
            if write is None and called is None:
                continue
            seen.add(binding)
            if write is not None:
                fix, reason = _fix(file, binding)
                yield _finding(file, binding, write.node, subtest, others, fix, reason)
            elif called is not None:
                fix, reason = _made_again(file, binding, by_call=True)
                yield _finding(file, binding, called, subtest, others, fix, reason)


def _subtests(file: GoFile) -> Iterator[_Subtest]:
    for call in file.calls("Run"):
        arguments = call["arguments"].children
        if len(arguments) != 2 or arguments[1].kind != "func_literal":
            continue
        literal = arguments[1]
        if not is_subtest(file, literal):
            continue
        parallel = parallel_call(file, literal)
        if parallel is not None:
            yield _Subtest(literal, parallel, innermost_loop(call))


def _write(file: GoFile, subtest: _Subtest, binding: Binding) -> Use | None:
    """Return a write of a captured variable that no lock guards."""
    if _is_safe_type(file, binding):
        return None
    for node in binding.uses:
        if not subtest.literal.contains(node) or node.start < subtest.parallel.end:
            continue
        use = classify(node, binding)
        lent = use.kind == "address" and _is_set_by_callback(file, binding, node, subtest)
        if not (use.kind in _WRITES or lent) or held_at(file, node):
            continue
        if use.kind == "store" and _is_element(file, use.target):
            continue
        return use
    return None


def _is_set_by_callback(file: GoFile, binding: Binding, node: Node, subtest: _Subtest) -> bool:
    """Return whether a function value of the table sets what is read afterwards.

    `tc.tweak(&opts)`, then `run(opts)`: a call without a result is there for what it changes.
    """
    address = node.parent
    group = address.parent if address is not None else None
    call = group.parent if group is not None and group.kind == "argument_list" else None
    if call is None or call.parent is None or call.parent.kind != "expression_statement":
        return False
    type_ = file.type_of(binding.node)
    called = file.underlying(file.type_of(call["function"]))
    if file.callee(call) is not None or not isinstance(called, Func):
        return False
    if not isinstance(file.underlying(type_), Struct) or nocopy(file.package.workspace).path(type_):
        return False  # with a lock in it, the callback may take it
    return any(
        use.start > call.end and subtest.literal.contains(use)
        for use in binding.uses
        if classify(use, binding).kind == "read"
    )


def _written_by_call(file: GoFile, subtest: _Subtest, binding: Binding) -> Node | None:
    """Return a use of a captured object in a call that writes to its fields without a lock."""
    if _is_safe_type(file, binding):
        return None
    for touch in touches_of(file, subtest.literal):
        first = touch.path[0]
        if not touch.writes or touch.in_channel or touch.access.root is not binding:
            continue
        if any(runs_once(node) for node in (touch.node, *touch.path)):
            continue
        if len(touch.path) < 2 or touch.locks or first.start < subtest.parallel.end:
            continue
        if not touch.access.steps or any(step.startswith("[") for step in touch.access.steps):
            continue
        used = next((u for u in binding.uses if first.contains(u)), None)
        if used is not None and first.function is subtest.literal and not held_at(file, first):
            return used
    return None


def _is_safe_type(file: GoFile, binding: Binding) -> bool:
    return str(file.type_of(binding.node) or "").lstrip("*").startswith(("sync", "chan "))


def _is_element(file: GoFile, target: Node) -> bool:
    """Return whether a store goes into an element of a slice or array: one for each subtest."""
    node: Node | None = target
    while node is not None:
        if node.kind == "index_expression":
            type_ = file.underlying(file.type_of(node["operand"]))
            if isinstance(type_, (Slice, Array)) or type_ is None:
                return True
        node = node.get("operand")
    return False


def _others(subtests: list[_Subtest], subtest: _Subtest, binding: Binding) -> Node | None:
    """Return a subtest that runs beside this one and uses the variable, too."""
    loop = subtest.loop
    if loop is not None and not loop.contains(binding.node):
        return subtest.literal
    for other in subtests:
        if other is subtest or other.literal.function is not subtest.literal.function:
            continue
        if any(other.literal.contains(u) and u.start > other.parallel.end for u in binding.uses):
            return other.literal
    return None


def _finding(
    file: GoFile,
    binding: Binding,
    write: Node,
    subtest: _Subtest,
    other: Node,
    fix: Fix | None,
    reason: str,
) -> Finding:
    where = "other instances of this subtest" if other is subtest.literal else "this subtest"
    return Finding(
        path=file.path,
        start=write.start,
        end=write.end,
        message=f"parallel subtests share {binding.name}, and this one writes it",
        fixes=(fix,) if fix else (),
        related=(Related(file.path, other.start, other.start + 4, f"shared with {where}"),),
        reason=reason,
    )


def _fix(file: GoFile, binding: Binding) -> tuple[Fix | None, str]:
    """Begin every subtest that writes the variable with a copy of its own.

    Sound: the parent has returned when parallel subtests go on, so that it neither writes nor
    reads the variable then; with all writers on copies the shared one is only read.
    """
    if not _copies(file, binding):
        return _made_again(file, binding)
    edits: list[Edit] = []
    subtests = list(_subtests(file))
    for subtest in subtests:
        inside = [u for u in binding.uses if subtest.literal.contains(u)]
        uses = [classify(u, binding) for u in inside]
        lent = (_is_set_by_callback(file, binding, u, subtest) for u in inside)
        if not (any(u.kind in _WRITES for u in uses) or any(lent)):
            continue
        if not any(u.kind in {"read", "address"} for u in uses):
            return None, f"{binding.name} is written here and only read elsewhere"
        if any(u.start < subtest.parallel.start for u in inside):
            return None, f"{binding.name} is used above t.Parallel, too"
        try:
            edits.extend(insert_after(subtest.parallel, f"{binding.name} := {binding.name}"))
        except BuilderError as error:
            return None, str(error)
    outside = [u for u in binding.uses if not any(s.literal.contains(u) for s in subtests)]
    first = min(
        s.literal.start for s in subtests if any(s.literal.contains(u) for u in binding.uses)
    )
    if any(u.start > first and classify(u, binding).kind == "read" for u in outside):
        return None, f"{binding.name} is read outside of the subtests that write it"
    title = f"Give each subtest its own {binding.name}"
    reason = "what a subtest writes is no longer seen outside of it"
    return Fix(title, tuple(edits), Safety.UNSAFE, reason), ""


@with_reason
def _made_again(file: GoFile, binding: Binding, *, by_call: bool = False) -> Fix:
    """Make what a pointer, map or slice refers to in each subtest, not once for all of them.

    For a value that stands for itself (`newStyle()`, `map[string]int{}`), and that nothing but
    the subtests uses.
    """
    subtests, whole = list(_subtests(file)), _own_statement(file, binding)
    shares = "a copy of the variable would still share what it refers to"
    if whole is None:
        raise BuilderError(shares)
    edits: list[Edit] = []
    for subtest in subtests:
        inside = [u for u in binding.uses if subtest.literal.contains(u)]
        if any(u.start < subtest.parallel.start for u in inside):
            raise BuilderError(f"{binding.name} is used above t.Parallel, too")
        kinds = [classify(u, binding).kind for u in inside]
        if "write" in kinds or not _sets_first(binding, inside):
            raise BuilderError(shares)
        if "address" in kinds and not by_call:
            raise BuilderError(shares)
        if inside:
            edits += insert_after(subtest.parallel, whole.name)
    outside = [u for u in binding.uses[1:] if not any(s.literal.contains(u) for s in subtests)]
    if outside:
        raise BuilderError(shares)
    edits += delete(whole)
    reason = "what a subtest writes is no longer seen outside of it"
    return Fix(f"Make {binding.name} in each subtest", tuple(edits), Safety.UNSAFE, reason)


def _own_statement(file: GoFile, binding: Binding) -> Node | None:
    """Return the statement that makes a variable, and means the same in each subtest."""
    declaration = binding.declaration
    if declaration.kind == "short_var_declaration":
        alone = len(declaration["left"].children) == 1
        return declaration if alone and _stands_alone(file, declaration["right"]) else None
    if declaration.kind != "var_spec" or len(declaration.all("name")) != 1:
        return None
    value, whole = declaration.get("value"), declaration.parent
    if whole is None or whole.kind != "var_declaration" or b"(" in whole.text[:5]:
        return None
    return whole if value is None or _stands_alone(file, value) else None


def _sets_first(binding: Binding, uses: list[Node]) -> bool:
    """Return whether a subtest sets what it reads, if it sets anything: nothing is collected."""
    stores = [u for u in uses if classify(u, binding).kind == "store"]
    if not stores:
        return True
    statement = uses[0].statement
    return (
        statement is not None
        and statement.kind == "assignment_statement"
        and statement["operator"].kind == "="
        and statement["left"].contains(uses[0])
        and uses[0] is stores[0]
        and sum(statement.contains(u) for u in uses) == 1
    )


def _stands_alone(file: GoFile, value: Node) -> bool:
    """Return whether an expression means the same in another place: no local variable in it."""
    for node in value.walk():
        if node.kind == "func_literal" or node.text.startswith(b"<-"):
            return False
        if node.kind == "identifier" and file.binding(node) is not None and node.field != "key":
            return False
    return True


def _copies(file: GoFile, binding: Binding) -> bool:
    """Return whether assigning the variable to another one makes all of it a copy."""
    stored = any(classify(u, binding).kind == "store" for u in binding.uses)
    type_ = file.type_of(binding.node)
    under = file.underlying(type_)
    if not stored:
        return True
    if isinstance(under, (Map, Slice, Pointer)) or under is None:
        return False
    return isinstance(under, (Struct, Named, Array))
