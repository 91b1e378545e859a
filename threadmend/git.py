"""git(): run git in a repository that nobody vouches for, and nothing of the repository's.

A repository's own configuration can name programs that git runs on the way: a file-system
monitor, hooks, external diffs, text converters, clean filters, signature checkers, transports.
Every call of git that threadmend makes goes through `git()`, which switches all of them off.
Nothing here talks to a network.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["GitError", "git", "list_files", "resolve", "toplevel"]

_CONFIG = {
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.pager": "cat",
    "core.quotePath": "true",
    "core.splitIndex": "false",
    "core.sshCommand": "false",
    "diff.external": "",
    "i18n.commitEncoding": "UTF-8",
    "log.showSignature": "false",
    "safe.bareRepository": "explicit",
    "submodule.recurse": "false",
}

_ENVIRONMENT = {
    # No transport at all: a partial clone would otherwise fetch through programs that the
    # repository's configuration names. Who needs one passes it in `env`.
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    # Messages are read here, so they must be git's own and not a translation.
    "LANGUAGE": "C",
    "LC_ALL": "C",
}

# Inside a hook these point at the hook's repository, whatever folder git is run in.
_INHERITED = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_EXTERNAL_DIFF",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
)

_DIFFS = frozenset({"diff", "diff-files", "diff-index", "diff-tree", "log", "show"})

# Commands that never look at a file of the work tree, and so never run a clean filter.
_BLIND = frozenset(
    {"cat-file", "commit-tree", "config", "ls-tree", "read-tree", "rev-parse", "update-ref"}
    | {"check-ref-format", "for-each-ref", "var", "write-tree"}
)


class GitError(Exception):
    """git said no; the message is one line that a user can act on."""


def git(
    root: Path,
    *args: str,
    input: bytes | None = None,  # noqa: A002 - the name subprocess.run gave it
    env: Mapping[str, str] | None = None,
) -> bytes:
    """Run `git ARGS` in `root` and return what it prints, byte for byte.

    User input must not be an option: put `--end-of-options` or `--` before it.
    Raises GitError with git's own words when it fails or is not installed.
    """
    settings = dict(_CONFIG)
    if args[0] not in _BLIND:
        settings.update(_blank_filters(root, env))
    command = [args[0], *args[1:]]
    if args[0] in _DIFFS:
        command[1:1] = ["--no-ext-diff", "--no-textconv", "--ignore-submodules=all"]
    return _run(root, command, settings, input, env)


def list_files(root: Path, *patterns: str) -> list[str]:
    """Return the tracked files and the untracked ones that are not ignored, below `root`.

    Every run needs this, and importing GitPython takes ten times as long (50 ms) as the
    listing: git is started directly, with the same things switched off. `ls-files` opens no
    file of the work tree, so that there are no filters to blank. Raises GitError.
    """
    import subprocess

    command = ["git", "--no-pager", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    environment = {name: value for name, value in os.environ.items() if name not in _INHERITED}
    try:
        done = subprocess.run(
            [*command, "--", *patterns],
            cwd=root,
            env={**environment, **_ENVIRONMENT, **_settings(_CONFIG)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError:
        raise GitError("git is not installed, or not on PATH") from None
    if done.returncode:
        raise GitError(_complaint(done.stderr) or f"git ls-files failed: {done.returncode}")
    return sorted({os.fsdecode(name) for name in done.stdout.split(b"\0") if name})


def toplevel(root: Path) -> Path | None:
    """Return the top of the work tree that holds `root`, None outside of any."""
    try:
        shown = git(root, "rev-parse", "--show-toplevel")
    except GitError as error:
        if "not a git repository" in str(error) or "work tree" in str(error):
            return None
        raise
    return Path(os.fsdecode(shown.removesuffix(b"\n")))


def resolve(root: Path, revision: str) -> str:
    """Return the full name of the commit that `revision` means; raises GitError."""
    if not revision or "\0" in revision or "\n" in revision:
        raise GitError(f"{revision!r} names no commit")
    try:
        name = git(root, "rev-parse", "--verify", "--end-of-options", revision + "^{commit}")
    except GitError as error:
        if toplevel(root) is None:
            raise
        raise GitError(f"{revision!r} names no commit") from error
    return name.decode("ascii").strip()


def _run(
    root: Path,
    args: Sequence[str],
    settings: Mapping[str, str],
    data: bytes | None,
    env: Mapping[str, str] | None,
) -> bytes:
    if not os.access(root, os.X_OK) or not root.is_dir():  # GitPython would run in our own folder
        raise GitError(f"{root}: not a folder that can be entered")
    try:
        # Costs 0.1 s, and most runs of threadmend need no git.
        from git.cmd import Git
        from git.exc import GitCommandNotFound
    except ImportError:
        raise GitError("git is not installed, or not on PATH") from None
    import tempfile

    command = [*_without_inherited(env or {}), "git", "--no-pager", *args]
    with tempfile.TemporaryFile() as stream:
        stream.write(data or b"")
        stream.seek(0)
        try:
            status, output, errors = Git(str(root)).execute(
                command,
                istream=stream,
                with_extended_output=True,
                with_exceptions=False,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
                env={**_ENVIRONMENT, **_settings(settings), **(env or {})},
            )
        except (GitCommandNotFound, ValueError) as error:
            raise GitError(f"git cannot be run: {error}".partition("\n")[0]) from None
    if status:
        raise GitError(_complaint(errors) or f"git {args[0]} failed with status {status}")
    return output


def _without_inherited(given: Mapping[str, str]) -> list[str]:
    # GitPython can add to the environment but not take away; this is rare enough for env(1).
    present = [name for name in _INHERITED if name in os.environ and name not in given]
    if not present or os.name != "posix":
        return []
    return ["env", *(word for name in present for word in ("-u", name))]


def _settings(settings: Mapping[str, str]) -> dict[str, str]:
    # As variables, not as `-c`: a filter's name may hold "=".
    inherited = os.environ.get("GIT_CONFIG_COUNT", "")
    first = int(inherited) if inherited.isdecimal() else 0
    variables = {"GIT_CONFIG_COUNT": str(first + len(settings))}
    for number, (key, value) in enumerate(settings.items(), first):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return variables


def _blank_filters(root: Path, env: Mapping[str, str] | None) -> dict[str, str]:
    # `config` exits 1 when nothing matches; listing everything does not.
    listed = _run(root, ["config", "--list", "--name-only", "-z"], _CONFIG, None, env)
    drivers = {
        os.fsdecode(name[len(b"filter.") :].rpartition(b".")[0])
        for name in listed.split(b"\0")
        if name.startswith(b"filter.") and name.count(b".") > 1
    }
    blanks = {"clean": "", "smudge": "", "process": "", "required": "false"}
    return {
        f"filter.{driver}.{key}": value
        for driver in sorted(drivers)
        for key, value in blanks.items()
    }


def _complaint(errors: str | bytes) -> str:
    text = errors.decode("utf-8", "replace") if isinstance(errors, bytes) else errors
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        if line.startswith(("fatal: ", "error: ")):
            return line.partition(": ")[2]
    return lines[0] if lines else ""
