"""Queues behind objects that workers share: one method puts what ends a worker, another one takes
the items.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from threadmend.python import api
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import innermost_loop
from threadmend.python.forwarded import only_call
from threadmend.python.functions import Function, function_of
from threadmend.python.queues import QueueUse
from threadmend.python.threads import Spawn, is_repeated, reached
from threadmend.python.uses import is_self

from ._sentinels import ending
from ._taken import Taken, taken
from ._workers import each, kept_as

__all__ = ["End", "ends"]


class End(NamedTuple):
    """The call of a method that ends one worker, `self._belt.stop()`, with the item that it puts
    as it is written there, where the workers are made, their list, and where each takes items.
    """

    call: ast.Call
    item: str
    spawn: Spawn
    workers: str
    taken: Taken


def ends(file: PythonFile) -> Iterator[End]:
    """Yield the calls of a function that end one of several threads, all of which it joins: these
    are objects of a class that got the object with the queue, and do nothing but take from it.
    """
    for made in file.calls() if b".join()" in file.data else ():
        spawn = _crew(file, made)
        workers = None if spawn is None else each(file, spawn)
        if spawn is None or workers is None or not workers.startswith("self."):
            continue
        for given in (*made.args, *(word.value for word in made.keywords)):
            if isinstance(given, ast.Attribute) and is_self(file, given.value):
                yield from _ends(file, made, given, spawn, workers)


def _crew(file: PythonFile, made: ast.Call) -> Spawn | None:
    """Return the threads of a list, or a loop, that are objects of a class of the project."""
    name = getattr(made.func, "id", getattr(made.func, "attr", ""))
    if not name.strip("_")[:1].isupper() or not is_repeated(made):
        return None
    value = file.value(made)
    cls = None if value is None or value.made is not made else value.cls
    run = cls.method("run") if cls is not None and cls.inherits("threading.Thread") else None
    if cls is None or run is None or run.file is not cls.file or cls.heirs:
        return None
    return Spawn("thread", made, None, run, tuple(made.args), file)


def _ends(
    file: PythonFile, made: ast.Call, given: ast.Attribute, spawn: Spawn, workers: str
) -> Iterator[End]:
    value, maker = file.value(given), file.function(made)
    cls = None if value is None or value.is_class else value.cls
    if cls is None or cls.heirs or maker is None or maker.home is None or spawn.target is None:
        return
    calls = [
        call
        for use in maker.home.uses_of(given.attr)
        if use.function.file is file and isinstance(above := file.parent(use.node), ast.Attribute)
        and isinstance(call := file.parent(above), ast.Call) and call.func is above
    ]  # fmt: skip
    puts = [(call, item) for call in calls if (item := _ending_item(file, call, cls)) is not None]
    if len(puts) != 1 or innermost_loop(puts[0][0]) is not None:
        return
    (call, item), ender = puts[0], file.function(puts[0][0])
    if any(ast.dump(one) == ast.dump(item) for other in calls for one in other.args):
        return  # it is put by the method for items as well
    if ender is None or not _joins(file, ender, workers):
        return
    one = _taken(cls, spawn.target, made, given, item)
    if one is not None:
        yield End(call, ast.unparse(item), spawn, workers, one)


def _ending_item(file: PythonFile, call: ast.Call, cls: Class) -> ast.expr | None:
    """Return what a method puts into the queue of its object that does nothing else, and gets
    nothing: the same item each time.
    """
    helper = function_of(file, call.func)
    inner = None if helper is None or helper.home is not cls else only_call(helper)
    if helper is None or inner is None or len(helper.parameters) != 1 or len(inner.args) != 1:
        return None
    func = inner.func
    if not isinstance(func, ast.Attribute) or func.attr != "put" or inner.keywords:
        return None
    item = inner.args[0]
    if not is_self(helper.file, getattr(func.value, "value", func.value)):
        return None
    if not isinstance(item, ast.Constant | ast.Name | ast.Attribute):
        return None
    return item if helper.file.is_a(func.value, api.QUEUES) else None


def _joins(file: PythonFile, function: Function, workers: str) -> bool:
    loops = (innermost_loop(call) for call in function.calls if _is_plain_join(call))
    return any(isinstance(loop, ast.For) and file.text(loop.iter) == workers for loop in loops)


def _is_plain_join(call: ast.Call) -> bool:
    is_join = isinstance(call.func, ast.Attribute) and call.func.attr == "join"
    return is_join and not (call.args or call.keywords)


def _taken(
    cls: Class, run: Function, made: ast.Call, given: ast.expr, item: ast.expr
) -> Taken | None:
    """Return where a thread takes items of the object that it got, up to the one which ends it,
    when that is all that its class does with the object.
    """
    crew, file = run.home, run.file
    kept = None if crew is None else kept_as(crew, made, given)
    if crew is None or kept is None:
        return None
    uses = [use for use in crew.uses_of(kept) if use.mode != "write"]
    above = file.parent(uses[0].node) if len(uses) == 1 else None
    call = file.parent(above) if isinstance(above, ast.Attribute) else None
    if not isinstance(call, ast.Call) or not isinstance(above, ast.Attribute):
        return None
    getter = function_of(file, above)
    inner = only_call(getter) if getter is not None and getter.home is cls else None
    if getter is None or inner is None or inner.args or inner.keywords or call.keywords:
        return None
    func = inner.func
    if (
        not isinstance(func, ast.Attribute)
        or func.attr != "get"
        or uses[0].function not in reached(run)
    ):
        return None
    queue, place = getter.file.value(func.value), getter.file.place(func.value)
    if queue is None or place is None or not queue.is_a(api.QUEUES):
        return None
    use = QueueUse(place, queue, gets=[call])
    if call.func is above:
        use.written[call] = file.text(uses[0].node)
    one = next(iter(taken(file, use)), None)
    if one is None:
        return None
    end = one.end or next((e for s in one.rest if (e := ending(file, s, one.name))), None)
    return one if end is not None and _is_same(file, end, cls.file, item) else None


def _is_same(file: PythonFile, end: ast.expr, other: PythonFile, item: ast.expr) -> bool:
    if isinstance(end, ast.Constant) or isinstance(item, ast.Constant):
        return ast.dump(end) == ast.dump(item)
    name = file.qualified(end)
    return name is not None and name == other.qualified(item)
