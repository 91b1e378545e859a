"""Call the cancel function of a derived context on every path.

A context that nobody cancels stays registered with its parent, and its timer and whatever
waits for its end stay in memory, until the deadline passes or the parent ends. In a server
that is one leak per request.

Not reported:
- a cancel function that is used on every path: called, deferred, returned, stored, passed
  on, or captured by a function that is made on that path;
- paths that end the process or panic, and the end of `main`;
- paths that have seen `<-ctx.Done()`: the context is over;
- a cancel variable that belongs to an outer function or the package;
- a field that keeps the cancel function, when any code looks at it;
- a helper's cancel function that a goroutine of the helper calls;
- an object that keeps its cancel function, when anybody else has it, or it ends itself.

An object that keeps the cancel function of its goroutine takes it along: the returns of its
constructor that leave it behind, and tests that drop what they start, are found.

No rewrite is offered where the context outlives the function: it is returned, stored, or
used by a goroutine that nothing waits for. `defer cancel()` would end it too early.

Unsafe: a context that a test's goroutines use ends with the test (`t.Cleanup`); one derived
in a loop ends with its iteration; one that a goroutine uses ends with the function when the
function cancels it elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import classify
from threadmend.golang.builders import BuilderError, with_reason
from threadmend.golang.cancels import cancelled
from threadmend.golang.contexts import (
    Derivation,
    awaits_end,
    derivations,
    derivations_by_helpers,
)
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Exit, Flow, Point, flow_of
from threadmend.golang.iterations import point_in
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Declaration, Node
from threadmend.golang.types import is_named
from threadmend.model import Finding, Fix, Related

from ._cancel_in_part import LostPart, lost_in_parts
from ._owner_dropped import ended_with_test, owner_dropped
from ._owner_left import OwnerLeft, owner_left

CATEGORY = "context"
ALSO = "govet lostcancel"
GATE = (
    rb"\bcontext\.With|\bNotifyContext\b|\bWith(?:Cancel|Timeout|Deadline)"
    rb"|\w+, \w*[cC]ancel\w* :?= |[cC](?:tx|ontext), \w+ :?= "
    rb"|\b\w+ := [\w.]+\([\w.]*[cC](?:tx|ontext)\b"
)

# Nearly every derivation is followed by its `defer cancel()`: told from the bytes.
_DERIVED = re.compile(rb"With(?:Cancel|Timeout|Deadline)|NotifyContext")
_DEFERRED = re.compile(
    rb",[ ](\w+)[ ]:?=[ ]\w+\.(?:With(?:Cancel|Timeout|Deadline)|NotifyContext)[^\n]*\)"
    rb"\n\t+defer[ ]\1\(\)\n"
)


@dataclass(frozen=True, slots=True)
class _Lost:
    """A derivation whose cancel function is dropped, or skipped on the way to `exits`."""

    derivation: Derivation
    exits: tuple[Node, ...] = ()
    used: bool = False


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the derivations whose cancel function is lost."""

    def may_lose(declaration: Declaration) -> bool:
        derived = _DERIVED.findall(file.data, declaration.start, declaration.end)
        deferred = _DEFERRED.findall(file.data, declaration.start, declaration.end)
        return len(derived) > len(deferred)

    for derivation in (*derivations(file, may_lose), *derivations_by_helpers(file)):
        lost = _lost(file, derivation)
        if lost is not None:
            yield _finding(file, lost)
            continue
        left = owner_left(file, derivation)
        if left is not None:
            yield _of_owner(file, left)
    for part in lost_in_parts(file):
        yield _in_part(file, part)
    yield from owner_dropped(file)


def _of_owner(file: GoFile, left: OwnerLeft) -> Finding:
    fix, reason = with_reason(OwnerLeft.fix)(left)
    name, launched = f"{left.name}.{left.field}", left.launch.node
    related = [Related(file.path, e.start, e.end, f"{left.name} is left here") for e in left.exits]
    cancel = left.derivation.cancel
    return Finding(
        path=file.path,
        start=cancel.start,
        end=cancel.end,
        message=f"{name} is not called where the function returns without {left.name}",
        fixes=(fix,) if fix is not None else (),
        related=(
            Related(file.path, launched.start, launched.end, "its goroutine is launched here"),
            *related[:3],
        ),
        reason=reason,
    )


