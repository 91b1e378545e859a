"""Where a lock was taken, beside a finding about what happens under it."""

from __future__ import annotations

from threadmend.golang.syntax import Node
from threadmend.model import Related

__all__ = ["taken_here"]


def taken_here(taken: Node | None, name: str) -> list[Related]:
    """Return the place where a lock was taken, if there is one."""
    if taken is None:
        return []
    return [Related(taken.path, taken.start, taken.end, f"{name} is taken here")]
