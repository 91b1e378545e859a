"""The edits that make an errgroup of a WaitGroup and what keeps its first error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from threadmend.golang.builders import (
    BuilderError,
    add_import,
    free_name,
    insert_after,
    insert_before,
    remove_import,
    taken_names,
)
from threadmend.golang.builders.lines import code_lines
from threadmend.golang.file import GoFile
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.model import Edit

from ._erase import erased
from ._first_error import Errors
from ._first_taken import Part, Tail
from ._group import Group
from ._group_context import Shared
from ._launch import launch_edits
from ._semaphore import Limit

__all__ = ["PATH", "Change", "edits_of", "imports_after", "lost"]

PATH = "golang.org/x/sync/errgroup"


@dataclass(frozen=True, slots=True)
class Change:
    """Everything that is known about one group, and the name it gets."""

    file: GoFile
    group: Group
    errors: Errors
    tail: Tail
    shared: Shared | None
    limit: Limit | None
    name: str


def edits_of(change: Change) -> tuple[Edit, ...]:
    """Return the edits but those of imports. Raises BuilderError where one cannot be made."""
    gone = _gone(change)
    for node in _useless(change, gone):
        gone.append(node)
    gone = [node for node in gone if not change.tail.covers(node)]
    edits = _declared(change, gone)
    edits += [_taken(change, part) for part in change.tail.parts]
    edits += erased(gone)
    renamed = _renamed(change)
    for one in change.group.launched:
        exits = change.errors.exits[one.literal]
        edits += launch_edits(change.file, one, exits, change.name, renamed)
    return tuple(edits)


def _gone(change: Change) -> list[Node]:
    group, limit, shared = change.group, change.limit, change.shared
    gone = [*group.adds, *change.errors.removed, *change.tail.gone]
    gone += [group.closer] if group.closer is not None else []
    gone += [limit.made, *limit.gone] if limit is not None else []
    gone += shared.gone if shared is not None else []
    for one in group.launched:
        gone += [done for done in one.done if not any(g.contains(done) for g in gone)]
    return gone


def _renamed(change: Change) -> dict[Binding, str]:
    """Return what the goroutines call variables of the function; "" where they need it no more."""
    found = {change.group.binding: "", change.errors.binding: ""}
    if change.shared is not None:
        found[change.shared.binding] = _context(change)
    return found


def _context(change: Change) -> str:
    shared = change.shared
    assert shared is not None
    if not shared.renamed:
        return shared.binding.name
    taken = taken_names(_outermost(change.group.function), names=change.file.package.names)
    return free_name("gctx", taken)


def _outermost(node: Node) -> Node:
    while node.parent is not None:
        node = node.parent
    return node


# -- the declaration --------------------------------------------------------------------------


def _declared(change: Change, gone: list[Node]) -> list[Edit]:
    """Return the edits that declare the group; what goes otherwise is added to `gone`."""
    group, shared, name = change.group, change.shared, change.name
    statement = group.declared
    specs = list(statement.find("var_spec"))
    code = f"var {name} errgroup.Group"
    if shared is not None:
        parent = shared.parent or shared.binding.name
        code = f"{name}, {_context(change)} := errgroup.WithContext({parent})"
    limit = f"{name}.SetLimit({change.limit.size.name})" if change.limit is not None else ""
    lines = f"{code}\n{limit}".strip()
    if shared is not None and shared.derived is not None:
        gone.append(group.binding.declaration)
        return [_written(shared.derived, lines)]
    if any(spec.parent is not statement for spec in specs):
        spec = group.binding.declaration
        if shared is None:
            edits = [Edit(spec.path, spec.start, spec.end, f"{name} errgroup.Group".encode())]
            return [*edits, *(insert_after(statement, limit) if limit else ())]
        gone.append(spec)
        kept = [s for s in specs if s not in gone]
        return list((insert_after if kept else insert_before)(statement, lines))
    return [_written(statement, lines)]


def _written(statement: Node, code: str) -> Edit:
    """Replace a statement on lines of its own; what stands behind it on its line stays."""
    source = statement.tree.source
    indent = source.indent_at(statement.start)
    lines = code_lines(code, indent, source.newline).removeprefix(indent)
    return Edit(source.path, statement.start, statement.end, lines)


# -- behind Wait ------------------------------------------------------------------------------


def _taken(change: Change, tail: Part) -> Edit:
    tree = change.file.tree
    source, indent = tree.source, tree.source.indent_at(tail.start)
    code, kept = tail.code, []
    for comment in tree.comments_in(tail.start, tail.end):
        text = tree.data[comment.start : comment.end].rstrip(b"\r").decode()
        line = tree.data[source.line_start(comment.start) : comment.end]
        if text not in code and not re.search(rb"(?i)\bclos", line):
            kept.append(text)
    code = "\n".join([*kept, code]) if kept else code
    lines = code_lines(code, indent, source.newline).removeprefix(indent)
    if tail.code.endswith(" "):
        lines += b"" if lines.endswith(b" ") else b" "
    return Edit(source.path, tail.start, tail.end, lines)


# -- what nothing uses any more ---------------------------------------------------------------


def _useless(change: Change, gone: list[Node]) -> list[Node]:
    """Return the declarations whose variables only served what goes.

    Raises BuilderError for one whose value may do something.
    """
    code = " ".join([change.tail.code, change.limit.size.name if change.limit else ""])
    spans = [(node.start, node.end) for node in gone]
    spans += [(part.start, part.end) for part in change.tail.parts]
    spans += [
        span
        for exits in change.errors.exits.values()
        for end in exits
        for span in ((end.first.start, end.value.start), (end.value.end, end.last.end))
    ]
    known = {change.group.binding, change.errors.binding}
    if change.shared is not None and change.shared.derived is not None:
        spans.append((change.shared.derived.start, change.shared.derived.end))
    found: list[Node] = []
    for binding in _mentioned(change.file, gone) - known:
        uses = [u for u in binding.uses if u is not binding.node]
        inside = [u for u in uses if any(a <= u.start < b for a, b in spans)]
        declared = any(a <= binding.node.start < b for a, b in spans)
        again = re.search(rf"\b{binding.name}\b", code)
        if len(inside) < len(uses) or declared or again or binding.kind != "variable":
            continue
        declaration = binding.declaration
        pure = re.fullmatch(rb"\w+ := (?:\d+|[\w.]+|len\([\w.]+\))", declaration.text)
        if pure is None:
            raise BuilderError(f"{binding.name} would be used no more")
        found.append(declaration)
    return found


def _mentioned(file: GoFile, gone: Iterable[Node]) -> set[Binding]:
    names = (name for node in gone for name in node.find("identifier"))
    return {b for b in map(file.binding, names) if b is not None and b.is_variable}


# -- imports ----------------------------------------------------------------------------------


def imports_after(file: GoFile, edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """Return the edits that import errgroup, and no more what only removed text used."""
    gone = sorted(lost(file, edits))
    if gone and len(file.imports) == 1:
        path = file.imports[0].node["path"]
        return (Edit(file.path, path.start, path.end, f'"{PATH}"'.encode()),)
    found = [edit for path in gone for edit in remove_import(file.tree, path)]
    for added in add_import(file.tree, PATH):
        found = _beside(file, found, added)
    return tuple(found)


def _beside(file: GoFile, removed: list[Edit], added: Edit) -> list[Edit]:
    """Return both kinds of edits; a new line behind one that goes takes its place."""
    for edit in removed:
        if edit.start < added.start < edit.end:
            newline = file.source.newline
            new = added.new.removeprefix(newline) + newline
            before = file.data[: edit.start].rstrip(b" \t")
            if before.endswith((b"(" + newline, newline * 2)):
                new = new.removeprefix(newline)
            others = [other for other in removed if other is not edit]
            return [*others, Edit(file.path, edit.start, edit.end, new)]
    return [*removed, added]


def lost(file: GoFile, edits: Sequence[Edit]) -> set[str]:
    """Return the imports that are used in removed text only."""
    own = [e for e in edits if e.path == file.path]
    new = b" ".join(e.new for e in own)
    found = set()
    for name, path, _ in file.imports:
        if name in {"", "."} or re.search(rb"\b" + name.encode() + rb"\.", new):
            continue
        uses = list(_uses(file, name))
        if uses and all(any(e.start <= u.start < e.end for e in own) for u in uses):
            found.add(path)
    return found


def _uses(file: GoFile, name: str) -> Iterator[Node]:
    word = re.compile(rb"\b" + re.escape(name.encode()) + rb"\s*\.")
    for declaration in file.tree.declarations:
        if word.search(file.data, declaration.start, declaration.end):
            for node in declaration.node.find("identifier", "package_identifier"):
                if node.text == name.encode() and file.binding(node) is None:
                    yield node
