"""Functions that make a ticker and return its channel only: nobody can stop it.

    ticks := every(d)               func every(d time.Duration) <-chan time.Time {
    for {                               t := time.NewTicker(d)
        select {                        return t.C
        case <-ticks: …             }

The function returns the ticker instead, and whoever calls it stops it.
"""

from __future__ import annotations

from dataclasses import dataclass

from threadmend.golang.access import uses_of
from threadmend.golang.builders import BuilderError, free_name, insert_before, names_around, replace
from threadmend.golang.calls import Site
from threadmend.golang.channels import initialised
from threadmend.golang.families import CannotFollow, Family, family
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import declaration_of
from threadmend.golang.package import Decl
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Fix

from ._tickers import first_exit, is_time_call, ranged_for_ever, received

__all__ = ["TickerHelper", "ticker_helper"]


_CHANNEL = b"<-chan time.Time"


@dataclass(frozen=True, slots=True)
class TickerHelper:
    """A function that returns `t.C` of its ticker, and a call whose function ends."""

    name: str
    call: Node
    user: Node
    fix: Fix | None
    reason: str


def ticker_helper(file: GoFile, call: Node) -> TickerHelper | None:
    """Return the function whose ticker a call of `time.NewTicker` is, if callers leave it."""
    function = call.function
    returned = _returned(file, call)
    decl = declaration_of(file, function) if function is not None and returned is not None else None
    if decl is None or returned is None or decl.exported:
        return None
    try:
        relatives = family(decl)
    except CannotFollow:
        return None
    sites = [s for s in relatives.sites if s.call is not None]
    left = next((s for s in sites if _is_left(s)), None)
    if left is None or left.call is None or len(sites) != len(relatives.sites):
        return None
    try:
        edits = _edits(relatives, sites)
    except BuilderError as error:
        return TickerHelper(decl.name, call, left.call, None, str(error))
    title = f"Return the ticker from {decl.name}, and stop it where it is used"
    return TickerHelper(decl.name, call, left.call, Fix(title, edits), "")


def _returned(file: GoFile, call: Node) -> Node | None:
    """Return the `t.C` that a function returns, of a ticker that it uses for nothing else."""
    selector = call.parent
    if selector is None or selector.kind != "selector_expression":
        binding = initialised(file, call)
        uses = [u for u in uses_of(binding) if u.kind != "declare"] if binding is not None else []
        selector = uses[0].node.parent if len(uses) == 1 else None
    if selector is None or selector.kind != "selector_expression" or selector["field"].name != "C":
        return None
    values = selector.parent
    statement = values.parent if values is not None else None
    function = call.function
    result = function.get("result") if function is not None else None
    if statement is None or statement.kind != "return_statement" or values is None:
        return None
    if result is None or result.text != _CHANNEL or len(values.children) != 1:
        return None
    returns = [n for n in function.own() if n.kind == "return_statement"] if function else []
    return selector if returns == [statement] else None


def _is_left(site: Site) -> bool:
    """Return whether a function waits for the ticks and ends, the ticker still going."""
    call = site.call
    function = call.function if call is not None else None
    binding = initialised(site.file, call) if call is not None else None
    if call is None or function is None or binding is None or site.file.is_test:
        return False
    uses = [u.node for u in uses_of(binding) if u.kind != "declare"]
    if not uses or any(not received(u) or ranged_for_ever(u) for u in uses):
        return False
    return first_exit(site.file, function, call, set()) is not None


def _edits(relatives: Family, sites: list[Site]) -> tuple[Edit, ...]:
    """Return the edits: all signatures, what they return, and a Stop at each call.

    Sound: the ticker goes for as long as the function that waits for it, and no longer.
    """
    edits: list[Edit] = []
    for signature in relatives.signatures:
        result = signature["result"]
        if result.text != _CHANNEL:
            raise BuilderError("package time has several names")
        edits.append(Edit(result.path, result.start, result.end, b"*time.Ticker"))
    for decl in relatives.decls:
        selector = _of_decl(decl)
        if selector is None:
            raise BuilderError(f"{decl.name} of another type makes no ticker")
        operand = selector["operand"]
        edits.append(Edit(selector.path, operand.end, selector.end, b""))
    for site in sites:
        edits += _stopped(site)
    return tuple(edits)


def _of_decl(decl: Decl) -> Node | None:
    for call in decl.node.find("call_expression"):
        if call["function"].name.endswith(".NewTicker") and is_time_call(decl.file, call):
            return _returned(decl.file, call)
    return None


def _stopped(site: Site) -> list[Edit]:
    call = site.call
    statement = call.statement if call is not None else None
    if call is None or statement is None or statement.kind != "short_var_declaration":
        raise BuilderError("a call is part of another statement")
    if innermost_loop(statement) is not None:
        raise BuilderError(
            "it is called in a loop, where a defer would wait for the function's end"
        )
    if initialised(site.file, call) is None:
        raise BuilderError("a call is part of another statement")
    name = free_name("ticker", names_around(site.file, call))
    edits = [*insert_before(statement, f"{name} := {call.name}\ndefer {name}.Stop()")]
    return [*edits, *replace(call, f"{name}.C")]
