"""Threads that an object keeps in one place, of which it has one at a time: whoever stops it asks
for the end of that one.

def start(self):                                    def resume(self):
    self.worker = Thread(target=self._feed)             self.worker = Thread(target=self._feed)
    self.worker.start()                                 self.worker.start()

def pause(self):
    self.worker.join()
"""

from __future__ import annotations

import ast

from threadmend.python.functions import Function
from threadmend.python.threads import Spawn
from threadmend.python.uses import is_self

__all__ = ["are_of_one_place"]

_ENDS = ("join", "is_alive", "isAlive")


def are_of_one_place(first: Spawn, second: Spawn) -> bool:
    """Return whether two methods of an object each make a thread for the same attribute, and the
    object looks there for the end of the thread.
    """
    if first.node is second.node or first.file is not second.file or first.many or second.many:
        return False
    names = _kept(first) & _kept(second)
    starters = [first.file.function(one.node) for one in (first, second)]
    if not names or starters[0] is starters[1]:
        return False
    home, other = (None if f is None else f.home for f in starters)
    return (
        home is not None
        and home is other
        and any(_ends(method, names) for method in home.methods.values())
    )


def _kept(spawn: Spawn) -> set[str]:
    """Return the attributes of the object that get the thread of a spawn when it is made."""
    if spawn.kind != "thread" or spawn.through is not None:
        return set()
    statement = spawn.file.statement(spawn.node)
    if not isinstance(statement, ast.Assign) or statement.value is not spawn.node:
        return set()
    return {
        target.attr
        for target in statement.targets
        if isinstance(target, ast.Attribute) and is_self(spawn.file, target.value)
    }


def _ends(function: Function, names: set[str]) -> bool:
    """Return whether a method waits for the end of a thread that is kept, or asks for it."""
    return any(
        isinstance(call.func, ast.Attribute)
        and call.func.attr in _ENDS
        and isinstance(thread := call.func.value, ast.Attribute)
        and thread.attr in names
        and is_self(function.file, thread.value)
        for call in function.calls
    )
