"""Edits of classes and modules: attributes in `__init__`, methods, module variables."""

from __future__ import annotations

import ast

from threadmend.model import Edit
from threadmend.python.builders.hints import hint, nothing
from threadmend.python.builders.lines import (
    BuilderError,
    indent_of,
    indent_unit,
    is_alone,
    line_span,
    text_lines,
)
from threadmend.python.builders.statements import comments_above, insert_after, insert_before
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import walk
from threadmend.python.functions import Function
from threadmend.python.mixins import is_mixed_in

__all__ = ["add_attribute", "add_method", "add_variable"]

Edits = tuple[Edit, ...]


def add_attribute(cls: Class, name: str, value: str, said: str = "") -> Edits:
    """Set `self.name = value` in `__init__`, before anything that may use it; `said` is its
    annotation, with the colon.

    That is after the docstring and `super().__init__()` calls at the start, unless attributes are
    set ahead of those, which the base may come to use; in a class without `__init__` one is
    written that passes everything on. Raises BuilderError where that is not possible: dataclasses,
    named tuples, `__slots__` that are not written out or without an `__init__`, mixins.
    """
    init = cls.methods.get("__init__")
    slot = _add_slot(cls, name) if "__slots__" in cls.scope.bindings else ()
    if any(_makes_itself(heir) for heir in cls.heirs):
        raise BuilderError("a class below makes its own __init__")
    if init is None:
        return _with_init(cls, f"self.{name}{said} = {value}")
    if init.self_name is None or not init.body:
        raise BuilderError("__init__ has no self")
    text = f"{init.self_name}.{name}{said} = {value}"
    anchor = _after_super(init)
    if anchor is not None:
        return (*slot, *insert_after(cls.file, anchor, text))
    first = init.body[0]
    if ast.get_docstring(init.node) is not None:  # type: ignore[arg-type]
        if len(init.body) == 1:
            return (*slot, *insert_after(cls.file, first, text))
        first = init.body[1]
    return (*slot, *insert_before(cls.file, first, text))


def _add_slot(cls: Class, name: str) -> Edits:
    """Add a name to the `__slots__` of a class, which are strings in a tuple or a list: with any
    others its objects may have no place for the attribute.
    """
    sites = cls.scope.bindings["__slots__"].sites
    value = sites[0].value if len(sites) == 1 and "__init__" in cls.methods else None
    slots = value.elts if isinstance(value, ast.Tuple | ast.List) else []
    words = [one.value for one in slots if isinstance(one, ast.Constant)]
    if value is None or not slots or not all(isinstance(w, str) for w in words):
        raise BuilderError("the class has __slots__")
    if len(words) < len(slots) or "__dict__" in words:
        raise BuilderError("the class has __slots__")
    file, last = cls.file, slots[-1]
    quote = "'" if file.text(last).startswith("'") else '"'
    added = f"{quote}{name}{quote}"
    start, end = file.span(last)[1], file.span(value)[1]
    if last.end_lineno != value.end_lineno:
        # A comment beside the last one stays there.
        below = file.data.index(b"\n", start) + 1
        comma = () if file.data[start:].startswith(b",") else (Edit(file.path, start, start, b","),)
        line = file.encode(f"{' ' * last.col_offset}{added},") + file.source.newline
        return (*comma, Edit(file.path, below, below, line))
    if len(slots) == 1 and end > start:
        return (Edit(file.path, start, end - 1, file.encode(f", {added}")),)
    return (Edit(file.path, start, start, file.encode(f", {added}")),)


def _makes_itself(cls: Class) -> bool:
    """Return whether the `__init__` of a class leaves out those of its bases."""
    init = cls.methods.get("__init__")
    return init is not None and not any(
        isinstance(node, ast.Attribute) and node.attr == "__init__" for node in init.own
    )


def _after_super(init: Function) -> ast.stmt | None:
    """Return the call of the base's `__init__` among the first statements, where no attribute is
    set ahead of it.
    """
    for statement in init.body[:3]:
        if isinstance(statement, ast.Assign) and any(
            isinstance(target, ast.Attribute) for target in statement.targets
        ):
            return None
        for node in walk(statement):
            if isinstance(node, ast.Attribute) and node.attr == "__init__":
                return statement if isinstance(statement, ast.Expr) else None
    return None


def _with_init(cls: Class, line: str) -> Edits:
    decorators = [cls.file.text(d) for d in cls.node.decorator_list]
    special = {"typing.NamedTuple", "enum.Enum", "typing.Protocol", "typing.TypedDict", "type"}
    if decorators or cls.inherits(*special) or cls.node.keywords:
        raise BuilderError("the class makes its own __init__")
    if is_mixed_in(cls):
        raise BuilderError(f"the __init__ of what {cls.name} is mixed into decides what is set up")
    if cls.base_names and cls.base_names != ["object"]:
        said, added = hint(cls.file, "typing.Any", cls.node)
        text = (
            f"def __init__(self, *args{said}, **kwargs{said}){nothing(cls.file)}:\n"
            "    super().__init__(*args, **kwargs)\n"
            f"    {line}\n"
        )
        return (*add_method(cls, text, first=True), *added)
    text = f"def __init__(self){nothing(cls.file)}:\n    {line}\n"
    return add_method(cls, text, first=True)


def add_method(cls: Class, text: str, *, first: bool = False) -> Edits:
    """Add a method: before the first one, or (by default) at the end of the class."""
    file = cls.file
    methods = [s for s in cls.node.body if isinstance(s, ast.FunctionDef | ast.AsyncFunctionDef)]
    if not all(is_alone(file, s) for s in cls.node.body):
        raise BuilderError("the class stands on one line")
    if first and methods:
        start = line_span(file, methods[0])[0]
        unit = indent_unit(file, methods[0])
        code = text_lines(file, text, indent_of(file, methods[0]), unit)
        return (Edit(file.path, start, start, code + file.source.newline),)
    last = cls.node.body[-1]
    return insert_after(file, last, "\n" + text.rstrip("\n"))


def add_variable(file: PythonFile, text: str, before: ast.AST) -> Edits:
    """Add a statement at module level, before the top-level statement that `before` is in and
    the comment right above that.
    """
    at: ast.AST = before
    for above in file.ancestors(before):
        if isinstance(above, ast.Module):
            break
        at = above
    if not isinstance(at, ast.stmt):
        raise BuilderError("there is no statement at module level")
    start = comments_above(file, line_span(file, at)[0], b"")
    code = text_lines(file, text, b"", indent_unit(file))
    is_block = isinstance(at, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    blank = file.source.newline * 2 if is_block else b""
    return (Edit(file.path, start, start, code + blank),)
