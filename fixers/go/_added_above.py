"""A number that is added to and then read: what others add in between is read, too.

atomic.AddUint64(&n.last, 1)
return n.last                       →   return atomic.AddUint64(&n.last, 1)

n.Add(1)
id := n.Load()                      →   id := n.Add(1)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, delete
from threadmend.golang.calls import code_files
from threadmend.golang.file import GoFile
from threadmend.golang.locks import held_at
from threadmend.golang.package import Package
from threadmend.golang.scope import bindings_in
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, deref
from threadmend.model import Edit, Finding, Fix

__all__ = ["adds", "loaded_after_addition", "result_of_addition"]

_ADDS = re.compile(rb"\.Add(?:U?[Ii]nt(?:32|64))?\([^\n]*\)\s*\n[^\n]*\.Load")
_HOLDS = frozenset({"return_statement", "short_var_declaration", "assignment_statement"})


def loaded_after_addition(package: Package) -> Iterator[Finding]:
    """Yield the loads of an atomic number in the statement below an addition to it."""
    for file in code_files(package):
        if file.generated or file.broken:
            continue
        for declaration in file.declarations(_ADDS):
            for call in declaration.index.get("call_expression", ()):
                place = _loaded(file, call)
                if place is None or held_at(file, call):
                    continue
                if "." not in place and place in _locals(call):
                    continue  # whoever counts in a function knows who else does
                edits = result_of_addition(call, place)
                if edits:
                    yield Finding(
                        path=file.path,
                        start=call.start,
                        end=call.end,
                        message=f"{place} is added to and loaded in two steps: what others add in"
                        " between is read, too",
                        fixes=(Fix("Use what the addition returns", edits),),
                    )


def _locals(node: Node) -> set[str]:
    """Return the names of the variables that the functions around a node declare."""
    found: set[str] = set()
    for outer in node.ancestors():
        found.update(bindings_in(outer))
    return found


def _loaded(file: GoFile, call: Node) -> str | None:
    """Return the atomic number that a call loads."""
    function, arguments = call["function"], call["arguments"].children
    if function.kind != "selector_expression":
        return None
    operand, name = function["operand"], function["field"].name
    if name == "Load" and not arguments:
        type_ = deref(file.type_of(operand))
        known = isinstance(type_, Named) and type_.package == "sync/atomic"
        return operand.name if known else None
    if operand.kind != "identifier" or file.imported(operand.name) != "sync/atomic":
        return None
    if not name.startswith("Load") or len(arguments) != 1:
        return None
    return arguments[0].name.removeprefix("&")


def result_of_addition(read: Node, place: str) -> tuple[Edit, ...]:
    """Return the edits that put the addition right above into the place of a read.

    Sound: it is the value that this goroutine made, which is what the read was meant to see; the
    addition moves behind nothing but the operands before it in the statement.
    """
    statement = read.statement
    above = statement.previous if statement is not None else None
    if statement is None or above is None or above.kind != "expression_statement":
        return ()
    call = above.children[0]
    if call.kind != "call_expression" or not adds(call, place):
        return ()
    within: Node | None = statement
    if statement.kind == "if_statement":
        within = statement["condition"] if statement.get("initializer") is None else None
    elif statement.kind not in _HOLDS:
        return ()
    if within is None or not within.contains(read) or read.function is not statement.function:
        return ()
    if within.text.count(place.encode()) != 1 or _may_not_run(read, within):
        return ()
    try:
        return (Edit(read.path, read.start, read.end, call.text), *delete(above))
    except BuilderError:
        return ()


def adds(call: Node, place: str) -> bool:
    """Return whether a call adds to an atomic number."""
    function, arguments = call["function"], call["arguments"].children
    if function.kind != "selector_expression":
        return False
    name = function["field"].name
    if name == "Add":
        return function["operand"].name == place and len(arguments) == 1
    return (
        function["operand"].name == "atomic"
        and name.startswith("Add")
        and len(arguments) == 2
        and arguments[0].name == f"&{place}"
    )


def _may_not_run(read: Node, within: Node) -> bool:
    """Return whether the read stands on the right of `&&` or `||`."""
    at = read
    for ancestor in read.ancestors():
        if ancestor.kind == "binary_expression" and ancestor["operator"].kind in {"&&", "||"}:
            if at.field == "right":
                return True
        if ancestor is within:
            return False
        at = ancestor
    return False
