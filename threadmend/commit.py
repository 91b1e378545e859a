"""commit(): a Patch as commits on a new branch, without touching work tree, index or HEAD.

Objects are written beside the others, trees are built in an index of our own in a temporary
folder, and the branch comes into being in one last step; whatever fails before leaves nothing
that shows. No hook runs.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from threadmend.git import GitError, git, resolve, toplevel
from threadmend.model import Patch, Rule
from threadmend.quoting import encode_path
from threadmend.steps import Step, steps

__all__ = ["commit"]

_PLAIN = (b"100644", b"100755")


@dataclass(frozen=True, slots=True)
class _Blob:
    """A file as HEAD has it."""

    mode: bytes
    name: str
    data: bytes


def commit(root: Path, branch: str, patch: Patch, rules: Iterable[Rule]) -> tuple[str, ...]:
    """Make `branch` from HEAD with one commit per rule and return the commits' names.

    A file must be in HEAD as it is on disk, but for line endings that git converts: then HEAD's
    are kept. Modes are kept. Raises GitError, in one line, when the branch exists, the patch is
    empty, a file has uncommitted changes, or git refuses.
    """
    if toplevel(root) is None:
        raise GitError(f"{root}: not in a git repository")
    reference = _free_reference(root, branch)
    base = _head(root)
    series = list(steps(patch, rules))
    if not series:
        raise GitError("there is nothing to commit")
    _check_identity(root)
    prefix = git(root, "rev-parse", "--show-prefix").removesuffix(b"\n")
    blobs = _blobs(root, base, [prefix + encode_path(path) for path in patch.before])
    crlf = _converted(patch.before, blobs, prefix)
    with tempfile.TemporaryDirectory(prefix="threadmend-") as folder:
        return _commits(root, Path(folder), reference, series, _Tree(base, prefix, blobs, crlf))


@dataclass(frozen=True, slots=True)
class _Tree:
    """What is known of HEAD: where the project lies in it, its files, and which had their
    line endings converted on the way to disk."""

    base: str
    prefix: bytes
    blobs: Mapping[bytes, _Blob]
    crlf: frozenset[str]

    def content(self, path: str, data: bytes) -> bytes:
        """Return a file's bytes as the repository holds them."""
        return data.replace(b"\r\n", b"\n") if path in self.crlf else data

    def entry(self, path: str, blob: str | None) -> bytes:
        """Return a line for `update-index --index-info`; without a blob the file goes."""
        full = self.prefix + encode_path(path)
        known = self.blobs.get(full)
        if blob is None:
            return b"0 %s\t%s\0" % (b"0" * len(self.base), full)
        mode = known.mode if known else b"100644"
        return b"%s %s\t%s\0" % (mode, blob.encode("ascii"), full)


def _free_reference(root: Path, branch: str) -> str:
    """Return the full name of a branch that does not exist yet."""
    reference = f"refs/heads/{branch}"
    if branch.startswith("-") or branch in ("", "HEAD") or "\0" in branch:
        raise GitError(f"{branch!r} is not a valid name of a branch")
    try:
        git(root, "check-ref-format", reference)
    except GitError:
        raise GitError(f"{branch!r} is not a valid name of a branch") from None
    taken = git(root, "for-each-ref", "--format=%(refname)", reference).decode("utf-8", "replace")
    for name in taken.splitlines():
        existing = name.removeprefix("refs/heads/")
        raise GitError(f"branch {existing!r} exists already; choose another name than {branch!r}")
    return reference


def _check_identity(root: Path) -> None:
    try:
        git(root, "var", "GIT_AUTHOR_IDENT")
        git(root, "var", "GIT_COMMITTER_IDENT")
    except GitError as error:
        raise GitError(f"set user.name and user.email for git first: {error}") from None


def _head(root: Path) -> str:
    try:
        return resolve(root, "HEAD")
    except GitError as error:
        if "names no commit" in str(error):
            raise GitError("the repository has no commit yet") from None
        raise


