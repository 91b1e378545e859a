"""What go/mixed-atomic asks: do a plain access and an atomic one touch the same variable?

type Cache struct { st stats.Counters }

func (c *Cache) Get() { c.st.Hit() }                    // atomic.AddInt64(&s.hits, 1)
func (c *Cache) Rate() float64 { return … c.st.Hits }    // the same
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import access_of, is_assigned_once, lock_class, uses_of
from threadmend.golang.atomics import AtomicAccess
from threadmend.golang.calls import code_files, leaf_at, occurrences
from threadmend.golang.field_accesses import FieldAccess
from threadmend.golang.file import GoFile
from threadmend.golang.functions import outer_function
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.targets import stored_values
from threadmend.golang.types import Named, Pointer, Struct, deref

__all__ = [
    "changing",
    "is_called_upon",
    "is_kept_by_receiver",
    "is_merged",
    "is_of_result",
    "is_part_of_receiver",
    "is_same_place",
]


def changing(atomics: list[AtomicAccess]) -> list[AtomicAccess]:
    """Return the atomic accesses that write; all where none does."""
    return [a for a in atomics if a.writes] or atomics


def is_merged(atomic: AtomicAccess) -> bool:
    """Return whether an addition is that of the same field of another object, read plainly.

    `atomic.AddInt64(&d.Keys, other.Keys)`: objects of the type come finished, and only the one
    that sums them up is changed by several. Which of them a plain access meets cannot be told.
    """
    target, arguments = atomic.target, atomic.call["arguments"].children
    if atomic.operation != "Add" or target.kind != "selector_expression":
        return False
    for node in arguments[-1].find("selector_expression"):
        operand = node["operand"]
        binding = atomic.file.binding(operand) if operand.kind == "identifier" else None
        if node["field"].name == target["field"].name and binding is not None:
            if binding.kind == "parameter" and operand.text != target["operand"].text:
                ours, theirs = atomic.file.type_of(target["operand"]), atomic.file.type_of(operand)
                return str(deref(ours)) == str(deref(theirs))
    return False


def is_of_result(plain: FieldAccess) -> bool:
    """Return whether the field is that of a struct which a call returned by value: a copy."""
    node = plain.node
    while node.kind in {"selector_expression", "index_expression", "parenthesized_expression"}:
        node = node.get("operand") or node.children[0]
        if not isinstance(plain.file.underlying(plain.file.type_of(node)), Struct):
            return False
        if node.kind == "call_expression":
            return True
    return False


def is_part_of_receiver(plain: FieldAccess) -> bool:
    """Return whether the field lies in the method's own object: `c.stats.hits`, by no pointer.

    Also where a local name stands for a part: `s := &c.stats`.
    """
    root = plain.base.root if plain.base is not None else None
    if not isinstance(root, Binding) or root.kind != "receiver":
        return False
    operand = plain.node["operand"]
    name = plain.file.binding(operand) if operand.kind == "identifier" else None
    if name is not None and name is not root:
        part = _address_in(name)
        if part is None:
            return False
        operand = part
    while operand.kind == "selector_expression":
        if not isinstance(plain.file.underlying(plain.file.type_of(operand)), Struct):
            return False
        operand = operand["operand"]
    return operand.kind == "identifier"


def is_kept_by_receiver(plain: FieldAccess) -> bool:
    """Return whether the field is that of an object which the method's own one leads to.

    `for _, b := range s.backends { … b.load … }`, a list of pointers: who has `s` has them, too.
    """
    operand = plain.node["operand"] if plain.node.kind == "selector_expression" else None
    binding = plain.file.binding(operand) if operand is not None else None
    if operand is None or binding is None:
        return False
    if not isinstance(plain.file.type_of(operand), Pointer):
        return False
    return _is_led_to(plain.file, binding, frozenset())


def _is_led_to(file: GoFile, binding: Binding, seen: frozenset[Binding]) -> bool:
    """Return whether all that a variable is ever given comes out of lists and maps of the method's
    own object. What it has in a single field may be another thing altogether than what is
    counted: `s.last`, a copy that is finished, beside `s.current`.
    """
    values = _sources(binding)
    if not values or binding in seen or len(seen) > _VARIABLES:
        return False
    for value in values:
        node = value
        while node.kind in {"index_expression", "slice_expression", "selector_expression"}:
            node = node["operand"]
        root = file.binding(node) if node.kind == "identifier" else None
        if root is None:
            return False
        if root.kind == "receiver":
            listed = binding.kind == "range" or value.kind in {
                "index_expression",
                "slice_expression",
            }
            if node is value or not listed or not is_assigned_once(root):
                return False
        elif root is not binding and not _is_led_to(file, root, seen | {binding}):
            return False
    return True


_VARIABLES = 3


def _sources(binding: Binding) -> list[Node]:
    """Return what a variable is ever given: the list of its loop, or all that is assigned."""
    declaration = binding.declaration
    if binding.kind == "range" and declaration.kind == "range_clause" and binding.index == 1:
        return [declaration["right"]] if is_assigned_once(binding) else []
    given = declaration.get("right") or declaration.get("value")
    if binding.kind != "variable" or given is None or binding.index >= len(given.children):
        return []
    found = [given.children[binding.index]]
    for use in uses_of(binding):
        if use.kind == "update":
            return []
        if use.kind == "write":
            group, statement = use.node.parent, use.node.statement
            if group is None or statement is None or group.parent is not statement:
                return []
            values = statement["right"].children
            at = next((i for i, c in enumerate(group.children) if c is use.node), len(values))
            if group.field != "left" or at >= len(values) or len(values) != len(group.children):
                return []
            found.append(values[at])
    return found


def _address_in(variable: Binding) -> Node | None:
    """Return `c.stats` of a variable that is `&c.stats` from beginning to end."""
    right = variable.declaration.get("right")
    values = right.children if right is not None else []
    if variable.index >= len(values) or not is_assigned_once(variable):
        return None
    value = values[variable.index]
    if value.kind != "unary_expression" or value["operator"].kind != "&":
        return None
    return value["operand"] if value["operand"].kind == "selector_expression" else None


def is_same_place(plain: FieldAccess, atomic: AtomicAccess) -> bool:
    """Return whether both reach the variable by the same fields from the same type.

    A struct that several others embed or hold has an instance in each of them.
    """
    if plain.base is None:
        return True
    base = access_of(atomic.file, atomic.target)
    if base is None:
        return False
    if base.steps[:-1] != plain.base.steps:
        if _leads_to_maker(plain, atomic):
            return True
        return _is_held_once(plain) or is_called_upon(plain, [atomic])
    ours, theirs = plain.base.root, base.root
    if isinstance(ours, Binding) and isinstance(theirs, Binding):
        return _type_name(plain.file, ours) == _type_name(atomic.file, theirs)
    return ours == theirs


def _leads_to_maker(plain: FieldAccess, atomic: AtomicAccess) -> bool:
    """Return whether the atomic access goes to the object that made the one it begins with.

    `func (m *Meter) Wrap(c net.Conn) *Conn { return &Conn{c, meter: m} }`, and all that is ever
    stored in the field is the receiver of such a method: `c.meter.in` is the `m.in` of the others.
    """
    operand = atomic.target["operand"] if atomic.target.kind == "selector_expression" else None
    root = plain.base.root if plain.base is not None and not plain.base.steps else None
    if operand is None or not isinstance(root, Binding) or root.kind != "receiver":
        return False
    type_, selection = atomic.file.type_of(operand), atomic.file.selection(operand)
    owner = deref(selection.owner) if selection is not None else None
    if not isinstance(type_, Pointer) or not isinstance(owner, Named) or selection is None:
        return False
    package = atomic.file.package
    if selection.kind != "field" or owner.local or owner.package != package.path:
        return False
    given = [file.binding(v) for file, v in stored_values(package, owner, selection.name)]
    own = _type_name(plain.file, root)
    return bool(given) and all(
        b is not None and b.kind == "receiver" and _type_name(plain.file, b) == own for b in given
    )


def _is_held_once(plain: FieldAccess) -> bool:
    """Return whether one field of the package is all that ever holds the struct of a field.

    So that whatever path leads to it, it is the same place of the same kind of object.
    """
    owner = deref(plain.file.type_of(plain.node["operand"]))
    if not isinstance(owner, Named) or owner.name[:1].isupper():
        return False
    package = plain.file.package
    known: dict[str, bool] = package.facts.setdefault("held once", {})
    if owner.name not in known:
        mentions = [m for f in code_files(package) for m in _mentions(f, owner.name.encode())]
        fields = [m for m in mentions if m.parent is not None and m.field == "type"]
        known[owner.name] = len(mentions) == 1 and any(
            m.parent is not None and m.parent.kind == "field_declaration" for m in fields
        )
    return known[owner.name]


def _mentions(file: GoFile, name: bytes) -> Iterator[Node]:
    """Yield where a type is named, its own declaration and the receivers of its methods apart."""
    for at in occurrences(file.data, name):
        declaration = file.tree.declaration_at(at)
        leaf = leaf_at(declaration, at) if declaration is not None else None
        if leaf is None or leaf.kind != "type_identifier":
            continue
        outer = leaf.up("parameter_declaration")
        listed = outer.parent if outer is not None else None
        if leaf.field != "name" and not (listed is not None and listed.field == "receiver"):
            yield leaf


def _type_name(file: GoFile, binding: Binding) -> str:
    type_ = deref(file.package.workspace.inference.binding_type(binding))
    return f"{type_.package}.{type_.name}" if isinstance(type_, Named) else str(type_)


def is_called_upon(plain: FieldAccess, atomics: list[AtomicAccess]) -> bool:
    """Return whether a method with an atomic access is called upon the very field, somewhere.

    The struct lies in a field of the method's object, and the package of the plain access calls
    the method through that field.
    """
    operand = plain.node["operand"] if plain.node.kind == "selector_expression" else None
    root = plain.base.root if plain.base is not None else None
    if operand is None or operand.kind != "selector_expression":
        return False
    if not isinstance(root, Binding) or root.kind != "receiver":
        return False
    holder = lock_class(plain.file, operand)
    names = {name for a in atomics if (name := _method_on_itself(a)) is not None}
    return holder is not None and any(_is_called(plain, name, holder) for name in names)


def _method_on_itself(atomic: AtomicAccess) -> str | None:
    """Return the method around an access of its own receiver's field."""
    function = outer_function(atomic.call)
    base = access_of(atomic.file, atomic.target)
    if function is None or function.kind != "method_declaration" or base is None:
        return None
    own = isinstance(base.root, Binding) and base.root.kind == "receiver" and len(base.steps) == 1
    return function["name"].name if own else None


def _is_called(plain: FieldAccess, name: str, holder: str) -> bool:
    for file in code_files(plain.file.package):
        for call in file.calls(name):
            function = call["function"]
            if function.kind == "selector_expression":
                if lock_class(file, function["operand"]) == holder:
                    return True
    return False
