"""Files that are written for Python 2, where `keys`, `values` and `items` return lists."""

from __future__ import annotations

import re

from threadmend.python.file import PythonFile

__all__ = ["views_are_copies"]

_OLD = re.compile(rb"(?<!six)\.(?:iter(?:keys|values|items)|has_key)\(")
_BOTH = re.compile(rb"\b(?:six|PY[23]|version_info)\b|[\"']iter(?:keys|values|items)[\"']")
"""What a file names that tells the two apart: which of them it runs on is not known."""


def views_are_copies(file: PythonFile) -> bool:
    """Return whether a file asks dictionaries for what they only have in Python 2."""
    return _OLD.search(file.data) is not None and _BOTH.search(file.data) is None
