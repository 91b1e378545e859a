"""Channels in fields and package variables: made here, sent there, closed elsewhere.

All instances of a type share what is known about a field. A field is followed through local
names (`done := s.done`), closures, and parameters of functions whose body is visible.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from threadmend.golang.access import is_assigned_once, path_behind
from threadmend.golang.calls import callers, importers
from threadmend.golang.channels import (
    Channel,
    ChannelOperation,
    follow,
    initialised,
    operation_at,
    passed_to,
)
from threadmend.golang.getters import calls_of_getter, returned_field
from threadmend.golang.infer import is_decl
from threadmend.golang.literal_fields import given_to, values_by_place
from threadmend.golang.locks import declaration_of
from threadmend.golang.makers import Maker, capacity_of, is_make, maker_of
from threadmend.golang.node import bare
from threadmend.golang.scope import Binding, position_of
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, Named, deref
from threadmend.golang.uses import type_uses

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package

__all__ = [
    "Make",
    "SharedChannel",
    "arguments_of",
    "field_stored_in",
    "literals_of",
    "made",
    "made_by",
    "shared_channel",
    "shared_channel_of",
]

_DEPTH = 2


@dataclass(slots=True)
class Make:
    """One `make(chan T, capacity)` that is stored in a field or variable, or a maker's call."""

    file: GoFile
    call: Node
    maker: Maker | None = None

    @property
    def capacity(self) -> Node | None:
        """Return the argument that says the capacity."""
        return capacity_of(self.call) if self.maker is None else self.maker.capacity(self.call)

    @property
    def types(self) -> list[Node]:
        """Return where the type is written, also for the only call of a maker; empty if shared."""
        if self.maker is None:
            return [self.call["arguments"].children[0]]
        return self.maker.types()

    @property
    def unbuffered(self) -> bool:
        """Return whether there is no buffer for certain."""
        return self.capacity is None or self.capacity.text == b"0"


@dataclass(slots=True)
class SharedChannel:
    """The channel that a field of a type, or a package variable, holds.

    `decl` declares the type or the variable. `makes` are the channels stored in it, `nils`
    where it is set to nil, `stores` other values (a parameter, a result). `escapes` are uses
    that are no operation: returned, compared with another channel, passed on out of sight.
    """

    package: Package
    decl: Decl
    name: str
    is_field: bool
    makes: list[Make] = field(default_factory=list)
    nils: list[Node] = field(default_factory=list)
    stores: list[Node] = field(default_factory=list)
    operations: list[ChannelOperation] = field(default_factory=list)
    escapes: list[Node] = field(default_factory=list)
    shown: bool = False  # under another name, for those who receive
    copies: list[SharedChannel] = field(default_factory=list)  # see `channel_copies`

    @property
    def exported(self) -> bool:
        """Return whether code outside of the project may use it."""
        if self.shown:
            return True
        return self.name[:1].isupper() and (self.decl.exported or not self.is_field)

    def of(self, *kinds: str) -> list[ChannelOperation]:
        """Return the operations of these kinds."""
        return [o for o in self.operations if o.kind in kinds]


def made(file: GoFile, value: Node) -> Make | None:
    """Return the channel that an expression makes, by `make` or a function that only makes one."""
    maker = maker_of(file, value)
    if maker is None and not is_make(value):
        return None
    if not isinstance(file.underlying(file.type_of(value)), Chan):
        return None
    return Make(file, value, maker)


def shared_channel(file: GoFile, node: Node) -> SharedChannel | None:
    """Return the field's or package variable's channel that an expression means."""
    decl, name = _holder(file, bare(node))
    return shared_channel_of(decl, name) if decl is not None else None


def shared_channel_of(decl: Decl, name: str) -> SharedChannel:
    """Return the channel of a field of a declared type, or of a declared variable."""
    package = decl.file.package
    known: dict[tuple[tuple[str, int], int, str], SharedChannel] = package.facts.setdefault(
        "shared_channels", {}
    )
    key = (decl.key, decl.index, name)
    if key not in known:
        channel = SharedChannel(package, decl, name, decl.kind == "type")
        known[key] = channel
        _collect(channel)
    return known[key]


