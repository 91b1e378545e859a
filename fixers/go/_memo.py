"""A cache that is filled: who comes second stores what is there already, and nobody can tell.

c.mu.RLock()
dots, ok := c.ready[name]
c.mu.RUnlock()
if !ok {
    dots = project(c.sky[name])      // of the key alone, and of what nobody changes
    c.mu.Lock()
    c.ready[name] = dots
    c.misses++                       // the second one missed, too
    c.mu.Unlock()
}
"""

from __future__ import annotations

import re

from threadmend.golang.access import is_assigned_once, uses_of
from threadmend.golang.decisions import Decision
from threadmend.golang.field_accesses import accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.infer import is_decl
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Array, Named, Slice, Struct

from ._quick import is_slow, only_computes

__all__ = ["is_asked_again", "is_memo"]

_ADDS = frozenset({"inc_statement", "dec_statement"})
_ASSIGNS = frozenset({"assignment_statement", "short_var_declaration", "var_spec"})
_LOOKS = frozenset({"short_var_declaration", "assignment_statement"})
_CHANGING = frozenset({"time", "sync/atomic"})


def is_memo(decision: Decision) -> bool:
    """Return whether the write stores under the key what the key alone determines.

    A plain value, which is as good as its copy, and nothing else is done about it: whoever
    finds the key missing at the same time stores the same.
    """
    file, store = decision.read.file, decision.write.node.statement
    looked, stored = decision.read.node.parent, decision.write.node.parent
    look = decision.read.node.statement
    if store is None or look is None or looked is None or stored is None:
        return False
    if looked.kind != "index_expression" or looked.text != stored.text:
        return False
    if store.kind != "assignment_statement" or look.kind not in _LOOKS:
        return False
    values, key = store["right"].children, file.binding(looked["index"])
    found = file.binding(look["left"].children[0])
    if store["operator"].kind != "=" or len(values) != 1 or key is None or found is None:
        return False
    if file.binding(values[0]) is not found:
        return False
    if not _is_plain(file, values[0]) or not _only_fills(decision, store):
        return False
    if is_assigned_once(key):
        derivation = _Derivation(file, key)
        if derivation.of_variable(found, since=look.end) and derivation.asks_key:
            filled = _filled_from(decision, found)
            return all(derivation.of_expression(value) for value in filled)
    return _asks_the_same(file, key, found, look.end)


def is_asked_again(decision: Decision) -> bool:
    """Return whether the second section looks up itself what it stores under the missing key.

    `b.mu.Lock(); bucket = b.tx.Bucket(name); b.buckets[id] = bucket`: whoever comes second stores
    the same, unless something is made or counted for it.
    """
    file, store = decision.read.file, decision.write.node.statement
    looked, stored = decision.read.node.parent, decision.write.node.parent
    if store is None or looked is None or stored is None or looked.text != stored.text:
        return False
    if store.kind != "assignment_statement" or looked.kind != "index_expression":
        return False
    values, section = store["right"].children, decision.second.call.end
    found = file.binding(values[0]) if len(values) == 1 else None
    if store["operator"].kind != "=" or found is None or not _ends_with(decision, store):
        return False
    made = [
        _assigned(use.node)
        for use in uses_of(found)
        if use.kind == "write" and section < use.node.start < store.start
    ]
    if not made or any(m is None or not _is_looked_up(file, m, section) for m in made):
        return False
    return not any(
        node.kind in {*_ADDS, "go_statement", "send_statement"}
        for node in decision.locks.function.own()
        if section < node.start < store.start
    )


def _ends_with(decision: Decision, store: Node) -> bool:
    """Return whether nothing is set behind a store that may be the second one."""
    inside = store.parent.statements if store.parent is not None else []
    return not any(
        s.kind in {"go_statement", "assignment_statement", *_ADDS}
        for s in inside
        if s.start > store.end
    )


def _is_looked_up(file: GoFile, value: Node, section: int) -> bool:
    """Return whether a value is asked for, and not made: `b.tx.Bucket(name)`, parts of answers."""
    calls = [n for n in value.walk() if n.kind == "call_expression"]
    if any(n.kind == "unary_expression" and n["operator"].kind == "&" for n in value.walk()):
        return False
    if calls:
        return all(_is_question(file, c) for c in calls if _names_no_type(file, c))
    names = [file.binding(n) for n in value.find("identifier")]
    answers = [b for b in names if b is not None and b.node.start > section]
    return bool(answers) and all(
        b.value is not None and b.value.kind == "call_expression" and _is_question(file, b.value)
        for b in answers
    )


def _is_question(file: GoFile, call: Node) -> bool:
    """Return whether a call is one of a method that does not sound as if it made something."""
    function = call["function"]
    if function.kind != "selector_expression" or _MAKES.search(function["field"].name):
        return False
    selection = file.selection(function)
    return selection is None or selection.kind == "method"


def _names_no_type(file: GoFile, call: Node) -> bool:
    return file.package.workspace.inference.calls.type_named_by(call["function"]) is None


_MAKES = re.compile(
    r"(?i)(?:new|make|create|next|alloc|generate|dial|open|connect|rand|start|build|add|insert|load)"
)


def _asks_the_same(file: GoFile, key: Binding, found: Binding, since: int) -> bool:
    """Return whether a value is made of parameters that the key is made of as well.

    `key := code; if old { key = -key }` … `line := strconv.Itoa(code) + text[code]`
    """
    of_key, of_value = _Derivation(file, key, given=True), _Derivation(file, key, given=True)
    if not of_key.of_variable(key) or not of_value.of_variable(found, since=since):
        return False
    return bool(of_value.asked) and of_value.asked <= of_key.asked


