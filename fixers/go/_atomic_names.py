"""What the rules of atomics share: how a file calls sync/atomic, and its import."""

from __future__ import annotations

from threadmend.golang.builders import add_import
from threadmend.golang.file import GoFile
from threadmend.model import Edit

__all__ = ["atomic_name", "imported"]


def atomic_name(file: GoFile) -> str | None:
    """Return what sync/atomic is called in a file, None when its name is taken."""
    for imported_ in file.imports:
        if imported_.path == "sync/atomic" and imported_.name not in {"", "."}:
            return imported_.name
    if file.imported("atomic") is not None or file.package.lookup("atomic") is not None:
        return None
    return "atomic"


def imported(file: GoFile) -> tuple[Edit, ...]:
    """Return the edits that import sync/atomic where it is not."""
    if any(i.path == "sync/atomic" and i.name not in {"", "."} for i in file.imports):
        return ()
    return add_import(file.tree, "sync/atomic")
