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

from collections.abc import Iterator
from dataclasses import replace as replace_in
from functools import partial

from threadmend.golang.access import access_of
from threadmend.golang.builders import with_reason, wrap
from threadmend.golang.evidence import function_at, nodes_at, sites_in
from threadmend.golang.file import GoFile
from threadmend.golang.package import Package
from threadmend.golang.syntax import Node
from threadmend.model import Finding, Fix, Related, Safety

from ._released_twice import Misuse, second_done, second_unlock
from ._unmade import is_made, is_made_with_values, made_with_values_of

CATEGORY = "goroutine"


def check(package: Package) -> Iterator[Finding]:
    """Yield the misuse at each place where the program was seen to end."""
    for evidence, site, file in sites_in(package, "panic"):
        for words, find in _MISUSES.items():
            if words in evidence.message:
                found = find(file, site.line)
                if found is not None:
                    yield _with_place(_finding(file, found), file, site.line)
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


def _nil_close(file: GoFile, line: int) -> Misuse | None:
    function = function_at(file.tree, line)
    deferred = [
        call
        for call in (function.own() if function is not None else ())
        if call.kind == "call_expression"
        and call.parent is not None
        and call.parent.kind == "defer_statement"
    ]
    for call in [*nodes_at(file, line, "call_expression"), *deferred]:
        arguments = call.get("arguments")
        if call["function"].text != b"close" or arguments is None or len(arguments.children) != 1:
            continue
        channel, statement = arguments.children[0], call.parent
        if _is_tested(file, call, channel):
            continue
        is_field = channel.kind == "selector_expression"
        if is_field and is_made_with_values(file, channel):
            continue
        if is_field and not is_made(file, channel):
            name = channel["field"].name
            return Misuse(
                call,
                f"{channel.name} was seen to be nil, and nobody makes it",
                f"Make {name} where the value is made",
                "values that are made elsewhere still have no channel",
                partial(made_with_values_of, file, channel),
            )
        if statement is None or statement.kind != "expression_statement":
            continue
        if access_of(file, channel) is None:
            continue
        return Misuse(
            call,
            f"{channel.name} was seen to be nil when it is closed",
            f"Close {channel.name} only if it was made",
            "a call before the channel is made now does nothing",
            partial(wrap, [statement], f"if {channel.name} != nil {{"),
        )
    return None


def _is_tested(file: GoFile, call: Node, channel: Node) -> bool:
    """Return whether the code above a close compares the channel with nil."""
    declaration = file.tree.declaration_at(call.start)
    if declaration is None:
        return False
    wanted = {channel.text, b"nil"}
    return any(
        test.start < call.start and {test["left"].text, test["right"].text} == wanted
        for test in declaration.node.find("binary_expression")
    )


# -- say --------------------------------------------------------------------------------------


def _finding(file: GoFile, misuse: Misuse) -> Finding:
    fix, why = _fix(misuse)
    return Finding(
        path=file.path,
        start=misuse.node.start,
        end=misuse.node.end,
        message=misuse.said,
        fixes=(fix,) if fix else (),
        reason=why,
    )


@with_reason
def _fix(misuse: Misuse) -> Fix:
    return Fix(misuse.title, misuse.build(), Safety.UNSAFE, misuse.reason)


_MISUSES = {
    "close of nil channel": _nil_close,
    "negative WaitGroup counter": second_done,
    "nlock of unlocked": second_unlock,
}
