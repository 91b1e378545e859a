"""Proofs of patches with the real toolchain, of rules that break what they touch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from gotool import go_directory, needs_go
from toy import options, project, replacing, rule

from threadmend.engine import fixes
from threadmend.model import Outcome, Patch, Rule
from threadmend.project import Project
from threadmend.prove.bisect import proved
from threadmend.prove.levels import Level
from threadmend.prove.packages import Shop
from threadmend.prove.process import Limits, folder
from threadmend.prove.proof import Examiner
from threadmend.prove.toolchain import Toolchain, find

pytestmark = needs_go

GOOD = rule("good", rb"= 1\b", replacing(b"= 11"))
BREAKS = rule("breaks", rb"= 2\b", replacing(b"= two"))
VET = rule("vet", rb"%d", replacing(b"%t"))
RENAMES = rule("renames", rb"func Old", replacing(b"func New"))


def toolchain() -> Toolchain:
    tool = find()
    assert tool is not None
    return tool


def prove(project: Project, *rules: Rule, level: Level = Level.VET, seconds: float = 120) -> Patch:
    """Return the patch of some rules, proved."""
    make = fixes(project, options(*rules))
    with folder() as place:
        shop = Shop(toolchain(), project.root.resolve(), place, Limits(seconds=seconds))
        return proved(make, Examiner(project, shop, level).examine, make({}))


def said(patch: Patch) -> list[tuple[str, str, str]]:
    """Return rule, outcome and what the toolchain said of every finding."""
    return [(o.finding.rule.partition("/")[2], o.kind.value, _detail(o)) for o in patch.outcomes]


def _detail(outcome: Outcome) -> str:
    if outcome.proof is None:
        return outcome.reason
    return ("" if outcome.proof.proved else "unproved: ") + outcome.proof.detail


def listing(root: Path) -> Mapping[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


FUNCTIONS = """package a

func F() int {
\tx := 1
\treturn x
}

func G() int {
\ty := 2
\treturn y
}
"""
PRINTS = """package a

import "fmt"

