"""How one statement is put under a lock: what is done before it, under it, and after."""

from __future__ import annotations

import re
from dataclasses import dataclass

from threadmend.golang.builders import BuilderError
from threadmend.golang.builders.blocks import place
from threadmend.golang.builders.regions import Region
from threadmend.golang.captured import CapturedAccess
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map, Named, is_named
from threadmend.model import Edit

from ._racy import Race

_SIMPLE = frozenset(
    {
        *("expression_statement", "assignment_statement", "inc_statement", "dec_statement"),
        *("short_var_declaration", "var_declaration", "defer_statement", "go_statement"),
    }
)
_JUMPS = frozenset(
    {
        *("return_statement", "break_statement", "continue_statement", "goto_statement"),
        *("fallthrough_statement", "labeled_statement", "select_statement", "send_statement"),
        *("go_statement", "defer_statement", "func_literal"),
    }
)
_QUICK_PACKAGES = frozenset(
    {
        *("fmt", "errors", "strings", "strconv", "time", "math", "sort", "slices", "maps"),
        *("bytes", "unicode", "path", "path/filepath", "log", "cmp", "go.uber.org/multierr"),
        *("github.com/stretchr/testify/assert", "github.com/hashicorp/go-multierror"),
        "github.com/pkg/errors",
    }
)
_QUICK_METHODS = frozenset({"Error", "Err", "String", "Len", "Name", "ID", "Key"})
# These end the goroutine, and a lock that it holds then is never released.
_ENDS = re.compile(r"Fatal|FailNow|Skip|Panic|Exit")
_TESTS = ("testing.T", "testing.B", "testing.F", "testing.TB", "testing.common")


@dataclass(slots=True)
class Guarded:
    """The edits of one statement and the code around it.

    `plain`: it is only surrounded, so that it may share a critical section with the next.
    """

    edits: list[Edit]
    regions: list[Region]
    reason: str = ""
    plain: bool = False


def guarded(race: Race, lock: str, statement: Node, accesses: list[CapturedAccess]) -> Guarded:
    """Return how a statement makes its accesses under a lock; raises BuilderError if it cannot."""
    kind = statement.kind
    if kind == "labeled_statement":
        raise BuilderError(f"{race.name} is used in a labelled statement")
    if kind in _SIMPLE:
        return _simple(race, lock, statement, accesses)
    if kind == "return_statement":
        return _return(race, lock, statement, accesses)
    if kind == "send_statement":
        return _snapshot(race, lock, statement, accesses)
    if kind in {"if_statement", "for_statement", "expression_switch_statement"}:
        return _compound(race, lock, statement, accesses)
    raise BuilderError(f"{race.name} is used in the header of a {kind.split('_')[0]}")


def is_brief(race: Race, statement: Node) -> bool:
    """Return whether a compound statement can be under a lock: it ends soon, where it began."""
    for node in statement.walk():
        if node.kind in _JUMPS or _is_slow(race, node):
            return False
    if statement.kind == "for_statement":
        return any(c.kind == "range_clause" for c in statement.children)
    return True


_AGAIN = frozenset({"for_statement", "select_statement", "func_literal", "go_statement"})


def reads_once(race: Race, statement: Node) -> bool:
    """Return whether an `if` only looks at the variable, so that one look does for all of it."""
    if statement.kind != "if_statement" or statement.get("initializer") is not None:
        return False
    type_ = race.file.underlying(race.type)
    if str(race.type) != "error" and not (isinstance(type_, Named) and not type_.package):
        return False
    inside = race.inside(statement)
    if any(a.kind != "read" or a.steps for a in inside):
        return False
    around = (n for a in inside for n in a.node.ancestors() if statement.contains(n))
    looks = any(statement["condition"].contains(a.node) for a in inside)
    return looks and not any(n.kind in _AGAIN or n.kind == "defer_statement" for n in around)


# -- what takes long ------------------------------------------------------------------


