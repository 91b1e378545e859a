"""Time `threadmend check --select python` per thousand lines, without the cache, on one core.

    python benchmarks/python.py FOLDER... [--runs 3] [--against "pylint --recursive=y ."]

Counted are seconds of the processor of the whole process, its start included; medians over
the runs. `--against` runs another program in the same folders, once each, for comparison.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from threadmend.config import Config
from threadmend.project import Project

CHECK = (
    "-m", "threadmend", "check", "--isolated", "--select", "python", "--no-cache",
    "--jobs", "1", "--statistics", ".",
)  # fmt: skip


def main() -> int:
    """Print a line for each folder and one for all of them."""
    options = _options()
    print(
        f"{'folder':24}  klines  seconds  ms/KLOC" + ("  other  times" if options.against else "")
    )
    total = [0.0, 0.0, 0.0]
    for folder in options.folders:
        lines = lines_of(folder) / 1e3
        check = median(seconds([sys.executable, *CHECK], folder) for _ in range(options.runs))
        other = seconds(shlex.split(options.against), folder) if options.against else 0.0
        show(folder.name, lines, check, other)
        total = [a + b for a, b in zip(total, (lines, check, other), strict=True)]
    show("all", *total)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+", help="checkouts with Python files")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--against", help="a command to compare with, run in each folder")
    return parser.parse_args()


def show(name: str, lines: float, check: float, other: float) -> None:
    """Print one line of the table."""
    compared = f"{other:7.1f}{other / check:7.1f}" if other else ""
    print(f"{name:24}{lines:8.1f}{check:9.2f}{1e3 * check / lines:9.1f}{compared}", flush=True)


def lines_of(folder: Path) -> int:
    """Return how many lines the Python files of a folder have."""
    paths = [p for p in Project.open(folder, config=Config()).paths if p.endswith(".py")]
    return sum((folder / path).read_bytes().count(b"\n") for path in paths)


def seconds(command: Sequence[str], folder: Path) -> float:
    """Return the seconds of the processor that a command and its children take."""
    environment = {**os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if command[0] == sys.executable and process.returncode not in {0, 1}:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())
