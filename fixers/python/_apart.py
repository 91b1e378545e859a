"""Queues that somebody else waits for: of an object, `shard.inbox.join()`, or those that a thread
of a function of another file takes from.
"""

from __future__ import annotations

import re

from threadmend.python.file import PythonFile
from threadmend.python.queues import QueueUse, queue_of_parameter, queues_of

__all__ = ["abroad", "elsewhere"]


def abroad(file: PythonFile, use: QueueUse) -> tuple[PythonFile, QueueUse] | None:
    """Return the file of the function that a thread runs which gets a queue, and what that does
    with it; None where the queue is handed to other code as well, or the function to other files.
    """
    given = [(s, s.args.index(node)) for node in use.escapes for s in file.spawns
             if s.args and node in s.args]  # fmt: skip
    targets = {spawn.target for spawn, _ in given}
    if len(given) != len(use.escapes) or len(targets) != 1 or len({at for _, at in given}) != 1:
        return None
    target, at = targets.pop(), given[0][1]
    if target is None or target.file is file or given[0][0].kind != "thread":
        return None
    names = target.parameters[1:] if target.self_name else target.parameters
    if at >= len(names) or _is_known_to_others(file, target.file, target.name):
        return None
    name = file.encode(use.place.name.rpartition(".")[2])
    if any(name + b".task_done" in file.project.source(path).data for path in file.project.paths):
        return None
    there = queue_of_parameter(target, names[at], use.value)
    if there is None or there.escapes or there.dones or there.shutdowns or not there.gets:
        return None
    return target.file, there


def _is_known_to_others(file: PythonFile, there: PythonFile, name: str) -> bool:
    """Return whether a third file names a function."""
    word = re.compile(rb"\b" + re.escape(file.encode(name)) + rb"\b")
    project = file.project
    return any(
        word.search(project.source(path).data)
        for path in project.paths
        if path not in {file.path, there.path}
    )


def elsewhere(file: PythonFile, use: QueueUse) -> tuple[PythonFile, QueueUse] | None:
    """Return the file of the class whose attribute a queue is, and what its objects do with it
    themselves; None where it is handed to other code, or anybody else takes from it or may report
    an item as done.
    """
    cls = file.project.class_named(use.place.owner) if use.place.kind == "attribute" else None
    if cls is None:
        return None
    place, name = use.place.anywhere, use.place.name.rpartition(".")[2]
    project = file.project
    reports = re.compile(rb"\." + re.escape(file.encode(name)) + rb"\.(?:task_done|get\w*)\b")
    for path in project.paths:
        if path != cls.file.path and reports.search(project.source(path).data):
            return None
    own = [one for one in queues_of(cls.file) if one.place.anywhere == place]
    others = [one for one in queues_of(file) if one.place.anywhere == place and one not in own]
    if any(one.dones or one.escapes or one.shutdowns for one in (*own, *others)):
        return None
    taking = [one for one in own if one.gets]
    return (cls.file, taking[0]) if len(taking) == 1 else None
