"""Take the context as a parameter, not from a field

A context is about one call: its deadline, its cancellation, its trace. A client or store that
keeps the one it was made with works under that for ever. Whoever calls it has a context of
their own, and cannot hand it over: a request that was given up goes on, and a deadline is
not kept. The field goes, the methods that used it take a context first, and so do their
callers up to the next one that has a context.

Where the field only ever held `context.Background()`, methods that cannot take a parameter (an
interface of somebody else fixes them) go on with `context.Background()`, and exported methods
get `FooContext` beside `Foo`.

Not reported:
- a struct that has the means to end its context, or that goes on working: a cancel function, a
  WaitGroup, a channel `done`; methods such as `Run`; uses in goroutines, `ctx.Done()`;
- what lives as long as its context: requests, options, jobs, sessions, iterators, by their
  names; what is sent through a channel; what is made where the context is derived or where a
  request is answered; what is used only in the function that makes it;
- a context that is set or returned by a method (`WithContext`), embedded or exported;
- methods whose callers have no context either; tests, generated and generic types.

By hand: where a caller has no context to take the place of the field's, where a goroutine or
the cleanup worked under it, and where somebody else may make the struct.

Unsafe: the calls end with the context of their callers, no longer with that of the struct.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.ambient import CLEANUP, ambient
from threadmend.golang.builders import BuilderError, import_name
from threadmend.golang.calls import Site
from threadmend.golang.families import CannotFollow, Family
from threadmend.golang.scope import Binding
from threadmend.golang.uses import is_api
from threadmend.golang.workspace import Module
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._stored import BOUND, Stored, Use, enclosing, is_main, origin, stored_contexts
from ._threading import Plan, at_hand, edits_of, follow, plan, reached, refuse_boundaries, unreached
from ._unstored import taken_away, unused_imports

CATEGORY = "context"
ALSO = "containedctx"
GATE = rb"\n\s+\w+\s+context\.Context\b"
OPT_IN = True


def check(module: Module) -> Iterator[Finding]:
    """Yield the contexts that structs store, and that callers should pass."""
    for package in module.packages:
        for stored in stored_contexts(package):
            origins = {
                origin(value.file, value.value)
                for value in stored.values
                if not value.file.is_test_file
            }
            if (
                not origins
                or "own" in origins
                or (origins != {"endless"} and BOUND.search(stored.decl.name))
            ):
                continue
            finding = _finding(stored, origins)
            if finding is not None:
                yield finding


def _finding(stored: Stored, origins: set[str]) -> Finding | None:
    endless = origins == {"endless"}
    able, unable = _methods(stored)
    sites = [s for family in able.values() for s in _givers(family)]
    sites = list({s.node: s for s in sites if _is_evidence(stored, s, endless)}.values())
    requests = [use for use in stored.uses if use.context is not None]
    if not sites and not requests:
        return None
    fix, reason = None, ""
    try:
        if "unknown" in origins:
            raise BuilderError(f"nobody here says which context {stored.decl.name} is made with")
        _refuse_tests(stored)
        made = _planned(stored) if endless else _proved(stored, unable)
        refuse_boundaries(made, len(requests))
        edits = tuple(_edits(stored, made))
        fix = Fix(_title(stored), edits, Safety.UNSAFE, _why(stored, made, endless))
    except (BuilderError, CannotFollow) as error:
        reason = str(error)
    related = [(s.file, s.node, "a caller has a context") for s in sites[:3]]
    related += [(u.file, u.node, "a request is answered here") for u in requests[:3]]
    return Finding(
        path=stored.field.path,
        start=stored.field.start,
        end=stored.field.end,
        message=_message(stored),
        fixes=(fix,) if fix else (),
        reason=reason,
        related=tuple(Related(f.path, n.start, n.end, text) for f, n, text in related),
    )


# -- who could pass a context ------------------------------------------------------------------


def _methods(stored: Stored) -> tuple[dict[str, Family], str]:
    """Return the families of the methods that can take a parameter, and why others cannot."""
    able: dict[str, Family] = {}
    reason = ""
    for method in stored.methods:
        try:
            able[method.name] = follow(method)
        except CannotFollow as error:
            reason = reason or str(error)
    return able, reason


def _givers(found: Family, depth: int = 4) -> Iterator[Site]:
    """Yield the calls at which a context is at hand, also further up the callers."""
    for site in reached(found, depth):
        if at_hand(site) is not None:
            yield site
            continue
        assert site.call is not None
        above = enclosing(site.file, site.call)
        if above is not None and depth > 1:
            yield from _givers(follow(above), depth - 1)


def _is_evidence(stored: Stored, site: Site, endless: bool) -> bool:
    """Return whether a call has a context that is not, as likely as not, that of the struct."""
    context = at_hand(site)
    assert context is not None
    assert site.call is not None
    function = enclosing(site.file, site.call)
    if function is None:
        return False
    if function.receiver == stored.decl.name and function.file.package is stored.decl.file.package:
        return context.kind != "context" or context.binding.kind == "parameter"
    return endless or not (is_main(function) or _is_made_here(site))


def _is_made_here(site: Site) -> bool:
    """Return whether the receiver is a variable that holds what its function made."""
    function = site.node.parent
    root = function.get("operand") if function is not None else None
    while root is not None and root.kind == "selector_expression":
        root = root["operand"]
    if root is None or root.kind != "identifier":
        return False
    binding = site.file.binding(root)
    return binding is not None and binding.kind == "variable"


# -- the rewrite ---------------------------------------------------------------------------


def _refuse_tests(stored: Stored) -> None:
    """Refuse where a test makes the struct with a context that it may cancel."""
    for value in stored.values:
        if value.file.is_test_file and origin(value.file, value.value) != "endless":
            line = value.file.source.line_of(value.node.start)
            raise BuilderError(f"a test gives it a context of its own ({value.file.path}:{line})")


def _planned(stored: Stored) -> Plan:
    """Return the plan for a context that nobody cancels: what can take a parameter does."""
    gaining = []
    for method in stored.methods:
        if CLEANUP.search(method.name):
            continue
        try:
            plan(method)
        except (BuilderError, CannotFollow):
            continue
        gaining.append(method)
    if not gaining and not any(use.context for use in stored.uses):
        plan(*stored.methods)  # says why
        raise BuilderError("only the cleanup works under it")
    return plan(*gaining)


def _proved(stored: Stored, reason: str) -> Plan:
    """Return the plan for a context that somebody may cancel: every caller has another."""
    if reason:
        raise BuilderError(reason)
    for method in stored.methods:
        if CLEANUP.search(method.name):
            raise BuilderError(f"{method.name} cleans up under it")
        if is_api(method):
            raise BuilderError(f"{method.name} is exported, and callers elsewhere may rely on it")
    made = plan(*stored.methods)
    for site in (*made.boundaries, *made.detached):
        line = site.file.source.line_of(site.node.start)
        raise BuilderError(f"no context takes its place in {site.file.path}:{line}")
    return made


def _edits(stored: Stored, made: Plan) -> Iterator[Edit]:
    edits = [*edits_of(made)]
    edits += (
        Edit(use.file.path, use.node.start, use.node.end, _given(use, made).encode())
        for use in stored.uses
    )
    needed: list[Binding] = []
    for site, _, _ in made.passed:
        assert site.call is not None
        context = ambient(site.file, site.call)
        needed += [context.binding] if context is not None else []
    edits += taken_away(stored, needed)
    workspace = stored.decl.file.package.workspace
    touched = [workspace.file(path) for path in sorted({e.path for e in edits})]
    yield from dict.fromkeys((*edits, *unused_imports(touched, edits)))


def _given(use: Use, made: Plan) -> str:
    if use.context is not None:
        return use.context.text
    if use.method.key in made.families:
        return "ctx"
    name = import_name(use.file.tree, "context")
    if name is None:
        raise BuilderError(f"{use.file.path} does not import context")
    return f"{name}.Background()"


# -- what is said ----------------------------------------------------------------------------


def _message(stored: Stored) -> str:
    names = list(dict.fromkeys(use.method.name for use in stored.uses))
    listed = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    verb = "works" if len(names) == 1 else "work"
    return f"{listed} of {stored.decl.name} {verb} under a stored context, not their callers'"


def _title(stored: Stored) -> str:
    return f"Pass a context to the methods of {stored.decl.name}, and drop the field {stored.name}"


def _why(stored: Stored, made: Plan, endless: bool) -> str:
    ended = "which nothing ended before" if endless else "no longer with that of the struct"
    why = f"the calls end with the context of their callers, {ended}"
    return why + unreached(made)
