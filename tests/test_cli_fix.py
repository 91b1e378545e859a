"""`fix` and `apply` from outside: diffs, files, mails, commits, questions."""

from __future__ import annotations

import json
import os
from pathlib import Path

from commandline import CLEAN, MENDED, RACY, RULE, git, project, repository, run

TWO = RACY + RACY[RACY.index("func Run") :].replace("Run", "RunToo")
FAR = "\n".join(f"// Line {number}." for number in range(20)) + "\n\n"
TWO_FAR = RACY + "\n" + FAR + RACY[RACY.index("func Run") :].replace("Run", "RunToo")


def test_the_diff_is_what_git_apply_takes(tmp_path: Path) -> None:
    root = repository(tmp_path, {"a.go": RACY, "b/c d.go": RACY})
    found = run("fix", cwd=root)
    assert found.code == 1
    assert found.err == "2 fixed; 2 files in the diff\n"
    (root / "p").write_text(found.out)
    git(root, "apply", "p")
    assert (root / "a.go").read_text() == MENDED
    assert (root / "b/c d.go").read_text() == MENDED
    assert run("fix", cwd=root).code == 0


def test_diff_is_the_default_spelled_out(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY})
    assert run("fix", "--diff", cwd=root) == run("fix", cwd=root)
    assert (root / "a.go").read_text() == RACY


def test_write_changes_the_files_and_exits_0(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY, "b.go": CLEAN})
    found = run("fix", "--write", "--no-prove", cwd=root)
    assert (found.code, found.out, found.err) == (0, "", "1 fixed; 1 file changed\n")
    assert (root / "a.go").read_text() == MENDED
    again = run("fix", "--write", cwd=root)
    assert (again.code, again.err) == (0, "nothing to fix\n")


def test_bytes_of_the_file_stay_as_they_are_in_the_diff(tmp_path: Path) -> None:
    text = RACY.replace("\n", "\r\n").encode() + "// [bold]é漢\x0c\r\n// no newline".encode()
    root = repository(tmp_path, {"a.go": text})
    patch = run("fix", cwd=root).out.encode("utf-8", "surrogateescape")
    (root / "p").write_bytes(patch)
    git(root, "-c", "core.autocrlf=false", "apply", "--check", "p")
    assert b"+\t\twg.Add(1)\r\n" in patch


def test_json_holds_outcomes_and_the_patch(tmp_path: Path) -> None:
    root = repository(tmp_path, {"a.go": RACY})
    document = json.loads(run("fix", "--output-format", "json", cwd=root).out)
    (outcome,) = document["outcomes"]
    assert (outcome["rule"], outcome["outcome"], outcome["reason"]) == (RULE, "fixed", "")
    assert document["patch"] == run("fix", cwd=root).out


def test_json_with_write_says_what_was_written(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY})
    document = json.loads(run("fix", "--write", "--output-format", "json", cwd=root).out)
    assert "+\t\twg.Add(1)\n" in document["patch"]
    assert (root / "a.go").read_text() == MENDED


def test_only_what_was_named_is_fixed(tmp_path: Path) -> None:
    root = project(tmp_path, {"a/a.go": RACY, "b/b.go": RACY})
    assert run("fix", "--write", "b", cwd=root).code == 0
    assert (root / "a/a.go").read_text() == RACY
    assert (root / "b/b.go").read_text() == MENDED


def test_standard_input_comes_back_as_a_diff_or_fixed(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": CLEAN})
    diff = run("fix", "--stdin-filename", "a.go", cwd=root, stdin=RACY)
    assert (diff.code, diff.out.partition("\n")[0]) == (1, "diff --git a/a.go b/a.go")
    fixed = run("fix", "--stdin-filename", "a.go", "--write", cwd=root, stdin=RACY)
    assert (fixed.code, fixed.out) == (0, MENDED)
    clean = run("fix", "--stdin-filename", "a.go", "--write", cwd=root, stdin=CLEAN)
    assert (clean.code, clean.out) == (0, CLEAN)
    assert (root / "a.go").read_text() == CLEAN


def test_mails_are_what_git_am_takes(tmp_path: Path) -> None:
    root = repository(tmp_path, {"a.go": RACY})
    found = run("fix", "--mbox", cwd=root)
    assert found.code == 1
    (root / "mails").write_text(found.out)
    git(root, "am", "mails")
    assert (root / "a.go").read_text() == MENDED
    assert git(root, "log", "-1", "--format=%s").startswith(f"{RULE}: ")


def test_commit_makes_a_branch_and_touches_nothing_else(tmp_path: Path) -> None:
    root = repository(tmp_path, {"a.go": RACY})
    found = run("fix", "--commit", "mend", cwd=root)
    assert (found.code, found.out) == (0, "")
    assert (root / "a.go").read_text() == RACY
    assert git(root, "status", "--porcelain") == ""
    assert git(root, "show", "mend:a.go") == MENDED
    assert git(root, "rev-list", "--count", "main..mend").strip() == "1"
    again = run("fix", "--commit", "mend", cwd=root)
    assert (again.code, again.err.count("\n")) == (2, 1)


# -- interactive -----------------------------------------------------------------------------


def answers(root: Path, *letters: str) -> tuple[int, str, str]:
    found = run("fix", "--interactive", cwd=root, stdin="".join(f"{word}\n" for word in letters))
    return found.code, found.out, found.err


def test_yes_takes_a_hunk_and_no_leaves_it(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY, "b/b.go": RACY})
    code, out, err = answers(root, "y", "n")
    assert (code, err) == (1, "1 fix taken, 1 file changed; 1 finding left\n")
    assert "(1/2) Take this hunk [y,n,q,a,d,?]? " in out
    assert (root / "a.go").read_text() == MENDED
    assert (root / "b/b.go").read_text() == RACY


