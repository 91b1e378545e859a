"""A value with a Close that is made between a look-up and a store: the second one is lost.

c.mu.RLock()                          c.mu.Lock()
conn, ok := c.conns[addr]             if old, ok := c.conns[addr]; ok {
c.mu.RUnlock()                            c.mu.Unlock()
…                                         conn.Close()
conn = dial(addr)               →         return old
c.mu.Lock()                           }
c.conns[addr] = conn                  c.conns[addr] = conn
c.mu.Unlock()                         c.mu.Unlock()
return conn                           return conn

Likewise a field that is nil until somebody needs it, and a value that is one of its own (a token).
"""

from __future__ import annotations

from threadmend.golang.builders import (
    BuilderError,
    free_name,
    insert_before,
    taken_names,
    with_reason,
)
from threadmend.golang.decisions import Decision
from threadmend.golang.file import GoFile
from threadmend.golang.node import bare
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map
from threadmend.model import Confidence, Finding, Fix, Related, Safety

from ._beside_others import runs_beside_others
from ._decided_steps import leaves
from ._of_its_own import is_of_its_own
from ._store_helpers import has_close, is_plain

__all__ = ["stored_twice"]

_PLAIN = frozenset({"identifier", "nil", "true", "false", "int_literal"})


def stored_twice(decision: Decision, looked: Node | None = None) -> Finding | None:
    """Return the finding for a store that may put a value in the place of an open one.

    `looked` is the call that looks the key up, where the read is in a method of its own.
    """
    file, node = decision.write.file, decision.write.node
    store = node.statement
    value = _stored(file, node)
    if store is None or value is None:
        return None
    closes = has_close(file, value)
    if not closes and not (node.field == "operand" and is_of_its_own(file, value)):
        return None
    if looked is None and _place(decision.read.node) != _place(node):
        return None
    if node.field != "operand" and not _is_opened_lazily(decision):
        return None
    asks = decision.by.get("condition") if decision.by.kind == "if_statement" else None
    if asks is not None and not is_plain(asks):
        return None
    begin = decision.second.call.end
    if any(begin < n.start < store.start for n in _uses(decision, node)):
        return None  # looks again, in its own way
    fix, reason = _fix(decision, store, value)
    read = looked or decision.read.node
    return Finding(
        path=file.path,
        start=store.start,
        end=store.end,
        message=f"{value.name} may take the place of one that another goroutine has stored"
        f" meanwhile, and that {'nobody closes' if closes else 'its caller has been given'}",
        fixes=(fix,) if fix is not None else (),
        related=(Related(read.path, read.start, read.end, "looked up here"),),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


@with_reason
def _fix(decision: Decision, store: Node, value: Node) -> Fix:
    edits = insert_before(store, _looks_again(decision, store, value))
    why = "the value that was stored first is kept"
    if has_close(decision.write.file, value):
        why += ", and the other one closed"
    title = f"Look again before {decision.write.node.name} is written"
    return Fix(title, edits, Safety.UNSAFE, why)


def _uses(decision: Decision, node: Node) -> list[Node]:
    """Return where the function names the map."""
    selectors = decision.locks.function.find("selector_expression")
    return [n for n in selectors if n.text == node.text]


def _is_opened_lazily(decision: Decision) -> bool:
    """Return whether a field that was nil gets a value, by a function that others run, too."""
    file, read, function = decision.read.file, decision.read.node, decision.write.node.function
    look = read.statement
    if function is None or look is None or look.kind != "short_var_declaration":
        return False
    if read.text != decision.write.node.text or look["right"].children != [read]:
        return False
    kept = file.binding(look["left"].children[0])
    for asks in function.own():
        if asks.kind != "if_statement" or not look.end <= asks.start < decision.second.call.start:
            continue
        test, body = bare(asks["condition"]), asks["consequence"]
        if test.kind != "binary_expression" or test["right"].text != b"nil":
            continue
        if kept is None or file.binding(test["left"]) is not kept:
            continue
        store = decision.write.node
        if test["operator"].kind == "==" and body.contains(store):
            return runs_beside_others(file, function)
        if test["operator"].kind == "!=" and leaves(body):
            return runs_beside_others(file, function)
    return False


def _stored(file: GoFile, node: Node) -> Node | None:
    """Return `value` of `node[key] = value`, or of `node = value`: a local variable."""
    target, store = node.parent, node.statement
    if target is None or store is None:
        return None
    if target.kind != "index_expression" or node.field != "operand":
        if node.kind != "selector_expression" or target.field != "left":
            return None
        target = node
    if store is None or store.kind != "assignment_statement" or store["operator"].kind != "=":
        return None
    left, right = store["left"].children, store["right"].children
    if left != [target] or len(right) != 1 or right[0].kind != "identifier":
        return None
    if target is not node and not isinstance(file.underlying(file.type_of(node)), Map):
        return None
    return right[0] if file.binding(right[0]) is not None else None


def _place(node: Node) -> str:
    """Return the text of the element that is looked up, or of the field."""
    target = node.parent
    if target is None or target.kind != "index_expression" or node.field != "operand":
        return node.name
    return target.name


def _looks_again(decision: Decision, store: Node, value: Node) -> str:
    """Return the code that looks again, and returns what it finds."""
    function = store.function
    block = store.parent
    if function is None or block is None:
        raise BuilderError("the store stands outside of a function")
    second = decision.second.access
    deferred = any(
        o.releases and o.deferred is not None and o.access == second
        for o in decision.locks.operations
    )
    release: list[str] = []
    end: Node | None = None
    for following in (s for s in block.statements if s.start > store.end):
        call = following.children[0] if following.kind == "expression_statement" else None
        if any(o.call is call and o.releases for o in decision.locks.operations):
            release = [following.name]
            continue
        end = following
        break
    if end is None or end.kind != "return_statement" or (not release and not deferred):
        raise BuilderError("what is returned after the store cannot be told")
    values = end.children[1].children if len(end.children) > 1 else []
    if not any(v.name == value.name for v in values) or any(v.kind not in _PLAIN for v in values):
        raise BuilderError("what is returned after the store cannot be told")
    taken = set(taken_names(function))
    old = free_name("old", taken)
    results = ", ".join(old if v.name == value.name else v.name for v in values)
    found = free_name("ok", taken) if _is_returned(values, "ok") else "ok"
    closing = [f"{value.name}.Close()"] if has_close(decision.write.file, value) else []
    lines = [*release, *closing, f"return {results}"]
    inner = "\n".join(f"\t{line}" for line in lines)
    place = _place(decision.write.node)
    if place == decision.write.node.name:
        return f"if {old} := {place}; {old} != nil {{\n{inner}\n}}"
    return f"if {old}, {found} := {place}; {found} {{\n{inner}\n}}"


def _is_returned(values: list[Node], name: str) -> bool:
    return any(v.name == name for v in values)
