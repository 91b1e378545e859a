"""Hold a lock over units: what is computed before it, what is done after, and the edits."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import partial

from threadmend.model import Edit
from threadmend.python.builders import BuilderError, free_name
from threadmend.python.builders.lines import full_span, indent_of, indent_unit, is_alone, line_span
from threadmend.python.builders.statements import indented_lines
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, innermost_loop, leaves, walk

from ._ahead import calls_ahead, names_taken, result_name
from ._reserved import counted, reserved
from ._touching import is_touched
from ._unit import Unit, reads
from ._waiting import idles, is_plain, waits

__all__ = ["Plan", "edits_of", "plan_of"]


@dataclass(eq=False, slots=True)
class Plan:
    """How a unit is held: `block` under the lock, `moved` and `computed` before it.

    `rest` are the statements of an `if` that run after the lock, when the test was true. Only
    `counted` of it runs under the lock where that is set.
    """

    unit: Unit
    block: list[ast.stmt]
    moved: list[ast.stmt] = field(default_factory=list)
    computed: list[tuple[ast.expr, str]] = field(default_factory=list)
    rest: list[ast.stmt] = field(default_factory=list)
    flag: str = ""
    counted: ast.AugAssign | None = None

    def calls(self) -> list[ast.Call]:
        """Return the calls that run under the lock."""
        out: set[ast.AST] = set()
        for statement in (*self.moved, *self.rest):
            out.update(ast.walk(statement))
        for value, _ in self.computed:
            out.update(ast.walk(value))
        return [n for n in walk(self.block) if isinstance(n, ast.Call) and n not in out]


def plan_of(unit: Unit) -> Plan:
    """Return the smallest plan for a unit; raises BuilderError where something under the lock
    would wait for others.
    """
    file = unit.data.file
    block = [s for n, s in enumerate(unit.block) if s not in unit.early or _is_after(unit, n)]
    moved = [s for s in block if s in unit.early]
    plan = Plan(unit, block, moved)
    if isinstance(block[0], ast.While):
        return _loop_plan(plan, block[0])
    taken = names_taken(file)
    for statement in block:
        if leaves([statement]):
            break  # what follows is not always computed
        if statement not in moved and isinstance(statement, ast.Assign | ast.AugAssign):
            plan.computed += _computed(unit, statement, block, taken)
    if len(block) == 1 and isinstance(block[0], ast.If) and unit.inner is None:
        _split(plan, block[0])
    if not plan.rest:
        _take_return(plan)
    for node in walk(plan.block):
        if isinstance(node, ast.Await | ast.Yield | ast.YieldFrom | ast.AsyncFor | ast.AsyncWith):
            raise BuilderError("others would run while the lock is held")
    for call in plan.calls():
        if waits(file, call):
            return _counting(plan, call)
        if idles(file, call) or _sleeps_on(plan, call):
            raise BuilderError("the lock would be held while the loop sleeps")
    return plan


def _sleeps_on(plan: Plan, call: ast.Call) -> bool:
    """Return whether a loop under the lock sleeps in each round: it waits for others, which may
    wait for the lock.
    """
    loop = innermost_loop(call)
    inside = loop is not None and loop in walk(plan.block)
    return inside and plan.unit.data.file.qualified(call.func) == "time.sleep"


def _counting(plan: Plan, call: ast.Call) -> Plan:
    """Plan to count before what waits, where that is what the unit does."""
    unit, test = plan.unit, plan.unit.block[0]
    at = counted(unit)
    if at is None or not isinstance(test, ast.If):
        name = unit.data.file.text(call.func)
        raise BuilderError(f"the lock would be held while {name} waits")
    rest = [s for s in (*test.body, *test.orelse) if s is not at]
    return Plan(unit, [test], rest=rest, counted=at)


def _loop_plan(plan: Plan, loop: ast.While) -> Plan:
    """Plan `while True: with lock: if not test: break` and the first statement."""
    file = plan.unit.data.file
    start, end = file.span(loop.test)
    if b"\n" in file.data[start:end] or not is_alone(file, loop.body[0]):
        raise BuilderError("the test of the loop has several lines")
    plan.rest = loop.body[1:]
    for call in plan.calls():
        if waits(file, call):
            raise BuilderError(f"the lock would be held while {file.text(call.func)} waits")
    return plan


def _loop_edits(plan: Plan, loop: ast.While, lock: str) -> list[Edit]:
    file, taken = plan.unit.data.file, loop.body[0]
    indent, unit, newline = indent_of(file, taken), indent_unit(file, loop), file.source.newline
    begin, end = file.span(loop.test)
    start, stop = line_span(file, taken)
    lines = [f"with {lock}:", f"if {_negated(file, loop.test)}:", "break"]
    head = b"".join(indent + unit * n + file.encode(line) + newline for n, line in enumerate(lines))
    edits = [Edit(file.path, begin, end, b"True")]
    lines_in = indented_lines(file, [taken], start, stop)
    added = [(at, head + unit if at == start else unit) for at in lines_in]
    return [*edits, *(Edit(file.path, at, at, code) for at, code in added)]


def _negated(file: PythonFile, test: ast.expr) -> str:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return file.text(test.operand)
    plain = isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.Subscript)
    return f"not {file.text(test)}" if plain else f"not ({file.text(test)})"


def _is_after(unit: Unit, number: int) -> bool:
    """Return whether a statement that may run earlier stands behind one that may not."""
    return any(s not in unit.early for s in unit.block[:number])


def _computed(
    unit: Unit, statement: ast.Assign | ast.AugAssign, block: list[ast.stmt], taken: set[str]
) -> list[tuple[ast.expr, str]]:
    """Return the calls of an assignment that can run before the lock is taken, and how their
    results are called.
    """
    file = unit.data.file
    if isinstance(statement, ast.Assign):
        if not all(isinstance(t, ast.Name | ast.Attribute | ast.Subscript)
                   for t in statement.targets):  # fmt: skip
            return []
    own = {
        n.id
        for s in block
        for n in ast.walk(s)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    found = calls_ahead(file, statement.value, partial(is_touched, unit.data), own)
    return [(value, result_name(value, taken)) for value in found]


def _split(plan: Plan, test: ast.If) -> None:
    """Leave what follows the change in the body of an `if` outside of the lock, when that is
    more than plain work.
    """
    file, unit = plan.unit.data.file, plan.unit
    at = file.statement(unit.use.node)
    if at not in test.body:
        return
    uses = [use.node for use in unit.data.uses]
    last = max(
        n for n, s in enumerate(test.body)
        if n == test.body.index(at) or any(node in set(ast.walk(s)) for node in uses)
    )  # fmt: skip
    if any(node in set(ast.walk(s)) for s in test.orelse for node in uses):
        return  # it would be read without the lock
    rest = test.body[last + 1 :]
    if not any(_is_work(file, s) for s in rest):
        return
    if test.orelse and isinstance(test.orelse[0], ast.If):
        return
    start, end = file.span(test.test)
    if b"\n" in file.data[start:end] or file.data[start - 1 : start] == b"(":
        return
    if not all(is_alone(file, s) for s in test.body):
        return
    plan.rest = [*rest, *test.orelse]
    stem = "is_new" if isinstance(test.test, ast.Compare) and isinstance(
        test.test.ops[0], ast.NotIn
    ) else "is_due"  # fmt: skip
    plan.flag = free_name(file, stem)


def _is_work(file: PythonFile, statement: ast.stmt) -> bool:
    return any(
        isinstance(n, ast.Await | ast.Yield | ast.YieldFrom | ast.For | ast.While | ast.With)
        or (isinstance(n, ast.Call) and not is_plain(file, n))
        for n in walk(statement)
    )


def _take_return(plan: Plan) -> None:
    """Hold the lock for a plain `return self.x` right after the unit as well."""
    if plan.unit.kind != "check":
        return
    following = after(plan.block[-1])[:1]
    if following and isinstance(following[0], ast.Return) and following[0].value is not None:
        inside = set(ast.walk(following[0]))
        if any(node in inside for node in reads(plan.unit.data)):
            if not any(isinstance(n, ast.Call | ast.Await) for n in inside):
                plan.block.append(following[0])


# -- edits ----------------------------------------------------------------------------------


def edits_of(plan: Plan, lock: str) -> list[Edit]:
    """Return the edits that hold a lock as planned."""
    file, first, last = plan.unit.data.file, plan.block[0], plan.block[-1]
    if isinstance(first, ast.While):
        return _loop_edits(plan, first, lock)
    if plan.counted is not None and isinstance(first, ast.If):
        return reserved(file, first, plan.counted, lock)
    newline = file.source.newline
    start = line_span(file, first)[0]
    line_span(file, last)
    indent, unit = indent_of(file, first), indent_unit(file, first)
    head = b"".join(file.data[slice(*line_span(file, s))] for s in plan.moved)
    edits: list[Edit] = []
    for value, name in plan.computed:
        head += indent + file.encode(f"{name} = {file.text(value)}") + newline
        begin, end = file.span(value)
        edits.append(Edit(file.path, begin, end, file.encode(name)))
    head += indent + file.encode(f"with {lock}:") + newline
    end = full_span(file, last)[1]
    if plan.rest:
        assert isinstance(first, ast.If)
        end = _tail(plan, first, edits)
        head += indent + unit + file.encode(f"{plan.flag} = {file.text(first.test)}") + newline
    gone = [line_span(file, s) for s in plan.moved]
    edits += [Edit(file.path, a, b, b"") for a, b in gone]
    same: list[tuple[int, int]] = []
    if plan.unit.inner is not None:
        header, body = _inner(file, plan.unit.inner)
        edits.append(Edit(file.path, *header, b""))
        same = [header, body]
    left = [*gone, *same]
    for at in indented_lines(file, plan.block, start, end):
        if at == start:
            edits.append(Edit(file.path, at, at, head + unit))
        elif not any(a <= at < b for a, b in left):
            edits.append(Edit(file.path, at, at, unit))
    return edits


def _tail(plan: Plan, test: ast.If, edits: list[Edit]) -> int:
    """Write `if flag:` before what follows the change; return where the lock's block ends."""
    file = plan.unit.data.file
    begin, end = file.span(test.test)
    edits.append(Edit(file.path, begin, end, file.encode(plan.flag)))
    following = next(s for s in test.body if s in plan.rest)
    at = line_span(file, following)[0]
    code = indent_of(file, test) + file.encode(f"if {plan.flag}:") + file.source.newline
    edits.append(Edit(file.path, at, at, code))
    return full_span(file, test.body[test.body.index(following) - 1])[1]


def _inner(file: PythonFile, section: ast.With) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the lines of a section's header, which go, and of its body, which stay."""
    start = line_span(file, section)[0]
    body = line_span(file, section.body[0])[0]
    end = line_span(file, section.body[-1])[1]
    if b"#" in file.data[start:body]:
        raise BuilderError("a comment of the section would be lost")
    return (start, body), (body, end)
