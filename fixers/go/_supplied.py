"""Callbacks: functions and listeners that somebody else supplied, kept in a field of an object.

s.hooks(…), s.hooks[i](…), for _, h := range s.hooks { h(…) }
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import is_assigned_once
from threadmend.golang.calls import callers
from threadmend.golang.file import GoFile
from threadmend.golang.functions import doc_of
from threadmend.golang.literal_fields import field_value
from threadmend.golang.locks import declaration_of
from threadmend.golang.node import bare
from threadmend.golang.package import Package
from threadmend.golang.remarks import comments_at
from threadmend.golang.scope import Binding, argument_of, resolve_local
from threadmend.golang.syntax import Node
from threadmend.golang.types import Func, Interface, Named, Slice, Type, deref, is_named

from ._told_through import Told

__all__ = [
    "SAYS",
    "Callback",
    "callback_of",
    "is_of",
    "is_question",
    "may_be_value",
    "origin",
    "supplier_of",
]

_DEPTH = 2  # helpers that hand on what they are given

SAYS = re.compile(rb"(?i)\block|\bheld\b|\bmust not\b|deadlock|synchronous")


@dataclass(frozen=True, slots=True)
class Callback:
    """A call of something that was supplied: the field that keeps it, and who supplied it."""

    call: Node
    field: Node
    supplier: Node
    told: Told | None = None
    """The call of a helper that goes through the list, with a literal that calls each."""


def is_question(call: Node) -> bool:
    """Return whether the result is used: a question to a collaborator, not a notice."""
    return call.parent is None or call.parent.kind != "expression_statement"


def may_be_value(file: GoFile, function: Node) -> bool:
    """Return whether what is called may be a function value or an interface's method."""
    if function.kind == "index_expression":
        return True
    if function.kind == "identifier":
        binding = resolve_local(function)
        return binding is not None and binding.kind in {"range", "variable", "parameter"}
    if function.kind != "selector_expression":
        return False
    operand = function["operand"]
    return operand.kind != "identifier" or file.imported(operand.name) is None


def callback_of(file: GoFile, call: Node) -> Callback | None:
    """Return the field that what is called comes from, if somebody else fills it."""
    field = origin(file, call["function"])
    if field is None:
        return None
    selection = file.selection(field)
    if selection is None or selection.kind != "field" or selection.owner is None:
        return None
    package = file.package.workspace.package_by_key(selection.owner.package)
    if package is not file.package or selection.owner.local:
        return None
    if is_named(file.type_of(call["function"]), "context.CancelFunc", "context.CancelCauseFunc"):
        return None
    called = call["function"]
    part = called["field"].name if called.kind == "selector_expression" else ""
    part = "" if called is field else part
    supplier = supplier_of(package, selection.owner, selection.name, part)
    return Callback(call, field, supplier) if supplier is not None else None


def origin(file: GoFile, function: Node) -> Node | None:
    """Return `s.hooks` of `s.hooks(…)`, `s.hooks[i](…)`, `for _, h := range s.hooks { h(…) }`."""
    if function.kind == "index_expression":
        return _field(function["operand"])
    if function.kind == "selector_expression":
        selection = file.selection(function)
        operand = function["operand"]
        if selection is not None and selection.kind == "field":
            if not is_of(file, file.type_of(function), Func):
                return None
            # `for _, sub := range s.subs { sub.notify(…) }`: the list is what is supplied.
            element = _element_of(file, operand) if operand.kind == "identifier" else None
            return element or function
        if not is_of(file, file.type_of(operand), Interface):
            return None
        if operand.kind == "identifier":
            return _element_of(file, operand)
        return None  # a collaborator, not a list of listeners
    if function.kind == "identifier" and is_of(file, file.type_of(function), Func):
        return _element_of(file, function)
    return None


def is_of(file: GoFile, type_: Type | None, kind: type) -> bool:
    """Return whether what is under a type is of a kind."""
    return isinstance(file.underlying(type_), kind)


def _element_of(file: GoFile, name: Node) -> Node | None:
    """Return the field over which a variable ranges, or an element of which it is."""
    binding = file.binding(name)
    if binding is None:
        return None
    declaration = binding.declaration
    if binding.kind == "range" and declaration.kind == "range_clause":
        return _field(_copied_from(file, declaration["right"]))
    right = declaration.get("right")
    if declaration.kind == "short_var_declaration" and right is not None:
        if len(right.children) == 1 and right.children[0].kind == "index_expression":
            return _field(right.children[0]["operand"])
    return None


