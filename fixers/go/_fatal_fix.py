"""How a call that ends its goroutine becomes one that marks the test as failed and leaves.

`t.Fatal(err)` becomes `t.Error(err)` and a return, `require.NoError(t, err)` an `assert.NoError`
that is asked. Where the call stands in a function, its callers have to leave as well: the
function tells them by a result.
"""

from __future__ import annotations

import re

from threadmend.golang.builders import (
    BuilderError,
    add_import,
    import_name,
    insert_after,
    insert_at_end,
    package_name,
    remove_import,
    with_reason,
)
from threadmend.golang.file import GoFile
from threadmend.golang.functions import leave_with, result_nodes
from threadmend.golang.goroutines import launches
from threadmend.golang.locks import declaration_of
from threadmend.golang.scope import resolve_local
from threadmend.golang.served import served_by
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.uses import fixing_interface
from threadmend.model import Edit, Fix, Safety

from ._all_calls import all_calls
from ._fatal_sends import sent_next

__all__ = ["REPLACED", "SKIPS", "ends_callers_too", "fix_here", "goes_nowhere"]

REPLACED = {"Fatal": "Error", "Fatalf": "Errorf", "FailNow": "Fail"}
SKIPS = frozenset({"Skip", "Skipf", "SkipNow"})
_REQUIRE = "github.com/stretchr/testify/require"
_ASSERT = "github.com/stretchr/testify/assert"
_TELL = "return false"


@with_reason
def fix_here(file: GoFile, body: Node, call: Node, name: str) -> Fix:
    """Mark the test as failed and leave the goroutine where the call would have ended it.

    Sound: the test failed before and fails after; the goroutine ended there and ends there,
    its defers run.
    """
    leave = leave_with(body)
    _demand_plain(body, call, name)
    last = _is_last(body, _statement(call))
    if leave is None and not (last and result_nodes(body)):
        raise BuilderError("what the function should return then cannot be told")
    sent = None if last else sent_next(file, body, _statement(call))
    method = name.removeprefix("require.")
    title = f"Call {REPLACED[name]}" if name in REPLACED else f"Check with assert.{method}"
    edits = _edits(file, call, name, "" if last or (sent and sent.alike) else leave or "")
    if method is not name:
        edits += _imports(file, 1)
    if sent is not None:
        title += f" and go on to the send to {sent.name}" if sent.alike else " and return"
        return Fix(title, edits, Safety.UNSAFE, sent.reason)
    if last and leave is None:
        why = "the callers go on with what the function returns"
        return Fix(title, edits, Safety.UNSAFE, why)
    return Fix(title if last and method is not name else f"{title} and return", edits)


def _demand_plain(body: Node, call: Node, name: str) -> None:
    """Raise BuilderError unless a call is a statement of the function's own, and no Skip."""
    if call.parent is None or call.parent.kind != "expression_statement":
        raise BuilderError("the call is part of another statement")
    if call.function is not body:
        raise BuilderError("the call stands in a function literal of its own")
    if name in SKIPS:
        raise BuilderError("a test can only be skipped from its own goroutine")


def _statement(call: Node) -> Node:
    assert call.parent is not None
    return call.parent


def _is_last(body: Node, statement: Node) -> bool:
    """Return whether nothing runs after the statement, or it returns anyhow."""
    after = statement.next
    if after is not None:
        calls = after.find("call_expression", "unary_expression")
        return after.kind == "return_statement" and next(calls, None) is None
    return statement.parent is body.get("body")


def _edits(file: GoFile, call: Node, name: str, leave: str) -> tuple[Edit, ...]:
    """Report the failure and leave as told, not at all without `leave`.

    What the arguments say stays as it is, however many lines it takes.
    """
    statement = _statement(call)
    if name in REPLACED:
        method = call["function"]["field"]
        renamed = (Edit(file.path, method.start, method.end, REPLACED[name].encode()),)
        return renamed + (insert_after(statement, leave) if leave else ())
    package = call["function"]["operand"]
    known = _package(file, call, package).encode()
    if not leave:
        return (Edit(file.path, package.start, package.end, known),)
    return (
        Edit(file.path, package.start, package.end, b"if !" + known),
        _block_behind(file, statement, leave),
    )


def _package(file: GoFile, call: Node, require: Node) -> str:
    """Return the name of the package of checks that go on, where `require` is the package and not
    an object (`require := require.New(t)`), and the name means the package there.
    """
    name = package_name(file.tree, _ASSERT)
    if resolve_local(require) is not None:
        raise BuilderError(f"{require.name} is an object of the test here")
    outermost = [n for n in call.ancestors() if n.kind in FUNCTIONS][-1]
    if re.search(rf"\b{name}\b[\w, ]*:?= |\bvar {name}\b|[(,] *{name} ".encode(), outermost.text):
        raise BuilderError(f"the name {name} is taken")
    return name