def _in_part(file: GoFile, part: LostPart) -> Finding:
    fix, reason = with_reason(LostPart.fix)(part, file)
    name = part.call["function"].name
    return Finding(
        path=file.path,
        start=part.name.start,
        end=part.name.end,
        message=f"{name} is not called on every path",
        fixes=(fix,) if fix is not None else (),
        related=tuple(
            Related(file.path, e.start, e.end, f"this return skips {name}") for e in part.exits[:3]
        ),
        reason=reason,
    )


def _lost(file: GoFile, derivation: Derivation) -> _Lost | None:
    cancel = derivation.cancel
    if cancel.name == "_":
        return None if _cancels_itself(file, derivation) else _Lost(derivation)
    if cancel.kind == "selector_expression":
        kept = derivation.context.kind != "identifier"  # both are stored, for whoever looks
        return _Lost(derivation) if not kept and _is_forgotten(file, cancel) else None
    function = derivation.call.function
    binding = file.binding(cancel)
    if binding is None or function is None or binding.function is not function:
        return None
    if _is_main(file, function):
        return None
    uses = [use for use in binding.uses if _is_use(use, binding)]
    exits = _skipping(function, derivation, binding, uses)
    return _Lost(derivation, tuple(exits), used=bool(uses)) if exits else None


def _cancels_itself(file: GoFile, derivation: Derivation) -> bool:
    """Return whether a helper's own goroutine cancels: `go func() { <-signals; cancel() }()`."""
    decl = file.callee(derivation.call)
    if decl is None or not decl.has_body:
        return False
    for literal in decl.node.find("func_literal"):
        for call in literal.find("call_expression"):
            if is_named(decl.file.type_of(call["function"]), *_CANCELS):
                return True
    return False


_CANCELS = ("context.CancelFunc", "context.CancelCauseFunc")


def _is_forgotten(file: GoFile, field: Node) -> bool:
    """Return whether no code, tests included, looks at the unexported field that keeps cancel."""
    name = field["field"].name
    selection = file.selection(field)
    owner = selection.owner if selection is not None else None
    if owner is None or owner.local or owner.package != file.package.key or name[:1].isupper():
        return False
    pattern = re.compile(rb"\." + re.escape(name.encode()) + rb"\b")
    for other in file.package.files:
        for node in other.find("selector_expression", pattern):
            if node["field"].name != name or _is_target(node):
                continue
            meant = other.selection(node)
            seen = meant.owner if meant is not None else None
            if seen is None or (seen.package, seen.name) == (owner.package, owner.name):
                return False  # of a generic type each method has its own names for the arguments
    return True


def _is_target(node: Node) -> bool:
    return node.parent is not None and node.parent.field == "left"


def _is_use(use: Node, binding: Binding) -> bool:
    """Return whether a mention of cancel may lead to a call, or says that none is meant."""
    if use is binding.node:
        return False
    statement = use.statement
    if classify(use).kind == "write":
        # `cancel = nil`: the context is to go on from here.
        return statement is not None and statement.text == use.text + b" = nil"
    if statement is None or statement.kind != "assignment_statement":
        return True
    return statement["left"].text != b"_" or statement["right"].text != use.text


def _is_main(file: GoFile, function: Node) -> bool:
    """Return whether the process ends with the function."""
    name = function.get("name") if function.kind == "function_declaration" else None
    return name is not None and name.name == "main" and file.package.name == "main"


def _skipping(
    function: Node, derivation: Derivation, binding: Binding, uses: list[Node]
) -> list[Node]:
    """Return the returns, the end of the function, or the loop that is reached uncancelled."""
    flow = flow_of(function)
    start = flow.point_of(derivation.call)
    if start is None:
        return []
    using = {point for use in uses if (point := point_in(flow, use)) is not None}
    using |= set(_over(flow, derivation))

    def stop(point: Point) -> bool:
        return point in using

    left = [e for e in flow.exits_from(start, stop=stop) if _returns(e, binding)]
    if any(_is_deferred_above(derivation, use) for use in uses):
        left = []
    again = start in flow.reachable(start, stop=stop)
    if not flow.complete:
        return []
    if again and point_in(flow, derivation.call) is start and not left:
        once = _is_tested(derivation) or _runs_once(derivation) or _is_taken_back(derivation, uses)
        return [] if once else [derivation.statement]
    return [exit_.node for exit_ in left]


