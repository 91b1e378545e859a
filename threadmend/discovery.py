"""Which files a folder has: what git lists, or a plain walk; and which lines changed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from threadmend.git import GitError, git, list_files, resolve
from threadmend.globs import matches
from threadmend.recipes.files import PATTERNS, WORKFLOWS, is_recipe

__all__ = ["changed_lines", "discover", "find_root"]

_SUFFIXES = (".go", ".py", ".ipynb")
_NAMES = frozenset({"go.mod", "go.work", "pyproject.toml", "setup.cfg"})
_ROOT_MARKS = (".git", "threadmend.toml", ".threadmend.toml", "go.work")
_MODULE_MARKS = ("go.mod", "pyproject.toml", "setup.py")
_SKIPPED = frozenset({"node_modules", "__pycache__", "__pypackages__", "site-packages"})


def discover(root: Path, *, exclude: Sequence[str] = (), recipes: bool = False) -> list[str]:
    """Return the Go and Python files and module files below `root`, sorted.

    With `recipes`, also the files around the code: makefiles, workflows, scripts.

    Paths are relative with `/`. In a git work tree these are the tracked files and the
    untracked ones that are not ignored; elsewhere all files outside hidden folders.
    """
    listed = _git_files(root, PATTERNS if recipes else ())
    if listed is None:
        listed = list(_walk(root))
        if recipes:
            listed += _workflows(root)
    return sorted(
        path
        for path in set(listed)
        if (_wanted(path) or (recipes and is_recipe(path))) and not matches(path, exclude)
    )


def find_root(path: Path) -> Path:
    """Return the folder of the project that a file or folder belongs to.

    That is the nearest folder above with a repository, settings or a workspace; without one
    the outermost with a module file; without that, the folder itself.
    """
    start = Path(os.path.abspath(path))
    if not start.is_dir():
        start = start.parent
    module: Path | None = None
    for folder in (start, *start.parents):
        if any((folder / mark).exists() for mark in _ROOT_MARKS):
            return folder
        if any((folder / mark).is_file() for mark in _MODULE_MARKS):
            module = folder
    return module or start


def _wanted(path: str) -> bool:
    return path.endswith(_SUFFIXES) or path.rpartition("/")[2] in _NAMES


def _git_files(root: Path, more: Sequence[str]) -> list[str] | None:
    if not any((folder / ".git").exists() for folder in (root, *root.parents)):
        return None
    try:
        paths = list_files(root, *(f"*{end}" for end in _SUFFIXES), *_patterns(), *more)
    except GitError:
        return None
    # A tracked file may be gone from the disk.
    return [path for path in paths if os.path.lexists(root / path)]


def _patterns() -> Iterator[str]:
    for name in sorted(_NAMES):
        yield name
        yield f"*/{name}"


def _walk(root: Path) -> Iterator[str]:
    top = os.fspath(root)
    for folder, folders, files in os.walk(top):
        folders[:] = sorted(d for d in folders if d[0] != "." and d not in _SKIPPED)
        relative = os.path.relpath(folder, top).replace(os.sep, "/")
        prefix = "" if relative == "." else relative + "/"
        yield from (prefix + name for name in files)


def _workflows(root: Path) -> Iterator[str]:
    """Yield the files in the one hidden folder that is looked into."""
    with suppress(OSError):
        yield from (WORKFLOWS + name for name in os.listdir(root / WORKFLOWS))


# -- lines changed since a revision ----------------------------------------------------------

_HUNK = re.compile(rb"^@@ -\S+ \+(\d+)(?:,(\d+))? @@")


def changed_lines(root: Path, rev: str) -> dict[str, list[range]]:
    """Return the lines (from 1) that differ from revision `rev`, by path.

    Untracked files count as new from first to last line. Raises GitError for a revision
    that does not exist and outside of a repository.
    """
    commit = resolve(root, rev)
    diff = git(
        root, "diff", "--relative", "--no-color", "--no-renames", "--unified=0",
        "--src-prefix=a/", "--dst-prefix=b/", "--end-of-options", commit, "--",
    )  # fmt: skip
    changed = _parse(diff)
    untracked = git(root, "ls-files", "-z", "--others", "--exclude-standard")
    for name in untracked.split(b"\0"):
        if name:
            changed[os.fsdecode(name)] = [range(1, 1 << 31)]
    return changed


def _parse(diff: bytes) -> dict[str, list[range]]:
    changed: dict[str, list[range]] = {}
    current: list[range] | None = None
    skip = 0
    for line in diff.split(b"\n"):
        if skip:  # a changed line may itself read like a header
            skip -= not line.startswith(b"\\")
            continue
        if line.startswith(b"+++ "):
            name = _unquote(line[4:].removesuffix(b"\t"))
            current = changed.setdefault(name[2:], []) if name.startswith("b/") else None
        elif found := _HUNK.match(line):
            start, count = int(found[1]), int(found[2] or 1)
            skip = count + _removed(line)
            if current is not None:
                # Lines were only removed: what stands around the gap is what changed.
                current.append(range(start, start + count) if count else range(start, start + 2))
    return changed


def _removed(header: bytes) -> int:
    old = header.split(b" ")[1]
    return int(old.partition(b",")[2] or 1)


_ESCAPE = re.compile(rb"\\([0-7]{3}|.)")
_LETTERS = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13}


def _unquote(name: bytes) -> str:
    if not name.startswith(b'"'):
        return os.fsdecode(name)

    def byte(found: re.Match[bytes]) -> bytes:
        code = found[1]
        if len(code) == 3:
            return bytes([int(code, 8)])
        return bytes([_LETTERS[code]]) if code in _LETTERS else code

    return os.fsdecode(_ESCAPE.sub(byte, name[1:-1]))
