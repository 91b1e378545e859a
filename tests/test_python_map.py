"""The map of a Python project: what is listed, and the two pictures."""

from __future__ import annotations

from python_cases import project_of

from threadmend.graph import Operation
from threadmend.python.operations import operations
from threadmend.python.topology import lock_graph, queue_graph

CODE = """
import queue
import threading
from concurrent.futures import ThreadPoolExecutor


class Store:
    def __init__(self):
        self.lock = threading.Lock()
        self.other = threading.Lock()
        self.items = {}
        self.jobs = queue.Queue(3)

    def start(self):
        threading.Thread(target=self._work, daemon=True).start()

    def put(self, key):
        with self.lock:
            self.items[key] = 1
            self._count()
        self.jobs.put(key)

    def drop(self, key):
        with self.other, self.lock:
            del self.items[key]

    def _count(self):
        with self.other:
            return len(self.items)

    def _work(self):
        while True:
            self.jobs.get()
"""


def listed() -> list[Operation]:
    """Return the operations of the code, in source order."""
    return sorted(operations(project_of(store=CODE)), key=lambda o: (o.line, o.column))


def test_locks_queues_and_threads_are_listed_with_their_class() -> None:
    found = [(o.operation, o.type, o.class_) for o in listed()]
    assert found == [
        ("make", "threading.Lock", "store.Store.lock"),
        ("make", "threading.Lock", "store.Store.other"),
        ("make", "queue.Queue", "store.Store.jobs"),
        ("start", "threading.Thread", None),
        ("make", "threading.Thread", None),
        ("thread", "thread", "store.Store._work"),
        ("with", "threading.Lock", "store.Store.lock"),
        ("put", "queue.Queue", "store.Store.jobs"),
        ("with", "threading.Lock", "store.Store.other"),
        ("with", "threading.Lock", "store.Store.lock"),
        ("with", "threading.Lock", "store.Store.other"),
        ("get", "queue.Queue", "store.Store.jobs"),
    ]


def test_a_lock_is_shown_with_what_it_guards() -> None:
    assert listed()[0].guards == ("items",)


def test_lock_order_is_followed_through_calls() -> None:
    graph = lock_graph(project_of(store=CODE), {"store.py"})
    assert [(e.source, e.target, e.label, e.alarm) for e in graph.edges] == [
        ("store.Store.lock", "store.Store.other", "Store.put", True),
        ("store.Store.other", "store.Store.lock", "Store.drop", True),
    ]


def test_who_puts_and_who_gets() -> None:
    graph = queue_graph(project_of(store=CODE), {"store.py"})
    assert {(v.label, v.kind) for v in graph.vertices} == {
        ("Store.jobs (bounded)", "queue"),
        ("Store.put", "function"),
        ("Store._work", "thread"),
    }
    assert [(e.source, e.target, e.label) for e in graph.edges] == [
        ("store.Store.jobs", "store.Store._work", "gets"),
        ("store.Store.put", "store.Store.jobs", "puts"),
    ]