def _is_plain(file: GoFile, value: Node) -> bool:
    """Return whether a value is as good as its copy: a number, a text, a list of such."""
    type_ = file.underlying(file.type_of(value))
    while isinstance(type_, Slice | Array):
        type_ = file.underlying(type_.elem)
    if isinstance(type_, Named):
        return not type_.package and type_.name not in {"bool", "error", "any"}
    return isinstance(type_, Struct)


def _filled_from(decision: Decision, found: Binding) -> list[Node]:
    """Return what is copied into a value from the look to the store: `copy(value, base)`."""
    file, begin, end = decision.read.file, decision.read.node.end, decision.write.node.start
    return [
        node["arguments"].children[1]
        for node in decision.locks.function.own()
        if begin <= node.start < end and _copied_to(file, node) is found
    ]


def _copied_to(file: GoFile, node: Node) -> Binding | None:
    """Return the variable that a call of `copy` fills."""
    if node.kind != "call_expression" or node["function"].text != b"copy":
        return None
    arguments = node["arguments"].children
    if len(arguments) != 2 or file.binding(node["function"]) is not None:
        return None
    return file.binding(arguments[0]) if arguments[0].kind == "identifier" else None


def _only_fills(decision: Decision, store: Node) -> bool:
    """Return whether from the look on nothing is done but to compute, store and count."""
    operations = {o.call for o in decision.locks.operations}
    ends = [o.call.start for o in decision.locks.operations if o.call.start > store.end]
    for node in decision.locks.function.own():
        if not decision.read.node.end <= node.start < max(ends, default=store.end):
            continue
        if node.kind in {"send_statement", "go_statement", "func_literal", "select_statement"}:
            return False
        if node.kind == "expression_statement" and node.children[0] not in operations:
            if _copied_to(decision.read.file, node.children[0]) is None:
                return False
        if node.kind == "assignment_statement" and node is not store:
            if any(n.kind != "identifier" for n in node["left"].children):
                return False
    return True


class _Derivation:
    """Follows what a value is made of, back to a key and to what nobody changes."""

    def __init__(self, file: GoFile, key: Binding, *, given: bool = False) -> None:
        self.file = file
        self.key = key
        self.given = given
        self.asks_key = False
        self.asked: set[Binding] = set()
        self._seen: set[Binding] = set()

    def of_variable(self, binding: Binding, since: int = 0) -> bool:
        """Return whether all that a variable gets (behind `since`) is derived."""
        if binding in self._seen:
            return True
        self._seen.add(binding)
        if binding.kind == "range":
            clause = binding.declaration
            right = clause.get("right")
            return right is not None and self.of_expression(right)
        if binding.kind != "variable":
            return False
        values = [binding.value] if since == 0 else []
        values += [
            _assigned(use.node)
            for use in uses_of(binding)
            if use.kind in {"write", "update", "store", "address"} and use.node.start > since
        ]
        return bool(values) and all(v is not None and self.of_expression(v) for v in values)

    def of_expression(self, value: Node) -> bool:
        """Return whether an expression asks for nothing but the key and what stays the same."""
        for node in value.walk():
            if node.kind in {"func_literal", "type_assertion_expression"}:
                return False
            if node.kind == "unary_expression" and node["operator"].kind in {"<-", "&"}:
                return False
            if node.kind == "call_expression" and not self._computes(node):
                return False
            if node.kind == "selector_expression" and not self._stays(node):
                return False
            if node.kind == "identifier" and not self._known(node):
                return False
        return True

    def _computes(self, call: Node) -> bool:
        """Return whether a call gives the same whenever it is given the same."""
        function = call["function"]
        if function.kind == "selector_expression":
            operand = function["operand"]
            path = self.file.imported(operand.name) if operand.kind == "identifier" else None
            if path is None or self.file.binding(operand) is not None or path in _CHANGING:
                return False
            return not is_slow(self.file, call)
        return not is_slow(self.file, call) or only_computes(self.file, call)

    def _stays(self, selector: Node) -> bool:
        """Return whether nobody changes a field once the object is set up."""
        selection = self.file.selection(selector)
        if selection is not None and selection.kind == "package":
            if self.given and selection.decl is not None:
                return selection.decl.file.package is not self.file.package  # a table of theirs
            return selection.decl is None or not is_decl(selection.decl, "var")
        if selection is None or selection.kind != "field":
            return False
        root = self.file.binding(selector["operand"])
        if root is None or root.kind != "receiver":
            return True  # of a value that is derived itself
        like = accesses_like(self.file.package, self.file, selector)
        return all(a.fresh or a.setup or not a.writes for a in like)

    def _known(self, name: Node) -> bool:
        if name.field == "field":
            return True
        meant = self.file.resolve(name)
        if not isinstance(meant, Binding):
            return not is_decl(meant, "var")
        if self.given and meant.kind == "parameter":
            self.asked.add(meant)
            return is_assigned_once(meant)
        if meant is self.key and not self.given:
            self.asks_key = True
            return True
        if meant.kind == "receiver":
            return name.parent is not None and name.parent.kind == "selector_expression"
        return not meant.is_variable or self.of_variable(meant)


def _assigned(name: Node) -> Node | None:
    """Return the values of the assignment to a variable."""
    statement = name.up(*_ASSIGNS, *_ADDS)
    return statement.get("right") if statement is not None else None
