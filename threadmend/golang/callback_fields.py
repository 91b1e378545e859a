"""Callback fields: where a method that is stored in a field, or in a list there, is called.

t := &tailer{emit: p.put}                // func (t *tailer) run() { … t.emit(line) … } calls p.put
h.hooks = append(h.hooks, s.idle)        // for _, f := range h.hooks { f() } calls s.idle
h.on("idle", s.idle)                     // where `on` appends its argument: the same
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.calls import Site, callers
from threadmend.golang.goroutines import launch_of_literal
from threadmend.golang.keepers import parameter_name
from threadmend.golang.scope import resolve_local
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, deref

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = ["all_sites", "calls_of_stored", "field_of_stored"]

_DEPTH = 2  # registrars that hand over to each other


def all_sites(decl: Decl) -> list[Site] | None:
    """Return the calls of a function, those through fields included; None if not all are seen."""
    found: list[Site] = []
    for site in callers(decl):
        if site.call is not None:
            found.append(site)
            continue
        calls = calls_of_stored(site)
        if calls is None:
            return None
        found += calls
    return found


def calls_of_stored(site: Site, *, known: bool = True) -> list[Site] | None:
    """Return the calls of the field that a function's use as a value is stored in.

    Those of a function that launches who calls it, too. None where it goes anywhere else, where
    other packages may call the field, or where the field is used for anything but a call.
    Unless all calls have to be `known`, those of a field that other packages may call, too.
    """
    launched = _called_by_launched(site.file, _value(site))
    if launched:
        return launched
    field = field_of_stored(site)
    if field is None:
        return None
    file, owner, name = field
    if known and name[:1].isupper() and owner.name[:1].isupper():
        return None  # anybody may call it
    found: dict[tuple[str, str], list[Site] | None]
    found = file.package.facts.setdefault("calls of callback fields", {})
    key = (owner.name, name)
    if key not in found:
        found[key] = _calls(file, owner, name)
    return found[key]


Field = tuple["GoFile", Named, str]


def field_of_stored(site: Site) -> Field | None:
    """Return the struct and its field that a function's use as a value is stored in."""
    return _field_of(site.file, _value(site), _DEPTH)


def _value(site: Site) -> Node:
    """Return the expression that a function's name is the end of: `s.run`."""
    value = site.node.up("selector_expression") if site.node.field == "field" else None
    return value or site.node


def _field_of(file: GoFile, value: Node, depth: int) -> Field | None:
    """Return the struct and its field that a value is stored in: `emit: p.put`.

    With a file of the struct's package.
    """
    group = value.parent
    above = group.parent if group is not None else None
    if group is None or above is None:
        return None
    if group.kind == "literal_element" and above.kind == "keyed_element":
        if group is above["key"] or above.parent is None:
            return None
        literal = above.parent
        holder = literal.parent if literal.kind == "literal_value" else literal
        return _own(file, holder, above["key"].text)
    if group.kind == "argument_list" and above.kind == "call_expression":
        if above["function"].text == b"append":
            return _listed(file, group.children[0])
        return _registered(file, above, value, depth) if depth else None
    if group.kind == "expression_list" and above.kind == "assignment_statement":
        targets = above["left"].children
        return _listed(file, targets[0]) if group.field == "right" and len(targets) == 1 else None
    return None


def _registered(file: GoFile, call: Node, value: Node, depth: int) -> Field | None:
    """Return the field in which a function of the project stores what it is given, and no more.

    `r.On("fix", b.onFix)`, where On does `r.handlers[kind] = append(r.handlers[kind], handle)`.
    """
    given = _given(file, call, value) if not call.runs_later else None
    if given is None or len(given[1]) != 1:
        return None
    decl, uses = given
    return _field_of(decl.file, uses[0], depth - 1)


def _given(file: GoFile, call: Node, value: Node) -> tuple[Decl, list[Node]] | None:
    """Return the function of the project that gets an argument, and what it uses it for.

    Comparisons with nil aside.
    """
    decl = file.callee(call)
    if decl is None or not decl.sound or not decl.has_body:
        return None
    position = next(i for i, a in enumerate(call["arguments"].children) if a is value)
    name = parameter_name(decl.node, position)
    binding = decl.file.binding(name) if name is not None else None
    uses = [use for use in binding.uses if use is not name] if binding is not None else []
    return decl, [u for u in uses if u.parent is None or u.parent.kind != "binary_expression"]


def _called_by_launched(file: GoFile, value: Node) -> list[Site]:
    """Return the calls of an argument where only goroutines that the callee launches make them.

    `listen(frames, b.onFix)`, which does `go func() { for f := range frames { handle(f) } }()`
    and waits for nothing, as its caller does.
    """
    call, function = _call_given(value), value.function
    given = _given(file, call, value) if call is not None and not call.runs_later else None
    if given is None or call is None or function is None:
        return []
    if any(_waits(node) for node in function.own() if node.start > call.end):
        return []
    decl, uses = given
    found: list[Site] = []
    for use in uses:
        calls = _calls_launched(decl, use)
        if not calls:
            return []
        found += calls
    if any(_waits(n) or _returns_value(n) for n in decl.node.own()):
        return []
    return found


