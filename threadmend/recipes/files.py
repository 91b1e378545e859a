"""Which files around the code rules may read, and ProjectFiles, which hands them out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from threadmend.source import SourceFile, UnreadableError

if TYPE_CHECKING:
    from threadmend.golang.workspace import Workspace

__all__ = ["PATTERNS", "WORKFLOWS", "ProjectFiles", "is_generated", "is_recipe"]

_NAMES = (
    "Makefile",
    "makefile",
    "GNUmakefile",
    "Taskfile.yml",
    "Taskfile.yaml",
    "justfile",
    "Justfile",
    ".justfile",
    ".gitlab-ci.yml",
    ".golangci.yml",
    ".golangci.yaml",
    "go.sum",
)
_SUFFIXES = (".mk", ".sh")
WORKFLOWS = ".github/workflows/"
_YAML = (".yml", ".yaml")

PATTERNS = (
    *(f"*{suffix}" for suffix in _SUFFIXES),
    *(pattern for name in _NAMES for pattern in (name, f"*/{name}")),
    *(f"{WORKFLOWS}*{suffix}" for suffix in _YAML),
)
"""What to ask git for."""

_GENERATED = re.compile(rb"^[ \t]*#.*\bgenerated\b.*\bDO NOT EDIT\b", re.M | re.I)
_HEAD = 2000


def is_recipe(path: str) -> bool:
    """Return whether a path is one of a file around the code."""
    if path.startswith(WORKFLOWS):
        return path.endswith(_YAML) and "/" not in path[len(WORKFLOWS) :]
    return path.endswith(_SUFFIXES) or path.rpartition("/")[2] in _NAMES


def is_generated(data: bytes) -> bool:
    """Return whether the head of such a file says that a program wrote it."""
    return _GENERATED.search(data, 0, _HEAD) is not None


class ProjectFiles:
    """A whole project: its code, and the files around it. The subject of rules about both."""

    def __init__(
        self,
        recipes: Sequence[str],
        source: Callable[[str], SourceFile],
        go: Callable[[], Workspace],
    ) -> None:
        self.recipes = tuple(recipes)
        """The paths of the files around the code, sorted."""
        self._source = source
        self._go = go

    @property
    def go(self) -> Workspace:
        """Return the Go packages and modules."""
        return self._go()

    def text(self, path: str) -> SourceFile | None:
        """Return a file around the code, None where there is none that can be read."""
        if path not in self.recipes:
            return None
        try:
            return self._source(path)
        except UnreadableError:
            return None

    def texts(self, wanted: Callable[[str], bool]) -> Iterator[SourceFile]:
        """Yield the files around the code whose paths are wanted and that can be read."""
        for path in self.recipes:
            if wanted(path):
                source = self.text(path)
                if source is not None:
                    yield source
