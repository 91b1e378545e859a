"""Escapes: references to what a lock guards that a function returns to its caller, or sends.

    func (s *S) Items() []T { s.mu.Lock(); defer s.mu.Unlock(); return s.items }

The reference is read while the lock is held, at the return or earlier into a variable, and
the function itself releases the lock. Whether anybody changes what it refers to is another
question (`mutations`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from threadmend.golang.access import (
    Access,
    Root,
    access_of,
    classify,
    is_assigned_once,
    lock_class,
    uses_of,
)
from threadmend.golang.functions import only_returned
from threadmend.golang.holding import holding_of
from threadmend.golang.lock_helpers import net_acquires
from threadmend.golang.locks import Held, Locks, held_inside, locks_of
from threadmend.golang.mutations import last_name
from threadmend.golang.node import bare
from threadmend.golang.scope import Binding, bindings_in
from threadmend.golang.setup import is_made_here
from threadmend.golang.syntax import Node
from threadmend.golang.types import Array, Map, Named, Pointer, Slice, Struct, Type

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["Escape", "escapes"]

_PATHS = frozenset({"selector_expression", "index_expression", "identifier"})


@dataclass(frozen=True, slots=True)
class Escape:
    """One reference that leaves a function by a return statement, or by a send.

    `value` is the returned expression (None for a named result in a bare return), `index`
    its position; `source` the expression read under `lock`; `container` the class of the
    slice, map or struct that it refers to and `name` its last field. `kind` is `reference`
    (a slice or map), `pointer` (`&s.field`) or `struct` (a copy that may hold references).
    `capture` is the statement that reads it into the local `variable`; `held`: the lock is
    still held at the return; `part`: `source` is an element of a struct literal, or assigned
    to a field of the variable.
    """

    function: Node
    statement: Node
    index: int
    value: Node | None
    source: Node
    kind: str
    container: str
    name: str
    access: Access
    type: Type | None
    lock: Held
    capture: Node | None
    variable: Binding | None
    held: bool
    part: bool

    @property
    def is_sent(self) -> bool:
        """Return whether it leaves by a send."""
        return self.statement.kind == "send_statement"


@dataclass(frozen=True, slots=True)
class _Shape:
    """What one expression (`node`) refers to; `part`: it stands inside a composite literal."""

    node: Node
    kind: str
    container: str
    name: str
    access: Access
    type: Type | None
    part: bool = False


def escapes(file: GoFile, function: Node) -> Iterator[Escape]:
    """Yield the references to guarded state that a function or method returns, or sends."""
    locks = locks_of(file, function)
    returns = function.get("result") is not None
    if not returns and b"<-" not in function.text:
        return
    if not locks.operations and not net_acquires(file.package):
        return
    released = _released(file, locks)
    if not released:
        return
    for statement in function.own():
        found: Iterable[tuple[int, Node | None, Binding | None]] = ()
        if statement.kind == "return_statement" and returns:
            found = _results(file, function, statement)
        elif statement.kind == "send_statement":
            found = [(0, statement["value"], file.binding(bare(statement["value"])))]
        for index, value, binding in found:
            for escape in _at(file, locks, statement, index, value, binding):
                if escape.lock.access in released:
                    yield escape


def _released(file: GoFile, locks: Locks) -> set[Access | None]:
    """Return the locks that the function gives back, in deferred literals too."""
    bodies = [locks.function, *locks.function.find("func_literal")]
    found: set[Access | None] = set()
    for body in bodies:
        found.update(o.access for o in locks_of(file, body).operations if o.releases)
    return found | holding_of(file, locks.function).given_back


def _results(
    file: GoFile, function: Node, statement: Node
) -> Iterator[tuple[int, Node | None, Binding | None]]:
    """Yield (position, expression, local variable) for what a return statement returns."""
    if len(statement.children) > 1:
        for index, value in enumerate(statement.children[-1].children):
            inner = bare(value)
            if inner.kind == "slice_expression" or _is_address(inner):
                inner = bare(inner["operand"])
            yield index, value, file.binding(inner)
        return
    named = [b for group in bindings_in(function).values() for b in group if b.kind == "result"]
    for index, binding in enumerate(sorted(named, key=lambda b: b.node.start)):
        yield index, None, binding


def _at(
    file: GoFile,
    locks: Locks,
    statement: Node,
    index: int,
    value: Node | None,
    binding: Binding | None,
) -> Iterator[Escape]:
    at_return = held_inside(file, value or statement)
    if binding is None or not binding.is_variable:
        for shape in _shapes(file, value):
            lock = _guarding(file, shape, at_return, statement)
            if lock is not None:
                yield _escape(locks, statement, index, value, shape, lock, None, None, True)
        return
    if binding.kind in {"parameter", "receiver"}:
        return
    for capture, source, part in _captures(binding):
        for found in _shapes(file, source):
            shape = replace(found, part=found.part or part)
            if part and shape.kind != "reference":
                continue
            if value is not None and _is_address(bare(value)) and shape.kind != "struct":
                continue  # `&items`: the caller gets the variable
            lock = _guarding(file, shape, held_inside(file, source), statement)
            if lock is None or not _reaches(locks, capture, statement, binding):
                continue
            held = any(h.access == lock.access for h in at_return)
            yield _escape(locks, statement, index, value, shape, lock, capture, binding, held)


def _escape(
    locks: Locks,
    statement: Node,
    index: int,
    value: Node | None,
    shape: _Shape,
    lock: Held,
    capture: Node | None,
    binding: Binding | None,
    held: bool,
) -> Escape:
    return Escape(
        locks.function,
        statement,
        index,
        value,
        shape.node,
        shape.kind,
        shape.container,
        shape.name,
        shape.access,
        shape.type,
        lock,
        capture,
        binding,
        held,
        shape.part,
    )


def _captures(binding: Binding) -> Iterator[tuple[Node, Node, bool]]:
    """Yield (statement, value, whether to a field) for each assignment of a local variable."""
    for use in uses_of(binding):
        part = use.kind == "store"
        if use.kind not in {"declare", "write", "store"}:
            continue
        name = use.target
        if part and name.kind != "selector_expression":
            continue
        targets = name.parent
        statement = targets.parent if targets is not None else None
        if targets is None or statement is None:
            continue
        if targets.kind == "var_spec":
            statement, targets = targets, targets
            names: list[Node] = targets.all("name")
        elif targets.kind == "expression_list":
            names = targets.children
        else:
            continue
        values = statement.get("right") or statement.get("value")
        if values is None or values.kind != "expression_list" or name not in names:
            continue
        index = names.index(name)
        if len(values.children) == len(names):
            yield statement, values.children[index], part
        elif (
            index == 0
            and use.kind != "store"
            and bare(values.children[0]).kind == "index_expression"
        ):
            yield statement, values.children[0], False  # v, ok := s.m[k]


def _reaches(locks: Locks, capture: Node, statement: Node, binding: Binding) -> bool:
    """Return whether the value captured may be the one returned."""
    flow = locks.flow
    start, end = flow.point_of(capture), flow.point_of(statement)
    if start is None or end is None:
        return False
    others = {
        point
        for use in binding.uses
        if classify(use, binding).kind == "write"
        if (point := flow.point_of(use)) is not None and point is not start
    }
    return end in flow.reachable(start, stop=lambda p: p in others)


def _guarding(file: GoFile, shape: _Shape, held: frozenset[Held], statement: Node) -> Held | None:
    """Return the lock that is held of the same object, or of the one in which the function found
    it (`e := s.entries[id]`), or a package-level one.
    """
    roots = {shape.access.root, _found_in(file, shape.access.root)}
    for lock in sorted(held, key=lambda h: str(h.lock_class)):
        if not isinstance(lock.access.root, Binding) or lock.access.root in roots:
            if not is_made_here(file, statement, shape.access):
                return lock
    return None


def _found_in(file: GoFile, root: Root) -> Root | None:
    """Return the variable in whose map or slice a function has found what a local stands for."""
    if not isinstance(root, Binding) or not is_assigned_once(root):
        return None
    place: Node | None = None
    if root.kind == "range" and root.index == 1:
        place = root.declaration["right"]
    elif root.kind == "variable" and root.index == 0 and len(root.values) == 1:
        value = bare(root.values[0])
        place = value if value.kind == "index_expression" else None
    access = access_of(file, place) if place is not None else None
    if place is None or access is None or not access.steps or _is_taken_out(root, place):
        return None
    return access.root


def _is_taken_out(found: Binding, place: Node) -> bool:
    """Return whether a function changes the map or slice in which it has found an element.

    `b := s.boxes[id]; delete(s.boxes, id)`: whoever gets it is the only one who has it.
    """
    container = (place["operand"] if place.kind == "index_expression" else place).text
    for node in found.function.own() if found.function is not None else ():
        if node.kind == "call_expression" and node["function"].text in {b"delete", b"clear"}:
            if node["arguments"].children[0].text == container:
                return True
        if node.kind == "assignment_statement" and any(
            t.text == container or (t.kind == "index_expression" and t["operand"].text == container)
            for t in node["left"].children
        ):
            return True
    return False


def _shapes(file: GoFile, node: Node | None) -> Iterator[_Shape]:
    """Yield what an expression refers to: itself, or the elements of a struct literal."""
    if node is None:
        return
    literal = bare(node)
    if literal.kind == "unary_expression" and literal["operator"].kind == "&":
        literal = bare(literal["operand"])
    if literal.kind != "composite_literal":
        shape = _shape(file, node)
        if shape is not None:
            yield shape
        elif literal.kind == "call_expression":
            yield from _of_view(file, literal)
        return
    for element in literal["body"].children:
        value = element.get("value") or element
        while value.kind == "literal_element" and value.children:
            value = value.children[0]
        for shape in _shapes(file, value):
            if shape.kind == "reference":
                yield replace(shape, part=True)


def _of_view(file: GoFile, call: Node) -> Iterator[_Shape]:
    """Yield what a method of the same object puts into the literal that is all it returns.

    `return s.view()` under the lock, and `func (s *S) view() View { return View{s.counts} }`.
    """
    decl, function = file.callee(call), call["function"]
    if decl is None or decl.kind != "method" or function.kind != "selector_expression":
        return
    if not decl.sound or decl.exported or decl.file.package is not file.package:
        return
    value, base = only_returned(decl.node), access_of(file, function["operand"])
    if value is None or base is None or bare(value).kind == "call_expression":
        return
    for shape in _shapes(decl.file, value):
        root = shape.access.root
        if shape.part and isinstance(root, Binding) and root.kind == "receiver":
            yield replace(shape, access=Access(base.root, base.steps + shape.access.steps))


def _shape(file: GoFile, node: Node, depth: int = 2) -> _Shape | None:
    """Return what an expression refers to, None for what is no reference to a path."""
    node = bare(node)
    kind = node.kind
    if kind == "slice_expression":
        return _path(file, node, bare(node["operand"]), "reference")
    if kind == "unary_expression" and node["operator"].kind == "&":
        return _path(file, node, bare(node["operand"]), "pointer")
    if kind in _PATHS:
        return _path(file, node, node, "reference")
    if kind == "unary_expression" and node["operator"].kind == "*":
        return _pointee(file, node)
    if kind == "type_conversion_expression":
        return None if _is_copied(file, node) else _shape(file, node["operand"], depth)
    if kind == "call_expression" and depth > 0:
        return _call(file, node, depth)
    return None


def _is_copied(file: GoFile, conversion: Node) -> bool:
    """Return whether a conversion makes something new: `string(b.data)`, `[4]byte(b.data)`."""
    under = file.underlying(file.type_of(conversion))
    return isinstance(under, Array) or (isinstance(under, Named) and not under.package)


def _path(file: GoFile, node: Node, container: Node, kind: str) -> _Shape | None:
    if container.kind not in _PATHS:
        return None
    type_ = file.type_of(node)
    under = file.underlying(type_)
    if kind == "pointer":
        if container.kind == "identifier":
            return None
    elif isinstance(under, Struct):
        kind = "struct"
    elif not isinstance(under, Slice | Map):
        return None
    operand = file.underlying(file.type_of(container))
    if isinstance(operand, Pointer) and not isinstance(operand.elem, Array):
        return None
    access = access_of(file, container)
    found = lock_class(file, container)
    if access is None or found is None:
        return None
    if isinstance(access.root, Binding) and not access.steps:
        return None  # a local variable itself
    return _Shape(node, kind, found, last_name(container), access, type_)


def _pointee(file: GoFile, node: Node) -> _Shape | None:
    """Return the struct that a pointer leads to, copied: `b := s.boxes[id]; return *b`."""
    pointer, type_ = bare(node["operand"]), file.type_of(node)
    access = access_of(file, pointer) if pointer.kind in _PATHS else None
    if access is None or not isinstance(file.underlying(type_), Struct):
        return None
    if isinstance(access.root, Binding) and not access.steps and access.root.kind == "receiver":
        return None  # with its lock
    return _Shape(node, "struct", str(type_), last_name(pointer), access, type_)


def _is_address(node: Node) -> bool:
    return node.kind == "unary_expression" and node["operator"].kind == "&"


def _call(file: GoFile, call: Node, depth: int) -> _Shape | None:
    """Look through a conversion, and a method of the same object that only returns a field."""
    function = call["function"]
    arguments = call["arguments"].children
    if len(arguments) == 1 and file.package.workspace.inference.calls.type_named_by(function):
        return None if _is_copied(file, call) else _shape(file, arguments[0], depth)
    decl = file.callee(call)
    if decl is None or decl.kind != "method" or function.kind != "selector_expression":
        return None
    value = only_returned(decl.node) if decl.sound else None
    if value is None:
        return None
    shape = _shape(decl.file, value, depth - 1)
    base = access_of(file, function["operand"])
    if shape is None or base is None or shape.kind != "reference":
        return None
    root = shape.access.root
    if isinstance(root, Binding) and root.kind != "receiver":
        return None
    access = shape.access
    if isinstance(root, Binding):
        access = Access(base.root, base.steps + access.steps)
    return _Shape(call, shape.kind, shape.container, shape.name, access, shape.type)
