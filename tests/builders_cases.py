"""What the tests of the builders share: small sources, nodes by their text, one gofmt run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from threadmend.golang.builders import applied
from threadmend.golang.syntax import BLOCKS, Node, SyntaxTree
from threadmend.model import Edit
from threadmend.source import SourceFile

Build = Callable[[SyntaxTree], Iterable[Edit]]


class Case(NamedTuple):
    """One before/after check. Sources are whole files, or bodies of `func f()`."""

    name: str
    before: str
    build: Build
    after: str


def tree_of(text: str) -> SyntaxTree:
    return SyntaxTree(SourceFile("a.go", text.encode()))


def body(text: str) -> str:
    """Return a file whose function `f` has this body; lines are given unindented."""
    lines = [f"\t{line}" if line else "" for line in text.strip("\n").split("\n")]
    return "package p\n\nfunc f() {\n" + "\n".join(lines) + "\n}\n"


def node(tree: SyntaxTree, text: str, *kinds: str) -> Node:
    """Return the first and largest node that begins with a text (and has one of the kinds)."""
    for declaration in tree.declarations:
        for found in declaration.node.walk():
            if found.text.startswith(text.encode()) and (not kinds or found.kind in kinds):
                return found
    raise AssertionError(f"no {text!r}")


def statement(tree: SyntaxTree, text: str) -> Node:
    """Return the first statement of a block or clause that begins with a text."""
    for declaration in tree.declarations:
        for found in declaration.node.walk():
            if found.text.startswith(text.encode()) and found.parent is not None:
                if found.parent.kind in BLOCKS:
                    return found
    raise AssertionError(f"no statement {text!r}")


def result(case: Case) -> str:
    tree = tree_of(case.before)
    return applied(tree.data, case.build(tree)).decode()


def not_gofmt(files: Mapping[str, bytes], directory: Path) -> dict[str, str]:
    """Return what gofmt would change, by name, in one process; None without a gofmt."""
    gofmt = shutil.which("gofmt")
    assert gofmt is not None
    for number, data in enumerate(files.values()):
        (directory / f"{number}.go").write_bytes(data)
    done = subprocess.run(
        [gofmt, "-d", str(directory)], capture_output=True, text=True, check=False, timeout=120
    )
    said = done.stdout + done.stderr
    return {
        name: said for number, name in enumerate(files) if f"{directory.name}/{number}.go" in said
    }
