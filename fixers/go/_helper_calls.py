"""Helpers that wait in a call without a context, for callers who all work under one.

    func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
        img, err := p.fetch(r.URL.Path)          // → p.fetch(r.Context(), r.URL.Path)
        …
    func (p *Proxy) fetch(path string) ([]byte, error) {
        resp, err := http.Get(p.base + path)     // ends with the request of each caller, then

Only private helpers, one or two calls away; every call of them stands where it would have been
found itself. The codemod `missing-context` goes further.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.ambient import CLEANUP, ambient, left, speaks_of_detachment
from threadmend.golang.backgrounds import LASTING
from threadmend.golang.branches import found_nil
from threadmend.golang.builders import BuilderError, with_reason
from threadmend.golang.context_forms import Form, context_form, names_with_forms
from threadmend.golang.context_reads import is_unsent
from threadmend.golang.file import GoFile
from threadmend.golang.lasting import lives_on
from threadmend.golang.locks import declaration_of
from threadmend.golang.meant import after_failure, undoes
from threadmend.golang.package import Decl
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._given_context import Given, given_context
from ._outlived_requests import may_be_answered

__all__ = ["waits_in_helpers"]


def waits_in_helpers(file: GoFile) -> Iterator[Finding]:
    """Yield the calls of a helper that could end with the context which all its callers have."""
    waiting: dict[tuple[str, int], tuple[Decl, list[tuple[Node, Form]]]] = {}
    for call in file.calls(*names_with_forms(file.package.workspace)):
        function = call.function
        decl = declaration_of(file, function) if function is not None else None
        form = _form(file, call) if decl is not None and not decl.exported else None
        if decl is not None and form is not None:
            waiting.setdefault(decl.key, (decl, []))[1].append((call, form))
    for decl, calls in waiting.values():
        given = None if _is_apart(decl.name) else given_context(file, calls[0][0], alike=True)
        if given is not None and _all_under_one(given):
            yield _finding(file, decl.name, calls, given)


def _form(file: GoFile, call: Node) -> Form | None:
    """Return the form with a context of a call that waits, and has no context at hand."""
    if ambient(file, call) is not None or _is_elsewhere(file, call):
        return None
    form = context_form(file, call)
    if form is None or form.carries or lives_on(file, call):
        return None
    if form.old.startswith("net.Listen"):
        return None
    return None if form.old.endswith(".NewRequest") and is_unsent(file, call) else form


def _is_apart(name: str) -> bool:
    """Return whether a function is named for cleanup, or for what goes on after it."""
    return bool(CLEANUP.search(name) or LASTING.match(name))


def _is_elsewhere(file: GoFile, call: Node) -> bool:
    """Return whether a call has to be made even when the context has ended."""
    if call.runs_later or undoes(call) or after_failure(file, call):
        return True
    return speaks_of_detachment(file, call)


def _all_under_one(given: Given) -> bool:
    """Return whether every call that would pass a context works under it."""
    above = {outer.decl.node for outer in given.above}
    for file, call, stop in given.calls:
        if call.function in above:
            if _is_elsewhere(file, call) or lives_on(file, call):
                return False
            continue
        context = ambient(file, call)
        if context is None or context.text != stop.context:
            return False
        if context.binding.function is not call.function:
            return False  # in a literal, which a Once may run for all
        if context.kind not in {"context", "request"} and not file.is_test_file:
            return False
        if may_be_answered(file, context):
            return False
        if left(file, call, context) or found_nil(file, call, context.text):
            return False
        if _is_elsewhere(file, call) or lives_on(file, call, context):
            return False
    return all(_all_under_one(o) and not _is_apart(o.decl.name) for o in given.above)


def _finding(file: GoFile, name: str, calls: list[tuple[Node, Form]], given: Given) -> Finding:
    call, form = calls[0]
    first = given.above[0].calls[0] if given.above else given.calls[0]
    fix, why = _fix(name, calls, given, first[2].context)
    message = f"{form.old} takes no context, though whoever calls {name} has {first[2].context}"
    return Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=message,
        fixes=(fix,) if fix else (),
        related=(
            Related(first[1].path, first[1].start, first[1].end, "a context comes from here"),
        ),
        reason=why,
        confidence=Confidence.MEDIUM if any(_is_far(file, c) for c, _ in calls) else Confidence.LOW,
    )


def _is_far(file: GoFile, call: Node) -> bool:
    """Return whether a call asks a server or a database, which may take as long as it likes.

    What a command does in a helper of its own is mostly short: `uname -r`.
    """
    decl = file.callee(call)
    return decl is not None and decl.file.package.path in {"net/http", "database/sql"}


@with_reason
def _fix(name: str, calls: list[tuple[Node, Form]], given: Given, context: str) -> Fix:
    """Let the helper, and what is between, take a context, and every caller pass its own."""
    edits: list[Edit] = list(given.edits())
    failed = ""
    for _, form in calls:
        try:
            edits += form.write(given.name)
        except BuilderError as error:
            failed = str(error)
    if failed:
        raise BuilderError(failed)
    reason = f"the call now ends with {context}"
    return Fix(f"Pass {name} the context", tuple(dict.fromkeys(edits)), Safety.UNSAFE, reason)