def _is_slow(race: Race, node: Node) -> bool:
    """Return whether an expression may wait or work for long."""
    if node.kind == "unary_expression":
        return node["operator"].kind == "<-"
    if node.kind != "call_expression":
        return False
    function = node["function"]
    while function.kind == "parenthesized_expression":
        function = function.children[0]
    if function.kind == "identifier":
        meant = race.file.resolve(function)
        return meant is not None and getattr(meant, "kind", "") != "type"
    if function.kind == "selector_expression":
        operand = function["operand"]
        if operand.kind == "identifier" and race.file.binding(operand) is None:
            path = race.file.imported(operand.name)
            if path is not None:
                name = function["field"].name
                sleeps = path == "time" and name == "Sleep"
                return path not in _QUICK_PACKAGES or sleeps or bool(_ENDS.match(name))
        if race.file.binding(operand) is race.binding:
            return False
        if is_named(race.file.type_of(operand), *_TESTS):
            return bool(_ENDS.match(function["field"].name))
        quick = function["field"].name in _QUICK_METHODS
        return not (quick and not node["arguments"].children)
    return function.kind not in {"array_type", "slice_type", "map_type", "pointer_type"}


def _slow(race: Race, root: Node) -> list[Node]:
    """Return the outermost slow expressions below a node, in source order."""
    found: list[Node] = []
    for node in root.own():
        if _is_slow(race, node) and not any(f.contains(node) for f in found):
            found.append(node)
    return found


# -- simple statements ----------------------------------------------------------------


def _simple(race: Race, lock: str, statement: Node, accesses: list[CapturedAccess]) -> Guarded:
    literals = [n for n in statement.own() if n.kind == "func_literal"]
    if any(x.contains(a.node) for x in literals for a in race.racing):
        raise BuilderError(f"the statement that uses {race.name} holds a function that does too")
    assigned = statement.kind == "assignment_statement" and any(
        a.writes and statement["left"].contains(a.node) for a in accesses
    )
    if assigned:
        return _assignment(race, lock, statement, accesses)
    slow = _slow(race, statement)
    if statement.kind == "short_var_declaration" and any(a.writes for a in accesses):
        return _redeclared(race, lock, statement, accesses)
    if statement.kind in {"go_statement", "defer_statement"}:
        slow = [s for s in slow if s.parent is not statement]
    if not slow:
        return _plain(lock, statement)
    if all(a.kind == "read" for a in accesses):
        return _snapshot(race, lock, statement, accesses)
    return _hoisted(race, lock, statement, slow)


def _plain(lock: str, statement: Node) -> Guarded:
    return Guarded(
        [], [Region(statement, statement, f"{lock}.Lock()", f"{lock}.Unlock()")], "", True
    )


def _assignment(race: Race, lock: str, statement: Node, accesses: list[CapturedAccess]) -> Guarded:
    """Compute what takes long first, then assign under the lock; an error is kept if first."""
    left, right = statement["left"].children, statement["right"].children
    slow = _slow(race, statement)
    busy = [s for s in slow if any(s.contains(a.node) for a in race.accesses)]
    reason = "a call runs under the lock" if busy else ""
    first = _keeps_first(race, statement, accesses)
    if len(left) > 1 and len(right) == 1 and slow and not busy:
        return _unpacked(race, lock, statement, first)
    edits: list[Edit] = []
    before: list[str] = []
    texts = {}
    for node in slow:
        if node in busy:
            continue
        name = race.names.free(_name_for(race, node, statement))
        before.append(f"{name} := {node.name}")
        edits.append(Edit(node.path, node.start, node.end, name.encode()))
        texts[node] = name
    if first and len(left) == 1:
        value = texts.get(right[0], right[0].name)
        code = f"if {race.name} == nil {{\n\t{race.name} = {value}\n}}"
        if any(n in texts for n in right[0].walk() if n is not right[0]):
            raise BuilderError("the assigned error is computed in several steps")
        edits = [_indented(statement, code)]
    region = Region(
        statement, statement, "\n".join([*before, f"{lock}.Lock()"]), f"{lock}.Unlock()"
    )
    return Guarded(edits, [region], reason, not before)


def _keeps_first(race: Race, statement: Node, accesses: list[CapturedAccess]) -> bool:
    """Return whether an error is assigned by several goroutines and looked at in the end."""
    if str(race.type) != "error" or statement["operator"].kind != "=":
        return False
    if not any(a.whole for a in accesses) or any(a.kind == "read" for a in accesses):
        return False
    if any(n.text == b"nil" for n in statement["right"].children):
        return False
    for ancestor in statement.ancestors():
        condition = ancestor.get("condition") if ancestor.kind == "if_statement" else None
        if condition is not None and any(condition.contains(a.node) for a in race.accesses):
            return False
    several = any(a is b for a, b in race.pairs) or sum(1 for a in race.accesses if a.writes) > 1
    return several and (race.shown or any(a.places is not None and a.inside for a in accesses))


