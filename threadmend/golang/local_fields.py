"""Channels that a function keeps in fields of an object of its own.

run := &run{out: make(chan int)}   // run.out is followed like a variable: through closures,
go run.produce()                   // methods and parameters that get the object

s.hits = make(chan hit)            // likewise a field of the receiver, when it has the channel
go s.search()                      // for this call only: nobody else comes to it

run := newRun()                    // likewise what a function makes that only returns an object
go run.produce()

lines := make(chan string)         // a variable's channel is followed into objects that get it
t := &tail{out: lines}             // also by a function that only makes one: newTail(lines)
go t.run()
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from threadmend.golang.access import is_assigned_once
from threadmend.golang.channel_fields import shared_channel
from threadmend.golang.channels import Channel, follow, initialised, local_channels, passed_to
from threadmend.golang.functions import call_of, only_returned
from threadmend.golang.goroutines import launch_of_literal
from threadmend.golang.makers import capacity_of, is_make, maker_of, making
from threadmend.golang.node import parenthesized
from threadmend.golang.object_makers import naming_makers, objects_of
from threadmend.golang.scope import Binding, bindings_in
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, Named, deref

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = ["FieldBinding", "handed_channels", "held_channels", "is_of_receiver"]

_DEPTH = 3
_STORED = re.compile(rb"[:=]\s*(?:\w+\.)?\w+\(")


class FieldBinding(Binding):
    """A field of a local variable's object, as if it were a variable: `run.out`.

    `node` is where the field gets its value: the key in the literal or the selector that is
    assigned to.
    """

    __slots__ = ("holder",)

    def __init__(self, holder: Binding, field: str, node: Node, declaration: Node) -> None:
        super().__init__("variable", holder.node, declaration, holder.scope, holder.visible)
        self.holder = holder
        self.node = node
        self.name = f"{holder.name}.{field}"
        self._uses = [use for use, name in _selected(holder) if name == field]
        if node not in self._uses:
            self._uses.insert(0, node)


def held_channels(file: GoFile, function: Node, *, objects: bool = False) -> list[Channel]:
    """Return the channels that a function makes for a variable or a field of its own object.

    Of the second kind only where no code out of sight gets the object. With `objects` also those
    of objects that it gets from functions which make them: `run := newRun()`.
    """
    if objects:
        return [*held_channels(file, function), *_objects_channels(file, function)]
    known: dict[Node, list[Channel]] = vars(file).setdefault("_held_channels", {})
    found = known.get(function)
    if found is None:
        variables = [_with_objects(file, c) for c in local_channels(file, function)]
        found = known[function] = [*variables, *_kept(file, function)]
    return found


def is_of_receiver(channel: Channel) -> bool:
    """Return whether a method keeps a channel in a field of its receiver, for one call."""
    binding = channel.binding
    return isinstance(binding, FieldBinding) and binding.holder.kind == "receiver"


def handed_channels(file: GoFile, function: Node) -> list[Channel]:
    """Return the channels in fields of an object that a function makes and hands on.

    Their operations are those that the function itself comes to; where the object goes to code
    out of sight, or is returned, is among the escapes.
    """
    known: dict[Node, list[Channel]] = vars(file).setdefault("_handed_channels", {})
    if function not in known:
        kept = {c.make for c in held_channels(file, function)}
        every = _kept(file, function, handed=True)
        known[function] = [c for c in every if c.make not in kept and c.escapes]
    return known[function]


def _with_objects(file: GoFile, channel: Channel) -> Channel:
    """Return a channel with what is done to it in the fields of local objects that get it."""
    if not any(_keyed(node) is not None for node in channel.escapes):
        return channel
    full = replace(channel, operations=list(channel.operations), escapes=[])
    for node in channel.escapes:
        seen = Channel(channel.binding, channel.make, channel.capacity)
        keyed = _keyed(node)
        starts = list(_objects(file, channel, keyed)) if keyed is not None else []
        if keyed is None or not starts or not all(_enter(keyed, s, seen) for s in starts):
            full.escapes.append(node)
            continue
        full.operations += seen.operations
        full.escapes += seen.escapes
        full.in_fields = True
    return full


def _keyed(node: Node) -> Node | None:
    """Return the `field: ch` of a composite literal that a name is the value of."""
    element = node.parent
    keyed = element.parent if element is not None else None
    if element is None or keyed is None or keyed.kind != "keyed_element":
        return None
    return keyed if element is not keyed["key"] else None


_Start = tuple["GoFile", Binding, tuple[Node, ...]]


def _objects(file: GoFile, channel: Channel, keyed: Node) -> Iterator[_Start]:
    """Yield the names of an object that gets a channel, and the call in between.

    Nothing where the object has none, or another function has it.
    """
    literal = keyed.parent.parent if keyed.parent is not None else None
    if literal is None or literal.kind != "composite_literal":
        return
    if literal.parent is not None and literal.parent.kind == "unary_expression":
        literal = literal.parent
    top = literal.function
    while top is not None and top is not channel.function and top.kind == "func_literal":
        top = top.function
    here = top is channel.function
    for value in [literal] if here else list(_constructions(file, channel, literal)):
        holder = initialised(file, value)
        if holder is not None and is_assigned_once(holder):
            yield file, holder, ()
            continue
        entered = _entered(file, parenthesized(value))
        if entered is not None:
            yield entered[1], entered[2], (entered[0],)


def _constructions(file: GoFile, channel: Channel, literal: Node) -> Iterator[Node]:
    """Yield the calls that give a channel to a function which only returns an object with it."""
    function = literal.function
    if function is None or function["body"].statements != [literal.up("return_statement")]:
        return
    for use in channel.binding.uses:
        call = use.parent.parent if use.parent is not None else None
        if use.up("argument_list") is use.parent and call is not None:
            decl = file.callee(call)
            if decl is not None and decl.node is function:
                yield call


def _entered(file: GoFile, value: Node) -> tuple[Node, GoFile, Binding] | None:
    """Return the call `value.method()`, and the receiver's name there."""
    selector = value.parent
    call = selector.parent if selector is not None else None
    if selector is None or call is None or selector.kind != "selector_expression":
        return None
    decl = file.callee(call) if call.kind == "call_expression" else None
    if decl is None or not decl.sound or not decl.has_body:
        return None
    receiver = _receiver(decl)
    return (call, decl.file, receiver) if receiver is not None else None


