"""A refusal that is decided before a long call, and is out of date behind it.

m.mu.Lock()                           m.mu.Lock()
holder := m.holders[seat]             holder := m.holders[seat]
m.mu.Unlock()                         m.mu.Unlock()
if holder != "" {                     if holder != "" {
    return ErrTaken                       return ErrTaken
}                                     }
price := m.quote(seat)         →      price := m.quote(seat)
m.mu.Lock()                           m.mu.Lock()
defer m.mu.Unlock()                   defer m.mu.Unlock()
m.holders[seat] = buyer               if m.holders[seat] != "" {
                                          return ErrTaken
                                      }
                                      m.holders[seat] = buyer

Where two callers fill a cache the second does no harm. Where what is there already is an error,
the second one must not get past.
"""

from __future__ import annotations

import re

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import BuilderError, insert_before, with_reason
from threadmend.golang.decisions import Decision
from threadmend.golang.file import GoFile
from threadmend.golang.lock_calls import is_helped, spelled
from threadmend.golang.locks import LockOperation
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map, is_named
from threadmend.model import Confidence, Finding, Fix, Related, Safety

from ._store_helpers import has_close

__all__ = ["refused_again", "refuses"]

_EMPTY = frozenset({b'""', b"nil", b"0", b"false"})


def refused_again(decision: Decision) -> Finding | None:
    """Return the finding for a key that is refused when it is taken, and stored later on."""
    file, node = decision.write.file, decision.write.node
    store = node.statement
    found = _looked_up(decision)
    if store is None or found is None or store.kind != "assignment_statement":
        return None
    if _other_locks(decision) or _reserves(decision):
        return None
    refusal = _refusal(decision, *found)
    if refusal is None:
        return None
    test, asks = refusal
    if any(n.start > decision.second.call.end for n in _same(decision) if n.end < store.start):
        return None  # looks again, in its own way
    fix, reason = _fix(decision, store, test, asks)
    read = decision.read.node
    return Finding(
        path=file.path,
        start=store.start,
        end=store.end,
        message=f"{store['left'].children[0].name} may have been set since it was looked at:"
        f" {decision.first.lock.name} was released in between",
        fixes=(fix,) if fix is not None else (),
        related=(
            Related(read.path, read.start, read.end, "read here"),
            Related(asks.path, asks.start, asks["condition"].end, "refused here"),
        ),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


@with_reason
def _fix(decision: Decision, store: Node, test: str, asks: Node) -> Fix:
    edits = insert_before(store, _again(decision, test, asks))
    why = "who comes second is refused, after the work between the two sections"
    title = f"Look again before {decision.write.node.name} is written"
    return Fix(title, edits, Safety.UNSAFE, why)


def _looked_up(decision: Decision) -> tuple[Node, list[Binding | None]] | None:
    """Return `m[key]` of `v, ok := m[key]` and its variables, where the write is to that key."""
    file = decision.read.file
    looked, stored = decision.read.node.parent, decision.write.node.parent
    if looked is None or stored is None or looked.text != stored.text:
        return None
    if looked.kind != "index_expression" or decision.read.node.field != "operand":
        return None
    if not isinstance(file.underlying(file.type_of(decision.read.node)), Map):
        return None
    statement = decision.read.node.statement
    if statement is None or statement.kind != "short_var_declaration":
        return None
    if statement["right"].children != [looked]:
        return None
    for name in looked.find("identifier"):
        meant = file.binding(name)
        if meant is not None and not is_assigned_once(meant):
            return None
    return looked, [file.binding(n) for n in statement["left"].children]


def _refusal(
    decision: Decision, looked: Node, names: list[Binding | None]
) -> tuple[str, Node] | None:
    """Return the test for a key that is taken, as it reads without variables, and its `if`."""
    file, function = decision.read.file, decision.locks.function
    for asks in function["body"].statements:
        if asks.kind != "if_statement" or asks.start < decision.read.node.end:
            continue
        if asks.start > decision.second.call.start:
            break
        test = _taken(file, asks["condition"], looked, names)
        if test is None or asks.get("initializer") is not None or asks.get("alternative"):
            continue
        inside = asks["consequence"].statements
        if len(inside) == 1 and refuses(file, function, inside[0]):
            return test, asks
    return None


def _taken(file: GoFile, condition: Node, looked: Node, names: list[Binding | None]) -> str | None:
    if condition.kind == "identifier":
        if len(names) == 2 and file.binding(condition) is names[1] is not None:
            return f"_, {condition.name} := {looked.name}; {condition.name}"
        return None
    if condition.kind != "binary_expression" or condition["operator"].kind != "!=":
        return None
    left, right = condition["left"], condition["right"]
    if names and names[0] is not None and left.kind == "identifier" and right.text in _EMPTY:
        if file.binding(left) is names[0]:
            return f"{looked.name} != {right.name}"
    return None


def refuses(file: GoFile, function: Node, statement: Node) -> bool:
    """Return whether a statement returns an error."""
    result = function.get("result")
    if statement.kind != "return_statement" or result is None or len(statement.children) < 2:
        return False
    types = [p.get("type") or p for p in result.children] or [result]
    values = statement.children[1].children
    if types[-1].text != b"error" and not is_named(file.type_from(types[-1]), "error"):
        return False
    return len(values) == len(types) and _is_error(file, values[-1])


_ERROR = re.compile(r"(?:\w+\.)?(?:[eE]rr[A-Z0-9]\w*|\w*Err(?:or)?f?)")


def _is_error(file: GoFile, value: Node) -> bool:
    """Return whether a value is an error for sure: `ErrTaken`, `fmt.Errorf(…)`."""
    if value.kind == "call_expression":
        name = value["function"].name
        return name == "errors.New" or _ERROR.fullmatch(name) is not None
    if value.kind not in {"identifier", "selector_expression"} or file.binding(value):
        return False
    return _ERROR.fullmatch(value.name) is not None


def _other_locks(decision: Decision) -> bool:
    """Return whether another lock, or a claim of any kind, may keep others out meanwhile."""
    access = decision.first.access
    if any(h.access != access for h in (*decision.read.held, *decision.write.held)):
        return True
    return any(o.access != access for o in decision.locks.operations)


def _reserves(decision: Decision) -> bool:
    """Return whether the first section writes something: a mark that the key is being worked on."""
    start = decision.first.call.end
    ends = [
        o.call.start
        for o in decision.locks.operations
        if o.releases and o.deferred is None and o.call.start > start
    ]
    end = min(ends, default=start)
    return any(
        n.kind in {"assignment_statement", "inc_statement", "send_statement"}
        or (n.kind == "call_expression" and n not in {o.call for o in decision.locks.operations})
        for n in decision.locks.function.own()
        if start < n.start < end
    )


def _same(decision: Decision) -> list[Node]:
    """Return where the function names the map."""
    selectors = decision.locks.function.find("selector_expression")
    return [n for n in selectors if n.text == decision.write.node.text]


def _again(decision: Decision, test: str, asks: Node) -> str:
    """Return the code that looks again, and refuses as the first look did."""
    file, store = decision.read.file, decision.write.node.statement
    body, second = decision.locks.function["body"], decision.second
    statement = second.call.parent
    if store is None or store.parent is not body or statement is None or is_helped(second):
        raise BuilderError("the store is in a branch or loop of its own")
    if statement.parent is not body or second.method != "Lock":
        raise BuilderError("the second section is in a branch or loop of its own")
    for node in body.own():
        if second.call.end < node.start < store.start and node.kind in {
            "assignment_statement", "inc_statement", "dec_statement", "short_var_declaration"
        }:  # fmt: skip
            raise BuilderError("something else is written before")
    made = [
        name
        for node in body.own()
        if node.kind == "short_var_declaration" and node.start > asks.end
        for name in node["left"].children
    ]
    if any(has_close(file, value) for value in (*made, *store["right"].children)):
        raise BuilderError("what was made meanwhile would have to be closed")
    lines = [asks["consequence"].statements[0].name]
    if not any(o.deferred for o in _releases(decision)):
        lines.insert(0, spelled(file, second, "Unlock"))
    inner = "\n".join(f"\t{line}" for line in lines)
    return f"if {test} {{\n{inner}\n}}"


def _releases(decision: Decision) -> list[LockOperation]:
    second = decision.second
    return [
        o
        for o in decision.locks.operations
        if o.releases and o.access == second.access and o.call.start > second.call.start
    ]
