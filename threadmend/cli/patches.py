"""`apply`: put a patch onto the files, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from threadmend.cli.errors import BadInputError
from threadmend.cli.output import Output
from threadmend.report.text import count

__all__ = ["apply_patch"]


def apply_patch(patch: str, directory: Path, *, check_only: bool) -> int:
    """Apply the patch in the file called `patch`; returns 0, and raises what is wrong with it."""
    if not directory.is_dir():
        raise BadInputError(f"{directory}: no such folder")
    root = directory.resolve()
    before: dict[str, bytes | None] = {}

    def read(path: str) -> bytes | None:
        before[path] = _read(root, path)
        return before[path]

    after = _applied(_patch(patch), read)
    changed = [path for path in sorted(after) if after[path] != before.get(path)]
    if check_only:
        Output().note(f"applies; {count(len(changed), 'file')} would change")
        return 0
    write_(root, before, after)
    Output().note(f"{count(len(changed), 'file')} changed")
    return 0
