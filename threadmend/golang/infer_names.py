"""What an identifier means, inside a function and in its package."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from threadmend.golang.scope import Binding, resolve_local
from threadmend.golang.types import Array, Map, Slice, deref

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile, Import
    from threadmend.golang.infer import Inference
    from threadmend.golang.package import Decl
    from threadmend.golang.syntax import Node

__all__ = ["Names", "is_decl"]


class Names:
    """What identifiers mean: a local binding, a declaration, an import."""

    def __init__(self, inference: Inference) -> None:
        self.inference = inference

    def resolve(self, node: Node) -> Binding | Decl | Import | None:
        """Return what an identifier means; None for predeclared, fields and unknown names."""
        if self.is_field_key(node):
            return None
        local = resolve_local(node)
        if local is not None:
            return local
        return self.package_level(node.name, self.inference.workspace.file_of(node))

    def package_level(self, name: str, file: GoFile) -> Decl | Import | None:
        """Return what a name means in the package block or the file's imports."""
        decl = file.package.lookup(name)
        if decl is not None:
            if not file.is_test and decl.file.is_test:
                return None
            return decl
        for imported in file.imports:
            if imported.name == name:
                return imported
            if imported.name == ".":
                package = self.inference.workspace.package(imported.path)
                found = package.lookup(name) if package else None
                if found is not None and found.exported:
                    return found
        return None

    def is_field_key(self, node: Node) -> bool:
        """Return whether an identifier is the field name in `T{name: value}`."""
        element = node.parent
        if element is None or element.kind != "literal_element" or element.field != "key":
            return False
        literal = element.parent.parent if element.parent else None
        if literal is None or literal.kind != "literal_value":
            return False
        under = self.inference.underlying(deref(self.inference.expressions.literal_type(literal)))
        return not isinstance(under, Map | Slice | Array)


def is_decl(meant: Binding | Decl | Import | None, *kinds: str) -> TypeGuard[Decl]:
    """Return whether a name means a package-level declaration (of one of these kinds)."""
    # An Import is a tuple without a kind; `Decl` itself cannot be imported up here.
    if meant is None or isinstance(meant, Binding | tuple):
        return False
    return not kinds or meant.kind in kinds
