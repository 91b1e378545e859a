"""A variable that keeps the first error, under a mutex or in a sync.Once."""

from __future__ import annotations

import re

from threadmend.golang.access import uses_of
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import captures
from threadmend.golang.locks import held_at
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named

from ._first_error import Errors, Exit, exit_of
from ._group import Group, Launched, siblings

__all__ = ["by_variable"]


def by_variable(file: GoFile, group: Group) -> Errors | None:
    """Return the errors that goroutines put into one variable as the last thing they do."""
    if group.closer is not None:
        return None
    variable = _variable(file, group)
    if variable is None:
        return None
    exits: dict[Node, tuple[Exit, ...]] = {one.literal: () for one in group.launched}
    guards: set[Binding] = set()
    inside: list[Node] = []
    for use in uses_of(variable):
        one = next((x for x in group.launched if x.statement.contains(use.node)), None)
        if one is None:
            continue
        inside.append(use.node)
        if use.kind == "write":
            found = _kept(file, use.node, variable, one)
            if found is None:
                return None
            end, guard, read = found
            exits[one.literal] = (*exits[one.literal], end)
            inside += read
            guards |= {guard} if guard is not None else set()
    ends = [end for found in exits.values() for end in found]
    if not ends or not all(any(_spans(e, u) for e in ends) for u in inside):
        return None
    later = tuple(u for u in variable.uses if u is not variable.node and u not in inside)
    if not later or any(u.start < group.end.end or u.function is not group.function for u in later):
        return None
    gone = (_gone(guard, ends, group) for guard in guards)
    return Errors(variable, exits, tuple(g for g in gone if g is not None), later)


def _variable(file: GoFile, group: Group) -> Binding | None:
    """Return the only error variable around that the goroutines write."""
    found: set[Binding] = set()
    for one in group.launched:
        for binding, places in captures(one.literal).items():
            written = {u.node for u in uses_of(binding) if u.kind == "write"}
            if written.intersection(places) and _is_error_variable(binding, group):
                found.add(binding)
    return next(iter(found)) if len(found) == 1 else None


def _is_error_variable(binding: Binding, group: Group) -> bool:
    """Return whether a variable is `var err error` of the block, or a named result."""
    declaration = binding.declaration
    type_ = declaration.get("type")
    if type_ is None or type_.text != b"error":
        return False
    if binding.kind == "result":
        return binding.function is group.function
    statement = declaration.statement
    return (
        declaration.kind == "var_spec"
        and declaration.get("value") is None
        and len(declaration.all("name")) == 1
        and statement is not None
        and statement.parent is group.block
    )


def _spans(end: Exit, node: Node) -> bool:
    return end.first.start <= node.start and node.end <= end.last.end


def _kept(
    file: GoFile, name: Node, variable: Binding, one: Launched
) -> tuple[Exit, Binding | None, list[Node]] | None:
    """Return the exit that an assignment to the variable is, and what guards it.

    mu.Lock()                      once.Do(func() {
    if first == nil {                  first = err
        first = err                })
    }
    mu.Unlock()
    [return]
    """
    assignment = name.statement
    if assignment is None or assignment.kind != "assignment_statement":
        return None
    right = assignment["right"].children
    if len(assignment["left"].children) != 1 or len(right) != 1:
        return None
    value = right[0]
    block = assignment.parent
    holder = block.parent if block is not None else None
    if block is None or holder is None or block.kind != "block":
        return None
    cancels = any(_cancels(s) for s in block.statements)
    if any(s is not assignment and not _cancels(s) for s in block.statements):
        return None
    if holder.kind == "func_literal":
        return _once(file, holder, value, one, cancels)
    if holder.kind != "if_statement" or block.field != "consequence":
        return None
    tested = _tests_nil(holder, variable, value)
    if tested is None or holder.get("alternative") is not None or holder.get("initializer"):
        return None
    return _locked(file, holder, value, tested, one, cancels)


def _cancels(statement: Node) -> bool:
    return re.fullmatch(rb"\w*[cC]ancel\w*\(\)", statement.text) is not None


def _tests_nil(if_: Node, variable: Binding, value: Node) -> list[Node] | None:
    """Return the uses of the variable in `first == nil` or `err != nil && first == nil`."""
    name, condition = variable.name.encode(), if_["condition"]
    first, error = name + b" == nil", value.text + b" != nil"
    if condition.text not in {first, first + b" && " + error, error + b" && " + first}:
        return None
    return [u for u in variable.uses if condition.contains(u)]


def _once(
    file: GoFile, literal: Node, value: Node, one: Launched, cancels: bool
) -> tuple[Exit, Binding | None, list[Node]] | None:
    arguments = literal.parent
    call = arguments.parent if arguments is not None else None
    if call is None or call.kind != "call_expression" or call.parent is None:
        return None
    function = call["function"]
    if function.kind != "selector_expression" or function["field"].text != b"Do":
        return None
    guard = file.binding(function["operand"])
    if guard is None or not is_named(file.type_of(function["operand"]), "sync.Once"):
        return None
    if call.parent.kind != "expression_statement":
        return None
    end = exit_of(call.parent, value, one)
    return (_with(end, cancels), guard, []) if end is not None else None


def _with(end: Exit, cancels: bool) -> Exit:
    return Exit(end.first, end.value, end.last, end.cancels or cancels)


def _locked(
    file: GoFile, if_: Node, value: Node, tested: list[Node], one: Launched, cancels: bool
) -> tuple[Exit, Binding | None, list[Node]] | None:
    """Return the exit of a guarded assignment with the Lock and Unlock next to it."""
    around, at = siblings(if_, one.done)
    before = [s.text for s in around[:at]]
    lock = re.fullmatch(rb"(\w+)\.Lock\(\)", before[-1]) if before else None
    deferred = re.fullmatch(rb"defer (\w+)\.Unlock\(\)", before[-1]) if before else None
    first = None
    if lock is not None and at + 1 < len(around):
        if around[at + 1].text != lock[1] + b".Unlock()":
            return None
        first, last = around[at - 1], around[at + 1]
        end = exit_of(last, value, one, first)
    elif deferred is not None and before[-2:-1] == [deferred[1] + b".Lock()"]:
        lock, first = deferred, around[at - 2]
        end = exit_of(if_, value, one, first)
    else:
        end = exit_of(if_, value, one, if_)
        return (_with(end, cancels), None, tested) if end and held_at(file, if_) else None
    if end is None:
        return None
    operand = next(n for n in first.find("identifier") if n.text == lock[1])
    guard = file.binding(operand)
    if not is_named(file.type_of(operand), "sync.Mutex", "sync.RWMutex"):
        return None
    return _with(end, cancels), guard, tested


def _gone(guard: Binding, ends: list[Exit], group: Group) -> Node | None:
    """Return the declaration of a mutex or Once that guards nothing else."""
    uses = [u for u in guard.uses if u is not guard.node]
    if guard.kind != "variable" or not all(any(_spans(e, u) for e in ends) for u in uses):
        return None
    declaration = guard.declaration
    if declaration.kind == "var_spec":
        return declaration if len(declaration.all("name")) == 1 else None
    single = len(declaration["left"].children) == 1
    return declaration if single and guard.function is group.function else None
