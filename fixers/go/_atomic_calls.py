"""Loads and stores of atomic numbers and flags: `x.Load()`, `atomic.LoadInt32(&x)`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.calls import code_files
from threadmend.golang.file import GoFile
from threadmend.golang.locks import held_at
from threadmend.golang.node import bare
from threadmend.golang.package import Package
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, deref

__all__ = ["AtomicCall", "atomic_call", "unlocked_stores"]

_CALL = re.compile(rb"\.(?:Store|Add)(?:(?:Ui|I)nt(?:32|64))?\(")
_FUNCTION = re.compile(r"(Load|Store|Add)((?:Ui|I)nt(?:32|64))")
_TYPES = frozenset({"Bool", "Int32", "Int64", "Uint32", "Uint64"})


@dataclass(frozen=True, slots=True)
class AtomicCall:
    """A call of `Load`, `Store` or `Add`: `place` is the variable, `value` what it is given.

    `package` is what the file calls sync/atomic where a function of it is called, else "".
    """

    call: Node
    method: str
    type: str
    place: Node
    value: Node | None
    package: str

    def swapped(self, old: str, new: str) -> str:
        """Return the call that compares and swaps the same variable."""
        if self.package:
            function = f"{self.package}.CompareAndSwap{self.type}"
            return f"{function}(&{self.place.name}, {old}, {new})"
        return f"{self.place.name}.CompareAndSwap({old}, {new})"


def atomic_call(file: GoFile, call: Node) -> AtomicCall | None:
    """Return what a call does to an atomic number or flag, a field or a variable."""
    function, arguments = call["function"], call["arguments"].children
    if function.kind != "selector_expression":
        return None
    operand, name = function["operand"], function["field"].name
    named = _FUNCTION.fullmatch(name)
    if named is not None and arguments and operand.kind == "identifier":
        address = bare(arguments[0])
        if file.imported(operand.name) != "sync/atomic" or address.kind != "unary_expression":
            return None
        value = arguments[1] if len(arguments) > 1 else None
        place = bare(address["operand"])
        return AtomicCall(call, named[1], named[2], place, value, operand.name)
    if name not in {"Load", "Store", "Add"}:
        return None
    type_ = deref(file.type_of(operand))
    if not isinstance(type_, Named) or type_.package != "sync/atomic":
        return None
    value = arguments[0] if arguments else None
    return AtomicCall(call, name, type_.name, operand, value, "") if type_.name in _TYPES else None


def unlocked_stores(package: Package) -> Iterator[tuple[GoFile, AtomicCall]]:
    """Yield the stores to atomic numbers and flags that no lock stands around."""
    for file in code_files(package):
        if file.generated or file.broken:
            continue
        for call in file.find("call_expression", _CALL):
            store = atomic_call(file, call)
            if store is not None and store.method == "Store" and not held_at(file, call):
                yield file, store
