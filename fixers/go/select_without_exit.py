"""Let an endless select loop of a goroutine listen to the context or stop channel in scope

The goroutine selects for ever; nothing that happens outside can end it. The context that it
was given, or the stop channel that the rest of the package closes, is in scope, and the loop
does not listen: every call that starts this goroutine leaves one behind.

Not reported: a loop that one of its cases leaves, a select with a default, a goroutine that
has nothing to listen to.

Unsafe: the goroutine now ends when the context does.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, add_case
from threadmend.golang.file import GoFile
from threadmend.golang.functions import leave_with
from threadmend.golang.goroutines import launch_sites, launches
from threadmend.golang.stops import Stop, endless, leaves_loop, listens, stops_at
from threadmend.golang.syntax import Node
from threadmend.model import Finding, Fix, Safety

from ._stop_cases import deserted

CATEGORY = "select"
GATE = rb"\bselect\b"


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the endless select loops of goroutines that ignore what could end them."""
    for body in _bodies(file):
        for loop in body.own():
            if loop.kind != "for_statement" or not endless(loop) or leaves_loop(loop):
                continue
            selects = [n for n in loop["body"].statements if n.kind == "select_statement"]
            if len(selects) != 1 or _has_default(selects[0]) or listens(file, loop):
                continue
            stops = stops_at(file, selects[0])
            if stops:
                yield _finding(file, body, selects[0], stops[0])


def _bodies(file: GoFile) -> Iterator[Node]:
    """Yield the functions of this file that some goroutine of the package runs."""
    for launch in launches(file):
        if launch.literal is not None and launch.kind != "timer":
            yield launch.literal
    for sites in launch_sites(file.package).values():
        body = sites[0].body
        if body is not None and body.path == file.path and body.kind != "func_literal":
            yield body


def _has_default(select: Node) -> bool:
    return any(c.kind == "default_case" for c in select.children)


def _finding(file: GoFile, body: Node, select: Node, stop: Stop) -> Finding:
    fix, reason = _fix(file, body, select, stop)
    return Finding(
        path=file.path,
        start=select.start,
        end=select.start + len("select"),
        message=f"the goroutine selects for ever and does not listen to {stop.receive}",
        fixes=(fix,) if fix else (),
        reason=reason,
    )


def _fix(file: GoFile, body: Node, select: Node, stop: Stop) -> tuple[Fix | None, str]:
    leave = leave_with(body, f"{stop.context}.Err()" if stop.context else "")
    if leave is None:
        return None, "what the function should return then cannot be told"
    try:
        edits = add_case(select, f"<-{stop.receive}", leave)
    except BuilderError as error:
        return None, str(error)
    edits += deserted(file, select, stop)
    title = f"Leave the loop when {stop.receive} is ready"
    return Fix(title, edits, Safety.UNSAFE, "the goroutine now ends with it"), ""
