"""Calls under a lock: which of them wait for others, and which may come back for the lock."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable

from threadmend.python import api
from threadmend.python.file import PythonFile
from threadmend.python.flow import after
from threadmend.python.functions import Function, function_of
from threadmend.python.scope import parent
from threadmend.python.threads import reached

__all__ = ["idles", "is_plain", "may_return", "waits"]

_MODULES = ("requests.", "subprocess.", "socket.", "urllib.", "http.client.", "select.", "ssl.",
            "smtplib.", "ftplib.", "urllib3.", "httpx.", "asyncio.")  # fmt: skip
_PURE = ("urllib.parse.", "http.HTTPStatus", "socket.inet_", "socket.hton", "socket.ntoh")
_WAITERS = frozenset(
    {"wait", "acquire", "result", "recv", "recvfrom", "recv_into", "accept", "connect", "sendall",
     "urlopen", "communicate", "wait_for", "serve_forever", "join", "select", "run_forever",
     "run_until_complete", "loop_forever", "start_consuming", "mainloop", "recv_bytes",
     "recv_multipart"}
)  # fmt: skip
_OF_VALUES = api.MUTATORS | frozenset(
    {
        "get", "items", "keys", "values", "copy", "index", "count", "format", "join", "split",
        "strip", "lower", "upper", "startswith", "endswith", "encode", "decode", "replace",
        "isdigit", "total_seconds", "isoformat", "most_common", "elements", "union", "hex",
        "debug", "info", "warning", "error", "exception", "critical", "log", "warn", "group",
        "rstrip", "lstrip", "title", "bit_length", "timestamp", "put", "put_nowait",
        "get_nowait", "set", "is_set", "notify", "notify_all", "release", "match", "search",
        "__getitem__", "__setitem__", "__contains__", "difference", "intersection", "issubset",
        "issuperset", "isdisjoint", "symmetric_difference", "casefold", "capitalize", "swapcase",
        "splitlines", "partition", "rpartition", "rsplit", "removeprefix", "removesuffix", "zfill",
        "ljust", "rjust", "expandtabs", "isalpha", "isalnum", "isspace", "isnumeric", "isdecimal",
        "islower", "isupper", "isidentifier", "strftime", "as_integer_ratio", "is_integer",
    }
)  # fmt: skip
_CALLING = frozenset({"map", "filter", "sorted", "min", "max", "input", "exec", "eval", "super"})


def waits(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a call may wait for another thread or the outside world; `time.sleep`,
    which waits for nobody, does not count.
    """
    callee = function_of(file, call.func)
    if callee is not None:
        return any(_waits(one.file, c) for one in reached(callee) for c in one.calls)
    return _waits(file, call)


def idles(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a call only lets time pass until the next round of a loop: `time.sleep(1)`
    before `continue`.
    """
    statement = parent(call)
    if file.qualified(call.func) != "time.sleep" or not isinstance(statement, ast.Expr):
        return False
    rest = after(statement)
    return bool(rest) and isinstance(rest[0], ast.Continue)


def _waits(file: PythonFile, call: ast.Call) -> bool:
    name = file.qualified(call.func) or ""
    if name == "input":
        return True
    if name.startswith(_MODULES) and not name.startswith(_PURE):
        return not name.rpartition(".")[2][:1].isupper()
    func = call.func
    if not isinstance(func, ast.Attribute):
        return False
    if func.attr in {"get", "put"}:
        return file.is_a(func.value, api.QUEUES)
    if func.attr == "join":
        return not call.args and not isinstance(func.value, ast.Constant)
    if func.attr == "acquire" and file.lock(func.value) is not None:
        return False  # as `with` does: lock order is another rule's matter
    return func.attr in _WAITERS and not name.startswith(("os.path.", "shlex."))


def is_plain(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a call runs nothing but code of values: `len(x)`, `x.append(1)`."""
    func = call.func
    if isinstance(func, ast.Name) and file.binding(func) is None:
        return hasattr(builtins, func.id) and (
            func.id not in _CALLING or not any(k.arg == "key" for k in call.keywords)
        )
    if function_of(file, func) is not None:
        return False
    if isinstance(func, ast.Attribute) and func.attr in _OF_VALUES:
        return not _waits(file, call)
    name = file.qualified(func) or ""
    return name.startswith(("math.", "operator.", "collections.", "datetime.", "time.time",
                            "time.monotonic", "time.perf_counter", "decimal.", "copy.", "os.path.",
                            "uuid.", "heapq.", "itertools.", "re."))  # fmt: skip


def may_return(file: PythonFile, call: ast.Call, functions: Iterable[Function]) -> bool:
    """Return whether a call may reach one of some functions: it is one of the project that
    does, or something that nobody knows.
    """
    callee = function_of(file, call.func)
    if callee is not None:
        wanted = set(functions)
        return any(
            one in wanted or any(_is_unknown(one.file, c) for c in one.calls)
            for one in reached(callee)
        )
    return _is_unknown(file, call)


def _is_unknown(file: PythonFile, call: ast.Call) -> bool:
    """Return whether a call runs what somebody else handed in: a parameter, an attribute."""
    func = call.func
    if is_plain(file, call) or function_of(file, func) is not None:
        return False
    if isinstance(func, ast.Name):
        binding = file.binding(func)
        return binding is not None and any(
            site.kind not in {"import", "class"} for site in binding.sites
        )
    if isinstance(func, ast.Attribute):
        root: ast.expr = func
        while isinstance(root, ast.Attribute):
            root = root.value
        binding = file.binding(root)
        if binding is not None and any(site.kind == "import" for site in binding.sites):
            return False
        value = file.value(func.value)
        return value is None or value.cls is not None
    return True
