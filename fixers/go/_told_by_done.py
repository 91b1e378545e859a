"""Workers that close a channel of their object as they leave, and feeders that do not ask.

func (l *loader) run() {                     func (s *session) Write(r Row) error {
    defer close(l.done)                          s.rows <- r     // nobody receives any more
    for r := range l.rows {                      return nil
        if err := l.apply(r); err != nil {   }
            l.err = err
            return
        }
    }
}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from threadmend.golang.builders import BuilderError, at_margin, or_reason, replace
from threadmend.golang.capacities import is_counted
from threadmend.golang.channel_fields import SharedChannel, shared_channel
from threadmend.golang.channel_index import behind, operand_of
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.functions import result_nodes
from threadmend.golang.goroutines import Launch
from threadmend.golang.leaving import owed_after
from threadmend.golang.locks import held_at
from threadmend.golang.repeats import only_workers
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, deref
from threadmend.model import Fix, Safety

__all__ = ["Told", "tells_otherwise", "told_by_done"]


@dataclass(frozen=True, slots=True)
class Told:
    """A plain send to a worker, the worker's loop, and the field that it closes as it leaves."""

    channel: SharedChannel
    send: ChannelOperation
    receive: ChannelOperation
    loop: Node
    done: str

    @or_reason
    def fix(self, exits: Sequence[Node]) -> Fix:
        """Let the sender wait for the worker's end as well.

        Sound: the channel is closed when the worker has left, and then nobody receives.
        """
        node, function = self.send.node, self.send.node.function
        if function is None or owed_after(function, node) is not None:
            raise BuilderError("the function that sends owes others something after the send")
        if held_at(self.send.file, node):
            raise BuilderError("a lock is held there")
        owner = operand_of(node)["operand"]
        stop = f"{owner.name}.{self._meant(self.done, owner)}"
        values = self._values(function, owner, exits)
        code = f"select {{\ncase {at_margin(node)}:\ncase <-{stop}:\n\t{values}\n}}"
        reason = "what comes when the worker has left is refused"
        return Fix(f"Wait for {stop} too", replace(node, code), Safety.UNSAFE, reason)

    def _values(self, function: Node, owner: Node, exits: Sequence[Node]) -> str:
        """Return how the sender leaves: with the error that the worker keeps before it goes."""
        results = [r.text for r in result_nodes(function)]
        if not results:
            return "return"
        kept = {_kept(exit_) for exit_ in exits}
        name = kept.pop() if len(kept) == 1 else None
        if results != [b"error"] or name is None:
            raise BuilderError("what the function should return then cannot be told")
        return f"return {owner.name}.{self._meant(name, owner)}"

    def _meant(self, name: str, owner: Node) -> str:
        """Return a field's name where it is the worker's own in the words of the sender too."""
        file = self.send.file
        type_ = deref(file.type_of(owner))
        member = file.package.workspace.inference.member(type_, name) if type_ else None
        if member is None or not isinstance(member.owner, Named):
            raise BuilderError(f"{name} has no name there")
        if member.owner.name != self.channel.decl.name:
            raise BuilderError(f"{name} means something else there")
        return name


_KEEPS = re.compile(r"(\w+)\.(\w*[eE]rr\w*) = \w+")


def _kept(exit_: Node) -> str | None:
    """Return the field in which a worker keeps its error before it leaves: `l.err = err`."""
    before = exit_.previous
    found = _KEEPS.fullmatch(before.name) if before is not None else None
    return found[2] if found is not None else None


_SAYS = re.compile(
    rb"(?i:cancel|stop|close|abort|shut|kill|notify|report|drain)\w*\(|\bon[A-Z]\w*\(|\brange\b|<-"
)


def tells_otherwise(exit_: Node) -> bool:
    """Return whether a worker says that it leaves, or takes what is left, right before it does."""
    block = exit_.parent
    return block is not None and bool(_SAYS.search(block.text))


def told_by_done(file: GoFile) -> Iterator[Told]:
    """Yield the plain sends to the only worker of an object, which tells of its end.

    Those of methods that know neither of that nor of what the worker keeps.
    """
    for launch, body in only_workers(file):
        done = _closed_at_end(file, body)
        if done is not None:
            yield from _fed(file, launch, body, done)


def _closed_at_end(file: GoFile, body: Node) -> str | None:
    """Return the field of the object that a worker closes whatever happens."""
    for statement in body["body"].statements:
        found = re.fullmatch(r"defer close\((\w+)\.(\w+)\)", statement.name)
        if found is None:
            continue
        operand = statement.children[-1]["arguments"].children[0]
        channel = shared_channel(file, operand)
        if channel is not None and channel.is_field and channel.makes and not channel.stores:
            if len(channel.of("close")) == 1 and not (channel.nils or channel.escapes):
                return found[2]
    return None


def _fed(file: GoFile, launch: Launch, body: Node, done: str) -> Iterator[Told]:
    for clause in body.find("range_clause"):
        if clause.function is not body or clause["right"].kind != "selector_expression":
            continue
        found = behind(file, clause)
        shared = found.shared
        if shared is None or not shared.is_field or not found.known or shared.name == done:
            continue
        if shared.copies:
            continue  # who sends knows nothing of the worker's object
        receives = shared.of("receive", "range")
        if len(receives) != 1 or shared.of("len", "compare") or clause.parent is None:
            continue
        if any(m.capacity and not _is_small(m.file, m.capacity) for m in shared.makes):
            continue
        send = _plain(shared, body, done)
        if send is not None:
            yield Told(shared, send, receives[0], clause.parent, done)


def _is_small(file: GoFile, capacity: Node) -> bool:
    """Return whether a capacity has nothing to do with how much is sent."""
    return capacity.kind == "int_literal" or not is_counted(file, capacity)


def _plain(channel: SharedChannel, body: Node, done: str) -> ChannelOperation | None:
    """Return the one send, of a method that does not ask whether the worker is still there."""
    sends = [s for s in channel.of("send") if not s.file.is_test]
    if len(sends) != 1 or sends[0].calls or sends[0].select is not None:
        return None
    function = sends[0].node.function
    if function is None or function is body or function.kind != "method_declaration":
        return None
    if operand_of(sends[0].node).kind != "selector_expression":
        return None
    asks = re.compile(rb"\.(?:" + re.escape(done.encode()) + rb"|\w*[eE]rr\w*)\b|\bselect\b")
    return None if asks.search(function["body"].text) else sends[0]
