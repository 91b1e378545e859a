"""Queues: who puts, who gets, who joins, by the place of the queue."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from threadmend.python import api
from threadmend.python.arguments import argument, keyword
from threadmend.python.constants import constant_of
from threadmend.python.file import last_name
from threadmend.python.flow import innermost_loop
from threadmend.python.forwarded import forwarded
from threadmend.python.functions import function_of
from threadmend.python.handedclasses import made_by_helpers
from threadmend.python.places import Place
from threadmend.python.scope import parent
from threadmend.python.uses import is_self

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.file import PythonFile
    from threadmend.python.functions import Function
    from threadmend.python.scope import Binding
    from threadmend.python.threads import Spawn
    from threadmend.python.value import Value

__all__ = [
    "METHODS",
    "QueueUse",
    "feeding",
    "has_limit",
    "is_joined",
    "queue_of_parameter",
    "queues_of",
]

METHODS = {
    "put": "puts", "put_nowait": "puts", "get": "gets", "get_nowait": "gets",
    "task_done": "dones", "join": "joins", "shutdown": "shutdowns", "empty": "tests",
    "full": "tests", "qsize": "tests", "close": "shutdowns",
}  # fmt: skip
"""The methods of queues, and where a `QueueUse` has their calls."""


@dataclass(slots=True, eq=False)
class QueueUse:
    """One queue of a file and the calls of its methods.

    `iter(q.get, END)` is one of `gets`. In `gets` and `dones`, calls of helpers that do nothing but
    `return q.get()` stand in the place of that (`written`: how the queue is called there, see
    forwarded.py). `escapes` are other uses: an argument, a return, an
    element, where its methods may be called by code that is not seen here.
    """

    place: Place
    value: Value
    puts: list[ast.Call] = field(default_factory=list)
    gets: list[ast.Call] = field(default_factory=list)
    dones: list[ast.Call] = field(default_factory=list)
    joins: list[ast.Call] = field(default_factory=list)
    shutdowns: list[ast.Call] = field(default_factory=list)
    tests: list[ast.Call] = field(default_factory=list)
    counts: list[ast.expr] = field(default_factory=list)
    """Where somebody looks how many items are not done: `q.unfinished_tasks`."""
    escapes: list[ast.expr] = field(default_factory=list)
    written: dict[ast.Call, str] = field(default_factory=dict)

    def text(self, file: PythonFile, call: ast.Call) -> str:
        """Return how the queue is written where one of its calls stands."""
        known = self.written.get(call)
        if known is not None or not isinstance(call.func, ast.Attribute):
            return known or self.place.name
        return file.text(call.func.value)

    @property
    def type(self) -> str:
        """Return the class of the library that it is of: `queue.Queue`, also for a subclass of the
        project that leaves its methods as they are, and at most adds to how it is made.
        """
        cls = self.value.cls
        if cls is None or any(cls.method(name) is not None for name in METHODS):
            return self.value.type
        if cls.method("__init__") is not None and _base_made(cls) is None:
            return self.value.type
        known = cls.ancestry & (api.QUEUES | api.ASYNC_QUEUES)
        return min(known) if known else self.value.type

    @property
    def is_bounded(self) -> bool:
        """Return whether put may block: a maxsize over 0."""
        file, made, cls = self.value.file, self.value.made, self.value.cls
        first = cls.method("__init__") if cls is not None else None
        if cls is not None and first is not None:
            file, made = first.file, _base_made(cls)
        if not isinstance(made, ast.Call) or self.type.endswith("SimpleQueue"):
            return False
        return has_limit(file, made)


def has_limit(file: PythonFile, made: ast.Call) -> bool:
    """Return whether a queue is made with a limit: neither 0 nor less than that."""
    size = argument(made, 0, "maxsize")
    if size is None or (isinstance(size, ast.UnaryOp) and isinstance(size.op, ast.USub)):
        return False
    known = constant_of(file, size)
    return known is None or bool(known.value)


def _base_made(cls: Class) -> ast.Call | None:
    """Return `super().__init__(…)` in the initializer of a kind of queue."""
    made = cls.method("__init__")
    for call in made.calls if made is not None else ():
        func = call.func
        if isinstance(func, ast.Attribute) and func.attr == "__init__":
            inner = func.value
            if isinstance(inner, ast.Call) and last_name(inner.func) == "super":
                return call
    return None


def queues_of(file: PythonFile) -> list[QueueUse]:
    """Return the queues of a file (of threads, processes and tasks), by first use.

    A queue that is handed to a spawned function as an argument is followed into its parameter,
    one that an object is made with into the attribute that keeps it.
    """
    known: list[QueueUse] | None = file.__dict__.get("_queues")
    if known is None:
        known = file.__dict__["_queues"] = _queues(file)
    return known


def queue_of_parameter(function: Function, name: str, value: Value) -> QueueUse | None:
    """Return what a function does with a queue that it gets for a parameter, by what made that:
    of a function of another file, which nobody knows there.
    """
    file, binding = function.file, function.scope.bindings.get(name)
    if binding is None or [site.kind for site in binding.sites] != ["parameter"]:
        return None
    use = QueueUse(Place("local", function.qualified, name), value)
    for node in file.uses(binding):
        if isinstance(node.ctx, ast.Load):
            _note(use, node, file)
    return use


def is_joined(file: PythonFile, use: QueueUse) -> bool:
    """Return whether a file of the project waits for all items of a queue: this one, or one
    that imports it, or that it imports it from.
    """
    if use.joins or any(innermost_loop(node) for node in use.counts):
        return True
    if use.place.kind not in {"global", "attribute"}:
        return False
    name = file.encode(use.place.name.rpartition(".")[2])
    for other in file.project.files(b".join()", name):
        if other is not file:
            for one in queues_of(other):
                if one.joins and one.place.anywhere == use.place.anywhere:
                    return True
    return False


def _queues(file: PythonFile) -> list[QueueUse]:
    words = (b"ueue", b"task_done", b"_nowait")
    if not any(w in file.data for w in words) and not _names_kept_queue(file):
        return []
    found: dict[Place, QueueUse] = {}
    passed = _passed(file)
    names: set[str] = set()
    for call in file.calls(*METHODS, "iter"):
        node = _receiver(file, call)
        value = file.value(node)
        place = file.place(node)
        if node is None or place is None or value is None:
            continue
        if value.is_a(api.QUEUES | api.ASYNC_QUEUES):
            names.add(last_name(node) or "")
            for outer in passed.get(place, (place,)):
                use = found.setdefault(outer, QueueUse(outer, value))
                if use.value.made is None and value.made is not None:
                    # A parameter's annotation says less than the constructor.
                    use.place, use.value = place, value
    outers = dict.fromkeys(outer for given in passed.values() for outer in given)
    for outer in outers:
        if outer not in found:
            _add_given(file, outer, found)
    several = {outer for some in passed.values() if len(some) > 1 for outer in some}
    for given, use in found.items():
        is_one_of_several = given in several
        made = None
        if use.value.made is None or is_one_of_several:
            made = next(_values_given(file, given), None)
        if made is not None:
            use.place, use.value = given, made
        elif is_one_of_several:
            use.place = given
    names |= {place.name.rpartition(".")[2] for place in (*found, *passed)}
    nodes: list[ast.Name | ast.Attribute] = [
        n for n in file.nodes(ast.Attribute) if n.attr in names
    ]
    nodes += [node for name in names for node in file.tree.names.get(name, ())]
    handed = {arg for spawn in file.spawns if spawn.target for arg in spawn.args or ()}
    handed |= {arg for _, arg in (*_kept_by_objects(file), *_lent(file))}
    for node in sorted(nodes, key=lambda n: (n.end_lineno or 0, n.end_col_offset or 0)):
        place = file.place(node) if isinstance(node.ctx, ast.Load) else None
        if place is None or (node in handed and (place in outers or place in passed)):
            continue
        for outer in passed.get(place, (place,)):
            if outer in found and not _is_named_again(file, node, place):
                _note(found[outer], node, file)
    for use in found.values():
        _look_through(file, use)
    return list(found.values())


def _look_through(file: PythonFile, use: QueueUse) -> None:
    """Put the calls of helpers in the place of the only call that they make."""
    for calls in (use.gets, use.dones):
        for call in calls.copy():
            sites = forwarded(file, call)
            if sites:
                at = calls.index(call)
                calls[at : at + 1] = [site for site, _ in sites]
                use.written |= dict(sites)


def _names_kept_queue(file: PythonFile) -> bool:
    """Return whether a file names an attribute by which objects of the project keep a queue, or
    one of its own kinds of queue.
    """
    project = file.project
    known: frozenset[bytes] | None = project.__dict__.get("_kept_queues")
    if known is None:
        texts = (project.source(path).data for path in project.paths)
        found = {n for data in texts if b"Queue" in data for n in _KEPT.findall(data)}
        known = project.__dict__["_kept_queues"] = frozenset(
            b"." + field if field else kept or cls for kept, cls, field in found
        )
    return any(name in file.data for name in known)


_KEPT = re.compile(
    rb"\bself(\.[A-Za-z_]\w*)[^=\n]*= *[\w.]*Queue\(|^class[ \t]+(\w+)\([\w.]*Queue\)"
    rb"|^[ \t]+(\w+)[ \t]*:[^=\n]*Queue[^=\n]*=[ \t]*[\w.]*field\(",
    re.M,
)


def _receiver(file: PythonFile, call: ast.Call) -> ast.expr | None:
    """Return `q` of `q.get()` and `iter(q.get, END)`."""
    method = call.args[0] if file.qualified(call.func) == "iter" and call.args else call.func
    return method.value if isinstance(method, ast.Attribute) else None


def _values_given(file: PythonFile, place: Place) -> Iterator[Value]:
    """Yield what makes a queue that is handed out: its parameters tell no more than its type."""
    handed = [node for spawn in file.spawns for node in spawn.args or ()]
    for node in (*handed, *(node for _, node in (*_kept_by_objects(file), *_lent(file)))):
        value = file.value(node) if file.place(node) == place else None
        if value is not None and value.made is not None:
            yield value


def _add_given(file: PythonFile, given: Place, found: dict[Place, QueueUse]) -> None:
    """Add a queue that only spawned functions call, by their parameter."""
    for spawn in file.spawns:
        for node in spawn.args or ():
            if file.place(node) == given:
                value = file.value(node)
                if value is not None and value.is_a(api.QUEUES | api.ASYNC_QUEUES):
                    found[given] = QueueUse(given, value)
                    return


def _is_named_again(file: PythonFile, node: ast.expr, place: Place) -> bool:
    """Return whether a queue gets another name, whose uses are its own: `jobs = self._jobs`."""
    above = parent(node)
    target = above.targets[0] if isinstance(above, ast.Assign) and above.value is node else None
    return isinstance(target, ast.Name) and file.place(target) == place


def _note(use: QueueUse, node: ast.expr, file: PythonFile) -> None:
    above = parent(node)
    call = parent(above) if above is not None else None
    if isinstance(above, ast.Attribute) and isinstance(call, ast.Call) and call.func is above:
        kind = METHODS.get(above.attr)
        if kind is not None:
            getattr(use, kind).append(call)
            return
    if isinstance(above, ast.Attribute) and above.attr == "get" and isinstance(call, ast.Call):
        if call.args[:1] == [above] and file.qualified(call.func) == "iter":
            use.gets.append(call)
            return
    if isinstance(above, ast.Attribute) and above.attr == "unfinished_tasks":
        use.counts.append(above)
        return
    use.escapes.append(node)


def _passed(file: PythonFile) -> dict[Place, tuple[Place, ...]]:
    """Return, for parameters of spawned functions and attributes of objects that keep what
    they are made with, the places of the arguments that they get: several for a function that
    is spawned with several queues.
    """
    places: list[tuple[Place, ast.expr]] = []
    for spawn in file.spawns:
        target = spawn.target
        if target is None or not spawn.args or target.file is not file:
            continue
        names = target.parameters[1:] if target.self_name else target.parameters
        line = getattr(target.node, "lineno", 0)
        pairs = list(zip(names, spawn.args, strict=False))
        given = keyword(spawn.node, "kwargs") if isinstance(spawn.node, ast.Call) else None
        if isinstance(given, ast.Dict):
            for key, value in zip(given.keys, given.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    pairs.append((key.value, value))
        owner = f"{file.module}.{target.name}:{line}"
        places += [(Place("local", owner, name), value) for name, value in pairs]
    found: dict[Place, dict[Place, None]] = {}
    unknown: set[Place] = set()
    for inner, given_value in (*places, *_kept_by_objects(file), *_lent(file)):
        outer = file.place(given_value)
        if outer is None:
            unknown.add(inner)
        else:
            found.setdefault(inner, {})[outer] = None
    known = {inner: tuple(some) for inner, some in found.items() if inner not in unknown}
    return {
        inner: tuple(dict.fromkeys(last for one in some for last in known.get(one, (one,))))
        for inner, some in known.items()
    }


def feeding(file: PythonFile, use: QueueUse, spawns: list[Spawn]) -> list[Spawn]:
    """Return those of a function's spawns that hand it a queue, all when none hands it one."""
    some = [s for s in spawns if any(file.place(arg) == use.place for arg in s.args or ())]
    return some or spawns


