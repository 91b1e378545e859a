"""Test again under the lock

`if instance is None: with lock: instance = make()` tests before it has the lock. Two threads
may both have seen None; the second makes another one, and what the first kept is lost. The
same holds for `if instance is not None: return instance` ahead of the lock, for a variable
that the value was read into, and for what the section takes away: `if items: with lock:
items.pop()`.

Not reported: a second test under the lock, or code that is ready for what it does not find; a
variable of the function itself; tests of something else than what is set; a value
that is made before the lock is taken.

Unsafe: a test that calls functions is run a second time.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python.arguments import argument
from threadmend.python.borrowed import all_sections
from threadmend.python.builders import (
    BuilderError,
    delete,
    insert_before,
    is_alone,
    with_comment,
    wrap,
)
from threadmend.python.file import PythonFile
from threadmend.python.flow import block_of, is_none, is_text, target_of, walk
from threadmend.python.functions import Function, function_of
from threadmend.python.locks import Section
from threadmend.python.scope import parent, scope_of
from threadmend.python.uses import is_self

from ._consumed import consumed
from ._failing import is_logged
from ._taken_whole import takes_all

CATEGORY = "shared-state"
GATE = rb"\bif\b"

_EXITS = (ast.Return, ast.Raise, ast.Continue, ast.Break)


@dataclass(frozen=True)
class _Test:
    """A test ahead of a lock: what it looks at (`key` of it), and what has to be repeated."""

    node: ast.If
    owner: str
    key: str | None
    tested: ast.expr
    read: str = ""
    """The statement that reads the value into a variable, when the test looks at that."""
    at: ast.stmt | None = None
    """The call of the helper that takes the lock, where the test stands in what calls it."""


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the sections that make something which another thread may have made by then."""
    for section in all_sections(file):
        if not isinstance(section.start, ast.With | ast.AsyncWith) or not section.body:
            continue
        test = _test_ahead(file, section.start) or _test_of_caller(file, section)
        spent = _spent(file, section)
        if spent is not None and not file.held(spent.node):
            yield _finding(file, section, spent)
            continue
        if test is None or file.held(test.node) or takes_all(file, section):
            continue
        setting = _setting(file, section, test) or _setting_helper(file, section, test)
        if setting is not None and not _is_tested(file, section, test, setting):
            yield _finding(file, section, test)


# -- find -----------------------------------------------------------------------------------


def _spent(file: PythonFile, section: Section) -> _Test | None:
    """Return the test ahead of a section that uses up, or counts on, what was tested."""
    node = _if_ahead(file, section.start)
    if node is None or any(isinstance(n, ast.NamedExpr | ast.Await) for n in ast.walk(node.test)):
        return None
    found = consumed(file, section, node.test)
    return None if found is None else _Test(node, file.text(found), None, found)


def _if_ahead(file: PythonFile, start: ast.stmt) -> ast.If | None:
    """Return the `if` around a statement, or the one before it that leaves."""
    above = parent(start)
    if isinstance(above, ast.If) and not above.orelse and start in above.body:
        at = above.body.index(start)
        rest = above.body[at + 1 :]
        if all(is_logged(file, s) for s in above.body[:at]):
            plain = all(isinstance(s, ast.Return) for s in rest)
            return above if plain or all(is_logged(file, s) for s in rest) else None
    before = _before(file, start)
    if isinstance(before, ast.If) and not before.orelse and isinstance(before.body[-1], _EXITS):
        return before if all(is_logged(file, s) for s in before.body[:-1]) else None
    return None


def _test_of_caller(file: PythonFile, section: Section) -> _Test | None:
    """Return the test that the only caller of a helper makes, which does nothing but take the
    lock and set the value.
    """
    helper = section.function
    if helper is None or len(helper.callers) != 1 or not helper.is_only_called:
        return None
    if not helper.is_private or helper.is_async:
        return None  # whoever else calls it wants a new value
    rest = [s for s in helper.body if not is_text(s) and not isinstance(s, ast.Global)]
    if rest != [section.start] or any(isinstance(n, ast.Return) for n in walk(section.body)):
        return None
    call, caller, _ = helper.callers[0]
    statement = file.parent(call)
    if caller is None or caller.self_name != helper.self_name:
        return None
    if not isinstance(statement, ast.Expr):
        return None
    test = _test_ahead(file, statement)
    if test is None or test.read or file.held(statement):
        return None
    return replace(test, at=statement) if _is_known(file, test, helper, call) else None


def _is_known(file: PythonFile, test: _Test, helper: Function, call: ast.Call) -> bool:
    """Return whether a test says the same in the helper: it names attributes and globals, and
    variables that the helper gets under the same name.
    """
    for node in ast.walk(test.node.test):
        binding = file.binding(node)
        if isinstance(node, ast.NamedExpr):
            return False
        if binding is not None and binding.scope.kind != "module":
            if not isinstance(node, ast.Name):
                return False
            if node.id != helper.self_name and not _is_handed_on(node.id, helper, call):
                return False
    return True


