"""Uses: what methods do to the attributes of their object, also by another name of these."""

from __future__ import annotations

import ast
from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from threadmend.python.api import MUTATORS
from threadmend.python.scope import parent

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function
    from threadmend.python.scope import Binding

__all__ = [
    "AttributeUse",
    "assigned_value",
    "is_made_by_new",
    "is_self",
    "owner_of",
    "place_in_source",
    "renamed",
    "use_mode",
    "uses_by_class",
]


_OF_COLLECTIONS = frozenset(
    name
    for kind in (dict, list, set, bytearray, deque, OrderedDict, defaultdict)
    for name in dir(kind)
)
"""Methods of Python's own collections."""

_GIVEN = {
    "add": (1, 1), "append": (1, 1), "appendleft": (1, 1), "clear": (0, 0), "discard": (1, 1),
    "extend": (1, 1), "extendleft": (1, 1), "insert": (2, 2), "move_to_end": (1, 2),
    "pop": (0, 2), "popitem": (0, 1), "popleft": (0, 0), "remove": (1, 1), "reverse": (0, 0),
    "rotate": (0, 1), "setdefault": (1, 2), "sort": (0, 0),
}  # fmt: skip
"""How few and how many arguments these methods take by position."""


@dataclass(frozen=True, slots=True, eq=False)
class AttributeUse:
    """A use of `self.name` in the body of a method or of a function nested in one.

    A local variable that is the attribute's other name for good (`jobs = self.jobs`) is used in its
    place: then `node` is that name, and `source` the attribute that it is set to.
    `mode` is `read`, `write` (`=`), `augment` (`+=`), `mutate` (`.append()`, `[k] = v`,
    `del x[k]`, `[k] += 1`), `delete`, `call` (`self.name()`).
    """

    name: str
    mode: str
    node: ast.Attribute | ast.Name
    function: Function
    source: ast.Attribute | None = None

    @property
    def owner(self) -> ast.expr:
        """Return the object that the attribute is of: `self`."""
        node = self.source or self.node
        assert isinstance(node, ast.Attribute)
        return node.value

    @property
    def changes(self) -> bool:
        """Return whether the attribute or what it holds is another afterwards."""
        return self.mode in {"write", "augment", "mutate", "delete"}


def uses_by_class(file: PythonFile) -> dict[Class, list[AttributeUse]]:
    """Return the uses of the first parameters of methods, by class."""
    known: dict[Class, list[AttributeUse]] | None = file.__dict__.get("_self_uses")
    if known is not None:
        return known
    found: dict[Class, list[AttributeUse]] = {}
    selves = {f.self_name for f in file.functions if f.cls is not None and f.self_name}
    for name in selves | _other_names(file, selves):
        for node in file.tree.names.get(name, ()):
            above = parent(node)
            if isinstance(above, ast.Attribute) and is_self(file, node):
                function = file.function(node)
                if function is not None and function.home is _owner(file, node):
                    if function.name == "__new__":
                        above = _of_new_object(file, function, above)
                    use = AttributeUse(above.attr, use_mode(above), above, function)
                    if function.home is not None:
                        found.setdefault(function.home, []).append(use)
    for cls, uses in found.items():
        uses.sort(key=place_in_source)
        found[cls] = _without_services(uses)
    file.__dict__["_self_uses"] = found
    return found


def _without_services(uses: list[AttributeUse]) -> list[AttributeUse]:
    """Return the uses, with those of what a caller gives and no collection of Python's is, by the
    methods that are called, as reads: `self.client.remove(path)` takes nothing out of a list.
    """
    mutated = {use.name for use in uses if use.mode == "mutate" and _method(use)}
    given = {use.name for use in uses if use.mode == "write" and _is_given(use)}
    services = {
        use.name
        for use in uses
        if use.name in mutated & given and _method(use) not in _OF_COLLECTIONS | {None}
    }
    services -= {use.name for use in uses if use.mode == "write" and not _is_given(use)}
    if not services:
        return uses
    return [
        replace(use, mode="read")
        if use.name in services and use.mode == "mutate" and _method(use)
        else use
        for use in uses
    ]


