"""Named like: which declarations may call a function in whose text a pattern matches.

To see whom a call means, the declaration around it is lowered and the types in it are told. Where
only functions with certain words in them matter (`context.WithCancel(`, `close(`), their names are
read off the bytes of the workspace first: a declaration without such a name calls none of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from threadmend.literals import words

if TYPE_CHECKING:
    from threadmend.golang.syntax import Declaration
    from threadmend.golang.workspace import Workspace

__all__ = ["may_call"]

_HEAD = re.compile(rb"^func\b", re.M)
_NAMED = re.compile(rb"\bfunc\s*(?:\([^)]*\)\s*)?([^\s(\[{)]+)")
# In these a line may begin with `func` that begins no function.
_QUOTES = re.compile(rb"`|/\*")


def may_call(workspace: Workspace, pattern: re.Pattern[bytes]) -> Callable[[Declaration], bool]:
    """Return what tells whether a declaration may call a function whose text has the pattern.

    False is certain. The pattern may not reach over two functions.
    """
    known: dict[bytes, frozenset[bytes]] = workspace.facts.setdefault("named like", {})
    names = known.get(pattern.pattern)
    if names is None:
        datas = (workspace.source(path).data for path in workspace.go_files)
        found = {name for data in datas for name in _names(data, pattern)}
        names = known[pattern.pattern] = frozenset(found)
    if not all(map(bytes.isascii, names)):
        return _always  # `words` knows no others
    return lambda declaration: (
        not names.isdisjoint(words(declaration.tree.data[declaration.start : declaration.end]))
    )


def _always(declaration: Declaration) -> bool:
    return True


def _names(data: bytes, pattern: re.Pattern[bytes]) -> Iterator[bytes]:
    """Yield the names of the functions in whose text the pattern matches, and perhaps of others."""
    hits = [hit.start() for hit in pattern.finditer(data)]
    if not hits:
        return
    if _QUOTES.search(data):
        yield from _NAMED.findall(data)
        return
    heads = [head.start() for head in _HEAD.finditer(data)]
    for start, end in zip([0, *heads], [*heads, len(data)], strict=True):
        if any(start <= hit < end for hit in hits):
            yield from _NAMED.findall(data, start, end)
