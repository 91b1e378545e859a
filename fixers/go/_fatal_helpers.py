"""Functions that nothing but goroutines calls: what ends one ends its caller.

go func() {                          func check(t *testing.T, got int) {
    defer wg.Done()                      if got != 1 {
    check(t, work())                         t.Fatal(got)
}()                                      }
                                     }
"""

from __future__ import annotations

from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, launches
from threadmend.golang.locks import declaration_of
from threadmend.golang.served import served_by
from threadmend.golang.syntax import Node

from ._all_calls import each_call

__all__ = ["launched_behind"]

_DEPTH = 2


def launched_behind(file: GoFile, function: Node, depth: int = _DEPTH) -> Launch | None:
    """Return a launch of a goroutine that calls a function, if nothing else calls it.

    Of kind `server` where a server runs a handler: that is its goroutine.
    """
    decl = declaration_of(file, function)
    if decl is not None and decl.exported and not file.is_test_file:
        return None
    server = served_by(file, function)
    if server is not None:
        return Launch("server", server, None, function, decl)
    first = None
    for use in each_call(file, function):
        if use is None:
            return None
        caller, call = use
        outer = call.function
        if outer is None or outer is function:
            return None
        launch = next((each for each in launches(caller) if each.body is outer), None)
        if launch is None and depth > 0:
            launch = launched_behind(caller, outer, depth - 1)
        elif launch is None and (server := served_by(caller, outer)) is not None:
            launch = Launch("server", server, None, outer, None)
        if launch is None:
            return None
        first = first or launch
    return first
