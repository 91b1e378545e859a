"""Defer Unlock where the code under the lock may panic

A panic between Lock and Unlock leaves the lock taken. Where somebody further up recovers, as
HTTP and RPC servers do, the program goes on, and the next one who wants the lock waits for
ever. `defer mu.Unlock()` costs a few nanoseconds and runs in any case.

Only what can really panic counts: a function that the caller supplied or that is stored in a
field, a method of an exported interface in a field where a caller in the package recovers, a type
assertion without `ok`, an index from outside that nothing compares, a part of a text that was split
and not counted, a division by a variable that nothing compares, a write to a map that nobody made.

Low confidence: a type assertion on what a container or an atomic value holds.

Not reported: an Unlock with work after it; a lock that is taken in a loop or more than once;
a release by another function; a method of an interface that only asks for something.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import BuilderError, delete_calls, insert_after, with_reason
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Flow, Point
from threadmend.golang.functions import outer_function, remarks_beside
from threadmend.golang.lock_calls import helped_locks, is_helped, spelled
from threadmend.golang.lock_helpers import taking
from threadmend.golang.locks import LockOperation, Locks, lock_name
from threadmend.golang.nocopy import is_ours
from threadmend.golang.node import parenthesized
from threadmend.golang.plain import is_plain
from threadmend.golang.recovering import recovered_above
from threadmend.golang.releases import hands_over
from threadmend.golang.scope import Binding, resolve_local
from threadmend.golang.syntax import Node
from threadmend.golang.types import Func, Interface, Map, Named, Slice, is_named
from threadmend.model import Confidence, Finding, Fix, Related

from ._missing_part import missing_part

CATEGORY = "mutex"
GATE = rb"\.R?Unlock\(\)|\.\w*[lL]ock\w*\(|\.(?:enter|begin|acquire|hold)\w*\("

_CANCELS = re.compile(r"(?i)cancel\w*$")
_SAYS_DEFER = re.compile(rb"(?i)\bdefer")
_INTEGERS = re.compile(r"u?int(8|16|32|64|ptr)?$")


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the critical sections that a panic leaves with the lock taken."""
    for function in file.functions(taking(file.package)):
        locks = helped_locks(file, function)
        for lock in locks.operations:
            releases = _releases(file, locks, lock)
            if releases is None:
                continue
            start = locks.flow.point_of(lock.call)
            if start is None:
                continue
            risk = _risk(file, function, locks.flow, start, releases)
            if risk is not None:
                yield _finding(file, lock, releases, *risk)


def _releases(file: GoFile, locks: Locks, lock: LockOperation) -> dict[Point, Node] | None:
    """Return the Unlock statements of a lock when one defer could stand for all of them."""
    if not lock.acquires or lock.deferred is not None or lock.access is None:
        return None
    statement = lock.call.parent
    if statement is None or statement.kind != "expression_statement":
        return None
    same = [o for o in locks.operations if o.access == lock.access and o is not lock]
    if not same or any(not o.releases or o.deferred or o.mode != lock.mode for o in same):
        return None
    if any(is_helped(o) != is_helped(lock) for o in same):
        return None
    flow = locks.flow
    point = flow.point_of(lock.call)
    if point is None or not flow.complete or flow.in_loop(point):
        return None
    if hands_over(file, locks, lock):
        return None
    if any(map(_SAYS_DEFER.search, remarks_beside(lock.call))):
        return None  # it says why there is none
    if any(d.point in flow.reachable(point, feasible=False) for d in flow.defers):
        return None  # it would run under the lock
    found: dict[Point, Node] = {}
    for release in same:
        at = flow.point_of(release.call)
        node = release.call.parent
        if at is None or node is None or not _leads_out(flow, at, node):
            return None
        found[at] = node
    if any(e.kind in {"return", "end"} for e in flow.exits_from(point, stop=found.__contains__)):
        return None
    return found


def _leads_out(flow: Flow, point: Point, statement: Node) -> bool:
    """Return whether nothing but a plain return, or the function's end, follows a release."""
    if statement.kind != "expression_statement" or len(point.successors) != 1:
        return False
    after = point.successors[0]
    if after is flow.end:
        return True
    return after.node.kind == "return_statement" and is_plain(after.node)


def _risk(
    file: GoFile, function: Node, flow: Flow, start: Point, releases: dict[Point, Node]
) -> tuple[Node, str] | None:
    """Return what may panic under the lock, and how to say it."""
    under = flow.reachable(start, stop=releases.__contains__) - set(releases)
    for point in sorted(under, key=lambda p: p.node.start):
        for node in point.own():
            said = _may_panic(file, function, node)
            if said:
                return node, said
    return None


