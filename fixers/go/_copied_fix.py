"""How `mutex-copied` and `waitgroup-by-value` make a pointer of each kind of copy."""

from __future__ import annotations

from threadmend.golang.builders.pointer_places import (
    elements_to_pointers,
    field_to_pointer,
    owner_of,
    range_by_index,
    variable_to_pointer,
)
from threadmend.golang.builders.pointer_results import result_to_pointer
from threadmend.golang.builders.pointer_signatures import parameter_to_pointer, receiver_to_pointer
from threadmend.golang.builders.pointers import CannotFollow, Rewrite, pointer_to
from threadmend.golang.copies import Copy, is_interface, target_type
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import Struct, is_named
from threadmend.model import Edit

__all__ = ["fix_of", "function_name", "target_name"]


def fix_of(file: GoFile, copy: Copy) -> tuple[str, Rewrite]:
    """Return a fix's title and edits; raises CannotFollow when a use cannot follow."""
    if len(copy.locks) > 1 and type(copy.type).__name__ == "TypeParam":
        raise CannotFollow("the type is a type parameter")
    if copy.kind == "receiver":
        name = function_name(copy.holder)
        return f"Make the receiver of {name} a pointer", receiver_to_pointer(file, copy.holder)
    if copy.kind == "parameter":
        given = [n.name for n in copy.holder.all("name") if n.text != b"_"]
        names = " and ".join(given) or f"the {copy.node.name}"
        return f"Pass {names} by pointer", parameter_to_pointer(file, copy.holder)
    if copy.kind == "range":
        title = f"Range over {copy.holder['right'].name} by index"
        return title, range_by_index(file, copy.holder, copy.node)
    target = target_type(file, copy.kind, copy.holder, copy.index, copy.type)
    if is_interface(file, target):
        return _interface(file, copy)
    if copy.kind == "result":
        function = copy.holder.function
        assert function is not None
        title = f"Return a pointer from {function_name(copy.node)}"
        return title, result_to_pointer(file, function, copy.index)
    if copy.kind == "assignment":
        return _assignment(file, copy)
    if copy.kind == "element":
        return _element(file, copy)
    if copy.kind == "send":
        raise CannotFollow("the channel has to carry pointers, wherever it is used")
    call = copy.holder.parent
    if call is not None and call["function"].text == b"append":
        raise CannotFollow("the slice holds values; it would have to hold pointers everywhere")
    raise CannotFollow("the parameter takes a value, and its function cannot be changed here")


def _interface(file: GoFile, copy: Copy) -> tuple[str, Rewrite]:
    """Put a pointer into the interface: it has every method that the value has."""
    call = copy.holder.parent
    if copy.kind == "argument" and call is not None and not _only_reads(file, call):
        raise CannotFollow("what the callee does with the value in the interface is not known")
    if is_named(copy.type, *_LOADED) and copy.node.kind != "unary_expression":
        end = copy.node.end
        loaded = Rewrite(edits=[Edit(file.path, end, end, b".Load()")])
        loaded.reasons.append("the interface then holds what is stored in the atomic value")
        return f"Load {copy.node.name}", loaded
    rewrite = Rewrite(edits=[pointer_to(file, copy.node)])
    rewrite.reasons.append("the interface then holds a pointer, which prints and compares as one")
    return f"Use a pointer to {copy.node.name}", rewrite


_LOADED = tuple(
    f"sync/atomic.{name}"
    for name in ("Bool", "Int32", "Int64", "Uint32", "Uint64", "Uintptr", "Value", "Pointer")
)
_READERS = frozenset({"fmt", "log", "encoding/json", "encoding/xml", "encoding/gob"})


def _only_reads(file: GoFile, call: Node) -> bool:
    """Return whether a call prints or encodes: pointers to structs do as well as structs."""
    decl = file.callee(call)
    return decl is not None and decl.file.package.path in _READERS


def _assignment(file: GoFile, copy: Copy) -> tuple[str, Rewrite]:
    holder = copy.holder
    if holder.kind == "assignment_statement" and copy.index < len(holder["left"].children):
        place = holder["left"].children[copy.index]
        if place.kind == "selector_expression":
            selection = file.selection(place)
            owner = owner_of(file, selection.owner) if selection is not None else None
            if owner is not None and selection is not None and selection.kind == "field":
                name = place["field"].name
                rewrite = field_to_pointer(file, owner, name)
                return f"Make the field {owner.name}.{name} a pointer", rewrite
    title = f"Let {target_name(copy)} point to {copy.node.name}"
    return title, variable_to_pointer(file, holder, copy.index, copy.node)


def _element(file: GoFile, copy: Copy) -> tuple[str, Rewrite]:
    parent = copy.holder.parent
    keyed = parent is not None and parent.kind == "keyed_element"
    literal = parent.parent if keyed and parent is not None else parent
    assert parent is not None
    assert literal is not None
    whole = file.type_of(literal)
    if not isinstance(file.underlying(whole), Struct):
        return "Store pointers", elements_to_pointers(file, literal)
    owner = owner_of(file, whole)
    if owner is None or not keyed:
        raise CannotFollow("the struct is not declared here, or its fields are not named")
    name = parent["key"].name
    return f"Make the field {owner.name}.{name} a pointer", field_to_pointer(file, owner, name)


def function_name(node: Node) -> str:
    """Return the name of the function around a node."""
    function: Node | None = node
    while function is not None and function.kind not in FUNCTIONS:
        function = function.parent
    name = function.get("name") if function is not None else None
    return name.name if name is not None else "a function literal"


def target_name(copy: Copy) -> str:
    """Return the variable or place that an assignment's copy goes to."""
    if copy.holder.kind == "var_spec":
        names = copy.holder.all("name")
    else:
        names = copy.holder["left"].children
    return names[copy.index].name if copy.index < len(names) else "the variable"
