"""Where `context.Background()` and `context.TODO()` stand, and whether they are meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.ambient import CLEANUP, Ambient, ambient, left, speaks_of_detachment
from threadmend.golang.context_reads import is_unsent
from threadmend.golang.contexts import kept
from threadmend.golang.file import GoFile
from threadmend.golang.meant import after_failure, passes_on, undoes
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Func, is_named

__all__ = ["LASTING", "Fresh", "fresh_contexts", "works_under"]

_DERIVES = frozenset(
    {
        *("WithCancel", "WithTimeout", "WithDeadline", "WithValue"),
        *("WithCancelCause", "WithTimeoutCause", "WithDeadlineCause"),
    }
)
_MEANT = re.compile(r"(?i)^bg|background|detach|root|base|shutdown|parent|forever|lifetime|^_$")
LASTING = re.compile(
    r"^(?:[Nn]ew|[Mm]ake|[Ss]tart|[Ww]atch|[Ss]ubscribe|[Gg]o|[Ss]pawn|[Ll]aunch|[Oo]pen|[Rr]un"
    r"|[Ss]erve|[Ll]isten|[Dd]ial|[Cc]onnect|[Ii]nit|[Ss]etup|[Bb]oot|[Rr]egister|[Ss]et|[Ee]nqueue"
    r"|[Kk]eep[Aa]live|[Cc]ampaign|Stream\w*|With|Clone|[Ll]oad[A-Z]|[Ww]ithout|Detach|Notify|After)(?![a-z])"
)


@dataclass(frozen=True, slots=True)
class Fresh:
    """A context made where another one is in scope: `detached` says how the work leaves it.

    `told_apart`: the function passes a context to other calls, and none to this one.
    """

    call: Node
    context: Ambient
    receiver: str
    detached: str
    told_apart: bool


def fresh_contexts(file: GoFile) -> Iterator[Fresh]:
    """Yield the contexts made anew for work that belongs to one in scope."""
    for call in file.calls("Background", "TODO"):
        function = call["function"]
        if function.kind != "selector_expression" or call["arguments"].children:
            continue
        operand = function["operand"]
        if file.imported(operand.name) != "context" or file.binding(operand) is not None:
            continue
        context = ambient(file, call, parent=True)
        if context is None or context.kind == "test" or speaks_of_detachment(file, call):
            continue
        if after_failure(file, call):
            continue
        used = _Use(file, context)
        receiver = used.receiver(call)
        if receiver:
            told_apart = function["field"].name == "Background" and passes_on(file, call, context)
            yield Fresh(call, context, receiver, used.detached, told_apart)


def works_under(file: GoFile, context: Ambient, call: Node) -> bool:
    """Return whether a call derives a context of its own that the function works under.

    And gives up before it returns, where nothing says that it is meant to be another one.
    """
    if context.kind != "context" or left(file, call, context) or after_failure(file, call):
        return False
    if speaks_of_detachment(file, call):
        return False
    return bool(_Use(file, context).derived(call))


class _Use:
    """Follows a fresh context to the call that works under it."""

    def __init__(self, file: GoFile, context: Ambient) -> None:
        self.file = file
        self.context = context
        self.detached = ""

    def receiver(self, value: Node) -> str:
        """Return the name of the call that a context is for, `""` where it is meant."""
        how = left(self.file, value, self.context)
        if how:
            self.detached = how
            # A goroutine or a deferred call may want the values; the rest is left alone.
            if how not in {"goroutine", "deferred call"}:
                return ""
        parent = value.parent
        if parent is None:
            return ""
        if parent.kind == "argument_list" and parent.parent is not None:
            return self._argument(parent.parent, value)
        if parent.kind == "expression_list" and parent.parent is not None:
            return self._variable(parent.parent, value)
        return ""

    def _argument(self, call: Node, value: Node) -> str:
        if call["arguments"].children[0] is not value:
            return ""
        function = call["function"]
        if function.kind == "selector_expression":
            name = function["field"].name
            operand = function["operand"]
            if operand.kind == "identifier" and self.file.imported(operand.name) == "context":
                return self.derived(call) if name in _DERIVES else ""
        elif function.kind == "identifier":
            name = function.name
        else:
            return ""
        if CLEANUP.search(name) or LASTING.match(name) or undoes(call):
            return ""
        if self._outlives(call):
            return ""
        if call.parent is not None and call.parent.kind == "return_statement":
            return ""
        signature = self.file.underlying(self.file.type_of(function))
        if not isinstance(signature, Func) and self.file.callee(call) is None:
            return (
                function.name
                if re.search(r"(?i)c(?:on)?te?xt|^(?:Get|Do|Query|Exec)", name)
                else ""
            )
        return function.name

    def _outlives(self, call: Node) -> bool:
        """Return whether a call makes a context of it that goes on behind the function.

        `ctx := withUser(context.Background(), user)` … `go s.log(ctx)`.
        """
        statement, function = call.statement, call.function
        names = statement.get("left") if statement is not None else None
        if statement is None or function is None or names is None:
            return False
        if not any(value is call for value in statement["right"].children):
            return False
        bindings = [self.file.binding(name) for name in names.children]
        return any(
            b is not None
            and is_named(self.file.type_of(b.node), "context.Context")
            and kept(self.file, b.function or function, b, statement.end) is not None
            for b in bindings
        )

    def derived(self, call: Node) -> str:
        """Follow `ctx, cancel := context.WithTimeout(context.Background(), …)`."""
        group = call.parent
        if group is None or group.kind != "expression_list" or group.parent is None:
            return ""
        statement = group.parent
        if statement.kind != "short_var_declaration" or len(group.children) != 1:
            return ""
        function = call.function
        names = statement["left"].children
        if function is None or _MEANT.search(names[0].name):
            return ""
        for name in names:
            if name.name == "_":
                continue
            binding = self.file.binding(name)
            if binding is None or binding.function is not function:
                return ""
            if kept(self.file, function, binding, statement.end) is not None:
                return ""
        binding = self.file.binding(names[0])
        if binding is None or not self._works(binding):
            return ""
        return call["function"].name

    def _variable(self, statement: Node, value: Node) -> str:
        """Follow `ctx := context.Background()` in a function that has a request."""
        if self.context.kind == "context" or statement.kind != "short_var_declaration":
            return ""
        if statement["right"].children != [value] or self.detached:
            return ""
        name = statement["left"].children[0]
        function = value.function
        binding = self.file.binding(name)
        if binding is None or function is None or _MEANT.search(name.name):
            return ""
        if binding.function is not function or not self._works(binding):
            return ""
        if kept(self.file, function, binding, statement.end) is not None:
            return ""
        return name.name

    def _works(self, binding: Binding) -> bool:
        """Return whether every use of a variable is work inside the life of the context."""
        uses = [use for use in binding.uses if use is not binding.node]
        for use in uses:
            if left(self.file, use, self.context) and not self.detached:
                return False
            parent = use.parent
            call = parent.parent if parent is not None else None
            if parent is None or parent.kind != "argument_list" or call is None:
                if parent is not None and parent.kind == "selector_expression":
                    continue  # ctx.Done(), ctx.Err()
                return False
            function = call["function"]
            last = function.get("field")
            name = (last or function).name
            if function.text == b"http.NewRequestWithContext" and not is_unsent(self.file, call):
                continue  # sent and answered before the context ends
            if CLEANUP.search(name) or LASTING.match(name):
                return False
        return bool(uses)
