"""Loop over a copy

While a loop goes through a dictionary, a set or a deque, another thread changes it: "dictionary
changed size during iteration", in a thread where nobody looks; a list silently skips. Other
code takes a lock to change the collection (or to copy it, where another function changes it), the
loop does not, also where it looks into an object from outside, or goes over what a private method
returns as it is. `sys.modules` changes with every import, also of what another thread runs.

Not reported: a loop under the lock, or whose callers all hold it, as far as the project shows
them, or come before they start the thread; a loop over a copy; a collection that is only ever
replaced by another one, or that only coroutines change, of which some wait with the lock held,
which is one between tasks; a list that only grows, or whose items are replaced one by one; what
one call of the interpreter reads at once (`sum`, `sorted`, `list`); a loop after the thread that
makes the changes was joined, or after a flag was set under the lock that others test there; tests.

Unsafe: the loop does not see what is added while it runs, and a thread that has the lock already
would wait for itself. With a re-entrant lock the fix is safe.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety
from threadmend.python import api
from threadmend.python.arguments import argument
from threadmend.python.borrowed import all_sections
from threadmend.python.builders import (
    BuilderError,
    free_name,
    insert_before,
    is_alone,
    is_free,
    replace,
)
from threadmend.python.classes import PROPERTIES
from threadmend.python.file import PythonFile
from threadmend.python.flow import before, enclosing, walk
from threadmend.python.functions import Function
from threadmend.python.held import callers_seem_to_hold
from threadmend.python.methodcalls import method_calls
from threadmend.python.places import only_result
from threadmend.python.threads import is_made_by, reached, spawns_reaching
from threadmend.python.uses import is_self

from ._alone import is_named_nowhere
from ._awaited import waits_for_all
from ._guarded import Guarded, copied, guarded, looked_into, may_be_held
from ._old_python import views_are_copies

CATEGORY = "shared-state"
GATE = rb"\bfor\b|\byield from\b|\breturn iter\("

_NAMED = re.compile(r"(?i)(?:executor|pool)$")
_LEVEL = Confidence.MEDIUM
"""Whether two threads get there at the same time cannot be seen: a fix of another rule that
locks a change may bring such a loop to light, and is not refused for it.
"""
_VIEWS = frozenset({"items", "values", "keys"})
_OLD_VIEWS = frozenset(
    {"iteritems", "itervalues", "iterkeys", "viewitems", "viewvalues", "viewkeys"}
)
"""Methods of Python 2, and the functions of `six` that stand for them."""
_LAZY = frozenset({"enumerate", "reversed", "zip", "map", "filter"})
_QUICK = frozenset({"__repr__", "__str__"})
"""Methods that may run anywhere, also in a thread that has the lock."""


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the loops over what another thread may change meanwhile."""
    if file.is_test:
        return
    yield from _modules(file)
    for one in (*guarded(file), *copied(file), *_abroad(file)):
        if one.kind == "list" and one.only_grows:
            continue
        for node, function in (*one.uses, *_shown(one)):
            looped = _looped(file, node)
            if looped is None or file.held(node) or "fork" in function.name:
                continue
            if function.name == "__del__" or _is_ready(file, node):
                continue  # nobody else knows the object any more, or the loop is tried again
            if one.is_of_tasks and function not in spawns_reaching(file):
                continue  # and the loop is run by the thread that runs all of them
            if _is_last(file, one, node) or _is_closed(file, one, node, function):
                continue
            if callers_seem_to_hold(function, one.lock.place) or is_named_nowhere(function):
                continue
            yield _finding(file, one, node, function, looped)


def _is_ready(file: PythonFile, node: ast.expr) -> bool:
    """Return whether the code is ready for a change meanwhile: `except RuntimeError: again()`."""
    for tried in enclosing(node, ast.Try):
        assert isinstance(tried, ast.Try)
        if file.statement(node) in walk(tried.body):
            for handler in tried.handlers:
                caught = [] if handler.type is None else [*ast.walk(handler.type)]
                if any(isinstance(n, ast.Name) and n.id == "RuntimeError" for n in caught):
                    return True
    return False


def _abroad(file: PythonFile) -> Iterator[Guarded]:
    """Yield the collections of other objects that loops of a file go over."""
    for node in file.nodes(ast.Attribute):
        assert isinstance(node, ast.Attribute)
        if isinstance(node.ctx, ast.Load) and _looped(file, node) is not None:
            one = looked_into(file, node)
            if one is not None:
                yield one


def _shown(one: Guarded) -> Iterator[tuple[ast.expr, Function]]:
    """Yield the calls, in its own file, of a private method that returns the collection itself and
    does nothing else: `self._everyone()`.
    """
    for node, method in one.uses:
        if not method.is_private or method.is_async or only_result(method) is not node:
            continue
        if one.owner or not is_self(method.file, getattr(node, "value", node)):
            continue
        for call, caller, _ in method.callers if not method.decorators else ():
            func = call.func
            if caller is None or caller.file is not method.file:
                continue
            if isinstance(func, ast.Attribute) and is_self(caller.file, func.value):
                yield call, caller
        is_property = not PROPERTIES.isdisjoint(method.decorators)
        for use in method.home.uses if method.home is not None and is_property else ():
            if use.name == method.name and use.mode == "read" and use.function.file is method.file:
                yield use.node, use.function


