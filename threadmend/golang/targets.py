"""Targets: which bodies a call may run, through values, fields, parameters and interfaces.

One candidate is certain (`Targets.certain`) when nothing else can be meant: a declaration, a
literal that a variable keeps, the only function ever stored in a field, passed for a
parameter of a function that only the project calls, or returned by a function; or the only
type of the workspace that implements an interface. More than one candidate: all of them
count for what *may* happen, none for what *must*.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from threadmend.golang.access import is_assigned_once
from threadmend.golang.calls import callers, code_files
from threadmend.golang.functions import call_of
from threadmend.golang.literal_fields import may_assign, may_key, values_by_place
from threadmend.golang.locks import declaration_of
from threadmend.golang.node import bare
from threadmend.golang.scope import Binding, position_of
from threadmend.golang.syntax import Node
from threadmend.golang.types import (
    Array,
    Chan,
    Func,
    Interface,
    Map,
    Named,
    Pointer,
    Slice,
    Struct,
    deref,
)
from threadmend.golang.uses import is_api

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package
    from threadmend.golang.workspace import Workspace

__all__ = [
    "Body",
    "Targets",
    "bodies_of_value",
    "implementations",
    "stored_values",
    "targets",
]

_DEPTH = 4  # variables, fields, parameters and results that a function value comes through
_MOST = 12  # candidates; with more, a call may do anything


@dataclass(frozen=True, slots=True)
class Body:
    """A function, method or literal that a call may run.

    `bound`: the method value, `s.flush`, that it is called by, and the file in which that stands.
    """

    file: GoFile
    node: Node
    decl: Decl | None = None
    bound: tuple[GoFile, Node] | None = None


@dataclass(frozen=True, slots=True)
class Targets:
    """The bodies that a call may run; `complete`: there is no other one."""

    bodies: tuple[Body, ...]
    complete: bool

    @property
    def certain(self) -> Body | None:
        """Return the one body that the call runs, if there is exactly one."""
        return self.bodies[0] if self.complete and len(self.bodies) == 1 else None


_NONE = Targets((), False)


def targets(file: GoFile, call: Node, depth: int = _DEPTH) -> Targets:
    """Return the bodies that a call may run."""
    return bodies_of_value(file, bare(call["function"]), depth)


def bodies_of_value(file: GoFile, value: Node, depth: int = _DEPTH) -> Targets:
    """Return the bodies that a function value may stand for."""
    known: dict[tuple[Node, int], Targets] = file.package.facts.setdefault("targets", {})
    key = (value, depth)
    if key not in known:
        known[key] = _NONE  # a value that needs itself is unknown
        known[key] = _bodies(file, value, depth)
    return known[key]


def _bodies(file: GoFile, value: Node, depth: int) -> Targets:
    value = bare(value)
    if value.kind == "func_literal":
        return Targets((Body(file, value),), True)
    if value.kind in {"index_expression", "type_instantiation_expression"}:
        value = value.children[0]
    decl = file.package.workspace.inference.function_decl(value)
    if decl is not None:
        if decl.sound and decl.node.get("body") is not None:
            return Targets((Body(decl.file, decl.node, decl, _bound(file, value, decl)),), True)
        return _NONE
    if value.kind == "identifier":
        binding = file.binding(value)
        if binding is None or depth == 0:
            return _NONE
        if binding.kind == "parameter":
            return _of_parameter(file, binding, depth - 1)
        return _of_variable(file, binding, depth - 1)
    if value.kind == "selector_expression":
        return _of_selector(file, value, depth)
    if value.kind == "call_expression" and depth:
        converted = file.package.workspace.inference.calls.converted(value)
        if converted is not None:  # `http.HandlerFunc(f)` is f
            return bodies_of_value(file, converted, depth)
        return _of_result(file, value, depth - 1)
    return _NONE


def _bound(file: GoFile, value: Node, decl: Decl) -> tuple[GoFile, Node] | None:
    """Return the method value that a value is, with its object, if it is one."""
    if decl.kind != "method" or value.kind != "selector_expression":
        return None
    return file, value


def _of_result(file: GoFile, call: Node, depth: int) -> Targets:
    """The function that a call returns: `s.stop = s.watch()`; one that does nothing is none."""
    if not isinstance(file.underlying(file.type_of(call)), Func):
        return _NONE
    maker = targets(file, call, depth).certain
    if maker is None:
        return _NONE
    parts = []
    for statement in maker.node.own():
        if statement.kind != "return_statement" or len(statement.children) < 2:
            continue
        values = statement.children[1].children
        if len(values) != 1:
            return _NONE
        if values[0].kind != "nil" and not _does_nothing(values[0]):
            parts.append(bodies_of_value(maker.file, values[0], depth))
    return _joined(parts)


def _does_nothing(value: Node) -> bool:
    return value.kind == "func_literal" and not value["body"].statements


def _of_variable(file: GoFile, binding: Binding, depth: int) -> Targets:
    """`f := func() {…}`, `var f = s.run`: the value of a variable that is assigned once."""
    declaration = binding.declaration
    if binding.value is not None:
        if is_assigned_once(binding):
            return bodies_of_value(file, binding.value, depth)
        return _NONE
    if declaration.kind != "var_spec" or binding.values:
        return _NONE
    # `var visit func(n *node)` and then `visit = func(n *node) {…}`, for recursion
    assigned = [v for use in binding.uses if (v := _assigned_value(use)) is not None]
    return bodies_of_value(file, assigned[0], depth) if len(assigned) == 1 else _NONE


def _assigned_value(name: Node) -> Node | None:
    """Return the value that `name = value` assigns."""
    group = name.parent
    statement = group.parent if group is not None else None
    if group is None or statement is None or statement.kind != "assignment_statement":
        return None
    if group.field != "left":
        return None
    index = next(i for i, child in enumerate(group.children) if child is name)
    values = statement["right"].children
    return values[index] if index < len(values) == len(group.children) else None


def _of_parameter(file: GoFile, binding: Binding, depth: int) -> Targets:
    """A parameter of an unexported function: what its callers pass."""
    function = binding.scope
    if not is_assigned_once(binding):
        return _NONE
    position = position_of(function, binding)
    if position is None:
        return _NONE
    if function.kind == "func_literal":
        call = call_of(function)
        if call is None:
            return _NONE
        return _argument(file, call, position, depth)
    decl = declaration_of(file, function)
    if decl is None or is_api(decl):
        return _NONE
    sites = callers(decl)
    if all(decl.file is s.file and function.contains(s.node) for s in sites):
        return _NONE  # only by itself: somebody begins, through an interface perhaps
    return _joined(
        _argument(s.file, s.call, position, depth) if s.call is not None else _NONE for s in sites
    )


def _argument(file: GoFile, call: Node, position: int, depth: int) -> Targets:
    arguments = call["arguments"].children
    if position >= len(arguments):
        return _NONE
    return bodies_of_value(file, arguments[position], depth)


def _joined(parts: Iterable[Targets]) -> Targets:
    bodies: dict[Node, Body] = {}
    complete = None
    for part in parts:
        complete = part.complete and complete is not False
        for body in part.bodies:
            first = bodies.setdefault(body.node, body)
            if first.bound != body.bound:  # the method of one object, or of another
                bodies[body.node] = replace(first, bound=None)
        if len(bodies) > _MOST:
            return _NONE
    return Targets(tuple(bodies.values()), complete) if complete is not None else _NONE


def _of_selector(file: GoFile, value: Node, depth: int) -> Targets:
    selection = file.selection(value)
    if selection is None:
        return _NONE
    if selection.kind == "package":
        return _NONE
    if selection.kind == "field" and selection.owner is not None and depth:
        if isinstance(file.underlying(selection.type), _NO_FUNCTION):
            return _NONE
        return _of_field(file.package.workspace, selection.owner, selection.name, depth - 1)
    if selection.kind == "method" and selection.decl is None:
        receiver = deref(file.type_of(value["operand"]))
        owner = selection.owner or receiver
        if isinstance(owner, Named):
            return _of_interface(file.package.workspace, owner, selection.name)
    return _NONE


# Types of fields that no function is stored in; a predeclared one stays a name.
_NO_FUNCTION = (Array, Chan, Interface, Map, Named, Pointer, Slice, Struct)


def is_closed(package: Package) -> bool:
    """Return whether nobody can import a package: it has only test files, as examples do."""
    return all(path.endswith("_test.go") for path in package.file_paths)


def _of_field(workspace: Workspace, owner: Named, name: str, depth: int) -> Targets:
    """A field of a struct: every function that the owner's package stores in it."""
    package = workspace.package_by_key(owner.package)
    if package is None or owner.local:
        return _NONE
    known: dict[tuple[str, str, int], Targets] = package.facts.setdefault("field_targets", {})
    key = (str(owner), name, depth)
    if key in known:
        return known[key]
    known[key] = _NONE
    parts = [bodies_of_value(f, stored, depth) for f, stored in stored_values(package, owner, name)]
    if name[:1].isupper() and not is_closed(package):
        parts.append(_NONE)  # somebody outside may store another one
    known[key] = _joined(parts) if any(p.bodies for p in parts) else _NONE
    return known[key]


