"""Operations: every use of a lock, WaitGroup, Once, Cond, channel or context, every launch.

The picture of a project's concurrency that `threadmend map` prints, and the yardstick of the
type layer (`tools/compare_types.py` holds it against go/types).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.node import bare
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, Named, Type, TypeParam, deref
from threadmend.graph import Operation

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.infer import Selection
    from threadmend.golang.workspace import Workspace

__all__ = ["Operation", "operations"]


# The methods that make a type a concern of the map, with the number of their arguments:
# where the receiver's type is unknown, a call with another number is something else.
_METHODS = {
    "Lock": 0,
    "Unlock": 0,
    "RLock": 0,
    "RUnlock": 0,
    "TryLock": 0,
    "TryRLock": 0,
    "Add": 1,
    "Done": 0,
    "Wait": 0,
    "Go": 1,
    "TryGo": 1,
    "Do": 1,
    "Signal": 0,
    "Broadcast": 0,
    "Err": 0,
    "Deadline": 0,
    "Value": 1,
}
_LOCKING = frozenset({"Lock", "Unlock", "RLock", "RUnlock", "TryLock", "TryRLock"})
_CONCURRENT = frozenset(
    {
        "context.Context",
        "golang.org/x/sync/errgroup.Group",
        "golang.org/x/sync/singleflight.Group",
        "sync.Cond",
        "sync.Locker",
        "sync.Mutex",
        "sync.Once",
        "sync.RWMutex",
        "sync.WaitGroup",
    }
)
_DERIVING = frozenset(
    {
        "WithCancel",
        "WithCancelCause",
        "WithDeadline",
        "WithDeadlineCause",
        "WithTimeout",
        "WithTimeoutCause",
        "WithValue",
        "WithoutCancel",
    }
)
_GATE = re.compile(
    rb"<-|\bgo\b|\bchan\b|\bclose\(|\brange\b|\.With|\.(?:"
    + "|".join(_METHODS).encode()
    + rb")\s*\("
)


def operations(workspace: Workspace) -> Iterator[Operation]:
    """Yield the operations of a project, by path and position."""
    for path in workspace.go_files:
        yield from _file_operations(workspace.file(path))


def _file_operations(file: GoFile) -> list[Operation]:
    """Return the operations of one file, by position."""
    found: list[tuple[int, Operation]] = []
    for declaration in file.declarations(_GATE):
        for kind, read in _READERS.items():
            for node in declaration.index.get(kind, ()):
                operation = read(file, node)
                if operation is not None:
                    found.append((node.start, operation))
    found.sort(key=lambda pair: (pair[0], pair[1].operation))
    return [operation for _, operation in found]


def _call(file: GoFile, call: Node) -> Operation | None:
    function = bare(call["function"])
    if function.kind == "identifier":
        return _builtin(file, call, function)
    if function.kind != "selector_expression":
        return None
    name = function["field"].name
    operand = function["operand"]
    if name in _DERIVING:
        if operand.kind == "identifier" and file.resolve(operand) is not None:
            if _import_path(file, operand) == "context":
                return _operation(file, call, name, "context.Context", None, "")
        return None
    if name not in _METHODS:
        return None
    return _method(file, call, function, name)


def _method(file: GoFile, call: Node, function: Node, name: str) -> Operation | None:
    operand = function["operand"]
    if operand.kind == "identifier" and _import_path(file, operand) is not None:
        return None
    selection = file.selection(function)
    type_: str | None = None
    if selection is not None:
        if selection.kind != "method":
            return None
        type_ = _declarer(file, selection, file.type_of(operand))
        if type_ not in _CONCURRENT and not (name in _LOCKING and _is_locker(file, operand)):
            return None
    elif _is_known(file, operand) or _METHODS[name] != len(_arguments(call)):
        return None
    via = selection.via if selection is not None else ()
    class_ = _class(file, operand, via)
    return _operation(file, call, name, type_, class_, operand.name)


def _declarer(file: GoFile, selection: Selection, receiver: Type | None) -> str | None:
    """Return the type that declares a method: the embedded one for a promoted method."""
    owner = selection.owner if selection.owner is not None else deref(receiver)
    return str(owner) if owner is not None else None


def _is_locker(file: GoFile, operand: Node) -> bool:
    type_ = file.type_of(operand)
    inference = file.package.workspace.inference
    return type_ is not None and all(
        (member := inference.member(type_, name)) is not None and member.kind == "method"
        for name in ("Lock", "Unlock")
    )


def _is_known(file: GoFile, operand: Node) -> bool:
    """Return whether everything that a value's type could embed or declare is at hand."""
    type_ = deref(file.type_of(operand))
    if type_ is None or isinstance(type_, TypeParam):
        return False
    return file.package.workspace.inference.is_complete(type_)


