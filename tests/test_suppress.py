"""Ignore comments: where they reach, what they must say, when they are too much."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from toy import go, options, project, rule

from threadmend.baseline import Baseline
from threadmend.config import Config, ConfigError, Override
from threadmend.engine import check, fix
from threadmend.model import Finding, Rule
from threadmend.others import excused_elsewhere
from threadmend.source import SourceFile
from threadmend.suppress import ignores

BAD = rule("bad", rb"bad\(\)", category="mutex")
WORSE = rule("worse", rb"worse\(\)", category="channel")


def found(root: Path, text: str, *rules: Rule, catalogue: tuple[Rule, ...] = ()) -> list[str]:
    """Return rule and line of the findings in one file."""
    opened = project(root, {"a.go": text})
    run = options(*(rules or (BAD, WORSE)), catalogue=catalogue or (BAD, WORSE))
    source = opened.source("a.go")
    return [f"{f.rule}:{source.line_of(f.start)}" for f in check(opened, run).findings]


@pytest.mark.parametrize(
    "comment",
    [
        "//threadmend:ignore go/bad -- reason",
        "// threadmend:ignore bad -- a -- b",
        "//threadmend:ignore mutex -- reason",
        "//threadmend:ignore go/bad, go -- reason",
        "//threadmend:ignore go/bad go -- reason",
        "//nolint:threadmend // reason",
        "//nolint:errcheck,threadmend // reason",
    ],
)
def test_a_comment_excuses_its_line(tmp_path: Path, comment: str) -> None:
    text = go(f"\tbad() {comment}\n\tbad()\n")
    assert found(tmp_path, text, BAD) == ["go/bad:5"]


@pytest.mark.parametrize(
    "comment",
    [
        "//threadmend:ignored go/bad -- reason",
        "//nolint:errcheck // threadmend",
        "//nolint // reason",
        "/* threadmend:ignore go/bad -- reason */",
        '; _ = "//threadmend:ignore go/bad -- reason"',
    ],
)
def test_other_words_excuse_nothing(tmp_path: Path, comment: str) -> None:
    assert found(tmp_path, go(f"\tbad() {comment}\n"), BAD) == ["go/bad:4"]


@pytest.mark.parametrize(
    ("name", "before", "behind", "excused"),
    [
        ("mutex-copied", "", "//nolint:govet // a new one", True),
        ("mutex-copied", "", "//nolint:errcheck,govet", True),
        ("mutex-copied", "", "//nolint:errcheck", False),
        ("mutex-copied", "//nolint:govet", "", True),
        ("mutex-copied", "other() //nolint:govet", "", False),
        ("lock-order", "", "//nolint:govet", False),
        ("empty-critical-section", "//lint:ignore SA2001 waits for the writer", "", True),
        ("empty-critical-section", "//lint:ignore SA2001", "", False),
        ("empty-critical-section", "//lint:ignore SA2000 other", "", False),
    ],
)
def test_comments_for_other_tools_excuse_what_both_say(
    tmp_path: Path, name: str, before: str, behind: str, excused: bool
) -> None:
    also = {"mutex-copied": "govet", "empty-critical-section": "SA2001"}.get(name, "")
    same = replace(rule(name, rb"bad\(\)"), also=frozenset(also.split()))
    text = go(f"\t{before}\n\tbad() {behind}\n")
    assert found(tmp_path, text, same, catalogue=(same,)) == ([] if excused else [f"go/{name}:5"])


@pytest.mark.parametrize(
    ("comment", "excused"),
    [("# noqa: RUF006", True), ("# noqa: E501, RUF006", True), ("# noqa", False), ("# x", False)],
)
def test_comments_for_other_tools_in_python(comment: str, excused: bool) -> None:
    source = SourceFile("a.py", f"x = 1\ntask() {comment}\n".encode())
    finding = Finding("a.py", 6, 10, "dropped", rule="python/task-dropped")
    assert excused_elsewhere(finding, source, {"RUF006"}) is excused


def test_a_comment_on_a_line_of_its_own_excuses_the_next_line_of_code(tmp_path: Path) -> None:
    one = "\t//threadmend:ignore go/bad -- reason\n"
    two = "\t//threadmend:ignore go/worse -- reason\n\t// more words\n"
    assert found(tmp_path, go(f"{one}\tbad()\n\tbad()\n")) == ["go/bad:6"]
    assert found(tmp_path, go(f"{one}{two}\tbad(); worse()\n")) == []
    assert found(tmp_path, go(f"{one}\n\tbad()\n")) == ["threadmend/unused-ignore:4", "go/bad:6"]


def test_a_comment_before_the_package_clause_excuses_the_file(tmp_path: Path) -> None:
    text = "//threadmend:ignore go/bad -- reason\n\n" + go("\tbad()\n\tworse()\n")
    assert found(tmp_path, text) == ["go/worse:7"]
    assert found(tmp_path, "\ufeff" + text) == ["go/worse:7"]
    assert found(tmp_path, text.replace("\n", "\r\n")) == ["go/worse:7"]


def test_a_reason_is_asked_for(tmp_path: Path) -> None:
    for comment in ("//threadmend:ignore bad", "//threadmend:ignore bad --", "//nolint:threadmend"):
        assert found(tmp_path, go(f"\tbad() {comment}\n"), BAD) == [
            "threadmend/ignore-without-reason:4"
        ]


def test_a_comment_that_excuses_nothing_is_reported(tmp_path: Path) -> None:
    text = go("\tfine() //threadmend:ignore go/bad, go/worse -- r\n\tbad()\n")
    opened = project(tmp_path, {"a.go": text})
    report = check(opened, options(BAD, WORSE))
    assert [(f.rule, f.message, f.category) for f in report.findings] == [
        ("threadmend/unused-ignore", "ignore comment excuses no finding of go/bad", "suppression"),
        (
            "threadmend/unused-ignore",
            "ignore comment excuses no finding of go/worse",
            "suppression",
        ),
        ("go/bad", "bad() is written", "mutex"),
    ]


def test_only_rules_that_ran_are_missed(tmp_path: Path) -> None:
    text = go("\tfine() //threadmend:ignore go/bad -- r\n")
    assert found(tmp_path, text, WORSE) == []
    assert found(tmp_path, text.replace("go/bad", "go"), WORSE) == []
    assert found(tmp_path, text.replace("go/bad", "go")) == ["threadmend/unused-ignore:4"]
    assert found(tmp_path, text.replace("go/bad", "go/bda"), WORSE) == [
        "threadmend/unused-ignore:4"
    ]
    assert found(tmp_path, text.replace("go/bad ", "")) == ["threadmend/unused-ignore:4"]


def test_a_folder_without_the_rule_misses_no_finding_of_it(tmp_path: Path) -> None:
    text = go("\tfine() //threadmend:ignore go/bad -- r\n")
    opened = project(
        tmp_path, {"a.go": text}, Config(overrides=(Override(("a.go",), ignore=("bad",)),))
    )
    assert check(opened, options(BAD)).findings == ()


def test_a_rule_that_failed_is_not_missed(tmp_path: Path) -> None:
    def broken(file: object) -> list[object]:
        raise KeyError

    text = go("\tfine() //threadmend:ignore go/bad -- r\n")
    failing = Rule("go/bad", "Bad", broken, BAD.subject, "mutex")  # type: ignore[arg-type]
    assert found(tmp_path, text, failing, catalogue=(failing,)) == []


def test_python_comments_are_read_where_they_are_comments() -> None:
    text = (
        b'x = "# threadmend: ignore[a] -- r"\n'
        b"y = 1  # threadmend: ignore[python/a, b] -- why not\n"
        b"# threadmend: ignore[a]\n"
        b"\xc3\xa4 = 2  # noqa: E501, threadmend -- because\n"
        b"z = 3  # noqa: E501\n"
    )
    read = ignores(SourceFile("a.py", text))
    assert [(i.names, i.reason, i.line) for i in read] == [
        (("python/a", "b"), "why not", 2),
        (("a",), "", 4),
        (("*",), "because", 4),
    ]
    assert text[read[2].start : read[2].end] == b"# noqa: E501, threadmend -- because"
    assert ignores(SourceFile("a.py", b'"threadmend\n')) == []


def test_a_baseline_reads_back(tmp_path: Path) -> None:
    opened = project(tmp_path, {"a.go": go("\tbad()\n\tbad()\n\tworse()\n")})
    known = Baseline.of(check(opened, options(BAD, WORSE)).findings, opened)
    file = tmp_path / "baseline.json"
    file.write_bytes(known.dump())
    assert Baseline.load(file) == known
    assert file.read_bytes().count(b"\n") == 7
    assert check(opened, options(BAD, WORSE, baseline=known)).findings == ()


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version": 2}', '{"version": 1, "findings": [{"rule": "x"}]}', "\udcff"]
)
def test_a_damaged_baseline_is_an_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "b.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=r"b\.json: not a baseline"):
        Baseline.load(file)
    with pytest.raises(ConfigError, match="No such file"):
        Baseline.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("\tfine() //threadmend:ignore go/bad -- reason\n", "\tfine()\n"),
        ("\t//threadmend:ignore go/bad -- reason\n\tfine()\n", "\tfine()\n"),
        ("\tfine() //nolint:threadmend // reason\n", "\tfine()\n"),
        ("\tfine() //nolint:threadmend,errcheck // why\n", "\tfine() //nolint:errcheck // why\n"),
        ("\tfine() //nolint:errcheck,threadmend // why\n", "\tfine() //nolint:errcheck // why\n"),
        (
            "\tbad() //threadmend:ignore go/worse, go/bad -- reason\n",
            "\tbad() //threadmend:ignore go/bad -- reason\n",
        ),
        (
            "\tfine() //threadmend:ignore go/worse, bad -- reason\n",
            "\tfine()\n",
        ),
        ("\tfine() //threadmend:ignore go/typo -- reason\n", None),
    ],
)
def test_a_comment_that_excuses_nothing_is_taken_away(
    tmp_path: Path, before: str, after: str | None
) -> None:
    text = go(before)
    patch = fix(project(tmp_path, {"a.go": text}), options(BAD, WORSE, catalogue=(BAD, WORSE)))
    assert patch.after.get("a.go") == (None if after is None else go(after).encode())


def test_a_comment_for_the_whole_file_goes_with_a_blank_line(tmp_path: Path) -> None:
    text = "// Header.\n\n//threadmend:ignore go/bad -- reason\n\npackage a\n"
    patch = fix(project(tmp_path, {"a.go": text}), options(BAD, catalogue=(BAD,)))
    assert patch.after["a.go"] == b"// Header.\n\npackage a\n"


def test_a_comment_behind_a_byte_order_mark_leaves_the_mark(tmp_path: Path) -> None:
    text = "\ufeff//threadmend:ignore go/bad -- reason\n\npackage a\n"
    patch = fix(project(tmp_path, {"a.go": text}), options(BAD, catalogue=(BAD,)))
    assert patch.after["a.go"] == "\ufeffpackage a\n".encode()
