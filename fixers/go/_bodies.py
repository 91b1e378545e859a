"""The functions that goroutines run."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import launch_of_literal, launch_sites, launches
from threadmend.golang.locks import declaration_of
from threadmend.golang.spawners import spawned
from threadmend.golang.syntax import Node

__all__ = ["bodies", "launched_in_loop"]


def bodies(file: GoFile) -> list[Node]:
    """Return the functions of this file that some goroutine of the package runs."""
    known: dict[str, list[Node]] = file.package.facts.setdefault("run by goroutines", {})
    if file.path not in known:
        known[file.path] = list(dict.fromkeys([*_launched(file), *spawned(file)]))
    return known[file.path]


def _launched(file: GoFile) -> Iterator[Node]:
    for launch in launches(file):
        if launch.literal is not None and launch.kind != "timer":
            yield launch.literal
    for sites in launch_sites(file.package).values():
        body = sites[0].body
        if body is not None and body.path == file.path and body.kind != "func_literal":
            yield body


def launched_in_loop(file: GoFile, body: Node) -> bool:
    """Return whether several goroutines may run a body, or it cannot be told how many."""
    if body.kind == "func_literal":
        launch = launch_of_literal(file, body)
        return launch is not None and launch.loop is not None
    decl = declaration_of(file, body)
    sites = launch_sites(file.package).get(decl.key, []) if decl is not None else []
    return len(sites) != 1 or sites[0].loop is not None
