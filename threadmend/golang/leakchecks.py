"""Leak checks of tests: which packages start goroutines, and which look for those left."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from threadmend.golang.goroutines import Launch, launches

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["first_launch", "is_special", "is_tested", "looks_already"]

_TEST = re.compile(rb"^func (?:Test|Example|Fuzz)\w*\(", re.M)
_MENTION = re.compile(
    rb'(?i)"go\.uber\.org/goleak"|leak[-_ ]?(?:test|check|detect)|goroutine[-_ ]?leak|no[-_ ]?leak'
)
_START = re.compile(rb"\bgo\b|\bGo\(|\bAfterFunc\(")
_CONSTRAINED = re.compile(rb"^//(?:go:build|[ \t]*\+build)[ \t]", re.M)
_PLATFORM = re.compile(r"_[a-z0-9]+(?:_test)?\.go$")


def first_launch(files: Sequence[GoFile]) -> tuple[GoFile, Launch] | None:
    """Return the first launch that every build of some files has."""
    for file in files:
        if not is_special(file) and not file.generated and file.holds(_START):
            for launch in launches(file):
                if launch.kind != "timer":
                    return file, launch
    return None


def is_special(file: GoFile) -> bool:
    """Return whether a file is built for some platforms or tags only."""
    name = file.path.rpartition("/")[2]
    suffix = _PLATFORM.search(name)
    known = suffix is not None and suffix[0].removesuffix(".go").removesuffix("_test") in _SUFFIXES
    return known or _CONSTRAINED.search(file.data) is not None


_SUFFIXES = frozenset(
    {
        "_linux", "_windows", "_darwin", "_unix", "_freebsd", "_openbsd", "_netbsd", "_plan9",
        "_solaris", "_aix", "_js", "_wasip1", "_android", "_ios", "_amd64", "_arm64", "_386",
        "_arm", "_wasm", "_s390x", "_ppc64le", "_riscv64",
    }
)  # fmt: skip


def is_tested(files: Sequence[GoFile]) -> bool:
    """Return whether there are tests that every build runs."""
    return any(f.is_test_file and not is_special(f) and f.holds(_TEST) for f in files)


def looks_already(files: Sequence[GoFile]) -> bool:
    """Return whether the tests speak of leaked goroutines, or use a helper that does."""
    tests = [file for file in files if file.is_test_file]
    return any(file.holds(_MENTION) for file in tests) or any(map(_by_helper, tests))


def _by_helper(file: GoFile) -> bool:
    """Return whether a file uses a function or type of the project that looks for leaks."""
    for one in file.imports:
        package = file.package.workspace.package(one.path)
        if package is None or package.module is None:
            continue
        if not any(other.holds(_MENTION) for other in package.files):
            continue
        used = re.findall(rb"\b" + re.escape(one.name.encode()) + rb"\.([A-Z]\w*)", file.data)
        for name in sorted({found.decode() for found in used}):
            methods = (d for decls in package.methods(name).values() for d in decls)
            for decl in (*package.lookup_all(name), *methods):
                if _MENTION.search(decl.file.data, *decl.span):
                    return True
    return False