def stored_values(
    package: Package, owner: Named, name: str, *, tests: bool = False
) -> list[tuple[GoFile, Node]]:
    """Return the values that a package assigns to a field, `nil` left out; with `tests` theirs."""
    known: dict[tuple[str, str, str, bool], list[tuple[GoFile, Node]]]
    known = package.facts.setdefault("stored values", {})
    key = (owner.package, owner.name, name, tests)
    if key not in known:
        files = package.files if tests else code_files(package)
        known[key] = list(_stored_values(files, owner, name))
    return known[key]


def _stored_values(
    files: Iterable[GoFile], owner: Named, name: str
) -> Iterator[tuple[GoFile, Node]]:
    text = name.encode()
    word = re.compile(rb"\b" + re.escape(text) + rb"\b")
    for file in files:
        for given in values_by_place(file, owner.name, owner.package, name):
            if given.kind != "nil":
                yield file, given
        if not file.may_hold(text):
            continue
        for statement in file.find("assignment_statement", word, partial(may_assign, text)):
            for index, left in enumerate(statement["left"].children):
                values = statement["right"].children
                if left.kind == "selector_expression" and left["field"].name == name:
                    selection = file.selection(left)
                    if _is_owner(selection.owner if selection else None, owner):
                        if index < len(values) and values[index].kind != "nil":
                            yield file, values[index]
        for element in file.find("keyed_element", word, partial(may_key, text)):
            key, value = element.get("key"), element.get("value")
            if key is None or value is None or key.text != name.encode():
                continue
            literal = element.parent
            if literal is not None and _is_owner(file.type_of(literal), owner):
                if value.children and value.children[0].kind != "nil":
                    yield file, value.children[0]


