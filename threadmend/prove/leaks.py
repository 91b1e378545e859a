"""The judge of leaks: what goroutines are left when a package's tests have ended.

It stands in the standard library's `testing`, laid over it for one run, so that it judges
packages with and without a TestMain, whatever that does after the tests, and external test
packages alike. Go's own judge (the profile `goroutineleak` of 1.27) marks what it is sure of.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from threadmend.prove.toolchain import Toolchain

__all__ = ["environment", "judge", "left"]

_RUN = re.compile(rb"^func \(m \*M\) Run\(\) (?:\(code int\)|int) \{", re.M)
_HEADER = re.compile(r"^goroutine \d+ ", re.M)


def judge(tool: Toolchain) -> Mapping[Path, bytes | None]:
    """Return the files to lay over the toolchain's own; none when it is not as it should be."""
    folder = tool.root / "src" / "testing"
    try:
        text = (folder / "testing.go").read_bytes()
    except OSError:
        return {}
    found = _RUN.search(text)
    if found is None:
        return {}
    # On the same line, so that every line keeps its number.
    ours = b" threadmendBegin(); defer threadmendEnd();"
    own = resources.files("threadmend.prove").joinpath("leaks.go.txt").read_bytes()
    return {
        folder / "testing.go": text[: found.end()] + ours + text[found.end() :],
        folder / "threadmend_leaks.go": own,
    }


def environment(folder: Path, still: int) -> dict[str, str]:
    """Return the variables that switch the judge on; `still`: seconds without any movement."""
    return {"THREADMEND_EVIDENCE": str(folder), "THREADMEND_STILL": str(still)}


def left(folder: Path) -> dict[str, str]:
    """Return the goroutines that were left, as a dump, by the folder of the package."""
    found: dict[str, str] = {}
    for file in sorted(folder.iterdir()):
        where, _, dump = file.read_text("utf-8", "replace").partition("\n\n")
        if _HEADER.search(dump):
            place = os.path.realpath(where)
            found[place] = f"{found.get(place, '')}{dump}\n"
    return found
