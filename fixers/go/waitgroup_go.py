"""Launch a counted goroutine with WaitGroup.Go

`wg.Add(1)`, `go func()` and `defer wg.Done()` are three lines that have to agree, and each is
forgotten or misplaced now and then. From Go 1.25 on `wg.Go(func() { … })` is all three.

Not reported: an older Go version; a literal with parameters or results; statements between
Add and the launch; a Done that is not the literal's first statement, deferred.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import BuilderError, delete, with_reason
from threadmend.golang.file import GoFile
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.waitgroups import WaitGroupCall, waitgroup_call
from threadmend.model import Edit, Finding, Fix

CATEGORY = "waitgroup"
GATE = rb"\.Add\(1\)"
OPT_IN = True


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the launches that WaitGroup.Go can say in one call."""
    if file.go_version < (1, 25):
        return
    for call in file.calls("Add"):
        statement = call.parent
        if statement is None or statement.kind != "expression_statement":
            continue
        launch = statement.next
        if launch is None or launch.kind != "go_statement":
            continue
        literal = _plain_literal(launch)
        if literal is None:
            continue
        add = waitgroup_call(file, call)
        if add is None or add.access is None or add.count is None or add.count.text != b"1":
            continue
        done = _leading_done(file, literal, add)
        if done is not None and _same_object(add, done):
            yield _finding(file, add, statement, launch, literal, done)


def _plain_literal(launch: Node) -> Node | None:
    """Return the literal of `go func() { … }()` without parameters, results and arguments."""
    call = next((c for c in launch.children if c.kind == "call_expression"), None)
    literal = call["function"] if call is not None else None
    if call is None or literal is None or literal.kind != "func_literal":
        return None
    if literal.get("result") is not None or call["arguments"].children:
        return None
    parameters = literal.get("parameters")
    return None if parameters is None or parameters.children else literal


def _leading_done(file: GoFile, literal: Node, add: WaitGroupCall) -> WaitGroupCall | None:
    """Return the `defer wg.Done()` that a literal begins with."""
    statements = literal["body"].statements
    if not statements or statements[0].kind != "defer_statement":
        return None
    call = statements[0].children[-1]
    if call.kind != "call_expression":
        return None
    done = waitgroup_call(file, call)
    if done is None or done.method != "Done" or done.access != add.access:
        return None
    return done


def _same_object(add: WaitGroupCall, done: WaitGroupCall) -> bool:
    """Return whether both names mean one WaitGroup when the goroutine begins, too."""
    if add.waitgroup.text != done.waitgroup.text:
        return False
    root = add.access.root if add.access is not None else None
    return not isinstance(root, Binding) or is_assigned_once(root)


def _finding(
    file: GoFile,
    add: WaitGroupCall,
    statement: Node,
    launch: Node,
    literal: Node,
    done: WaitGroupCall,
) -> Finding:
    name = add.waitgroup.name
    fix, reason = _fix(file, name, statement, launch, literal, done)
    return Finding(
        path=file.path,
        start=add.call.start,
        end=add.call.end,
        message=f"{name}.Add, go and {name}.Done are one call of {name}.Go",
        fixes=(fix,) if fix else (),
        reason=reason,
    )


@with_reason
def _fix(
    file: GoFile, name: str, statement: Node, launch: Node, literal: Node, done: WaitGroupCall
) -> Fix:
    """Write `wg.Go(func() { … })`.

    Sound: Go adds one, launches, and calls Done when the function returns; the deferred Done
    ran after all other defers of the literal, and still does.
    """
    if done.deferred is None:
        raise BuilderError("Done is not deferred")
    edits = [
        *delete(statement),
        Edit(file.path, launch.start, literal.start, f"{name}.Go(".encode()),
        Edit(file.path, literal.end, launch.end, b")"),
        *delete(done.deferred),
    ]
    return Fix(f"Call {name}.Go", tuple(edits))
