"""Where a lock has to live so that all who need it share it, and the edits that put it there."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from threadmend.model import Edit
from threadmend.python.builders import (
    BuilderError,
    add_attribute,
    add_variable,
    free_attribute,
    free_name,
    insert_before,
    reference,
)
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import walk
from threadmend.python.functions import Function
from threadmend.python.guards import guards_of
from threadmend.python.scope import Binding

__all__ = ["Home", "declared", "home_of", "merged"]


@dataclass(frozen=True, slots=True)
class Home:
    """What a lock guards: `kind` is `class` (attributes of one object), `module` or `function`
    (variables of the function around). `key` is equal for what needs one lock; `data` names
    what is guarded.
    """

    kind: str
    key: object
    data: tuple[str, ...]


def _shared_data(file: PythonFile, body: Sequence[ast.AST]) -> tuple[set[str], set[str], set[str]]:
    """Return the attributes of `self`, the globals and the captured variables that a block uses.

    Attributes that the class itself holds are globals, as is what is read of a class by name.
    """
    attributes, names, captured = set[str](), set[str](), set[str]()
    for node in walk(body):
        if isinstance(node, ast.Attribute):
            place = file.place(node)
            if place is not None and place.kind == "attribute" and "." not in place.name:
                if place.base == "self" and not _is_method(file, node):
                    attributes.add(node.attr)
                elif place.base == "class":
                    names.add(node.attr)
        if isinstance(node, ast.Name):
            place = file.place(node)
            if place is not None and (place.kind, place.base) == ("attribute", "self"):
                attributes.add(place.name)  # another name of it
        binding = file.binding(node)
        if binding is None or any(s.kind in {"import", "def", "class"} for s in binding.sites):
            continue
        function = file.function(node)
        if binding.scope.kind == "module":
            if not _is_the_same_for_ever(file, binding):
                names.add(binding.name)
        elif binding.scope.kind == "function" and function is not None:
            if binding.scope is not function.scope and binding.name != self_name(function):
                captured.add(binding.name)
    return attributes, names, captured


def _is_the_same_for_ever(file: PythonFile, binding: Binding) -> bool:
    """Return whether a variable of the module is a constant, or a logger: no lock is for that."""
    value = binding.sites[0].value if len(binding.sites) == 1 else None
    if isinstance(value, ast.Call):
        return (file.qualified(value.func) or "").endswith((".getLogger", ".get_logger"))
    return isinstance(value, ast.Constant)


def self_name(function: Function) -> str | None:
    """Return the name of the object whose method a function is, or is nested in."""
    outer: Function | None = function
    while outer is not None:
        if outer.self_name is not None:
            return outer.self_name
        outer = outer.outer
    return None


def _is_method(file: PythonFile, node: ast.Attribute) -> bool:
    owner = file.value(node.value)
    return owner is not None and owner.cls is not None and owner.cls.method(node.attr) is not None


def home_of(file: PythonFile, function: Function, body: Sequence[ast.AST]) -> Home:
    """Return where the lock of a block has to live: beside what the block shares."""
    attributes, names, captured = _shared_data(file, body)
    if names or not (attributes or captured):
        return Home("module", file.module, tuple(sorted(names)))
    if captured and function.outer is not None:
        return Home("function", function.outer, tuple(sorted(captured)))
    if function.home is not None and attributes:
        return Home("class", function.home, tuple(sorted(attributes)))
    return Home("module", file.module, ())


def merged(homes: Sequence[Home]) -> list[Home]:
    """Return homes so that those of a module which share data are equal."""
    found = list(homes)
    for number, home in enumerate(homes):
        same = [number]
        for other, candidate in enumerate(found):
            if home.kind == candidate.kind == "module" and (
                not set(home.data).isdisjoint(candidate.data) or home.data == candidate.data
            ):
                same.append(other)
        data = tuple(sorted({name for one in same for name in found[one].data}))
        for one in same:
            if found[one].kind == "module":
                found[one] = Home("module", (home.key, data), data)
    return found


def existing(file: PythonFile, home: Home, function: Function, but: str = "") -> str | None:
    """Return how to write a lock that other code already takes around the same data; an attribute
    with the name `but` is none.
    """
    if home.kind == "class":
        assert isinstance(home.key, Class)
        for name in home.data:
            guard = guards_of(home.key).get(name)
            if guard is None or guard.lock.name == but:
                continue
            if guard.lock.base == "self" and "." not in guard.lock.name:
                return f"{self_name(function)}.{guard.lock.name}"
    elif home.kind == "module":
        for section in file.sections:
            place = section.lock.place
            if place.kind == "global" and place.owner == file.module and "." not in place.name:
                if not _shared_data(file, section.body)[1].isdisjoint(home.data):
                    return place.name
    return None


def declared(
    file: PythonFile,
    home: Home,
    function: Function,
    kind: str,
    before: ast.AST,
    given: str = "",
    known_as: str = "",
    but: str = "",
) -> tuple[str, tuple[Edit, ...]]:
    """Return how to write the lock of a home, and the edits that make it there.

    `kind` is the constructor, `given` its arguments, `before` a node of the first code that
    takes the lock, `known_as` what that calls it: its name where nothing says what it guards. `but`
    is an attribute that is no such lock.
    Raises BuilderError where the home has no room.
    """
    is_lock = "Semaphore" not in kind
    known = existing(file, home, function, but) if is_lock else None
    if known is not None:
        return known, ()
    short = "lock" if is_lock else "slots"
    made, imports = reference(file, kind)
    if isinstance(home.key, Class) and not home.key.is_open:
        # The initializer of an unknown base may already run the method that takes the lock.
        name = free_attribute(home.key, f"_{short}")
        with contextlib.suppress(BuilderError):
            edits = add_attribute(home.key, name, f"{made}({given})")
            return f"{self_name(function)}.{name}", (*edits, *imports)
    if home.kind == "function":
        name = free_name(file, short)
        at = file.function(before)
        while at is not None and at.outer is not home.key:
            at = at.outer
        if at is None or isinstance(at.node, ast.Lambda):
            raise BuilderError("there is no statement to put the lock before")
        edits = insert_before(file, at.node, f"{name} = {made}({given})")
        return name, (*edits, *imports)
    stem = f"_{known_as.strip('_') or short}"
    if home.kind == "module" and home.data:
        stem = f"{home.data[0].lower()}_{short}"
    name = free_name(file, stem)
    return name, (*add_variable(file, f"{name} = {made}({given})", before), *imports)