func F() string {
\tx := 1
\treturn fmt.Sprintf("%d", x)
}
"""


def test_a_fix_that_does_not_compile_is_refused_and_the_rest_stays(tmp_path: Path) -> None:
    files = {"a/a.go": FUNCTIONS, "a/b.go": FUNCTIONS.replace("F(", "F2(").replace("G(", "G2(")}
    here = project(tmp_path, files)
    before = listing(tmp_path)
    patch = prove(here, GOOD, BREAKS)
    assert said(patch) == [
        ("good", "fixed", "go build, go vet"),
        ("breaks", "refused", "go build: a/a.go:9: undefined: two"),
        ("good", "fixed", "go build, go vet"),
        ("breaks", "refused", "go build: a/b.go:9: undefined: two"),
    ]
    assert patch.after["a/a.go"] == FUNCTIONS.replace("= 1", "= 11").encode()
    assert listing(tmp_path) == before


def test_a_fix_that_vet_objects_to_is_refused(tmp_path: Path) -> None:
    patch = prove(project(tmp_path, {"a.go": PRINTS}), GOOD, VET)
    assert said(patch) == [
        ("good", "fixed", "go build, go vet"),
        (
            "vet",
            "refused",
            "go vet: a.go:7: fmt.Sprintf format %t has arg x of wrong type int",
        ),
    ]


def test_what_vet_said_before_is_nobodys_fault(tmp_path: Path) -> None:
    body = PRINTS.replace("%d", "%t")
    patch = prove(project(tmp_path, {"a.go": body}), GOOD)
    assert said(patch) == [("good", "fixed", "go build, go vet")]


def test_a_change_that_importers_cannot_take_is_refused(tmp_path: Path) -> None:
    files = {
        "a/a.go": "package a\n\nfunc Old() {\n\tx := 1\n\t_ = x\n}\n",
        "b/b_test.go": 'package b\n\nimport "example.com/m/a"\n\nvar F = a.Old\n',
    }
    patch = prove(project(tmp_path, files), GOOD, RENAMES, level=Level.BUILD)
    assert said(patch) == [
        ("renames", "refused", "go build: b/b_test.go:5: undefined: a.Old"),
        ("good", "fixed", "go build"),
    ]


ELSEWHERE = {
    "linux/w_windows.go": "package w\n\nvar A = 1\n",
    "linux/w.go": "package w\n",
    "tag/t.go": "//go:build special && !cgo\n\npackage t\n\nvar A = 1\n",
    "tag/u.go": "package t\n",
    "script/run.go": "//go:build ignore\n\npackage main\n\nfunc main() {\n\tx := 1\n\t_ = x\n}\n",
    "script/other.go": "//go:build ignore\n\npackage main\n\nfunc main() {\n\tx := 2\n\t_ = x\n}\n",
    "only/only_test.go": "package only\n\nvar A = 1\n",
    "lacks/l.go": 'package lacks\n\nimport _ "example.org/not/here"\n\nvar A = 1\n',
    "broken/b.go": 'package broken\n\nvar A = 1\nvar B int = "x"\n',
    "nested/go.mod": "module example.com/nested\n\ngo 1.22\n",
    "nested/n.go": "package nested\n\nvar A = 1\n",
    "newer/go.mod": "module example.com/newer\n\ngo 1.999\n",
    "newer/n.go": "package newer\n\nvar A = 1\n",
}


def test_what_is_not_built_here_is_built_as_it_would_be_or_unproved(tmp_path: Path) -> None:
    patch = prove(project(tmp_path, ELSEWHERE), GOOD, BREAKS)
    by_path = {o.finding.path: (o.kind.value, _detail(o)) for o in patch.outcomes}
    assert by_path.pop("newer/n.go")[1].startswith(
        "unproved: needs a newer Go: go: go.mod requires"
    )
    lacks = by_path.pop("lacks/l.go")
    assert lacks[1].startswith("unproved: dependencies are missing: lacks/l.go:3: no required")
    here = toolchain().settings
    assert by_path == {
        "linux/w_windows.go": ("fixed", f"go build for windows/{here['GOARCH']}"),
        "tag/t.go": ("fixed", f"go build for {here['GOOS']}/{here['GOARCH']} with special"),
        "script/run.go": ("fixed", f"go build for {here['GOOS']}/{here['GOARCH']}"),
        "script/other.go": ("refused", "go build: script/other.go:6: undefined: two"),
        "only/only_test.go": ("fixed", "go build, go vet"),
        "broken/b.go": (
            "fixed",
            "unproved: go build fails without the patch, too: broken/b.go:4: cannot use "
            '"x" (untyped string constant) as int value in variable declaration',
        ),
        "nested/n.go": ("fixed", "go build, go vet"),
    }


def test_packages_outside_of_any_module(tmp_path: Path) -> None:
    here = project(tmp_path, {"a/a.go": FUNCTIONS})
    (tmp_path / "go.mod").unlink()
    patch = prove(Project.open(here.root, config=here.config), GOOD, BREAKS)
    assert [kind for _, kind, _ in said(patch)] == ["fixed", "refused"]
    assert said(patch)[0][2] == "go build, go vet"


def test_a_module_that_the_workspace_does_not_use(tmp_path: Path) -> None:
    files = {
        "go.work": "go 1.22\n\nuse ./used\n",
        "used/go.mod": "module example.com/used\n\ngo 1.22\n",
        "used/a.go": "package used\n\nvar A = 1\n",
        "unused/go.mod": "module example.com/unused\n\ngo 1.22\n",
        "unused/a.go": "package unused\n\nvar A = 1\n",
    }
    patch = prove(project(tmp_path, files), GOOD)
    assert said(patch) == [("good", "fixed", "go build, go vet")] * 2


def test_vendored_dependencies_are_used(tmp_path: Path) -> None:
    files = {
        "go.mod": "module example.com/m\n\ngo 1.22\n\nrequire example.org/dep v1.0.0\n",
        "vendor/modules.txt": "# example.org/dep v1.0.0\n## explicit; go 1.22\nexample.org/dep\n",
        "vendor/example.org/dep/d.go": "package dep\n\nconst C = 1\n",
        "a.go": 'package a\n\nimport "example.org/dep"\n\nvar A = 1\nvar B = dep.C\n',
    }
    assert said(prove(project(tmp_path, files), GOOD)) == [("good", "fixed", "go build, go vet")]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("CGO_ENABLED", "0", "cgo is switched off"),
        ("CC", "no-such-compiler", "cgo cannot be used here: "),
    ],
)
def test_without_cgo_its_files_are_unproved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    body = 'package a\n\n// int one(void) { return 1; }\nimport "C"\n\nvar A = 1\n'
    monkeypatch.setenv(name, value)
    patch = prove(project(tmp_path, {"a.go": body}), GOOD)
    (outcome,) = said(patch)
    assert outcome[1] == "fixed"
    assert outcome[2].startswith(f"unproved: {reason}"), outcome


def test_a_build_that_takes_too_long_is_unproved(tmp_path: Path) -> None:
    patch = prove(project(tmp_path, {"a.go": FUNCTIONS}), GOOD, BREAKS, seconds=0.001)
    assert said(patch) == [
        ("good", "fixed", "unproved: go took longer than 0 s"),
        ("breaks", "fixed", "unproved: go took longer than 0 s"),
    ]


def test_the_fix_to_blame_may_be_in_an_imported_package(tmp_path: Path) -> None:
    files = {
        "a/a.go": "package a\n\nfunc Old() int {\n\tx := 1\n\treturn x\n}\n",
        "b/b.go": """package b

import "example.com/m/a"

func F() int {
	x := 1
	return x + a.Old()
}
""",
    }
    patch = prove(project(tmp_path, files), GOOD, RENAMES)
    assert said(patch) == [
        ("renames", "refused", "go build: b/b.go:7: undefined: a.Old"),
        ("good", "fixed", "go build, go vet"),
        ("good", "fixed", "go build, go vet"),
    ]


def test_the_toolchain_is_found() -> None:
    assert go_directory() is not None
    assert toolchain().version >= (1, 22)
