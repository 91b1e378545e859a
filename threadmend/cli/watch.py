"""Wait until a file of a project changes, by looking at times of change."""

from __future__ import annotations

import time
from pathlib import Path

from threadmend.discovery import discover

__all__ = ["Stamps", "changes", "stamps"]

INTERVAL = 0.5
"""Seconds between two looks at the known files."""
LIST_EVERY = 6
"""Looks until the files are listed anew, so that new ones are seen."""

Stamps = dict[str, tuple[int, int]]
"""Time of change and size by path."""


def stamps(root: Path) -> Stamps:
    """Return the state of a project's files; take it before reading them, and no change is lost."""
    return _stamps(root, discover(root))


def changes(root: Path, before: Stamps, interval: float = INTERVAL) -> list[str]:
    """Return the paths that changed, came or went since `before`, once any did."""
    looks = 0
    paths = list(before)
    while True:
        if looks % LIST_EVERY == 0:
            paths = sorted({*before, *discover(root)})
        after = _stamps(root, paths)
        changed = {path for path in paths if before.get(path) != after.get(path)}
        if changed:
            return sorted(changed)
        looks += 1
        time.sleep(interval)


def _stamps(root: Path, paths: list[str]) -> Stamps:
    found = {}
    for path in paths:
        try:
            status = (root / path).stat()
        except OSError:
            continue
        found[path] = (status.st_mtime_ns, status.st_size)
    return found