def _call_given(value: Node) -> Node | None:
    """Return the call that a value is an argument of."""
    group = value.parent
    return group.parent if group is not None and group.kind == "argument_list" else None


def _calls_launched(decl: Decl, use: Node) -> list[Site]:
    """Return the calls that a goroutine of a function makes of its parameter: `go pump(in, f)`."""
    call = _call_given(use)
    if call is not None and call.is_launched:
        given = _given(decl.file, call, use)
        if given is None or any(u.function is not given[0].node for u in given[1]):
            return []
        called = [u.parent for u in given[1] if u.field == "function" and u.parent is not None]
        sites = [Site(given[0].file, u, c) for u, c in zip(given[1], called, strict=False)]
        return sites if len(called) == len(given[1]) else []
    own, literal = use.parent, use.function
    if own is None or own.kind != "call_expression" or use.field != "function":
        return []
    launch = launch_of_literal(decl.file, literal) if literal is not None else None
    if launch is None or launch.kind != "go" or launch.function is not decl.node:
        return []
    return [Site(decl.file, use, own)]


def _waits(node: Node) -> bool:
    """Return whether a node may wait for a goroutine."""
    if node.kind == "unary_expression":
        return node["operator"].kind == "<-"
    return node.kind == "selector_expression" and node["field"].name == "Wait"


def _returns_value(node: Node) -> bool:
    """Return whether a node hands out what may tell of the goroutine's end."""
    return node.kind == "return_statement" and len(node.children) > 1


def _listed(file: GoFile, place: Node) -> Field | None:
    """Return the field that a place is, or an element of the list in it."""
    while place.kind == "index_expression":
        place = place["operand"]
    if place.kind != "selector_expression":
        return None
    return _own(file, place["operand"], place["field"].text)


def _own(file: GoFile, holder: Node | None, name: bytes) -> Field | None:
    type_ = deref(file.type_of(holder)) if holder is not None else None
    if not isinstance(type_, Named) or type_.local or type_.package != file.package.key:
        return None
    return file, type_, name.decode()


def _calls(file: GoFile, owner: Named, name: str) -> list[Site] | None:
    found: list[Site] = []
    pattern = re.compile(rb"\.\s*" + re.escape(name.encode()) + rb"\b")
    for other in file.package.files:
        for node in other.find("selector_expression", pattern):
            if node["field"].name != name:
                continue
            selection = other.selection(node)
            if selection is None or selection.owner is None:
                return None
            if (selection.owner.package, selection.owner.name) != (owner.package, owner.name):
                continue
            calls = _called(node)
            if calls is None:
                return None
            found.extend(Site(other, _name(call["function"]), call) for call in calls)
    return found or None


def _name(function: Node) -> Node:
    while function.kind in {"index_expression", "parenthesized_expression"}:
        function = function.children[0]
    return function["field"] if function.kind == "selector_expression" else function


def _called(node: Node) -> list[Node] | None:
    """Return the calls that a use of a field, of its element, or of its value makes."""
    above = node.parent
    while above is not None and (
        above.kind == "parenthesized_expression"
        or (above.kind in {"index_expression", "slice_expression"} and node.field == "operand")
    ):
        node, above = above, above.parent
    if above is None:
        return None
    if above.kind == "call_expression" and node.field == "function":
        return [above]
    if above.kind == "binary_expression":
        return [] if above["right"].kind == "nil" else None
    if above.kind == "argument_list":
        return [] if _is_kept(node, above) else None
    if above.kind == "expression_list" and above.field == "left":
        return []
    if above.kind == "range_clause" and node.field == "right":
        left = above.get("left")
        names = left.children[1:] if left is not None else []
        return _of_variable(names[0]) if names else []
    if above.kind == "expression_list" and above.field == "right" and above.parent is not None:
        left = above.parent.get("left")
        single = above.parent.kind == "short_var_declaration" and len(above.children) == 1
        return _of_variable(left.children[0]) if single and left is not None else None
    return None


_ASIDE = frozenset({b"len", b"cap", b"delete", b"clear"})


def _is_kept(node: Node, arguments: Node) -> bool:
    """Return whether a call counts or empties a list, or is `x = append(x, …)`."""
    call = arguments.parent
    function = call["function"].text if call is not None else b""
    if function in _ASIDE:
        return True
    statement = node.statement
    if function != b"append" or arguments.children[0] is not node or statement is None:
        return False
    left = statement.get("left") if statement.kind == "assignment_statement" else None
    return left is not None and left.children[0].text == node.text


def _of_variable(name: Node) -> list[Node] | None:
    """Return the calls of a variable that holds a function, None if it goes anywhere else."""
    if name.text == b"_":
        return []
    binding, found = resolve_local(name), list[Node]()
    if binding is None:
        return None
    for use in binding.uses:
        above = use.parent
        if use is name or above is None:
            continue
        if above.kind == "call_expression" and use.field == "function":
            found.append(above)
        elif above.kind != "binary_expression":
            return None
    return found
