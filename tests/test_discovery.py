"""Which files a folder has, with git and without; which lines changed; which folder is meant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gitrepo import Repository

from threadmend.discovery import changed_lines, discover, find_root
from threadmend.git import GitError
from threadmend.project import Project


def put(root: Path, *paths: str, content: str = "package p\n") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "work", tmp_path / "home")


def test_a_plain_folder_is_walked(tmp_path: Path) -> None:
    put(tmp_path, "b.go", "a/x.go", "a/y.py", "go.mod", "go.work", "a/go.mod", "n.ipynb")
    put(tmp_path, ".hidden/x.go", "node_modules/x.go", "__pycache__/x.py", "a/readme.md", "go.sum")
    expected = ["a/go.mod", "a/x.go", "a/y.py", "b.go", "go.mod", "go.work", "n.ipynb"]
    assert discover(tmp_path) == expected
    assert discover(tmp_path, exclude=["a/**", "*.ipynb"]) == ["b.go", "go.mod", "go.work"]


def test_git_lists_tracked_and_untracked_but_not_ignored_files(repository: Repository) -> None:
    root = repository.root
    put(root, "a.go", "new.go", "skip/x.go", "forced/x.go", "gone.go", "go.mod", "m/go.mod")
    put(root, ".gitignore", content="skip/\nforced/\n")
    repository.git("add", "a.go", "gone.go")
    repository.git("add", "-f", "forced/x.go")
    (root / "gone.go").unlink()
    assert discover(root) == ["a.go", "forced/x.go", "go.mod", "m/go.mod", "new.go"]
    put(root, "m/x.go")
    assert discover(root / "m") == ["go.mod", "x.go"]


def test_unusual_names_are_listed_as_they_are(repository: Repository) -> None:
    names = ["a b.go", "ü.go", 'q"q.go', "tab\t.go", "-x.go"]
    put(repository.root, *names)
    with open(os.fsencode(repository.root) + b"/\xff.go", "wb") as file:
        file.write(b"package p\n")
    assert discover(repository.root) == sorted([*names, os.fsdecode(b"\xff.go")])


def test_a_repository_cannot_run_programs_through_the_listing(repository: Repository) -> None:
    put(repository.root, "a.go")
    proof = repository.root / "proof"
    monitor = repository.root / "monitor.sh"
    monitor.write_text(f"#!/bin/sh\ntouch '{proof}'\n")
    monitor.chmod(0o755)
    repository.git("config", "core.fsmonitor", str(monitor))
    assert discover(repository.root) == ["a.go"]
    assert not proof.exists()


def test_changed_lines_count_from_one(repository: Repository) -> None:
    root = repository.root
    put(root, "a.go", content="1\n2\n3\n4\n5\n6\n")
    put(root, "cut.go", content="1\n2\n3\n")
    put(root, "same.go", "sub/odd name\t.go")
    repository.git("add", ".")
    repository.git("commit", "-q", "-m", "x")
    put(root, "a.go", content="1\nzwei\n3\n4\n++ b/5\n6\n7\n")
    put(root, "cut.go", content="1\n3\n")
    put(root, "sub/odd name\t.go", content="package q\n")
    put(root, "new.go")
    changed = changed_lines(root, "HEAD")
    assert changed == {
        "a.go": [range(2, 3), range(5, 6), range(7, 8)],
        "cut.go": [range(1, 3)],
        "sub/odd name\t.go": [range(1, 2)],
        "new.go": [range(1, 1 << 31)],
    }
    assert list(changed_lines(root / "sub", "HEAD")) == ["odd name\t.go"]


def test_a_revision_that_is_none_is_an_error(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(GitError):
        changed_lines(repository.root, "--output=x")
    with pytest.raises(GitError):
        changed_lines(tmp_path / "home", "HEAD")
    assert not (repository.root / "x").exists()


def test_the_project_of_a_file_is_the_nearest_repository_or_settings(tmp_path: Path) -> None:
    put(tmp_path, "plain/deep/x.go", "m/go.mod", "m/sub/go.mod", "m/sub/x.go")
    put(tmp_path, "r/.git/HEAD", "r/sub/go.mod", "r/sub/x.go", "s/threadmend.toml", "s/a/go.mod")
    assert find_root(tmp_path / "plain/deep/x.go") == tmp_path / "plain/deep"
    assert find_root(tmp_path / "m/sub/x.go") == tmp_path / "m"
    assert find_root(tmp_path / "r/sub") == tmp_path / "r"
    assert find_root(tmp_path / "s/a") == tmp_path / "s"


def test_test_data_belongs_to_a_project_only_when_named(tmp_path: Path) -> None:
    put(tmp_path, "a.go", "testdata/x.go", "p/testdata/src/a/x.go", "_old/x.go", "p/_x/y.py")
    put(tmp_path, "_draft.go", ".#lock.go")
    assert Project.open(tmp_path).paths == ("a.go", "p/_x/y.py")
    assert Project.open(tmp_path, named=["p"]).paths == ("a.go", "p/_x/y.py")
    for name in ("p/testdata", "p/testdata/src/a/x.go"):
        named = Project.open(tmp_path, named=[name])
        assert named.paths == ("a.go", "p/_x/y.py", "p/testdata/src/a/x.go")
