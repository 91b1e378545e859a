"""Steps that an endless loop calls again and again, whose select has a default that does nothing.

    for {                                       func (r *reader) step() (end bool) {
        if r.step() {                               select {
            return                                  case m := <-r.in:
        }                                               r.use(m)
    }                                               case <-r.quit:
                                                        return true
                                                    default:
                                                    }
                                                    return false
                                                }

The loop and its select stand in two functions, and spin as if they stood in one. So they do
where the default itself returns what keeps the loop going, as in `for r.step() { }`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import uses_of
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.stops import endless
from threadmend.golang.syntax import FUNCTIONS, Declaration, Node

from ._all_calls import each_call

__all__ = ["idle_steps"]

_DEFAULT = re.compile(rb"\bdefault:")
_INSIDE = ("block", "select_statement", "default_case", "default")
_LEAVES = frozenset({"return_statement", "break_statement", "goto_statement"})
_ACTS = frozenset({"call_expression", "send_statement", "unary_expression", "go_statement"})
_CHANGES = frozenset({"write", "update", "address", "store"})


def idle_steps(file: GoFile) -> Iterator[tuple[Node, Node]]:
    """Yield the defaults that do nothing, each with a loop that spins by calling it.

    Only where every call stands in such a loop: nobody else may want to go on at once.
    """
    for select in file.find("select_statement", _DEFAULT, _may_be_step):
        function = select.function
        default = next((c for c in select.children if c.kind == "default_case"), None)
        if function is None or default is None:
            continue
        if select.parent is not function.get("body") or len(select.children) < 2:
            continue
        result = _idle_result(file, function, select, default)
        first = _spun_by_all(file, function, result) if result is not None else None
        if first is not None:
            yield default, first


def _spun_by_all(file: GoFile, function: Node, result: str) -> Node | None:
    """Return the first of the loops that spin by calling a function; None if a call does not."""
    first = None
    for use in each_call(file, function):
        loop = _spins(use[1], result) if use is not None else None
        if loop is None:
            return None
        first = first or loop
    return first


def _may_be_step(declaration: Declaration) -> bool:
    hits = _DEFAULT.finditer(declaration.tree.data, declaration.start, declaration.end)
    around = (declaration.around(hit.start())[-5:] for hit in hits)
    return any(a[-4:] == _INSIDE and a[0] in FUNCTIONS for a in around)


def _idle_result(file: GoFile, function: Node, select: Node, default: Node) -> str | None:
    """Return what a function gives back when its select had nothing to do; "" for no result.

    None where it does something besides, or where the result cannot be told.
    """
    statements = function["body"].statements
    at = statements.index(select)
    if any(s.kind != "var_declaration" or _acts(s) for s in statements[:at]):
        return None
    after = statements[at + 1 :]
    if default.statements:
        only = default.statements[0] if len(default.statements) == 1 else None
        if only is None or only.kind != "return_statement":
            return None
        after = [only]
    declared = function.get("result")
    if declared is None:
        return None if any(s.kind != "return_statement" for s in after) else ""
    if len(after) != 1 or after[0].kind != "return_statement":
        return None
    values = after[0].children[1].children if len(after[0].children) > 1 else []
    if not values and declared.kind == "parameter_list":
        groups = declared.children
        values = [n for n in groups[0].children if n.field == "name"] if len(groups) == 1 else []
    if len(values) != 1:
        return None
    if values[0].kind in {"true", "false", "nil"}:
        return values[0].kind
    return _zero(file, values[0], select)


def _zero(file: GoFile, value: Node, select: Node) -> str | None:
    """Return the zero value of a variable that only the select's cases assign."""
    if value.kind != "identifier":
        return None
    binding = file.binding(value)
    if binding is None:
        return None
    declaration = binding.declaration
    if declaration.kind == "parameter_declaration" and binding.kind != "result":
        return None
    if declaration.get("value") is not None or declaration.kind == "short_var_declaration":
        return None
    changes = [u for u in uses_of(binding) if u.kind in _CHANGES]
    if any(not select.contains(u.node) for u in changes):
        return None
    type_ = str(file.type_of(value))
    return {"bool": "false", "error": "nil"}.get(type_)


def _acts(node: Node) -> bool:
    return any(n.kind in _ACTS for n in node.walk())


def _spins(call: Node, idle: str) -> Node | None:
    """Return the loop that does nothing but call, as long as the result is the idle one."""
    loop = innermost_loop(call)
    if loop is None or loop.function is not call.function:
        return None
    statements = loop["body"].statements
    if not statements:
        head = [c for c in loop.children if c.kind not in {"for", "block"}]
        return loop if len(head) == 1 and _tells(head[0], call) == idle else None
    if not endless(loop) or len(statements) != 1:
        return None
    only = statements[0]
    if only.kind == "expression_statement":
        return loop if only.children == [call] else None
    if only.kind != "if_statement" or only.get("alternative") is not None:
        return None
    inside = only["consequence"].statements
    if not inside or inside[-1].kind not in _LEAVES:
        return None
    given = only.get("initializer")
    if given is None:
        # The test holds for the other result, and leaves.
        told = _tells(only["condition"], call)
        return loop if told is not None and told == _OTHER.get(idle) else None
    if given.kind != "short_var_declaration" or given["right"].children != [call]:
        return None
    left_by = {"nil": "{} != nil", "true": "!{}", "false": "{}"}.get(idle)
    expected = left_by.format(given["left"].name) if left_by else None
    return loop if only["condition"].name == expected else None


_OTHER = {"true": "false", "false": "true"}


def _tells(condition: Node, call: Node) -> str | None:
    """Return the result for which a condition, the call or its opposite, holds."""
    if condition is call:
        return "true"
    if condition.kind == "unary_expression" and condition["operator"].kind == "!":
        return "false" if condition["operand"] is call else None
    if condition.kind == "binary_expression" and condition["left"] is call:
        return "nil" if condition.name == f"{call.name} == nil" else None
    return None
