"""write(): put a patch's files on disk, each whole or not at all.

Every new text is first written beside its file; only when all are there do they take their
places. A file that is not what it was when it was read stops the whole write.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["WriteError", "write"]


class WriteError(Exception):
    """A file could not be written; the message is one line: path, reason. Nothing changed."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}; nothing was written")
        self.path = path
        self.reason = reason


def write(
    root: Path, before: Mapping[str, bytes | None], after: Mapping[str, bytes | None]
) -> list[str]:
    """Write every file of `after` below `root` and return the paths that changed, sorted.

    `before` is what each file must still hold (`None`: must not exist). Raises WriteError
    with the disk as it was.
    """
    paths = sorted(path for path in after if after[path] != before.get(path))
    targets = {path: _target(root, path) for path in paths}
    for path in paths:
        _expect(path, targets[path], before.get(path))
    staged: dict[str, Path] = {}
    try:
        for path in paths:
            data = after[path]
            if data is not None:
                staged[path] = _stage(path, targets[path], data)
        with _uninterrupted():
            _place(paths, targets, staged, before)
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)
    return paths


def _target(root: Path, path: str) -> Path:
    """Return the file that a path means; a link is followed, but never out of `root`."""
    top = root.resolve()
    try:
        target = (top / path).resolve()
    except (OSError, RuntimeError) as error:
        raise WriteError(path, _reason(error)) from None
    if not target.is_relative_to(top) or target == top:
        raise WriteError(path, "lies outside of the project")
    return target


def _expect(path: str, target: Path, expected: bytes | None) -> None:
    try:
        mode = target.lstat().st_mode
        found = target.read_bytes() if stat.S_ISREG(mode) else None
    except FileNotFoundError:
        if expected is not None:
            raise WriteError(path, "is gone since it was read") from None
        return
    except OSError as error:
        raise WriteError(path, _reason(error)) from None
    if not stat.S_ISREG(mode):
        raise WriteError(path, "is not a regular file")
    if expected is None:
        raise WriteError(path, "exists already")
    if found != expected:
        raise WriteError(path, "changed since it was read")
    # Renaming over a read-only file would work; whoever made it so did not mean that.
    if not mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(target, os.W_OK):
        raise WriteError(path, "is read-only")


def _stage(path: str, target: Path, data: bytes) -> Path:
    """Write `data` to a new file beside `target`, with its mode and owner."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".threadmend-", dir=target.parent)
    except OSError as error:
        raise WriteError(path, _reason(error)) from None
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        _like(target, temporary)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise WriteError(path, _reason(error)) from None
        raise
    return temporary


def _like(target: Path, temporary: Path) -> None:
    try:
        old = target.stat()
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        return
    with contextlib.suppress(OSError):  # only root can keep another one's ownership
        os.chown(temporary, old.st_uid, old.st_gid)
    temporary.chmod(stat.S_IMODE(old.st_mode))


def _place(
    paths: list[str],
    targets: Mapping[str, Path],
    staged: Mapping[str, Path],
    before: Mapping[str, bytes | None],
) -> None:
    placed: list[str] = []
    for path in paths:
        try:
            # Once more, as late as possible: staging took time.
            _expect(path, targets[path], before.get(path))
            if path in staged:
                staged[path].replace(targets[path])
            else:
                targets[path].unlink()
        except (OSError, WriteError) as error:
            for done in reversed(placed):
                _restore(targets[done], before.get(done))
            raise WriteError(path, _reason(error)) from None
        placed.append(path)


def _restore(target: Path, data: bytes | None) -> None:
    if data is None:
        target.unlink(missing_ok=True)
    else:
        target.write_bytes(data)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C and a polite kill while files take their places."""
    if not hasattr(signal, "pthread_sigmask") or (
        threading.current_thread() is not threading.main_thread()
    ):
        yield
        return
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _reason(error: Exception) -> str:
    if isinstance(error, WriteError):
        return error.reason
    return (error.strerror if isinstance(error, OSError) else "") or str(error)
