"""Make a channel before using it

A channel that was declared but never made is nil. A send to it or a receive from it waits
for ever, `range` over it too, and `close` panics. Nothing says so: the goroutine is just
never heard of again.

The same goes for a value that one constructor makes without the channel that all others make,
for one that is made only if it gets a buffer, where a caller wants none, for one that nothing
but an option makes, and for an exported one that nobody makes where the others beside it are made.

Not reported: operations that are all in selects, where nil switches a case off; a variable
that anybody assigns, or whose address is taken; an exported field, but where the others are made
beside it, or one that is set in any way.

Unsafe: for a field, because every value of the type gets a channel of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from threadmend.golang.access import uses_of
from threadmend.golang.builders import realign, with_reason
from threadmend.golang.channel_fields import SharedChannel, literals_of, shared_channel_of
from threadmend.golang.channels import ChannelOperation, follow, runner_of
from threadmend.golang.file import GoFile
from threadmend.golang.infer import is_decl
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._made_beside import made_beside
from ._made_by_option import made_by_options
from ._made_in_some import Forgotten, forgotten
from ._made_with_room import WithRoom, made_with_room
from ._unmade import is_built, made_with_values

CATEGORY = "channel"
GATE = rb"\b(?:\w+|,)\s+chan\b"

_DECLARES = re.compile(rb"\bvar\s+\w[\w, \t]*\schan\b|\bvar\s*\((?s:.*?)\bchan\b")
_FIELD = re.compile(rb"\bstruct\b(?s:.*?)\bchan\b")
_WORDS = {
    "send": "a send to it waits for ever",
    "receive": "a receive from it waits for ever",
    "range": "a loop over it never begins and never ends",
    "close": "closing it panics",
}


@dataclass(slots=True)
class _Uses:
    operations: list[ChannelOperation] = field(default_factory=list)
    escapes: list[Node] = field(default_factory=list)


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the channels that are used but never made."""
    if file.generated:
        return
    for spec in file.find("var_spec", _DECLARES):
        if spec.get("value") is None and spec.function is not None:
            if isinstance(file.underlying(file.type_from(spec.get("type"))), Chan):
                for name in spec.all("name"):
                    yield from _local(file, spec, name)
    for declaration in file.tree.declarations:
        if declaration.kind == "var_declaration" and _DECLARES.search(
            file.data, declaration.start, declaration.end
        ):
            for spec in declaration.node.find("var_spec"):
                if spec.function is None and spec.get("value") is None:
                    yield from _variable(file, spec)
        elif declaration.kind == "type_declaration" and _FIELD.search(
            file.data, declaration.start, declaration.end
        ):
            for spec in declaration.node.find("type_spec"):
                yield from _fields(file, spec)


def _local(file: GoFile, spec: Node, name: Node) -> Iterator[Finding]:
    binding = file.binding(name)
    if binding is None or any(u.kind not in {"declare", "read"} for u in uses_of(binding)):
        return
    uses = _Uses()
    follow(file, binding, (), uses, 2)
    if uses.escapes:
        return
    operation = _first(uses.operations)
    if operation is None:
        return
    capacity = _capacity(spec, uses.operations)
    fix = None
    if len(spec.all("name")) == 1 and capacity is not None:
        fix = _initialise(spec, capacity)
    yield _finding(binding.name, name, operation, fix, "how much room it needs is not known")


_SAYS_NIL = re.compile(rb"(?i)\bnil|\bnever|forever|\bblock")  # a test may mean to wait for ever


def _first(operations: list[ChannelOperation]) -> ChannelOperation | None:
    """Return an operation that goes wrong on nil, unless one shows that nil is meant.

    A select may switch a case off with nil; an operation by itself hangs whatever was meant.
    """
    if any(o.kind == "compare" for o in operations):
        return None
    operations = [o for o in operations if not (o.file.is_test and _SAYS_NIL.search(o.node.text))]
    return next((o for o in operations if o.kind in _WORDS and o.case is None), None)


def _capacity(spec: Node, operations: list[ChannelOperation]) -> int | None:
    """Return the room that sends need which the declaring function itself makes."""
    function = spec.function
    if function is None:
        return None
    own = [o for o in operations if o.kind == "send" and runner_of(o, function) is function]
    elsewhere = any(
        o.kind in {"receive", "range"} and runner_of(o, function) is not function
        for o in operations
    )
    if not own or elsewhere:
        return 0
    if any(o.node.up("for_statement") is not None or o.calls for o in own):
        return None
    return len(own)


def _initialise(spec: Node, capacity: int) -> Fix:
    """Give the declaration a value.

    Sound: nobody saw the variable but the operations, which could only hang or panic.
    """
    type_ = spec["type"]
    room = f", {capacity}" if capacity else ""
    made = f"make({type_.name}{room})"
    declaration = spec.parent
    title = f"Make {spec['name'].name}"
    if declaration is not None and declaration.kind == "var_declaration" and spec.function:
        text = f"{spec['name'].name} := {made}".encode()
        return Fix(title, (Edit(spec.path, declaration.start, declaration.end, text),))
    edit = Edit(spec.path, type_.start, type_.end, f"= {made}".encode())
    return Fix(title, tuple(realign(spec.tree, (edit,))))


def _variable(file: GoFile, spec: Node) -> Iterator[Finding]:
    for name in spec.all("name"):
        decl = file.package.lookup(name.name)
        if decl is None or not is_decl(decl, "var") or decl.file is not file:
            continue
        if len(file.package.lookup_all(name.name)) > 1:
            continue
        if decl.exported and file.package.name != "main":
            continue
        if not isinstance(file.underlying(file.type_from(spec.get("type"))), Chan):
            continue
        if _is_set(file, name.name):
            continue
        operation = _never_made(shared_channel_of(decl, name.name))
        if operation is not None:
            fix = _initialise(spec, 0) if len(spec.all("name")) == 1 else None
            yield _finding(name.name, name, operation, fix, "it is declared with others")


