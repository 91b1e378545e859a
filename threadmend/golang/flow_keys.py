"""The conditions of one function as keys: what each reads and what changes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from threadmend.golang.flow_graph import Point
from threadmend.golang.flow_names import Names, declared_and_assigned
from threadmend.golang.scope import resolve_local
from threadmend.golang.syntax import Node

__all__ = ["Condition", "Keys", "bits_of"]

_LITERALS = frozenset(
    {
        "int_literal",
        "float_literal",
        "rune_literal",
        "interpreted_string_literal",
        "raw_string_literal",
        "true",
        "false",
        "nil",
    }
)
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)\Z")
_NOT_NIL = frozenset({"func_literal", "composite_literal"})
_NOT_NIL_CALLS = frozenset({b"errors.New", b"fmt.Errorf", b"make", b"new"})
_NIL_TYPES = frozenset(
    {"pointer_type", "map_type", "slice_type", "channel_type", "function_type", "interface_type"}
)
_ZERO = {b"bool": "false", b"string": '""', b"error": "nil", b"int": "0"}
_MAX_KEYS = 60
_MAX_DEPTH = 30


class Condition(NamedTuple):
    """A test: a key (`bit`, -1 for none), an `&&` of two tests, or a constant; negated or not."""

    bit: int
    positive: bool
    left: Condition | None = None
    right: Condition | None = None
    constant: bool | None = None


def bits_of(condition: Condition) -> int:
    """Return the keys that a condition tests, one bit each."""
    bits = 0 if condition.bit < 0 else 1 << condition.bit
    if condition.left is not None:
        bits |= bits_of(condition.left)
    if condition.right is not None:
        bits |= bits_of(condition.right)
    return bits


class _Reads(NamedTuple):
    """What an expression's value depends on: local variables, fields; `shared`: others'."""

    locals: set[str]
    fields: set[bytes]
    shared: list[bool]


class Keys:
    """The keys of a function's tests; `effects` maps a point to (killed, gained) bits.

    `gained` has the true bits and, shifted by `count`, the false bits. `exclusive` maps a
    key to those that are false when it is true, `shared` has the keys that others can change.
    """

    def __init__(self, function: Node, points: list[Point]) -> None:
        self.effects: dict[Point, tuple[int, int]] = {}
        self.exclusive: dict[int, int] = {}
        self.shared = 0
        self._points = points
        self._names = Names(function, points)
        self._bits: dict[str, int] = {}
        self._local: dict[str, int] = {}
        self._field: dict[bytes, int] = {}
        # What is compared, and with which constants: {"mode@12": {"1": bit}}; "" is truth.
        self._compared: dict[str, dict[str, int]] = {}

    @property
    def count(self) -> int:
        """Return the number of keys."""
        return len(self._bits)

    # --- conditions ---

    def condition(self, node: Node) -> Condition | None:
        """Return the condition that a test point's node stands for, None if no key is in it."""
        if node.kind != "expression_list":
            return self._condition(node, True, 0)
        parent = node.parent
        switch = parent.parent if parent is not None else None
        tag = switch.get("value") if switch is not None else None
        cases = [
            self._condition(value, False, 0) if tag is None else self._equality(tag, value, False)
            for value in node.children
        ]
        # One of several values: not (not a and not b).
        whole = cases[0] if cases else None
        for case in cases[1:]:
            if whole is None or case is None:
                return None
            whole = Condition(-1, True, whole, case)
        if whole is None:
            return None
        constant = None if whole.constant is None else not whole.constant
        return whole._replace(positive=not whole.positive, constant=constant)

    def _condition(self, node: Node, positive: bool, depth: int) -> Condition | None:
        if depth > _MAX_DEPTH:
            return None
        kind = node.kind
        if kind == "parenthesized_expression" and node.children:
            return self._condition(node.children[0], positive, depth + 1)
        if kind in {"true", "false"}:
            return Condition(-1, True, constant=(kind == "true") == positive)
        if kind == "unary_expression" and node.children[0].kind == "!":
            return self._condition(node["operand"], not positive, depth + 1)
        if kind != "binary_expression":
            return self._truth(node, positive)
        left, operator, right = node["left"], node["operator"].kind, node["right"]
        if operator in {"&&", "||"}:
            both = operator == "&&"
            first = self._condition(left, both, depth + 1)
            second = self._condition(right, both, depth + 1)
            nothing = Condition(-1, True)
            if first is None and second is None:
                return None
            return Condition(
                self._key_of(node), positive == both, first or nothing, second or nothing
            )
        if operator in {"==", "!="}:
            return self._equality(left, right, positive == (operator == "=="))
        if operator in {"<", "<=", ">", ">="}:
            return self._order(left, operator, right, positive)
        return None

    def _truth(self, node: Node, positive: bool) -> Condition | None:
        bit = self._key_of(node)
        return None if bit < 0 else Condition(bit, positive)

    def _equality(self, left: Node, right: Node, positive: bool) -> Condition | None:
        if left.kind in _LITERALS:
            left, right = right, left
        if right.kind in {"true", "false"}:
            return self._condition(left, positive == (right.kind == "true"), 1)
        reads = _Reads(set(), set(), [])
        first, second = self._render(left, reads), self._render(right, reads)
        if first is None or second is None:
            return None
        constant = right.kind in _LITERALS or _DECIMAL.match(second) is not None
        if not constant and second < first:
            first, second = second, first
        bit = self._register(f"{first} == {second}", reads)
        if constant and bit >= 0:
            others = self._compared.setdefault(first, {})
            for other, known in others.items():
                if other != second and _differ(other, second):
                    self.exclusive[bit] = self.exclusive.get(bit, 0) | 1 << known
                    self.exclusive[known] = self.exclusive.get(known, 0) | 1 << bit
            others[second] = bit
        return None if bit < 0 else Condition(bit, positive)

    def _order(self, left: Node, operator: str, right: Node, positive: bool) -> Condition | None:
        if operator in {">", "<="}:  # a > b is b < a, a <= b is not b < a
            left, right = right, left
        if operator in {"<=", ">="}:
            positive = not positive
        reads = _Reads(set(), set(), [])
        first, second = self._render(left, reads), self._render(right, reads)
        if first is None or second is None:
            return None
        # A length is never negative: 0 < len(x) is not len(x) == 0, and so is len(x) < 1.
        if first == "0" and second.startswith("len("):
            bit, positive = self._register(f"{second} == 0", reads), not positive
        elif second == "1" and first.startswith("len("):
            bit = self._register(f"{first} == 0", reads)
        else:
            bit = self._register(f"{first} < {second}", reads)
        return None if bit < 0 else Condition(bit, positive)

    def _key_of(self, node: Node) -> int:
        reads = _Reads(set(), set(), [])
        text = self._render(node, reads)
        if text is None:
            return -1
        bit = self._register(text, reads)
        if node.kind in {"identifier", "selector_expression"} and bit >= 0:
            self._compared.setdefault(text, {})["true"] = bit
        return bit

    def _register(self, text: str, reads: _Reads) -> int:
        bit = self._bits.get(text)
        if bit is None:
            bit = len(self._bits)
            if bit >= _MAX_KEYS or not (reads.locals or reads.shared):
                return -1
            self._bits[text] = bit
            for name in reads.locals:
                self._local[name] = self._local.get(name, 0) | 1 << bit
            for field in reads.fields:
                self._field[field] = self._field.get(field, 0) | 1 << bit
            if reads.shared:
                self.shared |= 1 << bit
        return bit

    def _render(self, node: Node, reads: _Reads, depth: int = 0) -> str | None:
        """Return an expression in one spelling, None where its value is not stable."""
        kind = node.kind
        if kind == "identifier":
            name = self._names.resolve(node)
            if name.endswith("@"):
                reads.shared.append(True)
            reads.locals.add(name)
            return name
        if kind in _LITERALS:
            return node.name
        if depth > _MAX_DEPTH:
            return None
        if kind == "selector_expression":
            operand = self._render(node["operand"], reads, depth + 1)
            reads.shared.append(True)
            reads.fields.add(node["field"].text)
            return None if operand is None else f"{operand}.{node['field'].name}"
        if kind == "parenthesized_expression" and node.children:
            return self._render(node.children[0], reads, depth + 1)
        if kind == "call_expression" and node["function"].text not in {b"len", b"cap"}:
            return None
        if kind not in _COMPOSED:
            return None
        parts = []
        for child in node.children:
            if child.kind == "<-":
                return None
            if kind == "index_expression" or (child.kind == "*" and child.field == "operator"):
                reads.shared.append(True)
            if child.children or child.kind in _LITERALS or child.kind == "identifier":
                part = self._render(child, reads, depth + 1)
                if part is None:
                    return None
                parts.append(part)
            else:
                parts.append(child.kind)
        if kind == "call_expression":
            return f"{node['function'].name}({parts[-1]})"
        return parts[0] if kind == "argument_list" and len(parts) == 1 else f"({' '.join(parts)})"

    # --- assignments ---

    def read_assignments(self) -> None:
        """Find what every point does to the keys by assigning what they read."""
        for point in self._points:
            killed = gained = 0
            for target, value in _assignments(point.node):
                killed |= self._killed(target)
                gained |= self._gained(target, value)
            if killed or gained:
                self.effects[point] = (killed, gained)

    def read_changes_elsewhere(self) -> bool:
        """Find the keys that a literal or a pointer may change; returns whether there are any.

        They are unknown again after every point at which other code may run.
        """
        volatile = 0
        for name in self._names.changed_elsewhere(self._local):
            volatile |= self._local[name]
        if not volatile:
            return False
        for point in self._points:
            if _may_run_others(point.node):
                killed, gained = self.effects.get(point, (0, 0))
                self.effects[point] = (killed | volatile, gained)
        return True

    def _killed(self, target: Node) -> int:
        node = target
        while True:
            if node.kind == "identifier":
                return self._local.get(self._names.resolve_target(node), 0)
            if node.kind == "selector_expression":
                return self._field.get(node["field"].text, 0)
            if not node.children:
                return 0
            # *p, (x), x[i]: what is behind them
            node = node.get("operand") or node.children[0]

    def _gained(self, target: Node, value: str | bytes | None) -> int:
        if value is None or not self._compared:
            return 0
        if target.kind == "identifier":
            subject: str | None = self._names.resolve_target(target)
        else:
            subject = self._render(target, _Reads(set(), set(), []))
        gained = 0
        for constant, bit in self._compared.get(subject or "", {}).items():
            if isinstance(value, bytes):  # a value that is surely not nil
                held = False if constant == "nil" else None
            elif constant == value:
                held = True
            else:
                held = False if _differ(constant, value) else None
            if held is not None:
                gained |= 1 << (bit if held else bit + self.count)
        return gained


