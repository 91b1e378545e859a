"""What a function writes on, and a goroutine that it launched before reads.

    go func() {                            stopped2 := stopped
        for range stopped {           →    go func() {
        }                                      for range stopped2 {
        done <- nil                            }
    }()                                        done <- nil
    for {                                  }()
        select {                           …
        case _, ok := <-stopped:
            if !ok {
                stopped = nil
            }
        case err := <-done:
            return err
        }
    }

A channel that is set to nil so that a select passes it over is one: the goroutine may find nil,
and wait for ever.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import classify
from threadmend.golang.builders import BuilderError, insert_before, with_reason
from threadmend.golang.captured import CapturedAccess, accesses_of
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, captures, launches
from threadmend.golang.ordering import Ordering
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, Named, deref
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._loop_carried import is_asked_again
from ._racy import Names, top_of

__all__ = ["parent_writes"]

_CHANGES = frozenset({"write", "update", "store"})


def parent_writes(file: GoFile, known: set[Binding]) -> Iterator[Finding]:
    """Yield the variables that a goroutine only reads while the function around writes them.

    Those of `known` are told of already.
    """
    names: dict[Node, Names] = {}
    for launch in launches(file):
        literal = launch.literal
        if literal is None or launch.kind == "timer" or literal.path != file.path:
            continue
        for binding, uses in captures(literal).items():
            if binding in known or binding.function is not launch.function:
                continue
            found = _race(file, binding, launch, uses)
            if found is not None:
                known.add(binding)
                top = top_of(binding.node)
                free = names.setdefault(top, Names.of(file, top))
                yield _finding(file, binding, launch, *found, free)


def _race(
    file: GoFile, binding: Binding, launch: Launch, uses: list[Node]
) -> tuple[CapturedAccess, CapturedAccess] | None:
    """Return the read of a goroutine and the write that it may meet."""
    literal, end = launch.literal, launch.statement.end
    assert literal is not None
    if binding.kind not in {"variable", "parameter", "result"}:
        return None
    if any(classify(use, binding).kind != "read" for use in uses):
        return None
    if _orders_itself(file, binding, uses):
        return None
    later = [n for n in binding.uses if n.start > end and n.function is launch.function]
    if not any(classify(n, binding).kind in _CHANGES for n in later):
        return None
    accesses = accesses_of(file, binding) or []
    writes = [a for a in accesses if a.node in later and a.kind in _CHANGES and not a.steps]
    reads = [a for a in accesses if literal.contains(a.node) and not a.writes]
    order = Ordering(file, binding)
    for write in writes:
        for read in reads:
            if any(order.concurrent(a, b) for a in read.places or () for b in write.places or ()):
                return read, write
    return None


def _orders_itself(file: GoFile, binding: Binding, uses: list[Node]) -> bool:
    """Return whether the goroutine tells others by the variable that it is done with it.

    It closes the channel, or sends to it; it calls Done. One that only receives does not.
    """
    type_ = file.package.workspace.inference.binding_type(binding)
    if isinstance(file.underlying(type_), Chan):
        return not all(_is_received(use) for use in uses)
    named = deref(type_)
    return isinstance(named, Named) and (named.package or "").split("/")[-1] in _ORDERING


_ORDERING = frozenset({"sync", "atomic", "errgroup", "context", "semaphore"})


def _is_received(use: Node) -> bool:
    parent = use.parent
    if parent is None:
        return False
    if parent.kind == "unary_expression":
        return parent["operator"].kind == "<-"
    return parent.kind == "range_clause" and use.field == "right"


def _finding(
    file: GoFile,
    binding: Binding,
    launch: Launch,
    read: CapturedAccess,
    write: CapturedAccess,
    names: Names,
) -> Finding:
    first = read.node
    fix, reason = _fix(file, binding, launch, write, names)
    return Finding(
        path=file.path,
        start=first.start,
        end=first.end,
        message=f"the goroutine reads {binding.name} while the function that launched it writes it",
        fixes=(fix,) if fix is not None else (),
        related=(Related(file.path, write.target.start, write.target.end, "written here"),),
        reason=reason,
    )


@with_reason
def _fix(
    file: GoFile, binding: Binding, launch: Launch, write: CapturedAccess, names: Names
) -> Fix:
    """Copy the variable above the launch.

    Unsafe: the goroutine no longer sees what the function assigns later on. One that looks again
    and again may wait for just that, and gets no fix, but for a channel that is set to nil: that
    is meant for a select of the function's own.
    """
    literal = launch.literal
    assert literal is not None
    uses = [n for n in binding.uses if literal.contains(n)]
    if not _is_passed_over(file, write) and any(is_asked_again(use, literal) for use in uses):
        raise BuilderError(
            f"the goroutine may wait for what the function assigns to {binding.name}"
        )
    name = names.free(binding.name)
    edits = [Edit(n.path, n.start, n.end, name.encode()) for n in uses]
    edits += insert_before(launch.statement, f"{name} := {binding.name}")
    reason = f"the goroutine sees the value that {binding.name} has at its launch"
    title = f"Copy {binding.name} for the goroutine"
    return Fix(title, tuple(edits), Safety.UNSAFE, reason)


def _is_passed_over(file: GoFile, write: CapturedAccess) -> bool:
    """Return whether a channel variable is set to nil."""
    statement = write.node.statement
    if statement is None or statement.kind != "assignment_statement":
        return False
    channel = isinstance(file.underlying(file.type_of(write.node)), Chan)
    return channel and statement["right"].text == b"nil"
