"""Locks that a property makes anew for everybody who looks at it: `with self.mutex:`, where
`mutex` says `return threading.Lock()`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from threadmend.python.borrowed import all_sections
from threadmend.python.file import PythonFile
from threadmend.python.functions import Function
from threadmend.python.locks import Section

__all__ = ["Fresh", "fresh_lock", "fresh_locks"]


class Fresh(NamedTuple):
    """A property that makes a lock, what makes it, and where it is taken."""

    getter: Function
    made: ast.Call
    sections: list[Section]


def fresh_lock(method: Function) -> ast.Call | None:
    """Return what makes the lock that a function does nothing but return."""
    if method.is_async or method.is_generator or len(method.body) > 2:
        return None
    returned = [r.value for r in method.returns()]
    made = returned[0] if len(returned) == 1 else None
    return made if isinstance(made, ast.Call) else None


def fresh_locks(file: PythonFile) -> Iterator[Fresh]:
    """Yield the properties of a file's classes that make a lock which their methods take, or those
    of heirs: also by another name, `lock = self.mutex`.
    """
    for getter in file.functions:
        made = fresh_lock(getter) if getter.decorators == ["property"] else None
        if made is None or getter.cls is None:
            continue
        files = [file, *(heir.file for heir in getter.cls.heirs)]
        named = [f for f in dict.fromkeys(files) if getter.name.encode() in f.data]
        every = (section for f in named for section in all_sections(f))
        found = [section for section in every if section.lock.value.made is made]
        if found:
            yield Fresh(getter, made, found)