def _is_owner(type_: object, owner: Named) -> bool:
    found = deref(type_)  # type: ignore[arg-type]
    return isinstance(found, Named) and (found.package, found.name) == (owner.package, owner.name)


def _of_interface(workspace: Workspace, owner: Named, name: str) -> Targets:
    """A method of an interface: that of every type of the workspace that implements it."""
    known: dict[tuple[Named, str], Targets] = workspace.facts.setdefault("interface_targets", {})
    found = known.get((owner, name))
    if found is None:
        found = known[owner, name] = _implemented(workspace, owner, name)
    return found


def _implemented(workspace: Workspace, owner: Named, name: str) -> Targets:
    types = implementations(workspace, owner)
    decls = []
    for type_ in types:
        package = workspace.package_by_key(type_.package)
        found = package.methods(type_.name).get(name) if package else None
        if found and found[0].sound and found[0].has_body:
            decls.append(found[0])
    if not decls or len(decls) > _MOST:
        return _NONE
    # An interface of another module (io.Reader) has implementations that nobody sees here.
    package = workspace.package_by_key(owner.package)
    own = package is not None and package.module is not None
    bodies = tuple(Body(decl.file, decl.node, decl) for decl in decls)
    alone = len(types) == 1 and _wraps(workspace, types[0], owner)
    return Targets(bodies, own and len(bodies) == len(types) and not alone)


