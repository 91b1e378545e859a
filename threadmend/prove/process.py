"""call(): one program as a process group, with limits, killed whole; folders that go away.

Ctrl-C and a polite kill become exceptions while `folder()` is open, so that whatever was
started is stopped and whatever was written below it removed, however a run ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

__all__ = ["Done", "Limits", "call", "folder"]

OUTPUT = 128 << 20
"""Bytes that a program may print before it is stopped."""

_LOOK = 0.5
"""Seconds between two looks at memory and output."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call of the toolchain may take."""

    seconds: float = 600
    memory: int = 0
    """Bytes that all of its processes hold together; 0 is no limit."""
    network: bool = False
    """Whether modules may be downloaded."""

    def lasting(self, seconds: float) -> Limits:
        """Return the limits with another time."""
        return replace(self, seconds=seconds)


@dataclass(frozen=True, slots=True)
class Done:
    """How a call ended."""

    code: int
    out: bytes
    err: bytes
    stopped: str = ""
    """Why it was killed, in a clause; empty when it ended by itself."""
    seconds: float = 0.0


def call(
    command: Sequence[str], cwd: Path, env: Mapping[str, str], limits: Limits, temporary: Path
) -> Done:
    """Run a program in a group of its own and kill what is left of it at the end.

    Its output goes to files, because a stray process can hold a pipe open for ever.
    """
    with (
        tempfile.TemporaryFile(dir=temporary) as out,
        tempfile.TemporaryFile(dir=temporary) as err,
    ):
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            stopped = _watch(process, limits, (out.fileno(), err.fileno()))
        finally:
            _kill(process)
        seconds = time.monotonic() - began
        out.seek(0)
        err.seek(0)
        return Done(process.returncode, out.read(OUTPUT), err.read(OUTPUT), stopped, seconds)


def _watch(process: subprocess.Popen[bytes], limits: Limits, outputs: Sequence[int]) -> str:
    """Wait for a program; return why it has to be stopped, empty when it ended by itself."""
    end = time.monotonic() + limits.seconds
    while True:
        left = end - time.monotonic()
        try:
            process.wait(timeout=max(0.0, min(_LOOK, left)))
            return ""
        except subprocess.TimeoutExpired:
            pass
        if left <= 0:
            return f"took longer than {limits.seconds:.0f} s"
        if sum(os.fstat(output).st_size for output in outputs) > OUTPUT:
            return f"printed more than {OUTPUT >> 20} MB"
        if limits.memory and _memory(process.pid) > limits.memory:
            return f"took more than {limits.memory >> 20} MB of memory"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and all that it started and left in its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    with _held_back():
        process.wait()


def _memory(group: int) -> int:
    """Return the bytes that the processes of a group hold; 0 where /proc does not say."""
    total = 0
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdecimal():
                total += _resident(name, group)
    return total


def _resident(process: str, group: int) -> int:
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            # The name, in parentheses, may hold blanks and parentheses.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return int(fields[21]) * _PAGE if int(fields[2]) == group else 0


_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Give a temporary folder that is removed also after Ctrl-C, SIGTERM and SIGHUP.

    Its name is short: tests make sockets below it, whose paths have a limit of 100 bytes.
    """
    with _signals_raise():
        # Who has a temporary folder that nothing can be run from tells go of another one.
        where = os.environ.get("GOTMPDIR") or None
        place = Path(tempfile.mkdtemp(prefix="tm-", dir=where)).resolve()
        try:
            yield place
        finally:
            with _held_back():
                _remove(place)


def _remove(place: Path) -> None:
    """Remove a folder, with read-only ones inside, as module caches have them."""

    def again(function: object, path: str, error: object) -> None:
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(path), 0o700)
            os.chmod(path, 0o700)
            os.rmdir(path) if os.path.isdir(path) else os.unlink(path)

    shutil.rmtree(place, onerror=again)
    shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    """Let a polite kill unwind the stack, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.getsignal(getattr(signal, name)) for name in names}
    for name, handler in before.items():
        if handler is signal.SIG_DFL:
            signal.signal(getattr(signal, name), _leave)
    try:
        yield
    finally:
        for name, handler in before.items():
            if handler is signal.SIG_DFL:
                signal.signal(getattr(signal, name), handler)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Hold back signals that would interrupt the tidying up."""
    if not hasattr(signal, "pthread_sigmask") or (
        threading.current_thread() is not threading.main_thread()
    ):
        yield
        return
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
