"""Functions that report by a callback, and some path out that does not although it is counted on.

for _, t := range tenants {
    spawn(func() { sync(t, c.report) })    // func (c *collector) report(o outcome) { c.done <- o }
}
c.gather(len(tenants))                     // for range n { o := <-c.done; … }
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.builders import BuilderError, insert_before, or_reason
from threadmend.golang.calls import callers, code_callers
from threadmend.golang.channel_fields import SharedChannel, shared_channel
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import declaration_of
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding, argument_of, bindings_in
from threadmend.golang.stops import leaves_loop
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Finding, Fix, Related, Safety

__all__ = ["unreported"]


@dataclass(frozen=True, slots=True)
class _Reporter:
    """A function's callback parameter, its calls, and the returns that come without one."""

    binding: Binding
    calls: list[Node]
    exits: list[Node]


def unreported(file: GoFile) -> Iterator[Finding]:
    """Yield the returns of a function that reports by a callback, where every report is awaited."""
    if file.is_test or file.generated:
        return
    for decl in file.package.functions():
        if decl.file is file and decl.sound and decl.has_body:
            if file.data.find(b"func(", decl.span[0], decl.body_start) < 0:
                continue
            if decl.node.get("result") is not None:
                continue  # its caller learns of the failure, and may report it
            reporter = _reporter(decl)
            waiter = _waiter(decl, reporter) if reporter is not None else None
            if reporter is not None and waiter is not None:
                yield _finding(file, reporter, waiter)


def _reporter(decl: Decl) -> _Reporter | None:
    """Return the one parameter that a function calls, once at most, on some of its paths."""
    for declaration in decl.node["parameters"].children:
        type_ = declaration.get("type")
        if type_ is None or type_.kind != "function_type" or type_.get("result") is not None:
            continue
        for name in declaration.all("name"):
            for binding in bindings_in(decl.node).get(name.name, ()):
                if binding.node is name:
                    found = _skipped(decl.node, binding)
                    if found is not None:
                        return found
    return None


def _skipped(function: Node, binding: Binding) -> _Reporter | None:
    uses = [u for u in binding.uses if u is not binding.node]
    calls = [u.parent for u in uses if u.parent is not None and u.field == "function"]
    flow = flow_of(function)
    if not uses or len(calls) != len(uses) or not flow.complete:
        return None
    if any(c.function is not function or innermost_loop(c) is not None for c in calls):
        return None
    if any(c.parent is None or c.parent.kind != "expression_statement" for c in calls):
        return None
    points = {flow.point_of(c) for c in calls}
    exits = flow.exits_from(flow.entry, stop=points.__contains__)
    left = [e.node for e in exits if e.kind in {"return", "end"}]
    if not left or any(n.kind != "return_statement" for n in left):
        return None
    return _Reporter(binding, calls, left)


def _waiter(decl: Decl, reporter: _Reporter) -> ChannelOperation | None:
    """Return the receive that waits for as many reports as there are calls of the function."""
    sites = code_callers(decl)
    site = sites[0] if len(sites) == 1 else None
    if site is None or site.call is None or site.deferred:
        return None
    given = argument_of(site.call, decl.node, reporter.binding)
    channel = _sent_by(site.file, given) if given is not None else None
    receives = [o for o in channel.of("receive", "range") if not o.file.is_test] if channel else []
    if channel is None or len(receives) != 1 or receives[0].kind != "receive":
        return None
    if channel.of("close") or receives[0].select is not None or receives[0].calls:
        return None
    wanted, outer = _asked_for(receives[0]), outer_function(site.node)
    loop = site.call.up("for_statement")
    clause = next((c for c in loop.children if c.kind == "range_clause"), None) if loop else None
    if wanted is None or outer is None or clause is None or wanted.function is not outer:
        return None
    if loop is None or leaves_loop(loop) or any(loop.find("continue_statement", "if_statement")):
        return None
    return receives[0] if wanted.text == b"len(" + clause["right"].text + b")" else None


def _sent_by(file: GoFile, value: Node) -> SharedChannel | None:
    """Return the field's channel on which a method that is passed on sends, as nobody else does."""
    selection = file.selection(value) if value.kind == "selector_expression" else None
    method = selection.decl if selection is not None and selection.kind == "method" else None
    if method is None or not method.sound or not method.has_body:
        return None
    statements = method.node["body"].statements
    if len(statements) != 1 or statements[0].kind != "send_statement":
        return None
    if any(s.call is not None for s in callers(method).in_code()):
        return None
    channel = shared_channel(method.file, statements[0]["channel"])
    if channel is None or not channel.is_field or channel.stores or channel.escapes:
        return None
    sends = [o for o in channel.of("send") if not o.file.is_test]
    used = code_callers(method)
    return channel if len(sends) == 1 and len(used) == 1 else None


def _asked_for(receive: ChannelOperation) -> Node | None:
    """Return what a caller gives for the number of values that a function receives in a loop."""
    loop, function = innermost_loop(receive.node), receive.node.function
    clause = next((c for c in loop.children if c.kind == "range_clause"), None) if loop else None
    if loop is None or clause is None or function is None or leaves_loop(loop):
        return None
    count = receive.file.binding(clause["right"]) if clause["right"].kind == "identifier" else None
    decl = declaration_of(receive.file, function)
    sites = code_callers(decl) if decl is not None else []
    if count is None or count.kind != "parameter" or len(sites) != 1 or sites[0].call is None:
        return None
    return argument_of(sites[0].call, function, count)


def _finding(file: GoFile, reporter: _Reporter, waiter: ChannelOperation) -> Finding:
    fix = _fix(file, reporter)
    exit_, name = reporter.exits[0], reporter.binding.name
    return Finding(
        path=file.path,
        start=exit_.start,
        end=exit_.end,
        message=f"the function returns here without calling {name}, which others wait for",
        fixes=(fix,) if isinstance(fix, Fix) else (),
        related=(Related(waiter.node.path, waiter.node.start, waiter.node.end, "waits here"),),
        reason="" if isinstance(fix, Fix) else fix,
    )


@or_reason
def _fix(file: GoFile, reporter: _Reporter) -> Fix:
    """Report before each return that comes without it, with what is there by then.

    Sound: nothing was reported on that path.
    """
    call = reporter.calls[0]
    if len({c.text for c in reporter.calls}) != 1:
        raise BuilderError("what to report there cannot be told")
    edits: list[Edit] = []
    for exit_ in reporter.exits:
        for name in call["arguments"].find("identifier"):
            binding = file.binding(name)
            if binding is not None and binding.visible > exit_.start:
                raise BuilderError("what to report there cannot be told")
        if any(a.kind != "identifier" for a in call["arguments"].children):
            raise BuilderError("what to report there cannot be told")
        edits += insert_before(exit_, call.name)
    reason = "the waiter goes on where it hung before"
    return Fix(f"Call {call.name} before returning", tuple(edits), Safety.UNSAFE, reason)
