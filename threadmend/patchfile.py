"""parse(): read a patch as git writes it, and refuse one that is damaged or reaches outside.

Our own parser because `unidiff` lets an over-long hunk pass, leaves quoted names quoted and
takes a name with ` b/` in it apart at the wrong place.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from threadmend.matching import split_lines
from threadmend.quoting import decode_path, is_inside, unquote

__all__ = ["FileMode", "FilePatch", "Hunk", "PatchError", "parse"]

_RANGES = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@(?: |\r?\n|$)")
# git's own prefixes: the usual ones, and those of diff.mnemonicPrefix.
_PREFIXES = frozenset(
    {(b"a/", b"b/"), (b"c/", b"i/"), (b"c/", b"w/"), (b"i/", b"w/"), (b"o/", b"w/")}
)
_EXTENDED = re.compile(
    rb"old mode |new mode |deleted file mode |new file mode |"
    rb"rename from |rename to |copy from |copy to "
)
_IGNORED = (b"similarity index ", b"dissimilarity index ", b"index ")


class FileMode(StrEnum):
    """The kind of a file, as git writes it."""

    REGULAR = "100644"
    EXECUTABLE = "100755"
    SYMLINK = "120000"

    @classmethod
    def of(cls, path: Path) -> FileMode:
        """Return the mode of a file on disk; a missing file would be a regular one."""
        try:
            mode = path.lstat().st_mode
        except OSError:
            return cls.REGULAR
        if stat.S_ISLNK(mode):
            return cls.SYMLINK
        return cls.EXECUTABLE if mode & stat.S_IXUSR else cls.REGULAR


class PatchError(Exception):
    """A patch cannot be read or applied.

    `line` is a line of the file at `path`, or of the patch itself when `path` is empty.
    """

    def __init__(self, path: str, line: int, reason: str) -> None:
        super().__init__(f"{path or 'patch'}:{line}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines to find and lines to put in their place."""

    start: int
    """Index, from 0, of the first old line; for none, of the line before which to insert."""
    old: tuple[bytes, ...]
    new: tuple[bytes, ...]
    trails: bool
    """Whether it ends with a line of context."""
    at: int
    """Its line in the patch, from 1."""


@dataclass(slots=True)
class FilePatch:
    """What a patch does to one file; a path is None where there is no file."""

    old_path: str | None
    new_path: str | None
    at: int
    old_mode: FileMode | None = None
    new_mode: FileMode | None = None
    copied: bool = False
    hunks: list[Hunk] = field(default_factory=list)


def parse(patch: bytes) -> list[FilePatch]:
    """Return what a patch says, file by file; text around it, as in a mail, is skipped.

    Raises PatchError for a damaged or binary patch and for a path that leaves the project.
    """
    return _Parser(split_lines(patch)).files()


