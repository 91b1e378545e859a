"""A sync.Once that a method replaces, so that the work is done again.

    func (s *source) Reload() { s.once = sync.Once{} }

`Do` may run at the same time: it then writes into a value that is being replaced, and what it
sets up is read beside the next one that does it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import with_reason
from threadmend.golang.calls import code_files
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.functions import method_call, outer_function
from threadmend.golang.package import Package
from threadmend.golang.races import explained
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named
from threadmend.model import Confidence, Finding, Related

from ._new_lock import guard_fields

__all__ = ["once_replaced"]

_REPLACES = re.compile(rb"=\s*sync\.Once\{\}")


def once_replaced(package: Package) -> Iterator[Finding]:
    """Yield the assignments of a fresh Once to a field on which other methods call Do."""
    for file in code_files(package):
        if file.generated:
            continue
        for statement in file.find("assignment_statement", _REPLACES):
            target = statement["left"].children[0]
            if target.kind != "selector_expression" or statement["right"].text != b"sync.Once{}":
                continue
            if is_named(file.type_of(target), "sync.Once"):
                yield from _replaced(package, file, target)


def _replaced(package: Package, file: GoFile, target: Node) -> Iterator[Finding]:
    access = FieldAccess.at(file, target)
    function = outer_function(target)
    if access.setup or access.fresh or access.held or explained(file, target) or function is None:
        return
    if not function["name"].name[:1].isupper() or access.base is None:
        return
    calls = [
        other
        for other in accesses_like(package, file, target)
        if _done(other.node) is not None
        and not other.held
        and outer_function(other.node) not in {function, None}
    ]
    if not calls:
        return
    racing = [access, *(a for call in calls for a in _set_up(call))]
    fix, reason = with_reason(guard_fields)(
        package, _one_each(racing), {outer_function(a.node) for a in racing}
    )
    first = calls[0]
    yield Finding(
        path=file.path,
        start=target.start,
        end=target.end,
        message=f"{target.name} is replaced while another goroutine may be in its Do",
        fixes=(fix,) if fix is not None else (),
        related=(Related(first.file.path, first.node.start, first.node.end, "Do is called here"),),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


def _done(once: Node) -> Node | None:
    """Return the call of `once.Do(…)` that an expression begins."""
    call = method_call(once)
    return call if call is not None and call["function"]["field"].name == "Do" else None


def _set_up(call: FieldAccess) -> Iterator[FieldAccess]:
    """Yield the writes of the same object's fields in the literal that Do runs."""
    done = _done(call.node)
    arguments = done["arguments"].children if done is not None else []
    if len(arguments) != 1 or arguments[0].kind != "func_literal":
        return
    owner = call.place.rpartition(".")[0] if call.place else ""
    for node in arguments[0].find("selector_expression"):
        access = FieldAccess.at(call.file, node)
        if access.writes and access.place and access.place.rpartition(".")[0] == owner:
            yield access


def _one_each(accesses: list[FieldAccess]) -> list[FieldAccess]:
    return list({a.place: a for a in accesses}.values())
