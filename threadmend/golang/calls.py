"""The call graph: who calls a function or method, and where it is used as a value."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal, TypeVar, overload

from threadmend.golang.syntax import Declaration, Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package
    from threadmend.golang.workspace import Workspace

__all__ = [
    "Callers",
    "Site",
    "callers",
    "code_callers",
    "code_files",
    "has_one_caller",
    "importers",
    "known_of_all",
    "leaf_at",
    "occurrences",
    "own_callers",
    "sites_in",
]

_Read = TypeVar("_Read")


@dataclass(slots=True)
class Site:
    """One use of a function: `call` is the call it is the callee of, None for a value.

    `launched`: the call is that of a `go` statement. `node` is the name that stands there.
    """

    file: GoFile
    node: Node
    call: Node | None

    @property
    def launched(self) -> bool:
        """Return whether a `go` statement makes the call."""
        parent = self.call.parent if self.call is not None else None
        return parent is not None and parent.kind == "go_statement"

    @property
    def deferred(self) -> bool:
        """Return whether a `defer` statement makes the call."""
        parent = self.call.parent if self.call is not None else None
        return parent is not None and parent.kind == "defer_statement"


class _Uses:
    """The uses of a function in one file, each found when somebody asks for it."""

    __slots__ = ("_decl", "_file", "_found")

    def __init__(self, file: GoFile, decl: Decl) -> None:
        self._file = file
        self._decl = decl
        # What looks like a use may be none (None), or was passed over so far (False).
        self._found: list[Site | Literal[False] | None] = []

    def __iter__(self) -> Iterator[Site]:
        return self.where(None)

    def where(self, wanted: Callable[[GoFile, int], bool] | None) -> Iterator[Site]:
        """Yield the uses at the places that are wanted, and perhaps others."""
        found = self._found
        for number, at in enumerate(_named(self._file, self._decl)):
            if number == len(found):
                found.append(False)
            site = found[number]
            if site is False and (wanted is None or wanted(self._file, at)):
                site = found[number] = next(_site(self._file, self._decl, at), None)
            if site:
                yield site


class Callers(Sequence[Site]):
    """The uses of a function, found as somebody goes through them.

    Most questions about callers are answered by the first of them, and for each place that is
    looked at a declaration is lowered, and the types in it are told.
    """

    __slots__ = ("_uses",)

    def __init__(self, decl: Decl) -> None:
        package = decl.file.package
        using = (package, *(importers(package) if decl.exported else ()))
        files = [f for each in using for f in each.files if _named(f, decl)]
        self._uses = [(file, _Uses(file, decl)) for file in files]

    def __iter__(self) -> Iterator[Site]:
        for _, uses in self._uses:
            yield from uses

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return any(True for _ in self)

    @overload
    def __getitem__(self, at: int) -> Site: ...
    @overload
    def __getitem__(self, at: slice) -> list[Site]: ...
    def __getitem__(self, at: int | slice) -> Site | list[Site]:
        if isinstance(at, int) and at >= 0:
            for site in islice(self, at, None):
                return site
        return list(self)[at]

    def of(self, file: GoFile) -> Iterable[Site]:
        """Return the uses in one file."""
        return next((uses for where, uses in self._uses if where is file), ())

    def in_code(self, wanted: Callable[[GoFile, int], bool] | None = None) -> Iterator[Site]:
        """Yield the uses outside of tests: tests are not even looked at.

        Nor is a place that is not `wanted`, by its file and offset.
        """
        for file, uses in self._uses:
            if not file.is_test:
                yield from uses.where(wanted)


def callers(decl: Decl) -> Callers:
    """Return every use of a function or method: in its package, if exported in importers too.

    For a method: every selector of its name whose receiver may be of its type; a selector
    with an unknown receiver counts as a use as a value, so that nobody takes silence for
    "no other callers".
    """
    known: dict[tuple[str, int], Callers]
    known = decl.file.package.facts.setdefault("callers", {})
    found = known.get(decl.key)
    if found is None:
        found = known[decl.key] = Callers(decl)
    return found


def code_callers(decl: Decl) -> list[Site]:
    """Return the uses of a function or method outside of tests; what else `callers` says holds."""
    return list(callers(decl).in_code())


def has_one_caller(decl: Decl) -> bool:
    """Return whether a function or method is used in one place, tests included."""
    return len(list(islice(callers(decl), 2))) == 1


def known_of_all(decl: Decl, read: Callable[[Site], _Read | None]) -> list[_Read]:
    """Return what `read` makes of every use of a function; nothing if it makes nothing of one."""
    found = []
    for site in callers(decl):
        made = read(site)
        if made is None:
            return []
        found.append(made)
    return found


def own_callers(decl: Decl, first: re.Pattern[bytes]) -> Iterator[Site]:
    """Yield the uses of a function or method in its own package, test files left out.

    One after the other, for a question that one site can answer: those in declarations that
    do not match `first` come before the others.
    """
    package = decl.file.package
    ordered: dict[tuple[str, str, re.Pattern[bytes]], list[tuple[GoFile, int]]]
    ordered = package.facts.setdefault("named in order", {})
    key = (decl.kind, decl.name, first)
    if key not in ordered:
        ordered[key] = list(_in_order(_own_places(decl), first))
    sites: dict[tuple[tuple[str, int], str, int], list[Site]]
    sites = package.facts.setdefault("own sites", {})
    for file, at in ordered[key]:
        place = (decl.key, file.path, at)
        if place not in sites:
            sites[place] = list(_site(file, decl, at))
        yield from sites[place]


def _in_order(
    places: list[tuple[GoFile, int]], first: re.Pattern[bytes]
) -> Iterator[tuple[GoFile, int]]:
    """Yield the places in declarations, those that do not match a pattern before the others."""
    later: list[tuple[GoFile, int]] = []
    matches: dict[tuple[str, int], bool] = {}
    for file, at in places:
        declaration = file.tree.declaration_at(at)
        if declaration is None:
            continue
        key = (file.path, declaration.start)
        if key not in matches:
            found = first.search(file.data, declaration.start, declaration.end)
            matches[key] = found is not None
        if matches[key]:
            later.append((file, at))
        else:
            yield file, at
    yield from later


def code_files(package: Package) -> list[GoFile]:
    """Return the files whose code a package is judged by: tests left out.

    A package of test files only, as reduced examples are, has all of them; an external test
    (`package x_test`) has none.
    """
    known: list[GoFile] | None = package.facts.get("code files")
    if known is None:
        found = [f for f in package.files if not f.is_test]
        external = package.name.endswith("_test")
        known = package.facts["code files"] = found if found or external else package.files
    return known


def _own_places(decl: Decl) -> list[tuple[GoFile, int]]:
    """Return where the name of a function stands in its package, test files left out."""
    package = decl.file.package
    known: dict[tuple[str, str], list[tuple[GoFile, int]]] = package.facts.setdefault("named", {})
    key = (decl.kind, decl.name)
    if key not in known:
        files = code_files(package)
        known[key] = [(f, at) for f in files for at in _named(f, decl)]
    return known[key]


def importers(package: Package) -> list[Package]:
    """Return the packages of the workspace that import a package."""
    workspace = package.workspace
    known: dict[str, list[Package]] = workspace.facts.setdefault("importers", {})
    found = known.get(package.path)
    if found is None:
        naming = _naming(workspace).get(package.path.encode(), ())
        found = known[package.path] = [other for other in naming if other is not package]
    return found


def _naming(workspace: Workspace) -> dict[bytes, list[Package]]:
    """Return by import path the packages in whose files it stands between quotes."""
    known: dict[bytes, list[Package]] | None = workspace.facts.get("naming")
    if known is None:
        known = workspace.facts["naming"] = {}
        heads = {re.escape(p.path.partition("/")[0].encode()) for p in workspace.packages}
        quoted = re.compile(rb'"((?:%b)(?:/[^"\n]*)?)(?=")' % b"|".join(sorted(heads)))
        for package in workspace.packages:
            datas = [workspace.source(path).data for path in package.file_paths]
            for path in {path for data in datas for path in quoted.findall(data)}:
                known.setdefault(path, []).append(package)
    return known


def sites_in(file: GoFile, decl: Decl) -> Iterator[Site]:
    """Yield the uses of a function or method in one file."""
    for at in _named(file, decl):
        yield from _site(file, decl, at)


def _named(file: GoFile, decl: Decl) -> Sequence[int]:
    """Return the offsets where the name of a function may mean it, as far as the bytes tell.

    A method stands behind a dot, as a function does in other packages, but not in its own.
    """
    package, name = decl.file.package, decl.name.encode()
    if not file.may_hold(name):
        return ()
    how = "selected"
    if decl.kind != "method":
        if file.package is package:
            how = "alone"
        elif f'"{package.path}"'.encode() not in file.data:
            return ()
        elif _DOT_IMPORT.search(file.data) is not None:
            how = "anywhere"
    # Many methods share a name: its places are sought once.
    known: dict[tuple[str, bytes], Sequence[int]] = vars(file).setdefault("_named", {})
    found = known.get((how, name))
    if found is None:
        found = known[how, name] = array("L", _places(file.data, name, how)) or ()
    return found


def _places(data: bytes, name: bytes, how: str) -> Iterator[int]:
    for at in occurrences(data, name):
        if how == "alone":
            possible = not _selected(data, at, b".")
        else:
            possible = how == "anywhere" or _selected(data, at)
        if possible:
            yield at


_DOT_IMPORT = re.compile(rb"\.\s*[\"`]")


def _site(file: GoFile, decl: Decl, at: int) -> Iterator[Site]:
    declaration = file.tree.declaration_at(at)
    node = leaf_at(declaration, at) if declaration is not None else None
    if declaration is None or node is None or node.kind not in _NAMES or node.parent is None:
        return
    if node is not declaration.node.get("name") and _means(file, node, decl):
        used = node.parent if node.field == "field" else node
        yield Site(file, node, _call_of(used))


def occurrences(data: bytes, word: bytes) -> Iterator[int]:
    """Yield the offsets at which a word stands on its own."""
    at = data.find(word)
    size = len(word)
    while at >= 0:
        after = data[at + size : at + size + 1]
        before = data[at - 1 : at] if at else b""
        if not (_is_word(before) or _is_word(after)):
            yield at
        at = data.find(word, at + size)


def _is_word(byte: bytes) -> bool:
    return byte.isalnum() or byte == b"_" or byte > b"\x7f"


def _selected(data: bytes, at: int, signs: bytes = b"./") -> bool:
    """Return whether a name is selected from something: a dot stands before it.

    With a slash among the signs also where a comment may stand in between.
    """
    while at > 0 and data[at - 1] in b" \t\r\n":
        at -= 1
    return at > 0 and data[at - 1] in signs and not data.endswith(b"...", 0, at)


def leaf_at(declaration: Declaration, at: int) -> Node | None:
    """Return the innermost node that begins at a byte offset of a declaration."""
    if declaration.kind == "import_declaration":
        return None
    root = declaration.node
    nodes = root.tree.nodes
    last = bisect_right(nodes, at, root.at, root.stop, key=_start) - 1
    node = nodes[last]
    return node if node.start == at and not node.children else None


def _start(node: Node) -> int:
    return node.start


_NAMES = frozenset({"identifier", "field_identifier"})


def _means(file: GoFile, node: Node, decl: Decl) -> bool:
    parent = node.parent
    if node.field == "field" and parent is not None and parent.kind == "selector_expression":
        selection = file.selection(parent)
        if selection is None:
            return decl.kind == "method" and _takes_as_many(parent, decl)
        if selection.decl is not None:
            return selection.decl.key == decl.key
        # An interface's method of this name may be this one.
        if selection.kind != "method" or decl.kind != "method" or selection.node is None:
            return False
        return _takes_as_many(parent, decl)
    if decl.kind == "method" or node.kind != "identifier":
        return False
    meant = file.resolve(node)
    return getattr(meant, "key", None) == decl.key


def _takes_as_many(function: Node, decl: Decl) -> bool:
    """Return whether a method takes as many arguments as a call of its name passes."""
    call, parameters = _call_of(function), decl.node.get("parameters")
    if call is None or parameters is None:
        return True
    if any(p.kind == "variadic_parameter_declaration" for p in parameters.children):
        return True
    wanted = sum(max(1, len(p.all("name"))) for p in parameters.children)
    given = call["arguments"].children
    return len(given) == wanted or (len(given) == 1 and given[0].kind == "call_expression")


def _call_of(function: Node) -> Node | None:
    inner, outer = function, function.parent
    while outer is not None and outer.kind in _AROUND:
        if outer.kind == "index_expression" and inner.field != "operand":
            return None
        inner, outer = outer, outer.parent
    if outer is not None and outer.kind == "call_expression" and inner.field == "function":
        return outer
    return None


_AROUND = frozenset(
    {"parenthesized_expression", "index_expression", "type_instantiation_expression"}
)