def _builtin(file: GoFile, call: Node, function: Node) -> Operation | None:
    arguments = _arguments(call)
    if not arguments or function.name not in {"close", "make"}:
        return None
    if file.resolve(function) is not None:
        return None
    if function.name == "close" and len(arguments) == 1:
        return _channel(file, call, "close", arguments[0])
    channel = _channel_type(file, file.type_of(call)) if function.name == "make" else None
    if channel is None:
        return None
    return _operation(file, call, "make", str(channel), None, "")


def _send(file: GoFile, statement: Node) -> Operation | None:
    return _channel(file, statement, "send", statement["channel"])


def _receive(file: GoFile, expression: Node) -> Operation | None:
    if expression["operator"].kind != "<-":
        return None
    return _channel(file, expression, "receive", expression["operand"])


def _range(file: GoFile, clause: Node) -> Operation | None:
    operand = clause["right"]
    if _channel_type(file, file.type_of(operand)) is None:
        return None
    statement = clause.parent if clause.parent is not None else clause
    return _channel(file, statement, "range", operand)


def _channel(file: GoFile, node: Node, name: str, operand: Node) -> Operation:
    channel = _channel_type(file, file.type_of(operand))
    type_ = str(channel) if channel is not None else None
    return _operation(file, node, name, type_, _class(file, operand, ()), operand.name)


def _channel_type(file: GoFile, type_: Type | None) -> Chan | None:
    under = file.underlying(type_)
    if isinstance(under, TypeParam):
        under = file.underlying(file.package.workspace.inference.core(under))
    return under if isinstance(under, Chan) else None


def _launch(file: GoFile, statement: Node) -> Operation | None:
    calls = [child for child in statement.children if child.kind == "call_expression"]
    if not calls:
        return None
    function = bare(calls[0]["function"])
    if function.kind == "func_literal":
        return _operation(file, statement, "go", "func", None, "func literal")
    callee = file.callee(calls[0])
    class_ = None
    if callee is not None:
        owner = f"{callee.receiver}." if callee.receiver else ""
        class_ = f"{callee.file.package.path}.{owner}{callee.name}"
    return _operation(file, statement, "go", "func", class_, function.name)


def _operation(
    file: GoFile, node: Node, name: str, type_: str | None, class_: str | None, instance: str
) -> Operation:
    at = file.source.position(node.start)
    shown = " ".join(instance.split())
    return Operation(file.path, at.line, at.column, name, type_, class_, shown)


def _class(file: GoFile, operand: Node, via: tuple[str, ...]) -> str | None:
    """Return the declaration that holds an operand: `pkg/path.Type.field`, a variable.

    Two operands of one class may be different instances; two of different classes never
    are the same one.
    """
    base = _declared_in(file, bare(operand))
    if not via:
        return base
    owner = deref(file.type_of(operand))
    if isinstance(owner, Named):
        base = f"{owner.package}.{owner.name}"
    return ".".join((base, *via)) if base is not None else None


def _declared_in(file: GoFile, node: Node) -> str | None:
    if node.kind == "identifier":
        return _name_class(file, node)
    if node.kind == "selector_expression":
        return _field_class(file, node)
    if node.kind in {"index_expression", "call_expression", "unary_expression"}:
        inner = node.get("operand") or node.get("function")
        base = _declared_in(file, bare(inner)) if inner is not None else None
        suffix = {"index_expression": "[]", "call_expression": "()"}.get(node.kind, "")
        return base + suffix if base is not None else None
    return None


def _name_class(file: GoFile, node: Node) -> str | None:
    meant = file.resolve(node)
    if isinstance(meant, Binding):
        function = meant.function
        while function is not None and function.kind == "func_literal":
            function = function.function
        name = function.get("name") if function is not None else None
        inside = f"{name.name}." if name is not None else ""
        return f"{file.package.path}.{inside}{meant.name}"
    if meant is None or isinstance(meant, tuple):
        return None
    return f"{meant.file.package.path}.{meant.name}"


def _field_class(file: GoFile, node: Node) -> str | None:
    selection = file.selection(node)
    if selection is None:
        return None
    if selection.kind == "package":
        return f"{selection.decl.file.package.path}.{selection.name}" if selection.decl else None
    if selection.owner is not None:
        return f"{selection.owner.package}.{selection.owner.name}.{selection.name}"
    base = _declared_in(file, bare(node["operand"]))
    return f"{base}.{selection.name}" if base is not None else None


def _import_path(file: GoFile, operand: Node) -> str | None:
    if file.imported(operand.name) is None:
        return None
    meant = file.resolve(operand)
    return getattr(meant, "path", None) if isinstance(meant, tuple) else None


def _arguments(call: Node) -> list[Node]:
    arguments = call.get("arguments")
    return arguments.children if arguments is not None else []


_READERS = {
    "call_expression": _call,
    "send_statement": _send,
    "unary_expression": _receive,
    "range_clause": _range,
    "go_statement": _launch,
}
