"""Turn a variable that holds a value into one that holds a pointer to it; its uses follow.

`p.f`, `p.m()`, `p[i]` of an array and `len(p)` mean the same through a pointer; `&p` becomes
`p`, and what needs the value becomes `*p`. What cannot be followed raises CannotFollow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from threadmend.golang.builders.realign import realigned
from threadmend.golang.nocopy import nocopy
from threadmend.golang.node import bare, parenthesized
from threadmend.golang.scope import Binding, declared_by, declared_name
from threadmend.golang.syntax import Node
from threadmend.golang.types import Pointer, deref
from threadmend.golang.uses import addressable
from threadmend.model import Edit

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.workspace import Workspace

__all__ = [
    "CannotFollow",
    "Rewrite",
    "assigned_pointer",
    "follow",
    "pointer_to",
    "prefixed",
    "refer",
]


class CannotFollow(Exception):  # noqa: N818 - an answer, not an error
    """A use cannot follow the change; the message says why, as a clause."""


@dataclass
class Rewrite:
    """The edits of one change over many files, and what was seen on the way.

    `locks`: the value's lock is used through the changed variables. `writes`: data beside
    the lock is written through them. `launched`: a goroutine uses them. `reasons` say why
    the whole is unsafe whatever else was seen. `claims` are places that stay as they are
    because what they mean changes: another fix of them has to wait.
    """

    edits: list[Edit] = field(default_factory=list)
    claims: list[Node] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    locks: bool = False
    writes: bool = False
    launched: bool = False

    def finished(self, workspace: Workspace) -> tuple[Edit, ...]:
        """Return all edits, with the columns around them put right."""
        done = list(realigned(workspace, self.edits))
        for node in self.claims:
            edit = Edit(node.path, node.start, node.end, node.text)
            if not any(_touch(edit, other) for other in done):
                done.append(edit)
        return tuple(done)


def _touch(one: Edit, other: Edit) -> bool:
    return one.path == other.path and one.start <= other.end and other.start <= one.end


def _first_leaf(node: Node) -> Node:
    while node.children and node.children[0].start == node.start:
        node = node.children[0]
    return node


def prefixed(node: Node, prefix: bytes) -> Edit:
    """Return the edit that puts `*` or `&` before an expression or type.

    The first token is replaced as a whole, so that two fixes of one place meet in it and
    the second waits for the first.
    """
    leaf = _first_leaf(node)
    end = leaf.end if not leaf.children else node.start + 1
    return Edit(node.path, node.start, end, prefix + node.tree.data[node.start : end])


def _without_star(node: Node) -> Edit:
    """Return the edit that makes `p` of `*p`, or of `&p`."""
    operand = bare(node["operand"])
    if not operand.children:
        return Edit(node.path, node.start, node.end, operand.text)
    return Edit(node.path, node.start, node["operand"].start, b"")


def pointer_to(file: GoFile, node: Node) -> Edit:
    """Return the edit that makes a pointer to the value of an expression."""
    inner = bare(node)
    if inner.kind == "unary_expression" and inner["operator"].kind == "*":
        return _without_star(inner)
    if inner.kind == "composite_literal" or addressable(file, inner):
        return prefixed(inner, b"&")
    text = " ".join(inner.name.split())
    raise CannotFollow(f"{text if len(text) <= 40 else text[:37] + '...'} has no address")


def refer(file: GoFile, node: Node, rewrite: Rewrite) -> bool:
    """Let one place that held a value hold a pointer; return whether it needs the value.

    `node` is the expression that changes its type: a variable, `x.f` or `xs[i]`. When the
    answer is yes, the caller decides whether it gets a `*`.
    """
    place = parenthesized(node)
    parent = place.parent
    if parent is None:
        return True
    if parent.kind in {"selector_expression", "index_expression", "slice_expression"}:
        if place.field == "operand":
            _note(file, place, rewrite)
            return False
    if parent.kind == "range_clause" and place.field == "right":
        return False
    if parent.kind == "unary_expression" and parent["operator"].kind == "&":
        rewrite.edits.append(Edit(parent.path, parent.start, parent.end, node.text))
        return False
    if parent.kind == "argument_list" and parent.parent is not None:
        function = parent.parent["function"]
        if function.kind == "identifier" and function.name in {"len", "cap"}:
            if file.resolve(function) is None:
                return False
    return True


def _note(file: GoFile, place: Node, rewrite: Rewrite) -> None:
    """Note whether the lock is used, or data is written, through `place.…`."""
    parent = place.parent
    assert parent is not None
    facts = nocopy(file.package.workspace)
    node = parent
    while True:
        if node.kind == "selector_expression":
            selection = file.selection(node)
            if selection is not None and selection.kind == "method":
                if facts.path(deref(file.type_of(node["operand"]))):
                    rewrite.locks = True
                return
        if isinstance(file.type_of(node), Pointer):
            return
        outer = parenthesized(node)
        following = outer.parent
        if following is None:
            return
        if following.kind in {"selector_expression", "index_expression"}:
            if outer.field == "operand" and not _through_reference(file, following):
                node = following
                continue
        if _is_target(outer):
            rewrite.writes = True
        return


def _through_reference(file: GoFile, node: Node) -> bool:
    """Return whether `x[i]` leaves the value: x is a slice or map, whose content is shared."""
    if node.kind != "index_expression":
        return False
    under = file.underlying(file.type_of(node["operand"]))
    return type(under).__name__ != "Array"


def _is_target(node: Node) -> bool:
    parent = node.parent
    if parent is None:
        return False
    if parent.kind in {"inc_statement", "dec_statement"}:
        return True
    return parent.kind == "expression_list" and parent.field == "left"


def follow(
    file: GoFile, binding: Binding, rewrite: Rewrite, keeps: Callable[[Node], bool] | None = None
) -> None:
    """Let all uses of a local variable follow its change to a pointer.

    `keeps` tells the places that take the pointer as it is, because they change too.
    """
    inference = file.package.workspace.inference
    for use in binding.uses:
        if use is binding.node or inference.is_field_key(use):
            continue
        if launched_in(use, binding):
            rewrite.launched = True
        if not refer(file, use, rewrite):
            continue
        if keeps is not None and keeps(use):
            rewrite.claims.append(use)
            continue
        alias = _alias(use)
        if alias is not None:
            rewrite.claims.append(use)
            follow(file, alias, rewrite, keeps)
            continue
        if _is_target(parenthesized(use)):
            rewrite.edits.append(assigned_pointer(file, use))
        else:
            rewrite.edits.append(prefixed(use, b"*"))


def assigned_pointer(file: GoFile, target: Node) -> Edit:
    """Return the edit that makes `x = &y` of `x = y`, for a target that is now a pointer.

    `*x = y` would write to what x points to, which the copy in x never did.
    """
    place = parenthesized(target)
    targets = place.parent
    statement = targets.parent if targets is not None else None
    if targets is None or statement is None or statement.kind != "assignment_statement":
        raise CannotFollow(f"{target.name} is assigned in the head of a statement")
    values = statement["right"].children
    if statement["operator"].kind != "=" or len(values) != len(targets.children):
        raise CannotFollow(f"{target.name} is assigned the result of a call")
    return pointer_to(file, values[targets.children.index(place)])


def _alias(use: Node) -> Binding | None:
    """Return the new variable that `y := x` (or `var y = x`) makes of a use of x."""
    name = declared_name(parenthesized(use), untyped=True)
    return None if name is None else declared_by(name)


def launched_in(use: Node, binding: Binding) -> bool:
    """Return whether a use stands in a literal, inside the variable's scope, that is launched."""
    node = use.parent
    while node is not None and node is not binding.scope:
        if node.kind == "func_literal" and node.parent is not None:
            call = node.parent
            if call.is_launched:
                return True
        node = node.parent
    return False
