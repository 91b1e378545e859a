"""Config: what `threadmend.toml`, or `[tool.threadmend]` of `pyproject.toml`, says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadmend.globs import matches
from threadmend.model import Confidence

__all__ = ["Config", "ConfigError", "Override", "find", "load", "parse"]

_FILES = ("threadmend.toml", ".threadmend.toml", "pyproject.toml")


class ConfigError(Exception):
    """A setting or a rule's name is wrong; the message says where and what to write."""


@dataclass(frozen=True, slots=True)
class Override:
    """What is different below some folders: more rules, or fewer."""

    paths: tuple[str, ...]
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of a project; the defaults are those of a project without any."""

    select: tuple[str, ...] = ()
    """Rules, categories, languages or `ALL`; empty means every rule but the opt-in ones."""
    ignore: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    """Globs of files that are neither reported nor edited."""
    overrides: tuple[Override, ...] = ()
    unsafe_fixes: bool = False
    baseline: str | None = None
    confidence: Confidence | None = None
    """Findings below this confidence are not reported. None: hints, whose confidence is low,
    only of rules that are selected by name."""
    jobs: int | None = None
    cache: bool = True
    path: str | None = None
    """The file that the settings come from."""

    def overriding(self, path: str) -> list[Override]:
        """Return the overrides that speak of a path, in the order of the file."""
        return [override for override in self.overrides if matches(path, override.paths)]


def find(root: Path) -> Path | None:
    """Return the file of a folder that holds settings, None without one."""
    for name in _FILES:
        file = root / name
        if file.is_file() and (name != "pyproject.toml" or b"threadmend" in file.read_bytes()):
            return file
    return None


def load(root: Path, *, isolated: bool = False, file: Path | None = None) -> Config:
    """Read the settings of a folder; `isolated` looks at no file at all.

    Raises ConfigError naming the file and the key.
    """
    if isolated:
        return Config()
    chosen = file or find(root)
    if chosen is None:
        return Config()
    try:
        data = chosen.read_bytes()
    except OSError as error:
        raise ConfigError(f"{chosen}: {error.strerror}") from None
    return parse(data, str(chosen))


def parse(data: bytes, path: str) -> Config:
    """Read settings from TOML; raises ConfigError naming the file and the key."""
    import tomllib

    try:
        table = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    if Path(path).name == "pyproject.toml":
        tool = table.get("tool")
        table = tool.get("threadmend", {}) if isinstance(tool, dict) else {}
    reader = _Reader(path, table)
    return Config(
        select=reader.strings("select"),
        ignore=reader.strings("ignore"),
        exclude=reader.strings("exclude"),
        overrides=reader.overrides(),
        unsafe_fixes=reader.boolean("unsafe-fixes", False),
        baseline=reader.string("baseline"),
        confidence=reader.confidence(),
        jobs=reader.count("jobs"),
        cache=reader.boolean("cache", True),
        path=reader.done(),
    )


class _Reader:
    """Takes keys out of a table, checks their types, and complains about what is left."""

    def __init__(self, path: str, table: Mapping[str, Any], prefix: str = "") -> None:
        self._path = path
        self._table = dict(table)
        self._prefix = prefix
        self._known: list[str] = []

    def _take(self, key: str) -> Any:
        self._known.append(key)
        return self._table.pop(key, None)

    def _wrong(self, key: str, wanted: str) -> ConfigError:
        return ConfigError(f"{self._path}: {self._prefix}{key}: must be {wanted}")

    def strings(self, key: str) -> tuple[str, ...]:
        value = self._take(key)
        if value is None:
            return ()
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise self._wrong(key, "a list of strings")

    def string(self, key: str) -> str | None:
        value = self._take(key)
        if value is None or isinstance(value, str):
            return value
        raise self._wrong(key, "a string")

    def boolean(self, key: str, default: bool) -> bool:
        value = self._take(key)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        raise self._wrong(key, "true or false")

    def count(self, key: str) -> int | None:
        value = self._take(key)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        raise self._wrong(key, "a whole number from 1")

    def confidence(self) -> Confidence | None:
        value = self._take("confidence")
        if value is None:
            return None
        if value in list(Confidence):
            return Confidence(value)
        raise self._wrong("confidence", "one of " + ", ".join(Confidence))

    def overrides(self) -> tuple[Override, ...]:
        tables = self._take("overrides")
        if tables is None:
            return ()
        if not isinstance(tables, list) or not all(isinstance(item, dict) for item in tables):
            raise self._wrong("overrides", "tables: [[overrides]]")
        found = []
        for number, table in enumerate(tables, 1):
            reader = _Reader(self._path, table, f"{self._prefix}overrides[{number}].")
            paths = reader.strings("paths")
            override = Override(paths, reader.strings("select"), reader.strings("ignore"))
            reader.done()
            if not paths:
                raise reader._wrong("paths", "given: the globs that the override is for")
            found.append(override)
        return tuple(found)

    def done(self) -> str:
        for key in self._table:
            import difflib

            near = difflib.get_close_matches(key, self._known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(f"{self._path}: {self._prefix}{key}: unknown setting{hint}")
        return self._path
