"""PythonFile: one Python file as rules see it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from threadmend.python.scope import Binding, ancestors, parent, resolve, scope_of
from threadmend.python.syntax import FunctionNode, Tree
from threadmend.source import SourceFile

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.functions import Function
    from threadmend.python.held import Held
    from threadmend.python.locks import Lock, Section
    from threadmend.python.places import Place
    from threadmend.python.project import PythonProject
    from threadmend.python.threads import Spawn
    from threadmend.python.value import Value

__all__ = ["PythonFile", "Version", "is_test"]

Version = tuple[int, int]
N = TypeVar("N", bound=ast.AST)

_TEST = re.compile(r"(?:^|/)(?:tests?|testing)/|(?:^|/)(?:test_[^/]*|[^/]*_test|conftest)\.py$")


def is_test(path: str) -> bool:
    """Return whether a path is a test's, or that of what helps tests."""
    return _TEST.search(path) is not None


class PythonFile:
    """The syntax of one file together with what the project tells about its names."""

    def __init__(self, tree: Tree, project: PythonProject, module: str) -> None:
        self.tree = tree
        self.project = project
        self.module = module
        """The dotted name that others import it by."""
        self.path = tree.source.path
        self.data = tree.data

    def __repr__(self) -> str:
        return f"<PythonFile {self.path}>"

    @property
    def source(self) -> SourceFile:
        """Return the bytes and positions."""
        return self.tree.source

    @property
    def is_package(self) -> bool:
        """Return whether the file is an `__init__.py`."""
        return self.path.endswith("__init__.py")

    @cached_property
    def is_test(self) -> bool:
        """Return whether the file is a test, or helps tests."""
        return is_test(self.path)

    @property
    def python_version(self) -> Version:
        """Return the lowest Python that the project supports (`requires-python`)."""
        return self.project.python_version(self.path)

    # -- positions and text ---------------------------------------------------------------

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Return the bytes of a node, parentheses around it and decorators left out."""
        return self.tree.span(node)

    def text(self, node: ast.AST) -> str:
        """Return a node's source, as it is written, or may be where nobody knows its place."""
        if not self.tree.is_placed(node):
            return ast.unparse(node)
        start, end = self.span(node)
        return self.data[start:end].decode(self.tree.encoding)

    def encode(self, text: str) -> bytes:
        """Return text in the file's encoding; raises UnicodeEncodeError."""
        return text.encode(self.tree.encoding)

    # -- finding syntax -------------------------------------------------------------------

    def nodes(self, *types: type[N]) -> list[N]:
        """Return all nodes of these types, in source order."""
        return self.tree.nodes(*types)

    def calls(self, *names: str) -> list[ast.Call]:
        """Return the calls whose function's last name (`x.lock.acquire` → `acquire`) is one
        of these, or was before an import or a variable of the module renamed it (`from time
        import sleep as pause`); all calls without names.
        """
        if not names:
            return self.nodes(ast.Call)
        found = [call for name in names for call in self._calls.get(name, ())]
        return found if len(names) == 1 else sorted(found, key=_place)

    @property
    def call_names(self) -> Iterable[str]:
        """Return the last names of all called functions."""
        return self._calls.keys()

    @cached_property
    def _calls(self) -> dict[str, list[ast.Call]]:
        found: dict[str, list[ast.Call]] = {}
        for call in self.nodes(ast.Call):
            name = last_name(call.func)
            if name:
                found.setdefault(name, []).append(call)
                first = self._renamed.get(name) if isinstance(call.func, ast.Name) else None
                if first is not None:
                    found.setdefault(first, []).append(call)
        return found

    @cached_property
    def _renamed(self) -> dict[str, str]:
        """Return the last names of what imports and the module's variables give other names."""
        names = [alias for node in self.nodes(ast.Import) for alias in node.names]
        names += [alias for node in self.nodes(ast.ImportFrom) for alias in node.names]
        found = {a.asname: a.name.rpartition(".")[2] for a in names if a.asname}
        for node in self.tree.module.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        found[target.id] = node.value.attr
        return {name: first for name, first in found.items() if name != first}

    def parent(self, node: ast.AST) -> ast.AST | None:
        """Return the node that a node is a direct part of."""
        return parent(node)

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield what a node is in, from the inside."""
        return ancestors(node)

    def statement(self, node: ast.AST) -> ast.stmt:
        """Return the statement that a node is or is directly in."""
        at: ast.AST | None = node
        while at is not None and not isinstance(at, ast.stmt):
            at = parent(at)
        assert at is not None
        return at

    def function_node(self, node: ast.AST) -> FunctionNode | None:
        """Return the def or lambda whose body runs a node (not its defaults or decorators)."""
        scope = scope_of(node)
        while scope.kind == "comprehension" and scope.above is not None:
            scope = scope.above
        found = scope.node
        return found if isinstance(found, FunctionNode) else None

    # -- functions and classes ------------------------------------------------------------

    @cached_property
    def functions(self) -> list[Function]:
        """Return every def and lambda, in source order."""
        from threadmend.python.functions import functions_of

        return functions_of(self)

    @cached_property
    def classes(self) -> list[Class]:
        """Return every class, in source order."""
        from threadmend.python.classes import classes_of

        return classes_of(self)

    def methods_of(self, cls: Class) -> Sequence[Function]:
        """Return the functions of a class statement, in source order."""
        return self._by_class.get(cls, ())

    @cached_property
    def _by_class(self) -> dict[Class, list[Function]]:
        found: dict[Class, list[Function]] = {}
        for function in self.functions:
            if function.cls is not None:
                found.setdefault(function.cls, []).append(function)
        return found

    @cached_property
    def _by_node(self) -> dict[ast.AST, Function]:
        return {function.node: function for function in self.functions}

    @cached_property
    def _class_by_node(self) -> dict[ast.AST, Class]:
        return {found.node: found for found in self.classes}

    def function(self, node: ast.AST) -> Function | None:
        """Return the function that a def or lambda is, or that any other node is in."""
        if isinstance(node, FunctionNode):
            return self._by_node[node]
        inside = self.function_node(node)
        return None if inside is None else self._by_node[inside]

    def class_of(self, node: ast.ClassDef) -> Class:
        """Return the class that a class statement makes."""
        return self._class_by_node[node]

    # -- names ----------------------------------------------------------------------------

    def binding(self, node: ast.AST | None) -> Binding | None:
        """Return the variable that a name means; None for builtins and for no name."""
        return resolve(node) if isinstance(node, ast.Name) else None

    def uses(self, binding: Binding) -> list[ast.Name]:
        """Return every name in the file that means a variable, stores included, in order."""
        named = self.tree.names.get(binding.name, ())
        return sorted((n for n in named if resolve(n) is binding), key=_place)

    def qualified(self, node: ast.AST | None) -> str | None:
        """Return what an expression names, through imports: `threading.Lock`, `pkg.mod.f`.

        Builtins are `print`; aliases and re-exports inside the project are followed.
        """
        from threadmend.python.names import qualified

        return qualified(self, node)

    def value(self, node: ast.AST | None) -> Value | None:
        """Return what kind of object an expression is, by constructor; None if not certain."""
        from threadmend.python.values import value_of

        return value_of(self, node)

    def is_a(self, node: ast.AST | None, kinds: frozenset[str] | set[str] | str) -> bool:
        """Return whether an expression is certainly an object of one of these kinds.

        A subclass of the project counts: of a Thread, of an Executor.
        """
        value = self.value(node)
        return value is not None and value.is_a(kinds)

    def place(self, node: ast.AST | None) -> Place | None:
        """Return which variable, attribute or global an expression is, comparable anywhere."""
        from threadmend.python.places import place_of

        return place_of(self, node)

    # -- facts ----------------------------------------------------------------------------

    def lock(self, node: ast.AST | None) -> Lock | None:
        """Return the lock that an expression certainly is."""
        from threadmend.python.locks import lock_of

        return lock_of(self, node)

    @cached_property
    def sections(self) -> list[Section]:
        """Return the critical sections: `with lock:`, and acquire … release in one block."""
        from threadmend.python.locks import sections_of

        return sections_of(self)

    def held(self, node: ast.AST) -> Held:
        """Return what is held where a node runs, through callers that always hold."""
        from threadmend.python.held import held_at

        return held_at(self, node)

    @cached_property
    def spawns(self) -> list[Spawn]:
        """Return what starts another thread, process or task, or hands it a function."""
        from threadmend.python.threads import spawns_of

        return spawns_of(self)


def last_name(node: ast.AST) -> str | None:
    """Return `acquire` of `self.lock.acquire` and of `acquire`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _place(node: ast.expr) -> tuple[int, int]:
    return (node.lineno, node.col_offset)
