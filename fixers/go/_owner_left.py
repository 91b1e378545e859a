"""Objects that hold the cancel function of their goroutine, and that no return hands over.

c := &conn{}
c.ctx, c.cancel = context.WithCancel(context.Background())
go c.read()
if err := c.greet(); err != nil {
    return nil, err            // nobody has c now, who could end c.read
}
return c, nil
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import BuilderError, insert_before
from threadmend.golang.contexts import Derivation
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Point, flow_of
from threadmend.golang.functions import result_nodes
from threadmend.golang.goroutines import Launch, innermost_loop, launches_in
from threadmend.golang.iterations import point_in
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, Struct, deref
from threadmend.model import Edit, Fix, Safety

__all__ = ["OwnerLeft", "Owners", "ended_elsewhere", "launch_with", "owner_left", "owners_of"]


@dataclass(frozen=True, slots=True)
class OwnerLeft:
    """An object's name, the field of its cancel function, and the returns without the object."""

    derivation: Derivation
    launch: Launch
    name: str
    field: str
    exits: tuple[Node, ...]

    def fix(self) -> Fix:
        """Cancel before each return that leaves the object; raises BuilderError.

        Sound: nobody else has the object there, so nobody could use its context any more
        except the goroutine that has to end.
        """
        edits: tuple[Edit, ...] = ()
        call = f"{self.name}.{self.field}{self.derivation.call_of_cancel}"
        for exit_ in self.exits:
            if any(n.name == self.name for n in exit_.find("identifier")):
                raise BuilderError("the return looks at the object")
            edits += insert_before(exit_, call)
        title = f"Call {self.name}.{self.field} before the return"
        return Fix(title, edits, Safety.UNSAFE, "the goroutine ends when its object is given up")


def owner_left(file: GoFile, derivation: Derivation) -> OwnerLeft | None:
    """Return where a function leaves an object of its own whose goroutine only it could end."""
    found, function = owners_of(file, derivation), derivation.call.function
    if found is None or function is None or innermost_loop(derivation.statement) is not None:
        return None
    owner, owners = found
    flow = flow_of(function)
    launch = launch_with(owner, launches_in(file, function), derivation.call.start)
    if launch is None or launch.function is not function or not flow.complete:
        return None
    if not _is_maker(owner, function, owners.type_):
        return None
    using: set[Point] = set()
    for use in owner.uses:
        if use is owner.node or launch.node.contains(use) or owners.stays(use):
            continue
        point = point_in(flow, use)
        if point is None or use.start < launch.node.start:
            return None
        using.add(point)
    start = flow.point_of(launch.node)
    if start is None or ended_elsewhere(owners, owner, launch, function):
        return None
    left = flow.exits_from(start, stop=using.__contains__)
    exits = tuple(e.node for e in left if e.kind == "return")
    return OwnerLeft(derivation, launch, owner.name, owners.field, exits) if exits else None


def owners_of(file: GoFile, derivation: Derivation) -> tuple[Binding, Owners] | None:
    """Return the variable of the object that keeps the cancel function, and what its type does."""
    held = _held(file, derivation)
    type_ = _type(file, held[0]) if held is not None else None
    if held is None or type_ is None or not is_assigned_once(held[0]):
        return None
    owner, field = held
    if owner.function is not derivation.call.function:
        return None
    return owner, Owners(file, type_, field, _closers(file, type_, field))


def _held(file: GoFile, derivation: Derivation) -> tuple[Binding, str] | None:
    """Return the local object that gets the cancel function, and in which field."""
    cancel = derivation.cancel
    if cancel.kind == "selector_expression":
        owner = file.binding(cancel["operand"])
        made = owner.value if owner is not None else None
        field = cancel["field"].name
    else:
        binding = file.binding(cancel)
        uses = [u for u in binding.uses if u is not binding.node] if binding is not None else []
        keyed = uses[0].up("keyed_element") if len(uses) == 1 else None
        if keyed is None or keyed["value"].text != cancel.text:
            return None
        made = keyed.up("composite_literal")
        statement = made.statement if made is not None else None
        if statement is None or statement.kind != "short_var_declaration":
            return None
        owner, field = file.binding(statement["left"].children[0]), keyed["key"].name
        if owner is None or owner.value is None or not owner.value.contains(keyed):
            return None
    if owner is None or made is None or not _MADE.match(made.text):
        return None
    return owner, field


_MADE = re.compile(rb"&?\w+(?:\[[\w., ]*\])?\{|new\(")


def _type(file: GoFile, owner: Binding) -> Named | None:
    type_ = deref(file.type_of(owner.node))
    if not isinstance(type_, Named) or type_.package != file.package.key or type_.local:
        return None
    return type_


def _is_maker(owner: Binding, function: Node, type_: Named) -> bool:
    """Return whether a function returns such an object: its callers would have to end it."""
    results = {r.text.lstrip(b"*") for r in result_nodes(function)}
    if type_.name.encode() in results:
        return True
    return any(u.up("return_statement") is not None and _is_bare(u) for u in owner.uses)