def _lent(file: PythonFile) -> list[tuple[Place, ast.expr]]:
    """Return the parameters by which helpers of the file get queues, with what each call hands
    in: helpers that nobody else calls.
    """
    known: list[tuple[Place, ast.expr]] | None = file.__dict__.get("_lent_queues")
    if known is None:
        bindings = {file.binding(_receiver(file, c)): None for c in file.calls(*METHODS, "iter")}
        known = file.__dict__["_lent_queues"] = [
            pair for one in bindings if one is not None for pair in _lent_as(file, one)
        ]
    return known


def _lent_as(file: PythonFile, binding: Binding) -> list[tuple[Place, ast.expr]]:
    helper = file.function(binding.scope.node)
    if helper is None or [site.kind for site in binding.sites] != ["parameter"]:
        return []
    names = helper.parameters[1:] if helper.self_name else helper.parameters
    if binding.name not in names or not helper.is_only_called or not _is_own(file, helper):
        return []
    at = names.index(binding.name)
    given = [argument(site.call, at, binding.name) for site in helper.callers]
    place = file.place(file.uses(binding)[0])
    if place is None or None in given:
        return []
    return [(place, one) for one in given if one is not None]


def _is_own(file: PythonFile, helper: Function) -> bool:
    """Return whether no other file of the project may call a function."""
    if helper.is_private or helper.outer is not None:
        return True
    name, project = file.encode(helper.name), file.project
    return helper.cls is None and not any(
        name in project.source(path).data for path in project.paths if path != file.path
    )