def _holder(file: GoFile, node: Node) -> tuple[Decl | None, str]:
    """Return the type's declaration and the field, or the variable's and its name."""
    if node.kind == "identifier":
        meant = file.resolve(node)
        path = path_behind(file, meant) if isinstance(meant, Binding) else None
        if path is not None:
            return _holder(file, path)
        return (meant, node.name) if is_decl(meant, "var") else (None, "")
    if node.kind == "call_expression":
        returned = returned_field(file, node)
        return _holder(*returned) if returned is not None else (None, "")
    if node.kind != "selector_expression":
        return None, ""
    selection = file.selection(node)
    if selection is None:
        return None, ""
    if selection.kind == "package":
        return (selection.decl, selection.name) if is_decl(selection.decl, "var") else (None, "")
    owner = selection.owner
    if selection.kind != "field" or not isinstance(owner, Named) or owner.local:
        return None, ""
    package = file.package.workspace.package_by_key(owner.package)
    if package is None or package.module is None:
        return None, ""
    return package.lookup(owner.name), selection.name


def _collect(channel: SharedChannel) -> None:
    packages = [channel.package]
    if channel.name[:1].isupper():
        packages += importers(channel.package)
    name, owner = re.escape(channel.name.encode()), channel.decl.name.encode()
    if channel.is_field:
        pattern = re.compile(rb"\.\s*" + name + rb"\b|\b" + name + rb"\s*:")
    else:
        pattern = re.compile(rb"\b" + name + rb"\b")
    for package in packages:
        for file in package.files:
            if name in file.data or (channel.is_field and file.may_hold(owner)):
                for node in _uses(file, channel, pattern):
                    _use(file, channel, node)
    if not channel.is_field:
        _declared(channel)


def _uses(file: GoFile, channel: SharedChannel, pattern: re.Pattern[bytes]) -> Iterator[Node]:
    for node in file.find("selector_expression", pattern):
        if node["field"].name == channel.name:
            decl, _ = _holder(file, node)
            if decl is not None and decl.key == channel.decl.key:
                yield node
    if channel.is_field:
        for element in file.find("keyed_element", pattern):
            key, value = element.get("key"), element.get("value")
            if key is None or value is None or key.text != channel.name.encode():
                continue
            literal = element.parent
            type_ = deref(file.type_of(literal)) if literal is not None else None
            if literal is not None and literal.kind == "literal_value" and literal.parent:
                type_ = deref(file.type_of(literal.parent))
            if isinstance(type_, Named) and type_.name == channel.decl.name and value.children:
                if type_.package == channel.package.key:
                    _store(file, channel, value.children[0])
        for given in values_by_place(file, channel.decl.name, channel.package.key, channel.name):
            _store(file, channel, given)
    elif file.package is channel.package:
        for node in channel.package.uses(channel.name):
            if node.path == file.path and node is not channel.decl.node.get("name"):
                yield node


def _declared(channel: SharedChannel) -> None:
    spec = channel.decl.node
    value = spec.get("value")
    if value is not None and channel.decl.index < len(value.children):
        _store(channel.decl.file, channel, value.children[channel.decl.index])


def _store(file: GoFile, channel: SharedChannel, value: Node) -> None:
    if value.kind == "nil":
        channel.nils.append(value)
        return
    if value.kind == "identifier":
        binding = file.binding(value)
        other = made_by(file, binding) if binding is not None else None
        if binding is not None and other is not None:
            # `done := make(chan T)`, then `&T{done: done}`: one channel under two names
            channel.makes.append(other)
            named = Channel(binding, other.call, None)
            follow(file, binding, (), named, _DEPTH)
            channel.operations += named.operations
            is_key = file.package.workspace.inference.is_field_key
            for node in named.escapes:
                if node is not value and not is_key(node) and not _is_shown(file, channel, node):
                    channel.escapes.append(node)
            return
    direct = made(file, value)
    if direct is not None:
        channel.makes.append(direct)
    else:
        channel.stores.append(value)


