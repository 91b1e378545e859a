"""What go/init-after-launch says about channels that the launched goroutine itself makes.

go s.read.run()                      →   s.read.stop = make(chan struct{})
…                                        go s.read.run()
s.read.stop <- struct{}{}                …

func (r *reader) run() {
    r.stop = make(chan struct{})
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import access_of, lock_class
from threadmend.golang.builders import BuilderError, delete, insert_before, with_reason
from threadmend.golang.calls import has_one_caller
from threadmend.golang.crowds import own_nodes
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch
from threadmend.golang.locks import locks_of
from threadmend.golang.pauses import signal_at
from threadmend.golang.scope import resolve_local
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan
from threadmend.golang.wording import translated
from threadmend.model import Edit, Finding, Fix, Related, Safety

_MAKES = re.compile(rb" = make\(chan\b")

__all__ = ["made_inside"]


def made_inside(file: GoFile, launch: Launch) -> Iterator[Finding]:
    """Yield a finding for a launch whose goroutine first makes channels that others use."""
    body = launch.body
    if body is None or launch.function is None or _MAKES.search(body.text) is None:
        return
    own = launch.decl.file if launch.decl is not None else file
    made = [(s, t) for s in _leading(own, body) if (t := _target(own, s)) is not None]
    if not made or _tells(own, body, {lock_class(own, t) for _, t in made}):
        return
    used = [(s, u) for s, t in made if (u := _used_after(file, launch, own, body, t)) is not None]
    if used:
        yield _finding(file, launch, own, [s for s, _ in used], used[0][1])


def _tells(file: GoFile, body: Node, made: set[str | None]) -> bool:
    """Return whether the goroutine may tell the launching function that the channels are there."""
    for node in own_nodes(file, body):
        for way, (_, class_) in signal_at(file, node):
            if way == "release" and class_ not in made and node.up("defer_statement") is None:
                return True
    return False


def _leading(file: GoFile, body: Node) -> Iterator[Node]:
    """Yield the assignments of new channels that a body begins with."""
    block = body.get("body")
    for statement in block.statements if block is not None else ():
        if statement.kind == "defer_statement":
            continue
        if statement.kind != "assignment_statement" or statement["operator"].kind != "=":
            return
        if len(statement["left"].children) != 1 or _target(file, statement) is None:
            return
        yield statement


def _target(file: GoFile, statement: Node) -> Node | None:
    """Return `r.stop` of `r.stop = make(chan T)`, when its size is a constant."""
    target = statement["left"].children[0]
    value = statement["right"].children[0]
    if target.kind != "selector_expression" or value.kind != "call_expression":
        return None
    arguments = value["arguments"].children
    if value["function"].text != b"make" or not arguments:
        return None
    if any(a.kind != "int_literal" for a in arguments[1:]):
        return None
    return target if isinstance(file.underlying(file.type_of(target)), Chan) else None


def _used_after(file: GoFile, launch: Launch, own: GoFile, body: Node, target: Node) -> Node | None:
    """Return where the launching function uses the channel when the goroutine may make it."""
    outer = translated(file, launch.call, body, access_of(own, target))
    function = launch.function
    if outer is None or function is None or not outer.steps:
        return None
    last = outer.steps[-1]
    if locks_of(own, body).operations or locks_of(file, function).operations:
        return None
    for node in function.walk():
        if node.kind == "selector_expression" and node.start > launch.node.end:
            if node["field"].name == last and not body.contains(node):
                if access_of(file, node) == outer and node.function is not body:
                    return node if _is_operation(node) else None
    return None


def _is_operation(node: Node) -> bool:
    """Return whether a channel is sent to, received from, closed or ranged over."""
    parent = node.parent
    if parent is None:
        return False
    if parent.kind == "argument_list" and parent.parent is not None:
        return parent.parent["function"].text == b"close"
    return parent.kind in {"send_statement", "range_clause"} or (
        parent.kind == "unary_expression" and parent["operator"].kind == "<-"
    )


def _finding(
    file: GoFile, launch: Launch, own: GoFile, statements: list[Node], use: Node
) -> Finding:
    fix, reason = _fix(file, launch, own, statements)
    first = statements[0]
    name = first["left"].children[0].name
    return Finding(
        path=first.path,
        start=first.start,
        end=first.end,
        message=f"{name} is made by the goroutine, and {use.name} is used by the function that "
        "launched it",
        fixes=(fix,) if fix is not None else (),
        related=(
            Related(launch.node.path, launch.node.start, launch.node.end, "launched here"),
            Related(use.path, use.start, use.end, "used here"),
        ),
        reason=reason,
    )


@with_reason
def _fix(file: GoFile, launch: Launch, own: GoFile, statements: list[Node]) -> Fix:
    """Make the channels before the launch: only one launch runs the body."""
    if launch.decl is not None:
        if not has_one_caller(launch.decl):
            raise BuilderError("the function is called from elsewhere, too")
        if own.package is not file.package:
            raise BuilderError("the function belongs to another package")
    lines = []
    edits: list[Edit] = []
    for statement in statements:
        line = _line(file, launch, own, statement)
        if line is None:
            raise BuilderError("the channel has no name outside of the goroutine")
        lines.append(line)
        edits.extend(delete(statement))
    edits.extend(insert_before(launch.statement, "\n".join(lines)))
    return Fix("Make the channel before the launch", tuple(edits), Safety.SAFE)


def _line(file: GoFile, launch: Launch, own: GoFile, statement: Node) -> str | None:
    target = statement["left"].children[0]
    if launch.decl is None:
        return statement.name
    operand = target["operand"]
    body, call = launch.body, launch.call
    if body is None or call is None or operand.kind != "identifier":
        return None
    binding = resolve_local(operand)
    if own.path != file.path and b"." in statement["right"].text:
        return None  # a type that the other file may not import
    if binding is None or binding.kind != "receiver":
        return None
    given = call["function"].get("operand")
    if given is None or access_of(file, given) is None:
        return None
    return f"{given.name}.{target['field'].name} = {statement['right'].name}"
