"""What stands behind Wait and takes the first error, written with the group's Wait."""

from __future__ import annotations

import re
from dataclasses import dataclass

from threadmend.golang.builders import free_name, taken_names
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node

from ._channel_read import written
from ._first_error import Errors
from ._group import Group, top

__all__ = ["Tail", "taken"]


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes from `start` to `end` become `code`."""

    start: int
    end: int
    code: str


@dataclass(frozen=True, slots=True)
class Tail:
    """What is written for Wait and for what takes the error; `gone` is removed besides."""

    parts: tuple[Part, ...]
    gone: tuple[Node, ...] = ()

    @property
    def code(self) -> str:
        """Return all that is written."""
        return "\n".join(part.code for part in self.parts)

    def covers(self, node: Node) -> bool:
        """Return whether a node is replaced."""
        return any(part.start <= node.start < part.end for part in self.parts)


def taken(file: GoFile, group: Group, errors: Errors, name: str) -> Tail | None:
    """Return what takes the error behind Wait; None when it does not want just the first."""
    wait = f"{name}.Wait()"
    if errors.binding.declaration.text.find(b"chan error") < 0:
        return _from_variable(group, errors, wait)
    statement = top(group.block, errors.uses[0])
    if statement is None or any(not statement.contains(use) for use in errors.uses):
        return None
    between = _between(group.end, statement)
    if between is None:
        return None
    parts: tuple[Part, ...] = ()
    start = statement.start
    if group.closer is None and any(s not in errors.removed for s in between):
        # wg.Wait(); elapsed := …; return <-errs
        kept = free_name("firstErr", taken_names(group.function, names=file.package.names))
        parts = (Part(group.wait.start, group.wait.end, f"{kept} := {wait}"),)
        wait = kept
    elif group.closer is None:
        start = group.wait.start
    code = written(file, statement, errors, wait)
    if code is None:
        return None
    simple = _simple(code, statement, wait)
    if simple is not None:
        return Tail((*parts, Part(start, simple.end, f"return {wait}")))
    return Tail((*parts, Part(start, statement.end, code)))


def _between(one: Node, other: Node) -> list[Node] | None:
    statements = one.parent.statements if one.parent is not None else []
    first = next((i for i, s in enumerate(statements) if s is one), None)
    last = next((i for i, s in enumerate(statements) if s is other), None)
    if first is None or last is None or last < first:
        return None
    return statements[first + 1 : last]


def _simple(code: str, statement: Node, wait: str) -> Node | None:
    """Return the `return nil` behind `if err := g.Wait(); err != nil { return err }`."""
    following = statement.next
    shape = re.fullmatch(
        rf"if (\w+) := {re.escape(wait)}; \1 != nil \{{\n\treturn (\w+)\n\}}", code
    )
    if shape is None or shape[1] != shape[2] or following is None:
        return None
    lonely = not statement.tree.comments_in(statement.end, following.start)
    return following if lonely and following.text == b"return nil" else None


# -- a variable -------------------------------------------------------------------------------


def _from_variable(group: Group, errors: Errors, wait: str) -> Tail | None:
    waited, variable = group.wait, errors.binding.name
    following = waited.next
    result = errors.binding.kind == "result"
    gone = () if result else (errors.binding.declaration,)
    if following is not None and not result:
        if following.text == b"return " + variable.encode() and len(errors.uses) == 1:
            return Tail((Part(waited.start, following.end, f"return {wait}"),), gone)
        only = all(following.contains(use) for use in errors.uses)
        if following.kind == "if_statement" and only and following.get("initializer") is None:
            condition = following["condition"].text
            if condition == variable.encode() + b" != nil":
                return _if(following, waited, variable, wait, gone)
    sign = "=" if result else ":="
    return Tail((Part(waited.start, waited.end, f"{variable} {sign} {wait}"),), gone)


def _if(if_: Node, waited: Node, variable: str, wait: str, gone: tuple[Node, ...]) -> Tail:
    body = if_["consequence"]
    returned = f"return {variable}".encode()
    if len(body.statements) == 1 and body.statements[0].text == returned:
        if if_.get("alternative") is None and not body.tree.comments_in(body.start, body.end):
            code = f"if {variable} := {wait}; {variable} != nil {{\n\treturn {variable}\n}}"
            simple = _simple(code, if_, wait)
            if simple is not None:
                return Tail((Part(waited.start, simple.end, f"return {wait}"),), gone)
    code = f"if {variable} := {wait}; {variable} != nil "
    return Tail((Part(waited.start, body.start, code),), gone)
