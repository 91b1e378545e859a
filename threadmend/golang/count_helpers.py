"""Helpers that only count: functions that consist of one call on a WaitGroup, and their calls.

func (q *queue) done() { q.open.Done() }   // q.done() is q.open.Done()
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.one_liners import naming, near, one_liners, only_call
from threadmend.golang.syntax import Node
from threadmend.golang.waitgroups import (
    WAITGROUP_CALLS,
    WaitGroupCall,
    waitgroup_call,
    waitgroup_calls,
)
from threadmend.golang.wording import translated

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package

__all__ = [
    "HelpedCall",
    "count_call",
    "count_calls",
    "counted_fields",
    "counts",
    "helper_names",
    "home",
    "said",
    "waits",
]

_LONGEST = 200

_Helpers = dict["Package", dict[tuple[str, int], WaitGroupCall]]


@dataclass(slots=True)
class HelpedCall(WaitGroupCall):
    """A call of a helper; `inner` is what the helper does, in the words of its `decl`."""

    inner: WaitGroupCall
    decl: Decl


def count_call(file: GoFile, call: Node) -> WaitGroupCall | None:
    """Return the operation that a call is, or that the helper which it calls consists of."""
    direct = waitgroup_call(file, call)
    if direct is not None:
        return direct
    helpers = _helpers(file.package)
    decl = file.callee(call) if any(helpers.values()) else None
    inner = _operation(helpers, decl) if decl is not None else None
    if decl is None or inner is None:
        return None
    access = translated(file, call, decl.node, inner.access)
    return HelpedCall(call, inner.method, inner.waitgroup, access, inner, decl)


def count_calls(file: GoFile, function: Node) -> list[WaitGroupCall]:
    """Return the operations of a function itself and its calls of helpers, in source order."""
    found = list(waitgroup_calls(file, function))
    if any(_helpers(file.package).values()):
        known = {operation.call for operation in found}
        for node in function.own():
            if node.kind == "call_expression" and node not in known:
                helped = count_call(file, node)
                if helped is not None:
                    found.append(helped)
        found.sort(key=lambda operation: operation.call.start)
    return found


def waits(file: GoFile, call: Node) -> bool:
    """Return whether a call is a Wait, of whatever it is, or of a function that waits each time."""
    function = call["function"]
    if function.kind == "selector_expression" and function["field"].name == "Wait":
        return True
    found = count_call(file, call)
    if found is not None:
        return found.method == "Wait"
    decl = file.callee(call)
    return decl is not None and _waits_each_time(decl)


def _waits_each_time(decl: Decl) -> bool:
    """Return whether a function waits for a group whatever happens: `close(p.work); p.wg.Wait()`.

    As a statement of its own, with no return in front of it.
    """
    known: dict[tuple[str, int], bool] = decl.file.package.facts.setdefault("waits each time", {})
    if decl.key not in known:
        known[decl.key] = _find_wait(decl)
    return known[decl.key]


_GROUP_WAITS = re.compile(rb"\.Wait\(\)")


def _find_wait(decl: Decl) -> bool:
    if not decl.sound or not decl.has_body or not _GROUP_WAITS.search(decl.file.data, *decl.span):
        return False
    for statement in decl.node["body"].statements:
        if any(node.kind == "return_statement" for node in statement.own()):
            return False
        call = statement.children[0] if statement.kind == "expression_statement" else None
        found = waitgroup_call(decl.file, call) if call and call.kind == "call_expression" else None
        if found is not None and found.method == "Wait":
            return True
    return False


def counted_fields(package: Package, root: Node, method: str) -> set[str]:
    """Return the last names of the WaitGroups that code calls a method of, or has called."""
    data, start, end = root.tree.data, root.start, root.end
    found = re.findall(rf"\.(\w+)\.{method}\(".encode(), data[start:end])
    fields = {name.decode() for name in found}
    searched = counts(package, method).search(data, start, end)
    for decl, operation in _callable(package, method) if searched else ():
        if operation.access is None:
            continue
        if operation.access.steps and re.search(naming([decl.name]), data[start:end]):
            fields.add(operation.access.steps[-1])
    return fields


def counts(package: Package, method: str) -> re.Pattern[bytes]:
    """Return what code looks like that calls a method of a WaitGroup, itself or by a helper."""
    known: dict[str, re.Pattern[bytes]] = package.facts.setdefault("counts", {})
    if method not in known:
        names = {decl.name for decl, _ in _callable(package)}
        words = b"|" + naming(names) if names else b""
        known[method] = re.compile(rf"\.{method}\(".encode() + words)
    return known[method]


def helper_names(package: Package, method: str) -> list[str]:
    """Return the names of the helpers that consist of a call of a WaitGroup's method."""
    return sorted({decl.name for decl, _ in _callable(package, method)})


def home(file: GoFile, operation: WaitGroupCall) -> tuple[GoFile, WaitGroupCall]:
    """Return the operation on the WaitGroup itself, and the file that it stands in."""
    if isinstance(operation, HelpedCall):
        return operation.decl.file, operation.inner
    return file, operation


def said(operation: WaitGroupCall) -> str:
    """Return an operation without arguments as it is written: `wg.Done`, `q.done`."""
    if isinstance(operation, HelpedCall):
        return operation.call["function"].name
    return f"{operation.waitgroup.name}.{operation.method}"


def _helpers(package: Package) -> _Helpers:
    """Return, by package and `Decl.key`, the functions whose body is one Done or Wait or `Add(1)`.

    A Wait may be of a parameter, and one that another helper does. Those of imported packages too.
    """
    known: _Helpers | None = package.facts.get("near helpers")
    if known is None:
        # The maps themselves: one is being filled where a helper of a helper is asked about.
        known = package.facts["near helpers"] = {
            p: one_liners(p, "count_helpers", _only_operation, _wait_behind) for p in near(package)
        }
    return known


def _operation(helpers: _Helpers, decl: Decl) -> WaitGroupCall | None:
    """Return what a function consists of, if it is a helper."""
    return helpers.get(decl.file.package, {}).get(decl.key)


def _callable(package: Package, method: str = "") -> Iterator[tuple[Decl, WaitGroupCall]]:
    """Yield the helpers that a package can call, its own and those of the packages it imports.

    Those that call this method, if one is given.
    """
    for each, helpers in _helpers(package).items():
        for key, operation in helpers.items():
            decl = each.function_at(*key)
            if decl is not None and (each is package or decl.exported):
                if not method or operation.method == method:
                    yield decl, operation


def _wait_behind(decl: Decl, calls: re.Pattern[bytes]) -> WaitGroupCall | None:
    call = only_call(decl, calls, _LONGEST)
    operation = count_call(decl.file, call) if call is not None else None
    if operation is None or operation.access is None or operation.method != "Wait":
        return None
    return operation


def _only_operation(decl: Decl) -> WaitGroupCall | None:
    call = only_call(decl, WAITGROUP_CALLS, _LONGEST)
    operation = waitgroup_call(decl.file, call) if call is not None else None
    if operation is None or operation.access is None or operation.method == "Go":
        return None
    if operation.method != "Wait" and decl.node["parameters"].children:
        return None
    if operation.method == "Add" and (operation.count is None or operation.count.text != b"1"):
        return None
    return operation
