"""Answers of somebody who cannot be seen: a channel goes into a call, and one value is awaited.

    answer := make(chan Reply, 1)
    desk.Submit(question, answer)      // or a callback that sends: func(r Reply) { answer <- r }
    r := <-answer

The context of the function went nowhere: when the answer never comes, nothing ends the wait.
Likewise `r := <-s.begin(question)`, where `begin` launches who asks, and returns the channel.
"""

from __future__ import annotations

from threadmend.golang.access import is_assigned_once
from threadmend.golang.ambient import ambient, left
from threadmend.golang.builders import with_capacity
from threadmend.golang.channels import Channel, local_channels, runner_of
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.locks import held_at
from threadmend.golang.scope import Binding
from threadmend.golang.stops import Stop
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.targets import targets
from threadmend.golang.types import is_named
from threadmend.model import Fix

from ._stop_cases import in_select
from ._unreceived import is_returned

__all__ = ["asked", "begun", "call_that_gave", "listens", "with_room_for_one"]

_PARTS = frozenset(
    {
        *("composite_literal", "literal_value", "keyed_element", "literal_element"),
        *("unary_expression", "parenthesized_expression"),
    }
)


def asked(file: GoFile, receive: Node, made: Channel) -> Stop | None:
    """Return the context that the wait for an answer of unknown code should listen to."""
    if file.is_test or held_at(file, receive):
        return None
    call = _request(made, receive)
    if call is None or call.function is not receive.function or call.end > receive.start:
        return None
    if call.runs_later:
        return None
    return _stop(file, receive, call) if _is_out_of_sight(file, call) else None


def _stop(file: GoFile, receive: Node, call: Node) -> Stop | None:
    """Return the context in scope of a receive that a call was not given."""
    context = ambient(file, receive)
    if context is None or context.kind not in {"context", "request"}:
        return None
    if left(file, receive, context):
        return None
    if _knows(file, call, context.binding) or listens(context.text, receive):
        return None
    return Stop(f"{context.text}.Done()", context.text)


def begun(file: GoFile, receive: Node) -> tuple[Stop, Channel, str] | None:
    """Return the context for the wait for what a called function began, the channel, its name."""
    call = call_that_gave(file, receive["operand"])
    decl = file.callee(call) if call is not None else None
    if call is None or decl is None or not decl.has_body or file.is_test or held_at(file, receive):
        return None
    for channel in local_channels(decl.file, decl.node):
        if not channel.escapes or not all(is_returned(e, decl.node) for e in channel.escapes):
            continue
        if _answered_out_of_sight(decl.file, decl.node, channel):
            stop = _stop(file, receive, call)
            return (stop, channel, decl.name) if stop is not None else None
    return None


def call_that_gave(file: GoFile, operand: Node) -> Node | None:
    """Return the call that a channel comes from, directly or through one name."""
    if operand.kind == "identifier":
        binding = file.binding(operand)
        right = binding.declaration.get("right") if binding is not None else None
        if binding is None or right is None or not is_assigned_once(binding):
            return None
        operand = right.children[0] if len(right.children) == 1 else operand
    return operand if operand.kind == "call_expression" else None


def _answered_out_of_sight(file: GoFile, function: Node, channel: Channel) -> bool:
    """Return whether one goroutine sends once, after a call of code of others without a context."""
    sends = channel.of("send")
    runners = [runner_of(o, function) for o in channel.of("send", "close")]
    first = runners[0] if runners else None
    if not isinstance(first, Launch) or first.literal is None or not sends or first.loop:
        return False
    if any(not isinstance(r, Launch) or r.node is not first.node for r in runners):
        return False
    if any(o.has_alternative or innermost_loop(o.node) or o.function is not first.literal
           for o in sends):  # fmt: skip
        return False
    if any(is_named(file.type_of(n), "context.Context") for n in function.find("identifier")):
        return False
    return any(
        call.start < sends[0].node.end and _is_out_of_sight(file, call)
        for call in first.literal.own()
        if call.kind == "call_expression"
    )


def with_room_for_one(
    file: GoFile, receive: Node, stop: Stop, made: Channel, why: str
) -> Fix | str:
    """Wait for the stop as well, and let the answer that comes later find room.

    Sound: nobody received a second answer before either.
    """
    fix = in_select(file, receive, stop, why)
    if isinstance(fix, str) or not made.unbuffered:
        return fix
    title = f"{fix.title}, and make {made.binding.name} with a buffer of 1"
    return Fix(
        title, (*fix.edits, with_capacity(made.make, "1", made.maker)), fix.safety, fix.reason
    )


def _request(made: Channel, receive: Node) -> Node | None:
    """Return the one call that is given the channel, or a literal that sends on it."""
    others = [o for o in made.operations if o.node is not receive]
    if len(made.operations) == len(others):
        return None
    if not others and len(made.escapes) == 1:
        return _call_around(made.escapes[0])
    senders = {o.node.function for o in others}
    literal = senders.pop() if len(senders) == 1 and not made.escapes else None
    if literal is None or literal.kind != "func_literal" or any(o.calls for o in others):
        return None
    if any(o.kind not in {"send", "close"} for o in others):
        return None
    return _call_around(literal)


def _call_around(value: Node) -> Node | None:
    """Return the call whose argument a value is, or is a part of."""
    at = value.parent
    while at is not None and at.kind in _PARTS:
        at = at.parent
    call = at.parent if at is not None and at.kind == "argument_list" else None
    return call if call is not None and call.kind == "call_expression" else None


def _is_out_of_sight(file: GoFile, call: Node) -> bool:
    """Return whether a call runs code of others: an interface's method, a function value."""
    function = call["function"]
    if file.callee(call) is not None or targets(file, call).complete:
        return False
    if function.kind == "identifier":
        return file.binding(function) is not None
    if function.kind != "selector_expression":
        return False
    selection = file.selection(function)
    if selection is None or selection.kind == "package":
        return False
    owner = selection.owner
    return owner is not None and file.package.workspace.package_by_key(owner.package) is not None


def _knows(file: GoFile, call: Node, context: Binding) -> bool:
    """Return whether something in a call was made of the context, which may end the wait."""
    for name in call.find("identifier"):
        binding = file.binding(name)
        if binding is None or binding.kind in {"parameter", "receiver"}:
            if binding is context and not _is_part(name):
                return True
            continue
        if any(n.text == context.name.encode() for n in binding.declaration.find("identifier")):
            return True
    return False


def _is_part(name: Node) -> bool:
    """Return whether a name is that of a request of which only a part is taken: `r.URL`."""
    above = name.parent
    return (
        above is not None and above.kind == "selector_expression" and above["field"].name in _PLAIN
    )


_PLAIN = frozenset({"URL", "Host", "Method", "RemoteAddr", "Body", "Header", "Form", "PostForm"})


def listens(context: str, receive: Node) -> bool:
    """Return whether the function listens to the context elsewhere, to end the wait itself."""
    function = receive.function
    words = (f"<-{context}.Done()".encode(), f"AfterFunc({context}".encode())
    while function is not None and function.kind not in FUNCTIONS - {"func_literal"}:
        function = function.function
    return function is None or any(word in function.text for word in words)