def _receiver(decl: Decl) -> Binding | None:
    names = decl.node["receiver"].children[0].all("name") if decl.kind == "method" else []
    for binding in bindings_in(decl.node).get(names[0].name, ()) if names else ():
        if binding.node is names[0]:
            return binding
    return None


def _enter(keyed: Node, start: _Start, channel: Channel) -> bool:
    """Follow the channel in a field of an object from a name of it."""
    file, holder, calls = start
    owner = deref(file.type_of(holder.node))
    key = keyed["key"].children[0] if keyed["key"].children else keyed["key"]
    if not isinstance(owner, Named) or key.kind not in {"identifier", "field_identifier"}:
        return False
    own = FieldBinding(holder, key.name, key if not calls else holder.node, keyed)
    if not is_assigned_once(own):
        return False
    follow(file, own, calls, channel, _DEPTH - len(calls))
    return _wander(key.name, owner, [start], channel)


def _kept(file: GoFile, function: Node, *, handed: bool = False) -> Iterator[Channel]:
    data = file.data
    if not making(file.package).search(data, function.start, function.end):
        return
    if not _STORED.search(data, function.start, function.end):
        return
    for node in function.own():
        if node.kind != "call_expression":
            continue
        maker = maker_of(file, node)
        if maker is None and not is_make(node):
            continue
        binding = _place(file, node, function)
        if binding is None or not isinstance(file.underlying(file.type_of(node)), Chan):
            continue
        capacity = maker.capacity(node) if maker is not None else capacity_of(node)
        channel = Channel(binding, node, capacity, maker=maker)
        kept = is_of_receiver(channel)
        if _follow(file, binding, channel, handed=handed and not kept):
            if not kept or _is_for_call(file, channel):
                yield channel


