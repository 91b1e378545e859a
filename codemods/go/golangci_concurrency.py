"""Turn on the linters that see misuses of concurrency

golangci-lint runs what `.golangci.yml` names. Much of what goes wrong between goroutines is found
by linters that are not on by themselves: responses that are never closed and keep their
connection's goroutines (bodyclose), contexts that are not passed on (contextcheck, noctx) or grow
in a loop (fatcontext); others were on until somebody chose the list by hand: copied locks, lost
cancel functions and loop variables (govet), misused WaitGroups, locks and tests (staticcheck).
Files of version 1 and 2 are understood; comments, order and layout stay.

Not reported: linters under `disable`, or that a comment names: somebody decided, as with `fast`.
In files of version 1 those that its early releases do not know.

Unsafe: golangci-lint reports more than before. Left to you: files whose lists are written in a
way that cannot be extended in place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.recipes.files import ProjectFiles
from threadmend.recipes.yamltree import Node, parse
from threadmend.source import SourceFile

from ._golangci import extended

CATEGORY = "linters"

_STANDARD = frozenset({"govet", "staticcheck"})
_WANTED = ("bodyclose", "contextcheck", "fatcontext", "govet", "noctx", "staticcheck")
_LATER = frozenset({"fatcontext"})
"""Not known to all releases of version 1, which refuse a name that they do not know."""
_BUGS = frozenset({"bodyclose", "contextcheck", "govet", "noctx", "staticcheck"})
"""What the preset `bugs` of version 1 brings."""
_ANALYZERS = ("atomic", "copylocks", "loopclosure", "lostcancel")
_MESSAGE = "golangci-lint runs without"
_REASON = "golangci-lint reports more than before"


def check(project: ProjectFiles) -> Iterator[Finding]:
    """Report the settings that leave linters off."""
    for source in project.texts(_is_settings):
        tree = parse(source.data)
        if tree is None or tree.kind != "map":
            continue
        missing = [name for name in _WANTED if not _is_on(tree, name)]
        decided = [*_values(tree, "linters", "disable"), *_commented(source)]
        missing = [name for name in missing if name not in decided]
        if missing:
            key = tree.key("linters") or tree
            yield _finding(source, key, missing, extended(source, tree, ("linters",), missing))
        yield from _analyzers(source, tree, decided)


def _is_settings(path: str) -> bool:
    return path.rpartition("/")[2] in {".golangci.yml", ".golangci.yaml"}


def _is_second(tree: Node) -> bool:
    version = tree.get("version")
    return version is not None and version.value == "2"


def _is_on(tree: Node, name: str) -> bool:
    """Return whether a linter runs by these settings, those that are turned off left aside."""
    if name in _values(tree, "linters", "enable"):
        return True
    if _is_second(tree):
        default = tree.get("linters", "default")
        chosen = default.value if default is not None else "standard"
        return chosen in {"all", "fast"} or (chosen == "standard" and name in _STANDARD)
    if name in _LATER or any(_says(tree, "linters", key) for key in ("enable-all", "fast")):
        return True
    if "bugs" in _values(tree, "linters", "presets") and name in _BUGS:
        return True
    return name in _STANDARD and not _says(tree, "linters", "disable-all")


def _values(tree: Node, *keys: str) -> list[str]:
    node = tree.get(*keys)
    return [] if node is None else [item.value for item in node.items]


def _says(tree: Node, *keys: str) -> bool:
    node = tree.get(*keys)
    return node is not None and node.value.lower() == "true"


def _commented(source: SourceFile) -> list[str]:
    """Return the linters that a comment takes out of a list, or speaks about."""
    comments = b"\n".join(re.findall(rb"(?:^|[ \t])#([^\n]*)", source.data, re.M)).decode()
    return [name for name in (*_WANTED, *_ANALYZERS) if re.search(rf"\b{name}\b", comments)]


def _analyzers(source: SourceFile, tree: Node, decided: list[str]) -> Iterator[Finding]:
    """Report a choice of govet's analyzers that leaves those about concurrency out."""
    path = ("linters", "settings", "govet") if _is_second(tree) else ("linters-settings", "govet")
    settings = tree.get(*path)
    if settings is None or not _says(settings, "disable-all") or "govet" in decided:
        return
    chosen = {*_values(settings, "enable"), *_values(settings, "disable"), *decided}
    missing = [name for name in _ANALYZERS if name not in chosen]
    holder = tree.get(*path[:-1])
    key = holder.key("govet") if holder is not None else None
    if missing and key is not None and _is_on(tree, "govet"):
        yield _finding(source, key, missing, extended(source, tree, path, missing), "govet's ")


def _finding(
    source: SourceFile, key: Node, missing: list[str], edit: Edit | None, whose: str = ""
) -> Finding:
    names = whose + _listed(missing)
    end = key.end if key.kind == "scalar" else key.start
    fixes = (Fix(f"Turn on {names}", (edit,), Safety.UNSAFE, _REASON),) if edit else ()
    reason = "" if edit else f"add {names} to the list by hand"
    return Finding(source.path, key.start, end, f"{_MESSAGE} {names}", fixes, reason=reason)


def _listed(names: list[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
