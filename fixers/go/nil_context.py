"""Pass a context, not nil

A function that is handed a nil context panics when it asks for its deadline or derives from
it; that it works today depends on code which nobody promised to keep. `context.TODO()` says
that the right one is still to come.

Not reported: nil for a parameter of another type; a function that tests its context for nil, or
only hands it on to those that do; a test that tries nil on purpose, as its name or a comment says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import add_import, import_name
from threadmend.golang.builders.signatures import parameters
from threadmend.golang.file import GoFile
from threadmend.golang.functions import remarks_beside
from threadmend.golang.stops import contexts_at
from threadmend.golang.syntax import Node
from threadmend.golang.types import Func, Pointer, is_named
from threadmend.model import Confidence, Edit, Finding, Fix

CATEGORY = "context"
ALSO = "staticcheck SA1012"
GATE = rb"\(nil\b"


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the nils that are passed as a first parameter of type context.Context."""
    for call in file.calls_with(b"(nil"):
        arguments = call["arguments"].children
        if not arguments or arguments[0].kind != "nil":
            continue
        signature = file.underlying(file.type_of(call["function"]))
        if not isinstance(signature, Func) or not signature.params:
            continue
        if isinstance(signature.params[0], Pointer):
            continue
        if not is_named(signature.params[0], "context.Context") or _is_tried(file, call):
            continue
        if not _may_be_nil(file, call):
            yield _finding(file, call, arguments[0])


def _may_be_nil(file: GoFile, call: Node, position: int = 0, depth: int = 4) -> bool:
    """Return whether the function that is called looks whether its context is nil.

    Or only hands it on to such functions: `func Infof(ctx …) { logf(ctx, …) }`.
    """
    decl = file.callee(call)
    if decl is None or not decl.has_body or depth == 0:
        return False
    names = parameters(decl.node)
    name = names[position].name if position < len(names) else None
    if name is None:
        return False
    body = decl.node["body"]
    test = rb"\b" + re.escape(name.text) + rb" [!=]= nil\b"
    if re.search(test, body.text) is not None:
        return True
    uses = [n for n in body.find("identifier") if n.text == name.text]
    return bool(uses) and all(_is_handed_on(decl.file, use, depth) for use in uses)


def _is_handed_on(file: GoFile, use: Node, depth: int) -> bool:
    """Return whether a context is an argument of a function that takes nil, too."""
    arguments = use.parent
    call = arguments.parent if arguments is not None else None
    if arguments is None or call is None or call.kind != "call_expression":
        return False
    if arguments.kind != "argument_list":
        return False
    return _may_be_nil(file, call, arguments.children.index(use), depth - 1)


_SAYS = re.compile(rb"(?i)\bnil\b")


def _is_tried(file: GoFile, call: Node) -> bool:
    """Return whether a test passes nil on purpose: its name or a comment here speaks of it."""
    if not file.is_test_file:
        return False
    top = file.tree.declaration_at(call.start)
    name = top.node.get("name") if top is not None else None
    if name is not None and re.search("[nN]il", name.name):
        return True
    return any(map(_SAYS.search, remarks_beside(call)))


def _finding(file: GoFile, call: Node, argument: Node) -> Finding:
    """Build the finding; the fix passes the context in scope, else `context.TODO()`.

    Sound: what panicked or ignored the nil gets a context that is never done, or the one
    that its surroundings run under.
    """
    visible = contexts_at(file, call)
    imports: tuple[Edit, ...] = ()
    if visible:
        text = visible[0]
    else:
        known = import_name(file.tree, "context")
        text = f"{known or 'context'}.TODO()"
        imports = () if known else add_import(file.tree, "context")
    name = " ".join(call["function"].name.split())
    if call["function"].kind == "call_expression":
        name = "what " + " ".join(call["function"]["function"].name.split()) + " returns"
    edit = Edit(file.path, argument.start, argument.end, text.encode())
    return Finding(
        path=file.path,
        start=argument.start,
        end=argument.end,
        message=f"nil is passed to {name} as its context",
        fixes=(Fix(f"Pass {text}", (edit, *imports)),),
        confidence=Confidence.LOW if file.is_test_file else Confidence.HIGH,
    )
