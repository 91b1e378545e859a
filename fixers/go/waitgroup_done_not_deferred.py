"""Defer WaitGroup.Done so that every way out of the goroutine passes it

A goroutine that ends without Done leaves `wg.Wait()` waiting for ever. As the last statement
Done is skipped by every early return, by `t.FailNow` and `runtime.Goexit`, and by a panic that
a deferred function recovers from; as the first one, deferred, by none. A loop that counts off
each value that it receives must not skip that by a `continue`.

Low confidence: a last Done where a panic would end the program anyhow; in tests, also one that
no call before it can skip by ending the goroutine.

Not reported: a Done with work after it on every path; one Done in every round of a loop; a Done
that other code that the goroutine runs may call instead; a last Done after nothing that could
leave early; a WaitGroup that may be nil.

Unsafe: when a path lacked Done, or when other deferred calls ran after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import is_assigned_once, root_name
from threadmend.golang.builders import (
    BuilderError,
    delete_calls,
    insert_at_start,
    insert_before,
    parameters,
    with_reason,
)
from threadmend.golang.builders.blocks import Container
from threadmend.golang.count_helpers import HelpedCall, count_calls, counts, home, said
from threadmend.golang.counting import counter_of, known_whole
from threadmend.golang.dones import done_in_other_literal, may_call_done
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Exit, Flow, Point, flow_of
from threadmend.golang.goroutines import Launch, launch_sites, launches
from threadmend.golang.locks import declaration_of
from threadmend.golang.recovering import recovers
from threadmend.golang.scope import resolve_local
from threadmend.golang.syntax import Node
from threadmend.golang.waitgroups import WaitGroupCall
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._behind_recover import skipped_by_panics
from ._each_round import skipped_rounds
from ._ends_goroutine import ends_goroutine
from ._given_done import given_dones

CATEGORY = "waitgroup"
GATE = rb"\.Done\(\)|(?i:done|finish|leave|ready|complete|ended?|exit)\w*\(\)"

_HARMLESS = frozenset(
    {"len", "cap", "make", "new", "append", "copy", "delete", "print", "println", "min", "max"}
)
_HARMLESS_PACKAGES = frozenset({"fmt", "log", "time", "sync/atomic", "math/rand", "strings"})


@dataclass(slots=True)
class _Counted:
    """A goroutine's body and the Dones that its own statements call on one WaitGroup."""

    body: Node
    launch: Launch
    flow: Flow
    dones: dict[Point, WaitGroupCall]
    adds: bool = False

    @property
    def first(self) -> WaitGroupCall:
        return next(iter(self.dones.values()))

    @property
    def name(self) -> str:
        return said(self.first)


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the goroutines that may end without the Done they call."""
    for body, launch in _bodies(file):
        calls = count_calls(file, body)
        for access in dict.fromkeys(c.access for c in calls if c.method == "Done"):
            own = [c for c in calls if c.access == access and access is not None]
            counted = _counted(file, body, launch, own)
            if counted is not None:
                yield from _judged(file, counted)
    yield from skipped_rounds(file)
    yield from skipped_by_panics(file)
    yield from given_dones(file)


def _bodies(file: GoFile) -> Iterator[tuple[Node, Launch]]:
    """Yield what goroutines run, as far as it stands in this file and calls Done."""
    calls = counts(file.package, "Done")
    seen: set[int] = set()
    for launch in launches(file):
        body = launch.literal
        if body is not None and launch.uncounted and body.start not in seen:
            seen.add(body.start)
            if calls.search(body.text):
                yield body, launch
        elif launch.kind == "go":
            for literal in _handed_over(launch):
                if literal.start not in seen and calls.search(literal.text):
                    seen.add(literal.start)
                    yield literal, launch
    for function in file.functions(calls):
        decl = declaration_of(file, function)
        sites = launch_sites(file.package).get(decl.key, []) if decl is not None else []
        launched = next((s for s in sites if s.uncounted), None)
        if launched is not None:
            yield function, launched


def _handed_over(launch: Launch) -> Iterator[Node]:
    """Yield the literals that a launched function is given and calls: `go limited(func() {…})`.

    Not one with work of its own for the end: that would come after the literal's Done.
    """
    if launch.decl is None or launch.call is None or launch.body is None:
        return
    if any(True for _ in launch.body.find("defer_statement")):
        return
    called = {n["function"].text for n in launch.body.find("call_expression")}
    given = launch.call["arguments"].children
    for parameter, value in zip(parameters(launch.body), given, strict=False):
        name = parameter.name
        if value.kind == "func_literal" and name is not None and name.text in called:
            yield value


def _counted(
    file: GoFile, body: Node, launch: Launch, calls: list[WaitGroupCall]
) -> _Counted | None:
    flow = flow_of(body)
    dones: dict[Point, WaitGroupCall] = {}
    adds = [c.call for c in calls if c.method == "Add" and c.call.function is body]
    if _passes_on(file, body, flow, adds):
        return None
    for call in calls:
        if call.method == "Wait" or (call.deferred is None and call.call in adds):
            continue
        if call.method != "Done" or call.deferred is not None or call.call.function is not body:
            return None
        statement = call.call.parent
        point = flow.point_of(call.call)
        if point is None or statement is None or statement.kind != "expression_statement":
            return None
        if flow.in_loop(point):
            return None  # as often as the loop goes round
        if _is_optional(body, call):
            return None  # `if wg != nil { wg.Done() }`
        dones[point] = call
    if not dones or not flow.complete:
        return None
    if any(later in flow.reachable(point) for point in dones for later in dones):
        return None
    return _Counted(body, launch, flow, dones, bool(adds))


def _passes_on(file: GoFile, body: Node, flow: Flow, adds: list[Node]) -> bool:
    """Return whether a function runs itself without an Add: whom it runs may call its Done."""
    if body.kind == "func_literal":
        return False
    paid = [p for add in adds if (p := flow.point_of(add))]
    for call in body.find("call_expression"):
        decl = file.callee(call)
        if decl is not None and (decl.node.path, decl.node.start) == (body.path, body.start):
            point = flow.point_of(call)
            if point is None or not any(flow.dominates(p, point) for p in paid):
                return True
    return False


def _is_optional(body: Node, done: WaitGroupCall) -> bool:
    """Return whether a test of the WaitGroup itself decides if there is one to be told.

    Or a claim that only the first of several goroutines makes, for all of them.
    """
    for outer in done.call.ancestors():
        if outer is body:
            return False
        if outer.kind == "if_statement":
            if any(n.text == done.waitgroup.text for n in outer["condition"].walk()):
                return True
            if _CLAIM.search(outer["condition"].text):
                return True
    return False


_CLAIM = re.compile(rb"\bCompareAndSwap\w*\(|\.Swap\w*\(|\.TryLock\(")


def _judged(file: GoFile, counted: _Counted) -> Iterator[Finding]:
    flow = counted.flow
    exits = flow.exits_from(flow.entry, stop=lambda p: p in counted.dones)
    missing = [e for e in exits if e.kind in {"return", "end", "goexit"}]
    last = all(_is_last(flow, p, c) for p, c in counted.dones.items())
    if missing:
        if not _done_elsewhere(file, counted) and not _counts_some(file, counted):
            yield _skipped(counted, missing, last)
    elif last and not counted.adds and _may_leave(file, counted):
        yield _not_deferred(counted, _survives(file, counted))


def _done_elsewhere(file: GoFile, counted: _Counted) -> bool:
    access = counted.first.access
    if access is None or done_in_other_literal(file, counted.body, access):
        return True
    calls = {done.call for done in counted.dones.values()}
    counter = known_whole(*home(file, counted.first))
    return may_call_done(file, counted.body, calls, counter=counter)


def _counts_some(file: GoFile, counted: _Counted) -> bool:
    """Return whether only some of the goroutines are counted: those that take a branch."""
    body = counted.body["body"]
    statements = [d.call.parent for d in counted.dones.values()]
    if any(s is not None and s.parent is body for s in statements):
        return False
    counter = counter_of(*home(file, counted.first))
    adds = counter.of("Add") if counter is not None else []
    return bool(adds) and not any(a.count is not None and a.count.text == b"1" for a in adds)


def _survives(file: GoFile, counted: _Counted) -> bool:
    """Return whether the program goes on when code before the Done does not return.

    A deferred function recovers, or the goroutine is ended by Goexit: by a test's FailNow, or
    by a caller's function, of which nothing is known.
    """
    if recovers(file, counted.body):
        return True
    for node in counted.body.own():
        if node.kind != "call_expression" or node.start > counted.first.call.start:
            continue
        if ends_goroutine(file, node):
            return True
        function = node["function"]
        if function.kind == "identifier" and not file.is_test_file:
            binding = file.binding(function)
            if binding is not None and binding.kind == "parameter":
                return True
    return False


def _is_last(flow: Flow, point: Point, done: WaitGroupCall) -> bool:
    """Return whether nothing but the goroutine's end follows a Done."""
    if len(point.successors) != 1:
        return False
    after = point.successors[0]
    if after is flow.end:
        return True
    return after.node.kind == "return_statement" and len(after.node.children) < 2


