"""Where the goroutines of a WaitGroup leave an error, and where the first of them is taken."""

from __future__ import annotations

import re
from dataclasses import dataclass

from threadmend.golang.access import is_assigned_once
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node

from ._group import Group, Launched, is_last, siblings

__all__ = ["Errors", "Exit", "by_channel", "exit_of"]


@dataclass(frozen=True, slots=True)
class Exit:
    """Statements that stand for `return value`: from `first` to `last`."""

    first: Node
    value: Node
    last: Node
    cancels: bool = False


@dataclass(frozen=True, slots=True)
class Errors:
    """How the first error gets out of the goroutines.

    `exits` by launch; `removed` are declarations and statements that go; `uses` are the places
    behind Wait where the error is taken.
    """

    binding: Binding
    exits: dict[Node, tuple[Exit, ...]]
    removed: tuple[Node, ...]
    uses: tuple[Node, ...]
    guarded: bool = True
    """Whether no nil is ever sent."""
    closed: bool = False
    launches: frozenset[bytes] = frozenset()
    """What the number of goroutines is called."""


_MADE = re.compile(rb"(?:var )?\w+ :?= make\(chan error(?:, .+)?\)", re.S)


def by_channel(file: GoFile, group: Group) -> Errors | None:
    """Return the errors that goroutines send as the last thing they do, on one channel."""
    errors = _channel(file, group)
    if errors is None or not is_assigned_once(errors):
        return None
    made = errors.declaration.statement
    if made is None or made.parent is not group.block or not _MADE.fullmatch(made.text):
        return None
    exits: dict[Node, tuple[Exit, ...]] = {}
    inside: list[Node] = []
    for one in group.launched:
        uses = [u for u in errors.uses if one.literal.contains(u)]
        for alias, meant in one.aliases.items():
            if meant is errors:
                inside += [u for u in errors.uses if one.statement.contains(u)]
                uses += [u for u in alias.uses if u is not alias.node]
        found = [_sent(use, one, group) for use in uses]
        ends = tuple(end for end in found if end is not None)
        if len(ends) != len(uses):
            return None
        exits[one.literal] = ends
        inside += uses
    rest = [u for u in errors.uses if u is not errors.node and u not in inside]
    closes = [c for c in (_close(use, group) for use in rest) if c is not None]
    taken = tuple(u for u in rest if not any(c.contains(u) for c in closes))
    if not any(exits.values()) or not taken or not _closer_closes(group, closes):
        return None
    removed = (made, *(c for c in closes if group.closer is None or not group.closer.contains(c)))
    guarded = all(_is_error(end.value) for ends in exits.values() for end in ends)
    return Errors(errors, exits, removed, taken, guarded, bool(closes), _counts(group))


def _counts(group: Group) -> frozenset[bytes]:
    """Return how the number of all launches is written: `urls`, `n` of `wg.Add(n)`."""
    counts = [size for add in group.adds for size in add.children[0]["arguments"].children]
    found = {_length(size) for size in counts} - {b"1"}
    loops = {innermost_loop(one.statement) for one in group.launched}
    if loops == {None}:
        found.add(str(len(group.launched)).encode())
    elif len(loops) == 1:
        found |= {rounds(loop) for loop in loops if loop is not None and loop.parent is group.block}
    return frozenset(found if len(loops) == 1 else ()) - {b""}


def rounds(loop: Node) -> bytes:
    """Return how often a loop runs: n of `for range n`, xs of `for _, x := range xs`."""
    clause = next((c for c in loop.children if c.kind in {"range_clause", "for_clause"}), None)
    if clause is None:
        return b""
    if clause.kind == "range_clause":
        return _length(clause["right"])
    found = re.fullmatch(rb"(\w+) := 0; \1 < (?:len\((.+)\)|(.+)); \1\+\+", clause.text)
    return (found[2] or found[3]) if found else b""


def _length(size: Node) -> bytes:
    """Return what is counted: xs of `len(xs)`."""
    found = re.fullmatch(rb"len\((.+)\)", size.text)
    return found[1] if found else size.text


