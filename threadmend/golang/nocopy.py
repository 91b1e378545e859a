"""NoCopy: which types contain a lock by value.

A value that contains a lock must not be copied after its first use: the copy has a lock of
its own, in whatever state the original was. `go vet` (copylocks) follows the same types;
`atomic.Value` is here in addition, because its documentation forbids the copy too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.syntax import Node
from threadmend.golang.types import Array, Named, Struct, Type, TypeParam, substitute

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package
    from threadmend.golang.workspace import Workspace

__all__ = ["KNOWN", "NoCopy", "is_ours", "nocopy"]

_PRIMITIVE_PACKAGES = frozenset({"sync", "sync/atomic"})
KNOWN: dict[tuple[str, str], tuple[str, ...]] = {
    ("sync/atomic", "Value"): ("atomic.Value",),
    # Every generated protobuf message holds one; its source is not in the project.
    ("google.golang.org/protobuf/runtime/protoimpl", "MessageState"): (
        "protoimpl.MessageState",
        "sync.Mutex",
    ),
}


def nocopy(workspace: Workspace) -> NoCopy:
    """Return the answers for a workspace, remembered as long as it lives."""
    found: NoCopy = workspace.facts.setdefault("nocopy", None) or NoCopy(workspace)
    workspace.facts["nocopy"] = found
    return found


def is_ours(package: Package) -> bool:
    """Return whether a package is the project's, not one of the table of known APIs."""
    return not package.file_paths[:1] or not package.file_paths[0].startswith("$")


class NoCopy:
    """Answers about lock-containing types, for one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._inference = workspace.inference
        self._paths: dict[Type, tuple[str, ...]] = {}
        self._types: dict[Package, frozenset[str]] = {}

    def path(self, type_: Type | None) -> tuple[str, ...]:
        """Return the way from a type to a lock in it, empty when it contains none.

        `("Registry", "counter", "sync.Mutex")`: outermost first, types without their package
        unless they are of another one's API.
        """
        if type_ is None:
            return ()
        known = self._paths
        if type_ not in known:
            known[type_] = ()  # a type that contains itself by value does not exist
            known[type_] = self._find(type_)
        return known[type_]

    def _find(self, type_: Type) -> tuple[str, ...]:
        if isinstance(type_, Array):
            return self.path(type_.elem)
        if isinstance(type_, TypeParam):
            inner = self.path(self._inference.core(type_))
            return (type_.name, *inner) if inner else ()
        label = _label(type_)
        if isinstance(type_, Named):
            if (type_.package, type_.name) in KNOWN:
                return KNOWN[type_.package, type_.name]
            if self._is_locker(type_):
                return (label,)
        under = self._inference.underlying(type_)
        if isinstance(under, Array):
            inner = self.path(under.elem)
            return (label, *inner) if inner else ()
        if not isinstance(under, Struct):
            return ()
        for field in _fields(under.node):
            inner = self.path(self._field_type(field, under))
            if inner:
                if isinstance(type_, Named) and type_.package in _PRIMITIVE_PACKAGES:
                    return (label,)
                return (label, *inner) if label else inner
        return ()

    def _field_type(self, field: Node, struct: Struct) -> Type | None:
        if any(c.kind == "*" for c in field.children):
            return None  # an embedded pointer
        found = self._inference.type_from(field.get("type"))
        return substitute(found, dict(struct.args))

    def _is_locker(self, type_: Named) -> bool:
        """Return whether `*T` is a sync.Locker by methods of its own and `T` is not.

        This is the noCopy idiom: vet looks for exactly these two methods.
        """
        package = self._workspace.package_by_key(type_.package)
        if package is None or type_.local:
            return False
        methods = package.methods(type_.name)
        if "Lock" not in methods or "Unlock" not in methods:
            return False
        if not isinstance(self._inference.underlying(type_), Struct):
            return False
        return all(_plain_pointer_method(methods[name][0]) for name in ("Lock", "Unlock"))

    # -- what can matter ------------------------------------------------------------

    def types(self, package: Package) -> frozenset[str]:
        """Return the names of a package's declared types that contain a lock by value.

        For generated files this is what the bytes suggest: `path` decides.
        """
        found = self._types.get(package)
        if found is None:
            self._types[package] = found = frozenset()
            # The table of the standard library: most of it has no lock in it.
            if is_ours(package) or any(_TABLE.search(f.data) for f in package.files):
                found = self._types[package] = frozenset(self._lock_types(package))
        return found

    def _lock_types(self, package: Package) -> Iterator[str]:
        words = self._suspects(package)
        for name, decls in package.names.items():
            if name in words and decls[0].kind == "type" and decls[0].sound:
                # Generated types are many, and what their text says is true of them.
                if decls[0].file.generated or self.path(Named(package.key, name)):
                    yield name

    def _suspects(self, package: Package) -> set[str]:
        """Return the types that mention, not behind a `*`, something that may be a lock.

        Told from the bytes alone, so that hardly any type has to be lowered.
        """
        mentioned: dict[str, set[str]] = {}
        for name, decls in package.names.items():
            if decls[0].kind == "type":
                mentioned[name] = set().union(*(_mentioned(d) for d in decls))
        suspects = {n for n in mentioned if {"Lock", "Unlock"} <= set(package.methods(n))}
        for name, words in mentioned.items():
            file = package.names[name][0].file
            if any("." in word and self._foreign(file, word) for word in words):
                suspects.add(name)
        while True:
            more = {n for n, words in mentioned.items() if words & suspects} - suspects
            if not more:
                return suspects
            suspects |= more

    def _foreign(self, file: GoFile, word: str) -> bool:
        """Return whether `pkg.Name` in a file is a type that contains a lock."""
        qualifier, _, name = word.partition(".")
        path = file.imported(qualifier)
        if path is None:
            return False
        if (path, name) in KNOWN:
            return True
        package = self._workspace.package(path)
        return package is not None and name in self.types(package)


_TABLE = re.compile(rb"\bnoCopy\b|\b(?:sync|atomic)\.")
_MENTION = re.compile(rb"(?<![*\w.])([A-Za-z_]\w*(?:\.[A-Z]\w*)?)")


def _mentioned(decl: Decl) -> set[str]:
    start, end = decl.span
    return {m[1].decode("utf-8", "replace") for m in _MENTION.finditer(decl.file.data, start, end)}


def _label(type_: Type) -> str:
    if isinstance(type_, Named):
        base = type_.package.rpartition("/")[2]
        known = type_.package and "." not in type_.package.partition("/")[0]
        return f"{base}.{type_.name}" if known and base in _STD_LABELS else type_.name
    return "struct"


_STD_LABELS = frozenset(
    {"sync", "atomic", "http", "tls", "net", "template", "testing", "os", "log"}
)


def _fields(struct: Node) -> Iterator[Node]:
    for group in struct.children:
        if group.kind == "field_declaration_list":
            yield from (f for f in group.children if f.kind == "field_declaration")


def _plain_pointer_method(method: Decl) -> bool:
    node = method.node
    receiver, parameters = node.get("receiver"), node.get("parameters")
    if receiver is None or parameters is None or parameters.children or node.get("result"):
        return False
    return any(receiver.find("pointer_type"))
