"""Marshalling: methods that an encoder calls on what it is given, under the locks of its caller.

c.mu.Lock()
json.NewEncoder(w).Encode(c)    // calls c.MarshalJSON()
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.calls import code_files
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import declaration_of, held_at, locks_of
from threadmend.golang.types import Named, deref

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadmend.golang.file import GoFile
    from threadmend.golang.syntax import Node

__all__ = ["is_marshalled_under"]

_METHOD = re.compile(r"Marshal(?:JSON|Text|Binary|YAML|TOML|XML|BSON)$|GobEncode$")
_CALLS = re.compile(rb"\bMarshal(?:Indent)?\(|\bEncode\(")


def is_marshalled_under(
    file: GoFile, function: Node, lock_class: str, above: Callable[[GoFile, Node], frozenset[str]]
) -> bool:
    """Return whether the package hands a method's receiver to an encoder with the lock held.

    `above` gives the classes of the locks that any caller of a function may hold.
    """
    decl = declaration_of(file, function)
    if decl is None or not decl.receiver or not _METHOD.match(decl.name):
        return False
    for other in code_files(file.package):
        for declaration in other.declarations(_CALLS):
            for call in declaration.node.find("call_expression"):
                if _is_given(other, call, decl.receiver) and lock_class in _held(
                    other, call, above
                ):
                    return True
                if _locks_each(other, call, lock_class):
                    return True
    return False


def _locks_each(file: GoFile, call: Node, lock_class: str) -> bool:
    """Return whether a function takes the locks of all parts before it encodes what holds them.

    `for _, part := range all.parts { part.mu.RLock() }; json.Marshal(all)`
    """
    function = call.function
    if function is None or not _CALLS.search(call["function"].text + b"("):
        return False
    own = [o for o in locks_of(file, function).operations if o.lock_class == lock_class]
    taken = [o for o in own if o.acquires and innermost_loop(o.call) is not None]
    given = [o for o in own if o.releases and innermost_loop(o.call) is not None]
    return any(t.call.end < call.start for t in taken) and any(
        g.call.start > call.end or g.deferred is not None for g in given
    )


def _is_given(file: GoFile, call: Node, owner: str) -> bool:
    """Return whether an encoder is given an object of a type of the package."""
    if not _CALLS.search(call["function"].text + b"("):
        return False
    for argument in call["arguments"].children:
        type_ = deref(file.type_of(argument))
        if isinstance(type_, Named) and type_.package == file.package.key and type_.name == owner:
            return True
    return False


def _held(
    file: GoFile, call: Node, above: Callable[[GoFile, Node], frozenset[str]]
) -> frozenset[str]:
    function = outer_function(call)
    own = frozenset(h.lock_class for h in held_at(file, call) if h.lock_class is not None)
    return own | (above(file, function) if function is not None else frozenset())
