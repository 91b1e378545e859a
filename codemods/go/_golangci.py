"""Names added to a list `enable` of a YAML file, proved by reading the result again."""

from __future__ import annotations

from collections.abc import Sequence

from threadmend.model import Edit
from threadmend.recipes.yamltree import Node, parse
from threadmend.source import SourceFile

__all__ = ["extended"]

_ENABLE = "enable"


def extended(
    source: SourceFile, tree: Node, path: Sequence[str], names: Sequence[str]
) -> Edit | None:
    """Return the edit that puts names into the list `enable` of the mapping at `path`.

    They stand where the order wants them when the list is sorted, else at its end. None when
    the text is laid out so that nothing can be added, or does not read as meant afterwards.
    """
    holder = tree.get(*path)
    found = holder.get(_ENABLE) if holder is not None else None
    edit: Edit | None
    if found is not None and found.kind == "list" and found.style == "{":
        edit = _in_line(source, found, names)
    elif found is not None and found.kind == "list":
        edit = _in_lines(source, found, names)
    elif found is not None:
        edit = None
    elif holder is not None and holder.pairs and holder.style != "{":
        edit = _new_list(source, tree, holder, names)
    elif holder is None and len(path) == 1 and tree.style != "{":
        edit = _new_section(source, tree, path[0], names)
    else:
        edit = None
    return edit if edit is not None and _reads(source, tree, path, names, edit) else None


def _in_line(source: SourceFile, found: Node, names: Sequence[str]) -> Edit:
    """`[a, b]` → `[a, b, c]`."""
    at = found.items[-1].end if found.items else found.end - 1
    lead = ", " if found.items else ""
    return Edit(source.path, at, at, (lead + ", ".join(names)).encode())


def _in_lines(source: SourceFile, found: Node, names: Sequence[str]) -> Edit | None:
    """Return one edit for all names: what stands between the first and the last comes along."""
    values = [item.value for item in found.items]
    lines = [source.line_of(item.start) for item in found.items]
    if len(set(lines)) != len(lines):
        return None
    is_sorted = len(values) > 1 and values == sorted(values)
    places: dict[int, list[str]] = {}
    for name in names:
        number = next((n for n, v in enumerate(values) if v > name), len(values))
        places.setdefault(number if is_sorted else len(values), []).append(name)
    lead = source.data[source.line_start(found.items[0].start) : found.items[0].start]
    if lead.strip() != b"-":  # `- - a`, or the list begins on the line of its key
        return None
    starts = {number: _before(source, found, number) for number in places}
    first, last = min(starts.values()), max(starts.values())
    text, at = b"", first
    for number in sorted(places):
        text += source.data[at : starts[number]]
        if (text and not text.endswith(b"\n")) or (not text and not _at_line_start(source, first)):
            text += source.newline
        text += b"".join(lead + name.encode() + source.newline for name in places[number])
        at = starts[number]
    return Edit(source.path, first, last, text)


def _before(source: SourceFile, found: Node, number: int) -> int:
    """Return where a line before item `number` goes: right after the line of the item above."""
    if number == 0:
        return source.line_start(found.items[0].start)
    return source.line_end(found.items[number - 1].start)


def _at_line_start(source: SourceFile, at: int) -> bool:
    return at == 0 or source.data[at - 1 : at] == b"\n"


def _new_list(source: SourceFile, tree: Node, holder: Node, names: Sequence[str]) -> Edit | None:
    """Write the list as the first key, or after the one that chooses a default."""
    key, value = holder.pairs[0]
    indent = source.data[source.line_start(key.start) : key.start]
    if indent.strip(b" "):
        return None
    at = source.line_start(key.start)
    if key.value in {"default", "disable-all", "enable-all"} and value.kind == "scalar":
        at = source.line_end(key.start)
    lead = b"" if _at_line_start(source, at) else source.newline
    return Edit(source.path, at, at, lead + _list(source, tree, indent, names))


def _new_section(source: SourceFile, tree: Node, key: str, names: Sequence[str]) -> Edit:
    """Write the mapping with its list at the end of the file, below a blank line."""
    at, newline = len(source.data), source.newline
    lead = (b"" if _at_line_start(source, at) else newline) + newline
    body = _list(source, tree, b"  ", names)
    return Edit(source.path, at, at, lead + key.encode() + b":" + newline + body)


def _list(source: SourceFile, tree: Node, indent: bytes, names: Sequence[str]) -> bytes:
    step = b"  " if _indents_lists(source, tree) else b""
    lines = [indent + _ENABLE.encode() + b":"]
    lines += [indent + step + b"- " + name.encode() for name in names]
    return b"".join(line + source.newline for line in lines)


def _indents_lists(source: SourceFile, node: Node) -> bool:
    """Return whether the file's lists stand further right than their keys; so by default."""
    for key, value in node.pairs:
        if value.kind == "list" and value.items and value.style != "{":
            column = value.start - source.line_start(value.start)
            return column > key.start - source.line_start(key.start)
        if value.kind == "map" and value.pairs:
            return _indents_lists(source, value)
    return True


def _reads(
    source: SourceFile, tree: Node, path: Sequence[str], names: Sequence[str], edit: Edit
) -> bool:
    """Return whether the edited text says what it said, and the names besides."""
    data = source.data[: edit.start] + edit.new + source.data[edit.end :]
    after = parse(data)
    if after is None:
        return False
    old, new = _plain(tree, (*path, _ENABLE)), _plain(after, (*path, _ENABLE))
    listed, wanted = after.get(*path, _ENABLE), tree.get(*path, _ENABLE)
    before = [item.value for item in wanted.items] if wanted is not None else []
    found = [item.value for item in listed.items] if listed is not None else []
    return old == new and sorted(found) == sorted([*before, *names])


def _plain(node: Node, without: Sequence[str]) -> object:
    """Return what a tree says, without a path; mappings that it empties count as none."""
    if node.kind == "scalar":
        return node.value
    if node.kind == "list":
        return [_plain(item, ()) for item in node.items]
    found = {}
    for key, value in node.pairs:
        if not without or key.value != without[0]:
            found[key.value] = _plain(value, ())
        elif len(without) > 1:
            rest = _plain(value, without[1:])
            if rest:
                found[key.value] = rest
    return found
