"""Stop waits: locks that are held until a stop channel is closed, and who needs them before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.locks import lock_operation
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan
from threadmend.golang.unblocking import OtherSide

if TYPE_CHECKING:
    from threadmend.golang.effects import Pair
    from threadmend.golang.file import GoFile

__all__ = ["needed_meanwhile"]


def needed_meanwhile(pair: Pair) -> OtherSide | None:
    """Return who takes the lock that a function keeps while it waits for a stop and no more.

    The function takes the lock itself, and receives from a parameter `<-chan struct{}`.
    """
    receive = pair.event.operation
    if pair.event.mode != "receive" or len(pair.event.path) > 1 or pair.taken_at is None:
        return None
    operand = receive["operand"] if receive.kind == "unary_expression" else None
    if operand is None or not _is_stop(pair.file, operand) or pair.held.lock_class is None:
        return None
    for file in pair.file.package.files:
        if file.is_test and not pair.file.is_test:
            continue
        for call in file.calls("Lock", "RLock"):
            operation = lock_operation(file, call)
            if operation is None or operation.lock_class != pair.held.lock_class:
                continue
            if call.function is pair.function or not operation.acquires:
                continue
            if operation.mode == "write" or pair.held.mode == "write":
                return OtherSide(call, None, stop=True)
    return None


def _is_stop(file: GoFile, operand: Node) -> bool:
    """Return whether an expression is a parameter that can only be received from or closed."""
    binding = file.binding(operand)
    if binding is None or binding.kind != "parameter":
        return False
    type_ = file.underlying(file.type_of(operand))
    return isinstance(type_, Chan) and type_.direction == "receive" and "struct{" in str(type_.elem)