def _block_behind(file: GoFile, statement: Node, leave: str) -> Edit:
    """Return the block of an `if` that a statement becomes the condition of."""
    newline = file.source.newline + file.source.indent_at(statement.start)
    tail = b" {" + newline + b"\t" + leave.encode() + newline + b"}"
    return Edit(file.path, statement.end, statement.end, tail)


def _imports(file: GoFile, count: int) -> tuple[Edit, ...]:
    """Import assert, in the place of require where nothing but `count` calls uses that."""
    name = package_name(file.tree, _REQUIRE).encode()
    alone = len(re.findall(rb"\b" + re.escape(name) + rb"\.", file.data)) == count
    if import_name(file.tree, _ASSERT) is None:
        return _import_instead(file) if alone else add_import(file.tree, _ASSERT)
    return remove_import(file.tree, _REQUIRE) if alone else ()


def _import_instead(file: GoFile) -> tuple[Edit, ...]:
    """Import assert in the place of require, which nothing else uses."""
    for entry in file.imports:
        if entry.path == _REQUIRE:
            path = entry.node["path"]
            return (Edit(file.path, path.start, path.end, f'"{_ASSERT}"'.encode()),)
    raise BuilderError("the import of require was not found")


# -- functions that goroutines call ------------------------------------------------------


@with_reason
def ends_callers_too(file: GoFile, function: Node, ending: list[tuple[Node, str]]) -> Fix:
    """Return the fix of all calls that end the goroutine in a function that goroutines call.

    Sound: each caller leaves where the call would have ended it, and it is what the goroutine
    began with.
    """
    for call, name in ending:
        _demand_plain(function, call, name)
    if result_nodes(function):
        raise BuilderError("what the function should return then cannot be told")
    edits = _told(file, function, ending, all_calls(file, function) or [])
    why = "the function tells its callers by a result that the test goes on"
    return Fix("Return false, and let the callers return", edits, Safety.UNSAFE, why)


def goes_nowhere(file: GoFile, function: Node, depth: int = 2) -> bool:
    """Return whether a goroutine that calls a function ends when that returns."""
    calls = all_calls(file, function) or []
    for caller, call in calls:
        statement, outer = call.parent, call.function
        if statement is None or statement.kind != "expression_statement" or outer is None:
            return False
        if not _is_last(outer, statement):
            return False
        begun = _begins(caller, outer)
        if not begun and (depth == 0 or not goes_nowhere(caller, outer, depth - 1)):
            return False
    return bool(calls)


def _begins(file: GoFile, function: Node) -> bool:
    """Return whether a goroutine begins with a function."""
    if any(launch.body is function for launch in launches(file)):
        return True
    return served_by(file, function) is not None


def _told(
    file: GoFile,
    function: Node,
    ending: list[tuple[Node, str]],
    calls: list[tuple[GoFile, Node]],
) -> tuple[Edit, ...]:
    decl = declaration_of(file, function)
    if decl is not None and decl.kind == "method" and fixing_interface(decl) is not None:
        raise BuilderError("an interface fixes what the method returns")
    end = function["parameters"].end
    edits = [Edit(file.path, end, end, b" bool")]
    for call, name in ending:
        edits += _edits(file, call, name, _TELL)
    checks = sum(name.startswith("require.") for _, name in ending)
    edits += _imports(file, checks) if checks else ()
    for node in function.own():
        if node.kind == "return_statement":
            edits.append(Edit(file.path, node.end, node.end, b" true"))
    body = function["body"]
    if not body.statements or body.statements[-1].kind != "return_statement":
        edits += insert_at_end(body, "return true")
    for caller, call in calls:
        edits += _leave_behind(caller, call)
    return tuple(edits)


def _leave_behind(caller: GoFile, call: Node) -> tuple[Edit, ...]:
    """Return the edits by which the caller leaves where the function says so."""
    statement, outer = call.parent, call.function
    if statement is None or statement.kind != "expression_statement" or outer is None:
        raise BuilderError("a call of the function is part of another statement")
    if not _begins(caller, outer):
        raise BuilderError("the callers' callers would go on")
    leave = leave_with(outer)
    if leave is None:
        raise BuilderError("what a caller should return then cannot be told")
    if _is_last(outer, statement):
        return ()
    start = Edit(caller.path, statement.start, statement.start, b"if !")
    return (start, _block_behind(caller, statement, leave))
