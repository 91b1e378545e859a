"""What a probe of a Python case may import; run as a program it runs the probe.

A probe fails with an exception, also one in a thread, and when it does not end in time.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import random
import runpy
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator

SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 0
PATIENCE = float(sys.argv[4]) if len(sys.argv) > 4 else 1.0
HERE = os.path.dirname(os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else __file__))


def within(seconds: float, function: Callable[..., object], *args: object) -> bool:
    """Return whether a call ends in time; it runs in a daemon thread, and its exceptions fail."""
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    thread.join(seconds * PATIENCE)
    return not thread.is_alive()


def check(good: object, message: str = "the probe's check failed") -> None:
    """Fail at once, whatever other threads do, unless something is true."""
    if not good:
        print(message, file=sys.stderr, flush=True)
        os._exit(1)


def together(*functions: Callable[[], object], seed: int = 0, seconds: float = 2.0) -> None:
    """Run functions in threads of their own that take turns between opcodes, and wait for all."""
    with interleaved(seed) as turns:
        count = len(functions)
        threads = [
            threading.Thread(target=turns.run, args=(f, count), daemon=True) for f in functions
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds * PATIENCE)
    check(not any(thread.is_alive() for thread in threads), "the threads do not end")


@contextlib.contextmanager
def interleaved(seed: int = 0, often: float = 0.3) -> Iterator[_Turns]:
    """Have the threads that are started inside take turns between opcodes of the case's files.

    Which one goes on is drawn from the seed, so that a race shows in every run. A thread that
    waits for a lock loses its turn.
    """
    turns = _Turns(seed + 1000 * SEED, often)
    threading.settrace(turns.trace)
    try:
        yield turns
    finally:
        threading.settrace(None)  # type: ignore[arg-type]
        turns.over = True


class _Turns:
    def __init__(self, seed: int, often: float) -> None:
        self._random = random.Random(seed)
        self._often = often
        self._change = threading.Condition(threading.Lock())
        self._live: list[int] = []
        self._current = 0
        self.over = False

    def run(self, function: Callable[[], object], count: int) -> None:
        """Run a function once so many threads are there: none is through before another begins."""
        me = threading.get_ident()
        with self._change:
            self._live.append(me)
            self._change.notify_all()
            self._change.wait_for(lambda: len(self._live) >= count, 1.0)
        try:
            function()
        finally:
            with self._change:
                if me in self._live:
                    self._live.remove(me)
                if self._current == me:
                    self._current = self._live[0] if self._live else 0
                self._change.notify_all()

    def trace(self, frame, event, arg):  # type: ignore[no-untyped-def]
        if not frame.f_code.co_filename.startswith(HERE):
            return None
        frame.f_trace_opcodes = True
        return self._step

    def _step(self, frame, event, arg):  # type: ignore[no-untyped-def]
        if event == "opcode" and not self.over:
            self._switch(threading.get_ident())
        return self._step

    def _switch(self, me: int) -> None:
        with self._change:
            if me not in self._live:
                # Whoever comes first waits a moment: alone it would be through before another.
                self._live.append(me)
                self._change.notify_all()
                self._change.wait_for(lambda: len(self._live) > 1 or self.over, 0.05)
                if me not in self._live:
                    # It had the turn, and another took it for one that waits.
                    self._live.append(me)
            if self._current in {0, me}:
                if self._random.random() < self._often:
                    self._current = self._random.choice(self._live)
                    self._change.notify_all()
                else:
                    self._current = me
            while self._current != me and not self.over:
                if not self._change.wait(0.003):
                    # Whoever has the turn waits for something, or has ended.
                    if self._current in self._live and self._current != me:
                        self._live.remove(self._current)
                    self._current = me


def until(test: Callable[[], object], seconds: float = 2.0) -> bool:
    """Return whether something comes true in time."""
    end = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < end:
        if test():
            return True
        time.sleep(0.001)
    return bool(test())


def _thread_failed(args: threading.ExceptHookArgs) -> None:
    traceback.print_exception(args.exc_type, args.exc_value, args.exc_traceback)
    if not issubclass(args.exc_type, SystemExit):
        os._exit(1)


def _failed(kind, value, trace) -> None:  # type: ignore[no-untyped-def]
    traceback.print_exception(kind, value, trace)
    sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    sys.modules["probing"] = sys.modules["__main__"]
    sys.path.insert(0, HERE)
    faulthandler.dump_traceback_later(float(sys.argv[2]), exit=True)
    threading.excepthook = _thread_failed
    sys.excepthook = _failed
    runpy.run_path(sys.argv[1], run_name="__main__")
