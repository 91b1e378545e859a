"""Signs that work leaves the context around it on purpose: it has to be done in any case."""

from __future__ import annotations

import re

from threadmend.golang.ambient import Ambient
from threadmend.golang.branches import decisions, spelt_out
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named

__all__ = ["after_failure", "passes_on", "takes_back", "undoes"]

_FAILED = re.compile(rb"\b\w*[eE]rr\w*\s*!=\s*nil|\berrors\.(?:Is|As)\(|!ok\b")
_ABSENT = re.compile(rb"\b\w*(?:[cC]tx|[cC]ontext)\w*\s*==\s*nil")
_REMOVES = re.compile(r"(?i)delet|remov|purg|discard|revert|forget|expire|evict|unregister")


def after_failure(file: GoFile, node: Node) -> bool:
    """Return whether a place is reached when something failed, or where a context is nil.

    if err := create(ctx); err != nil { remove(context.Background()); return err }
    """
    said = (spelt_out(file, d.condition) for d in decisions(node) if d.holds)
    return any(_FAILED.search(text) or _ABSENT.search(text) for text in said)


def undoes(call: Node) -> bool:
    """Return whether a call removes something and nobody asks how that went."""
    function = call["function"]
    name = (function.get("field") or function).name
    return bool(_REMOVES.search(name)) and _is_ignored(call)


def takes_back(file: GoFile, call: Node) -> bool:
    """Return whether a call takes back what was done, because something failed behind it.

    `if err := grant(); err != nil { db.Exec("DROP USER …"); return err }`
    """
    return _is_ignored(call) and after_failure(file, call)


def _is_ignored(call: Node) -> bool:
    """Return whether nobody asks how a call went."""
    if call.parent is None:
        return False
    if call.parent.kind in {"expression_statement", "defer_statement", "go_statement"}:
        return True
    statement = call.statement
    left = statement.get("left") if statement is not None else None
    return left is not None and all(n.name == "_" for n in left.children)


def passes_on(file: GoFile, node: Node, context: Ambient) -> bool:
    """Return whether the function around a node passes a context on, other than the node's."""
    outer = node.function
    for call in outer.find("call_expression") if outer is not None else ():
        listed = call.get("arguments")
        given = listed.children[0] if listed is not None and listed.children else None
        if given is None or _derives(file, call):
            continue
        if given.text == context.text.encode():
            return True
        binding = file.binding(given) if given.kind == "identifier" else None
        if binding is None or binding.declaration.contains(node):
            continue
        if is_named(file.type_of(given), "context.Context"):
            return True
    return False


def _derives(file: GoFile, call: Node) -> bool:
    function = call["function"]
    return function.kind == "selector_expression" and (
        file.imported(function["operand"].name) in {"context", "log/slog"}
    )
