"""Wait for the goroutines that use a test's t before the test ends

`t.Error` panics when its test has ended: "Fail in goroutine after TestX has completed". A
goroutine that nobody waits for gets there whenever the machine is slow: the panic ends the
whole test binary in the middle of another test, and what it meant to check was never checked.

A helper that is given t may launch it as well, where all that the goroutine has beside t are
numbers and texts: nobody could wait for it.

Not reported: goroutines that signal their end in any way (a channel, a WaitGroup, a lock, an
atomic, a cancel); those that share a variable with what the test does after the launch,
because it may wait for them by that; a method that only closes a channel or cancels waits
for nobody. (A signal says nothing of what comes after it; who ranges
over a subscription that the test never gives up, or only as it ends, tells only of its rounds.)

Unsafe: the test takes as long as its goroutines do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import (
    BuilderError,
    add_import,
    free_name,
    import_name,
    insert_after,
    insert_before,
    package_name,
    taken_names,
    with_reason,
)
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, captures, launch_of_literal, launches
from threadmend.golang.scope import Binding, resolve_local
from threadmend.golang.stops import endless
from threadmend.golang.subtests import TESTS
from threadmend.golang.syntax import Node
from threadmend.golang.types import deref, is_named
from threadmend.golang.unended import never_ends
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._alone_with_t import tells_nobody
from ._counted import counted_launch
from ._ending_calls import ending_statement, only_ends, only_looks
from ._subscribed import subscribed
from ._told_too_soon import may_wait_to_send, nothing_ends, used_after_signals
from ._until_the_end import ranges_until_the_end

CATEGORY = "goroutine"
GATE = rb"\*testing\.[TBF]\b"

_SIGNALS = re.compile(
    rb"<-|\bclose\(|\.Done\(|\.Signal|\.Broadcast|\.Unlock|\.RUnlock|\.Store|\.Add\(|[cC]ancel"
    rb"|\.Set\(|atomic|\.Swap|\.CompareAndSwap|\.Release\(|\.Send\(|\.Publish|\.Fire\(|\.Close\("
)


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the goroutines that use t and that the test does not wait for."""
    if not file.is_test_file:
        return
    for launch in launches(file):
        if not launch.uncounted or launch.body is None:
            continue
        test = _test_of(file, launch)
        if test is None:
            continue
        found = subscribed(file, launch, test)
        if found is not None:
            yield _goes_on(file, launch, test, *found)
            continue
        use = used_after_signals(file, launch, test, _SIGNALS)
        if use is None:
            if _signals(launch.node) or _signals(launch.body) or _shares(file, launch, test):
                continue
            use = next((u for u in test.uses if _is_in(launch, u) and not _is_harmless(u)), None)
        if use is not None:
            yield _finding(file, launch, test, use)


def _is_harmless(use: Node) -> bool:
    """Return whether a use of t is allowed at any time: `t.Context()`, `t.Name()`."""
    parent = use.parent
    if parent is None or parent.kind != "selector_expression":
        return False
    return parent["field"].name in {"Context", "Name", "Deadline"}


def _goes_on(file: GoFile, launch: Launch, test: Binding, use: Node, fix: Fix) -> Finding:
    return Finding(
        path=file.path,
        start=use.start,
        end=use.end,
        message=f"{test.name} is used by a goroutine that goes on when the test has ended",
        fixes=(fix,),
        related=(Related(file.path, launch.node.start, launch.node.end, "launched here"),),
        confidence=Confidence.MEDIUM,
    )


def _signals(node: Node) -> bool:
    """Return whether code may tell others that it ends; closing what it opened tells nobody."""
    text = node.text
    for hit in _SIGNALS.finditer(text):
        owner = _LAST_NAME.search(text, 0, hit.start()) if hit[0] == b".Close(" else None
        if owner is None or not re.search(rb"\b" + owner[0] + rb"\b[\w, ]* := ", text):
            return True
    return False


_LAST_NAME = re.compile(rb"(?<![.\w])\w+$")


def _test_of(file: GoFile, launch: Launch) -> Binding | None:
    """Return the t of the test (or subtest) that launches what uses it."""
    function = launch.function
    if function is None or not (_is_test(function) or tells_nobody(file, launch)):
        return None
    for binding in _given(file, launch):
        if binding.kind == "parameter" and binding.scope is function:
            if is_named(file.type_of(binding.node), *TESTS):
                return binding
    return None


