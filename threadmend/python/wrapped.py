"""Functions that helpers of the project run elsewhere for whoever calls them: `start(work, 1)`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.python.arguments import argument
from threadmend.python.calling import run_by
from threadmend.python.elements import elements_of
from threadmend.python.flow import target_of
from threadmend.python.functions import CallSite, attributes_of, function_of
from threadmend.python.runners import runners_of
from threadmend.python.scope import Scope, ancestors, parent

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function
    from threadmend.python.project import PythonProject
    from threadmend.python.threads import Spawn

__all__ = ["Handed", "alternatives", "handed_to", "helped", "offers"]

_MANY = 60
"""Files of a project: of a larger one each process would read most for a few helpers."""

_KINDS = frozenset({"thread", "timer", "submit", "map", "executor", "to_thread", "pool"})
_WAITS = frozenset({"join", "result", "wait"})


@dataclass(frozen=True, slots=True)
class Handed:
    """A function that runs in a thread which somebody else makes for it.

    `call` is where that happens: the call of a helper, or the spawn of an element of a list.
    Of `args` those that the helper has from elsewhere (an element of a list) stand as None.
    `repeated` says whether it happens several times, None when its place tells.
    """

    call: ast.Call
    node: ast.expr
    args: tuple[ast.expr, ...] | None
    spawn: Spawn
    repeated: bool | None = None
    target: Function | None = None
    is_object: bool = False
    """Whether the call makes an object of a thread class, which runs it."""

    @property
    def is_of_target(self) -> bool:
        """Return whether the target of a thread runs it."""
        is_thread = self.spawn.kind == "thread" and self.spawn.target is not None
        return is_thread and self.call is self.spawn.node

    @property
    def is_made(self) -> bool:
        """Return whether a helper makes the thread and returns it."""
        helper = self.spawn.file.function(self.spawn.node)
        returned = [] if helper is None else helper.returns()
        if self.spawn.kind != "thread" or self.call is self.spawn.node or len(returned) != 1:
            return False
        return any(parent(node) is returned[0] for node in self._named)

    @property
    def is_begun(self) -> bool:
        """Return whether a helper makes the thread, starts it and returns it."""
        return self.is_made and any(
            getattr(parent(node), "attr", "") == "start" for node in self._named
        )

    @property
    def _named(self) -> list[ast.expr]:
        """Return the nodes that are the thread in the helper."""
        file, made = self.spawn.file, self.spawn.node
        binding = file.binding(target_of(parent(made)))
        assert isinstance(made, ast.expr)
        return [made] if binding is None else [*file.uses(binding)]


@dataclass(frozen=True, slots=True)
class Offer:
    """A helper that runs a parameter in a thread, or with `many` the elements of a parameter."""

    helper: Function
    name: str
    many: bool
    args: tuple[ast.expr, ...] | ast.expr | None
    spawn: Spawn
    cls: Class | None = None
    """The class that keeps the parameter of its `__init__`, and whose thread runs it."""
    hook: str = ""
    """In its place the attribute that is set later: `fetcher.on_page = stats.page_done`."""

    @property
    def called(self) -> str:
        """Return the name by which it is called."""
        return self.helper.name if self.cls is None else self.cls.name


def handed_to(file: PythonFile, spawns: list[Spawn]) -> Iterator[Handed]:
    """Yield the functions that calls hand to helpers which run a parameter of theirs in another
    thread (as the target, or in a nested function that is the target), that a decorator runs
    there, and those of a list whose elements are started.
    """
    for spawn in spawns:
        yield from _through_target(file, spawn)
        if spawn.kind in _KINDS:
            for node, _ in _run(file, spawn):
                if _parameter(file, node)[0] is None:
                    yield from _elements(file, spawn, node)
            yield from _chosen(file, spawn)
    for offer in (*offers(file, spawns), *_foreign(file)):
        for call in file.calls(offer.called):
            if function_of(file, call.func) is offer.helper:
                if offer.hook:
                    yield from _hooked(file, offer, call)
                else:
                    yield from _taken(offer, CallSite(call, file.function(call), file))
        if not offer.many and offer.cls is None:
            yield from _decorated(file, offer)


def _through_target(file: PythonFile, spawn: Spawn) -> Iterator[Handed]:
    """Yield what the target of a spawn calls of its arguments: `args=(fetch, url)`."""
    target = spawn.target
    if target is None or not spawn.args or not isinstance(spawn.node, ast.Call):
        return
    if spawn.kind in _KINDS - {"map", "pool"}:
        for node, args in run_by(target, spawn.args, bound=target.self_name is not None):
            if function_of(file, node) is not None:
                yield Handed(spawn.node, node, args, spawn)


def offers(file: PythonFile, spawns: list[Spawn]) -> list[Offer]:
    """Return the helpers of a file, by its spawns."""
    found = []
    for spawn in spawns:
        for node, args in _run(file, spawn) if spawn.kind in _KINDS else ():
            helper, name, many = _parameter(file, node)
            if helper is not None and (spawn.many or not _waits(helper)):
                found.append(Offer(helper, name, many, args, spawn))
        kept = runners_of(spawn)
        found += [Offer(r.init, r.name, False, r.args, spawn, r.cls, r.hook) for r in kept]
    return found


def _foreign(file: PythonFile) -> list[Offer]:
    """Return the helpers of other files that a file names."""
    return [
        offer
        for name, some in _known(file.project).items()
        if file.encode(name) in file.data
        for offer in some
        if offer.helper.file is not file
    ]


def _known(project: PythonProject) -> dict[str, list[Offer]]:
    """Return the helpers of a project by name, where it is small enough to be asked for all."""
    from threadmend.python.threads import STARTS, plain_spawns

    known: dict[str, list[Offer]] | None = project.__dict__.get("_offers")
    if known is None:
        known = project.__dict__["_offers"] = {}
        for other in project.files(STARTS, tests=False) if len(project.paths) <= _MANY else ():
            for offer in offers(other, plain_spawns(other)):
                known.setdefault(offer.called, []).append(offer)
    return known


def helped(project: PythonProject) -> Iterator[PythonFile]:
    """Yield the files that hand functions to helpers of other files; they may not speak of
    threads themselves.
    """
    names = [name.encode() for name in _known(project)]
    for path in project.paths if names else ():
        if any(name in project.source(path).data for name in names):
            file = project.readable(path)
            if file is not None and not file.is_test and any(
                spawn.through is not None and spawn.through.file is not file
                for spawn in file.spawns
            ):  # fmt: skip
                yield file


def _taken(offer: Offer, site: CallSite) -> Iterator[Handed]:
    """Yield what a call hands to a helper."""
    helper, name = offer.helper, offer.name
    given = list(_given(helper, site, name, offer.many))
    for one in given:
        repeated = None
        if offer.many:
            same = sum(ast.dump(one) == ast.dump(other) for other in given)
            repeated = same > 1 or _loops(site.call) > 0
        args = _arguments(helper, site, name, offer.args)
        made = offer.spawn.kind == "run"
        yield Handed(site.call, one, args, offer.spawn, repeated, is_object=made)


def _hooked(file: PythonFile, offer: Offer, made: ast.Call) -> Iterator[Handed]:
    """Yield the functions that a hook of an object is set to where the object is made."""
    for node in attributes_of(file).get(offer.hook, ()):
        above = parent(node)
        if not isinstance(node.ctx, ast.Store) or not isinstance(above, ast.Assign):
            continue
        value, binding = file.value(node.value), file.binding(node.value)
        is_it = value is not None and value.made is made
        is_it = is_it or (binding is not None and any(s.value is made for s in binding.sites))
        if is_it and function_of(file, above.value) is not None:
            is_object = offer.spawn.kind == "run"
            yield Handed(made, above.value, None, offer.spawn, is_object=is_object)


def _elements(file: PythonFile, spawn: Spawn, node: ast.Name) -> Iterator[Handed]:
    """Yield the functions of `for work in (read, write): Thread(target=work)`."""
    binding = file.binding(node)
    if spawn.target is not None or binding is None or len(binding.sites) != 1:
        return
    site = binding.sites[0]
    if site.kind != "for" or not isinstance(spawn.node, ast.Call):
        return
    found = [one for other, one in elements_of(file, site.value) if other is file]
    for one in found:
        same = sum(ast.dump(one) == ast.dump(other) for other in found)
        repeated = same > 1 or _loops(spawn.node) > 1
        yield Handed(spawn.node, one, spawn.args, spawn, repeated)


def _chosen(file: PythonFile, spawn: Spawn) -> Iterator[Handed]:
    """Yield the functions of `submit(read if ready else wait)`, and of a variable that is set to
    one or the other before.
    """
    node = spawn.target_node
    if spawn.target is not None or node is None or not isinstance(spawn.node, ast.Call):
        return
    found = list(alternatives(file, node))
    for one in found if len(found) > 1 else ():
        if function_of(file, one) is not None:
            yield Handed(spawn.node, one, spawn.args, spawn, spawn.many)


def alternatives(file: PythonFile, node: ast.expr) -> Iterator[ast.expr]:
    """Yield what an expression may be: the sides of a condition, of a variable each of its values
    when they are all plain assignments.
    """
    if isinstance(node, ast.IfExp):
        yield from alternatives(file, node.body)
        yield from alternatives(file, node.orelse)
        return
    binding = file.binding(node)
    sites = [] if binding is None else binding.sites
    values = [site.value for site in sites if site.kind == "assign"]
    if binding is None or len(values) != len(sites) or binding.scope.kind != "function":
        yield node
        return
    for value in values:
        if isinstance(value, ast.IfExp):
            yield from (value.body, value.orelse)
        elif value is not None:
            yield value


def _loops(node: ast.AST) -> int:
    """Return how many loops a node is in, of its own function."""
    count = 0
    for above in ancestors(node):
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            break
        count += isinstance(above, ast.For | ast.While | ast.comprehension)
        count += len(getattr(above, "generators", ()))
    return count


def _decorated(file: PythonFile, offer: Offer) -> Iterator[Handed]:
    """Yield the functions whose calls a decorator makes run in a thread."""
    for function in file.functions:
        for decorator in getattr(function.node, "decorator_list", ()):
            if function_of(file, decorator) is offer.helper:
                for site in function.callers:
                    args = None if site.call.keywords else tuple(site.call.args)
                    yield Handed(site.call, decorator, args, offer.spawn, None, function)


def _waits(helper: Function) -> bool:
    """Return whether a helper waits for what it has started: then one runs after the other."""
    return any(
        isinstance(call.func, ast.Attribute) and call.func.attr in _WAITS for call in helper.calls
    )


def _run(
    file: PythonFile, spawn: Spawn
) -> Iterator[tuple[ast.Name, tuple[ast.expr, ...] | ast.expr | None]]:
    """Yield the names of functions that a spawn runs, with their arguments."""
    target = spawn.target
    if target is None:
        if isinstance(spawn.target_node, ast.Name):
            yield spawn.target_node, _arguments_of(spawn)
    elif target.outer is not None and target.file is file:
        for call in target.calls:
            if isinstance(call.func, ast.Name):
                yield call.func, None if call.keywords else tuple(call.args)


def _arguments_of(spawn: Spawn) -> tuple[ast.expr, ...] | ast.expr | None:
    """Return the arguments of a spawn: of a constructor `args=args`, the name alone."""
    if spawn.args is None and isinstance(spawn.node, ast.Call):
        return next((k.value for k in spawn.node.keywords if k.arg == "args"), None)
    return spawn.args


def _parameter(file: PythonFile, node: ast.Name) -> tuple[Function | None, str, bool]:
    """Return the function and the parameter that a name is, and whether the name is an element
    of that: `for work in works`.
    """
    binding = file.binding(node)
    if binding is None or len(binding.sites) != 1:
        return None, "", False
    site = binding.sites[0]
    if site.kind == "for" and isinstance(site.value, ast.Name):
        helper, name, many = _parameter(file, site.value)
        return (None, "", False) if many else (helper, name, True)
    if site.kind != "parameter":
        return None, "", False
    helper = _owner(file, binding.scope)
    return helper, binding.name, False


def _owner(file: PythonFile, scope: Scope) -> Function | None:
    function = file.function(scope.node)
    return function if function is not None and function.node is scope.node else None


def _given(helper: Function, site: CallSite, name: str, many: bool) -> Iterator[ast.expr]:
    """Yield what a call gives for a parameter; of a list, its elements."""
    rest = getattr(getattr(helper.node, "args", None), "vararg", None)
    if rest is not None and rest.arg == name:
        if many:
            start = len(_positional(helper))
            yield from (a for a in site.call.args[start:] if not isinstance(a, ast.Starred))
        return
    found = _argument(helper, site, name)
    if found is None:
        return
    if not many:
        yield found
    elif isinstance(found, ast.List | ast.Tuple):
        yield from (one for one in found.elts if not isinstance(one, ast.Starred))


def _positional(helper: Function) -> list[str]:
    arguments = getattr(helper.node, "args", None)
    if not isinstance(arguments, ast.arguments):
        return []
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    return names[1:] if helper.self_name else names


def _argument(helper: Function, site: CallSite, name: str) -> ast.expr | None:
    names = _positional(helper)
    at = names.index(name) if name in names else len(site.call.args)
    return argument(site.call, at, name)


def _arguments(
    helper: Function, site: CallSite, name: str, args: tuple[ast.expr, ...] | ast.expr | None
) -> tuple[ast.expr, ...] | None:
    """Return the arguments that a function gets: the rest of the call's (`*args`), or those that
    the helper passes on.
    """
    rest = getattr(getattr(helper.node, "args", None), "vararg", None)
    if isinstance(args, tuple) and len(args) == 1 and isinstance(args[0], ast.Starred):
        args = args[0].value
    behind = "" if rest is None or rest.arg == name else rest.arg
    if behind and isinstance(args, ast.Name) and args.id == behind:
        return _rest_of(helper, site)
    parts = _parts(args) if behind else []
    last = parts[-1] if parts else None
    if isinstance(last, ast.Starred) and isinstance(last.value, ast.Name):
        more = _rest_of(helper, site) if last.value.id == behind else None
        given = (_argument(helper, site, getattr(one, "id", "")) for one in parts[:-1])
        first = tuple(ast.Constant(None) if one is None else one for one in given)
        return None if more is None else (*first, *more)
    if isinstance(args, ast.Name):
        found = _argument(helper, site, args.id)
        return tuple(found.elts) if isinstance(found, ast.Tuple) else None
    if not isinstance(args, tuple):
        return None
    known = [_argument(helper, site, a.id) if isinstance(a, ast.Name) else None for a in args]
    return None if None in known else tuple(one for one in known if one is not None)


def _rest_of(helper: Function, site: CallSite) -> tuple[ast.expr, ...] | None:
    """Return what a call gives behind the positional parameters."""
    given = tuple(site.call.args[len(_positional(helper)) :])
    return None if any(isinstance(a, ast.Starred) for a in given) else given


def _parts(args: tuple[ast.expr, ...] | ast.expr | None) -> list[ast.expr]:
    """Return the elements of `(item, *rest)` and of `(item,) + rest`, which are the same; none of
    anything else.
    """
    if isinstance(args, ast.BinOp) and isinstance(args.op, ast.Add):
        if isinstance(args.left, ast.Tuple) and isinstance(args.right, ast.Name):
            return [*args.left.elts, ast.Starred(args.right)]
    elements = args.elts if isinstance(args, ast.Tuple) else args
    if not isinstance(elements, tuple | list):
        return []
    plain = not any(isinstance(one, ast.Starred) for one in elements[:-1])
    return list(elements) if plain else []