def _is_handed_on(name: str, helper: Function, call: ast.Call) -> bool:
    """Return whether a call gives a variable to a parameter of the same name, which stays that."""
    own = helper.scope.bindings.get(name)
    if own is None or [site.kind for site in own.sites] != ["parameter"]:
        return False
    at = helper.parameters.index(name) if name in helper.parameters else len(call.args) + 1
    given = argument(call, at - (helper.self_name is not None), name)
    return isinstance(given, ast.Name) and given.id == name


def _test_ahead(file: PythonFile, start: ast.stmt) -> _Test | None:
    """Return the test that decides about a statement: around it, or with an exit before it."""
    ahead = _if_ahead(file, start)
    if ahead is None:
        return None
    return _test(file, ahead, (_unset if start in ahead.body else _set)(ahead.test))


def _before(file: PythonFile, statement: ast.stmt) -> ast.stmt | None:
    """Return the statement right before another one in its block, past what only logs."""
    block = block_of(statement)
    ahead = block[: block.index(statement)]
    while ahead and is_logged(file, ahead[-1]):
        ahead = ahead[:-1]
    return ahead[-1] if ahead else None


def _unset(test: ast.expr) -> ast.expr | None:
    """Return `x` of `x is None`, `not x`, `x == 0` and `k not in x`."""
    if isinstance(test, ast.BoolOp):
        parts = [_unset(value) for value in test.values]
        return parts[0] if isinstance(test.op, ast.Or) else next(filter(None, parts[::-1]), None)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _set(test.operand)
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        if isinstance(test.ops[0], ast.Is | ast.Eq):
            return test.left
        if isinstance(test.ops[0], ast.NotIn):
            return test.comparators[0]
    return None


