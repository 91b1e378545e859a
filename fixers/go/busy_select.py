"""Let a polling loop wait instead of spinning

An endless loop around a select whose default does nothing never waits: it burns a whole
processor to learn, millions of times a second, that nothing has happened yet. Without the
default the select waits until one of its cases is ready, which is what the loop is for. A
loop with an empty body that polls a flag does the same, and so does a loop that only calls a
function of its own with such a select.

Not reported: a default that works, sleeps, yields or leaves; a loop that does something
besides the select, for which the select is a glance; a spin lock.

Unsafe: timing changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from threadmend.golang.builders import (
    add_import,
    delete,
    delete_clause,
    import_name,
    with_reason,
)
from threadmend.golang.file import GoFile
from threadmend.golang.stops import endless
from threadmend.golang.syntax import Declaration, Node
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._spinning_step import idle_steps

CATEGORY = "select"
GATE = rb"\bselect\b|Load"

_DEFAULT = re.compile(rb"\bdefault:")
_LOAD = re.compile(rb"Load")
_EMPTY = re.compile(rb"\bfor [^{\n]*\{\s*\}")
_SPINS = ("for_statement", "block", "select_statement", "default_case", "default")
_LOADS = re.compile(r"\.Load\(\)|^!?atomic\.Load|\batomic\.Load")


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the endless loops that only poll."""
    for loop in file.find("for_statement", _DEFAULT, _may_spin):
        statements = loop["body"].statements
        if len(statements) == 1 and statements[0].kind == "select_statement" and endless(loop):
            default = _idle_default(statements[0], _label(loop))
            if default is not None:
                yield _spinning(file, loop, default)
        elif statements and statements[-1].kind == "select_statement":
            yield from _asking(file, loop, statements)
    for default, loop in idle_steps(file):
        yield _in_step(file, loop, default)
    for loop in file.find("for_statement", _LOAD, _may_poll):
        if not loop["body"].statements and _polls(file, loop):
            yield _polling(file, loop)


def _label(loop: Node) -> Node | None:
    parent = loop.parent
    return parent["label"] if parent is not None and parent.kind == "labeled_statement" else None


def _may_spin(declaration: Declaration) -> bool:
    """Return whether a default belongs to a select right in a loop."""
    hits = _DEFAULT.finditer(declaration.tree.data, declaration.start, declaration.end)
    return any(declaration.around(hit.start())[-5:] == _SPINS for hit in hits)


def _may_poll(declaration: Declaration) -> bool:
    data = declaration.tree.data
    return _EMPTY.search(data, declaration.start, declaration.end) is not None


def _idle_default(select: Node, label: Node | None) -> Node | None:
    """Return the default of a select that has other cases, when it does nothing."""
    cases = [c for c in select.children if c.kind == "communication_case"]
    default = next((c for c in select.children if c.kind == "default_case"), None)
    if default is None or not cases:
        return None
    body = default.statements
    if not body:
        return default
    if len(body) != 1 or body[0].kind != "continue_statement":
        return None
    named = body[0].children[1:]
    own = not named or (label is not None and named[0].text == label.text)
    return default if own else None


# Comments that say no more than the empty clause does.
_NOTHING = re.compile(
    rb"(?i)\bnothing\b|\bno[- ]?op\b|\bidle\b|\bempty\b|\bdo not block\b|\bdon't block\b"
    rb"|\bnon-?blocking\b|\b(?:go|carry|keep) (?:on|going)\b|\b(?:try|look|check|loop) again\b"
    rb"|\bno (?:new |more )?(?:\w+ )?(?:yet|available|now)\b|^//\s*(?:continue|pass|skip)\W*$"
)


def _spinning(file: GoFile, loop: Node, default: Node) -> Finding:
    fix, reason = _without_default(file, loop, default)
    return Finding(
        path=file.path,
        start=default.start,
        end=default.start + len("default"),
        message="the default does nothing: the endless loop around the select spins",
        fixes=(fix,) if fix else (),
        reason=reason,
    )


@with_reason
def _without_default(file: GoFile, loop: Node, default: Node) -> Fix:
    edits = delete_clause(default, _NOTHING) + _without_label(file, loop, default)
    title = "Drop the empty default, so that the select waits"
    return Fix(title, edits, Safety.UNSAFE, "the loop now waits for one of its cases")


