"""Set what a goroutine reads before it is launched

A field or variable is assigned right after the `go` statement whose body reads it. The
goroutine may run before the assignment, or in the middle of it: it sees the old value, a
nil pointer, or half of a string, and mostly it does not. What is assigned before the `go`
statement is seen by the goroutine for sure. Likewise options that are applied after the launch,
and a channel that the goroutine makes first of all, and the function that launched it uses.

Not reported: a goroutine that waits (a receive, a lock, `Wait`) before it reads; an
assignment under a lock, or after the function waited for the goroutine; what the goroutine
only writes.

Unsafe: when the assigned value is computed by a call. Without a fix: an assignment that
needs what is made between the two statements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import Access
from threadmend.golang.builders import BuilderError, move_before, with_reason
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, launches_in, or_spawning
from threadmend.golang.lefts import calls_leaving
from threadmend.golang.locks import held_at
from threadmend.golang.scope import Binding
from threadmend.golang.started_with import GIVES, started_with
from threadmend.golang.syntax import Declaration, Node
from threadmend.golang.types import Chan
from threadmend.golang.waitgroups import waitgroup_calls
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._first_read import (
    DEPTH,
    WAITING,
    acquires,
    first_read,
    inward,
    is_made_between,
    read_by,
)
from ._launch_later import launch_below
from ._made_inside import made_inside
from ._options_after import Options, options_after
from ._quick import is_slow

CATEGORY = "shared-state"
GATE = rb"\bgo\s+[\w(]|\.Go\(|\brange \w*[oO]pt|[(,] ?\w+\.[a-z]\w*\)|, ?func\(\) \{"

_STARTS = re.compile(rb"\bgo\s+[\w(]|\.Go\(|" + GIVES.pattern)
_APPLIES = re.compile(rb"\brange \w*[oO]pt")
_ASSIGNS = re.compile(rb"[^:=!<>]=[^=]")
_STOPS = frozenset(
    {
        *("select_statement", "return_statement", "send_statement", "for_statement"),
        *("break_statement", "continue_statement", "goto_statement", "labeled_statement"),
    }
)
_MOST = 8


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the assignments that come after the launch of a goroutine that reads them."""
    for declaration in file.declarations(or_spawning(file.package, _STARTS)):
        assigns = _ASSIGNS.search(file.data, declaration.start, declaration.end) is not None
        known: set[Node] = set()
        for launch in [*launches_in(file, declaration.node), *_handed_over(file, declaration)]:
            if launch.kind != "timer" and launch.body is not None:
                yield from made_inside(file, launch)
                yield from _late_options(file, launch)
                if assigns:
                    yield from _late_assignments(file, launch, known)
    for declaration in file.declarations(_APPLIES):
        if calls_leaving(file, declaration):
            for call in declaration.index.get("call_expression", ()):
                yield from _options_after_call(file, call)


def _handed_over(file: GoFile, declaration: Declaration) -> Iterator[Launch]:
    """Yield what functions are given and run in a goroutine of their own: `loop.Start(r.turn)`."""
    if GIVES.search(file.data, declaration.start, declaration.end):
        for call in declaration.index.get("call_expression", ()):
            yield from started_with(file, call)


def _late_assignments(file: GoFile, launch: Launch, known: set[Node]) -> Iterator[Finding]:
    """Yield what comes too late for a launch; `known` is what an earlier one told of."""
    found = [
        (assignment, read)
        for assignment in _assignments_after(file, launch)
        if assignment not in known
        if (read := read_by(file, launch, assignment)) is not None
    ]
    known.update(assignment for assignment, _ in found)
    names = {assignment["left"].children[0].text for assignment, _ in found}
    last = _set_again(launch, names)
    later = None
    if last is not None:
        later = launch_below(file, launch, last, (name.decode() for name in names))
    for assignment, read in found:
        if _is_set_anew(file, launch, assignment):
            continue
        if last is None:
            fix, reason = _fix(file, launch, assignment)
        else:
            fix, reason = later, "it is set again, under a condition, after the launch"
        yield _finding(file, assignment, read, fix, reason)


