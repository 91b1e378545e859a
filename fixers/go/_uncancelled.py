"""Waits for goroutines that a context ends, where the function was told to end otherwise.

    select {
    case err = <-failed:            // the context goes on
    case <-ctx.Done():
    }
    wg.Wait()                       // the goroutine leaves on ctx.Done() alone

A deferred cancel comes too late: it has to be called before the Wait.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import insert_before, with_reason
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import launches_in
from threadmend.golang.stops import endless
from threadmend.golang.syntax import Node
from threadmend.golang.waitgroups import waitgroup_calls
from threadmend.model import Finding, Fix, Related, Safety

__all__ = ["uncancelled_waits"]

_WAITS = re.compile(rb"\.Wait\(\)")
_DONE = re.compile(r"<-\s*([\w.]+)\.Done\(\)")


def uncancelled_waits(file: GoFile) -> Iterator[Finding]:
    """Yield the Waits whose goroutines nothing ends on one way to them."""
    if file.is_test or file.generated:
        return
    for function in file.functions(_WAITS):
        for wait in waitgroup_calls(file, function):
            statement = wait.call.parent
            if wait.method != "Wait" or statement is None or wait.call.function is not function:
                continue
            if statement.kind != "expression_statement":
                continue
            context = _told_otherwise(statement)
            if context is None:
                continue
            loop = _only_ended_by(file, function, wait.waitgroup.name, context)
            cancel = _cancel_of(file, statement, context) if loop is not None else None
            if loop is not None and cancel is not None:
                yield _finding(statement, context, cancel, loop)


def _told_otherwise(wait: Node) -> str | None:
    """Return the context that a select right above asked for, among other things.

    Each of its cases leads to the Wait, and none cancels.
    """
    select = wait.previous
    while select is not None and select.kind != "select_statement":
        if _CANCELS.search(select.text) or select.kind == "for_statement":
            return None
        select = select.previous
    if select is None or _CANCELS.search(select.text):
        return None
    found, others = None, 0
    for case in select.children:
        if case.kind == "default_case":
            return None
        communication = case.get("communication")
        done = _DONE.fullmatch(communication.name) if communication is not None else None
        if done is not None:
            found = done[1]
        elif communication is not None:
            last = case.statements[-1] if case.statements else None
            others += last is None or last.kind not in {"return_statement", "goto_statement"}
    return found if others else None


_CANCELS = re.compile(rb"(?i)cancel\w*\(|\bclose\(|\.(?:stop|close|shutdown)\w*\(")


def _only_ended_by(file: GoFile, function: Node, group: str, context: str) -> Node | None:
    """Return the endless loop of a counted goroutine that leaves on the context alone."""
    last = context.rpartition(".")[2]
    for launch in launches_in(file, function):
        if launch.kind not in {"go", "waitgroup"} or launch.body is None:
            continue
        if group.encode() not in launch.node.text or b".Done()" not in launch.body.text:
            continue
        for loop in launch.body.own():
            if loop.kind == "for_statement" and endless(loop) and _leaves_on(loop, last):
                return loop
    return None


def _leaves_on(loop: Node, name: str) -> bool:
    """Return whether every way out of a loop is a case that the context's end chooses."""
    found = False
    for node in loop["body"].own():
        if node.kind not in {"return_statement", "break_statement", "goto_statement"}:
            continue
        if node.kind == "break_statement" and len(node.children) == 1:
            continue  # of a select or switch, or of a loop inside: it goes on
        case = node.up("communication_case")
        communication = case.get("communication") if case is not None else None
        done = _DONE.fullmatch(communication.name) if communication is not None else None
        if done is None or done[1].rpartition(".")[2] != name:
            return False
        found = True
    return found


def _cancel_of(file: GoFile, place: Node, context: str) -> str | None:
    """Return the call that ends a context: its cancel function, by the name it has here."""
    owner, _, name = context.rpartition(".")
    if owner:
        pattern = rb"\w+\.%s, \w+\.(\w+) = context\.With\w+\(" % re.escape(name.encode())
        found = {m for f in file.package.files for m in re.findall(pattern, f.data)}
        return f"{owner}.{found.pop().decode()}()" if len(found) == 1 else None
    function = place.function
    declared = rb"\b%s, (\w+) :?= context\.With\w+\(" % re.escape(name.encode())
    names = set(re.findall(declared, function.text)) if function is not None else set()
    chosen = names.pop().decode() if len(names) == 1 else "_"
    return f"{chosen}()" if chosen != "_" else None


def _finding(wait: Node, context: str, cancel: str, loop: Node) -> Finding:
    fix, reason = _fix(wait, cancel)
    return Finding(
        path=wait.path,
        start=wait.start,
        end=wait.end,
        message=f"the Wait is for a goroutine that only the end of {context} ends",
        fixes=(fix,) if fix else (),
        related=(Related(loop.path, loop.start, loop.start + 3, "goes on until then"),),
        reason=reason,
    )


@with_reason
def _fix(wait: Node, cancel: str) -> Fix:
    why = "the goroutines end when the function was told to"
    return Fix(f"Call {cancel} before the Wait", insert_before(wait, cancel), Safety.UNSAFE, why)