def _modules(file: PythonFile) -> Iterator[Finding]:
    """Yield the loops of threads over `sys.modules`."""
    if b"sys.modules" not in file.data:
        return
    running = spawns_reaching(file)
    for node in file.nodes(ast.Attribute):
        if node.attr != "modules" or file.qualified(node) != "sys.modules":
            continue
        looped = _looped(file, node)
        if looped is None or file.function(node) not in running:
            continue
        start, end = file.span(looped)
        said = "sys.modules may change while the loop goes over it: any thread may import"
        # One call that no import gets between, in the interpreter.
        edits = replace(file, looped, f"list({file.text(looped)})")
        fix = Fix("Loop over a copy of sys.modules", edits)
        yield Finding(file.path, start, end, said, (fix,), confidence=_LEVEL)


# -- find -----------------------------------------------------------------------------------


def _looped(file: PythonFile, node: ast.expr) -> ast.expr | None:
    """Return what a loop goes over when that is the collection, or a view of it; also what a
    method returns an iterator of.
    """
    found = node
    above = file.parent(node)
    if isinstance(above, ast.Attribute) and above.attr in _VIEWS | _OLD_VIEWS:
        call = file.parent(above)
        if above.attr in _VIEWS and views_are_copies(file):
            return None
        if isinstance(call, ast.Call) and call.func is above:
            found, above = call, file.parent(call)
    if isinstance(above, ast.Call) and above.args[:1] == [found]:
        name = file.qualified(above.func) or ""
        if name.rpartition(".")[2] in _OLD_VIEWS:
            found, above = above, file.parent(above)
    inner: ast.expr = found
    while isinstance(above, ast.Call) and inner in above.args:
        if file.qualified(above.func) == "iter" and isinstance(file.parent(above), ast.Return):
            return found
        if file.qualified(above.func) not in _LAZY:
            return None
        inner, above = above, file.parent(above)
    if isinstance(above, ast.For | ast.comprehension):
        return found if above.iter is inner else None
    return found if isinstance(above, ast.YieldFrom) else None


def _is_hurried(shutdown: ast.Call) -> bool:
    """Return whether `shutdown(wait=False)` leaves jobs running."""
    given = argument(shutdown, 0, "wait")
    return given is not None and not (isinstance(given, ast.Constant) and given.value is True)


def _may_be_executor(file: PythonFile, node: ast.expr) -> bool:
    """Return whether something runs jobs: by its constructor, or by its name where none is seen."""
    if file.is_a(node, api.EXECUTORS):
        return True
    return file.value(node) is None and _NAMED.search(file.text(node)) is not None


def _is_last(file: PythonFile, one: Guarded, node: ast.expr) -> bool:
    """Return whether the loop comes after the thread that changes the collection has ended."""
    ended, joined = (dict(method_calls(file, name)) for name in ("shutdown", "join"))
    for statement in _before(file, node):
        if waits_for_all(statement) and _starts_them(file, one, statement):
            return True
        value = statement.value if isinstance(statement, ast.Expr) else None
        if not isinstance(value, ast.Call):
            continue
        if value in ended and _may_be_executor(file, ended[value]) and not _is_hurried(value):
            return True  # its jobs are done, and there will be no more
        if value in joined:
            made = file.value(joined[value])
            others = made.file.spawns if made is not None and made.file is not file else ()
            for spawn in (*file.spawns, *others):
                if spawn.target is not None and is_made_by(file, joined[value], spawn):
                    runs = reached(spawn.target)
                    changing = {other.function(place) for other, place in one.changed}
                    if all(f in runs or (f is not None and f.is_async) for f in changing):
                        return True
    return False


def _starts_them(file: PythonFile, one: Guarded, statement: ast.stmt) -> bool:
    """Return whether all that changes the collection runs in threads that the function of a
    statement has started.
    """
    here = file.function(statement)
    running: set[Function] = set()
    for spawn in file.spawns:
        if spawn.target is not None and file.function(spawn.node) is here:
            running |= reached(spawn.target)
    changing = {other.function(place) for other, place in one.changed} - {here}
    return bool(changing) and changing <= running


def _is_closed(file: PythonFile, one: Guarded, node: ast.expr, function: Function) -> bool:
    """Return whether a flag was set under the lock before the loop, and whoever changes the
    collection looks at it under the lock.
    """
    if function.home is None:
        return False
    flags: set[str] = set()
    for section in all_sections(file):
        if section.function is function and section.lock.place == one.lock.place:
            if section.start in _before(file, node):
                flags |= {name for stmt in section.body for name in _set_flags(stmt)}
    return bool(flags) and any(
        use.name in flags
        and use.mode == "read"
        and one.lock.place in use.function.file.held(use.node)
        for use in function.home.uses
        if use.function is not function
    )


