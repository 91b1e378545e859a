"""Atomics: variables accessed through the functions of sync/atomic, and those accesses.

Typed atomics (`atomic.Int64`) need no such look: their plain accesses do not compile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import lock_class
from threadmend.golang.calls import code_files, importers
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.infer import is_decl
from threadmend.golang.node import bare
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = ["ATOMIC_CALL", "AtomicAccess", "atomic_accesses", "plain_accesses"]

ATOMIC_CALL = re.compile(
    rb"\.(Add|Load|Store|Swap|CompareAndSwap|And|Or)(Int32|Int64|Uint32|Uint64|Uintptr|Pointer)\("
)
_NAME = re.compile(
    r"(Add|Load|Store|Swap|CompareAndSwap|And|Or)(Int32|Int64|Uint32|Uint64|Uintptr|Pointer)"
)


@dataclass(frozen=True, slots=True)
class AtomicAccess:
    """One call of a function of sync/atomic on the address of a variable.

    `operation` is `Add`, `Load`, …; `kind` the type in the name (`Int64`); `target` the
    variable; `place` its class.
    """

    file: GoFile
    call: Node
    operation: str
    kind: str
    target: Node
    place: str

    @property
    def writes(self) -> bool:
        """Return whether the operation may change the variable."""
        return self.operation != "Load"


def atomic_accesses(package: Package) -> dict[str, list[AtomicAccess]]:
    """Return the atomic accesses of fields and variables, by class; tests left out."""
    found: dict[str, list[AtomicAccess]] | None = package.facts.get("atomics")
    if found is None:
        found = package.facts["atomics"] = {}
        for file in code_files(package):
            if not file.generated and file.holds(ATOMIC_CALL):
                for access in _in_file(file):
                    found.setdefault(access.place, []).append(access)
    return found


def _in_file(file: GoFile) -> Iterator[AtomicAccess]:
    for call in file.find("call_expression", ATOMIC_CALL):
        function = call["function"]
        if function.kind != "selector_expression" or function["operand"].kind != "identifier":
            continue
        name = _NAME.fullmatch(function["field"].name)
        arguments = call["arguments"].children
        if name is None or not arguments or not _is_atomic(file, function["operand"]):
            continue
        address = bare(arguments[0])
        if address.kind != "unary_expression" or address["operator"].kind != "&":
            continue
        target = bare(address["operand"])
        place = lock_class(file, target)
        if place is not None and target.kind in {"selector_expression", "identifier"}:
            yield AtomicAccess(file, call, name[1], name[2], target, place)


def _is_atomic(file: GoFile, operand: Node) -> bool:
    return file.imported(operand.name) == "sync/atomic" and file.binding(operand) is None


def plain_accesses(package: Package, atomic: AtomicAccess) -> Iterator[FieldAccess]:
    """Yield the accesses of a field or package variable that are not atomic; tests left out.

    Those of an exported one also where its package is imported.
    """
    target = atomic.target
    if target.kind == "identifier" and not is_decl(atomic.file.resolve(target), "var"):
        return
    exported = (target.children or [target])[-1].name[:1].isupper()
    for using in (package, *(importers(package) if exported else ())):
        for access in accesses_like(using, atomic.file, target):
            if not _has_address_taken(access.node):
                yield access


def _has_address_taken(node: Node) -> bool:
    outer = node.parent
    while outer is not None and outer.kind == "parenthesized_expression":
        outer = outer.parent
    return outer is not None and outer.kind == "unary_expression" and outer["operator"].kind == "&"
