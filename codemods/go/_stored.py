"""Contexts that structs store: where they are set, who works under them, how long they live."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import is_assigned_once
from threadmend.golang.ambient import Ambient, ambient, left
from threadmend.golang.backgrounds import LASTING
from threadmend.golang.builders import fields
from threadmend.golang.channel_fields import arguments_of, literals_of
from threadmend.golang.contexts import derivations, kept
from threadmend.golang.file import GoFile
from threadmend.golang.package import Decl, Package
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named
from threadmend.golang.uses import declaration_of, field_uses, is_api

__all__ = [
    *("BOUND", "Stored", "Use", "Value", "enclosing", "is_main", "origin"),
    "stored_contexts",
]

BOUND = re.compile(
    r"(?i)(?:req|request|res|response|opts?|options?|config|cfg|params?|args?|arguments|jobs?|task"
    r"|event|msg|message|call|op|operation|query|session|stream|conn|connection|tx|txn|transaction"
    r"|iter|iterator|walker|visitor|scanner|reader|writer|cursor|state|env|environment|context|ctx"
    r"|scope|span|run|runner|worker|loop|poller|watcher|listener|server|daemon|supervisor|pipeline"
    r"|work|item|entry|result|batch|test|suite|fixture|builder|cmd|command|attempt|invocation|lease"
    r"|subscription|subscriber|consumer|producer|dialer|lock|mutex|election|barrier)$"
)
"""Names of structs that live as long as the context they are made with."""

_ENDS = re.compile(
    rb"CancelFunc|CancelCauseFunc|WaitGroup|errgroup\.|chan struct\{\}|chan bool|\.TB?$"
)
_ENDS_NAME = re.compile(r"(?i)cancel|stop|done|quit|shutdown|closed|closing|wg$|tomb")
_DERIVES = ("WithTimeout", "WithDeadline", "WithCancel", "WithTimeoutCause", "WithDeadlineCause")


@dataclass(frozen=True, slots=True)
class Value:
    """One place where the context is set: the element or assignment, and the expression."""

    file: GoFile
    node: Node
    value: Node


@dataclass(frozen=True, slots=True)
class Use:
    """One selector `s.ctx` that is passed on, in a method; `context` is one it could have."""

    file: GoFile
    node: Node
    method: Decl
    context: Ambient | None


@dataclass(frozen=True, slots=True)
class Stored:
    """A context in a struct whose methods use it as they would a parameter."""

    decl: Decl
    field: Node
    name: str
    values: tuple[Value, ...]
    uses: tuple[Use, ...]

    @property
    def methods(self) -> list[Decl]:
        """Return the methods that want a parameter for it."""
        found = {use.method.key: use.method for use in self.uses if use.context is None}
        return [found[key] for key in sorted(found)]


def stored_contexts(package: Package) -> Iterator[Stored]:
    """Yield the stored contexts whose every use is known, and that nothing says are meant."""
    for name in sorted(package.names):
        for decl in package.names[name]:
            if decl.kind != "type" or decl.file.is_test_file or decl.file.generated:
                continue
            start, end = decl.span
            if b"context.Context" in decl.file.data[start:end]:
                found = _stored(decl)
                if found is not None:
                    yield found


def _stored(decl: Decl) -> Stored | None:
    struct = decl.node.get("type")
    if struct is None or struct.kind != "struct_type" or decl.node.get("type_parameters"):
        return None
    field = _field(decl, struct)
    if field is None or _is_sent(decl):
        return None
    name = field["name"].name
    values = [*_in_literals(decl, name, _index(struct, field))]
    uses: list[Use] = []
    for file, node, certain in field_uses(decl, field, name):
        if not certain:
            return None
        assigned = _assigned(decl, file, node)
        if assigned is not None:
            values.append(assigned)
            continue
        use = _use(decl, file, node)
        if use is None:
            return None
        uses.append(use)
    if not values or not uses:
        return None
    return Stored(decl, field, name, tuple(values), tuple(uses))


def _field(decl: Decl, struct: Node) -> Node | None:
    """Return the only context of a struct that has no means to end it."""
    found = None
    for field in fields(struct):
        names, type_ = field.all("name"), field.get("type")
        if type_ is None:
            continue
        if is_named(decl.file.type_from(type_), "context.Context"):
            if found is not None or len(names) != 1 or field.get("tag") is not None:
                return None
            found = field
        elif _ENDS.search(type_.text) or any(_ENDS_NAME.search(n.name) for n in names):
            return None
    if found is not None and is_api(decl) and found["name"].name[:1].isupper():
        return None
    return found


def _is_sent(decl: Decl) -> bool:
    sent = re.compile(rb"\bchan\s*(?:<-)?\s*\*?(?:\w+\.)?" + re.escape(decl.name.encode()) + rb"\b")
    return any(sent.search(file.data) for file in decl.file.package.files)


# -- where it is set -----------------------------------------------------------------------


def _index(struct: Node, field: Node) -> int:
    """Return where the field stands in a literal without names."""
    before = (f for f in fields(struct) if f.start < field.start)
    return sum(max(1, len(f.all("name"))) for f in before)


def _in_literals(decl: Decl, name: str, index: int) -> Iterator[Value]:
    for file, literal in literals_of(decl):
        elements = literal["body"].children
        for element in elements:
            if element.kind == "keyed_element" and element["key"].name == name:
                yield Value(file, element, element["value"].children[0])
        if elements and elements[0].kind != "keyed_element":
            element = elements[index]
            yield Value(file, element, element.children[0] if element.children else element)


def _assigned(decl: Decl, file: GoFile, selector: Node) -> Value | None:
    """Return `s.ctx = ctx` where a variable is set up, in no method of the type."""
    group = selector.parent
    statement = group.parent if group is not None else None
    if group is None or group.field != "left" or statement is None or len(group.children) != 1:
        return None
    if statement.kind != "assignment_statement" or statement["operator"].name != "=":
        return None
    binding = file.binding(selector["operand"])
    if binding is None or binding.kind != "variable" or binding.function is not selector.function:
        return None
    function = enclosing(file, selector)
    if function is None or function.receiver == decl.name:
        return None
    return Value(file, statement, statement["right"].children[0])


def enclosing(file: GoFile, node: Node) -> Decl | None:
    """Return the declared function or method around a node."""
    for outer in node.ancestors():
        if outer.kind in {"function_declaration", "method_declaration"}:
            return declaration_of(file, outer)
    return None


# -- who works under it ------------------------------------------------------------------------


def _use(decl: Decl, file: GoFile, selector: Node) -> Use | None:
    """Return a use as a parameter: passed to a call, within the method's own life."""
    binding = file.binding(selector["operand"])
    method = enclosing(file, selector)
    if binding is None or binding.kind != "receiver" or method is None or file.is_test_file:
        return None
    if method.receiver != decl.name or LASTING.match(method.name) or _returns_lasting(method):
        return None
    how = left(file, selector, Ambient(selector.name, "context", binding))
    if how not in {"", "cleanup"} or not _is_passed(file, selector):
        return None
    context = ambient(file, selector)
    if context is not None and context.kind not in {"request", "command"}:
        return None  # it has one of its own, and takes this one on purpose
    return Use(file, selector, method, context)


