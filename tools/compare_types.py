"""Compare threadmend's light types with go/types on every concurrent operation of a project.

    python tools/compare_types.py CHECKOUT

runs `threadmend map` on the checkout and tools/typecheck on its Go modules (dependencies must
be in the module cache: `go list -deps -test ./...` fetches them), and prints how many of the
operations that go/types knows are resolved, how many agree, and each that is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Key = tuple[str, int, int, str]

SYSTEMS = ("linux", "windows", "darwin")
CHANNEL = frozenset({"send", "receive", "close", "range"})
CONCURRENT = frozenset(
    {
        "context.Context",
        "golang.org/x/sync/errgroup.Group",
        "golang.org/x/sync/singleflight.Group",
        "sync.Cond",
        "sync.Locker",
        "sync.Mutex",
        "sync.Once",
        "sync.RWMutex",
        "sync.WaitGroup",
    }
)
LOCKING = frozenset({"Lock", "Unlock", "RLock", "RUnlock", "TryLock", "TryRLock"})


@dataclass
class Comparison:
    """What came of the operations that go/types knows, and what only threadmend claims."""

    agreed: Counter[str] = field(default_factory=Counter)
    unresolved: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Return how many operations on concurrent types go/types found."""
        return self.agreed.total() + len(self.unresolved) + len(self.wrong)


def main() -> int:
    """Run both sides, print the comparison; exit 1 when a type is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--map", type=Path, help="output of `threadmend map` made before")
    parser.add_argument("--limit", type=int, default=40, help="how many of each kind to list")
    options = parser.parse_args()
    root = options.checkout.resolve()
    text = options.map.read_text() if options.map else _map(root)
    result = compare(_yardstick(root), json.loads(text)["operations"])
    total = result.total or 1
    resolved = total - len(result.unresolved)
    print(f"{result.total} operations, {resolved} resolved ({resolved / total:.2%}),")
    print(f"{result.agreed.total()} agree, {len(result.wrong)} wrong, ", end="")
    print(f"{len(result.invented)} claimed where go/types has none")
    print(", ".join(f"{name} {count}" for name, count in result.agreed.most_common()))
    for title in ("wrong", "invented", "unresolved"):
        for line in getattr(result, title)[: options.limit]:
            print(f"{title}: {line}")
    return 1 if result.wrong or result.invented else 0


def compare(known: Iterable[dict[str, Any]], mapped: Iterable[dict[str, Any]]) -> Comparison:
    """Hold the mapped operations against those of go/types, by place and name.

    A place that go/types sees in several ways (build variants) agrees with either.
    """
    places: dict[Key, set[str]] = {}
    receivers: dict[Key, str] = {}
    files = set()
    for line in known:
        files.add(line["path"])
        places.setdefault(_key(line), set()).update((line["type"], line["written"]))
        receivers[_key(line)] = line["receiver"]
        if line["operation"] in LOCKING and line.get("locker"):
            receivers[_key(line)] = "locker"
    ours = {_key(operation): operation["type"] for operation in mapped}
    result = Comparison()
    for key, types in sorted(places.items()):
        _judge(result, key, types, receivers[key], ours.get(key))
    for key, type_ in sorted(ours.items()):
        if key[0] in files and key not in places and type_ is not None and _is_compared(key[3]):
            result.invented.append(f"{_place(key)}: {type_}")
    return result


def _judge(result: Comparison, key: Key, types: set[str], receiver: str, ours: str | None) -> None:
    expected = {_plain(t) for t in types}
    concurrent = key[3] in CHANNEL or bool(types & CONCURRENT) or receiver == "locker"
    shown = f"{_place(key)}: {ours}, go/types: {' or '.join(sorted(types))} ({receiver})"
    if ours is not None and not any(_agrees(_plain(ours), type_) for type_ in expected):
        result.wrong.append(shown)
    elif concurrent and ours is None:
        result.unresolved.append(shown)
    elif concurrent:
        result.agreed[key[3]] += 1


def _agrees(ours: str, expected: str) -> bool:
    """Return whether the types are the same where ours is known (`chan ?`: a channel)."""
    pattern = ".+".join(re.escape(part) for part in ours.split("?"))
    return re.fullmatch(pattern, expected) is not None


def _is_compared(operation: str) -> bool:
    return operation not in {"go", "make"} and not operation.startswith("With")


def _key(line: dict[str, Any]) -> Key:
    return (line["path"], line["line"], line["column"], line["operation"])


def _place(key: Key) -> str:
    path, line, column, operation = key
    return f"{path}:{line}:{column} {operation}"


_WORDS = (
    ("interface{}", "any"),
    ("interface {}", "any"),
    ("struct {}", "struct{}"),
    (", ", ","),
)
_BRACES = re.compile(r"\b(struct|interface)\s?\{(?:[^{}]|\{\})+\}")


def _plain(type_: str) -> str:
    """Return a type's text without what the two sides write differently."""
    for written, plain in _WORDS:
        type_ = type_.replace(written, plain)
    while (shorter := _BRACES.sub(r"\1{…}", type_, count=1)) != type_:
        type_ = shorter
    return re.sub(r"\[(\d+)\]|\[\w*\](?=\S)", "[]", type_)


def _map(root: Path) -> str:
    command = [sys.executable, "-m", "threadmend", "map", str(root), "--output-format", "json"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _yardstick(root: Path) -> Iterator[dict[str, Any]]:
    """Run tools/typecheck on every module below `root`; yield what it prints."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "typecheck")
        source = Path(__file__).parent / "typecheck"
        subprocess.run(["go", "build", "-o", str(program), "."], cwd=source, check=True)
        for module in sorted(root.rglob("go.mod")):
            directory = module.parent
            inside = directory.relative_to(root)
            if {"testdata", "vendor", "_test"} & set(inside.parts):
                continue
            for system in SYSTEMS:
                found = subprocess.run(
                    [str(program), str(directory)],
                    env={**os.environ, "GOOS": system},
                    capture_output=True,
                    text=True,
                    check=False,
                )
                print(f"{inside}: {found.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
                for line in found.stdout.splitlines():
                    operation = json.loads(line)
                    operation["path"] = (inside / operation["path"]).as_posix()
                    yield operation


if __name__ == "__main__":
    sys.exit(main())
