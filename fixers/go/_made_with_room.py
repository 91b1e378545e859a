"""Channel fields that a constructor makes only where they get a buffer.

func newQueue(room int) *queue {
    q := &queue{}
    if room > 0 {
        q.items = make(chan item, room)     // nil without room, instead of unbuffered
    }
    return q
}
"""

from __future__ import annotations

from dataclasses import dataclass

from threadmend.golang.builders import BuilderError, or_reason, replace
from threadmend.golang.channel_fields import Make, SharedChannel, arguments_of
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node
from threadmend.model import Fix, Safety

__all__ = ["WithRoom", "made_with_room"]


@dataclass(frozen=True, slots=True)
class WithRoom:
    """The test that decides about the make, the call that passes 0, and what hangs then."""

    test: Node
    call: Node
    operation: ChannelOperation
    fix: Fix | str


def made_with_room(channel: SharedChannel, hangs: ChannelOperation | None) -> WithRoom | None:
    """Return where a channel that some caller wants without a buffer is left nil.

    Nothing else gives the field a value, and what hangs on nil is reached without a question.
    """
    if hangs is None or hangs.calls or channel.nils or channel.stores or channel.exported:
        return None
    made = channel.makes[0] if len(channel.makes) == 1 else None
    test = _test_around(made) if made is not None else None
    if made is None or test is None or made.capacity is None or _is_asked(hangs.node):
        return None
    room = made.file.binding(made.capacity) if made.capacity.kind == "identifier" else None
    if room is None or room.kind != "parameter":
        return None
    given = arguments_of(made.file, room) or []
    without = next((a for f, a in given if a.text == b"0" and not f.is_test), None)
    if without is None:
        return None
    return WithRoom(test, without, hangs, _fix(made.file, test, channel.name))


def _test_around(made: Make) -> Node | None:
    """Return the `if room > 0` that holds nothing but the assignment of a make."""
    statement, room = made.call.statement, made.capacity
    block = statement.parent if statement is not None else None
    test = block.parent if block is not None else None
    if statement is None or block is None or test is None or room is None:
        return None
    if statement.kind != "assignment_statement" or len(statement["right"].children) != 1:
        return None
    if test.kind != "if_statement" or block.field != "consequence" or len(block.statements) != 1:
        return None
    if test.get("alternative") is not None or test.get("initializer") is not None:
        return None
    wanted = {f"{room.name} > 0", f"{room.name} != 0", f"{room.name} >= 1", f"0 < {room.name}"}
    return test if test["condition"].name in wanted else None


def _is_asked(operation: Node) -> bool:
    """Return whether a question stands above an operation: it may be one about the channel."""
    function = operation.function
    own = function.own() if function is not None else iter(())
    return any(n.kind == "if_statement" and n.start < operation.start for n in own)


@or_reason
def _fix(file: GoFile, test: Node, name: str) -> Fix:
    """Make the channel whatever room it gets.

    Sound: without room it was nil, on which the operations only hang or panic.
    """
    statement = test["consequence"].statements[0]
    if file.tree.comments_in(test.start, test.end):
        raise BuilderError("a comment would be lost")
    edits = replace(test, statement.name)
    reason = "what has no room gets a channel as well"
    return Fix(f"Make {name} in any case", edits, Safety.UNSAFE, reason)
