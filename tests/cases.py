"""Cases: one txtar file each, `fixtures/<language>/<rule>/<case>.txtar`.

    A sentence or two that say what the case shows.

    probe: race

    -- before/a.go --            the code; go.mod is supplied unless given
    -- after/a.go --             what a fix leaves, only the files that change
    -- gone/b.go --              a file that a fix deletes (no content)
    -- findings --               what is reported, and what is offered
    a.go:12:5: wg.Add is called inside the goroutine it counts
        [safe] Move wg.Add before the go statement
    -- probe/probe_test.go --    a test that goes wrong before the fix and right after it;
                                 the line `// probe: race` may stand here as well
    -- options --                lines `name: value`, see `Case.option`
    -- report --                 what a run showed; rules get it as evidence

In a case for Python `probe/probe.py` is a program beside the files of `before` or `after`; it
has to fail before and to end well after, and needs no line `probe:`. See stubs/probing.py.

No `after` and no `gone`: nothing may change. No `findings`: nothing may be reported. The
author writes prose, before, probe and options; `pytest --update` writes the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from threadmend.diff import render
from threadmend.engine import Options, check, fix
from threadmend.examples import read_archive
from threadmend.model import Finding, Outcome, OutcomeKind, Patch, Rule, Safety
from threadmend.project import Project
from threadmend.prove.locate import locate
from threadmend.prove.remap import Remap
from threadmend.prove.reports import read
from threadmend.registry import load_rules

FIXTURES = Path(__file__).parent.parent / "fixtures"
SYMPTOMS = ("race", "leak", "deadlock", "panic", "fail")
MODULE = "example.com/case"
_OPTIONS = frozenset({"go", "python", "unsafe-fixes", "compile", "vet"})
_PROBE = re.compile(r"^(?:// ?)?probe: *(\w+) *$", re.M)
_GO = re.compile(r"^go +(\d+\.\d+)", re.M)

Files = dict[str, bytes]


@dataclass(frozen=True)
class Case:
    """One case as its file says it."""

    path: Path
    comment: str
    files: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Case:
        """Read a case; a mistake in its form fails the test that asked."""
        text = path.read_bytes().decode("utf-8")
        comment, files = read_archive(text)
        case = cls(path, comment, files)
        parts = {"before", "after", "gone", "probe"}
        for name in files:
            known = name in {"findings", "options", "report"} or name.partition("/")[0] in parts
            assert known, f"{case.id}: {name} is no part of a case"
        assert comment.strip(), f"{case.id}: begin with a sentence that says what the case shows"
        assert case.part("before"), f"{case.id}: needs a file under before/"
        unknown = set(case._options) - _OPTIONS
        assert not unknown, f"{case.id}: unknown options {sorted(unknown)}"
        wanted = f"a probe needs a line `probe: {'|'.join(SYMPTOMS)}`, above the files or in it"
        if case.id.startswith("go/"):
            assert bool(case.part("probe")) == (case.symptom is not None), f"{case.id}: {wanted}"
        return case

    @property
    def id(self) -> str:
        """Return `go/lock-not-released/basic`."""
        return "/".join((*self.path.parts[-3:-1], self.path.stem))

    @property
    def rule_name(self) -> str:
        """Return `go/lock-not-released`."""
        return self.id.rpartition("/")[0]

    @property
    def rule(self) -> Rule:
        """Return the rule that the folder is named for."""
        found = [rule for rule in load_rules() if rule.name == self.rule_name]
        assert found, f"{self.id}: there is no rule {self.rule_name}"
        return found[0]

    @property
    def symptom(self) -> str | None:
        """Return how the probe goes wrong before the fix, None without a probe."""
        probes = [text for name, text in self.files.items() if name.startswith("probe/")]
        found = _PROBE.search("\n".join((self.comment, *probes)))
        assert found is None or found[1] in SYMPTOMS, f"{self.id}: no symptom {found}"
        return found[1] if found else None

    @property
    def _options(self) -> dict[str, str]:
        lines = [line for line in self.files.get("options", "").splitlines() if line.strip()]
        pairs = [line.partition(":") for line in lines]
        return {name.strip(): value.strip() for name, _, value in pairs}

    def option(self, name: str, default: str) -> str:
        """Return an option.

        `go: 1.21` sets the version of the supplied go.mod, `python: 3.13` writes a
        pyproject.toml that requires it; `unsafe-fixes: no` applies safe fixes only; `compile:
        no` is for code that is broken on purpose; `vet: no` for an `after` that vet rightly
        still objects to more than before.
        """
        return self._options.get(name, default)

    def part(self, name: str) -> Files:
        """Return the files of one part (`before`, `after`, `probe`) by their own path."""
        prefix = f"{name}/"
        return {
            path.removeprefix(prefix): text.encode()
            for path, text in self.files.items()
            if path.startswith(prefix)
        }

    @property
    def before(self) -> Files:
        """Return the project before the fix, with a go.mod."""
        files = self.part("before")
        if self.id.startswith("go/") and not any(p.endswith("go.mod") for p in files):
            version = self.option("go", "1.25")
            files["go.mod"] = f"module {MODULE}\n\ngo {version}\n".encode()
        if (wanted := self.option("python", "")) and "pyproject.toml" not in files:
            files["pyproject.toml"] = f'[project]\nrequires-python = ">={wanted}"\n'.encode()
        return files

    @property
    def after(self) -> Files:
        """Return the project as the case expects it after the fix."""
        files = {**self.before, **self.part("after")}
        for path in self.part("gone"):
            del files[path]
        return files

    @property
    def go_version(self) -> str:
        """Return the language version of the case's module, as `1.25`."""
        found = _GO.search(self.before.get("go.mod", b"").decode())
        return found[1] if found else "1.16"

    def updated(self, findings: str, changes: Mapping[str, bytes | None]) -> str:
        """Return the text of the case with findings and results written into it."""
        parts: list[tuple[str, str]] = []
        for name, text in self.files.items():
            if name.startswith("before/") or name in {"options", "report"}:
                parts.append((name, text))
        for path, data in sorted(changes.items()):
            parts.append((f"gone/{path}", "") if data is None else (f"after/{path}", data.decode()))
        if findings:
            parts.append(("findings", findings))
        parts += [(n, text) for n, text in self.files.items() if n.startswith("probe/")]
        lines = [self.comment.rstrip("\n") + "\n\n"]
        lines += [f"-- {name} --\n{text}" for name, text in parts]
        return "".join(lines)


