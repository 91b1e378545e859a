"""Builders of edits: statements, imports, classes, sections; they change nothing.

Code is given as text with four blanks per level; it is written with the file's indentation,
line endings and encoding. What cannot be written well raises BuilderError.
"""

from threadmend.python.builders.classes import add_attribute, add_method, add_variable
from threadmend.python.builders.concrete import rewrite
from threadmend.python.builders.hints import hint, is_annotated, nothing
from threadmend.python.builders.imports import add_import, drop_import, reference
from threadmend.python.builders.lines import (
    BuilderError,
    applied,
    indent_of,
    is_alone,
    with_comment,
)
from threadmend.python.builders.names import free_attribute, free_name, is_free
from threadmend.python.builders.sections import (
    add_handler,
    begin_try_earlier,
    section_to_try,
    section_to_with,
)
from threadmend.python.builders.statements import (
    delete,
    insert_after,
    insert_at_end,
    insert_at_start,
    insert_before,
    put_under,
    replace,
    replace_statement,
    unwrap,
    wrap,
)

__all__ = [
    "BuilderError",
    "add_attribute",
    "add_handler",
    "add_import",
    "add_method",
    "add_variable",
    "applied",
    "begin_try_earlier",
    "delete",
    "drop_import",
    "free_attribute",
    "free_name",
    "hint",
    "indent_of",
    "insert_after",
    "insert_at_end",
    "insert_at_start",
    "insert_before",
    "is_alone",
    "is_annotated",
    "is_free",
    "nothing",
    "put_under",
    "reference",
    "replace",
    "replace_statement",
    "rewrite",
    "section_to_try",
    "section_to_with",
    "unwrap",
    "with_comment",
    "wrap",
]
