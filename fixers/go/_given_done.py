"""Goroutines that are given the Done which they owe as a function, and leave without a call of it.

leave := l.enter()                      // l.open.Add(1); return l.open.Done
go process(batch, leave)

func process(b Batch, leave func()) {
    if err := check(b); err != nil {
        return                          // without leave()
    }
    …
    leave()
}

The object whose method is launched may keep it as well: `s := &step{leave: l.enter()}; go s.run()`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import is_assigned_once
from threadmend.golang.bodycalls import receiver_of
from threadmend.golang.builders import (
    BuilderError,
    delete_calls,
    insert_at_start,
    insert_before,
    with_reason,
)
from threadmend.golang.calls import callers
from threadmend.golang.field_accesses import accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Exit, Flow, Point, flow_of
from threadmend.golang.functions import only_returned
from threadmend.golang.goroutines import launch_of_literal
from threadmend.golang.locks import declaration_of
from threadmend.golang.scope import Binding, argument_of, bindings_in
from threadmend.golang.syntax import Node
from threadmend.golang.targets import stored_values
from threadmend.golang.types import Named, is_named
from threadmend.golang.waitgroups import waitgroup_call
from threadmend.model import Edit, Finding, Fix, Related, Safety

__all__ = ["given_dones"]

_DEPTH = 2
_TAKES = re.compile(rb"\w func\(\)\s*[,)]")


def given_dones(file: GoFile) -> Iterator[Finding]:
    """Yield the functions that are launched with a Done, and do not call it on some path."""
    for function in file.functions(_TAKES):
        if b"func()" not in function["parameters"].text:
            continue
        for binding in (b for group in bindings_in(function).values() for b in group):
            if binding.kind == "parameter" and is_assigned_once(binding):
                uses = [use for use in binding.uses if use is not binding.node]
                finding = _skipped(file, function, binding.name, uses, binding)
                if finding is not None:
                    yield finding
    for function in file.functions(_CALLS_OWN):
        for name, uses in _kept_functions(file, function):
            finding = _skipped(file, function, name, uses, None)
            if finding is not None:
                yield finding


_CALLS_OWN = re.compile(rb"\n[ \t]+\w+\.\w+\(\)\n")


def _kept_functions(file: GoFile, method: Node) -> Iterator[tuple[str, list[Node]]]:
    """Yield the fields of a launched method's object that keep a Done, and are only called here."""
    receiver = receiver_of(method) if method.kind == "method_declaration" else None
    decl = declaration_of(file, method)
    if receiver is None or decl is None:
        return
    used: dict[str, list[Node]] = {}
    for use in receiver.uses:
        field = use.parent
        if field is not None and field.kind == "selector_expression" and field.field == "function":
            used.setdefault(field["field"].name, []).append(field)
    owner = Named(file.package.key, decl.receiver)
    for name, uses in used.items():
        selection = file.selection(uses[0])
        if selection is None or selection.kind != "field" or selection.owner != owner:
            continue
        values = stored_values(file.package, owner, name)
        if name[:1].isupper() or not values or not all(_done(f, v, _DEPTH) for f, v in values):
            continue
        # Last: the callers of a method are sought in every file that holds its name.
        if not all(site.launched for site in callers(decl)):
            return
        known = accesses_like(file.package, file, uses[0])
        if all(a.kind == "write" or any(a.node is use for use in uses) for a in known):
            yield uses[0].name, uses


@dataclass(frozen=True, slots=True)
class _Owed:
    """The calls of a parameter in its function, by their points, and the exits without one."""

    flow: Flow
    calls: dict[Point, Node]
    exits: list[Exit]


def _skipped(
    file: GoFile, function: Node, name: str, uses: list[Node], binding: Binding | None
) -> Finding | None:
    """Return the finding of a parameter, or of a field of the object, that is a Done."""
    owed = _owed(function, uses)
    given = _given(file, function, binding, uses[0]) if owed is not None else None
    if owed is None or given is None:
        return None
    launch, done = given
    first = next(iter(owed.calls.values()))
    fix, reason = _fix(function, name, owed)
    return Finding(
        path=file.path,
        start=first.start,
        end=first.end,
        message=f"{name}, which is {done}, is skipped on a path out of the goroutine",
        fixes=(fix,) if fix is not None else (),
        related=(
            *(
                Related(e.node.path, e.node.start, e.node.end, "ends without Done")
                for e in owed.exits
                if e.kind == "return"
            ),
            Related(launch.path, launch.start, launch.end, "launched here"),
        ),
        reason=reason,
    )


