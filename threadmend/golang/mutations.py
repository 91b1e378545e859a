"""Mutations: where what a slice, map or struct holds is changed in place.

An in-place change reaches everybody who holds the same slice, map or address; to assign a
new value to a variable (`s.m = fresh`) does not. A container's class is that of its
expression (`lock_class`): `pkg.Type.field`, with `[]` for what is inside of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import lock_class
from threadmend.golang.calls import code_files
from threadmend.golang.flow import flow_of
from threadmend.golang.locks import Held, held_at
from threadmend.golang.node import bare
from threadmend.golang.syntax import Node
from threadmend.golang.types import Array, Pointer

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = ["Mutation", "containers_of", "last_name", "mutated_argument", "mutations"]

# Functions that change what their first argument holds, by import path.
_MUTATORS = {
    "sort": ("Slice", "SliceStable", "Sort", "Stable", "Strings", "Ints", "Float64s"),
    "slices": (
        *("Sort", "SortFunc", "SortStableFunc", "Reverse", "Delete", "DeleteFunc", "Compact"),
        *("CompactFunc", "Insert", "Replace"),
    ),
    "maps": ("Copy", "DeleteFunc", "Insert"),
    "container/heap": ("Init", "Push", "Pop", "Fix", "Remove"),
}
_MAKERS = frozenset({b"make", b"append", b"slices.Clone", b"maps.Clone", b"bytes.Clone"})
_BUILTINS = frozenset({"delete", "clear", "copy"})


@dataclass(slots=True)
class Mutation:
    """One change in place of a container, and the locks held there.

    `kind`: `store` (an element, key or part is written), `append` (`x = append(x, …)`: seen
    by others only where they append too), `assign` (the variable itself gets a new value).
    `home` is the file of the container when that is written down elsewhere: in a getter.
    """

    file: GoFile
    node: Node
    container: Node
    kind: str
    home: GoFile | None = None

    @property
    def held(self) -> frozenset[Held]:
        """Return the locks that are certainly held."""
        return held_at(self.file, self.node)

    def under(self, lock: str | None) -> bool:
        """Return whether a lock of this class is held."""
        return any(h.lock_class == lock for h in self.held)

    @property
    def initial(self) -> bool:
        """Return whether the container was made a moment ago, by the same function."""
        function = self.node.function
        if function is None or self.kind == "assign":
            return False
        flow = flow_of(function)
        here = flow.point_of(self.node)
        if here is None:
            return False
        text = self.container.text
        for statement in function.own():
            if statement.kind == "assignment_statement" and statement.start < self.node.start:
                if _makes_anew(statement, text):
                    point = flow.point_of(statement)
                    if point is not None and flow.dominates(point, here):
                        return True
        return False


def _makes_anew(assignment: Node, target: bytes) -> bool:
    """Return whether an assignment gives a variable a container that nobody else has."""
    left, right = assignment["left"].children, assignment["right"].children
    for name, value in zip(left, right, strict=False):
        if name.text == target:
            value = bare(value)
            if value.kind == "composite_literal":
                return True
            function = value.get("function") if value.kind == "call_expression" else None
            if function is not None and function.text in _MAKERS:
                first = value["arguments"].children[:1]
                return function.name != "append" or bare(first[0]).text != target
    return False


def mutations(package: Package, container_class: str, name: str) -> list[Mutation]:
    """Return the mutations of a class of containers in a package, test files left out.

    `name` is the last field (or the variable) on the container's path.
    """
    known: dict[str, dict[str, list[Mutation]]] = package.facts.setdefault("mutations", {})
    by_class = known.get(name)
    if by_class is None:
        by_class = known[name] = {}
        for mutation in _by_name(package, name):
            found = lock_class(mutation.home or mutation.file, mutation.container)
            if found is not None:
                by_class.setdefault(found, []).append(mutation)
    return by_class.get(container_class, [])


def _by_name(package: Package, name: str) -> Iterator[Mutation]:
    from threadmend.golang.aliased import through_getters, through_locals

    pattern = re.compile(rb"\b" + re.escape(name.encode()) + rb"\b")
    for file in code_files(package):
        if file.generated:
            continue
        for declaration in file.declarations(pattern):
            for kind in _READERS:
                for node in declaration.index.get(kind, ()):
                    if pattern.search(file.data, node.start, node.end):
                        for mutation in _READERS[kind](file, node):
                            if last_name(mutation.container) == name:
                                yield mutation
            yield from through_locals(file, declaration, pattern, name)
    yield from through_getters(package, pattern, name)


def last_name(node: Node) -> str:
    """Return the last field (or the variable) on a path: `items` of `s.items[k][1:]`."""
    node = bare(node)
    while node.kind in {"index_expression", "slice_expression", "unary_expression"}:
        node = bare(node["operand"])
    if node.kind == "selector_expression":
        return node["field"].name
    return node.name if node.kind == "identifier" else ""


def _assignment(file: GoFile, statement: Node) -> Iterator[Mutation]:
    right = statement["right"].children
    targets = statement["left"].children
    for index, target in enumerate(targets):
        for container in containers_of(file, target):
            yield Mutation(file, statement, container, "store")
        value = bare(right[index]) if len(right) == len(targets) else None
        yield Mutation(file, statement, bare(target), _replaced(target, value))


def _replaced(target: Node, value: Node | None) -> str:
    """Return what the new value of a variable means for those who hold the old one."""
    if value is None:
        return "assign"
    if value.kind == "slice_expression" and value["operand"].text == target.text:
        # The elements cut off will be written again by an append.
        return "store" if value.get("end") is not None and not value.get("capacity") else "assign"
    function = value.get("function") if value.kind == "call_expression" else None
    if function is not None and function.name == "append":
        first = value["arguments"].children[:1]
        if first and bare(first[0]).text == target.text:
            return "append"
    return "assign"


def _counter(file: GoFile, statement: Node) -> Iterator[Mutation]:
    for container in containers_of(file, statement.children[0]):
        yield Mutation(file, statement, container, "store")
    yield Mutation(file, statement, bare(statement.children[0]), "assign")


def containers_of(file: GoFile, target: Node) -> Iterator[Node]:
    """Yield what a write to a target changes in place: `s.m` for `s.m[k].n = 1`.

    Innermost first: the element's struct, then the slice or map; it ends at a pointer, for
    what that points to is an object of its own.
    """
    node = bare(target)
    while True:
        if node.kind == "selector_expression":
            selection = file.selection(node)
            if selection is None or selection.kind != "field":
                return
            inner = bare(node["operand"])
            if isinstance(file.underlying(file.type_of(inner)), Pointer):
                return
            if node is not bare(target) or inner.kind != "identifier":
                yield inner
            node = inner
        elif node.kind == "index_expression":
            inner = bare(node["operand"])
            yield inner
            if not isinstance(file.underlying(file.type_of(inner)), Array):
                return
            node = inner
        else:
            return


def _call(file: GoFile, call: Node) -> Iterator[Mutation]:
    argument = mutated_argument(file, call)
    if argument is None:
        return
    node = bare(argument)
    while node.kind == "slice_expression" or (
        node.kind == "unary_expression" and node["operator"].kind == "&"
    ):
        node = bare(node["operand"])
    yield Mutation(file, call, node, "store")


def mutated_argument(file: GoFile, call: Node) -> Node | None:
    """Return the argument whose content a call of a known function changes, if any."""
    function = call["function"]
    arguments = call["arguments"].children
    if not arguments:
        return None
    if function.kind == "identifier":
        if function.name in _BUILTINS and file.resolve(function) is None:
            return arguments[0]
        if function.name == "append" and file.resolve(function) is None:
            # append(x[:i], …) writes over the elements from i on
            first = bare(arguments[0])
            if first.kind == "slice_expression" and first.get("end") and len(arguments) > 1:
                return None if first.get("capacity") else first
        return None
    if function.kind != "selector_expression" or function["operand"].kind != "identifier":
        return None
    path = file.imported(function["operand"].name)
    names = _MUTATORS.get((path or "").removeprefix("golang.org/x/exp/"), ())
    return arguments[0] if function["field"].name in names else None


_READERS = {
    "assignment_statement": _assignment,
    "inc_statement": _counter,
    "dec_statement": _counter,
    "call_expression": _call,
}
