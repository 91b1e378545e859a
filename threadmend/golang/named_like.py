"""Named like: which declarations may call a certain kind of function, by its name.

To see whom a call means, the declaration around it is lowered and the types in it are told. Where
only functions with certain words in them matter (`context.WithCancel(`, `close(`), they are found
by the bytes of the workspace first, and looked at once somebody writes one of their names: a
declaration without such a name calls none of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

from threadmend.literals import search_of, words

if TYPE_CHECKING:
    from threadmend.golang.package import Decl
    from threadmend.golang.syntax import Declaration
    from threadmend.golang.workspace import Workspace
    from threadmend.literals import Search

__all__ = ["may_call", "may_name"]

_HEAD = b"\nfunc "
_NAMED = re.compile(rb"\bfunc\s*(?:\([^)]*\)\s*)?([^\s(\[{)]+)")
# In these a line may begin with `func` that begins no function.
_QUOTES = re.compile(rb"`|/\*")


def may_call(
    workspace: Workspace,
    pattern: re.Pattern[bytes],
    meant: Callable[[Decl], object] | None = None,
) -> Callable[[Declaration], bool]:
    """Return what tells whether a declaration may call a function whose text has the pattern.

    Of those only one that is `meant`, where that is given: it depends on the function alone, and
    says what matters by anything that is true. False is certain. The pattern may not reach over
    two functions.
    """
    known: dict[tuple[bytes, object], _Named] = workspace.facts.setdefault("named like", {})
    found = known.get((pattern.pattern, meant))
    if found is None:
        found = known[pattern.pattern, meant] = _Named(workspace, pattern, meant)
    return found.may_be_called


def may_name(names: Collection[bytes], declaration: Declaration) -> bool:
    """Return whether one of these names may stand in a declaration. False is certain."""
    if not all(map(bytes.isascii, names)):
        return True  # `words` knows no others
    found = words(declaration.tree.data[declaration.start : declaration.end])
    return not found.isdisjoint(names)


class _Named:
    """The functions of a workspace with a pattern in their text, by name."""

    def __init__(
        self,
        workspace: Workspace,
        pattern: re.Pattern[bytes],
        meant: Callable[[Decl], object] | None,
    ) -> None:
        self._workspace = workspace
        self._meant = meant
        self._places: dict[bytes, list[tuple[str, int]]] = {}
        self._told: dict[bytes, bool] = {}
        self._asked = asked = search_of(pattern)
        for path in workspace.go_files:
            for name, at in _names(workspace.source(path).data, asked):
                self._places.setdefault(name, []).append((path, at))
        self._is_told = all(map(bytes.isascii, self._places))  # `words` knows no others

    def may_be_called(self, declaration: Declaration) -> bool:
        """Return whether one of the functions may be called in a declaration."""
        if not self._is_told:
            return True
        text = declaration.tree.data[declaration.start : declaration.end]
        return any(map(self._is_meant, self._places.keys() & words(text)))

    def _is_meant(self, name: bytes) -> bool:
        if self._meant is None:
            return True
        if name not in self._told:
            self._told[name] = any(map(self._meant, self._decls(name)))
        return self._told[name]

    def _decls(self, name: bytes) -> Iterator[Decl]:
        for path, at in self._places[name]:
            decl = self._workspace.file(path).package.function_at(path, at)
            if decl is not None and self._asked.quick.search(decl.file.data, *decl.span):
                yield decl


def _names(data: bytes, asked: Search) -> Iterator[tuple[bytes, int]]:
    """Yield the functions whose text a pattern matches, and perhaps others, with their places."""
    if asked.pieces and all(piece.find(data) < 0 for piece, _ in asked.pieces):
        return
    end = -1
    for hit in asked.quick.finditer(data):
        if end < 0 and _QUOTES.search(data):
            yield from _heads(data, 0, len(data))
            return
        at = hit.start()
        if at >= end:  # not in the function of the one before
            begin, end = data.rfind(_HEAD, 0, at), data.find(_HEAD, at)
            end = end if end >= 0 else len(data)
            yield from _heads(data, max(begin, 0), end)


def _heads(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int]]:
    return ((head[1], head.start()) for head in _NAMED.finditer(data, start, end))
