"""Conversions: where a value of a type becomes an interface that needs one of its methods.

When a method gets a pointer receiver, only pointers have it: such a value no longer fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.calls import importers
from threadmend.golang.copies import is_interface, target_type, values
from threadmend.golang.infer import Inference
from threadmend.golang.syntax import Node
from threadmend.golang.types import Interface, Named, Struct, Type, TypeParam
from threadmend.golang.uses import interface_methods

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = ["interface_value"]

# Looked for at run time in values of type `any`: by fmt, the encodings, errors.
_DYNAMIC = frozenset(
    {
        *("String", "Error", "GoString", "Format", "LogValue", "Value", "GobEncode"),
        *("MarshalJSON", "MarshalText", "MarshalBinary", "MarshalYAML", "MarshalXML"),
        *("Is", "As", "Unwrap", "Timeout", "Temporary"),
    }
)
_STANDARD = _DYNAMIC | frozenset(
    {
        *("Read", "Write", "Close", "Seek", "ReadAt", "WriteAt", "ReadFrom", "WriteTo"),
        *("ReadByte", "WriteByte", "ReadRune", "WriteString", "Reset", "Sum", "Size"),
        *("Len", "Less", "Swap", "Push", "Pop", "ServeHTTP", "RoundTrip", "Lock", "Unlock"),
        *("Set", "Get", "Done", "Err", "Deadline", "Addr", "Network", "Open", "Stat"),
        *("Name", "Mode", "ModTime", "IsDir", "Sys", "Handle", "Enabled", "WithAttrs"),
    }
)


def interface_value(decl: Decl) -> Node | None:
    """Return an expression that makes an interface with a method of a value, if there is one.

    The value's type is the method's receiver or a struct that embeds it. A place whose type
    is not known counts when the method is one that others look for at run time.
    """
    workspace = decl.file.package.workspace
    if decl.name not in _STANDARD and not interface_methods(workspace, decl.name):
        return None
    package = decl.file.package
    owner = Named(package.key, decl.receiver)
    for using in (package, *importers(package)):
        for file in using.files:
            for node in _converted(file, decl.name, owner):
                return node
    return None


def _converted(file: GoFile, method: str, owner: Named) -> Iterator[Node]:
    for declaration in file.declarations():
        for kind, holder, index, node in values(declaration):
            type_ = file.type_of(node)
            if not isinstance(type_, Named) or not type_.package:
                continue
            if not _has(file.package.workspace.inference, type_, owner):
                continue
            target = target_type(file, kind, holder, index, type_)
            if target is None:
                if method in _DYNAMIC:
                    yield node
            elif is_interface(file, target) and _needs(file, target, method):
                yield node


def _has(inference: Inference, type_: Named, owner: Named) -> bool:
    """Return whether a type is the owner, or embeds it by value."""
    if (type_.package, type_.name) == (owner.package, owner.name):
        return True
    under = inference.underlying(type_)
    if not isinstance(under, Struct):
        return False
    for group in under.node.children:
        for field in group.children:
            if field.kind != "field_declaration" or field.all("name"):
                continue
            if any(c.kind == "*" for c in field.children):
                continue
            inner = inference.type_from(field.get("type"))
            if isinstance(inner, Named) and inner != type_ and _has(inference, inner, owner):
                return True
    return False


def _needs(file: GoFile, target: Type, method: str) -> bool:
    if isinstance(target, TypeParam):
        return True
    if isinstance(target, Named) and not target.package:
        return (target.name == "error" and method == "Error") or (
            target.name == "any" and method in _DYNAMIC
        )
    inference = file.package.workspace.inference
    if inference.member(target, method) is not None:
        return True
    under = inference.underlying(target)
    empty = isinstance(under, Interface) and not any(
        c.kind in {"method_elem", "type_elem"} for c in under.node.children
    )
    return empty and method in _DYNAMIC
