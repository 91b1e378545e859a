"""A Sleep that stood for a Wait: what replaces it, with the comments that spoke of the time.

// Give them a moment.        →      wg.Wait()
time.Sleep(settle)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import (
    add_import,
    delete,
    import_entries,
    import_name,
    remove_import,
    replace,
)
from threadmend.golang.builders.lines import leading_start
from threadmend.golang.file import GoFile
from threadmend.golang.scope import resolve_local
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = [
    "is_pause_before",
    "kept_time",
    "replaced_sleep",
    "sync_for_time",
    "uses_time_elsewhere",
    "without_time",
]

_SLEEP = re.compile(rb"time\.Sleep\(.*\)", re.DOTALL)

# What a comment says of a Sleep and not of a Wait: how long, or that it is hoped to be enough.
_OF_TIME = re.compile(
    rb"(?i)\b(?:moments?|sleep(?:s|ing)?|pause|seconds?|millis\w*|\d+ ?m?s|ms|a while|long enough"
    rb"|(?:some|enough|more|little|them|it) time|a (?:bit|little|tick|chance)|hope(?:fully)?"
    rb"|settle|should be (?:enough|done|ready|over)|by now)\b"
)
_DIRECTIVE = re.compile(rb"//(?:nolint|lint:|go:|\s*(?:TODO|FIXME)|\s*nolint)|/\*")


def replaced_sleep(sleep: Node, code: str) -> tuple[Edit, ...]:
    """Return the edits that put code where a Sleep was; comments about the time go with it.

    Without code, the Sleep goes.
    """
    tree, source = sleep.tree, sleep.tree.source
    edits = list(replace(sleep, code) if code else delete(sleep))
    start = leading_start(tree, sleep.start)
    line = source.line_start(sleep.start)
    above = tree.comments_in(start, line)
    # One comment may go over several lines: all of them, or none.
    if above and _is_stale(b"\n".join(tree.data[c.start : c.end] for c in above)):
        edits.append(Edit(sleep.path, start, line, b""))
    stop = source.line_start(sleep.end)
    newline = tree.data.find(b"\n", stop)
    behind = tree.comments_in(sleep.end, newline if newline >= 0 else len(tree.data))
    if code and len(behind) == 1 and _is_stale(tree.data[behind[0].start : behind[0].end]):
        if not tree.data[sleep.end : behind[0].start].strip():
            edits.append(Edit(sleep.path, sleep.end, behind[0].end, b""))
    return tuple(edits)


def _is_stale(comment: bytes) -> bool:
    return _OF_TIME.search(comment) is not None and _DIRECTIVE.search(comment) is None


def is_pause_before(file: GoFile, node: Node | None) -> bool:
    """Return whether a statement is a Sleep that can go without leaving a name unused."""
    if node is None or node.kind != "expression_statement" or not _SLEEP.fullmatch(node.text):
        return False
    if any(resolve_local(n) is not None for n in node.find("identifier")):
        return False
    return import_name(file.tree, "sync") is not None or uses_time_elsewhere(file, node)


def uses_time_elsewhere(file: GoFile, sleep: Node) -> bool:
    """Return whether the import of `time` is still needed without a Sleep."""
    return any(not sleep.start <= use < sleep.end for use in _uses_of_time(file))


def kept_time(file: GoFile, sleep: Node) -> tuple[Edit, ...]:
    """Return edits that change nothing and keep a Sleep and another use of `time` apart.

    The fixes of all Sleeps of a file, made at once, would leave the import that each of them
    counts on the others for. So those of the first and of the last use both lay claim to it:
    one of them waits for the next round, where it may be the only use and takes the import along.
    """
    uses = list(_uses_of_time(file))
    entry = next((e for e in import_entries(file.tree) if e.path == "time"), None)
    last = sleep.start <= uses[-1] < sleep.end
    if entry is None or not (last or sleep.start <= uses[0] < sleep.end):
        return ()
    path = entry.node["path"]
    start, end = path.start + 1, path.end - 1 - last
    return (Edit(file.path, start, end, file.data[start:end]),)


def _uses_of_time(file: GoFile) -> Iterator[int]:
    """Yield where the code of a file, not its comments, names the package."""
    comments = file.tree.comments
    for use in re.finditer(rb"\btime\.", file.data):
        if not any(c.start <= use.start() < c.end for c in comments):
            yield use.start()


def without_time(file: GoFile, sleep: Node) -> tuple[Edit, ...]:
    """Return the edits that take the import of `time` away where only a Sleep needed it."""
    return () if uses_time_elsewhere(file, sleep) else remove_import(file.tree, "time")


def sync_for_time(file: GoFile, sleep: Node) -> tuple[Edit, ...]:
    """Return the edits that import `sync`, for a WaitGroup in place of a Sleep of the file."""
    known = import_name(file.tree, "sync") is not None
    if uses_time_elsewhere(file, sleep):
        return (*kept_time(file, sleep), *(() if known else add_import(file.tree, "sync")))
    if known:
        return remove_import(file.tree, "time")
    entries = import_entries(file.tree)
    own = next(entry for entry in entries if entry.path == "time")
    if sum(entry.declaration is own.declaration for entry in entries) > 1:
        return (*add_import(file.tree, "sync"), *remove_import(file.tree, "time"))
    path = own.node["path"]
    return (Edit(file.path, path.start, path.end, b'"sync"'),)
