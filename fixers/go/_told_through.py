"""Listeners that a helper calls, or hands to a literal that does, one after the other.

func (s *store) each(do func(Listener)) {       s.mu.Lock()
    for _, l := range s.listeners {             …
        do(l)                                   s.each(func(l Listener) { l(key) })
    }                                           s.mu.Unlock()
}
"""

from __future__ import annotations

from dataclasses import dataclass

from threadmend.golang.builders import BuilderError, add_import, free_name, import_name, taken_names
from threadmend.golang.calls import own_callers
from threadmend.golang.file import GoFile
from threadmend.golang.lists_made import listed_field
from threadmend.golang.locks import LOCK_CALLS, declaration_of
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding, argument_of
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map, Slice
from threadmend.model import Edit

__all__ = ["Told", "tells_each", "told_through"]


@dataclass(frozen=True, slots=True)
class Told:
    """A call of a helper like `each`, the literal it is given, and the list it goes through.

    `names` are the variables of a loop that does the same.
    """

    file: GoFile
    call: Node
    literal: Node
    helper: Decl
    field: Node
    names: tuple[str, ...]
    made: str = ""
    """The call by which the helper gets a list of its own: `list()`."""

    def inlined(self) -> tuple[str, tuple[Edit, ...], tuple[Edit, ...]]:
        """Return the copy of the list, the edits that loop over it instead, and the imports."""
        operand, function = self.call["function"].get("operand"), self.call.function
        if operand is None or function is None or self.file.go_version < (1, 21):
            raise BuilderError("the list would have to be copied")
        if any(n.kind in _JUMPS for n in self.literal["body"].own()):
            raise BuilderError("the function that is given to the helper returns early")
        under = self.helper.file.underlying(self.helper.file.type_of(self.field))
        path = "slices" if isinstance(under, Slice) else "maps"
        known, name = import_name(self.file.tree, path), self.field["field"].name
        taken = set(taken_names(function)) | {i.name for i in self.file.imports}
        local = free_name(name[:1].lower() + name[1:], taken)
        within = self._as_loop(f"for {', '.join(self.names)} := range {local} {{")
        if self.made:
            return f"{local} := {operand.name}.{self.made}", within, ()
        copy = f"{local} := {known or path}.Clone({operand.name}.{name})"
        return copy, within, () if known else add_import(self.file.tree, path)

    def _as_loop(self, head: str) -> tuple[Edit, ...]:
        """Return the edits that make a loop of the call; one on a line gets lines of its own."""
        body, where, source = self.literal["body"], self.file.path, self.file.source
        begin, end, start, stop = b"", b"}", body.start + 1, body.end - 1
        if b"\n" not in body.text:
            indent = source.newline + source.indent_at(self.call.start)
            begin, end = indent + b"\t", indent + b"}"
            start, stop = body.statements[0].start, body.statements[-1].end
        return (
            Edit(where, self.call.start, start, head.encode() + begin),
            Edit(where, stop, self.call.end, end),
        )


_JUMPS = frozenset({"return_statement", "defer_statement"})


def told_through(file: GoFile, call: Node) -> Told | None:
    """Return what a call does that only goes through a list of its object, for a literal."""
    decl = file.callee(call)
    if decl is None or decl.kind != "method" or not decl.sound:
        return None
    if decl.file.package is not file.package or call["function"].kind != "selector_expression":
        return None
    literal = next((a for a in call["arguments"].children if a.kind == "func_literal"), None)
    loop = decl.node["body"].statements
    if literal is None or len(loop) != 1 or loop[0].kind != "for_statement":
        return None
    clause = next((c for c in loop[0].children if c.kind == "range_clause"), None)
    inside = loop[0]["body"].statements
    if clause is None or clause.get("left") is None or len(inside) != 1:
        return None
    field, inner = clause["right"], inside[0].children[0] if inside[0].children else inside[0]
    made = _made_list(decl, field)
    if inner.kind != "call_expression" or not (made is not None or _is_field(decl, field)):
        return None
    does = decl.file.binding(inner["function"])
    if does is None or does.kind != "parameter":
        return None
    if argument_of(call, decl.node, does) is not literal:
        return None
    names = _names(clause, inner, literal)
    if names is None:
        return None
    if made is not None:
        return Told(file, call, literal, decl, made, names, f"{field['function']['field'].name}()")
    return Told(file, call, literal, decl, field, names)


def _made_list(decl: Decl, call: Node) -> Node | None:
    """Return the field that a helper goes through a new list of: `range s.list()`."""
    if call.kind != "call_expression" or call["function"].kind != "selector_expression":
        return None
    binding = decl.file.binding(call["function"]["operand"])
    own = binding is not None and binding.kind == "receiver"
    return listed_field(decl.file, call) if own else None


def _is_field(decl: Decl, field: Node) -> bool:
    """Return whether a helper goes through a list, or map, in a field of its receiver."""
    if field.kind != "selector_expression" or field["operand"].kind != "identifier":
        return False
    binding = decl.file.binding(field["operand"])
    if not isinstance(binding, Binding) or binding.kind != "receiver":
        return False
    return isinstance(decl.file.underlying(decl.file.type_of(field)), Slice | Map)


def _names(clause: Node, inner: Node, literal: Node) -> tuple[str, ...] | None:
    """Return the loop's variables as the literal calls them."""
    given = [a.text for a in inner["arguments"].children]
    parameters = [n.name for d in literal["parameters"].children for n in d.all("name")]
    if len(given) != len(parameters):
        return None
    names = [
        parameters[given.index(n.text)] if n.text in given else "_" for n in clause["left"].children
    ]
    used = {n.text for n in clause["left"].children}
    if set(names) == {"_"} or any(g not in used for g in given):
        return None
    return tuple(names)


def tells_each(file: GoFile, call: Node) -> tuple[Node, str] | None:
    """Return the list whose elements a method hands to its parameter, which calls each.

    `for _, l := range s.listeners { do(l) }` under the lock, and `s.each(func(l Listener) {
    l.Changed(key) })` at every caller. With the field of the elements that it hands on, where it
    does not hand on themselves: `do(l.fn)`.
    """
    given, does = call["arguments"].children, file.binding(call["function"])
    function = call.function
    if does is None or does.kind != "parameter" or does.scope is not function:
        return None
    decl = declaration_of(file, function) if function is not None else None
    if decl is None or decl.kind != "method" or len(given) != 1:
        return None
    name, part = given[0], ""
    if name.kind == "selector_expression":
        name, part = name["operand"], name["field"].name
    element = file.binding(name) if name.kind == "identifier" else None
    if element is None or element.kind != "range" or element.index != 1:
        return None
    field = element.declaration["right"]
    while field.kind == "index_expression":
        field = field["operand"]
    sites = list(own_callers(decl, LOCK_CALLS))
    if not _is_field(decl, field) or not sites or decl.exported:
        return None
    for site in sites:
        argument = argument_of(site.call, decl.node, does) if site.call is not None else None
        if argument is None or not _calls_parameter(argument):
            return None
    return field, part


def _calls_parameter(argument: Node) -> bool:
    """Return whether a literal does nothing but to call its parameter, or a method of it."""
    if argument.kind != "func_literal" or len(argument["body"].statements) != 1:
        return False
    statement = argument["body"].statements[0]
    call = statement.children[0] if statement.kind == "expression_statement" else None
    if call is None or call.kind != "call_expression":
        return False
    function = call["function"]
    name = function["operand"] if function.kind == "selector_expression" else function
    names = {n.text for p in argument["parameters"].children for n in p.all("name")}
    return name.kind == "identifier" and name.text in names