def _may_panic(file: GoFile, function: Node, node: Node) -> str:
    if node.kind == "call_expression":
        return _called(file, node) or _inside(file, node)
    if node.kind == "type_assertion_expression":
        return "" if _with_ok(node) else f"{node.name} does not hold"
    if node.kind == "binary_expression" and node["operator"].kind in {"/", "%"}:
        return _divided(file, function, node)
    if node.kind == "index_expression":
        return _indexed(file, function, node)
    return ""


def _called(file: GoFile, call: Node) -> str:
    """Say that a function panics which the caller supplied, or which a field holds."""
    if call.is_launched:
        return ""  # in a goroutine of its own
    function = call["function"]
    if function.kind == "identifier":
        binding = file.binding(function)
        if binding is None:
            return ""
        if binding.kind != "parameter" and binding.declaration.kind != "range_clause":
            if not _looked_up(file, binding):
                return ""
    elif function.kind == "selector_expression":
        selection = file.selection(function)
        if selection is not None and selection.kind == "method":
            if _only_asks(call) or not _supplied(file, call, function["operand"]):
                return ""
            return f"{function.name} panics"
        if selection is None or selection.kind != "field":
            return ""
    elif function.kind != "index_expression" or file.callee(call) is not None:
        return ""  # an instance of a generic function
    if is_named(file.type_of(function), "context.CancelFunc", "context.CancelCauseFunc"):
        return ""
    if _CANCELS.search(_name_of(file, function)) and not call["arguments"].children:
        return ""  # a context's, by another type
    signature = file.underlying(file.type_of(function))
    if not isinstance(signature, Func) or _is_clock(signature):
        return ""
    return f"{function.name} panics"


def _name_of(file: GoFile, function: Node) -> str:
    """Return what a called function is called: of a loop variable, the list it is from."""
    binding = file.binding(function) if function.kind == "identifier" else None
    if binding is not None and binding.declaration.kind == "range_clause":
        return binding.declaration["right"].name
    return function.name


def _is_clock(signature: Func) -> bool:
    """Return whether a function is like `time.Now`, which a test may set another one for."""
    return not signature.params and [str(r) for r in signature.results] == ["time.Time"]


def _inside(file: GoFile, call: Node) -> str:
    """Say that a function of the package takes a part of a text that may not be there."""
    decl = file.callee(call)
    if decl is None or not decl.has_body or decl.file.package is not file.package:
        return ""
    indexed = (node for node in decl.node.own() if node.kind == "index_expression")
    return next(
        (said for node in indexed if (said := missing_part(decl.file, decl.node, node))), ""
    )


def _looked_up(file: GoFile, binding: Binding) -> bool:
    """Return whether a local variable holds what a field or its element does: `f := s.all[k]`."""
    if binding.kind != "variable" or not binding.values or not is_assigned_once(binding):
        return False
    value = binding.value or binding.values[0]
    while value.kind == "index_expression":
        value = value["operand"]
    if value.kind != "selector_expression":
        return False
    selection = file.selection(value)
    return selection is not None and selection.kind == "field"


def _only_asks(call: Node) -> bool:
    """Return whether a call gives nothing and uses what comes back: `track.ID()`, a getter.

    `ctx.Value(key)` is one, too.
    """
    parent, arguments = call.parent, call.get("arguments")
    is_statement = parent is not None and parent.kind.endswith("_statement")
    if arguments is None or is_statement:
        return False
    by_key = call["function"].text.endswith(b".Value") and len(arguments.children) == 1
    return by_key or not arguments.children


def _supplied(file: GoFile, call: Node, operand: Node) -> bool:
    """Return whether a method is that of an interface of the project, given as a parameter.

    Or kept in a field, where the package shows that it goes on after a panic.
    """
    type_ = file.type_of(operand)
    if not isinstance(type_, Named) or not isinstance(file.underlying(type_), Interface):
        return False
    package = file.package.workspace.package_by_key(type_.package)
    if package is None or not is_ours(package):
        return False
    if operand.kind == "selector_expression":
        function = outer_function(call)
        selection = file.selection(operand)
        kept = selection is not None and selection.kind == "field" and type_.name[:1].isupper()
        return kept and function is not None and recovered_above(file, function)
    binding = file.binding(operand) if operand.kind == "identifier" else None
    return binding is not None and binding.kind == "parameter"