def _fields(file: GoFile, spec: Node) -> Iterator[Finding]:
    struct = spec.get("type")
    decl = file.package.lookup(spec["name"].name)
    if struct is None or struct.kind != "struct_type" or decl is None or decl.node is not spec:
        return
    for declared in struct.find("field_declaration"):
        if not isinstance(file.underlying(file.type_from(declared.get("type"))), Chan):
            continue
        for name in declared.all("name"):
            if declared.parent is None or declared.parent.parent is not struct:
                continue
            channel = shared_channel_of(decl, name.name)
            used = [o for o in channel.operations if not o.file.is_test]
            if name.name[:1].isupper():
                for left in made_beside(channel, _first(used), declared["type"]):
                    yield _left_out(f"{decl.name}.{name.name}", left)
                continue
            every = [*forgotten(channel, _first(used))]
            every += made_by_options(channel, _first(used), declared["type"])
            for found in every:
                yield _left_out(f"{decl.name}.{name.name}", found)
            left_nil = made_with_room(channel, _first(used))
            if left_nil is not None:
                yield _without_room(f"{decl.name}.{name.name}", left_nil)
            operation = _never_made(channel)
            if operation is None or _set_by_position(channel) or not is_built(decl):
                continue
            fix, reason = _in_literals(channel, declared)
            owner = decl.name
            yield _finding(f"{owner}.{name.name}", name, operation, fix, reason)


def _left_out(label: str, found: Forgotten) -> Finding:
    node, literal = found.operation.node, found.literal
    body = literal.get("body")
    return Finding(
        path=literal.path,
        start=literal.start,
        end=body.start if body is not None else literal.end,
        message=f"{label} is not made here: {_WORDS[found.operation.kind]}",
        fixes=(found.fix,) if found.fix is not None else (),
        related=(Related(node.path, node.start, node.end, "used here"),),
        reason="" if found.fix is not None else "how the others make it has no meaning here",
    )


def _without_room(label: str, found: WithRoom) -> Finding:
    test, call, node, fix = found.test, found.call, found.operation.node, found.fix
    return Finding(
        path=test.path,
        start=test.start,
        end=test["consequence"].start,
        message=f"{label} is not made without room: {_WORDS[found.operation.kind]}",
        fixes=(fix,) if isinstance(fix, Fix) else (),
        related=(
            Related(call.path, call.start, call.end, "without room here"),
            Related(node.path, node.start, node.end, "used here"),
        ),
        reason="" if isinstance(fix, Fix) else fix,
    )


def _is_set(file: GoFile, name: str) -> bool:
    """Return whether the package's bytes look as if something of this name were assigned."""
    word = re.escape(name.encode())
    pattern = re.compile(rb"\b" + word + rb"\s*(?::\s*[\w&(<]|=[^=]|,[^\n{}]*[^:=!<>]=[^=])")
    return file.package.holds(pattern)


def _never_made(channel: SharedChannel) -> ChannelOperation | None:
    if channel.makes or channel.stores or channel.nils:
        return None
    if not all(_only_reads(channel, node) for node in channel.escapes):
        return None
    operations = [o for o in channel.operations if not o.file.is_test]
    return _first(operations) or _both_ends(operations, channel.escapes)


def _only_reads(channel: SharedChannel, escape: Node) -> bool:
    """Return whether an escape hands on the field's value, which sets nothing."""
    if not channel.is_field:
        return False
    above = escape.parent
    if above is not None and above.kind == "expression_list":
        return above.field != "left"
    return above is not None and above.kind in {"argument_list", "literal_element"}


def _both_ends(operations: list[ChannelOperation], escapes: list[Node]) -> ChannelOperation | None:
    """Return an operation on a channel that has two ends, in selects alone.

    It is sent to and received from, or handed to those at its other end. Nil is a way to switch
    a case off, but what is never anything else switches nothing on.
    """
    kinds = {o.kind for o in operations}
    if "compare" in kinds or not kinds & {"send", "receive"}:
        return None
    if not ("receive" in kinds or escapes if "send" in kinds else _gives_sends(escapes)):
        return None
    return next(o for o in operations if o.kind == ("send" if "send" in kinds else "receive"))


def _gives_sends(escapes: list[Node]) -> bool:
    """Return whether a function returns the channel to those who send: a `chan<- T`."""
    functions = [e.function for e in escapes if e.up("return_statement") is not None]
    results = [f.get("result") for f in functions if f is not None]
    return any(r is not None and r.text.startswith(b"chan<-") for r in results)


def _set_by_position(channel: SharedChannel) -> bool:
    for _, literal in literals_of(channel.decl):
        elements = literal["body"].children
        if any(e.kind != "keyed_element" for e in elements):
            return True
    return False


@with_reason
def _in_literals(channel: SharedChannel, declared: Node) -> Fix:
    """Make the channel wherever a value of the type is written."""
    edits = made_with_values(channel.decl, channel.name, declared["type"])
    reason = "every value of the type gets a channel"
    return Fix(f"Make {channel.name} with the value", edits, Safety.UNSAFE, reason)


def _finding(
    label: str, name: Node, operation: ChannelOperation, fix: Fix | None, reason: str
) -> Finding:
    node = operation.node
    return Finding(
        path=node.path,
        start=node.start,
        end=node.end,
        message=f"{label} is never made: {_WORDS[operation.kind]}",
        fixes=(fix,) if fix else (),
        related=(Related(name.path, name.start, name.end, "declared here"),),
        reason="" if fix else reason,
    )
