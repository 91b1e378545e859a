"""Class: methods, bases inside the project, attributes and every use of them."""

from __future__ import annotations

import ast
from functools import cached_property
from typing import TYPE_CHECKING

from threadmend.python.api import canonical
from threadmend.python.functions import CallSite, Function
from threadmend.python.scope import Scope, parent, scope_of
from threadmend.python.uses import (
    AttributeUse,
    assigned_value,
    place_in_source,
    renamed,
    uses_by_class,
)

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile

__all__ = ["Class", "classes_of"]

PROPERTIES = frozenset({"property", "functools.cached_property"})
INITIALIZERS = frozenset({"__init__", "__new__", "__post_init__", "__init_subclass__", "setUp"})


class Class:
    """One class statement."""

    def __init__(self, node: ast.ClassDef, file: PythonFile) -> None:
        self.node = node
        self.file = file
        self.name = node.name

    def __repr__(self) -> str:
        return f"<Class {self.qualified}>"

    @cached_property
    def qualname(self) -> str:
        """Return the name inside the module: `Outer.Inner`."""
        parts = [self.name]
        scope: Scope | None = scope_of(self.node)
        while scope is not None and scope.kind != "module":
            name = getattr(scope.node, "name", "<lambda>")
            parts.append(name if scope.kind == "class" else f"{name}.<locals>")
            scope = scope.above
        return ".".join(reversed(parts))

    @property
    def qualified(self) -> str:
        """Return module and name: `pkg.mod.Class`."""
        return f"{self.file.module}.{self.qualname}"

    @property
    def scope(self) -> Scope:
        """Return the scope of the class body."""
        found: Scope = self.node.inner_  # type: ignore[attr-defined]
        return found

    # -- inheritance ----------------------------------------------------------------------

    @cached_property
    def base_names(self) -> list[str]:
        """Return the qualified names of the bases as written, `""` for what has none: of
        `Roster[Pilot]` that of `Roster`.
        """
        return [self._of_context(b) or self.file.qualified(b) or "" for b in self._bases_alone]

    @property
    def _bases_alone(self) -> list[ast.expr]:
        return [b.value if isinstance(b, ast.Subscript) else b for b in self.node.bases]

    def _of_context(self, base: ast.expr) -> str | None:
        """Return what a base is that a context of multiprocessing has: `ctx.Process`."""
        if not isinstance(base, ast.Attribute) or b"get_context" not in self.file.data:
            return None
        value = self.file.value(base.value)
        if value is None or value.type != "multiprocessing.get_context":
            return None
        return canonical(f"multiprocessing.{base.attr}")

    @cached_property
    def bases(self) -> list[Class]:
        """Return the bases that are classes of the project."""
        found = []
        for base, name in zip(self._bases_alone, self.base_names, strict=True):
            cls = self._local(base) or (self.file.project.class_named(name) if name else None)
            if cls is not None and cls is not self:
                found.append(cls)
        return found

    def _local(self, base: ast.expr) -> Class | None:
        binding = self.file.binding(base)
        if binding is not None and len(binding.sites) == 1:
            node = binding.sites[0].node
            if isinstance(node, ast.ClassDef):
                return self.file.class_of(node)
        return None

    @cached_property
    def mro(self) -> list[Class]:
        """Return the class and its bases of the project, depth first, each once."""
        found: list[Class] = []
        pending = [self]
        while pending:
            cls = pending.pop(0)
            if cls not in found:
                found.append(cls)
                pending = [*cls.bases, *pending]
        return found

    @cached_property
    def ancestry(self) -> frozenset[str]:
        """Return the qualified names of every class above, also outside of the project."""
        names = {cls.qualified for cls in self.mro}
        return frozenset(names.union(*(cls.base_names for cls in self.mro)) - {""})

    @cached_property
    def heirs(self) -> list[Class]:
        """Return the classes of the project below this one."""
        return self.file.project.below.heirs(self)

    def overrides(self, name: str) -> list[Function]:
        """Return the methods of a name that classes of the project below this one have."""
        return self.file.project.below.overrides(self, name)

    def completed(self, name: str) -> Class | None:
        """Return the only class below that has an attribute or a method which this one names and
        does not have itself: a mixin's other half.
        """
        if self.has(name) or self.file.project.below.has_many(self):
            return None
        found = {heir.declarer(name) for heir in self.heirs if heir.has(name)}
        return found.pop() if len(found) == 1 else None

    def declares(self, name: str) -> bool:
        """Return whether the class statement gives its objects an attribute or a method."""
        return name in self._assigned or name in self.scope.bindings

    def has(self, name: str) -> bool:
        """Return whether the class or a base gives its objects an attribute or a method."""
        return any(cls.declares(name) for cls in self.mro)

    @cached_property
    def is_open(self) -> bool:
        """Return whether some base is of another package, so that it may hold anything."""
        known = {"object", "abc.ABC", "typing.Generic", "threading.Thread", "Exception"}
        for cls in self.mro:
            if len(cls.bases) < len([name for name in cls.base_names if name not in known]):
                return True
        return False

    def inherits(self, *names: str) -> bool:
        """Return whether some class above has one of these qualified names."""
        return not self.ancestry.isdisjoint(names)

    # -- methods --------------------------------------------------------------------------

    @cached_property
    def methods(self) -> dict[str, Function]:
        """Return the methods of the class statement itself; the last of a name counts."""
        return {f.name: f for f in self.file.methods_of(self)}

    def method(self, name: str) -> Function | None:
        """Return a method, also an inherited one."""
        for cls in self.mro:
            if name in cls.methods:
                return cls.methods[name]
        return None

    def getter(self, name: str) -> Function | None:
        """Return the function that is run when a property is read, also an inherited one."""
        for cls in self.mro:
            if name in cls.methods:
                return cls._getters.get(name)
        return None

    def setter(self, name: str) -> Function | None:
        """Return the function that is run when a property is set, also an inherited one."""
        for cls in self.mro:
            if name in cls.methods:
                return cls._setters.get(name)
        return None

    def counterpart(self, method: Function) -> Function | None:
        """Return what an object of this class has in the place of a method of a base, of a
        property's two functions that of the same kind.
        """
        if not PROPERTIES.isdisjoint(method.decorators):
            return self.getter(method.name)
        return self.setter(method.name) if is_setter(method) else self.method(method.name)

    @cached_property
    def _getters(self) -> dict[str, Function]:
        mine = (f for f in self.file.functions if f.cls is self)
        return {f.name: f for f in mine if not PROPERTIES.isdisjoint(f.decorators)}

    @cached_property
    def _setters(self) -> dict[str, Function]:
        return {f.name: f for f in self.file.functions if f.cls is self and is_setter(f)}

    @cached_property
    def replaced(self) -> frozenset[str]:
        """Return the methods that objects may have something else for: `self._send = send`."""
        return frozenset(
            use.name
            for cls in self.mro
            for use in cls.written_uses
            if use.mode == "write"
            and self.method(use.name) is not None
            and self.getter(use.name) is None
        )

    @cached_property
    def init_only(self) -> frozenset[Function]:
        """Return initializers, private methods (and those called `init_part`) that only those call,
        also those of heirs and bases, and what is nested in them and only called: no other thread
        can hold the object then, as long as no thread was started before.
        """
        found = {f for name, f in self.methods.items() if name in INITIALIZERS}
        inner = [f for f in self.file.functions if f.home is self and f.outer is not None]
        while True:
            more = {
                f
                for f in (*self.methods.values(), *inner)
                if f not in found
                and (self._is_part(f) if f.outer is None else f.outer in found)
                and f.is_only_called
                and self._is_only_called_by(f, found)
            }
            if not more:
                return frozenset(found)
            found |= more

    def _is_part(self, method: Function) -> bool:
        """Return whether a method is for other methods of the object alone: a private one, or one
        that says it is a part of how the object is made, where no other class names it.
        """
        if method.is_private or not method.name.startswith("init"):
            return method.is_private
        theirs = {self.file.path, *(heir.file.path for heir in self.heirs)}
        return theirs.issuperset(self.file.project.naming(self.file.encode(method.name)))

    def _is_only_called_by(self, method: Function, first: set[Function]) -> bool:
        """Return whether only initializers call a method: of the object, or some of `first`."""
        from threadmend.python.heircalls import calls_by_heirs, is_only_called_by_heirs

        # the heirs are asked last: their files may have to be read for it
        callers = list(method.callers)
        if not all(self._begins(site, first) for site in callers):
            return False
        theirs = calls_by_heirs(method)
        return (
            bool(callers or theirs)
            and all(self._begins(site, first) for site in theirs)
            and is_only_called_by_heirs(method)
        )

    def _begins(self, site: CallSite, first: set[Function]) -> bool:
        """Return whether an initializer of the object makes a call, or one of `first`."""
        caller = site.caller
        if caller is None or caller in first:
            return caller is not None
        if caller.name not in INITIALIZERS or caller.cls is None:
            return False
        return self in caller.cls.mro or caller.cls in self.mro

    # -- attributes -----------------------------------------------------------------------

    @cached_property
    def uses(self) -> list[AttributeUse]:
        """Return every `self.x` in the methods of this class statement, in source order."""
        found: list[AttributeUse] = []
        for use in self.written_uses:
            found += renamed(self, use) or [use]
        return sorted(found, key=place_in_source)

    @cached_property
    def written_uses(self) -> list[AttributeUse]:
        """Return the uses that are written as attributes: other names are not followed."""
        return uses_by_class(self.file).get(self, [])

    def is_lasting(self, name: str) -> bool:
        """Return whether an attribute keeps what it is first set to."""
        first = {f for cls in self.mro for f in cls.init_only}
        uses = [use for cls in self.mro for use in cls.written_uses if use.name == name]
        changes = [use for use in uses if use.changes and use.mode != "mutate"]
        known = changes or any(name in cls.scope.bindings for cls in self.mro)
        return bool(known) and all(use.function in first for use in changes)

    def uses_of(self, name: str) -> list[AttributeUse]:
        """Return the uses of one attribute in this class and its bases of the project."""
        return [use for cls in self.mro for use in cls.uses if use.name == name]

    def values_of(self, name: str) -> list[tuple[PythonFile, ast.expr]]:
        """Return what is assigned to an attribute, in methods and in the class body."""
        found = []
        for cls in self.mro:
            found += cls._assigned.get(name, [])
        return found

    @cached_property
    def _assigned(self) -> dict[str, list[tuple[PythonFile, ast.expr]]]:
        found: dict[str, list[tuple[PythonFile, ast.expr]]] = {}
        for name, binding in self.scope.bindings.items():
            for site in binding.sites:
                if site.kind == "assign" and site.value is not None:
                    found.setdefault(name, []).append((self.file, site.value))
        for use in self.written_uses:
            if use.mode == "write":
                value = assigned_value(use.node)
                if value is not None:
                    found.setdefault(use.name, []).append((self.file, value))
        return found

    def annotation_of(self, name: str) -> tuple[PythonFile, ast.expr] | None:
        """Return the annotation of an attribute: `lock: Lock` in the body, `self.x: T = …`."""
        for cls in self.mro:
            binding = cls.scope.bindings.get(name)
            for site in binding.sites if binding is not None else ():
                if site.annotation is not None:
                    return cls.file, site.annotation
            if name in cls._annotated:
                return cls.file, cls._annotated[name]
        return None

    @cached_property
    def _annotated(self) -> dict[str, ast.expr]:
        found: dict[str, ast.expr] = {}
        for use in self.written_uses:
            above = parent(use.node)
            if isinstance(above, ast.AnnAssign):
                found.setdefault(use.name, above.annotation)
        return found

    def declarer(self, name: str) -> Class:
        """Return the topmost class of the project that assigns an attribute."""
        found = self
        for cls in self.mro:
            if cls.declares(name):
                found = cls
        return found


def is_setter(function: Function) -> bool:
    """Return whether a function is what `@name.setter` makes of it."""
    return any(name.endswith(".setter") for name in function.decorators)


def classes_of(file: PythonFile) -> list[Class]:
    """Return every class of a file."""
    return [Class(node, file) for node in file.nodes(ast.ClassDef)]
