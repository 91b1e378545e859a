"""GoFile: one Go file as rules see it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from threadmend.golang.scope import Binding, resolve_local
from threadmend.golang.syntax import Declaration, Node, SyntaxTree
from threadmend.literals import Piece, Search, search_of
from threadmend.source import SourceFile

if TYPE_CHECKING:
    from threadmend.golang.infer import Selection
    from threadmend.golang.package import Decl, Package
    from threadmend.golang.types import Type

__all__ = ["GoFile", "Import", "Version"]

Version = tuple[int, int]

_CLAUSE = re.compile(
    rb"\A(?:\xef\xbb\xbf)?(?:\s+|//[^\n]*(?:\n|\Z)|/\*.*?\*/)*?package\s+(\w+)", re.S
)
_GENERATED = re.compile(
    rb"^//(?:[ \t]*DO NOT EDIT\b.*|.*\bDO NOT EDIT(?: \w+)?[.!]?)[ \t]*\r?$", re.M
)
_BUILD = re.compile(rb"^//go:build ([^\n]*)$", re.M)
_BUILD_GO = re.compile(rb"(?<!!)\bgo1\.(\d+)\b")


class Import(NamedTuple):
    """One import: the name it is used by (`""` for `_`, `"."` for a dot import) and its path."""

    name: str
    path: str
    node: Node


class GoFile:
    """The syntax of one file together with what its package tells about names and types."""

    def __init__(self, tree: SyntaxTree, package: Package) -> None:
        self.tree = tree
        self.package = package
        self.path = tree.source.path
        self.data = tree.data
        tree.is_field_key = package.workspace.inference.is_field_key
        self._matching: dict[Search, list[Declaration]] = {}

    def __repr__(self) -> str:
        return f"<GoFile {self.path}>"

    @property
    def source(self) -> SourceFile:
        """Return the bytes and positions."""
        return self.tree.source

    @cached_property
    def is_test(self) -> bool:
        """Return whether the file tests code that is beside it.

        In a directory of nothing but `_test.go` files (integration tests, what reproduces a
        bug) these are the code.
        """
        return self.is_test_file and self.package.workspace.has_code(self.package.directory)

    @property
    def is_test_file(self) -> bool:
        """Return whether the file is a `_test.go` file."""
        return self.path.endswith("_test.go")

    @cached_property
    def generated(self) -> bool:
        """Return whether the file says that it was generated (before its package clause)."""
        return is_generated(self.data)

    @property
    def broken(self) -> list[tuple[int, int]]:
        """Return the byte ranges that do not parse."""
        return self.tree.errors

    @cached_property
    def go_version(self) -> Version:
        """Return the language version: a `//go:build go1.N` of the file, else the module's."""
        build = _BUILD.search(self.data) if b"//go:build" in self.data else None
        if build:
            found = _BUILD_GO.search(build[1])
            if found and b"||" not in build[1]:
                return (1, int(found[1]))
        return self.package.go_version

    @cached_property
    def imports(self) -> list[Import]:
        """Return the imports, in source order."""
        found = []
        for declaration in self.tree.declarations:
            if declaration.kind == "import_declaration":
                for spec in declaration.node.find("import_spec"):
                    path = spec["path"].name.strip('"`')
                    given = spec.get("name")
                    if given is None:
                        name = self.package.workspace.package_name(path)
                    else:
                        name = "" if given.kind == "blank_identifier" else given.name
                        name = "." if given.kind == "dot" else name
                    found.append(Import(name, path, spec))
        return found

    @cached_property
    def _imported(self) -> dict[str, str]:
        return {i.name: i.path for i in self.imports if i.name not in {"", "."}}

    def imported(self, name: str) -> str | None:
        """Return the import path that a package name stands for in this file."""
        return self._imported.get(name)

    def imports_path(self, *paths: str) -> bool:
        """Return whether one of these import paths is imported."""
        return any(i.path in paths for i in self.imports)

    # -- finding syntax -------------------------------------------------------------

    @cached_property
    def _sound(self) -> list[Declaration]:
        return [d for d in self.tree.declarations if not d.has_error and d.kind in _FUNCTION_KINDS]

    def declarations(self, pattern: re.Pattern[bytes] | None = None) -> list[Declaration]:
        """Return the functions, methods and variables whose bytes match `pattern` and that parse.

        In source order, remembered: rules ask the same.
        """
        if pattern is None:
            return self._sound
        asked = search_of(pattern)
        found = self._matching.get(asked)
        if found is None:
            found = self._possible(asked)
            if found and not asked.plain:
                search, data = asked.quick.search, self.data
                found = [d for d in found if search(data, d.start, d.end)]
            self._matching[asked] = found
        return found

    def holds(self, pattern: re.Pattern[bytes]) -> bool:
        """Return whether some bytes of the file match a pattern."""
        asked = search_of(pattern)
        if asked.pieces and all(self._lacks(piece, word) for piece, word in asked.pieces):
            return False
        return asked.plain or asked.quick.search(self.data) is not None

    def may_hold(self, word: bytes) -> bool:
        """Return whether a word may stand in the file: False is certain, and soon told."""
        return self.package.may_hold(self.path, word)

    def _lacks(self, piece: Piece, word: bytes | None) -> bool:
        return (word is not None and not self.may_hold(word)) or piece.find(self.data) < 0

    def _possible(self, asked: Search) -> list[Declaration]:
        """Return the declarations that hold plain text without which there is no match."""
        if not asked.pieces:
            return self._sound
        data = self.data
        found: dict[int, Declaration] = {}
        for piece, word in asked.pieces:
            at = piece.find(data) if word is None or self.may_hold(word) else -1
            while at >= 0:
                declaration = self.tree.declaration_at(at)
                if declaration is not None and declaration.kind in _FUNCTION_KINDS:
                    if not declaration.has_error:
                        found[declaration.start] = declaration
                    at = declaration.end
                at = piece.find(data, at + 1)
        return [found[start] for start in sorted(found)]

    def find(
        self,
        kind: str,
        pattern: re.Pattern[bytes] | None = None,
        where: Callable[[Declaration], bool] | None = None,
    ) -> Iterator[Node]:
        """Yield the nodes of a kind (one that has children) in functions that match `pattern`.

        The pattern keeps functions that cannot matter from being lowered: give one, unless
        the kind has a keyword of its own. `where` looks closer at those that match.
        """
        for declaration in self.declarations(pattern or _KEYWORDS.get(kind)):
            if where is None or where(declaration):
                yield from declaration.index.get(kind, ())

    def functions(
        self,
        pattern: re.Pattern[bytes] | None = None,
        where: Callable[[Declaration], bool] | None = None,
    ) -> Iterator[Node]:
        """Yield functions, methods and literals (each a function of its own)."""
        for declaration in self.declarations(pattern):
            if where is not None and not where(declaration):
                continue
            if declaration.kind != "var_declaration":
                yield declaration.node
            yield from declaration.index.get("func_literal", ())

    def calls(
        self, *names: str, where: Callable[[Declaration], bool] | None = None
    ) -> Iterator[Node]:
        """Yield the calls whose function's last name (`x.mu.Lock` → `Lock`) is one of these.

        `where` leaves out declarations that need not be lowered.
        """
        wanted = [name.encode() for name in names]
        for declaration in self.declarations(_call_pattern(names)):
            if where is not None and not where(declaration):
                continue
            calls = declaration.calls
            found = [call for name in wanted for call in calls.get(name, ())]
            yield from found if len(wanted) == 1 else sorted(found, key=_start)

    def calls_with(self, text: bytes) -> Iterator[Node]:
        """Yield the calls in whose source a text (`(nil`) occurs outside of their function."""
        for call in self.find("call_expression", re.compile(re.escape(text))):
            if text in self.data[call["function"].end : call.end]:
                yield call

    # -- names and types ------------------------------------------------------------

    def resolve(self, node: Node) -> Binding | Decl | Import | None:
        """Return what an identifier means: a local binding, a declaration, an import."""
        return self.package.workspace.inference.resolve(node)

    def binding(self, node: Node | None) -> Binding | None:
        """Return the local binding that an identifier means, if it means one."""
        if node is None or node.kind not in {"identifier", "type_identifier"}:
            return None
        if self.package.workspace.inference.is_field_key(node):
            return None
        return resolve_local(node)

    def type_of(self, node: Node | None) -> Type | None:
        """Return the type of an expression, None when it cannot be told."""
        return self.package.workspace.inference.type_of(node)

    def type_from(self, node: Node | None) -> Type | None:
        """Return the type that a type expression (`map[string]*T`) denotes."""
        return self.package.workspace.inference.type_from(node)

    def selection(self, node: Node) -> Selection | None:
        """Return which field or method a selector means, through embedding."""
        return self.package.workspace.inference.selection(node)

    def underlying(self, type_: Type | None) -> Type | None:
        """Return the type behind a named type."""
        return self.package.workspace.inference.underlying(type_)

    def callee(self, call: Node) -> Decl | None:
        """Return the function or method declaration that a call runs, if it is certain."""
        return self.package.workspace.inference.callee(call)