def _is_shown(file: GoFile, channel: SharedChannel, node: Node) -> bool:
    """Return whether a field of type `<-chan T` gets the channel, and add who receives by that.

    `ch := make(chan T)`, then `&T{Done: ch, done: ch}`.
    """
    element = node.parent.parent if node.parent is not None else None
    if element is None or element.kind != "keyed_element" or node.parent is element["key"]:
        return False
    literal = element.parent.parent if element.parent is not None else None
    type_ = deref(file.type_of(literal)) if literal is not None else None
    if not isinstance(type_, Named) or type_.local:
        return False
    package = file.package.workspace.package_by_key(type_.package)
    decl, name = package.lookup(type_.name) if package is not None else None, element["key"].name
    if package is None or not is_decl(decl, "type"):
        return False
    fields = (f for f in decl.node.find("field_declaration") if f["type"].text.startswith(b"<-"))
    if not any(n.name == name for f in fields for n in f.all("name")):
        return False
    other = SharedChannel(package, decl, name, is_field=True)
    channel.shown |= other.exported
    pattern = re.compile(rb"\.\s*" + re.escape(name.encode()) + rb"\b")
    for each in [package, *(importers(package) if name[:1].isupper() else ())]:
        for user in each.files:
            for use in user.find("selector_expression", pattern):
                holder, _ = _holder(user, use) if use["field"].name == name else (None, "")
                if holder is not None and holder.key == decl.key:
                    _use(user, channel, use)
    return True


def field_stored_in(file: GoFile, value: Node) -> SharedChannel | None:
    """Return the field that a channel is stored in, by a literal or an assignment."""
    given = given_to(file, value)
    if given is not None:
        type_, name = given
        package = file.package.workspace.package_by_key(type_.package)
        decl = package.lookup(type_.name) if package is not None and package.module else None
        return shared_channel_of(decl, name) if is_decl(decl, "type") else None
    group = value.parent
    statement = group.parent if group is not None and group.field == "right" else None
    if group is None or statement is None or statement.kind != "assignment_statement":
        return None
    targets = statement["left"].children
    if len(targets) != len(group.children):
        return None
    target = targets[next(i for i, child in enumerate(group.children) if child is value)]
    return shared_channel(file, target) if target.kind == "selector_expression" else None


_OPENS = rb"\s*[\[{]"


def literals_of(decl: Decl, *, tests: bool = True) -> Iterator[tuple[GoFile, Node]]:
    """Yield the composite literals that name a declared type."""
    for file, node in type_uses(decl, _OPENS, tests=tests):
        type_ = node
        if type_.parent is not None and type_.parent.kind == "generic_type":
            type_ = type_.parent
        literal = type_.parent
        if literal is not None and literal.kind == "composite_literal" and type_.field == "type":
            yield file, literal


def arguments_of(file: GoFile, parameter: Binding) -> list[tuple[GoFile, Node]] | None:
    """Return what is passed for a parameter, None when not every caller can be seen."""
    function = parameter.scope
    position = position_of(function, parameter)
    if position is None or not is_assigned_once(parameter):
        return None
    if function.kind == "func_literal":
        call = function.parent
        calls: list[tuple[GoFile, Node | None]] = (
            [(file, call)] if call is not None and function.field == "function" else []
        )
    else:
        decl = declaration_of(file, function)
        if decl is None or any(site.call is None for site in callers(decl)):
            return None
        calls = [(site.file, site.call) for site in callers(decl)]
    found = []
    for caller, call in calls:
        if call is None or call.kind != "call_expression":
            return None
        arguments = call["arguments"].children
        if position >= len(arguments):
            return None
        found.append((caller, arguments[position]))
    return found or None


def made_by(file: GoFile, binding: Binding) -> Make | None:
    """Return the channel that a variable is declared with."""
    return made(file, binding.value) if binding.value is not None else None


def _use(file: GoFile, channel: SharedChannel, node: Node, depth: int = _DEPTH) -> None:
    operation = operation_at(file, node)
    if operation is not None:
        channel.operations.append(operation)
        return
    group = node.parent
    statement = group.parent if group is not None else None
    if group is not None and group.field == "left" and statement is not None:
        if statement.kind == "assignment_statement":
            index = next(i for i, child in enumerate(group.children) if child is node)
            values = statement["right"].children
            if len(values) == len(group.children):
                _store(file, channel, values[index])
            else:
                channel.stores.append(node)
            return
    alias = initialised(file, node)
    if alias is not None:
        follow(file, alias, (), channel, _DEPTH)
        return
    passed = passed_to(file, node)
    if passed is not None:
        call, callee_file, parameter = passed
        follow(callee_file, parameter, (call,), channel, _DEPTH)
        return
    calls = calls_of_getter(file, node) if depth else None
    if calls is None:
        channel.escapes.append(node)
        return
    for caller, call in calls:
        _use(caller, channel, call, depth - 1)
