"""F-strings before Python 3.12: nothing is rewritten whose place nobody knows."""

from __future__ import annotations

import ast
import sys

import pytest
from python_cases import file_of

from threadmend.model import Edit, Finding, Fix
from threadmend.python.builders import BuilderError, replace
from threadmend.python.fstrings import without_guesses

TEXT = """
def shown(self):
    return (f"<{self.name} "
            f"{len([1 for one in self.d.values() if one])}>")
"""
OLD = sys.version_info < (3, 12)


def test_what_stands_in_an_f_string_is_written_as_it_is() -> None:
    file = file_of(TEXT)
    loop = file.nodes(ast.comprehension)[0]
    assert file.text(loop.iter) == "self.d.values()"


@pytest.mark.skipif(not OLD, reason="the place is known")
def test_what_stands_in_an_f_string_is_not_replaced() -> None:
    file = file_of(TEXT)
    loop = file.nodes(ast.comprehension)[0]
    with pytest.raises(BuilderError):
        replace(file, loop.iter, "list(self.d)")
    start, end = file.span(loop.iter)
    for edit in (Edit("a.py", start, end, b"x"), Edit("a.py", start, start, b"x")):
        found = Finding("a.py", start, end, "", (Fix("", (edit,)),))
        assert not without_guesses(found, lambda path: file).fixes


def test_what_stands_beside_an_f_string_is_replaced() -> None:
    file = file_of(TEXT)
    start = TEXT.index("return")
    for at in (start, len(TEXT) - 2):
        found = Finding("a.py", at, at, "", (Fix("", (Edit("a.py", at, at, b"("),)),))
        assert without_guesses(found, lambda path: file) is found