def launch_with(owner: Binding, launches: Iterator[Launch], after: int) -> Launch | None:
    """Return the first `go` statement below a place that an object goes to."""
    for launch in launches:
        if launch.kind == "go" and launch.node.start > after:
            if any(launch.node.contains(use) for use in owner.uses):
                return launch
    return None


def _is_bare(use: Node) -> bool:
    above = use.parent
    return above is None or above.kind != "selector_expression" or use.field != "operand"


@dataclass(frozen=True, slots=True)
class Owners:
    """The type of an object with a cancel function in a field, and what calls that."""

    file: GoFile
    type_: Named
    field: str
    closers: frozenset[str]

    def stays(self, use: Node) -> bool:
        """Return whether a use neither cancels nor lets others have the object."""
        above = use.parent
        if above is None or _is_bare(use):
            return False
        name, outer = above["field"].name, above.parent
        if name == self.field:
            return outer is not None and outer.field == "left"
        decls = self.file.package.methods(self.type_.name).get(name)
        if decls is None:
            return outer is None or outer.kind != "call_expression" or above.field != "function"
        called = outer is not None and outer.kind == "call_expression" and above.field == "function"
        return called and name not in self.closers and not any(map(_leaks_receiver, decls))

    def ends(self, root: Node, file: GoFile) -> bool:
        """Return whether code may cancel the context of such an object."""
        for node in root.find("selector_expression"):
            name = node["field"].name
            if name == self.field or name in self.closers:
                meant = file.selection(node)
                if meant is None or meant.owner is None or meant.owner in self.types:
                    return True
        return False

    @property
    def types(self) -> tuple[Named, ...]:
        """Return the object's type, and those of the package that are embedded in it."""
        return embedded_types(self.file, self.type_)


def _closers(file: GoFile, type_: Named, field: str) -> frozenset[str]:
    """Return the methods that look at the cancel function, and those that call them."""
    methods: dict[str, list[Decl]] = {}
    for part in embedded_types(file, type_):
        for name, decls in file.package.methods(part.name).items():
            methods[name] = [*methods.get(name, ()), *decls]
    found: frozenset[str] = frozenset()
    while True:
        owners = Owners(file, type_, field, found)
        more = {n for n, ds in methods.items() if any(owners.ends(d.node, d.file) for d in ds)}
        if more <= found:
            return found
        found |= more


def embedded_types(file: GoFile, type_: Named) -> tuple[Named, ...]:
    """Return a type and those of its package that are embedded in it: their methods are its own."""
    found = [type_]
    for part in found:
        struct = file.underlying(part)
        for field in struct.node.find("field_declaration") if isinstance(struct, Struct) else ():
            inner = deref(file.type_from(field["type"])) if not field.all("name") else None
            if isinstance(inner, Named) and inner.package == type_.package and inner not in found:
                found.append(inner)
    return tuple(found)


def ended_elsewhere(owners: Owners, owner: Binding, launch: Launch, function: Node) -> bool:
    """Return whether the goroutine may end itself, or somebody whom it gives the object to."""
    bodies = list(_run(owners, launch))
    if any(owners.ends(node, file) for file, node in bodies):
        return True
    given = any(launch.node.contains(u) and _is_bare(u) for u in owner.uses)
    if not given and not any(_leaks_receiver(d) for d in _methods_in(owners, bodies)):
        return False
    methods = [d.node for m in owners.closers for d in _decls(owners, m)]
    for file in owners.file.package.files:
        for name in owners.closers:
            for call in file.calls(name):
                inside = any(m.contains(call) for m in methods if m.path == call.path)
                if not inside and not function.contains(call) and owners.ends(call, file):
                    return True
    return False


def _run(owners: Owners, launch: Launch) -> Iterator[tuple[GoFile, Node]]:
    """Yield what a goroutine runs: its body, and the object's own methods from there."""
    workspace = owners.file.package.workspace
    todo: list[tuple[GoFile, Node]] = [(owners.file, launch.node)]
    if launch.body is not None:
        todo.append((workspace.file_of(launch.body), launch.body))
    seen: set[Node] = set()
    while todo:
        file, node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        yield file, node
        for call in node.find("call_expression"):
            decl = file.callee(call)
            if decl is not None and decl.kind == "method" and decl.receiver == owners.type_.name:
                todo.append((decl.file, decl.node))


def _decls(owners: Owners, name: str) -> list[Decl]:
    return owners.file.package.methods(owners.type_.name).get(name, [])


def _methods_in(owners: Owners, bodies: list[tuple[GoFile, Node]]) -> Iterator[Decl]:
    nodes = {node for _, node in bodies}
    for decls in owners.file.package.methods(owners.type_.name).values():
        yield from (d for d in decls if d.node in nodes)


def _leaks_receiver(method: Decl) -> bool:
    """Return whether a method gives its object to others: names it other than for a field."""
    receivers = method.node["receiver"].find("identifier")
    receiver = next((method.file.binding(n) for n in receivers), None)
    if receiver is None:
        return False
    return any(_is_bare(use) for use in receiver.uses if use is not receiver.node)