def _unpacked(race: Race, lock: str, statement: Node, first: bool) -> Guarded:
    """Rewrite `a, err = f()`: the results get names of their own, then they are assigned."""
    names, lines = [], []
    for node in statement["left"].children:
        if node.text == b"_":
            names.append("_")
            continue
        name = race.names.free(node.name if node.kind == "identifier" else "value")
        names.append(name)
        own = node.kind == "identifier" and race.file.binding(node) is race.binding
        if first and own:
            lines.append(f"if {node.name} == nil {{\n\t{node.name} = {name}\n}}")
        else:
            lines.append(f"{node.name} = {name}")
    if not first:
        targets = [n.name for n in statement["left"].children]
        kept = [(t, n) for t, n in zip(targets, names, strict=True) if n != "_"]
        lines = [f"{', '.join(t for t, _ in kept)} = {', '.join(n for _, n in kept)}"]
    value = statement["right"].children[0]
    before = f"{', '.join(names)} := {value.name}\n{lock}.Lock()"
    edit = _indented(statement, "\n".join(lines))
    return Guarded([edit], [Region(statement, statement, before, f"{lock}.Unlock()")])


def _redeclared(race: Race, lock: str, statement: Node, accesses: list[CapturedAccess]) -> Guarded:
    """Rewrite `v, err := f()`, which declares v alone: `v, err2 := f()`, then `err = err2`."""
    if any(not a.whole for a in accesses) or any(
        statement["right"].contains(a.node) for a in race.racing
    ):
        raise BuilderError(f"{race.name} is read where it is assigned")
    name = race.names.free(race.name)
    edits = [Edit(a.node.path, a.node.start, a.node.end, name.encode()) for a in accesses]
    after = f"{lock}.Lock()\n{race.name} = {name}\n{lock}.Unlock()"
    return Guarded(edits, [Region(statement, statement, "", after)])


def _indented(statement: Node, code: str) -> Edit:
    indent = place(statement)[0].inner.decode()
    text = code.replace("\n", statement.tree.source.newline.decode() + indent)
    return Edit(statement.path, statement.start, statement.end, text.encode())


def _name_for(race: Race, node: Node, statement: Node) -> str:
    if str(race.type) == "error":
        return race.name
    if node.field == "index":
        return "key"
    return "value"


def _hoisted(race: Race, lock: str, statement: Node, slow: list[Node]) -> Guarded:
    """Compute the slow arguments of a call before the lock is taken."""
    edits: list[Edit] = []
    before: list[str] = []
    reason = ""
    for node in slow:
        if any(node.contains(a.node) for a in race.accesses) or node.field == "function":
            reason = "a call runs under the lock"
            continue
        name = race.names.free("value")
        before.append(f"{name} := {node.name}")
        edits.append(Edit(node.path, node.start, node.end, name.encode()))
    opening = "\n".join([*before, f"{lock}.Lock()"])
    return Guarded(edits, [Region(statement, statement, opening, f"{lock}.Unlock()")], reason)


# -- reads ----------------------------------------------------------------------------


def _return(race: Race, lock: str, statement: Node, accesses: list[CapturedAccess]) -> Guarded:
    if not _slow(race, statement) and not any(n.kind == "func_literal" for n in statement.own()):
        region = Region(statement, statement, f"{lock}.Lock()\ndefer {lock}.Unlock()")
        return Guarded([], [region])
    return _snapshot(race, lock, statement, accesses)


def _value(race: Race, access: CapturedAccess) -> Node:
    """Return the expression around an access that has to be evaluated under the lock."""
    node = access.node
    while node.parent is not None:
        outer = node.parent
        if outer.kind == "selector_expression" and node.field == "operand":
            if outer.parent is not None and outer.field == "function":
                call = outer.parent
                if access.steps[-1:] == ("[]",) and not call["arguments"].children:
                    return call
                return node
            node = outer
        elif outer.kind == "index_expression" and node.field == "operand":
            node = outer
        elif outer.kind == "argument_list" and outer.parent is not None:
            function = outer.parent["function"]
            quick = function.text in {b"len", b"cap", b"string"} and len(outer.children) == 1
            return outer.parent if quick else node
        else:
            break
    return node


