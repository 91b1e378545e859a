"""Options that are applied to an object after the goroutine that reads what they set.

    go t.pump()                               for _, opt := range opts {
    for _, opt := range opts {                    opt(t)
        opt(t)                        →       }
    }                                         go t.pump()
    return t                                  return t

Also where a method applies them: `return t.apply(opts)`; and where it sets the fields itself:
`t.configure(cfg)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import Access, access_of
from threadmend.golang.builders import BuilderError, insert_before, move_before, or_reason
from threadmend.golang.calls import code_files
from threadmend.golang.field_accesses import access_kind
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch
from threadmend.golang.locks import held_at
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding, bindings_in
from threadmend.golang.syntax import Node
from threadmend.golang.types import Func, Named, Pointer
from threadmend.golang.wording import translated
from threadmend.model import Edit, Fix, Safety

from ._quick import is_slow, waits

__all__ = ["Options", "applied_to", "options_after"]

_WRITES = frozenset({"write", "update", "store"})
_MOST = 4


@dataclass(frozen=True, slots=True)
class Options:
    """A statement that applies options, the call that does, and the fields that they may set."""

    statement: Node
    call: Node
    fields: tuple[Access, ...]
    does: str = "options"
    """What the call does: `options` applies them, `sets` only sets fields, `more` also calls."""

    @or_reason
    def fix(self, file: GoFile, launch: Launch) -> Fix:
        """Return how the options are applied before the launch, or why they are not."""
        between = [s for s in launch.statement.following if s.start < self.statement.start]
        if any(s.kind not in {"expression_statement"} for s in between):
            raise BuilderError(
                "what stands between the launch and the options may need the goroutine"
            )
        reason = "the options run before the launch"
        function = launch.function
        if self.statement.kind == "if_statement" and self.statement.get("alternative") is not None:
            last = self.statement.next is None
            if last and function is not None and function.get("result") is not None:
                raise BuilderError("the function returns in that statement")
        if self.statement.kind != "return_statement":
            edits: tuple[Edit, ...] = move_before(self.statement, launch.statement)
        else:
            owner = _returns_itself(file, self.call)
            if owner is None:
                raise BuilderError("the result of the call is returned")
            edits = (
                *insert_before(launch.statement, self.call.name),
                Edit(file.path, self.call.start, self.call.end, owner.encode()),
            )
        if self.does == "sets":
            return Fix("Set the fields before the launch", edits)
        if self.does == "more":
            name = self.call["function"].name
            reason = f"all that {name} does happens before the launch"
            return Fix(f"Call {name} before the launch", edits, Safety.UNSAFE, reason)
        return Fix("Apply the options before the launch", edits, Safety.UNSAFE, reason)


def options_after(file: GoFile, launch: Launch) -> Iterator[Options]:
    """Yield the statements behind a launch, in its block, that apply options to an object."""
    statement: Node | None = launch.statement
    for _ in range(_MOST):
        statement = statement.next if statement is not None else None
        if statement is None:
            return
        run = statement.get("initializer") if statement.kind == "if_statement" else statement
        calls = [n for n in run.own() if n.kind == "call_expression"] if run is not None else []
        for call in calls:
            fields = applied_to(file, call) or _applied_within(file, call)
            if fields:
                yield Options(statement, call, tuple(fields))
                return
            fields = _set_within(file, call)
            if fields:
                yield Options(
                    statement,
                    call,
                    tuple(fields),
                    does="sets" if _only_sets(file, call) else "more",
                )
                return
        if statement.kind not in {"expression_statement", "for_statement"}:
            return


def applied_to(file: GoFile, call: Node, *, address: bool = False) -> list[Access]:
    """Return the fields that `opt(t)` may set, for an element of a list of options.

    With `address` also those that `opt(&t)` sets.
    """
    function, arguments = call["function"], call["arguments"].children
    binding = file.binding(function) if function.kind == "identifier" else None
    type_ = file.type_of(function)
    if binding is None or binding.kind != "range" or len(arguments) != 1:
        return []
    if not isinstance(type_, Named) or type_.package != file.package.key:
        return []
    under = file.underlying(type_)
    target = access_of(file, arguments[0])
    given = arguments[0]
    if address and given.kind == "unary_expression" and given["operator"].kind == "&":
        given = given["operand"]
    if not isinstance(under, Func) or target is None or given.kind != "identifier":
        return []
    if len(under.params) != 1 or not isinstance(under.params[0], Pointer):
        return []
    return [Access(target.root, (*target.steps, name)) for name in _set_by(file, type_.name)]


def _applied_within(file: GoFile, call: Node) -> list[Access]:
    """Return the fields that a method or function of the package sets by options it is given."""
    decl = file.callee(call)
    if decl is None or not decl.sound or decl.file.package is not file.package:
        return []
    found = []
    for node in decl.node.own():
        if node.kind == "call_expression":
            for inner in applied_to(decl.file, node):
                access = translated(file, call, decl.node, inner)
                if access is not None:
                    found.append(access)
    return found


def _set_within(file: GoFile, call: Node) -> list[Access]:
    """Return the fields that a method or function of the package assigns, no lock held."""
    decl = file.callee(call)
    if decl is None or not decl.sound or decl.file.package is not file.package:
        return []
    if call.runs_later:
        return []
    found = []
    for node in decl.node.own():
        if waits(decl.file, node) or node.kind == "go_statement":
            break  # what comes later may well be ordered
        if node.kind == "assignment_statement" and not held_at(decl.file, node):
            for target in node["left"].children:
                inner = (
                    access_of(decl.file, target) if target.kind == "selector_expression" else None
                )
                access = translated(file, call, decl.node, inner) if _is_given(inner) else None
                if access is not None:
                    found.append(access)
    return [] if held_at(file, call) else found


def _is_given(access: Access | None) -> bool:
    root = access.root if access is not None else None
    return isinstance(root, Binding) and root.kind in {"receiver", "parameter"}


def _only_sets(file: GoFile, call: Node) -> bool:
    """Return whether a call computes nothing but what it sets, and always returns."""
    decl = file.callee(call)
    nodes = [*call["arguments"].own(), *(decl.node.own() if decl is not None else ())]
    return not any(n.kind == "for_statement" or is_slow(file, n) for n in nodes)


def _set_by(file: GoFile, option: str) -> list[str]:
    """Return the fields that the options of a type set: functions that return such a literal."""
    known: dict[str, list[str]] = file.package.facts.setdefault("set by options", {})
    if option not in known:
        names: dict[str, None] = {}
        word = option.encode()
        for other in code_files(file.package):
            if word in other.data:
                for decl in other.package.functions():
                    if decl.file is other and _makes(decl, option):
                        names.update(dict.fromkeys(_fields(decl)))
        known[option] = list(names)
    return known[option]


def _makes(decl: Decl, option: str) -> bool:
    result = decl.node.get("result")
    return result is not None and result.text == option.encode()


def _fields(decl: Decl) -> Iterator[str]:
    for literal in decl.node.find("func_literal"):
        parameters = [b for g in bindings_in(literal).values() for b in g if b.kind == "parameter"]
        for node in literal["body"].find("selector_expression"):
            operand = node["operand"]
            binding = decl.file.binding(operand) if operand.kind == "identifier" else None
            if binding in parameters and access_kind(decl.file, node) in _WRITES:
                yield node["field"].name


def _returns_itself(file: GoFile, call: Node) -> str | None:
    """Return the object of a method call whose method returns nothing else."""
    decl, function = file.callee(call), call["function"]
    if decl is None or decl.kind != "method" or function.kind != "selector_expression":
        return None
    returns = [n for n in decl.node.own() if n.kind == "return_statement"]
    for statement in returns:
        value = statement.children[-1]
        values = value.children if value.kind == "expression_list" else [value]
        binding = decl.file.binding(values[0]) if len(values) == 1 else None
        if not isinstance(binding, Binding) or binding.kind != "receiver":
            return None
    plain = function["operand"].kind == "identifier"
    return function["operand"].name if returns and plain else None