def _is_deferred_above(derivation: Derivation, use: Node) -> bool:
    """Return whether a deferred literal that is set up above uses what cancel holds by then.

    `defer func() { if cancel != nil { cancel() } }()`, and `_, cancel = …` further down.
    """
    literal = use.function
    if literal is None or literal.kind != "func_literal" or not literal.is_deferred:
        return False
    deferred = literal.up("defer_statement")
    block = deferred.parent if deferred is not None else None
    return (
        deferred is not None
        and block is not None
        and deferred.end <= derivation.statement.start
        and block.contains(derivation.statement)
    )


def _is_tested(derivation: Derivation) -> bool:
    """Return whether a test for nil above keeps a context of an earlier round from being lost."""
    block = derivation.statement.parent
    test = derivation.context.text + b" != nil"
    return block is not None and any(
        s.kind == "if_statement"
        and s.end <= derivation.statement.start
        and s["condition"].text == test
        for s in block.statements
    )


def _runs_once(derivation: Derivation) -> bool:
    """Return whether a select's case takes its own channel away: `case <-done: done = nil; …`."""
    case = derivation.statement.up("communication_case")
    received = case.get("communication") if case is not None else None
    if case is None or received is None:
        return False
    channels = {n["operand"].text for n in received.find("unary_expression")}
    return any(
        a.text.partition(b" = ")[0] in channels and a.text.endswith(b" = nil")
        for a in case.find("assignment_statement")
        if a.parent is case or (a.parent is not None and a.parent.parent is case)
    )


def _is_taken_back(derivation: Derivation, uses: list[Node]) -> bool:
    """Return whether another case of the same switch cancels, and puts nothing in its place.

    `case started: ctx, cancel = …` and `case stopped: cancel(); cancel = nil`: they alternate.
    """
    cases = [o for o in derivation.statement.ancestors() if o.kind in _CASES]
    cancel = derivation.cancel.text
    for use in uses:
        statement = use.statement
        after = statement.next if statement is not None else None
        called = use.parent is not None and use.parent.kind == "call_expression"
        if after is None or not called or after.kind != "assignment_statement":
            continue
        if after["left"].text == cancel and _NOTHING.fullmatch(after["right"].text):
            if any(o.kind in _CASES and o not in cases for o in after.ancestors()):
                if any(c.parent is o.parent for c in cases for o in after.ancestors()):
                    return True
    return False


_CASES = frozenset({"expression_case", "type_case", "default_case", "communication_case"})
_NOTHING = re.compile(rb"nil|func\([^)]*\) *\{\s*\}")


def _over(flow: Flow, derivation: Derivation) -> Iterator[Point]:
    """Yield the receives of `<-ctx.Done()`, after which there is nothing left to cancel."""
    done = awaits_end(flow.function, derivation.context.text)
    for point in flow.points:
        if point.node.kind != "select_statement":
            if any(n.kind == "unary_expression" and done.fullmatch(n.text) for n in point.own()):
                yield point


def _returns(exit_: Exit, binding: Binding) -> bool:
    """Return whether an exit leaves without the cancel function."""
    if exit_.kind not in {"return", "end"}:
        return False
    # A bare return hands over the named results.
    return not (binding.kind == "result" and not exit_.node.children[1:])


def _finding(file: GoFile, lost: _Lost) -> Finding:
    derivation = lost.derivation
    name = derivation.call["function"].name
    related: list[Related] = []
    if derivation.cancel.name == "_":
        message = f"the cancel function of {name} is dropped"
    elif not lost.used:
        message = f"{derivation.cancel.name} is never called"
    else:
        message = f"{derivation.cancel.name} is not called on every path"
        related = [_reached(file, node, derivation) for node in lost.exits[:3]]
    fix, reason = _fix(file, lost)
    return Finding(
        path=file.path,
        start=derivation.cancel.start,
        end=derivation.cancel.end,
        message=message,
        fixes=(fix,) if fix is not None else (),
        related=tuple(related),
        reason=reason,
    )


def _reached(file: GoFile, node: Node, derivation: Derivation) -> Related:
    name = derivation.cancel.name
    if node is derivation.statement:
        message = f"the next iteration derives again before {name} is called"
        return Related(file.path, node.start, node.end, message)
    if node.kind == "return_statement":
        return Related(file.path, node.start, node.end, f"this return skips {name}")
    return Related(file.path, node.end - 1, node.end, f"the function ends without {name}")


def _fix(file: GoFile, lost: _Lost) -> tuple[Fix | None, str]:
    try:
        return cancelled(file, lost.derivation, lost.exits), ""
    except BuilderError as why:
        fix = ended_with_test(file, lost.derivation)
        return fix, "" if fix is not None else str(why)
