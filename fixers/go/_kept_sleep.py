"""Sleeps by a field: `p.pause(wait)`, where the field only ever holds `time.Sleep`.

Nobody puts another function there, so that the field says nothing: it goes with the call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import (
    BuilderError,
    add_import,
    import_name,
    realigned,
    remove_element,
    remove_field,
)
from threadmend.golang.calls import Site
from threadmend.golang.file import GoFile
from threadmend.golang.sole_values import SoleValue, sole_value
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["KEEPS_SLEEP", "kept_sleeps", "without_field"]

KEEPS_SLEEP = re.compile(rb"\btime\.Sleep\b(?!\()")


def kept_sleeps(file: GoFile) -> Iterator[tuple[Node, SoleValue]]:
    """Yield the calls in a file of fields that only ever hold `time.Sleep`."""
    for other in file.package.files:
        if other.is_test or not other.holds(KEEPS_SLEEP):
            continue
        for value in other.find("selector_expression", KEEPS_SLEEP):
            if value.text != b"time.Sleep" or other.imported("time") != "time":
                continue
            sole = sole_value(Site(other, value["field"], None))
            for site in sole.calls if sole is not None else ():
                if sole is not None and site.file is file and site.call is not None:
                    yield site.call, sole


def without_field(file: GoFile, sole: SoleValue, edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
    """Return the edits, at the only call of a field, with those that remove the field itself.

    Raises BuilderError where it is needed elsewhere.
    """
    element = sole.value.up("keyed_element")
    if len(sole.calls) != 1 or element is None or not element["value"].contains(sole.value):
        raise BuilderError("others sleep by the field as well")
    stored = file.package.workspace.file_of(sole.value)
    if stored is not file and len(_USES.findall(stored.data)) < 2:
        raise BuilderError("an import would be left without a use")
    edits += remove_field(sole.declared) + remove_element(element)
    if import_name(file.tree, "time") is None:
        edits += tuple(add_import(file.tree, "time"))
    return tuple(realigned(file.package.workspace, edits))


_USES = re.compile(rb"\btime\.[A-Z]")
