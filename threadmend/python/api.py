"""The concurrency API of the standard library by qualified name: what is a lock, a queue, …

Kinds are told by constructor: `redis.lock.Lock` and `kazoo.recipe.lock.Lock` are none of these.
"""

from __future__ import annotations

__all__ = [
    "ALIASES",
    "ASYNC_LOCKS",
    "ASYNC_QUEUES",
    "COLLECTIONS",
    "CONDITIONS",
    "EVENTS",
    "EXECUTORS",
    "FUTURES",
    "LOCKS",
    "MAKES",
    "MUTATORS",
    "PER_THREAD",
    "PREFILTER",
    "PROCESSES",
    "PROCESS_LOCKS",
    "QUEUES",
    "REENTRANT",
    "RESULTS",
    "SEMAPHORES",
    "SYNCHRONIZED",
    "THREADS",
    "THREAD_LOCKS",
    "canonical",
    "makes",
    "speaks_of_concurrency",
]

import re

from threadmend.literals import quick

PREFILTER = re.compile(
    rb"\b(?:_?threading|_thread|thread|[qQ]ueue|concurrent|futures|asyncio|multiprocessing"
    rb"|socketserver|SocketServer|sched|signal|subprocess|http\.server|contextvars|ThreadPool)\b"
    rb"|Thread\b|[lL]ock\b|_lock\b|mutex\b|guard\b|Executor\b|\.acquire\(|\basync +def\b"
    rb"|\bwith [\w.]+\s*[:,]"  # what is held is no call: a lock that another module has made
)
"""A file without any of these words holds no concurrency and is never parsed."""

# A stem of each word of the prefilter: plain text is found ten times as fast as an expression.
_STEMS = (b"lock", b"hread", b"ueue", b"Lock", b"async", b"signal", b"subprocess", b"concurrent",
          b"futures", b"multiprocessing", b"ocketserver", b"ocketServer", b"sched", b"http.server",
          b"contextvars", b"mutex", b"guard", b"Executor", b".acquire(")  # fmt: skip
_HELD = re.compile(rb"with(?<!\wwith) [\w.]+\s*[:,]")


def speaks_of_concurrency(data: bytes) -> bool:
    """Return whether a file's bytes match `PREFILTER`."""
    if _HELD.search(data) is not None:
        return True
    return any(stem in data for stem in _STEMS) and quick(PREFILTER).search(data) is not None


MAKES = re.compile(
    rb"\b(?:Thread|R?Lock|Condition|Event|\w*Semaphore|\w*Queue|\w*PoolExecutor)\("
    rb"|\b(?:Thread|Timer|Process|\w*Queue|\w*PoolExecutor)\)"
)
"""What makes a thread or a pool, or what threads share, or a class of threads."""

_MADE = (b"Thread", b"Timer)", b"Process)", b"Lock(", b"Condition(", b"Event(", b"Semaphore(",
         b"Queue", b"PoolExecutor")  # fmt: skip


def makes(data: bytes) -> bool:
    """Return whether a file's bytes match `MAKES`, without which one of its words the pattern
    need not be tried at every byte.
    """
    return any(word in data for word in _MADE) and MAKES.search(data) is not None


THREAD_LOCKS = frozenset({"threading.Lock", "threading.RLock", "threading.Condition"})
PROCESS_LOCKS = frozenset(
    {"multiprocessing.Lock", "multiprocessing.RLock", "multiprocessing.Condition"}
)
ASYNC_LOCKS = frozenset({"asyncio.Lock", "asyncio.Condition"})
LOCKS = THREAD_LOCKS | PROCESS_LOCKS | ASYNC_LOCKS
"""What excludes others while it is held."""
REENTRANT = frozenset({"threading.RLock", "multiprocessing.RLock"})
"""A Condition is as re-entrant as its lock; without one it makes an RLock."""
CONDITIONS = frozenset({"threading.Condition", "multiprocessing.Condition", "asyncio.Condition"})
SEMAPHORES = frozenset(
    f"{module}.{name}"
    for module in ("threading", "multiprocessing", "asyncio")
    for name in ("Semaphore", "BoundedSemaphore")
)
EVENTS = frozenset({"threading.Event", "multiprocessing.Event", "asyncio.Event"})
THREADS = frozenset({"threading.Thread", "threading.Timer"})
PROCESSES = frozenset({"multiprocessing.Process"})
QUEUES = frozenset(
    {
        "queue.Queue", "queue.LifoQueue", "queue.PriorityQueue", "queue.SimpleQueue",
        "multiprocessing.Queue", "multiprocessing.JoinableQueue", "multiprocessing.SimpleQueue",
    }
)  # fmt: skip
ASYNC_QUEUES = frozenset({"asyncio.Queue", "asyncio.LifoQueue", "asyncio.PriorityQueue"})
EXECUTORS = frozenset(
    {
        "concurrent.futures.ThreadPoolExecutor", "concurrent.futures.ProcessPoolExecutor",
        "concurrent.futures.Executor",
    }
)  # fmt: skip
"""What runs jobs; an `Executor` is what an annotation promises, of threads or of processes."""
FUTURES = frozenset({"concurrent.futures.Future", "asyncio.Future", "asyncio.Task"})
COLLECTIONS = frozenset(
    {
        "dict", "list", "set", "bytearray", "collections.deque", "collections.defaultdict",
        "collections.OrderedDict", "collections.Counter", "heapq", "array.array",
    }
)  # fmt: skip
"""Mutable containers of the standard library."""
PER_THREAD = frozenset({"threading.local", "gevent.local.local", "eventlet.corolocal.local"})
"""Objects that hold something else in every thread, and in every greenlet."""
SYNCHRONIZED = (
    QUEUES | ASYNC_QUEUES | EVENTS | SEMAPHORES | LOCKS | EXECUTORS
    | PER_THREAD | {"threading.Barrier", "itertools.count", "contextvars.ContextVar"}
)  # fmt: skip
"""Objects whose methods may be called from several threads."""

