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
from threadmend.patchfile import PatchError
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

    for patch in _patches(data):
        try:
            state.update(apply(patch, read))
        except PatchError as error:
            if error.path:
                raise
            raise BadInputError(f"{name}:{error.line}: {error.reason}") from None
    if not state and data.strip():
        raise BadInputError(f"{name}: holds no patch")
    before = {path: read_disk for path, read_disk in disk.items() if path in state}
    changed = [path for path in state if state[path] != before[path]]
    if not check_only:
        write(directory, before, state)
    output, files = Output(), count(len(changed), "file")
    output.note(f"applies; {files} would change" if check_only else f"{files} changed")
    return 0


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
