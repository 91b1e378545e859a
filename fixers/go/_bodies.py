"""The functions that goroutines run."""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.calls import callers
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import launch_of_literal, launch_sites, launches
from threadmend.golang.locks import declaration_of
from threadmend.golang.package import Decl, Package
from threadmend.golang.spawners import spawned
from threadmend.golang.syntax import Node

__all__ = ["bodies", "launched_in_loop"]


def bodies(file: GoFile) -> list[Node]:
    """Return the functions of this file that some goroutine of the package runs."""
    known: dict[str, list[Node]] = file.package.facts.setdefault("run by goroutines", {})
    if file.path not in known:
        called = (body for body in _called(file.package) if body.path == file.path)
        known[file.path] = list(dict.fromkeys([*_launched(file), *spawned(file), *called]))
    return known[file.path]


def _launched(file: GoFile) -> Iterator[Node]:
    for launch in launches(file):
        if launch.literal is not None and launch.kind != "timer":
            yield launch.literal
    for sites in launch_sites(file.package).values():
        body = sites[0].body
        if body is not None and body.path == file.path and body.kind != "func_literal":
            yield body


def _called(package: Package) -> list[Node]:
    """Return the functions that only goroutines call: `go func() { s.run() }()`, and what the
    statements of `run` call.
    """
    found: list[Node] | None = package.facts.get("called by goroutines")
    if found is None:
        found = package.facts["called by goroutines"] = []
        todo = [(file, body) for file in package.files for body in _launched(file)]
        running = {body for _, body in todo}
        waiting: dict[tuple[str, int], Decl] = {}
        while todo:
            waiting.update((d.key, d) for file, body in todo for d in _callees(file, body))
            todo = [(d.file, d.node) for d in waiting.values() if _is_only_run(d, running)]
            waiting = {k: d for k, d in waiting.items() if (d.file, d.node) not in todo}
            todo = [(file, body) for file, body in todo if body not in running]
            running.update(body for _, body in todo)
            found += (body for _, body in todo)
    return found


def _callees(file: GoFile, body: Node) -> Iterator[Decl]:
    """Yield the functions of the package that a body's own statements call."""
    for statement in body["body"].statements:
        call = statement.children[0] if statement.kind == "expression_statement" else None
        decl = file.callee(call) if call is not None and call.kind == "call_expression" else None
        if decl is not None and decl.sound and decl.has_body:
            if decl.file.package is file.package and not decl.exported:
                yield decl


def _is_only_run(decl: Decl, running: set[Node]) -> bool:
    """Return whether nobody but goroutines, by the bodies that they run, calls a function."""
    for site in callers(decl):
        if site.call is None or not (site.launched or site.node.function in running):
            return False
    return True


def launched_in_loop(file: GoFile, body: Node) -> bool:
    """Return whether several goroutines may run a body, or it cannot be told how many."""
    if body.kind == "func_literal":
        launch = launch_of_literal(file, body)
        return launch is not None and launch.loop is not None
    decl = declaration_of(file, body)
    sites = launch_sites(file.package).get(decl.key, []) if decl is not None else []
    return len(sites) != 1 or sites[0].loop is not None
