"""Others: comments for other tools that excuse what threadmend would say there as well.

    copied := *f  //nolint:govet // a new one
    x.Lock()      //lint:ignore SA2001 waits for the writer
    task()        # noqa: RUF006

A rule says by `ALSO` which linters and checks mean the same. The comments are read on the lines of
findings alone, and are nobody's business when they excuse nothing. One that names no check
(`//nolint`) is for the other tool alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from threadmend.model import Finding
from threadmend.source import SourceFile

__all__ = ["excused_elsewhere"]

_GO_LINE = re.compile(rb"//[ \t]*nolint:([\w, \t-]+)")
_GO_CHECK = re.compile(rb"^[ \t]*//lint:ignore[ \t]+([\w,]+)[ \t]+\S")
_PYTHON_LINE = re.compile(rb"#[ \t]*(?:noqa:|pylint:[ \t]*disable=)([\w, \t-]+)")


def excused_elsewhere(finding: Finding, source: SourceFile, also: Collection[str]) -> bool:
    """Return whether a comment for another tool excuses a finding, on its line or above it.

    `also`: the linters and checks that say the same as the finding's rule.
    """
    if not also:
        return False
    line = source.line_of(finding.start)
    text = source.line_text(line)
    if finding.path.endswith(".go"):
        hits = [*_GO_LINE.finditer(text)]
        if line > 1:
            above = source.line_text(line - 1)
            hits += _GO_CHECK.finditer(above)
            if above.lstrip(b" \t").startswith(b"//"):
                hits += _GO_LINE.finditer(above)  # on a line of its own it is for the next one
    else:
        hits = [*_PYTHON_LINE.finditer(text)]
    return any(name in also for hit in hits for name in _names(hit[1]))


def _names(said: bytes) -> list[str]:
    return said.decode("utf-8", "replace").replace(",", " ").split()
