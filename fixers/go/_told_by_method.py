"""Callbacks that a method of the same object calls, some calls down, under the caller's lock.

func (s *set) Apply(…) {                func (s *set) notify(flag string) {
    s.mu.Lock()                             for _, w := range s.watchers {
    defer s.mu.Unlock()                         w(flag)
    …                                       }
    s.notify(flag)                      }
}

The call moves behind the Unlock where nobody changes the list once the object is made. A list of
another package's type, which locks for itself, tells its functions under the caller's lock too.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.file import GoFile
from threadmend.golang.locks import locks_of
from threadmend.golang.package import Decl
from threadmend.golang.syntax import Node
from threadmend.golang.types import Struct

__all__ = ["calls_of_method"]

_DEPTH = 3


def calls_of_method(
    file: GoFile, call: Node, depth: int = _DEPTH
) -> Iterator[tuple[GoFile, Node, int]]:
    """Yield the calls that a method of the caller's own object makes, levels down.

    Each with its file and how many methods are on the way. Methods that lock are left out: they
    may have given the lock back. Those of another package have locks of their own.
    """
    decl = _own_method(file, call)
    if decl is None:
        return
    if decl.file.package is file.package and locks_of(decl.file, decl.node).operations:
        return
    for inner in decl.node["body"].own():
        if inner.kind == "call_expression":
            yield decl.file, inner, _DEPTH - depth + 1
            if depth > 1 and inner.parent is not None and inner.parent.kind != "go_statement":
                yield from calls_of_method(decl.file, inner, depth - 1)


def _own_method(file: GoFile, call: Node) -> Decl | None:
    """Return the method that is called on the receiver, or a part of it.

    `l.watchers.tell(e)`, where `watchers` is a struct in the field: the lock is for it as well.
    Of another package only what its list of functions tells: `h.observers.Emit(e)`.
    """
    function = call["function"]
    if function.kind != "selector_expression":
        return None
    operand = function["operand"]
    while operand.kind == "selector_expression" and _is_part(file, operand):
        operand = operand["operand"]
    binding = file.binding(operand) if operand.kind == "identifier" else None
    if binding is None or binding.kind != "receiver":
        return None
    decl = file.callee(call)
    if decl is None or not decl.sound or not decl.has_body or decl.kind != "method":
        return None
    if decl.file.is_test or decl.file.package.module is not file.package.module:
        return None
    return decl


def _is_part(file: GoFile, selector: Node) -> bool:
    """Return whether a field holds a struct by itself, which belongs to nobody else."""
    selection = file.selection(selector)
    if selection is None or selection.kind != "field":
        return False
    return isinstance(file.underlying(file.type_of(selector)), Struct)
