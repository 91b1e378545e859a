"""F-strings: before Python 3.12 nobody says where the expressions in them stand.

`ast` gives them the place of the whole string, or of somewhere else on its line.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from dataclasses import replace

from threadmend.model import Edit, Finding
from threadmend.python.file import PythonFile

__all__ = ["without_guesses"]

_UNKNOWN = "the place inside of the f-string is not known"


def without_guesses(found: Finding, file: Callable[[str], PythonFile | None]) -> Finding:
    """Return a finding without the fixes that would put something in place of an f-string, or
    before one, for what stands in it.
    """
    if sys.version_info >= (3, 12) or not found.fixes:
        return found
    kept = tuple(
        fix
        for fix in found.fixes
        if not any(_is_guess(edit, file(edit.path)) for edit in fix.edits)
    )
    if len(kept) == len(found.fixes):
        return found
    return replace(found, fixes=kept, reason=found.reason if kept else _UNKNOWN)


def _is_guess(edit: Edit, file: PythonFile | None) -> bool:
    if file is None:
        return False
    for node in file.nodes(ast.JoinedStr):
        if not any(isinstance(value, ast.FormattedValue) for value in node.values):
            continue
        start, end = file.span(node)
        if start <= edit.start and edit.end <= end and edit.start < end:
            return True
    return False
