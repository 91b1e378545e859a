"""Give every thread its values

What is set on a `threading.local` while the module is imported exists in the thread that
imports it, and in no other: there the attribute is missing.

Not reported: locals that are set in a function, unless only the module itself calls it; attributes
that somebody reads with a default, or expects to be missing; those that a subclass of
`threading.local` sets in `__init__` or as class attributes, which every thread has.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.python.builders import (
    BuilderError,
    delete,
    free_name,
    insert_before,
    is_alone,
    nothing,
)
from threadmend.python.builders.lines import line_span
from threadmend.python.builders.statements import comments_above
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.functions import Function

from ._at_import import set_by_call
from ._local_class import provided, said_in_class

CATEGORY = "thread"
GATE = rb"\blocal\b"


@dataclass(frozen=True, slots=True)
class _Use:
    """An attribute of the local in a function: `x.name`, or a question for it."""

    function: Function
    name: str
    is_read: bool
    asks: bool


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the values that only the importing thread has."""
    every: list[ast.Assign | ast.AnnAssign] = [
        *file.nodes(ast.Assign),
        *file.nodes(ast.AnnAssign),
    ]
    for made in every:
        target = _target(made)
        if file.function(made) is not None or not isinstance(target, ast.Name):
            continue
        value = file.value(made.value)
        if value is None or not value.is_a("threading.local") or value.made is not made.value:
            continue
        if value.cls is not None and value.cls.file is not file:
            continue
        binding = file.binding(target)
        if binding is None or len(binding.sites) != 1 or binding.scope.kind != "module":
            continue
        if isinstance(made.value, ast.Call) and not made.value.args:
            cls = value.cls
            sets = _sets(file, made, target.id, cls)
            if cls is not None:
                sets = [pair for pair in sets if not provided(cls, _attribute(pair[0]))]
            if sets:
                yield _finding(file, made, target.id, sets, cls)


def _target(made: ast.Assign | ast.AnnAssign) -> ast.expr | None:
    if isinstance(made, ast.AnnAssign):
        return made.target
    return made.targets[0] if len(made.targets) == 1 else None


def _sets(
    file: PythonFile, made: ast.Assign | ast.AnnAssign, name: str, cls: Class | None
) -> list[tuple[ast.Assign, ast.stmt]]:
    """Return the statements that set attributes which functions need, each with the statement
    of the module that runs it: itself, or the call of a function.
    """
    found = []
    uses: list[_Use] | None = None
    for statement in file.tree.module.body:
        for one in _attributes_set(file, statement, name):
            target = one.targets[0]
            assert isinstance(target, ast.Attribute)
            uses = [*_uses(file, name), *_own_uses(cls)] if uses is None else uses
            own = file.function(one)
            needed = [u for u in uses if u.name == target.attr and u.function is not own]
            if _is_needed(needed) and (own is None or statement.lineno > made.lineno):
                found.append((one, statement))
    return found


def _attributes_set(file: PythonFile, statement: ast.stmt, name: str) -> list[ast.Assign]:
    """Return the statements `name.attribute = …` that a statement of the module is or runs."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return set_by_call(file, statement, name)
    target = statement.targets[0]
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
        return [statement] if target.value.id == name else []
    return []


def _is_needed(uses: list[_Use]) -> bool:
    """Return whether some function reads an attribute that it does not set itself, and none
    expects that it is missing.
    """
    readers = {use.function for use in uses if use.is_read}
    setters = {use.function for use in uses if not use.is_read and not use.asks}
    return not any(use.asks for use in uses) and not readers <= setters


def _uses(file: PythonFile, name: str) -> Iterator[_Use]:
    """Yield what the functions of the project do with the attributes of a module's local."""
    yield from _uses_in(file, lambda n: isinstance(n, ast.Name) and n.id == name)
    project, full = file.project, f"{file.module}.{name}"
    module = file.encode(file.module.rpartition(".")[2])
    for path in project.paths:
        data = project.source(path).data
        if path != file.path and file.encode(name) in data and module in data:
            other = project.readable(path)
            if other is not None:
                known = partial(_is_meant, other, full)
                yield from _uses_in(other, known)