_COMPOSED = frozenset(
    {"binary_expression", "unary_expression", "call_expression", "argument_list"}
    | {"index_expression"}
)


def _differ(a: str, b: str) -> bool:
    """Return whether two constants of one type are surely different."""
    if a == b:
        return False
    if _DECIMAL.match(a) and _DECIMAL.match(b):
        return True
    if {a, b} == {"true", "false"}:
        return True
    return a[:1] == b[:1] == '"' and "\\" not in a + b


def _assignments(node: Node) -> Iterator[tuple[Node, str | bytes | None]]:
    """Yield what a point assigns, each with its constant; b"" for a value that is not nil."""
    for targets, values, declared in declared_and_assigned(node):
        paired = len(targets) == len(values)
        for i, target in enumerate(targets):
            if paired:
                yield target, _constant(values[i])
            elif not values and declared is not None:
                yield target, _zero(declared)
            else:
                yield target, None


def _constant(value: Node) -> str | bytes | None:
    if value.kind in _LITERALS:
        return value.name
    surely = value.kind in _NOT_NIL or _is_sentinel(value)
    if value.kind == "call_expression":
        surely = value.children[0].text in _NOT_NIL_CALLS or _says_why(value)
    elif value.kind == "unary_expression":
        surely = value.children[0].kind == "&"
    return b"" if surely else None


