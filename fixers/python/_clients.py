"""Objects of libraries that talk to other machines and programs: which methods wait for them."""

from __future__ import annotations

import ast

from threadmend.python.file import PythonFile
from threadmend.python.functions import Function

__all__ = ["talks"]

_VERBS = frozenset({"get", "post", "put", "patch", "delete", "head", "options", "request", "send"})
_HTTP = frozenset({"request", "getresponse"})
_MAIL = frozenset({"sendmail", "send_message"})
_METHODS = {
    "requests.Session": _VERBS,
    "requests.session": _VERBS,
    "requests.sessions.Session": _VERBS,
    "httpx.Client": _VERBS,
    "http.client.HTTPConnection": _HTTP,
    "http.client.HTTPSConnection": _HTTP,
    "smtplib.SMTP": _MAIL,
    "smtplib.SMTP_SSL": _MAIL,
    "subprocess.Popen": frozenset({"wait", "communicate"}),
}
_ONE_BY_ONE = {kind for kind, methods in _METHODS.items() if methods in (_HTTP, _MAIL)}
_ENDS = frozenset({"poll", "terminate", "kill", "send_signal"})
_WAITED = frozenset({"communicate"})


def _is_own(file: PythonFile, node: ast.expr, function: Function | None) -> bool:
    """Return whether an expression is a variable of the function itself."""
    binding = file.binding(node)
    return binding is not None and function is not None and binding.scope is function.scope


def talks(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a call waits for another machine, or for a program that nobody has told to
    end: `self.session.get(url)`, `process.wait()`.
    """
    func = call.func
    value = file.value(func.value) if isinstance(func, ast.Attribute) else None
    if value is None or value.is_class or not isinstance(func, ast.Attribute):
        return False
    kinds = {value.type} if value.cls is None else value.cls.ancestry
    if value.cls is not None and value.cls.method(func.attr) is not None:
        return False  # its own way to do it
    if not any(func.attr in _METHODS.get(kind, ()) for kind in kinds):
        return False
    function = file.function(call)
    if not kinds.isdisjoint(_ONE_BY_ONE) and not _is_own(file, func.value, function):
        return False  # with the loop standing still, no two tasks talk over it at the same time
    ends = _ENDS | _WAITED if func.attr == "wait" else _ENDS
    own = function.own if function is not None else ()
    ended = any(isinstance(node, ast.Attribute) and node.attr in ends for node in own)
    return "subprocess.Popen" not in kinds or not ended
