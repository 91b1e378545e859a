"""Compare `threadmend check` with the raw parse of the same files, by size of input.

    python benchmarks/check.py FOLDER [--sizes 0.1,0.3,1] [--runs 5]

Every run times, one after the other: the parse alone (rawparse.py), `check` in one process
without the cache, and `check` that the cache answers. Printed are medians, and the median of
the quotients within a run, so that a machine that is slow for a while slows both sides.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rawparse import contents

from threadmend.config import Config
from threadmend.project import Project

CHECK = ("-m", "threadmend", "check", "--isolated", "--output-format", "json", "--jobs", "1")
PARSE = (str(Path(__file__).with_name("rawparse.py")),)
HEAD = "   files  klines      MB |  parse  check   ratio |   warm  share | peak MB  (parse)"


@dataclass(frozen=True)
class Measured:
    """What one process took: seconds elapsed and of the processor, megabytes at its peak."""

    elapsed: float
    processor: float
    peak: float


@dataclass(frozen=True)
class Run:
    """One run: the same files parsed, checked, and checked with a cache that knows them."""

    parse: Measured
    cold: Measured
    warm: Measured


def main() -> int:
    """Measure subsets of a folder and print a line for each."""
    options = _options()
    folder = options.folder.resolve()
    everything = contents(Project.open(folder, config=Config()))
    print(HEAD)
    for size in options.sizes:
        chosen = subset(everything, size)
        with tempfile.TemporaryDirectory() as place:
            where = copy(folder, chosen, Path(place))
            runs = [run(where, Path(place, "cache")) for _ in range(options.runs)]
        parse, cold, warm = (
            [one.processor if options.processor else one.elapsed for one in column]
            for column in zip(*((r.parse, r.cold, r.warm) for r in runs), strict=True)
        )
        lines = sum(text.count(b"\n") for text in chosen.values())
        print(
            f"{len(chosen):8}{lines / 1e3:8.1f}{sum(map(len, chosen.values())) / 1e6:8.2f} |"
            f"{median(parse):7.2f}{median(cold):7.2f}{_quotient(cold, parse):8.2f} |"
            f"{median(warm):7.2f}{_quotient(warm, cold):7.3f} |"
            f"{median(r.cold.peak for r in runs):8.0f}{median(r.parse.peak for r in runs):9.0f}",
            flush=True,
        )
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="a checkout with Go files")
    parser.add_argument(
        "--sizes",
        type=lambda text: [float(part) for part in text.split(",")],
        default=[0.1, 0.3, 1.0],
        help="which shares of the folder's bytes to measure",
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--processor",
        action="store_true",
        help="seconds of the processor instead of elapsed ones, for a busy machine",
    )
    return parser.parse_args()


def _quotient(above: Sequence[float], below: Sequence[float]) -> float:
    return median(a / b for a, b in zip(above, below, strict=True))


def subset(files: Mapping[str, bytes], share: float) -> dict[str, bytes]:
    """Return whole packages that make up about a share of the bytes, the same every time.

    In the order of a hash, so that a small subset is like the whole.
    """
    by_folder: dict[str, list[str]] = {}
    for path in sorted(files):
        by_folder.setdefault(os.path.dirname(path), []).append(path)
    order = sorted(by_folder, key=lambda name: hashlib.blake2b(name.encode()).digest())
    left = share * sum(map(len, files.values()))
    chosen: dict[str, bytes] = {}
    for folder in order:
        if left <= 0:
            break
        for path in by_folder[folder]:
            chosen[path] = files[path]
            left -= len(files[path])
    return chosen


def copy(folder: Path, files: Mapping[str, bytes], place: Path) -> Path:
    """Write files and the folder's module files below a place; return their folder."""
    where = place / "project"
    modules = [p for p in Project.open(folder, config=Config()).paths if p.endswith("go.mod")]
    for path, text in [*files.items(), *((p, (folder / p).read_bytes()) for p in modules)]:
        (where / path).parent.mkdir(parents=True, exist_ok=True)
        (where / path).write_bytes(text)
    old = time.time() - 60  # the cache does not trust the time stamp of a file just written
    for copied in where.rglob("*"):
        os.utime(copied, (old, old))
    return where


def run(where: Path, cache: Path) -> Run:
    """Parse, check without and check with the cache."""
    if not cache.exists():
        time.sleep(2.1)  # nor one that was copied a moment ago
        _measured([*CHECK, "."], where, cache)
    parse, printed = _measured([*PARSE, str(where)], where, cache)
    elapsed, processor = map(float, printed.split())
    cold, _ = _measured([*CHECK, "--no-cache", "."], where, cache)
    warm, _ = _measured([*CHECK, "."], where, cache)
    return Run(Measured(elapsed, processor, parse.peak), cold, warm)


def _measured(command: Sequence[str], where: Path, cache: Path) -> tuple[Measured, str]:
    """Run Python with arguments; exit code 1 means that there are findings."""
    # Compiled modules are kept, as an installed package has them, but not in the checkout.
    environment = {
        **os.environ,
        "THREADMEND_CACHE_DIR": str(cache),
        "PYTHONPYCACHEPREFIX": str(cache.with_name("pycache")),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=where, env=environment, stdout=printed
        )
        _, status, usage = os.wait4(process.pid, 0)
        elapsed = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in {0, 1}:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        printed.seek(0)
        return Measured(elapsed, usage.ru_utime + usage.ru_stime, _peak(usage)), printed.read()


def _peak(usage: resource.struct_rusage) -> float:
    """Return megabytes; macOS counts in bytes, Linux in kilobytes."""
    return usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


if __name__ == "__main__":
    sys.exit(main())
