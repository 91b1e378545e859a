"""Edits of imports: add in the right group and place, remove, find the local name."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from threadmend.golang.builders.lines import content_end, first_on_line, leading_start
from threadmend.golang.syntax import Node, SyntaxTree
from threadmend.model import Edit

__all__ = [
    "ImportEntry",
    "add_import",
    "add_imports",
    "import_entries",
    "import_name",
    "package_name",
    "reach_import",
    "remove_import",
]


class ImportEntry(NamedTuple):
    """One import: its path, its explicit name (`""`, `"_"`, `"."` or a name), its syntax."""

    path: str
    name: str
    node: Node
    declaration: Node
    grouped: bool


def import_entries(tree: SyntaxTree) -> list[ImportEntry]:
    """Return the imports of a file, in source order."""
    found: list[ImportEntry] = []
    for declaration in tree.declarations:
        if declaration.kind == "import_declaration":
            node = declaration.node
            for spec in node.find("import_spec"):
                name = spec.get("name")
                grouped = spec.parent is not None and spec.parent.kind == "import_spec_list"
                path = spec["path"].name.strip('"`')
                found.append(ImportEntry(path, name.name if name else "", spec, node, grouped))
        elif declaration.kind not in {"package_clause", "comment"}:
            break
    return found


_VERSION = re.compile(r"v[0-9]+")


def package_guess(path: str) -> str:
    """Return the package name that an import path suggests.

    >>> package_guess("go.etcd.io/etcd/client/v3"), package_guess("gopkg.in/yaml.v3")
    ('client', 'yaml')
    """
    elements = path.split("/")
    last = elements.pop()
    if _VERSION.fullmatch(last) and elements:
        last = elements.pop()
    last = re.sub(r"\.v[0-9]+$", "", last)
    last = last.removeprefix("go-").removesuffix("-go")
    return re.sub(r"\W", "_", last.rpartition("-")[2] if "-" in last else last)


def import_name(
    tree: SyntaxTree, path: str, *, package: str | None = None, taken: Container[str] = ()
) -> str | None:
    """Return the name by which a file reaches a package, or None when it cannot.

    `package` is the package's own name, guessed from the path without it. A name in `taken`
    (shadowed where it is needed) does not count; blank and dot imports neither.
    """
    for entry in import_entries(tree):
        if entry.path == path and entry.name not in {"_", "."}:
            name = entry.name or package or package_guess(path)
            if name not in taken:
                return name
    return None


def add_import(tree: SyntaxTree, path: str, name: str | None = None) -> tuple[Edit, ...]:
    """Import a package, unless the file has it under that name already.

    It goes into the group of its kind (standard library, or the one with the most similar
    paths), sorted; a group of its own is made when there is none. `import "C"` and its
    comment are left alone.
    """
    entries = import_entries(tree)
    if any(e.path == path and e.name == (name or "") for e in entries):
        return ()
    spec = (f"{name} " if name else "").encode() + b'"' + path.encode() + b'"'
    usable = [e for e in entries if e.path != "C"]
    if not usable:
        return (_first_import(tree, entries, spec),)
    if any(e.grouped for e in usable):
        return (_into_group(tree, [e for e in usable if e.grouped], path, spec),)
    if len({e.declaration for e in usable}) == 1:
        return _make_group(tree, usable[0], path, spec)
    after = usable[-1].declaration
    newline = tree.source.newline
    at = content_end(tree, after.end)
    return (Edit(tree.source.path, at, at, newline + b"import " + spec),)


def package_name(tree: SyntaxTree, path: str) -> str:
    """Return what a file calls a package, or will when it imports it: see `reach_import`."""
    return import_name(tree, path) or package_guess(path)


def reach_import(tree: SyntaxTree, path: str) -> tuple[Edit, ...]:
    """Import a package unless the file reaches it, by whatever name: see `import_name`."""
    return () if import_name(tree, path) is not None else add_import(tree, path)


def add_imports(tree: SyntaxTree, paths: Iterable[str]) -> tuple[Edit, ...]:
    """Import what the file does not reach of several packages of the standard library."""
    entries = import_entries(tree)
    known = {e.path for e in entries if e.name not in {"_", "."}}
    missing = sorted(set(paths) - known)
    usable = [e for e in entries if e.path != "C"]
    if len(missing) < 2 or any(e.grouped for e in usable) or len(usable) > 1:
        edits = [edit for path in missing for edit in add_import(tree, path)]
        return _one_above(tree, edits)
    newline = tree.source.newline
    specs = [b'\t"' + path.encode() + b'"' for path in missing]
    if usable:
        own = usable[0]
        above = len(missing)
        if _standard(own.path):
            above = sum(path < own.path for path in missing)
        first, last = specs[:above], specs[above:]
        start, end = own.node.start, content_end(tree, own.node.end)
        apart = [] if _standard(own.path) else [b""]
        opening = newline.join([b"(", *first, *apart, b"\t"])
        closing = b"".join(newline + line for line in [*last, b")"])
        file = tree.source.path
        return (Edit(file, start, start, opening), Edit(file, end, end, closing))
    return (_first_import(tree, entries, newline.join([b"(", *specs, b")"])),)


def _one_above(tree: SyntaxTree, edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """Take the blank line from between two groups that are added at one place."""
    blank = tree.source.newline * 2
    found = sorted(edits)
    for at, (edit, after) in enumerate(pairwise(found)):
        if edit.start == after.start and edit.new.endswith(blank):
            found[at] = replace(edit, new=edit.new[: -len(tree.source.newline)])
    return tuple(found)


def _first_import(tree: SyntaxTree, entries: list[ImportEntry], spec: bytes) -> Edit:
    """Write the first import, below `import "C"` or the package clause."""
    newline = tree.source.newline
    end = entries[-1].declaration.end if entries else _package_end(tree)
    at = content_end(tree, end)
    new = newline * 2 + b"import " + spec
    following = tree.source.line_end(at)
    if tree.data[following : tree.source.line_end(following)].strip():
        new += newline
    return Edit(tree.source.path, at, at, new)


def _package_end(tree: SyntaxTree) -> int:
    return next(d.end for d in tree.declarations if d.kind == "package_clause")


def _make_group(tree: SyntaxTree, entry: ImportEntry, path: str, spec: bytes) -> tuple[Edit, ...]:
    """Turn `import "a"` into a group of two."""
    newline = tree.source.newline
    end = content_end(tree, entry.node.end)
    apart = newline if _standard(entry.path) != _standard(path) else b""
    first = (not _standard(entry.path), entry.path) > (not _standard(path), path)
    opening = b"(" + newline + b"\t" + (spec + newline + apart + b"\t" if first else b"")
    closing = (b"" if first else newline + apart + b"\t" + spec) + newline + b")"
    start = entry.node.start
    file = tree.source.path
    return (Edit(file, start, start, opening), Edit(file, end, end, closing))


def _standard(path: str) -> bool:
    """Return whether a path is of the standard library: no dot in its first element."""
    return "." not in path.partition("/")[0]


def _groups(tree: SyntaxTree, entries: list[ImportEntry]) -> list[list[ImportEntry]]:
    """Return the runs of imports that no blank line and no end of declaration divides."""
    groups: list[list[ImportEntry]] = []
    for entry in entries:
        if groups:
            last = groups[-1][-1]
            start = leading_start(tree, entry.node.start)
            above = tree.data[content_end(tree, last.node.end) : start]
            if last.declaration is entry.declaration and above.count(b"\n") == 1:
                groups[-1].append(entry)
                continue
        groups.append([entry])
    return groups


def _shared(path: str, other: str) -> int:
    """Return how many leading elements two import paths have in common."""
    count = 0
    for ours, theirs in zip(path.split("/"), other.split("/"), strict=False):
        if ours != theirs:
            break
        count += 1
    return count


def _into_group(tree: SyntaxTree, entries: list[ImportEntry], path: str, spec: bytes) -> Edit:
    groups = _groups(tree, entries)
    ours = _standard(path)

    def fitness(group: list[ImportEntry]) -> tuple[bool, int]:
        alike = [e for e in group if _standard(e.path) == ours]
        named = any(e.name != "_" for e in alike)
        shared = 0 if ours else max((_shared(path, e.path) for e in alike), default=0)
        return (named, shared)

    best = max(groups, key=fitness)
    if fitness(best)[0]:
        return _sorted_in(tree, best, path, spec)
    newline, file = tree.source.newline, tree.source.path
    if ours:
        at = leading_start(tree, groups[0][0].node.start)
        return Edit(file, at, at, b"\t" + spec + newline * 2)
    declared = [g for g in groups if g[0].declaration is groups[0][0].declaration]
    at = content_end(tree, declared[-1][-1].node.end)
    return Edit(file, at, at, newline * 2 + b"\t" + spec)


def _sorted_in(tree: SyntaxTree, group: list[ImportEntry], path: str, spec: bytes) -> Edit:
    newline, file = tree.source.newline, tree.source.path
    for entry in group:
        if (entry.path, entry.name) > (path, "") and first_on_line(tree, entry.node.start):
            at = leading_start(tree, entry.node.start)
            return Edit(file, at, at, b"\t" + spec + newline)
    at = content_end(tree, group[-1].node.end)
    return Edit(file, at, at, newline + b"\t" + spec)


def remove_import(tree: SyntaxTree, path: str, name: str | None = None) -> tuple[Edit, ...]:
    """Remove an import and the comment at the end of its line; the caller knows it is unused.

    The declaration goes with its last import and all comments inside. `name` chooses among
    several imports of one package; comments above stay.
    """
    entries = import_entries(tree)
    for entry in entries:
        if entry.path == path and (name is None or entry.name == name):
            siblings = [e for e in entries if e.declaration is entry.declaration]
            start, end = _removed(tree, entry, siblings)
            edits = [Edit(tree.source.path, start, end, b"")]
            if len(siblings) > 1 and entry is siblings[-1]:
                edits += _above_last_comment(tree, siblings[-2], start)
            return tuple(edits)
    return ()


def _above_last_comment(tree: SyntaxTree, last: ImportEntry, end: int) -> list[Edit]:
    """Remove the blank lines between the last import and comments that stay below it.

    gofmt keeps them in other groups, but not among imports.
    """
    start = below = tree.source.line_end(content_end(tree, last.node.end))
    while below < end and not tree.data[below : tree.source.line_end(below)].strip():
        below = tree.source.line_end(below)
    return [Edit(tree.source.path, start, below, b"")] if start < below < end else []


def _removed(tree: SyntaxTree, entry: ImportEntry, siblings: list[ImportEntry]) -> tuple[int, int]:
    source = tree.source
    declaration = entry.declaration
    whole = len(siblings) == 1
    node = declaration if whole else entry.node
    start = source.line_start(node.start)
    end = source.line_end(content_end(tree, node.end))
    above = source.line_start(max(start - 1, 0))
    blank_above = start > 0 and not tree.data[above:start].strip()
    opens = tree.data[:start].rstrip().endswith(b"(") and not whole
    while (blank_above or opens) and end < len(tree.data):
        below = source.line_end(end)
        if tree.data[end:below].strip():
            break
        end = below
    closes = tree.data[end : source.line_end(end)].lstrip().startswith(b")")
    if blank_above and (closes or end == len(tree.data)):
        start = above
    return start, end