def _before(file: PythonFile, node: ast.expr) -> list[ast.stmt]:
    """Return the statements that surely ran before a node, in its block and those around."""
    found: list[ast.stmt] = []
    at: ast.stmt = file.statement(node)
    for above in (at, *enclosing(at, ast.stmt)):
        assert isinstance(above, ast.stmt)
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            break
        found += before(above)
    return found


def _set_flags(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
        if isinstance(statement.value.value, bool):
            for target in statement.targets:
                if isinstance(target, ast.Attribute):
                    yield target.attr


# -- fix ------------------------------------------------------------------------------------


def _finding(
    file: PythonFile, one: Guarded, node: ast.expr, function: Function, looped: ast.expr
) -> Finding:
    start, end = file.span(looped)
    lock = one.lock_in(function)
    name = file.text(node)
    above = file.parent(looped)
    is_made = isinstance(above, ast.Call) and file.qualified(above.func) == "iter"
    what = "an iterator" if is_made else "the loop"
    does, done = ("copies", "copied") if one.is_copied else ("changes", "changed")
    said = f"{name} may change while {what} goes over it: other code {does} it under {lock}"
    other, place = one.changed[0]
    related = (Related(other.path, *other.span(place), f"it is {done} here, under the lock"),)
    try:
        fix = _fix(file, one, node, function, looped)
    except BuilderError as error:
        return Finding(file.path, start, end, said, (), related, str(error), confidence=_LEVEL)
    return Finding(file.path, start, end, said, (fix,), related, confidence=_LEVEL)


def _fix(
    file: PythonFile, one: Guarded, node: ast.expr, function: Function, looped: ast.expr
) -> Fix:
    """Draw `for x in self.d:` as `with self.lock:` / `xs = list(self.d)` / `for x in xs:`.

    Where a caller may have the lock the copy is made without it: one call that no other thread
    interrupts in the interpreter. Also where the lock should be one of asyncio, and will be.
    """
    held = may_be_held(function, one.lock.place) or function.name in _QUICK
    held = held or (function.name == "__iter__" and _is_gone_over(file, one, function))
    held = held or one.is_of_tasks
    copy = f"list({file.text(looped)})"
    if held and not one.lock.reentrant:
        edits: tuple[Edit, ...] = replace(file, looped, copy)
        reason = "the loop no longer sees what is added while it runs"
        return Fix(f"Loop over a copy of {file.text(node)}", edits, Safety.UNSAFE, reason)
    statement = _statement(file, looped, function)
    name = _name(file, node, statement)
    lock = one.lock_in(function)
    text = f"with {lock}:\n    {name} = {copy}"
    edits = (*insert_before(file, statement, text), *replace(file, looped, name))
    title = f"Copy {file.text(node)} under {lock}"
    if one.lock.reentrant:
        # Nobody can wait for themselves; a change that comes meanwhile broke the loop before.
        return Fix(title, edits)
    reason = "the lock is taken where it was not, and the loop sees no later changes"
    return Fix(title, edits, Safety.UNSAFE, reason)


def _is_gone_over(file: PythonFile, one: Guarded, method: Function) -> bool:
    """Return whether the class loops over itself with the lock held: `for key in self:`."""
    for node in file.nodes(ast.Name):
        function = file.function(node)
        if function is None or function.home is not method.home or not is_self(file, node):
            continue
        above = file.parent(node)
        loops = isinstance(above, ast.For | ast.comprehension) and above.iter is node
        if loops or (isinstance(above, ast.Call) and node in above.args):
            if one.lock.place in file.held(node):
                return True
    return False


def _statement(file: PythonFile, looped: ast.expr, function: Function) -> ast.stmt:
    """Return the statement to put the copy before."""
    statement = file.statement(looped)
    if isinstance(function.node, ast.Lambda) or file.function(statement) is not function:
        raise BuilderError("there is no statement to copy it before")
    if isinstance(statement, ast.While):
        raise BuilderError("the condition of the loop is looked at again and again")
    if not is_alone(file, statement):
        raise BuilderError("the statement shares its line with another one")
    above = file.parent(statement)
    if isinstance(statement, ast.If) and isinstance(above, ast.If) and statement in above.orelse:
        raise BuilderError("there is no statement to copy it before")
    return statement


def _name(file: PythonFile, node: ast.expr, statement: ast.stmt) -> str:
    """Return a free name for the copy: `handlers` of `self._handlers`."""
    node = node.func if isinstance(node, ast.Call) else node
    text = node.attr if isinstance(node, ast.Attribute) else file.text(node)
    stem = text.strip("_").lower() or "copy"
    for name in (stem, f"current_{stem}"):
        if is_free(file, name, statement) and name != text:
            return name
    return free_name(file, f"current_{stem}")
