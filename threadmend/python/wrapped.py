"""Functions that helpers of the project run elsewhere for whoever calls them: `start(work, 1)`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.python.calling import run_by
from threadmend.python.elements import elements_of
from threadmend.python.flow import target_of
from threadmend.python.functions import CallSite, attributes_of, function_of
from threadmend.python.handing import arguments_passed_on, given_for
from threadmend.python.offers import KINDS, Offer, foreign_offers, offers, parameter_of, run_names
from threadmend.python.scope import ancestors, parent

if TYPE_CHECKING:
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function
    from threadmend.python.threads import Spawn

__all__ = ["Handed", "handed_to"]


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


def handed_to(file: PythonFile, spawns: list[Spawn]) -> Iterator[Handed]:
    """Yield the functions that calls hand to helpers which run a parameter of theirs in another
    thread (as the target, or in a nested function that is the target), that a decorator runs
    there, and those of a list whose elements are started.
    """
    for spawn in spawns:
        yield from _through_target(file, spawn)
        if spawn.kind in KINDS:
            for node, _ in run_names(file, spawn):
                if parameter_of(file, node)[0] is None:
                    yield from _elements(file, spawn, node)
            yield from _chosen(file, spawn)
    for offer in (*offers(file, spawns), *foreign_offers(file)):
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
    if spawn.kind in KINDS - {"map", "pool"}:
        for node, args in run_by(target, spawn.args, bound=target.self_name is not None):
            if function_of(file, node) is not None:
                yield Handed(spawn.node, node, args, spawn)


def _taken(offer: Offer, site: CallSite) -> Iterator[Handed]:
    """Yield what a call hands to a helper."""
    helper, name = offer.helper, offer.name
    given = list(given_for(helper, site, name, offer.many))
    for one in given:
        repeated = None
        if offer.many:
            same = sum(ast.dump(one) == ast.dump(other) for other in given)
            repeated = same > 1 or _loops(site.call) > 0 or _loops(one) > 0
        args = arguments_passed_on(helper, site, name, offer.args)
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
    found = list(_alternatives(file, node))
    for one in found if len(found) > 1 else ():
        if function_of(file, one) is not None:
            yield Handed(spawn.node, one, spawn.args, spawn, spawn.many)


def _alternatives(file: PythonFile, node: ast.expr) -> Iterator[ast.expr]:
    """Yield what an expression may be: the sides of a condition, of a variable each of its values
    when they are all plain assignments.
    """
    if isinstance(node, ast.IfExp):
        yield from _alternatives(file, node.body)
        yield from _alternatives(file, node.orelse)
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
