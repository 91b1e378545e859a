"""Queues of an object that somebody else waits for: `shard.inbox.join()`."""

from __future__ import annotations

import re

from threadmend.python.file import PythonFile
from threadmend.python.queues import QueueUse, queues_of

__all__ = ["elsewhere"]


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
