"""write(): put new bytes into files, each whole or not at all.

Everything that can be refused is refused before the first file changes. Then every new
content is written beside its file under a temporary name and renamed over it, so that a
reader, or a crash, sees the old bytes or the new ones. An error on the way puts back what
was renamed already.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["WriteError", "write"]


class WriteError(Exception):
    """A file was not written, and neither was any other; `reason` is a clause."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}; nothing was written")
        self.path = path
        self.reason = reason


@dataclass(slots=True)
class _Change:
    """One file's way from `before` to `after`; `temporary` holds the new bytes meanwhile."""

    path: str
    full: str
    before: bytes | None
    after: bytes | None
    mode: int | None = None
    temporary: str | None = None


def write(
    root: Path, before: Mapping[str, bytes | None], after: Mapping[str, bytes | None]
) -> list[str]:
    """Write `after` over `before` below `root`; return the paths that changed, sorted.

    `None` is a file that does not exist. Raises WriteError, with all files as they were, for
    a file whose bytes are no longer `before`, that is read-only, is not a regular file, or
    lies outside of the root (a symbolic link may lead there).
    """
    changes = [
        _checked(root, path, before.get(path), after[path])
        for path in sorted(after)
        if before.get(path) != after[path]
    ]
    made: list[str] = []
    done: list[_Change] = []
    current = ""
    try:
        for change in changes:
            current = change.path
            _prepare(change, made)
        for change in changes:
            current = change.path
            # Once more, as late as possible: writing the temporary files took time.
            if _read(change.full, current) != change.before:
                raise WriteError(current, "changed since it was read")
            done.append(change)
            _commit(change)
    except OSError as error:
        _undo(done, made)
        raise WriteError(current, f"cannot be written: {_words(error)}") from error
    except BaseException:
        _undo(done, made)
        raise
    finally:
        for change in changes:
            if change.temporary is not None:
                with suppress(OSError):
                    os.unlink(change.temporary)
    _sync({os.path.dirname(change.full) for change in changes})
    return [change.path for change in changes]


def _checked(root: Path, path: str, before: bytes | None, after: bytes | None) -> _Change:
    """Return the change if nothing speaks against it; raises WriteError."""
    real_root = os.path.realpath(root)
    given = os.path.join(real_root, path)
    full = os.path.realpath(given)
    if os.path.isabs(path) or os.path.commonpath([real_root, full]) != real_root:
        link = "a symbolic link leads out of" if os.path.lexists(given) else "lies outside of"
        raise WriteError(path, f"{link} the project")
    try:
        status = os.stat(full)
    except FileNotFoundError:
        if before is not None:
            raise WriteError(path, "was deleted since it was read") from None
        return _Change(path, full, before, after)
    except OSError as error:
        raise WriteError(path, f"cannot be written: {_words(error)}") from None
    if not stat.S_ISREG(status.st_mode):
        raise WriteError(path, "is not a regular file")
    if before is None:
        raise WriteError(path, "was created since the project was read")
    # The superuser may write everything; a file that says "read-only" is meant all the same.
    if not status.st_mode & 0o222 or not os.access(full, os.W_OK):
        raise WriteError(path, "is read-only")
    if not os.access(os.path.dirname(full), os.W_OK):
        raise WriteError(path, "is in a read-only folder")
    if _read(full, path) != before:
        raise WriteError(path, "changed since it was read")
    return _Change(path, full, before, after, stat.S_IMODE(status.st_mode))


def _read(full: str, path: str) -> bytes | None:
    try:
        with open(full, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WriteError(path, f"cannot be read: {_words(error)}") from None


def _prepare(change: _Change, made: list[str]) -> None:
    """Write the new bytes beside the file, safe on the disk."""
    if change.after is None:
        return
    folder = os.path.dirname(change.full)
    _make_folders(folder, made)
    descriptor, change.temporary = tempfile.mkstemp(prefix=".threadmend-", dir=folder)
    with open(descriptor, "wb") as file:
        file.write(change.after)
        file.flush()
        if change.mode is None:
            os.chmod(change.temporary, 0o666 & ~_umask())
        else:
            os.chmod(change.temporary, change.mode)
            _keep_owner(change)
        os.fsync(file.fileno())


def _make_folders(folder: str, made: list[str]) -> None:
    missing = []
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for name in reversed(missing):
        os.mkdir(name)
        made.append(name)


def _keep_owner(change: _Change) -> None:
    if not hasattr(os, "chown") or change.temporary is None:
        return
    old, new = os.stat(change.full), os.stat(change.temporary)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        # Only the superuser may give a file away; for others the group is worth a try.
        with suppress(OSError):
            os.chown(change.temporary, old.st_uid, old.st_gid)
            os.chmod(change.temporary, stat.S_IMODE(old.st_mode))


def _commit(change: _Change) -> None:
    if change.temporary is None:
        os.unlink(change.full)
    else:
        os.replace(change.temporary, change.full)
        change.temporary = None


def _undo(done: list[_Change], made: list[str]) -> None:
    """Put back what was renamed, as far as the system lets us."""
    for change in reversed(done):
        with suppress(OSError, WriteError):
            if _read(change.full, change.path) != change.after:
                continue  # not renamed yet, or somebody else's by now
            if change.before is None:
                os.unlink(change.full)
                continue
            back = _Change(change.path, change.full, change.after, change.before, change.mode)
            _prepare(back, made)
            _commit(back)
    for folder in reversed(made):
        with suppress(OSError):
            os.rmdir(folder)


def _sync(folders: set[str]) -> None:
    if os.name != "posix":
        return
    for folder in sorted(folders):
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
