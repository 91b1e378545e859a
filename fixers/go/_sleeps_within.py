"""Loops that sleep in a function of their own, `p.pause(try)`, which knows no context."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.builders import (
    BuilderError,
    add_argument,
    add_import,
    add_parameter,
    free_name,
    import_name,
    insert_after,
    replace,
    taken_names,
)
from threadmend.golang.families import CannotFollow, Family, family
from threadmend.golang.file import GoFile
from threadmend.golang.functions import result_nodes
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.leaving import leave_at
from threadmend.golang.locks import declaration_of
from threadmend.golang.package import Decl
from threadmend.golang.stops import Stop, contexts_at, listens, stops_at
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Fix, Safety

__all__ = ["Pause", "paused"]

_CODE = """\
{timer} := {package}.NewTimer({duration})
select {{
case <-{ctx}.Done():
	{timer}.Stop()
case <-{timer}.C:
}}"""


@dataclass(frozen=True, slots=True)
class Pause:
    """A call in a loop of a function that only sleeps, and the context that goes unheard."""

    call: Node
    file: GoFile
    loop: Node
    stop: Stop
    fix: Fix | str


def paused(file: GoFile, sleep: Node) -> Iterator[Pause]:
    """Yield the loops that call the function around a Sleep, which takes no context.

    The function is the project's own, returns nothing, ends with the Sleep, and every call of
    it has a context at hand.
    """
    body, statement = sleep.function, sleep.parent
    decl = declaration_of(file, body) if body is not None else None
    if decl is None or decl.exported or file.is_test or body is None or statement is None:
        return
    if innermost_loop(sleep) is not None or result_nodes(body) or contexts_at(file, sleep):
        return
    if statement.parent is not body["body"] or statement.next is not None:
        return
    try:
        found = family(decl)
    except CannotFollow:
        return
    if found.interfaces or len(found.decls) != 1:
        return
    contexts = [_context(site.file, site.call) for site in found.sites if site.call is not None]
    if not contexts or None in contexts:
        return
    fix = _fix(file, decl, sleep, found)
    for site in found.sites:
        loop = innermost_loop(site.call) if site.call is not None else None
        context = _context(site.file, site.call) if site.call is not None else None
        if site.call is not None and loop is not None and context is not None:
            yield Pause(site.call, site.file, loop, context, fix)
            return


def _context(file: GoFile, call: Node) -> Stop | None:
    """Return the context at hand where the function is called, as a statement."""
    if call.parent is None or call.parent.kind != "expression_statement":
        return None
    return next((s for s in stops_at(file, call) if s.context), None)


def _fix(file: GoFile, decl: Decl, sleep: Node, found: Family) -> Fix | str:
    """Let the function take the context, and its callers leave when it is done.

    Sound: nothing of a loop's body runs that did not run before.
    """
    assert sleep.parent is not None
    imports = [i.name for i in file.imports]
    taken = taken_names(decl.node, names=[*file.package.names, *imports])
    context = import_name(file.tree, "context") or "context"
    name = free_name("ctx", taken)
    code = _CODE.format(
        timer=free_name("timer", taken),
        package=sleep["function"]["operand"].name,
        duration=sleep["arguments"].children[0].name,
        ctx=name,
    )
    try:
        edits: tuple[Edit, ...] = replace(sleep.parent, code)
        edits += tuple(add_parameter(decl.node, name, f"{context}.Context", index=0))
        if import_name(file.tree, "context") is None:
            edits += add_import(file.tree, "context")
        for site in found.sites:
            assert site.call is not None
            stop = _context(site.file, site.call)
            assert stop is not None
            edits += tuple(add_argument(site.call, stop.context))
            checked = _checked(site.file, site.call, stop)
            if isinstance(checked, str):
                return checked
            edits += checked
    except BuilderError as error:
        return str(error)
    title = f"Let {decl.name} wait on a timer and the context"
    return Fix(title, edits, Safety.UNSAFE, "the loop now ends when the context does")


def _checked(file: GoFile, call: Node, stop: Stop) -> tuple[Edit, ...] | str:
    """Leave a loop behind the pause when the context is done, unless the loop looks itself."""
    loop, statement = innermost_loop(call), call.parent
    if loop is None or statement is None or listens(file, loop):
        return ()
    leave = leave_at(file, call, stop)
    if isinstance(leave, str):
        return leave
    code = f"if {stop.context}.Err() != nil {{\n\t{leave.code}\n}}"
    return leave.edits + insert_after(statement, code)