@dataclass(frozen=True)
class Result:
    """What the engine makes of a case."""

    findings: str
    after: Files
    patch: Patch
    diff: bytes


def case_paths(rule: str = "*/*") -> list[Path]:
    """Return the files of every case, or of one rule's, sorted."""
    return sorted(FIXTURES.glob(f"{rule}/*.txtar"))


def rules_with_cases() -> list[str]:
    """Return the names of the rules that have a folder of cases."""
    return sorted({p.parent.relative_to(FIXTURES).as_posix() for p in case_paths()})


def project_of(files: Mapping[str, bytes], root: Path, *, backwards: bool = False) -> Project:
    """Return a project that lives in memory, its files listed in either order."""
    paths = sorted(files, reverse=backwards)
    return Project(root, paths, overlay={path: files[path] for path in paths})


def seen_project(case: Case, root: Path, *, backwards: bool = False) -> Project:
    """Return a case's project before the fix, with what its report shows as evidence."""
    project = project_of(case.before, root, backwards=backwards)
    if "report" not in case.files:
        return project
    remap = Remap(project)
    symptoms = read(case.files["report"].encode(), f"{case.id}: report")
    assert symptoms, f"{case.id}: the report shows nothing"
    found = [locate(symptom, remap, project).evidence for symptom in symptoms]
    return project.with_evidence([evidence for evidence in found if evidence is not None])


def options_of(case: Case, *rules: Rule) -> Options:
    """Return the options that a case is run with."""
    unsafe = case.option("unsafe-fixes", "yes") == "yes"
    return Options(rules=rules or (case.rule,), unsafe=unsafe, jobs=1)


def run(case: Case, root: Path, *, backwards: bool = False) -> Result:
    """Check and fix a case's project; a rule that raised fails the test."""
    project = seen_project(case, root, backwards=backwards)
    report = check(project, options_of(case))
    assert not report.failures, f"{case.id}: {report.failures}"
    patch = fix(seen_project(case, root, backwards=backwards), options_of(case))
    after = dict(case.before)
    for path, data in patch.after.items():
        assert patch.before[path] == case.before.get(path), f"{case.id}: before of {path}"
        if data is None:
            del after[path]
        else:
            after[path] = data
    shown = "".join(_shown(finding, project, patch.outcomes) for finding in report.findings)
    return Result(shown, after, patch, render(patch.before, patch.after))


def _shown(finding: Finding, project: Project, outcomes: tuple[Outcome, ...]) -> str:
    lines = [f"{_place(finding.path, finding.start, project)}: {finding.message}"]
    for item in finding.fixes:
        reason = f" -- {item.reason}" if item.reason else ""
        lines.append(f"    [{item.safety}] {item.title}{reason}")
    if not finding.fixes:
        lines.append(f"    [{Safety.MANUAL}] {finding.reason}")
    lines += [
        f"    see {_place(other.path, other.start, project)}: {other.message}"
        for other in finding.related
    ]
    found = [o for o in outcomes if _same(o.finding, finding)]
    for outcome in found:
        usual = OutcomeKind.FIXED if finding.fixes else OutcomeKind.MANUAL
        if outcome.kind is not usual:
            reason = f": {outcome.reason}" if outcome.reason else ""
            lines.append(f"    outcome {outcome.kind}{reason}")
    return "".join(f"{line}\n" for line in lines)


def _same(one: Finding, other: Finding) -> bool:
    return (one.path, one.start, one.rule, one.message) == (
        other.path,
        other.start,
        other.rule,
        other.message,
    )


def _place(path: str, offset: int, project: Project) -> str:
    at = project.source(path).position(offset)
    return f"{path}:{at.line}:{at.column}"
