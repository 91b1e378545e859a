"""Output: what goes to stdout and stderr, plain into a pipe and coloured to a terminal.

Results go to stdout and talk to stderr. A diff that somebody reads with a program goes out
byte for byte; rich, which wraps and interprets, sees it only on a terminal.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from threadmend.report.text import Line, plain, printable

if TYPE_CHECKING:
    from rich.console import Console

    from threadmend.engine import Progress

__all__ = ["Output"]

STYLES = {
    "path": "bold",
    "rule": "bold red",
    "gutter": "blue",
    "marked": "bold",
    "caret": "bold red",
    "caret.related": "bold cyan",
    "safe": "green",
    "unsafe": "yellow",
    "manual": "dim",
    "diff.header": "bold",
    "diff.place": "cyan",
    "diff.added": "green",
    "diff.removed": "red",
    "title": "bold",
}

REFRESH = 0.1
"""Seconds between two drawings of a progress bar."""

_DIFF_HEADERS = (
    b"diff --git ",
    b"index ",
    b"--- ",
    b"+++ ",
    b"old mode ",
    b"new mode ",
    b"new file ",
    b"deleted file ",
    b"similarity ",
    b"rename ",
)


class Output:
    """The two streams of a run, and whether colour is wanted on them."""

    def __init__(self) -> None:
        self.colour = _coloured(sys.stdout)
        self._console: Console | None = None

    def lines(self, lines: Iterable[Line]) -> None:
        """Print styled lines to stdout."""
        if not self.colour:
            self.text("".join(plain(line) + "\n" for line in lines))
            return
        from rich.text import Text

        console = self._rich()
        for line in lines:
            console.print(Text.assemble(*((text, style) for text, style in line)), soft_wrap=True)

    def diff(self, patch: bytes) -> None:
        """Print a diff to stdout: every byte as it is, or coloured on a terminal."""
        if not self.colour:
            self.data(patch)
            return
        from rich.text import Text

        console = self._rich()
        for line, style in _diff_styles(patch):
            text = line.decode("utf-8", "replace").removesuffix("\r")
            shown = "\t".join(printable(part) for part in text.split("\t"))
            console.print(Text(shown, style), soft_wrap=True)

    def text(self, text: str) -> None:
        """Print text to stdout as UTF-8, whatever the locale says."""
        self.data(text.encode("utf-8", "surrogateescape"))

    def data(self, data: bytes) -> None:
        """Print bytes to stdout."""
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def note(self, text: str) -> None:
        """Print a line of talk to stderr, after the results so far."""
        sys.stdout.flush()
        data = printable(text).encode("utf-8", "replace") + b"\n"
        sys.stderr.flush()
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()

    def notes(self, lines: Iterable[Line]) -> None:
        """Print styled lines, without their styles, to stderr."""
        for line in lines:
            self.note(plain(line))

    @contextmanager
    def progress(self, what: str) -> Iterator[Progress | None]:
        """Show a bar on stderr while the body runs; yields None when nobody would see it."""
        if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
            yield None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        console = Console(stderr=True, markup=False, highlight=False)
        # No thread that refreshes: the engine forks, which is safe only in a single thread.
        with Bar(*columns, console=console, transient=True, auto_refresh=False) as bar:
            task = bar.add_task(what, total=None)
            last = 0.0

            def told(done: int, total: int) -> None:
                nonlocal last
                now = time.monotonic()
                bar.update(task, completed=done, total=total, refresh=now - last > REFRESH)
                last = now if now - last > REFRESH else last

            yield told

    def _rich(self) -> Console:
        if self._console is None:
            from rich.console import Console
            from rich.theme import Theme

            self._console = Console(
                theme=Theme(STYLES, inherit=False), markup=False, highlight=False, emoji=False
            )
        return self._console


def _diff_styles(patch: bytes) -> Iterator[tuple[bytes, str]]:
    """Yield every line of a diff with the name of its style."""
    in_header = True
    for line in patch.removesuffix(b"\n").split(b"\n") if patch else ():
        if line.startswith(b"diff --git "):
            in_header = True
        elif line.startswith(b"@@ "):
            in_header = False
        if in_header and line.startswith(_DIFF_HEADERS):
            yield line, "diff.header"
        elif line.startswith(b"@@ "):
            yield line, "diff.place"
        else:
            yield line, {b"+": "diff.added", b"-": "diff.removed"}.get(line[:1], "")


def _coloured(stream: TextIO) -> bool:
    """Return whether colour is wanted: NO_COLOR, then FORCE_COLOR, then is it a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"
