"""Two objects of one type, both locked in the order in which a caller names them.

    func move(from, to *Account) {         var accountsMu sync.Mutex
        from.mu.Lock()                 →   …
        defer from.mu.Unlock()             accountsMu.Lock()
        to.mu.Lock()                       from.mu.Lock()
        defer to.mu.Unlock()               defer from.mu.Unlock()
                                           to.mu.Lock()
                                           accountsMu.Unlock()
                                           defer to.mu.Unlock()

`move(a, b)` beside `move(b, a)`: each holds what the other waits for. A gate that is passed with
both locks or none is right for every pair; nobody can prove that a field is another one in
every object, which an order by a field would need.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import uses_of
from threadmend.golang.builders import (
    BuilderError,
    add_import,
    free_name,
    insert_after,
    insert_before,
    with_reason,
)
from threadmend.golang.builders.lines import leading_start
from threadmend.golang.calls import callers, code_files
from threadmend.golang.effects import Pair, holders, pairs_of
from threadmend.golang.holding import holding_of
from threadmend.golang.locks import LOCK_CALLS, declaration_of
from threadmend.golang.package import Package
from threadmend.golang.races import explained
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, Pointer
from threadmend.golang.workspace import Module
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

__all__ = ["two_of_one_type"]

_ORDERS = frozenset({"<", ">", "<=", ">="})
_SAYS = re.compile(rb"(?i)\border|deadlock")
_GIVEN = frozenset({"receiver", "parameter"})
_JUMPS = frozenset({"return_statement", "break_statement", "continue_statement", "goto_statement"})


@dataclass(frozen=True, slots=True)
class _Both:
    """A place that locks two objects which its callers choose."""

    pair: Pair
    first: Binding
    second: Binding
    owner: str


def two_of_one_type(module: Module) -> Iterator[Finding]:
    """Yield a finding for each type whose objects are locked two at a time, in any order."""
    for package in module.packages:
        groups: dict[str, list[_Both]] = {}
        for file in code_files(package):
            if file.is_test or file.generated or not file.holds(LOCK_CALLS):
                continue
            for function in holders(file):
                for pair in pairs_of(file, function):
                    both = _both(pair)
                    if both is not None:
                        groups.setdefault(both.owner, []).append(both)
        for owner, found in groups.items():
            yield _finding(package, owner, found)


def _both(pair: Pair) -> _Both | None:
    held, taken, event = pair.held.access, pair.event.access, pair.event
    if event.kind != "acquire" or not event.sure or taken is None or len(event.path) != 1:
        return None
    if pair.held.lock_class is None or pair.held.lock_class != event.lock_class:
        return None
    first, second = held.root, taken.root
    if not isinstance(first, Binding) or not isinstance(second, Binding) or first is second:
        return None
    if held.steps != taken.steps or (pair.held.mode == "read" and event.mode == "read"):
        return None
    owner = _owner(pair, first)
    if owner is None or owner != _owner(pair, second) or not _is_open(pair.function):
        return None
    if any(
        h.lock_class != event.lock_class for h in holding_of(pair.file, pair.function).at(pair.node)
    ):
        return None  # a gate, perhaps
    if _is_ordered(pair, first, second) or explained(pair.file, pair.node):
        return None
    return _Both(pair, first, second, owner)


def _owner(pair: Pair, binding: Binding) -> str | None:
    """Return the type of an object that the callers choose, if it does not hold its like."""
    if binding.kind not in _GIVEN or binding.function is not pair.function:
        return None
    if any(use.kind == "write" for use in uses_of(binding)):
        return None
    type_ = pair.file.package.workspace.inference.binding_type(binding)
    if not isinstance(type_, Pointer) or not isinstance(type_.elem, Named):
        return None
    name, package = type_.elem.name, pair.file.package
    decl = package.lookup(name) if type_.elem.package == package.path else None
    if decl is None or decl.kind != "type":
        return None
    struct = decl.node.get("type")
    if struct is None or any(n.text == name.encode() for n in struct.walk()):
        return None  # a tree or list: from the outside in, most likely
    return name


def _is_open(function: Node) -> bool:
    name = function.get("name")
    return name is not None and name.name[:1].isupper()


def _is_ordered(pair: Pair, first: Binding, second: Binding) -> bool:
    """Return whether a comparison of the two, or a comment, says who comes first."""
    tree = pair.file.tree
    for comment in tree.comments_in(pair.function.start, pair.function.end):
        if _SAYS.search(tree.data, comment.start, comment.end):
            return True
    names = {first.name.encode(), second.name.encode()}
    for node in pair.function.own():
        if node.kind == "binary_expression" and node["operator"].kind in _ORDERS:
            if names <= {n.text for n in node.walk()}:
                return True
    return False


def _is_unused_copy(both: _Both) -> bool:
    """Return whether a method only reads the second object, and nobody in the module calls it.

    `a.CopyFrom(b)`: what is copied is rarely copied back.
    """
    if both.pair.event.mode != "read":
        return False
    function = both.pair.function
    decl = declaration_of(both.pair.file, function)
    return decl is not None and not callers(decl)


def _finding(package: Package, owner: str, found: list[_Both]) -> Finding:
    both = found[0]
    node, first, second = both.pair.node, both.first.name, both.second.name
    fix, reason = _fix(package, owner, found)
    related = []
    if both.pair.taken_at is not None:
        at = both.pair.taken_at
        related = [Related(at.path, at.start, at.end, f"{first} is locked here")]
    return Finding(
        path=node.path,
        start=node.start,
        end=node.end,
        message=(
            f"{second} is locked while {first} is: a call with both the other way round"
            " waits for this one, and this one for it"
        ),
        fixes=(fix,) if fix is not None else (),
        related=tuple(related),
        reason=reason,
        confidence=Confidence.LOW if _is_unused_copy(both) else Confidence.MEDIUM,
    )


@with_reason
def _fix(package: Package, owner: str, found: list[_Both]) -> Fix:
    """Return the fix: a mutex of the package around each taking of two locks."""
    decl = package.lookup(owner)
    assert decl is not None
    if decl.file.generated:
        raise BuilderError("the type is declared in generated code")
    if decl.file.imported("sync") != "sync":
        raise BuilderError("the name sync is taken")
    gate = free_name(f"{owner[:1].lower()}{owner[1:]}PairMu", set(package.names))
    top = leading_start(decl.file.tree, decl.span[0])
    newline = decl.file.source.newline
    code = f"// {gate} is held while the locks of two {owner} values are taken.".encode() + newline
    code += f"var {gate} sync.Mutex".encode() + newline * 2
    edits = [Edit(decl.file.path, top, top, code), *add_import(decl.file.tree, "sync")]
    for both in found:
        edits += _gated(both, gate)
    reason = f"who takes two waits for others who do; an order by a key of {owner} would not"
    return Fix(f"Take the two locks behind a new mutex {gate}", tuple(edits), Safety.UNSAFE, reason)


def _gated(both: _Both, gate: str) -> list[Edit]:
    first, second = both.pair.taken_at, both.pair.node
    outer, inner = (first.parent if first is not None else None), second.parent
    if outer is None or inner is None or {outer.kind, inner.kind} != {"expression_statement"}:
        raise BuilderError("a lock is taken inside of a larger statement")
    if outer.parent is None or outer.parent is not inner.parent:
        raise BuilderError("the second lock is taken in an inner block")
    between = [s for s in outer.parent.statements if outer.end <= s.start and s.end <= inner.start]
    if any(n.kind in _JUMPS for s in between for n in s.own()):
        raise BuilderError("a path leaves between the two locks")
    return [*insert_before(outer, f"{gate}.Lock()"), *insert_after(inner, f"{gate}.Unlock()")]
