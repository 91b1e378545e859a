"""Stop getters: methods of a helper type that hand out the channel which the type closes as a stop.

func (s *Stopper) Stopping() <-chan struct{} { return s.quit }
func (s *Stopper) Stop()                     { close(s.quit) }

A House that has `stop *Stopper` may wait for `<-h.stop.Stopping()`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.channel_fields import shared_channel
from threadmend.golang.functions import only_returned
from threadmend.golang.types import Named, Struct, Type, deref

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl
    from threadmend.golang.syntax import Node

__all__ = ["STOP_NAMES", "stop_getters"]

STOP_NAMES = re.compile(
    r"(?i)done|stop|quit|exit|clos|shut|term|cancel|abort|kill|halt|finish|die|dying"
)
_RESULTS = frozenset({b"<-chan struct{}", b"chan struct{}"})


def stop_getters(file: GoFile, owner: Type | None, at: Node) -> Iterator[str]:
    """Yield what hands a stop out to who has a struct: `stop.Stopping()`, `Halted()` if embedded.

    Not what the function around a place closes, itself or by a call of the method that does.
    """
    base = deref(owner)
    if not isinstance(base, Named) or base.package != file.package.key:
        return
    known: dict[Named, list[tuple[str, frozenset[str]]]]
    known = file.package.facts.setdefault("stop getters", {})
    if base not in known:
        known[base] = list(_of_struct(file, base))
    function = at.function
    for path, closers in known[base]:
        if function is None or not any(_calls(function, name) for name in closers):
            yield path


def _calls(function: Node, name: str) -> bool:
    word = re.compile(rb"\." + re.escape(name.encode()) + rb"\(")
    return word.search(function.tree.data, function.start, function.end) is not None


def _of_struct(file: GoFile, owner: Named) -> Iterator[tuple[str, frozenset[str]]]:
    under = file.package.workspace.inference.underlying(owner)
    if not isinstance(under, Struct):
        return
    for field in under.node.find("field_declaration"):
        if field.up("struct_type") is not under.node:
            continue
        type_ = deref(file.type_from(field.get("type")))
        if not isinstance(type_, Named) or type_ == owner:
            continue
        for decl, closers in _getters(file, type_):
            names = field.all("name")
            for path in [f"{n.name}." for n in names] or [""]:
                yield f"{path}{decl.name}()", closers


def _getters(file: GoFile, type_: Named) -> Iterator[tuple[Decl, frozenset[str]]]:
    """Yield the methods of a type that hand out a channel which its methods close, and those."""
    package = file.package.workspace.package_by_key(type_.package)
    if package is None or package.module is None:
        return
    for name, decls in sorted(package.methods(type_.name).items()):
        if len(decls) != 1 or not STOP_NAMES.search(name):
            continue
        decl = decls[0]
        if not decl.sound or not decl.has_body or not (decl.exported or package is file.package):
            continue
        result, value = decl.node.get("result"), only_returned(decl.node)
        if result is None or result.text not in _RESULTS or value is None:
            continue
        if decl.node["parameters"].children or value.kind != "selector_expression":
            continue
        channel = shared_channel(decl.file, value)
        if channel is None or channel.nils or channel.stores or channel.of("send"):
            continue
        closers = {_method_around(close.node) for close in channel.of("close")}
        if closers and "" not in closers:
            yield decl, frozenset(closers)


def _method_around(close: Node) -> str:
    """Return the name of the method in which a channel is closed; of none, nothing."""
    top = close.function
    while top is not None and top.function is not None:
        top = top.function
    return top["name"].name if top is not None and top.kind == "method_declaration" else ""
