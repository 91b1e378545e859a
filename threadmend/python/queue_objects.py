"""Queues that objects of the project keep to themselves, as who calls their methods uses them.

class Frontier:                         url = self._frontier.next()
    def next(self):                     self._visit(url)
        return self._urls.get()         self._frontier.finished()

    def finished(self):
        self._urls.task_done()
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from threadmend.python import api
from threadmend.python.forwarded import only_call
from threadmend.python.functions import function_of
from threadmend.python.implied import is_own, receiver_of, seen_of, text_at
from threadmend.python.places import Place
from threadmend.python.queues import METHODS, QueueUse, queues_of

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function
    from threadmend.python.project import PythonProject

__all__ = ["is_joined_within", "queues_behind"]


def queues_behind(file: PythonFile) -> list[QueueUse]:
    """Return the queues behind the objects of a file, with the calls of methods that do nothing
    but call one of the queue's. Of a queue that `queues_of` knows by such calls there is none.
    """
    known: list[QueueUse] | None = file.__dict__.get("_queues_behind")
    if known is None:
        file.__dict__["_queues_behind"] = []
        known = file.__dict__["_queues_behind"] = _queues_behind(file)
    return known


def is_joined_within(use: QueueUse) -> bool:
    """Return whether the class that keeps a queue to itself waits for all of its items."""
    return any(
        one.joins and one.place.anywhere == use.place.anywhere for one in queues_of(use.value.file)
    )


def _queues_behind(file: PythonFile) -> list[QueueUse]:
    names = [name for name in _forwarding(file.project) if file.encode(name) in file.data]
    if not names:
        return []
    through = {call for use in queues_of(file) for call in use.written}
    found: dict[Place, QueueUse] = {}
    for call in file.calls(*names):
        helper = function_of(file, call.func) if call not in through else None
        inner = None if helper is None else _queue_call(helper)
        if helper is None or inner is None or is_own(file, receiver_of(call) or call):
            continue
        kind, queue = inner
        place = helper.file.place(queue)
        seen = None if place is None else seen_of(file, receiver_of(call), helper, place)
        value, text = helper.file.value(queue), text_at(file, call, helper, queue)
        if seen is not None and value is not None and text is not None:
            use = found.setdefault(seen, QueueUse(seen, value))
            getattr(use, kind).append(call)
            use.written[call] = text
    return list(found.values())


def _forwarding(project: PythonProject) -> frozenset[str]:
    """Return the names of the methods that do nothing but call one of their object's queue."""
    known: frozenset[str] | None = project.__dict__.get("_queue_forwarding")
    if known is None:
        project.__dict__["_queue_forwarding"] = frozenset()
        known = project.__dict__["_queue_forwarding"] = frozenset(
            function.name
            for file in project.files(b".task_done()", tests=False)
            for call in file.calls(*METHODS)
            if (function := file.function(call)) is not None and _queue_call(function) is not None
        )
    return known


def _queue_call(helper: Function) -> tuple[str, ast.expr] | None:
    """Return what a method does to the queue of its object that does nothing else: `gets`, and
    `self._urls`.
    """
    call = only_call(helper) if helper.cls is not None and not helper.is_static else None
    func = call.func if call is not None else None
    if call is None or not isinstance(func, ast.Attribute) or func.attr not in METHODS:
        return None
    kind, queue = METHODS[func.attr], func.value
    if kind != "puts" and (call.args or call.keywords or len(helper.parameters) != 1):
        return None
    if not isinstance(queue, ast.Attribute) or not is_own(helper.file, queue.value):
        return None
    return (kind, queue) if helper.file.is_a(queue, api.QUEUES | api.ASYNC_QUEUES) else None
