"""An object that is looked up in a `sync.Map`, and made and stored where it was missing.

if s := p.find(user); s != nil {      if s := p.find(user); s != nil {
    return s                              return s
}                                     }
s := p.begin(user)             →      v, _ := p.users.LoadOrStore(user, p.begin(user))
p.users.Store(user, s)                s := v.(*session)
return s                              return s

The look may stand in a helper, and the object be made in one. It has a life of its own, which shows
in what its methods change: whoever came first goes on with an object that nobody else gets.
"""

from __future__ import annotations

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import BuilderError, delete, free_name, replace, with_reason
from threadmend.golang.builders.names import names_around
from threadmend.golang.builders.spelling import spelled
from threadmend.golang.field_accesses import access_kind
from threadmend.golang.file import GoFile
from threadmend.golang.package import Decl
from threadmend.golang.scope import argument_of
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, Pointer, Struct, deref, is_named
from threadmend.model import Fix, Safety

from ._decided_steps import leaves
from ._store_helpers import has_close

__all__ = ["object_stored"]

_REASON = "who comes second gets what the first has stored"
_WRITES = frozenset({"write", "update", "store"})
_SYNC = ("sync", "sync/atomic")


def object_stored(
    file: GoFile, store: Node, statement: Node
) -> tuple[Node, Fix | None, str] | None:
    """Return the look above a store of an object that is made when the look found none."""
    made = statement.previous
    asks = made.previous if made is not None else None
    key, value = store["arguments"].children
    if made is None or asks is None or made.kind != "short_var_declaration":
        return None
    if [n.text for n in made["left"].children] != [value.text] or value.kind != "identifier":
        return None
    if asks.kind != "if_statement" or asks.get("alternative") is not None:
        return None
    if not leaves(asks["consequence"]) or not _has_life(file, value):
        return None
    look = asks.get("initializer") or asks.previous
    if look is None or look.kind != "short_var_declaration" or len(look["right"].children) != 1:
        return None
    call = look["right"].children[0]
    if call.kind != "call_expression" or not _says_found(file, asks["condition"], look):
        return None
    if not _loads(file, call, store["function"]["operand"].text, key.text):
        return None
    if not _is_made(file, made["right"].children[0]):
        return None
    fix, reason = _load_or_store(file, store, made)
    return call, fix, reason


def _says_found(file: GoFile, condition: Node, look: Node) -> bool:
    """Return whether a condition is `ok`, or `s != nil` of the one thing that is looked up."""
    names = look["left"].children
    if len(names) == 2:
        return file.binding(condition) is file.binding(names[1]) is not None
    if condition.kind != "binary_expression" or condition["operator"].kind != "!=":
        return False
    return condition["left"].text == names[0].text and condition["right"].text == b"nil"


def _loads(file: GoFile, call: Node, stored: bytes, key: bytes) -> bool:
    """Return whether a call loads a key of a map, itself or in a helper of the map's owner."""
    function, given = call["function"], call["arguments"].children
    if function.kind != "selector_expression" or len(given) != 1 or given[0].text != key:
        return False
    if function["field"].name == "Load":
        return function["operand"].text == stored
    decl = file.callee(call)
    if decl is None or decl.kind != "method" or not decl.sound or not decl.has_body:
        return False
    loads = [n for n in decl.node["body"].own() if n.kind == "call_expression"]
    inner = loads[0]["function"] if len(loads) == 1 else None
    if inner is None or inner.kind != "selector_expression" or inner["field"].name != "Load":
        return False
    map_ = inner["operand"]
    if map_.kind != "selector_expression" or not is_named(decl.file.type_of(map_), "sync.Map"):
        return False
    asked = decl.file.binding(loads[0]["arguments"].children[0])
    owner = decl.file.binding(map_["operand"])
    if asked is None or owner is None or owner.kind != "receiver" or asked.kind != "parameter":
        return False
    passed = argument_of(call, decl.node, asked)
    same = function["operand"].text + b"." + map_["field"].text == stored
    return same and passed is given[0] and _hands_on(decl)


def _hands_on(decl: Decl) -> bool:
    """Return whether a helper returns what it has loaded, and nothing else: `v.(*session)`."""
    returns = [n for n in decl.node["body"].own() if n.kind == "return_statement"]
    values = [r.children[1].children[0] for r in returns if len(r.children) > 1]
    kinds = {v.kind for v in values}
    return kinds == {"nil", "type_assertion_expression"} and len(values) == len(returns)


def _is_made(file: GoFile, value: Node) -> bool:
    """Return whether a value is a new object: `&session{…}`, or a call that only returns one."""
    if value.kind == "unary_expression":
        return value["operator"].kind == "&" and value["operand"].kind == "composite_literal"
    decl = file.callee(value) if value.kind == "call_expression" else None
    body = decl.node.get("body") if decl is not None and decl.sound else None
    inside = body.statements if body is not None else []
    if decl is None or len(inside) != 1 or inside[0].kind != "return_statement":
        return False
    returned = inside[0].children[1].children if len(inside[0].children) > 1 else []
    return (
        len(returned) == 1
        and returned[0].kind == "unary_expression"
        and _is_made(decl.file, returned[0])
    )


def _has_life(file: GoFile, value: Node) -> bool:
    """Return whether an object changes once it is stored: by its methods, or by atomic steps."""
    type_ = file.type_of(value)
    named = deref(type_)
    if not isinstance(type_, Pointer) or not isinstance(named, Named):
        return False
    package = file.package.workspace.package_by_key(named.package)
    struct = file.underlying(named)
    if package is None or not isinstance(struct, Struct):
        return False
    decl = package.lookup(named.name)
    for field in decl.node.find("field_declaration") if decl is not None else ():
        held = deref(decl.file.type_from(field.get("type"))) if decl is not None else None
        if isinstance(held, Named) and held.package in _SYNC:
            return True
    return any(_changes(method) for some in package.methods(named.name).values() for method in some)


def _changes(method: Decl) -> bool:
    """Return whether a method changes a field of its object."""
    for node in method.node.own() if method.has_body and method.sound else ():
        if node.kind == "selector_expression" and node["operand"].kind == "identifier":
            owner = method.file.binding(node["operand"])
            if owner is not None and owner.kind == "receiver":
                if access_kind(method.file, node) in _WRITES:
                    return True
    return False


@with_reason
def _load_or_store(file: GoFile, store: Node, made: Node) -> Fix:
    key, value = store["arguments"].children
    if store.parent is None or has_close(file, value):
        raise BuilderError("what was made in vain would have to be closed")
    binding = file.binding(value)
    if binding is None or not is_assigned_once(binding):
        raise BuilderError(f"{value.name} is set again")
    type_ = spelled(file, file.type_of(value))
    if type_ is None:
        raise BuilderError("the type of what is stored is not known")
    kept, map_ = free_name("v", names_around(file, store)), store["function"]["operand"].name
    new = made["right"].children[0].name
    lines = (
        f"{kept}, _ := {map_}.LoadOrStore({key.name}, {new})",
        f"{value.name} := {kept}.({type_})",
    )
    edits = (*replace(made, "\n".join(lines)), *delete(store.parent))
    return Fix(f"Load or store {map_}", edits, Safety.UNSAFE, _REASON)
