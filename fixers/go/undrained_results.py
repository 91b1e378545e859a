"""Collect what goroutines send

Goroutines are launched in a loop, each sends its result, and nobody receives. Without a
buffer all of them wait for ever, and with one the work was done for nothing; in both cases
the function returns before the work is finished. The full form counts the goroutines, closes
the channel after the last of them, and collects until then.

Not reported: a channel that is stored, returned or passed to code that is not visible; a
send that is one of several cases of a select; a function that receives anything, or whose
comment says that the work goes on in the background.

Unsafe: the function now returns after its goroutines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import (
    BuilderError,
    free_name,
    import_name,
    insert_at_end,
    insert_before,
    names_around,
    with_capacity,
    with_reason,
)
from threadmend.golang.channels import Channel, ChannelOperation, runner_of
from threadmend.golang.counts import Count, product, rounds
from threadmend.golang.file import GoFile
from threadmend.golang.functions import doc_of, result_nodes
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.local_fields import held_channels
from threadmend.golang.makers import making
from threadmend.golang.object_makers import or_objects
from threadmend.golang.repeats import launch_places
from threadmend.golang.scope import resolve_local
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._closer import anchor_in, close_after

CATEGORY = "goroutine"
GATE = rb"<-"

_MAKES = re.compile(rb"\bmake\(\s*(?:chan\b|\w+[,)])")


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the sends of goroutines, launched in a loop, that nobody receives."""
    for function in file.functions(or_objects(file.package, making(file.package, _MAKES))):
        for channel in held_channels(file, function, objects=True):
            if channel.escapes or channel.of("receive", "range", "len", "compare"):
                continue
            launches = _senders(file, function, channel)
            if launches and is_assigned_once(channel.binding) and not _goes_on(file, function):
                yield _finding(file, function, channel, launches)


_BEHIND = re.compile(
    rb"(?i)in the background|asynchronous|at once\b|immediately|fire.and.forget|best.effort"
    rb"|(?:not|n't|never|without) (?:wait|block)"
)


def _goes_on(file: GoFile, function: Node) -> bool:
    """Return whether a function's comment says that it does not wait for its goroutines."""
    return bool(_BEHIND.search(re.sub(rb"[\s/*]+", b" ", doc_of(function))))


def _senders(file: GoFile, function: Node, channel: Channel) -> list[Launch]:
    """Return the launches that send, if one of them runs in a loop and all are known.

    In the function, or in a helper that gets the channel.
    """
    found: dict[int, Launch] = {}
    looped = False
    for send in channel.of("send"):
        runner = runner_of(send, function)
        if not isinstance(runner, Launch) or send.has_alternative or runner.kind == "timer":
            return []
        places = launch_places(file, function, runner, send.calls)
        if not places:
            return []
        loops = [runner.loop, *map(innermost_loop, places)]
        looped |= any(loop is not None and not loop.contains(channel.make) for loop in loops)
        found[runner.node.start] = runner
    return list(found.values()) if looped else []


def _finding(file: GoFile, function: Node, channel: Channel, launches: list[Launch]) -> Finding:
    send = channel.of("send")[0]
    fix, reason = _fix(file, function, channel, launches)
    name = channel.binding.name
    return Finding(
        path=send.node.path,
        start=send.node.start,
        end=send.node.end,
        message=f"nobody receives what the goroutines send to {name}",
        fixes=(fix,) if fix else (),
        related=(Related(channel.make.path, channel.make.start, channel.make.end, "made here"),),
        reason=reason,
    )


@with_reason
def _fix(file: GoFile, function: Node, channel: Channel, launches: list[Launch]) -> Fix:
    """Make room for all results, close after the last goroutine, collect until then."""
    name = channel.binding.name
    body = function.get("body")
    if any(launch.function is not function for launch in launches):
        raise BuilderError("a function that is called launches the goroutines")
    if body is None:
        raise BuilderError("the function has no body")
    statements = [s for c in channel.of("close") if (s := _close_in(function, c)) is not None]
    if len(statements) != len(channel.of("close")):
        raise BuilderError("another function closes the channel")
    edits = close_after(file, function, channel.make, name, launches, statements, waits=True)
    edits += _room(file, channel, launches)
    edits += _collect(file, function, channel, launches)
    reason = "the function now waits for the goroutines"
    if any(_THROWN.search(e.new) for e in edits):
        reason += ", and throws away what they send"
    return Fix(f"Collect what is sent to {name}", tuple(edits), Safety.UNSAFE, reason)


_THROWN = re.compile(rb"\bfor range \w[\w.]* \{\s*\}")


def _close_in(function: Node, close: ChannelOperation) -> Node | None:
    parent = close.node.parent
    return parent if not close.calls and close.node.function is function else None


