"""Values that no second call gives: a serial number, a random token; two callers have two of them.

tok := user + "-" + m.serial()
m.tokens.put(user, tok)          // who comes second replaces what the first has returned
return tok
"""

from __future__ import annotations

import re

from threadmend.golang.access import is_assigned_once
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node

__all__ = ["is_of_its_own"]

_DRAWS = re.compile(
    rb"\w(?:\+\+|\.Add\(1\)|\s\+= 1\b)|\bAddU?[iI]nt(?:32|64)\(|\b(?:rand|uuid|ulid|xid)\."
)
_PACKAGES = re.compile(r"(?:math/rand(?:/v2)?|/uuid|/xid|/ulid(?:/v\d)?)$")
# What a function is called that is not visible, and gives another value each time.
_ISSUES = re.compile(
    r"(?:[nN]ew|[nN]ext|[gG]en|[gG]enerate|[mM]int|[iI]ssue|[dD]raw|[aA]lloc|[aA]llocate|[rR]andom)"
    r"(?:[A-Z0-9]\w*)?$|[sS]erial$|UUID$|[uU]uid$|[nN]once$"
)


def is_of_its_own(file: GoFile, value: Node) -> bool:
    """Return whether a local variable has a value of its own, which the function returns."""
    binding = file.binding(value) if value.kind == "identifier" else None
    if binding is None or binding.kind != "variable" or not is_assigned_once(binding):
        return False
    made = binding.value or (binding.values[0] if binding.values and not binding.index else None)
    if made is None or not any(_is_returned(use) for use in binding.uses):
        return False
    return any(_is_drawn(file, call) for call in made.find("call_expression"))


def _is_returned(use: Node) -> bool:
    values = use.parent
    statement = values.parent if values is not None and values.kind == "expression_list" else None
    return statement is not None and statement.kind == "return_statement"


def _is_drawn(file: GoFile, call: Node) -> bool:
    """Return whether a call gives another value each time, whatever it is given."""
    function = call["function"]
    selection = file.selection(function) if function.kind == "selector_expression" else None
    if selection is not None and selection.kind == "package" and selection.decl is None:
        path = file.imported(function["operand"].name)
        return path is not None and _PACKAGES.search(path) is not None
    if call["arguments"].children:
        return False
    decl = file.callee(call)
    if decl is not None and decl.has_body:
        body = decl.node["body"]
        return _DRAWS.search(decl.file.data, body.start, body.end) is not None
    name = function["field"].name if function.kind == "selector_expression" else function.name
    return _ISSUES.match(name) is not None
