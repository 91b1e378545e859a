"""Function: a def or lambda, who calls it, and what it calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from threadmend.python.children import children
from threadmend.python.flow import enclosing
from threadmend.python.scope import Scope, parent, scope_of
from threadmend.python.syntax import FunctionNode

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.file import PythonFile

__all__ = [
    "CallSite",
    "Function",
    "attributes_of",
    "bound_by_partial",
    "function_of",
    "functions_of",
    "is_called",
    "without_partial",
]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class CallSite(NamedTuple):
    """A call in the body of a function (`caller` None: of a module or class)."""

    call: ast.Call
    caller: Function | None
    file: PythonFile

    @property
    def starts_later(self) -> bool:
        """Return whether the caller starts its object's thread after the call, and does not come
        back to it: `self._draw()`, then `self._ticker = Thread(…)`. One of many threads, which
        nobody keeps, may not be the first.
        """
        if self.caller is None or any(True for _ in enclosing(self.call, ast.For, ast.While)):
            return False
        for spawn in self.file.spawns:
            kept = parent(spawn.node)
            if spawn.kind != "thread" or self.file.function(spawn.node) is not self.caller:
                continue
            if isinstance(kept, ast.Assign) and isinstance(kept.targets[0], ast.Attribute):
                if kept.lineno > self.call.lineno:
                    return True
        return False


class Function:
    """One def or lambda of a file."""

    def __init__(self, node: FunctionNode, file: PythonFile) -> None:
        self.node = node
        self.file = file

    def __repr__(self) -> str:
        return f"<Function {self.qualified}>"

    @property
    def name(self) -> str:
        """Return the name, `<lambda>` for a lambda."""
        return getattr(self.node, "name", "<lambda>")

    @property
    def scope(self) -> Scope:
        """Return the scope of the body."""
        found: Scope = self.node.inner_  # type: ignore[union-attr]
        return found

    @cached_property
    def qualname(self) -> str:
        """Return the name inside the module: `Class.method`, `f.<locals>.g`."""
        parts = [self.name]
        scope: Scope | None = scope_of(self.node)
        while scope is not None and scope.kind != "module":
            if scope.kind == "class":
                parts.append(scope.node.name)  # type: ignore[attr-defined]
            elif scope.kind != "comprehension":
                parts.append(f"{getattr(scope.node, 'name', '<lambda>')}.<locals>")
            scope = scope.above
        return ".".join(reversed(parts))

    @property
    def qualified(self) -> str:
        """Return module and name: `pkg.mod.Class.method`."""
        return f"{self.file.module}.{self.qualname}"

    @property
    def body(self) -> list[ast.stmt]:
        """Return the statements, none for a lambda."""
        return [] if isinstance(self.node, ast.Lambda) else self.node.body

    @property
    def is_async(self) -> bool:
        """Return whether it is an `async def`."""
        return isinstance(self.node, ast.AsyncFunctionDef)

    @cached_property
    def is_generator(self) -> bool:
        """Return whether the body yields."""
        return any(isinstance(n, ast.Yield | ast.YieldFrom) for n in self.own)

    @cached_property
    def own(self) -> list[ast.AST]:
        """Return the nodes that run when the function runs: nested functions left out."""
        body = self.node.body
        return list(_within(body if isinstance(body, list) else [body]))

    @cached_property
    def outer(self) -> Function | None:
        """Return the function that this one is defined in."""
        scope: Scope | None = scope_of(self.node)
        while scope is not None:
            if scope.kind in {"function", "lambda"}:
                return self.file.function(scope.node)
            scope = scope.above
        return None

    @cached_property
    def cls(self) -> Class | None:
        """Return the class that this is a method of (not one that it is nested in)."""
        above = parent(self.node)
        while isinstance(above, ast.If | ast.Try):
            above = parent(above)
        return self.file.class_of(above) if isinstance(above, ast.ClassDef) else None

    @cached_property
    def home(self) -> Class | None:
        """Return the class whose `self` the body can name: also for nested functions."""
        if self.cls is not None:
            return self.cls
        return None if self.outer is None else self.outer.home

    @cached_property
    def decorators(self) -> list[str]:
        """Return the qualified names of the decorators, `""` for what has none."""
        found = []
        for decorator in getattr(self.node, "decorator_list", []):
            target = decorator.func if isinstance(decorator, ast.Call) else decorator
            found.append(self.file.qualified(target) or self.file.text(target))
        return found

    @cached_property
    def is_static(self) -> bool:
        """Return whether this is a staticmethod."""
        return "staticmethod" in self.decorators

    @cached_property
    def self_name(self) -> str | None:
        """Return the name of the first parameter of a method (`self`, `cls`)."""
        if self.cls is None or self.is_static:
            return None
        return self.parameters[0] if self.parameters else None

    @cached_property
    def is_classmethod(self) -> bool:
        """Return whether the first parameter is the class."""
        return "classmethod" in self.decorators or self.name in {"__new__", "__init_subclass__"}

    @property
    def parameters(self) -> list[str]:
        """Return the names of the positional parameters."""
        return [a.arg for a in (*self.node.args.posonlyargs, *self.node.args.args)]

    @property
    def is_private(self) -> bool:
        """Return whether the name says that nobody outside should call it."""
        return self.name.startswith("_") and not self.name.endswith("__")

    def returns(self) -> list[ast.Return]:
        """Return the return statements of the body."""
        return [node for node in self.own if isinstance(node, ast.Return)]

    @cached_property
    def calls(self) -> list[ast.Call]:
        """Return the calls that the body makes."""
        return [node for node in self.own if isinstance(node, ast.Call)]

    @cached_property
    def callees(self) -> dict[ast.Call, Function]:
        """Return the functions of the project that the calls of the body certainly run."""
        found = {}
        for call in self.calls:
            callee = function_of(self.file, call.func)
            if callee is not None:
                found[call] = callee
        return found

    @cached_property
    def callers(self) -> list[CallSite]:
        """Return the calls of this function in its own file."""
        return [site for site in _call_sites(self.file).get(self.name, ()) if self._runs(site)]

    def _runs(self, site: CallSite) -> bool:
        return function_of(self.file, site.call.func) is self

    @cached_property
    def is_only_called(self) -> bool:
        """Return whether every mention of the function in its file is a call of it."""
        for node in self.file.tree.names.get(self.name, ()):
            if isinstance(node.ctx, ast.Load) and not is_called(node):
                if function_of(self.file, node) is self:
                    return False
        return all(map(is_called, attributes_of(self.file).get(self.name, ())))


def is_called(node: ast.expr) -> bool:
    """Return whether an expression is what a call calls."""
    above = parent(node)
    return isinstance(above, ast.Call) and above.func is node


def attributes_of(file: PythonFile) -> dict[str, list[ast.Attribute]]:
    """Return every attribute expression of a file by the attribute's name."""
    found: dict[str, list[ast.Attribute]] | None = file.__dict__.get("_attribute_index")
    if found is None:
        found = file.__dict__["_attribute_index"] = {}
        for node in file.nodes(ast.Attribute):
            found.setdefault(node.attr, []).append(node)
    return found


