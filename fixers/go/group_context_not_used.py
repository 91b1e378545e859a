"""Give what a group launches the group's context

`errgroup.WithContext` derives a context that ends when one of the group's functions fails. A
function of the group that works under the one before goes on when the others have failed, and
Wait waits for it: the error comes late, after work that nobody wants any more.

Not reported: what only takes values from a context (logging, spans); cleanup, by the name of what
is called, in a deferred call or after an error; what lives longer than the group, whose Wait ends
its context: a connection, a stream, a goroutine; where a comment gives the reason; a group whose
context has no name (`g, _ :=`).

Hints (low confidence): findings in tests.

Unsafe: the call ends when another of the group has failed, or Wait has returned.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import uses_of
from threadmend.golang.ambient import CLEANUP, speaks_of_detachment
from threadmend.golang.contexts import kept_by
from threadmend.golang.file import GoFile
from threadmend.golang.joins import is_joined
from threadmend.golang.scope import Binding
from threadmend.golang.stops import visible
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._group_context import Derived, groups_with_context, is_work

CATEGORY = "context"
GATE = rb"WithContext\(|\.Wait\(\)"

_LAUNCHES = frozenset({"Go", "TryGo"})


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the groups whose functions work under the context before the group's."""
    for derived in groups_with_context(file):
        before = file.binding(derived.parent) if derived.parent.kind == "identifier" else None
        if before is None or before is derived.context or not derived.fails:
            continue
        launching = list(_launching(derived))
        places = [p for call in launching for p in _places(file, before, call)]
        if all(map(_never_fails, launching)):
            continue
        if places and not _is_set_again(derived, before):
            yield _finding(file, derived, places)


def _launching(derived: Derived) -> Iterator[Node]:
    """Yield the calls `g.Go(…)` in the function that makes the group."""
    for use in derived.group.uses:
        selector = use.parent
        call = selector.parent if selector is not None else None
        if selector is None or call is None or call.kind != "call_expression":
            continue
        if selector.field == "function" and selector["field"].name in _LAUNCHES:
            yield call


def _never_fails(call: Node) -> bool:
    """Return whether what a group launches is a literal that returns nil on every path."""
    literal = call["arguments"].children[0] if call["arguments"].children else None
    if literal is None or literal.kind != "func_literal":
        return False
    returns = [n for n in literal.own() if n.kind == "return_statement"]
    return bool(returns) and all(n.text.split() == [b"return", b"nil"] for n in returns)


def _places(file: GoFile, before: Binding, call: Node) -> Iterator[Node]:
    """Yield the uses of the context before that make work of the group's end late."""
    given = call["arguments"]
    for use in uses_of(before):
        node = use.node
        if not given.contains(node) or use.kind != "read":
            continue
        if _waits(node) or (is_work(use) and not _is_left_out(file, given, node)):
            yield node


def _waits(node: Node) -> bool:
    """Return whether a use is `<-ctx.Done()`."""
    selector = node.parent
    call = selector.parent if selector is not None else None
    if selector is None or call is None or call.kind != "call_expression":
        return False
    receive = call.parent
    return (
        selector.kind == "selector_expression"
        and selector["field"].name == "Done"
        and receive is not None
        and receive.kind == "unary_expression"
    )


def _is_left_out(file: GoFile, given: Node, node: Node) -> bool:
    """Return whether work is to be done though the group has failed, or outlives it."""
    group = node.parent
    call = group.parent if group is not None else None
    if call is None or CLEANUP.search(call["function"].name) or speaks_of_detachment(file, call):
        return True
    function = next((a for a in node.ancestors() if a.kind in FUNCTIONS), None)
    for outer in node.ancestors():
        if outer is given:
            break
        if outer.kind in {"defer_statement", "go_statement"} and not is_joined(file, outer):
            return True
        if outer.kind == "if_statement" and _is_failure(outer):
            return True
    return function is None or kept_by(file, function, [node]) is not None


def _is_failure(statement: Node) -> bool:
    return b"err != nil" in statement["condition"].text


def _is_set_again(derived: Derived, before: Binding) -> bool:
    """Return whether the variable gets another context once the group is made."""
    start = derived.statement.end
    return any(use.kind == "write" and use.node.start > start for use in uses_of(before))


def _finding(file: GoFile, derived: Derived, places: list[Node]) -> Finding:
    fix, first, name = None, places[0], derived.name.name
    if all(derived.context in visible(place) for place in places):
        fix = Fix(
            f"Pass {name}",
            tuple(Edit(p.path, p.start, p.end, derived.name.text) for p in places),
            Safety.UNSAFE,
            f"the work now ends with {name}: when another of the group has failed",
        )
    made = derived.statement
    return Finding(
        path=file.path,
        start=first.start,
        end=first.end,
        message=f"{first.name} does not end when another of the group fails, as {name} does",
        fixes=(fix,) if fix is not None else (),
        related=(Related(made.path, made.start, made.end, "derived here"),),
        reason="" if fix is not None else f"{name} means something else here",
        confidence=Confidence.LOW if file.is_test_file else Confidence.HIGH,
    )