MUTATORS = frozenset(
    {
        "add", "append", "appendleft", "clear", "difference_update", "discard", "extend",
        "extendleft", "insert", "intersection_update", "move_to_end", "pop", "popitem", "popleft",
        "remove", "reverse", "rotate", "setdefault", "sort", "subtract",
        "symmetric_difference_update", "update",
    }
)  # fmt: skip
"""Methods of the containers that change them."""

ALIASES = {
    "Queue": "queue",
    "six.moves.queue": "queue",
    "_thread.allocate_lock": "threading.Lock",
    "_thread.allocate": "threading.Lock",
    "thread.allocate_lock": "threading.Lock",
    "_thread.RLock": "threading.RLock",
    "_thread.LockType": "threading.Lock",
    "threading._RLock": "threading.RLock",
    "threading._Condition": "threading.Condition",
    "threading._Event": "threading.Event",
    "threading._Timer": "threading.Timer",
    "dummy_threading": "threading",
    "_threading_local": "threading",
    "concurrent.futures.thread.ThreadPoolExecutor": "concurrent.futures.ThreadPoolExecutor",
    "concurrent.futures.process.ProcessPoolExecutor": "concurrent.futures.ProcessPoolExecutor",
    "concurrent.futures._base.Future": "concurrent.futures.Future",
    "concurrent.futures._base": "concurrent.futures",
    "multiprocessing.synchronize": "multiprocessing",
    "multiprocessing.queues": "multiprocessing",
    "multiprocessing.process.BaseProcess": "multiprocessing.Process",
    "multiprocessing.context.Process": "multiprocessing.Process",
    "multiprocessing.pool.Pool": "multiprocessing.Pool",
    "multiprocessing.dummy.Pool": "multiprocessing.pool.ThreadPool",
    "asyncio.locks": "asyncio",
    "asyncio.queues": "asyncio",
    "asyncio.tasks": "asyncio",
    "asyncio.events": "asyncio",
    "asyncio.futures": "asyncio",
}
"""Other names of the same things, whole or as the beginning of a dotted name."""

RESULTS = {
    "threading.current_thread": "threading.Thread",
    "threading.currentThread": "threading.Thread",
    "threading.main_thread": "threading.Thread",
    "concurrent.futures.ThreadPoolExecutor.submit": "concurrent.futures.Future",
    "concurrent.futures.ProcessPoolExecutor.submit": "concurrent.futures.Future",
    "concurrent.futures.Executor.submit": "concurrent.futures.Future",
    "asyncio.create_task": "asyncio.Task",
    "asyncio.ensure_future": "asyncio.Task",
    "asyncio.run_coroutine_threadsafe": "concurrent.futures.Future",
    "asyncio.get_event_loop": "asyncio.AbstractEventLoop",
    "asyncio.get_running_loop": "asyncio.AbstractEventLoop",
    "asyncio.new_event_loop": "asyncio.AbstractEventLoop",
    "asyncio.AbstractEventLoop.create_task": "asyncio.Task",
    "asyncio.AbstractEventLoop.create_future": "asyncio.Future",
    "asyncio.AbstractEventLoop.run_in_executor": "asyncio.Future",
    "dict.copy": "dict",
    "list.copy": "list",
    "set.copy": "set",
    "sorted": "list",
    "frozenset": "frozenset",
    "dict.fromkeys": "dict",
}
"""What calls return that are no constructors."""


def canonical(name: str) -> str:
    """Return the public name of a thing of the standard library."""
    found = ALIASES.get(name)
    if found is not None:
        return found
    head = name
    while "." in head:
        head = head.rpartition(".")[0]
        if head in ALIASES:
            return canonical(ALIASES[head] + name[len(head) :])
    return name
