"""Tests that drop what they start: only the object could end its goroutine.

db.begin(context.Background())    // func (db *DB) begin(ctx context.Context) *Tx, with a Rollback
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import BuilderError, insert_after, replace, with_reason
from threadmend.golang.calls import callers
from threadmend.golang.contexts import DERIVES, Derivation, derivations
from threadmend.golang.file import GoFile
from threadmend.golang.functions import result_nodes
from threadmend.golang.goroutines import innermost_loop, launches_in
from threadmend.golang.locks import declaration_of
from threadmend.golang.named_like import may_call
from threadmend.golang.package import Decl
from threadmend.golang.recovering import recovers
from threadmend.golang.scope import Binding, position_of
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import Named, deref
from threadmend.golang.unended import never_ends
from threadmend.model import Finding, Fix, Related, Safety

from ._owner_left import Owners, ended_elsewhere, launch_with, owners_of

__all__ = ["ended_with_test", "owner_dropped"]

_STARTS = re.compile(rb"\((?:context\.|\w*[cC]tx\b)|\b[nN]ew\w*\(")
_ENDLESS = re.compile(rb"context\.(?:Background|TODO)\(\)")


def owner_dropped(file: GoFile) -> Iterator[Finding]:
    """Yield the calls of a test whose result alone could end the goroutine that they start.

    Where the test recovers from a panic, it calls in order to see that.
    """
    if not file.is_test_file:
        return
    is_asked = may_call(file.package.workspace, DERIVES, _hands_over)
    for statement in file.find("expression_statement", _STARTS, is_asked):
        call = statement.children[0]
        decl = file.callee(call) if call.kind == "call_expression" else None
        if decl is None or not decl.has_body or len(result_nodes(decl.node)) != 1:
            continue
        if statement.function is not None and recovers(file, statement.function):
            continue
        for derivation in derivations(decl.file):
            owners = _only_handed_over(decl, derivation)
            if owners is not None and _is_endless(file, decl, derivation, call):
                yield _finding(statement, owners)


def _hands_over(decl: Decl) -> bool:
    """Return whether a function starts an object that its caller alone has."""
    if not decl.has_body or len(result_nodes(decl.node)) != 1:
        return False
    return any(_only_handed_over(decl, d) is not None for d in derivations(decl.file))


def _only_handed_over(decl: Decl, derivation: Derivation) -> Owners | None:
    """Return what the object does that a function starts, and that its caller alone has."""
    found = owners_of(decl.file, derivation) if derivation.call.function is decl.node else None
    if found is None:
        return None
    owner, owners = found
    launch = launch_with(owner, launches_in(decl.file, decl.node), derivation.call.start)
    if launch is None or ended_elsewhere(owners, owner, launch, decl.node):
        return None
    for use in owner.uses:
        if use is owner.node or launch.node.contains(use) or owners.stays(use):
            continue
        above = use.parent.parent if use.parent is not None else None
        if above is None or above.kind != "return_statement":
            return None
    return owners


def _is_endless(file: GoFile, decl: Decl, derivation: Derivation, call: Node) -> bool:
    """Return whether the context that is derived from never ends where a call gives it."""
    parent = derivation.call["arguments"].children[0]
    if parent.kind == "identifier":
        binding = decl.file.binding(parent)
        position = position_of(decl.node, binding) if binding is not None else None
        given = call["arguments"].children
        if position is None or position >= len(given):
            return False
        parent = given[position]
    if parent.kind == "identifier":
        binding = file.binding(parent)
        return binding is not None and never_ends(file, binding)
    return _ENDLESS.fullmatch(parent.text) is not None


def _finding(statement: Node, owners: Owners) -> Finding:
    fix, reason = _fix(statement, owners)
    called = statement.children[0]["function"].name
    kept = owners.file.package.lookup(owners.type_.name)
    related = (
        (Related(kept.node.path, kept.node.start, kept.node.end, "keeps the cancel function"),)
        if kept is not None
        else ()
    )
    return Finding(
        path=statement.path,
        start=statement.start,
        end=statement.end,
        message=f"the result of {called} is dropped, which alone can end the goroutine it starts",
        fixes=(fix,) if fix is not None else (),
        related=related,
        reason=reason,
    )


@with_reason
def _fix(statement: Node, owners: Owners) -> Fix:
    """End it with the test, by its only method that does.

    Sound: nobody else has the object, and the test's own function has ended by then.
    """
    ways = [m for m in sorted(owners.closers) if m[:1].isupper() and _is_plain(owners, m)]
    if len(ways) != 1:
        raise BuilderError("which method ends it is not clear")
    function = statement.function
    if function is None or innermost_loop(statement) is not None or function.kind not in FUNCTIONS:
        raise BuilderError("the function does not end with what it starts")
    code = f"defer {statement.name}.{ways[0]}()"
    title = f"Defer {ways[0]} of what is started"
    return Fix(title, replace(statement, code), Safety.UNSAFE, "the goroutine ends with the test")


def _is_plain(owners: Owners, method: str) -> bool:
    decls = owners.file.package.methods(owners.type_.name)[method]
    return all(not d.node["parameters"].children and not result_nodes(d.node) for d in decls)


def ended_with_test(file: GoFile, derivation: Derivation) -> Fix | None:
    """Cancel at the end of the only test that calls the method which derives the context.

    Sound: nobody looks at the field, and the test alone has the object, which it makes.
    """
    function, cancel = derivation.call.function, derivation.cancel
    decl = declaration_of(file, function) if function is not None else None
    if decl is None or decl.kind != "method" or cancel.kind != "selector_expression":
        return None
    sites = callers(decl)
    call = sites[0].call if len(sites) == 1 and sites[0].file.is_test_file else None
    statement = call.parent if call is not None else None
    if call is None or statement is None or statement.kind != "expression_statement":
        return None
    function = call["function"]
    name = function["operand"] if function.kind == "selector_expression" else None
    owner = sites[0].file.binding(name) if name is not None else None
    if name is None or owner is None or innermost_loop(statement) is not None:
        return None
    if not _is_own(sites[0].file, owner, decl, name):
        return None
    text = f"defer {name.name}.{cancel['field'].name}{derivation.call_of_cancel}"
    try:
        edits = insert_after(statement, text)
    except BuilderError:
        return None
    title = f"Defer {name.name}.{cancel['field'].name} in the test"
    return Fix(title, edits, Safety.UNSAFE, "the goroutine ends with the test")


def _is_own(file: GoFile, owner: Binding, decl: Decl, named: Node) -> bool:
    """Return whether a test makes an object itself and keeps it to itself."""
    if owner.function is not named.function or owner.value is None:
        return False
    if not re.match(rb"&?" + decl.receiver.encode() + rb"\{", owner.value.text):
        return False
    type_ = deref(file.type_of(named))
    if not isinstance(type_, Named) or not is_assigned_once(owner):
        return False
    owners = Owners(file, type_, "", frozenset())
    return all(owners.stays(u) for u in owner.uses if u is not owner.node and u is not named)
