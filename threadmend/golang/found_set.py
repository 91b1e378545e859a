"""Found set: which atomic flags a condition has found set where a node stands.

secure := atomic.LoadInt32(&s.secure) == 1        st := Stats{Secure: s.secure.Load()}
if secure { … s.codec … }                         if st.Secure { … s.codec … }

The flag is set to one value behind what it tells of: `atomic.StoreInt32(&s.secure, 1)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.access import is_assigned_once
from threadmend.golang.literal_fields import field_value
from threadmend.golang.node import bare

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.syntax import Node

__all__ = ["flags_found", "flags_set_behind"]

_STORE = re.compile(rb"(?:\b(\w+)\.Store|atomic\.Store\w+)$")
_LOAD = re.compile(rb"(?:\b(\w+)\.Load|atomic\.Load\w+)$")
_ZEROS = frozenset({b"0", b"false", b"nil"})
_DEPTH = 4


def flags_set_behind(node: Node) -> set[tuple[bytes, bytes]]:
    """Return the atomics that a function sets behind a node, with the values: `packed`, `1`."""
    function = node.function
    found: set[tuple[bytes, bytes]] = set()
    for call in function.own() if function is not None else ():
        if call.kind != "call_expression" or call.start < node.end:
            continue
        match = _STORE.search(call["function"].text)
        given = call["arguments"].children
        if match is None or not given:
            continue
        name = match[1] or _last_name(given[0])
        if given[-1].text not in _ZEROS:
            found.add((name, given[-1].text))
    return found


def flags_found(file: GoFile, node: Node) -> set[tuple[bytes, bytes]]:
    """Return the atomics of which a condition around a node says that they have a value.

    The value is empty where all that is known is that it is not zero.
    """
    found: set[tuple[bytes, bytes]] = set()
    inner = node
    for outer in node.ancestors():
        if outer.kind in {"func_literal", "function_declaration", "method_declaration"}:
            break
        if outer.kind == "if_statement" and inner.field == "consequence":
            found.update(_found_by(file, outer["condition"], _DEPTH))
        inner = outer
    return found


def _found_by(file: GoFile, test: Node, depth: int) -> Iterator[tuple[bytes, bytes]]:
    test = bare(test)
    if depth == 0:
        return
    if test.kind == "binary_expression":
        operator, left, right = test["operator"].kind, test["left"], test["right"]
        name = _loaded(left)
        if operator == "&&":
            yield from _found_by(file, left, depth)
            yield from _found_by(file, right, depth)
        elif operator == "==" and name is not None and right.text not in _ZEROS:
            yield name, right.text
        elif operator in {"!=", ">"} and name is not None and right.text in _ZEROS:
            yield name, b""
    elif (name := _loaded(test)) is not None:
        yield name, b"true"
    elif (value := _value_of(file, test)) is not None:
        yield from _found_by(file, value, depth - 1)


def _value_of(file: GoFile, name: Node) -> Node | None:
    """Return what a local variable, or a field of a local struct, got when it was declared."""
    variable = name["operand"] if name.kind == "selector_expression" else name
    binding = file.binding(variable) if variable.kind == "identifier" else None
    if binding is None or binding.value is None or not is_assigned_once(binding):
        return None
    if name is variable:
        return binding.value
    made = bare(binding.value)
    made = made["operand"] if made.kind == "unary_expression" else made
    if made.kind != "composite_literal":
        return None
    return field_value(file, made, name["field"].name)


def _loaded(call: Node) -> bytes | None:
    """Return the name of the atomic that a call loads."""
    call = bare(call)
    match = _LOAD.search(call["function"].text) if call.kind == "call_expression" else None
    if match is None:
        return None
    given = call["arguments"].children
    return match[1] or (_last_name(given[0]) if given else None)


def _last_name(address: Node) -> bytes:
    return re.split(rb"[.&]", address.text)[-1]
