"""Stress: scheduling noise, laid over a package's own files where goroutines meet.

A call of a small function stands before every statement that launches, sends, receives, locks,
unlocks, waits or closes, and first in every launched function literal: it yields or naps by
chance. Nothing in it orders two goroutines, so that it hides no race. Lines keep their numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath

from threadmend.compose import apply_edits
from threadmend.golang.file import GoFile, package_clause
from threadmend.golang.node import BLOCKS, Node
from threadmend.model import Edit
from threadmend.project import Project

__all__ = ["noisy"]

_CALLS = frozenset({"Lock", "RLock", "Unlock", "RUnlock", "Wait", "Done", "Add", "close", "Signal",
                    "Broadcast", "Store", "Load", "Do", "Cancel", "cancel", "Stop"})  # fmt: skip

_NOISE = b"threadmendNoise(); "

_FILE = """package {package}

import (
	"runtime"
	"time"
)

// threadmendNoise yields or naps, by a chance that needs no memory that goroutines share.
func threadmendNoise() {{
	chance := uint64(time.Now().UnixNano()) * 0x9E3779B97F4A7C15 >> 56
	switch {{
	case chance < 64:
		runtime.Gosched()
	case chance < 96:
		for range make([]struct{{}}, chance%16) {{
			runtime.Gosched()
		}}
	case chance < 112:
		time.Sleep(time.Duration(chance) * time.Microsecond)
	}}
}}
"""


def noisy(project: Project, directories: Collection[str]) -> Mapping[str, bytes]:
    """Return the files of packages (folders below the project) with noise, and the noise's own.

    A package whose tests control the clock (testing/synctest) is left alone.
    """
    found: dict[str, bytes] = {}
    for directory in directories:
        paths = [
            path
            for path in project.paths
            if path.endswith(".go") and path.rpartition("/")[0] == directory.removeprefix(".")
            and project.excuse(path) is None
        ]  # fmt: skip
        texts = {path: project.source(path).data for path in paths}
        if any(b'"testing/synctest"' in text or b'import "C"' in text for text in texts.values()):
            continue
        changed = {path: text for path in paths if (text := _with_noise(project, path))}
        found |= changed
        names = {package_clause(texts[path]) or "" for path in changed}
        plain = {package_clause(text) for p, text in texts.items() if not p.endswith("_test.go")}
        for name in sorted(names):
            test = "" if name in plain else "_test"
            file = f"threadmend_noise_{name.removesuffix('_test')}_0{test}.go"
            path = str(PurePosixPath(directory) / file)
            found[path] = _FILE.format(package=name).encode()
    return found


def _with_noise(project: Project, path: str) -> bytes | None:
    """Return a file with calls of the noise; None when there is no place for one."""
    file = project.go.file(path)
    if file.broken:
        return None
    places = sorted(set(_places(file)))
    if not places:
        return None
    return apply_edits(file.data, [Edit(path, at, at, _NOISE) for at in places])


def _places(file: GoFile) -> Iterator[int]:
    for declaration in file.tree.declarations:
        if declaration.has_error:
            continue
        for node in declaration.node.walk():
            if node.kind == "go_statement":
                yield from _launch(node)
            elif _matters(node) and not _deferred(node):
                statement = node.statement
                if statement is not None and statement.kind in _PLAIN:
                    yield statement.start


_PLAIN = frozenset({"expression_statement", "send_statement", "short_var_declaration",
                    "assignment_statement", "return_statement", "select_statement"})  # fmt: skip


def _matters(node: Node) -> bool:
    if node.kind == "send_statement":
        return node.parent is not None and node.parent.kind in BLOCKS and not node.field
    if node.kind == "unary_expression":
        return node.text.startswith(b"<-")
    if node.kind != "call_expression":
        return False
    function = node["function"]
    name = function.get("field") or function
    return name.name in _CALLS


def _deferred(node: Node) -> bool:
    return node.parent is not None and node.parent.kind == "defer_statement"


def _launch(node: Node) -> Iterator[int]:
    """Yield the place before a go statement, and the beginning of the literal that it runs."""
    if node.parent is not None and node.parent.kind in BLOCKS:
        yield node.start
    for literal in node.find("func_literal"):
        if literal.parent is not None and literal.parent.parent is node:
            yield literal["body"].start + 1
        return
