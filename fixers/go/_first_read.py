"""What a goroutine reads before it waits for anything: where, of what its launcher sets."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import Access, access_of
from threadmend.golang.crowds import own_nodes
from threadmend.golang.field_accesses import access_kind
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch
from threadmend.golang.scope import Binding, bindings_in
from threadmend.golang.setup import is_made_here
from threadmend.golang.syntax import Node
from threadmend.golang.wording import translated

__all__ = ["DEPTH", "WAITING", "acquires", "first_read", "inward", "is_made_between", "read_by"]

DEPTH = 2
WAITING = frozenset(
    {"Wait", "Lock", "RLock", "Unlock", "RUnlock", "Broadcast", "Signal", "Do", "Sleep"}
)


def read_by(file: GoFile, launch: Launch, assignment: Node) -> Node | None:
    """Return where the goroutine reads what is assigned, before it waits for anything."""
    target = assignment["left"].children[0]
    if target.kind not in {"selector_expression", "identifier"} or launch.body is None:
        return None
    access = access_of(file, target)
    if access is None or is_made_between(access, launch):
        return None
    own = launch.decl.file if launch.decl is not None else file
    function = assignment.function
    alone = is_made_here(file, assignment, access)
    alone = alone and function is not None and b"Lock()" not in function.text
    return first_read(own, launch.body, launch.runs, file, access, DEPTH, alone=alone)


def is_made_between(access: Access, launch: Launch) -> bool:
    """Return whether the variable is declared after the launch: it is not the goroutine's."""
    root = access.root
    return isinstance(root, Binding) and root.node.start > launch.node.start


def first_read(
    file: GoFile,
    body: Node,
    call: Node | None,
    outer: GoFile,
    wanted: Access,
    depth: int,
    *,
    alone: bool = False,
) -> Node | None:
    """Return where a goroutine reads a path of its launcher's, before it waits for anything.

    `alone`: the launcher has made the object, and takes no lock: the object's own makes nobody
    wait for it.
    """
    waited = body.stop
    select: Node | None = None
    for node in own_nodes(file, body):
        if node.at >= waited:
            return None
        if select is not None and not _is_operand(node, select):
            continue
        if node.kind == "select_statement":
            select = node
        mine = alone and _is_own_lock(file, node, body, call, outer, wanted)
        if acquires(node) and not mine and (select is None or node is select):
            waited = min(waited, node.stop)  # its operands are read before it waits
        if node.kind == "call_expression" and depth > 0 and not node.is_launched:
            decl = file.callee(node)
            if decl is not None and decl.sound and decl.file.package is file.package:
                inner = inward(file, body, call, outer, wanted)
                if inner is not None:
                    found = first_read(
                        decl.file, decl.node, node, file, inner, depth - 1, alone=alone
                    )
                    if found is not None:
                        return node
        if node.kind in {"selector_expression", "identifier"} and node.field != "key":
            if _is_access(file, node, body, call, outer, wanted):
                if access_kind(file, node) in {"read", "call", "update", "store"}:
                    return node
                return None
    return None


def inward(
    file: GoFile, body: Node, call: Node | None, outer: GoFile, wanted: Access
) -> Access | None:
    """Return the wanted path in the words of a body: for a literal, as it is."""
    if body.kind == "func_literal" or call is None:
        return wanted
    if not wanted.steps:
        return None if isinstance(wanted.root, Binding) else wanted
    for binding in _inputs(body):
        given = translated(outer, call, body, Access(binding))
        if given is not None and wanted.under(given):
            return Access(binding, wanted.steps[len(given.steps) :])
    return None if isinstance(wanted.root, Binding) else wanted


def _inputs(body: Node) -> Iterator[Binding]:
    for group in bindings_in(body).values():
        yield from (b for b in group if b.kind in {"receiver", "parameter"})


def _is_access(
    file: GoFile, node: Node, body: Node, call: Node | None, outer: GoFile, wanted: Access
) -> bool:
    last = wanted.steps[-1] if wanted.steps else ""
    if node.kind == "selector_expression":
        if not last or node["field"].name != last:
            return False
    elif last:
        return False
    access = access_of(file, node)
    if access is None:
        return False
    if body.kind != "func_literal" and call is not None:
        if not wanted.steps and Binding in {type(wanted.root), type(access.root)}:
            return False  # the goroutine has the value that the variable had at the launch
        access = translated(outer, call, body, access)
    return access == wanted


def _is_operand(node: Node, select: Node) -> bool:
    """Return whether a node is a part of what a select looks at, at first, in all its cases."""
    case = node.up("communication_case")
    communication = case.get("communication") if case is not None else None
    if case is None or communication is None:
        return False
    return case.parent is select and communication.contains(node)


_LOCKS = frozenset({"Lock", "RLock", "Unlock", "RUnlock"})


def _is_own_lock(
    file: GoFile, node: Node, body: Node, call: Node | None, outer: GoFile, wanted: Access
) -> bool:
    """Return whether a call is one of a lock that is a field of the object of a path."""
    function = node["function"] if node.kind == "call_expression" else node
    if function.kind != "selector_expression" or function["field"].name not in _LOCKS:
        return False
    access = access_of(file, function["operand"])
    if access is not None and body.kind != "func_literal" and call is not None:
        access = translated(outer, call, body, access)
    return access is not None and bool(access.steps) and access.root == wanted.root


def acquires(node: Node) -> bool:
    """Return whether a node waits for somebody: the assignment may have happened by then."""
    if node.kind == "unary_expression":
        return node["operator"].kind == "<-"
    if node.kind in {"select_statement", "receive_statement", "range_clause"}:
        return node.kind != "range_clause"
    if node.kind == "call_expression" and node["function"].kind == "selector_expression":
        name = node["function"]["field"].name
        return name in WAITING and name != "Sleep"
    return False
