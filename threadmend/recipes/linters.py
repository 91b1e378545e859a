"""Which linters golangci-lint runs by its settings, of those that see misuses of concurrency."""

from __future__ import annotations

import re

from threadmend.recipes.yamltree import Node
from threadmend.source import SourceFile

__all__ = [
    "ANALYZERS",
    "WANTED",
    "commented",
    "is_on",
    "is_second",
    "is_settings",
    "says",
    "values",
]

_STANDARD = frozenset({"govet", "staticcheck"})
WANTED = ("bodyclose", "contextcheck", "fatcontext", "govet", "noctx", "staticcheck")
_LATER = frozenset({"fatcontext"})
"""Not known to all releases of version 1, which refuse a name that they do not know."""
_BUGS = frozenset({"bodyclose", "contextcheck", "govet", "noctx", "staticcheck"})
"""What the preset `bugs` of version 1 brings."""
ANALYZERS = ("atomic", "copylocks", "loopclosure", "lostcancel")
"""Those of govet."""


def is_settings(path: str) -> bool:
    """Return whether a path is that of golangci-lint's settings."""
    return path.rpartition("/")[2] in {".golangci.yml", ".golangci.yaml"}


def is_second(tree: Node) -> bool:
    """Return whether settings are of version 2."""
    version = tree.get("version")
    return version is not None and version.value == "2"


def is_on(tree: Node, name: str) -> bool:
    """Return whether a linter runs by these settings, those that are turned off left aside."""
    if name in values(tree, "linters", "enable"):
        return True
    if is_second(tree):
        default = tree.get("linters", "default")
        chosen = default.value if default is not None else "standard"
        return chosen in {"all", "fast"} or (chosen == "standard" and name in _STANDARD)
    if name in _LATER or any(says(tree, "linters", key) for key in ("enable-all", "fast")):
        return True
    if "bugs" in values(tree, "linters", "presets") and name in _BUGS:
        return True
    return name in _STANDARD and not says(tree, "linters", "disable-all")


def values(tree: Node, *keys: str) -> list[str]:
    """Return the scalars of a list below some keys."""
    node = tree.get(*keys)
    return [] if node is None else [item.value for item in node.items]


def says(tree: Node, *keys: str) -> bool:
    """Return whether a setting is true."""
    node = tree.get(*keys)
    return node is not None and node.value.lower() == "true"


def commented(source: SourceFile) -> list[str]:
    """Return the linters that a comment takes out of a list, or speaks about."""
    comments = b"\n".join(re.findall(rb"(?:^|[ \t])#([^\n]*)", source.data, re.M)).decode()
    return [name for name in (*WANTED, *ANALYZERS) if re.search(rf"\b{name}\b", comments)]