def _kept_by_objects(file: PythonFile) -> list[tuple[Place, ast.expr]]:
    """Return the attributes that keep a parameter of `__init__`, with the argument for it in
    each call of the class in the file: `self.inbox = inbox`.
    """
    known: list[tuple[Place, ast.expr]] | None = file.__dict__.get("_kept_by_objects")
    if known is None:
        known = file.__dict__["_kept_by_objects"] = [
            (place, given) for cls in file.classes for place, given in _kept(file, cls)
        ]
    return known


def _kept(file: PythonFile, cls: Class) -> Iterator[tuple[Place, ast.expr]]:
    init = cls.methods.get("__init__")
    calls = [c for c in file.calls(cls.name) if function_of(file, c.func) is init]
    helped = [] if init is None else [args for _, args in made_by_helpers(file, cls)]
    if init is None or not (calls or helped):
        return
    for name in init.parameters[1:]:
        binding = init.scope.bindings.get(name)
        uses = [] if binding is None else file.uses(binding)
        above = parent(uses[0]) if len(uses) == 1 else None
        target = above.targets[0] if isinstance(above, ast.Assign) else None
        if isinstance(above, ast.AnnAssign):
            target = above.target
        if not isinstance(target, ast.Attribute) or not is_self(file, target.value):
            continue
        place = file.place(target)
        if place is None or len([u for u in cls.uses_of(target.attr) if u.mode == "write"]) != 1:
            continue
        at = init.parameters.index(name) - 1
        given = [argument(call, at, name) for call in calls]
        given += [args[at] if at < len(args) else None for args in helped]
        if None not in given:
            yield from ((place, one) for one in given if one is not None)