def _method(use: AttributeUse) -> str | None:
    """Return the name of the method of the attribute's value that a use calls."""
    above = parent(use.node)
    if not isinstance(above, ast.Attribute):
        return None
    call = parent(above)
    return above.attr if isinstance(call, ast.Call) and call.func is above else None


def _is_given(use: AttributeUse) -> bool:
    """Return whether a use sets the attribute to a parameter of its method."""
    value = assigned_value(use.node)
    return isinstance(value, ast.Name) and value.id in use.function.parameters[1:]


def renamed(cls: Class, use: AttributeUse) -> list[AttributeUse]:
    """Return the uses of the local variable that an attribute's value gets as another name, at
    the top of a function: one that is set under a lock is read behind it as a copy would be.
    """
    above, file = parent(use.node), cls.file
    target = above.targets[0] if isinstance(above, ast.Assign) else None
    if not isinstance(target, ast.Name) or above.value is not use.node:  # type: ignore[union-attr]
        return []
    binding = file.binding(target)
    if binding is None or len(binding.sites) != 1 or binding.scope.node is not parent(above):  # type: ignore[arg-type]
        return []
    if not cls.is_lasting(use.name):
        return []
    assert isinstance(use.node, ast.Attribute)
    found = []
    for node in file.uses(binding):
        function = file.function(node)
        if function is None or function.home is not cls:
            return []
        if node is not target:
            found.append(AttributeUse(use.name, use_mode(node), node, function, use.node))
    return found


def _owner(file: PythonFile, node: ast.Name) -> Class | None:
    """Return the class of the method that a name of its first parameter is bound in."""
    binding = file.binding(node)
    method = None if binding is None else file.function(binding.scope.node)
    return None if method is None else method.home


def _other_names(file: PythonFile, selves: set[str]) -> set[str]:
    """Return the variables that are set to the first parameter of a method."""
    found: set[str] = set()
    for node in (node for name in selves for node in file.tree.names.get(name, ())):
        above = parent(node)
        if isinstance(above, ast.Assign) and above.value is node:
            found |= {target.id for target in above.targets if isinstance(target, ast.Name)}
    for call in file.calls("__new__") if b"def __new__" in file.data else ():
        above = parent(call)
        if isinstance(above, ast.Assign):
            found |= {target.id for target in above.targets if isinstance(target, ast.Name)}
    return found - selves


def place_in_source(use: AttributeUse) -> tuple[int, int]:
    """Return what orders uses as they stand in the file."""
    # the end tells `self.a.b()` and what follows in a chain apart, as the start does not
    return (use.node.end_lineno or 0, use.node.end_col_offset or 0)


def is_self(file: PythonFile, node: ast.AST) -> bool:
    """Return whether a name is the first parameter of the method that it is in, or another name
    of that: `me = self`; or the object that `__new__` makes.
    """
    binding = file.binding(node)
    if binding is None:
        return False
    site = binding.sites[0]
    if site.kind == "assign" and binding.scope.kind == "function" and is_made_by_new(file, binding):
        return True
    if len(binding.sites) != 1:
        return False
    if site.kind == "assign" and isinstance(site.value, ast.Name) and site.value is not node:
        return site.value.id != binding.name and _is_first(file, file.binding(site.value))
    return _is_first(file, binding)


def _of_new_object(file: PythonFile, function: Function, node: ast.Attribute) -> ast.Attribute:
    """Return `cls._only.x` of `cls._only`, which is the object that `__new__` makes."""
    above = parent(node)
    if not isinstance(above, ast.Attribute):
        return node
    text = ast.dump(node)
    for call in function.calls:
        kept = parent(call)
        if isinstance(kept, ast.Assign) and _is_new(file, call, function):
            if any(
                text == ast.dump(target).replace("Store()", "Load()") for target in kept.targets
            ):
                return above
    return node


