"""render() the difference between two states of some files as a patch; apply() one to files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from threadmend.matching import Change, changes, split_lines
from threadmend.patchfile import FileMode, FilePatch, Hunk, PatchError, parse
from threadmend.quoting import encode_path, quote
from threadmend.sliding import slide

__all__ = ["FileMode", "PatchError", "apply", "render"]

_NO_BLOB = b"0" * 40
_NO_NEWLINE = b"\n\\ No newline at end of file\n"
_LONGEST_SECTION = 80


Modes = Mapping[str, FileMode | tuple[FileMode, FileMode]]


def render(
    before: Mapping[str, bytes | None],
    after: Mapping[str, bytes | None],
    *,
    modes: Modes | None = None,
    renames: Mapping[str, str] | None = None,
    context: int = 3,
) -> bytes:
    """Return the patch that turns `before` into `after`; empty when nothing differs.

    A path that is missing or None has no file there, `b""` is an empty file. `modes` gives a
    file's mode by path (regular when not), as a pair when it changes; `renames` maps old paths
    to new ones, and then the mode is looked up under the new one. Files come sorted by path.
    """
    modes = modes or {}
    renames = renames or {}
    moved = {new: old for old, new in renames.items()}
    entries: list[bytes] = []
    for path in sorted({*before, *after, *moved}, key=encode_path):
        old_path = moved.get(path, path)
        mode = modes.get(path, FileMode.REGULAR)
        old_mode, new_mode = mode if isinstance(mode, tuple) else (mode, mode)
        left = path in renames and path not in moved  # what was here is another entry's old side
        old = _Side(old_path, None if left else before.get(old_path), old_mode)
        new = _Side(path, after.get(path), new_mode)
        if (old_mode is FileMode.SYMLINK) != (new_mode is FileMode.SYMLINK):
            # git has no patch from a file to a link: the one goes, the other comes.
            entries.append(_entry(old, _Side(old_path, None, old_mode), context))
            old = _Side(path, None, new_mode)
        entries.append(_entry(old, new, context))
    return b"".join(entries)


def apply(patch: bytes, read: Callable[[str], bytes | None]) -> dict[str, bytes | None]:
    """Return the bytes of every file that a patch touches, after it; None for one that goes.

    `read` gives a file's bytes, None when there is none. Context must fit byte for byte; a hunk
    whose place moved is found when it fits in exactly one other. Nothing is written, and modes
    are left to the caller (`patchfile.parse` gives them).
    Raises PatchError with the place, for the whole patch or not at all.
    """
    files = parse(patch)
    if not files and patch.strip():
        raise PatchError("", 1, "no patch in here")
    renamed = {file.old_path for file in files if _is_move(file) and not file.copied}
    after: dict[str, bytes | None] = {}

    def current(path: str) -> bytes | None:
        return after[path] if path in after else read(path)

    for file in files:
        old, new = file.old_path, file.new_path
        data: bytes | None = b""
        if old is not None:
            # As in git: a rename or a copy starts from the file as it was before the patch.
            data = read(old) if _is_move(file) else current(old)
            if data is None:
                raise PatchError(old, 1, "does not exist")
        if new is not None and new != old and new not in renamed and current(new) is not None:
            raise PatchError(new, 1, "exists already")
        path = new or old or ""
        patched = _patched(path, data or b"", file.hunks)
        if new is None and patched:
            raise PatchError(path, 1, "is to be deleted, but has lines that the patch lacks")
        after[path] = None if new is None else patched
    for path in sorted(path for path in renamed if path is not None):
        after.setdefault(path, None)
    return after


def _is_move(file: FilePatch) -> bool:
    return None not in (file.old_path, file.new_path) and file.old_path != file.new_path


def _patched(path: str, data: bytes, hunks: Sequence[Hunk]) -> bytes:
    lines = split_lines(data)
    result: list[bytes] = []
    done = drift = 0
    for hunk in hunks:
        at = _place(path, lines, done, hunk, hunk.start + drift)
        result += lines[done:at]
        result += hunk.new
        done = at + len(hunk.old)
        drift = at - hunk.start
    result += lines[done:]
    if not all(line.endswith(b"\n") for line in result[:-1]):
        raise PatchError(
            path, len(result), "the patch ends a line without a newline inside the file"
        )
    return b"".join(result)


def _place(path: str, lines: list[bytes], start: int, hunk: Hunk, expected: int) -> int:
    """Return where a hunk belongs at or after `start`: as expected, or the one place it fits.

    As in git, a hunk of line 1 fits at the start only, and one without context at its end
    fits at the end of the file only.
    """
    old = list(hunk.old)
    last = len(lines) - len(old)
    first = last if not hunk.trails else start
    final = min(0, last) if hunk.start == 0 else last
    places = [
        at
        for at in range(max(first, start), final + 1)
        if (not old or lines[at] == old[0]) and lines[at : at + len(old)] == old
    ]
    if expected in places:
        return expected
    if len(places) == 1:
        return places[0]
    why = f"fits in {len(places)} places" if places else "does not fit"
    raise PatchError(path, expected + 1, f"the hunk in line {hunk.at} of the patch {why}")


class _Side:
    """One file on one side of a patch."""

    __slots__ = ("data", "mode", "path")

    def __init__(self, path: str, data: bytes | None, mode: FileMode) -> None:
        self.path = encode_path(path)
        self.data = data
        self.mode = mode.value.encode("ascii")

    @property
    def blob(self) -> bytes:
        """Return the name that git gives the content."""
        if self.data is None:
            return _NO_BLOB
        header = b"blob %d\0" % len(self.data)
        return hashlib.sha1(header + self.data, usedforsecurity=False).hexdigest().encode("ascii")

    def label(self, prefix: bytes) -> bytes:
        """Return what stands after `---` or `+++`."""
        if self.data is None:
            return b"/dev/null"
        name = quote(prefix + self.path)
        # A name with a blank needs an end that other patch programs can see.
        return name + b"\t" if b" " in name and not name.startswith(b'"') else name


def _entry(old: _Side, new: _Side, context: int) -> bytes:
    header = _header(old, new)
    if old.data == new.data:
        return header if len(header.splitlines()) > 1 else b""
    index = b"index %s..%s" % (old.blob, new.blob)
    if None not in (old.data, new.data) and old.mode == new.mode:
        index += b" " + new.mode
    parts = [header, index + b"\n"]
    hunks = list(_hunks(old.data or b"", new.data or b"", context))
    if hunks:
        parts += [b"--- ", old.label(b"a/"), b"\n+++ ", new.label(b"b/"), b"\n", *hunks]
    return b"".join(parts)


def _header(old: _Side, new: _Side) -> bytes:
    lines = [b"diff --git %s %s\n" % (quote(b"a/" + old.path), quote(b"b/" + new.path))]
    if old.data is None and new.data is None:
        return lines[0]
    if old.data is None:
        lines.append(b"new file mode %s\n" % new.mode)
    elif new.data is None:
        lines.append(b"deleted file mode %s\n" % old.mode)
    elif old.mode != new.mode:
        lines.append(b"old mode %s\nnew mode %s\n" % (old.mode, new.mode))
    if old.path != new.path and None not in (old.data, new.data):
        lines.append(b"similarity index %d%%\n" % _similarity(old.data or b"", new.data or b""))
        lines.append(b"rename from %s\nrename to %s\n" % (quote(old.path), quote(new.path)))
    return b"".join(lines)


def _similarity(old: bytes, new: bytes) -> int:
    """Return the percentage of bytes in lines that stayed; below 100 when anything differs."""
    if old == new:
        return 100
    lines = split_lines(old)
    gone = sum(
        len(line)
        for change in changes(lines, split_lines(new))
        for line in lines[change.a_start : change.a_end]
    )
    return min(99, (len(old) - gone) * 100 // max(len(old), len(new)))


def _hunks(old: bytes, new: bytes, context: int) -> Iterator[bytes]:
    before, after = split_lines(old), split_lines(new)
    section, searched = b"", 0
    found = slide(before, after, changes(before, after))
    for group in _grouped(found, context):
        first, last = group[0], group[-1]
        a_start = max(0, first.a_start - context)
        b_start = first.b_start - (first.a_start - a_start)
        a_end = min(len(before), last.a_end + context)
        b_end = last.b_end + (a_end - last.a_end)
        section = _section(before, searched, a_start) or section
        searched = a_start
        place = b"@@ -%s +%s @@" % (_range(a_start, a_end), _range(b_start, b_end))
        yield place + (b" " + section if section else b"") + b"\n"
        at = a_start
        for change in group:
            yield from _prefixed(b" ", before[at : change.a_start])
            yield from _prefixed(b"-", before[change.a_start : change.a_end])
            yield from _prefixed(b"+", after[change.b_start : change.b_end])
            at = change.a_end
        yield from _prefixed(b" ", before[at:a_end])


def _grouped(found: Sequence[Change], context: int) -> Iterator[list[Change]]:
    group: list[Change] = []
    for change in found:
        if group and change.a_start - group[-1].a_end > 2 * context:
            yield group
            group = []
        group.append(change)
    if group:
        yield group


def _range(start: int, end: int) -> bytes:
    length = end - start
    if length == 1:
        return b"%d" % (start + 1)
    return b"%d,%d" % (start + 1 if length else start, length)


def _section(lines: Sequence[bytes], start: int, end: int) -> bytes:
    """Return the last line in [start, end) that looks like a heading, as git chooses it."""
    for at in range(end - 1, start - 1, -1):
        line = lines[at]
        if line[:1].isalpha() or line[:1] in (b"_", b"$"):
            return line[:_LONGEST_SECTION].rstrip().decode("utf-8", "ignore").encode("utf-8")
    return b""


def _prefixed(sign: bytes, lines: Sequence[bytes]) -> Iterator[bytes]:
    for line in lines:
        yield sign + line if line.endswith(b"\n") else sign + line + _NO_NEWLINE
