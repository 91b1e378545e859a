"""An addition to an atomic value in two steps: what others add in between is lost.

n.Store(n.Load() + 1)                                    →   n.Add(1)
atomic.StoreInt64(&n, atomic.LoadInt64(&n)-delta)        →   atomic.AddInt64(&n, -delta)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.file import GoFile
from threadmend.golang.locks import held_at
from threadmend.golang.package import Package
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, deref
from threadmend.model import Edit, Finding, Fix

__all__ = ["lost_additions"]

_STORE = re.compile(rb"\.Store(?:U?[Ii]nt(?:32|64))?\(")
_KINDS = frozenset({"Int32", "Int64", "Uint32", "Uint64"})
_SIMPLE = frozenset({"identifier", "int_literal", "selector_expression"})


def lost_additions(package: Package) -> Iterator[Finding]:
    """Yield the stores of a sum with what was loaded from the same place."""
    for file in package.files:
        if file.generated or file.broken or file.is_test:
            continue
        for declaration in file.declarations(_STORE):
            for call in declaration.index.get("call_expression", ()):
                found = _addition(file, call)
                if found is not None and not held_at(file, call):
                    yield found


def _addition(file: GoFile, call: Node) -> Finding | None:
    function, values = call["function"], call["arguments"].children
    parent = call.parent
    if function.kind != "selector_expression" or parent is None or not values:
        return None
    if parent.kind != "expression_statement" or values[-1].kind != "binary_expression":
        return None
    left, sign, right = values[-1]["left"], values[-1]["operator"].kind, values[-1]["right"]
    if left.kind != "call_expression" or sign not in {"+", "-"}:
        return None
    name, load = function["field"].name, left["function"]
    if load.kind != "selector_expression" or load["operand"].text != function["operand"].text:
        return None
    if load["field"].name != name.replace("Store", "Load"):
        return None
    kind = _kind(file, function, values, left["arguments"].children)
    if kind not in _KINDS or right.kind not in _SIMPLE:
        return None
    if sign == "-" and kind.startswith("U"):
        return None
    amount = f"-{right.name}" if sign == "-" else right.name
    place = function["operand"].name
    code = f"{place}.Add({amount})"
    if len(values) == 2:
        place = values[0].name.removeprefix("&")
        code = f"{function['operand'].name}.Add{kind}({values[0].name}, {amount})"
    edit = Edit(file.path, call.start, call.end, code.encode())
    return Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=f"{place} is loaded and stored in two steps: what others add in between is lost",
        fixes=(Fix("Add in one step", (edit,)),),
    )


def _kind(file: GoFile, function: Node, values: list[Node], loaded: list[Node]) -> str | None:
    """Return the type that is stored to, if load and store name the same place."""
    method, operand = function["field"].name, function["operand"]
    if method == "Store":
        type_ = deref(file.type_of(operand))
        known = isinstance(type_, Named) and type_.package == "sync/atomic"
        if not known or loaded or len(values) != 1 or _calls(operand):
            return None
        assert isinstance(type_, Named)
        return type_.name
    if operand.kind != "identifier" or file.imported(operand.name) != "sync/atomic":
        return None
    if len(values) != 2 or len(loaded) != 1 or values[0].text != loaded[0].text:
        return None
    return None if _calls(values[0]) else method.removeprefix("Store")


def _calls(node: Node) -> bool:
    return any(n.kind == "call_expression" for n in node.walk())
