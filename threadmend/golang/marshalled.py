"""Marshalling: methods that a library calls on what it is given, under the locks of its caller.

c.mu.Lock()
json.NewEncoder(w).Encode(c)    // calls c.MarshalJSON()
slog.Debug("idle", "conn", c)   // calls c.LogValue(), or c.String()

And what such methods call.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.calls import code_files, own_callers
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import LOCK_CALLS, declaration_of, held_at, locks_of
from threadmend.golang.types import Named, deref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package
    from threadmend.golang.syntax import Node

__all__ = ["is_marshalled_under"]

_FORMATS = r"(?:JSON|Text|Binary|YAML|TOML|XML|BSON)"
_CALLS = re.compile(rb"\bMarshal(?:Indent)?\(|\bEncode\(")
_READS = re.compile(rb"\bUnmarshal\w*\(|\bDecode\(")
_SHOWS = re.compile(
    rb"\b(?:[Ll]og|Print|Sprint|Fprint|[Dd]ebug|[Ii]nfo|[Nn]otice|[Ww]arn|[Ee]rror|[Tt]race"
    rb"|[Ff]atal|[Pp]anic)\w*\("
)
_HOOKS = (
    (re.compile(rf"Marshal{_FORMATS}$|GobEncode$"), _CALLS),
    (re.compile(rf"Unmarshal{_FORMATS}$|GobDecode$|Scan$"), _READS),
    (re.compile(r"(?:String|GoString|Error|Format|LogValue|MarshalLog\w*)$"), _SHOWS),
)
_DEPTH = 3


def is_marshalled_under(
    file: GoFile, function: Node, lock_class: str, above: Callable[[GoFile, Node], frozenset[str]]
) -> bool:
    """Return whether the package has a library call a function, or its callers, with the lock held.

    `above` gives the classes of the locks that any caller of a function may hold.
    """
    return any(
        _is_run_under(file.package, method, calls, lock_class, above)
        for method, calls in _hooks_above(declaration_of(file, function), _DEPTH)
    )


def _hooks_above(decl: Decl | None, depth: int) -> Iterator[tuple[Decl, re.Pattern[bytes]]]:
    """Yield a function, or callers of it, that libraries call, and what makes them do so."""
    if decl is None:
        return
    if decl.receiver:
        yield from ((decl, calls) for names, calls in _HOOKS if names.match(decl.name))
    if depth > 0:
        for site in own_callers(decl, LOCK_CALLS):
            caller = outer_function(site.node)
            if site.call is not None and not site.launched and caller is not decl.node:
                above = declaration_of(site.file, caller) if caller is not None else None
                yield from _hooks_above(above, depth - 1)


def _is_run_under(
    package: Package,
    method: Decl,
    calls: re.Pattern[bytes],
    lock_class: str,
    above: Callable[[GoFile, Node], frozenset[str]],
) -> bool:
    for other in code_files(package):
        for declaration in other.declarations(calls):
            for call in declaration.node.find("call_expression"):
                if not calls.search(_name(call) + b"("):
                    continue
                # What is decoded holds the object somewhere, at whatever depth.
                given = calls is _READS or _is_given(other, call, method.receiver)
                if given and lock_class in _held(other, call, above):
                    return True
                if calls is _CALLS and _locks_each(other, call, lock_class):
                    return True
    return False


def _name(call: Node) -> bytes:
    function = call["function"]
    return (function.children[-1] if function.children else function).text


def _locks_each(file: GoFile, call: Node, lock_class: str) -> bool:
    """Return whether a function takes the locks of all parts before it encodes what holds them.

    `for _, part := range all.parts { part.mu.RLock() }; json.Marshal(all)`
    """
    function = call.function
    if function is None:
        return False
    own = [o for o in locks_of(file, function).operations if o.lock_class == lock_class]
    taken = [o for o in own if o.acquires and innermost_loop(o.call) is not None]
    given = [o for o in own if o.releases and innermost_loop(o.call) is not None]
    return any(t.call.end < call.start for t in taken) and any(
        g.call.start > call.end or g.deferred is not None for g in given
    )


def _is_given(file: GoFile, call: Node, owner: str) -> bool:
    """Return whether a call is given an object of a type of the package."""
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