def _given(file: GoFile, launch: Launch) -> Iterator[Binding]:
    """Yield the variables that a goroutine has: captured, or passed to what uses its t."""
    if launch.literal is not None and launch_of_literal(file, launch.literal) is not None:
        yield from captures(launch.literal)
    elif launch.decl is not None and launch.body is not None:
        for call in launch.body.find("call_expression"):
            operand = call["function"].get("operand")
            binding = resolve_local(operand) if operand is not None else None
            if binding is not None and binding.scope is launch.body:
                if is_named(launch.decl.file.type_of(operand), *TESTS):
                    names = launch.node.find("identifier")
                    yield from (b for b in map(file.binding, names) if b is not None)
                    return


def _is_in(launch: Launch, use: Node) -> bool:
    """Return whether a name stands in a launch, or in the literal that it runs."""
    literal = launch.literal
    return launch.node.contains(use) or (literal is not None and literal.contains(use))


def _is_test(function: Node) -> bool:
    """Return whether the test ends with the function: a test, or the function of t.Run."""
    name = function.get("name")
    if name is not None:
        return re.match(r"(Test|Benchmark|Fuzz)(?![a-z])", name.name) is not None
    arguments = function.parent
    call = arguments.parent if arguments is not None else None
    if call is None or call.kind != "call_expression":
        return False
    return call["function"].text.endswith(b".Run")


def _shares(file: GoFile, launch: Launch, test: Binding) -> bool:
    """Return whether the test goes on with something that the goroutine has, but to end it."""
    for binding in captures(launch.literal or launch.node):
        if binding is test or ranges_until_the_end(file, launch, binding):
            continue
        for use in binding.uses:
            if _is_in(launch, use) or use is binding.node:
                continue
            if use.function is launch.function:
                if only_ends(file, use) or only_looks(file, use):
                    continue
            if use.start > launch.node.end or use.up("defer_statement") is not None:
                return True
            if use.function is not launch.function:
                return True
        if _holds_awaited(launch, binding):
            return True
    return False


def _holds_awaited(launch: Launch, binding: Binding) -> bool:
    """Return whether what a goroutine has was made with a channel from which the test receives.

    `h := newHandler(results); go func() { … h.Serve() }(); <-results`
    """
    made = binding.declaration
    if binding.function is not launch.function or made.start > launch.node.start:
        return False
    for name in made.find("identifier"):
        given = resolve_local(name)
        if given is None or given is binding or made.contains(given.node):
            continue
        for use in given.uses:
            receive = use.parent
            if use.start > launch.node.end and receive is not None:
                if receive.kind == "unary_expression" and receive["operator"].kind == "<-":
                    return True
    return False


