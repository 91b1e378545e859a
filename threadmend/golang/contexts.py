"""Contexts: where one is derived with a cancel function, and what keeps it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.closures import Later, Search
from threadmend.golang.functions import result_nodes
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Declaration, Node
from threadmend.golang.types import Chan, Func, Named, Type, deref, is_named

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = [
    "Derivation",
    "awaits_end",
    "derivation_by_helper",
    "derivations",
    "derivations_by_helpers",
    "derives",
    "kept",
    "kept_by",
]

_NAMES = (
    *("WithCancel", "WithTimeout", "WithDeadline"),
    *("WithCancelCause", "WithTimeoutCause", "WithDeadlineCause", "NotifyContext"),
)
DERIVES = re.compile(rb"\b(?:" + "|".join(_NAMES).encode() + rb")\b")
"""What stands in every function with a derivation."""

_PACKAGES = {"NotifyContext": "os/signal"}
_STATEMENTS = frozenset({"short_var_declaration", "assignment_statement", "var_spec"})

# Results that live on a context for as long as they are used.
_LIVING = frozenset(
    {
        *("net/http.Request", "net/http.Response", "os/exec.Cmd", "context.Context"),
        *("database/sql.Rows", "database/sql.Row", "database/sql.Tx", "io.ReadCloser"),
    }
)
_LIVING_NAME = re.compile(
    r"(?:Stream|Rows|Cursor|Iterator|Iter|Watcher|WatchChan|Reader|ReadCloser|Subscription|Tx"
    r"|Client|Server|Session|Conn)$"
)
_MANY = 60
_MAKERS = re.compile(r"^(?:New|Start|Watch|Subscribe|Go|Spawn|Launch|Open)(?![a-z])")


@dataclass(frozen=True, slots=True)
class Derivation:
    """One `ctx, cancel := context.WithTimeout(…)`, in any of its forms.

    `statement` is the `:=`, the `=` or the `var_spec`; `context` and `cancel` are its first
    two targets.
    """

    call: Node
    function_name: str
    statement: Node
    context: Node
    cancel: Node

    @property
    def takes_cause(self) -> bool:
        """Return whether the cancel function has a parameter."""
        return self.function_name == "WithCancelCause"

    @property
    def call_of_cancel(self) -> str:
        """Return the arguments with which cancel is called, in parentheses."""
        return "(nil)" if self.takes_cause else "()"


def derivations(
    file: GoFile, where: Callable[[Declaration], bool] | None = None
) -> Iterator[Derivation]:
    """Yield the derivations in a file (in some of its declarations) with two targets."""
    for call in file.calls(*_NAMES, where=where):
        function = call["function"]
        if function.kind != "selector_expression" or function["operand"].kind != "identifier":
            continue
        name = function["field"].name
        operand = function["operand"]
        if file.imported(operand.name) != _PACKAGES.get(name, "context") or file.binding(operand):
            continue
        statement = call.parent
        if statement is not None and statement.kind == "expression_list":
            statement = statement.parent
        if statement is None or statement.kind not in _STATEMENTS:
            continue
        left = statement.get("left")
        targets = left.children if left is not None else statement.all("name")
        if len(targets) == 2:
            yield Derivation(call, name, statement, targets[0], targets[1])


# `ctx, cancel := s.limited(ctx)`, not followed by `defer cancel()`: one of the names says so, or
# the call is given a context. A plain start is found at once, and what stands before it is looked
# back at.
_HELPED = re.compile(
    rb", (?:(?<=\w, )(?=\w*[cC]ancel)|(?<=[cC]tx, )|(?<=[cC]ontext, )"
    rb"|(?!err\b|ok\b|_\b)(?=\w+ :?= [\w.]+\([\w.]*[cC](?:tx|ontext)\b))(\w+)"
    rb" :?= (?!context\.)[\w.]+\([^\n]*\)\n(?!\t+defer \1\(\)\n)"
)
_DERIVES = re.compile(rb"\bcontext\.With(?:Cancel|Timeout|Deadline)\w*\(")


def derivations_by_helpers(file: GoFile) -> Iterator[Derivation]:
    """Yield the calls of the project's own functions that derive a context for their callers.

    They return a context and its cancel function, and nothing else.
    """
    if not file.holds(_HELPED):
        return
    for declaration in file.declarations(_HELPED):
        for statement in declaration.node.find("short_var_declaration", "assignment_statement"):
            derivation = derivation_by_helper(file, statement)
            if derivation is not None:
                yield derivation


def derivation_by_helper(file: GoFile, statement: Node) -> Derivation | None:
    """Return the derivation that a `:=` or `=` is, of what a function of the project returns."""
    left, right = statement["left"].children, statement["right"].children
    if len(left) != 2 or len(right) != 1 or right[0].kind != "call_expression":
        return None
    if left[1].text in {b"err", b"ok"}:
        return None
    decl = file.callee(right[0])
    if decl is None or not decl.has_body or not derives(decl):
        return None
    return Derivation(right[0], decl.name, statement, left[0], left[1])


def awaits_end(function: Node, context: bytes) -> re.Pattern[bytes]:
    """Return what matches a receive that waits for the end of a context in a function.

    `<-ctx.Done()`, or `<-done` behind `done := ctx.Done()`.
    """
    end = re.escape(context) + rb"\.Done\(\)"
    names = re.findall(rb"\b(\w+) := " + end + rb"[\s;]", function.text)
    return re.compile(rb"<-\s*(?:" + b"|".join([end, *(n + rb"\b" for n in names)]) + rb")")


def derives(decl: Decl) -> bool:
    """Return whether a function derives a context, and returns it with its cancel function."""
    if decl.kind not in {"func", "method"}:
        return False
    results = [node.text for node in result_nodes(decl.node)]
    if results not in (
        [b"context.Context", b"context.CancelFunc"],
        [b"context.Context", b"func()"],
    ):
        return False
    return bool(_DERIVES.search(decl.file.data, *decl.span))


def kept(file: GoFile, function: Node, binding: Binding, since: int) -> Later | None:
    """Return what may use a context (in `binding`) after the function that derived it.

    Uses from byte `since` on count. A goroutine that the function waits for is none; a call
    whose function cannot be seen keeps its context when it is named like a constructor or a
    start, or when its result lives on the context and is itself kept.
    """
    places = (use for use in binding.uses if use.start >= since and use is not binding.node)
    return kept_by(file, function, places)


def kept_by(file: GoFile, function: Node, places: Iterable[Node]) -> Later | None:
    """Return what may use a context after a function, judged by these uses of it."""
    search = _Contexts(file, function)
    for use in places:
        later = search.value(use) or search.place(use)
        if later is not None and later.how != "deferred function":
            return later
    return None


class _Contexts(Search):
    """The search for contexts: it goes on with the results of calls that live on one."""

    whole = True

    def unseen(self, call: Node) -> Later | None:
        function = call["function"]
        name = function["field"].name if function.kind == "selector_expression" else function.name
        statement = call.parent
        if statement is not None and statement.kind == "expression_list":
            statement = statement.parent
        if statement is not None and statement.kind == "expression_statement":
            # Nothing comes back: a constructor or start keeps it on its own.
            return Later("stored function", call) if _MAKERS.match(name) else None
        type_ = self.file.type_of(call)
        if _lives(type_) or (type_ is None and _MAKERS.match(name)):
            return self.value(call)
        items = getattr(type_, "items", ())
        return self.value(call) if any(_lives(item) for item in items) else None

    def method(self, selector: Node) -> Later | None:
        """Follow what holds the context into its methods: `s.Start()`, `cmd.Start()`."""
        launched = super().method(selector)
        call = selector.parent
        if launched is not None or call is None or self._is_context(selector["operand"]):
            return launched
        if call.parent is not None and call.parent.kind == "defer_statement":
            return None
        decl = self.file.callee(call)
        node = decl.node if decl is not None else None
        receiver = node.get("receiver") if node is not None and node.get("body") else None
        if node is not None and receiver is not None and len(self.seen) < _MANY:
            names = receiver.children[0].all("name") if receiver.children else []
            return self.within(node, names[0], call) if names else None
        if not _MAKERS.match(selector["field"].name):
            return None
        waited = selector["operand"].text + b".Wait("
        ends = self.outer is not None and waited in self.outer.text
        return None if ends else Later("stored function", call)

    def _is_context(self, operand: Node) -> bool:
        return is_named(self.file.type_of(operand), "context.Context")

    def unpacked(self, targets: list[Node], value: Node) -> Later | None:
        type_ = self.file.type_of(value)
        items = getattr(type_, "items", ()) or (None,) * len(targets)
        for target, item in zip(targets, items, strict=False):
            if target.kind == "identifier" and (item is None or _lives(item)):
                if target.name not in {"_", "err"}:
                    later = self._into(target, value)
                    if later is not None:
                        return later
        return None


def _lives(type_: Type | None) -> bool:
    """Return whether a value of a type hangs on the context that made it."""
    if isinstance(type_, Chan | Func):
        return True
    type_ = deref(type_)
    if not isinstance(type_, Named) or not type_.package:
        return False
    name = f"{type_.package}.{type_.name}"
    return name in _LIVING or bool(_LIVING_NAME.search(type_.name))