def _objects_channels(file: GoFile, function: Node) -> list[Channel]:
    """Return the channels of objects that a function gets from those that make them."""
    known: dict[Node, list[Channel]] = vars(file).setdefault("_objects_channels", {})
    if function not in known:
        known[function] = []
        calls = naming_makers(file.package)
        if calls is not None and calls.search(file.data, function.start, function.end):
            found = (_got(file, n, function) for n in function.own() if n.kind == "call_expression")
            known[function] = [channel for channels in found for channel in channels]
    return known[function]


def _got(file: GoFile, call: Node, function: Node) -> Iterator[Channel]:
    """Yield the channels of an object that a variable gets from a function which makes it."""
    found = objects_of(file, call)
    holder = initialised(file, call) if found else None
    if holder is None or holder.function is not function or not is_assigned_once(holder):
        return
    owner = deref(file.type_of(holder.node))
    for maker in found if isinstance(owner, Named) else ():
        binding = FieldBinding(holder, maker.field, holder.node, holder.declaration)
        channel = Channel(binding, call, maker.capacity(call), maker=maker, in_fields=True)
        starts: list[_Start] = [(file, holder, ())]
        follow(file, binding, (), channel, _DEPTH)
        if maker.held is not None:
            inside = FieldBinding(maker.held, maker.field, maker.key, maker.held.declaration)
            follow(maker.decl.file, inside, (call,), channel, _DEPTH - 1)
            starts.append((maker.decl.file, maker.held, (call,)))
        if _wander(maker.field, owner, starts, channel, ends=maker.returned):
            yield channel


def _is_for_call(file: GoFile, channel: Channel) -> bool:
    """Return whether a channel in a field of the receiver is there for one call of its method.

    Each call makes one, at its own level, and all that anybody does to the field's channel is
    what this call comes to afterwards.
    """
    statement, function = channel.make.statement, channel.function
    if statement is None or function is None or statement.parent is not function["body"]:
        return False
    shared = shared_channel(file, channel.binding.node)
    if shared is None or not shared.is_field or shared.exported or len(shared.makes) != 1:
        return False
    if shared.stores or shared.nils or shared.escapes or channel.escapes:
        return False
    known = {operation.node for operation in channel.operations}
    return all(operation.node in known for operation in shared.operations) and all(
        operation.anchor.start > statement.end for operation in channel.operations
    )


def _place(file: GoFile, make: Node, function: Node) -> FieldBinding | None:
    """Return the field of a local object that a new channel is stored in."""
    found = _in_literal(file, make) or _assigned(file, make)
    if found is None or found.holder.function is not function:
        return None
    if found.holder.kind not in {"variable", "receiver"}:
        return None
    owner = deref(file.type_of(found.holder.node))
    if not isinstance(owner, Named) or not is_assigned_once(found.holder):
        return None
    return found if _is_own_object(file, found.holder) else None


def _is_own_object(file: GoFile, holder: Binding) -> bool:
    """Return whether a variable's object is a new one, or the receiver's: not what a call gives
    that does more than to make it, and may have handed it on before.

    `handler, cleanup := setup()`, and setup serves with the handler.
    """
    if holder.kind == "receiver":
        return True
    value = holder.value
    if value is None:
        return not holder.values
    if value.kind != "call_expression" or value["function"].text == b"new":
        return True
    decl = file.callee(value)
    if decl is None or not decl.sound or not decl.has_body:
        return False
    if only_returned(decl.node) is not None or objects_of(file, value):
        return True
    return not any(n.kind in _GIVES_AWAY for n in decl.node.own())


_GIVES_AWAY = frozenset({"go_statement", "func_literal", "send_statement"})


def _in_literal(file: GoFile, make: Node) -> FieldBinding | None:
    """Return the field of `x := &T{field: make(…)}`."""
    element = make.parent
    keyed = element.parent if element is not None else None
    if element is None or keyed is None or keyed.kind != "keyed_element":
        return None
    key = keyed["key"]
    literal = keyed.parent.parent if keyed.parent is not None else None
    if element is key or literal is None or literal.kind != "composite_literal":
        return None
    if literal.parent is not None and literal.parent.kind == "unary_expression":
        literal = literal.parent
    holder = initialised(file, literal)
    name = key.children[0] if key.children else key
    if holder is None or name.kind != "identifier":
        return None
    return FieldBinding(holder, name.name, name, keyed)


