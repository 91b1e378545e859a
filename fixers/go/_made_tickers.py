"""Calls that make a ticker or timer for who calls, also by a helper that only returns one.

func (m *monitor) pulse() *time.Ticker { return time.NewTicker(m.every) }
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import uses_of
from threadmend.golang.channels import initialised
from threadmend.golang.file import GoFile
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node

from ._tickers import is_time_call

__all__ = ["made_tickers"]

_RESULTS = {b"*time.Ticker": "ticker", b"*time.Timer": "timer"}
_MAKES = {"NewTicker": "ticker", "NewTimer": "timer"}
_CHANNEL = re.compile(rb"\w\.C\b")
_DEPTH = 2


def made_tickers(file: GoFile) -> Iterator[tuple[Node, str, Binding | None]]:
    """Yield the calls of package time, and of helpers whose result a variable is declared with.

    With what they make, a ticker or a timer, and the variable.
    """
    for made in file.calls(*_MAKES):
        if is_time_call(file, made):
            yield made, _MAKES[made["function"]["field"].name], initialised(file, made)
    seen = set()
    for selector in file.find("selector_expression", _CHANNEL):
        if selector["field"].name != "C" or selector["operand"].kind != "identifier":
            continue
        binding = file.binding(selector["operand"])
        call = binding.values[0] if binding is not None and len(binding.values) == 1 else None
        if binding is None or call is None or call in seen or call.kind != "call_expression":
            continue
        seen.add(call)
        kind = _kind(file.callee(call), _DEPTH) if initialised(file, call) is binding else None
        if kind is not None:
            yield call, kind, binding


def _kind(decl: Decl | None, depth: int) -> str | None:
    """Return what a function makes anew for each call, and hands to nobody but the caller."""
    if decl is None or decl.kind not in {"func", "method"} or not decl.sound or not decl.has_body:
        return None
    result = decl.node.get("result")
    kind = _RESULTS.get(result.text) if result is not None else None
    returns = [n for n in decl.node.own() if n.kind == "return_statement"]
    if (
        kind is None
        or not returns
        or not all(_is_fresh(decl.file, r, kind, depth) for r in returns)
    ):
        return None
    return kind


def _is_fresh(file: GoFile, statement: Node, kind: str, depth: int) -> bool:
    """Return whether what a return hands out was made for it."""
    values = statement.children[1].children if len(statement.children) > 1 else []
    value = values[0] if len(values) == 1 else None
    if value is not None and value.kind == "identifier":
        binding = file.binding(value)
        made = binding.values if binding is not None else []
        if binding is None or len(made) != 1 or initialised(file, made[0]) is not binding:
            return False
        if not all(
            u.kind == "declare" or u.node is value or _is_set(u.node) for u in uses_of(binding)
        ):
            return False
        value = made[0]
    if value is None or value.kind != "call_expression":
        return False
    if is_time_call(file, value):
        return _MAKES.get(value["function"]["field"].name) == kind
    return depth > 0 and _kind(file.callee(value), depth - 1) == kind


def _is_set(use: Node) -> bool:
    """Return whether a use of a ticker is `t.Reset(d)`."""
    selector = use.parent
    if selector is None or selector.kind != "selector_expression":
        return False
    return selector["field"].name == "Reset" and selector.field == "function"
