"""Stops: the contexts and stop channels that a place in a function could listen to.

A stop is an expression that can be received from until it is closed: `ctx.Done()`, a `done`
channel that is only ever closed, `s.quit`. Loops that block should listen to one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from threadmend.golang.addressees import is_for_another, tells_its_maker
from threadmend.golang.branches import found_nil
from threadmend.golang.channel_copies import by_any_name, original_of
from threadmend.golang.channel_fields import shared_channel_of
from threadmend.golang.failing import fails
from threadmend.golang.infer import is_decl
from threadmend.golang.own_contexts import is_own
from threadmend.golang.own_ends import is_own_end, tells_of_worker
from threadmend.golang.scope import Binding, bindings_in
from threadmend.golang.stop_getters import STOP_NAMES, stop_getters
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.test_ends import ends_after_test, is_tested
from threadmend.golang.types import Chan, Named, Struct, Type, deref, is_named
from threadmend.golang.unended import (
    field_never_ends,
    is_made_for_each,
    never_ends,
    request_never_ends,
)

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = [
    "Stop",
    "contexts_at",
    "endless",
    "is_failure",
    "leaves_loop",
    "listens",
    "stops_at",
    "visible",
    "ways_out",
]


@dataclass(frozen=True, slots=True)
class Stop:
    """One thing to listen to.

    `receive` is what a select receives from (`ctx.Done()`, `s.quit`), `context` the context's
    expression, `""` for a channel.
    """

    receive: str
    context: str = ""


def contexts_at(file: GoFile, node: Node) -> list[str]:
    """Return the names of the contexts visible at a node, the innermost first."""
    type_of = file.package.workspace.inference.binding_type
    return [b.name for b in visible(node) if is_named(type_of(b), "context.Context")]


def visible(node: Node) -> Iterator[Binding]:
    """Yield the variables visible at a node, innermost first, shadowed ones left out."""
    seen: set[str] = set()
    scope = node.parent
    while scope is not None:
        found = bindings_in(scope) if scope.kind in _SCOPES else {}
        for name, group in sorted(found.items()):
            bindings = [b for b in group if b.visible <= node.start and b.is_variable]
            if bindings and name not in seen:
                yield bindings[-1]
            seen.update([name] if bindings else [])
        scope = scope.parent


_SCOPES = frozenset(
    {
        *FUNCTIONS,
        *("block", "if_statement", "for_statement", "expression_switch_statement"),
        *("type_switch_statement", "expression_case", "type_case", "communication_case"),
        "default_case",
    }
)


def stops_at(file: GoFile, node: Node) -> list[Stop]:
    """Return what a place can listen to: contexts (variables, then fields), then stop channels.

    Those, too, that a helper's method hands out: `s.stopper.Stopping()`.

    No context that the function around the place makes of nothing and alone can cancel.
    A stop channel is a channel of empty structs, or of flags or numbers that nobody sends, with
    a telling name that somebody closes; a local one, or a field of a visible struct. One that
    the function around the place closes tells others of its own end, and one may be for others.
    """
    contexts, kept, channels = [], [], []
    for binding in visible(node):
        type_ = file.package.workspace.inference.binding_type(binding)
        if is_named(type_, "context.Context"):
            if never_ends(file, binding) or is_own(file, node, binding):
                continue
            if _is_of_a_round(node, binding) or _is_time_for_calls(node, binding):
                continue
            if ends_after_test(file, node, binding):
                continue
            contexts.append(Stop(f"{binding.name}.Done()", binding.name))
        elif is_named(type_, "net/http.Request"):
            if request_never_ends(file, node, binding):
                continue
            call = f"{binding.name}.Context()"
            contexts.append(Stop(f"{call}.Done()", call))
        elif _is_signal(file, type_):
            if STOP_NAMES.search(binding.name) and _closed_for(file, node, binding.name):
                if not tells_its_maker(binding):
                    channels.append(Stop(binding.name))
        elif binding.kind in {"receiver", "parameter", "variable"}:
            owner = deref(type_)
            kept_in = owner.name if isinstance(owner, Named) else ""
            for name, kind in _fields(file, type_):
                if kind == "context":
                    if _cancels_behind(node, binding.name) or field_never_ends(file, owner, name):
                        continue
                    if is_tested(file, binding, owner) or is_made_for_each(file, owner, name):
                        continue
                    receive = f"{binding.name}.{name}"
                    kept.append(Stop(f"{receive}.Done()", receive))
                elif _is_closed(file, node, kept_in, name):
                    if not _set_to_nil(file, name) and not tells_of_worker(file, name):
                        if is_own_end(file, node, name):
                            continue
                        if not is_for_another(file, node, kept_in, name):
                            channels.append(Stop(f"{binding.name}.{name}"))
            handed = stop_getters(file, type_, node)
            channels += [Stop(f"{binding.name}.{path}") for path in handed]
    return [stop for stop in contexts + kept if not found_nil(file, node, stop.context)] + channels


def _cancels_behind(node: Node, owner: str) -> bool:
    """Return whether a function itself ends the context of an object, behind a place.

    `for s.busy() { time.Sleep(pause) }; s.cancel()`: it waits before it does so.
    """
    function = node.function
    cancels = re.compile(rb"\b" + re.escape(owner.encode()) + rb"\.\w*[cC]ancel\w*\(")
    return (
        function is not None
        and cancels.search(function.tree.data, node.end, function.end) is not None
    )


def _is_of_a_round(node: Node, binding: Binding) -> bool:
    """Return whether a context is that of a round of the loop around a place, and none before it.

    `var ctx context.Context; for { select { case <-tick: ctx, cancel = context.WithTimeout(…)`.
    """
    declared, loop = binding.declaration, node.up("for_statement")
    if declared.kind != "var_spec" or declared.get("value") is not None or loop is None:
        return False
    if loop.contains(declared) or loop.function is not binding.function:
        return False
    stored = [
        use
        for use in binding.uses
        if (group := use.parent) is not None and group.kind == "expression_list"
        if group.field == "left"
    ]
    return bool(stored) and all(loop.contains(use) for use in stored)


def _is_time_for_calls(node: Node, binding: Binding) -> bool:
    """Return whether a function makes a context of nothing with a time limit, for what it calls,
    and the loop around a place ends by a channel of its own.
    """
    value, loop = binding.declaration.get("right"), node.up("for_statement", *FUNCTIONS)
    if value is None or loop is None or loop.kind in FUNCTIONS or loop.contains(value):
        return False
    if _TIME_OF_NOTHING.match(value.text) is None:
        return False
    own = re.compile(rb"\b" + re.escape(binding.name.encode()) + rb"\.|\.C$|\bAfter\(")
    for case in loop.find("communication_case"):
        communication = case.get("communication")
        ends = case.statements and case.statements[-1].kind in {"return_statement", *_JUMPS}
        if communication is not None and ends and b"<-" in communication.text:
            if own.search(communication.text) is None:
                return True
    return False


_TIME_OF_NOTHING = re.compile(
    rb"context\.With(?:Timeout|Deadline)\(\s*context\.(?:Background|TODO)\(\)"
)


def _is_signal(file: GoFile, type_: Type | None, field: str = "") -> bool:
    """Return whether a channel tells something by its end; a field's, too, of unsent flags."""
    under = file.package.workspace.inference.underlying(type_)
    if not isinstance(under, Chan) or under.direction == "send":
        return False
    if _is_empty(file, under):
        return True
    return is_named(under.elem, ".bool", ".int") and bool(field) and _only_closed(file, field)


