"""Tickers in a field: the one function that waits for them leaves, and nobody stops them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from threadmend.golang.builders import BuilderError, insert_at_start
from threadmend.golang.calls import code_callers
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import declaration_of
from threadmend.golang.package import Decl
from threadmend.golang.runners import only_launches
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import Named, deref
from threadmend.model import Fix, Safety

from ._tickers import ranged_for_ever, received

__all__ = ["Kept", "kept_tickers"]


@dataclass(slots=True)
class Kept:
    """A ticker that a field keeps: what makes it, what waits for it, and how to stop it."""

    call: Node
    name: str
    waits: Node
    fix: Fix


@dataclass(slots=True)
class _Uses:
    waits: set[Node] = field(default_factory=set)
    makes: int = 0
    others: bool = False


def kept_tickers(file: GoFile, call: Node) -> Kept | None:
    """Return the ticker that a literal or an assignment keeps, if its last user leaves it."""
    owner, name = _field(file, call)
    decl = file.package.lookup(owner.name) if owner is not None else None
    if decl is None or name[:1].isupper():
        return None
    uses = _uses(decl, name)
    if uses.others or len(uses.waits) != 1 or uses.makes != 1:
        return None
    body = next(iter(uses.waits))
    if body.kind != "method_declaration" or not _leaves(body):
        return None
    safety = _once(file.package.workspace.file_of(body), body, call)
    receiver = next((n for p in body["receiver"].children for n in p.all("name")), None)
    if safety is None or receiver is None or receiver.name == "_":
        return None
    try:
        edits = insert_at_start(body["body"], f"defer {receiver.name}.{name}.Stop()")
    except BuilderError:
        return None
    why = "" if safety is Safety.SAFE else "a second run would wait for a ticker that is stopped"
    return Kept(call, name, body, Fix(f"Defer {receiver.name}.{name}.Stop()", edits, safety, why))


def _field(file: GoFile, call: Node) -> tuple[Named | None, str]:
    """Return the struct and the field that a value is stored in where it is made."""
    value = call.parent
    element = value.parent if value is not None else None
    if element is not None and element.kind == "keyed_element":
        literal = element.parent.parent if element.parent is not None else None
        type_ = deref(file.type_of(literal)) if literal is not None else None
        name = element.children[0].name
    elif element is not None and element.kind == "assignment_statement":
        targets = element["left"].children
        if len(targets) != 1 or targets[0].kind != "selector_expression":
            return None, ""
        type_ = deref(file.type_of(targets[0]["operand"]))
        name = targets[0]["field"].name
    else:
        return None, ""
    own = isinstance(type_, Named) and type_.package == file.package.key and not type_.local
    return (type_, name) if own and isinstance(type_, Named) else (None, "")


def _uses(decl: Decl, name: str) -> _Uses:
    """Return what the package does with the field."""
    found = _Uses()
    pattern = re.compile(rb"\b" + re.escape(name.encode()) + rb"\b")
    for file in decl.file.package.files:
        for node in file.find("selector_expression", pattern):
            if node["field"].name == name and _is_of(file, node["operand"], decl):
                _use(node, found)
        for element in file.find("keyed_element", pattern):
            if element.children[0].text == name.encode() and element.parent is not None:
                literal = element.parent.parent
                if literal is not None and _is_of(file, literal, decl):
                    found.makes += 1
    return found


def _is_of(file: GoFile, value: Node, decl: Decl) -> bool:
    type_ = deref(file.type_of(value))
    return type_ is None or (isinstance(type_, Named) and type_.name == decl.name)


def _use(node: Node, found: _Uses) -> None:
    outer = node.parent
    group = outer.parent if outer is not None else None
    if outer is None:
        return
    if outer.kind == "selector_expression" and outer["field"].name == "Reset":
        return
    if outer.kind == "selector_expression" and outer["field"].name == "C" and received(outer):
        function = node.up(*FUNCTIONS)
        if function is not None and not ranged_for_ever(outer):
            found.waits.add(function)
            return
    if outer.field == "left" and group is not None and group.kind == "assignment_statement":
        found.makes += 1
        return
    found.others = True  # it is stopped, waited for without end, or somebody else has it


def _leaves(body: Node) -> bool:
    flow = flow_of(body)
    exits = flow.exits_from(flow.entry) if flow.complete else []
    return any(e.kind in {"return", "end", "goexit"} for e in exits)


def _once(file: GoFile, body: Node, made: Node) -> Safety | None:
    """Return how certain it is that the function runs once for each ticker, None: it may not.

    Safe: every call is on a value that was made for it. Unsafe: a goroutine runs it.
    """
    decl = declaration_of(file, body)
    sites = code_callers(decl) if decl is not None else []
    if not sites or any(s.call is None for s in sites):
        return None
    if all(s.call is not None and _is_fresh(s.file, s.call) for s in sites):
        return Safety.SAFE
    launches = only_launches(file, body)
    if len(launches) == 1 and len(sites) == 1:
        return Safety.SAFE if launches[0].function is made.function else Safety.UNSAFE
    return None


def _is_fresh(file: GoFile, call: Node) -> bool:
    """Return whether a method is called on what a constructor has just made, and only once."""
    function = call["function"]
    operand = function.get("operand") if function.kind == "selector_expression" else None
    if operand is None:
        return False
    if operand.kind == "call_expression":
        return True
    binding = file.binding(operand) if operand.kind == "identifier" else None
    if binding is None or binding.kind != "variable" or binding.function is not call.function:
        return False
    if innermost_loop(call) is not innermost_loop(binding.node):
        return False
    others = [u for u in binding.uses if u is not binding.node and u is not operand]
    return not any(_is_kept(use) for use in others)


def _is_kept(use: Node) -> bool:
    """Return whether a value is passed on, returned or stored, or the method called again."""
    parent = use.parent
    return parent is None or parent.kind != "selector_expression"
