"""Locks of a function that it hands to a thread: what the one takes the other may release."""

from __future__ import annotations

import ast

from threadmend.python.file import PythonFile
from threadmend.python.places import Place

__all__ = ["is_handed_to_thread"]


def is_handed_to_thread(file: PythonFile, lock: Place) -> bool:
    """Return whether a local lock is an argument of what runs in a thread."""
    if lock.kind != "local":
        return False
    given = (arg for spawn in file.spawns for arg in spawn.args or ())
    names = (node for arg in given for node in ast.walk(arg) if isinstance(node, ast.Name))
    return any(node.id == lock.name and file.place(node) == lock for node in names)
