"""Asked by others: whether somebody may call a method while a goroutine of its object runs.

Who is known to call it counts: nobody does in a program without a call, and what leads back to
the goroutine through all its callers runs in that one. The exported methods of a library that no
code of the project calls are there for others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.calls import own_callers
from threadmend.golang.functions import outer_function
from threadmend.golang.locks import LOCK_CALLS, declaration_of
from threadmend.golang.scope import resolve_local
from threadmend.golang.syntax import Node
from threadmend.golang.touches import Touch

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = ["belongs_to", "calls_back", "has_callers"]


def has_callers(decl: Decl) -> bool:
    """Return whether somebody may call an exported function; of a program, its own code alone."""
    return decl.file.package.name != "main" or any(True for _ in own_callers(decl, LOCK_CALLS))


def calls_back(decl: Decl, touch: Touch) -> bool:
    """Return whether the goroutine hands its object to code that may ask a method back.

    `load(pid, p)`, whose interface is what `p.LastTime` is there for: nobody else calls it.
    """
    if any(True for _ in own_callers(decl, LOCK_CALLS)):
        return False
    for function in {f for f in map(outer_function, touch.path) if f is not None}:
        for node in function.find("identifier"):
            listed = node.parent
            if listed is None or listed.kind != "argument_list":
                continue
            binding = resolve_local(node)
            if binding is not None and binding.kind == "receiver":
                return True
    return False


def belongs_to(file: GoFile, function: Node, body: Node) -> bool:
    """Return whether the goroutine itself calls a method, or it is passed on as a value."""
    decl = declaration_of(file, function)
    if decl is None:
        return True
    for site in own_callers(decl, LOCK_CALLS):
        if site.call is None or site.launched or body.contains(site.node):
            return True
        caller = site.node.function
        above = declaration_of(site.file, caller) if caller is not None else None
        if above is not None and any(s.launched for s in own_callers(above, LOCK_CALLS)):
            return True  # it is what a goroutine of the object is there for
        if above is not None and above.receiver and _calls_by_interface(above.name, body):
            return True
    return _comes_only_from(file, function, body, _LEVELS, frozenset())


_LEVELS = 6


def _comes_only_from(
    file: GoFile, function: Node, body: Node, depth: int, seen: frozenset[Node]
) -> bool:
    """Return whether all calls of a function that the package shows lead back to a body."""
    decl = declaration_of(file, function)
    if decl is None or depth == 0:
        return False
    sites = list(own_callers(decl, LOCK_CALLS))
    for site in sites:
        caller = outer_function(site.node)
        if body.contains(site.node) or caller in seen:
            continue
        if caller is None or site.call is None or site.launched:
            return False
        if site.node.function is not caller or caller is function:
            return False
        if not _comes_only_from(site.file, caller, body, depth - 1, seen | {function}):
            return False
    return bool(sites)


def _calls_by_interface(name: str, body: Node) -> bool:
    """Return whether a goroutine calls a method of some object by a name: `event.Handle(l)`."""
    call = re.compile(rb"\.%s\(" % re.escape(name.encode()))
    return call.search(body.tree.data, body.start, body.end) is not None
