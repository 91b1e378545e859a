"""Spawns: what hands a function to another thread, process or task, and what runs there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.python import api
from threadmend.python.arguments import argument, keyword
from threadmend.python.constants import constant_of
from threadmend.python.daemons import set_behind
from threadmend.python.decorated import is_put_off, wrappers
from threadmend.python.file import last_name
from threadmend.python.flow import in_comprehension, innermost_loop
from threadmend.python.functions import Function, bound_by_partial, function_of, without_partial
from threadmend.python.implied import runs
from threadmend.python.lentout import run_through
from threadmend.python.scope import parent
from threadmend.python.servers import HANDLERS, is_threaded
from threadmend.python.wrapped import Handed, handed_to

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.file import PythonFile

__all__ = [
    "STARTS",
    "Spawn",
    "is_made_by",
    "is_repeated",
    "reached",
    "spawns_of",
    "spawns_reaching",
    "wrappers",
]

THREADED = frozenset(
    {"thread", "timer", "submit", "map", "executor", "to_thread", "run", "handler", "callback",
     "pool", "handed"}
)  # fmt: skip
"""Kinds whose target runs in another thread of this process."""

STARTS = re.compile(
    rb"Thread|Timer|\b(?:target|function)\s*=|\.(?:submit|i?map\w*|starmap\w*|apply\w*)\("
    rb"|\brun_in_executor|\bto_thread|\badd_done_callback|\bdef\s+run\b"
)
"""A file without any of these starts no thread."""

_POOLS = frozenset({"multiprocessing.pool.ThreadPool"})
_PROCESS_POOLS = frozenset({"multiprocessing.Pool", "concurrent.futures.ProcessPoolExecutor"})
_ANY_POOL = frozenset({"concurrent.futures.Executor"})
_POOL_METHODS = frozenset({"apply_async", "map_async", "imap", "imap_unordered", "starmap",
                           "starmap_async", "apply", "map"})  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Spawn:
    """A place that has a function run elsewhere.

    `kind`: `thread`, `timer`, `process` (constructors), `run` (a subclass of Thread or
    Process: `node` is the class), `submit`, `map` (of an executor), `executor`
    (`loop.run_in_executor`), `to_thread`, `pool` (ThreadPool), `process-pool`, `task`
    (create_task, ensure_future, TaskGroup), `call` (call_soon, call_later, …: the loop's own
    thread), `callback` (add_done_callback), `handler` (methods of a request handler), `signal`,
    `handed` (a helper of the project runs what it is handed: `node` is the call of that, `through`
    the spawn of the helper; a thread whose target runs what it gets as an argument is a `thread`
    once more, `through` that of its target, as is one that a helper makes and returns, which with
    `begun` it also starts, and an object of a class that runs what it is made with, `through` of
    the kind `run`).
    `target_node` is the expression of the function, `target` the function when it is certain.
    `args` are the arguments that it gets (None when they are not plain), the first `bound` of
    them by `partial(f, …)`; behind those stand what `map` iterates.
    """

    kind: str
    node: ast.Call | ast.ClassDef
    target_node: ast.expr | None
    target: Function | None
    args: tuple[ast.expr, ...] | None
    file: PythonFile
    through: Spawn | None = None
    repeated: bool | None = None
    bound: int = 0
    begun: bool = False

    def __repr__(self) -> str:
        return f"<Spawn {self.kind} of {self.target} in line {self.node.lineno}>"

    @property
    def is_threaded(self) -> bool:
        """Return whether the target runs in another thread of this process."""
        if self.kind == "callback" and not self._is_of_executor:
            return False
        return self.kind in THREADED and not self._is_process

    @property
    def method_node(self) -> ast.Attribute | None:
        """Return `x.run` where that is the target, also of `functools.partial(x.run, 1)`."""
        node = without_partial(self.file, self.target_node)
        return node if isinstance(node, ast.Attribute) else None

    @property
    def _is_of_executor(self) -> bool:
        """Return whether a callback is of an executor's future: asyncio calls its own in the
        thread of the loop.
        """
        func = self.node.func if isinstance(self.node, ast.Call) else None
        if not isinstance(func, ast.Attribute):
            return False
        value = self.file.value(func.value)
        if value is not None and value.is_a(api.FUTURES):
            return value.type.startswith("concurrent")
        function = self.file.function(self.node)
        if (function is not None and function.is_async) or _is_of_loop(self.file, func.value):
            return False
        return b"concurrent.futures" in self.file.data or b"Executor" in self.file.data

    @property
    def _is_process(self) -> bool:
        """Return whether the target runs in another process, or may: nobody says which pool."""
        if self.through is not None:
            return self.through._is_process
        call = self.node
        if isinstance(call, ast.ClassDef):
            return self.file.class_of(call).inherits(*api.PROCESSES)
        func = call.func
        return isinstance(func, ast.Attribute) and self.file.is_a(
            func.value, _PROCESS_POOLS | _ANY_POOL
        )

    @property
    def many(self) -> bool:
        """Return whether several of them may run at the same time: in a loop, on a pool."""
        if self.repeated is not None:
            return self.repeated
        if self.kind in {"map", "pool", "handler"}:
            return True
        if self.through is not None and self.through.many:
            return True
        if isinstance(self.node, ast.ClassDef):
            return False
        return is_repeated(self.node)

    @property
    def daemon(self) -> bool | None:
        """Return whether the thread is a daemon by its constructor, or by a statement behind it;
        None when not said.
        """
        value = keyword(self.node, "daemon") if isinstance(self.node, ast.Call) else None
        if value is None and self.through is not None:
            return self.through.daemon
        if value is None:
            return set_behind(self.file, self.node)
        known = constant_of(self.file, value)
        return None if known is None else bool(known.value)


_MAKES_FUTURE = frozenset({"create_task", "ensure_future", "create_future"})


def _is_of_loop(file: PythonFile, future: ast.expr) -> bool:
    """Return whether a future is made by the calls that an event loop has for it, whosever loop
    that is.
    """
    made = [future]
    if isinstance(future, ast.Attribute):
        function = file.function(future)
        cls = None if function is None else function.cls
        made = [value for _, value in cls.values_of(future.attr)] if cls is not None else []
    elif isinstance(future, ast.Name):
        binding = file.binding(future)
        sites = [] if binding is None else binding.sites
        made = [site.value for site in sites if site.value is not None]
    calls = [node for node in made if not isinstance(node, ast.Constant)]
    return bool(calls) and all(map(_makes_future, calls))


def _makes_future(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and last_name(node.func) in _MAKES_FUTURE


def is_repeated(node: ast.AST) -> bool:
    """Return whether an expression is evaluated several times: in a loop, in a comprehension."""
    return innermost_loop(node) is not None or in_comprehension(node)


def spawns_of(file: PythonFile) -> list[Spawn]:
    """Return the spawns of a file, in source order: see PythonFile.spawns."""
    plain = plain_spawns(file)
    handed = list(handed_to(file, plain))
    # What a target runs of its arguments says more than that it is the target.
    first = [_handed(file, one) for one in handed if one.is_of_target]
    others = [_handed(file, one) for one in handed if not one.is_of_target]
    return sorted([*first, *plain, *others], key=lambda s: (s.node.lineno, s.node.col_offset))


def _handed(file: PythonFile, one: Handed) -> Spawn:
    target = one.target or function_of(file, one.node)
    kind = "thread" if one.is_of_target or one.is_object or one.is_made else "handed"
    if one.is_object and one.spawn._is_process:
        kind = "process"
    begun = kind == "thread" and one.is_begun
    bound = () if one.target is not None else bound_by_partial(file, one.node)
    args = None if one.args is None else (*bound, *one.args)
    return Spawn(
        kind, one.call, one.node, target, args, file, one.spawn, one.repeated, len(bound), begun
    )


def is_made_by(file: PythonFile, node: ast.expr, spawn: Spawn) -> bool:
    """Return whether a variable or an attribute is the thread of a spawn."""
    value = file.value(node)
    if value is not None and value.made is spawn.node:
        return True
    if spawn.kind != "thread" or spawn.through is None:
        return False
    binding = file.binding(node)
    if binding is not None:
        return any(site.value is spawn.node for site in binding.sites)
    owner = file.value(node.value) if isinstance(node, ast.Attribute) else None
    if owner is None or owner.cls is None or not isinstance(node, ast.Attribute):
        return False
    return any(given is spawn.node for _, given in owner.cls.values_of(node.attr))


def plain_spawns(file: PythonFile) -> list[Spawn]:
    """Return the spawns of a file whose threads are made right there."""
    known: list[Spawn] | None = file.__dict__.get("_plain_spawns")
    if known is None:
        known = [*_constructed(file), *_submitted(file), *_asynchronous(file), *_classes(file)]
        file.__dict__["_plain_spawns"] = known
    return known


def _constructed(file: PythonFile) -> Iterator[Spawn]:
    for call in _constructors(file):
        value = file.value(call)
        if value is None or value.made is not call:
            continue
        if value.is_a("threading.Timer"):
            target, args = argument(call, 1, "function"), argument(call, 2, "args")
            yield _spawn(file, "timer", call, target, _elements(args))
        elif value.is_a(api.THREADS | api.PROCESSES):
            if value.cls is not None and keyword(call, "target") is None:
                continue  # a subclass: see its run
            kind = "process" if value.is_a(api.PROCESSES) else "thread"
            target, args = argument(call, 1, "target"), argument(call, 3, "args")
            if target is not None:
                yield _spawn(file, kind, call, target, _elements(args))


def _constructors(file: PythonFile) -> Iterator[ast.Call]:
    """Yield the calls that may make a thread: by their name, or by an argument's name."""
    named = [c for name in file.call_names if name.endswith(_ENDINGS) for c in file.calls(name)]
    given = [
        call
        for node in file.nodes(ast.keyword)
        if node.arg in {"target", "function"} and isinstance(call := parent(node), ast.Call)
    ]
    yield from dict.fromkeys([*named, *given])