def _may_leave(file: GoFile, counted: _Counted) -> bool:
    """Return whether code before the Done may panic or end the goroutine."""
    ends = min(done.call.start for done in counted.dones.values())
    for node in counted.body.own():
        if node.start >= ends:
            break
        if node.kind == "call_expression" and not _is_harmless(file, node):
            return True
    return False


def _is_harmless(file: GoFile, call: Node) -> bool:
    function = call["function"]
    if function.kind == "identifier":
        return function.name in _HARMLESS and file.resolve(function) is None
    if function.kind == "selector_expression" and function["operand"].kind == "identifier":
        if file.imported(function["operand"].name) in _HARMLESS_PACKAGES:
            return True
    if function.kind != "selector_expression":
        return function.kind not in {"func_literal", "parenthesized_expression"}
    name = function["field"].name
    selection = file.selection(function)
    owner = str(selection.owner) if selection and selection.owner else ""
    return owner.startswith(("sync.", "sync/atomic.", "time.")) or name in {"Lock", "Unlock"}


def _skipped(counted: _Counted, missing: list[Exit], last: bool) -> Finding:
    done = counted.first
    related = [
        Related(e.node.path, *_span(e.node), "ends without Done") for e in missing if e.node.tree
    ]
    fix, reason = _defer(counted, skipped=True) if last else _before_exits(counted, missing)
    return Finding(
        path=done.call.path,
        start=done.call.start,
        end=done.call.end,
        message=f"{counted.name} is not called on every path out of the goroutine",
        fixes=(fix,) if fix else (),
        related=tuple(related),
        reason=reason,
    )