def _finding(file: GoFile, launch: Launch, test: Binding, use: Node) -> Finding:
    fix, reason = _fix(file, launch, test)
    return Finding(
        path=file.path,
        start=use.start,
        end=use.end,
        message=f"{test.name} is used by a goroutine that the test does not wait for",
        fixes=(fix,) if fix else (),
        related=(Related(file.path, launch.node.start, launch.node.end, "launched here"),),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


_TALKS = re.compile(r"(?:Read|Write|Accept|Recv|Receive|Send)(?:[A-Z]\w*)?$")
_ALONE = ("bytes.", "strings.", "os.", "bufio.", "net/http.")


def _partner(file: GoFile, launch: Launch) -> Binding | None:
    """Return the connection of the test's that a goroutine reads from or writes to."""
    outer = set(captures(launch.literal)) if launch.literal is not None else set()
    for call in launch.node.find("call_expression"):
        operand = call["function"].get("operand")
        if operand is None or not _TALKS.match(call["function"]["field"].name):
            continue
        binding = resolve_local(operand) if operand.kind == "identifier" else None
        if binding in outer and not str(deref(file.type_of(operand))).startswith(_ALONE):
            return binding
    return None


_RUNS = re.compile(r"(?i)(?:run|serve|start|listen|watch|consume|loop|poll|subscribe|receive|work)")


def _runs_for_good(file: GoFile, launch: Launch) -> bool:
    """Return whether a goroutine gives `context.Background()` to what seems to run until it ends.

    `ctx := context.Background(); go func() { if err := consumer.Run(ctx); … }()`
    """
    for call in launch.node.find("call_expression"):
        function = call["function"]
        name = function.get("field") or function
        if not _RUNS.match(name.name):
            continue
        for argument in call["arguments"].children:
            if argument.text in {b"context.Background()", b"context.TODO()"}:
                return True
            binding = file.binding(argument) if argument.kind == "identifier" else None
            if binding is not None and never_ends(file, binding):
                return True
    return False


def _goes_round(file: GoFile, launch: Launch) -> bool:
    """Return whether a goroutine calls what goes round without an end, and the test ends nothing.

    A context ends it, and so may what the test defers.
    """

    def is_context(value: Node) -> bool:
        return is_named(file.type_of(value), "context.Context")

    for binding in captures(launch.literal or launch.node):
        outside = [use for use in binding.uses if not _is_in(launch, use)]
        if any(use.function is not launch.function or _ends_late(use) for use in outside):
            return False
    every = launch.node.find("call_expression")
    calls = [c for c in every if not any(map(is_context, c["arguments"].children))]
    decls = [d for c in calls if (d := file.callee(c)) is not None and d.sound and d.has_body]
    return any(endless(loop) for d in decls for loop in d.node.find("for_statement"))


def _ends_late(use: Node) -> bool:
    """Return whether a use waits for the end of a test: `defer s.Close()`, `t.Cleanup(s.Close)`."""
    statement = use.statement
    cleans = statement is not None and b".Cleanup(" in statement.text
    return cleans or use.up("defer_statement") is not None


def _is_given_up(file: GoFile, launch: Launch) -> bool:
    """Return whether the test defers a call that takes from a goroutine what it works with.

    `defer r.Close()` sets a flag: it would run before a Cleanup. Raises where the goroutine may
    go round until then.
    """
    given = [b for b in captures(launch.literal or launch.node) if b.function is launch.function]
    deferred = [
        use
        for binding in given
        for use in binding.uses
        if use.up("defer_statement") is not None and use.function is launch.function
    ]
    if not any(only_looks(file, u) and not only_ends(file, u) for u in deferred):
        return False
    bodies = [launch.body, *(file.callee(c) for c in launch.node.find("call_expression"))]
    nodes = (b if isinstance(b, Node) else b.node for b in bodies if b is not None)
    if any(next(n.find("for_statement"), None) is not None for n in nodes):
        raise BuilderError("it may go on until the test gives up what they share")
    return True


@with_reason
def _fix(file: GoFile, launch: Launch, test: Binding) -> Fix:
    """Wait for the goroutine when the test is cleaned up."""
    function, body = launch.function, launch.body
    if function is None or body is None or any(endless(n) for n in body.find("for_statement")):
        raise BuilderError("the goroutine goes on for ever: it lacks a way to be stopped")
    ending = ending_statement(file, launch, test)
    if ending is None and nothing_ends(file, launch, test):
        raise BuilderError("what it ranges over may be closed later than the test waits")
    if (partner := _partner(file, launch)) is not None:
        raise BuilderError(
            f"it may wait for the other side of {partner.name} when the test is over"
        )
    if _runs_for_good(file, launch):
        raise BuilderError("it runs until its context ends, and nobody ends that")
    if ending is None and _goes_round(file, launch):
        raise BuilderError("what it calls goes round until somebody ends it, and nobody does")
    if ending is None and may_wait_to_send(file, launch):
        raise BuilderError("it may send more than the test receives, and wait then")
    name = free_name("wg", _taken(function, launch, test))
    package = package_name(file.tree, "sync")
    group = f"var {name} {package}.WaitGroup"
    edits: list[Edit] = []
    before = ending is None and _is_given_up(file, launch)
    if before:
        group += f"\ndefer {name}.Wait()"
    elif ending is None:
        group += f"\n{test.name}.Cleanup({name}.Wait)"
    loops = [a for a in launch.node.ancestors() if a.kind == "for_statement"]
    outer = next((a for a in reversed(loops) if a.function is function), None)
    if outer is None or outer.parent is None or outer.parent.kind != "block":
        edits.extend(insert_before(launch.statement, f"{group}\n{name}.Add(1)"))
    else:
        edits.extend(insert_before(outer, group))
        edits.extend(insert_before(launch.statement, f"{name}.Add(1)"))
    counted = counted_launch(file, launch, name)
    if counted is None:
        raise BuilderError("an argument of the launch would be evaluated later")
    edits.extend(counted)
    if ending is not None:
        edits.extend(insert_after(ending, f"{name}.Wait()"))
    if import_name(file.tree, "sync") is None:
        edits.extend(add_import(file.tree, "sync"))
    reason = "the test takes as long as its goroutines do"
    where = "in a Cleanup" if ending is None else f"after {ending.name}"
    where = "before what is deferred" if before else where
    return Fix(f"Wait for the goroutine {where}", tuple(edits), Safety.UNSAFE, reason)


def _taken(function: Node, launch: Launch, test: Binding) -> set[str]:
    """Return the names that are taken, with those that earlier launches with t are given."""
    taken = set(taken_names(function))
    word = re.compile(rb"\b" + re.escape(test.name.encode()) + rb"\b")
    for node in function.own():
        if node.kind == "go_statement" and node.start < launch.statement.start:
            if word.search(node.text):
                taken.add(free_name("wg", taken))
    return taken
