"""Ways out of a critical section that keep what it took."""

from __future__ import annotations

import ast

from threadmend.python.file import PythonFile
from threadmend.python.flow import innermost_loop
from threadmend.python.locks import Section, receiver

__all__ = ["goes_round"]


def goes_round(file: PythonFile, section: Section, node: ast.AST) -> bool:
    """Return whether a `continue` leads back to where the section takes what it still has: the
    section is a part of the loop's body, and nobody else gives anything back.
    """
    if not isinstance(node, ast.Continue) or section.release is None:
        return False
    if innermost_loop(node) is not innermost_loop(section.start):
        return False
    text = file.text(section.item)
    releases = [c for c in file.calls("release") if file.text(receiver(c)) == text]
    return len(releases) == 1 and file.statement(releases[0]) is section.release
