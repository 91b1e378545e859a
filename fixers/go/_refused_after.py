"""Objects that refuse what comes after their end, by a flag, and leave their workers waiting.

func (q *queue) push(v T) error {         func (q *queue) shut() {
    q.mu.Lock()                               q.mu.Lock()
    defer q.mu.Unlock()                       defer q.mu.Unlock()
    if q.closed {                             q.closed = true    // and `for v := range q.items`
        return ErrClosed                  }
    }
    q.items <- v
    …
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from threadmend.golang.access import Access, access_of
from threadmend.golang.builders import insert_after, or_reason, replace
from threadmend.golang.channel_fields import SharedChannel
from threadmend.golang.channel_index import operand_of
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.locks import held_at
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.model import Fix, Safety

__all__ = ["Refusal", "closed_with_flag", "refused_after"]

_ENDS = re.compile(r"(?i)^(?:close|stop|shut|quit|finish|terminate|end|drain|kill|destroy)")


@dataclass(frozen=True, slots=True)
class Refusal:
    """The method that ends an object, where it sets the flag, and the test of who sends."""

    file: GoFile
    method: str
    set: Node
    channel: SharedChannel


def refused_after(channel: SharedChannel) -> Refusal | None:
    """Return the method after which nobody sends any more, as a flag under a lock says."""
    sends = [s for s in channel.of("send") if not s.file.is_test]
    tests = [test for s in sends if (test := _test(s)) is not None]
    if not sends or len(tests) != len(sends) or not channel.is_field or channel.copies:
        return None
    if len({t["field"].name for t in tests}) != 1 or tests[0]["field"].name[:1].isupper():
        return None
    flag, file = tests[0], sends[0].file
    accesses = accesses_like(file.package, file, flag)
    writes = [a for a in accesses if a.writes or a.kind == "address"]
    if len(writes) != 1 or writes[0].file.is_test:
        return None
    return _ended(channel, writes[0], _locks(sends[0]))


def _test(send: ChannelOperation) -> Node | None:
    """Return the flag of the object that a method asks before it sends, under a lock."""
    function, operand = send.node.function, operand_of(send.node)
    if function is None or send.calls or function.kind != "method_declaration":
        return None
    owner = _receivers(send.file, operand)
    locks = _locks(send)
    for statement in function["body"].statements if locks and owner is not None else ():
        if statement.end > send.node.start or statement.kind != "if_statement":
            continue
        flag = statement["condition"]
        if flag.kind != "selector_expression" or statement.get("alternative") is not None:
            continue
        last = statement["consequence"].statements[-1:]
        if not last or last[0].kind != "return_statement" or last[0].function is not function:
            continue
        held = {h.lock_class for h in held_at(send.file, statement["condition"])}
        between = send.file.data[statement.end : send.node.start]
        if _receivers(send.file, flag) == owner and locks & held and b"nlock()" not in between:
            return flag
    return None


def _locks(send: ChannelOperation) -> set[str | None]:
    return {h.lock_class for h in held_at(send.file, send.node)} - {None}


def _receivers(file: GoFile, field: Node) -> Access | None:
    """Return the object that a field is one of, which a method has as its receiver."""
    if field.kind != "selector_expression":
        return None
    owner = access_of(file, field["operand"])
    root = owner.root if owner is not None else None
    return owner if isinstance(root, Binding) and root.kind == "receiver" else None


def _ended(channel: SharedChannel, write: FieldAccess, locks: set[str | None]) -> Refusal | None:
    """Return the method that sets the flag for good, under the lock of who sends."""
    statement, file = write.node.statement, write.file
    function = write.node.function
    if statement is None or function is None or function.kind != "method_declaration":
        return None
    if not statement.text.endswith(b" = true") or statement.kind != "assignment_statement":
        return None
    owner = _receivers(file, statement["left"].children[0])
    if not _ENDS.match(function["name"].name) or owner is None or owner.steps:
        return None
    if not locks & {h.lock_class for h in held_at(file, statement)}:
        return None
    return Refusal(file, function["name"].name, statement, channel)


@or_reason
def closed_with_flag(refusal: Refusal) -> Fix:
    """Close the channel where the flag is set for the first time.

    Sound: who sends holds the lock, and does not come to its send once the flag is set.
    """
    statement, name = refusal.set, refusal.channel.name
    flag = statement["left"].children[0]
    close = f"close({flag['operand'].name}.{name})"
    if _is_first(statement, flag):
        edits = insert_after(statement, close)
    else:
        edits = replace(statement, f"if !{flag.name} {{\n\t{statement.name}\n\t{close}\n}}")
    return Fix(
        f"Close {name} as {refusal.method} sets {flag['field'].name}",
        tuple(edits),
        Safety.UNSAFE,
        "the workers now end",
    )


def _is_first(statement: Node, flag: Node) -> bool:
    """Return whether a test lets the statement run the first time only."""
    block = statement.parent
    above = block.parent if block is not None else None
    if block is None or above is None:
        return False
    if above.kind == "if_statement" and above["condition"].text == b"!" + flag.text:
        return block.field == "consequence"
    return any(
        s.kind == "if_statement"
        and s.end <= statement.start
        and s["condition"].text == flag.text
        and bool(s["consequence"].statements)
        and s["consequence"].statements[-1].kind == "return_statement"
        for s in block.statements
    )