def _returns_lasting(method: Decl) -> bool:
    result = method.node.get("result")
    return (
        result is not None and re.search(rb"\bchan\b|context\.|\bfunc\(", result.text) is not None
    )


def _is_passed(file: GoFile, selector: Node) -> bool:
    parent = selector.parent
    call = parent.parent if parent is not None and parent.kind == "argument_list" else None
    if call is None or parent is None or call.kind != "call_expression":
        return False
    if parent.children[0] is not selector:
        return False
    if call.runs_later:
        return False
    function = call["function"]
    name = (function.get("field") or function).name
    if function.kind == "selector_expression" and file.imported(function["operand"].name):
        if file.imported(function["operand"].name) == "context":
            return name in _DERIVES and _ends_here(file, call)
    if name == "NewRequestWithContext":
        return True
    return not LASTING.match(name) and not re.search(r"(?:Stream|Iter|Iterator|Watcher)$", name)


def _ends_here(file: GoFile, call: Node) -> bool:
    """Return whether a derived context is of no use to anybody after the method."""
    for derived in derivations(file):
        if derived.call is call and call.function is not None:
            binding = file.binding(derived.context)
            if binding is None or binding.function is not call.function:
                return False
            return kept(file, call.function, binding, derived.statement.end) is None
    return False


# -- how long it lives -------------------------------------------------------------------------


def origin(file: GoFile, value: Node, depth: int = 4) -> str:
    """Return where a context comes from.

    `endless` (nobody cancels it), `app` (the program's: from main or a command), `own` (of a
    request, or derived for the struct: the two live together), `unknown`.
    """
    if value.kind == "call_expression":
        return _made(file, value)
    binding = file.binding(value) if value.kind == "identifier" else None
    if binding is None or depth == 0 or not is_assigned_once(binding):
        return "unknown" if value.kind == "identifier" else "own"
    if binding.kind == "parameter":
        return _given(file, binding, depth)
    if binding.declaration.kind != "short_var_declaration" or binding.function is None:
        return "own"
    given = binding.declaration["right"].children
    if len(binding.declaration["left"].children) == len(given):
        return origin(file, given[binding.index], depth - 1)
    function = enclosing(file, value)
    return "app" if function is not None and is_main(function) else "own"


def is_main(function: Decl) -> bool:
    """Return whether a function is where a program starts."""
    return function.file.package.name == "main" and function.name in {
        "main",
        "run",
        "Run",
        "realMain",
    }


def _made(file: GoFile, call: Node) -> str:
    function = call["function"]
    if function.kind != "selector_expression":
        return "own"
    operand = function["operand"]
    if file.imported(operand.name) == "context" and file.binding(operand) is None:
        return "endless" if function["field"].name in {"Background", "TODO"} else "own"
    if is_named(file.type_of(operand), "github.com/spf13/cobra.Command"):
        return "app"
    return "own"


def _given(file: GoFile, parameter: Binding, depth: int) -> str:
    function = parameter.scope
    decl = declaration_of(file, function)
    if decl is not None and decl.kind == "method":
        return "own"  # made for the work of one call
    if decl is None or is_api(decl):
        return "unknown"
    arguments = [a for a in arguments_of(file, parameter) or () if not a[0].is_test_file]
    found = {origin(*argument, depth - 1) for argument in arguments}
    return next((kind for kind in ("own", "unknown", "app", "endless") if kind in found), "unknown")
