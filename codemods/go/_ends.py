"""Whether the goroutines of a test end before it does, without that time goes on.

    joined     defer wg.Done() and wg.Wait(), defer close(done) and <-done, wg.Go
    stopped    whatever it waits for ends: <-ctx.Done() and cancel(), for range ch and close(ch)
    brief      it waits for nothing, or sleeps for less than the test does

`synctest.Test` waits for all goroutines of its bubble, and time stands still by then: one that
goes on fails the test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.stops import endless
from threadmend.golang.syntax import Node
from threadmend.golang.targets import Body

from ._bubble import Reach, is_pause, name_of
from ._test_acts import Acts, acts_of, token_of

__all__ = ["all_end", "is_launched"]

_UNITS = {
    "Nanosecond": 1,
    "Microsecond": 1000,
    "Millisecond": 1000_000,
    "Second": 1000_000_000,
    "Minute": 60_000_000_000,
    "Hour": 3600_000_000_000,
}
_DURATION = re.compile(r"(?:(\d+) ?\* ?)?time\.(\w+)(?: ?\* ?(\d+))?$")


def _duration(call: Node) -> int | None:
    """Return the nanoseconds that a Sleep names; None for anything but a plain number of units.

    >>> duration(call)  # time.Sleep(5 * time.Millisecond)  # doctest: +SKIP
    5000000
    """
    found = _DURATION.match(call["arguments"].children[0].name)
    if found is None or found[2] not in _UNITS:
        return None
    return int(found[1] or 1) * int(found[3] or 1) * _UNITS[found[2]]


def all_end(reach: Reach) -> bool:
    """Return whether every goroutine that is launched is over when the test is."""
    file, test = reach.bodies[0].file, reach.bodies[0].node
    acts = acts_of(reach, file, test)
    return all(_Proof(reach, acts, body, launch).holds() for body, launch in reach.launches)


class _Proof:
    """Looks for the end of one goroutine."""

    def __init__(self, reach: Reach, acts: Acts, home: Body, launch: Launch) -> None:
        self.reach = reach
        self.acts = acts
        self.home = home
        self.launch = launch

    def holds(self) -> bool:
        body = self.launch.body
        if body is None or body.get("body") is None:
            return self._is_known()
        file = self.launch.decl.file if self.launch.decl is not None else self.home.file
        if self.launch.kind == "timer":
            return not self._pauses_in(file, body, set())
        if self._is_one_of_many():
            self.acts = Acts()  # what is done to one is not done to all
        return (
            self._is_joined(file, body)
            or self._ends(file, body, set())
            or self._is_brief(file, body)
        )

    def _is_known(self) -> bool:
        """Return whether a function of the standard library is launched that does not wait."""
        call = self.launch.call
        decl = self.home.file.callee(call) if call is not None else None
        if call is None or decl is None or not decl.file.path.startswith("$table/"):
            return False
        return not is_pause(self.home.file, call)

    def _is_one_of_many(self) -> bool:
        """Return whether several objects of one type may launch it: one token for all."""
        node, seen = self.home.node, {self.home.node}
        while node is not self.reach.bodies[0].node:
            sites = self.reach.sites.get(node, [])
            if len(sites) != 1 or innermost_loop(sites[0][1]) is not None:
                return True
            owner = next((b.node for b in self.reach.bodies if self._calls(b, sites[0][1])), None)
            if owner is None or owner in seen:
                return True
            node = owner
            seen.add(owner)
        return False

    def _calls(self, body: Body, call: Node) -> bool:
        return any(known is call for known, _ in self.reach.calls.get(body.node, ()))

    # -- joined ------------------------------------------------------------------------------

    def _is_joined(self, file: GoFile, body: Node) -> bool:
        """Return whether the test waits for what the goroutine does last."""
        if self.launch.kind in {"waitgroup", "errgroup"}:
            function = self.launch.node["function"]
            group = token_of(self.reach, self.home.file, function["operand"])
            return group is not None and group in self.acts.waited
        statements = body["body"].statements
        calls = [c for s in statements if s.kind == "defer_statement" for c in _deferred(s)]
        calls += statements[-1:]
        return any(self._is_signal(file, call) for call in calls)

    def _is_signal(self, file: GoFile, node: Node) -> bool:
        """Return whether the test waits for a Done, a close or a send."""
        if node.kind == "expression_statement":
            node = node.children[0]
        if node.kind == "send_statement":
            sent = token_of(self.reach, file, node["channel"])
            alone = innermost_loop(self.launch.node) is None and len(self._launches_of(sent)) == 1
            return alone and sent in self.acts.received
        if node.kind != "call_expression":
            return False
        function, arguments = node["function"], node["arguments"].children
        if name_of(node) == "Done" and function.kind == "selector_expression" and not arguments:
            return token_of(self.reach, file, function["operand"]) in self.acts.waited
        if function.name == "close" and len(arguments) == 1:
            return token_of(self.reach, file, arguments[0]) in self.acts.received
        return False

    def _launches_of(self, sent: object) -> list[Launch]:
        """Return the launches whose goroutine sends to a channel."""
        found = []
        for home, launch in self.reach.launches:
            body = launch.body
            file = launch.decl.file if launch.decl is not None else home.file
            sends = body.find("send_statement") if body is not None else ()
            if any(token_of(self.reach, file, s["channel"]) == sent for s in sends):
                found.append(launch)
        return found

    # -- stopped -----------------------------------------------------------------------------

    def _ends(self, file: GoFile, body: Node, seen: set[Node]) -> bool:
        """Return whether a function ends by itself, or by what the test does at its end."""
        if body in seen:
            return True
        seen.add(body)
        for node in _of_goroutine(self.reach, body):
            if node.kind == "for_statement" and not self._loop_ends(file, node):
                return False
            if is_pause(file, node) and not self._pause_ends(file, node):
                return False
        return all(self._ends(called.file, called.node, seen) for called in self._called(body))

    def _called(self, body: Node) -> Iterator[Body]:
        for calls in self.reach.calls.values():
            for call, called in calls:
                if call.tree is body.tree and body.contains(call):
                    if not is_launched(self.reach, call, body):
                        yield called

    def _loop_ends(self, file: GoFile, loop: Node) -> bool:
        """Return whether a loop counts, ranges over something finite, or meets a stop."""
        clause = next((c for c in loop.children if c.kind.endswith("_clause")), None)
        if clause is not None and clause.kind == "range_clause":
            return file.type_of(clause["right"]) is not None
        if clause is not None and clause.get("update") is not None and not endless(loop):
            return True
        return endless(loop) and any(
            s.kind == "select_statement" and is_pause(file, s) and self._leaves(file, s)
            for s in loop["body"].statements
        )

    def _pause_ends(self, file: GoFile, node: Node) -> bool:
        if node.kind == "select_statement":
            return self._leaves(file, node)
        select = node.up("select_statement")
        case = node.up("communication_case", "func_literal")
        if case is not None and case.kind == "communication_case" and select is not None:
            communication = case.get("communication")
            if communication is not None and communication.contains(node):
                return True  # the select answers for it
        if node.kind == "unary_expression":
            return self._is_ended(file, node["operand"])
        if node.kind == "range_clause":
            return self._is_ended(file, node["right"])
        return False

    def _leaves(self, file: GoFile, select: Node) -> bool:
        """Return whether a case of a select returns when the test says so."""
        for case in select.children:
            if case.kind == "communication_case" and case.statements:
                if case.statements[-1].kind == "return_statement":
                    received = case["communication"].find("unary_expression")
                    if any(self._is_ended(file, n["operand"]) for n in received):
                        return True
        return False

    def _is_ended(self, file: GoFile, channel: Node) -> bool:
        """Return whether a channel is closed by the test: its own, or a context's."""
        if channel.kind == "call_expression" and name_of(channel) == "Done":
            channel = channel["function"]["operand"]
        return token_of(self.reach, file, channel) in self.acts.closed

    # -- brief -------------------------------------------------------------------------------

    def _pauses_in(self, file: GoFile, body: Node, seen: set[Node]) -> bool:
        if body in seen:
            return False
        seen.add(body)
        if any(is_pause(file, n) for n in _of_goroutine(self.reach, body)):
            return True
        return any(self._pauses_in(c.file, c.node, seen) for c in self._called(body))

    def _is_brief(self, file: GoFile, body: Node) -> bool:
        """Return whether a goroutine only sleeps, and for less than the test does after it."""
        test = self.reach.bodies[0].node
        if self.launch.function is not test or any(True for _ in self._called(body)):
            return False
        nodes = list(_of_goroutine(self.reach, body))
        pauses = [n for n in nodes if is_pause(file, n)]
        if any(n.kind == "for_statement" for n in nodes) or any(
            p not in self.reach.sleeps for p in pauses
        ):
            return False
        after = [
            call
            for call in self.reach.sleeps
            if call.start > self.launch.node.end and _is_plainly_in(call, test)
        ]
        mine, theirs = [_duration(p) for p in pauses], [_duration(c) for c in after]
        if None in mine:
            return False
        return sum(d for d in mine if d) < sum(d for d in theirs if d)


def _deferred(statement: Node) -> list[Node]:
    """Return the calls that a defer makes: itself, or the statements of its literal."""
    call = statement.children[-1]
    if call.kind == "call_expression" and call["function"].kind == "func_literal":
        return list(call["function"]["body"].statements)
    return [call]


def _is_plainly_in(call: Node, test: Node) -> bool:
    statement = call.parent
    return statement is not None and statement.parent is test["body"]


def _of_goroutine(reach: Reach, body: Node) -> Iterator[Node]:
    """Yield the nodes of a function, without those of goroutines that it launches."""
    inside = [
        launch.node
        for _, launch in reach.launches
        if launch.node.tree is body.tree and body.contains(launch.node)
    ]
    for node in body.walk():
        if not any(launch.contains(node) for launch in inside):
            yield node


def is_launched(reach: Reach, call: Node, body: Node) -> bool:
    """Return whether a call is made by a goroutine that a body launches."""
    return any(
        launch.node.tree is call.tree and launch.node.contains(call) and body.contains(launch.node)
        for _, launch in reach.launches
    )