def _own_uses(cls: Class | None) -> Iterator[_Use]:
    """Yield what the methods of the local's class do with its attributes."""
    for base in cls.mro if cls is not None else ():
        for use in base.uses:
            read = use.mode not in {"write", "delete"}
            asks = read and _is_caught(use.function.file, use.node)
            yield _Use(use.function, use.name, read, asks)


def _is_meant(file: PythonFile, full: str, node: ast.expr) -> bool:
    return isinstance(node, ast.Name | ast.Attribute) and file.qualified(node) == full


def _uses_in(file: PythonFile, is_local: Callable[[ast.expr], bool]) -> Iterator[_Use]:
    for node in file.nodes(ast.Attribute):
        function = file.function(node) if is_local(node.value) else None
        if function is not None:
            # It has to be there: it is read, or changed in place.
            read = isinstance(node.ctx, ast.Load) or isinstance(file.parent(node), ast.AugAssign)
            yield _Use(function, node.attr, read, read and _is_caught(file, node))
    for call in file.calls("hasattr", "getattr"):
        function = file.function(call)
        if function is not None and len(call.args) > 1 and is_local(call.args[0]):
            name = call.args[1]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield _Use(function, name.value, is_read=False, asks=True)


def _is_caught(file: PythonFile, node: ast.AST) -> bool:
    """Return whether the function goes on where the attribute is missing."""
    for above in file.ancestors(node):
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return False
        kinds: list[ast.expr | None] = []
        if isinstance(above, ast.Try) and file.statement(node) not in above.finalbody:
            kinds = [handler.type for handler in above.handlers]
        elif isinstance(above, ast.With):
            calls = [i.context_expr for i in above.items if isinstance(i.context_expr, ast.Call)]
            kinds = [
                argument
                for call in calls
                if file.qualified(call.func) == "contextlib.suppress"
                for argument in call.args
            ]
        if any(kind is None or _CAUGHT.search(file.text(kind)) for kind in kinds):
            return True
    return False


_CAUGHT = re.compile(r"\b(?:AttributeError|Exception|BaseException)\b")


def _finding(
    file: PythonFile,
    made: ast.Assign | ast.AnnAssign,
    name: str,
    found: list[tuple[ast.Assign, ast.stmt]],
    cls: Class | None,
) -> Finding:
    start, end = file.span(found[0][1])
    sets = list({_attribute(one): one for one, _ in found}.values())
    attributes = [_attribute(one) for one in sets]
    said = f"only the thread that imports the module has {name}.{attributes[0]}"
    try:
        moved = [one for one, by in found if one is by]
        _check(file, made, sets, moved)
        if cls is None:
            edits = _edits(file, made, sets, moved)
        else:
            edits = said_in_class(cls, [(_attribute(one), one.value) for one in sets])
            edits = (*edits, *(_gone(file, one) for one in moved))
    except BuilderError as error:
        return Finding(file.path, start, end, said, reason=str(error))
    title = f"Give every thread its own {name}.{' and '.join(attributes)}"
    if all(_is_plain(file, s.value) for s in sets):
        return Finding(file.path, start, end, said, fixes=(Fix(title, edits),))
    reason = "each thread works the value out when it first uses it"
    return Finding(file.path, start, end, said, fixes=(Fix(title, edits, Safety.UNSAFE, reason),))


def _is_plain(file: PythonFile, value: ast.expr) -> bool:
    """Return whether a value is the same whenever it is worked out, and nobody notices that it is:
    a constant, a new collection of such, a name that the module sets to one and never changes.
    """
    if isinstance(value, ast.Constant):
        return True
    if isinstance(value, ast.UnaryOp):
        return _is_plain(file, value.operand)
    if isinstance(value, ast.List | ast.Tuple | ast.Set):
        return all(_is_plain(file, one) for one in value.elts)
    if isinstance(value, ast.Dict):
        parts = [*value.keys, *value.values]
        return all(one is not None and _is_plain(file, one) for one in parts)
    if isinstance(value, ast.Call):
        made = file.qualified(value.func) in _COLLECTIONS and not value.keywords
        return made and all(_is_plain(file, one) for one in value.args)
    binding = file.binding(value)
    if binding is None or binding.scope.kind != "module" or len(binding.sites) != 1:
        return file.qualified(value) in _TYPES
    site = binding.sites[0]
    return site.kind == "assign" and isinstance(site.value, ast.Constant)


