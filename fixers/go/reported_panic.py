"""Mend the misuse that a run ended with

The runtime stopped the program: a nil channel was closed, a WaitGroup counted below zero, a
lock was released that nobody held. `threadmend fix --from` reads such reports; without one,
this rule says nothing. At the place that the report names, the second `Done` beside a
deferred one goes, a release moves to the path that locked, a channel that nobody made yet is
not closed.

Not reported: places where none of these is the reason.

Unsafe: always; it is for the reader to say whether the counting and locking are meant so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace as replace_in
from functools import partial

from threadmend.golang.access import access_of
from threadmend.golang.builders import BuilderError, delete, insert_at_end, replace
from threadmend.golang.evidence import function_at, nodes_at, sites_in
from threadmend.golang.file import GoFile
from threadmend.golang.locks import LockOperation, locks_of
from threadmend.golang.package import Package
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._unmade import is_made, made_in_literals

CATEGORY = "goroutine"


def check(package: Package) -> Iterator[Finding]:
    """Yield the misuse at each place where the program was seen to end."""
    for evidence, site, file in sites_in(package, "panic"):
        for words, find in _MISUSES.items():
            if words in evidence.message:
                found = find(file, site.line)
                if found is not None:
                    yield _with_place(found, file, site.line)
                break


def _with_place(found: Finding, file: GoFile, line: int) -> Finding:
    """Return a finding that says where the run ended, when that is another line."""
    source = file.source
    if source.line_of(found.start) == line:
        return found
    start = source.line_starts[line - 1]
    first = start + len(source.indent_at(start))
    end = max(first, source.line_end(start) - 1)
    return replace_in(found, related=(Related(file.path, first, end, "the run ended here"),))


# -- close of nil channel -------------------------------------------------------------------


def _nil_close(file: GoFile, line: int) -> Finding | None:
    function = function_at(file.tree, line)
    deferred = [
        call
        for call in (function.own() if function is not None else ())
        if call.kind == "call_expression" and _statement_kind(call) == "defer_statement"
    ]
    for call in [*nodes_at(file, line, "call_expression"), *deferred]:
        arguments = call.get("arguments")
        if call["function"].text != b"close" or arguments is None or len(arguments.children) != 1:
            continue
        channel, statement = arguments.children[0], call.parent
        if channel.kind == "selector_expression" and not is_made(file.package, file, channel):
            edits = made_in_literals(file.package, file, channel)
            if edits:
                name = channel["field"].name
                said = f"{channel.name} was seen to be nil, and nobody makes it"
                title = f"Make {name} where the value is made"
                reason = "values that are made elsewhere still have no channel"
                return _finding(file, call, said, title, partial(_given, edits), reason)
        if statement is None or statement.kind != "expression_statement" or _is_tested(call):
            continue
        if access_of(file, channel) is None:
            continue
        code = f"if {channel.name} != nil {{\n\tclose({channel.name})\n}}"
        said = f"{channel.name} was seen to be nil when it is closed"
        title = f"Close {channel.name} only if it was made"
        reason = "a call before the channel is made now does nothing"
        return _finding(file, call, said, title, partial(replace, statement, code), reason)
    return None


def _is_tested(call: Node) -> bool:
    """Return whether an `if` around a close compares with nil."""
    return any(
        a.kind == "if_statement" and b"!= nil" in a["condition"].text for a in call.ancestors()
    )


# -- negative WaitGroup counter ---------------------------------------------------------------


def _second_done(file: GoFile, line: int) -> Finding | None:
    """Find the plain Done of a function that defers one as well."""
    function = function_at(file.tree, line)
    calls = list(_dones(file, function)) if function is not None else []
    deferred = [c for c in calls if _statement_kind(c) == "defer_statement"]
    for one in deferred:
        group = one["function"]["operand"].text
        plain = [
            c
            for c in calls
            if c["function"]["operand"].text == group
            and _statement_kind(c) == "expression_statement"
            and c.start > one.start
        ]
        if plain:
            name = group.decode()
            said = f"{name}.Done is called although a deferred Done follows"
            reason = f"it is for the reader to say that {name} counts the goroutine once"
            title = f"Leave {name}.Done to the deferred call"
            return _finding(file, plain[0], said, title, partial(_without, plain), reason)
    return None


def _dones(file: GoFile, function: Node) -> Iterator[Node]:
    for call in function.own():
        if call.kind != "call_expression" or call["function"].kind != "selector_expression":
            continue
        selector = call["function"]
        if selector["field"].name == "Done":
            if is_named(file.type_of(selector["operand"]), "sync.WaitGroup"):
                yield call


def _statement(call: Node) -> Node:
    if call.parent is None:
        raise BuilderError("the call is no statement")
    return call.parent


def _statement_kind(call: Node) -> str:
    return call.parent.kind if call.parent is not None else ""


# -- unlock of unlocked mutex -----------------------------------------------------------------


def _second_unlock(file: GoFile, line: int) -> Finding | None:
    """Find a release on a path that did not lock, or one that a deferred release repeats."""
    function = function_at(file.tree, line)
    if function is None:
        return None
    operations = locks_of(file, function).operations
    return _beside_deferred(file, operations) or _after_branch(file, line, operations)


def _beside_deferred(file: GoFile, operations: list[LockOperation]) -> Finding | None:
    for deferred in operations:
        if deferred.deferred is None or not deferred.releases:
            continue
        same = [o for o in operations if o.access is not None and o.access == deferred.access]
        plain = [o for o in same if o.releases and o.deferred is None]
        takes = [o for o in same if o.acquires]
        if len(takes) == 1 and plain and all(o.call.start > takes[0].call.start for o in plain):
            name = deferred.lock.name
            said = f"{name} is released although a deferred {deferred.method} follows"
            reason = f"{name} is now held until the function returns"
            title = f"Leave the release of {name} to the deferred call"
            calls = [o.call for o in plain]
            return _finding(file, calls[0], said, title, partial(_without, calls), reason)
    return None


def _after_branch(file: GoFile, line: int, operations: list[LockOperation]) -> Finding | None:
    for release in operations:
        statement = release.call.parent
        if not release.releases or release.deferred is not None or statement is None:
            continue
        if file.source.line_of(release.call.start) != line:
            continue
        branch = _before(statement)
        if branch is None or branch.kind != "if_statement" or branch.get("alternative"):
            continue
        body = branch["consequence"]
        inside = [o for o in operations if o.access == release.access and body.contains(o.call)]
        locks_only = [o for o in inside if o.acquires] and not [o for o in inside if o.releases]
        if release.access is None or not locks_only or _jumps(body):
            continue
        name = release.lock.name
        said = f"{name} is released on the path that did not lock it, too"
        reason = "the path that did not lock is taken to need no lock"
        title = f"Release {name} where it is locked"
        build = partial(_moved, body, statement)
        return _finding(file, release.call, said, title, build, reason)
    return None


def _given(edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
    return edits


def _without(calls: Sequence[Node]) -> tuple[Edit, ...]:
    return tuple(edit for call in calls for edit in delete(_statement(call)))


def _moved(body: Node, statement: Node) -> tuple[Edit, ...]:
    return (*insert_at_end(body, statement.name), *delete(statement))


def _before(statement: Node) -> Node | None:
    block = statement.parent
    siblings = block.statements if block is not None else []
    at = siblings.index(statement) if statement in siblings else 0
    return siblings[at - 1] if at > 0 else None


def _jumps(body: Node) -> bool:
    kinds = {"return_statement", "break_statement", "continue_statement", "goto_statement"}
    return any(node.kind in kinds for node in body.own())


# -- say --------------------------------------------------------------------------------------


def _finding(
    file: GoFile,
    node: Node,
    message: str,
    title: str,
    build: Callable[[], tuple[Edit, ...]],
    reason: str,
) -> Finding:
    fixes: tuple[Fix, ...] = ()
    why = ""
    try:
        fixes = (Fix(title, build(), Safety.UNSAFE, reason),)
    except BuilderError as error:
        why = str(error)
    return Finding(
        path=file.path,
        start=node.start,
        end=node.end,
        message=message,
        fixes=fixes,
        reason=why,
    )


_MISUSES = {
    "close of nil channel": _nil_close,
    "negative WaitGroup counter": _second_done,
    "nlock of unlocked": _second_unlock,
}
