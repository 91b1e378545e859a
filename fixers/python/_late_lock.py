"""Locks that are made when they are first asked for: two threads may each make one."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python.builders import BuilderError, add_attribute, delete, replace
from threadmend.python.file import PythonFile
from threadmend.python.flow import is_none
from threadmend.python.functions import Function
from threadmend.python.places import Place

__all__ = ["late_locks"]

_KINDS = frozenset({"threading.Lock", "threading.RLock"})
_ALONE = ("fork", "setstate", "getstate", "reduce", "copy", "reset")
"""Parts of names of functions that run while no other thread has the object."""


def late_locks(file: PythonFile) -> Iterator[Finding]:
    """Yield `if self.lock is None: self.lock = Lock()` and its relatives."""
    for statement in file.nodes(ast.Assign):
        function = file.function(statement)
        if file.qualified(getattr(statement.value, "func", None)) not in _KINDS:
            continue
        if function is None or len(statement.targets) != 1 or _is_alone(function):
            continue
        place = file.place(statement.targets[0])
        test = None if place is None else _test(file, statement, place)
        if place is None or test is None or file.held(statement):
            continue
        if place.kind == "global" or place.base in {"self", "class"}:
            yield _finding(file, statement, test, function, place)


def _is_alone(function: Function) -> bool:
    if any(part in function.name for part in _ALONE) or function.name == "__new__":
        return True
    return function.cls is not None and function in function.cls.init_only


def _test(file: PythonFile, statement: ast.Assign, place: Place) -> ast.If | ast.Try | None:
    """Return the statement that looks whether the lock is there already."""
    above = file.parent(statement)
    if isinstance(above, ast.If) and statement in above.body:
        test = above.test
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return above if _names(file, test.operand, place) else None
        if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Is):
            unset = is_none(test.comparators[0])
            return above if unset and file.place(test.left) == place else None
    if isinstance(above, ast.ExceptHandler):
        tried = file.parent(above)
        if isinstance(tried, ast.Try) and file.qualified(above.type) in {
            "AttributeError",
            "NameError",
        }:
            looked = any(file.place(n) == place for s in tried.body for n in ast.walk(s))
            return tried if looked else None
    return None


def _names(file: PythonFile, node: ast.expr, place: Place) -> bool:
    """Return whether an expression is the variable, or `hasattr` of it."""
    if file.place(node) == place:
        return True
    if not isinstance(node, ast.Call) or file.qualified(node.func) != "hasattr":
        return False
    name = node.args[1] if len(node.args) == 2 else None
    return isinstance(name, ast.Constant) and name.value == place.name.rpartition(".")[2]


def _finding(
    file: PythonFile,
    statement: ast.Assign,
    test: ast.If | ast.Try,
    function: Function,
    place: Place,
) -> Finding:
    start, end = file.span(statement.value)
    name = file.text(statement.targets[0])
    said = f"two threads that ask for {name} first each make a lock, and keep nobody out"
    try:
        edits = _edits(file, statement, test, function, place)
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    reason = "an object that always has a lock cannot be pickled nor copied deeply"
    where = "with the object"
    if place.kind == "global" or _is_of_class(place, function):
        reason = "code that sets it back to None gets no new lock"
        where = "with the module" if place.kind == "global" else "with the class"
    fix = Fix(f"Make {name} {where}", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, fixes=(fix,))


def _is_of_class(place: Place, function: Function) -> bool:
    return place.base == "class" or (place.kind == "attribute" and function.is_classmethod)


def _edits(
    file: PythonFile,
    statement: ast.Assign,
    test: ast.If | ast.Try,
    function: Function,
    place: Place,
) -> tuple[Edit, ...]:
    """Return the edits that make the lock where `None` was, or in the initializer."""
    alone = [statement]
    if isinstance(test, ast.If):
        if test.body != alone or test.orelse:
            raise BuilderError("more than the lock is made there")
    elif len(test.handlers) != 1 or test.handlers[0].body != alone or len(test.body) != 1:
        raise BuilderError("more than the lock is made there")
    if isinstance(test, ast.Try) and not isinstance(test.body[0], ast.Expr):
        raise BuilderError("the lock is handed out there")
    made = file.text(statement.value)
    removed = delete(file, test, comments=False)
    given = _given(file, function, statement, place)
    if given is None:
        cls = function.cls
        if cls is None or place.base != "self" or _is_of_class(place, function):
            raise BuilderError("nothing says where the lock belongs")
        return (*removed, *add_attribute(cls, place.name, made))
    return (*removed, *replace(file, given, made))


def _given(
    file: PythonFile, function: Function, statement: ast.Assign, place: Place
) -> ast.expr | None:
    """Return the `None` that the variable is set to first; None when there is none."""
    cls = function.cls
    if place.kind == "global":
        binding = file.tree.scopes[0].bindings.get(place.name)
        values = [] if binding is None else [(file, site.value) for site in binding.sites]
    else:
        values = [] if cls is None else list(cls.values_of(place.name))
    others = [(at, value) for at, value in values if value is not None]
    others = [(at, value) for at, value in others if value is not statement.value]
    if not others:
        return None
    (at, value), *more = others
    if more or at is not file or not isinstance(value, ast.Constant) or value.value is not None:
        raise BuilderError("the variable is set in several places")
    in_body = isinstance(file.parent(file.statement(value)), ast.ClassDef)
    if in_body and not _is_of_class(place, function):
        return None  # of the class: a lock there would be one for all objects
    return value
