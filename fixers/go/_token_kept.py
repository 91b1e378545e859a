"""Functions that take a token out of a pool, a channel that was filled, and keep it on some path.

for _, b := range bags {
    belt := <-h.tokens
    if !scan(b) {
        continue             // keeps the token
    }
    …
    h.tokens <- belt
}
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.channel_fields import shared_channel
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, Named, Struct
from threadmend.model import Finding

from ._slot_held import has_failed, kept_on, slot_finding

__all__ = ["kept_tokens"]

_BOTH = re.compile(rb"<-\s*[\w.]+(?s:.*)[\w.\])]+ <-")


def kept_tokens(file: GoFile) -> Iterator[Finding]:
    """Yield the rounds and error exits that keep a token which other paths put back."""
    if file.generated:
        return
    for function in file.functions(_BOTH):
        gives = [
            n for n in function.own() if n.kind == "send_statement" and n.field != "communication"
        ]
        for give in gives:
            taken = _taken(file, give)
            if taken is None or not _is_token(file, give) or not _is_filled(file, give, taken):
                continue
            alike = [g for g in gives if g.text == give.text]
            if give is alike[0]:
                finding = _kept(file, function, taken, alike)
                if finding is not None:
                    yield finding


def _kept(file: GoFile, function: Node, taken: Node, gives: list[Node]) -> Finding | None:
    flow = flow_of(function)
    begin = flow.point_of(taken)
    stops = {p: n for n in gives if (p := flow.point_of(n)) is not None}
    if begin is None or not flow.complete or len(stops) != len(gives):
        return None
    channel = gives[0]["channel"].text
    if any(
        channel in n.text for n in function.own() if n.kind in {"func_literal", "defer_statement"}
    ):
        return None
    kept = kept_on(flow, begin, stops)
    if not kept or not all(n.kind == "continue_statement" or has_failed(n) for n in kept):
        return None
    token = _token(file, gives[0])
    if token is not None and any(_is_passed_on(use) for use in token.uses):
        return None
    after = taken.next
    if after is None:
        return None
    return slot_finding(function, flow, gives[0]["channel"].name, taken, after, stops, kept)


def _taken(file: GoFile, give: Node) -> Node | None:
    """Return the one statement that takes what another one puts back."""
    token = _token(file, give)
    if token is not None:
        statement = token.declaration
        values = statement.get("right") if statement.kind == "short_var_declaration" else None
        if values is None or len(values.children) != 1 or len(statement["left"].children) != 1:
            return None
        takes = [statement] if _receives(values.children[0], give["channel"]) else []
    else:
        takes = [
            n
            for n in (give.function.own() if give.function is not None else ())
            if n.kind == "expression_statement" and _receives(n.children[0], give["channel"])
        ]
    alone = len(takes) == 1 and takes[0].function is give.function
    return takes[0] if alone and takes[0].end <= give.start else None


def _receives(value: Node, channel: Node) -> bool:
    return (
        value.kind == "unary_expression"
        and value["operator"].kind == "<-"
        and value["operand"].text == channel.text
    )


def _token(file: GoFile, give: Node) -> Binding | None:
    """Return the variable that is put back, None for a `struct{}{}`."""
    return file.binding(give["value"]) if give["value"].kind == "identifier" else None


def _is_token(file: GoFile, give: Node) -> bool:
    """Return whether what goes to and fro is a number or nothing: no object that could be bad."""
    under = file.underlying(file.type_of(give["channel"]))
    if not isinstance(under, Chan):
        return False
    elem = file.underlying(under.elem)
    if isinstance(elem, Struct):
        return next(elem.node.find("field_declaration"), None) is None
    return isinstance(elem, Named) and not elem.package and elem.name not in {"error", "any"}


def _is_filled(file: GoFile, give: Node, taken: Node) -> bool:
    """Return whether a loop elsewhere puts the tokens in, into a channel with room for them."""
    loop = innermost_loop(taken)
    shared = shared_channel(file, give["channel"])
    if shared is not None:
        return any(
            o.node.function is not give.function and innermost_loop(o.node) is not None
            for o in shared.of("send")
        )
    function = give.function
    return function is not None and any(
        node.kind == "send_statement"
        and node.end <= taken.start
        and node["channel"].text == give["channel"].text
        and innermost_loop(node) is not None
        and innermost_loop(node) is not loop
        for node in function.own()
    )


def _is_passed_on(use: Node) -> bool:
    """Return whether a token may be put back elsewhere: it is kept, returned, or given away."""
    parent = use.parent
    if parent is None or parent.kind in {"send_statement", "index_expression", "binary_expression"}:
        return False
    return not (parent.kind == "expression_list" and parent.field == "left")
