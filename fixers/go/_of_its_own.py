"""Values that no second call gives: a serial number, a random token; two callers have two of them.

tok := user + "-" + m.serial()
m.tokens.put(user, tok)          // who comes second replaces what the first has returned
return tok

Likewise a new object with a lock of its own: what one caller does to it the other one never sees.
"""

from __future__ import annotations

import re

from threadmend.golang.access import is_assigned_once
from threadmend.golang.file import GoFile
from threadmend.golang.nocopy import nocopy
from threadmend.golang.syntax import Node
from threadmend.golang.types import Pointer

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
    if any(_is_drawn(file, call) for call in made.find("call_expression")):
        return True
    return _has_lock(file, value) and _is_new(file, made, _DEPTH)


_DEPTH = 2
_LOCKS = frozenset({"sync.Mutex", "sync.RWMutex"})


def _has_lock(file: GoFile, value: Node) -> bool:
    """Return whether a value is a pointer to a struct with a lock: state that callers share."""
    type_ = file.type_of(value)
    if not isinstance(type_, Pointer):
        return False
    return nocopy(file.package.workspace).path(type_.elem)[-1:] in {(lock,) for lock in _LOCKS}


def _is_new(file: GoFile, made: Node, depth: int) -> bool:
    """Return whether an expression is a new object: `&T{…}`, or a function that returns one."""
    if made.kind == "unary_expression":
        return made["operator"].kind == "&" and made["operand"].kind == "composite_literal"
    if made.kind == "identifier":
        binding = file.binding(made)
        if binding is None or binding.kind != "variable" or not is_assigned_once(binding):
            return False
        return binding.value is not None and _is_new(file, binding.value, depth)
    decl = file.callee(made) if made.kind == "call_expression" else None
    if decl is None or not decl.has_body or not decl.sound or depth == 0:
        return False
    given = [n.children[-1] for n in decl.node.own() if n.kind == "return_statement"]
    firsts = [v.children[0] for v in given if v.kind == "expression_list"]
    own = [v for v in firsts if v.kind != "nil"]
    return (
        len(firsts) == len(given)
        and bool(own)
        and all(_is_new(decl.file, v, depth - 1) for v in own)
    )


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
