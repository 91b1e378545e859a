"""`apply`: put a patch onto the files, whole or not at all."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

from threadmend.cli.errors import BadInputError
from threadmend.cli.output import Output
from threadmend.diff import apply
from threadmend.patchfile import FileMode, PatchError, parse
from threadmend.report.text import count
from threadmend.write import write

__all__ = ["apply_patch"]

_MAIL = re.compile(rb"^From [0-9a-f]{40} ", re.M)


def apply_patch(name: str, directory: Path, *, check_only: bool) -> int:
    """Apply the patch in the file called `name` below a folder; returns 0.

    Raises what is wrong with the patch or the files, and then nothing was written.
    """
    if not directory.is_dir():
        raise BadInputError(f"{directory}: no such folder")
    data = _read_patch(name)
    disk: dict[str, bytes | None] = {}
    state: dict[str, bytes | None] = {}

    def read(path: str) -> bytes | None:
        if path not in disk:
            disk[path] = _read_file(directory, path)
        return state.get(path, disk[path])

    modes: dict[str, FileMode] = {}
    for patch in _patches(data):
        try:
            state.update(apply(patch, read))
            modes |= {f.new_path: f.new_mode for f in parse(patch) if f.new_path and f.new_mode}
        except PatchError as error:
            if error.path:
                raise
            raise BadInputError(f"{name}:{error.line}: {error.reason}") from None
    if not state and data.strip():
        raise BadInputError(f"{name}: holds no patch")
    before = {path: read_disk for path, read_disk in disk.items() if path in state}
    changed = {path for path in state if state[path] != before[path]}
    changed |= {path for path, mode in modes.items() if _differs(directory / path, mode)}
    if not check_only:
        write(directory, before, state)
        for path, mode in modes.items():
            _set_mode(directory / path, mode)
    output, files = Output(), count(len(changed), "file")
    output.note(f"applies; {files} would change" if check_only else f"{files} changed")
    return 0


def _differs(file: Path, mode: FileMode) -> bool:
    return file.exists() and FileMode.of(file) is not mode


def _set_mode(file: Path, mode: FileMode) -> None:
    """Give a file the executable bits of a mode, for whoever may read it, as git does."""
    if not _differs(file, mode):
        return
    bits = file.stat().st_mode & 0o777
    readers = (bits & 0o444) >> 2
    file.chmod(bits | readers if mode is FileMode.EXECUTABLE else bits & ~0o111)


def _read_patch(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise BadInputError(f"{name}: {error.strerror}") from None


def _patches(data: bytes) -> Iterator[bytes]:
    """Yield the diff itself, or that of every mail of a mailbox, decoded."""
    starts = [found.start() for found in _MAIL.finditer(data)]
    if not starts or data[: starts[0]].strip():
        yield data
        return
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        mail = message_from_bytes(data[start:end])
        body = mail.get_payload(decode=True)
        yield body if isinstance(body, bytes) else data[start:end]


def _read_file(directory: Path, path: str) -> bytes | None:
    try:
        return (directory / path).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInputError(f"{path}: {error.strerror}") from None
