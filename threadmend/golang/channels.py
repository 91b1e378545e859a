"""Channels: made where, with which capacity, and every operation on one that is visible.

A channel is followed from the variable that `make` initialises through closures and through
parameters of functions whose body is visible. Where it is returned, stored, sent, assigned
or passed to code that is not visible, it has escaped, and counting ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from threadmend.golang.access import is_assigned_once
from threadmend.golang.functions import call_of
from threadmend.golang.goroutines import Launch, launch_of_literal
from threadmend.golang.makers import (
    Maker,
    capacity_of,
    is_make,
    maker_of,
    makers,
    making,
)
from threadmend.golang.node import parenthesized
from threadmend.golang.scope import Binding, bindings_in, declared_name
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import Chan

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = [
    "Channel",
    "ChannelOperation",
    "channel_of",
    "follow",
    "follow_result",
    "holder_of",
    "initialised",
    "local_channels",
    "operation_at",
    "passed_to",
    "runner_of",
]

_DEPTH = 3


@dataclass(slots=True)
class ChannelOperation:
    """One use of a channel.

    `kind`: `send`, `receive`, `range`, `close`, `len` (also cap), `compare`. `node` is the send
    statement, the receive expression, the range clause or the call. `file` and `calls` say where
    it stands: the calls through which the channel was passed, outermost first.
    """

    kind: str
    node: Node
    file: GoFile
    calls: tuple[Node, ...] = ()

    @property
    def function(self) -> Node | None:
        """Return the function that the operation stands in."""
        return self.node.function

    @property
    def anchor(self) -> Node:
        """Return the place in the making function's file: the operation, or the call to it."""
        return self.calls[0] if self.calls else self.node

    @property
    def case(self) -> Node | None:
        """Return the select case whose communication the operation is."""
        child, parent = self.node, self.node.parent
        while parent is not None and parent.kind not in FUNCTIONS and parent.kind != "block":
            if parent.kind == "communication_case":
                return parent if child.field == "communication" else None
            child, parent = parent, parent.parent
        return None

    @property
    def select(self) -> Node | None:
        """Return the select statement whose case the operation is."""
        case = self.case
        return case.parent if case is not None else None

    @property
    def has_alternative(self) -> bool:
        """Return whether the operation is one of several cases of a select."""
        select = self.select
        return select is not None and len(select.children) > 2


@dataclass(slots=True)
class Channel:
    """A channel made in a function and held by one variable.

    `make` is the call, of the function `maker` if it is not `make`; `capacity` the argument that
    says it (None: unbuffered). `in_fields`: objects have it, and their methods operate on it.
    """

    binding: Binding
    make: Node
    capacity: Node | None
    operations: list[ChannelOperation] = field(default_factory=list)
    escapes: list[Node] = field(default_factory=list)
    maker: Maker | None = None
    in_fields: bool = False

    @property
    def function(self) -> Node | None:
        """Return the function that makes the channel."""
        return self.make.function

    @property
    def type(self) -> Node:
        """Return the type that is made."""
        return self.maker.type if self.maker is not None else self.make["arguments"].children[0]

    @property
    def unbuffered(self) -> bool:
        """Return whether the channel has no buffer for certain."""
        return self.capacity is None or self.capacity.text == b"0"

    def of(self, *kinds: str) -> list[ChannelOperation]:
        """Return the operations of these kinds, in source order of discovery."""
        return [o for o in self.operations if o.kind in kinds]


class Followed(Protocol):
    """What `follow` fills."""

    operations: list[ChannelOperation]
    escapes: list[Node]


def local_channels(file: GoFile, function: Node) -> list[Channel]:
    """Return the channels that a function itself makes and keeps in a variable; computed once."""
    known: dict[Node, list[Channel]] = vars(file).setdefault("_channels", {})
    found = known.get(function)
    if found is None:
        found = known[function] = list(_channels_of(file, function))
    return found


def _channels_of(file: GoFile, function: Node) -> Iterator[Channel]:
    if not making(file.package).search(file.data, function.start, function.end):
        return
    others = bool(makers(file.package))
    for node in function.own():
        if node.kind == "call_expression" and (others or is_make(node)):
            binding = initialised(file, node)
            maker = maker_of(file, node) if binding is not None else None
            if binding is None or (maker is None and not is_make(node)):
                continue
            if isinstance(file.underlying(file.type_of(node)), Chan):
                yield channel_of(file, binding, node, maker)


def initialised(file: GoFile, value: Node) -> Binding | None:
    """Return the variable that a declaration initialises with `value`."""
    name = declared_name(value)
    binding = None if name is None else file.binding(name)
    return binding if binding is not None and binding.node is name else None


def channel_of(file: GoFile, binding: Binding, make: Node, maker: Maker | None = None) -> Channel:
    """Return the channel that a variable holds, with everything that is done to it."""
    capacity = maker.capacity(make) if maker is not None else capacity_of(make)
    channel = Channel(binding, make, capacity, maker=maker)
    follow(file, binding, (), channel, _DEPTH)
    return channel


def follow(
    file: GoFile, binding: Binding, calls: tuple[Node, ...], channel: Followed, depth: int
) -> None:
    """Add the operations and escapes of a channel that a variable holds."""
    for node in binding.uses:
        if node is binding.node:
            continue
        operation = operation_at(file, node, calls)
        if operation is not None:
            channel.operations.append(operation)
            continue
        alias = _other_name(file, node)
        if alias is not None and depth:
            follow(file, alias, calls, channel, depth - 1)
            continue
        passed = passed_to(file, node)
        if passed is None or depth == 0:
            channel.escapes.append(node)
            continue
        call, callee_file, parameter = passed
        follow(callee_file, parameter, (*calls, call), channel, depth - 1)