def test_everything_taken_exits_0(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY})
    assert answers(root, "y")[0] == 0


def test_quit_keeps_what_was_taken(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY, "b/b.go": RACY, "c/c.go": RACY})
    answers(root, "y", "q")
    assert [(root / f).read_text() == MENDED for f in ("a.go", "b/b.go", "c/c.go")] == [
        *(True, False, False)
    ]


def test_the_end_of_input_is_quit(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY})
    assert answers(root)[0] == 1
    assert (root / "a.go").read_text() == RACY


def test_all_and_none_are_about_the_file(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": TWO_FAR, "b/b.go": TWO_FAR, "c/c.go": RACY})
    _, out, _ = answers(root, "a", "d", "y")
    assert out.count("Take this hunk") == 3
    assert (root / "a.go").read_text().count("\twg.Add(1)\n\t\tgo") == 2
    assert (root / "b/b.go").read_text() == TWO_FAR
    assert (root / "c/c.go").read_text() == MENDED


def test_fixes_of_one_hunk_come_together_and_can_be_split(tmp_path: Path) -> None:
    near = RACY.replace("}\n\twg.Wait", "}\n\tfor range 2 {\n\t\tgo func() {\n\t\t\twg.Add(1)\n"
                        "\t\t\tdefer wg.Done()\n\t\t}()\n\t}\n\twg.Wait")  # fmt: skip
    root = project(tmp_path, {"a.go": near})
    code, out, _ = answers(root, "s", "n", "y")
    assert "(1/1) Take this hunk [y,n,q,a,d,s,?]? " in out
    assert "(2/2) Take this hunk [y,n,q,a,d,?]? " in out
    assert code == 1
    text = (root / "a.go").read_text()
    assert text.count("\twg.Add(1)\n\t\tgo") == 1
    assert "jobs {\n\t\tgo func" in text


def test_a_question_mark_explains_and_asks_again(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY})
    code, out, _ = answers(root, "?", "x", "y")
    assert (code, out.count("q - quit")) == (0, 2)


# -- apply -----------------------------------------------------------------------------------


def test_apply_takes_our_own_diff_and_mails(tmp_path: Path) -> None:
    for number, way in enumerate(("--diff", "--mbox")):
        root = project(tmp_path / str(number), {"a.go": RACY})
        patch = run("fix", way, cwd=root).out
        found = run("apply", "-", cwd=root, stdin=patch)
        assert (found.code, found.err) == (0, "1 file changed\n")
        assert (root / "a.go").read_text() == MENDED


def test_apply_check_changes_nothing(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY})
    (root / "p").write_text(run("fix", cwd=root).out)
    found = run("apply", "p", "--check", cwd=root)
    assert (found.code, found.err) == (0, "applies; 1 file would change\n")
    assert (root / "a.go").read_text() == RACY


def test_a_patch_that_does_not_fit_names_file_and_line_and_changes_nothing(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.go": RACY, "b/b.go": RACY})
    (root / "p").write_text(run("fix", cwd=root).out)
    (root / "b/b.go").write_text(CLEAN)
    found = run("apply", "p", cwd=root)
    assert found.code == 2
    assert found.err.startswith("threadmend: b/b.go:")
    assert found.err.count("\n") == 1
    assert (root / "a.go").read_text() == RACY


def test_a_patch_cannot_reach_outside(tmp_path: Path) -> None:
    root = project(tmp_path / "in", {"a.go": CLEAN})
    patch = "--- /dev/null\n+++ b/../evil.go\n@@ -0,0 +1 @@\n+package evil\n"
    found = run("apply", "-", cwd=root, stdin=patch)
    assert found.code == 2
    assert not os.path.exists(tmp_path / "evil.go")


def test_apply_carries_out_a_change_of_mode(tmp_path: Path) -> None:
    root = repository(tmp_path, {"run.sh": "echo\n"})
    (root / "run.sh").chmod(0o755)
    patch = git(root, "diff")
    (root / "run.sh").chmod(0o644)
    done = run("apply", "-", cwd=root, stdin=patch)
    assert (done.code, done.err) == (0, "1 file changed\n")
    assert (root / "run.sh").stat().st_mode & 0o777 == 0o755
    back = patch.replace("old mode 100644\nnew mode 100755", "old mode 100755\nnew mode 100644")
    assert run("apply", "-", cwd=root, stdin=back).code == 0
    assert (root / "run.sh").stat().st_mode & 0o777 == 0o644