def is_made_by_new(file: PythonFile, binding: Binding) -> bool:
    """Return whether a variable of `__new__` is the object that it makes, `super().__new__(cls)`,
    or one that the class keeps: `cls._known.get(key)`.
    """
    if getattr(binding.scope.node, "name", "") != "__new__":
        return False
    function = file.function(binding.scope.node)
    if function is None or function.cls is None:
        return False
    values = [site.value for site in binding.sites]
    made = [value for value in values if _is_new(file, value, function)]
    return bool(made) and all(
        value in made or _root(value) == function.self_name for value in values
    )


def _is_new(file: PythonFile, value: ast.expr | None, function: Function) -> bool:
    """Return whether a call is `super().__new__(cls)` or `object.__new__(cls)`."""
    func = value.func if isinstance(value, ast.Call) else None
    if not isinstance(func, ast.Attribute) or func.attr != "__new__":
        return False
    assert isinstance(value, ast.Call)
    given = value.args[0] if value.args else None
    return isinstance(given, ast.Name) and given.id == function.self_name


def _root(node: ast.expr | None) -> str:
    """Return the name that `cls.known.get(key)` begins with."""
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _is_first(file: PythonFile, binding: Binding | None) -> bool:
    if binding is None or len(binding.sites) != 1 or binding.sites[0].kind != "parameter":
        return False
    owner = binding.scope.node
    if not isinstance(owner, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    function = file.function(owner)
    return function is not None and function.self_name == binding.name


def owner_of(file: PythonFile, node: ast.expr) -> ast.expr | None:
    """Return the object whose attribute an expression is, also by another name of it, or whose
    method is called.
    """
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.value
    if isinstance(node, ast.Attribute):
        return node.value
    binding = file.binding(node)
    if binding is None or [site.kind for site in binding.sites] != ["assign"]:
        return None
    source = binding.sites[0].value
    return source.value if isinstance(source, ast.Attribute) else None


def use_mode(node: ast.expr) -> str:
    """Return what a statement does to a variable or attribute: see AttributeUse."""
    context = getattr(node, "ctx", None)
    above = parent(node)
    if isinstance(context, ast.Store):
        return "augment" if isinstance(above, ast.AugAssign) else "write"
    if isinstance(context, ast.Del):
        return "delete"
    if isinstance(above, ast.Call) and above.func is node:
        return "call"
    if isinstance(above, ast.Subscript) and above.value is node:
        outer = parent(above)
        while isinstance(outer, ast.Subscript) and outer.value is above:
            above, outer = outer, parent(outer)
        if not isinstance(above.ctx, ast.Load):
            return "mutate"
        above = outer  # `x[k].append(v)`
    if isinstance(above, ast.Attribute) and above.attr in MUTATORS:
        top = parent(above)
        if isinstance(top, ast.Call) and top.func is above and _fits(top, above.attr):
            return "mutate"
    return "read"


def _fits(call: ast.Call, name: str) -> bool:
    """Return whether a method of Python's collections takes as many arguments as a call gives:
    `self.registry.add(port, module)` is a method of something else, which may have its own lock.
    """
    if any(isinstance(given, ast.Starred) for given in call.args):
        return True
    fewest, most = _GIVEN.get(name, (0, len(call.args)))
    return fewest <= len(call.args) + len(call.keywords) and len(call.args) <= most


def assigned_value(node: ast.expr) -> ast.expr | None:
    """Return the value that an assignment gives to one of its targets."""
    above = parent(node)
    if isinstance(above, ast.Assign | ast.AnnAssign):
        return above.value
    if isinstance(above, ast.Tuple):
        top = parent(above)
        if isinstance(top, ast.Assign) and isinstance(top.value, ast.Tuple):
            if len(top.value.elts) == len(above.elts):
                return top.value.elts[above.elts.index(node)]
    return None
