"""Take the context as the first parameter

Everybody looks for `ctx` in front: there it is seen to be passed on, and tools find it. In the
middle of a list it is forgotten, or mistaken for one more option. The signature changes with
all callers, the interfaces that fix it, their implementations and the tests.

Not reported:
- a context behind a `*testing.T`;
- a function that is used as a value: its type is fixed elsewhere;
- exported functions of a module at v2 or later (`…/v2`), whose callers are unknown.

Unsafe: callers outside of the project have to follow; arguments are evaluated in another order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from threadmend.golang.builders import BuilderError, parameters
from threadmend.golang.builders.signatures import Parameter
from threadmend.golang.calls import Site
from threadmend.golang.families import CannotFollow, Family, family
from threadmend.golang.package import Decl
from threadmend.golang.subtests import TESTS
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named
from threadmend.golang.uses import is_api
from threadmend.golang.workspace import Module
from threadmend.model import Edit, Finding, Fix, Related, Safety

CATEGORY = "context"
GATE = rb"[,(]\s*\w+ context\.Context"

_LATER = re.compile(rb",\s*(?:\w+ )?context\.Context\b")
_MAJOR = re.compile(r"/v\d+$")


def check(module: Module) -> Iterator[Finding]:
    """Yield the functions and methods with a context behind other parameters."""
    seen: set[tuple[str, int]] = set()
    for package in module.packages:
        for decl in sorted(package.functions(), key=lambda d: d.key):
            start, end = decl.span
            if decl.key in seen or not decl.sound or not _LATER.search(decl.file.data, start, end):
                continue
            place = _place(decl)
            if place is None or (_MAJOR.search(module.path) and is_api(decl)):
                continue
            finding = _finding(decl, *place, seen)
            if finding is not None:
                yield finding


def _place(decl: Decl) -> tuple[int, int] | None:
    """Return (where the context is, where it belongs) among the parameters."""
    listed = parameters(decl.header)
    contexts = [i for i, p in enumerate(listed) if _is(decl, p, "context.Context")]
    wanted = 0
    while wanted < len(listed) and _is(decl, listed[wanted], *TESTS):
        wanted += 1
    if len(contexts) != 1 or contexts[0] <= wanted or listed[contexts[0]].variadic:
        return None
    return contexts[0], wanted


def _is(decl: Decl, parameter: Parameter, *names: str) -> bool:
    return is_named(decl.file.type_from(parameter.type), *names)


def _finding(decl: Decl, index: int, wanted: int, seen: set[tuple[str, int]]) -> Finding | None:
    at = parameters(decl.node)[index].declaration
    fix, reason = None, ""
    related: tuple[Related, ...] = ()
    try:
        found = family(decl, lambda site: _may_be(site, index))
        seen.update(member.key for member in found.decls)
        edits = tuple(_moved(found, index, wanted))
        why = "the order of the parameters changes"
        if any(is_api(member) for member in found.decls):
            why = f"{decl.name} is exported; callers elsewhere have to follow"
        fix = Fix("Take the context first, and let all callers follow", edits, Safety.UNSAFE, why)
        related = tuple(
            Related(node.path, node.start, node["parameters"].end, "changes with it")
            for node in found.signatures
            if node is not decl.node
        )
    except CannotFollow as error:
        reason = str(error)
        if "used as a value" in reason:
            return None
    except BuilderError as error:
        reason = str(error)
    return Finding(
        path=decl.file.path,
        start=at.start,
        end=at.end,
        message=f"{decl.name} takes its context as parameter {index + 1}",
        fixes=(fix,) if fix else (),
        reason=reason,
        related=related,
    )


def _may_be(site: Site, index: int) -> bool:
    """Return whether a call may pass a context at this position."""
    if site.call is None:
        return False
    arguments = site.call["arguments"].children
    if index >= len(arguments):
        return False
    type_ = site.file.type_of(arguments[index])
    return type_ is None or is_named(type_, "context.Context")


def _moved(found: Family, index: int, wanted: int) -> Iterator[Edit]:
    for node in found.signatures:
        listed = parameters(node)
        chosen = listed[index]
        if len(chosen.declaration.all("name")) > 1:
            raise BuilderError("the context shares its declaration with another parameter")
        first = listed[wanted]
        if first.name is not None and first.declaration["name"] is not first.name:
            raise BuilderError("the parameters before it share a declaration")
        declarations = [c for c in node["parameters"].children if c.kind.endswith("declaration")]
        yield from _in_front(declarations, chosen.declaration, first.declaration)
    for site in found.sites:
        assert site.call is not None
        arguments = site.call["arguments"].children
        if len(arguments) <= index:
            raise BuilderError("a call passes the results of another call")
        yield from _in_front(arguments, arguments[index], arguments[wanted])


def _in_front(items: Sequence[Node], chosen: Node, first: Node) -> Iterator[Edit]:
    """Move one item of a list in front of another; line breaks stay with what they follow."""
    at = next(i for i, item in enumerate(items) if item is chosen)
    before = items[at - 1]
    if chosen.tree.comments_in(first.start, chosen.end):
        raise BuilderError("a comment in the list is in the way")
    source = chosen.tree.source
    above = source.data[source.line_start(first.start) : first.start]
    own = source.data[source.line_start(chosen.start) : chosen.start]
    apart = b" " if above.strip() or own.strip() else source.newline + above
    yield Edit(chosen.path, first.start, first.start, chosen.text + b"," + apart)
    yield Edit(chosen.path, before.end, chosen.end, b"")
