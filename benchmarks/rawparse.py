"""Parse Go files with tree-sitter alone, the yardstick of check.py.

    python benchmarks/rawparse.py FOLDER

prints the seconds (elapsed, of the processor) that parsing takes once all files are read. The
files are those that `threadmend check` reads: listed by git, readable, not below `testdata`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tree_sitter import Language, Parser
from tree_sitter_go import language

from threadmend.config import Config
from threadmend.project import Project
from threadmend.source import UnreadableError


def main(folder: str) -> int:
    """Parse every file of a folder once and print how long it took."""
    parser = Parser(Language(language()))
    texts = contents(Project.open(Path(folder).resolve(), config=Config()))
    began, used = time.perf_counter(), time.process_time()
    for text in texts.values():
        parser.parse(text)
    print(time.perf_counter() - began, time.process_time() - used)
    return 0


def contents(project: Project) -> dict[str, bytes]:
    """Return the bytes of the Go files that can be read, by path."""
    found = {}
    for path in project.paths:
        if path.endswith(".go"):
            try:
                found[path] = project.source(path).data
            except UnreadableError:
                continue
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
