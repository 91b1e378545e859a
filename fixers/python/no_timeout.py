"""Give calls of other machines a deadline

`requests.get(url)` in a worker waits for a server that never answers, for ever. One by one the
workers of a pool end up there, and the program stands still without an error.

Not reported: calls with a timeout or with `*args` or `**kwargs`, which may bring one; files
that call `socket.setdefaulttimeout`; sessions with adapters of their own; what runs in no other
thread.

Unsafe: a call that takes longer than 30 seconds, or than what another such call of the file says,
now raises.
"""

from __future__ import annotations

import ast
from collections.abc import Container, Iterator

from threadmend.model import Finding, Fix, Safety
from threadmend.python.arguments import keyword
from threadmend.python.builders import BuilderError
from threadmend.python.file import PythonFile
from threadmend.python.functions import Function
from threadmend.python.uses import is_self

from ._arguments import with_argument
from ._given import reaching

CATEGORY = "thread"
GATE = rb"requests\.|urlopen|create_connection|subprocess|HTTPS?Connection|SMTP|Session\("
OPT_IN = True

_SECONDS = 30
_VERBS = ("get", "post", "put", "patch", "delete", "head", "options", "request")
_CALLS = {
    **{f"requests.{verb}": 99 for verb in _VERBS},
    "urllib.request.urlopen": 2,
    "socket.create_connection": 1,
    "http.client.HTTPConnection": 2,
    "http.client.HTTPSConnection": 4,
    "smtplib.SMTP": 3,
    "smtplib.SMTP_SSL": 5,
    **{f"subprocess.{name}": 99 for name in ("run", "call", "check_call", "check_output")},
}
"""What takes a timeout, and its position among the arguments."""
_SESSIONS = frozenset({"requests.Session", "requests.session", "requests.sessions.Session"})


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the calls in threads that may wait for ever."""
    running = reaching(file)
    if not running or b"setdefaulttimeout" in file.data:
        return
    names = {name.rpartition(".")[2] for name in _CALLS}
    for call in file.calls(*sorted(names)):
        if _is_endless(file, call) and _runs(file.function(call), running):
            yield _finding(file, call)


def _runs(function: Function | None, running: Container[Function]) -> bool:
    while function is not None:
        if function in running:
            return True
        function = function.outer
    return False


def _is_endless(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a call waits for somebody else, with no limit."""
    if any(isinstance(a, ast.Starred) for a in call.args):
        return False
    if any(k.arg in {None, "timeout"} for k in call.keywords):
        return False
    at = _CALLS.get(file.qualified(call.func) or "")
    if at is not None:
        return len(call.args) <= at
    func = call.func
    if not isinstance(func, ast.Attribute) or func.attr not in _VERBS:
        return False
    return file.is_a(func.value, _SESSIONS) and b".mount(" not in file.data


def _usual(file: PythonFile, call: ast.Call) -> str:
    """Return the limit that another such call of the file has, where it means the same here: a
    number, a variable of the module, an attribute of the same object.
    """
    name, function = file.qualified(call.func), file.function(call)
    for other in file.calls(name.rpartition(".")[2]) if name else ():
        given = keyword(other, "timeout") if file.qualified(other.func) == name else None
        place = None if given is None else file.place(given)
        if given is None or place is None:
            if isinstance(given, ast.Constant) and isinstance(given.value, int | float):
                return file.text(given)
            continue
        there = file.function(other)
        if place.kind == "global" and isinstance(given, ast.Name):
            return given.id
        is_own = isinstance(given, ast.Attribute) and is_self(file, given.value)
        if is_own and function is not None and there is not None and function.cls is there.cls:
            if function.self_name is not None and function.self_name == there.self_name:
                return file.text(given)
    return str(_SECONDS)


def _finding(file: PythonFile, call: ast.Call) -> Finding:
    start, end = file.span(call)
    name = file.text(call.func)
    said = f"{name} waits without a limit, and its thread with it"
    usual = _usual(file, call)
    try:
        edit = with_argument(file, call, f"timeout={usual}")
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    reason = f"it raises after {usual} seconds"
    fix = Fix(f"Give {name} a timeout", (edit,), Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, fixes=(fix,))
