"""Requests that end before the work of a function which gets one: a goroutine runs it.

if call != "" {
    go s.callPhone(v, r, call)     // the answer is sent meanwhile, and r.Context() ends
}
"""

from __future__ import annotations

from threadmend.golang.ambient import Ambient
from threadmend.golang.file import GoFile
from threadmend.golang.runners import runners_of

__all__ = ["may_be_answered"]


def may_be_answered(file: GoFile, context: Ambient) -> bool:
    """Return whether a request is a parameter of a function that goroutines run as well."""
    function = context.binding.function
    if context.kind != "request" or function is None or function.kind == "func_literal":
        return False
    return bool(runners_of(file, function).launches)
