"""Reading signals: which operations of a piece of code may synchronise, and on what.

A function that is not visible may do anything to what it is handed; one of a package that
only computes does nothing; a literal called through its variable does what stands in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.access import access_of
from threadmend.golang.builders.names import PREDECLARED
from threadmend.golang.calm import runs_calmly
from threadmend.golang.counted_spawners import group_of
from threadmend.golang.goroutines import is_spawned_by
from threadmend.golang.groups import is_group
from threadmend.golang.launched import literal_of
from threadmend.golang.locks import LOCK_TYPES
from threadmend.golang.node import bare
from threadmend.golang.scope import Binding
from threadmend.golang.signal_objects import (
    is_plain,
    mentioned,
    objects_of,
    with_aliases,
)
from threadmend.golang.signals import Signal
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, Func, Named, deref, is_named
from threadmend.golang.wording import translated

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = ["signals_in"]

_SYNC_BODY = re.compile(
    rb"<-|\bclose\(|\.(?:Done|Unlock|RUnlock|Signal|Broadcast|Store|Wait|Add|CompareAndSwap"
    rb"|Lock|RLock|Go)\(|\batomic\.|\bgo\s"
)
# Methods that only tell, or write a log.
_TELLS = re.compile(
    r"(?:Get|Is|Has|Name|Config|Log|Print|Debug|Info|Warn|With)|(?:String|Error|Err|ID|Len|Size"
    r"|Addr|Type|Value|Status|Key|Path|URL|Unix|Format|Errorf)$"
)
# Packages whose functions do not synchronise with another goroutine of ours.
_PURE = frozenset(
    {
        *("fmt", "errors", "strings", "strconv", "sort", "slices", "maps", "math", "log"),
        *("math/rand", "math/rand/v2", "unicode", "path", "path/filepath", "regexp", "reflect"),
        *("time", "context", "encoding/json", "encoding/hex", "encoding/base64", "log/slog"),
        *("bytes", "unicode/utf8", "math/bits", "cmp", "hash/crc32", "crypto/sha256", "os"),
        *("github.com/stretchr/testify/assert", "github.com/pkg/errors", "runtime/debug"),
    }
)
_SEMAPHORE = "golang.org/x/sync/semaphore.Weighted"


def signals_in(file: GoFile, root: Node) -> Iterator[Signal]:
    """Yield the signals at or below a node, those of literals in it included.

    A literal that the code calls through its variable counts too.
    """
    seen: set[Node] = set()
    todo = [root]
    while todo:
        for node in todo.pop().walk():
            signal = _signal(file, node)
            if signal is not None:
                yield signal
            if node.kind == "call_expression" and node["function"].kind == "identifier":
                literal = literal_of(file, node["function"])
                if literal is not None and group_of(file, node) is not None:
                    continue  # what is launched signals by itself
                if literal is not None and literal not in seen and not root.contains(literal):
                    seen.add(literal)
                    todo.append(literal)


def _signal(file: GoFile, node: Node) -> Signal | None:
    kind = node.kind
    if kind == "send_statement":
        return Signal("send", node, objects_of(file, node["channel"]))
    if kind == "unary_expression" and node["operator"].kind == "<-":
        if _is_clock(file, node["operand"]):
            return None
        return Signal("receive", node, objects_of(file, node["operand"]))
    if kind == "range_clause":
        if isinstance(file.underlying(file.type_of(node["right"])), Chan | Func | None):
            return Signal("receive", node, objects_of(file, node["right"]))
        return None
    if kind == "call_expression":
        return _call(file, node)
    return None


def _is_clock(file: GoFile, channel: Node) -> bool:
    """Return whether a channel is that of a timer: time.After(d), timer.C, ticker.C."""
    if channel.kind == "call_expression":
        return channel["function"].text in {b"time.After", b"time.Tick"}
    if channel.kind != "selector_expression" or channel["field"].name != "C":
        return False
    return is_named(file.type_of(channel["operand"]), "time.Timer", "time.Ticker")


# -- calls ----------------------------------------------------------------------------


def _call(file: GoFile, call: Node) -> Signal | None:
    if is_spawned_by(file, call):
        return None  # what is launched signals by itself
    group = group_of(file, call)
    if group is not None:
        return Signal("done", call, with_aliases(file, group))
    function = bare(call["function"])
    if function.kind in {"func_literal", "array_type", "slice_type", "map_type"}:
        return None
    wrapped = _wrapped(file, call, function)
    if wrapped is not None:
        return wrapped
    if function.kind == "identifier":
        return _by_name(file, call, function)
    if function.kind == "selector_expression":
        return _by_selector(file, call, function)
    return Signal("call", call, mentioned(file, call))


def _wrapped(file: GoFile, call: Node, function: Node) -> Signal | None:
    """Return what a call does that runs one operation and nothing else.

    `func (s slots) enter() { s <- struct{}{} }`, `func ended(wg *sync.WaitGroup) { wg.Done() }`:
    on the receiver or a parameter, or a field of it.
    """
    decl = file.callee(call) if function.kind in {"selector_expression", "identifier"} else None
    signal = _only_signal(decl) if decl is not None and decl.sound else None
    if decl is None or signal is None or len(signal.objects) != 1:
        return None
    (object_,) = signal.objects
    if not isinstance(object_.root, Binding) or object_.root.kind not in _GIVEN:
        return None
    given = translated(file, call, decl.node, object_)
    if given is None:
        return None
    return Signal(signal.kind, call, with_aliases(file, given), signal.name)


_GIVEN = frozenset({"receiver", "parameter"})


def _only_signal(decl: Decl) -> Signal | None:
    """Return the operation that a function consists of."""
    known: dict[tuple[str, int], Signal | None]
    known = decl.file.package.facts.setdefault("only signals", {})
    if decl.key not in known:
        known[decl.key] = None  # a function that calls itself
        body = decl.node.get("body")
        statements = body.statements if body is not None else []
        if len(statements) == 1:
            known[decl.key] = _of_statement(decl.file, statements[0])
    return known[decl.key]


def _of_statement(file: GoFile, statement: Node) -> Signal | None:
    if statement.kind == "expression_statement":
        statement = statement.children[0]
    elif statement.kind != "send_statement" or statement["value"].kind == "call_expression":
        return None
    arguments = statement.get("arguments")
    if arguments is not None and any(True for _ in arguments.find("call_expression")):
        return None
    signal = _signal(file, statement)
    return signal if signal is not None and signal.kind != "call" else None


def _by_name(file: GoFile, call: Node, function: Node) -> Signal | None:
    name = function.name
    meant = file.resolve(function)
    if meant is None:
        if name == "close":
            return Signal("send", call, objects_of(file, call["arguments"].children[0]))
        return None if name in PREDECLARED else Signal("call", call, frozenset(), name)
    if isinstance(meant, Binding):
        if meant.kind == "type" or literal_of(file, function) is not None:
            return None  # what the literal does is yielded by itself
        if is_named(file.type_of(function), "context.CancelFunc", "context.CancelCauseFunc"):
            return Signal("send", call, objects_of(file, function))
        return Signal("call", call, mentioned(file, call), name, anything=True)
    kind = getattr(meant, "kind", "")
    if kind == "type":
        return None
    if runs_calmly(file, call):
        return None
    node = getattr(meant, "node", None)
    body = node.get("body") if kind == "func" and node is not None else None
    anything = body is None or bool(_SYNC_BODY.search(meant.file.data, body.start, body.end))  # type: ignore[union-attr]
    return Signal("call", call, mentioned(file, call["arguments"]), name, anything)


def _by_selector(file: GoFile, call: Node, function: Node) -> Signal | None:
    name = function["field"].name
    operand = function["operand"]
    if operand.kind == "identifier" and file.binding(operand) is None:
        path = file.imported(operand.name)
        if path is not None:
            return _of_package(file, call, path, name)
    selection = file.selection(function)
    owner = selection.owner if selection is not None else None
    if selection is None:
        receiver = deref(file.type_of(operand))
        owner = receiver if isinstance(receiver, Named) else None
    if selection is not None and selection.kind != "method":
        # A function in a field: what it does is not visible.
        return Signal("call", call, mentioned(file, call), name, anything=True)
    known = _KNOWN.get((str(owner) if owner else "", name))
    via = selection.via if selection is not None else ()
    if known is None and is_group(file.package.workspace, owner):
        known = {"Wait": "wait", "Go": "done", "TryGo": "done"}.get(name)
    if known is None and owner is not None:
        if str(owner) in LOCK_TYPES:
            known = "lock"
        elif owner.package in {"sync/atomic", "go.uber.org/atomic"} or str(owner) == "sync.Map":
            known = "atomic"
    if known is not None:
        access = access_of(file, operand, via)
        objects = with_aliases(file, access) if access else mentioned(file, operand)
        return Signal(known, call, objects, name)
    if name == "Done" and is_named(file.type_of(operand), "context.Context"):
        return None  # the receive from it is the signal
    if is_named(owner, _SEMAPHORE) and not _is_mutex(file, operand):
        return _of_semaphore(file, call, operand, name)
    if is_plain(file, operand):
        return None  # a test's or a logger's method, a number's
    if selection is not None and runs_calmly(file, call):
        return None
    if _TELLS.match(name):
        return _of_arguments(file, call, name)
    return Signal("call", call, mentioned(file, call), name)


def _of_arguments(file: GoFile, call: Node, name: str) -> Signal | None:
    objects = mentioned(file, call["arguments"])
    return Signal("call", call, objects, name) if objects else None


_KNOWN = {
    ("sync.WaitGroup", "Done"): "done",
    ("sync.WaitGroup", "Wait"): "wait",
    ("sync.WaitGroup", "Add"): "done",
    ("sync.WaitGroup", "Go"): "done",
    ("sync.Cond", "Wait"): "lock",
    ("sync.Cond", "Signal"): "lock",
    ("sync.Cond", "Broadcast"): "lock",
    ("sync.Once", "Do"): "once",
}


def _of_semaphore(file: GoFile, call: Node, operand: Node, name: str) -> Signal | None:
    """Return what is done to a semaphore that lets several in.

    Who takes all of its places waits for everybody who gives one back.
    """
    arguments = call["arguments"].children
    if name == "Acquire" and arguments and arguments[-1].text != _places(file, operand):
        return None
    access = access_of(file, operand)
    kind = {"Acquire": "wait", "Release": "done"}.get(name)
    return Signal(kind, call, with_aliases(file, access), name) if access and kind else None


def _is_mutex(file: GoFile, operand: Node) -> bool:
    """Return whether a semaphore lets one in at a time, or may."""
    return _places(file, operand) in {None, b"1"}


def _places(file: GoFile, operand: Node) -> bytes | None:
    """Return how many places a semaphore is made with, as it is written."""
    binding = file.binding(operand)
    right = binding.declaration.get("right") if binding is not None else None
    if binding is None or right is None or binding.index >= len(right.children):
        return None
    arguments = right.children[binding.index].get("arguments")
    return arguments.children[0].text if arguments is not None and arguments.children else None


def _of_package(file: GoFile, call: Node, path: str, name: str) -> Signal | None:
    if path in {"sync/atomic", "go.uber.org/atomic"}:
        arguments = call["arguments"].children
        objects = objects_of(file, arguments[0]) if arguments else frozenset()
        return Signal("atomic", call, objects, name)
    if path in _PURE:
        return None
    if path == "testing/synctest" or path.endswith("/synctest"):
        return Signal("settled", call, frozenset(), name)
    if path == "github.com/stretchr/testify/require" and not name.startswith("Eventually"):
        return None
    return Signal("call", call, mentioned(file, call["arguments"]), name)