_FUNCTION_KINDS = frozenset({"function_declaration", "method_declaration", "var_declaration"})
_KEYWORDS = {
    kind: re.compile(word)
    for kind, word in {
        "break_statement": rb"\bbreak\b",
        "continue_statement": rb"\bcontinue\b",
        "defer_statement": rb"\bdefer\b",
        "for_statement": rb"\bfor\b",
        "func_literal": rb"\bfunc\b",
        "go_statement": rb"\bgo\b",
        "range_clause": rb"\brange\b",
        "select_statement": rb"\bselect\b",
        "send_statement": rb"<-",
    }.items()
}
_start = attrgetter("start")
_call_patterns: dict[tuple[str, ...], re.Pattern[bytes]] = {}


def _call_pattern(names: tuple[str, ...]) -> re.Pattern[bytes]:
    pattern = _call_patterns.get(names)
    if pattern is None:
        words = b"|".join(re.escape(name.encode()) for name in names)
        pattern = _call_patterns[names] = re.compile(rb"\b(?:" + words + rb")\b")
    return pattern


def package_clause(data: bytes) -> str | None:
    """Return the package name that Go source declares, None without a package clause."""
    found = _CLAUSE.match(data)
    return found[1].decode() if found else None


def is_generated(data: bytes) -> bool:
    """Return whether Go source carries the mark of generated code.

    The mark counts only before the package clause (https://go.dev/s/generatedcode). Generators
    that are older than the standard's wording write others: `// DO NOT EDIT!`.
    """
    if b"DO NOT EDIT" not in data:
        return False
    mark = _GENERATED.search(data)
    if mark is None:
        return False
    clause = _CLAUSE.match(data)
    return clause is None or mark.start() < clause.end()
