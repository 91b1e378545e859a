"""Entries of a collection that belong to the thread that runs: their key says which thread it is,
and no other thread gets to them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.python import api
from threadmend.python.arguments import argument
from threadmend.python.constants import constant_of
from threadmend.python.file import PythonFile
from threadmend.python.flow import innermost_loop
from threadmend.python.functions import Function
from threadmend.python.scope import ancestors
from threadmend.python.threads import Spawn, reached
from threadmend.python.uses import is_self

__all__ = [
    "are_of_two_keys",
    "is_of_own_key",
    "is_of_this_thread",
    "is_other_entry",
    "is_put_there_before",
    "key_of",
]

_ME = frozenset({"threading.current_thread", "threading.get_ident", "threading.get_native_id"})
_IDENTITY = frozenset({"ident", "native_id"})
_OF_AN_ENTRY = frozenset({"get", "pop", "setdefault"})


def is_of_this_thread(file: PythonFile, key: ast.expr) -> bool:
    """Return whether a key is the thread that runs, or is made of what tells it from others: `me`,
    `f"{base}_{threading.get_ident()}"`, also by a local variable that is only added to.
    """
    if any(_is_thread(file, node) for node in ast.walk(key)):
        return True
    binding = file.binding(key) if isinstance(key, ast.Name) else None
    if binding is None or binding.scope.kind != "function":
        return False
    made = [site for site in binding.sites if site.kind != "augment"]
    value = made[0].value if len(made) == 1 and made[0].kind == "assign" else None
    return value is not None and value is not key and is_of_this_thread(file, value)


def _is_thread(file: PythonFile, node: ast.AST) -> bool:
    """Return whether a node tells the thread that runs: also `self.ident` of a thread's object."""
    if isinstance(node, ast.Call):
        return file.qualified(node.func) in _ME
    if not isinstance(node, ast.Attribute) or node.attr not in _IDENTITY:
        return False
    function = file.function(node)
    home = None if function is None else function.home
    return home is not None and home.inherits(*api.THREADS) and is_self(file, node.value)


def is_of_own_key(file: PythonFile, node: ast.expr, spawn: Spawn) -> bool:
    """Return whether a key is one that each thread of a loop gets for itself: `for host in
    set(hosts): Thread(target=self._ask, args=(host,))`, of `self.known[host]` in what `_ask` calls.
    """
    key, function = key_of(file, node), file.function(node)
    if not isinstance(key, ast.Name) or function is None or spawn.target is None:
        return False
    return _is_given(file, function, key, spawn, _DEPTH)


_DEPTH = 3
"""Calls that a key may be handed on by."""


def _is_given(
    file: PythonFile, function: Function, key: ast.Name, spawn: Spawn, depth: int
) -> bool:
    binding = file.binding(key)
    if binding is None or [site.kind for site in binding.sites] != ["parameter"]:
        return False
    if key.id not in function.parameters:
        return False
    at = function.parameters.index(key.id) - (function.self_name is not None)
    if at < 0:
        return False  # the object itself
    if function is spawn.target:
        given = spawn.args[at] if spawn.args is not None and at < len(spawn.args) else None
        return isinstance(given, ast.Name) and _is_looped(
            spawn.file, spawn.node, given, function, key
        )
    runs = reached(spawn.target) if spawn.target is not None else set()
    sites = [site for site in function.callers if site.caller in runs]
    return bool(sites and depth) and all(
        site.caller is not None
        and isinstance(given := argument(site.call, at, key.id), ast.Name)
        and _is_given(site.file, site.caller, given, spawn, depth - 1)
        for site in sites
    )


def _is_looped(
    file: PythonFile, at: ast.AST, given: ast.Name, function: Function, key: ast.Name
) -> bool:
    """Return whether a loop around a place gives each round another value of a variable: the place
    starts a thread, or is the only call of a method that does: `self._send(row, trees)`.
    """
    loop = _loop_around(at)
    if loop is not None:
        return _is_once(file, loop, given.id) or _is_key_of(file, loop, function, key)
    starter, binding = file.function(at), file.binding(given)
    if starter is None or binding is None or binding.scope is not starter.scope:
        return False
    sites = starter.callers
    if [site.kind for site in binding.sites] != ["parameter"] or len(sites) != 1:
        return False
    if given.id not in starter.parameters or not starter.is_only_called:
        return False
    position = starter.parameters.index(given.id) - (starter.self_name is not None)
    handed = argument(sites[0].call, position, given.id)
    around = _loop_around(sites[0].call)
    if around is None or not isinstance(handed, ast.Name):
        return False
    return _is_once(file, around, handed.id) or _is_key_of(file, around, function, key)


def _loop_around(node: ast.AST) -> ast.For | ast.comprehension | None:
    """Return the loop that a node is in, also that of a comprehension which makes a list of it."""
    for above in ancestors(node):
        if isinstance(above, ast.ListComp | ast.SetComp | ast.GeneratorExp):
            return above.generators[0] if len(above.generators) == 1 else None
        if isinstance(above, ast.stmt):
            break
    loop = innermost_loop(node)
    return loop if isinstance(loop, ast.For) else None


