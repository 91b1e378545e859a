"""An interface of the package that gets a method more, for the `…Locked` twin of one it has."""

from __future__ import annotations

import re

from threadmend.golang.builders import BuilderError
from threadmend.golang.file import GoFile
from threadmend.golang.package import Decl
from threadmend.golang.syntax import Node
from threadmend.golang.targets import implementations
from threadmend.golang.types import Interface, Named, deref
from threadmend.model import Edit

__all__ = ["widened"]


def widened(file: GoFile, call: Node, callee: Decl, name: str) -> tuple[Edit, ...]:
    """Return the edits that let a call through an interface call `name` instead.

    None for a call that names its method. Sound for an interface that nobody outside of the
    package can implement, and nobody inside but the callee's type; raises BuilderError for others.
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
    if owner.package != package.key or decl is None or decl.file.generated or decl.exported:
        raise BuilderError(f"{owner.name} would need a method more")
    if [t.name for t in implementations(package.workspace, owner)] != [callee.receiver]:
        raise BuilderError(f"{owner.name} would need a method more")
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
