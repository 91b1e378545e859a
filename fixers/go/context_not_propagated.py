"""Pass on the context that is in scope

A function that has a context (or a request, a command, a test that has one) and starts work
under `context.Background()`, or through the variant of an API that takes none, cuts that work
off: nobody can cancel it, its deadline is forgotten, and traces end there. A client that has
long gone keeps a database busy. The same goes for a private helper that waits without a context one
or two calls further down, where every call of it could pass one.

Not reported:
- work that leaves the context on purpose: in a goroutine, in a deferred call, after the
  context has ended or been cancelled, in functions and calls named for cleanup; where a comment
  gives the reason;
- a request that a function gets in a goroutine, which may go on when it has been answered;
- a context that is stored, returned, or given to a constructor or a start of something lasting;
- `ctx = context.Background()` for a nil one;
- work after a failure (`if err != nil`, a function that is given the error), or that removes
  something and ignores the error;
- literals that are handed to code which cannot be seen;
- tests, but for a Background where a variable holds a context (a test ends by itself);
- a command that is started and not waited for, a result that outlives a context derived here.

By hand: a Background in a function that passes its context to other calls.

Hints (low confidence): those, findings in tests, variants of `log/slog`, commands of cobra (whose
context is nil unless they are executed with one), goroutines or deferred calls, whose form is
`context.WithoutCancel`, functions that only read values of the context, helpers that dial or run
a command, requests that are made and not sent, and helpers that take a prepared statement over
into a transaction (`tx.Stmt`).

Unsafe: the call now ends when the context does, with its error. The variants of `log/slog`
are safe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.ambient import Ambient, ambient, left
from threadmend.golang.backgrounds import Fresh, fresh_contexts
from threadmend.golang.branches import found_nil
from threadmend.golang.builders import import_name, package_name, remove_import, with_reason
from threadmend.golang.context_forms import Form, context_form, names_with_forms
from threadmend.golang.context_reads import is_unsent, only_reads_values
from threadmend.golang.file import GoFile
from threadmend.golang.lasting import lives_on
from threadmend.golang.meant import takes_back
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Edit, Finding, Fix, Safety

from ._helper_calls import waits_in_helpers
from ._helper_contexts import cut_off_by_helpers
from ._outlived_requests import may_be_answered

CATEGORY = "context"
ALSO = "contextcheck"
GATE = rb"context|http\.Request|cobra\.Command|testing\.|\x22(?:net/http|database/sql)\x22"

_REASON = "the call now ends with {}"
_TOLD_APART = "other calls here get a context, and this one may leave it on purpose"


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the calls that could work under the context in scope and do not."""
    yield from _made_anew(file)
    if file.is_test_file:
        return
    yield from cut_off_by_helpers(file)
    yield from waits_in_helpers(file)
    for call in file.calls(*names_with_forms(file.package.workspace)):
        context = ambient(file, call)
        if context is None or context.kind == "test" or left(file, call, context):
            continue
        if found_nil(file, call, context.text) or takes_back(file, call):
            continue
        form = context_form(file, call)
        if form is None or may_be_answered(file, context):
            continue
        if not lives_on(file, call, context):
            yield _without(file, call, context, form)


# -- context.Background() ----------------------------------------------------------------


def _made_anew(file: GoFile) -> Iterator[Finding]:
    found = list(fresh_contexts(file))
    replaced = [f for f in found if not f.detached or file.go_version >= (1, 21)]
    last = remove_import(file.tree, "context") if _none_left(file, replaced) else ()
    for fresh in found:
        if fresh.detached and file.go_version < (1, 21):
            continue
        yield _instead(file, fresh, replaced if last else [fresh], last)


def _none_left(file: GoFile, found: list[Fresh]) -> bool:
    """Return whether the import is of no use once these calls are replaced."""
    if not found or any(f.detached or f.told_apart for f in found):
        return False
    name = package_name(file.tree, "context").encode()
    uses = re.findall(rb"\b" + name + rb"\s*\.\s*\w", file.data)
    return len(uses) == len(found) and all(f.context.kind != "context" for f in found)


def _instead(
    file: GoFile, fresh: Fresh, together: list[Fresh], imports: tuple[Edit, ...]
) -> Finding:
    """Build the finding; where the import goes, all calls that need it are one fix."""
    written = fresh.call.name
    context = fresh.context
    text = _text(file, fresh)
    edits = tuple(
        Edit(file.path, f.call.start, f.call.end, _text(file, f).encode()) for f in together
    )
    reason = _REASON.format(context.text)
    if fresh.detached:
        reason = f"the {fresh.detached} now sees the values of {context.text}"
    unsure = fresh.detached or file.is_test_file or fresh.told_apart or context.kind == "command"
    unsure = unsure or _is_only_read(file, fresh.call)
    fix = Fix(f"Pass {text}", edits + imports, Safety.UNSAFE, reason)
    return Finding(
        path=file.path,
        start=fresh.call.start,
        end=fresh.call.end,
        message=f"{_on_one_line(fresh.receiver)} gets {written}, though {context.text} is in scope",
        fixes=() if fresh.told_apart else (fix,),
        reason=_TOLD_APART if fresh.told_apart else "",
        confidence=Confidence.LOW if unsure else Confidence.HIGH,
    )


def _is_only_read(file: GoFile, context: Node) -> bool:
    """Return whether who is given a context reads its values, as a log function does."""
    arguments = context.parent
    call = arguments.parent if arguments is not None else None
    if call is None or call.kind != "call_expression":
        return False
    return only_reads_values(file, call, context)


def _text(file: GoFile, fresh: Fresh) -> str:
    if not fresh.detached:
        return fresh.context.text
    return f"{import_name(file.tree, 'context')}.WithoutCancel({fresh.context.text})"


# -- the variant without a context -------------------------------------------------------


def _on_one_line(name: str) -> str:
    """Return what is called for a message: `(&net.Dialer{…}).Dial`, whatever is in the braces."""
    if "\n" not in name:
        return name
    return _DOT.sub(".", " ".join(_LITERAL.sub("{…}", name).split()))


_DOT = re.compile(r" ?\. ")
_LITERAL = re.compile(r"\{[^{}]*\n[^{}]*\}")


def _without(file: GoFile, call: Node, context: Ambient, form: Form) -> Finding:
    message = f"{_on_one_line(form.old)} takes no context, though {context.text} is in scope"
    unsure = form.carries or form.takes_over or context.kind == "command"
    unsure = unsure or (form.old.endswith(".NewRequest") and is_unsent(file, call))
    fix, reason = _with_context(context, form)
    return Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=message,
        fixes=(fix,) if fix else (),
        reason=reason,
        confidence=Confidence.LOW if unsure else Confidence.HIGH,
    )


@with_reason
def _with_context(context: Ambient, form: Form) -> Fix:
    safety = Safety.SAFE if form.carries else Safety.UNSAFE
    why = "" if form.carries else _REASON.format(context.text)
    title = f"Call {_on_one_line(form.new)} with {context.text}"
    return Fix(title, form.write(context.text), safety, why)
