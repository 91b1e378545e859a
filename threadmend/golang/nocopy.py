"""NoCopy: which types contain a lock by value, and which functions can touch such values.

A value that contains a lock must not be copied after its first use: the copy has a lock of
its own, in whatever state the original was. `go vet` (copylocks) follows the same types;
`atomic.Value` is here in addition, because its documentation forbids the copy too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from threadmend.golang.syntax import Declaration, Node
from threadmend.golang.types import Array, Named, Struct, Type, TypeParam, substitute

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package, Workspace

__all__ = ["NoCopy", "is_ours", "nocopy"]

_PRIMITIVE_PACKAGES = frozenset({"sync", "sync/atomic"})
_KNOWN: dict[tuple[str, str], tuple[str, ...]] = {
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
        self._fields: dict[Package, frozenset[str]] = {}
        self._patterns: dict[Package, re.Pattern[bytes] | None] = {}
        self._mentioned: dict[str, list[tuple[int, int]]] = {}
        self._field_reads: dict[Package, re.Pattern[bytes]] = {}

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
            if (type_.package, type_.name) in _KNOWN:
                return _KNOWN[type_.package, type_.name]
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
        """Return the names of a package's declared types that contain a lock by value."""
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
                if self.path(Named(package.key, name)):
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
        if (path, name) in _KNOWN:
            return True
        package = self._workspace.package(path)
        return package is not None and name in self.types(package)

    def value_fields(self, package: Package) -> frozenset[str]:
        """Return the names of fields and variables of a package that hold lock values.

        Elements of slices, maps and arrays count: they can be copied out.
        """
        found = self._fields.get(package)
        if found is None:
            found = self._fields[package] = frozenset(self._holders(package))
        return found

    def _holders(self, package: Package) -> Iterator[str]:
        for file in package.files:
            data = file.data
            for start, end in self._named(file):
                declaration = file.tree.declaration_at(start)
                if declaration is None or declaration.kind not in _HOLDERS:
                    continue
                line = max(declaration.start, start - 200)
                if _EMBEDDED.search(data, line, start):
                    yield data[start:end].decode().rpartition(".")[2]
                    continue
                names = _NAMES.search(data, line, start)
                if names and not _declares_type(package, file, names):
                    yield from (name.strip() for name in names[1].decode().split(","))

    def _named(self, file: GoFile) -> list[tuple[int, int]]:
        """Return where a file names a lock type without a `*` or `&` in front."""
        found = self._mentioned.get(file.path)
        if found is None:
            found = self._mentioned[file.path] = list(self._values(file))
        return found

    def _values(self, file: GoFile) -> Iterator[tuple[int, int]]:
        data = file.data
        for start, end in self._mentions(file):
            before, after = data[start - 1], data[end : end + 1]
            # `T(` is a function of that name or a conversion, `T:` a field.
            if before not in b"*&." and not _is_word(before) and after not in (b"(", b":"):
                if not file.tree.in_comment(start):
                    yield start, end

    def _mentions(self, file: GoFile) -> Iterator[tuple[int, int]]:
        """Yield the ranges that hold a lock type's name, its qualifier included."""
        own = self._own_pattern(file.package)
        if own is not None:
            for hit in own.finditer(file.data):
                yield hit.span()
        qualified = self._qualified(file)
        if qualified:
            # One small pattern for all names of a package: compiling is what costs.
            for hit in _selectors(frozenset(qualified)).finditer(file.data):
                if hit[2] in qualified[hit[1]]:
                    yield hit.span()

    def _own_pattern(self, package: Package) -> re.Pattern[bytes] | None:
        if package not in self._patterns:
            names = sorted(self.types(package))
            self._patterns[package] = _words(names) if names else None
        return self._patterns[package]

    def _qualified(self, file: GoFile) -> dict[bytes, frozenset[bytes]]:
        """Return the lock types of the packages that a file imports, by qualifier."""
        found: dict[bytes, frozenset[bytes]] = {}
        for imported in file.imports:
            if not imported.name or imported.name == ".":
                continue
            names = {name for path, name in _KNOWN if path == imported.path}
            package = self._workspace.package(imported.path)
            if package is not None:
                names |= {name for name in self.types(package) if name[:1].isupper()}
            if names:
                found[imported.name.encode()] = frozenset(n.encode() for n in names)
        return found

    def suspects(self, file: GoFile) -> list[Declaration]:
        """Return the functions and variables of a file in which a lock value may be copied.

        From the bytes alone: they name a lock type without `*`, read a field that holds one,
        or dereference a pointer into a value.
        """
        found: dict[int, Declaration] = {}
        for offset in self._hits(file):
            declaration = file.tree.declaration_at(offset)
            if declaration is not None and declaration.kind in _FUNCTIONS:
                if not declaration.has_error:
                    found[declaration.start] = declaration
        return [found[start] for start in sorted(found)]

    def _hits(self, file: GoFile) -> Iterator[int]:
        # No pattern here begins with a look-behind or `\b`: `re` then tries every byte.
        data = file.data
        for start, end in self._named(file):
            if not _is_harmless(file, start, end):
                yield start
        for fields in self._field_patterns(file):
            for hit in fields.finditer(data):
                if _is_copied(data, hit.start()):
                    yield hit.start()
        for hit in _DEREFERENCE.finditer(data):
            before = data[max(0, hit.start() - 12) : hit.start()].rstrip(b" \t")
            if before[-1:] in b"=:" or before.endswith(b"return"):
                yield hit.start()
            elif before[-1:] in b"(,{" and hit[2]:
                word = hit[1].decode()
                decls = file.package.names.get(word)
                if word in _PREDECLARED or file.imported(word) is not None:
                    continue
                if not decls or decls[0].kind != "type":
                    yield hit.start()

    def _field_patterns(self, file: GoFile) -> Iterator[re.Pattern[bytes]]:
        package = file.package
        own = self.value_fields(package)
        if own:
            if package not in self._field_reads:
                self._field_reads[package] = _reads(frozenset(own))
            yield self._field_reads[package]
        foreign: set[str] = set()
        for imported in file.imports:
            other = self._workspace.package(imported.path)
            if other is not None and other is not package and is_ours(other):
                foreign.update(n for n in self.value_fields(other) if n[:1].isupper())
        if foreign:
            yield _reads(frozenset(foreign - own))


