"""Workspace, Module, Package: which declarations a name outside a function can mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from importlib import resources
from posixpath import basename, dirname
from typing import Any

from threadmend.golang.evidence import Evidence
from threadmend.golang.file import GoFile, Version, package_clause
from threadmend.golang.infer import Inference
from threadmend.golang.syntax import Declaration, Node, SyntaxTree
from threadmend.source import SourceFile

__all__ = ["Decl", "Module", "Package", "Workspace"]

LATEST: Version = (1, 27)

_MODULE = re.compile(rb"^module[ \t]+\"?([^\s\"]+)", re.M)
_GO = re.compile(rb"^go[ \t]+1\.(\d+)", re.M)
_REQUIRE = re.compile(rb"^\s*(?:require\s+)?([^\s(]+\.[^\s]+)\s+(v[^\s]+)", re.M)
_FOREIGN = re.compile(
    r"_(?:windows|darwin|freebsd|openbsd|netbsd|dragonfly|solaris|illumos|aix|plan9|js|wasip1"
    r"|android|ios|wasm|arm|arm64|386|mips\w*|ppc64\w*|riscv64|s390x|loong64)(?:_test)?\.go$"
)
_MAJOR = re.compile(r"/v\d+$")


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
        return self._declaration.raw.child_by_field_name("body") is not None

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
        return self.module.go_version if self.module else LATEST

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
        for file in self.files:
            declaration = file.tree.declaration_at(offset)
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

    def mentions(self, word: str) -> Iterator[GoFile]:
        """Yield the files whose bytes contain a word."""
        pattern = re.compile(rb"\b" + re.escape(word.encode()) + rb"\b")
        for file in self.files:
            if file.holds(pattern):
                yield file

    def uses(self, name: str) -> Iterator[Node]:
        """Yield the identifiers in functions of the package that mean a package-level name."""
        decl = self.lookup(name)
        if decl is None:
            return
        pattern = re.compile(rb"\b" + re.escape(name.encode()) + rb"\b")
        for file in self.files:
            for declaration in file.tree.declarations:
                if pattern.search(file.data, declaration.start, declaration.end):
                    for node in declaration.node.walk():
                        if node.kind in _NAMES and node.name == name:
                            meant = file.resolve(node)
                            if isinstance(meant, Decl) and meant.name == name:
                                if meant.file.package is self and meant.kind != "method":
                                    yield node


_NAMES = frozenset({"identifier", "type_identifier"})
_HOLD_TYPES = frozenset({"function_declaration", "method_declaration", "var_declaration"})


class Module:
    """One `go.mod`: its path, language version, requirements and packages."""

    def __init__(self, workspace: Workspace, directory: str, data: bytes) -> None:
        self.workspace = workspace
        self.directory = directory
        found = _MODULE.search(data)
        self.path = found[1].decode() if found else ""
        version = _GO.search(data)
        # Without a go line the language version is 1.16 (https://go.dev/ref/mod#go-mod-file-go).
        self.go_version: Version = (1, int(version[1])) if version else (1, 16)
        self.requires = {m[1].decode(): m[2].decode() for m in _REQUIRE.finditer(data)}

    def __repr__(self) -> str:
        return f"<Module {self.path}>"

    @property
    def packages(self) -> list[Package]:
        """Return the packages of the module, by path."""
        return [p for p in self.workspace.packages if p.module is self]


class Workspace:
    """All Go files of a project, arranged by module and package.

    `source` returns the content of a path; `trees` may be shared between workspaces: it
    holds parsed files by path and is checked by content.
    """

    def __init__(
        self,
        paths: Iterable[str],
        source: Callable[[str], SourceFile],
        trees: dict[str, SyntaxTree] | None = None,
    ) -> None:
        self.source = source
        self._trees = trees if trees is not None else {}
        self._files: dict[str, GoFile] = {}
        self._imported: dict[str, Package | None] = {}
        paths = sorted(paths)
        self.go_files = [p for p in paths if p.endswith(".go")]
        self._mod_files = [p for p in paths if basename(p) == "go.mod"]
        self._by_directory: dict[str, list[str]] = {}
        for path in self.go_files:
            self._by_directory.setdefault(dirname(path), []).append(path)
        self._in_directory: dict[str, list[Package]] = {}
        self._has_code: dict[str, bool] = {}
        self._directories: dict[str, str | None] = {}
        self._by_key: dict[str, Package] = {}
        # What fact modules worked out for the whole workspace, by the name of the fact.
        self.facts: dict[str, Any] = {}
        # What runs of the program showed, for rules that act upon it.
        self.evidence: tuple[Evidence, ...] = ()
        self.inference = Inference(self)

    # -- modules --------------------------------------------------------------------

    @cached_property
    def modules(self) -> list[Module]:
        """Return the modules, outermost first."""
        return [Module(self, dirname(p), self.source(p).data) for p in self._mod_files]

    @cached_property
    def _module_directories(self) -> dict[str, Module]:
        return {m.directory: m for m in self.modules}

    def module_of(self, directory: str) -> Module | None:
        """Return the module that a directory belongs to."""
        known = self._module_directories
        while True:
            if directory in known:
                return known[directory]
            if not directory:
                return None
            directory = dirname(directory)

    # -- packages -------------------------------------------------------------------

    def has_code(self, directory: str) -> bool:
        """Return whether a directory has Go files that are no tests."""
        known = self._has_code.get(directory)
        if known is None:
            known = self._has_code[directory] = any(
                path.endswith(".go") and not path.endswith("_test.go")
                for path in self._by_directory.get(directory, ())
            )
        return known

    def in_directory(self, directory: str) -> list[Package]:
        """Return the packages of a directory: usually one, and its external tests."""
        found = self._in_directory.get(directory)
        if found is None:
            found = self._in_directory[directory] = self._read_directory(directory)
        return found

    def _read_directory(self, directory: str) -> list[Package]:
        module = self.module_of(directory)
        path = directory
        if module is not None:
            rest = directory[len(module.directory) :].strip("/")
            path = f"{module.path}/{rest}" if rest else module.path
        by_name: dict[str, Package] = {}
        for file_path in self._by_directory.get(directory, ()):
            name = package_clause(self._data(file_path)) or ""
            package = by_name.get(name)
            if package is None:
                external = name.endswith("_test") and file_path.endswith("_test.go")
                own = f"{path}_test" if external else path or name
                package = by_name[name] = Package(self, own, name, directory, module)
            package.file_paths.append(file_path)
        # Test data may hold several modules of one name: imports mean the first.
        home = module is None or self._directory_of(path) == directory
        where = "" if home else f" ({directory})"
        for package in sorted(by_name.values(), key=_imported_first):
            package.key = f"{package.path}{where}"
            if package.key in self._by_key:
                package.key += f" ({package.name})"
            self._by_key[package.key] = package
        return [by_name[name] for name in sorted(by_name)]

    def _data(self, path: str) -> bytes:
        tree = self._trees.get(path)
        return tree.data if tree is not None else self.source(path).data

    @cached_property
    def packages(self) -> list[Package]:
        """Return every package of the project, by directory."""
        return [p for directory in self._by_directory for p in self.in_directory(directory)]

    def package(self, path: str) -> Package | None:
        """Return the package of an import path: the project's, vendored, or a known one."""
        if path not in self._imported:
            directory = self._directory_of(path)
            if directory is not None:
                self._imported[path] = min(self.in_directory(directory), key=_imported_first)
            else:
                self._imported[path] = self._known(path)
        return self._imported[path]

    def package_by_key(self, key: str) -> Package | None:
        """Return the package that `Named.package` speaks of."""
        if not key:
            return None
        return self._by_key.get(key) or self.package(key)

    def _directory_of(self, path: str) -> str | None:
        known: dict[str, str | None] = self.facts.setdefault("directories", {})
        if path not in known:
            known[path] = self._find_directory(path)
        return known[path]

    def _find_directory(self, path: str) -> str | None:
        best: Module | None = None
        for module in self.modules:
            if path == module.path or path.startswith(module.path + "/"):
                if best is None or len(module.path) > len(best.path):
                    best = module
        if best is not None:
            rest = path[len(best.path) :].strip("/")
            directory = "/".join(p for p in (best.directory, rest) if p)
            if directory in self._by_directory:
                return directory
        for module in self.modules:
            directory = "/".join(p for p in (module.directory, "vendor", path) if p)
            if directory in self._by_directory:
                return directory
        return None

    def package_name(self, path: str) -> str:
        """Return the name that importing a path declares."""
        package = self.package(path)
        if package is not None and package.name:
            return package.name
        name = basename(_MAJOR.sub("", path))
        # gopkg.in/yaml.v3 is yaml, github.com/x/go-y is y by convention only: left as it is.
        return re.sub(r"\.v\d+$", "", name).replace("-", "_")

    def _known(self, path: str) -> Package | None:
        """Return a package of the table of the standard library and ubiquitous modules."""
        table = resources.files("threadmend.golang").joinpath("std")
        entry = table.joinpath(path.replace("/", "__") + ".go.txt")
        if not entry.is_file():
            return None
        data = entry.read_bytes()
        package = Package(self, path, package_clause(data) or basename(path), "", None)
        file_path = f"$table/{path}.go"
        self._trees[file_path] = SyntaxTree(SourceFile(file_path, data))
        self._files[file_path] = GoFile(self._trees[file_path], package)
        package.file_paths.append(file_path)
        return package

    # -- files ----------------------------------------------------------------------

    def tree(self, path: str) -> SyntaxTree:
        """Return the parsed file, from the shared trees when its content is the same."""
        source = self.source(path) if not path.startswith("$") else self._trees[path].source
        tree = self._trees.get(path)
        if tree is None or (tree.source is not source and tree.data != source.data):
            tree = self._trees[path] = SyntaxTree(source)
        return tree

    def file(self, path: str) -> GoFile:
        """Return a file of the project with its package."""
        file = self._files.get(path)
        if file is None:
            package = next(p for p in self.in_directory(dirname(path)) if path in p.file_paths)
            file = self._files[path] = GoFile(self.tree(path), package)
        return file

    def file_of(self, node: Node) -> GoFile:
        """Return the file that a node stands in."""
        return self.file(node.tree.source.path)


def _imported_first(package: Package) -> tuple[bool, bool, int, str]:
    """Return the order in which the packages of one directory can be what an import means."""
    tests = package.name.endswith("_test") or all(
        p.endswith("_test.go") for p in package.file_paths
    )
    return (tests, package.name == "main", -len(package.file_paths), package.name)


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
