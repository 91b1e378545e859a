"""Timer helpers: what stands for `time.AfterFunc`: functions of one line, fields and variables.

func after(d time.Duration, f func()) *time.Timer { return time.AfterFunc(d, f) }

var afterFunc = time.AfterFunc          // tests put another one there

&cache{schedule: time.AfterFunc}        // c.schedule(ttl, func() { … })
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.calls import code_files
from threadmend.golang.package import Decl
from threadmend.golang.scope import position_of
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, deref

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = ["timed_argument", "timer_names"]

_HELPER = re.compile(
    rb"^func (?:\([^)\n]*\) )?(\w+)\([^\n]*\bfunc\(\)[^\n{]*\{\s*(?:return )?\w+\.AfterFunc\(", re.M
)
_CALLBACK = 1  # the place of the function among the arguments of time.AfterFunc
_DEPTH = 2  # helpers of helpers


def timer_names(package: Package) -> frozenset[str]:
    """Return the names of functions, fields and variables that may stand for `time.AfterFunc`."""
    known: frozenset[str] | None = package.facts.get("timer names")
    if known is None:
        found: set[bytes] = set()
        every = code_files(package)
        files = [f for f in every if f.may_hold(b"AfterFunc")]
        for file in files:
            found.update(m[1] for m in _HELPER.finditer(file.data))
        given = b"|".join([rb"\w+\.AfterFunc", *(re.escape(n) for n in sorted(found))])
        stored = re.compile(
            rb"\b(\w+)(?:[ \t]+func\([^\n=]*)?[ \t]*(?::?=|:)[ \t]*(?:%s)\b(?!\()" % given
        )
        words = {b"AfterFunc", *found}
        for file in every:
            if any(map(file.may_hold, words)):
                found.update(m[1] for m in stored.finditer(file.data))
        known = package.facts["timer names"] = frozenset(n.decode() for n in found)
    return known


def timed_argument(file: GoFile, call: Node) -> Node | None:
    """Return the argument that a call hands to `time.AfterFunc`, through a name of the project."""
    place = _place(file, call["function"], _DEPTH)
    arguments = call["arguments"].children
    return arguments[place] if place is not None and place < len(arguments) else None


def _place(file: GoFile, function: Node, depth: int) -> int | None:
    """Return which argument of a function value runs when a timer fires."""
    if depth < 0:
        return None
    if function.kind == "selector_expression":
        if function["operand"].kind == "identifier" and function["field"].name == "AfterFunc":
            if file.imported(function["operand"].name) == "time":
                return _CALLBACK
        selection = file.selection(function)
        if selection is not None and selection.kind == "field":
            return _of_field(file, selection.owner, selection.name, depth)
    decl = file.package.workspace.inference.function_decl(function)
    if decl is not None:
        return _of_helper(decl, depth) if decl.sound and decl.has_body else None
    meant = file.resolve(function) if function.kind == "identifier" else None
    return _of_variable(meant, depth) if isinstance(meant, Decl) and meant.kind == "var" else None


def _of_helper(decl: Decl, depth: int) -> int | None:
    """Return the parameter that a function of one statement hands on."""
    statements = decl.node["body"].statements
    if len(statements) != 1 or statements[0].kind not in {
        "return_statement",
        "expression_statement",
    }:
        return None
    call = statements[0].children[-1]
    if call.kind == "expression_list" and len(call.children) == 1:
        call = call.children[0]
    if call.kind != "call_expression":
        return None
    place = _place(decl.file, call["function"], depth - 1)
    arguments = call["arguments"].children
    if place is None or place >= len(arguments) or arguments[place].kind != "identifier":
        return None
    binding = decl.file.binding(arguments[place])
    if binding is None or binding.kind != "parameter" or binding.function is not decl.node:
        return None
    return position_of(decl.node, binding)


def _of_field(file: GoFile, owner: object, name: str, depth: int) -> int | None:
    from threadmend.golang.targets import stored_values

    owner = deref(owner)  # type: ignore[arg-type]
    if not isinstance(owner, Named) or name not in timer_names(file.package):
        return None
    package = file.package.workspace.package_by_key(owner.package)
    if package is None:
        return None
    places = {_place(f, value, depth - 1) for f, value in stored_values(package, owner, name)}
    return places.pop() if len(places) == 1 else None


def _of_variable(decl: Decl, depth: int) -> int | None:
    """Return what a package variable stands for that only tests set again."""
    values = decl.node.get("value")
    names = [n.name for n in decl.node.all("name")]
    if values is None or len(values.children) != len(names) or decl.name not in names:
        return None
    again = re.compile(rb"^[ \t]+%s[ \t]*=[^=]" % re.escape(decl.name.encode()), re.M)
    spec = decl.node
    if any(
        m.end() <= spec.start or m.start() >= spec.end or f is not decl.file
        for f in code_files(decl.file.package)
        if f.may_hold(decl.name.encode())
        for m in again.finditer(f.data)
    ):
        return None
    return _place(decl.file, values.children[names.index(decl.name)], depth - 1)
