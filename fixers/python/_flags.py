"""Flags: variables that are True or False, and what makes an Event of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from threadmend.model import Edit
from threadmend.python.builders import (
    BuilderError,
    add_attribute,
    delete,
    free_attribute,
    free_name,
    insert_after,
    insert_before,
    is_alone,
    reference,
)
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.scope import Binding
from threadmend.python.uses import is_self, use_mode

__all__ = ["Flag", "event_beside", "event_edits", "flag_of", "flag_of_other", "value_given"]


@dataclass(eq=False, frozen=True, slots=True)
class Flag:
    """An attribute of a class (`cls`), or a variable of a module or of a function that nested
    ones set as well, with every use of it.
    """

    file: PythonFile
    name: str
    uses: tuple[ast.expr, ...]
    cls: Class | None = None
    binding: Binding | None = None
    shown: str = ""
    """How it is called by code of another class that looks at it."""

    @property
    def is_other(self) -> bool:
        """Return whether code of another class looks at it."""
        return bool(self.shown)


def flag_of_other(file: PythonFile, node: ast.expr) -> Flag | None:
    """Return the flag of an object of a class of the project: `service.ready`, also a property
    that shows it.
    """
    value = file.value(node.value) if isinstance(node, ast.Attribute) else None
    cls = None if value is None or value.is_class else value.cls
    if cls is None or not isinstance(node, ast.Attribute):
        return None
    name = _behind(cls, node.attr)
    uses = [use for use in cls.uses if use.name == name]
    if not uses or cls.uses_of(name) != uses or any(u.node is node for u in uses):
        return None
    return Flag(cls.file, name, tuple(use.node for use in uses), cls=cls, shown=node.attr)


def _behind(cls: Class, name: str) -> str:
    """Return the attribute that a property shows as it is, or the name itself."""
    method = cls.method(name)
    if method is None or method.decorators != ["property"] or cls.overrides(name):
        return name
    returned = [one.value for one in method.returns()]
    shown = returned[0] if len(returned) == 1 and method.body[-1] in method.returns() else None
    is_own = isinstance(shown, ast.Attribute) and is_self(method.file, shown.value)
    return shown.attr if is_own else name  # type: ignore[union-attr]


def flag_of(file: PythonFile, node: ast.expr) -> Flag | None:
    """Return the flag that an expression names; None when other classes may use it as well."""
    if isinstance(node, ast.Attribute):
        function = file.function(node)
        cls = None if function is None else function.home
        if cls is None:
            return None
        return _flag_of_family(cls.completed(node.attr) or cls.declarer(node.attr), node)
    binding = file.binding(node)
    if binding is None or binding.scope.kind not in {"module", "function"}:
        return None
    if any(site.kind not in {"assign", "annotation"} for site in binding.sites):
        return None
    return Flag(file, binding.name, tuple(file.uses(binding)), binding=binding)


def _flag_of_family(top: Class, node: ast.Attribute) -> Flag | None:
    """Return the flag of a class, its bases and the classes below; None when they are not all of
    one file, or several initializers set it.
    """
    family = dict.fromkeys((*top.mro, *top.heirs))
    uses = [use for cls in family for use in cls.uses if use.name == node.attr]
    uses.sort(key=lambda use: (use.node.lineno, use.node.col_offset))
    makers = {u.function.cls for u in uses if u.mode == "write" and u.function.name == "__init__"}
    owner = makers.pop() if len(makers) == 1 else top
    if makers - {owner} or owner is None or not any(use.node is node for use in uses):
        return None
    if any(use.function.file is not owner.file for use in uses):
        return None
    return Flag(owner.file, node.attr, tuple(use.node for use in uses), cls=owner)


def value_given(file: PythonFile, node: ast.expr) -> bool | None:
    """Return the value that a statement gives a flag, None for anything but True and False."""
    statement = file.parent(node)
    if isinstance(statement, ast.AnnAssign) or (
        isinstance(statement, ast.Assign) and len(statement.targets) == 1
    ):
        value = statement.value
    else:
        return None
    if isinstance(value, ast.Constant) and isinstance(value.value, bool):
        return value.value
    return None


def event_edits(flag: Flag, loop_test: ast.expr | None) -> list[Edit]:
    """Return the edits that make an Event of a flag, its use in `loop_test` left alone."""
    _check_private(flag)
    file = flag.file
    edits = _declared(flag)
    made = bool(edits)
    for node in flag.uses:
        mode = use_mode(node)
        if node is loop_test or _is_declaration(flag, node):
            continue
        if mode == "write":
            value = value_given(file, node)
            if value is None:
                raise BuilderError("the flag has other values than True and False")
            if _is_first(flag, node):
                if value:
                    raise BuilderError("the flag is set from the start")
                if made:
                    raise BuilderError("the flag is made in several places")
                edits += _made(file, node)
                made = True
                continue
            statement = file.parent(node)
            assert statement is not None
            verb = "set" if value else "clear"
            text = f"{file.text(node)}.{verb}()"
            edits.append(Edit(file.path, *file.span(statement), file.encode(text)))
        elif mode == "read":
            if any(isinstance(above, ast.JoinedStr) for above in file.ancestors(node)):
                raise BuilderError("the flag is read in an f-string")
            at = file.span(node)[1]
            edits.append(Edit(file.path, at, at, b".is_set()"))
        else:
            raise BuilderError("the flag is used in another way")
    if not made:
        raise BuilderError("the flag is not made in one place")
    return [*edits, *_globals(flag)]


def event_beside(flag: Flag, end: bool, also: Sequence[Flag] = ()) -> tuple[str, tuple[Edit, ...]]:
    """Return the name of an Event that stands beside a flag, and the edits that make it, set it
    where the flag, or one of the others, becomes `end`, and clear it where it becomes the other
    value.
    """
    name, edits = _beside(flag)
    for one in (flag, *also):
        _check_written_here(one)
        edits += _signalled(one, end, name)
    return name, tuple(edits)


def _signalled(flag: Flag, end: bool, name: str) -> list[Edit]:
    """Return the edits that set and clear an Event where a flag changes."""
    file = flag.file
    edits: list[Edit] = []
    for node in flag.uses:
        value = None if use_mode(node) != "write" else value_given(file, node)
        if value is None or _is_declaration(flag, node) or _is_first(flag, node):
            continue
        statement = file.statement(node)
        if not is_alone(file, statement):
            raise BuilderError("the statement shares its line with another one")
        event = name if flag.cls is None else f"{file.text(node.value)}.{name}"  # type: ignore[attr-defined]
        if value is end:
            edits += insert_after(file, statement, f"{event}.set()")
        else:
            edits += insert_before(file, statement, f"{event}.clear()")
    return edits


def _check_written_here(flag: Flag) -> None:
    """Refuse flags that other code sets: an Event that stays set would never let the loop
    sleep again.
    """
    file, own = flag.file, set(flag.uses)
    for node in file.nodes(ast.Attribute):
        if node.attr == flag.name and node not in own and not isinstance(node.ctx, ast.Load):
            raise BuilderError("the flag is set from outside of the class")
    written = re.compile(rb"\." + file.encode(flag.name) + rb"\s*=[^=]")
    for path in file.project.paths:
        if path != file.path and written.search(file.project.source(path).data):
            raise BuilderError(f"the flag may be set in {path}")


def _beside(flag: Flag) -> tuple[str, list[Edit]]:
    """Return a name for the Event, and the edits that make it."""
    file, cls = flag.file, flag.cls
    if cls is None:
        assert flag.binding is not None
        first = file.statement(flag.binding.sites[0].node)
        if file.function(first) is not None or not is_alone(file, first):
            raise BuilderError("the flag is not made at module level")
        event, added = reference(file, "threading.Event")
        name = free_name(file, f"{flag.name}_changed")
        return name, [*insert_after(file, first, f"{name} = {event}()"), *added]
    name = free_attribute(cls, f"{flag.shown}_changed" if flag.is_other else "_wake")
    if not _is_dataclass(cls):
        event, added = reference(file, "threading.Event", cls.node)
        return name, [*add_attribute(cls, name, f"{event}()"), *added]
    declared = cls.scope.bindings.get(flag.name)
    fields = [s for s in cls.node.body if isinstance(s, ast.AnnAssign)]
    if declared is None or not fields or not is_alone(file, fields[-1]):
        raise BuilderError("the class makes its own __init__")
    event, added = reference(file, "threading.Event", cls.node)
    field, more = reference(file, "dataclasses.field", cls.node)
    text = f"{name}: {event} = {field}(default_factory={event}, init=False, repr=False)"
    return name, [*insert_after(file, fields[-1], text), *added, *more]


def _is_dataclass(cls: Class) -> bool:
    return any(
        cls.file.qualified(d.func if isinstance(d, ast.Call) else d) == "dataclasses.dataclass"
        for d in cls.node.decorator_list
    )


def _check_private(flag: Flag) -> None:
    """Refuse flags that code of other classes or files may use."""
    file = flag.file
    own = set(flag.uses)
    if flag.binding is not None and flag.binding.scope.kind != "module":
        return
    if any(n.attr == flag.name and n not in own for n in file.nodes(ast.Attribute)):
        raise BuilderError("the flag is used from outside of the class")
    word = re.compile(rb"\b" + file.encode(flag.name) + rb"\b")
    owner = re.compile(rb"\b" + file.encode(file.module.rpartition(".")[2]) + rb"\b")
    for path in file.project.paths:
        if path != file.path:
            data = file.project.source(path).data
            if word.search(data) and (flag.cls is not None or owner.search(data)):
                raise BuilderError(f"the flag may be used in {path}")


def _is_declaration(flag: Flag, node: ast.expr) -> bool:
    return flag.cls is not None and not isinstance(node, ast.Attribute)


def _is_first(flag: Flag, node: ast.expr) -> bool:
    """Return whether a write gives the flag its first value."""
    function = flag.file.function(node)
    if flag.binding is not None and flag.binding.scope.kind != "module":
        return node is flag.uses[0]
    if flag.cls is None:
        return function is None
    return function is not None and function in flag.cls.init_only and function.name == "__init__"


def _made(file: PythonFile, node: ast.expr) -> list[Edit]:
    """Return the edits of `flag = False`, which becomes `flag = threading.Event()`."""
    statement = file.parent(node)
    assert isinstance(statement, ast.Assign | ast.AnnAssign)
    assert statement.value is not None
    event, added = reference(file, "threading.Event", node)
    edits = [Edit(file.path, *file.span(statement.value), file.encode(f"{event}()")), *added]
    if isinstance(statement, ast.AnnAssign):
        place = file.span(statement.annotation)
        edits.append(Edit(file.path, *place, file.encode(event)))
    return edits


def _declared(flag: Flag) -> list[Edit]:
    """Return the edits that move a first value in the class body to each object."""
    cls, file = flag.cls, flag.file
    declared = None if cls is None else cls.scope.bindings.get(flag.name)
    if cls is None or declared is None:
        return []
    statement = file.statement(declared.sites[0].node)
    node = declared.sites[0].node
    if not isinstance(node, ast.expr):
        raise BuilderError("the flag is a property")
    if len(declared.sites) > 1 or value_given(file, node) is not False or cls.node.decorator_list:
        raise BuilderError("the class gives the flag a value that all objects share")
    if "__init__" not in cls.methods or len(cls.node.body) == 1:
        raise BuilderError("the class makes no objects of its own")
    if not is_alone(file, statement):
        raise BuilderError("the statement shares its line with another one")
    event, added = reference(file, "threading.Event", cls.methods["__init__"].node)
    return [*delete(file, statement), *add_attribute(cls, flag.name, f"{event}()"), *added]


def _globals(flag: Flag) -> list[Edit]:
    """Return the edits that take away `global flag`, which says nothing any more."""
    edits: list[Edit] = []
    if flag.cls is None:
        for statement in flag.file.nodes(ast.Global, ast.Nonlocal):
            assert isinstance(statement, ast.Global | ast.Nonlocal)
            if statement.names == [flag.name] and is_alone(flag.file, statement):
                edits += delete(flag.file, statement)
    return edits
