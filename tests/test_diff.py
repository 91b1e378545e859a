"""render(): every edge case goes through `git apply` and through our own applier."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from gitrepo import Repository
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from unidiff import PatchSet

from threadmend.diff import FileMode, apply, render
from threadmend.matching import changes, split_lines
from threadmend.sliding import slide

Files = Mapping[str, bytes | None]

NUMBERED = b"".join(b"line %d\n" % number for number in range(1, 31))

CONTENT: dict[str, tuple[bytes | None, bytes | None]] = {
    "one line": (b"a\nb\nc\n", b"a\nB\nc\n"),
    "newline lost": (b"a\nb\n", b"a\nb"),
    "newline gained": (b"a\nb", b"a\nb\n"),
    "no newline on either side": (b"a\nb", b"a\nc"),
    "no newline, change above": (b"x\na\nb", b"y\na\nb"),
    "no newline, lines added after": (b"a", b"a\nb"),
    "no newline, all lines gone": (b"a\nb", b""),
    "crlf": (b"a\r\nb\r\nc\r\n", b"a\r\nB\r\nc\r\n"),
    "crlf to lf": (b"a\r\nb\r\n", b"a\nb\n"),
    "crlf without final newline": (b"a\r\nb\r", b"a\r\nc\r"),
    "carriage return inside": (b"a\rb\nc\n", b"a\rB\nc\n"),
    "form feed": (b"a\n\x0cb\nc\n", b"a\n\x0cB\nc\n"),
    "vertical tab and separators": (b"a\x0b\x1c\x1d\x1eb\nc\n", b"a\x0b\x1c\x1d\x1eb\nd\n"),
    "next line and U+2028": ("a\u2028b\u0085c\nd\n".encode(), "a\u2028b\u0085c\ne\n".encode()),
    "not utf-8": (b"a\xff\xfe\nb\n", b"a\xff\xfe\nc\xe9\n"),
    "heading not utf-8": (b"\xe9\nf\xff\n" + NUMBERED, b"\xe9\nf\xff\n" + NUMBERED[:-9]),
    "byte order mark": (b"\xef\xbb\xbfa\n", b"\xef\xbb\xbfb\n"),
    "nul byte": (b"a\0b\nc\n", b"a\0B\nc\n"),
    "new file": (None, b"a\nb\n"),
    "new file without newline": (None, b"a"),
    "new empty file": (None, b""),
    "file gone": (b"a\nb\n", None),
    "file without newline gone": (b"a\nb", None),
    "empty file gone": (b"", None),
    "file emptied": (b"a\n", b""),
    "empty file filled": (b"", b"a\n"),
    "only a newline": (b"\n", b"\n\n"),
    "lines like a patch": (b"-- a\n++ b\n@@ -1 +1 @@\n", b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n"),
    "marker as a line": (b"a\n", b"a\n\\ No newline at end of file\n"),
    "blanks": (b" \n\t\n  \n", b" \n\t \n  \n"),
    "repeated lines": (b"}\n" * 40, b"}\n" * 20 + b"x\n" + b"}\n" * 20),
    "repeated lines fewer": (b"a\n}\n}\n}\nb\n" * 9, b"a\n}\n}\nb\n" * 9),
    "two hunks": (NUMBERED, NUMBERED.replace(b"line 3\n", b"").replace(b"line 28\n", b"x\ny\n")),
    "hunks that touch": (NUMBERED, NUMBERED.replace(b"e 9\n", b"x\n").replace(b"e 16\n", b"y\n")),
    "hunks that just do not": (
        NUMBERED,
        NUMBERED.replace(b"line 9\n", b"x\n").replace(b"line 17\n", b"y\n"),
    ),
    "lines moved": (NUMBERED, b"line 30\n" + NUMBERED[:-8]),
    "first and last line": (NUMBERED, b"x\n" + NUMBERED + b"y\n"),
    "long line": (b"x" * 100_000 + b"\nb\n", b"x" * 100_000 + b"\nc\n"),
}

PATHS = [
    "a b.go",
    "deep/er/x.go",
    'quo"te.go',
    "tab\tin.go",
    "line\nin.go",
    "back\\slash.go",
    "naïve/ünï.go",
    b"latin\xe9.go".decode("utf-8", "surrogateescape"),
    "-dash.go",
    "--help",
    "x b/y.go",
    "a/b/a/b.go",
    " leading.go",
    "trailing ",
    "[bold]*?.go",
    ":(top)x.go",
    "dev/null",
    "\x7f\x01.go",
    "a:b.go",
]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "work", tmp_path)


def present(files: Files) -> dict[str, bytes | None]:
    return {path: data for path, data in files.items() if data is not None}


def through_git(repository: Repository, before: Files, patch: bytes, after: Files) -> None:
    """Apply with git, to the work tree and to the index, and compare."""
    repository.write(present(before))
    repository.commit()
    repository.git("apply", "--check", "--whitespace=nowarn", data=patch)
    repository.git("apply", "--index", "--whitespace=nowarn", data=patch)
    for path in {*before, *after}:
        assert repository.read(path) == after.get(path), (path, patch)
    # git reads the same change as we do: full index lines say which blobs.
    repository.git("apply", "--index", "-R", "--whitespace=nowarn", data=patch)
    for path in {*before, *after}:
        assert repository.read(path) == before.get(path), (path, patch)


def there_and_back(before: Files, after: Files, patch: bytes) -> None:
    applied = apply(patch, before.get)
    assert {**before, **applied} == {**dict.fromkeys(before), **after}
    back = render(after, before)
    assert {**after, **apply(back, after.get)} == {**dict.fromkeys(after), **before}


@pytest.mark.parametrize("name", CONTENT)
def test_git_takes_content(name: str, repository: Repository) -> None:
    old, new = CONTENT[name]
    before: Files = {"f.go": old}
    after: Files = {"f.go": new}
    patch = render(before, after)
    through_git(repository, before, patch, after)
    there_and_back(before, after, patch)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["change", "new", "gone", "empty"])
def test_git_takes_path(path: str, kind: str, repository: Repository) -> None:
    states: dict[str, tuple[bytes | None, bytes | None]] = {
        "change": (b"a\nb\n", b"a\nc\n"),
        "new": (None, b"a\n"),
        "gone": (b"a\n", None),
        "empty": (None, b""),
    }
    old, new = states[kind]
    before: Files = {path: old, "other": b"o\n"}
    after: Files = {path: new, "other": b"o\n"}
    patch = render(before, after)
    through_git(repository, before, patch, after)
    there_and_back(before, after, patch)


def test_git_takes_many_files_at_once(repository: Repository) -> None:
    before: Files = {name: old for name, (old, _) in CONTENT.items()}
    after: Files = {name: new for name, (_, new) in CONTENT.items()}
    patch = render(before, after)
    through_git(repository, before, patch, after)
    there_and_back(before, after, patch)


@pytest.mark.parametrize("context", [1, 2, 3, 10, 100])
def test_any_context(context: int, repository: Repository) -> None:
    before, after = ({"f": side} for side in CONTENT["two hunks"])
    patch = render(before, after, context=context)
    through_git(repository, before, patch, after)
    there_and_back(before, after, patch)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"a\n", b"a\n"), (b"a\n", b"b\n"), (b"", b"")],
    ids=["mode only", "mode and text", "empty file"],
)
def test_mode_change(old: bytes, new: bytes, repository: Repository) -> None:
    patch = render(
        {"run": old}, {"run": new}, modes={"run": (FileMode.REGULAR, FileMode.EXECUTABLE)}
    )
    through_git(repository, {"run": old}, patch, {"run": new})
    repository.git("apply", "--index", data=patch)
    assert repository.git("ls-files", "-s").startswith(b"100755 ")
    assert apply(patch, {"run": old}.get) == {"run": new}


def test_executable_keeps_its_mode_without_a_warning(repository: Repository) -> None:
    repository.write({"run": b"a\n"})
    (repository.root / "run").chmod(0o755)
    mode = FileMode.of(repository.root / "run")
    assert mode is FileMode.EXECUTABLE
    repository.commit()
    patch = render({"run": b"a\n"}, {"run": b"b\n"}, modes={"run": mode})
    done = subprocess.run(
        ["git", "apply", "--index"],
        cwd=repository.root,
        env=repository.environment,
        input=patch,
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    assert repository.git("ls-files", "-s").startswith(b"100755 ")


def test_new_executable_and_new_link(repository: Repository) -> None:
    patch = render(
        {},
        {"run": b"#!/bin/sh\n", "link": b"run"},
        modes={"run": FileMode.EXECUTABLE, "link": FileMode.SYMLINK},
    )
    repository.git("apply", "--index", data=patch)
    staged = repository.git("ls-files", "-s")
    assert b"100755" in staged
    assert b"120000" in staged


def test_file_becomes_link(repository: Repository) -> None:
    repository.write({"x": b"text\n", "y": b"y\n"})
    repository.commit()
    patch = render({"x": b"text\n"}, {"x": b"y"}, modes={"x": (FileMode.REGULAR, FileMode.SYMLINK)})
    repository.git("apply", "--index", data=patch)
    assert (repository.root / "x").readlink() == Path("y")


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"a\nb\n", b"a\nb\n"), (b"a\nb\nc\n", b"a\nB\nc\n"), (b"", b"")],
    ids=["as it is", "changed", "empty"],
)
@pytest.mark.parametrize(
    ("source", "target"), [("a.go", "b.go"), ("a b.go", "é/b b.go"), ("x", "y\t")]
)
def test_rename(old: bytes, new: bytes, source: str, target: str, repository: Repository) -> None:
    before, after = {source: old}, {target: new}
    patch = render(before, after, renames={source: target})
    assert b"rename from " in patch
    through_git(repository, before, patch, after)
    assert apply(patch, before.get) == {source: None, target: new}


def test_rename_and_a_new_file_in_its_place(repository: Repository) -> None:
    before = {"a": b"1\n2\n3\n"}
    after = {"a": b"new\n", "b": b"1\n2\n3\n4\n"}
    patch = render(before, after, renames={"a": "b"})
    repository.write(before)
    repository.commit()
    repository.git("apply", data=patch)
    assert {path: repository.read(path) for path in after} == after
    assert apply(patch, before.get) == after


def test_nothing_to_say() -> None:
    assert render({}, {}) == b""
    assert render({"a": b"x", "b": None, "c": b""}, {"a": b"x", "b": None, "c": b""}) == b""


def test_exact_text() -> None:
    before = b"package p\n\nfunc f() {\n\tmu.Lock()\n\tone()\n\ttwo()\n\tthree()\n\tfour()\n}\n"
    after = before.replace(b"\tfour()\n", b"\tfour()\n\tmu.Unlock()\n")
    assert render({"p/f.go": before}, {"p/f.go": after}).decode() == (
        "diff --git a/p/f.go b/p/f.go\n"
        "index cb82780708c961ed8d5da642b603956bb0b6b786..57f6ffb1a67460fdda3d09724152085e742ae9b5"
        " 100644\n"
        "--- a/p/f.go\n"
        "+++ b/p/f.go\n"
        "@@ -6,4 +6,5 @@ func f() {\n"
        " \ttwo()\n"
        " \tthree()\n"
        " \tfour()\n"
        "+\tmu.Unlock()\n"
        " }\n"
    )


def test_same_bytes_as_git(repository: Repository) -> None:
    before, after = CONTENT["two hunks"]
    repository.write({"a b.go": before, "é": b"x", "gone": b"", "n": b"1\n2"})
    repository.commit()
    repository.write({"a b.go": after, "é": b"x\n", "gone": None, "n": b"1\n3", "new": b""})
    repository.git("add", "-A")
    shown = repository.git("diff", "--cached", "--full-index", "--no-renames")
    ours = render(
        {"a b.go": before, "é": b"x", "gone": b"", "n": b"1\n2"},
        {"a b.go": after, "é": b"x\n", "n": b"1\n3", "new": b""},
    )
    assert ours == shown


def test_unidiff_reads_the_same() -> None:
    usual = {name: sides for name, sides in CONTENT.items() if "nul" not in name}
    before = {f"{number}.go": old for number, (old, _) in enumerate(usual.values())}
    after = {f"{number}.go": new for number, (_, new) in enumerate(usual.values())}
    patch = render(before, after)
    read = PatchSet.from_string(patch, encoding="utf-8", errors="surrogateescape")
    assert sorted(file.path for file in read) == sorted(before)
    for file in read:
        assert (file.source_file == "/dev/null") == (before[file.path] is None)
        assert (file.target_file == "/dev/null") == (after[file.path] is None)
        assert all(hunk.is_valid() for hunk in file)


def test_hundred_thousand_lines_in_well_under_a_second() -> None:
    lines = [b"line %d\n" % number for number in range(100_000)]
    before = b"".join(lines)
    lines[500:500] = [b"new\n"]
    del lines[99_000]
    start = time.perf_counter()
    patch = render({"f": before}, {"f": b"".join(lines)})
    assert time.perf_counter() - start < 1
    assert len(patch.splitlines()) < 30


@pytest.mark.parametrize("period", [(1, 1), (7, 5), (2, 3)])
def test_repeated_lines_end_soon(period: tuple[int, int]) -> None:
    before, after = (
        b"".join(b"%d\n" % (number % every) for number in range(50_000 + every)) for every in period
    )
    start = time.perf_counter()
    patch = render({"f": before}, {"f": after + b"end\n"})
    assert time.perf_counter() - start < 5
    assert apply(patch, {"f": before}.get) == {"f": after + b"end\n"}


LINES = st.lists(
    st.sampled_from(
        [
            b"",
            b"a",
            b"b",
            b"}",
            b"\t}",
            b"\r",
            b"a\r",
            b"\x0c",
            b"-- ",
            b"+++ b/f",
            b"\\ No",
            b"\xff",
        ]
    ),
    max_size=14,
)
TEXTS = st.builds(lambda lines, end: b"\n".join(lines) + end, LINES, st.sampled_from([b"", b"\n"]))
NAMES = st.text(st.sampled_from('ab /."\t\\é\udce9-'), min_size=1, max_size=6).filter(
    lambda name: all(part not in ("", ".", "..") for part in name.split("/"))
)


@st.composite
def states(draw: st.DrawFn) -> tuple[dict[str, bytes | None], dict[str, bytes | None]]:
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    # A name cannot be a file and a folder.
    flat = [n for n in names if not any(other.startswith(n + "/") for other in names)]
    side = st.one_of(st.none(), TEXTS)
    return ({name: draw(side) for name in flat}, {name: draw(side) for name in flat})


@given(states())
@settings(deadline=None)
def test_any_state_renders_and_applies(
    pair: tuple[dict[str, bytes | None], dict[str, bytes | None]],
) -> None:
    before, after = pair
    there_and_back(before, after, render(before, after))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return tmp_path_factory.mktemp("states")


@given(states())
@example(({" /-": None}, {" /-": b""}))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_git_takes_any_state(
    shared: Path, pair: tuple[dict[str, bytes | None], dict[str, bytes | None]]
) -> None:
    before, after = pair
    patch = render(before, after)
    root = shared / str(len(list(shared.iterdir())))
    repository = Repository(root, shared)
    repository.write(present(before))
    if not patch:
        assert before == after
        return
    repository.git("apply", "--whitespace=nowarn", data=patch)
    for path in after:
        assert repository.read(path) == after[path], patch


SLIDES = {
    "new function after another": (
        b"func a() {\n\tx()\n}\n\nfunc c() {\n\ty()\n}\n",
        b"func a() {\n\tx()\n}\n\nfunc b() {\n\tz()\n}\n\nfunc c() {\n\ty()\n}\n",
        [b"+func b() {", b"+\tz()", b"+}", b"+"],
    ),
    "new block in a function": (
        b"f {\n\tif a {\n\t\treturn\n\t}\n\tg()\n}\n",
        b"f {\n\tif a {\n\t\treturn\n\t}\n\tif b {\n\t\treturn\n\t}\n\tg()\n}\n",
        [b"+\tif b {", b"+\t\treturn", b"+\t}"],
    ),
    "function gone": (
        b"func a() {\n}\n\nfunc b() {\n\tz()\n}\n\nfunc c() {\n}\n",
        b"func a() {\n}\n\nfunc c() {\n}\n",
        [b"-func b() {", b"-\tz()", b"-}", b"-"],
    ),
    "line like its neighbours": (b"a\na\nb\n", b"a\na\na\nb\n", [b"+a"]),
}


@pytest.mark.parametrize("name", SLIDES)
def test_whole_blocks_are_shown(name: str, repository: Repository) -> None:
    before, after, shown = SLIDES[name]
    patch = render({"f": before}, {"f": after})
    body = patch.split(b"\n@@ ", 1)[1].splitlines()[1:]
    assert [line for line in body if line[:1] in b"+-"] == shown
    through_git(repository, {"f": before}, patch, {"f": after})


@given(TEXTS, TEXTS)
@settings(deadline=None, max_examples=300)
def test_sliding_says_the_same(old: bytes, new: bytes) -> None:
    a, b = split_lines(old), split_lines(new)
    end_a = end_b = -1
    rebuilt: list[bytes] = []
    for change in slide(a, b, changes(a, b)):
        assert change.a_start > end_a or change.b_start > end_b
        assert change.a_start - max(end_a, 0) == change.b_start - max(end_b, 0)
        rebuilt += a[max(end_a, 0) : change.a_start] + b[change.b_start : change.b_end]
        end_a, end_b = change.a_end, change.b_end
    assert rebuilt + a[max(end_a, 0) :] == b