def _channel(file: GoFile, group: Group) -> Binding | None:
    found: set[Binding] = set()
    for one in group.launched:
        for send in one.literal.find("send_statement"):
            binding = file.binding(send["channel"])
            meant = one.aliases.get(binding, binding) if binding is not None else None
            if meant is not None and b"chan error" in (meant.declaration.text):
                found.add(meant)
    return next(iter(found)) if len(found) == 1 else None


def _close(use: Node, group: Group) -> Node | None:
    """Return the statement `close(errs)` or `defer close(errs)`, in the function or its closer."""
    arguments = use.parent
    call = arguments.parent if arguments is not None else None
    if call is None or call.parent is None or call.text != b"close(" + use.text + b")":
        return None
    statement = call.parent
    if group.closer is not None:
        return statement if statement.function is group.wait.function else None
    if statement.function is not group.function or statement.parent is not group.block:
        return None
    if statement.kind == "defer_statement":
        return statement
    return statement if statement.start > group.wait.start else None


def _closer_closes(group: Group, closes: list[Node]) -> bool:
    """Return whether the goroutine that waits closes the channel and does nothing else."""
    if group.closer is None or group.wait.parent is None:
        return len(closes) <= 1
    return len(closes) == 1 and len(group.wait.parent.statements) == 2


# -- what a goroutine does with its error -----------------------------------------------------


def _sent(use: Node, one: Launched, group: Group) -> Exit | None:
    """Return the exit that a send is.

    errs <- err               select {
    [return]                  case errs <- err:
                              default:
                              }
    """
    send = use.parent
    if send is None or send.kind != "send_statement" or use.field != "channel":
        return None
    statement = send
    if send.field == "communication":
        case = send.parent
        select = case.parent if case is not None else None
        if case is None or select is None or not _is_try(case, select):
            return None
        statement = select
    return exit_of(statement, send["value"], one)


def _is_try(sent: Node, select: Node) -> bool:
    """Return whether a select does nothing but send, or not when nobody needs it any more."""
    cases = [c for c in select.children if c.kind in {"communication_case", "default_case"}]
    others = [c for c in cases if c is not sent]
    if len(others) > 1 or any(s.text != b"return" for c in cases for s in c.statements):
        return False
    for case in others:
        communication = case.get("communication")
        if communication is not None and not re.fullmatch(
            rb"<-\s*[\w.]*\w+(?:\.Done\(\))?", communication.text
        ):
            return False
    return True


_CANCEL = re.compile(rb"\w*[cC]ancel\w*\(\)")


def exit_of(statement: Node, value: Node, one: Launched, first: Node | None = None) -> Exit | None:
    """Return the exit that a statement is, with what follows it: cancel() and return."""
    if statement.function is not one.literal:
        return None
    around, at = siblings(statement, one.done)
    last, cancels = statement, False
    for following in around[at + 1 :]:
        if _CANCEL.fullmatch(following.text) and not cancels:
            cancels = True
        elif following.text != b"return":
            break
        last = following
    if around[at - 1 : at] and _CANCEL.fullmatch(around[at - 1].text) and first is None:
        first, cancels = around[at - 1], True
    if last.text != b"return" and not is_last(last, one.literal, one.done):
        return None
    return Exit(first or statement, value, last, cancels)


_MADE_ERROR = re.compile(rb"(?:fmt\.Errorf|errors\.New|status\.Errorf?)\(|(?:\w+\.)?Err[A-Z]\w*\Z")


def _is_error(value: Node) -> bool:
    """Return whether a value that is sent is never nil."""
    if _MADE_ERROR.match(value.text) or value.text.startswith(b"&"):
        return True
    names = {n.text for n in value.find("identifier")}
    child = value
    for node in value.ancestors():
        if node.kind == "func_literal":
            return False
        if node.kind == "if_statement" and child.field == "consequence":
            tested = re.findall(rb"(\w+) != nil", node["condition"].text)
            if names.intersection(tested) and b"||" not in node["condition"].text:
                return True
        child = node
    return False