def _blobs(root: Path, base: str, paths: Sequence[bytes]) -> dict[bytes, _Blob]:
    """Return HEAD's files at these paths from the top; one that it lacks is left out."""
    wanted = set(paths)
    found = []
    for line in git(root, "ls-tree", "-r", "-z", "--full-tree", base).split(b"\0"):
        meta, _, path = line.partition(b"\t")
        if path in wanted:
            mode, _, name = meta.split()
            found.append((path, mode, name))
    if not found:
        return {}
    asked = b"".join(name + b"\n" for _, mode, name in found if mode in _PLAIN)
    answer = git(root, "cat-file", "--batch", input=asked)
    blobs = {}
    at = 0
    for path, mode, name in found:
        if mode not in _PLAIN:
            blobs[path] = _Blob(mode, "", b"")
            continue
        end = answer.index(b"\n", at)
        words = answer[at:end].split()
        if len(words) != 3 or words[1] != b"blob":
            raise GitError(f"{os.fsdecode(path)}: {os.fsdecode(answer[at:end])}")
        at = end + 1 + int(words[2])
        blobs[path] = _Blob(mode, name.decode("ascii"), answer[end + 1 : at])
        at += 1
    return blobs


def _converted(
    before: Mapping[str, bytes | None], blobs: Mapping[bytes, _Blob], prefix: bytes
) -> frozenset[str]:
    """Return the files whose line endings git converts; refuse those that are not as in HEAD.

    A fix was proved on the bytes on disk. On other bytes it would be a guess.
    """
    crlf = set()
    for path, data in sorted(before.items()):
        blob = blobs.get(prefix + encode_path(path))
        if blob is not None and blob.mode not in _PLAIN:
            raise GitError(f"{path}: is not a plain file in HEAD")
        if data == (blob.data if blob else None):
            continue
        if blob is None:
            raise GitError(f"{path}: is not in HEAD; commit it first")
        if data is None:
            raise GitError(f"{path}: is in HEAD but not on disk; commit or restore it first")
        if data.replace(b"\r\n", b"\n") != blob.data:
            raise GitError(f"{path}: differs from HEAD; commit or stash your changes first")
        crlf.add(path)
    return frozenset(crlf)


def _commits(
    root: Path, folder: Path, reference: str, series: Sequence[Step], tree: _Tree
) -> tuple[str, ...]:
    index = {"GIT_INDEX_FILE": str(folder / "index")}
    git(root, "read-tree", tree.base, env=index)
    names = iter(_written(root, folder, series, tree))
    made: list[str] = []
    for step in series:
        entries = b"".join(
            tree.entry(path, None if data is None else next(names))
            for path, data in step.after.items()
        )
        git(root, "update-index", "-z", "--index-info", input=entries, env=index)
        top = _text(git(root, "write-tree", env=index))
        parent = made[-1] if made else tree.base
        message = step.message.encode("utf-8", "replace")
        made.append(_text(git(root, "commit-tree", top, "-p", parent, input=message)))
    # `create` fails when somebody made the branch meanwhile.
    git(root, "update-ref", "--stdin", input=f"create {reference} {made[-1]}\n".encode())
    return tuple(made)


def _written(root: Path, folder: Path, series: Sequence[Step], tree: _Tree) -> list[str]:
    """Write every new content into the object store, with one call of git for all."""
    files: list[Path] = []
    for step in series:
        for path, data in step.after.items():
            if data is not None:
                file = folder / str(len(files))
                file.write_bytes(tree.content(path, data))
                files.append(file)
    listed = b"".join(os.fsencode(file) + b"\n" for file in files)
    written = git(root, "hash-object", "-w", "--no-filters", "--stdin-paths", input=listed)
    return written.decode("ascii").split()


def _text(output: bytes) -> str:
    return output.decode("ascii").strip()