def _call_sites(file: PythonFile) -> dict[str, list[CallSite]]:
    found: dict[str, list[CallSite]] | None = file.__dict__.get("_call_site_index")
    if found is None:
        found = file.__dict__["_call_site_index"] = {}
        for call in file.nodes(ast.Call):
            func = call.func
            name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
            if name:
                found.setdefault(name, []).append(CallSite(call, file.function(call), file))
    return found


def functions_of(file: PythonFile) -> list[Function]:
    """Return every def and lambda of a file."""
    return [Function(node, file) for node in file.nodes(*_FUNCTIONS)]  # type: ignore[arg-type]


def _within(body: list[ast.stmt] | list[ast.expr]) -> Iterator[ast.AST]:
    """Yield the nodes of a body in source order, nested functions' bodies left out.

    The nested `def` itself is yielded, with its decorators and defaults.
    """
    stack: list[ast.AST] = list(reversed(body))
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, _FUNCTIONS):
            inner = [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
            inner += getattr(node, "decorator_list", [])
            stack.extend(reversed(inner))
        else:
            stack.extend(reversed(children(node)))


def function_of(file: PythonFile, node: ast.AST | None) -> Function | None:
    """Return the function of the project that an expression certainly is.

    A name, `self.method`, `Class.method`, `module.function`, a lambda, a variable with one
    candidate, `functools.partial(f, …)`; for a class its `__init__`.
    """
    if isinstance(node, ast.Lambda):
        return file.function(node)
    if isinstance(node, ast.Call) and file.qualified(node.func) == "functools.partial":
        return function_of(file, node.args[0]) if node.args else None
    if isinstance(node, ast.Attribute):
        cls = _receiver(file, node.value)
        if cls is not None:
            if node.attr in cls.replaced:
                return None
            return cls.method(node.attr) or _in_other_half(file, cls, node)
    binding = file.binding(node)
    if binding is not None and len(binding.sites) == 1:
        site = binding.sites[0]
        if isinstance(site.node, _FUNCTIONS):
            return file.function(site.node)
        if site.kind == "assign" and site.value is not None and site.value is not node:
            return _assigned(file, site.value)
    if not isinstance(node, ast.Name | ast.Attribute):
        return None
    name = file.qualified(node)
    if name is None or "." not in name:
        return None
    found = file.project.function_named(name)
    if found is None:
        named = file.project.class_named(name)
        found = None if named is None else named.method("__init__")
    return found


def bound_by_partial(file: PythonFile, node: ast.AST | None) -> tuple[ast.expr, ...]:
    """Return the arguments that `functools.partial(f, …)`, or the variable that is one, gives."""
    made = _partial(file, node)
    return () if made is None else tuple(made.args[1:])


def without_partial(file: PythonFile, node: ast.expr | None) -> ast.expr | None:
    """Return `f` of `functools.partial(f, …)`, or of the variable that is one; what is none as it
    is.
    """
    made = _partial(file, node)
    return made.args[0] if made is not None and made.args else node


def _partial(file: PythonFile, node: ast.AST | None) -> ast.Call | None:
    binding = file.binding(node)
    if binding is not None and [site.kind for site in binding.sites] == ["assign"]:
        node = binding.sites[0].value
    if not isinstance(node, ast.Call) or file.qualified(node.func) != "functools.partial":
        return None
    return node


def _in_other_half(file: PythonFile, cls: Class, node: ast.Attribute) -> Function | None:
    """Return the method that a mixin calls of the class that it is for."""
    from threadmend.python.uses import is_self

    other = cls.completed(node.attr) if is_self(file, node.value) else None
    return None if other is None else other.method(node.attr)


def _assigned(file: PythonFile, value: ast.expr) -> Function | None:
    """Return the function that a variable's only value is, without going round in circles."""
    if isinstance(value, ast.Lambda | ast.Attribute):
        return function_of(file, value)
    binding = file.binding(value)
    if binding is not None and [site.kind for site in binding.sites] == ["def"]:
        return file.function(binding.sites[0].node)
    if isinstance(value, ast.Call) and file.qualified(value.func) == "functools.partial":
        return function_of(file, value)
    return None


def _receiver(file: PythonFile, node: ast.expr) -> Class | None:
    """Return the class whose methods an expression's attributes are."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super":
        function = file.function(node)
        home = None if function is None else function.home
        return home.bases[0] if home is not None and home.bases else None
    value = file.value(node)
    return None if value is None else value.cls
