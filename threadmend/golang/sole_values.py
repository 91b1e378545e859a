"""Sole values: the only function that a field ever holds, so that a call of the field calls it.

    return &Policy{base: base, pause: time.Sleep}      // p.pause(wait) sleeps
    a.main = a.spin                                    // go a.main() launches a.spin

Tests count: a field that one of them sets is there to be set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.callback_fields import calls_of_stored, field_of_stored
from threadmend.golang.calls import Site
from threadmend.golang.infer import is_decl
from threadmend.golang.syntax import Node
from threadmend.golang.targets import stored_values

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["SoleValue", "sole_value"]


@dataclass(frozen=True, slots=True)
class SoleValue:
    """A field of function type that only ever holds one value, stored in one place.

    `declared` is the field's declaration, of which it is the only name, `value` what is stored
    in it, `calls` are all uses of the field; `file` has the declaration.
    """

    file: GoFile
    declared: Node
    value: Node
    calls: tuple[Site, ...]

    @property
    def type(self) -> Node:
        """Return the function type of the field, as it is written there."""
        return self.declared["type"]


def sole_value(site: Site) -> SoleValue | None:
    """Return the field in which a function's use as a value is the only one ever stored.

    None where other packages could store another one, or call it.
    """
    calls, field = calls_of_stored(site), field_of_stored(site)
    if calls is None or field is None:
        return None
    file, owner, name = field
    decl = file.package.lookup(owner.name)
    stored = stored_values(file.package, owner, name, tests=True)
    if len(stored) != 1 or not stored[0][1].contains(site.node) or not is_decl(decl, "type"):
        return None
    if name[:1].isupper():
        return None
    for declared in decl.node.find("field_declaration"):
        if [n.name for n in declared.all("name")] == [name]:
            if declared["type"].kind == "function_type":
                return SoleValue(decl.file, declared, stored[0][1], tuple(calls))
    return None
