"""What is quick enough to run under a lock, and what may take long or wait."""

from __future__ import annotations

from threadmend.golang.file import GoFile
from threadmend.golang.locks import LOCK_TYPES
from threadmend.golang.map_methods import is_map_method
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, Func

__all__ = ["is_slow", "only_computes", "slow_nodes", "waits"]

_WAITS = frozenset({"send_statement", "select_statement", "go_statement"})
_PURE_PACKAGES = frozenset(
    {
        *("errors", "strings", "strconv", "math", "sort", "slices", "maps", "bytes", "unicode"),
        *("path", "path/filepath", "cmp", "sync/atomic", "unicode/utf8", "math/bits"),
    }
)
_PURE = frozenset(
    {
        *(("fmt", n) for n in ("Sprintf", "Sprint", "Sprintln", "Errorf")),
        *(("time", n) for n in ("Now", "Since", "Until", "Duration", "Unix")),
        *(("runtime", n) for n in ("Gosched", "NumCPU", "NumGoroutine", "GOMAXPROCS", "KeepAlive")),
    }
)


def slow_nodes(file: GoFile, root: Node) -> list[Node]:
    """Return what is more than computation: calls that are not known to be pure, waits."""
    return [n for n in root.own() if n is not root and is_slow(file, n)]


def is_slow(file: GoFile, node: Node) -> bool:
    """Return whether a node is more than computation: a call not known to be pure, a wait."""
    if node.kind in _WAITS:
        return True
    if node.kind == "range_clause":
        return isinstance(file.underlying(file.type_of(node["right"])), Chan | Func | None)
    if node.kind == "unary_expression":
        return node["operator"].kind == "<-"
    if node.kind != "call_expression":
        return node.kind == "func_literal"
    function = node["function"]
    inference = file.package.workspace.inference
    if inference.calls.type_named_by(function) is not None:
        return False
    if function.kind == "identifier":
        return file.resolve(function) is not None
    if function.kind != "selector_expression":
        return function.kind not in {"array_type", "slice_type", "map_type"}
    selection = file.selection(function)
    operand = function["operand"]
    if selection is not None and selection.kind == "package":
        path = file.imported(operand.name)
        return not (path in _PURE_PACKAGES or (path, function["field"].name) in _PURE)
    if is_map_method(file, function) and only_computes(file, node):
        return False
    owner = str(selection.owner) if selection is not None and selection.owner else ""
    if owner in LOCK_TYPES:
        return False
    return not owner.startswith(("time.", "strings.", "sync/atomic.", "bytes."))


def only_computes(file: GoFile, call: Node) -> bool:
    """Return whether a call runs a function of the package that waits for nobody and locks nothing.

    It reads and writes what the lock guards, like the code around it.
    """
    decl = file.callee(call) if call.kind == "call_expression" else None
    body = decl.node.get("body") if decl is not None else None
    if decl is None or body is None or decl.file.package is not file.package:
        return False
    known: dict[Node, bool] = file.package.facts.setdefault("only computes", {})
    if decl.node not in known:
        known[decl.node] = False  # one that calls itself may go on for long
        known[decl.node] = not any(
            waits(decl.file, n) or (is_slow(decl.file, n) and not only_computes(decl.file, n))
            for n in body.walk()
        )
    return known[decl.node]


def waits(file: GoFile, node: Node) -> bool:
    """Return whether a node may wait for another goroutine."""
    if node.kind == "for_statement":
        return not any(c.kind in {"range_clause", "for_clause"} for c in node.children)
    if node.kind == "unary_expression":
        return node["operator"].kind == "<-"
    if node.kind == "call_expression" and node["function"].kind == "selector_expression":
        return node["function"]["field"].name in {"Lock", "RLock", "Wait", "Do"}
    return node.kind in _WAITS or (node.kind == "range_clause" and is_slow(file, node))
