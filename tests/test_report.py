"""Findings as text, JSON and counts."""

from __future__ import annotations

import json as stdlib_json

import pytest

from threadmend.model import (
    Edit,
    Finding,
    Fix,
    Outcome,
    OutcomeKind,
    Patch,
    Related,
    Safety,
    Unreadable,
)
from threadmend.report import json, statistics, text
from threadmend.source import SourceFile

GO = SourceFile("svc/a.go", b"package svc\n\nfunc f() {\n\tmu.Lock()\n\treturn\n}\n")
LATIN = SourceFile("svc/l.go", b"package l // \xe9\n")


def sources(path: str) -> SourceFile | None:
    return {file.path: file for file in (GO, LATIN)}.get(path)


def at(piece: bytes, **more: object) -> Finding:
    start = GO.data.index(piece)
    defaults = {
        "path": GO.path,
        "message": "mu is still locked",
        "rule": "go/x",
        "category": "mutex",
    }
    return Finding(start=start, end=start + len(piece), **{**defaults, **more})  # type: ignore[arg-type]


def lines_of(finding: Finding) -> list[str]:
    return [text.plain(line) for line in text.finding_lines(finding, sources, str)]


def test_a_finding_shows_its_line_underlined_then_the_related_place_then_the_fix() -> None:
    lock = GO.data.index(b"mu.Lock")
    finding = at(
        b"return",
        related=(Related(GO.path, lock, lock + 9, "locked here"),),
        fixes=(
            Fix("Unlock before the return", (), Safety.SAFE),
            Fix("Defer the unlock", (), Safety.UNSAFE, "it holds the lock for longer"),
        ),
    )
    assert lines_of(finding) == [
        "svc/a.go:5:2: go/x: mu is still locked",
        "     5 |     return",
        "       |     ^^^^^^",
        "  svc/a.go:4:2: locked here",
        "     4 |     mu.Lock()",
        "       |     ^^^^^^^^^",
        "  fix: Unlock before the return",
        "  unsafe fix: Defer the unlock (it holds the lock for longer)",
        "",
    ]


def test_a_finding_without_a_fix_says_why() -> None:
    assert "  no fix: the lock is returned" in lines_of(
        at(b"return", reason="the lock is returned")
    )


def test_a_span_over_several_lines_is_underlined_to_the_end_of_its_first() -> None:
    assert lines_of(at(b"mu.Lock()\n\treturn"))[2] == "       |     ^^^^^^^^^ ..."


def test_an_empty_span_still_gets_a_caret() -> None:
    finding = Finding("svc/a.go", 0, 0, "here", rule="go/x")
    assert lines_of(finding)[2] == "       | ^"


def test_wide_characters_are_underlined_at_their_width() -> None:
    wide = SourceFile("w.go", "package w // 漢字 x\n".encode())
    start = wide.data.index(b"x")
    lines = text.finding_lines(Finding("w.go", start, start + 1, "m"), {"w.go": wide}.get, str)
    shown, underline = (text.plain(line) for line in lines[1:3])
    assert underline.index("^") == shown.index("x") + 2


def test_a_long_line_is_cut_around_the_span() -> None:
    long = SourceFile("l.go", b"var a = `" + b"y" * 5000 + b"Z" + b"y" * 5000 + b"`\n")
    start = long.data.index(b"Z")
    lines = text.finding_lines(Finding("l.go", start, start + 1, "m"), {"l.go": long}.get, str)
    shown, underline = (text.plain(line) for line in lines[1:3])
    assert len(shown) < 200
    assert shown[underline.index("^")] == "Z"


@pytest.mark.parametrize("evil", ["\x1b[2J", "\u202e", "\u2066", "\x9b", "\x07", "\r"])
def test_nothing_in_a_file_can_drive_the_terminal(evil: str) -> None:
    source = SourceFile("e.go", f"package e // {evil}\n".encode())
    finding = Finding("e.go", 0, 3, f"m {evil}", rule="go/x")
    lines = text.finding_lines(finding, {"e.go": source}.get, str)
    assert evil not in "".join(text.plain(line) for line in lines)


def test_a_finding_in_a_file_that_is_gone_keeps_its_headline() -> None:
    finding = Finding("gone.go", 3, 4, "m", rule="go/x", reason="r")
    assert lines_of(finding) == ["gone.go: go/x: m", "  no fix: r", ""]


