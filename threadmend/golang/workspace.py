"""Workspace and Module: all Go files of a project, and which package an import path means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from posixpath import basename, dirname
from typing import Any

from threadmend.golang.evidence import Evidence
from threadmend.golang.file import GoFile, Version, package_clause
from threadmend.golang.infer import Inference
from threadmend.golang.package import Package
from threadmend.golang.syntax import Node, SyntaxTree
from threadmend.source import SourceFile

__all__ = ["Module", "Workspace"]

_MODULE = re.compile(rb"^module[ \t]+\"?([^\s\"]+)", re.M)
_GO = re.compile(rb"^go[ \t]+1\.(\d+)", re.M)
_REQUIRE = re.compile(rb"^\s*(?:require\s+)?([^\s(]+\.[^\s]+)\s+(v[^\s]+)", re.M)
_MAJOR = re.compile(r"/v\d+$")


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
        # Test data may hold several modules of one name: imports mean the first. Without a
        # module, the folder `sync` is not what an import of "sync" means.
        if module is not None:
            home = self._directory_of(path) == directory
        else:
            home = not _table_entry(path).is_file()
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
        entry = _table_entry(path)
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


def _table_entry(path: str) -> Traversable:
    """Return the file that the table of known packages has, or would have, for a path."""
    table = resources.files("threadmend.golang").joinpath("std")
    return table.joinpath(path.replace("/", "__") + ".go.txt")
