"""Edits that take a stored context away: its field, where it was set, what only brought it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from threadmend.golang.builders import (
    BuilderError,
    delete,
    import_name,
    parameters,
    remove_argument,
    remove_element,
    remove_field,
    remove_import,
    remove_parameter,
)
from threadmend.golang.families import CannotFollow, family
from threadmend.golang.file import GoFile
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.uses import declaration_of, is_api
from threadmend.model import Edit

from ._stored import Stored

__all__ = ["taken_away", "unused_imports"]


def taken_away(stored: Stored, needed: Iterable[Binding]) -> list[Edit]:
    """Return the edits of the field, its values, and the parameters that are left without use.

    `needed` are variables that calls will pass on from now on. Raises BuilderError where a
    variable would be left that nobody uses.
    """
    edits = [*remove_field(stored.field)]
    brought = _Brought({id(binding) for binding in needed})
    for value in stored.values:
        if value.node.kind == "assignment_statement":
            edits += delete(value.node, comments="drop")
        else:
            edits += remove_element(value.node)
        brought.drop(value.file, value.value)
    return [*edits, *brought.edits()]


class _Brought:
    """Follows what is not passed any more back to where it came from."""

    def __init__(self, needed: set[int]) -> None:
        self.needed = needed
        self.dropped: set[Node] = set()
        self.done: dict[int, list[Edit]] = {}
        self.left: dict[int, tuple[GoFile, Binding]] = {}

    def drop(self, file: GoFile, value: Node) -> None:
        """Note that a value is passed no more; parameters nobody needs go with it."""
        binding = file.binding(value) if value.kind == "identifier" else None
        if binding is None:
            return
        self.dropped.add(value)
        uses = [u for u in binding.uses if u is not binding.node and not _is_key(u)]
        if (
            any(use not in self.dropped for use in uses)
            or id(binding) in self.needed
            or id(binding) in self.done
        ):
            return
        if binding.kind == "parameter":
            self.done[id(binding)] = []
            self.done[id(binding)] = self._without(file, binding)
        else:
            self.left[id(binding)] = (file, binding)

    def edits(self) -> Iterator[Edit]:
        """Yield the edits of signatures, calls and declarations."""
        for found in self.done.values():
            yield from found
        for file, binding in self.left.values():
            statement = binding.declaration
            if statement.kind != "short_var_declaration" or len(statement["left"].children) != 1:
                line = file.source.line_of(binding.node.start)
                raise BuilderError(f"{binding.name} would be unused ({file.path}:{line})")
            yield from delete(statement)

    def _without(self, file: GoFile, parameter: Binding) -> list[Edit]:
        """Remove a parameter with the arguments of all calls, where all of them are known."""
        decl = declaration_of(file, parameter.scope)
        if decl is None or decl.kind == "method" or is_api(decl):
            return []
        try:
            found = family(decl)
        except CannotFollow:
            return []
        index = next(
            i for i, p in enumerate(parameters(decl.node)) if p.name and p.name is parameter.node
        )
        if len(found.decls) > 1:
            return []
        edits = [*remove_parameter(decl.node, index)]
        for site in found.sites:
            assert site.call is not None
            arguments = site.call["arguments"].children
            if len(arguments) <= index:
                return []
            edits += remove_argument(site.call, index)
        for site in found.sites:
            assert site.call is not None
            self.drop(site.file, site.call["arguments"].children[index])
        return edits


def _is_key(use: Node) -> bool:
    return use.parent is not None and use.parent.field == "key"


def unused_imports(files: Iterable[GoFile], edits: Iterable[Edit]) -> Iterator[Edit]:
    """Yield the edits of imports of context that edits leave without use."""
    edits = list(edits)
    for file in files:
        name = import_name(file.tree, "context")
        own = [e for e in edits if e.path == file.path]
        if name is None or any(f"{name}.".encode() in e.new for e in own):
            continue
        used = (n for d in file.tree.declarations for n in _names(d.node, name))
        if all(any(e.start <= n.start < e.end for e in own) for n in used):
            yield from remove_import(file.tree, "context")


def _names(node: Node, name: str) -> Iterator[Node]:
    for outer in node.find("selector_expression", "qualified_type"):
        first = outer.get("operand") or outer.get("package")
        if first is not None and first.name == name:
            yield first