_ENDINGS = ("Thread", "Timer", "Process")


def _elements(node: ast.expr | None) -> tuple[ast.expr, ...] | None:
    if node is None:
        return ()
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(node.elts)
    return None


def _submitted(file: PythonFile) -> Iterator[Spawn]:
    for call in file.calls("submit", "map", *sorted(_POOL_METHODS - {"map"})):
        func = call.func
        if not isinstance(func, ast.Attribute):
            continue
        target = argument(call, 0, "fn" if func.attr in {"submit", "map"} else "func")
        if func.attr in {"submit", "map"} and file.is_a(func.value, api.EXECUTORS):
            yield _spawn(file, func.attr, call, target, tuple(call.args[1:]))
        elif func.attr in _POOL_METHODS and file.is_a(func.value, _POOLS | _PROCESS_POOLS):
            kind = "pool" if file.is_a(func.value, _POOLS) else "process-pool"
            yield _spawn(file, kind, call, target, None)


_LOOP_CALLS = {"call_soon": 0, "call_soon_threadsafe": 0, "call_later": 1, "call_at": 1}
_TASKS = frozenset({"asyncio.create_task", "asyncio.ensure_future", "asyncio.run",
                    "asyncio.run_coroutine_threadsafe"})  # fmt: skip


def _asynchronous(file: PythonFile) -> Iterator[Spawn]:
    for call in file.calls("run_in_executor", "to_thread", "add_done_callback", *_LOOP_CALLS):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if name == "run_in_executor":
            target = argument(call, 1, "func")
            yield _spawn(file, "executor", call, target, tuple(call.args[2:]))
        elif name == "to_thread" or file.qualified(call.func) == "asyncio.to_thread":
            target = argument(call, 0, "func")
            yield _spawn(file, "to_thread", call, target, tuple(call.args[1:]))
        elif name == "add_done_callback":
            yield _spawn(file, "callback", call, argument(call, 0, "fn"), None)
        elif name in _LOOP_CALLS and isinstance(call.func, ast.Attribute):
            at = _LOOP_CALLS[name]
            yield _spawn(
                file, "call", call, argument(call, at, "callback"), tuple(call.args[at + 1 :])
            )
    for call in file.calls("create_task", "ensure_future", "run_coroutine_threadsafe", "run"):
        made = file.qualified(call.func)
        named = isinstance(call.func, ast.Attribute) and call.func.attr == "create_task"
        if made in _TASKS or named:
            coroutine = call.args[0] if call.args else None
            inner = coroutine.func if isinstance(coroutine, ast.Call) else None
            args = tuple(coroutine.args) if isinstance(coroutine, ast.Call) else None
            yield _spawn(file, "task", call, inner, args)
    for call in file.calls("signal", "add_signal_handler"):
        made = file.qualified(call.func)
        if made == "signal.signal" or (made is None and "add_signal_handler" in file.text(call)):
            yield _spawn(file, "signal", call, argument(call, 1, "handler"), None)


