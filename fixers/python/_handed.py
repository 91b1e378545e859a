"""What parameters get: by spawns and calls of the project, and by what is asked of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from threadmend.python.arguments import argument
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile, is_test
from threadmend.python.functions import Function, attributes_of, function_of
from threadmend.python.names import bound
from threadmend.python.scope import Binding, parent
from threadmend.python.threads import Spawn
from threadmend.python.uses import is_self

from ._listeners import handed_to_method

_MAKES = re.compile(rb"\b_*[A-Z]\w*(?=\()")
_FEW = 20
"""What more files make than these is too common to ask them all."""

_METHOD = re.compile(rb"(?m)^[ \t]+(?:async[ \t]+)?def[ \t]+(\w+)\(")
_RARE = 3
"""A method that is defined in more files than these tells nothing."""
_MANY = 600

__all__ = ["argument_for", "asked_of", "handed", "is_given_a", "kept_functions", "makers"]


def argument_for(spawn: Spawn, name: str) -> ast.expr | None:
    """Return the argument that the target of a spawn gets for a parameter."""
    target = spawn.target
    if target is None or spawn.args is None or name not in target.parameters:
        return None
    at = target.parameters.index(name)
    if target.self_name is not None:
        at -= 1
    if not 0 <= at < (spawn.bound if spawn.kind == "map" else len(spawn.args)):
        return None
    return spawn.args[at]


def handed(file: PythonFile, function: Function, name: str) -> list[tuple[PythonFile, ast.expr]]:
    """Return what a parameter gets of spawns in its file, and, in an `__init__`, wherever the
    project makes such an object; for a maker of decorators, wherever one is used.
    """
    given = [argument_for(s, name) for s in file.spawns if s.target is function]
    found = [(file, one) for one in given if one is not None]
    at = function.parameters.index(name) if name in function.parameters else -1
    by_keyword = any(one.arg == name for one in function.node.args.kwonlyargs)
    if function.cls is None and function.outer is None and at >= 0:
        found += _decorating(function, name, at)
    if function.name != "__init__" or function.cls is None or not (at > 0 or by_keyword):
        return found
    for other in makers(function.cls):
        for call in other.calls(function.cls.name):
            if function_of(other, call.func) is function:
                if 0 < at <= len(call.args):
                    found.append((other, call.args[at - 1]))
                else:
                    found += [(other, k.value) for k in call.keywords if k.arg == name]
    return found


def _decorating(function: Function, name: str, at: int) -> Iterator[tuple[PythonFile, ast.expr]]:
    """Yield what a parameter gets where a function makes decorators: `@timed(watch)`."""
    if not any(inner.outer is function for inner in function.file.functions):
        return
    project = function.file.project
    paths = project.naming(function.file.encode(function.name))
    for path in paths if len(paths) <= _FEW else ():
        file = project.readable(path) if not is_test(path) else None
        for decorated in file.functions if file is not None else ():
            for made in getattr(decorated.node, "decorator_list", ()):
                if isinstance(made, ast.Call) and file is not None:
                    one = argument(made, at, name)
                    if one is not None and function_of(file, made.func) is function:
                        yield file, one


def is_given_a(file: PythonFile, node: ast.expr, kinds: frozenset[str], depth: int = 3) -> bool:
    """Return whether an expression is an object of one of these kinds, also an attribute that
    keeps what an object is made with, wherever the project makes one: with nothing else.
    """
    if file.is_a(node, kinds):
        return True
    if isinstance(node, ast.Attribute) and is_self(file, node.value):
        function = file.function(node)
        cls = None if function is None else function.home
        values = [] if cls is None else cls.values_of(node.attr)
        return bool(values) and all(is_given_a(f, v, kinds, depth) for f, v in values)
    binding = file.binding(node)
    maker = None if binding is None else file.function(binding.scope.node)
    if binding is None or maker is None or maker.name != "__init__" or not depth:
        return False
    if [site.kind for site in binding.sites] != ["parameter"]:
        return False
    given = handed(file, maker, binding.name)
    return bool(given) and all(is_given_a(f, v, kinds, depth - 1) for f, v in given)


def makers(cls: Class) -> list[PythonFile]:
    """Return the files that may make objects of a class, its own first."""
    project = cls.file.project
    known: dict[bytes, list[str]] | None = project.__dict__.get("_makers")
    if known is None:
        known = project.__dict__["_makers"] = {}
        for path in project.paths:
            for word in set(_MAKES.findall(project.source(path).data)):
                known.setdefault(word, []).append(path)
    paths = [p for p in known.get(cls.file.encode(cls.name), ()) if p != cls.file.path]
    few = [p for p in paths if not is_test(p)] if len(paths) <= _FEW else []
    return [cls.file, *(f for p in few if (f := project.readable(p)) is not None)]


def kept_functions(file: PythonFile, func: ast.Attribute) -> Iterator[Function]:
    """Yield the functions that an attribute keeps for its object: `self.emit(line)`, where
    `self.emit = emit` is a parameter, and whoever makes the object hands one in, or calls the
    method that sets it, or sets it from outside: `fleet.on_dropped = self.requeue`.
    """
    function = file.function(func)
    cls = None if function is None or not is_self(file, func.value) else function.home
    if cls is None or cls.method(func.attr) is not None:
        return
    yield from _made_with(cls, func.attr)
    yield from _set_by_others(cls, func.attr)
    for other, value in cls.values_of(func.attr):
        binding = other.binding(value)
        if binding is None or len(binding.sites) != 1 or binding.sites[0].kind != "parameter":
            continue
        maker = other.function(binding.scope.node)
        if maker is not None and maker.name == "__init__":
            for where, given in handed(other, maker, binding.name):
                callback = function_of(where, given)
                if callback is not None:
                    yield callback
        elif maker is not None and maker.cls is not None and binding.name in maker.parameters[1:]:
            yield from handed_to_method(maker, binding.name)


def _set_by_others(cls: Class, name: str) -> list[Function]:
    """Return the functions that code of the project sets an attribute of an object to."""
    from ._given import given

    known: dict[tuple[Class, str], list[Function]]
    known = cls.file.__dict__.setdefault("_set_by_others", {})
    if (cls, name) in known:
        return known[cls, name]
    found: dict[Function, None] = {}
    project = cls.file.project
    paths = [path for path in project.naming(cls.file.encode(name)) if not is_test(path)]
    for path in paths if len(paths) <= _FEW else ():
        file = project.readable(path)
        for node in attributes_of(file).get(name, ()) if file is not None else ():
            above = parent(node)
            if file is None or not isinstance(above, ast.Assign) or node not in above.targets:
                continue
            callback = None if is_self(file, node.value) else function_of(file, above.value)
            owner = None if callback is None else given(file, node.value)
            if callback is not None and owner is not None and cls in owner.mro:
                found[callback] = None
    known[cls, name] = list(found)
    return known[cls, name]


def _made_with(cls: Class, name: str) -> Iterator[Function]:
    """Yield the closures that a function makes and an attribute keeps: `self.add = make_adder()`,
    also one of several, `self.add, self.total = make_sum()`.
    """
    for use in cls.uses_of(name):
        file, above = use.function.file, parent(use.node)
        at = None
        if isinstance(above, ast.Tuple):
            at, above = above.elts.index(use.node), parent(above)
        call = above.value if isinstance(above, ast.Assign) else None
        maker = function_of(file, call.func) if isinstance(call, ast.Call) else None
        returns = [] if maker is None else maker.returns()
        if use.mode != "write" or maker is None or len(returns) != 1:
            continue
        made = returns[0].value
        if at is not None:
            made = made.elts[at] if isinstance(made, ast.Tuple) and at < len(made.elts) else None
        closure = None if made is None else function_of(maker.file, made)
        if closure is not None and closure.outer is maker:
            yield closure


# -- what is asked of a parameter -----------------------------------------------------------


def asked_of(file: PythonFile, binding: Binding) -> Class | None:
    """Return the class that a parameter is for which nobody in the project hands in what it is
    known to be: the only one of the file, or of those that it imports or could import from where
    it does, that has its name, and all that is asked of it; else that of the whole project.
    """
    if binding.sites[0].annotation is not None:
        return None
    asked = set(_asked(file, binding))
    found = [cls for cls in _named(file, binding.name) if all(_has(cls, name) for name in asked)]
    if asked and not found:
        return _only_one(file, binding.name, asked)
    return found[0] if asked and len(found) == 1 else None


def _only_one(file: PythonFile, name: str, asked: set[str]) -> Class | None:
    """Return the only class of the project that has the methods asked of a variable, when that is
    called after it: `self._source.checkout()` of a ChannelSource.
    """
    word, project = _word(name), file.project
    if len(word) < 3:
        return None
    known: dict[bytes, list[str]] | None = project.__dict__.get("_methods_by_name")
    if known is None:
        known = project.__dict__["_methods_by_name"] = {}
        for path in project.paths if len(project.paths) <= _MANY else ():
            for method in set(_METHOD.findall(project.source(path).data)):
                known.setdefault(method, []).append(path)
    paths = [[p for p in known.get(file.encode(one), ()) if not is_test(p)] for one in asked]
    if not all(paths):
        return None
    rare = sorted({path for some in paths if len(some) <= _RARE for path in some})
    files = [other for path in rare if (other := project.readable(path)) is not None]
    found = [cls for f in files for cls in f.classes if all(_has(cls, one) for one in asked)]
    if len(found) != 1 or found[0].is_open or "." in found[0].qualname:
        return None
    called = found[0].name.lower()
    return found[0] if called == word or (len(word) > 3 and called.endswith(word)) else None


def _asked(file: PythonFile, binding: Binding) -> Iterator[str]:
    """Yield the attributes of a parameter that are used, and of the attribute that keeps it."""
    for use in file.uses(binding):
        above = file.parent(use)
        if isinstance(above, ast.Attribute):
            yield above.attr
        elif isinstance(above, ast.Assign) and isinstance(above.targets[0], ast.Attribute):
            kept = above.targets[0]
            function = file.function(kept)
            home = None if function is None else function.home
            for one in home.uses_of(kept.attr) if home is not None else ():
                top = one.function.file.parent(one.node)
                if isinstance(top, ast.Attribute):
                    yield top.attr


def _word(name: str) -> str:
    """Return a variable's name as a class that it is called after would end."""
    return name.strip("_").replace("_", "").lower()