_TYPES = frozenset({"list", "dict", "set", "int", "float", "str", "tuple"})
_COLLECTIONS = _TYPES | {
    "collections.deque", "collections.OrderedDict", "collections.Counter",
    "collections.defaultdict", "frozenset",
}  # fmt: skip


def _attribute(statement: ast.Assign) -> str:
    target = statement.targets[0]
    assert isinstance(target, ast.Attribute)
    return target.attr


def _check(
    file: PythonFile,
    made: ast.Assign | ast.AnnAssign,
    sets: list[ast.Assign],
    moved: list[ast.Assign],
) -> None:
    """Raise BuilderError when the values cannot be worked out where the local is made."""
    if not all(is_alone(file, statement) for statement in (made, *moved)):
        raise BuilderError("the statement shares its line with another one")
    if any(s.lineno < made.lineno for s in moved):
        raise BuilderError("it is set before it is made")
    for statement in sets:
        for node in ast.walk(statement.value):
            binding = file.binding(node) if isinstance(node, ast.Name) else None
            if binding is not None and any(
                s.node.lineno > made.lineno for s in binding.sites if hasattr(s.node, "lineno")
            ):
                raise BuilderError("the value needs what is defined further down")


def _edits(
    file: PythonFile,
    made: ast.Assign | ast.AnnAssign,
    sets: list[ast.Assign],
    moved: list[ast.Assign],
) -> tuple[Edit, ...]:
    """Return the edits that make a subclass, whose `__init__` runs in every thread."""
    target = _target(made)
    assert isinstance(made.value, ast.Call)
    assert isinstance(target, ast.Name)
    words = target.id.strip("_").split("_")
    cls = free_name(file, "_" + "".join(word.title() for word in words), made)
    head = f"    def __init__(self){nothing(file)}:"
    lines = [f"class {cls}({file.text(made.value.func)}):", head]
    lines += [line for s in sets for line in _as_attribute(file, s)]
    first, last = file.span(made.value.func)
    gone = [_gone(file, s) for s in moved]
    # A class stands two blank lines apart from what is around it.
    newline = file.source.newline
    (added,) = insert_before(file, made, "\n".join(lines))
    start = comments_above(file, added.start, b"")
    above = file.data[:start]
    apart = newline * (2 - sum(above.endswith(newline * n) for n in (2, 3)))
    return (
        Edit(file.path, start, start, apart + added.new + newline * 2),
        Edit(file.path, first, last, file.encode(cls)),
        *gone,
    )


def _as_attribute(file: PythonFile, statement: ast.Assign) -> Iterator[str]:
    """Yield the lines that set an attribute of `self`, with the statement's comments."""
    first, last = line_span(file, statement)
    above = file.data[comments_above(file, first, b"") : first].decode(file.tree.encoding)
    rest = file.data[file.span(statement)[1] : last].decode(file.tree.encoding).strip()
    yield from (f"        {line}" for line in above.splitlines())
    text = f"        self.{_attribute(statement)} = {file.text(statement.value)}"
    yield text + (rest and f"  {rest}")


def _gone(file: PythonFile, statement: ast.Assign) -> Edit:
    """Return the edit that deletes a statement, at the file's end with the blank lines above."""
    (edit,) = delete(file, statement)
    if file.data[edit.end :].strip():
        return edit
    above = file.data[: edit.start]
    kept = len(above.rstrip())
    return Edit(edit.path, min(kept + len(file.source.newline), edit.start), edit.end, edit.new)
