"""Refusals: what a function returns when its object has ended, as its package says it elsewhere.

var ErrClosed = errors.New("queue: closed")       // return ErrClosed
func (q *queue) Put(v int) bool { …; return true } // return false
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.functions import result_nodes
from threadmend.golang.infer import is_decl

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package
    from threadmend.golang.syntax import Node

__all__ = ["refusal"]

_SAYS_ENDED = re.compile(
    rb"^[ \t]*(?:var )?([eE]rr\w*(?:Clos|Stop|Shut|Exit|Terminat|Quit|Halt|closed|stopped)\w*)"
    rb"[ \t]*=[ \t]*(?:errors\.New|fmt\.Errorf)\(",
    re.M,
)


def refusal(file: GoFile, function: Node) -> str | None:
    """Return the last value to return when the object of a function has ended; None if unknown.

    The package's only error that says so, or false where all else is true.
    """
    results = result_nodes(function)
    if not results:
        return None
    if results[-1].text == b"error":
        return _sentinel(file.package)
    if len(results) == 1 and results[0].text == b"bool":
        returns = [n for n in function.own() if n.kind == "return_statement"]
        said = {n.text for n in returns}
        return "false" if said == {b"return true"} else None
    return None


def _sentinel(package: Package) -> str | None:
    known: str | None = package.facts.get("said ended", "")
    if known == "":
        names = {
            m[1].decode()
            for file in package.files
            if not file.is_test
            for m in _SAYS_ENDED.finditer(file.data)
        }
        names = {name for name in names if is_decl(package.lookup(name), "var")}
        known = package.facts["said ended"] = names.pop() if len(names) == 1 else None
    return known
