"""Objects with a thread that fills a queue of theirs without end: one method joins the thread,
others take from the queue. Whoever has such an object has to take first.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from threadmend.model import Edit
from threadmend.python.builders import (
    BuilderError,
    delete,
    free_name,
    insert_after,
    is_alone,
    replace_statement,
    with_comment,
)
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, innermost_loop, leaves, walk
from threadmend.python.functions import Function
from threadmend.python.project import PythonProject
from threadmend.python.queues import QueueUse, queues_of
from threadmend.python.threads import Spawn, reached

__all__ = ["Early", "early"]

_BOUNDED = re.compile(rb"Queue\(\s*[^)\s]|\bmultiprocessing\b")
"""A queue is made with an argument: its limit. That of a pipe is there anyway."""

_PIPES = frozenset({"multiprocessing.Queue", "multiprocessing.JoinableQueue"})


@dataclass(slots=True, eq=False)
class _Feeder:
    """A class: its methods that join the thread, and those that take from the queue."""

    use: QueueUse
    joiners: set[Function] = field(default_factory=set)
    takers: set[Function] = field(default_factory=set)


@dataclass(frozen=True, slots=True, eq=False)
class Early:
    """A call that joins (`joins`), and the statement behind it that takes what it waits for."""

    call: ast.Call
    joins: ast.stmt
    takes: ast.stmt
    queue: str

    def edits(self, file: PythonFile) -> tuple[Edit, ...]:
        """Return the edits that join behind what takes."""
        between = after(self.joins)
        between = between[: between.index(self.takes) + 1]
        if not is_alone(file, self.joins) or not is_alone(file, self.takes):
            raise BuilderError("the statement shares its line with another one")
        left = between if not isinstance(self.takes, ast.Return) else between[:-1]
        if leaves(left) or any(isinstance(n, ast.Break) for n in walk(self.takes)):
            raise BuilderError("the code that empties the queue may leave before it is empty")
        named = [n for n in walk(self.joins) if isinstance(n, ast.Name)]
        used = [n for n in walk(between) if isinstance(n, ast.Name)]
        mine = {n.id for n in named if _is_stored(n)}
        changed = {n.id for n in used if _is_stored(n)}
        if any(n.id in mine for n in used) or any(n.id in changed for n in named):
            raise BuilderError("what comes in between needs the result")
        gone, text = delete(file, self.joins, comments=False), with_comment(file, self.joins)
        if isinstance(self.takes, ast.Return) and self.takes.value is not None:
            name = free_name(file, "result", self.takes)
            value = file.text(self.takes.value)
            whole = f"{name} = {value}\n{text}\nreturn {name}"
            return (*gone, *replace_statement(file, self.takes, whole))
        return (*gone, *insert_after(file, self.takes, text))


def _is_stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def early(file: PythonFile) -> Iterator[Early]:
    """Yield the calls of a function that join the thread of an object which it has made, before it
    takes what that has put.
    """
    feeders = _feeders(file.project)
    joiners = {f: one for one in feeders.values() for f in one.joiners}
    for call in file.calls(*{f.name for f in joiners}) if joiners else ():
        function = file.function(call)
        callee = None if function is None else function.callees.get(call)
        statement = file.parent(call)
        if callee is None or not isinstance(statement, ast.Expr | ast.Assign):
            continue
        feeder = joiners.get(callee)
        if feeder is None or not isinstance(call.func, ast.Attribute):
            continue
        found = _taken_behind(file, feeder, call.func.value, statement)
        if found is not None:
            yield Early(call, statement, found, feeder.use.place.name)


def _taken_behind(
    file: PythonFile, feeder: _Feeder, node: ast.expr, joins: ast.stmt
) -> ast.stmt | None:
    """Return the statement behind a join that alone takes from an object, which the function has
    made and hands to nobody.
    """
    binding = file.binding(node)
    if binding is None or [site.kind for site in binding.sites] != ["assign"]:
        return None
    site = binding.sites[0]
    if binding.scope.kind != "function" or not isinstance(site.value, ast.Call):
        return None
    if file.function(site.value) is not file.function(joins):
        return None
    takes = [use for use in file.uses(binding) if _takes(file, feeder, use)]
    if not takes or not all(_is_known(file, use) for use in file.uses(binding)):
        return None
    found = [s for s in after(joins) if any(use in walk(s) for use in takes)]
    if any(not any(use in walk(s) for s in found) for use in takes):
        return None
    return found[-1] if found else None


def _takes(file: PythonFile, feeder: _Feeder, use: ast.Name) -> bool:
    above = file.parent(use)
    if isinstance(above, ast.Attribute):
        if any(taker.name == above.attr for taker in feeder.takers):
            return True
        taken = file.parent(above)
        is_queue = above.attr == feeder.use.place.name.rpartition(".")[2]
        return is_queue and isinstance(taken, ast.Attribute) and taken.attr == "get"
    return _is_looped(above, use) and any(t.name == "__iter__" for t in feeder.takers)


def _is_looped(above: ast.AST | None, use: ast.Name) -> bool:
    return isinstance(above, ast.For | ast.comprehension) and above.iter is use


def _is_known(file: PythonFile, use: ast.Name) -> bool:
    above = file.parent(use)
    return _is_stored(use) or isinstance(above, ast.Attribute) or _is_looped(above, use)


def _feeders(project: PythonProject) -> dict[Class, _Feeder]:
    known: dict[Class, _Feeder] | None = project.__dict__.get("_feeders")
    if known is None:
        known = project.__dict__["_feeders"] = {}
        for file in project.files(b".join()", _BOUNDED, tests=False):
            for use in queues_of(file):
                found = _feeder(file, use)
                if found is not None:
                    known[found[0]] = found[1]
    return known


def _feeder(file: PythonFile, use: QueueUse) -> tuple[Class, _Feeder] | None:
    """Return the class that has a queue of limited length and threads, or processes, that fill
    it: it is emptied by methods of the class, or by who has the object.
    """
    is_pipe = use.value.type in _PIPES
    if use.place.kind != "attribute" or use.escapes:
        return None
    cls = file.project.class_named(use.place.owner)
    if cls is None or not (is_pipe or (use.is_bounded and use.value.type.startswith("queue."))):
        return None
    one = _Feeder(use)
    for spawn in file.spawns:
        starter = file.function(spawn.node)
        if spawn.target is None or spawn.kind != ("process" if is_pipe else "thread"):
            continue
        if starter is None or starter.cls is not cls:
            continue
        filling = reached(spawn.target)
        puts = [put for put in use.puts if file.function(put) in filling]
        if any(not is_pipe or innermost_loop(put) is not None for put in puts):
            one.joiners |= set(_joining(file, cls, spawn))
    takers = {file.function(get): get for get in use.gets}
    if not one.joiners or None in takers or not one.joiners.isdisjoint(takers):
        return None
    for taker, get in takers.items():
        if taker is not None and taker.cls is cls:
            one.takers.add(taker)
        elif not _is_of_object(get):
            return None
    return cls, one


def _is_of_object(get: ast.Call) -> bool:
    """Return whether a queue is that of an object which a variable has: `crew.results.get()`."""
    queue = get.func.value if isinstance(get.func, ast.Attribute) else None
    return isinstance(queue, ast.Attribute) and isinstance(queue.value, ast.Name)


def _joining(file: PythonFile, cls: Class, spawn: Spawn) -> Iterator[Function]:
    """Yield the methods that wait for a thread of their object, for as long as it takes."""
    for join in file.calls("join"):
        function, statement = file.function(join), file.parent(join)
        if join.args or join.keywords or function is None or function.cls is not cls:
            continue
        value = file.value(join.func.value) if isinstance(join.func, ast.Attribute) else None
        loop = file.parent(statement) if statement is not None else None
        top = loop if isinstance(loop, ast.For) and len(loop.body) == 1 else statement
        if value is not None and value.made is spawn.node and top in function.body:
            yield function