def _named(file: PythonFile, name: str) -> list[Class]:
    """Return the classes that a variable is called after: those that the file makes or imports, and
    others of the modules that it imports classes from.
    """
    found: dict[Class, None] = {}
    word = _word(name)
    for other in file.tree.scopes[0].bindings.values():
        if len(word) < 3 or not other.name.lower().endswith(word) or other.name.islower():
            continue
        qualified = bound(file, other)
        cls = None if qualified is None else file.project.class_named(qualified)
        if cls is not None and not cls.is_open:
            found[cls] = None
    for cls in _beside(file) if len(word) > 3 else ():
        if cls.name.lower().endswith(word) and not cls.is_open:
            found[cls] = None
    return list(found)


def _beside(file: PythonFile) -> list[Class]:
    """Return the classes of the modules that a file imports classes from."""
    known: list[Class] | None = file.__dict__.get("_classes_beside")
    if known is None:
        names = [
            bound(file, one)
            for one in file.tree.scopes[0].bindings.values()
            if not one.name.islower() and one.sites[0].kind == "import"
        ]
        found = [cls for cls in map(file.project.class_named, filter(None, names)) if cls]
        others = dict.fromkeys(cls.file for cls in found if cls.file is not file)
        known = file.__dict__["_classes_beside"] = [
            cls for other in others for cls in other.classes if "." not in cls.qualname
        ]
    return known


def _has(cls: Class, name: str) -> bool:
    return (
        cls.method(name) is not None
        or bool(cls.values_of(name))
        or any(name in one.scope.bindings for one in cls.mro)
    )