def _is_set_anew(file: GoFile, launch: Launch, assignment: Node) -> bool:
    """Return whether what was there before is used in between: the goroutine has it by then.

    Or whether it was handed over before the launch: who has it may wait for the goroutine in any
    call in between.
    """
    target = assignment["left"].children[0].text
    if _is_handed_before(file, launch, assignment):
        return True
    above = _beside(launch, assignment)
    if _is_set_above(above, target):
        return True
    return any(
        node.text == target and not launch.node.contains(node)
        for statement in [*([above] if above is not launch.statement else []), *above.following]
        if statement.start < assignment.start
        for node in statement.walk()
    )


def _is_set_above(launch: Node, target: bytes) -> bool:
    """Return whether the goroutine gets a value of its own: what comes behind tells it something.

    `stopped = false`, `go func() { …; if !stopped { … } }()`, and `stopped = true` further down.
    """
    before = [s for s in launch.parent.statements if s.end <= launch.start] if launch.parent else []
    return (
        bool(before)
        and before[-1].kind == "assignment_statement"
        and [n.text for n in before[-1]["left"].children] == [target]
    )


def _is_handed_before(file: GoFile, launch: Launch, assignment: Node) -> bool:
    """Return whether a local variable's channel is passed on before the launch, and a call follows.

    `d := NewDriver(events)`, a goroutine that closes `events`, `d.Run()`: the next round begins.
    """
    target = assignment["left"].children[0]
    binding = file.binding(target) if target.kind == "identifier" else None
    if binding is None or not isinstance(file.underlying(file.type_of(target)), Chan):
        return False
    passed = any(
        use.end <= launch.node.start
        and use.parent is not None
        and use.parent.kind in {"argument_list", "keyed_element", "literal_element"}
        for use in binding.uses
    )
    between = (
        statement
        for statement in _beside(launch, assignment).following
        if statement.start < assignment.start
    )
    return passed and any(next(s.find("call_expression"), None) is not None for s in between)


def _beside(launch: Launch, assignment: Node) -> Node:
    """Return the statement with a launch in it that stands beside an assignment."""
    statement = launch.statement
    while statement.parent is not assignment.parent and statement.parent is not None:
        statement = statement.parent
    return statement


def _set_again(launch: Launch, names: set[bytes]) -> Node | None:
    """Return the last statement after a launch that sets one of some places in a branch.

    Or the last one behind it that sets more of the same object.
    """
    found = None
    objects = {name.rpartition(b".")[0] for name in names if b"." in name}
    for statement in launch.statement.following[:_MOST]:
        if statement.kind in _STOPS:
            break
        if statement.kind == "if_statement" and any(
            node["left"].children[0].text in names
            for node in statement.find("assignment_statement")
        ):
            found = statement
        elif found is not None and statement.kind == "assignment_statement":
            target = statement["left"].children[0].text
            if target in names or target.rpartition(b".")[0] in objects:
                found = statement
    return found


def _assignments_after(file: GoFile, launch: Launch) -> Iterator[Node]:
    """Yield the plain assignments that follow a launch in its block, before anything waits."""
    statement: Node | None = launch.statement
    for _ in range(_MOST):
        statement = _next(statement) if statement is not None else None
        if statement is None or statement.kind in _STOPS or _waits(file, statement):
            return
        if statement.kind == "assignment_statement" and statement["operator"].kind == "=":
            if len(statement["left"].children) == 1 and not held_at(file, statement):
                yield statement


def _next(statement: Node) -> Node | None:
    """Return the statement that runs next: behind the condition, at the end of its branch."""
    while statement.next is None:
        block = statement.parent
        above = block.parent if block is not None and block.kind == "block" else None
        if above is None or above.kind != "if_statement":
            return None
        statement = above
    return statement.next


def _waits(file: GoFile, statement: Node) -> bool:
    """Return whether a statement may wait for the goroutine, or tell it something."""
    for node in statement.own():
        if node.kind == "unary_expression" and node["operator"].kind == "<-":
            return True
        if node.kind == "call_expression":
            function = node["function"]
            name = function["field"].name if function.kind == "selector_expression" else ""
            if name in WAITING or _WAITS.match(name) or function.text == b"close":
                return True
            if _waits_inside(file, node):
                return True
    return False


def _waits_inside(file: GoFile, call: Node) -> bool:
    """Return whether a function waits for a group that it is given: `ended(&wg)`."""
    decl = file.callee(call)
    if decl is None or not decl.has_body or not decl.sound:
        return False
    return any(
        found.access is not None
        and isinstance(found.access.root, Binding)
        and found.access.root.kind in {"receiver", "parameter"}
        for found in waitgroup_calls(decl.file, decl.node, inside=True)
        if found.method == "Wait"
    )


