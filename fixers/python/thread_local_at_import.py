"""Give every thread its values

What is set on a `threading.local` while the module is imported exists in the thread that
imports it, and in no other: there the attribute is missing.

Not reported: locals that are set in a function; attributes that are read with a default;
subclasses of `threading.local`, whose `__init__` and class attributes every thread has.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python.builders import BuilderError, delete, free_name, insert_before, is_alone
from threadmend.python.file import PythonFile
from threadmend.python.functions import Function

CATEGORY = "thread"
GATE = rb"\blocal\("


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the values that only the importing thread has."""
    for made in file.nodes(ast.Assign):
        if file.function(made) is not None or len(made.targets) != 1:
            continue
        target = made.targets[0]
        value = file.value(made.value)
        if not isinstance(target, ast.Name) or value is None or value.type != "threading.local":
            continue
        binding = file.binding(target)
        if binding is None or len(binding.sites) != 1 or binding.scope.kind != "module":
            continue
        if isinstance(made.value, ast.Call) and not made.value.args:
            sets = _sets(file, made, target.id)
            if sets:
                yield _finding(file, made, target.id, sets)


def _sets(file: PythonFile, made: ast.Assign, name: str) -> list[ast.Assign]:
    """Return the statements at module level that set attributes which functions read."""
    read = {
        node.attr
        for node in file.nodes(ast.Attribute)
        if _is_read(file, node)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
        and file.function(node) is not None
    }
    found = []
    for statement in file.tree.module.body:
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            continue
        target = statement.targets[0]
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            if target.value.id == name and target.attr in read and not _is_set_first(file, target):
                found.append(statement)
    return found


def _is_read(file: PythonFile, node: ast.Attribute) -> bool:
    """Return whether an attribute has to be there: it is read, or changed in place."""
    return isinstance(node.ctx, ast.Load) or isinstance(file.parent(node), ast.AugAssign)


def _is_set_first(file: PythonFile, target: ast.Attribute) -> bool:
    """Return whether every function that reads an attribute sets it as well, or asks for it."""
    assert isinstance(target.value, ast.Name)
    readers: set[Function] = set()
    setters: set[Function] = set()
    for node in file.nodes(ast.Attribute):
        if node.attr != target.attr or not isinstance(node.value, ast.Name):
            continue
        if node.value.id == target.value.id and (function := file.function(node)) is not None:
            (readers if _is_read(file, node) else setters).add(function)
    return readers <= setters


def _finding(file: PythonFile, made: ast.Assign, name: str, sets: list[ast.Assign]) -> Finding:
    start, end = file.span(sets[0])
    attributes = [s.targets[0].attr for s in sets if isinstance(s.targets[0], ast.Attribute)]
    said = f"only the thread that imports the module has {name}.{attributes[0]}"
    try:
        edits = _edits(file, made, sets)
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    title = f"Give every thread its own {name}.{' and '.join(attributes)}"
    if all(isinstance(s.value, ast.Constant) for s in sets):
        return Finding(file.path, start, end, said, fixes=(Fix(title, edits),))
    reason = "each thread works the value out when it first uses it"
    return Finding(file.path, start, end, said, fixes=(Fix(title, edits, Safety.UNSAFE, reason),))


def _edits(file: PythonFile, made: ast.Assign, sets: list[ast.Assign]) -> tuple[Edit, ...]:
    """Return the edits that make a subclass, whose `__init__` runs in every thread."""
    if not all(is_alone(file, statement) for statement in (made, *sets)):
        raise BuilderError("the statement shares its line with another one")
    assert isinstance(made.value, ast.Call)
    assert isinstance(made.targets[0], ast.Name)
    if any(s.lineno < made.lineno for s in sets):
        raise BuilderError("it is set before it is made")
    for statement in sets:
        for node in ast.walk(statement.value):
            binding = file.binding(node) if isinstance(node, ast.Name) else None
            if binding is not None and any(
                s.node.lineno > made.lineno for s in binding.sites if hasattr(s.node, "lineno")
            ):
                raise BuilderError("the value needs what is defined further down")
    words = made.targets[0].id.strip("_").split("_")
    cls = free_name(file, "_" + "".join(word.title() for word in words), made)
    lines = [f"class {cls}({file.text(made.value.func)}):", "    def __init__(self):"]
    lines += [
        f"        self.{s.targets[0].attr} = {file.text(s.value)}"
        for s in sets
        if isinstance(s.targets[0], ast.Attribute)
    ]
    first, last = file.span(made.value.func)
    gone = [edit for s in sets for edit in delete(file, s)]
    # A class stands two blank lines apart from what is around it.
    newline = file.source.newline
    (added,) = insert_before(file, made, "\n".join(lines))
    above = file.data[: added.start]
    apart = b"" if above.endswith(newline * 3) else newline
    return (
        Edit(file.path, added.start, added.end, apart + added.new + newline * 2),
        Edit(file.path, first, last, file.encode(cls)),
        *gone,
    )
