"""Wait for an event instead of a flag

`while not self.ready: time.sleep(2)` sees the flag up to one sleep late. An Event wakes whoever
waits for it at once.

Not reported: flags that are set by the same thread, or by code that is not seen here; flags
with other values than True and False; loops that do something else.

Unsafe: the attribute becomes an Event, for everybody who reads it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python.builders import BuilderError, drop_import, reference
from threadmend.python.classes import AttributeUse, Class
from threadmend.python.file import PythonFile
from threadmend.python.threads import spawns_reaching

CATEGORY = "thread"
GATE = rb"while +not +\w+\.\w+ *:"


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the loops that sleep until another thread sets a flag."""
    for loop in file.nodes(ast.While):
        call = _sleep(file, loop)
        if call is None or not isinstance(loop.test, ast.UnaryOp):
            continue
        flag = loop.test.operand
        function = file.function(loop)
        if not isinstance(flag, ast.Attribute) or function is None or function.home is None:
            continue
        cls = function.home
        uses = [use for use in cls.uses if use.name == flag.attr]
        if not any(use.node is flag for use in uses) or cls.uses_of(flag.attr) != uses:
            continue
        setter = _setter(file, uses)
        if setter is not None and setter.function is not function:
            yield _finding(file, cls, loop, call, flag, uses, setter)


def _sleep(file: PythonFile, loop: ast.While) -> ast.Call | None:
    """Return the call of a loop that does nothing but sleep."""
    if len(loop.body) != 1 or loop.orelse or not isinstance(loop.test, ast.UnaryOp):
        return None
    statement = loop.body[0]
    call = statement.value if isinstance(statement, ast.Expr) else None
    if isinstance(call, ast.Call) and file.qualified(call.func) == "time.sleep":
        return call if isinstance(loop.test.op, ast.Not) else None
    return None


def _setter(file: PythonFile, uses: list[AttributeUse]) -> AttributeUse | None:
    """Return the place where another thread sets the flag."""
    reaching = spawns_reaching(file)
    for use in uses:
        if use.mode == "write" and use.function in reaching and _assigned(file, use) is True:
            return use
    return None


def _assigned(file: PythonFile, use: AttributeUse) -> bool | None:
    """Return the value that a statement gives the flag, None for anything but True and False."""
    statement = file.parent(use.node)
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return None
    value = statement.value
    if isinstance(value, ast.Constant) and isinstance(value.value, bool):
        return value.value
    return None


def _finding(
    file: PythonFile,
    cls: Class,
    loop: ast.While,
    call: ast.Call,
    flag: ast.Attribute,
    uses: list[AttributeUse],
    setter: AttributeUse,
) -> Finding:
    start, end = file.span(call)
    name = file.text(flag)
    said = f"the loop sees {name} up to a sleep late"
    related = (Related(file.path, *file.span(setter.node), f"another thread sets {name} here"),)
    try:
        edits = _edits(file, cls, loop, call, flag, uses)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    reason = f"{name} becomes an Event"
    fix = Fix(f"Make {name} an Event, and wait for it", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, related=related, fixes=(fix,))


def _edits(
    file: PythonFile,
    cls: Class,
    loop: ast.While,
    call: ast.Call,
    flag: ast.Attribute,
    uses: list[AttributeUse],
) -> tuple[Edit, ...]:
    if any(
        n.attr == flag.attr and n not in {u.node for u in uses} for n in file.nodes(ast.Attribute)
    ):
        raise BuilderError("the flag is used from outside of the class")
    if flag.attr in cls.scope.bindings:
        raise BuilderError("the class gives the flag a value that all objects share")
    edits: list[Edit] = []
    made = 0
    for use in uses:
        if use.node is flag:
            continue
        if use.mode == "write":
            value = _assigned(file, use)
            statement = file.parent(use.node)
            assert statement is not None
            start, end = file.span(statement)
            text = file.text(use.node)
            if value is None:
                raise BuilderError("the flag has other values than True and False")
            if use.function in cls.init_only and use.function.name == "__init__":
                if value:
                    raise BuilderError("the flag is set from the start")
                event, added = reference(file, "threading.Event", use.node)
                assert isinstance(statement, ast.Assign)
                first, last = file.span(statement.value)
                edits += [Edit(file.path, first, last, file.encode(f"{event}()")), *added]
                made += 1
            else:
                verb = "set" if value else "clear"
                edits.append(Edit(file.path, start, end, file.encode(f"{text}.{verb}()")))
        elif use.mode == "read":
            at = file.span(use.node)[1]
            edits.append(Edit(file.path, at, at, b".is_set()"))
        else:
            raise BuilderError("the flag is used in another way")
    if made != 1:
        raise BuilderError("the flag is not made in __init__")
    start, end = file.span(loop)
    edits.append(Edit(file.path, start, end, file.encode(f"{file.text(flag)}.wait()")))
    if b"#" in file.data[start:end]:
        raise BuilderError("a comment of the loop would be lost")
    return (*edits, *drop_import(file, call.func))
