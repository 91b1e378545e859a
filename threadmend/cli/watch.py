"""changes(): wait until a file of a project changes, by looking at times of change."""

from __future__ import annotations

import time
from pathlib import Path

from threadmend.discovery import discover

__all__ = ["changes"]

INTERVAL = 0.5
"""Seconds between two looks at the known files."""
LIST_EVERY = 6
"""Looks until the files are listed anew, so that new ones are seen."""

Stamp = tuple[int, int]


def changes(root: Path, interval: float = INTERVAL) -> list[str]:
    """Return the paths that changed, came or went below `root`, once any did."""
    paths = discover(root)
    before = _stamps(root, paths)
    looks = 0
    while True:
        time.sleep(interval)
        looks += 1
        if looks % LIST_EVERY == 0:
            paths = discover(root)
        after = _stamps(root, paths)
        changed = {path for path in before | after if before.get(path) != after.get(path)}
        if changed:
            return sorted(changed)


def _stamps(root: Path, paths: list[str]) -> dict[str, Stamp]:
    stamps = {}
    for path in paths:
        try:
            status = (root / path).stat()
        except OSError:
            continue
        stamps[path] = (status.st_mtime_ns, status.st_size)
    return stamps
