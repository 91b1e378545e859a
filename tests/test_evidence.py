"""fixtures/evidence: from the report of a failing program to the patch that mends it.

A case holds a program with its test (`before/`), what the test run reported (`report`), what
`fix --from` says about each symptom (`answer`) and what it leaves (`after/`). The author
records the report; `pytest --update` writes the rest. Go judges all patches in one build and
one vet; those in `_RERUN` are run for real, before and after, in one `go test` each.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest
from cases import FIXTURES, Files, project_of
from gotool import go, needs_go, needs_race

from threadmend.cli.symptoms import ending
from threadmend.engine import Options
from threadmend.examples import read_archive
from threadmend.prove.answer import Answer, answer
from threadmend.prove.explain import explanation, headline
from threadmend.prove.reports import read
from threadmend.registry import load_rules

FOLDER = FIXTURES / "evidence"
PATHS = sorted(FOLDER.glob("*.txtar"))
_PROBE = re.compile(r"^probe: (race|leak|deadlock|panic|finding)$", re.M)
_RERUN = (
    "race-field-counter",
    "race-interface",
    "race-distant",
    "race-stop-flag",
    "race-global-map",
    "race-subscribers",
    "race-launched-early",
    "leak-send-first",
    "leak-range",
    "leak-cond",
    "deadlock-abba",
    "deadlock-self",
    "deadlock-wait-before-drain",
    "panic-close-twice",
    "panic-negative",
    "panic-deferred-mode",
)
_LEAKED = (Path(__file__).parent / "stubs" / "leaked.go.txt").read_text("utf-8")


class Recorded:
    """One case of fixtures/evidence."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.comment, self.files = read_archive(path.read_text("utf-8"))
        found = _PROBE.search(self.comment)
        assert found is not None, (
            f"{path.stem}: needs a line `probe: race|leak|deadlock|panic|finding`"
        )
        self.symptom = found[1]

    def part(self, name: str) -> Files:
        """Return the files of `before` or `after`."""
        prefix = f"{name}/"
        return {
            path.removeprefix(prefix): text.encode()
            for path, text in self.files.items()
            if path.startswith(prefix)
        }

    def answered(self, root: Path) -> Answer:
        """Return what `fix --from` makes of the report."""
        symptoms = read(self.files["report"].encode(), "report")
        rules = tuple(rule for rule in load_rules() if rule.default and not rule.codemod)
        return answer(project_of(self.part("before"), root), symptoms, Options(rules, jobs=1))

    def updated(self, said: str, found: Answer) -> str:
        """Return the text of the case with answer and results written into it."""
        kept = [(n, t) for n, t in self.files.items() if n.startswith("before/") or n == "report"]
        kept.append(("answer", said))
        kept += [(f"after/{p}", (t or b"").decode()) for p, t in sorted(found.patch.after.items())]
        return self.comment + "".join(f"-- {name} --\n{text}" for name, text in kept)


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_report_to_patch(path: Path, update: bool, tmp_path: Path) -> None:
    """The report is understood, and the patch is the one that the case shows."""
    case = Recorded(path)
    found = case.answered(tmp_path)
    said = _said(case, found, tmp_path)
    if update:
        path.write_text(case.updated(said, found), "utf-8")
        case = Recorded(path)
    assert not found.patch.failures
    assert said == case.files.get("answer", "")
    changes = {name: (data or b"").decode() for name, data in found.patch.after.items()}
    assert changes == {name: data.decode() for name, data in case.part("after").items()}


def _said(case: Recorded, found: Answer, root: Path) -> str:
    project = project_of(case.part("before"), root)
    lines = []
    for reply in found.replies:
        lines.append(f"{headline(reply.located, str)}: {ending(reply)}")
        if not reply.fixed:
            lines += explanation(reply.located, project, str)
    return "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_nothing_is_left_to_do(path: Path, tmp_path: Path) -> None:
    """The old report, read again after the patch, changes nothing that it does not show."""
    case = Recorded(path)
    after = {**case.part("before"), **case.part("after")}
    if not case.part("after"):
        return
    symptoms = read(case.files["report"].encode(), "report")
    rules = tuple(rule for rule in load_rules() if rule.default and not rule.codemod)
    again = answer(project_of(after, tmp_path), symptoms, Options(rules, jobs=1))
    fixed = [o for o in again.patch.outcomes if o.kind.value == "fixed"]
    assert not [o.finding.message for o in fixed if "was seen" in o.finding.message]


# -- with the toolchain -------------------------------------------------------------------


@cache
def _laid_out(root: Path) -> tuple[Recorded, ...]:
    """Write all cases, before and after, as packages of one module for each Go version."""
    cases = tuple(map(Recorded, PATHS))
    for case in cases:
        for side in ("before", "after"):
            files = {**case.part("before"), **(case.part("after") if side == "after" else {})}
            version = re.search(rb"^go (\S+)", files["go.mod"], re.M)
            assert version is not None
            module = root / f"go{version[1].decode()}"
            folder = module / case.path.stem / side
            folder.mkdir(parents=True, exist_ok=True)
            (module / "go.mod").write_bytes(b"module example.com\n\ngo " + version[1] + b"\n")
            for name, data in files.items():
                if name.endswith(".go"):
                    (folder / name).write_bytes(data)
            if case.symptom == "leak":
                (folder / "leaked_test.go").write_text(_LEAKED, "utf-8")
    return cases


@pytest.fixture(scope="module")
def laid_out(pytestconfig: pytest.Config) -> tuple[Path, tuple[Recorded, ...]]:
    """Return the folder of all cases, which stays the same so that Go's cache knows it."""
    root = Path(pytestconfig.cache.mkdir("go-evidence"))
    return root, _laid_out(root)


@needs_go
def test_go_accepts_the_patches(laid_out: tuple[Path, tuple[Recorded, ...]]) -> None:
    """Every patch compiles, with its tests, and is formatted."""
    root, _ = laid_out
    for module in sorted(root.glob("go*")):
        done = go("go", "vet", "-assign", "./...", cwd=module)
        assert not done.returncode, done.stderr
    loose = go("gofmt", "-l", str(root), cwd=root)
    assert not loose.stdout + loose.stderr


@needs_race
def test_programs_go_wrong_before_and_right_after(
    laid_out: tuple[Path, tuple[Recorded, ...]],
) -> None:
    """The tests of a dozen cases fail before the patch and pass after it."""
    root, cases = laid_out
    chosen = [case for case in cases if case.path.stem in _RERUN]
    assert len(chosen) == len(_RERUN)
    wrong = []
    for race in (True, False):
        some = [case for case in chosen if (case.symptom == "race") is race]
        passed = _passed(root / "go1.25", some, race=race)
        for case in some:
            wrong += [
                f"{case.path.stem} {side}"
                for side in ("before", "after")
                if passed.get(f"example.com/{case.path.stem}/{side}") is not (side == "after")
            ]
    assert not wrong


def _passed(module: Path, cases: list[Recorded], *, race: bool) -> dict[str, bool]:
    """Run the tests of some cases; return which packages passed."""
    packages = [f"./{case.path.stem}/{side}" for case in cases for side in ("before", "after")]
    flags = ["-race"] if race else []
    done = go("go", "test", "-json", "-vet=off", "-timeout=8s", *flags, *packages, cwd=module)
    passed = {}
    for line in done.stdout.splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        if event.get("Action") in {"pass", "fail"} and "Test" not in event:
            passed[event["Package"]] = event["Action"] == "pass"
    assert passed, done.stderr
    return passed
