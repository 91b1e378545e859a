"""For which platform and tags a file is built that the machine's own build leaves out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, combinations, product

__all__ = ["Context", "context_for"]

_SYSTEM_NAMES = """aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd
openbsd plan9 solaris wasip1 windows zos"""
_ARCHITECTURE_NAMES = """386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le
riscv64 s390x wasm"""
_SYSTEMS = frozenset(_SYSTEM_NAMES.split())
_ARCHITECTURES = frozenset(_ARCHITECTURE_NAMES.split())
_NOT_UNIX = frozenset({"js", "nacl", "plan9", "wasip1", "windows", "zos"})
_IMPLIED = {"android": "linux", "illumos": "solaris", "ios": "darwin"}
# Where a system is built when the expression names no architecture that it knows.
_ONLY = {"js": "wasm", "wasip1": "wasm"}
_USUAL = ("windows", "darwin", "freebsd")
_SETTLED = frozenset({"gc", "unix"})

_LINE = re.compile(rb"^//go:build[ \t]+(.*?)[ \t]*\r?$", re.M)
_CLAUSE = re.compile(rb"^[ \t]*package[ \t]", re.M)
_TOKEN = re.compile(r"\s*(\|\||&&|[!()]|[\w.]+)")
_GO = re.compile(r"go1\.\d+")


@dataclass(frozen=True, slots=True)
class Context:
    """What `go` is to build for."""

    system: str
    architecture: str
    tags: frozenset[str] = frozenset()
    alone: bool = False
    """Whether the file is a program of its own (`//go:build ignore`)."""

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that say so; a foreign platform has no C compiler here."""
        return {"GOOS": self.system, "GOARCH": self.architecture, "CGO_ENABLED": "0"}

    @property
    def flags(self) -> tuple[str, ...]:
        """Return the option with the tags."""
        return (f"-tags={','.join(sorted(self.tags))}",) if self.tags else ()

    def __str__(self) -> str:
        tags = f" with {','.join(sorted(self.tags))}" if self.tags else ""
        return f"{self.system}/{self.architecture}{tags}"


def context_for(name: str, data: bytes, system: str, architecture: str) -> Context | None:
    """Return where a file is built, as near to the machine's own platform as can be.

    None when no platform builds it.
    """
    clause = _CLAUSE.search(data)
    line = _LINE.search(data, 0, clause.start() if clause else len(data))
    said = line[1].decode("utf-8", "replace") if line else ""
    tokens = _TOKEN.findall(said)
    if tokens == ["ignore"]:
        return Context(system, architecture, alone=True)
    named = _named(name)
    words = [token for token in tokens if re.match(r"\w", token)]
    known = _SYSTEMS | _ARCHITECTURES | _SETTLED | {"cgo"}
    own = sorted({word for word in words if word not in known and not _GO.fullmatch(word)})
    systems = dict.fromkeys([system, *(w for w in (*named, *words) if w in _SYSTEMS), *_USUAL])
    architectures = dict.fromkeys(
        [architecture, *(w for w in (*named, *words) if w in _ARCHITECTURES), "arm64", "386"]
    )
    for goos, goarch, tags in product(systems, architectures, _subsets(own)):
        goarch = _ONLY.get(goos, goarch)
        if goarch == "wasm" and goos not in _ONLY:
            continue

        def holds(
            word: str, goos: str = goos, goarch: str = goarch, tags: frozenset[str] = tags
        ) -> bool:
            if word == "unix":
                return goos not in _NOT_UNIX
            if word in _SYSTEMS:
                return word == goos or _IMPLIED.get(goos) == word
            return word == goarch or word in tags or word == "gc" or bool(_GO.fullmatch(word))

        if all(map(holds, named)) and (not tokens or _Expression(tokens, holds).value()):
            return Context(goos, goarch, tags)
    return None


def _named(name: str) -> list[str]:
    """Return the system and architecture that a file's name asks for."""
    words = name.removesuffix(".go").removesuffix("_test").split("_")[1:]
    if len(words) >= 2 and words[-1] in _ARCHITECTURES and words[-2] in _SYSTEMS:
        return words[-2:]
    return words[-1:] if words and words[-1] in _SYSTEMS | _ARCHITECTURES else []


def _subsets(tags: list[str]) -> Iterator[frozenset[str]]:
    """Yield sets of tags to try: few first, all at last."""
    sizes = range(min(len(tags), 3) + 1)
    few = chain.from_iterable(combinations(tags, size) for size in sizes)
    return map(frozenset, chain(few, [tuple(tags)]))


class _Expression:
    """A build constraint: `a && (b || !c)`."""

    def __init__(self, tokens: list[str], holds: Callable[[str], bool]) -> None:
        self._tokens = [*tokens, ""]
        self._at = 0
        self._holds = holds

    def value(self) -> bool:
        """Return whether the constraint holds."""
        found = self._and()
        while self._take("||"):
            other = self._and()  # read to its end, whatever it says
            found = found or other
        return found

    def _and(self) -> bool:
        found = self._not()
        while self._take("&&"):
            other = self._not()
            found = found and other
        return found

    def _not(self) -> bool:
        if self._take("!"):
            return not self._not()
        if self._take("("):
            found = self.value()
            self._take(")")
            return found
        word = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return self._holds(word)

    def _take(self, token: str) -> bool:
        if self._tokens[self._at] != token:
            return False
        self._at += 1
        return True
