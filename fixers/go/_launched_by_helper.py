"""A round of a loop whose goroutine a helper launches, which is given the WaitGroup.

for _, p := range s.players {       func (s *Stage) cue(wg *sync.WaitGroup, p Player) {
    wg.Add(1)                           go func() {
    s.cue(&wg, p)                           defer wg.Done()
    wg.Wait()                               p.Enter()
}                                       }()
                                    }
"""

from __future__ import annotations

from dataclasses import dataclass

from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import launch_at, launches_in
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding, argument_of
from threadmend.golang.syntax import Node
from threadmend.golang.waitgroups import WaitGroupCall, waitgroup_calls

__all__ = ["HelpedLaunch", "launched_by_helper"]


@dataclass(frozen=True, slots=True)
class HelpedLaunch:
    """The statement that calls a helper which launches, and whether that one calls Add, too."""

    statement: Node
    adds: bool


def launched_by_helper(
    file: GoFile, loop: Node, waits: Node, wait: WaitGroupCall
) -> HelpedLaunch | None:
    """Return the call of a helper that is all that is launched in a round, right above its Wait."""
    statements = loop["body"].statements
    if len(statements) < 2 or statements[-1] is not waits:
        return None
    statement = statements[-2]
    call = statement.children[0] if statement.kind == "expression_statement" else None
    if call is None or call.kind != "call_expression" or call["function"].kind == "func_literal":
        return None
    decl = file.callee(call)
    if decl is None or not decl.sound or not decl.has_body:
        return None
    if any(True for _ in launches_in(file, loop["body"])):
        return None
    if any(_shares(file, other, decl, wait) for other in statements[:-2]):
        return None
    return _launched(decl, statement, call, wait)


def _shares(file: GoFile, other: Node, decl: Decl, wait: WaitGroupCall) -> bool:
    """Return whether another statement of the round may launch for the same WaitGroup."""
    adds = {c.waitgroup for c in waitgroup_calls(file, other) if c.method == "Add"}
    for node in other.walk():
        if node.text == wait.waitgroup.text and node not in adds:
            return True
        called = file.callee(node) if node.kind == "call_expression" else None
        if called is not None and called.key == decl.key:
            return True
    return False


def _launched(decl: Decl, statement: Node, call: Node, wait: WaitGroupCall) -> HelpedLaunch | None:
    """Return the launch by a helper that at most counts before it, and does nothing else."""
    inside = decl.node["body"].statements
    launch = launch_at(decl.file, inside[-1]) if inside else None
    if launch is None:
        return None
    operations = list(waitgroup_calls(decl.file, decl.node, inside=True))
    operations = [o for o in operations if _is_same(decl, o, call, wait)]
    done = [o for o in operations if o.method == "Done" and inside[-1].contains(o.call)]
    adds = [o for o in operations if o.method == "Add"]
    above = [o.call.parent for o in adds if o.count is not None and o.count.text == b"1"]
    if inside[:-1] != above or len(adds) != len(above):
        return None
    return HelpedLaunch(statement, bool(adds)) if done else None


def _is_same(decl: Decl, operation: WaitGroupCall, call: Node, wait: WaitGroupCall) -> bool:
    """Return whether a helper's operation is on the WaitGroup that its caller waits for."""
    access, name = operation.access, wait.waitgroup.name
    if access is None or not isinstance(access.root, Binding):
        return False
    if access.root.kind == "parameter" and not access.steps:
        given = argument_of(call, decl.node, access.root)
        return given is not None and given.name.lstrip("&") == name
    if access.root.kind != "receiver" or call["function"].kind != "selector_expression":
        return False
    return ".".join((call["function"]["operand"].name, *access.steps)) == name
