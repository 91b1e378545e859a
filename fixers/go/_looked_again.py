"""A look before the lock that is repeated under it: the second section asks what the first did.

m.mu.Lock()                           m.mu.Lock()
tok, ok := m.tokens[name]             tok, ok := m.tokens[name]
m.mu.Unlock()                         m.mu.Unlock()
if ok && tok.fresh() {                if ok && tok.fresh() {
    return tok                            return tok
}                                     }
sig := sign(name)                     sig := sign(name)
m.mu.Lock()                    →      m.mu.Lock()
defer m.mu.Unlock()                   defer m.mu.Unlock()
m.serial++                            if tok, ok := m.tokens[name]; ok && tok.fresh() {
m.tokens[name] = …                        return tok
                                      }
                                      m.serial++

What is computed in between is computed twice, perhaps, but kept once.
"""

from __future__ import annotations

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import BuilderError, insert_after
from threadmend.golang.decisions import Decision
from threadmend.golang.file import GoFile
from threadmend.golang.lock_calls import is_helped, spelled
from threadmend.golang.locks import LockOperation
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map
from threadmend.model import Edit

from ._quick import is_slow, only_computes

__all__ = ["counts_beside", "looks_again", "only_computed_between"]

_CALCULATES = (
    *("crypto/", "encoding/", "hash", "html", "math", "net/url", "regexp", "text/", "unicode"),
)


def only_computed_between(decision: Decision) -> bool:
    """Return whether the lock was free for nothing but computation."""
    file = decision.read.file
    operations = {o.call for o in decision.locks.operations}
    return not any(
        decision.read.node.end <= node.start < decision.second.call.start
        and node not in operations
        and _takes_time(file, node, 3)
        for node in decision.locks.function.own()
    )


def _takes_time(file: GoFile, node: Node, depth: int) -> bool:
    """Return whether a node is more than computation, packages that only calculate aside."""
    if not is_slow(file, node) or only_computes(file, node):
        return False
    if node.kind != "call_expression":
        return True
    function = node["function"]
    if function.kind == "selector_expression" and function["operand"].kind == "identifier":
        selection = file.selection(function)
        if selection is not None and selection.kind == "package":
            path = file.imported(function["operand"].name) or ""
            if path.startswith(_CALCULATES):
                return False
    decl = file.callee(node)
    body = decl.node.get("body") if decl is not None and decl.sound else None
    if decl is None or body is None or depth == 0:
        return True
    return any(_takes_time(decl.file, n, depth - 1) for n in body.own())


def counts_beside(decision: Decision) -> bool:
    """Return whether the second section counts something, so that to do it twice shows.

    `m.serial++` beside the store: what two callers keep for one key is not the same.
    """
    return any(
        _counts(node)
        for node in decision.locks.function.own()
        if node.start > decision.second.call.end
    )


def _counts(node: Node) -> bool:
    """Return whether a statement adds to a field: `m.serial++`, `m.total += n`."""
    if node.kind == "assignment_statement":
        if node["operator"].kind not in {"+=", "-="}:
            return False
    elif node.kind not in {"inc_statement", "dec_statement"}:
        return False
    return any(n.kind == "selector_expression" for n in node.children[0].walk())


def looks_again(decision: Decision) -> tuple[Edit, ...]:
    """Return the edits that repeat the look behind the second Lock.

    Raises BuilderError where the look, or what it decides, cannot be repeated there.
    """
    file, second = decision.read.file, decision.second
    look, taken = decision.read.node.statement, second.call.parent
    body = decision.locks.function["body"]
    if look is None or look.kind != "short_var_declaration":
        raise BuilderError("the value that decides is not looked up by itself")
    names = {file.binding(n) for n in look["left"].children if n.name != "_"}
    asks = next((s for s in body.statements if _asks(file, s, look, second, names)), None)
    if asks is None:
        raise BuilderError("nothing asks for the value between the two sections")
    if taken is None or taken.kind != "expression_statement" or is_helped(second):
        raise BuilderError("the second section begins in a larger statement")
    if taken.parent is not body or second.method != "Lock":
        raise BuilderError("the second section is in a branch or loop of its own")
    if asks.get("initializer") is not None or asks.get("alternative") is not None:
        raise BuilderError("the look decides between more than two ways")
    inside = asks["consequence"].statements
    if len(inside) != 1 or inside[0].kind != "return_statement":
        raise BuilderError("more happens where the value is there already")
    if not isinstance(file.underlying(file.type_of(decision.read.node)), Map):
        raise BuilderError("the value that decides is not looked up by a key")
    _check_names(file, names, (look["right"], asks["condition"], inside[0]))
    lines = [inside[0].name]
    behind = taken.next
    release = _release_of(decision, behind)
    if release is None:
        lines.insert(0, spelled(file, second, "Unlock"))
    inner = "\n".join(f"\t{line}" for line in lines)
    code = f"if {look.name}; {asks['condition'].name} {{\n{inner}\n}}"
    return insert_after(taken if release is None or behind is None else behind, code)


def _asks(
    file: GoFile, statement: Node, look: Node, second: LockOperation, names: set[Binding | None]
) -> bool:
    """Return whether an `if` between the two sections asks for what was looked up."""
    if statement.kind != "if_statement" or not look.end <= statement.start < second.call.start:
        return False
    return any(file.binding(n) in names for n in statement["condition"].find("identifier"))


def _release_of(decision: Decision, statement: Node | None) -> LockOperation | None:
    """Return the deferred Unlock that stands right behind the second Lock."""
    return next(
        (
            o
            for o in decision.locks.operations
            if o.releases and o.deferred is not None and o.deferred is statement
        ),
        None,
    )


def _check_names(file: GoFile, looked: set[Binding | None], parts: tuple[Node, ...]) -> None:
    """Refuse what means something else further down."""
    for part in parts:
        for name in part.find("identifier"):
            binding = file.binding(name)
            if binding is None or binding in looked or not binding.is_variable:
                continue
            if not is_assigned_once(binding):
                raise BuilderError(f"{binding.name} is set again")