def _wraps(workspace: Workspace, type_: Named, interface: Named) -> bool:
    """Return whether a type's objects keep one of the interface that it implements: what they
    wrap at the end is of another type, from elsewhere.
    """
    under = workspace.inference.underlying(type_)
    return isinstance(under, Struct) and any(
        workspace.inference.type_from(field["type"]) == interface
        for field in under.node.find("field_declaration")
    )


def implementations(workspace: Workspace, interface: Named) -> list[Named]:
    """Return the named types of the workspace whose methods cover an interface's, by name.

    Test files and generated mocks are left out; a type that gets some of its methods from an
    embedded one counts. A directory of nothing but tests has its own types only.
    """
    known: dict[str, list[Named]] = workspace.facts.setdefault("implementations", {})
    key = str(interface)
    if key not in known:
        known[key] = []
        under = workspace.inference.underlying(interface)
        if isinstance(under, Interface):
            home = workspace.package_by_key(interface.package)
            names = _method_names(workspace, under.node)
            known[key] = _implementing(workspace, names, home.directory if home else "")
    return known[key]


def _method_names(workspace: Workspace, node: Node) -> set[str]:
    names = {c["name"].name for c in node.children if c.kind == "method_elem"}
    for elem in node.children:
        if elem.kind == "type_elem" and len(elem.children) == 1:
            inner = workspace.inference.underlying(workspace.inference.type_from(elem.children[0]))
            if isinstance(inner, Interface):
                names |= _method_names(workspace, inner.node)
    return names


_METHOD = re.compile(rb"\nfunc[ \t]*\([ \t]*(?:\w+[ \t]+)?\*?[ \t]*(\w+)[^)\n]*\)[ \t]*(\w+)")


def _implementing(workspace: Workspace, names: set[str], home: str) -> list[Named]:
    if not names:
        return []
    hidden = any(not name[:1].isupper() for name in names)
    owners = _owners(workspace)
    rarest = min(sorted(names), key=lambda n: len(owners.get(n, ())))
    found = []
    for directory, type_name in sorted(owners.get(rarest, ())):
        if directory != home and (hidden or not workspace.has_code(directory)):
            continue  # an unexported method: only types of the interface's own package have it
        for package in workspace.in_directory(directory):
            decl = package.lookup(type_name)
            if decl is None or decl.kind != "type" or decl.file.generated:
                continue
            if decl.file.is_test and not is_closed(package):
                continue
            type_ = Named(package.key, type_name)
            if all(_has_method(workspace, type_, name) for name in names):
                found.append(type_)
    return found


def _has_method(workspace: Workspace, type_: Named, name: str) -> bool:
    package = workspace.package_by_key(type_.package)
    if package is not None and name in package.methods(type_.name):
        return True
    member = workspace.inference.member(type_, name)
    return member is not None and member.kind == "method"


def _owners(workspace: Workspace) -> dict[str, set[tuple[str, str]]]:
    """Return, by method name, the (directory, type) pairs that declare it, read off the bytes."""
    known: dict[str, set[tuple[str, str]]] | None = workspace.facts.get("method_owners")
    if known is None:
        known = workspace.facts["method_owners"] = {}
        for path in workspace.go_files:
            directory = path.rpartition("/")[0]
            if path.endswith("_test.go") and workspace.has_code(directory):
                continue
            for match in _METHOD.finditer(workspace.source(path).data):
                owner = (directory, match[1].decode())
                known.setdefault(match[2].decode(), set()).add(owner)
    return known
