"""Imports that change hands: one comes, and another one goes when nothing uses it any more."""

from __future__ import annotations

import re

from threadmend.golang.builders import add_import, import_entries, remove_import
from threadmend.golang.file import GoFile
from threadmend.golang.scope import Binding
from threadmend.model import Edit

__all__ = ["mentions", "swap_import"]


def mentions(file: GoFile, name: str) -> int:
    """Return how often the code of a file names a package."""
    word, count = re.compile(rb"\b" + re.escape(name.encode()) + rb"[ \t]*\."), 0
    for declaration in file.tree.declarations:
        if word.search(file.data, declaration.start, declaration.end):
            for node in declaration.node.find("package_identifier", "identifier"):
                if node.name == name and not isinstance(file.resolve(node), Binding):
                    parent = node.parent
                    role = "package" if node.kind == "package_identifier" else "operand"
                    count += parent is not None and node.field == role
    return count


def swap_import(file: GoFile, old: str, new: str) -> tuple[Edit, ...]:
    """Import a package, and no longer another one."""
    entries = import_entries(file.tree)
    if len(entries) == 1:
        node = entries[0].node
        return (Edit(file.path, node.start, node.end, f'"{new}"'.encode()),)
    (added, *others), (removed, *more) = add_import(file.tree, new), remove_import(file.tree, old)
    newline, text = file.source.newline, added.new
    below = text.startswith(newline)  # the line that goes, or a group of its own
    if others or not removed.start <= added.start < removed.end + below:
        return (added, *others, removed, *more)
    if below:
        text = text.removeprefix(newline) + newline
    return (Edit(file.path, removed.start, removed.end, text), *more)
