"""Packages as the go command sees them: what is built, what imports what, what it says."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from threadmend.prove.constraints import Context
from threadmend.prove.messages import Message, messages
from threadmend.prove.overlay import Overlay
from threadmend.prove.process import Done, Limits
from threadmend.prove.toolchain import Toolchain

__all__ = ["GoPackage", "Home", "Shop", "home_of", "patterns"]

_BUILT = ("GoFiles", "CgoFiles", "TestGoFiles", "XTestGoFiles")
_IMPORTS = ("Imports", "TestImports", "XTestImports")
_FIELDS = ("ImportPath", "Dir", "Name", "ForTest", "Error", "DepsErrors", "Standard")
_NOT_MINE = re.compile(rb"contained in a module that is not one of the workspace modules")


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of the module that packages belong to."""

    directory: Path
    manifest: bytes | None = None
    """A go.mod to pretend, for packages outside of any module."""


@dataclass(slots=True)
class GoPackage:
    """A package with its tests, by folder."""

    path: str
    directory: Path
    files: set[str] = field(default_factory=set)
    imports: set[str] = field(default_factory=set)
    said: list[Message] = field(default_factory=list)
    """What the go command and the compiler complain of."""
    has_tests: bool = False


def home_of(directory: Path, root: Path) -> Home:
    """Return the module of a folder; outside of any, one that is made up for the project."""
    for place in (directory, *directory.parents):
        if (place / "go.mod").is_file():
            return Home(place)
    name = root.as_posix().rpartition("/src/")[2] if "/src/" in root.as_posix() else root.name
    path = re.sub(r"[^\w./-]", "_", name).strip("/.") or "main"
    return Home(root, f"module {path}\n".encode())


@dataclass(frozen=True)
class Shop:
    """Where the go command is run: toolchain, limits, and a folder for temporary files."""

    tool: Toolchain
    root: Path
    """The project's root, without links."""
    place: Path
    limits: Limits = field(default_factory=Limits)

    def overlay(
        self,
        files: Mapping[str, bytes | None],
        home: Home,
        extra: Mapping[Path, bytes | None] | None = None,
    ) -> Overlay:
        """Return an overlay of files of the project, and of others."""
        place = Path(tempfile.mkdtemp(dir=self.place))
        laid: dict[Path, bytes | None] = {self.root / path: data for path, data in files.items()}
        laid.update(extra or {})
        if home.manifest is not None:
            version = "{}.{}".format(*self.tool.version)
            manifest = home.manifest + f"\ngo {version}\n".encode()
            laid.setdefault(home.directory / "go.mod", manifest)
        return Overlay(place, laid)

    def run(
        self,
        home: Home,
        *arguments: str,
        context: Context | None = None,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
    ) -> Done:
        """Run `go` in a module; one that a workspace around it does not use runs without it."""
        extra = {**(env or {}), **(context.environment if context else {})}
        for attempt in range(2):
            done = self.tool.run(
                *arguments,
                cwd=home.directory,
                folder=self.place,
                limits=limits or self.limits,
                env=extra,
            )
            if attempt or not _NOT_MINE.search(done.err + done.out):
                break
            extra["GOWORK"] = "off"
        return done

    def said(self, done: Done, home: Home, overlay: Overlay) -> list[Message]:
        """Return the complaints of a run."""
        text = done.err.decode("utf-8", "replace")
        found = messages(text, home.directory, self.root, overlay)
        return [*found, Message("", 0, f"go {done.stopped}")] if done.stopped else found

    def load(
        self,
        home: Home,
        patterns: Sequence[str],
        overlay: Overlay,
        *,
        compiled: bool = True,
        context: Context | None = None,
    ) -> tuple[dict[Path, GoPackage], list[Message]]:
        """Return packages by folder, compiled with their tests, and what is wrong with them all.

        `go list -test -export` compiles what `go build` and `go test` would, and links nothing.
        """
        how = ("-test", "-export") if compiled else ()
        tags = context.flags if context else ()
        asked = ",".join((*_FIELDS, *_BUILT, *_IMPORTS))
        done = self.run(
            home, "list", "-e", *how, f"-json={asked}", *tags, *overlay.flags, "--", *patterns,
            context=context,
        )  # fmt: skip
        found: dict[Path, GoPackage] = {}
        for entry in _documents(done.out):
            self._add(found, entry, home, overlay)
        if done.stopped or not found:
            return found, self.said(done, home, overlay) or [Message("", 0, "go list says nothing")]
        return found, []

    def _add(
        self, found: dict[Path, GoPackage], entry: Mapping[str, Any], home: Home, overlay: Overlay
    ) -> None:
        path = str(entry.get("ForTest") or entry["ImportPath"])
        main = path.endswith(".test") and not entry.get("ForTest")
        directory = Path(os.path.realpath(entry.get("Dir") or home.directory))
        package = found.setdefault(directory, GoPackage(path.removesuffix(".test"), directory))
        if not main:
            package.files.update(name for key in _BUILT for name in entry.get(key) or ())
            package.imports.update(name for key in _IMPORTS for name in entry.get(key) or ())
            package.has_tests |= bool(entry.get("TestGoFiles") or entry.get("XTestGoFiles"))
        errors = [entry.get("Error"), *([] if main else entry.get("DepsErrors") or [])]
        for error in errors:
            if error:
                where = f"{error['Pos']}: " if error.get("Pos") else ""
                text = where + str(error.get("Err", "")).strip()
                new = messages(text, home.directory, self.root, overlay)
                package.said += [message for message in new if message not in package.said]


def _documents(data: bytes) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON documents that stand one after another."""
    text = data.decode("utf-8", "replace")
    decoder = json.JSONDecoder()
    at = 0
    while (at := text.find("{", at)) >= 0:
        try:
            document, at = decoder.raw_decode(text, at)
        except ValueError:
            return
        yield document


def patterns(home: Home, directories: Iterable[Path]) -> list[str]:
    """Return folders as the go command takes them."""
    names = sorted(os.path.relpath(directory, home.directory) for directory in directories)
    return [f"./{name}" if name != "." else "." for name in names]
