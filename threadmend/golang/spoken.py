"""Spoken: what the names and comments of functions say of the locks they run under."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.calls import own_callers
from threadmend.golang.functions import doc_of, outer_function, remarks_beside
from threadmend.golang.locks import LOCK_CALLS, declaration_of

if TYPE_CHECKING:
    from threadmend.golang.field_accesses import FieldAccess
    from threadmend.golang.file import GoFile
    from threadmend.golang.syntax import Node

__all__ = [
    "callers_explain",
    "is_claimed_safe",
    "is_explained",
    "says_locked",
    "speaks_of_locks",
]

_SAYS_LOCKED = re.compile(
    r"[lL]ocked|[uU]nsafe|[nN]o[lL]ock|[uU]nlocked|[wW]ithLock|[uU]nderLock|[wW]ithoutLock"
)
_SAYS = re.compile(
    rb"(?i)\b(?:un)?lock(?:s|ed|ing)?\b|\bmutex\b|\bmu\b|\bhold(?:s|ing)?\b|\bheld\b"
    rb"|\bracy?\b|\braces?\b|\bconcurren|\bthread|\bgoroutine|\batomic|\bsynchroni"
    rb"|\bonly (?:be )?called|\bunsafe|\bserial|\bsafe(?:ly)?\b"
    rb"|\bno need (?:to|for) (?:protect|guard)|\bneeds? no (?:protect|guard)"
    rb"|(?:\bnot|n't) need (?:to be |any )?(?:protect|guard)"
)
# What is done elsewhere, and when: it says nothing of who runs here.
_OTHERS_RUN = re.compile(rb"(?i)\b(?:another|(?:a )?(?:new|separate|background)) goroutines?\b")
# What a caller's comment can say of those that it calls.
_SAYS_ENTERED = re.compile(
    rb"(?i)\b(?:un)?lock(?:s|ed|ing)?\b|\bmutex\b|\bmu\b|\bhold(?:s|ing)?\b|\bheld\b"
    rb"|\bonly (?:be )?called|\bserial|\b(?:one|single|same|own|main)[- ](?:goroutine|thread)"
)


def is_explained(file: GoFile, node: Node) -> bool:
    """Return whether the function's name or comment, or one beside the node, speaks of it."""
    function = outer_function(node)
    if function is None or speaks_of_locks(file, function):
        return True
    return any(_SAYS.search(_OTHERS_RUN.sub(b"", said)) for said in remarks_beside(node))


def is_claimed_safe(file: GoFile, node: Node) -> bool:
    """Return whether a comment right above a statement says why nobody else gets in its way."""
    statement = node.statement
    return statement is not None and _CLAIMS.search(doc_of(statement)) is not None


_CLAIMS = re.compile(
    rb"(?i)(?<!un)(?<!not )\bsafe(?:ly)?\b|\bonly goroutine\b|\bonly one goroutine\b"
    rb"|\bno (?:data )?race\b"
)


def says_locked(name: str) -> bool:
    """Return whether a function's name says that its callers hold a lock."""
    return _SAYS_LOCKED.search(name) is not None


def speaks_of_locks(file: GoFile, function: Node) -> bool:
    """Return whether a declaration's name or comment tells who holds a lock when it runs."""
    return bool(says_locked(function["name"].name) or _SAYS.search(doc_of(function)))


def callers_explain(access: FieldAccess) -> bool:
    """Return whether the comments of all callers speak of it: `run is called serially`."""
    function = outer_function(access.node)
    decl = declaration_of(access.file, function) if function is not None else None
    if decl is None or decl.exported:
        return False
    above = [(s.file, outer_function(s.node)) for s in own_callers(decl, LOCK_CALLS)]
    return bool(above) and all(f is not None and _SAYS_ENTERED.search(doc_of(f)) for o, f in above)
