"""Goroutines that wait for their own end, mostly through a Close that they call themselves.

func (c *conn) loop() {
    defer close(c.done)
    for {
        …
        c.Close()              // close(c.stop); <-c.done
    }
}
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import Access, access_of
from threadmend.golang.bodies import depends_on_flag, events_of
from threadmend.golang.bodycalls import Call, calls_at, leads_to
from threadmend.golang.builders import BuilderError, replace, with_reason
from threadmend.golang.calls import callers
from threadmend.golang.channel_fields import shared_channel
from threadmend.golang.channels import local_channels
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.locks import declaration_of
from threadmend.golang.reach import reach_of
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.targets import Body
from threadmend.golang.waitgroups import waitgroup_call
from threadmend.golang.wording import translated
from threadmend.model import Finding, Fix, Related, Safety

__all__ = ["own_ends"]

_ENDS = re.compile(rb"\bdefer (?:close\(|[\w.]+\.Done\(\)|func\(\) \{)")
_FURTHEST = 7
_MOST = 50
_ENDING = re.compile(r"(?i)close|stop|shut|term|quit|finish|kill|abort|disconnect|exit|end$")


@dataclass(frozen=True, slots=True)
class _End:
    """What a function says when it ends, in a `defer`: a close, or a Done."""

    defer: Node
    operation: Node
    access: Access
    mode: str


@dataclass(frozen=True, slots=True)
class _Wait:
    """A wait that a body comes to: for what, in its own words, and by which calls.

    `certain`: each of them runs one function, and no other.
    """

    mode: str
    access: Access
    path: tuple[Node, ...]
    certain: bool = True


def own_ends(file: GoFile) -> Iterator[Finding]:
    """Yield the calls by which a function waits for what only its own end says."""
    for function in file.functions(_ENDS):
        ends = [e for e in _ends(file, function) if _is_waited_for(file, e)]
        if not ends:
            continue
        seen: set[Node] = set()
        for wait in _waits(Body(file, function)):
            end = next((e for e in ends if _is_its_own(file, function, e, wait)), None)
            if end is not None and wait.path[-1] not in seen:
                seen.add(wait.path[-1])
                yield _finding(end, wait)


def _is_waited_for(file: GoFile, end: _End) -> bool:
    """Return whether somebody in the package waits for an end, as far as the name tells."""
    root = end.access.root
    name = end.access.steps[-1] if end.access.steps else getattr(root, "name", "")
    waits = rb"\.Wait\(\)" if end.mode == "wait" else b""
    before = b"" if end.mode == "wait" else rb"<-[\w.]*"
    word = re.compile(before + rb"\b" + re.escape(name.encode()) + waits + rb"(?!\w)")
    return file.package.holds(word)


def _ends(file: GoFile, function: Node) -> Iterator[_End]:
    for defer in function.own():
        call = defer.children[-1] if defer.kind == "defer_statement" else None
        if call is None or call.kind != "call_expression" or defer.up("for_statement") is not None:
            continue
        calls = [call]
        if call["function"].kind == "func_literal":
            statements = call["function"]["body"].statements
            inner = (s.children[0] for s in statements if s.kind == "expression_statement")
            calls = [c for c in inner if c.kind == "call_expression"]
        for said in calls:
            end = _end(file, defer, said)
            if end is not None:
                yield end


def _end(file: GoFile, defer: Node, call: Node) -> _End | None:
    if call["function"].text == b"close" and len(call["arguments"].children) == 1:
        operand = call["arguments"].children[0]
        access = access_of(file, operand)
        if access is None or not _closes_alone(file, operand, call):
            return None
        return _End(defer, call, access, "receive")
    done = waitgroup_call(file, call)
    if done is None or done.method != "Done" or done.access is None:
        return None
    return _End(defer, call, done.access, "wait")


def _closes_alone(file: GoFile, operand: Node, call: Node) -> bool:
    """Return whether a close is the only way in which a channel says anything."""
    if operand.kind == "selector_expression":
        channel = shared_channel(file, operand)
        return (
            channel is not None
            and [o.node for o in channel.of("close")] == [call]
            and not channel.of("send")
            and not channel.escapes
        )
    binding = file.binding(operand)
    if binding is None or binding.function is None:
        return False
    for local in local_channels(file, binding.function):
        if local.binding is binding:
            alone = [o.node for o in local.of("close")] == [call]
            return alone and not local.of("send") and not local.escapes
    return False


def _waits(body: Body, further: int = _FURTHEST) -> list[_Wait]:
    """Return the waits without an alternative that a body comes to, itself and by its calls.

    `further` is how many calls deep to look: so the answer is the same whoever asks first, and
    functions that call each other are asked once a level.
    """
    known: dict[tuple[Node, int], list[_Wait]] = body.file.package.facts.setdefault(
        "own ends: waits", {}
    )
    key = (body.node, further)
    if key not in known:
        known[key] = list(_found(body, further).values())
    return known[key]


def _found(body: Body, further: int) -> dict[tuple[str, Access], _Wait]:
    found: dict[tuple[str, Access], _Wait] = {}
    for event in events_of(body):
        if event.kind != "block" or event.access is None:
            continue
        if event.sure and not depends_on_flag(body, event.path[0]):
            wait = _Wait(event.mode, event.access, event.path)
            found.setdefault((wait.mode, wait.access), wait)
    calls = _calls(body) if further else []
    places = [call.at for call in calls]
    for call in calls:
        one = places.count(call.at) == 1
        for wait in _waits(call.body, further - 1):
            if len(found) >= _MOST:
                return found
            at = wait.path[0]
            access = translated(body.file, call.call, call.body.node, wait.access, call.extra, at)
            if access is not None and len(wait.path) <= _FURTHEST:
                led = _Wait(wait.mode, access, (call.at, *wait.path), one and wait.certain)
                known = found.setdefault((led.mode, access), led)
                if led.certain and not known.certain:
                    found[led.mode, access] = led
    return found


def _calls(body: Body) -> list[Call]:
    """Return the bodies that a body runs in place and that may wait, as far as names tell."""
    known: dict[Node, list[Call]] = body.file.package.facts.setdefault("own ends: calls", {})
    if body.node not in known:
        inside = body.node.get("body")
        may_wait = reach_of(body.file.package.workspace).may_wait
        known[body.node] = [
            call
            for node in (inside.own() if inside is not None else ())
            if node.kind == "call_expression" and not node.is_launched
            if leads_to(body.file, node["function"], may_wait)
            if not depends_on_flag(body, node)
            for call in calls_at(body, node)
            if call.runs
        ]
    return known[body.node]


def _is_its_own(file: GoFile, function: Node, end: _End, wait: _Wait) -> bool:
    """Return whether a wait is for the end of the function that comes to it."""
    if wait.mode != end.mode or end.defer.contains(wait.path[0]):
        return False
    deferred = wait.path[0].up("defer_statement")
    if deferred is not None and deferred.function is function and deferred.start < end.defer.start:
        return False  # it runs when the end has been said
    flow = flow_of(function)
    said, at = flow.point_of(end.defer), flow.point_of(wait.path[0])
    if said is None or at is None or not flow.dominates(said, at):
        return False  # it may be somebody else who is to say it
    root = end.access.root
    if wait.access == end.access:
        # Each run has variables of its own, and another object may have another run's.
        return wait.certain or not isinstance(root, Binding) or root.kind == "receiver"
    if wait.access.steps != end.access.steps or not isinstance(root, Binding):
        return False
    if root.kind != "receiver" or not isinstance(wait.access.root, Binding):
        return False
    return _objects(file, root, _FURTHEST) == {wait.access.root}


def _objects(file: GoFile, receiver: Binding, depth: int) -> set[Binding | None]:
    """Return the variables whose object a receiver may be, None among them for another one."""
    decl = declaration_of(file, receiver.scope)
    if decl is None or depth == 0:
        return {None}
    found: set[Binding | None] = set()
    for site in callers(decl):
        function = site.call["function"] if site.call is not None else None
        if function is None or function.kind != "selector_expression":
            return {None}
        owner = site.file.binding(function["operand"])
        if owner is not None and owner.kind == "receiver":
            found |= _objects(site.file, owner, depth - 1)
        else:
            found.add(owner)
    return found


def _finding(end: _End, wait: _Wait) -> Finding:
    fix, reason = _fix(wait)
    last, operation = wait.path[0], wait.path[-1]
    said = end.operation.name if end.mode == "wait" else f"close({end.access})"
    related = [Related(end.operation.path, end.operation.start, end.operation.end, f"{said} here")]
    if operation is not last:
        related.append(
            Related(operation.path, operation.start, operation.end, "and this waits for it")
        )
    waits = "waits" if operation is last else "leads to a wait"
    return Finding(
        path=last.path,
        start=last.start,
        end=last.end,
        message=f"{_short(last)} {waits} for the end of the function itself, which never comes",
        fixes=(fix,) if fix is not None else (),
        related=tuple(related),
        reason=reason,
    )


def _short(node: Node) -> str:
    return node["function"].name if node.kind == "call_expression" else node.name


@with_reason
def _fix(wait: _Wait) -> Fix:
    """Let the call that ends the goroutine wait in one of its own.

    Sound: nothing follows the call there, and it went on at no time.
    """
    for call in wait.path[:-1]:
        statement = call.parent
        name = call["function"].name.rpartition(".")[2]
        if not _ENDING.search(name):
            continue
        if statement is None or statement.kind != "expression_statement":
            raise BuilderError(f"what {name} returns is used")
        below = statement.next
        if below is not None and below.kind not in {"return_statement", "break_statement"}:
            raise BuilderError(f"what follows {name} may rely on it")
        edits = replace(statement, f"go {statement.name}")
        title = f"Call {call['function'].name} in a goroutine of its own"
        return Fix(title, edits, Safety.UNSAFE, f"{name} has not ended when the goroutine goes on")
    raise BuilderError("which call could wait elsewhere is not clear")
