"""Cache: the findings of a project, by the content of its files and the tool's own.

Any file may matter to the findings of any other (the lock's other half, the only type with a
method), so that a result stands for all bytes of a project at once. To know them without
reading them, an index keeps each file's digest with what `lstat` says of it, as git does.

It lies in the user's cache folder, not in the project: a repository cannot bring its own.
Nothing in it is executed or trusted: what does not read back as it was written is made anew.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from threadmend import __version__
from threadmend.analysis import Options, Progress, Survey, analysed, recipes
from threadmend.gather import Answers
from threadmend.model import (
    Confidence,
    Edit,
    Finding,
    Fix,
    Related,
    Safety,
    Unreadable,
)
from threadmend.project import Project
from threadmend.source import UnreadableError

__all__ = ["Cache", "folder_of", "remembered"]

T = TypeVar("T")

_KEPT = 12
"""How many results of a project are kept: branches, selections, targets."""

_RACY = 2_000_000_000
"""Nanoseconds: a file that was that young when it was read may change again without its
time stamp showing it (file systems count in up to 2 s), so that its digest is not kept."""

_MARK = "Signature: 8a477f597d28d172789f06886806bc55\n# See https://bford.info/cachedir/\n"


def remembered(
    project: Project, options: Options, progress: Progress | None = None
) -> tuple[Answers, Survey]:
    """Return what analyse() and survey() say, from the cache when nothing changed."""
    folder = folder_of(project.root) if options.cache else None
    if folder is None:
        return analysed(project, options, progress)
    cache = Cache(folder)
    paths = (*project.paths, *recipes(project, options.rules))
    key = _key(project, options, cache.digests(project, paths))
    found = cache.load(key, _decode)
    if found is not None:
        return found
    answers, about = analysed(project, options, progress)
    if not answers.failures:  # they are bugs: the next run should see them again
        cache.store(key, _encode(answers, about))
    return answers, about


def folder_of(root: Path) -> Path | None:
    """Return the cache folder of a project, None where the system has no place for one.

    `THREADMEND_CACHE_DIR` names another place than the user's cache folder.
    """
    chosen = os.environ.get("THREADMEND_CACHE_DIR") or _user_folder()
    if chosen is None:
        return None
    name = hashlib.blake2b(os.fsencode(os.path.realpath(root)), digest_size=10).hexdigest()
    return Path(chosen) / name


def _user_folder() -> str | None:
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "threadmend") if os.path.isabs(base) else None


class Cache:
    """The cache folder of one project. Several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # -- digests of files -----------------------------------------------------------------

    def digests(self, project: Project, paths: Iterable[str]) -> dict[str, str]:
        """Return the digest of each path, reading those that changed since the last time."""
        known = self._read("index.json", _index)
        root = os.fspath(project.root)
        kept: dict[str, list[Any]] = {}
        digests: dict[str, str] = {}
        for path in paths:
            stamp = None if path in project.overlay else _stamp(os.path.join(root, path))
            entry = known.get(path) if known is not None and stamp is not None else None
            if entry is not None and entry[:-1] == stamp:
                digests[path] = entry[-1]
                kept[path] = entry
                continue
            digests[path] = _digest(project, path)
            if stamp is not None and time.time_ns() - max(stamp[0], stamp[1]) > _RACY:
                kept[path] = [*stamp, digests[path]]
        if kept != known:
            self._write("index.json", kept)
        return digests

    # -- results --------------------------------------------------------------------------

    def load(self, key: str, decode: Callable[[Any], T]) -> T | None:
        """Return a stored value, None when there is none or it is damaged."""
        name = f"{key}.json"
        value = self._read(name, decode)
        if value is not None:
            with suppress(OSError):
                os.utime(self.folder / name)
        return value

    def store(self, key: str, value: object) -> None:
        """Keep a value, and throw away the oldest ones; never fails."""
        self._write(f"{key}.json", value)
        with suppress(OSError):
            results = [
                (entry.stat().st_mtime, entry.path)
                for entry in os.scandir(self.folder)
                if entry.name.endswith(".json") and entry.name != "index.json"
            ]
            for _, path in sorted(results)[:-_KEPT]:
                os.unlink(path)

    def _read(self, name: str, decode: Callable[[Any], T]) -> T | None:
        try:
            data = (self.folder / name).read_bytes()
            digest, _, body = data.partition(b"\n")
            if digest.decode("ascii") != hashlib.blake2b(body, digest_size=16).hexdigest():
                return None
            return decode(json.loads(body))
        except (OSError, ValueError, TypeError, KeyError, IndexError, RecursionError):
            return None

    def _write(self, name: str, value: object) -> None:
        import tempfile

        body = json.dumps(value, separators=(",", ":")).encode()
        digest = hashlib.blake2b(body, digest_size=16).hexdigest().encode()
        with suppress(OSError):
            self._make_folder()
            descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=self.folder)
            try:
                with open(descriptor, "wb") as file:
                    file.write(digest + b"\n" + body)
                os.replace(temporary, self.folder / name)
            except BaseException:
                os.unlink(temporary)
                raise

    def _make_folder(self) -> None:
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self.folder / "CACHEDIR.TAG").write_text(_MARK)


