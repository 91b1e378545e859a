"""Methods that tell of data, and who asks them before a step of the object: `if not
seats.fits(n): return`, and then `seats.take(n)`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import always_leaves, block_of, enclosing
from threadmend.python.functions import Function
from threadmend.python.threads import Spawn
from threadmend.python.uses import is_self

from ._data import Data, Use
from ._given import given

__all__ = ["answers_in", "asked_elsewhere"]

_MANY = 40
"""Files that name a method, of which more are not read for one question."""
_QUIET = (ast.Assign, ast.AnnAssign, ast.Return, ast.If, ast.Expr, ast.Raise, ast.Pass)


def answers_in(data: Data, caller: Function, threads: frozenset[Spawn | None]) -> Iterator[Use]:
    """Yield what a method of the object asks the object about data, as reads of that."""
    known = {use.node for use in data.uses}
    for node in caller.own:
        owner = _owner(node)
        if owner is not None and is_self(caller.file, owner) and caller.home is not None:
            assert isinstance(node, ast.expr)
            if node not in known and _tells(data, _method(caller.home, node)):
                yield Use(node, "read", caller, threads)


def asked_elsewhere(data: Data, step: Function) -> Function | None:
    """Return who asks an object about data, and takes the step by what it was told: code of
    another class or file, where a lock that the object has to itself does not reach.
    """
    if data.cls is None or data.of_class or step.cls is None or step.name.startswith("__"):
        return None
    project = step.file.project
    paths = project.naming(step.file.encode(step.name))
    for path in paths if len(paths) <= _MANY else ():
        file = project.readable(path)
        for call in file.calls(step.name) if file is not None else ():
            asker = file.function(call) if file is not None else None
            if asker is None or file is None or _is_own(file, asker, call, step):
                continue
            if _is_of(file, call, step.cls) and _is_decided(data, file, asker, call):
                return asker
    return None


def _is_own(file: PythonFile, asker: Function, call: ast.Call, step: Function) -> bool:
    """Return whether a method of the class's own file calls the step of its own object."""
    owner = _owner(call)
    return owner is None or (file is step.file and is_self(file, owner))


def _is_of(file: PythonFile, call: ast.Call, cls: Class) -> bool:
    """Return whether a call is of an object of a class, or of one below it."""
    owner = _owner(call)
    if owner is None or file.held(call):
        return False
    found = given(file, owner)
    return found is not None and cls in found.mro


def _is_decided(data: Data, file: PythonFile, asker: Function, call: ast.Call) -> bool:
    """Return whether a test of what the object tells leads to a call of its step."""
    owner = _owner(call)
    assert owner is not None
    said, cls = file.text(owner), given(file, owner)
    asked = {
        node
        for node in asker.own
        if (whom := _owner(node)) is not None
        and node is not call
        and file.text(whom) == said
        and cls is not None
        and isinstance(node, ast.expr)
        and _tells(data, _method(cls, node))
    }
    if not asked:
        return False
    statement: ast.stmt = file.statement(call)
    for above in (statement, *enclosing(statement, ast.stmt)):
        assert isinstance(above, ast.stmt)
        if isinstance(above, ast.If) and not asked.isdisjoint(ast.walk(above.test)):
            return True
        if above is asker.node:
            break
        block = block_of(above)
        for earlier in block[: block.index(above)]:
            if isinstance(earlier, ast.Expr) and earlier.value in asked:
                return True  # it raises
            if isinstance(earlier, ast.If) and always_leaves(earlier.body):
                if not asked.isdisjoint(ast.walk(earlier.test)):
                    return True
    return False


def _owner(node: ast.AST) -> ast.expr | None:
    """Return the object that a call or an attribute is of."""
    func = node.func if isinstance(node, ast.Call) else node
    is_owned = isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name | ast.Attribute)
    return func.value if is_owned and isinstance(func, ast.Attribute) else None


def _method(cls: Class, node: ast.expr) -> Function | None:
    """Return the method that is called, or the property that is read."""
    if isinstance(node, ast.Call):
        return cls.method(node.func.attr) if isinstance(node.func, ast.Attribute) else None
    return cls.getter(node.attr) if isinstance(node, ast.Attribute) else None


def _tells(data: Data, method: Function | None) -> bool:
    """Return whether a method does nothing but look at data, for an answer or an exception."""
    if method is None or method.cls is None or method.is_async or method.is_generator:
        return False
    plain = all(isinstance(n, _QUIET) for n in method.own if isinstance(n, ast.stmt))
    uses = [use for use in method.cls.uses if use.function is method]
    if not plain or any(use.changes for use in uses):
        return False
    looked = {use.node for use in uses if use.name == data.name}
    if any(one.value is not None for one in method.returns()):
        return bool(looked)
    return any(
        isinstance(n, ast.If)
        and isinstance(n.body[-1], ast.Raise)
        and not looked.isdisjoint(ast.walk(n.test))
        for n in method.own
    )
