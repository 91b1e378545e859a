"""Let a context reach what blocks

A function that asks a database, a server or a process and takes no context cannot be stopped,
though the functions that call it have one: a shutdown waits for it, a request that was given
up goes on. It takes a context as its first parameter, and so does every function on the way
down from the nearest context, request or command.

What is exported keeps its signature: `Foo` gets `FooContext` beside it. A caller that no
context reaches passes `context.TODO()`: the finding says where. Tests pass `t.Context()` from
Go 1.24 on; goroutines and deferred calls `context.WithoutCancel`.

Not reported:
- a function none of whose callers, nor their callers, has a context;
- main, init, tests; functions named for cleanup;
- a command that is started and not waited for;
- what has a context at hand: `context-not-propagated` is about that;
- `context.TODO()` where the function cannot take a parameter.

By hand: what most callers have no context for; methods that an exported interface or one of
another module may fix, functions used as values, generated callers.

Unsafe: the calls now end when the context does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from threadmend.golang.ambient import CLEANUP, ambient
from threadmend.golang.backgrounds import LASTING
from threadmend.golang.builders import BuilderError
from threadmend.golang.calls import Site, callers
from threadmend.golang.context_forms import context_form, names_with_forms
from threadmend.golang.families import CannotFollow
from threadmend.golang.file import GoFile
from threadmend.golang.lasting import lives_on
from threadmend.golang.meant import after_failure, undoes
from threadmend.golang.package import Decl
from threadmend.golang.syntax import Node
from threadmend.golang.uses import declaration_of, is_fixed_outside
from threadmend.golang.workspace import Module
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._threading import Plan, at_hand, edits_of, follow, plan, reached, refuse_boundaries, unreached

CATEGORY = "context"
ALSO = "noctx"
GATE = rb"context\.|http\.Request|cobra\.Command"


def check(module: Module) -> Iterator[Finding]:
    """Yield the functions that block without a context which their callers have."""
    for package in module.packages:
        for file in package.files:
            if not file.is_test_file and not file.generated:
                yield from _in_file(file)


def _in_file(file: GoFile) -> Iterator[Finding]:
    for _, (decl, calls) in sorted(_waiting(file).items()):
        finding = _finding(decl, sorted(calls, key=lambda c: c.start))
        if finding is not None:
            yield finding


def _waiting(file: GoFile) -> dict[tuple[str, int], tuple[Decl, list[Node]]]:
    """Return the functions that wait without a context, and the calls that do."""
    known: dict[str, dict[tuple[str, int], tuple[Decl, list[Node]]]] = (
        file.package.workspace.facts.setdefault("waiting_without", {})
    )
    if file.path in known:
        return known[file.path]
    found = known[file.path] = {}
    names = names_with_forms(file.package.workspace)
    for call in (*file.calls(*names), *file.calls("TODO")):
        if not _blocks(file, call):
            continue
        function = call.function
        decl = declaration_of(file, function) if function is not None else None
        if decl is None or CLEANUP.search(decl.name) or is_fixed_outside(decl):
            continue
        found.setdefault(decl.key, (decl, []))[1].append(call)
    return found


def _blocks(file: GoFile, call: Node) -> bool:
    """Return whether a call waits for something outside and has a form with a context."""
    if ambient(file, call) is not None:
        return False
    if call.runs_later:
        return False
    if _is_marked(file, call):
        return True
    form = context_form(file, call)
    return form is not None and not form.carries and not lives_on(file, call)


_PREPARES = re.compile(r"[Ss]et|[Ii]nit|[Rr]un|[Ll]oad")


def _is_marked(file: GoFile, call: Node) -> bool:
    """Return whether a call is `context.TODO()`, passed on."""
    function = call["function"]
    if function.kind != "selector_expression" or function["field"].name != "TODO":
        return False
    if file.imported(function["operand"].name) != "context":
        return False
    outer = call.parent.parent if call.parent is not None else None
    if call.parent is None or call.parent.kind != "argument_list" or outer is None:
        return False
    if undoes(outer) or after_failure(file, call):
        return False
    if outer.runs_later:
        return False
    name = outer["function"].name.rpartition(".")[2]
    top = file.tree.declaration_at(call.start)
    own = top.node.get("name") if top is not None else None
    if own is not None and LASTING.match(own.name) and not _PREPARES.match(own.name):
        return False  # what a constructor makes may go on with its context
    return not (CLEANUP.search(name) or LASTING.match(name))


def _finding(decl: Decl, calls: list[Node]) -> Finding | None:
    file = decl.file
    fix, reason = None, ""
    related: tuple[Related, ...] = ()
    count = 0
    try:
        found = follow(decl)
        sites = reached(found)
        if not sites:
            return None
        count = len(sites)
        related = tuple(_related(site, "a context comes from here") for site in sites[:3])
        made = plan(decl)
        refuse_boundaries(made)
        edits = {*edits_of(made), *_given(file, calls), *_given_further(made, decl)}
        related += tuple(_related(s, "no context reaches this call") for s in made.boundaries[:5])
        fix = Fix(_title(decl, made), tuple(edits), Safety.UNSAFE, _why(made))
    except (BuilderError, CannotFollow) as error:
        if all(_is_marked(file, call) for call in calls):
            return None  # somebody has said so, and there is no help
        if not count and not any(s.call is not None and at_hand(s) for s in callers(decl)):
            return None
        reason = str(error)
    what = calls[0]["function"].name
    return Finding(
        path=file.path,
        start=calls[0].start,
        end=calls[0].end,
        message=f"{decl.name} waits in {what} without the context of its callers",
        fixes=(fix,) if fix else (),
        reason=reason,
        related=related,
    )


def _related(site: Site, message: str) -> Related:
    return Related(site.file.path, site.node.start, site.node.end, message)


def _given(file: GoFile, calls: list[Node]) -> list[Edit]:
    """Return the edits of the calls that get the context; at least one can."""
    edits: list[Edit] = []
    failed = ""
    for call in calls:
        if _is_marked(file, call):
            edits.append(Edit(file.path, call.start, call.end, b"ctx"))
            continue
        form = context_form(file, call)
        try:
            edits += form.write("ctx") if form is not None else ()
        except BuilderError as error:
            failed = str(error)
    if not edits:
        raise BuilderError(failed)
    return edits


def _given_further(made: Plan, start: Decl) -> Iterator[Edit]:
    """Yield the edits of calls that wait in the other functions that gain the context."""
    for found in made.families.values():
        for decl in found.decls:
            _, calls = _waiting(decl.file).get(decl.key, (decl, []))
            if decl.key == start.key or decl.file.generated or not calls:
                continue
            with suppress(BuilderError):
                yield from _given(decl.file, calls)


def _title(decl: Decl, made: Plan) -> str:
    others = len({m.key for f in made.families.values() for m in f.decls} - {decl.key})
    gains = f"Add {decl.name}Context" if decl.key in made.twins else f"Give {decl.name} a context"
    if not others:
        return gains
    return f"{gains}, and {others} more function{'s' if others > 1 else ''} on the way to it"


def _why(made: Plan) -> str:
    return "the calls now end with the context" + unreached(made)
