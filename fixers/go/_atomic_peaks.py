"""A maximum in an atomic number that is tested and stored in two steps: a lower one may win.

if n > g.peak.Load() {          for old := g.peak.Load(); n > old; old = g.peak.Load() {
    g.peak.Store(n)                 if g.peak.CompareAndSwap(old, n) {
}                       →               break
                                    }
                                }
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import (
    BuilderError,
    free_name,
    replace,
    taken_names,
    with_reason,
)
from threadmend.golang.field_accesses import accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.functions import outer_function
from threadmend.golang.node import bare
from threadmend.golang.package import Package
from threadmend.golang.setup import is_setup
from threadmend.golang.spoken import speaks_of_locks
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Finding, Fix, Related, Safety

from ._atomic_calls import AtomicCall, atomic_call, unlocked_stores
from ._beside_others import runs_beside_others

__all__ = ["atomic_peaks"]

_ORDERED = frozenset({"<", "<=", ">", ">="})


def atomic_peaks(package: Package) -> Iterator[Finding]:
    """Yield the stores of a maximum or minimum that an earlier load of it decided."""
    for file, store in unlocked_stores(package):
        found = _compared(file, store)
        if found is not None and _is_shared(file, store.call) and not _is_counted(file, store):
            yield _finding(file, store, *found)


def _compared(file: GoFile, store: AtomicCall) -> tuple[Node, Node] | None:
    """Return the `if` around a store of what it compares with a load, and that load."""
    statement, value = store.call.parent, store.value
    block = statement.parent if statement is not None else None
    test = block.parent if block is not None else None
    if test is None or block is None or value is None or test.kind != "if_statement":
        return None
    if block.statements != [statement] or test.get("alternative") is not None:
        return None
    condition = bare(test["condition"])
    if condition.kind != "binary_expression" or condition["operator"].kind not in _ORDERED:
        return None
    sides = (bare(condition["left"]), bare(condition["right"]))
    for side, other in (sides, sides[::-1]):
        load = atomic_call(file, side) if side.kind == "call_expression" else None
        if load is None or load.method != "Load" or load.place.text != store.place.text:
            continue
        binding = file.binding(value) if value.kind == "identifier" else None
        if other.text == value.text and binding is not None and is_assigned_once(binding):
            return test, side
    return None


def _is_shared(file: GoFile, call: Node) -> bool:
    function, outer = call.function, outer_function(call)
    if function is None or outer is None or speaks_of_locks(file, outer):
        return False
    return not is_setup(file, call) and runs_beside_others(file, function)


def _is_counted(file: GoFile, store: AtomicCall) -> bool:
    """Return whether others add to the number: then it is a count that is cut, not a maximum."""
    for access in accesses_like(file.package, file, store.place):
        call = access.node.up("call_expression")
        used = atomic_call(access.file, call) if call is not None else None
        if used is not None and used.method == "Add":
            return True
    return False


def _finding(file: GoFile, store: AtomicCall, test: Node, load: Node) -> Finding:
    place = store.place.name
    fix, reason = _fix(store, test, load)
    return Finding(
        path=file.path,
        start=store.call.start,
        end=store.call.end,
        message=f"{place} is stored on the ground of an earlier load, in a step of its own",
        fixes=(fix,) if fix is not None else (),
        related=(Related(test.path, test.start, test["condition"].end, "tested here"),),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


@with_reason
def _fix(store: AtomicCall, test: Node, load: Node) -> Fix:
    function, condition = store.call.function, test["condition"]
    if function is None or store.value is None or test.get("initializer") is not None:
        raise BuilderError("the test declares something")
    if test.parent is None or test.parent.kind == "if_statement":
        raise BuilderError("the test is one of several")
    old = free_name("old", set(taken_names(function)))
    start, text = condition.start, condition.text
    asks = text[: load.start - start] + old.encode() + text[load.end - start :]
    code = (
        f"for {old} := {load.name}; {asks.decode()}; {old} = {load.name} {{\n"
        f"\tif {store.swapped(old, store.value.name)} {{\n\t\tbreak\n\t}}\n}}"
    )
    why = "the comparison runs again when another goroutine was faster"
    title = f"Compare and swap {store.place.name}"
    return Fix(title, replace(test, code), Safety.UNSAFE, why)
