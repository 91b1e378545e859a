"""Tests and reads in one critical section of a function that a later one of the same lock relies
on: in between anybody may change what was seen.

    with self._lock:                        with self._lock:
        if self._closed:                        enough = self.balance >= n
            return                          if enough:
    with self._lock:                            with self._lock:
        self._closed = True                         self.balance -= n
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python.builders import BuilderError, insert_before, is_alone
from threadmend.python.builders.lines import indent_unit, line_span
from threadmend.python.builders.statements import indented_lines
from threadmend.python.file import PythonFile
from threadmend.python.flow import after, block_of, walk
from threadmend.python.locks import Section
from threadmend.python.uses import is_self, use_mode

from ._waiting import is_plain

__all__ = ["in_two_sections"]

_CHANGES = frozenset({"write", "augment", "mutate", "delete"})
_ADDING = frozenset({"add", "append", "appendleft"})
_TAKING = frozenset({"pop", "popleft", "popitem", "remove"})
_PLAIN = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.If, ast.Return, ast.Pass)


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """Two sections: `seen` in the first one is what `change` of the second one changes.

    `branch` is the `if` around the second one, `test` the test in the first one that leaves.
    """

    first: Section
    second: Section
    seen: str
    change: ast.expr
    branch: ast.If | None = None
    test: ast.If | None = None


def in_two_sections(file: PythonFile) -> Iterator[Finding]:
    """Yield the changes that rely on what an earlier section saw."""
    if file.is_test:
        return
    for first in file.sections:
        function = first.function
        if not _is_plain_with(first) or function is None or file.held(first.start):
            continue
        if function.home is not None and function in function.home.init_only:
            continue  # nobody else knows the object yet
        for second, branch in _later(file, first):
            pair = _claimed(file, first, second, branch) or _computed(file, first, second, branch)
            if pair is not None:
                yield _finding(file, pair)
                break


def _is_plain_with(section: Section) -> bool:
    start = section.start
    is_with = isinstance(start, ast.With | ast.AsyncWith) and len(start.items) == 1
    return is_with and section.kind == "with" and section.function is not None


def _later(file: PythonFile, first: Section) -> Iterator[tuple[Section, ast.If | None]]:
    """Yield the sections of the same lock further down the block, and those in an `if` there."""
    below = after(first.start)
    for section in file.sections:
        if section.lock.place != first.lock.place or not _is_plain_with(section):
            continue
        above = file.parent(section.start)
        if section.start in below:
            yield section, None
        elif isinstance(above, ast.If) and above in below and not above.orelse:
            if section.start in above.body:
                yield section, above


# -- claims: `if k in x: return`, then `x.add(k)` --------------------------------------------


def _claimed(
    file: PythonFile, first: Section, second: Section, branch: ast.If | None
) -> _Pair | None:
    """Return the pair of a section that leaves when something is done, and one that notes that it
    now is.
    """
    test = first.body[-1]
    if branch is not None or not isinstance(test, ast.If) or not _only_leaves(test):
        return None
    if any(use_mode(node) in _CHANGES for node in _shared(file, walk(first.body))):
        return None  # what it changes may keep others out
    inside = list(_shared(file, walk(second.body)))
    for seen in _shared(file, ast.walk(test.test)):
        name = file.text(seen)
        uses = [node for node in inside if file.text(node) == name]
        change = uses[0] if len(uses) == 1 else None
        if change is not None and _answers(file, test.test, seen, change):
            pair = _Pair(first, second, name, change, test=test)
            is_key = isinstance(file.parent(seen), ast.Compare) and use_mode(change) != "write"
            if (is_key and _refuses(test.body[0])) or _is_calm(file, _between(pair)):
                return pair  # else the work is done twice, and as well by the second one
    return None


def _only_leaves(test: ast.If) -> bool:
    """Return whether a branch does nothing but to refuse: what it returns was not made before."""
    last = test.body[-1]
    if test.orelse or len(test.body) > 1:
        return False
    if isinstance(last, ast.Return):
        return last.value is None or isinstance(last.value, ast.Constant)
    return isinstance(last, ast.Raise)


def _refuses(leave: ast.stmt) -> bool:
    """Return whether a statement says no: `raise`, `return False`."""
    answer = leave.value if isinstance(leave, ast.Return) else None
    return isinstance(leave, ast.Raise) or (
        isinstance(answer, ast.Constant) and answer.value is not None
    )


def _answers(file: PythonFile, test: ast.expr, seen: ast.expr, change: ast.expr) -> bool:
    """Return whether a change makes a test true: the same key is added, the flag set."""
    above = file.parent(seen)
    if isinstance(above, ast.Compare) and len(above.ops) == 1 and above.comparators == [seen]:
        key = file.text(above.left)
        return isinstance(above.ops[0], ast.In) and above is test and _adds(file, change, key)
    statement = file.statement(change)
    if use_mode(change) != "write" or not isinstance(statement, ast.Assign):
        return False
    if isinstance(above, ast.UnaryOp) and above is test:
        return _is_constant(statement.value, False)
    is_none = isinstance(above, ast.Compare) and above is test and above.left is seen
    if is_none and isinstance(above, ast.Compare):
        return isinstance(above.ops[0], ast.IsNot) and not _is_constant(statement.value, None)
    return test is seen and _is_constant(statement.value, True)


def _is_constant(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _adds(file: PythonFile, change: ast.expr, key: str) -> bool:
    above = file.parent(change)
    if isinstance(above, ast.Subscript) and isinstance(above.ctx, ast.Store):
        return file.text(above.slice) == key
    call = file.parent(above) if isinstance(above, ast.Attribute) else None
    if not isinstance(above, ast.Attribute) or not isinstance(call, ast.Call):
        return False
    return above.attr in _ADDING and [file.text(a) for a in call.args] == [key]


# -- computed: `v = x`, then `x = v + 1` ------------------------------------------------------


def _computed(
    file: PythonFile, first: Section, second: Section, branch: ast.If | None
) -> _Pair | None:
    """Return the pair of a section that reads, and one that changes by what was read: from it, or
    because of a test of it.
    """
    if any(use_mode(node) in _CHANGES for node in _shared(file, walk(first.body))):
        return None
    reads = dict(_reads(file, first))
    inside = list(_shared(file, walk(second.body)))
    for local, names in reads.items():
        for name in names:
            uses = [node for node in inside if file.text(node) == name]
            change = uses[0] if len(uses) == 1 else None
            if change is None or any(use_mode(u) not in _CHANGES for u in uses):
                continue
            if _is_from(file, change, local, first, second) or (
                branch is not None and _is_only(branch.test, local) and _takes(file, change)
            ):
                return _Pair(first, second, name, change, branch)
    return None


def _reads(file: PythonFile, first: Section) -> Iterator[tuple[str, list[str]]]:
    """Yield the local variables that a section sets for good, and what it reads for them."""
    for statement in first.body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        if not isinstance(target, ast.Name) or not isinstance(statement, ast.Assign):
            continue
        if any(isinstance(n, ast.Call) and not is_plain(file, n) for n in walk(statement)):
            continue
        binding = file.binding(target)
        if binding is not None and binding.scope is first.function.scope:  # type: ignore[union-attr]
            yield target.id, [file.text(node) for node in _shared(file, ast.walk(statement.value))]


def _is_from(
    file: PythonFile, change: ast.expr, local: str, first: Section, second: Section
) -> bool:
    """Return whether a value is computed from a variable: `x = v + 1`, or `v += 1` before."""
    statement = file.statement(change)
    if use_mode(change) != "write" or not isinstance(statement, ast.Assign):
        return False
    if isinstance(statement.value, ast.BinOp):
        return any(_is_name(node, local) for node in ast.walk(statement.value))
    if not _is_name(statement.value, local):
        return False
    block = block_of(first.start)
    between = block[block.index(first.start) + 1 :]
    return any(
        isinstance(node, ast.AugAssign) and _is_name(node.target, local)
        for node in walk([s for s in between if s is not second.start])
    )


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _is_only(test: ast.expr, local: str) -> bool:
    """Return whether a test looks at a variable, and at nothing that others change as well."""
    return any(_is_name(node, local) for node in ast.walk(test)) and not any(
        isinstance(node, ast.Call | ast.NamedExpr | ast.Is | ast.IsNot) for node in ast.walk(test)
    )


def _takes(file: PythonFile, change: ast.expr) -> bool:
    """Return whether a change takes something away that the test has seen, or counts on."""
    if use_mode(change) == "augment":
        return True
    above = file.parent(change)
    if isinstance(above, ast.Attribute):
        call = file.parent(above)
        return above.attr in _TAKING and isinstance(call, ast.Call) and len(call.args) < 2
    return isinstance(file.statement(change), ast.Delete)


def _shared(file: PythonFile, nodes: Iterator[ast.AST]) -> Iterator[ast.Attribute | ast.Name]:
    """Yield the attributes of the object and the globals among some nodes."""
    for node in nodes:
        if isinstance(node, ast.Attribute) and is_self(file, node.value):
            above = file.parent(node)
            if not (isinstance(above, ast.Call) and above.func is node):
                yield node
        elif isinstance(node, ast.Name):
            binding = file.binding(node)
            if binding is not None and binding.scope.kind == "module":
                if any(site.kind == "assign" for site in binding.sites):
                    yield node


# -- fix ------------------------------------------------------------------------------------


def _finding(file: PythonFile, pair: _Pair) -> Finding:
    start, end = file.span(pair.change)
    name = pair.first.name(file)
    said = f"{pair.seen} may be another when it is changed than when it was read: {name} is"
    said += " released in between"
    seen = Related(file.path, *file.span(pair.first.item), "it is read in this section")
    try:
        title, edits = f"Hold {name} in between", _merged(file, pair)
    except BuilderError as error:
        if pair.test is None:
            return Finding(file.path, start, end, said, related=(seen,), reason=str(error))
        try:
            title, edits = "Test again under the lock", _tested(file, pair.second, pair.test)
        except BuilderError as other:
            return Finding(file.path, start, end, said, related=(seen,), reason=str(other))
    fix = Fix(title, edits, Safety.UNSAFE, "what ran at the same time now runs one after the other")
    return Finding(file.path, start, end, said, related=(seen,), fixes=(fix,))


def _tested(file: PythonFile, second: Section, test: ast.If) -> tuple[Edit, ...]:
    leave, text = file.text(test.body[0]), file.text(test.test)
    if "\n" in leave or "\n" in text:
        raise BuilderError("the test takes several lines")
    return insert_before(file, second.body[0], f"if {text}:\n    {leave}")


def _merged(file: PythonFile, pair: _Pair) -> tuple[Edit, ...]:
    """Put what stands between two sections, and the second one, into the first one."""
    first, second, last = pair.first, pair.second, pair.branch or pair.second.start
    moved = _between(pair)
    if not _is_calm(file, moved):
        raise BuilderError("more than plain statements would run under the lock")
    if not all(is_alone(file, s) for s in (*moved, last, second.start, second.body[0])):
        raise BuilderError("the statement shares its line with another one")
    head, body = line_span(file, second.start)[0], line_span(file, second.body[0])[0]
    if file.data[head:body].count(b"\n") != 1 or b"#" in file.data[head:body]:
        raise BuilderError("a comment would be lost")
    unit = indent_unit(file, second.start)
    begin, end = line_span(file, first.start)[1], line_span(file, last)[1]
    inside = line_span(file, second.start)
    lines = indented_lines(file, [*moved, last], begin, end)
    edits = [Edit(file.path, at, at, unit) for at in lines if not inside[0] <= at < inside[1]]
    return (*edits, Edit(file.path, head, body, b""))


def _between(pair: _Pair) -> list[ast.stmt]:
    """Return the statements that would come under the lock."""
    block = block_of(pair.first.start)
    last = pair.branch or pair.second.start
    found = block[block.index(pair.first.start) + 1 : block.index(last)]
    if pair.branch is not None:
        found += [s for s in pair.branch.body if s is not pair.second.start]
    return found


def _is_calm(file: PythonFile, moved: list[ast.stmt]) -> bool:
    """Return whether statements do nothing that would take long, or other locks."""
    for node in walk(moved):
        if isinstance(node, ast.stmt) and not isinstance(node, _PLAIN):
            return False
        if isinstance(node, ast.Await | ast.Yield | ast.YieldFrom):
            return False
        if isinstance(node, ast.Call) and not is_plain(file, node):
            return False
    return True