def _copied_from(file: GoFile, listed: Node) -> Node:
    """Return the list of which a variable holds a copy: `fns := slices.Clone(l.fns)`."""
    binding = file.binding(listed) if listed.kind == "identifier" else None
    value = binding.value if binding is not None and is_assigned_once(binding) else None
    if value is None or value.kind != "call_expression":
        return listed
    given = value["arguments"].children
    if value["function"].text in {b"slices.Clone", b"maps.Clone"} and len(given) == 1:
        return given[0]
    if value["function"].text == b"append" and len(given) == 2 and b"..." in value.text:
        if given[0].kind in {"composite_literal", "type_conversion_expression", "call_expression"}:
            return bare(given[1].children[0] if given[1].kind == "variadic_argument" else given[1])
    return listed


def _field(node: Node) -> Node | None:
    """Return the field that a list stands in: `s.hooks`, or `s.hooks[name]` of several lists."""
    while node.kind == "index_expression":
        node = node["operand"]
    return node if node.kind == "selector_expression" else None


def supplier_of(package: Package, owner: Named, name: str, part: str = "") -> Node | None:
    """Return where an exported function puts one of its parameters into a field.

    With a `part`, into that field of the elements of the list that the field is.
    """
    known: dict[tuple[str, str, str], Node | None] = package.facts.setdefault("suppliers", {})
    key = (owner.name, name, part)
    if key not in known:
        found = next(_supplied(package, owner, name, part), None)
        known[key] = found or _option(package, owner, name)
    return known[key]


def _supplied(package: Package, owner: Named, name: str, part: str) -> Iterator[Node]:
    pattern = re.compile(rb"\b" + re.escape(name.encode()) + rb"\b")
    for file in package.files:
        if file.is_test or not file.holds(pattern):
            continue
        for statement in file.find("assignment_statement", pattern):
            for left in statement["left"].children:
                place = left["operand"] if left.kind == "index_expression" else left
                if place.kind != "selector_expression" or place["field"].name != name:
                    continue
                selection = file.selection(place)
                if selection is None or selection.owner is None:
                    continue
                right = statement["right"]
                if selection.owner.name == owner.name and _from_outside(file, right, part=part):
                    if not _is_derived(file, statement["right"]):
                        yield statement
        yield from _given_to_constructor(file, owner, pattern)


def _given_to_constructor(file: GoFile, owner: Named, pattern: re.Pattern[bytes]) -> Iterator[Node]:
    """Yield `hooks: hooks` in the literal of an exported function that is given a list of them."""
    for element in file.find("keyed_element", pattern):
        key, value, literal = element.get("key"), element.get("value"), element.parent
        if key is None or value is None or literal is None or not pattern.fullmatch(key.text):
            continue
        type_ = file.type_of(literal)
        if not isinstance(type_, Named) or (type_.package, type_.name) != (
            owner.package,
            owner.name,
        ):
            continue
        name = value.children[0] if value.children else value
        part = name if name.kind == "selector_expression" else None
        name = part["operand"] if part is not None else name
        binding = file.binding(name) if name.kind == "identifier" else None
        listed = file.underlying(file.type_of(name))
        if binding is None or binding.kind != "parameter":
            continue
        own = binding.scope.get("name")
        if own is None or not own.name[:1].isupper():
            continue
        if part is not None:
            if _is_hook_of(file, part) and not _says(binding.scope):
                yield element
            continue
        if isinstance(listed, Func) and _NOTICE.match(key.name) and not _says(binding.scope):
            yield element
        if isinstance(listed, Slice):
            if isinstance(file.underlying(listed.elem), Func | Interface):
                yield element


def _is_hook_of(file: GoFile, part: Node) -> bool:
    """Return whether a field of a parameter is a notice: `hooks.Emptied`, `options.OnChange`."""
    type_ = deref(file.type_of(part["operand"]))
    if not isinstance(type_, Named) or not isinstance(file.underlying(file.type_of(part)), Func):
        return False
    return _tells(type_, part["field"].name) or bool(_NOTICE.match(part["field"].name))


# What tells that something has happened; what is asked, or does the work, is no such thing.
_NOTICE = re.compile(
    r"[oO]n[A-Z]\w*|\w*(?:[hH]ook|[cC]allback|[nN]otify|[lL]istener|[oO]bserver)s?$|cb$|changed$"
)


