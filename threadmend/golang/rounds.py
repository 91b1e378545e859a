"""Rounds: what a goroutine comes to again and again, and what adds up with each call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.channels import local_channels
from threadmend.golang.field_accesses import access_kind
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.library import methods_called
from threadmend.golang.syntax import Node
from threadmend.golang.touches import Touch
from threadmend.golang.types import Chan

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = [
    "ENDLESS",
    "adds",
    "goes_on",
    "in_endless_loop",
    "is_endless",
    "is_of_one_call",
    "rounds_of",
]

ENDLESS, _SOME = "endless", "some"


def rounds_of(file: GoFile, body: Node, touch: Touch) -> str:
    """Return whether a goroutine comes to a touch round after round, for ever or for a while."""
    found, inside = "", False
    for step in touch.path:
        inside = inside or body.contains(step)
        loop = innermost_loop(step) if inside else None
        while loop is not None:
            if is_endless(file.package.workspace.file_of(loop), loop):
                return ENDLESS
            found, loop = _SOME, innermost_loop(loop)
    return found


def is_endless(file: GoFile, loop: Node) -> bool:
    """Return whether a loop runs until somebody ends it: `for {`, `for n := 1; ; n++ {`.

    Or `for x := range channel`.
    """
    for child in loop.children:
        if child.kind == "range_clause":
            return isinstance(file.underlying(file.type_of(child["right"])), Chan)
        if child.kind == "for_clause":
            return child.get("condition") is None
        if child.field == "condition":
            return False
        if child.kind not in {"block", "for"}:
            return False
    return True


def in_endless_loop(file: GoFile, body: Node, touch: Touch) -> bool:
    """Return whether a goroutine comes to a touch in each round of its endless loop."""
    step: Node | None = next((n for n in touch.path if body.contains(n)), None)
    while step is not None:
        loop = innermost_loop(step)
        if loop is None:
            return False
        if is_endless(file, loop):
            return True
        step = loop
    return False


def is_of_one_call(file: GoFile, launch: Launch) -> bool:
    """Return whether the rounds of a goroutine take what one call of its launcher gives, and end.

    `lines := make(chan string); go e.writer(lines, result); …; close(lines); return <-result`:
    where the launcher waits, nothing shows that others have the object meanwhile.
    """
    function, body = launch.function, launch.body
    if function is None or body is None:
        return False
    return any(
        channel.of("close") and any(o.function is body for o in channel.of("range"))
        for channel in local_channels(file, function)
        if not channel.escapes
    )


def adds(touch: Touch) -> bool:
    """Return whether a write counts, or collects."""
    return access_kind(touch.file, touch.node) == "update" or _appends(touch.node)


def _appends(name: Node) -> bool:
    """Return whether a statement is `name = append(name, …)`."""
    statement = name.statement
    if statement is None or statement.kind != "assignment_statement":
        return False
    values = statement["right"].children
    return (
        len(values) == 1
        and values[0].kind == "call_expression"
        and values[0]["function"].text == b"append"
        and values[0]["arguments"].children[0].text == name.text
    )


def goes_on(file: GoFile, call: Node) -> bool:
    """Return whether a function of the library calls what it is given again and again."""
    if call.kind != "call_expression" or not any(methods_called(file, call)):
        return False
    outer: Node | None = call
    while outer is not None and not outer.kind.endswith("_statement"):
        if outer.kind == "call_expression" and outer["function"].kind == "selector_expression":
            if outer["function"]["field"].name in _COPIES:
                return True
        outer = outer.parent
    return False


_COPIES = frozenset({"Copy", "CopyN", "CopyBuffer", "ReadAll"})