def _classes(file: PythonFile) -> Iterator[Spawn]:
    for cls in file.classes:
        if cls.inherits(*api.THREADS, *api.PROCESSES) and "run" in cls.methods:
            yield Spawn("run", cls.node, None, cls.methods["run"], (), file)
        elif cls.inherits(*HANDLERS) and is_threaded(cls):
            for name, method in cls.methods.items():
                if name == "handle" or name.startswith("do_"):
                    yield Spawn("handler", cls.node, None, method, (), file)


def _spawn(
    file: PythonFile,
    kind: str,
    call: ast.Call,
    target: ast.expr | None,
    args: tuple[ast.expr, ...] | None,
) -> Spawn:
    given = bound_by_partial(file, target)
    args = None if args is None else (*given, *args)
    function = function_of(file, target) or _called_object(file, target)
    return Spawn(kind, call, target, function, args, file, bound=len(given))


def _called_object(file: PythonFile, node: ast.expr | None) -> Function | None:
    """Return what runs when an object is called: `target=self.job`, whose class says `__call__`."""
    if not isinstance(node, ast.Name | ast.Attribute | ast.Call):
        return None
    value = file.value(node)
    if value is None or value.cls is None or value.is_class:
        return None
    return value.cls.method("__call__")


# -- what runs there ------------------------------------------------------------------------


