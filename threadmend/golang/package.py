"""Package and Decl: which declarations a name outside a function can mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from threadmend.golang.file import GoFile, Version
from threadmend.golang.scope import identifiers
from threadmend.golang.syntax import Declaration, Node
from threadmend.literals import words

if TYPE_CHECKING:
    from threadmend.golang.workspace import Module, Workspace

__all__ = ["Decl", "Package"]

_LATEST: Version = (1, 27)

_FOREIGN = re.compile(
    r"_(?:windows|darwin|freebsd|openbsd|netbsd|dragonfly|solaris|illumos|aix|plan9|js|wasip1"
    r"|android|ios|wasm|arm|arm64|386|mips\w*|ppc64\w*|riscv64|s390x|loong64)(?:_test)?\.go$"
)


class Decl:
    """One package-level declaration: a function, method, type, variable or constant.

    `node` is its syntax: `function_declaration`, `method_declaration`, `type_spec`,
    `type_alias`, `var_spec` or `const_spec`.
    """

    __slots__ = ("_declaration", "_node", "_offset", "file", "index", "kind", "name", "receiver")

    def __init__(
        self,
        kind: str,
        name: str,
        file: GoFile,
        declaration: Declaration,
        offset: int,
        receiver: str = "",
        index: int = 0,
    ) -> None:
        self.kind = kind
        self.name = name
        self.file = file
        self.receiver = receiver
        self.index = index
        self._declaration = declaration
        self._node: Node | None = None
        self._offset = offset

    def __repr__(self) -> str:
        dot = f"{self.receiver}." if self.receiver else ""
        return f"<{self.kind} {dot}{self.name} in {self.file.path}>"

    @property
    def node(self) -> Node:
        """Return the lowered syntax."""
        if self._node is None:
            self._node = self._declaration.node
            if self.kind not in {"func", "method"}:
                index = self._declaration.index
                specs = (node for kind in _SPECS for node in index.get(kind, ()))
                found = (node for node in specs if node.start == self._offset)
                self._node = next(found, self._node)
        return self._node

    @property
    def header(self) -> Node:
        """Return the lowered syntax, of a function or method without its body."""
        return self._declaration.header if self.kind in {"func", "method"} else self.node

    @property
    def span(self) -> tuple[int, int]:
        """Return the byte range of the whole top-level declaration, without lowering it."""
        return self._declaration.start, self._declaration.end

    @property
    def sound(self) -> bool:
        """Return whether the declaration parses."""
        return not self._declaration.has_error

    @property
    def has_body(self) -> bool:
        """Return whether a function has its body in Go; nothing is lowered for the answer."""
        return self._declaration.body_start >= 0

    @property
    def body_start(self) -> int:
        """Return where a function's body begins, -1 without one; nothing is lowered either."""
        return self._declaration.body_start

    @property
    def exported(self) -> bool:
        """Return whether the name begins with a capital letter."""
        return self.name[:1].isupper()

    @property
    def key(self) -> tuple[str, int]:
        """Return path and offset, which tell declarations apart."""
        return (self.file.path, self._offset)