class _Parser:
    """A place in the lines of a patch."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self._lines = lines
        self._at = 0

    def files(self) -> list[FilePatch]:
        found: list[FilePatch] = []
        while self._at < len(self._lines):
            line = self._line()
            if line.startswith(b"diff --git "):
                found.append(self._git_file())
            elif line.startswith(b"--- ") and self._line(1).startswith(b"+++ "):
                found.append(self._plain_file())
            elif line.startswith(b"@@ -"):
                raise self._error("a hunk without a file")
            else:
                self._at += 1
        return found

    def _git_file(self) -> FilePatch:
        header = self._line()[len(b"diff --git ") :].rstrip(b"\r\n")
        at = self._at + 1
        self._at += 1
        words = self._extended()
        labels = None
        if self._line().startswith(b"--- ") and self._line(1).startswith(b"+++ "):
            labels = self._labels()
        old, new = self._agreed(labels, _header_names(header), words)
        file = FilePatch(old, new, at, copied=b"copy from " in words)
        file.old_mode = self._mode(words, b"old mode ", b"deleted file mode ")
        file.new_mode = self._mode(words, b"new mode ", b"new file mode ")
        file.hunks = self._hunks()
        if not file.hunks and (labels is not None or not words):
            raise self._error("a file without a change", at)
        return file

    def _plain_file(self) -> FilePatch:
        at = self._at + 1
        old, new = self._labels()
        if old is None and new is None:
            raise self._error("a file without a name", at)
        if None not in (old, new) and old != new:
            raise self._error("two names, but no rename", at)
        file = FilePatch(
            None if old is None else self._checked(old, at),
            None if new is None else self._checked(new, at),
            at,
        )
        file.hunks = self._hunks()
        if not file.hunks:
            raise self._error("a file without a change", at)
        return file

    def _extended(self) -> dict[bytes, bytes]:
        """Read the lines between `diff --git` and the hunks, by their first words."""
        words: dict[bytes, bytes] = {}
        while self._at < len(self._lines):
            line = self._line().rstrip(b"\r\n")
            match = _EXTENDED.match(line)
            if match is not None:
                words[match[0]] = line[match.end() :]
            elif line.startswith((b"GIT binary patch", b"Binary files ")):
                raise self._error("a binary patch cannot be applied")
            elif not line.startswith(_IGNORED):
                break
            self._at += 1
        return words

    def _agreed(
        self,
        labels: tuple[bytes | None, bytes | None] | None,
        named: tuple[bytes, bytes] | None,
        words: dict[bytes, bytes],
    ) -> tuple[str | None, str | None]:
        """Return old and new path; every place that names them must say the same."""
        sources = [named] if named else []
        moves = [verb for verb in (b"rename", b"copy") if verb + b" from " in words]
        sources += [
            (_name(words[verb + b" from "]), _name(words.get(verb + b" to ", b"")))
            for verb in moves
        ]
        created, deleted = b"new file mode " in words, b"deleted file mode " in words
        if labels is not None:
            old, new = labels
            if (created and old is not None) or (deleted and new is not None):
                raise self._error("/dev/null is missing")
            created, deleted = old is None, new is None
            sources.append((old or new or b"", new or old or b""))
        if not sources:
            raise self._error("the names are not those of one file under a/ and b/")
        if len(set(sources)) > 1 or (created and deleted):
            raise self._error("the names of one file contradict each other")
        source, target = (self._checked(path, self._at) for path in sources[0])
        if source != target and not moves:
            raise self._error("two names, but no rename")
        return None if created else source, None if deleted else target

    def _labels(self) -> tuple[bytes | None, bytes | None]:
        """Read the `---` and `+++` lines; None is /dev/null."""
        old, new = (self._label(self._line(step)[4:]) for step in (0, 1))
        self._at += 2
        prefixes = (old or b"a/")[:2], (new or b"b/")[:2]
        if old is None or new is None:
            known = any(prefixes[old is None] == pair[old is None] for pair in _PREFIXES)
        else:
            known = prefixes in _PREFIXES
        if not known:
            raise self._error("the names have no prefix a/ and b/", self._at - 1)
        return old and old[2:], new and new[2:]

    def _label(self, text: bytes) -> bytes | None:
        name = _name(text.rstrip(b"\r\n").partition(b"\t")[0])
        return None if name == b"/dev/null" else name

    def _mode(self, words: dict[bytes, bytes], *names: bytes) -> FileMode | None:
        for name in names:
            if name in words:
                # A link could lead the next file of the patch out of the project.
                if words[name] not in (b"100644", b"100755"):
                    raise self._error("only plain files can be patched")
                return FileMode(words[name].decode("ascii"))
        return None

    def _hunks(self) -> list[Hunk]:
        hunks = []
        while self._line().startswith(b"@@ -"):
            hunks.append(self._hunk())
        if hunks and self._line()[:1] in (b" ", b"+", b"-") and not self._ends():
            raise self._error("a hunk has more lines than its header says")
        return hunks

    def _ends(self) -> bool:
        """Say whether a mail's signature or another file follows, not a line of a hunk."""
        line = self._line().rstrip(b"\r\n")
        return line in (b"--", b"-- ") or line.startswith(b"--- ")

    def _hunk(self) -> Hunk:
        at = self._at + 1
        match = _RANGES.match(self._line())
        if match is None:
            raise self._error("a hunk's header is damaged")
        start, old_left, _, new_left = (1 if part is None else int(part) for part in match.groups())
        begin = start if old_left == 0 else start - 1
        if begin < 0:
            raise self._error("a hunk's header is damaged")
        self._at += 1
        old: list[bytes] = []
        new: list[bytes] = []
        signs = []
        while old_left or new_left:
            sign, line = self._body(at)
            signs.append(sign)
            if sign != b"+":
                old.append(line)
                old_left -= 1
            if sign != b"-":
                new.append(line)
                new_left -= 1
            if old_left < 0 or new_left < 0:
                raise self._error("a hunk has more lines than its header says")
        if not signs:
            raise self._error("an empty hunk", at)
        return Hunk(begin, tuple(old), tuple(new), signs[-1] == b" ", at)

    def _body(self, hunk: int) -> tuple[bytes, bytes]:
        line = self._line()
        # Some mailers take the blank off an empty line of context.
        sign, text = (b" ", line) if line == b"\n" else (line[:1], line[1:])
        if sign not in (b" ", b"+", b"-") or not text.endswith(b"\n"):
            raise self._error("a hunk is cut off", hunk)
        self._at += 1
        if self._line().startswith(b"\\ "):
            text = text[:-1]
            self._at += 1
        return sign, text

    def _checked(self, path: bytes, at: int) -> str:
        if not is_inside(path):
            raise self._error(f"{decode_path(path)!r} is outside the project", at)
        return decode_path(path)

    def _line(self, ahead: int = 0) -> bytes:
        at = self._at + ahead
        return self._lines[at] if at < len(self._lines) else b""

    def _error(self, reason: str, at: int | None = None) -> PatchError:
        return PatchError("", self._at + 1 if at is None else at, reason)


def _name(text: bytes) -> bytes:
    parts = unquote(text)
    return parts[0] if parts else text


def _header_names(header: bytes) -> tuple[bytes, bytes] | None:
    """Return both names of a `diff --git` line without prefixes, None when it is ambiguous.

    Blanks are not quoted, so `a/x b/x` is read as one name twice.
    """
    pairs = set()
    quoted = unquote(header)
    if quoted is not None:
        pairs.add((quoted[0], _name(quoted[1][1:])))
    for at, byte in enumerate(header):
        if byte == 0x20 and quoted is None:
            old, new = header[:at], _name(header[at + 1 :])
            if old[2:] == new[2:] or header[at + 1 : at + 2] == b'"':
                pairs.add((old, new))
    named = {(old[2:], new[2:]) for old, new in pairs if (old[:2], new[:2]) in _PREFIXES}
    return named.pop() if len(named) == 1 else None
