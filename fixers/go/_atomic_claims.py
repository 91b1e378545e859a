"""A flag that is tested and set in two steps: two goroutines find it clear, and both go on.

if s.started.Load() {               if !s.started.CompareAndSwap(false, true) {
    return ErrStarted                   return ErrStarted
}                           →       }
s.started.Store(true)               go s.run()
go s.run()

Only where something is done behind it that one alone is to do: who just sets a flag twice does no
harm.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, delete, with_reason
from threadmend.golang.field_accesses import accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.functions import outer_function
from threadmend.golang.node import bare
from threadmend.golang.package import Package
from threadmend.golang.setup import is_setup
from threadmend.golang.spoken import speaks_of_locks
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._atomic_calls import AtomicCall, atomic_call, unlocked_stores
from ._beside_others import runs_beside_others
from ._decided_steps import leaves
from ._stale_answers import works

__all__ = ["atomic_claims"]

_REASON = "who comes second is refused"


def atomic_claims(package: Package) -> Iterator[Finding]:
    """Yield the stores to flags that an earlier load of the same flag decided."""
    for file, store in unlocked_stores(package):
        found = _tested(file, store)
        if found is not None and _is_shared(file, store):
            yield _finding(file, store, *found)


def _tested(file: GoFile, store: AtomicCall) -> tuple[Node, AtomicCall, str] | None:
    """Return the `if` around or right above a store, its load, and what is loaded if it is free."""
    statement = store.call.parent
    if statement is None or statement.kind != "expression_statement" or store.value is None:
        return None
    above, block = statement.previous, statement.parent
    around = block.parent if block is not None and block.statements[0] is statement else None
    for test, inside in ((above, False), (around, True)):
        if test is None or test.kind != "if_statement" or test.get("initializer") is not None:
            continue
        if test.get("alternative") is not None or inside is not (test.get("consequence") is block):
            continue
        if not inside and not leaves(test["consequence"]):
            continue
        loaded = _free(file, test["condition"], store, inside)
        if loaded is None or not _does_more(test, statement, inside):
            continue
        return test, *loaded
    return None


def _does_more(test: Node, statement: Node, inside: bool) -> bool:
    function = statement.function
    end = test["consequence"].end if inside else function["body"].end if function else 0
    return function is not None and works(function, statement, end)


def _free(
    file: GoFile, condition: Node, store: AtomicCall, inside: bool
) -> tuple[AtomicCall, str] | None:
    """Return the load of a condition, and the value that lets a goroutine through."""
    negated = condition.kind == "unary_expression" and condition["operator"].kind == "!"
    test = bare(condition["operand"]) if negated else condition
    value = store.value.name if store.value is not None else ""
    if test.kind == "call_expression" and store.type == "Bool" and value in {"true", "false"}:
        load = atomic_call(file, test)
        free = "true" if negated is not inside else "false"
        if load is not None and _is_same(load, store) and free != value:
            return load, free
        return None
    if test.kind != "binary_expression" or negated or test["operator"].kind not in {"==", "!="}:
        return None
    left, right = bare(test["left"]), bare(test["right"])
    load = atomic_call(file, left) if left.kind == "call_expression" else None
    if load is None or not _is_same(load, store) or not _is_fixed(file, right):
        return None
    if (test["operator"].kind == "==") is inside:
        return (load, right.name) if right.name != value else None
    # `if x.Load() == 1 { return }`, x.Store(1): it was 0 where it is never anything else.
    return (load, "0") if right.name == value == "1" and _is_binary(file, store) else None


def _is_binary(file: GoFile, store: AtomicCall) -> bool:
    """Return whether nothing but 0 and 1 is ever stored in a number."""
    for access in accesses_like(file.package, file, store.place):
        call = access.node.up("call_expression")
        used = atomic_call(access.file, call) if call is not None else None
        if used is None or used.place is not access.node:
            return False
        if used.method == "Add" or (used.value is not None and used.value.name not in {"0", "1"}):
            return False
    return True


def _is_same(load: AtomicCall, store: AtomicCall) -> bool:
    return load.method == "Load" and load.place.text == store.place.text


def _is_fixed(file: GoFile, node: Node) -> bool:
    if node.kind == "int_literal":
        return True
    meant = file.resolve(node) if node.kind == "identifier" else None
    return getattr(meant, "kind", "") == "const"


def _is_shared(file: GoFile, store: AtomicCall) -> bool:
    """Return whether others may do the same meanwhile; a Close that others call, too."""
    function, outer = store.call.function, outer_function(store.call)
    if function is None or outer is None or speaks_of_locks(file, outer):
        return False
    ends = b"close(" in function.text
    if is_setup(file, store.call) and not ends and not outer["name"].name.startswith("Start"):
        return False
    return runs_beside_others(file, function)


def _finding(file: GoFile, store: AtomicCall, test: Node, load: AtomicCall, free: str) -> Finding:
    place = store.place.name
    fix, reason = _fix(file, store, test, load, free)
    return Finding(
        path=file.path,
        start=store.call.start,
        end=store.call.end,
        message=f"{place} is set on the ground of an earlier load, in a step of its own:"
        " two may go on",
        fixes=(fix,) if fix is not None else (),
        related=(Related(test.path, test.start, test["condition"].end, "tested here"),),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


@with_reason
def _fix(file: GoFile, store: AtomicCall, test: Node, load: AtomicCall, free: str) -> Fix:
    statement, condition = store.call.parent, test["condition"]
    if statement is None or store.value is None:
        raise BuilderError("the flag is set in a larger statement")
    swap = store.swapped(free, store.value.name)
    inside = test.contains(statement)
    new = swap if inside else f"!{swap}"
    edits = (Edit(file.path, condition.start, condition.end, new.encode()), *delete(statement))
    return Fix(f"Compare and swap {store.place.name}", edits, Safety.UNSAFE, _REASON)