class Package:
    """The files of one directory that share a package clause."""

    def __init__(
        self, workspace: Workspace, path: str, name: str, directory: str, module: Module | None
    ) -> None:
        self.workspace = workspace
        self.path = path
        self.name = name
        self.directory = directory
        self.module = module
        self.file_paths: list[str] = []
        # What `Named.package` says for this package's types: its path, or for a further
        # package of one directory (a program that `go build` ignores) path and name.
        self.key = path
        # What fact modules worked out for the package, by the name of the fact.
        self.facts: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<Package {self.path} ({self.name})>"

    @property
    def go_version(self) -> Version:
        """Return the language version of the module."""
        return self.module.go_version if self.module else _LATEST

    @cached_property
    def files(self) -> list[GoFile]:
        """Return the files, those of tests and of other platforms last."""
        paths = sorted(
            self.file_paths,
            key=lambda p: (p.endswith("_test.go"), bool(_FOREIGN.search(p)), p),
        )
        return [self.workspace.file(path) for path in paths]

    @cached_property
    def _index(self) -> tuple[dict[str, list[Decl]], dict[str, dict[str, list[Decl]]]]:
        names: dict[str, list[Decl]] = {}
        methods: dict[str, dict[str, list[Decl]]] = {}
        for file in self.files:
            for decl in _declarations(file):
                if decl.kind == "method":
                    methods.setdefault(decl.receiver, {}).setdefault(decl.name, []).append(decl)
                else:
                    names.setdefault(decl.name, []).append(decl)
        return names, methods

    def lookup(self, name: str) -> Decl | None:
        """Return what a package-level name declares; the first of build-tagged variants."""
        found = self._index[0].get(name)
        return found[0] if found else None

    def lookup_all(self, name: str) -> list[Decl]:
        """Return every declaration of a name, build-tagged variants included."""
        return self._index[0].get(name, [])

    def methods(self, type_name: str) -> Mapping[str, list[Decl]]:
        """Return the methods declared on a type of this package (or its pointer), by name."""
        return self._index[1].get(type_name, {})

    def all_methods(self) -> Mapping[str, Mapping[str, list[Decl]]]:
        """Return the methods of all types of the package, by type and name."""
        return self._index[1]

    @property
    def names(self) -> Mapping[str, list[Decl]]:
        """Return all package-level declarations but methods, by name."""
        return self._index[0]

    def local_type(self, name: str, offset: int) -> Node | None:
        """Return the `type_spec` inside a function at a byte offset of one of the files."""
        text = name.encode()
        for file in self.files:
            # Most files have something else at that place.
            starts = file.data.startswith(text, offset)
            declaration = file.tree.declaration_at(offset) if starts else None
            if declaration is not None and declaration.kind in _HOLD_TYPES:
                for spec in declaration.index.get("type_spec", ()):
                    if spec.start == offset and spec["name"].name == name:
                        return spec
        return None

    def functions(self) -> list[Decl]:
        """Return every function and method declared in the package."""
        return self._functions

    @cached_property
    def _functions(self) -> list[Decl]:
        names, methods = self._index
        found = [d for decls in names.values() for d in decls if d.kind == "func"]
        return found + [d for by_name in methods.values() for ds in by_name.values() for d in ds]

    def function_at(self, path: str, offset: int) -> Decl | None:
        """Return the function or method that begins at a byte offset of a file, not lowered."""
        return self._by_key.get((path, offset))

    @cached_property
    def _by_key(self) -> dict[tuple[str, int], Decl]:
        return {decl.key: decl for decl in self.functions()}

    def may_hold(self, path: str, word: bytes) -> bool:
        """Return whether a word stands in one of the files: False is certain, and soon told.

        A question about one name would read every byte of a package: it is remembered which
        words each file has.
        """
        found = self._words.get(word)
        if found is None:
            return not word.isascii()
        return bool(found >> self._numbers[path] & 1)

    @cached_property
    def _words(self) -> dict[bytes, int]:
        """Return the files that hold a word, a bit for each."""
        found: dict[bytes, int] = {}
        for number, file in enumerate(self.files):
            bit = 1 << number
            for word in words(file.data):
                found[word] = found.get(word, 0) | bit
        return found

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {file.path: number for number, file in enumerate(self.files)}

    def holds(self, pattern: re.Pattern[bytes], *, tests: bool = True) -> bool:
        """Return whether some bytes of some file match a pattern; remembered by its text."""
        known: dict[tuple[bytes, int, bool], bool] = self.facts.setdefault("held patterns", {})
        key = (pattern.pattern, pattern.flags, tests)
        found = known.get(key)
        if found is None:
            files = (file for file in self.files if tests or not file.is_test)
            found = known[key] = any(file.holds(pattern) for file in files)
        return found

    def mentions(self, word: str) -> Iterator[GoFile]:
        """Yield the files whose bytes contain a word."""
        pattern = re.compile(rb"\b" + re.escape(word.encode()) + rb"\b")
        for file in self.files:
            if file.holds(pattern):
                yield file

    def uses(
        self, name: str, pattern: re.Pattern[bytes] | None = None, *, tests: bool = True
    ) -> Iterator[Node]:
        """Yield the identifiers in functions of the package that mean a package-level name.

        With a pattern those in declarations where it matches.
        """
        decl = self.lookup(name)
        if decl is None:
            return
        pattern = pattern or re.compile(rb"\b" + re.escape(name.encode()) + rb"\b")
        for file in (file for file in self.files if tests or not file.is_test):
            for declaration in file.tree.declarations if file.holds(pattern) else ():
                if pattern.search(file.data, declaration.start, declaration.end):
                    for node in identifiers(declaration.node, name):
                        meant = file.resolve(node)
                        if isinstance(meant, Decl) and meant.name == name:
                            if meant.file.package is self and meant.kind != "method":
                                yield node


_HOLD_TYPES = frozenset({"function_declaration", "method_declaration", "var_declaration"})


def _declarations(file: GoFile) -> Iterator[Decl]:
    for declaration in file.tree.declarations:
        raw = declaration.raw
        kind = declaration.kind
        if kind == "function_declaration":
            name = raw.child_by_field_name("name")
            if name is not None and name.text is not None:
                yield Decl("func", name.text.decode(), file, declaration, raw.start_byte)
        elif kind == "method_declaration":
            name = raw.child_by_field_name("name")
            receiver = raw.child_by_field_name("receiver")
            if name is not None and receiver is not None and name.text and receiver.text:
                found = _RECEIVER.match(receiver.text)
                if found:
                    owner = found[1].decode()
                    yield Decl(
                        "method", name.text.decode(), file, declaration, raw.start_byte, owner
                    )
        elif kind in _GROUPS:
            yield from _specs(file, declaration, _GROUPS[kind])


_RECEIVER = re.compile(rb"\(\s*(?:\w+\s+)?\(?\*?\s*\(?(\w+)")
_GROUPS = {"type_declaration": "type", "var_declaration": "var", "const_declaration": "const"}
_SPECS = frozenset({"type_spec", "type_alias", "var_spec", "const_spec"})


def _specs(file: GoFile, declaration: Declaration, kind: str) -> Iterator[Decl]:
    pending = list(declaration.raw.named_children)
    while pending:
        raw = pending.pop(0)
        if raw.type == "var_spec_list":
            pending = list(raw.named_children) + pending
        elif raw.type in _SPECS:
            names = [n for n in raw.children_by_field_name("name") if n.is_named]
            for index, name in enumerate(names):
                if name.text is not None:
                    text = name.text.decode("utf-8", "replace")
                    yield Decl(kind, text, file, declaration, raw.start_byte, "", index)