def _is_key_of(
    file: PythonFile, loop: ast.For | ast.comprehension, function: Function, key: ast.Name
) -> bool:
    """Return whether what a loop goes over is a mapping, whose entry of the key the job uses:
    `for name in self.queues: pool.submit(self._fill, name)`, of `self.queues[name]` in `_fill`.
    """
    over = file.text(loop.iter)
    return isinstance(loop.target, ast.Name) and any(
        isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Name)
        and node.slice.id == key.id
        and function.file.text(node.value) == over
        for node in function.own
    )


def _is_once(file: PythonFile, loop: ast.For | ast.comprehension, name: str) -> bool:
    """Return whether a loop has a value for its variable only once: what it goes over are the keys
    of a mapping, a set, or numbers.
    """
    target, over = loop.target, loop.iter
    while isinstance(over, ast.Call) and file.qualified(over.func) in {"sorted", "list", "tuple"}:
        over = over.args[0] if over.args else over.func
    if isinstance(over, ast.Call):
        called = file.qualified(over.func)
        method = over.func.attr if isinstance(over.func, ast.Attribute) else ""
        if isinstance(target, ast.Tuple) and (called == "enumerate" or method == "items"):
            target = target.elts[0]
        elif called not in {"range", "set", "frozenset"} and method != "keys":
            return False
    elif not isinstance(over, ast.Set | ast.SetComp | ast.Dict) and not file.is_a(over, _ONCE):
        return False
    return isinstance(target, ast.Name) and target.id == name


_ONCE = frozenset(
    {"set", "frozenset", "dict", "collections.OrderedDict", "collections.defaultdict"}
)


def are_of_two_keys(
    file: PythonFile, nodes: tuple[ast.expr, ast.expr], mine: Spawn, its: Spawn
) -> bool:
    """Return whether two threads of one function use two entries: those of a parameter for which
    each gets another constant, `args=("left", 9)` and `args=("right", 9)`.
    """
    keys = [key_of(file, node) for node in nodes]
    target = mine.target
    if target is None or its.target is not target or mine.many or its.many:
        return False
    if any(not isinstance(key, ast.Name) or key.id not in target.parameters for key in keys):
        return False
    names = {key.id for key in keys if isinstance(key, ast.Name)}
    bindings = {file.binding(key) for key in keys}
    binding = bindings.pop() if len(bindings) == 1 and len(names) == 1 else None
    if binding is None or [site.kind for site in binding.sites] != ["parameter"]:
        return False
    if file.function(binding.scope.node) is not target:
        return False
    at = target.parameters.index(names.pop()) - (target.self_name is not None)
    given = [
        s.args[at] if s.args is not None and 0 <= at < len(s.args) else None for s in (mine, its)
    ]
    values = [one.value for one in given if isinstance(one, ast.Constant)]
    return len(values) == 2 and values[0] != values[1]


def is_put_there_before(file: PythonFile, node: ast.expr) -> bool:
    """Return whether the entry that a function changes is one that it has put there itself, not
    asking whether there was one: `results[peer] = True`, and then `if not results[peer]`. Whoever
    does so takes it for its own.
    """
    key, function = key_of(file, node), file.function(node)
    binding = file.binding(key)
    if key is None or function is None or binding is None or binding.scope is not function.scope:
        return False
    entry, said = file.parent(node), file.text(node)
    return isinstance(entry, ast.Subscript) and any(
        isinstance(one, ast.Subscript)
        and isinstance(one.ctx, ast.Store)
        and one.lineno < node.lineno
        and file.text(one) == file.text(entry)
        and isinstance(file.parent(one), ast.Assign | ast.AnnAssign)
        and not any(
            isinstance(above, ast.If | ast.While | ast.ExceptHandler)
            and (isinstance(above, ast.ExceptHandler) or said in file.text(above.test))
            for above in _above(file, one, function)
        )
        for one in function.own
    )


def _above(file: PythonFile, node: ast.AST, function: Function) -> Iterator[ast.AST]:
    """Yield what a node is in, of its function."""
    for above in file.ancestors(node):
        if above is function.node:
            return
        yield above


def is_other_entry(file: PythonFile, node: ast.expr, other: ast.expr) -> bool:
    """Return whether two uses of a collection are of entries whose keys are written out, and not
    the same: `stats["sent"]` and `stats["received"]` are as two variables.
    """
    mine, its = _constant_key(file, node), _constant_key(file, other)
    return mine is not None and its is not None and mine.value != its.value


def _constant_key(file: PythonFile, node: ast.expr) -> ast.Constant | None:
    above = file.parent(node)
    if isinstance(above, ast.Attribute) and above.attr not in _OF_AN_ENTRY:
        return None
    return constant_of(file, key_of(file, node))


def key_of(file: PythonFile, node: ast.expr) -> ast.expr | None:
    """Return the key of the entry of a collection that is used: `d[key]`, `d.pop(key)`."""
    above = file.parent(node)
    if isinstance(above, ast.Subscript):
        return above.slice if above.value is node else None
    if isinstance(above, ast.Attribute):
        call = file.parent(above)
        if isinstance(call, ast.Call) and call.func is above and call.args:
            return call.args[0]
    return None