def _assigned(file: GoFile, make: Node) -> FieldBinding | None:
    """Return the field of `x.field = make(…)`."""
    values = make.parent
    statement = values.parent if values is not None else None
    if values is None or statement is None or statement.kind != "assignment_statement":
        return None
    if statement["operator"].kind != "=" or len(values.children) != 1:
        return None
    left = statement["left"].children
    if len(left) != 1 or left[0].kind != "selector_expression":
        return None
    operand = left[0]["operand"]
    holder = file.binding(operand) if operand.kind == "identifier" else None
    if holder is None:
        return None
    return FieldBinding(holder, left[0]["field"].name, left[0], statement)


def _selected(holder: Binding) -> Iterator[tuple[Node, str]]:
    for use in holder.uses:
        parent = use.parent
        if parent is not None and parent.kind == "selector_expression" and use.field == "operand":
            yield parent, parent["field"].name


def _follow(file: GoFile, binding: FieldBinding, channel: Channel, *, handed: bool) -> bool:
    """Add what is done to the channel in a field, wherever the object goes.

    False where the object goes to code out of sight, unless it may be `handed` on, or the field
    gets another channel.
    """
    field = binding.name.partition(".")[2]
    owner = deref(file.type_of(binding.holder.node))
    follow(file, binding, (), channel, _DEPTH)
    return _wander(field, owner, [(file, binding.holder, ())], channel, handed=handed)


def _wander(
    field: str,
    owner: object,
    todo: list[_Start],
    channel: Channel,
    *,
    handed: bool = False,
    ends: Node | None = None,
) -> bool:
    """Add what methods and other functions that get an object do to its field.

    `ends` is the statement that returns it from where it is made.
    """
    first = {start[1] for start in todo}
    while todo:
        file, holder, calls = todo.pop()
        if holder not in first:
            own = FieldBinding(holder, field, holder.node, holder.declaration)
            if not is_assigned_once(own):
                return False
            follow(file, own, calls, channel, _DEPTH - len(calls))
        for use in holder.uses:
            if use is holder.node or (ends is not None and ends.contains(use)):
                continue
            given = _given(file, use, field, owner)
            if given is None and handed:
                channel.escapes.append(use)
                continue
            if given is None or (given and len(calls) >= _DEPTH):
                return False
            if given:
                call, callee_file, name = given
                if call in calls or not is_assigned_once(name):
                    return False
                todo.append((callee_file, name, (*calls, call)))
    return True


def _given(
    file: GoFile, use: Node, field: str, owner: object
) -> tuple[Node, GoFile, Binding] | tuple[()] | None:
    """Return the call that gets the object and its name there; empty: nobody; None: unclear."""
    parent = use.parent
    if parent is None:
        return None
    if parent.kind == "binary_expression":
        return ()
    if parent.kind != "selector_expression" or use.field != "operand":
        return passed_to(file, use)
    if parent["field"].name == field:
        return ()  # looked at already
    selection = file.selection(parent)
    if selection is None or selection.kind != "method":
        return () if selection is not None else None
    call = call_of(parent) or _launching(file, parent)
    if call is None:
        return None
    decl = file.callee(call)
    if decl is None or not decl.sound or not decl.has_body:
        return None
    if not isinstance(owner, Named) or decl.receiver != owner.name:
        return ()  # of an embedded type, which has another field of that name, if any
    receiver = _receiver(decl)
    return (call, decl.file, receiver) if receiver is not None else ()


def _launching(file: GoFile, value: Node) -> Node | None:
    """Return the call that a goroutine makes of a method that it is handed: `g.Go(in.run)`."""
    if value.parent is None or value.parent.kind != "argument_list":
        return None
    launch = launch_of_literal(file, value)
    return launch.runs if launch is not None and launch.value is value else None
