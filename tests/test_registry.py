"""The registry: what a module must have, how rules are chosen, that nothing is imported early."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from toy import rule

from threadmend.config import Config, ConfigError, Override
from threadmend.model import Rule, Subject
from threadmend.registry import load_rules, rule_of, rules_for, select
from threadmend.rulefile import Deferred, described

A = rule("a-lock", rb"a", category="mutex")
B = rule("b-chan", rb"b", category="channel")
OPT = Rule("go/opt", "Opt", A.check, Subject.GO_FILE, "mutex", default=False)
MOD = Rule("go/mod", "Mod", A.check, Subject.GO_MODULE, "mutex", codemod=True)
PY = Rule("python/a-lock", "A", A.check, Subject.PYTHON_FILE, "mutex")
RULES = (A, B, MOD, OPT, PY)


def names(*wanted: str, ignore: tuple[str, ...] = ()) -> list[str]:
    return [rule.name for rule in select(RULES, wanted, ignore)]


def test_a_plain_run_has_every_rule_but_opt_in_ones_and_codemods() -> None:
    assert names() == ["go/a-lock", "go/b-chan", "python/a-lock"]


def test_rules_are_chosen_by_rule_category_language_and_all() -> None:
    assert names("go/a-lock") == ["go/a-lock"]
    assert names("b-chan") == ["go/b-chan"]
    assert names("mutex") == ["go/a-lock", "python/a-lock"]
    assert names("go") == ["go/a-lock", "go/b-chan"]
    assert names("go/opt", "mod") == ["go/mod", "go/opt"]
    assert names("ALL") == [rule.name for rule in RULES]
    assert names("ALL", ignore=("mutex",)) == ["go/b-chan"]
    assert names(ignore=("go",)) == ["python/a-lock"]


def test_a_wrong_name_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"go/a-lok is no rule, .*; did you mean go/a-lock"):
        names("go/a-lok")
    with pytest.raises(ConfigError, match="did you mean channel"):
        names(ignore=("chanel",))
    with pytest.raises(ConfigError, match=r"a-lock is ambiguous: go/a-lock, python/a-lock"):
        names("a-lock")


def test_a_folder_may_add_rules_to_the_run() -> None:
    config = Config(select=("b-chan",), overrides=(Override(("x",), select=("go/opt",)),))
    assert [rule.name for rule in rules_for(config, RULES)] == ["go/b-chan", "go/opt"]
    with pytest.raises(ConfigError):
        rules_for(Config(overrides=(Override(("x",), ignore=("nothing",)),)), RULES)


def module(**members: object) -> ModuleType:
    made = ModuleType("threadmend_acme.go.sleepy")
    made.__dict__.update(members)
    return made


def test_a_module_becomes_a_rule() -> None:
    def check(package: Package) -> None:  # type: ignore[name-defined]  # noqa: F821
        """Find nothing."""

    made = rule_of(
        module(__doc__="Wake up\n\nSleep is bad.\n", check=check, CATEGORY="mutex", GATE=rb"a+"),
        "go/sleepy",
    )
    assert (made.name, made.title, made.category) == ("go/sleepy", "Wake up", "mutex")
    assert made.subject is Subject.GO_PACKAGE
    assert made.gate is not None
    assert made.default
    assert not made.codemod


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("__doc__", "needs a docstring"),
        ("check", "needs a function check"),
        ("CATEGORY", "needs a CATEGORY"),
    ],
)
def test_a_module_that_lacks_something_is_told_what(missing: str, message: str) -> None:
    def check(file: GoFile) -> None:  # type: ignore[name-defined]  # noqa: F821
        """Find nothing."""

    members: dict[str, object] = {"__doc__": "T", "check": check, "CATEGORY": "c"}
    del members[missing]
    with pytest.raises(ConfigError, match=f"threadmend_acme.go.sleepy: .*{message}"):
        rule_of(module(**members), "go/sleepy")


def test_a_check_must_say_what_it_takes() -> None:
    def untyped(file):  # type: ignore[no-untyped-def]
        """Find nothing."""

    def wrong(file: int) -> None:
        """Find nothing."""

    for check, message in ((untyped, "needs a type"), (wrong, "takes one of GoFile")):
        with pytest.raises(ConfigError, match=message):
            rule_of(module(__doc__="T", check=check, CATEGORY="c"), "go/sleepy")


SOURCE = '''"""Wake up

Sleep is bad.
"""

from threadmend.golang.file import GoFile

CATEGORY = "mutex"
GATE = {gate}
{more}

def check(file: GoFile) -> Iterator[Finding]:
    """Find nothing."""
'''


@pytest.mark.parametrize(
    ("gate", "pattern"),
    [
        ('rb"\\.Wait\\("', rb"\.Wait\("),
        ("b'x'", b"x"),
        ('(\n    rb"a\\d"\n    rb"|b"\n)', rb"a\d|b"),
    ],
)
def test_a_plain_module_is_described_without_an_import(gate: str, pattern: bytes) -> None:
    text = SOURCE.format(gate=gate, more='OPT_IN = True\nALSO = "govet SA1-x"\n')
    made = described(text, "nowhere.to.be_found", "go/sleepy", codemod=False)
    assert made is not None
    assert made.gate is not None
    assert made.gate.pattern == pattern
    assert (made.doc, made.category) == ("Wake up\n\nSleep is bad.", "mutex")
    assert made.subject is Subject.GO_FILE
    assert not made.default
    assert made.also == {"govet", "SA1-x"}


@pytest.mark.parametrize(
    ("gate", "more"),
    [("_GATE", ""), ("re.compile(b'a')", ""), ('"text"', ""), ('rb"a"', "OPT_IN = bool(1)")],
)
def test_what_is_not_plain_is_left_to_an_import(gate: str, more: str) -> None:
    assert described(SOURCE.format(gate=gate, more=more), "m", "go/x", codemod=False) is None


def test_our_rules_read_the_same_described_and_imported() -> None:
    for made in load_rules():
        assert isinstance(made.check, Deferred), f"{made.name} has to be imported to be listed"
        twin = rule_of(
            importlib.import_module(made.check.__module__), made.name, codemod=made.codemod
        )
        seen = [
            (r.doc, r.subject, r.category, r.gate and r.gate.pattern, r.default, r.also)
            for r in (made, twin)
        ]
        assert seen[0] == seen[1]


def test_our_rules_are_found_by_their_path() -> None:
    rules = load_rules()
    assert [rule.name for rule in rules] == sorted(rule.name for rule in rules)
    assert "go/leaked-sender" in {rule.name for rule in rules}


def test_listing_rules_imports_no_language() -> None:
    program = (
        "import sys; from threadmend.registry import load_rules; assert load_rules()\n"
        "print([m for m in sys.modules if m.startswith(('tree_sitter', 'threadmend.golang'))])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


def test_rules_of_other_people_are_found_by_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "acme_rules" / "go"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package.parent / "__init__.py").write_text("")
    (package / "no_sleep.py").write_text(SOURCE.format(gate='rb"Sleep"', more=""))
    (package / "_helper.py").write_text("raise SystemExit")
    (package / "broken.py").write_text("import nowhere_to_be_found\n")
    info = tmp_path / "acme-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[threadmend.rules]\nacme = acme_rules\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    load_rules.cache_clear()
    try:
        rules = {rule.name: rule for rule in load_rules()}
        assert "go/no-sleep" in rules
        with pytest.raises(ImportError, match="nowhere_to_be_found"):
            rules["go/broken"].check(None)
    finally:
        load_rules.cache_clear()
