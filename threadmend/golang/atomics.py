"""Atomics: variables accessed through the functions of sync/atomic, and those accesses.

Typed atomics (`atomic.Int64`) need no such look: their plain accesses do not compile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from threadmend.golang.access import lock_class
from threadmend.golang.calls import code_files, importers
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.infer import is_decl
from threadmend.golang.node import bare, parenthesized
from threadmend.golang.one_liners import naming, near, one_liners
from threadmend.golang.scope import Binding, position_of
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package

__all__ = ["AtomicAccess", "atomic_accesses", "plain_accesses"]

_ATOMIC_CALL = re.compile(
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
        helpers = {key: h for each in near(package) for key, h in _helpers(each).items()}
        decls = [d for each in near(package) for d in each.functions()] if helpers else []
        named = re.compile(naming(d.name for d in decls if d.key in helpers))
        for file in code_files(package):
            if file.generated:
                continue
            if file.holds(_ATOMIC_CALL):
                for access in _in_file(file):
                    found.setdefault(access.place, []).append(access)
            if helpers and file.holds(named):
                for access in _by_helpers(file, named, helpers):
                    found.setdefault(access.place, []).append(access)
    return found


def _in_file(file: GoFile) -> Iterator[AtomicAccess]:
    for call in file.find("call_expression", _ATOMIC_CALL):
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


def _by_helpers(
    file: GoFile, named: re.Pattern[bytes], helpers: dict[tuple[str, int], _Helper]
) -> Iterator[AtomicAccess]:
    """Yield the accesses by helpers: `add(&s.total, 1)`."""
    for call in file.find("call_expression", named):
        decl = file.callee(call)
        helper = helpers.get(decl.key) if decl is not None else None
        arguments = call["arguments"].children
        if helper is None or helper.position >= len(arguments):
            continue
        address = bare(arguments[helper.position])
        if address.kind != "unary_expression" or address["operator"].kind != "&":
            continue
        target = bare(address["operand"])
        place = lock_class(file, target)
        if place is not None and target.kind in {"selector_expression", "identifier"}:
            yield AtomicAccess(file, call, helper.operation, helper.kind, target, place)


class _Helper(NamedTuple):
    """A function that does nothing with the pointer that it is given but atomic operations."""

    position: int
    operation: str
    kind: str


def _helpers(package: Package) -> dict[tuple[str, int], _Helper]:
    """Return the helpers of a package by `Decl.key`."""
    return one_liners(package, "atomic helpers", _helper)


def _helper(decl: Decl) -> _Helper | None:
    start, end = decl.span
    if not _ATOMIC_CALL.search(decl.file.data, start, end) or not decl.sound or not decl.has_body:
        return None
    found: dict[Binding, list[re.Match[str]]] = {}
    for call in decl.node["body"].find("call_expression"):
        function, arguments = call["function"], call["arguments"].children
        if function.kind != "selector_expression" or function["operand"].kind != "identifier":
            continue
        operation = _NAME.fullmatch(function["field"].name)
        given = arguments[0] if arguments and arguments[0].kind == "identifier" else None
        binding = decl.file.binding(given) if given is not None else None
        if operation is not None and binding is not None and binding.kind == "parameter":
            if binding.function is decl.node and _is_atomic(decl.file, function["operand"]):
                found.setdefault(binding, []).append(operation)
    if len(found) != 1:
        return None
    parameter, operations = next(iter(found.items()))
    uses = [use for use in parameter.uses if use is not parameter.node]
    kinds = {m[2] for m in operations}
    position = position_of(decl.node, parameter)
    if len(uses) != len(operations) or len(kinds) != 1 or position is None:
        return None
    operation_name = next((m[1] for m in operations if m[1] != "Load"), "Load")
    return _Helper(position, operation_name, kinds.pop())


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
    outer = parenthesized(node).parent
    return outer is not None and outer.kind == "unary_expression" and outer["operator"].kind == "&"