def _with_ok(node: Node) -> bool:
    """Return whether an assertion's second result is taken."""
    parent = parenthesized(node).parent
    if parent is None:
        return False
    if parent.kind == "expression_list":
        holder = parent.parent
        left = holder.get("left") if holder is not None else None
        targets = left.children if left is not None else holder.all("name") if holder else []
        return len(parent.children) == 1 and len(targets) == 2
    return False


def _compared(function: Node, name: str) -> bool:
    """Return whether a condition in the function mentions a name."""
    for node in function.find("binary_expression", "expression_switch_statement"):
        if node.kind == "binary_expression":
            if node["operator"].kind not in {"==", "!=", "<", "<=", ">", ">="}:
                continue
        elif node.get("value") is None:
            continue
        if any(n.kind == "identifier" and n.name == name for n in node.walk()):
            return True
    return False


def _divided(file: GoFile, function: Node, node: Node) -> str:
    divisor = node["right"]
    binding = file.binding(divisor) if divisor.kind == "identifier" else None
    if binding is None or binding.kind != "parameter" or _compared(function, binding.name):
        return ""
    type_ = file.type_of(divisor)
    if not isinstance(type_, Named) or type_.package or not _INTEGERS.match(type_.name):
        return ""
    return f"{divisor.name} is zero"


def _indexed(file: GoFile, function: Node, node: Node) -> str:
    operand, index = node["operand"], node.get("index")
    type_ = file.underlying(file.type_of(operand))
    if isinstance(type_, Map):
        return _unmade(file, node, operand)
    if part := missing_part(file, function, node):
        return part
    if not isinstance(type_, Slice) or index is None or index.kind != "identifier":
        return ""
    binding = file.binding(index)
    if binding is None or binding.kind != "parameter" or _compared(function, binding.name):
        return ""
    if binding.scope.kind == "func_literal" and binding.scope.field == "function":
        return ""  # `go func(i int) { … }(i)`: what is passed stands right there
    return f"{index.name} is out of range"


def _unmade(file: GoFile, node: Node, operand: Node) -> str:
    """Say that a map is nil which is written to and which a caller supplied."""
    left = node.parent
    if left is None or left.field != "left" or operand.kind != "identifier":
        return ""
    binding = file.binding(operand)
    if not isinstance(binding, Binding) or binding.kind != "parameter":
        return ""
    return "" if _compared(node.function or node, binding.name) else f"{operand.name} is nil"


def _finding(
    file: GoFile, lock: LockOperation, releases: dict[Point, Node], risk: Node, said: str
) -> Finding:
    name = lock_name(file, lock.held) if is_helped(lock) and lock.held else lock.lock.name
    fix, reason = _fix(file, lock, releases)
    return Finding(
        path=lock.call.path,
        start=lock.call.start,
        end=lock.call.end,
        message=f"{name} stays locked when {said}",
        fixes=(fix,) if fix else (),
        related=(Related(risk.path, risk.start, risk.end, "may panic"),),
        reason=reason,
        # It hardens what may well be right: that shall keep no other fix from being made.
        confidence=Confidence.LOW if _is_of_one_type(risk) else Confidence.MEDIUM,
    )


def _is_of_one_type(risk: Node) -> bool:
    """Return whether what is asserted comes out of a container, which has one type of things.

    `list.Element.Value.(*entry)`, `value.Load().(conn)`, `v, _ := m.Load(key); v.(int)`.
    """
    if risk.kind != "type_assertion_expression":
        return False
    operand = risk.children[0]
    binding = resolve_local(operand) if operand.kind == "identifier" else None
    value = binding.value if binding is not None else None
    return _HOLDS_ONE.search((value or operand).text) is not None


_HOLDS_ONE = re.compile(rb"\.Value$|\.(?:Load|Get|Pop|Remove|Front|Back)\w*\([^()]*\)$")


@with_reason
def _fix(file: GoFile, lock: LockOperation, releases: dict[Point, Node]) -> Fix:
    """Replace the releases by one defer.

    Sound: each release stood right before an exit that evaluates nothing more, so that the
    lock is held exactly as long; no other deferred call runs in between.
    """
    unlock = spelled(file, lock, "RUnlock" if lock.mode == "read" else "Unlock")
    statement = lock.call.parent
    if statement is None:
        raise BuilderError("the call is part of another statement")
    edits = (
        *insert_after(statement, f"defer {unlock}"),
        *delete_calls(list(releases.values()), unlock),
    )
    return Fix(f"Defer {unlock.removesuffix('()')} right after the Lock", edits)