_ALIVE = re.compile(rb"([\w.]+)\.Err\(\) == nil")
_OVER = re.compile(rb"([\w.]+)\.Err\(\) != nil")
_LEAVES = frozenset({"return_statement", "break_statement"})


def _asking(file: GoFile, loop: Node, statements: list[Node]) -> Iterator[Finding]:
    """Yield the idle default of a loop that asks its context in every round, and nothing else.

    `for ctx.Err() == nil { select { …; default: } }`, and with an `if ctx.Err() != nil { return }`.
    """
    select = statements[-1]
    head = next((c for c in loop.children if c.kind not in {"for", "block"}), None)
    asked = _ALIVE.fullmatch(head.text) if head is not None and len(statements) == 1 else None
    if endless(loop) and len(statements) == 2 and statements[0].kind == "if_statement":
        inside = statements[0]["consequence"].statements
        if statements[0].get("alternative") is None and inside and inside[-1].kind in _LEAVES:
            asked = _OVER.fullmatch(statements[0]["condition"].text)
    default = _idle_default(select, _label(loop)) if asked is not None else None
    if asked is None or default is None:
        return
    found = _spinning(file, loop, default)
    done = b"case <-" + asked[1] + b".Done()"
    if done + b":" not in select.text and found.fixes and _label(loop) is None:
        end = default.start + len("default")
        edits: tuple[Edit, ...] = (Edit(file.path, default.start, end, done),)
        for jump in default.statements:
            edits += delete(jump)
        title = f"Wait for {asked[1].decode()}.Done() in the place of the empty default"
        found = replace(found, fixes=(replace(found.fixes[0], title=title, edits=edits),))
    message = "the default does nothing: the loop around the select spins until its context ends"
    yield replace(found, message=message)


def _in_step(file: GoFile, loop: Node, default: Node) -> Finding:
    """Build the finding of a select in a function that an endless loop only calls."""
    found = _spinning(file, loop, default)
    message = "the default does nothing: the endless loop that calls this function spins"
    at = loop["body"].start
    return replace(
        found, message=message, related=(Related(loop.path, loop.start, at, "calls it here"),)
    )


def _without_label(file: GoFile, loop: Node, default: Node) -> tuple[Edit, ...]:
    """Delete the loop's label where only the default needed it: it would not compile."""
    label = _label(loop)
    if label is None or b"continue " not in default.text:
        return ()
    jumps = loop.find("continue_statement", "break_statement", "goto_statement")
    names = [j.children[1].text for j in jumps if j.children[1:] and not default.contains(j)]
    if label.text in names:
        return ()
    start, end = (file.source.line_start(n.start) for n in (label, loop))
    return (Edit(file.path, start, end, b""),)


def _polls(file: GoFile, loop: Node) -> bool:
    """Return whether a loop with an empty body only asks an atomic value for its condition."""
    head = [c for c in loop.children if c.kind not in {"for", "block"}]
    condition = head[0] if len(head) == 1 else None
    if condition is not None and condition.kind == "for_clause":
        if condition.get("initializer") is not None or condition.get("update") is not None:
            return False
        condition = condition.get("condition")
    return condition is not None and _LOADS.search(condition.name) is not None


def _polling(file: GoFile, loop: Node) -> Finding:
    known = import_name(file.tree, "time")
    name = known or "time"
    body = loop["body"]
    indent = file.source.indent_at(loop.start)
    newline = file.source.newline
    inner = newline + indent + b"\t" + f"{name}.Sleep({name}.Millisecond)".encode()
    fixes: tuple[Fix, ...] = ()
    reason = "a comment stands in the loop"
    if not file.tree.comments_in(body.start, body.end):
        edit = Edit(file.path, body.start, body.end, b"{" + inner + newline + indent + b"}")
        imports = () if known else add_import(file.tree, "time")
        title = "Sleep for a millisecond between two looks"
        fixes = (Fix(title, (edit, *imports), Safety.UNSAFE, "the loop now looks less often"),)
        reason = ""
    return Finding(
        path=file.path,
        start=loop.start,
        end=body.start,
        message="the loop polls without a pause",
        fixes=fixes,
        reason=reason,
        # A test lets goroutines begin together so.
        confidence=Confidence.LOW if file.is_test_file else Confidence.HIGH,
    )
