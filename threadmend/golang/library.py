"""Library: which methods of what it is given a function of the standard library calls.

io.Copy(file, io.TeeReader(body, progress))     // progress.Write, on the caller's goroutine
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["methods_called"]

_WRITE, _READ = ("Write",), ("Read",)
_NOTHING: tuple[str, ...] = ()
# The methods called on each argument; the last entry stands for all that follow.
_CALLED: dict[str, dict[str, tuple[tuple[str, ...], ...]]] = {
    "io": {
        "Copy": (_WRITE, _READ, _NOTHING),
        "CopyN": (_WRITE, _READ, _NOTHING),
        "CopyBuffer": (_WRITE, _READ, _NOTHING),
        "TeeReader": (_READ, _WRITE),
        "MultiWriter": (_WRITE,),
        "MultiReader": (_READ,),
        "LimitReader": (_READ, _NOTHING),
        "ReadAll": (_READ,),
        "ReadFull": (_READ, _NOTHING),
        "ReadAtLeast": (_READ, _NOTHING),
        "WriteString": (_WRITE, _NOTHING),
    },
    "fmt": dict.fromkeys(("Fprint", "Fprintf", "Fprintln"), (_WRITE, _NOTHING)),
    "bufio": {
        **dict.fromkeys(("NewReader", "NewReaderSize", "NewScanner"), (_READ, _NOTHING)),
        **dict.fromkeys(("NewWriter", "NewWriterSize"), (_WRITE, _NOTHING)),
    },
    "encoding/json": {"NewEncoder": (_WRITE,), "NewDecoder": (_READ,)},
    "encoding/binary": {"Write": (_WRITE, _NOTHING), "Read": (_READ, _NOTHING)},
    "encoding/csv": {"NewWriter": (_WRITE,), "NewReader": (_READ,)},
    "compress/gzip": {"NewWriter": (_WRITE,), "NewReader": (_READ,)},
    "sort": dict.fromkeys(("Sort", "Stable"), (("Len", "Less", "Swap"),)),
    "container/heap": {
        "Push": (("Push", "Swap", "Less"), _NOTHING),
        "Pop": (("Pop", "Swap", "Less"),),
        "Init": (("Swap", "Less"),),
        "Fix": (("Swap", "Less"), _NOTHING),
        "Remove": (("Pop", "Swap", "Less"), _NOTHING),
    },
}
_NAMES = frozenset(name for names in _CALLED.values() for name in names)
_WRAPS = frozenset({"TeeReader", "MultiWriter", "MultiReader", "LimitReader"})


def methods_called(file: GoFile, call: Node) -> Iterator[tuple[Node, str]]:
    """Yield the arguments of a call, each with a method that the callee calls on it.

    What only wraps its argument calls nothing itself: it counts where the result stays in the
    function, as an argument or in a local variable.
    """
    function = call["function"]
    if function.kind != "selector_expression" or function["field"].name not in _NAMES:
        return
    operand, name = function["operand"], function["field"].name
    if operand.kind != "identifier" or file.binding(operand) is not None:
        return
    wanted = _CALLED.get(file.imported(operand.name) or "", {}).get(name)
    if wanted is None or ((name in _WRAPS or name.startswith("New")) and not _stays(call)):
        return
    for index, argument in enumerate(call["arguments"].children):
        for method in wanted[min(index, len(wanted) - 1)]:
            yield argument, method


def _stays(call: Node) -> bool:
    outer = call.parent
    if outer is None or outer.kind in {"argument_list", "selector_expression"}:
        return outer is not None
    return outer.parent is not None and outer.parent.kind == "short_var_declaration"
