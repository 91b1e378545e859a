"""Loops over a field's channel that its one producer, a goroutine of the object, never closes.

Several that one function launches, and waits for, are one producer: that function.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import Access, access_of
from threadmend.golang.builders import BuilderError, insert_at_start, with_reason
from threadmend.golang.channel_copies import copied_from
from threadmend.golang.channel_fields import SharedChannel
from threadmend.golang.channel_index import behind, operand_of
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.joins import is_joined
from threadmend.golang.runners import only_launches
from threadmend.golang.scope import Binding
from threadmend.golang.setup import is_made_here
from threadmend.golang.stops import leaves_loop
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan
from threadmend.model import Confidence, Finding, Fix, Related, Safety

__all__ = ["produced_for_fields"]


def produced_for_fields(file: GoFile) -> Iterator[Finding]:
    """Yield the loops over channels of fields that nobody closes although the producer ends."""
    if file.is_test or file.generated:
        return
    for clause in file.find("range_clause"):
        if clause["right"].kind != "selector_expression" or clause.parent is None:
            continue
        ranged = file.underlying(file.type_of(clause["right"]))
        if ranged is not None and not isinstance(ranged, Chan):
            continue  # most loops go over slices and maps, whose uses nobody need collect
        found = behind(file, clause)
        shared = found.shared
        if shared is None or not shared.is_field or not found.known or not shared.makes:
            continue
        if shared.of("close", "compare", "len", "receive") or leaves_loop(clause.parent):
            continue
        launch = _producer(shared)
        if launch is not None and _once(shared, launch, clause):
            yield _finding(file, clause, shared, launch)


def _producer(channel: SharedChannel) -> Launch | None:
    """Return the only launch whose goroutine sends, by itself or through what it runs."""
    found: dict[Node, Launch] = {}
    for send in channel.of("send"):
        function = send.node.function
        if function is None or send.calls or send.file.is_test:
            return None
        launches = only_launches(send.file, function)
        if not launches:
            return None
        found.update({each.node: each for each in launches})
    launch = _outer(channel, list(found.values()))
    body = launch.body if launch is not None else None
    if launch is None or body is None or body.kind != "method_declaration" or launch.kind != "go":
        return None
    flow = flow_of(body)
    ends = any(e.kind in {"end", "return"} for e in flow.exits_from(flow.entry))
    return launch if flow.complete and ends else None


def _outer(channel: SharedChannel, launches: list[Launch]) -> Launch | None:
    """Return the launch of the method that launches all of them on its object, and waits.

    Itself, where there is one that nobody waits for.
    """
    function = launches[0].function if launches else None
    files = [channel.package.workspace.file_of(launch.node) for launch in launches]
    joined = [is_joined(f, each.node) for f, each in zip(files, launches, strict=True)]
    if not any(joined):
        return launches[0] if len(launches) == 1 else None
    if function is None or not all(joined) or any(x.function is not function for x in launches):
        return None
    literals = {each.literal for each in launches}
    own = (access_of(s.file, operand_of(s.node)) for s in channel.of("send"))
    if not (literals == {None} or (None not in literals and all(map(_of_receiver, own)))):
        return None
    if None in literals and not all(map(_of_receiver, map(_launched_on, files, launches))):
        return None
    outer = only_launches(files[0], function)
    return outer[0] if len(outer) == 1 else None


def _launched_on(file: GoFile, launch: Launch) -> Access | None:
    """Return the object whose method is launched."""
    operand = launch.call["function"].get("operand") if launch.call is not None else None
    access = access_of(file, operand) if operand is not None else None
    return access if access is not None and not access.steps else None


def _of_receiver(access: Access | None) -> bool:
    """Return whether a path begins with a method's receiver."""
    root = access.root if access is not None else None
    return isinstance(root, Binding) and root.kind == "receiver"


def _once(channel: SharedChannel, launch: Launch, clause: Node) -> bool:
    """Return whether each channel gets one such goroutine.

    It is launched where the object is made, or by the function that ranges over the channel
    behind it, and that never came to its end so far.
    """
    if channel.copies:
        return _for_a_new_object(channel, launch)
    call = launch.call["function"] if launch.call is not None else None
    operand = call.get("operand") if call is not None else None
    if operand is None or innermost_loop(launch.node) is not None or launch.body is None:
        return False
    file = channel.package.workspace.file_of(launch.node)
    access = access_of(file, operand)
    if access is None or access.steps or not isinstance(access.root, Binding):
        return False
    if is_made_here(file, launch.node, access):
        return True
    ranged = clause["right"]["operand"].text == operand.text
    return ranged and clause.function is launch.function and launch.node.end <= clause.start


def _for_a_new_object(channel: SharedChannel, launch: Launch) -> bool:
    """Return whether a goroutine is launched where the object is made whose channel it gets.

    `go newReader(s.feed, lines).run()`, or `r := &reader{out: s.feed}` and `go r.run()`.
    """
    file_of, function = channel.package.workspace.file_of, launch.function
    stores = [store for copy in channel.copies for store in copy.stores]
    named = [copied_from(file_of(store), store) for store in stores]
    if function is None or len(named) != 1 or innermost_loop(launch.node) is not None:
        return False
    value = named[0][1] if named[0] is not None else None
    if value is None or value.function is not function or value.kind != "selector_expression":
        return False
    file = file_of(value)
    owner = access_of(file, value["operand"])
    return owner is not None and not owner.steps and is_made_here(file, launch.node, owner)


def _finding(file: GoFile, clause: Node, channel: SharedChannel, launch: Launch) -> Finding:
    fix, reason = _fix(channel, launch)
    node, name = launch.node, clause["right"].name
    return Finding(
        path=file.path,
        start=clause.start,
        end=clause.end,
        message=f"the loop never ends: nobody closes {name} when its producer is done",
        fixes=(fix,) if fix else (),
        related=(Related(node.path, node.start, node.end, "the producer is launched here"),),
        reason=reason,
        confidence=Confidence.HIGH if fix else Confidence.MEDIUM,
    )


@with_reason
def _fix(channel: SharedChannel, launch: Launch) -> Fix:
    """Let the producer close when it ends.

    Sound: nobody else sends, and the producer runs once for each channel.
    """
    body = launch.body
    assert body is not None
    names = [n for d in body["receiver"].children for n in d.all("name")]
    if not names or names[0].name == "_":
        raise BuilderError("the producer has no name for its receiver")
    field = channel.name
    if channel.copies:
        sent = {operand_of(s.node).name for s in channel.of("send") if s.node.function is body}
        owner, _, field = (sent.pop() if len(sent) == 1 else "").partition(".")
        if owner != names[0].name or not field.isidentifier():
            raise BuilderError("the producer knows the channel by another name")
    edits = insert_at_start(body["body"], f"defer close({names[0].name}.{field})")
    title = f"Close {channel.name} when its producer ends"
    return Fix(title, edits, Safety.UNSAFE, "the loops over it now end")
