"""Time `threadmend check --select python` per thousand lines, without the cache, on one core.

    python benchmarks/python.py FOLDER... [--runs 3] [--against "pylint --recursive=y ."]

Counted are seconds of the processor of the whole process, its start included; medians over
the runs. Right before each check `ast.parse` reads the same files, in a process of its own; the
ratio is the median of the quotients, since a busy machine slows both alike. `--against` runs
another program in the same folders, once each, for comparison.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from threadmend.config import Config
from threadmend.project import Project

CHECK = (
    "-m", "threadmend", "check", "--isolated", "--select", "python", "--no-cache",
    "--jobs", "1", "--statistics", ".",
)  # fmt: skip
PARSE = """
import ast, sys, warnings
warnings.simplefilter("ignore")
for path in sys.stdin.read().split("\\0"):
    with open(path, "rb") as file:
        try:
            ast.parse(file.read())
        except (SyntaxError, ValueError, RecursionError):
            pass
"""


def main() -> int:
    """Print a line for each folder and one for all of them."""
    options = _options()
    other = "  other  times" if options.against else ""
    print(f"{'folder':24}  klines  seconds  ms/KLOC  parse{other}")
    total = [0.0, 0.0, 0.0, 0.0]
    for folder in options.folders:
        paths = paths_of(folder)
        lines = sum((folder / path).read_bytes().count(b"\n") for path in paths) / 1e3
        runs = [(parsing(paths, folder), checking(folder)) for _ in range(options.runs)]
        check = median(one[1] for one in runs)
        parse = check / median(one[1] / one[0] for one in runs)
        against = seconds(shlex.split(options.against), folder) if options.against else 0.0
        show(folder.name, lines, check, parse, against)
        total = [a + b for a, b in zip(total, (lines, check, parse, against), strict=True)]
    show("all", *total)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+", help="checkouts with Python files")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--against", help="a command to compare with, run in each folder")
    return parser.parse_args()


def show(name: str, lines: float, check: float, parse: float, other: float) -> None:
    """Print one line of the table."""
    compared = f"{other:7.1f}{other / check:7.1f}" if other else ""
    each = f"{1e3 * check / lines:9.1f}{check / parse:7.1f}"
    print(f"{name:24}{lines:8.1f}{check:9.2f}{each}{compared}", flush=True)


def paths_of(folder: Path) -> list[str]:
    """Return the Python files of a folder that the check reads."""
    return [p for p in Project.open(folder, config=Config()).paths if p.endswith(".py")]


def checking(folder: Path) -> float:
    """Return the seconds of a check of a folder."""
    return seconds([sys.executable, *CHECK], folder)


def parsing(paths: Sequence[str], folder: Path) -> float:
    """Return the seconds that `ast.parse` takes for files, reading and a start included."""
    return seconds([sys.executable, "-c", PARSE], folder, "\0".join(paths))


def seconds(command: Sequence[str], folder: Path, text: str = "") -> float:
    """Return the seconds of the processor that a command and its children take."""
    environment = {**os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryFile() as given:
        given.write(os.fsencode(text))
        given.seek(0)
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=given,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if command[0] == sys.executable and process.returncode not in {0, 1}:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())
