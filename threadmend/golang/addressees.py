"""Addressees: for which goroutines a stop channel is, by its name and by who listens.

`s.quit` is for whatever works for s. `s.sweeperStop` is for the sweeper: another loop of s is
no worse for not listening to it. `allDone`, which a goroutine closes and its launcher waits
for, tells that work has ended, and ends none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.scope import Binding
from threadmend.golang.syntax import FUNCTIONS, Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["is_for_another", "tells_its_maker"]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_PLAIN = re.compile(
    r"(?:stop|done|quit|exit|clos|shut|down|term|cancel|abort|kill|halt|finish|die|dead|end)\w*"
    r"|ch|chan|channel|c|sig|signal|notify|event|req|request|requested|flag|wait|once|ctx|context"
    r"|is|to|on|for|and|all|main|my|self|the|of|by|loop|loops|worker|workers|goroutine|goroutines"
    r"|run|running|background|server|service|hard|soft|graceful|gracefully|force|now|internal"
)
_ENDED = re.compile(
    r"(?:[dD]one|[fF]inished|[eE]xited|[sS]topped|[cC]losed|[dD]rained)(?:Ch|Chan)?"
)


def is_for_another(file: GoFile, node: Node, owner: str, name: str) -> bool:
    """Return whether a field's name says that its stop is for other work than a place's.

    By words that are in no name of the functions around the place, nor in that of the owner's
    type; two functions that listen already say that it is for all.
    """
    around = [owner]
    for outer in (node, *node.ancestors()):
        given = outer.get("name") if outer.kind in FUNCTIONS else None
        if given is not None:
            around.append(given.name)
    known = [word for text in around for word in _words(text)]
    said = [word for word in _words(name) if not _PLAIN.fullmatch(word)]
    if all(any(_is_same(word, other) for other in known) for word in said):
        return False
    return _listeners(file, name) < 2


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def _is_same(word: str, other: str) -> bool:
    """Return whether two words are one, or forms of one: `sweep`, `sweeper`."""
    length = min(len(word), len(other))
    return word == other or (length >= 4 and word[:length] == other[:length])


def _listeners(file: GoFile, name: str) -> int:
    pattern = re.compile(rb"<-[\w.]*\." + re.escape(name.encode()) + rb"\b(?!\.)")
    return sum(
        1 for other in file.package.files if not other.is_test for _ in other.declarations(pattern)
    )


def tells_its_maker(binding: Binding) -> bool:
    """Return whether goroutines close a local channel for the function that made it.

    By its name (`allDone`, `readFinished`), who closes it, and that the maker receives.
    """
    found = _ENDED.search(binding.name)
    if found is None or found.start() == 0 or found.end() != len(binding.name):
        return False
    maker = binding.node.function
    received = closed = False
    for use in binding.uses:
        parent = use.parent
        if parent is None:
            continue
        if parent.kind == "unary_expression" and use.function is maker:
            received = True
        elif parent.kind == "argument_list" and (call := parent.parent) is not None:
            if call["function"].text == b"close":
                if use.function is maker:
                    return False
                closed = True
    return received and closed