_SENTINEL = re.compile(rb"[Ee]rr[A-Z]\w*|EOF|Canceled|DeadlineExceeded")


def _is_sentinel(value: Node) -> bool:
    """Return whether a value is a package's variable for one error: `ErrTimeout`, `io.EOF`."""
    if value.kind == "identifier":
        return _SENTINEL.fullmatch(value.text) is not None and resolve_local(value) is None
    if value.kind != "selector_expression" or value["operand"].kind != "identifier":
        return False
    sentinel = _SENTINEL.fullmatch(value["field"].text)
    return sentinel is not None and resolve_local(value["operand"]) is None


def _says_why(call: Node) -> bool:
    """Return whether a call is `ctx.Err()` in `case <-ctx.Done():`."""
    case, function = call.up("communication_case"), call["function"]
    if case is None or function.kind != "selector_expression" or function["field"].text != b"Err":
        return False
    return case["communication"].text == b"<-" + function["operand"].text + b".Done()"


def _zero(declared: Node) -> str | None:
    return "nil" if declared.kind in _NIL_TYPES else _ZERO.get(declared.text)


def _may_run_others(node: Node) -> bool:
    """Return whether code that is not in sight may run at a point (roughly: too often)."""
    text = node.text
    return b"(" in text or b"<-" in text or b"*" in text
