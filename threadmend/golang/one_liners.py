"""One-liners: functions whose body is one call, and what calls of functions look like."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.package import Decl, Package

__all__ = ["naming", "near", "one_liners", "only_call"]

_Operation = TypeVar("_Operation")


_ROUNDS = 3  # helpers of helpers of helpers


def one_liners(
    package: Package,
    fact: str,
    read: Callable[[Decl], _Operation | None],
    read_caller: Callable[[Decl, re.Pattern[bytes]], _Operation | None] | None = None,
) -> dict[tuple[str, int], _Operation]:
    """Return, by `Decl.key`, what `read` makes of the functions of a package that it knows; kept
    as a fact of the package.

    `read_caller` is asked about those that may consist of a call of one that is known by then,
    with the pattern of such a call.
    """
    known: dict[tuple[str, int], _Operation] | None = package.facts.get(fact)
    if known is not None:
        return known
    known = package.facts[fact] = {}
    for decl in package.functions():
        operation = read(decl)
        if operation is not None:
            known[decl.key] = operation
    fresh = set(known) if read_caller is not None else set()
    for _ in range(_ROUNDS):
        if read_caller is None or not fresh:
            break
        calls = re.compile(naming(d.name for d in package.functions() if d.key in fresh))
        fresh = set()
        for decl in package.functions():
            operation = read_caller(decl, calls) if decl.key not in known else None
            if operation is not None:
                known[decl.key] = operation
                fresh.add(decl.key)
    return known


def near(package: Package) -> list[Package]:
    """Return a package and those of its module that it imports: whose helpers it may call."""
    known: list[Package] | None = package.facts.get("near")
    if known is None:
        known = package.facts["near"] = [package]
        paths = sorted({i.path for f in package.files for i in f.imports})
        for path in paths if package.module is not None else ():
            if package.module is not None and path.startswith(package.module.path):
                imported = package.workspace.package(path)
                if imported is not None and imported is not package:
                    known.append(imported)
    return known


def only_call(decl: Decl, pattern: re.Pattern[bytes], longest: int) -> Node | None:
    """Return the call that is all that a function does, when its text has the pattern and at most
    `longest` bytes. A test of the receiver for nil may stand around it.
    """
    start, end = decl.span
    if end - start > longest or not pattern.search(decl.file.data, start, end):
        return None
    statements = decl.node["body"].statements if decl.sound and decl.has_body else []
    if len(statements) == 1 and statements[0].kind == "if_statement":
        statements = _tested(decl, statements[0])
    if len(statements) != 1 or statements[0].kind != "expression_statement":
        return None
    call = statements[0].children[0]
    return call if call.kind == "call_expression" else None


def _tested(decl: Decl, test: Node) -> list[Node]:
    """Return the statements of `if r != nil { … }`, where `r` is the receiver."""
    receiver = decl.node.get("receiver")
    names = [n.name for d in receiver.children for n in d.all("name")] if receiver else []
    if not names or test.get("alternative") is not None or test.get("initializer") is not None:
        return []
    asks = test["condition"].text == f"{names[0]} != nil".encode()
    return test["consequence"].statements if asks else []


def naming(names: Iterable[str]) -> bytes:
    """Return the pattern of a call of a function, or method, by one of its possible names."""
    words = "|".join(map(re.escape, sorted(set(names))))
    return rf"\b(?:{words})\(".encode()
