"""Servers of the standard library: which class of the project the `self.server` of a handler is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.file import PythonFile

__all__ = ["HANDLERS", "is_threaded", "server_of"]

HANDLERS = frozenset({"http.server.BaseHTTPRequestHandler", "socketserver.BaseRequestHandler",
                      "socketserver.StreamRequestHandler", "http.server.SimpleHTTPRequestHandler",
                      "BaseHTTPServer.BaseHTTPRequestHandler"})  # fmt: skip
"""Classes of which a server makes an object for each request."""

_SERVERS = frozenset({"http.server.HTTPServer", "http.server.ThreadingHTTPServer",
                      "socketserver.BaseServer", "socketserver.TCPServer",
                      "socketserver.UDPServer", "socketserver.ThreadingTCPServer",
                      "socketserver.ThreadingUDPServer", "socketserver.UnixStreamServer",
                      "socketserver.ThreadingUnixStreamServer"})  # fmt: skip


_THREADED = frozenset({"http.server.ThreadingHTTPServer", "socketserver.ThreadingMixIn",
                       "socketserver.ThreadingTCPServer", "socketserver.ThreadingUDPServer",
                       "socketserver.ThreadingUnixStreamServer"})  # fmt: skip


def is_threaded(handler: Class) -> bool:
    """Return whether each object of a handler's class has a thread: its server says so, or the
    file where that is not known.
    """
    server = server_of(handler)
    return b"Threading" in handler.file.data if server is None else server.inherits(*_THREADED)


def server_of(handler: Class) -> Class | None:
    """Return the class of the server that makes the objects of a handler's class: the only one
    that the project hands it to, in its own initializer or when it is made.
    """
    if not handler.inherits(*HANDLERS):
        return None
    known: dict[Class, Class | None] = handler.file.__dict__.setdefault("_servers", {})
    if handler not in known:
        known[handler] = None  # what leads back to itself is not known
        project = handler.file.project
        found = {
            server
            for file in project.files(handler.file.encode(handler.name))
            for call in _given_to(file, handler)
            for server in [_made(file, call)]
        }
        known[handler] = found.pop() if len(found) == 1 else None
    return known[handler]


def _given_to(file: PythonFile, handler: Class) -> Iterator[ast.Call]:
    """Yield the calls whose second argument, or that of its name, is a handler's class."""
    for node in file.tree.names.get(handler.name, ()):
        above = file.parent(node)
        call = file.parent(above) if isinstance(above, ast.keyword) else above
        if not isinstance(call, ast.Call):
            continue
        given = call.args[1:2] + [k.value for k in call.keywords if k.arg == "RequestHandlerClass"]
        if node in given and file.qualified(node) == handler.qualified:
            yield call


def _made(file: PythonFile, call: ast.Call) -> Class | None:
    """Return the class of the project whose object a call makes or sets up, None for others."""
    function, func = file.function(call), call.func
    if isinstance(func, ast.Attribute) and func.attr == "__init__":
        cls = None if function is None or function.name != "__init__" else function.cls
    else:
        name = file.qualified(func)
        cls = None if name is None else file.project.class_named(name)
    return cls if cls is not None and cls.inherits(*_SERVERS) else None