# A struct of notices: `type Hooks struct { Emptied func(id string) }`.
_HOOKS = re.compile(r"(?:Hook|Callback|Listener|Observer|Notification)s?$")
_HAPPENED = re.compile(r"[A-Z]\w*[^e]ed$")


def _tells(owner: Named, name: str) -> bool:
    """Return whether a function in a struct of hooks says what has happened: `Emptied`.

    `Close` does the work.
    """
    return bool(_HOOKS.search(owner.name) and _HAPPENED.match(name))


def _option(package: Package, owner: Named, name: str) -> Node | None:
    """Return the field of options that an exported function is given, where it is a notice.

    `type Options struct { OnChange func(from, to State) }` and `func New(o Options) *Breaker`.
    """
    decl = package.lookup(owner.name)
    if decl is None or decl.kind != "type" or not owner.name[:1].isupper():
        return None
    if not name[:1].isupper() or not (_NOTICE.match(name) or _tells(owner, name)):
        return None
    field = next(
        (
            f
            for f in decl.node.find("field_declaration")
            if any(n.text == name.encode() for n in f.all("name"))
        ),
        None,
    )
    if field is None or SAYS.search(_remark(field)):
        return None
    for other in package.functions():
        start, end = other.span
        if other.exported and other.kind == "func" and other.sound and not other.file.is_test:
            if other.file.data.find(owner.name.encode(), start, end) < 0:
                continue
            given = other.node.get("parameters")
            for parameter in given.children if given is not None else ():
                type_ = deref(other.file.type_from(parameter.get("type")))
                if isinstance(type_, Named) and (type_.package, type_.name) == (
                    owner.package,
                    owner.name,
                ):
                    return None if _says(other.node) else field
    return None


def _says(function: Node) -> bool:
    return SAYS.search(doc_of(function)) is not None


def _remark(field: Node) -> bytes:
    """Return the comments at a field: behind it, and right above."""
    return b" ".join(field.tree.data[c.start : c.end] for c in comments_at(field))


def _from_outside(file: GoFile, value: Node, depth: int = _DEPTH, part: str = "") -> bool:
    """Return whether a value holds a parameter, a function or interface, of exported code.

    Also of a helper that exported code hands its own on to: `h.subs.add(receive)`. Of a literal
    only what it gives the field `part`.
    """
    for name in value.find("identifier"):
        if part and _is_for_another_field(file, name, value, part):
            continue
        binding = file.binding(name)
        if binding is None or binding.kind != "parameter" or not _may_be_called(name, value):
            continue
        function = binding.scope
        own = function.get("name")
        if own is None or SAYS.search(doc_of(function)):
            continue
        if not isinstance(file.underlying(file.type_of(name)), Func | Interface):
            continue
        if own.name[:1].isupper() or (depth and _handed_on(file, binding, depth)):
            return True
    return False


def _is_for_another_field(file: GoFile, name: Node, value: Node, part: str) -> bool:
    """Return whether a literal gives a name to one of its fields that is not `part`."""
    literal = name.up("composite_literal")
    if literal is None or not value.contains(literal):
        return False
    given = field_value(file, literal, part)
    return given is not None and not given.contains(name)


def _handed_on(file: GoFile, binding: Binding, depth: int) -> bool:
    """Return whether a caller of a helper gives it what it was given itself, from outside."""
    decl = declaration_of(file, binding.scope)
    if decl is None:
        return False
    for site in callers(decl):
        given = argument_of(site.call, decl.node, binding) if site.call is not None else None
        if given is None or given.kind != "identifier" or site.file.is_test:
            continue
        if _from_outside(site.file, given, depth - 1):
            return True
    return False


def _is_derived(file: GoFile, right: Node) -> bool:
    """Return whether a value comes with a context: `ctx, s.cancel = context.WithCancel(ctx)`."""
    call = right.children[0] if len(right.children) == 1 else None
    if call is None or call.kind != "call_expression":
        return False
    operand = call["function"].get("operand")
    return operand is not None and file.imported(operand.name) == "context"


def _may_be_called(name: Node, value: Node) -> bool:
    """Return whether a value is a parameter, or holds it, or calls it in a literal.

    `func() { s.drop(ctx, id) }` is the code of who writes it, whatever it passes on.
    """
    around = [o for o in name.ancestors() if o.kind == "func_literal" and value.contains(o)]
    return not around or name.field in {"function", "operand"}
