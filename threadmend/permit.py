"""forbidden(): why a fix must not be applied, whatever it would do."""

from __future__ import annotations

from threadmend.compose import apply_edits, by_path
from threadmend.model import Fix
from threadmend.project import Project
from threadmend.source import UnreadableError

__all__ = ["forbidden"]


def forbidden(offered: Fix, project: Project) -> str | None:
    """Return why a fix must not be applied, whatever it does."""
    if not offered.edits:
        return "the fix has no edits"
    for path, edits in by_path(offered.edits).items():
        if path not in project:
            if path.startswith("/") or ".." in path.split("/") or (project.root / path).exists():
                return f"the fix would write {path}, which is not in the project"
            continue
        excuse = project.excuse(path)
        if excuse is not None:
            return f"the fix would edit {path}, which {excuse}"
        try:
            data = project.source(path).data
        except UnreadableError as error:
            return f"the fix would edit {path}, which {error.reason}"
        if path.endswith(".go"):
            for start, end in project.go.tree(path).errors:
                if any(edit.start <= end and start <= edit.end for edit in edits):
                    line = project.source(path).line_of(start)
                    return f"the fix would edit {path} where it does not parse (line {line})"
        if path.endswith((".py", ".ipynb")) and project.python.readable(path) is None:
            return f"the fix would edit {path}, which does not parse"
        if len(offered.edits) == len(edits) and apply_edits(data, edits) == data:
            return "the fix changes nothing"
    return None
