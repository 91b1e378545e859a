"""One request: variables that belong to the one request that a function is given.

func connect(…, target *url.URL, respond Responder) (http.Handler, error) {
    return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
        target.RawQuery = r.URL.RawQuery    // the next request has its own
    }), nil
}
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.calls import own_callers
from threadmend.golang.locks import LOCK_CALLS, declaration_of
from threadmend.golang.scope import argument_of
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.scope import Binding

__all__ = ["is_of_one_request"]

_REQUEST = re.compile(rb"(?:Request|Responder|ResponseWriter)$")


def is_of_one_request(file: GoFile, variable: Binding) -> bool:
    """Return whether a variable is one that a function has for the request which it is given.

    One of its own, or a parameter for which all its callers have a variable of their own. Of a
    handler that such a function returns, nobody runs two at the same time.
    """
    maker = variable.function
    if maker is None or not any(map(_is_of_request, _types(maker))):
        return False
    if variable.kind == "variable":
        return True
    decl = declaration_of(file, maker)
    if variable.kind != "parameter" or decl is None or decl.exported:
        return False
    given = [
        (site.file, argument_of(site.call, decl.node, variable) if site.call is not None else None)
        for site in own_callers(decl, LOCK_CALLS)
    ]
    return bool(given) and all(value is not None and _is_own(f, value) for f, value in given)


def _is_own(file: GoFile, value: Node) -> bool:
    """Return whether a value is a variable that its function has made or been given by a call."""
    binding = file.binding(value) if value.kind == "identifier" else None
    return binding is not None and binding.kind == "variable"


def _types(function: Node) -> list[Node]:
    parameters = function.get("parameters")
    types = [p.get("type") for p in parameters.children] if parameters is not None else []
    return [type_ for type_ in types if type_ is not None]


def _is_of_request(type_: Node) -> bool:
    return type_.kind != "function_type" and _REQUEST.search(type_.text) is not None