_WAITS = re.compile(r"(?:[Ww]ait|[Aa]wait|[Ee]ventually|[Uu]ntil)(?![a-z])")


def _late_options(file: GoFile, launch: Launch) -> Iterator[Finding]:
    """Yield the options that set what a goroutine reads that was launched before."""
    own = launch.decl.file if launch.decl is not None else file
    for options in options_after(file, launch):
        for access in options.fields:
            if launch.body is None or is_made_between(access, launch):
                continue
            read = first_read(own, launch.body, launch.call, file, access, DEPTH)
            if read is not None:
                yield _option_finding(file, launch, options, access, read)
                break


def _options_after_call(file: GoFile, call: Node) -> Iterator[Finding]:
    """Yield the options that are applied behind a call which leaves such a goroutine running."""
    decl = file.callee(call)
    if decl is None or not decl.sound or decl.file.package is not file.package:
        return
    if call.parent is None or call.parent.kind != "expression_statement" or held_at(file, call):
        return
    for launch in launches_in(decl.file, decl.node):
        if launch.function is not decl.node or launch.kind == "timer" or launch.body is None:
            continue
        if any(acquires(n) for n in decl.node.own() if n.start > launch.node.end):
            continue  # it waits until the goroutine is ready, perhaps
        here = Launch(launch.kind, call, call, launch.body, launch.decl)
        own = launch.decl.file if launch.decl is not None else decl.file
        for options in options_after(file, here):
            for access in options.fields:
                inner = inward(decl.file, decl.node, call, file, access)
                if inner is None or is_made_between(access, here):
                    continue
                read = first_read(own, launch.body, launch.call, decl.file, inner, DEPTH)
                if read is not None and options.does == "options":
                    yield _option_finding(file, here, options, access, read)
                    break


def _option_finding(
    file: GoFile, launch: Launch, options: Options, access: Access, read: Node
) -> Finding:
    fix = options.fix(file, launch)
    related = Related(read.path, read.start, read.end, "read by the goroutine here")
    return Finding(
        path=file.path,
        start=options.call.start,
        end=options.call.end,
        message=f"{access} may be set after the launch of the goroutine that reads it",
        fixes=(fix,) if isinstance(fix, Fix) else (),
        related=(related,),
        reason="" if isinstance(fix, Fix) else fix,
    )


# -- the finding ------------------------------------------------------------------------


def _finding(file: GoFile, assignment: Node, read: Node, fix: Fix | None, reason: str) -> Finding:
    name = assignment["left"].children[0].name
    return Finding(
        path=file.path,
        start=assignment.start,
        end=assignment.end,
        message=f"{name} is assigned after the launch of the goroutine that reads it",
        fixes=(fix,) if fix is not None else (),
        related=(Related(read.path, read.start, read.end, "read by the goroutine here"),),
        reason="" if fix is not None else reason,
    )


@with_reason
def _fix(file: GoFile, launch: Launch, assignment: Node) -> Fix:
    """Move the assignment above the launch.

    Sound when its value is computed from what the statements in between do not touch: then
    it is the same value, and the goroutine sees it as the function's later code does.
    """
    above = _beside(launch, assignment)
    between = [s for s in above.following if s.start < assignment.start]
    if above is not launch.statement:
        between.insert(0, above)
    used = {n.text for n in assignment.find("identifier")}
    for statement in between:
        for node in statement.find("identifier"):
            if node.text in used and _is_changed(file, node, statement):
                raise BuilderError(f"{node.name} is set between the launch and the assignment")
    slow = [n for n in assignment["right"].own() if is_slow(file, n)]
    edits: tuple[Edit, ...] = move_before(assignment, above)
    safety = Safety.UNSAFE if slow else Safety.SAFE
    why = "the value is computed by a call, which now runs before the launch" if slow else ""
    return Fix("Move the assignment before the launch", edits, safety, why)


def _is_changed(file: GoFile, node: Node, statement: Node) -> bool:
    """Return whether a statement declares or assigns a name, or may do so by its address."""
    left = statement.get("left")
    if left is not None and left.contains(node):
        return node.parent is left
    return statement.kind in {"var_declaration", "inc_statement", "dec_statement"} or any(
        n.kind == "unary_expression" and n["operator"].kind == "&" for n in node.ancestors()
    )
