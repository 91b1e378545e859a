"""Signal with a chan struct{}, and by closing it

A `chan bool` whose value nobody reads asks each reader what `false` would mean. A
`chan struct{}` says that only the event counts; closing it reaches every receiver, also
those that come later, and cannot block.

Not reported: a channel of which a value is read, or that is exported, returned, stored
elsewhere or passed on.

Unsafe: a close does not wait for the receiver, as a send without a buffer does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import realign
from threadmend.golang.channel_fields import Make, shared_channel_of
from threadmend.golang.channels import Channel, ChannelOperation, local_channels, runner_of
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.makers import making
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

CATEGORY = "channel"
GATE = rb"\bchan\s+(?:bool|int)\b"
OPT_IN = True

_TYPE = re.compile(rb"\bchan\s+(?:bool|int)\b")
_WORDS = (b"bool", b"int")


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the channels of bool or int of which only the event counts."""
    for function in file.functions(making(file.package, _TYPE)):
        for channel in local_channels(file, function):
            made = Make(file, channel.make, channel.maker).types
            if (
                not made
                or not _is_data(made[0])
                or channel.escapes
                or not is_assigned_once(channel.binding)
            ):
                continue
            if _only_signals(channel.operations):
                types = [*made, *_declared_type(channel)]
                yield _finding(
                    channel.binding.name, channel.make, types, channel.operations, function, channel
                )
    yield from _fields(file)


def _is_data(type_: Node | None) -> bool:
    if type_ is None or type_.kind != "channel_type":
        return False
    element = type_.get("value")
    return element is not None and element.text in _WORDS and type_.text.startswith(b"chan ")


def _declared_type(channel: Channel) -> list[Node]:
    """Return the type in `var ch chan bool = make(chan bool)`."""
    declared = channel.binding.declaration.get("type")
    return [declared] if declared is not None and _is_data(declared) else []


def _only_signals(operations: Sequence[ChannelOperation]) -> bool:
    """Return whether something is sent, and no value of it read, in functions that we see."""
    sends = [o for o in operations if o.kind == "send"]
    if not sends or any(o.calls or o.kind in {"compare", "len"} for o in operations):
        return False
    if any(o.kind == "close" and o.node["function"].text != b"close" for o in operations):
        return False  # a function that closes it has a parameter of its type
    if not all(_is_constant(s.node["value"]) for s in sends):
        return False
    receives = [o for o in operations if o.kind in {"receive", "range"}]
    return bool(receives) and all(_ignores(o) for o in receives)


def _is_constant(value: Node) -> bool:
    return value.kind in {"true", "false", "int_literal"}


def _ignores(receive: ChannelOperation) -> bool:
    """Return whether a receive drops the value: `<-ch`, `case <-ch:`, `for range ch`."""
    if receive.kind == "range":
        return receive.node.get("left") is None
    parent = receive.node.parent
    if parent is None:
        return False
    if parent.kind == "receive_statement":
        return parent.get("left") is None
    return parent.kind in {"expression_statement", "communication_case"}


def _fields(file: GoFile) -> Iterator[Finding]:
    for declaration in file.tree.declarations:
        if declaration.kind != "type_declaration" or not _TYPE.search(
            file.data, declaration.start, declaration.end
        ):
            continue
        for spec in declaration.node.find("type_spec"):
            struct = spec.get("type")
            decl = file.package.lookup(spec["name"].name)
            if struct is None or struct.kind != "struct_type" or decl is None:
                continue
            for field in struct.find("field_declaration"):
                names = field.all("name")
                if decl.node is not spec or len(names) != 1 or names[0].name[:1].isupper():
                    continue
                if not _is_data(field.get("type")):
                    continue
                shared = shared_channel_of(decl, names[0].name)
                if shared.escapes or shared.stores or not shared.makes:
                    continue
                types = [type_ for make in shared.makes for type_ in make.types]
                if (
                    len(types) >= len(shared.makes)
                    and all(_is_data(t) for t in types)
                    and _only_signals(shared.operations)
                ):
                    name = f"{decl.name}.{names[0].name}"
                    types.insert(0, field["type"])
                    yield _finding(name, names[0], types, shared.operations, None, None)


def _finding(
    name: str,
    place: Node,
    types: Sequence[Node],
    operations: Sequence[ChannelOperation],
    function: Node | None,
    channel: Channel | None,
) -> Finding:
    receive = next(o for o in operations if o.kind in {"receive", "range"}).node
    return Finding(
        path=place.path,
        start=place.start,
        end=place.end,
        message=f"nobody reads the values of {name}: only the event counts",
        fixes=(_fix(types, operations, function, channel),),
        related=(Related(receive.path, receive.start, receive.end, "received here"),),
        confidence=Confidence.MEDIUM,
    )


def _fix(
    types: Sequence[Node],
    operations: Sequence[ChannelOperation],
    function: Node | None,
    channel: Channel | None,
) -> Fix:
    """Change the type; the only send becomes a close, several send an empty struct."""
    edits = []
    for type_ in types:
        element = type_["value"]
        edits.append(Edit(type_.path, element.start, element.end, b"struct{}"))
    closes = function is not None and channel is not None and _sends_once(function, channel)
    for operation in operations:
        if operation.kind == "send":
            node, value = operation.node, operation.node["value"]
            if closes:
                text = f"close({node['channel'].name})".encode()
                edits.append(Edit(node.path, node.start, node.end, text))
            else:
                edits.append(Edit(value.path, value.start, value.end, b"struct{}{}"))
    found: list[Edit] = []
    trees = {t.path: t.tree for t in [*types, *(o.node for o in operations)]}
    for path, tree in trees.items():
        found += realign(tree, [e for e in edits if e.path == path])
    title = "Close a chan struct{} instead" if closes else "Make it a chan struct{}"
    reason = (
        "the close does not wait for the receiver" if closes else "the type of the channel changes"
    )
    return Fix(title, tuple(found), Safety.UNSAFE, reason)


def _sends_once(function: Node, channel: Channel) -> bool:
    """Return whether one goroutine sends one value, as a statement, and nobody closes."""
    sends = channel.of("send")
    if len(sends) != 1 or channel.of("close") or sends[0].case is not None:
        return False
    runner = runner_of(sends[0], function)
    if not isinstance(runner, Launch) or runner.function is not function:
        return False
    return innermost_loop(sends[0].node) is None and runner.loop is None
