"""Imports and names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from builders_cases import Case, not_gofmt, result, tree_of

from threadmend.golang.builders import (
    add_import,
    add_imports,
    free_name,
    import_entries,
    import_name,
    remove_import,
    taken_names,
)
from threadmend.golang.builders.imports import package_guess


def add(name: str, before: str, path: str, after: str, local: str | None = None) -> Case:
    end = "\n\nvar x int\n"
    return Case(
        f"add: {name}",
        f"package p\n\n{before}{end}" if before else "package p\n\nvar x int\n",
        lambda t: add_import(t, path, local),
        f"package p\n\n{after}{end}",
    )


def several(name: str, before: str, paths: list[str], after: str) -> Case:
    return Case(
        f"several: {name}",
        f"package p\n\n{before}\n\nvar x int\n" if before else "package p\n\nvar x int\n",
        lambda t: add_imports(t, paths),
        f"package p\n\n{after}\n\nvar x int\n",
    )


def remove(name: str, before: str, path: str, after: str) -> Case:
    return Case(
        f"remove: {name}",
        f"package p\n\n{before}\n\nvar x int\n",
        lambda t: remove_import(t, path),
        f"package p\n\n{after}\n\nvar x int\n" if after else "package p\n\nvar x int\n",
    )


X, Y = "example.com/x", "example.com/y"
CASES = [
    several("none yet", "", ["sync", "context"], 'import (\n\t"context"\n\t"sync"\n)'),
    several(
        "one between",
        'import "errors"',
        ["sync", "context"],
        'import (\n\t"context"\n\t"errors"\n\t"sync"\n)',
    ),
    several(
        "one of another kind",
        f'import "{X}"',
        ["sync", "context"],
        f'import (\n\t"context"\n\t"sync"\n\n\t"{X}"\n)',
    ),
    several(
        "a group of another kind",
        f'import (\n\t"{X}"\n)',
        ["sync", "context"],
        f'import (\n\t"context"\n\t"sync"\n\n\t"{X}"\n)',
    ),
    add("first", "", "sync", 'import "sync"'),
    add("there already", 'import "sync"', "sync", 'import "sync"'),
    add("single, after", 'import "fmt"', "sync", 'import (\n\t"fmt"\n\t"sync"\n)'),
    add("single, before", 'import "sync"', "fmt", 'import (\n\t"fmt"\n\t"sync"\n)'),
    add("single of another kind", 'import "fmt"', X, f'import (\n\t"fmt"\n\n\t"{X}"\n)'),
    add(
        "single of another kind, first", f'import "{X}"', "fmt", f'import (\n\t"fmt"\n\n\t"{X}"\n)'
    ),
    add(
        "single with comments",
        '// doc\nimport "fmt" // prints',
        "sync",
        '// doc\nimport (\n\t"fmt" // prints\n\t"sync"\n)',
    ),
    add("named", 'import "fmt"', X, f'import (\n\t"fmt"\n\n\ty "{X}"\n)', "y"),
    add(
        "several single ones",
        'import "fmt"\nimport "os"',
        "sync",
        'import "fmt"\nimport "os"\nimport "sync"',
    ),
    add(
        "group, middle",
        'import (\n\t"fmt"\n\t"time"\n)',
        "sync",
        'import (\n\t"fmt"\n\t"sync"\n\t"time"\n)',
    ),
    add("group, first", 'import (\n\t"fmt"\n)', "context", 'import (\n\t"context"\n\t"fmt"\n)'),
    add("group, last", 'import (\n\t"fmt"\n)', "sync", 'import (\n\t"fmt"\n\t"sync"\n)'),
    add(
        "standard library group of two",
        f'import (\n\t"fmt"\n\n\t"{X}"\n)',
        "sync",
        f'import (\n\t"fmt"\n\t"sync"\n\n\t"{X}"\n)',
    ),
    add(
        "third-party group of two",
        f'import (\n\t"fmt"\n\n\t"{X}"\n)',
        Y,
        f'import (\n\t"fmt"\n\n\t"{X}"\n\t"{Y}"\n)',
    ),
    add(
        "most similar group",
        f'import (\n\t"fmt"\n\n\t"github.com/a/b"\n\n\t"{Y}"\n)',
        X,
        f'import (\n\t"fmt"\n\n\t"github.com/a/b"\n\n\t"{X}"\n\t"{Y}"\n)',
    ),
    add(
        "new group for the standard library",
        f'import (\n\t"{X}"\n\t"{Y}"\n)',
        "sync",
        f'import (\n\t"sync"\n\n\t"{X}"\n\t"{Y}"\n)',
    ),
    add(
        "new third-party group",
        'import (\n\t"fmt"\n\t"sync"\n)',
        X,
        f'import (\n\t"fmt"\n\t"sync"\n\n\t"{X}"\n)',
    ),
    add(
        "one mixed group",
        f'import (\n\t"{X}"\n\t"fmt"\n)',
        "sync",
        f'import (\n\t"{X}"\n\t"fmt"\n\t"sync"\n)',
    ),
    add(
        "not among blank imports",
        'import (\n\t"fmt"\n\n\t_ "net/http/pprof" // profiles\n)',
        "sync",
        'import (\n\t"fmt"\n\t"sync"\n\n\t_ "net/http/pprof" // profiles\n)',
    ),
    add(
        "comments kept",
        'import (\n\t// prints\n\t"fmt"\n\t// times\n\t"time" // too\n)',
        "sync",
        'import (\n\t// prints\n\t"fmt"\n\t"sync"\n\t// times\n\t"time" // too\n)',
    ),
    add(
        "cgo left alone",
        '// #include <a.h>\nimport "C"',
        "sync",
        '// #include <a.h>\nimport "C"\n\nimport "sync"',
    ),
    add(
        "cgo and another",
        '// #include <a.h>\nimport "C"\n\nimport "fmt"',
        "sync",
        '// #include <a.h>\nimport "C"\n\nimport (\n\t"fmt"\n\t"sync"\n)',
    ),
    add(
        "first group of two declarations",
        'import (\n\t"fmt"\n)\n\nimport (\n\t"time"\n)',
        "sync",
        'import (\n\t"fmt"\n\t"sync"\n)\n\nimport (\n\t"time"\n)',
    ),
    Case(
        "add: below the comment of the package clause",
        "package p // why\n\n// x\nvar x int\n",
        lambda t: add_import(t, "sync"),
        'package p // why\n\nimport "sync"\n\n// x\nvar x int\n',
    ),
    Case(
        "add: nothing else in the file",
        "package p\n",
        lambda t: add_import(t, "sync"),
        'package p\n\nimport "sync"\n',
    ),
    Case(
        "add: two at once",
        'package p\n\nimport (\n\t"fmt"\n\t"time"\n)\n',
        lambda t: (*add_import(t, "sync"), *add_import(t, "context")),
        'package p\n\nimport (\n\t"context"\n\t"fmt"\n\t"sync"\n\t"time"\n)\n',
    ),
    remove("only", 'import "fmt"', "fmt", ""),
    remove("only in a group", 'import (\n\t"fmt"\n)', "fmt", ""),
    remove("only in a group with its comment", 'import (\n\t// why\n\t"fmt"\n)', "fmt", ""),
    remove(
        "last, comment above stays",
        'import (\n\t"fmt"\n\n\t// why\n\t"os"\n)',
        "os",
        'import (\n\t"fmt"\n\t// why\n)',
    ),
    remove("first", 'import (\n\t"fmt"\n\t"os"\n)', "fmt", 'import (\n\t"os"\n)'),
    remove("last", 'import (\n\t"fmt"\n\t"os" // o\n)', "os", 'import (\n\t"fmt"\n)'),
    remove("a group", f'import (\n\t"fmt"\n\n\t"{X}"\n)', X, 'import (\n\t"fmt"\n)'),
    remove("the first group", f'import (\n\t"fmt"\n\n\t"{X}"\n)', "fmt", f'import (\n\t"{X}"\n)'),
    remove(
        "the middle group",
        f'import (\n\t"fmt"\n\n\ty "{X}"\n\n\t"{Y}"\n)',
        X,
        f'import (\n\t"fmt"\n\n\t"{Y}"\n)',
    ),
    remove("one of several", 'import "fmt"\nimport "os"', "fmt", 'import "os"'),
    remove("not there", 'import "fmt"', "os", 'import "fmt"'),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_edit(case: Case) -> None:
    assert result(case) == case.after
    crlf = case._replace(before=case.before.replace("\n", "\r\n"))
    assert result(crlf) == case.after.replace("\n", "\r\n")


@pytest.mark.skipif(shutil.which("gofmt") is None, reason="needs gofmt")
def test_gofmt_is_silent(tmp_path: Path) -> None:
    assert not_gofmt({c.name: result(c).encode() for c in CASES}, tmp_path) == {}


def test_import_name() -> None:
    tree = tree_of(
        'package p\n\nimport (\n\t"sync"\n\tx "example.com/go-y/v2"\n\t_ "os"\n\t. "fmt"\n'
        '\t"gopkg.in/yaml.v3"\n)\n'
    )
    assert [import_name(tree, p) for p in ("sync", "example.com/go-y/v2")] == ["sync", "x"]
    assert [import_name(tree, p) for p in ("os", "fmt", "io")] == [None, None, None]
    assert import_name(tree, "sync", taken={"sync"}) is None
    assert import_name(tree, "gopkg.in/yaml.v3") == "yaml"
    assert import_name(tree, "gopkg.in/yaml.v3", package="other") == "other"
    assert [e.name for e in import_entries(tree)] == ["", "x", "_", ".", ""]


@pytest.mark.parametrize(
    ("path", "name"),
    [("sync", "sync"), ("a.b/c/v3", "c"), ("gopkg.in/yaml.v3", "yaml"), ("a.b/go-c", "c")],
)
def test_package_guess(path: str, name: str) -> None:
    assert package_guess(path) == name


def test_names() -> None:
    tree = tree_of("package p\n\nfunc f(wg int) {\n\tx.mu.Lock()\n\tvar y T\nl:\n\tg()\n}\n")
    taken = taken_names(tree.declarations[1].node, names=["global"])
    assert {"f", "wg", "x", "y", "T", "global", "len", "func"} <= taken
    assert "mu" not in taken
    assert free_name("wg", taken) == "wg2"
    assert free_name("mu", taken) == "mu"
    assert free_name("x", {"x", "x2", "x3"}) == "x4"
    assert free_name("range", ()) == "range2"
