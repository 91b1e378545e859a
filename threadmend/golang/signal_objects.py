"""Objects of signals: what the operand of a send, a receive or a call may mean.

A channel has other names, comes out of a literal that is called, or from whoever was asked for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of
from threadmend.golang.functions import call_of
from threadmend.golang.launched import literal_of
from threadmend.golang.scope import Binding, argument_of
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, Named, Pointer, Slice, Type, deref, is_named

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["is_plain", "mentioned", "objects_of", "with_aliases"]


def objects_of(file: GoFile, node: Node) -> frozenset[Access]:
    """Return what an operand means: its path, or every variable that it mentions."""
    access = access_of(file, node)
    if access is not None:
        return with_aliases(file, access) | frozenset(_received_or_given(file, access))
    context = _done_of(file, node)
    if context is not None:
        return _cancels(file, context)
    return mentioned(file, node) | frozenset(_made_by(file, node))


def _made_by(file: GoFile, call: Node) -> Iterator[Access]:
    """Yield what a literal returns that is called through its variable: `<-start()`."""
    function = call.get("function") if call.kind == "call_expression" else None
    if function is None or function.kind != "identifier":
        return
    literal = literal_of(file, function)
    for node in literal.own() if literal is not None else ():
        listed = node.children[-1] if node.kind == "return_statement" else None
        for value in listed.children if listed is not None else ():
            if value.kind == "identifier" and (access := access_of(file, value)) is not None:
                yield access


def _done_of(file: GoFile, node: Node) -> Node | None:
    """Return the context of `ctx.Done()`."""
    function = node.get("function") if node.kind == "call_expression" else None
    if function is None or function.kind != "selector_expression":
        return None
    context = function["operand"]
    done = function["field"].name == "Done"
    return context if done and is_named(file.type_of(context), "context.Context") else None


def _cancels(file: GoFile, context: Node) -> frozenset[Access]:
    """Return the cancel functions that were made together with a context."""
    binding = file.binding(context)
    found: set[Access] = set()
    for use in binding.uses if binding is not None else ():
        listed = use.parent
        if listed is not None and listed.field == "left" and listed.kind == "expression_list":
            others = (file.binding(name) for name in listed.children)
            found |= {Access(b) for b in others if b is not None and b is not binding}
    return frozenset(found)


def mentioned(file: GoFile, root: Node) -> frozenset[Access]:
    """Return what the names in a piece of code may be, but for what cannot synchronise."""
    found: set[Access] = set()
    for node in root.walk():
        if node.kind != "identifier":
            continue
        access = access_of(file, node)
        if access is None or is_plain(file, node):
            continue
        found |= with_aliases(file, access)
    return frozenset(found)


def with_aliases(file: GoFile, access: Access) -> frozenset[Access]:
    """Return a path with what else may be the same object, or bound up with it.

    `ch := s.ch` is the same channel; `ctx, cancel := …` and `r, w := io.Pipe()` belong
    together. Whoever knows what a channel came from may send to it: `ch := sub.Subscribe(topic)`.
    """
    found = {access}
    root = access.root
    if isinstance(root, Binding):
        found.update(_handed(file, root, access))
        declaration = root.declaration
        if declaration.kind in {"short_var_declaration", "var_spec"}:
            names = declaration.get("left")
            listed = names.children if names is not None else declaration.all("name")
            if not access.steps and root.values and _is_channel(file, root):
                at = min(root.index, len(root.values) - 1)
                found |= _origins(file, root.values[at], _ORIGINS)
            if len(root.values) == 1 < len(listed):
                for name in listed:
                    binding = file.binding(name)
                    if binding is not None and not is_plain(file, name):
                        found.add(Access(binding))
            elif root.value is not None:
                other = access_of(file, root.value)
                if other is not None:
                    found.add(Access(other.root, other.steps + access.steps))
                found |= _read_through(file, root.value)
    return frozenset(found)


_ORIGINS = 3


# Packages whose `New…(r)` reads from what it is given.
_READERS = frozenset(
    {"bufio", "encoding/csv", "encoding/gob", "encoding/json", "encoding/xml", "compress/gzip"}
)


def _read_through(file: GoFile, value: Node) -> frozenset[Access]:
    """Return the end of a pipe that is read through another reader: `bufio.NewScanner(pr)`."""
    function = value.get("function") if value.kind == "call_expression" else None
    operand = function.get("operand") if function is not None else None
    if operand is None or operand.kind != "identifier" or not value["arguments"].children:
        return frozenset()
    if file.imported(operand.name) not in _READERS or file.binding(operand) is not None:
        return frozenset()
    access = access_of(file, value["arguments"].children[0])
    return with_aliases(file, access) if access is not None else frozenset()


def _is_channel(file: GoFile, binding: Binding) -> bool:
    type_ = file.package.workspace.inference.binding_type(binding)
    return isinstance(file.underlying(type_), Chan)


def _origins(file: GoFile, value: Node, depth: int) -> set[Access]:
    """Return the objects that a call is made on or given, and what those came from, levels up."""
    found: set[Access] = set()
    if value.kind != "call_expression" or value["function"].text in {b"make", b"new"}:
        return found
    for node in value.walk():
        access = access_of(file, node) if node.kind == "identifier" else None
        if access is None or not isinstance(access.root, Binding) or is_plain(file, node):
            continue
        found.add(access)
        values = access.root.values
        if depth > 0 and values and access.root.kind == "variable":
            at = min(access.root.index, len(values) - 1)
            found |= _origins(file, values[at], depth - 1)
    return found


def _received_or_given(file: GoFile, access: Access) -> Iterator[Access]:
    """Yield what else a channel may be: for one that was received (`done := <-requests`) whoever
    the requests are known to, and what a literal returns (`done := start()`).
    """
    root = access.root
    if not isinstance(root, Binding):
        return
    value = root.value if root.kind == "variable" else None
    if value is not None and value.kind == "unary_expression" and value["operator"].kind == "<-":
        yield from _registered(file, value["operand"])
    elif value is not None:
        yield from _made_by(file, value)


def _handed(file: GoFile, root: Binding, access: Access) -> Iterator[Access]:
    """Yield what a literal that is called where it stands gets: `go func(wg *T) {…}(&wg)`.

    A number, a text or a struct is a copy, and orders nothing.
    """
    literal = root.scope
    if root.kind != "parameter" or literal.kind != "func_literal":
        return
    type_ = file.package.workspace.inference.binding_type(root)
    known = isinstance(type_, Named) and type_.package in {"sync", "sync/atomic"}
    if not known and not isinstance(file.underlying(type_), Pointer | Chan):
        return
    call = call_of(literal)
    given = argument_of(call, literal, root) if call is not None else None
    other = access_of(file, given) if given is not None else None
    if other is not None:
        yield Access(other.root, other.steps + access.steps)


def _registered(file: GoFile, channel: Node) -> Iterator[Access]:
    """Yield a channel of channels, and the objects whose methods it is handed to."""
    binding = file.binding(channel)
    for use in binding.uses if binding is not None else ():
        call = use.parent.parent if use.parent and use.parent.kind == "argument_list" else None
        function = call.get("function") if call is not None else None
        if function is not None and function.kind == "selector_expression":
            keeper = access_of(file, function["operand"])
            if keeper is not None:
                yield keeper
    if binding is not None:
        yield Access(binding)


_TESTS = ("testing.T", "testing.B", "testing.F", "testing.TB", "testing.common")


def is_plain(file: GoFile, node: Node) -> bool:
    """Return whether a value cannot be used to synchronise, by its type."""
    return _plain_type(file, file.type_of(node))


def _plain_type(file: GoFile, type_: Type | None) -> bool:
    if isinstance(type_, Slice):
        return _plain_type(file, type_.elem)
    type_ = deref(type_)
    if not isinstance(type_, Named):
        return False
    if not type_.package:
        return True
    if is_named(type_, *_TESTS, "context.Context", "time.Time", "time.Duration"):
        return True
    if type_.name.endswith("Logger"):
        return True
    under = file.underlying(type_)
    return isinstance(under, Named) and not under.package
