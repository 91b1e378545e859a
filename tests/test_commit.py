"""commit(): a branch appears, and nothing else moves or runs."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from gitrepo import Repository
from test_mailbox import BEFORE, FIRST, LEAK, LOCK, PATCH, SECOND

from threadmend.commit import commit
from threadmend.git import GitError, git, list_files, resolve, toplevel
from threadmend.model import Patch

HOOKS = [
    "pre-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "post-index-change",
    "reference-transaction",
    "post-checkout",
    "pre-applypatch",
]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    repository = Repository(tmp_path / "work", tmp_path)
    for name, value in repository.environment.items():
        monkeypatch.setenv(name, value)
    repository.write(BEFORE)
    repository.commit()
    return repository


@pytest.fixture
def tripwire(repository: Repository, tmp_path: Path) -> Callable[[], list[str]]:
    """Make everything that a repository can run leave a trace; return what ran."""
    repository.write({"x.md": b"x\n"})
    repository.commit()
    traces = tmp_path / "traces"
    traces.mkdir()

    def script(name: str) -> str:
        path = tmp_path / f"run-{name}"
        path.write_text(f"#!/bin/sh\necho ran >> {traces}/{name}\ncat\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    for name in HOOKS:
        (repository.root / ".git/hooks" / name).symlink_to(script(name))
    settings = {
        "core.fsmonitor": script("fsmonitor"),
        "core.pager": script("pager"),
        "core.sshCommand": script("ssh"),
        "diff.external": script("external"),
        "diff.evil.command": script("driver"),
        "diff.evil.textconv": script("textconv"),
        "filter.e=v.i l.clean": script("clean"),
        "filter.e=v.i l.smudge": script("smudge"),
        "filter.plain.process": script("process"),
        "filter.plain.required": "true",
        "gpg.program": script("gpg"),
        "commit.gpgSign": "true",
        "log.showSignature": "true",
        "credential.helper": script("credential"),
        "core.askPass": script("askpass"),
    }
    for key, value in settings.items():
        repository.git("config", key, value)
    attributes = repository.root / ".git/info/attributes"
    attributes.parent.mkdir(exist_ok=True)
    attributes.write_text("*.go diff=evil\n*.md filter=plain\n")
    return lambda: sorted(path.name for path in traces.iterdir())


def snapshot(root: Path) -> dict[str, object]:
    """Return everything of work tree, index, HEAD and settings, times included."""
    state: dict[str, object] = {}
    for folder, folders, files in os.walk(root):
        if Path(folder).name == ".git":
            folders[:] = ["hooks", "info"]
            files[:] = [name for name in files if name in ("HEAD", "config", "index")]
        for name in files:
            path = Path(folder, name)
            status = path.lstat()
            state[os.fspath(path)] = (path.read_bytes(), status.st_mtime_ns, status.st_ino)
    return state


def test_one_commit_per_rule(repository: Repository) -> None:
    base = resolve(repository.root, "HEAD")
    made = commit(repository.root, "fixes", PATCH, (LOCK, LEAK))
    listed = repository.git("rev-list", "--reverse", "main..fixes").decode().split()
    assert tuple(listed) == made
    assert repository.git("rev-parse", "fixes~2").decode().strip() == base
    for path, data in SECOND.items():
        if data is not None:
            assert repository.git("cat-file", "blob", f"fixes:{path}") == data
    assert b"gone.go" not in repository.git("ls-tree", "-r", "--name-only", "fixes")
    changed = repository.git("diff-tree", "-r", "--name-only", "--no-commit-id", "fixes~1").decode()
    assert changed.split() == ["a.go"]
    assert repository.git("cat-file", "blob", "fixes~1:a.go") == FIRST["a.go"]
    assert repository.git("log", "-1", "--format=%B%an %ce", "fixes~1").decode() == (
        "go/lock-not-released: Release the lock on every path\n\n"
        "Whoever waits, waits.\nA c@example.com\n"
    )
    repository.git("fsck", "--strict")


def test_nothing_of_the_user_moves_and_nothing_runs(
    repository: Repository, tripwire: Callable[[], list[str]]
) -> None:
    # Staged and untracked changes of other files are the user's.
    repository.write({"staged.bin": b"s\n", "untracked.bin": b"u\n"})
    git(repository.root, "add", "staged.bin")
    before = snapshot(repository.root)
    commit(repository.root, "fixes", PATCH, (LOCK, LEAK))
    assert snapshot(repository.root) == before
    assert tripwire() == []
    assert repository.git("symbolic-ref", "HEAD") == b"refs/heads/main\n"
    tree = repository.git("ls-tree", "-r", "--name-only", "fixes")
    assert b"staged.bin" not in tree


def test_the_tripwires_do_trip(repository: Repository, tripwire: Callable[[], list[str]]) -> None:
    repository.write({"a.go": b"changed\n", "x.md": b"changed\n"})
    for args in (
        ["status"],
        ["add", "x.md"],
        ["show", "--ext-diff", "HEAD~1"],
        ["update-ref", "refs/heads/x", "HEAD"],
    ):
        subprocess.run(
            ["git", *args],
            cwd=repository.root,
            env=repository.environment,
            capture_output=True,
            check=False,
        )
    assert {"fsmonitor", "reference-transaction", "process", "driver"} <= set(tripwire())


@pytest.mark.parametrize(
    "args",
    [
        ("status", "--porcelain"),
        ("diff", "HEAD"),
        ("diff", "--cached"),
        ("diff-index", "-p", "HEAD"),
        ("log", "-p", "-1"),
        ("show", "HEAD"),
        ("ls-files", "-z", "--cached", "--others", "--modified", "--exclude-standard"),
        ("hash-object", "a.go", "x.md"),
        ("add", "a.go", "x.md", "more.md"),
        ("checkout-index", "-f", "-a"),
        ("update-index", "-q", "--refresh", "--again"),
        ("update-ref", "refs/heads/y", "HEAD"),
        ("commit", "-q", "--no-gpg-sign", "--allow-empty", "-m", "x"),
    ],
)
def test_git_runs_nothing_of_the_repository(
    args: tuple[str, ...], repository: Repository, tripwire: Callable[[], list[str]]
) -> None:
    repository.write({"a.go": b"changed\n", "x.md": b"changed\n", "more.md": b"x\n"})
    git(repository.root, *args)
    assert tripwire() == []


def test_listing_runs_nothing_and_looks_at_its_own_repository(
    repository: Repository,
    tripwire: Callable[[], list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repository.write({"a.go": b"changed\n", "more.go": b"x\n", "no.md": b"x\n"})
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert list_files(repository.root, "*.go") == ["a.go", "b/ü.go", "gone.go", "more.go"]
    assert tripwire() == []
    with pytest.raises(GitError, match="not a git repository"):
        list_files(tmp_path)


def test_git_reaches_no_network(repository: Repository, tripwire: Callable[[], list[str]]) -> None:
    for address in ("ssh://example.invalid/x", "https://example.invalid/x", str(repository.root)):
        with pytest.raises(GitError, match="not allowed"):
            git(repository.root, "ls-remote", address)
    assert tripwire() == []


def test_modes_are_kept(repository: Repository) -> None:
    (repository.root / "a.go").chmod(0o755)
    repository.commit()
    commit(repository.root, "fixes", PATCH, ())
    listed = repository.git("ls-tree", "fixes", "a.go", "new.go").decode()
    assert [line.split()[0] for line in listed.splitlines()] == ["100755", "100644"]


def test_project_in_a_folder_of_the_repository(repository: Repository) -> None:
    repository.write({"sub/dir/x.go": b"1\n", "x.go": b"top\n"})
    repository.commit()
    patch = Patch(before={"dir/x.go": b"1\n"}, after={"dir/x.go": b"2\n"})
    commit(repository.root / "sub", "fixes", patch, ())
    assert repository.git("cat-file", "blob", "fixes:sub/dir/x.go") == b"2\n"
    assert repository.git("cat-file", "blob", "fixes:x.go") == b"top\n"


def test_linked_worktree_and_detached_head(repository: Repository, tmp_path: Path) -> None:
    repository.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    commit(tmp_path / "linked", "fixes", PATCH, ())
    assert repository.git("cat-file", "blob", "fixes:a.go") == SECOND["a.go"]


def test_inside_a_hook_of_another_repository(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Repository(tmp_path / "other", tmp_path)
    monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.root))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.root / ".git/index"))
    commit(repository.root, "fixes", PATCH, ())
    assert repository.git("cat-file", "blob", "fixes:a.go") == SECOND["a.go"]
    assert toplevel(repository.root) == repository.root
    assert not (other.root / ".git/index").exists()


def test_line_endings_of_the_repository_are_kept(repository: Repository) -> None:
    repository.git("config", "core.autocrlf", "true")
    repository.write({"lf.go": b"a\nb\n"})
    repository.commit()
    repository.write({"lf.go": b"a\r\nb\r\n"})
    patch = Patch(before={"lf.go": b"a\r\nb\r\n"}, after={"lf.go": b"a\r\nx\r\nb\r\n"})
    commit(repository.root, "fixes", patch, ())
    assert repository.git("cat-file", "blob", "fixes:lf.go") == b"a\nx\nb\n"


def refused(repository: Repository, branch: str, patch: Patch) -> str:
    before, refs = snapshot(repository.root), repository.git("for-each-ref")
    with pytest.raises(GitError) as caught:
        commit(repository.root, branch, patch, (LOCK, LEAK))
    assert snapshot(repository.root) == before
    assert repository.git("for-each-ref") == refs
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_existing_branch_is_refused(repository: Repository) -> None:
    repository.git("branch", "fixes/a")
    assert "branch 'main' exists already" in refused(repository, "main", PATCH)
    assert "branch 'fixes/a' exists already" in refused(repository, "fixes", PATCH)
    assert "fixes/a" in refused(repository, "fixes/a/b", PATCH)


@pytest.mark.parametrize(
    "name",
    ["", "-x", "--help", "a b", "a..b", "a.lock", "@{-1}", "HEAD", "a\nb", "a\0b", "x:y", "/"],
)
def test_bad_branch_is_refused(name: str, repository: Repository) -> None:
    assert "not a valid name of a branch" in refused(repository, name, PATCH)


def test_uncommitted_changes_are_refused(repository: Repository) -> None:
    dirty = {**BEFORE, "a.go": b"mine\r\n" + BEFORE["a.go"]}
    patch = Patch(before=dirty, after={**dirty, "a.go": b"mine\r\nfixed\r\n"})
    assert refused(repository, "fixes", patch).startswith("a.go: differs from HEAD")
    patch = Patch(before={"untracked.go": b"1"}, after={"untracked.go": b"2"})
    assert refused(repository, "fixes", patch).startswith("untracked.go: is not in HEAD")
    patch = Patch(before={"a.go": None}, after={"a.go": b"2"})
    assert refused(repository, "fixes", patch).startswith("a.go: is in HEAD but not on disk")


def test_link_is_refused(repository: Repository) -> None:
    (repository.root / "link.go").symlink_to("a.go")
    repository.commit()
    patch = Patch(before={"link.go": BEFORE["a.go"]}, after={"link.go": b"x"})
    assert "not a plain file" in refused(repository, "fixes", patch)


def test_empty_patch_is_refused(repository: Repository) -> None:
    assert refused(repository, "fixes", Patch()) == "there is nothing to commit"


def test_repository_without_commit_or_none_at_all(repository: Repository, tmp_path: Path) -> None:
    empty = Repository(tmp_path / "empty", tmp_path)
    with pytest.raises(GitError, match="no commit yet"):
        commit(empty.root, "fixes", PATCH, ())
    (tmp_path / "plain").mkdir()
    with pytest.raises(GitError, match="not in a git repository"):
        commit(tmp_path / "plain", "fixes", PATCH, ())
    with pytest.raises(GitError, match="not a folder"):
        commit(tmp_path / "missing", "fixes", PATCH, ())


def test_unknown_committer_is_told_what_to_do(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.git("config", "user.useConfigOnly", "true")
    for who in ("AUTHOR", "COMMITTER"):
        for what in ("NAME", "EMAIL"):
            monkeypatch.delenv(f"GIT_{who}_{what}")
    assert "user.name and user.email" in refused(repository, "fixes", PATCH)


def test_revisions_are_not_options(repository: Repository) -> None:
    assert resolve(repository.root, "main") == resolve(repository.root, "HEAD")
    for name in ("--all", "-x", "", "nope", "main:a.go", "a\nb", "HEAD^{tree}", "main..main"):
        with pytest.raises(GitError, match="names no commit"):
            resolve(repository.root, name)


def test_signatures_are_not_checked(
    repository: Repository, tripwire: Callable[[], list[str]]
) -> None:
    raw = repository.git("cat-file", "commit", "HEAD")
    head, _, message = raw.partition(b"\n\n")
    signature = b"\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\n"
    signed = git(
        repository.root,
        "hash-object",
        "-t",
        "commit",
        "-w",
        "--stdin",
        input=head + signature + message,
    )
    git(repository.root, "log", "-1", signed.decode().strip())
    assert tripwire() == []


def test_transport_of_the_repository_is_not_run_even_when_one_is_allowed(
    repository: Repository, tripwire: Callable[[], list[str]]
) -> None:
    with pytest.raises(GitError):
        git(
            repository.root,
            "ls-remote",
            "ssh://example.invalid/x",
            env={"GIT_ALLOW_PROTOCOL": "ssh"},
        )
    assert tripwire() == []


def test_settings_that_change_what_is_written(repository: Repository) -> None:
    for key, value in {
        "core.splitIndex": "true",
        "core.autocrlf": "input",
        "core.safecrlf": "false",
        "i18n.commitEncoding": "ISO-8859-1",
    }.items():
        repository.git("config", key, value)
    before = snapshot(repository.root)
    commit(repository.root, "fixes", PATCH, (LOCK, LEAK))
    assert snapshot(repository.root) == before
    assert not list((repository.root / ".git").glob("sharedindex.*"))
    assert repository.git("cat-file", "blob", "fixes:a.go") == SECOND["a.go"]
    raw = repository.git("cat-file", "commit", "fixes")
    assert "é".encode() in raw
    assert b"\nencoding " not in raw
