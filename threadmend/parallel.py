"""Run a function over a list in forked processes, in an order that nobody can notice.

Workers take the next number from a common pipe, so that a long piece delays no other, and
send each result when they have it. A piece whose worker died is tried once more in a
process of its own; if that dies as well, only that piece is lost.

What only a fork needs is imported there: a run that the cache answers should not wait for it.
"""

from __future__ import annotations

import gc
import os
import signal
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["Lost", "available", "cpus", "map_forked", "quiet"]

T = TypeVar("T")
R = TypeVar("R")

_NUMBER = struct.Struct("=I")
_HEAD = struct.Struct("=II")
_QUEUE = 8192
"""The most pieces: their numbers must fit into a pipe before anybody reads it."""


class Lost(Exception):  # noqa: N818 - not an error of ours: what befell a process
    """The process that worked on a piece ended; says how."""


def cpus() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available() -> bool:
    """Return whether forking is possible and safe: no other thread may hold a lock."""
    return hasattr(os, "fork") and threading.active_count() == 1


@contextmanager
def quiet() -> Iterator[None]:
    """Switch off the cycle collector: trees are large, live to the end, and hold no garbage."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def map_forked(
    work: Callable[[T], R],
    items: Sequence[T],
    jobs: int,
    done: Callable[[int], None] | None = None,
    wave: int = _QUEUE,
) -> list[R | Lost]:
    """Return work(item) for every item, in order. Results travel by pickle from our own forks.

    `done` is told how many items are finished. After each `wave` of items the processes end,
    and with them what they hold in memory.
    """
    wave = min(wave, _QUEUE)
    import pickle

    results: dict[int, R | Lost] = {}

    def received(number: int, data: bytes) -> None:
        results[number] = pickle.loads(data)
        if done is not None:
            done(len(results))

    for first in range(0, len(items), wave):
        numbers = range(first, min(first + wave, len(items)))
        _run(work, items, numbers, min(jobs, len(numbers)), received)
    for number in range(len(items)):
        if number not in results:
            status = _run(work, items, range(number, number + 1), 1, received)
            if number not in results:
                results[number] = Lost(_ending(status))
    return [results[number] for number in range(len(items))]


def _run(
    work: Callable[[T], R],
    items: Sequence[T],
    numbers: range,
    jobs: int,
    received: Callable[[int, bytes], None],
) -> int:
    """Fork `jobs` workers over some items; return the last status that was not 0."""
    queue, feed = os.pipe()
    os.write(feed, b"".join(map(_NUMBER.pack, numbers)))
    os.close(feed)
    gc.freeze()
    workers: dict[int, int] = {}
    try:
        for _ in range(jobs):
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                _worker(work, items, queue, writer)
            os.close(writer)
            workers[reader] = pid
        os.close(queue)
        _receive(list(workers), received)
        return _reap(workers)
    except BaseException:
        for pid in workers.values():
            os.kill(pid, signal.SIGKILL)
        _reap(workers)
        raise
    finally:
        gc.unfreeze()


def _worker(work: Callable[[T], R], items: Sequence[T], queue: int, out: int) -> None:
    import pickle

    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        gc.disable()
        while record := os.read(queue, _NUMBER.size):
            number = _NUMBER.unpack(record)[0]
            data = pickle.dumps(work(items[number]), pickle.HIGHEST_PROTOCOL)
            with open(out, "wb", closefd=False) as stream:
                stream.write(_HEAD.pack(number, len(data)) + data)
        status = 0
    finally:
        # Nothing of the parent's (buffers, exit handlers) may run a second time here.
        os._exit(status)


def _receive(readers: Sequence[int], received: Callable[[int, bytes], None]) -> None:
    import selectors

    buffers = {reader: bytearray() for reader in readers}
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                chunk = os.read(key.fd, 1 << 20)
                if not chunk:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    continue
                buffer = buffers[key.fd]
                buffer += chunk
                while len(buffer) >= _HEAD.size:
                    number, size = _HEAD.unpack_from(buffer)
                    if len(buffer) < _HEAD.size + size:
                        break
                    received(number, bytes(buffer[_HEAD.size : _HEAD.size + size]))
                    del buffer[: _HEAD.size + size]


def _reap(workers: dict[int, int]) -> int:
    last = 0
    for pid in workers.values():
        _, status = os.waitpid(pid, 0)
        last = status or last
    workers.clear()
    return last


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return f"the process was ended by {signal.Signals(-code).name}"
    return f"the process ended with status {code}"
