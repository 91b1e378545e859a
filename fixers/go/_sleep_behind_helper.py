"""A Sleep behind the call of a helper that launches: the helper can wait for its goroutines.

crew.Send(jobs...)          func (c *Crew) Send(jobs ...Job) {
time.Sleep(settle)              for _, job := range jobs {
                                    go func() { c.note(job()) }()
                                }
                            }

Only where nobody else calls the helper.
"""

from __future__ import annotations

from dataclasses import dataclass

from threadmend.golang.builders import (
    BuilderError,
    add_import,
    free_name,
    import_name,
    insert_at_end,
    insert_before,
    package_name,
    taken_names,
)
from threadmend.golang.calls import callers
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, captures, launches_in
from threadmend.golang.locks import LOCK_CALLS
from threadmend.golang.package import Decl
from threadmend.golang.scope import resolve_local
from threadmend.golang.syntax import Node
from threadmend.golang.targets import targets
from threadmend.golang.types import Func
from threadmend.golang.uses import is_api
from threadmend.model import Edit, Fix, Safety

from ._counted import counted_launch
from ._instead_of_sleep import kept_time, replaced_sleep, sync_for_time, without_time

__all__ = ["Helper", "helper_above"]

_LEAVES = ("return_statement", "defer_statement", "if_statement", "select_statement")


@dataclass(frozen=True, slots=True)
class Helper:
    """A function that launches and is called right above a Sleep, by nobody else.

    `given` are the literals of its caller that the goroutines may run.
    """

    decl: Decl
    call: Node
    launches: tuple[Launch, ...]
    given: tuple[Node, ...]

    def matters(self, sleep: Node) -> bool:
        """Return whether what follows the Sleep is about what the goroutines work on."""
        shared = {resolve_local(name) for name in self.call.find("identifier")} - {None}
        for literal in self.given:
            shared |= set(captures(literal))
        after = sleep.next
        while after is not None:
            if any(resolve_local(name) in shared for name in after.find("identifier")):
                return True
            after = after.next
        return False

    def fix(self, file: GoFile, sleep: Node) -> Fix:
        """Count the goroutines in the helper, which waits for them; raises BuilderError."""
        if any(resolve_local(name) is not None for name in sleep.find("identifier")):
            raise BuilderError("a variable would be left unused")
        own, body = self.decl.file, self.decl.node["body"]
        name = free_name("wg", taken_names(self.decl.node))
        first = next(s for s in body.statements if s.contains(self.launches[0].node))
        declared = f"var {name} {package_name(own.tree, 'sync')}.WaitGroup"
        edits: list[Edit] = []
        for launch in self.launches:
            add = f"{name}.Add(1)"
            if launch.statement is first:
                add, declared = f"{declared}\n{add}", ""
            counted = counted_launch(own, launch, name)
            if counted is None:
                raise BuilderError("an argument of the launch would be evaluated later")
            edits += [*insert_before(launch.statement, add), *counted]
        if declared:
            edits += insert_before(first, declared)
        edits += insert_at_end(body, f"{name}.Wait()")
        edits += replaced_sleep(sleep, "")
        if own is file:
            edits += sync_for_time(file, sleep)
        else:
            edits += add_import(own.tree, "sync") if import_name(own.tree, "sync") is None else ()
            edits += without_time(file, sleep) or kept_time(file, sleep)
        reason = f"{self.decl.name} returns when the goroutines have ended"
        if is_api(self.decl):
            reason += ", for callers from outside as well"
        title = f"Let {self.decl.name} wait for its goroutines with a WaitGroup {name}"
        return Fix(title, tuple(edits), Safety.UNSAFE, reason)


def helper_above(file: GoFile, function: Node, sleep: Node) -> Helper | None:
    """Return the helper that is called right above a Sleep, if all that it does is to launch."""
    above = sleep.previous
    call = above.children[0] if above is not None and above.kind == "expression_statement" else None
    if call is None or call.kind != "call_expression" or file.is_test_file:
        return None
    decl = file.callee(call)
    if decl is None or not decl.sound or not decl.has_body or decl.file.package.module is None:
        return None
    if decl.file.generated or decl.node.get("result") is not None or decl.node is function:
        return None
    sites = callers(decl)
    if len(sites) != 1 or sites[0].call is not call or any(launches_in(file, function)):
        return None
    inside = tuple(launches_in(decl.file, decl.node))
    if not inside or any(n.kind in _LEAVES for n in decl.node["body"].own()):
        return None
    if any(x.kind != "go" or x.function is not decl.node or x.body is None for x in inside):
        return None
    if any(n.kind == "call_expression" and LOCK_CALLS.search(n.text) for n in decl.node.own()):
        return None
    literals = [n for n in function.find("func_literal") if n.end <= sleep.start]
    if not literals and any(_runs_unknown(decl.file, x) for x in inside):
        return None
    return Helper(decl, call, inside, tuple(literals))


def _runs_unknown(file: GoFile, launch: Launch) -> bool:
    """Return whether a goroutine calls a function value that nobody can see."""
    body = launch.body
    return body is not None and any(
        file.callee(call) is None
        and isinstance(file.underlying(file.type_of(call["function"])), Func)
        and not targets(file, call).bodies
        for call in body.find("call_expression")
    )