def _set(test: ast.expr) -> ast.expr | None:
    """Return `x` of `x is not None`, `x`, `x != 0` and `k in x`."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return _set(test.values[0])
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _unset(test.operand)
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        if isinstance(test.ops[0], ast.IsNot | ast.NotEq):
            return test.left
        return test.comparators[0] if isinstance(test.ops[0], ast.In) else None
    return test


def _test(file: PythonFile, node: ast.If, tested: ast.expr | None) -> _Test | None:
    """Return what a test looks at, when other threads see it as well."""
    found = tested.value if isinstance(tested, ast.NamedExpr) else tested
    if isinstance(found, ast.Name) and _is_local(file, found):
        if _key_in(file, node.test, tested) is not None and _is_alias(file, found):
            return _Test(node, found.id, _key_in(file, node.test, tested), found)
        before = _before(file, node)
        if isinstance(before, ast.Assign) and len(before.targets) == 1:
            if file.text(before.targets[0]) == found.id:
                return _seen(file, node, before.value, file.text(before))
        return None
    return _seen(file, node, found, "")


def _seen(file: PythonFile, node: ast.If, found: ast.expr | None, read: str) -> _Test | None:
    key = _key_in(file, node.test, found)
    if isinstance(found, ast.Call) and isinstance(found.func, ast.Attribute):
        if found.func.attr != "get" or not found.args:
            return None
        key, found = file.text(found.args[0]), found.func.value
    if not isinstance(found, ast.Name | ast.Attribute) or _is_local(file, found):
        return None
    return _Test(node, file.text(found), key, found, read)


def _key_in(file: PythonFile, test: ast.expr, found: ast.expr | None) -> str | None:
    """Return `k` of `k not in x`."""
    for node in ast.walk(test):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            if node.comparators[0] is found:
                return file.text(node.left)
    return None


def _is_local(file: PythonFile, node: ast.expr) -> bool:
    """Return whether only this function sees the variable."""
    if not isinstance(node, ast.Name):
        return False
    binding = file.binding(node)
    return binding is None or binding.scope is scope_of(node)


def _is_alias(file: PythonFile, node: ast.Name) -> bool:
    """Return whether a variable of the function only names what others have: `d = self.__dict__`,
    of which a changed entry is seen by all.
    """
    binding = file.binding(node)
    if binding is None or [site.kind for site in binding.sites] != ["assign"]:
        return False
    value = binding.sites[0].value
    if isinstance(value, ast.Attribute):
        return True
    return isinstance(value, ast.Name) and not _is_local(file, value)


def _setting(file: PythonFile, section: Section, test: _Test) -> ast.stmt | None:
    """Return the first statement of the section that sets what was tested, or its key."""
    for node in walk(section.body):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        for target in targets:
            if isinstance(target, ast.Subscript):
                if file.text(target.value) == test.owner and _is_key(file, target.slice, test):
                    return file.statement(node)
            elif file.text(target) == test.owner:
                return file.statement(node)
    return None


def _setting_helper(file: PythonFile, section: Section, test: _Test) -> ast.stmt | None:
    """Return the statement of a section that only calls a method of the object which sets what
    was tested in any case, without a look at it: `self._fill()`.
    """
    for statement in section.body if test.key is None else ():
        call = statement.value if isinstance(statement, ast.Expr) else None
        func = call.func if isinstance(call, ast.Call) else None
        if not isinstance(func, ast.Attribute) or not is_self(file, func.value):
            continue
        helper = function_of(file, func)
        if helper is None or helper.decorators or helper.is_async or helper.is_generator:
            continue
        owner = helper.self_name
        if owner == file.text(func.value) and _only_sets(helper, test.owner):
            return statement
    return None


def _only_sets(helper: Function, owner: str) -> bool:
    """Return whether a method sets a variable for good, and neither reads it nor leaves early."""
    for node in helper.own:
        if isinstance(node, ast.Return) and node is not helper.body[-1]:
            return False
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            if helper.file.text(node) == owner:
                return False
    targets = [
        target
        for statement in helper.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        and statement.value is not None
        and not is_none(statement.value)
        for target in getattr(statement, "targets", None) or [target_of(statement)]
    ]
    return any(target is not None and helper.file.text(target) == owner for target in targets)


def _is_key(file: PythonFile, node: ast.expr, test: _Test) -> bool:
    text = file.text(node)
    return text == test.key if test.key is not None else text in file.text(test.node.test)


def _is_tested(file: PythonFile, section: Section, test: _Test, setting: ast.stmt) -> bool:
    """Return whether the section looks at the variable before it sets it, or leaves early."""
    end = (setting.end_lineno, setting.end_col_offset)
    for node in walk(section.body):
        if isinstance(node, ast.Return | ast.Break | ast.Continue):
            if node is not section.body[-1]:
                return True
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            if file.text(node) != test.owner or (node.lineno, node.col_offset) > end:
                continue
            if not _is_other_use(file, node, test):
                return True
    return False


def _is_other_use(file: PythonFile, node: ast.expr, test: _Test) -> bool:
    """Return whether a use says nothing of the key: `x[k] = v`, `len(x)`, `x.clear()`."""
    above = file.parent(node)
    if isinstance(above, ast.Subscript) and isinstance(above.ctx, ast.Store):
        return True
    if test.key is None:
        return False
    if isinstance(above, ast.Attribute):
        above = file.parent(above)
        return isinstance(above, ast.Call) and not above.args
    return isinstance(above, ast.Call) and file.text(above.func) == "len"


# -- fix ------------------------------------------------------------------------------------


def _finding(file: PythonFile, section: Section, test: _Test) -> Finding:
    start, end = file.span(test.node.test)
    said = f"{test.owner} is tested before {file.text(section.item)} is taken, and not again"
    try:
        edits = _again(file, section, test)
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    if any(isinstance(n, ast.Call) and not _is_get(n) for n in ast.walk(test.node.test)):
        fix = Fix("Test again under the lock", edits, Safety.UNSAFE, "the test runs twice")
    else:
        # Alone, a thread finds the second test as true as the first: nothing changes for it.
        fix = Fix("Test again under the lock", edits)
    return Finding(file.path, start, end, said, fixes=(fix,))


def _again(file: PythonFile, section: Section, test: _Test) -> tuple[Edit, ...]:
    text = file.text(test.node.test)
    text = f"({text})" if "\n" in text else text
    read = f"{test.read}\n" if test.read else ""
    if (test.at or section.start) in test.node.body:
        header = f"{read}if {text}:"
        return (*wrap(file, section.body, header, _answer(file, test)), *_gone(file, test))
    leave = "return" if test.at is not None else file.text(test.node.body[-1])
    if "\n" in read.strip() or "\n" in leave:
        raise BuilderError("what comes before the lock takes several lines")
    return insert_before(file, section.body[0], f"{read}if {text}:\n    {leave}")


def _answer(file: PythonFile, test: _Test) -> str:
    """Return what is answered behind the section, to be answered in it: it is only true when the
    second test is as well. Not so what was tested itself.
    """
    last = test.node.body[-1]
    if test.at is not None or not _is_moved(file, test):
        return ""
    if "\n" in file.text(last) or not is_alone(file, last):
        raise BuilderError("what is answered takes several lines")
    return "    " + with_comment(file, last)


def _gone(file: PythonFile, test: _Test) -> tuple[Edit, ...]:
    return delete(file, test.node.body[-1]) if test.at is None and _is_moved(file, test) else ()


def _is_moved(file: PythonFile, test: _Test) -> bool:
    last = test.node.body[-1]
    if len(test.node.body) == 1 or not isinstance(last, ast.Return):
        return False
    return last.value is None or file.text(last.value) != test.owner


def _is_get(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "get"
