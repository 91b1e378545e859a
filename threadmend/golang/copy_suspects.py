"""Suspects: the functions in which a value that contains a lock may be copied.

Told from the bytes alone, so that the few functions that matter are the only ones lowered;
`copies` looks into them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from threadmend.golang.nocopy import KNOWN, is_ours, nocopy
from threadmend.golang.syntax import Declaration

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package
    from threadmend.golang.workspace import Workspace

__all__ = ["suspects"]


def suspects(file: GoFile) -> list[Declaration]:
    """Return the functions and variables of a file in which a lock value may be copied.

    They name a lock type without `*`, read a field that holds one, or dereference a pointer
    into a value.
    """
    workspace = file.package.workspace
    searcher = workspace.facts.get("copy suspects")
    if searcher is None:
        searcher = workspace.facts["copy suspects"] = _Suspects(workspace)
    found: dict[int, Declaration] = {}
    for offset in searcher.hits(file):
        declaration = file.tree.declaration_at(offset)
        if declaration is not None and declaration.kind in _FUNCTIONS:
            if not declaration.has_error:
                found[declaration.start] = declaration
    return [found[start] for start in sorted(found)]


class _Suspects:
    """What is known of a workspace's files, remembered."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._nocopy = nocopy(workspace)
        self._fields: dict[Package, frozenset[str]] = {}
        self._patterns: dict[Package, re.Pattern[bytes] | None] = {}
        self._mentioned: dict[str, list[tuple[int, int]]] = {}
        self._reads: dict[Package, re.Pattern[bytes] | None] = {}
        self._selectable: dict[Package, frozenset[bytes]] = {}

    def _value_fields(self, package: Package) -> frozenset[str]:
        """Return the names of variables, and of fields as `.name`, that hold lock values.

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
                    yield "." + data[start:end].decode().rpartition(".")[2]
                    continue
                names = _NAMES.search(data, line, start)
                if names and not _declares_type(package, file, names):
                    dot = "" if declaration.kind == "var_declaration" else "."
                    yield from (dot + name.strip() for name in names[1].decode().split(","))

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
            names = sorted(self._nocopy.types(package))
            self._patterns[package] = _words(names) if names else None
        return self._patterns[package]

    def _qualified(self, file: GoFile) -> dict[bytes, frozenset[bytes]]:
        """Return the lock types of the packages that a file imports, by qualifier."""
        found: dict[bytes, frozenset[bytes]] = {}
        for imported in file.imports:
            if not imported.name or imported.name == ".":
                continue
            names = {name for path, name in KNOWN if path == imported.path}
            package = self._workspace.package(imported.path)
            if package is not None:
                names |= {name for name in self._nocopy.types(package) if name[:1].isupper()}
            if names:
                found[imported.name.encode()] = frozenset(n.encode() for n in names)
        return found

    def hits(self, file: GoFile) -> Iterator[int]:
        """Yield where a file's bytes suggest that a lock value is copied."""
        # No pattern here begins with a look-behind or `\b`: `re` then tries every byte.
        data = file.data
        for start, end in self._named(file):
            if not _is_harmless(file, start, end):
                yield start
        fields = self._readable(file)
        if fields:
            for hit in _SELECTED.finditer(data):
                if hit[1] in fields and _is_copied(data, hit.start()):
                    yield hit.start() + 1
        variables = self._variables(file.package)
        if variables is not None:
            for hit in variables.finditer(data):
                if _is_copied(data, hit.start()):
                    yield hit.start() + 1
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

    def _readable(self, file: GoFile) -> set[bytes]:
        """Return the names behind a dot by which a file can read a value with a lock."""
        package = file.package
        found = {n[1:].encode() for n in self._value_fields(package) if n.startswith(".")}
        for imported in file.imports:
            other = self._workspace.package(imported.path)
            if other is not None and other is not package and is_ours(other):
                found |= self._exported(other)
        return found

    def _exported(self, package: Package) -> frozenset[bytes]:
        """Return the names that other packages select: of fields, and of variables like fields."""
        if package not in self._selectable:
            names = {n.lstrip(".") for n in self._value_fields(package)}
            self._selectable[package] = frozenset(n.encode() for n in names if n[0].isupper())
        return self._selectable[package]

    def _variables(self, package: Package) -> re.Pattern[bytes] | None:
        if package not in self._reads:
            names = [n for n in self._value_fields(package) if not n.startswith(".")]
            self._reads[package] = _reads(names) if names else None
        return self._reads[package]


@lru_cache(maxsize=512)
def _selectors(qualifiers: frozenset[bytes]) -> re.Pattern[bytes]:
    names = b"|".join(sorted(map(re.escape, qualifiers)))
    return re.compile(rb"(" + names + rb")\.([A-Z]\w*)")


def _words(names: list[str]) -> re.Pattern[bytes]:
    return re.compile(rb"(?:" + "|".join(map(re.escape, names)).encode() + rb")\b")


def _reads(names: list[str]) -> re.Pattern[bytes]:
    """Return what matches a variable that is read as a whole: not `x.f.g`, not `f: `."""
    words = "|".join(sorted(map(re.escape, names))).encode()
    return re.compile(rb"(?:" + words + rb")\b" + _WHOLE)


# Nothing of it is selected or called, and it is no key.
_WHOLE = rb"(?![ \t]*[.(\w:]|\{)"
_SELECTED = re.compile(rb"\.([\w\x80-\xff]++)" + _WHOLE)
_HOLDERS = frozenset({"type_declaration", "var_declaration"})
_FUNCTIONS = frozenset({"function_declaration", "method_declaration", "var_declaration"})
_EMBEDDED = re.compile(rb"[\n{;][ \t]*\Z")
_NAMES = re.compile(rb"(?:[\n{;]|\bvar\b)[ \t]*(?!type\b|var\b)(\w+(?:,[ \t]*\w+)*)[ \t][^\n{;]*\Z")
_DEREFERENCE = re.compile(rb"\*\(*+([a-z_]\w*+)[\w.]*+(?!\()(\)*[ \t]*[,)}])?")
_PREDECLARED = frozenset({"string", "bool", "byte", "error", "rune", "float32", "float64", "any"})
_CHAIN = re.compile(rb"[&*][\w.\[\]]*\Z")


def _declares_type(package: Package, file: GoFile, names: re.Match[bytes]) -> bool:
    """Return whether a name in a group of types is that of a type, not of a field."""
    at = (file.path, names.start(1))
    decls = package.names.get(names[1].decode(), ())
    return any(decl.kind == "type" and decl.key == at for decl in decls)


def _is_word(byte: int) -> bool:
    return byte == 0x5F or chr(byte).isalnum()


def _is_copied(data: bytes, at: int) -> bool:
    """Return whether a variable, or a field whose dot is at an offset, is not behind an `&`."""
    if data[at] != 0x2E:
        before = data[at - 1]
        return not _is_word(before) and before not in b"&*."
    if data.endswith((b"sync", b"atomic"), max(0, at - 6), at):
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