def test_the_summary_counts_by_the_best_fix() -> None:
    safe, unsafe = Fix("a", (), Safety.SAFE), Fix("b", (), Safety.UNSAFE)
    findings = [at(b"return", fixes=(safe, unsafe)), at(b"mu", fixes=(unsafe,)), at(b"func")]
    expected = "3 findings in 1 file: 1 fixable, 1 with --unsafe-fixes, 1 by hand"
    assert text.summary(findings, 7) == expected
    assert text.summary([], 7) == "no findings in 7 files"


def test_outcomes_are_summed_up_by_kind_and_only_the_rest_is_listed() -> None:
    outcomes = [
        Outcome(at(b"return"), OutcomeKind.FIXED),
        Outcome(at(b"mu"), OutcomeKind.MANUAL, "two owners"),
    ]
    assert text.outcome_summary(outcomes, 1) == "1 fixed, 1 to fix by hand; 1 file changed"
    gone = Outcome(at(b"func"), OutcomeKind.FIXED, "by the fix of go/x")
    expected = "1 fixed, 1 gone with another's fix, 1 to fix by hand; 1 file changed"
    assert text.outcome_summary([*outcomes, gone], 1) == expected
    lines = [text.plain(line) for line in text.outcome_lines(outcomes, sources, str)]
    assert lines == ["svc/a.go:4:2: go/x: mu is still locked: manual (two owners)"]


def test_check_as_json_is_the_documented_contract() -> None:
    start = GO.data.index(b"return")
    edit = Edit(GO.path, start, start, b"mu.Unlock()\n\t")
    finding = at(
        b"return",
        related=(Related(GO.path, 0, 7, "in this package"),),
        fixes=(Fix("Unlock", (edit,)),),
    )
    position = {"line": 5, "column": 2, "offset": start}
    end = {"line": 5, "column": 8, "offset": start + 6}
    assert json.check([finding], [Unreadable("b.go", "is empty")], sources) == {
        "version": 1,
        "findings": [
            {
                "rule": "go/x",
                "path": "svc/a.go",
                "start": position,
                "end": end,
                "message": "mu is still locked",
                "category": "mutex",
                "related": [
                    {
                        "path": "svc/a.go",
                        "start": {"line": 1, "column": 1, "offset": 0},
                        "end": {"line": 1, "column": 8, "offset": 7},
                        "message": "in this package",
                    }
                ],
                "fixes": [
                    {
                        "title": "Unlock",
                        "safety": "safe",
                        "edits": [
                            {
                                "path": "svc/a.go",
                                "start": position,
                                "end": position,
                                "new": "mu.Unlock()\n\t",
                            }
                        ],
                    }
                ],
            }
        ],
        "unreadable": [{"path": "b.go", "reason": "is empty"}],
    }


def test_fix_as_json_keeps_every_byte_of_the_patch() -> None:
    outcome = Outcome(at(b"return"), OutcomeKind.REFUSED, "it would not parse")
    document = json.fix(Patch(outcomes=(outcome,)), b"+\xe9\n", sources)
    again = stdlib_json.loads(json.dumps(document))
    assert again["patch"].encode("utf-8", "surrogateescape") == b"+\xe9\n"
    assert (again["outcomes"][0]["outcome"], again["outcomes"][0]["reason"]) == (
        "refused",
        "it would not parse",
    )


def test_an_edit_of_a_new_file_begins_at_its_first_line() -> None:
    finding = at(b"return", fixes=(Fix("Add", (Edit("new.go", 0, 0, b"package svc\n"),)),))
    edit = json.check([finding], [], sources)["findings"][0]["fixes"][0]["edits"][0]
    assert edit["start"] == {"line": 1, "column": 1, "offset": 0}


def test_counts_come_most_frequent_first_then_by_name() -> None:
    findings = [at(b"mu", rule="go/b"), at(b"return", rule="go/a"), at(b"func", rule="go/c")]
    findings.append(at(b"Lock", rule="go/c", fixes=(Fix("f", ()),)))
    found = statistics.counts(findings)
    assert [(item.rule, item.total, item.safe, item.manual) for item in found] == [
        ("go/c", 2, 1, 1),
        ("go/a", 1, 0, 1),
        ("go/b", 1, 0, 1),
    ]
    assert statistics.table(found).splitlines()[1].split() == ["2", "1", "1", "0", "1", "go/c"]
    assert statistics.table([]) == ""
