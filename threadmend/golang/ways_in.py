"""Ways in: where the runs of a function begin, as far as its callers show.

A goroutine or whoever keeps it as a value may run it beside anything else. Of an exported function
without a caller nothing is known; of one that only tests call, that the project does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.calls import callers
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import launch_of_literal
from threadmend.golang.locks import declaration_of

if TYPE_CHECKING:
    from threadmend.golang.field_accesses import FieldAccess
    from threadmend.golang.file import GoFile
    from threadmend.golang.syntax import Node

__all__ = ["BESIDE", "NOBODY", "OPEN", "PROGRAM", "TESTS", "begins", "lacks_company", "ways_in"]

BESIDE = "beside"  # a goroutine, or a callback
OPEN = "open"  # exported, and nobody in the project calls it
PROGRAM = "program"  # main, or the initialiser of a package
TESTS = "tests"
NOBODY = "nobody"

_DEPTH = 8


def ways_in(file: GoFile, node: Node) -> frozenset[str]:
    """Return the kinds of places where the runs begin that come to a node."""
    function = node.function
    known: dict[Node | None, frozenset[str]] = file.package.facts.setdefault("ways in", {})
    if function not in known:
        known[function] = frozenset(_ways(file, node, set(), _DEPTH))
    return known[function]


def _ways(file: GoFile, node: Node, seen: set[Node], depth: int) -> Iterator[str]:
    function = node.function
    while function is not None and function.kind == "func_literal":
        if launch_of_literal(file, function) is not None:
            yield BESIDE
            return
        if function.parent is None or function.parent.kind != "call_expression":
            yield BESIDE  # passed on or kept; what is deferred or called here runs here
        function = function.function
    decl = declaration_of(file, function) if function is not None else None
    if function is None or decl is None or decl.name in {"main", "init"}:
        yield PROGRAM
        return
    if function in seen or depth == 0:
        return
    seen.add(function)
    sites = callers(decl)
    called = list(sites.in_code())
    for site in called:
        if site.call is None or site.launched:
            yield BESIDE
        else:
            yield from _ways(site.file, site.node, seen, depth - 1)
    if not called:
        program = decl.file.package.name == "main"
        yield TESTS if sites else OPEN if decl.exported and not program else NOBODY


# What such a function writes is there before others ask for it, most often.
_BEGINS = re.compile(
    r"(?:[Ll]oad|[Rr]estore|[Rr]ecover|[Oo]pen|[Ee]nable|[Uu]nfreeze|[Cc]onfigure|[Pp]arse)(?![a-z])"
    r"|\w*[a-z](?:Load|Restore|Recover)$"
)


_STANDS_IN = re.compile(r"^[Mm]ock(?![a-z])|(?:Mock|Stub)$")
_TYPES = ("type_identifier",)


def begins(function: Node) -> bool:
    """Return whether a function begins something, by its name: `LoadTable`, `StatusRestore`."""
    return _BEGINS.match(function["name"].name) is not None


def lacks_company(access: FieldAccess) -> bool:
    """Return whether nothing shows that somebody else is there while an access is made.

    Only tests come to it, or are to do so (`StoreMock`); or it is a plain write in a function that
    begins something, which no goroutine comes to.
    """
    ways = ways_in(access.file, access.node)
    if TESTS in ways and ways <= {TESTS, NOBODY}:
        return True
    function = outer_function(access.node)
    receiver = function.get("receiver") if function is not None else None
    if receiver is not None and any(_STANDS_IN.search(n.name) for n in receiver.find(*_TYPES)):
        return True
    if BESIDE in ways or access.kind not in {"write", "store"} or function is None:
        return False
    return begins(function)
