"""The command line from outside: commands, options, exit codes, what goes to which stream."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from commandline import CLEAN, RACY, RULE, git, project, repository, run


def test_the_version_is_answered_without_loading_the_command_line(tmp_path: Path) -> None:
    found = run("--version", cwd=tmp_path, PYTHONPROFILEIMPORTTIME="1")
    assert found.out.startswith("threadmend 0.")
    assert "typer" not in found.err
    assert "tree_sitter" not in found.err


def test_the_version_starts_in_a_fifth_of_a_second(tmp_path: Path) -> None:
    best = float("inf")
    for _ in range(5):  # the least of several: other work on the machine only adds
        began = time.perf_counter()
        run("--version", cwd=tmp_path)
        best = min(best, time.perf_counter() - began)
    assert best < 0.2


def test_without_a_command_there_is_help(tmp_path: Path) -> None:
    found = run(cwd=tmp_path)
    assert found.code == 2
    assert "Commands:" in found.err


# -- check -----------------------------------------------------------------------------------


def test_a_clean_project_exits_0_and_prints_nothing(tmp_path: Path) -> None:
    found = run("check", cwd=project(tmp_path, {"a.go": CLEAN}))
    assert (found.code, found.out) == (0, "")
    assert found.err == "no findings in 1 file\n"


def test_a_finding_exits_1_and_shows_both_places(tmp_path: Path) -> None:
    found = run("check", cwd=project(tmp_path, {"a.go": RACY}))
    assert found.code == 1
    assert found.out == (
        f"a.go:9:4: {RULE}: wg.Add is called inside the goroutine it counts\n"
        "     9 |             wg.Add(1)\n"
        "       |             ^^^^^^^^^\n"
        "  a.go:8:3: launched here\n"
        "     8 |         go func() {\n"
        "       |         ^^^^^^^^^^^ ...\n"
        "  fix: Move wg.Add before the go statement\n"
        "\n"
    )
    assert found.err == "1 finding in 1 file: 1 fixable\n"


def test_exit_zero_is_about_findings_only(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY})
    assert run("check", "--exit-zero", cwd=root).code == 0
    assert run("check", "--exit-zero", "nowhere", cwd=root).code == 2


def test_concise_is_one_line_a_finding(tmp_path: Path) -> None:
    found = run("check", "--output-format", "concise", cwd=project(tmp_path, {"a.go": RACY}))
    assert found.out == f"a.go:9:4: {RULE}: wg.Add is called inside the goroutine it counts\n"


def test_json_is_all_there_is_on_stdout(tmp_path: Path) -> None:
    found = run("check", "--output-format", "json", cwd=project(tmp_path, {"a.go": RACY}))
    document = json.loads(found.out)
    assert (found.code, document["version"], document["unreadable"]) == (1, 1, [])
    (finding,) = document["findings"]
    assert finding["start"] == {"line": 9, "column": 4, "offset": RACY.index("wg.Add")}
    edits = finding["fixes"][0]["edits"]
    text = RACY
    for edit in reversed(edits):
        text = text[: edit["start"]["offset"]] + edit["new"] + text[edit["end"]["offset"] :]
    assert "\t\twg.Add(1)\n\t\tgo func() {\n\t\t\tdefer" in text


def test_the_paths_choose_what_is_reported(tmp_path: Path) -> None:
    root = project(tmp_path, {"a/a.go": RACY, "b/b.go": RACY, "b/c.go": CLEAN})
    assert run("check", "b", "--output-format", "concise", cwd=root).out.startswith("b/b.go:")
    assert run("check", "b/c.go", cwd=root).code == 0
    assert len(run("check", "a", "b", "--output-format", "concise", cwd=root).out.splitlines()) == 2


def test_paths_are_shown_from_where_one_stands_and_in_json_from_the_root(tmp_path: Path) -> None:
    root = repository(tmp_path, {"b/b.go": RACY})
    assert run("check", "--output-format", "concise", cwd=root / "b").out.startswith("b.go:9")
    document = json.loads(run("check", "--output-format", "json", cwd=root / "b").out)
    assert document["findings"][0]["path"] == "b/b.go"


def test_select_and_ignore(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY})
    assert run("check", "--select", "waitgroup", cwd=root).code == 1
    assert run("check", "--select", f"shared-state,{RULE}", cwd=root).code == 1
    assert run("check", "--ignore", RULE, cwd=root).code == 0
    wrong = run("check", "--select", "waitgruop", cwd=root)
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "waitgruop" in wrong.err
    assert "waitgroup" in wrong.err


def test_since_reports_changed_lines_only(tmp_path: Path) -> None:
    root = repository(tmp_path, {"a.go": RACY})
    assert run("check", "--since", "HEAD", cwd=root).code == 0
    (root / "b.go").write_text(RACY.replace("Run", "RunToo"))
    git(root, "add", ".")
    found = run("check", "--since", "HEAD", "--output-format", "concise", cwd=root)
    assert [line.partition(":")[0] for line in found.out.splitlines()] == ["b.go"]
    assert run("check", "--since", "no-such-commit", cwd=root).code == 2


def test_a_baseline_leaves_old_findings_out_wherever_they_moved(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY})
    assert run("baseline", cwd=root).code == 0
    (root / "a.go").write_text(RACY.replace("package svc\n", "package svc\n\n// Moved.\n"))
    assert run("check", "--baseline", "threadmend-baseline.json", cwd=root).code == 0
    (root / "b.go").write_text(RACY.replace("Run", "RunToo"))
    found = run("check", "--baseline", "threadmend-baseline.json", cwd=root)
    assert (found.code, found.out.partition(":")[0]) == (1, "b.go")


def test_a_configured_baseline_can_be_made_before_it_exists(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY, "threadmend.toml": 'baseline = "known.json"\n'})
    assert run("baseline", cwd=root).code == 0
    assert (root / "known.json").exists()
    assert run("check", cwd=root).code == 0


def test_isolated_reads_no_configuration(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY, "threadmend.toml": f'ignore = ["{RULE}"]\n'})
    assert run("check", cwd=root).code == 0
    assert run("check", "--isolated", cwd=root).code == 1
    (root / "other.toml").write_text('select = ["shared-state"]\n')
    assert run("check", "--config", "other.toml", cwd=root).code == 0


def test_select_on_the_command_line_beats_the_configuration(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY, "threadmend.toml": f'ignore = ["{RULE}"]\n'})
    assert run("check", "--select", RULE, cwd=root).code == 1


def test_statistics(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY, "b.go": RACY.replace("Run", "RunToo")})
    assert run("check", "--statistics", cwd=root).out.splitlines()[1].split()[0] == "2"
    document = json.loads(run("check", "--statistics", "--output-format", "json", cwd=root).out)
    assert document["statistics"][0]["count"] == 2


def test_show_files_leaves_out_what_is_generated_or_vendored(tmp_path: Path) -> None:
    generated = "// Code generated by x. DO NOT EDIT.\n" + CLEAN
    older = "// Generated by tmpl\n// https://example.com/tmpl\n//\n// DO NOT EDIT!\n\n" + CLEAN
    files = {"a.go": CLEAN, "z.go": generated, "vendor/v/v.go": CLEAN, "b/b.go": CLEAN}
    files["y.go"] = older
    found = run("check", "--show-files", cwd=project(tmp_path, files))
    assert (found.code, found.out) == (0, "a.go\nb/b.go\n")


def test_a_named_file_that_is_generated_says_so(tmp_path: Path) -> None:
    root = project(tmp_path, {"z.go": "// Code generated by x. DO NOT EDIT.\n" + RACY})
    found = run("check", "z.go", cwd=root)
    assert (found.code, found.out) == (0, "")
    assert "z.go: is generated; left alone\n" in found.err


def test_an_unreadable_file_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY, "bad.go": b"package svc // \xff\n"})
    found = run("check", cwd=root)
    assert found.code == 1
    assert "bad.go: is not UTF-8 (line 1); left alone\n" in found.err
    document = json.loads(run("check", "--output-format", "json", cwd=root).out)
    assert document["unreadable"] == [{"path": "bad.go", "reason": "is not UTF-8 (line 1)"}]


def test_standard_input_stands_for_a_file(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": CLEAN})
    found = run("check", "--stdin-filename", "a.go", cwd=root, stdin=RACY)
    assert (found.code, found.out.partition(":")[0]) == (1, "a.go")
    assert run("check", "--stdin-filename", "new.go", cwd=root, stdin=RACY).code == 1


# -- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "nowhere.go"], "nowhere.go: no such file or folder"),
        (["check", "--frobnicate"], "--frobnicate"),
        (["frobnicate"], "frobnicate"),
        (["check", "--jobs", "0"], "--jobs"),
        (["check", "--output-format", "xml"], "xml"),
        (["check", "--config", "none.toml"], "none.toml"),
        (["check", "--baseline", "none.json"], "none.json"),
        (["fix", "--write", "--mbox"], "--write and --mbox cannot be combined"),
        (["fix", "--interactive", "--output-format", "json"], "--interactive has no JSON"),
        (["fix", "--commit", "b", "--stdin-filename", "a.go"], "--commit needs files"),
        (["check", "a.go", "--stdin-filename", "a.go"], "give no other path"),
        (["explain", "go/no-such-rule"], "go/no-such-rule is no rule"),
        (["explain", "waitgroup-ad-in-goroutine"], "did you mean waitgroup-add-in-goroutine?"),
        (["apply", "none.patch"], "none.patch"),
        (["apply", "a.go"], "a.go"),
        (["completion", "tcsh"], "tcsh"),
    ],
)
def test_bad_input_exits_2_with_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    found = run(*arguments, cwd=project(tmp_path, {"a.go": CLEAN}))
    assert (found.code, found.out) == (2, "")
    assert found.err.startswith("threadmend: ")
    assert found.err.count("\n") == 1
    assert said in found.err


def test_a_wrong_setting_names_file_and_key(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": CLEAN, "threadmend.toml": "selekt = []\n"})
    found = run("check", cwd=root)
    assert found.code == 2
    assert "threadmend.toml: selekt: unknown setting; did you mean select?" in found.err


def test_paths_of_two_projects_are_refused(tmp_path: Path) -> None:
    repository(tmp_path / "a", {"a.go": CLEAN})
    repository(tmp_path / "b", {"b.go": CLEAN})
    found = run("check", "a", "b", cwd=tmp_path)
    assert found.code == 2
    assert "different projects" in found.err


# -- rules, explain, map, completion ---------------------------------------------------------


def test_rules_lists_every_rule_in_three_forms(tmp_path: Path) -> None:
    names = [line.split()[0] for line in run("rules", cwd=tmp_path).out.splitlines()]
    document = json.loads(run("rules", "--output-format", "json", cwd=tmp_path).out)
    table = run("rules", "--output-format", "markdown", cwd=tmp_path).out
    assert RULE in names
    assert names == sorted(names)
    assert [rule["name"] for rule in document["rules"]] == names
    assert [line.split("`")[1] for line in table.splitlines()[2:]] == names


def test_explain_shows_the_documentation_and_the_example(tmp_path: Path) -> None:
    found = run("explain", "waitgroup-add-in-goroutine", cwd=tmp_path)
    assert found.code == 0
    assert found.out.startswith(RULE)
    assert "Not reported:" in found.out
    assert "Example" in found.out
    assert "wg.Add(1)" in found.out


@pytest.mark.parametrize("name", ["threadmend/unused-ignore", "ignore-without-reason"])
def test_explain_knows_what_the_engine_itself_reports(tmp_path: Path, name: str) -> None:
    found = run("explain", name, cwd=tmp_path)
    assert found.code == 0
    assert found.out.startswith(f"threadmend/{name.rpartition('/')[2]}  suppression\n")
    assert "ignore" in found.out.splitlines()[2]


def test_map_lists_operations_with_types(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY})
    document = json.loads(run("map", "--output-format", "json", cwd=root).out)
    by_operation = {item["operation"]: item for item in document["operations"]}
    assert by_operation["Wait"]["type"] == "sync.WaitGroup"
    assert (by_operation["Wait"]["line"], by_operation["Wait"]["column"]) == (14, 2)
    assert set(by_operation["Wait"]) == {
        *("path", "line", "column", "operation", "type", "class", "instance", "guards")
    }
    assert "a.go:14:2: Wait  sync.WaitGroup" in run("map", cwd=root).out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_prints_a_script(tmp_path: Path, shell: str) -> None:
    found = run("completion", shell, cwd=tmp_path)
    assert found.code == 0
    assert "_THREADMEND_COMPLETE" in found.out


def test_the_shell_is_offered_commands_and_rules(tmp_path: Path) -> None:
    def offered(words: str, place: int) -> str:
        return run(
            cwd=tmp_path,
            _THREADMEND_COMPLETE="complete_bash",
            COMP_WORDS=words,
            COMP_CWORD=str(place),
        ).out

    assert "check" in offered("threadmend ch", 1).split()
    assert RULE in offered("threadmend explain go/wait", 2).split()


# From Go 1.23 on, time.After in a loop is a hint.
_HINT = """package a

import "time"

func Consume(in <-chan int, use func(int)) {
	for {
		select {
		case v := <-in:
			use(v)
		case <-time.After(time.Minute):
			return
		}
	}
}
"""


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), 0),
        (("--select", "select"), 0),
        (("--confidence", "low"), 1),
        (("--select", "time-after-in-loop"), 1),
        (("--select", "ALL", "--confidence", "medium"), 0),
    ],
)
def test_hints_come_when_they_are_asked_for(
    options: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    root = project(tmp_path, {"a.go": _HINT, "go.mod": "module m\n\ngo 1.23\n"})
    assert run("check", *options, cwd=root).code == code
