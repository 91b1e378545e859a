"""How a type is written in a file, from what is known about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.types import Map, Named, Pointer, Slice, Type

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.scope import Binding

__all__ = ["spelled", "spelled_type_of"]


def spelled(file: GoFile, type_: Type | None) -> str | None:
    """Return a type as Go text for `file`, None when it cannot be named there.

    >>> spelled(file, Slice(Named("time", "Time")))  # doctest: +SKIP
    '[]time.Time'
    """
    match type_:
        case Named():
            return _named(file, type_)
        case Pointer(elem):
            return _around("*", spelled(file, elem))
        case Slice(elem):
            return _around("[]", spelled(file, elem))
        case Map(key, elem):
            first, second = spelled(file, key), spelled(file, elem)
            return f"map[{first}]{second}" if first and second else None
    return None


def _around(prefix: str, inner: str | None) -> str | None:
    return prefix + inner if inner else None


def _named(file: GoFile, type_: Named) -> str | None:
    if type_.local or type_.name.startswith("untyped"):
        return None
    args = [spelled(file, argument) for argument in type_.args]
    if any(argument is None for argument in args):
        return None
    suffix = f"[{', '.join(a for a in args if a)}]" if args else ""
    if not type_.package or type_.package == file.package.key:
        return type_.name + suffix
    for imported in file.imports:
        if imported.path == type_.package and imported.name not in {"", "."}:
            return f"{imported.name}.{type_.name}{suffix}"
    return None


def spelled_type_of(file: GoFile, binding: Binding) -> str | None:
    """Return the type of a local variable as Go text: as declared, else as inferred."""
    declaration = binding.declaration
    if declaration.kind in {"var_spec", "parameter_declaration"}:
        written = declaration.get("type")
        if written is not None:
            return written.name if b"\n" not in written.text else None
    return spelled(file, file.package.workspace.inference.binding_type(binding))
