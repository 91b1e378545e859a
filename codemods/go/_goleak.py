"""goleak as a requirement, and how a TestMain that is there asks it."""

from __future__ import annotations

import re

from threadmend.golang.builders import (
    BuilderError,
    add_import,
    insert_before,
    remove_import,
    replace,
)
from threadmend.golang.package import Decl
from threadmend.golang.syntax import Node
from threadmend.model import Edit

from ._requirement import Dependency

__all__ = ["GOLEAK", "checked"]

PATH = "go.uber.org/goleak"
GOLEAK = Dependency(
    PATH,
    "v1.3.0",
    sums=(
        f"{PATH} v1.3.0 h1:2K3zAYmnTNqV73imy9J1T3WC+gmCePx2hEGkimedGto=",
        f"{PATH} v1.3.0/go.mod h1:CoHD4mav9JJNrW/WLlf7HGZPjdw8EucARQHekz1X6bE=",
    ),
    demands={
        "github.com/stretchr/testify": (1, 8, 0),
        "github.com/davecgh/go-spew": (1, 1, 1),
        "github.com/kr/pretty": (0, 1, 0),
        "github.com/pmezard/go-difflib": (1, 0, 0),
        "gopkg.in/check.v1": (0, 0, 0),
        "gopkg.in/yaml.v3": (3, 0, 1),
    },
    test=True,
)


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