def _other_name(file: GoFile, node: Node) -> Binding | None:
    """Return the variable of `out := ch` that means the same channel for good."""
    alias = initialised(file, node)
    if alias is None or alias.declaration.kind != "short_var_declaration":
        return None
    return alias if is_assigned_once(alias) else None


def follow_result(file: GoFile, call: Node, channel: Followed) -> None:
    """Add the operations and escapes of a channel that a call returns.

    `for v := range start()`, `results := start()`, `collect(start())`.
    """
    operation = operation_at(file, call)
    if operation is not None:
        channel.operations.append(operation)
        return
    holder = holder_of(file, call)
    if holder is None:
        channel.escapes.append(call)
    else:
        holding, variable, calls = holder
        follow(holding, variable, calls, channel, _DEPTH - 1)


def holder_of(file: GoFile, call: Node) -> tuple[GoFile, Binding, tuple[Node, ...]] | None:
    """Return the variable that holds a call's result: one of the caller's, or a parameter.

    With the calls on the way to it: `results := start()`, `collect(start())`.
    """
    alias = initialised(file, call)
    if alias is not None:
        return file, alias, ()
    passed = passed_to(file, call)
    return (passed[1], passed[2], (passed[0],)) if passed is not None else None


def operation_at(file: GoFile, name: Node, calls: tuple[Node, ...] = ()) -> ChannelOperation | None:
    """Return the operation that a use of a channel (a name or a selector) is, if it is one."""
    node = parenthesized(name)
    parent = node.parent
    if parent is None:
        return None
    if parent.kind == "send_statement" and node.field == "channel":
        return ChannelOperation("send", parent, file, calls)
    if parent.kind == "unary_expression" and parent["operator"].kind == "<-":
        return ChannelOperation("receive", parent, file, calls)
    if parent.kind == "range_clause" and node.field == "right":
        return ChannelOperation("range", parent, file, calls)
    if parent.kind == "binary_expression":
        return ChannelOperation("compare", parent, file, calls)
    if parent.kind == "argument_list" and parent.parent is not None:
        function = parent.parent.get("function")
        if function is not None and function.kind == "identifier":
            word = {"close": "close", "len": "len", "cap": "len"}.get(function.name)
            if word and file.resolve(function) is None:
                return ChannelOperation(word, parent.parent, file, calls)
            if word is None and len(parent.children) == 1 and _only_closes(file, parent.parent):
                return ChannelOperation("close", parent.parent, file, calls)
    return None


def _only_closes(file: GoFile, call: Node) -> bool:
    """Return whether a function of the project closes what it is given, and nothing else."""
    decl = file.callee(call)
    if decl is None or decl.kind != "func" or not decl.sound or not decl.has_body:
        return False
    statements = decl.node["body"].statements
    if len(statements) != 1 or len(decl.node["parameters"].children) != 1:
        return False
    names = decl.node["parameters"].children[0].all("name")
    return len(names) == 1 and statements[0].text == b"close(" + names[0].text + b")"


def passed_to(file: GoFile, name: Node) -> tuple[Node, GoFile, Binding] | None:
    """Return the call that passes a channel on, and the parameter that receives it."""
    arguments = name.parent
    if arguments is None or arguments.kind != "argument_list" or arguments.parent is None:
        return None
    call = arguments.parent
    if call.kind != "call_expression":
        return None
    index = next(i for i, child in enumerate(arguments.children) if child is name)
    function = call["function"]
    if function.kind == "func_literal":
        body, callee_file = function, file
    else:
        decl = file.callee(call)
        if decl is None or not decl.sound or decl.node.get("body") is None:
            return None
        body, callee_file = decl.node, decl.file
    names = [
        name
        for parameter in body["parameters"].children
        for name in (parameter.all("name") or [parameter])
        if parameter.kind == "parameter_declaration"
    ]
    if index >= len(names):
        return None
    for binding in bindings_in(body).get(names[index].name, ()):
        if binding.node is names[index]:
            return call, callee_file, binding
    return None


def runner_of(operation: ChannelOperation, function: Node) -> Launch | Node | None:
    """Return which goroutine runs an operation on a channel made in `function`.

    `function` itself when its own goroutine does (in place, or deferred), the Launch when a
    goroutine does that it or a function called by it starts, None when that cannot be told.
    """
    node = operation.node
    for call in reversed(operation.calls):
        runner = _runner(operation.file, node, call["function"])
        if runner is None or isinstance(runner, Launch):
            return runner
        node = call
    return _runner(operation.file, node, function)


def _handed_over(call: Node) -> Node | None:
    """Return the value that a call stands for, as `Launch.runs` makes it up: `s.run` of
    `g.Go(s.run)`.
    """
    statement = call.parent
    group = statement.parent if statement is not None else None
    if group is None or group.kind != "argument_list":
        return None
    return next((v for v in group.children if v.start == call.start), None)


def _runner(like: GoFile, node: Node, body: Node) -> Launch | Node | None:
    """Return what runs a node: `body` (or the declaration around it), a launch in it, None."""
    file = like.package.workspace.file_of(node)
    while True:
        call = node if node.kind == "call_expression" else None
        if call is not None and call.parent is not None and call.parent.kind == "go_statement":
            return launch_of_literal(file, _handed_over(call) or call.parent)
        inner = node.function
        if inner is None:
            return None
        if inner is body or (inner.kind != "func_literal" and body.kind not in FUNCTIONS):
            return body
        if inner.kind != "func_literal":
            return None
        called = call_of(inner)
        if called is None:
            return launch_of_literal(file, inner)
        node = called
