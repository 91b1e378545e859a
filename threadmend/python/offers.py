"""Helpers of the project that run a parameter of theirs in a thread: `def start(work): …`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.python.elements import iterated, unpacked
from threadmend.python.methodcalls import method_calls
from threadmend.python.runners import runners_of
from threadmend.python.scope import Scope

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function
    from threadmend.python.project import PythonProject
    from threadmend.python.threads import Spawn

__all__ = [
    "KINDS",
    "Offer",
    "foreign_offers",
    "helped",
    "offers",
    "parameter_of",
    "run_names",
]

_MANY = 60
"""Files of a project: of a larger one each process would read most for a few helpers."""

KINDS = frozenset({"thread", "timer", "submit", "map", "executor", "to_thread", "pool"})
_WAITS = frozenset({"join", "result", "wait"})


@dataclass(frozen=True, slots=True)
class Offer:
    """A helper that runs a parameter in a thread, or with `many` the elements of a parameter."""

    helper: Function
    name: str
    many: bool
    args: tuple[ast.expr, ...] | ast.expr | None
    spawn: Spawn
    cls: Class | None = None
    """The class that keeps the parameter of its `__init__`, and whose thread runs it."""
    hook: str = ""
    """In its place the attribute that is set later: `fetcher.on_page = stats.page_done`."""

    @property
    def called(self) -> str:
        """Return the name by which it is called."""
        return self.helper.name if self.cls is None else self.cls.name


def offers(file: PythonFile, spawns: list[Spawn]) -> list[Offer]:
    """Return the helpers of a file, by its spawns."""
    found = []
    for spawn in spawns:
        for node, args in run_names(file, spawn) if spawn.kind in KINDS else ():
            helper, name, many = parameter_of(file, node)
            if helper is not None and (spawn.many or not _waits(helper)):
                found.append(Offer(helper, name, many, args, spawn))
        kept = runners_of(spawn)
        found += [Offer(r.init, r.name, False, r.args, spawn, r.cls, r.hook) for r in kept]
    return found


def foreign_offers(file: PythonFile) -> list[Offer]:
    """Return the helpers of other files that a file names."""
    return [
        offer
        for name, some in _known(file.project).items()
        if file.encode(name) in file.data
        for offer in some
        if offer.helper.file is not file
    ]


def _known(project: PythonProject) -> dict[str, list[Offer]]:
    """Return the helpers of a project by name, where it is small enough to be asked for all."""
    from threadmend.python.threads import STARTS, plain_spawns

    known: dict[str, list[Offer]] | None = project.__dict__.get("_offers")
    if known is None:
        known = project.__dict__["_offers"] = {}
        for other in project.files(STARTS, tests=False) if len(project.paths) <= _MANY else ():
            for offer in offers(other, plain_spawns(other)):
                known.setdefault(offer.called, []).append(offer)
    return known


def helped(project: PythonProject) -> Iterator[PythonFile]:
    """Yield the files that hand functions to helpers of other files; they may not speak of
    threads themselves.
    """
    names = [name.encode() for name in _known(project)]
    for path in project.paths if names else ():
        if any(name in project.source(path).data for name in names):
            file = project.readable(path)
            if file is not None and not file.is_test and any(
                spawn.through is not None and spawn.through.file is not file
                for spawn in file.spawns
            ):  # fmt: skip
                yield file


def _waits(helper: Function) -> bool:
    """Return whether a helper waits for what it has started: then one runs after the other."""
    waits = {call for call, _ in method_calls(helper.file, *sorted(_WAITS))}
    return not waits.isdisjoint(helper.calls)


def run_names(
    file: PythonFile, spawn: Spawn
) -> Iterator[tuple[ast.Name, tuple[ast.expr, ...] | ast.expr | None]]:
    """Yield the names of functions that a spawn runs, with their arguments."""
    target = spawn.target
    if target is None:
        if isinstance(spawn.target_node, ast.Name):
            yield spawn.target_node, _arguments_of(spawn)
    elif target.outer is not None and target.file is file:
        for call in target.calls:
            if isinstance(call.func, ast.Name):
                yield call.func, None if call.keywords else tuple(call.args)


def _arguments_of(spawn: Spawn) -> tuple[ast.expr, ...] | ast.expr | None:
    """Return the arguments of a spawn: of a constructor `args=args`, the name alone."""
    if spawn.args is None and isinstance(spawn.node, ast.Call):
        return next((k.value for k in spawn.node.keywords if k.arg == "args"), None)
    return spawn.args


def parameter_of(file: PythonFile, node: ast.Name) -> tuple[Function | None, str, bool]:
    """Return the function and the parameter that a name is, and whether the name is an element
    of that: `for work in works`, `for number, work in enumerate(works)`.
    """
    binding = file.binding(node)
    if binding is None or len(binding.sites) != 1:
        return None, "", False
    site = binding.sites[0]
    if site.kind in {"for", "unpack"}:
        is_plain = site.kind == "for"
        holder = iterated(file, site.value) if is_plain else unpacked(file, site.node)
        if holder is None or holder[1] or not isinstance(holder[0], ast.Name):
            return None, "", False
        helper, name, many = parameter_of(file, holder[0])
        return (None, "", False) if many else (helper, name, True)
    if site.kind != "parameter":
        return None, "", False
    helper = _owner(file, binding.scope)
    return helper, binding.name, False


def _owner(file: PythonFile, scope: Scope) -> Function | None:
    function = file.function(scope.node)
    return function if function is not None and function.node is scope.node else None