def _only_closed(file: GoFile, name: str) -> bool:
    """Return whether the package closes a channel of this name, and nobody sends on it."""
    word = re.escape(name.encode())
    sent, closed = re.compile(rb"\b" + word + rb"\s*<-"), re.compile(rb"\bclose\([\w.]*\." + word)
    holds = partial(file.package.holds, tests=file.is_test)
    return not holds(sent) and holds(closed)


def _is_empty(file: GoFile, channel: Chan) -> bool:
    elem = file.package.workspace.inference.underlying(channel.elem)
    if not isinstance(elem, Struct):
        return False
    return next(elem.node.find("field_declaration"), None) is None


_EMBEDDED = 2


def _fields(file: GoFile, type_: Type | None, depth: int = _EMBEDDED) -> Iterator[tuple[str, str]]:
    """Yield the fields of a struct of this package that can be listened to.

    Those of the structs that it embeds are its own, too.
    """
    base = deref(type_)
    if not isinstance(base, Named) or base.package != file.package.key:
        return
    under = file.package.workspace.inference.underlying(base)
    if not isinstance(under, Struct):
        return
    for field in under.node.find("field_declaration"):
        found = file.type_from(field.get("type"))
        if not field.all("name") and depth > 0:
            yield from _fields(file, found, depth - 1)
        for name in field.all("name"):
            if is_named(found, "context.Context"):
                yield name.name, "context"
            elif _is_signal(file, found, name.name):
                yield name.name, "channel"


def _is_closed(file: GoFile, node: Node, owner: str, name: str) -> bool:
    if STOP_NAMES.search(name) and _closed_for(file, node, name):
        return True
    return _closed_by_original(file, node, owner, name)


def _closed_for(file: GoFile, node: Node, name: str) -> bool:
    """Return whether the package closes a channel of this name, and not the function here."""
    pattern = re.compile(rb"\bclose\([\w.]*\b" + re.escape(name.encode()) + rb"\)")
    function = node.function
    if function is not None and pattern.search(file.data, function.start, function.end):
        return False
    return file.package.holds(pattern)