@lru_cache(maxsize=512)
def _selectors(qualifiers: frozenset[bytes]) -> re.Pattern[bytes]:
    names = b"|".join(sorted(map(re.escape, qualifiers)))
    return re.compile(rb"(" + names + rb")\.([A-Z]\w*)")


def _words(names: list[str]) -> re.Pattern[bytes]:
    return re.compile(rb"(?:" + "|".join(map(re.escape, names)).encode() + rb")\b")


@lru_cache(maxsize=512)
def _reads(names: frozenset[str]) -> re.Pattern[bytes]:
    """Return what matches a field that is read as a whole: not `x.f.g`, not `f: `."""
    words = "|".join(sorted(map(re.escape, names))).encode()
    return re.compile(rb"(?:" + words + rb")\b(?![ \t]*[.(\w:]|\{)")


_HOLDERS = frozenset({"type_declaration", "var_declaration"})
_FUNCTIONS = frozenset({"function_declaration", "method_declaration", "var_declaration"})
_TABLE = re.compile(rb"\bnoCopy\b|\b(?:sync|atomic)\.")
_MENTION = re.compile(rb"(?<![*\w.])([A-Za-z_]\w*(?:\.[A-Z]\w*)?)")
_EMBEDDED = re.compile(rb"[\n{;][ \t]*\Z")
_NAMES = re.compile(rb"(?:[\n{;]|\bvar\b)[ \t]*(?!type\b|var\b)(\w+(?:,[ \t]*\w+)*)[ \t][^\n{;]*\Z")
_DEREFERENCE = re.compile(rb"\*\(*+([a-z_]\w*+)[\w.]*+(?!\()(\)*[ \t]*[,)}])?")
_PREDECLARED = frozenset({"string", "bool", "byte", "error", "rune", "float32", "float64", "any"})
_CHAIN = re.compile(rb"[&*][\w.\[\]]*\Z")


def _declares_type(package: Package, file: GoFile, names: re.Match[bytes]) -> bool:
    """Return whether a name in a group of types is that of a type, not of a field."""
    at = (file.path, names.start(1))
    return any(decl.key == at for decl in package.names.get(names[1].decode(), ()))


def _is_word(byte: int) -> bool:
    return byte == 0x5F or chr(byte).isalnum()


def _is_copied(data: bytes, at: int) -> bool:
    """Return whether a field or variable read at an offset is not behind an `&`."""
    before = data[at - 1]
    if _is_word(before) or before in b"&*":
        return False
    if before != 0x2E:
        return True
    if data.endswith((b"sync.", b"atomic."), max(0, at - 7), at):
        return False
    return _CHAIN.search(data, max(0, at - 60), at) is None


def _is_harmless(file: GoFile, start: int, end: int) -> bool:
    """Return whether a type is named where its value is fresh, and is not copied later.

    `new(T)`; `T{…}` in place; `var x T` and `x := T{…}` when x is only used as `x.f`, `&x`.
    """
    data = file.data
    declaration = file.tree.declaration_at(start)
    if declaration is None or declaration.kind == "var_declaration":
        return False
    head = data[max(declaration.start, start - 80) : start]
    if head.endswith(b"new("):
        return True
    literal = data[end : end + 1] == b"{" and not head.endswith(b"]")
    named = _ASSIGNED.search(head) if literal else _DECLARED.search(head)
    if named is None:
        return literal
    rest = _alone(named[1])
    return rest.search(data, end, declaration.end) is None


_DECLARED = re.compile(rb"\bvar\s+(\w+)\s+\Z")
_ASSIGNED = re.compile(rb"(\w+)\s*(?::=|=)\s*\Z")


@lru_cache(maxsize=512)
def _alone(name: bytes) -> re.Pattern[bytes]:
    """Return what matches a variable that stands alone: not `x.f`, not `&x`."""
    return re.compile(rb"(?<![&.\w])" + name + rb"\b(?![ \t]*[.\w])")


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