def _room(file: GoFile, channel: Channel, launches: list[Launch]) -> list[Edit]:
    """Give an unbuffered channel a slot for each send, if their number has a name."""
    if not channel.unbuffered:
        return []
    total: Count | None = None
    for launch in launches:
        count = rounds(file, launch.loop, channel.make)
        sends = [s for s in channel.of("send") if launch.node.contains(s.anchor)]
        if count is None or any(innermost_loop(s.node) is not None for s in sends):
            return []
        count = product(Count(len(sends)), count)
        if total is None:
            total = count
        elif total.terms == count.terms:
            total = Count(total.factor + count.factor, total.terms, total.nodes)
        else:
            return []
    if total is None:
        return []
    return [with_capacity(channel.make, str(total), channel.maker)]


def _collect(file: GoFile, function: Node, channel: Channel, launches: list[Launch]) -> list[Edit]:
    """Receive until the channel is closed: into the slice that is returned, if there is one."""
    make = channel.make.statement
    block = make.parent if make is not None else None
    if block is None or block.kind != "block":
        raise BuilderError("the channel is not made in a plain block")
    last = max((anchor_in(x.node, channel.make) for x in launches), key=lambda a: a.start)
    end = block.statements[-1]
    element = channel.type.get("value")
    told = _told(file, function, channel, end)
    if told is not None:
        loop, returned = told
        if end.kind != "return_statement":
            return list(insert_at_end(block, loop))
        nothing = list(end.find("nil")) if returned else []
        renamed = [Edit(n.path, n.start, n.end, returned.encode()) for n in nothing]
        return [*insert_before(end, loop), *renamed]
    if end.kind == "return_statement" and end is not last:
        slice_ = _returned_slice(function, end, element)
        if slice_ is not None:
            value = free_name("result", names_around(file, function))
            loop = f"for {value} := range {channel.binding.name} {{\n\t"
            return list(insert_before(end, f"{loop}{slice_} = append({slice_}, {value})\n}}"))
        return list(insert_before(end, f"for range {channel.binding.name} {{\n}}"))
    return list(insert_at_end(block, f"for range {channel.binding.name} {{\n}}"))


def _told(file: GoFile, function: Node, channel: Channel, end: Node) -> tuple[str, str] | None:
    """Return the loop that takes errors as the function treats its own, and what it returns then.

    The first of them where it returns `nil` at its end, and has no other result; where it logs,
    it logs them.
    """
    element = channel.type.get("value")
    if element is None or element.text != b"error":
        return None
    error = "err"  # of the loop alone
    head = f"for {error} := range {channel.binding.name} {{\n\tif {error} != nil"
    if end.kind == "return_statement":
        if end.text != b"return nil" or [r.text for r in result_nodes(function)] != [b"error"]:
            return None
        first = free_name("failed", names_around(file, function))
        kept = f"{head} && {first} == nil {{\n\t\t{first} = {error}\n\t}}\n}}"
        return f"var {first} error\n{kept}", first
    log = import_name(file.tree, "log")
    if result_nodes(function):
        return None
    if log is not None and f"{log}.Print".encode() in function.text:
        return f"{head} {{\n\t\t{log}.Print({error})\n\t}}\n}}", ""
    line = _logged(function, error)
    return (f"{head} {{\n\t\t{line}\n\t}}\n}}", "") if line else None


def _logged(function: Node, error: str) -> str:
    """Return a line as the function itself logs, with the same words in front: `h.logf("hub: %v",
    err)`.
    """
    for call in function.own():
        name = call["function"].text if call.kind == "call_expression" else b""
        statement = call.parent
        if not _LOGS.search(name) or statement is None or statement.kind != "expression_statement":
            continue
        root = next(iter(call["function"].find("identifier")), None)
        binding = resolve_local(root) if root is not None else None
        if binding is not None and binding.kind not in {"parameter", "receiver"}:
            continue  # it may be unknown further down
        given = call["arguments"].children
        words = _FORMAT.match(given[0].text) if given else None
        if words is not None:
            return f'{name.decode()}("{(words[1] or b"").decode()}%v", {error})'
    return ""


# Functions that take a format; what fmt prints is the function's work, not its log.
_LOGS = re.compile(
    rb"^(?!fmt\.)(?:\w+\.)*(?:[lL]og|[pP]rint|[iI]nfo|[wW]arn|[wW]arning|[eE]rror|[dD]ebug)f$"
)
_FORMAT = re.compile(rb'"([\w./-]+: )?[^"]*"$')


def _returned_slice(function: Node, statement: Node, element: Node | None) -> str | None:
    """Return the local slice of such results that a function returns first."""
    result = function.get("result")
    if result is None or element is None or len(statement.children) < 2:
        return None
    if result.kind == "parameter_list":
        first = result.children[0].get("type") if result.children else None
    else:
        first = result
    value = statement.children[1].children[0]
    if first is None or first.text != b"[]" + element.text or value.kind != "identifier":
        return None
    return value.name
