"""Values: what kind of object an expression is, told by the constructor that made it.

An answer is certain or there is none: all assignments of a variable have to agree, `None`
left out.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from threadmend.python import api
from threadmend.python.annotations import DEPTH, annotated, annotated_element
from threadmend.python.elements import (
    DICTS,
    Holder,
    elements_of,
    handed_abroad,
    handed_in,
    iterated,
    taken_from,
    unpacked,
    values_in,
)
from threadmend.python.entered import ENTER_SELF, entered
from threadmend.python.named_after import class_named_after
from threadmend.python.names import qualified
from threadmend.python.scope import Binding, Site, parent
from threadmend.python.servers import server_of
from threadmend.python.unless import is_set_unless_given, is_unless_given
from threadmend.python.value import Value, agreed, common, shared

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function

__all__ = ["value_of"]


def value_of(file: PythonFile, node: ast.AST | None, depth: int = 0) -> Value | None:
    """Return what an expression is: see PythonFile.value."""
    if node is None or depth > DEPTH:
        return None
    known: dict[ast.AST, Value | None] = file.__dict__.setdefault("_values", {})
    if node in known:
        return known[node]
    known[node] = None  # what leads back to itself is not known
    maker = _MAKERS.get(type(node))
    found = maker(file, node, depth) if maker is not None else None
    if found is None and depth > 0:
        del known[node]  # may be known when asked from another side
    else:
        known[node] = found
    return found


def _name(file: PythonFile, node: ast.AST, depth: int) -> Value | None:
    assert isinstance(node, ast.Name)
    from threadmend.python.uses import is_made_by_new, is_self

    binding = file.binding(node)
    if binding is None:
        return None
    if is_self(file, node):
        owner = file.function(binding.scope.node)
        if owner is not None and owner.cls is not None:
            cls = owner.cls
            is_class = owner.is_classmethod and not is_made_by_new(file, binding)
            return Value(cls.qualified, file, None, cls, is_class=is_class)
    if any(site.kind == "import" for site in binding.sites):
        return _named(file, qualified(file, node), depth)
    return shared(_site_values(file, binding, depth))


def _site_values(file: PythonFile, binding: Binding, depth: int) -> Iterator[Value | None]:
    """Yield what each assignment makes a variable; one after the other, since the first that
    nobody knows decides (a variable that is set from itself dozens of times leads everywhere).
    """
    for number, site in enumerate(binding.sites):
        found = _site_value(file, site, depth)
        if found is None and not number and binding.sites[1:]:
            if is_set_unless_given(file, binding):
                continue
        yield found


def _site_value(file: PythonFile, site: Site, depth: int) -> Value | None:
    if site.kind in {"assign", "walrus"} or (site.kind == "unpack" and site.value is not None):
        found = value_of(file, site.value, depth + 1)
        if found is None and site.annotation is not None:
            found = annotated(file, site.annotation, depth)
        return found
    if site.kind == "parameter":
        said = annotated(file, site.annotation, depth)
        if said is not None and said.type not in _ANYTHING | _ANY_POOL:
            return said
        handed = handed_in(file, site)
        given = _agreed_of(handed, depth)
        if said is not None and said.type in _ANY_POOL:
            return given if given is not None and given.is_a(api.EXECUTORS) else said
        if handed or given is not None:
            return given or _worn(file, site)
        return _worn(file, site) or _made_with(file, site, depth) or _named_after(file, site)
    if site.kind == "annotation":
        return annotated(file, site.annotation, depth)
    if site.kind == "for":
        return _held(file, iterated(file, site.value), depth)
    if site.kind == "unpack":
        return _held(file, unpacked(file, site.node), depth)
    if site.kind == "with" and site.value is not None:
        return entered(file, site.value, lambda other, node: value_of(other, node, depth + 1))
    if isinstance(site.node, ast.ClassDef):
        cls = file.class_of(site.node)
        return Value(cls.qualified, file, None, cls, is_class=True)
    if site.kind == "delete":
        return Value("NoneType", file)
    return None


def _worn(file: PythonFile, site: Site) -> Value | None:
    """Return whose method a decorator of the project wraps, as the `self` of the function that it
    makes: an object of the only class, or of a base of all.
    """
    from threadmend.python.decorated import worn_by

    assert isinstance(site.node, ast.arg)
    arguments = parent(site.node.parent_)  # type: ignore[attr-defined]
    function = file.function(arguments) if site.node.arg == "self" and arguments else None
    if function is None or function.outer is None or function.parameters[:1] != ["self"]:
        return None
    classes = [method.cls for method in worn_by(function)]
    return shared(None if c is None else Value(c.qualified, c.file, None, c) for c in classes)


def _made_with(file: PythonFile, site: Site, depth: int) -> Value | None:
    """Return the object of the project that all other files make an object with: who has a lock
    or its like there is not told by that.
    """
    found = _agreed_of(handed_abroad(file, site), depth)
    return None if found is None or found.cls is None or found.is_class else found


def _named_after(file: PythonFile, site: Site) -> Value | None:
    cls = class_named_after(file, site)
    return None if cls is None else Value(cls.qualified, cls.file, None, cls)


_ANYTHING = frozenset({"typing.Any", "object"})
_ANY_POOL = frozenset({"concurrent.futures.Executor"})
"""A promise that says less than what callers hand in: whether of threads or of processes."""


def _agreed_of(found: list[tuple[PythonFile, ast.expr]], depth: int) -> Value | None:
    return agreed(value_of(file, expression, depth + 1) for file, expression in found)


def _held(file: PythonFile, holder: Holder | None, depth: int) -> Value | None:
    """Return what a collection holds, as all that is put into it tells, or its annotation."""
    if holder is None:
        return None
    node, is_mapping = holder
    found = values_in(file, node) if is_mapping else elements_of(file, node)
    known = shared(value_of(f, e, depth + 1) for f, e in found) if found else None
    said = None if known is not None else _annotation(file, node, depth)
    if said is None:
        return known
    return annotated_element(*said, is_mapping=is_mapping, depth=depth)


def _annotation(file: PythonFile, node: ast.expr, depth: int) -> tuple[PythonFile, ast.expr] | None:
    """Return the annotation of a variable or an attribute."""
    binding = file.binding(node)
    if binding is not None:
        return next(((file, s.annotation) for s in binding.sites if s.annotation is not None), None)
    if not isinstance(node, ast.Attribute):
        return None
    owner = value_of(file, node.value, depth + 1)
    return None if owner is None or owner.cls is None else owner.cls.annotation_of(node.attr)


def _named(file: PythonFile, name: str | None, depth: int) -> Value | None:
    """Return the value of a class or module variable of the project by qualified name."""
    if name is None or "." not in name:
        return None
    cls = file.project.class_named(name)
    if cls is not None:
        return Value(cls.qualified, cls.file, None, cls, is_class=True)
    found = file.project.find(name)
    if found is None or not found[1] or "." in found[1]:
        return None
    other, tail = found
    binding = other.tree.scopes[0].bindings.get(tail)
    if binding is None or any(site.kind == "import" for site in binding.sites):
        return None
    return agreed(_site_value(other, site, depth + 1) for site in binding.sites)


def _attribute(file: PythonFile, node: ast.AST, depth: int) -> Value | None:
    assert isinstance(node, ast.Attribute)
    from threadmend.python.uses import is_self

    owner = value_of(file, node.value, depth + 1)
    if owner is None or owner.cls is None:
        return _named(file, qualified(file, node), depth)
    values = owner.cls.values_of(node.attr)
    if values:
        known = shared(value_of(other, value, depth + 1) for other, value in values)
        if known is not None:
            return known
    said = owner.cls.annotation_of(node.attr)
    if said is not None:
        return annotated(*said, depth)
    if values or owner.is_class:
        return None
    getter = owner.cls.getter(node.attr)
    if getter is not None:
        return _returned(getter, depth)
    other = owner.cls.completed(node.attr) if is_self(file, node.value) else None
    if other is not None:
        return _of_other_half(other, node.attr, depth)
    server = server_of(owner.cls) if node.attr == "server" else None
    return None if server is None else Value(server.qualified, server.file, None, server)


def _of_other_half(cls: Class, name: str, depth: int) -> Value | None:
    """Return what the class that a mixin is for sets an attribute to."""
    known = agreed(value_of(file, value, depth + 1) for file, value in cls.values_of(name))
    said = cls.annotation_of(name) if known is None else None
    return known if said is None else annotated(*said, depth)


def _call(file: PythonFile, node: ast.AST, depth: int) -> Value | None:
    assert isinstance(node, ast.Call)
    name = qualified(file, node.func)
    if name is not None:
        made = _constructed(file, node, name, depth)
        if made is not None:
            return made
    if isinstance(node.func, ast.Attribute):
        if node.func.attr == "enter_context" and len(node.args) == 1:
            entered = value_of(file, node.args[0], depth + 1)
            return entered if entered is not None and entered.is_a(ENTER_SELF) else None
        owner = value_of(file, node.func.value, depth + 1)
        if owner is not None:
            if owner.type == "multiprocessing.get_context":
                return Value(api.canonical(f"multiprocessing.{node.func.attr}"), file, node)
            result = api.RESULTS.get(f"{owner.type}.{node.func.attr}")
            if result is not None:
                return Value(result, file, node)
            if (holder := taken_from(owner.type, node.func)) is not None:
                given = [value_of(file, other, depth + 1) for other in node.args[1:2]]
                return agreed([_held(file, holder, depth), *given])
        if owner is not None and owner.cls is not None:
            values = owner.cls.values_of(node.func.attr)
            classes = [_kept_class(other, value, file, node, depth) for other, value in values]
            made = agreed(classes)
            if made is not None:
                return made
    else:
        owner = value_of(file, node.func, depth + 1) if isinstance(node.func, ast.Name) else None
    if owner is not None and owner.is_class and isinstance(node.func, ast.Name):
        return Value(owner.type, file, node, owner.cls)
    from threadmend.python.functions import function_of

    callee = function_of(file, node.func)
    return None if callee is None else _returned(callee, depth)


def _constructed(file: PythonFile, node: ast.Call, name: str, depth: int) -> Value | None:
    if name in api.RESULTS:
        return Value(api.RESULTS[name], file, node)
    if name == "dataclasses.field" or name.endswith("attr.ib"):
        for keyword in node.keywords:
            if keyword.arg in {"default_factory", "factory"}:
                return _factory(file, keyword.value, depth)
        return None
    if "." not in name:
        return Value(name, file, node) if name in _BUILTIN_TYPES else None
    cls = file.project.class_named(name)
    if cls is not None:
        return Value(cls.qualified, file, node, cls)
    if file.project.find(name) is not None:
        return None
    root = node.func
    while isinstance(root, ast.Attribute):
        root = root.value
    binding = file.binding(root)
    if binding is not None and any(site.kind == "import" for site in binding.sites):
        return Value(name, file, node)  # of another package: its dotted name is its kind
    return Value(name, file, node) if name.partition(".")[0] in _STANDARD else None


def _kept_class(
    file: PythonFile, node: ast.expr, caller: PythonFile, call: ast.Call, depth: int
) -> Value | None:
    """Return what a class makes that an attribute keeps: `self.container_type()`."""
    if isinstance(node, ast.IfExp):
        kept = value_of(file, node, depth + 1)
        made = None if kept is None or not kept.is_class else kept.cls
        return None if made is None else Value(made.qualified, caller, call, made)
    if not isinstance(node, ast.Name | ast.Attribute):
        return None
    name = qualified(file, node)
    if name is None:
        return None
    cls = file.project.class_named(name) if "." in name else None
    if cls is not None:
        return Value(cls.qualified, caller, call, cls)
    known = name in _BUILTIN_TYPES if "." not in name else name.partition(".")[0] in _PLAIN
    return Value(name, caller, call) if known else None


_STANDARD = frozenset({"threading", "queue", "multiprocessing", "asyncio", "concurrent"})
_PLAIN = _STANDARD | {"collections", "weakref"}
_BUILTIN_TYPES = frozenset({"dict", "list", "set", "tuple", "int", "str", "bytes", "bytearray",
                            "float", "frozenset", "bool", "object", "sorted"})  # fmt: skip


def _factory(file: PythonFile, node: ast.expr, depth: int) -> Value | None:
    if isinstance(node, ast.Lambda):
        return value_of(file, node.body, depth + 1)
    name = qualified(file, node)
    if name is None:
        return None
    cls = file.project.class_named(name) if "." in name else None
    if cls is None:
        from threadmend.python.functions import function_of

        maker = function_of(file, node)
        if maker is not None:
            return _returned(maker, depth)
    return Value(name, file, node, cls)


def _returned(callee: Function, depth: int) -> Value | None:
    returns = [r.value for r in callee.returns()]
    if isinstance(callee.node, ast.Lambda):
        returns = [callee.node.body]
    if not returns or callee.is_generator or callee.name == "__init__" or callee.is_async:
        return None
    found = shared(
        Value("NoneType", callee.file) if r is None else value_of(callee.file, r, depth + 1)
        for r in returns
    )
    if found is None and not isinstance(callee.node, ast.Lambda):
        return annotated(callee.file, callee.node.returns, depth)
    return found


def _either(file: PythonFile, node: ast.AST, depth: int) -> Value | None:
    if isinstance(node, ast.IfExp):
        sides: list[ast.expr] = [node.body, node.orelse]
    else:
        assert isinstance(node, ast.BoolOp)
        sides = node.values
    values = [value_of(file, side, depth + 1) for side in sides]
    is_or = isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or)
    if is_or or (isinstance(node, ast.IfExp) and is_unless_given(node)):
        # `given or Lock()`: what is given stands for what is made in its place
        values = [v for v in values if v is not None]
    return common(values) or shared(values)


def _combined(file: PythonFile, node: ast.AST, depth: int) -> Value | None:
    """Return the list that `[0] * n` and `first + [last]` make."""
    assert isinstance(node, ast.BinOp)
    displays = (ast.List, ast.ListComp)
    if isinstance(node.op, ast.Mult):
        made = isinstance(node.left, displays) or isinstance(node.right, displays)
        return Value("list", file, node) if made else None
    if isinstance(node.op, ast.Add) and isinstance(node.right, displays):
        return Value("list", file, node)
    return None


def _awaited(file: PythonFile, node: ast.AST, depth: int) -> Value | None:
    from threadmend.python.functions import function_of

    assert isinstance(node, ast.Await)
    if not isinstance(node.value, ast.Call):
        return None
    callee = function_of(file, node.value.func)
    if callee is None or not callee.is_async:
        return None
    return agreed(value_of(callee.file, r.value, depth + 1) for r in callee.returns())


def _literal(kind: str) -> Callable[[PythonFile, ast.AST, int], Value | None]:
    return lambda file, node, depth: Value(kind, file, node)  # type: ignore[arg-type]


def _constant(file: PythonFile, node: ast.AST, depth: int) -> Value | None:
    assert isinstance(node, ast.Constant)
    return Value(type(node.value).__name__, file, node)


def _walrus(file: PythonFile, node: ast.AST, depth: int) -> Value | None:
    assert isinstance(node, ast.NamedExpr)
    return value_of(file, node.value, depth + 1)


_ROWS = frozenset({"list", "tuple", "collections.deque"})


def _subscript(file: PythonFile, node: ast.AST, depth: int) -> Value | None:
    """Return an element of a list or a mapping, or of `defaultdict(Lock)`."""
    assert isinstance(node, ast.Subscript)
    owner = value_of(file, node.value, depth + 1)
    is_row = not isinstance(node.slice, ast.Slice)
    if owner is not None and owner.type in (DICTS | _ROWS if is_row else DICTS):
        return _held(file, (node.value, owner.type in DICTS), depth)
    made = None if owner is None or owner.type != "collections.defaultdict" else owner.made
    if owner is not None and isinstance(made, ast.Call) and made.args:
        return _factory(owner.file, made.args[0], depth)
    return None


_MAKERS: dict[type[ast.AST], Callable[[PythonFile, ast.AST, int], Value | None]] = {
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Call: _call,
    ast.IfExp: _either,
    ast.BoolOp: _either,
    ast.BinOp: _combined,
    ast.Await: _awaited,
    ast.NamedExpr: _walrus,
    ast.Subscript: _subscript,
    ast.Constant: _constant,
    ast.Dict: _literal("dict"),
    ast.DictComp: _literal("dict"),
    ast.List: _literal("list"),
    ast.ListComp: _literal("list"),
    ast.Set: _literal("set"),
    ast.SetComp: _literal("set"),
    ast.Tuple: _literal("tuple"),
    ast.JoinedStr: _literal("str"),
    ast.GeneratorExp: _literal("generator"),
}
