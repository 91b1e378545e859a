"""Returns whose values have nothing to do with a resource that is released before them."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.file import GoFile
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named

__all__ = ["has_nothing_of"]

_VALUES = frozenset(
    {
        *("bool", "string", "error", "byte", "rune", "float32", "float64"),
        *("int", "int8", "int16", "int32", "int64"),
        *("uint", "uint8", "uint16", "uint32", "uint64"),
    }
)


def has_nothing_of(file: GoFile, jump: Node, resource: Binding) -> bool:
    """Return whether a return needs neither a resource nor what was made of it in the round.

    Numbers, texts and errors that were made of it stay what they are: `return 0, wrap(err)`.
    """
    made = _made_of(file, resource, jump)
    return not any(file.binding(name) in made for name in jump.find("identifier"))


def _made_of(file: GoFile, resource: Binding, jump: Node) -> set[Binding | None]:
    """Return a resource, and the variables that get something of it before a jump."""
    made: set[Binding | None] = {resource}
    function = jump.function
    for statement in _assignments(function, resource.node.start, jump.start) if function else ():
        given = statement["right"].find("identifier") if statement.get("right") else ()
        if any(file.binding(name) in made for name in given):
            for target in statement["left"].children:
                for name in target.find("identifier"):
                    if not _is_plain_value(file, name):
                        made.add(file.binding(name))
    return made


def _assignments(function: Node, start: int, end: int) -> Iterator[Node]:
    kinds = ("short_var_declaration", "assignment_statement", "range_clause")
    found = [n for n in function.find(*kinds) if start < n.end and n.start < end]
    return iter(sorted((n for n in found if n.get("left")), key=lambda n: n.start))


def _is_plain_value(file: GoFile, name: Node) -> bool:
    type_ = file.underlying(file.type_of(name)) or file.type_of(name)
    return isinstance(type_, Named) and not type_.package and type_.name in _VALUES