def reached(function: Function) -> Set[Function]:
    """Return a function and every function of the project that it certainly calls, what its
    decorators put around it included: in an order that is the same in each run.
    """
    known: dict[Function, Set[Function]] = function.file.__dict__.setdefault("_reached", {})
    if function not in known:
        found: dict[Function, None] = {}
        pending = [function]
        while pending:
            one = pending.pop()
            if one not in found:
                found[one] = None
                pending += _run_by(one)
        known[function] = found.keys()
    return known[function]


def _run_by(function: Function) -> list[Function]:
    """Return the functions that a function runs without one between them."""
    known: dict[Function, list[Function]] = function.file.__dict__.setdefault("_run_by", {})
    if function not in known:
        callees = function.callees.values()
        found = [f for f in callees if not is_put_off(f)]
        found += [f for callee in callees for f in wrappers(callee)]
        # Properties and `len(x)`, which are called without being named.
        found += [f for f in runs(function).values() if f not in found and not is_put_off(f)]
        known[function] = [*found, *wrappers(function), *run_through(function)]
    return known[function]


def spawns_reaching(file: PythonFile) -> dict[Function, list[Spawn]]:
    """Return, for the functions that run in other threads, by which spawns of the file."""
    known: dict[Function, list[Spawn]] | None = file.__dict__.get("_spawns_reaching")
    if known is None:
        known = file.__dict__["_spawns_reaching"] = {}
        for spawn in file.spawns:
            if spawn.is_threaded and spawn.target is not None:
                for function in reached(spawn.target):
                    known.setdefault(function, []).append(spawn)
    return known


def reached_outside(cls: Class, entries: Iterable[Function]) -> frozenset[Function]:
    """Return the methods of a class that run without being started by one of the entries:
    public ones, dunders, and what those call. Initializers are left out.
    """
    inside = set(entries)
    found: set[Function] = set()
    for base in cls.mro:
        for method in base.methods.values():
            if method in inside or method in base.init_only:
                continue
            if not method.is_private:
                found |= {f for f in reached(method) if f not in inside}
    return frozenset(found)
