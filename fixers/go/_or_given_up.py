"""Waiters that select with nothing but the end of their caller's context.

select {
case <-done:
case <-ctx.Done():         // the caller gives up; nobody here makes it
    return ctx.Err()
}

A signal that a path leaves out keeps them until then, and takes from them what went wrong.
"""

from __future__ import annotations

import re

from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import is_named

__all__ = ["is_for_caller", "is_of_context"]


def is_for_caller(waiter: ChannelOperation) -> bool:
    """Return whether a select waits for a signal, or for the end of a context that was given.

    Of a parameter, which stays what it is: the goroutine cannot end that one by `cancel()`.
    """
    select, case = waiter.select, waiter.case
    cases = [c for c in select.children if c.kind.endswith("_case")] if select is not None else []
    others = [c for c in cases if c is not case]
    return len(others) == 1 and _is_given(waiter.file, others[0].get("communication"))


def _is_given(file: GoFile, communication: Node | None) -> bool:
    text = communication.text if communication is not None else b""
    match = _DONE.fullmatch(text)
    if match is None or communication is None:
        return False
    name = next((n for n in communication.find("identifier") if n.text == match[1]), None)
    binding = file.binding(name) if name is not None else None
    if binding is None or binding.kind != "parameter":
        return False
    if not is_named(file.type_of(binding.node), "context.Context"):
        return False
    return not any(_is_set(use) for use in binding.uses)


_DONE = re.compile(rb"<-\s*(\w+)\.Done\(\)")


def _is_set(use: Node) -> bool:
    """Return whether another context takes a parameter's name: `ctx, cancel = …`."""
    statement = use.statement
    if statement is None or statement.kind not in {"assignment_statement", "short_var_declaration"}:
        return False
    return any(n is use for n in statement["left"].walk())


def is_of_context(exit_: Node) -> bool:
    """Return whether a goroutine leaves because a context has ended, as its waiter does."""
    for outer in exit_.ancestors():
        if outer.kind in FUNCTIONS:
            return False
        if outer.kind in {"if_statement", "for_statement"}:
            if _OF_CONTEXT.search(outer.text.partition(b"{")[0]):
                return True
        if outer.kind == "communication_case":
            communication = outer.get("communication")
            if communication is not None and _OF_CONTEXT.search(communication.text):
                return True
    return False


_OF_CONTEXT = re.compile(rb"\.(?:Done|Err)\(\)|\bcontext\.|(?i:cancel)")