def _closed_by_original(file: GoFile, node: Node, owner: str, name: str) -> bool:
    """Return whether a field's channel is another field's, which the package closes by its name."""
    decl = file.package.lookup(owner)
    copy = shared_channel_of(decl, name) if is_decl(decl, "type") else None
    original = original_of(copy) if copy is not None else None
    if original is None or not STOP_NAMES.search(original.name):
        return False
    closes = by_any_name(original).of("close")
    return bool(closes) and all(o.node.function is not node.function for o in closes)


def _set_to_nil(file: GoFile, name: str) -> bool:
    """Return whether a field's channel is taken away again: it tells of one stretch of work."""
    pattern = re.compile(rb"\." + re.escape(name.encode()) + rb" = nil\b")
    return file.package.holds(pattern)


def endless(loop: Node) -> bool:
    """Return whether a `for` has neither a condition nor something to range over."""
    head = [c for c in loop.children if c.kind not in {"for", "block"}]
    if not head:
        return True
    clause = head[0]
    if clause.kind == "true":
        return True
    return clause.kind == "for_clause" and clause.get("condition") is None


_LEAVES = frozenset({"return_statement", "goto_statement"})


def leaves_loop(loop: Node) -> bool:
    """Return whether a statement in a loop's body leaves it: return, goto, break, a panic."""
    return any(True for _ in ways_out(loop))


def ways_out(loop: Node) -> Iterator[Node]:
    """Yield what leaves a loop from within its body: return, goto, break, a call that panics."""
    for node in loop["body"].own():
        ends = node.kind == "call_expression" and _ENDS.match(node["function"].name)
        if node.kind in _LEAVES or ends or (node.kind in _JUMPS and _jumps_out(node, loop)):
            yield node


_JUMPS = frozenset({"break_statement", "continue_statement"})


def _jumps_out(statement: Node, loop: Node) -> bool:
    """Return whether a break leaves a loop, or a labelled jump goes to one around it."""
    target = _breaks(statement)
    if target is loop:
        return statement.kind == "break_statement"
    labelled = any(c.kind == "label_name" for c in statement.children)
    return labelled and target is not None and target.contains(loop)


def is_failure(file: GoFile, way_out: Node, loop: Node) -> bool:
    """Return whether a loop is left only because something failed, or its context is done.

    `if err != nil { return }`, `return fmt.Errorf(…)`, `case <-ctx.Done(): return`, a panic in a
    switch.
    """
    for outer in way_out.ancestors():
        if outer is loop:
            return False
        if outer.kind == "communication_case":
            return bool(_DONE.search(outer["communication"].text))
        if outer.kind == "if_statement":
            if outer["consequence"].contains(way_out):
                return _tells_failure(file, outer["condition"]) or fails(file, way_out)
            return fails(file, way_out)
        if outer.kind in _SWITCHES and way_out.kind == "call_expression":
            return True
    return False


_SWITCHES = frozenset({"expression_switch_statement", "type_switch_statement"})
_DONE = re.compile(rb"<-[\w.()]*\.Done\(\)")


def _tells_failure(file: GoFile, condition: Node) -> bool:
    if condition.kind != "binary_expression":
        return False
    operator, left, right = condition["operator"].kind, condition["left"], condition["right"]
    if operator == "&&":
        return _tells_failure(file, left) or _tells_failure(file, right)
    if operator == "||":
        return _tells_failure(file, left) and _tells_failure(file, right)
    if operator != "!=" or right.name != "nil":
        return False
    type_ = file.type_of(left)
    return is_named(type_, ".error") or (type_ is None and bool(_ERROR.match(left.name)))


_ERROR = re.compile(r"(?:\w+\.)?(?:e|er|\w*[eE]rr)$")


_ENDS = re.compile(r"^(?:panic|os\.Exit|runtime\.Goexit|log\.Fatal\w*|\w+\.Fatal\w*|\w+\.FailNow)$")


def _breaks(statement: Node) -> Node | None:
    """Return the statement that a break leaves."""
    label = next((c for c in statement.children if c.kind == "label_name"), None)
    for outer in statement.ancestors():
        if outer.kind in FUNCTIONS:
            return None
        if label is None and outer.kind in _BREAKABLE:
            return outer
        if label is not None and outer.kind == "labeled_statement":
            if outer["label"].text == label.text:
                return outer.children[-1]
    return None


_BREAKABLE = frozenset(
    {
        *("for_statement", "select_statement", "expression_switch_statement"),
        "type_switch_statement",
    }
)


def listens(file: GoFile, root: Node) -> bool:
    """Return whether code receives from a context's Done or from a stop channel by name."""
    for node in root.own():
        if node.kind == "unary_expression" and node["operator"].kind == "<-":
            operand = node["operand"]
            if operand.kind == "call_expression" and operand["function"].name.endswith("Done"):
                return True
            last = operand.name.rpartition(".")[2]
            field = last if operand.kind == "selector_expression" else ""
            if STOP_NAMES.search(last) and _is_signal(file, file.type_of(operand), field):
                return True
    return False