def _stamp(full: str) -> list[Any] | None:
    """Return what tells that a file is the same; None for what has to be read every time."""
    try:
        status = os.lstat(full)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return [status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_mode]


def _digest(project: Project, path: str) -> str:
    try:
        return project.source(path).digest.hex()
    except UnreadableError as error:
        return f"! {error.reason}"


def _index(value: Any) -> dict[str, list[Any]]:
    if not isinstance(value, dict) or any(len(entry) != 6 for entry in value.values()):
        raise ValueError("not an index")
    return value


# -- keys ---------------------------------------------------------------------------------


def _key(project: Project, options: Options, digests: dict[str, str]) -> str:
    targets = None if options.targets is None else sorted(options.targets)
    config = replace(project.config, path=None, jobs=None, cache=True, baseline=None)
    parts = [
        _tool(),
        [_rule_file(rule.check) for rule in options.rules],
        [rule.name for rule in options.rules],
        [rule.name for rule in options.known],
        targets,
        repr(config),
        sorted(digests.items()),
    ]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


@lru_cache(maxsize=1)
def _tool() -> list[Any]:
    """Return what tells one state of the tool from another: its files and its parsers'."""
    here = os.path.dirname(os.path.abspath(__file__))
    parts: list[Any] = [__version__, list(sys.version_info)]
    for folder in (here, *_folders_of("threadmend.fixers", "threadmend.codemods")):
        parts += sorted(_files(folder))
    for name in ("tree_sitter", "tree_sitter_go", "libcst"):
        spec = importlib.util.find_spec(name)
        parts.append([name, _stamp(spec.origin) if spec and spec.origin else None])
    return parts


def _folders_of(*packages: str) -> Iterator[str]:
    for name in packages:
        spec = importlib.util.find_spec(name)
        if spec is not None:
            yield from spec.submodule_search_locations or ()


def _files(folder: str) -> Iterator[list[Any]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _files(entry.path)
            elif entry.name.endswith((".py", ".txt", ".so", ".pyd")):
                status = entry.stat()
                yield [entry.path, status.st_mtime_ns, status.st_size]


def _rule_file(check: Callable[..., object]) -> Any:
    """Return the stamp of the file of somebody else's rule; ours are covered by _tool()."""
    module = sys.modules.get(check.__module__)
    file = getattr(module, "__file__", None)
    return None if file is None or check.__module__.startswith("threadmend.") else _stamp(file)


# -- findings as JSON -----------------------------------------------------------------------


def _encode(answers: Answers, about: Survey) -> object:
    return {
        "findings": [_finding(finding) for finding in answers.findings],
        "checked": about.checked,
        "unreadable": [[one.path, one.reason] for one in about.unreadable],
    }


def _decode(value: Any) -> tuple[Answers, Survey]:
    findings = [_to_finding(*item) for item in value["findings"]]
    bad = tuple(Unreadable(*item) for item in value["unreadable"])
    return Answers(findings), Survey(int(value["checked"]), bad)


def _finding(f: Finding) -> list[Any]:
    fixes = [[x.title, x.safety, x.reason, [_edit(e) for e in x.edits]] for x in f.fixes]
    related = [[r.path, r.start, r.end, r.message] for r in f.related]
    return [
        f.path, f.start, f.end, f.message, fixes, related,
        f.reason, f.confidence, f.rule, f.category,
    ]  # fmt: skip


def _edit(edit: Edit) -> list[Any]:
    return [edit.path, edit.start, edit.end, edit.new.decode("latin-1")]


def _to_finding(
    path: str,
    start: int,
    end: int,
    message: str,
    fixes: list[Any],
    related: list[Any],
    reason: str,
    confidence: str,
    rule: str,
    category: str,
) -> Finding:
    return Finding(
        path=path,
        start=start,
        end=end,
        message=message,
        fixes=tuple(_to_fix(*item) for item in fixes),
        related=tuple(Related(*item) for item in related),
        reason=reason,
        confidence=Confidence(confidence),
        rule=rule,
        category=category,
    )


def _to_fix(title: str, safety: str, reason: str, edits: list[Any]) -> Fix:
    made = tuple(Edit(path, start, end, new.encode("latin-1")) for path, start, end, new in edits)
    return Fix(title, made, Safety(safety), reason)
