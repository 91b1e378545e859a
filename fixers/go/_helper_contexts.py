"""Helpers that derive a context from Background for callers who all have one to derive it from."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.ambient import CLEANUP, ambient, speaks_of_detachment
from threadmend.golang.backgrounds import works_under
from threadmend.golang.builders import with_reason
from threadmend.golang.contexts import derives
from threadmend.golang.file import GoFile
from threadmend.golang.locks import declaration_of
from threadmend.golang.syntax import Node
from threadmend.golang.uses import is_api
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._given_context import Given, given_context

__all__ = ["cut_off_by_helpers"]


def cut_off_by_helpers(file: GoFile) -> Iterator[Finding]:
    """Yield the contexts that `s.limited()` derives from Background, and all callers work under."""
    seen: set[Node] = set()
    for call in file.calls("Background", "TODO"):
        function = call.function
        decl = declaration_of(file, function) if function is not None else None
        if decl is None or function is None or function in seen or not derives(decl):
            continue
        seen.add(function)
        if CLEANUP.search(decl.name) or speaks_of_detachment(file, call):
            continue
        fresh = [c for c in function.find("call_expression") if _is_parent(file, c)]
        given = given_context(file, call, 1, exported=True) if call in fresh else None
        if given is not None and all(_is_cut_off(*each) for each in _callers(given)):
            yield _finding(file, decl.name, fresh, given)


def _is_parent(file: GoFile, call: Node) -> bool:
    """Return whether `context.Background()` is what another context is derived from."""
    function, outer = call["function"], call.parent.parent if call.parent is not None else None
    if function.name not in {"context.Background", "context.TODO"} or outer is None:
        return False
    if file.imported("context") != "context" or outer.kind != "call_expression":
        return False
    return outer["function"].name.startswith("context.With")


def _callers(given: Given) -> Iterator[tuple[GoFile, Node, str]]:
    for file, call, stop in given.calls:
        yield file, call, stop.context


def _is_cut_off(file: GoFile, call: Node, name: str) -> bool:
    """Return whether a caller works under what the helper gives it, with a context in scope."""
    context = ambient(file, call, parent=True)
    return context is not None and context.text == name and works_under(file, context, call)


def _finding(file: GoFile, name: str, fresh: list[Node], given: Given) -> Finding:
    """Let the helper take a context, and every caller pass its own."""
    written, caller = fresh[0].name, given.calls[0]
    fix, why = _fix(file, name, fresh, given)
    node = caller[1]
    return Finding(
        path=file.path,
        start=fresh[0].start,
        end=fresh[0].end,
        message=f"{name} derives from {written}, though its callers have {caller[2].context}",
        fixes=(fix,) if fix else (),
        related=(Related(node.path, node.start, node.end, "called here"),),
        reason=why,
        confidence=Confidence.MEDIUM if given.decl.exported else Confidence.HIGH,
    )


@with_reason
def _fix(file: GoFile, name: str, fresh: list[Node], given: Given) -> Fix:
    edits = given.edits()
    edits += tuple(Edit(file.path, c.start, c.end, given.name.encode()) for c in fresh)
    reason = f"the calls now end with {given.calls[0][2].context}"
    if is_api(given.decl):
        reason += "; calls from outside have to pass one, too"
    return Fix(f"Pass {name} the context to derive from", edits, Safety.UNSAFE, reason)
