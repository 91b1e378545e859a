"""What a module needs for goleak, and how a TestMain that is there asks it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from threadmend.golang.builders import (
    BuilderError,
    add_import,
    insert_before,
    remove_import,
    replace,
)
from threadmend.golang.builders.modfile import add_requirement
from threadmend.golang.package import Decl, Module
from threadmend.golang.syntax import Node
from threadmend.model import Edit
from threadmend.recipes.files import ProjectFiles
from threadmend.source import SourceFile

__all__ = ["PATH", "Need", "checked", "needed"]

PATH = "go.uber.org/goleak"
_VERSION = "v1.3.0"
_SUMS = (
    f"{PATH} {_VERSION} h1:2K3zAYmnTNqV73imy9J1T3WC+gmCePx2hEGkimedGto=",
    f"{PATH} {_VERSION}/go.mod h1:CoHD4mav9JJNrW/WLlf7HGZPjdw8EucARQHekz1X6bE=",
)
"""As https://sum.golang.org/lookup/go.uber.org/goleak@v1.3.0 has them."""
_DEMANDS = {
    "github.com/stretchr/testify": (1, 8, 0),
    "github.com/davecgh/go-spew": (1, 1, 1),
    "github.com/kr/pretty": (0, 1, 0),
    "github.com/pmezard/go-difflib": (1, 0, 0),
    "gopkg.in/check.v1": (0, 0, 0),
    "gopkg.in/yaml.v3": (3, 0, 1),
}
"""What that version requires: a module that has less of it must be brought up by the go command."""
_GET = f"go get -t {PATH}@{_VERSION}"


@dataclass(frozen=True, slots=True)
class Need:
    """The edits that let a module import goleak, or the reason why there are none."""

    edits: tuple[Edit, ...] = ()
    reason: str = ""
    command: str = ""
    """What is still to be run."""


def needed(project: ProjectFiles, module: Module) -> Need:
    """Return what it takes to import goleak in a module."""
    path = f"{module.directory}/go.mod".lstrip("/")
    source = project.go.source(path)
    folder = f"{module.directory}/" if module.directory else ""
    if PATH in module.requires:
        return Need()
    vendored = any(p.startswith(f"{folder}vendor/") for p in project.go.go_files)
    if vendored:
        return Need(reason=f"the module is vendored: run {_GET} && go mod vendor first")
    sums = project.text(f"{folder}go.sum")
    can = module.go_version >= (1, 17) and PATH.encode() not in source.data
    if not can or any(_less(module.requires.get(p), v) for p, v in _DEMANDS.items()):
        return Need(reason=f"go.mod has to be changed by the go command: run {_GET} first")
    if sums is None and module.requires:
        return Need(reason=f"there is no go.sum to write to: run {_GET} first")
    edits = (add_requirement(source, PATH, _VERSION), *_summed(sums, f"{folder}go.sum"))
    return Need(edits, command="go mod tidy")


def _less(version: str | None, wanted: tuple[int, int, int]) -> bool:
    found = re.match(r"v(\d+)\.(\d+)\.(\d+)", version or "")
    if found is None:
        return False
    return (int(found[1]), int(found[2]), int(found[3])) < wanted


def _summed(sums: SourceFile | None, path: str) -> tuple[Edit, ...]:
    """Return the edits of go.sum, which is sorted by module."""
    data, newline = (b"", b"\n") if sums is None else (sums.data, sums.newline)
    missing = [line.encode() for line in _SUMS if line.encode() not in data]
    if not missing:
        return ()
    at = 0
    for line in data.splitlines(keepends=True):
        if line.split(b" ")[0] > PATH.encode():
            break
        at += len(line)
    lead = newline if data[:at] and not data[:at].endswith(b"\n") else b""
    return (Edit(path, at, at, lead + b"".join(line + newline for line in missing)),)


# -- a TestMain that is there -----------------------------------------------------------------

_FIND = """if err := goleak.Find(); %(code)s == 0 && err != nil {
	fmt.Fprintln(os.Stderr, "goleak:", err)
	%(code)s = 1
}"""


def checked(main: Decl) -> tuple[Edit, ...] | None:
    """Return the edits that let a TestMain look for leaked goroutines; None for odd ones.

    os.Exit(m.Run())                  →  goleak.VerifyTestMain(m)
    code := m.Run(); …; os.Exit(code) →  goleak.Find() before the exit
    """
    body, tree = main.node.get("body"), main.file.tree
    name = re.match(rb"func TestMain\((\w+) \*testing\.M\)", main.node.text)
    if body is None or name is None or not body.statements or not main.sound:
        return None
    last, m = body.statements[-1], re.escape(name[1])
    if len(re.findall(rb"\b" + m + rb"\.Run\b", body.text)) != 1:
        return None
    try:
        edits = _verified(main, body, last, m) or _found(body, last, m)
        if edits is None:
            return None
        more = add_import(tree, "fmt") if b"fmt." in b"".join(e.new for e in edits) else ()
        return (*edits, *more, *add_import(tree, PATH))
    except BuilderError:
        return None


def _verified(main: Decl, body: Node, last: Node, m: bytes) -> tuple[Edit, ...] | None:
    exits = re.fullmatch(rb"os\.Exit\(" + m + rb"\.Run\(\)\)", last.text)
    runs = re.fullmatch(rb"(?:_ = )?" + m + rb"\.Run\(\)", last.text)
    # VerifyTestMain exits: what is deferred would not run any more.
    if not exits and (not runs or any(body.find("defer_statement"))):
        return None
    # What the set-up started is meant to stay.
    setup = [s for s in body.statements[:-1] if s.text != b"flag.Parse()"]
    ignored = ", goleak.IgnoreCurrent()" if setup else ""
    edits = replace(last, f"goleak.VerifyTestMain({m.decode()}{ignored})")
    file = main.file
    if exits and len(re.findall(rb"\bos\.", file.data)) == 1:
        edits = (*edits, *remove_import(file.tree, "os"))
    return edits


def _found(body: Node, last: Node, m: bytes) -> tuple[Edit, ...] | None:
    exits = re.fullmatch(rb"os\.Exit\((\w+)\)", last.text)
    if exits is None:
        return None
    code = re.escape(exits[1])
    run = re.compile(code + rb" :?= " + m + rb"\.Run\(\)")
    if not any(run.fullmatch(statement.text) for statement in body.statements):
        return None
    return insert_before(last, _FIND % {"code": exits[1].decode()})