def _snapshot(
    race: Race,
    lock: str,
    statement: Node,
    accesses: list[CapturedAccess],
    reason: str = "",
) -> Guarded:
    """Read what is needed under the lock, into a variable that the statement uses instead."""
    lines: list[str] = []
    edits: list[Edit] = []
    known: dict[str, str] = {}
    for access in accesses:
        if access.kind != "read":
            raise BuilderError(f"{race.name} is written in the header of a statement")
        value = _value(race, access)
        text = value.name
        whole_map = value is access.node and isinstance(race.file.underlying(race.type), Map)
        if whole_map or _slow(race, value):
            raise BuilderError(f"{race.name} is used by more than one statement can lock")
        if text not in known:
            base = race.name if str(race.type) == "error" and text == race.name else "current"
            known[text] = race.names.free(base)
            lines.append(f"{known[text]} := {text}")
        edits.append(Edit(value.path, value.start, value.end, known[text].encode()))
    code = "\n".join([f"{lock}.Lock()", *lines, f"{lock}.Unlock()"])
    return Guarded(edits, [Region(statement, statement, code)], reason)


# -- compound statements --------------------------------------------------------------


def _compound(race: Race, lock: str, statement: Node, accesses: list[CapturedAccess]) -> Guarded:
    if is_brief(race, statement):
        return _plain(lock, statement)
    if reads_once(race, statement):
        return _snapshot(race, lock, statement, accesses)
    writes = any(a.writes and statement.contains(a.node) for a in race.racing)
    reason = f"{race.name} may change between its test and its write" if writes else ""
    if statement.kind == "if_statement":
        initializer = statement.get("initializer")
        if initializer is not None and any(initializer.contains(a.node) for a in accesses):
            return _initializer(race, lock, statement, initializer, accesses, reason)
        header = statement["condition"]
    elif statement.kind == "expression_switch_statement":
        header = statement.get("value") or statement
    else:
        clause = next((c for c in statement.children if c.kind == "range_clause"), None)
        header = clause["right"] if clause is not None else statement
        if clause is None:
            raise BuilderError(f"the loop's condition uses {race.name}")
    if header is statement or not all(header.contains(a.node) for a in accesses):
        raise BuilderError(f"{race.name} is used in the header of a statement")
    initial = statement.get("initializer")
    if initial is not None:
        raise BuilderError(f"{race.name} is used after the initialiser of a statement")
    return _snapshot(race, lock, statement, accesses, reason)


def _initializer(
    race: Race,
    lock: str,
    statement: Node,
    initializer: Node,
    accesses: list[CapturedAccess],
    reason: str,
) -> Guarded:
    """Move `v, ok := m[k]` out of the header of an `if`, under the lock."""
    if not all(initializer.contains(a.node) and a.kind == "read" for a in accesses):
        raise BuilderError(f"{race.name} is assigned in the header of a statement")
    if initializer.kind != "short_var_declaration" or _slow(race, initializer):
        raise BuilderError(f"{race.name} is used in the header of a statement")
    function = statement.function
    edits: list[Edit] = []
    names = []
    for node in initializer["left"].children:
        outside = [
            n
            for n in (function.find("identifier") if function is not None else ())
            if n.text == node.text and not statement.contains(n)
        ]
        if node.text != b"_" and outside:
            fresh = race.names.free(node.name)
            binding = race.file.binding(node)
            uses = binding.uses if binding is not None else []
            renamed = (Edit(u.path, u.start, u.end, fresh.encode()) for u in uses)
            edits += (e for e in renamed if e.start != node.start)
            names.append(fresh)
        else:
            names.append(node.name)
    code = f"{lock}.Lock()\n{', '.join(names)} := {initializer['right'].name}\n{lock}.Unlock()"
    start = initializer.start
    edits.append(Edit(statement.path, start, statement["condition"].start, b""))
    return Guarded(edits, [Region(statement, statement, code)], reason)
