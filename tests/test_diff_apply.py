"""apply(): what fits, what must not, and patches that want out of the project."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from gitrepo import Repository
from hypothesis import given, settings
from hypothesis import strategies as st

from threadmend.diff import FileMode, PatchError, apply, render
from threadmend.patchfile import parse

LINES = [b"line %d\n" % number for number in range(1, 21)]
TEXT = b"".join(LINES)
CHANGED = TEXT.replace(b"line 10\n", b"ten\n")
PATCH = render({"f": TEXT}, {"f": CHANGED})


def fails(patch: bytes, files: Mapping[str, bytes | None] | None = None) -> str:
    with pytest.raises(PatchError) as caught:
        apply(patch, (files or {}).get)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def git_form(name: str, *, new: str | None = None) -> bytes:
    """Return a patch that creates a file of any name, as an attacker would write it."""
    return (
        f"diff --git a/{name} b/{new or name}\nnew file mode 100644\n--- /dev/null\n"
        f"+++ b/{new or name}\n@@ -0,0 +1 @@\n+x\n"
    ).encode()


def test_applies_where_it_says() -> None:
    assert apply(PATCH, {"f": TEXT}.get) == {"f": CHANGED}


def test_applies_where_the_lines_moved_to() -> None:
    assert apply(PATCH, {"f": b"new\nnew\n" + TEXT}.get) == {"f": b"new\nnew\n" + CHANGED}
    assert apply(PATCH, {"f": b"".join(LINES[4:])}.get) == {
        "f": CHANGED.removeprefix(b"".join(LINES[:4]))
    }


def test_later_hunks_follow_the_drift_of_earlier_ones() -> None:
    block = b"a\nb\nc\nd\n"
    before = b"".join(b"%d\n" % number for number in range(20)) + block + b"x\n" + block
    after = before.replace(b"5\n", b"five\n", 1).replace(b"a\nb\nc\nd\nx\n", b"a\nb\nc\nD\nx\n")
    patch = render({"f": before}, {"f": after})
    moved = b"top\n" * 3
    assert apply(patch, {"f": moved + before}.get) == {"f": moved + after}


def test_ambiguous_place_is_refused() -> None:
    block = b"a\nb\nc\nd\ne\nf\ng\n"
    patch = render(
        {"f": b"0\n" + block + b"1\n"}, {"f": b"0\n" + block.replace(b"d", b"D") + b"1\n"}
    )
    twice = b"0\n1\n2\n" + block + block + b"9\n"
    assert fails(patch, {"f": twice}) == "f:2: the hunk in line 5 of the patch fits in 2 places"


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (b"line 9\n", b"line nine\n"),
        (b"line 10\n", b"line 10 \n"),
        (b"line 13\n", b"line 13\r\n"),
        (b"line 8\n", b""),
    ],
)
def test_context_must_fit_byte_for_byte(was: bytes, now: bytes) -> None:
    text = TEXT.replace(was, now)
    assert fails(PATCH, {"f": text}).startswith("f:7: the hunk in line 5")


def test_line_endings_are_kept_and_not_confused() -> None:
    before, after = b"a\r\nb\r\nc\n", b"a\r\nB\r\nc\n"
    patch = render({"f": before}, {"f": after})
    assert apply(patch, {"f": before}.get) == {"f": after}
    fails(patch, {"f": before.replace(b"\r\n", b"\n")})


def test_final_newline_is_part_of_the_context() -> None:
    patch = render({"f": b"a\nb"}, {"f": b"A\nb"})
    assert apply(patch, {"f": b"a\nb"}.get) == {"f": b"A\nb"}
    fails(patch, {"f": b"a\nb\n"})
    fails(render({"f": b"a\nb\n"}, {"f": b"A\nb\n"}), {"f": b"a\nb"})


def test_hunk_of_the_end_fits_at_the_end_only() -> None:
    patch = render({"f": b"a\nb\n"}, {"f": b"a\nb\nc\n"})
    fails(patch, {"f": b"a\nb\nx\n"})
    fails(render({"f": b"a\nb\n"}, {"f": b"0\na\nb\n"}), {"f": b"x\na\nb\n"})


def test_file_shorter_than_the_hunk() -> None:
    for text in (b"", b"line 7\n", b"line 7\nline 8\n"):
        assert "does not fit" in fails(PATCH, {"f": text})
        assert "does not fit" in fails(render({"f": TEXT}, {"f": b"0\n" + TEXT}), {"f": text})


def test_files_must_be_as_the_patch_has_them() -> None:
    assert fails(PATCH) == "f:1: does not exist"
    assert fails(render({}, {"f": b"a\n"}), {"f": b""}) == "f:1: exists already"
    assert "is to be deleted" in fails(render({"f": b""}, {}), {"f": b"a\n"})
    fails(render({"f": b"a\n"}, {}), {"f": b"a\nb\n"})
    renamed = render({"a": b"1\n"}, {"b": b"1\n"}, renames={"a": "b"})
    assert fails(renamed, {"a": b"1\n", "b": b""}) == "b:1: exists already"


def test_nothing_is_nothing() -> None:
    assert apply(b"", {}.get) == {}
    assert apply(b"\n \n", {}.get) == {}
    assert "no patch" in fails(b"hello\n")


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/passwd",
        "a/../../x",
        "a/./x",
        "./x",
        "a//x",
        ".git/config",
        "sub/.git/hooks/pre-commit",
        ".GIT/config",
        ".git./config",
        ".git /config",
        "git~1/config",
        ".g\u200cit/config",
        ".git",
        "a/",
        "",
    ],
)
def test_paths_outside_are_refused(name: str) -> None:
    fails(git_form(name))
    fails(f"--- /dev/null\n+++ b/{name}\n@@ -0,0 +1 @@\n+x\n".encode())
    fails(f"diff --git a/{name} b/{name}\nnew file mode 100644\n".encode())
    for verb in ("rename", "copy"):
        fails(
            f"diff --git a/f b/{name}\n{verb} from f\n{verb} to {name}\n".encode(),
            {"f": b"secret\n"},
        )
        fails(f"diff --git a/{name} b/f\n{verb} from {name}\n{verb} to f\n".encode(), {name: b"x"})


def test_quoted_paths_outside_are_refused() -> None:
    for name in (r"\056\056/x", r".git\057config", r"\056git/config", r"x\000y", r"/abs"):
        fails(
            f'diff --git "a/{name}" "b/{name}"\nnew file mode 100644\n'
            f'--- /dev/null\n+++ "b/{name}"\n@@ -0,0 +1 @@\n+x\n'.encode()
        )


def test_links_and_submodules_are_refused() -> None:
    for mode in ("120000", "160000", "040000", "100777", "x"):
        patch = git_form("f").replace(b"100644", mode.encode())
        assert "only plain files" in fails(patch)
        fails(f"diff --git a/f b/f\nold mode 100644\nnew mode {mode}\n".encode(), {"f": b""})


def test_names_must_agree() -> None:
    fails(
        b"diff --git a/x b/x\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n", {"x": b"a\n", "y": b"a\n"}
    )
    fails(b"diff --git a/x b/y\n--- a/x\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n", {"x": b"a\n"})
    fails(b"--- a/x\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n", {"x": b"a\n"})
    fails(b"diff --git a/x b/x\nrename from p\nrename to q\n", {"x": b"a\n", "p": b""})
    fails(b"--- /dev/null\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n")


def test_names_need_prefixes() -> None:
    files = {"src/x": b"a\n", "x": b"a\n"}
    assert "names" in fails(
        b"diff --git src/x src/x\n--- src/x\n+++ src/x\n@@ -1 +1 @@\n-a\n+b\n", files
    )
    assert "prefix" in fails(b"--- src/x\n+++ src/x\n@@ -1 +1 @@\n-a\n+b\n", files)


@pytest.mark.parametrize(
    "hunk",
    [
        b"@@ -1,2 +1 @@\n-a\n",
        b"@@ -1 +1,9 @@\n-a\n+b\n",
        b"@@ -1 +1 @@\n-a\n+b\n+c\n",
        b"@@ -1 +1 @@\n-a\n+b\n c\n",
        b"@@ -1 +1 @@\n-a\n-b\n+c\n",
        b"@@ -1 +1 @@\n-a\n+b",
        b"@@ -1 +1 @@\n?a\n+b\n",
        b"@@ -1 +1\n-a\n+b\n",
        b"@@ -x +1 @@\n-a\n+b\n",
        b"@@ -0,0 +0,0 @@\n",
        b"@@ -0,1 +1 @@\n-a\n+b\n",
        b"@@ -99999999999999999999 +1 @@\n-a\n+b\n",
        b"@@ -1,999999999 +1 @@\n-a\n+b\n",
    ],
)
def test_damaged_hunks_are_refused(hunk: bytes) -> None:
    fails(b"diff --git a/f b/f\n--- a/f\n+++ b/f\n" + hunk, {"f": b"a\n"})


def test_file_without_a_change_is_refused() -> None:
    index = b"diff --git a/f b/f\nindex 1111111..2222222 100644\n"
    for patch in (index, index + b"--- a/f\n+++ b/f\n", b"--- a/f\n+++ b/f\n"):
        assert "without a change" in fails(patch, {"f": b"a\n"})
    torn = index + b" torn\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"
    assert "without a change" in fails(torn, {"f": b"a\n"})


def test_hunk_without_file_and_binary_are_refused() -> None:
    assert "without a file" in fails(b"@@ -1 +1 @@\n-a\n+b\n")
    assert "binary" in fails(
        b"diff --git a/f b/f\nindex 1..2 100644\nGIT binary patch\nliteral 1\n"
    )
    assert "binary" in fails(b"diff --git a/f b/f\nBinary files a/f and b/f differ\n")


def test_line_without_newline_inside_a_file_is_refused() -> None:
    patch = b"--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n-a\n+b\n\\ No newline at end of file\n c\n"
    assert "newline" in fails(patch, {"f": b"a\nc\n"})


def test_mail_around_a_patch_is_skipped(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "work", tmp_path)
    repository.write({"f": TEXT})
    repository.commit()
    repository.write({"f": CHANGED, "g": b"new\n"})
    repository.commit("Change\n\nmore words")
    mail = repository.git("format-patch", "--stdout", "-1")
    assert apply(mail, {"f": TEXT}.get) == {"f": CHANGED, "g": b"new\n"}


def test_what_git_prints_in_other_settings(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "work", tmp_path)
    repository.write({"f": TEXT, "r": TEXT + b"r\n", "é b": b"1\n"})
    repository.commit()
    repository.write({"f": CHANGED, "r": None, "s": TEXT + b"s\n", "é b": b"2\n"})
    repository.git("add", "-A")
    before = {"f": TEXT, "r": TEXT + b"r\n", "é b": b"1\n"}
    after = {"f": CHANGED, "r": None, "s": TEXT + b"s\n", "é b": b"2\n"}
    for setting in (
        "diff.mnemonicPrefix=true",
        "core.quotePath=false",
        "diff.renames=copies",
        "diff.context=1",
        "diff.algorithm=histogram",
    ):
        assert apply(repository.git("-c", setting, "diff", "HEAD"), before.get) == after


def test_copy_starts_from_the_file_before_the_patch() -> None:
    patch = PATCH + b"diff --git a/f b/g\nsimilarity index 100%\ncopy from f\ncopy to g\n"
    assert apply(patch, {"f": TEXT}.get) == {"f": CHANGED, "g": TEXT}


def test_one_file_twice_is_applied_in_order() -> None:
    second = render({"f": CHANGED}, {"f": CHANGED.replace(b"ten\n", b"TEN\n")})
    assert apply(PATCH + second, {"f": TEXT}.get) == {"f": TEXT.replace(b"line 10\n", b"TEN\n")}
    gone_and_new = render({"f": TEXT}, {}) + render({}, {"f": b"n\n"})
    assert apply(gone_and_new, {"f": TEXT}.get) == {"f": b"n\n"}


def test_modes_are_told() -> None:
    patch = render(
        {"f": b"a\n"}, {"f": b"a\n"}, modes={"f": (FileMode.REGULAR, FileMode.EXECUTABLE)}
    )
    assert [(file.old_mode, file.new_mode) for file in parse(patch)] == [
        (FileMode.REGULAR, FileMode.EXECUTABLE)
    ]


@given(st.integers(0, len(PATCH)), st.binary(max_size=4), st.integers(0, 40))
@settings(deadline=None, max_examples=400)
def test_a_damaged_patch_never_does_more_than_say_so(at: int, put: bytes, cut: int) -> None:
    patch = PATCH[:at] + put + PATCH[at + cut :]
    try:
        after = apply(patch, {"f": TEXT}.get)
    except PatchError:
        return
    for path in after:
        assert not path.startswith("/")
        assert ".." not in path.split("/")
