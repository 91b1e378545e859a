"""Items that a context manager lends: `with inbox.claim() as item:`, where `claim` takes one from a
queue of the object and yields it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from threadmend.model import Edit
from threadmend.python.builders import BuilderError, free_name, is_alone, replace_statement, wrap
from threadmend.python.file import PythonFile
from threadmend.python.flow import after
from threadmend.python.queues import QueueUse

__all__ = ["Lent", "lent"]

_MANAGERS = frozenset({"contextlib.contextmanager"})


@dataclass(frozen=True, slots=True, eq=False)
class Lent:
    """`yield q.get()`, or `item = q.get()` with `yield item` behind it (`given`), of a context
    manager; `queue` is how it is written there.
    """

    call: ast.Call
    given: ast.Expr
    queue: str
    is_named: bool

    def edits(self, file: PythonFile) -> tuple[Edit, ...]:
        """Return the edits that report the item as done when the block ends."""
        done = f"finally:\n    {self.queue}.task_done()"
        if self.is_named:
            return wrap(file, [self.given], "try:", done)
        if not is_alone(file, self.given) or b"#" in file.data[slice(*file.span(self.given))]:
            raise BuilderError("the statement shares its line with another one")
        name = free_name(file, "item", self.given)
        taken = f"{name} = {file.text(self.call)}\ntry:\n    yield {name}\n{done}"
        return replace_statement(file, self.given, taken)


def lent(file: PythonFile, use: QueueUse) -> list[Lent]:
    """Return the context managers that alone take items of a queue; none where something else takes
    some, or other files may report one as done.
    """
    found = [_lent(file, use, call) for call in use.gets]
    known = [one for one in found if one is not None]
    if len(known) < len(found) or _may_be_done_elsewhere(file, use):
        return []
    return known


def _lent(file: PythonFile, use: QueueUse, call: ast.Call) -> Lent | None:
    manager = file.function(call)
    if manager is None or _MANAGERS.isdisjoint(manager.decorators) or call in use.written:
        return None
    yields = [node for node in manager.own if isinstance(node, ast.Yield)]
    given = file.parent(yields[0]) if len(yields) == 1 else None
    if not isinstance(given, ast.Expr):
        return None
    queue = use.text(file, call)
    if yields[0].value is call:
        return Lent(call, given, queue, is_named=False)
    taken = file.parent(call)
    name = taken.targets[0] if isinstance(taken, ast.Assign) else None
    item = yields[0].value
    if not isinstance(name, ast.Name) or not isinstance(item, ast.Name) or item.id != name.id:
        return None
    assert isinstance(taken, ast.Assign)
    return Lent(call, given, queue, is_named=True) if after(taken)[:1] == [given] else None


def _may_be_done_elsewhere(file: PythonFile, use: QueueUse) -> bool:
    """Return whether another file reports items of a queue of that name as done."""
    name = use.place.name.rpartition(".")[2]
    called = file.encode(f"{name}.task_done(")
    project = file.project
    return any(called in project.source(path).data for path in project.paths if path != file.path)
