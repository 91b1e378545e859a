"""Settings: read from either file, wrong ones named with the file and the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from threadmend.config import Config, ConfigError, Override, load, parse
from threadmend.globs import matches
from threadmend.model import Confidence

FULL = """
select = ["mutex", "go/x"]
ignore = ["y"]
exclude = ["third/**"]
unsafe-fixes = true
baseline = "b.json"
confidence = "medium"
jobs = 3
cache = false

[[overrides]]
paths = ["cmd/**"]
select = ["z"]
ignore = ["channel"]
"""


def test_every_setting_is_read(tmp_path: Path) -> None:
    file = tmp_path / "threadmend.toml"
    file.write_text(FULL)
    assert load(tmp_path) == Config(
        select=("mutex", "go/x"),
        ignore=("y",),
        exclude=("third/**",),
        overrides=(Override(("cmd/**",), ("z",), ("channel",)),),
        unsafe_fixes=True,
        baseline="b.json",
        confidence=Confidence.MEDIUM,
        jobs=3,
        cache=False,
        path=str(file),
    )


def test_settings_may_stand_in_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.threadmend]\nselect = ["go"]\n')
    assert load(tmp_path).select == ("go",)
    (tmp_path / "threadmend.toml").write_text('select = ["mutex"]\n')
    assert load(tmp_path).select == ("mutex",)
    assert load(tmp_path, file=tmp_path / "pyproject.toml").select == ("go",)


def test_somebody_elses_pyproject_is_not_even_parsed(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project\n")
    assert load(tmp_path) == Config()


def test_isolated_looks_at_no_file(tmp_path: Path) -> None:
    (tmp_path / "threadmend.toml").write_text("nonsense = 1")
    assert load(tmp_path, isolated=True) == Config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("selct = []", "selct: unknown setting; did you mean select?"),
        ("zzz = 1", "zzz: unknown setting"),
        ("select = 'go'", "select: must be a list of strings"),
        ("select = [1]", "select: must be a list of strings"),
        ("jobs = 0", "jobs: must be a whole number from 1"),
        ("jobs = true", "jobs: must be a whole number from 1"),
        ("cache = 1", "cache: must be true or false"),
        ("baseline = 1", "baseline: must be a string"),
        ("confidence = 'certain'", "confidence: must be one of high, medium, low"),
        ("overrides = 1", "overrides: must be tables: [[overrides]]"),
        ("[[overrides]]\nignore = []", "overrides[1].paths: must be given"),
        (
            "[[overrides]]\npaths = ['a']\n[[overrides]]\npaths = ['b']\nignor = []",
            "overrides[2].ignor: unknown setting; did you mean ignore?",
        ),
        ("select = [", "not TOML"),
    ],
)
def test_a_wrong_setting_is_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), "svc/threadmend.toml")
    assert str(caught.value).startswith(f"svc/threadmend.toml: {message}")


def test_a_file_that_is_not_text_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^t\.toml: not TOML"):
        parse(b"\xff", "t.toml")


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("gen", "a/gen/b.go", True),
        ("gen", "a/generic/b.go", False),
        ("*.pb.go", "a/b.pb.go", True),
        ("*.pb.go", "b.go", False),
        ("a/*.go", "a/b.go", True),
        ("a/*.go", "a/b/c.go", False),
        ("a/*.go", "x/a/b.go", False),
        ("a/**", "a/b/c.go", True),
        ("a/", "a/b/c.go", True),
        ("/a", "a/b.go", True),
        ("/a", "b/a/c.go", False),
        ("**/x/*.go", "x/b.go", True),
        ("**/x/*.go", "q/r/x/b.go", True),
        ("a/**/c.go", "a/c.go", True),
        ("a/**/c.go", "a/b/b/c.go", True),
        ("a?c.go", "abc.go", True),
        ("a?c.go", "a/c.go", False),
        ("[ab].go", "b.go", True),
        ("[!ab].go", "b.go", False),
        ("a.b", "aXb", False),
        (".", "a/b.go", True),
        ("a[", "a[", True),
    ],
)
def test_globs_mean_what_gitignore_means(pattern: str, path: str, expected: bool) -> None:
    assert matches(path, (pattern,)) is expected


def test_several_globs_are_alternatives() -> None:
    assert matches("b/x.go", ("a", "b"))
    assert not matches("c/x.go", ("a", "b"))
    assert not matches("c/x.go", ())
