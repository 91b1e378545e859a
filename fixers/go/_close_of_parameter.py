"""Closes of what a method is given, `close(sub.C)`, that another function closes as well."""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import (
    add_field,
    or_reason,
    package_name,
    reach_import,
    realign,
)
from threadmend.golang.channel_fields import SharedChannel, shared_channel
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.functions import doc_of
from threadmend.golang.syntax import Node
from threadmend.golang.types import Pointer
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._beside import beside

__all__ = ["closed_for_others"]

_LEAVES = re.compile(
    r"(?:Unsub|Unregister|Remove|Detach|Leave|Drop|Disconnect|Close|Stop|Release|Kick|Evict)"
)
_SAYS = re.compile(rb"(?i)\b(?:once|twice|more than once|idempotent)\b")


def closed_for_others(file: GoFile) -> Iterator[Finding]:
    """Yield the close, in an exported method, of a parameter's channel that nothing guards.

    Its caller may come twice, or after the other function that closes the channel.
    """
    if file.is_test or file.generated or file.package.name == "main":
        return
    for call in file.calls("close"):
        method, statement = call.function, call.parent
        arguments = call["arguments"].children
        if method is None or method.kind != "method_declaration" or len(arguments) != 1:
            continue
        if not _LEAVES.match(method["name"].name) or statement is None:
            continue
        if statement.parent is not method["body"] or _is_decided(method, statement):
            continue
        channel = _of_a_parameter(file, arguments[0], method)
        others = _elsewhere(channel, call) if channel is not None else []
        if channel is not None and others and not _SAYS.search(doc_of(method)):
            yield _finding(file, call, channel, others)


def _is_decided(method: Node, statement: Node) -> bool:
    """Return whether something above the close may leave the method, for whatever reason."""
    return any(
        node.start < statement.start and node.kind in {"return_statement", "goto_statement"}
        for node in method["body"].own()
    )


def _of_a_parameter(file: GoFile, operand: Node, method: Node) -> SharedChannel | None:
    if operand.kind != "selector_expression" or operand["operand"].kind != "identifier":
        return None
    binding = file.binding(operand["operand"])
    if binding is None or binding.kind != "parameter" or binding.scope is not method:
        return None
    if not isinstance(file.type_of(operand["operand"]), Pointer):
        return None
    channel = shared_channel(file, operand)
    if channel is None or not channel.is_field or channel.nils or channel.stores:
        return None
    return channel if channel.package is file.package else None


def _elsewhere(channel: SharedChannel, call: Node) -> list[ChannelOperation]:
    """Return the closes in other functions, none where one of them is no plain statement."""
    others = [c for c in channel.of("close") if c.node is not call and not c.file.is_test]
    for close in others:
        statement = close.node.parent
        if close.calls or statement is None or statement.kind != "expression_statement":
            return []
        if close.node.function is call.function or close.file.package is not channel.package:
            return []
        if close.node.function is None or close.node.function.kind == "func_literal":
            return []
        if close.node["arguments"].children[0].kind != "selector_expression":
            return []
    return others


def _finding(
    file: GoFile, call: Node, channel: SharedChannel, others: list[ChannelOperation]
) -> Finding:
    fix = _fix(file, call, channel, others)
    name = call["arguments"].children[0].name
    method = call.function
    owner = method["name"].name if method is not None else ""
    return Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=f"{owner} closes {name} again, and panics, when it was closed before",
        fixes=(fix,) if isinstance(fix, Fix) else (),
        related=tuple(
            Related(o.node.path, o.node.start, o.node.end, "closed here too") for o in others
        ),
        reason=fix if isinstance(fix, str) else "",
        confidence=Confidence.MEDIUM,
    )


@or_reason
def _fix(file: GoFile, call: Node, channel: SharedChannel, others: list[ChannelOperation]) -> Fix:
    """Run every close through a Once beside the channel.

    Sound: the first close does what it did, a later one panicked.
    """
    home = channel.decl.file
    package = package_name(home.tree, "sync")
    place = beside(channel)
    once = place.free("closeOnce")
    edits: tuple[Edit, ...] = add_field(place.struct, once, f"{package}.Once", after=place.field)
    edits += reach_import(home.tree, "sync")
    for node in (call, *(o.node for o in others)):
        base = node["arguments"].children[0]["operand"].name
        text = f"{base}.{once}.Do(func() {{ {node.name} }})"
        edits += (Edit(node.path, node.start, node.end, text.encode()),)
    here = realign(home.tree, [e for e in edits if e.path == home.path])
    rest = tuple(e for e in edits if e.path != home.path)
    title = f"Close {channel.name} only once"
    return Fix(title, (*here, *rest), Safety.SAFE)
