"""Every case of fixtures/: what is found, what the fix leaves, and that both are right.

See `cases` for the format. `pytest --update` rewrites findings and results; the Go toolchain
judges them in batches, one per rule: formatting, compilation, vet, and the probes.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from cases import FIXTURES, Case, Files, case_paths, options_of, project_of, rules_with_cases, run
from goprobes import Probes
from gotool import Batch, go, needs_go, needs_race, unformatted, vet

from threadmend.diff import apply
from threadmend.engine import check, fix
from threadmend.golang.syntax import SyntaxTree
from threadmend.python.newer import covered
from threadmend.recipes.yamltree import parse
from threadmend.registry import load_rules
from threadmend.source import SourceFile

PATHS = case_paths()
GO_RULES = [rule for rule in rules_with_cases() if rule.startswith("go/")]


def _name(path: Path) -> str:
    return path.relative_to(FIXTURES).with_suffix("").as_posix()


@pytest.mark.parametrize("path", PATHS, ids=_name)
def test_findings_and_fixes(path: Path, update: bool, tmp_path: Path) -> None:
    """The rule finds what the case says, and the fix leaves what it says."""
    case = Case.read(path)
    result = run(case, tmp_path)
    if update:
        path.write_bytes(case.updated(result.findings, result.patch.after).encode())
        case = Case.read(path)
    assert result.findings == case.files.get("findings", "")
    assert _text(result.after) == _text(case.after)


@pytest.mark.parametrize("path", PATHS, ids=_name)
def test_engine_properties(path: Path, tmp_path: Path) -> None:
    """Whatever the rule does: stable, sound, in any order, and a diff that git takes."""
    case = Case.read(path)
    result = run(case, tmp_path)
    for name, data in result.after.items():
        if not _errors(name, case.before.get(name, b"")):
            assert not _errors(name, data), f"{name} does not parse after the fix"
    again = fix(project_of(result.after, tmp_path), options_of(case))
    assert not again.after, f"a second run changes {sorted(again.after)}"
    backwards = run(case, tmp_path, backwards=True)
    assert backwards.findings == result.findings
    assert _text(backwards.after) == _text(result.after)
    _takes(case.before, result.diff, result.after, tmp_path)


@pytest.mark.parametrize("path", PATHS, ids=_name)
def test_no_other_rule_crashes(path: Path, tmp_path: Path) -> None:
    """Every rule, opt-in ones and codemods too, gets through the case before and after."""
    case = Case.read(path)
    for files in (case.before, case.after):
        report = check(project_of(files, tmp_path), options_of(case, *load_rules()))
        assert not report.failures


@pytest.mark.parametrize("rule", rules_with_cases())
def test_cases_belong_to_a_rule_and_show_it(rule: str) -> None:
    """A folder is named for a rule, and its case `basic` is the rule's example."""
    assert rule in {known.name for known in load_rules()}
    basic = FIXTURES / rule / "basic.txtar"
    assert basic.exists(), "the case `basic` is the example of the rule's documentation"
    assert Case.read(basic).files.get("findings"), "basic shows what is found"


@needs_go
@pytest.mark.parametrize("rule", GO_RULES)
def test_go_accepts_the_cases(rule: str, pytestconfig: pytest.Config) -> None:
    """Both sides compile; a fix leaves gofmt silent, and vet no louder than before."""
    batch = Batch(_folder(pytestconfig, "vet", rule))
    cases = [Case.read(path) for path in case_paths(rule)]
    for case in cases:
        batch.add(case, "before", case.before)
        batch.add(case, "after", case.after)
    loose, vetted = unformatted(batch), vet(batch)
    wrong = []
    for case in cases:
        before, after = f"{case.id} before", f"{case.id} after"
        if names := loose.get(after, set()) - loose.get(before, set()):
            wrong.append(f"{case.id}: gofmt would change {sorted(names)} after the fix")
        if case.option("compile", "yes") == "yes":
            wrong += [f"{s}: {e}" for s in (before, after) for e in vetted.broken.get(s, [])]
        if case.option("vet", "yes") == "yes":
            left = list(vetted.complaints.get(after, []))
            for complaint in vetted.complaints.get(before, []):
                if complaint in left:
                    left.remove(complaint)
            wrong += [f"{after}: vet: {complaint}" for complaint in left]
    assert not wrong, "\n".join(wrong)


@needs_race
@pytest.mark.parametrize("rule", GO_RULES)
def test_probes(rule: str, pytestconfig: pytest.Config) -> None:
    """A probe goes wrong before the fix in the way the case declares, and right after it."""
    cases = [case for case in map(Case.read, case_paths(rule)) if case.symptom is not None]
    known: dict[str, str] = pytestconfig.cache.get("threadmend/probes", {})
    cases = [case for case in cases if known.get(case.id) != _digest(case)]
    if not cases:
        return
    wrong = Probes(_folder(pytestconfig, "probe", rule), cases).wrong()
    known.update((case.id, _digest(case)) for case in cases if case.id not in wrong)
    pytestconfig.cache.set("threadmend/probes", known)
    assert not wrong, "\n\n".join(f"{name}: {text}" for name, text in wrong.items())


def _digest(case: Case) -> str:
    version = go("go", "version", cwd=FIXTURES).stdout
    parts = (version, case.symptom, case.before, case.after, case.part("probe"))
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _folder(config: pytest.Config, purpose: str, rule: str) -> Path:
    """Return a folder that stays the same between runs, so that Go's build cache knows it."""
    return Path(config.cache.mkdir("go-cases")) / purpose / rule.replace("/", "-")


def _text(files: Files) -> dict[str, str]:
    return {path: data.decode() for path, data in files.items()}


def _errors(path: str, data: bytes) -> bool:
    if path.endswith(".go"):
        return bool(SyntaxTree(SourceFile(path, data)).errors)
    if path.endswith(".py"):
        # Syntax that this Python does not know yet is covered, as the rules read it.
        return not (_compiles(path, data) or _compiles(path, covered(data) or b"("))
    return path.endswith((".yml", ".yaml")) and parse(data) is None


def _compiles(path: str, data: bytes) -> bool:
    try:
        compile(data, path, "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def _takes(before: Files, diff: bytes, after: Files, folder: Path) -> None:
    """Apply a diff with git, and with our own applier, and compare with the result."""
    if not diff:
        assert before == after
        return
    ours = {**before, **apply(diff, before.get)}
    assert {path: data for path, data in ours.items() if data is not None} == after
    for path, data in before.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    git = ["git", "-c", "core.autocrlf=false", "apply", "--whitespace=nowarn", "-"]
    done = subprocess.run(git, cwd=folder, input=diff, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode() + diff.decode()
    left = {p.relative_to(folder).as_posix(): p.read_bytes() for p in _all_files(folder)}
    assert left == after


def _all_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
