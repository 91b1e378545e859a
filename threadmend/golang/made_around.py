"""Made around: paths through an object that a function made around another one.

    func (c *Client) refresh() {
        api := newAPI(c)        // api.client is c:
        api.Leader()            // what this does to api.client, it does to c
    }

Certain when the field is set in composite literals alone, and the variable gets one value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of, is_assigned_once
from threadmend.golang.backrefs import beginning_at, given_field, is_set_in_literals
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.targets import implementations
from threadmend.golang.types import Interface, Named, Pointer, Type, deref

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["unwrapped"]


def unwrapped(file: GoFile, access: Access) -> Access:
    """Return a path that begins at a fresh object as one of what was put into it, if certain."""
    root = access.root
    if not isinstance(root, Binding) or not access.steps or root.kind != "variable":
        return access
    return beginning_at(file, "made around", root, access, _put_in)


def _put_in(file: GoFile, variable: Binding, field: str) -> Access | None:
    """Return what the field of the object that a variable keeps was made with."""
    right = variable.declaration.get("right")
    if right is None or variable.index >= len(right.children) or not is_assigned_once(variable):
        return None
    value = right.children[variable.index]
    element = _type_name(file, file.type_of(value))
    if element is None or not is_set_in_literals(file.package, element, field):
        return None
    given = given_field(file, value, element, field)
    return _same(file, given) if given is not None else None


def _same(file: GoFile, given: Node) -> Access | None:
    """Return the path of a value that is another name for one object for good."""
    if not isinstance(file.underlying(file.type_of(given)), Pointer | Interface):
        return None  # a copy
    access = access_of(file, given)
    if access is None or access.steps or not isinstance(access.root, Binding):
        return None
    return access if is_assigned_once(access.root) else None


def _type_name(file: GoFile, type_: Type | None) -> str | None:
    """Return the name of the package's type that a value is of, behind an interface too."""
    named = deref(type_)
    if isinstance(named, Named) and isinstance(file.underlying(named), Interface):
        types = implementations(file.package.workspace, named)
        named = types[0] if len(types) == 1 else None
    if not isinstance(named, Named) or named.local or named.package != file.package.key:
        return None
    return named.name
