"""A call through an interface that has no method for the `…Locked` twin of the one it names.

An interface of the package gets a method more. One that others may implement stays as it is:
the field through which the call goes is declared as the one type that it ever holds.
"""

from __future__ import annotations

import re

from threadmend.golang.builders import BuilderError
from threadmend.golang.channel_fields import literals_of
from threadmend.golang.file import GoFile
from threadmend.golang.package import Decl
from threadmend.golang.syntax import Node
from threadmend.golang.targets import implementations, stored_values
from threadmend.golang.types import Interface, Named, Pointer, deref
from threadmend.model import Edit

__all__ = ["widened"]


def widened(file: GoFile, call: Node, callee: Decl, name: str) -> tuple[Edit, ...]:
    """Return the edits that let a call through an interface call `name` instead.

    None for a call that names its method. Sound for an interface that nobody outside of the
    package can implement, and nobody inside but the callee's type, and for an unexported field
    that is given nothing but values of that type; raises BuilderError for others.
    """
    function = call["function"]
    selection = file.selection(function) if function.kind == "selector_expression" else None
    if name == callee.name:
        return ()
    if selection is None or selection.kind != "method" or selection.decl is not None:
        return ()
    owner = selection.owner or deref(file.type_of(function["operand"]))
    if not isinstance(owner, Named) or not isinstance(file.underlying(owner), Interface):
        return ()
    package = callee.file.package
    decl = package.lookup(owner.name)
    known = owner.package == package.key and decl is not None and not decl.exported
    alone = [t.name for t in implementations(package.workspace, owner)] == [callee.receiver]
    if decl is None or decl.file.generated or not (known and alone):
        narrower = _narrowed(file, function["operand"], callee)
        if narrower is None:
            raise BuilderError(f"{owner.name} would need a method more")
        return narrower
    faked = re.compile(rb"\)[ \t]*" + callee.name.encode() + rb"\(")
    if any(f.is_test and faked.search(f.data) for f in package.files):
        raise BuilderError(f"{owner.name} would need a method more, in tests too")
    interface = decl.node.get("type")
    for method in interface.children if interface is not None else ():
        if method.kind == "method_elem" and method["name"].name == callee.name:
            signature = method.text[method["name"].end - method.start :]
            text, newline = name.encode() + signature, decl.file.source.newline
            at = decl.file.source.line_end(method.end)
            if b"}" in decl.file.data[method.end : at]:
                return (Edit(decl.file.path, method.end, method.end, b"; " + text),)
            text = b"\t" + text + newline
            return (Edit(decl.file.path, at, at, text),)
    raise BuilderError(f"{callee.name} comes into {owner.name} from another interface")


def _narrowed(file: GoFile, operand: Node, callee: Decl) -> tuple[Edit, ...] | None:
    """Return the edit that declares `x.field` as the type of all that is stored there."""
    selection = file.selection(operand) if operand.kind == "selector_expression" else None
    owner = deref(file.type_of(operand["operand"])) if selection is not None else None
    package, declared = callee.file.package, selection.node if selection is not None else None
    if selection is None or selection.kind != "field" or declared is None or selection.via:
        return None
    if not isinstance(owner, Named) or owner.package != package.key or file.package is not package:
        return None
    name, names = selection.name, declared.all("name")
    decl, type_ = package.lookup(owner.name), declared.get("type")
    if decl is None or type_ is None or len(names) != 1 or name[:1].isupper():
        return None
    word = re.compile(rb"\b" + name.encode() + rb"\b")
    if any(f.is_test and f.holds(word) for f in package.files):
        return None
    stored = [f.type_of(value) for f, value in stored_values(package, owner, name)]
    wanted = Pointer(Named(package.key, callee.receiver))
    if not stored or any(found != wanted for found in stored) or _by_position(decl):
        return None
    return (Edit(declared.path, type_.start, type_.end, f"*{callee.receiver}".encode()),)


def _by_position(decl: Decl) -> bool:
    """Return whether some literal of a struct names no fields."""
    return any(
        element.kind != "keyed_element"
        for _, literal in literals_of(decl)
        for element in literal["body"].children
    )