def _span(node: Node) -> tuple[int, int]:
    """Return the place of an exit; the end of a function is its closing brace."""
    if node.kind in {"block", "func_literal", "function_declaration", "method_declaration"}:
        return node.end - 1, node.end
    return node.start, node.end


def _not_deferred(counted: _Counted, survives: bool) -> Finding:
    done = counted.first
    fix, reason = _defer(counted, skipped=False)
    return Finding(
        path=done.call.path,
        start=done.call.start,
        end=done.call.end,
        message=f"{counted.name} is skipped when the goroutine panics or exits before it",
        fixes=(fix,) if fix else (),
        reason=reason,
        confidence=Confidence.MEDIUM if survives else Confidence.LOW,
    )


@with_reason
def _defer(counted: _Counted, *, skipped: bool) -> Fix:
    """Defer Done as the first statement.

    Sound: each Done was the last thing that ran before the goroutine's end, and runs there
    still; no path called it twice.
    """
    root = _root(counted)
    binding = _binding(root) if root is not None else None
    if root is None or binding is False:
        raise BuilderError("which WaitGroup is meant is only known further down")
    code = f"defer {counted.name}()"
    block = counted.body["body"]
    edits: list[Edit] = []
    if Container(block).inline and b"\n" not in block.text:
        first = block.statements[0]
        edits.append(Edit(first.path, first.start, first.start, f"{code}; ".encode()))
    else:
        edits.extend(insert_at_start(block, code))
    dones = [s for done in counted.dones.values() if (s := done.call.parent) is not None]
    edits.extend(delete_calls(dones, code))
    title = f"Defer {counted.name} as the first statement"
    if skipped:
        reason = "Wait goes on where it waited for ever"
        return Fix(title, tuple(edits), Safety.UNSAFE, reason)
    if counted.flow.defers:
        reason = "the other deferred calls then run before Done"
        return Fix(title, tuple(edits), Safety.UNSAFE, reason)
    return Fix(title, tuple(edits))


def _root(counted: _Counted) -> Node | None:
    first = counted.first
    return root_name(first.call["function"] if isinstance(first, HelpedCall) else first.waitgroup)


def _binding(root: Node) -> bool:
    """Return whether a name means the same at the beginning of the goroutine."""
    binding = resolve_local(root)
    function = root.function
    if binding is None or function is None:
        return True
    if not is_assigned_once(binding):
        return False
    return binding.kind in {"parameter", "receiver"} or not function.contains(binding.node)


@with_reason
def _before_exits(counted: _Counted, missing: list[Exit]) -> Fix:
    """Call Done before the returns that lack it: elsewhere work follows it on purpose."""
    edits: list[Edit] = []
    for exit_ in missing:
        if exit_.kind != "return" or _binding_is_late(counted):
            raise BuilderError("a path ends without Done other than by a return")
        edits.extend(insert_before(exit_.node, f"{counted.name}()"))
    title = f"Call {counted.name} on the paths that lack it"
    return Fix(title, tuple(edits), Safety.UNSAFE, "Wait goes on where it waited for ever")


def _binding_is_late(counted: _Counted) -> bool:
    root = _root(counted)
    return root is None or not _binding(root)
