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

from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.recipes.files import ProjectFiles
from threadmend.recipes.linters import (
    ANALYZERS,
    WANTED,
    commented,
    is_on,
    is_second,
    is_settings,
    says,
    values,
)
from threadmend.recipes.yamltree import Node, parse
from threadmend.source import SourceFile

from ._golangci import extended

CATEGORY = "linters"

_MESSAGE = "golangci-lint runs without"
_REASON = "golangci-lint reports more than before"


def check(project: ProjectFiles) -> Iterator[Finding]:
    """Report the settings that leave linters off."""
    for source in project.texts(is_settings):
        tree = parse(source.data)
        if tree is None or tree.kind != "map":
            continue
        missing = [name for name in WANTED if not is_on(tree, name)]
        decided = [*values(tree, "linters", "disable"), *commented(source)]
        missing = [name for name in missing if name not in decided]
        if missing:
            key = tree.key("linters") or tree
            yield _finding(source, key, missing, extended(source, tree, ("linters",), missing))
        yield from _analyzers(source, tree, decided)


def _analyzers(source: SourceFile, tree: Node, decided: list[str]) -> Iterator[Finding]:
    """Report a choice of govet's analyzers that leaves those about concurrency out."""
    path = ("linters", "settings", "govet") if is_second(tree) else ("linters-settings", "govet")
    settings = tree.get(*path)
    if settings is None or not says(settings, "disable-all") or "govet" in decided:
        return
    chosen = {*values(settings, "enable"), *values(settings, "disable"), *decided}
    missing = [name for name in ANALYZERS if name not in chosen]
    holder = tree.get(*path[:-1])
    key = holder.key("govet") if holder is not None else None
    if missing and key is not None and is_on(tree, "govet"):
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
