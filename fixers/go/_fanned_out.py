"""What go/racy-capture says about literals that one call runs side by side.

    var err error                                var err error
    both(                                   →    var mu sync.Mutex
        func() { err = left() },                 both(
        func() { err = right() },                    func() { … mu.Lock(); err = …; mu.Unlock() },
    )

Not reported: what one of them alone touches, elements and fields that differ, what a lock guards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.captured import CapturedAccess, accesses_of, conflict
from threadmend.golang.fanned import fanned, fans_out
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import captures
from threadmend.golang.races import explained
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.touches import held_within
from threadmend.model import Finding, Related

from ._racy import Names, Race, top_of
from ._racy_mutex import by_mutex

__all__ = ["fanned_out"]

_ORDERS = re.compile(rb"<-|\bclose\(|\.(?:Wait|R?Lock|Do|Load|Store|CompareAndSwap)\(")


def fanned_out(file: GoFile, known: set[Binding]) -> Iterator[Finding]:
    """Yield the variables that literals of one call write side by side."""
    calls = fans_out(file.package)
    if calls is None:
        return
    for declaration in file.declarations(calls):
        for call in declaration.index.get("call_expression", ()):
            literals = fanned(file, call) if calls.search(call.text) else []
            if len(literals) < 2:
                continue
            for binding in dict.fromkeys(b for one in literals for b in captures(one)):
                if binding not in known and binding.kind in {"variable", "result", "parameter"}:
                    known.add(binding)
                    yield from _of_variable(file, call, literals, binding)


def _of_variable(
    file: GoFile, call: Node, literals: list[Node], binding: Binding
) -> Iterator[Finding]:
    by_literal = [_bare(file, literal, binding) for literal in literals]
    pairs = [
        (one, other) if one.writes else (other, one)
        for index, ours in enumerate(by_literal)
        for theirs in by_literal[index + 1 :]
        for one in ours
        for other in theirs
        if conflict(file, binding, one, other)
    ]
    if not pairs:
        return
    type_ = file.package.workspace.inference.binding_type(binding)
    accesses = accesses_of(file, binding) or []
    race = Race(file, binding, type_, accesses, [], pairs, Names.of(file, top_of(call)), shown=True)
    race.racing = [a for ours in by_literal for a in ours]
    fix, reason = by_mutex(race)
    first, other = min(pairs, key=lambda pair: pair[0].node.start)
    said = f"several goroutines write {binding.name} at the same time"
    if not other.writes:
        said = f"the goroutine writes {binding.name} while another one may read it"
    yield Finding(
        path=file.path,
        start=first.target.start,
        end=first.target.end,
        message=said,
        fixes=(fix,) if fix is not None else (),
        related=(Related(call.path, call.start, call["function"].end, "launched here"),),
        reason=reason if fix is None else "",
    )


def _bare(file: GoFile, literal: Node, binding: Binding) -> list[CapturedAccess]:
    """Return the accesses that a literal makes itself, none where something may order them."""
    if _ORDERS.search(literal.text):
        return []
    return [
        access
        for access in accesses_of(file, binding) or ()
        if access.node.function is literal
        and not held_within(file, literal, access.node)
        and not explained(file, access.node)
    ]