def _owed(function: Node, uses: list[Node]) -> _Owed | None:
    """Return the paths without a call, where calls are all that is done with a function."""
    calls = []
    for use in uses:
        call = use.parent
        if call is None or call.kind != "call_expression" or use.field != "function":
            return None
        statement = call.parent
        if statement is None or statement.kind != "expression_statement":
            return None
        if call.function is not function:
            return None
        calls.append(call)
    flow = flow_of(function)
    points = {p: call for call in calls if (p := flow.point_of(call)) is not None}
    if not calls or len(points) != len(calls) or not flow.complete:
        return None
    if any(map(flow.in_loop, points)):
        return None
    if any(later in flow.reachable(point) for point in points for later in points):
        return None
    found = flow.exits_from(flow.entry, stop=points.__contains__)
    exits = [e for e in found if e.kind in {"return", "end", "goexit"}]
    if any(e.kind == "end" for e in exits):
        return None  # `if counted { leave() }`
    return _Owed(flow, points, exits) if exits else None


def _given(
    file: GoFile, function: Node, binding: Binding | None, use: Node
) -> tuple[Node, str] | None:
    """Return the launch of a function, which nobody calls otherwise, and the Done it is given.

    Without a parameter, the Done that a field of its object keeps.
    """
    found = []
    for where, call in _launches(file, function):
        value: Node | None = None
        if binding is not None and call is not None:
            value = argument_of(call, function, binding)
        elif call is not None:
            where, value = _kept_value(file, use)
        done = _done(where, value, _DEPTH) if value is not None else None
        if call is None or done is None:
            return None
        found.append((call, done))
    return found[0] if found else None


def _kept_value(file: GoFile, use: Node) -> tuple[GoFile, Node]:
    """Return the first value that is stored in a field."""
    selection = file.selection(use)
    assert selection is not None
    assert isinstance(selection.owner, Named)
    return stored_values(file.package, selection.owner, selection.name)[0]


def _launches(file: GoFile, function: Node) -> Iterator[tuple[GoFile, Node | None]]:
    """Yield the launched calls of a function; None for one that is no launch."""
    if function.kind == "func_literal":
        launch = launch_of_literal(file, function)
        yield file, launch.call if launch is not None and launch.kind == "go" else None
        return
    decl = declaration_of(file, function)
    for site in callers(decl) if decl is not None else ():
        yield site.file, site.call if site.launched else None


def _done(file: GoFile, value: Node, depth: int) -> str | None:
    """Return the Done that a function value is, as it is written where it is made."""
    if value.kind == "selector_expression":
        selection = file.selection(value)
        named = selection is not None and is_named(selection.owner, "sync.WaitGroup")
        return value.name if named and value["field"].name == "Done" else None
    if value.kind == "func_literal":
        return _only_done(file, value)
    if value.kind == "identifier":
        made = file.binding(value)
        if made is None or made.value is None or not is_assigned_once(made) or not depth:
            return None
        uses = [u for u in made.uses if u is not made.node and u is not value]
        return None if uses else _done(file, made.value, depth - 1)
    if value.kind == "call_expression" and depth:
        decl = file.callee(value)
        if decl is None or not decl.sound or not decl.has_body:
            return None
        returned = only_returned(decl.node) or _last_returned(decl.node)
        return _done(decl.file, returned, depth - 1) if returned is not None else None
    return None


def _only_done(file: GoFile, literal: Node) -> str | None:
    """Return the Done that is all that a literal calls."""
    statements = literal["body"].statements
    call = statements[0].children[0] if len(statements) == 1 else None
    if call is None or call.kind != "call_expression":
        return None
    operation = waitgroup_call(file, call)
    return call["function"].name if operation and operation.method == "Done" else None


def _last_returned(function: Node) -> Node | None:
    """Return the one value that the only return of a function gives, as its last statement."""
    returns = [n for n in function.own() if n.kind == "return_statement"]
    if len(returns) != 1 or returns[0] is not function["body"].statements[-1]:
        return None
    values = returns[0].children[1].children if len(returns[0].children) > 1 else []
    return values[0] if len(values) == 1 else None


@with_reason
def _fix(function: Node, name: str, owed: _Owed) -> Fix:
    """Defer the call as the first statement, or call before the exits where work follows it.

    Sound: no path calls it twice.
    """
    reason = "Wait goes on where it waited for ever"
    edits: list[Edit] = []
    if all(owed.flow.is_last(point) for point in owed.calls):
        edits += insert_at_start(function["body"], f"defer {name}()")
        edits += delete_calls(
            [s for call in owed.calls.values() if (s := call.parent) is not None], f"defer {name}()"
        )
        return Fix(f"Defer {name} as the first statement", tuple(edits), Safety.UNSAFE, reason)
    for exit_ in owed.exits:
        if exit_.kind != "return":
            raise BuilderError("a path ends without Done other than by a return")
        edits += insert_before(exit_.node, f"{name}()")
    return Fix(f"Call {name} on the paths that lack it", tuple(edits), Safety.UNSAFE, reason)
