"""Goroutines whose launcher takes a slot for them, of a field or a helper, that some path keeps.

for _, url := range urls {             func (c *Crawler) measure(url string) {
    c.slots.take()                         body, err := c.fetch(url)
    go c.measure(url)                      if err != nil {
}                                              return    // keeps the slot
                                           }
                                           …
                                           c.slots.give()
                                       }
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.calls import callers
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import innermost_loop, launch_of_literal
from threadmend.golang.locks import declaration_of
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.model import Confidence, Finding, Related

from ._slot_held import given_by, given_slot, release_fix, releasing, taken_slot

__all__ = ["entrusted_slots"]

_ROOT = re.compile(r"\w+")


def entrusted_slots(file: GoFile) -> Iterator[Finding]:
    """Yield the returns of goroutines, or of what they call, that keep the slot taken for them."""
    if file.generated or file.is_test:
        return
    pattern = releasing(file.package)
    for function in file.functions(pattern):
        statements = [n for n in function.own() if n.kind == "expression_statement"]
        given = [s for n in statements if (s := given_slot(file, n)) is not None]
        for name in sorted({s.name for s in given}):
            mine = [s.at for s in given if s.name == name]
            if not any(True for n in function.own() for _ in taken_slot(file, n, name)):
                finding = _kept(file, function, name, mine, pattern)
                if finding is not None:
                    yield finding


def _kept(
    file: GoFile, function: Node, name: str, given: list[Node], pattern: re.Pattern[bytes]
) -> Finding | None:
    flow = flow_of(function)
    stops = {p: n for n in given if (p := flow.point_of(n)) is not None}
    first = function["body"].statements[:1]
    if not flow.complete or len(stops) != len(given) or any(map(flow.in_loop, stops)) or not first:
        return None
    exits = [e.node for e in flow.exits_from(flow.entry, stop=stops.__contains__)]
    if not exits or any(e.kind != "return_statement" or e.function is not function for e in exits):
        return None
    if _gives_elsewhere(file, function, given, pattern):
        return None
    taken = _taken_for(file, function, name)
    if taken is None:
        return None
    exits = [e for e in exits if not _is_over_for_all(taken, e)]
    if not exits:
        return None
    fix, reason = release_fix(function, flow, first[0], stops, exits)
    owner = name.partition(" ")[0]
    return Finding(
        path=file.path,
        start=exits[0].start,
        end=exits[0].end,
        message=f"the goroutine returns here with the slot of {owner} that was taken for it",
        fixes=(fix,) if fix else (),
        related=(Related(taken.path, taken.start, taken.end, "taken here"),),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


def _is_over_for_all(taken: Node, exit_: Node) -> bool:
    """Return whether an exit is on the end of a context on which nobody takes a slot any more.

    `select { case s.sem <- token{}: go s.run() case <-s.ctx.Done(): }`
    """
    case, select = exit_.up("communication_case", *FUNCTIONS), taken.up("select_statement")
    if case is None or case.kind in FUNCTIONS or select is None:
        return False
    over = _DONE.search(case["communication"].name)
    others = [c.get("communication") for c in select.children if c.kind == "communication_case"]
    return over is not None and any(
        c is not None and (found := _DONE.search(c.name)) is not None and found[1] == over[1]
        for c in others
    )


_DONE = re.compile(r"<-\w+((?:\.\w+)*\.Done\(\))$")


def _gives_elsewhere(
    file: GoFile, function: Node, given: list[Node], pattern: re.Pattern[bytes]
) -> bool:
    """Return whether a literal or a callee of a function may give a slot back."""
    for node in function.find("func_literal", "defer_statement"):
        if node is not function and pattern.search(node.text) and _gives(file, node):
            return True
    for call in function.find("call_expression"):
        if any(statement.contains(call) for statement in given):
            continue
        decl = file.callee(call)
        if decl is not None and decl.has_body and pattern.search(decl.file.data, *decl.span):
            if _gives(decl.file, decl.node):
                return True
    return False


def _taken_for(file: GoFile, function: Node, name: str) -> Node | None:
    """Return where a slot is taken before each launch of a function, None if it is not."""
    found = []
    for place, spelt in _launched(file, function, name):
        taken = _taken_above(place, spelt, file) if place is not None else None
        if taken is None:
            return None
        found.append(taken)
    return found[0] if found else None


def _launched(file: GoFile, function: Node, name: str) -> Iterator[tuple[Node | None, str]]:
    """Yield where goroutines that run a function are launched, and what the slot is called there.

    None where the function is used in another way.
    """
    launch = launch_of_literal(file, function) if function.kind == "func_literal" else None
    if function.kind == "func_literal":
        yield (launch.node if launch is not None and launch.kind != "timer" else None), name
        return
    decl, receiver = declaration_of(file, function), function.get("receiver")
    names = [n.name for d in receiver.children for n in d.all("name")] if receiver else []
    root = _ROOT.match(name)
    if decl is None or root is None or root[0] not in names:
        yield None, name
        return
    for site in callers(decl):
        call = site.call
        if site.file.is_test:
            continue
        if call is None:
            yield None, name
            continue
        operand = call["function"].get("operand")
        spelt = operand.name + name[root.end() :] if operand is not None else ""
        literal = call.function
        if site.launched and call.parent is not None:
            yield call.parent, spelt
        elif (
            literal is not None and literal.kind == "func_literal" and innermost_loop(call) is None
        ):
            inner = launch_of_literal(site.file, literal)
            node = inner.node if inner is not None and inner.kind != "timer" else None
            yield (None if _gives(site.file, literal, spelt) else node), spelt
        else:
            yield None, name


def _gives(file: GoFile, root: Node, name: str = "") -> bool:
    """Return whether code gives a slot back, that of a name if there is one."""
    statements = [*root.find("expression_statement")]
    calls = [n for n in root.find("defer_statement") if n.children[-1].kind == "call_expression"]
    found = [s for n in statements if (s := given_slot(file, n)) is not None]
    found += [s for n in calls if (s := given_by(file, n.children[-1], n)) is not None]
    return any(not name or s.name == name for s in found)


def _taken_above(place: Node, name: str, file: GoFile) -> Node | None:
    """Return the one node that takes a slot on every way to a launch, in the same round."""
    launcher = place.function
    file = file.package.workspace.file_of(place)
    if launcher is None:
        return None
    taken = [t for n in launcher.own() for t, _ in taken_slot(file, n, name)]
    flow = flow_of(launcher)
    point = flow.point_of(place)
    before = flow.point_of(taken[0]) if len(taken) == 1 else None
    if point is None or before is None or not flow.dominates(before, point):
        return None
    if innermost_loop(taken[0]) is not innermost_loop(place):
        return None
    for statement in launcher.find("expression_statement"):
        given = given_slot(file, statement)
        if given is not None and given.name == name and not place.contains(statement):
            return None  # who launches gives the slot back itself
    return taken[0]
