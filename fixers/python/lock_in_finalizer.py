"""Take only re-entrant locks where code is interrupted

`__del__`, the callback of a weak reference and the handler of a signal run in the middle of
whatever the thread does, also while it holds a lock: between any two instructions the garbage
collector may find an object, or the signal may arrive. When they wait for a `threading.Lock` that
the thread itself has, it waits for ever.

Not reported: re-entrant locks; attempts that do not wait; the lock of the dying object itself, or
of an object that it made, which nobody can hold any more; locks that no other code takes; for
signals, locks that only other threads take; handlers of an event loop (`add_signal_handler`),
which interrupt nobody.

Unsafe: with a re-entrant lock the finalizer goes on in the middle of what the lock protects.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Set

from threadmend.model import Finding, Fix, Related, Safety
from threadmend.python.arguments import argument, given_to
from threadmend.python.borrowed import all_sections
from threadmend.python.builders import BuilderError
from threadmend.python.file import PythonFile
from threadmend.python.functions import Function, function_of
from threadmend.python.lockorder import Taking, takings
from threadmend.python.locks import Section
from threadmend.python.threads import reached, spawns_reaching

from ._reentrant import make_reentrant

CATEGORY = "lock"
GATE = rb"__del__|weakref|\bsignal\("

_WEAK = {"weakref.ref": 1, "weakref.proxy": 1, "weakref.finalize": 1, "weakref.WeakMethod": 1}
"""Where the callback stands in the arguments."""


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the locks that code takes which may interrupt their holder."""
    if file.is_test:
        return
    for function, name in _interrupting(file):
        for taking in takings(function):
            lock = taking.lock
            if lock.family != "thread" or lock.reentrant or not _waits(taking.section):
                continue
            if name == "__del__" and _dies_too(function, taking):
                continue
            holder = _holder(file, function, taking, is_signal=name == "a signal handler")
            if holder is not None:
                yield _finding(file, function, name, taking, holder)


# -- find -----------------------------------------------------------------------------------


def _interrupting(file: PythonFile) -> Iterator[tuple[Function, str]]:
    """Yield the functions that run between other instructions, with what to call them."""
    for function in file.functions:
        if function.name == "__del__" and function.cls is not None:
            yield function, "__del__"
    for call in file.calls("ref", "proxy", "finalize", "WeakMethod", "signal"):
        named = file.qualified(call.func)
        given = None
        if named in _WEAK:
            given = argument(call, _WEAK[named], "callback")
        elif named == "signal.signal":
            given = argument(call, 1, "handler")
        target = None if given is None else function_of(file, given)
        if target is not None and target.file is file:
            yield target, "a signal handler" if named == "signal.signal" else "a weak callback"


def _dies_too(function: Function, taking: Taking) -> bool:
    """Return whether the lock is the dying object's own, or of something that it made."""
    base = taking.place.base
    if function.cls is None or not (base == "self" or base.endswith("/self")):
        return base == "self"
    if base == "self":
        name = taking.place.name.rpartition(".")[2]
        given = [value for _, value in function.cls.values_of(name)]
        return all(isinstance(value, ast.Call) for value in given)
    name = base.split("/")[-2]
    return any(isinstance(value, ast.Call) for _, value in function.cls.values_of(name))


def _waits(section: Section) -> bool:
    """Return whether a section begins with a wait that has no end."""
    return not any(map(_may_give_up, section.acquiring))


def _may_give_up(acquire: ast.Call) -> bool:
    """Return whether an acquire has a time limit, or is not told to wait."""
    given = given_to(acquire)
    return bool(given) and not all(isinstance(v, ast.Constant) and v.value is True for v in given)


def _holder(
    file: PythonFile, function: Function, taking: Taking, *, is_signal: bool
) -> Section | None:
    """Return where other code holds the lock, in the thread that is interrupted."""
    own = reached(function)
    for other in dict.fromkeys((taking.file, file)):
        elsewhere = spawns_reaching(other) if is_signal else {}
        for section in all_sections(other):
            if section.lock.place.anywhere != taking.lock.place.anywhere:
                continue
            if section is taking.section and not _is_called_elsewhere(section.function, own):
                continue
            if section.function in own and not _is_called_elsewhere(section.function, own):
                continue
            if section.function is not None and section.function not in elsewhere:
                return section
    return None


def _is_called_elsewhere(function: Function | None, own: Set[Function]) -> bool:
    """Return whether more than the finalizer calls a function."""
    if function is None or function.name == "__del__":
        return False
    known = function.is_private or function.outer is not None
    return not known or any(site.caller not in own for site in function.callers)


# -- fix ------------------------------------------------------------------------------------


def _finding(
    file: PythonFile, function: Function, name: str, taking: Taking, holder: Section
) -> Finding:
    node: ast.AST = taking.calls[0] if taking.calls else taking.section.item
    start, end = file.span(node)
    lock = taking.file.text(taking.section.item)
    said = f"{name} takes {lock}, also while the thread that it interrupts has it"
    other = holder.lock.value.file if holder.function is None else holder.function.file
    related = [Related(other.path, *other.span(holder.item), "the lock is held here")]
    if taking.calls:
        place = taking.file.span(taking.section.item)
        related.append(Related(taking.file.path, *place, f"{name} takes it here"))
    try:
        edits = make_reentrant(taking.file, taking.section)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=tuple(related), reason=str(error))
    reason = "the code may now run in the middle of what the lock protects"
    fix = Fix(f"Make {lock} re-entrant", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, fixes=(fix,), related=tuple(related))
