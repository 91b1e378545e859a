"""Methods that look up and store elements of a guarded map, and the functions that use both."""

from __future__ import annotations

from dataclasses import dataclass

from threadmend.golang.calls import Site
from threadmend.golang.field_accesses import FieldAccess
from threadmend.golang.file import GoFile
from threadmend.golang.locks import declaration_of, held_at
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding, argument_of
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map, TypeParam

from ._of_its_own import is_of_its_own

__all__ = [
    "Helper",
    "Use",
    "has_close",
    "is_any_type",
    "is_plain",
    "keeper_of",
    "looked_up",
    "looks_of",
    "store_of",
    "use_of",
]


_ASKS = frozenset({"call_expression", "selector_expression", "index_expression"})


@dataclass(frozen=True, slots=True)
class Helper:
    """A method that looks up or stores an element of a guarded map, by a parameter."""

    decl: Decl
    access: FieldAccess
    key: Binding
    value: Binding | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """One function that looks up with one helper, and stores with the other one."""

    site: Site
    call: Node
    look: Node
    value: Node

    @property
    def closes(self) -> bool:
        """Return whether what is stored has to be closed where it is not kept."""
        return has_close(self.site.file, self.value)


# -- the helpers ------------------------------------------------------------------------


def _element(access: FieldAccess) -> tuple[Decl, Binding] | None:
    """Return the method around `s.m[key]`, where it is locked, and its parameter `key`."""
    node, file = access.node, access.file
    target, function = node.parent, node.function
    if target is None or target.kind != "index_expression" or node.field != "operand":
        return None
    key = file.binding(target["index"]) if target["index"].kind == "identifier" else None
    if function is None or function.kind != "method_declaration" or not access.held_here:
        return None
    decl = declaration_of(file, function)
    if decl is None or key is None or key.kind != "parameter":
        return None
    if access.base is None or access.base.steps or not isinstance(access.base.root, Binding):
        return None
    if access.base.root.kind != "receiver":
        return None
    return (decl, key) if isinstance(file.underlying(file.type_of(node)), Map) else None


def looks_of(access: FieldAccess) -> Helper | None:
    """Return the helper that only looks at an element of a map."""
    found = _element(access) if access.kind == "read" else None
    return Helper(found[0], access, found[1]) if found is not None else None


def store_of(access: FieldAccess, accesses: list[FieldAccess]) -> Helper | None:
    """Return the helper of `s.m[key] = value`, which looks at no element before."""
    found = _element(access) if access.kind == "store" else None
    store = access.node.statement
    if found is None or store is None or store.kind != "assignment_statement":
        return None
    if found[0].exported:
        return None
    left, right = store["left"].children, store["right"].children
    if len(left) != 1 or len(right) != 1 or store["operator"].kind != "=":
        return None
    value = access.file.binding(right[0]) if right[0].kind == "identifier" else None
    if value is None or value.kind != "parameter":
        return None
    function = access.node.function
    for other in accesses:
        if other.node.function is function and other is not access:
            outer = other.node.parent
            if outer is None or outer.kind != "binary_expression":
                if other.kind != "write":
                    return None  # looks again, in its own way
    return Helper(found[0], access, found[1], value)


def has_close(file: GoFile, value: Node) -> bool:
    """Return whether a value has a method Close."""
    type_ = file.type_of(value)
    member = file.package.workspace.inference.member(type_, "Close") if type_ else None
    return member is not None and member.kind == "method"


def is_any_type(file: GoFile, value: Node) -> bool:
    """Return whether the type of a value is a parameter of the type or function around it."""
    return isinstance(file.type_of(value), TypeParam)


# -- who uses them ----------------------------------------------------------------------


def use_of(
    site: Site, store: Helper, looks: list[Helper], accesses: list[FieldAccess]
) -> Use | None:
    """Return the look and the store around a call of a helper that stores, without a lock."""
    call, function = site.call, site.node.function
    if call is None or function is None or store.value is None or site.file.is_test:
        return None
    key = argument_of(call, store.decl.node, store.key)
    value = argument_of(call, store.decl.node, store.value)
    if key is None or value is None or value.kind != "identifier":
        return None
    if site.launched or site.deferred or held_at(site.file, call):
        return None
    if not has_close(site.file, value) and not is_of_its_own(site.file, value):
        return None
    owner = call["function"]["operand"].text
    look = looked_up(site.file, call, owner, key.text, looks)
    for read in accesses if look is None else ():
        index = read.node.parent
        if index is not None and index.kind == "index_expression" and read.kind == "read":
            if read.node.function is function and read.held_here and index.at < call.at:
                if index["index"].text == key.text and read.node["operand"].text == owner:
                    look = index if _decides(site.file, index, call) else None
    return Use(site, call, look, value) if look is not None else None


def looked_up(file: GoFile, at: Node, owner: bytes, key: bytes, looks: list[Helper]) -> Node | None:
    """Return the call before a place that looks a key up, and decides if the place is reached."""
    function = at.function
    for call in function.own() if function is not None else ():
        if call.at >= at.at:
            break
        if call.kind != "call_expression" or call["function"].kind != "selector_expression":
            continue
        if call["function"]["operand"].text != owner:
            continue
        for look in looks:
            if call["function"]["field"].name == look.decl.name:
                wanted = argument_of(call, look.decl.node, look.key)
                if wanted is not None and wanted.text == key and _decides(file, call, at):
                    return call
    return None


def _decides(file: GoFile, look: Node, store: Node) -> bool:
    """Return whether what a look-up finds decides if the store is reached."""
    statement, function = keeper_of(look), look.function
    if statement is None or statement.kind != "short_var_declaration" or function is None:
        return False
    names = {file.binding(n) for n in statement["left"].children if n.kind == "identifier"}
    for node in function.own():
        if node.kind != "if_statement" or node.start > store.start:
            continue
        condition = node.get("condition")
        if condition is None or not is_plain(condition):
            continue
        if not any(file.binding(n) in names for n in condition.find("identifier")):
            continue
        body = node["consequence"].statements
        if node.contains(store) or (body and body[-1].kind == "return_statement"):
            return True
    return False


def is_plain(condition: Node) -> bool:
    """Return whether a condition asks if something was found, and not how it is.

    What was found and is no longer any good is there to be replaced.
    """
    return not any(n.kind in _ASKS for n in condition.walk())


def keeper_of(call: Node) -> Node | None:
    """Return the declaration or assignment whose only value is a call."""
    values = call.parent
    if values is None or values.kind != "expression_list" or len(values.children) != 1:
        return None
    return values.parent if values.field == "right" else None
