"""Lock order: which lock is taken while which other one is held, over the whole project.

    graph = lock_order_graph(workspace)
    for cycle in graph.cycles: ...

A node is a lock class, an edge (held, taken) with the places where it happens. A cycle can
deadlock when its orders can run at once: not under one common lock, not while a program
starts, not when all of them only read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, uses_of
from threadmend.golang.effects import Pair, holders, pairs_of
from threadmend.golang.goroutines import launch_of_literal
from threadmend.golang.holding import holding_of
from threadmend.golang.locks import entry_locks
from threadmend.golang.scope import Binding
from threadmend.golang.setup import is_made_here
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, deref

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.workspace import Workspace

__all__ = ["Cycle", "LockOrder", "Witness", "is_new", "lock_order_graph"]

_STARTS = re.compile(r"^(?:init|main|new|make|setup|Test|Benchmark|Example)|^New")
_MOST_TRIED = 200  # combinations of witnesses of one cycle
_LONGEST = 5  # locks in a cycle

Edge = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Witness:
    """One place that takes a lock while it holds another; `gates` are held there as well."""

    pair: Pair
    gates: frozenset[str]

    @property
    def name(self) -> str:
        """Return the function, as `Type.method` or a name; a literal has its outer one's."""
        function: Node | None = self.pair.function
        while function is not None and function.kind == "func_literal":
            function = function.function
        if function is None:
            return "func"
        receiver = function.get("receiver")
        name = function.get("name")
        own = name.name if name is not None else "func"
        found = re.search(r"(\w+)(?:\[[^\]]*\])?\s*\)$", receiver.name) if receiver else None
        return f"{found[1]}.{own}" if found else own

    @property
    def order(self) -> tuple[int, str, int]:
        """Return what sorts witnesses: direct ones first."""
        return (len(self.pair.event.path), self.pair.node.path, self.pair.node.start)


@dataclass(frozen=True, slots=True)
class Cycle:
    """Locks that are taken in a circle, and one witness for each step.

    `certain`: all steps are known to be about the same objects (variables of a package, or
    fields of one object). `loose`: nothing shows that the steps meet, as in a tree, whose parents
    go on to their children.
    """

    classes: tuple[str, ...]
    witnesses: tuple[Witness, ...]
    certain: bool
    loose: bool = False


@dataclass(slots=True)
class LockOrder:
    """The graph: `nodes` are lock classes, `edges` maps (held, taken) to witnesses."""

    nodes: list[str] = field(default_factory=list)
    edges: dict[Edge, list[Witness]] = field(default_factory=dict)
    cycles: list[Cycle] = field(default_factory=list)


def lock_order_graph(workspace: Workspace) -> LockOrder:
    """Return the lock-order graph of a project, test files and set-up code left out."""
    known: LockOrder | None = workspace.facts.get("lock_order")
    if known is None:
        known = workspace.facts["lock_order"] = LockOrder()
        for package in workspace.packages:
            for file in package.files:
                if file.is_test or file.generated:
                    continue
                for edge, witness in _witnesses(file):
                    known.edges.setdefault(edge, []).append(witness)
        for witnesses in known.edges.values():
            witnesses.sort(key=lambda w: w.order)
        known.nodes = sorted({name for edge in known.edges for name in edge})
        known.cycles = list(_cycles(known))
    return known


def _witnesses(file: GoFile) -> Iterator[tuple[Edge, Witness]]:
    for function in holders(file):
        if _starts(file, function):
            continue
        for pair in pairs_of(file, function):
            held, taken = pair.held.lock_class, pair.event.lock_class
            if pair.event.kind != "acquire" or not pair.event.sure or held == taken:
                continue
            if held is None or taken is None:
                continue
            if _is_own(pair, pair.held.access) or _is_own(pair, pair.event.access):
                continue
            if is_new(file, pair) or _is_of_wrapper(file, held) or _is_of_wrapper(file, taken):
                continue
            yield (held, taken), Witness(pair, _gates(file, pair))


def _is_own(pair: Pair, access: Access | None) -> bool:
    """Return whether a lock is a variable of the function itself, which nobody else takes.

    One that the function captures is shared with those who capture it too.
    """
    if access is None or access.steps or not isinstance(access.root, Binding):
        return False
    return access.root.function is pair.function or access.root.kind != "variable"


def _is_of_wrapper(file: GoFile, lock_class: str) -> bool:
    """Return whether a lock is what a type that is a lock itself embeds: `type traced struct {
    sync.Mutex; … }` with a `Lock` of its own. Its objects are as many locks as there are.
    """
    type_name, _, name = lock_class.rpartition(".")
    key, _, owner = type_name.rpartition(".")
    package = file.package.workspace.package_by_key(key) if name in _EMBEDDED else None
    return package is not None and "Lock" in package.methods(owner)


_EMBEDDED = frozenset({"Mutex", "RWMutex"})


def _starts(file: GoFile, function: Node) -> bool:
    """Return whether a function runs while nothing else does yet; a goroutine does not."""
    outer: Node | None = function
    while outer is not None and outer.kind == "func_literal":
        if launch_of_literal(file, outer) is not None:
            return False
        outer = outer.function
    name = outer.get("name") if outer is not None else None
    return name is not None and bool(_STARTS.search(name.name))


def is_new(file: GoFile, pair: Pair) -> bool:
    """Return whether nobody else can know the object whose lock is taken, or is held, yet."""
    return any(
        access is not None and (is_made_here(file, pair.node, access) or _just_made(pair, access))
        for access in (pair.held.access, pair.event.access)
    )


def _just_made(pair: Pair, access: Access) -> bool:
    """Return whether `x = &T{…}` stands above in the same block."""
    if not isinstance(access.root, Binding):
        return False
    statement = pair.node.statement
    for use in uses_of(access.root):
        written = use.node.statement
        if use.kind != "write" or written is None or statement is None:
            continue
        if written.parent is not statement.parent or written.start > statement.start:
            continue
        value = written.get("right")
        if value is not None and value.text.startswith(b"&") and b"{" in value.text:
            return True
    return False


def _gates(file: GoFile, pair: Pair) -> frozenset[str]:
    """Return the other locks that are held, by class: whoever holds one excludes the other."""
    held = holding_of(file, pair.function).at(pair.node) | pair.event.held
    if pair.function.kind != "func_literal":
        held |= entry_locks(file, pair.function)
    classes = {h.lock_class for h in held if h.lock_class is not None and h.mode == "write"}
    return frozenset(c for c in classes if c not in {pair.held.lock_class, pair.event.lock_class})


# --- cycles ------------------------------------------------------------------------------


def _cycles(graph: LockOrder) -> Iterator[Cycle]:
    following: dict[str, list[str]] = {}
    for held, taken in sorted(graph.edges):
        following.setdefault(held, []).append(taken)
    seen: set[frozenset[str]] = set()
    for held, taken in sorted(graph.edges):
        path = _shortest(following, taken, held)
        if not path or len(path) > _LONGEST or frozenset(path) in seen:
            continue
        seen.add(frozenset(path))
        # path: taken … held; the edge held → taken closes the circle
        circle = [held, *path[:-1]]
        cycle = _proved(graph, circle)
        if cycle is not None:
            yield cycle


def _shortest(following: dict[str, list[str]], start: str, end: str) -> list[str]:
    """Return a shortest path from one lock to another, both included."""
    came: dict[str, str | None] = {start: None}
    todo = [start]
    for at in todo:
        if at == end:
            path = [at]
            while (before := came[path[-1]]) is not None:
                path.append(before)
            return path[::-1]
        for after in following.get(at, ()):
            if after not in came:
                came[after] = at
                todo.append(after)
    return []


def _proved(graph: LockOrder, circle: list[str]) -> Cycle | None:
    """Return the cycle with witnesses that can run at once and exclude each other."""
    steps = [
        graph.edges[held, taken]
        for held, taken in zip(circle, [*circle[1:], circle[0]], strict=True)
    ]
    best: Cycle | None = None
    for tried, chosen in enumerate(product(*(s[:8] for s in steps))):
        if tried > _MOST_TRIED:
            break
        if any(a.gates & b.gates for a, b in combinations(chosen, 2)):
            continue
        if not _exclude(chosen) or _apart(chosen) or _crossed(chosen):
            continue
        cycle = Cycle(tuple(circle), chosen, _certain(chosen), _loose(chosen))
        if cycle.certain:
            return cycle
        best = best or cycle
    return best


def _exclude(witnesses: tuple[Witness, ...]) -> bool:
    """Return whether on each lock of the circle one side writes, so that the other waits."""
    for index, witness in enumerate(witnesses):
        following = witnesses[(index + 1) % len(witnesses)]
        if witness.pair.event.mode == "read" and following.pair.held.mode == "read":
            return False
    return True


def _apart(witnesses: tuple[Witness, ...]) -> bool:
    """Return whether some lock of the circle is taken in one field and held in another.

    `t.requests.mu` and `t.previews.mu` have one class, and are two objects of one `t`.
    """
    for index, witness in enumerate(witnesses):
        following = witnesses[(index + 1) % len(witnesses)]
        taken, held = witness.pair.event.access, following.pair.held.access
        if taken is None or taken.steps == held.steps or len(taken.steps) != len(held.steps):
            continue
        if taken.steps[-1] != held.steps[-1] or any("[" in s for s in taken.steps + held.steps):
            continue
        if _type_of(witness.pair, taken) == _type_of(following.pair, held) != "":
            return True
    return False


def _crossed(witnesses: tuple[Witness, ...]) -> bool:
    """Return whether one step goes from one object to another of its type, and all the others
    keep to one: the locks that they lead back to belong to the other object.
    """
    crossing = 0
    for index, witness in enumerate(witnesses):
        following = witnesses[(index + 1) % len(witnesses)]
        held, taken = witness.pair.held.access, witness.pair.event.access
        if taken is None or taken.steps != following.pair.held.access.steps:
            return False
        if not isinstance(held.root, Binding) or not isinstance(taken.root, Binding):
            return False
        if _type_of(witness.pair, held) != _type_of(following.pair, following.pair.held.access):
            return False
        if held.root is not taken.root:
            crossing += 1
            if _type_of(witness.pair, held) != _type_of(witness.pair, taken):
                return False
    return crossing == 1


def _type_of(pair: Pair, access: Access) -> str:
    """Return the named type of what an access path starts at, `""` for another one."""
    if not isinstance(access.root, Binding):
        return ""
    type_ = deref(pair.file.package.workspace.inference.binding_type(access.root))
    return str(type_) if isinstance(type_, Named) else ""


def _loose(witnesses: tuple[Witness, ...]) -> bool:
    """Return whether no step keeps to one object, and one has lost what it takes on the way.

    Or whether a step goes from an object to another one of its type: `child.Health()`.
    """
    kept = [_keeps(w) for w in witnesses]
    if not any(kept) and any(w.pair.event.access is None for w in witnesses):
        return True
    return any(not k and _of_one_type(w) for k, w in zip(kept, witnesses, strict=True))


def _keeps(witness: Witness) -> bool:
    """Return whether the lock that is taken is reached from what the held one belongs to."""
    held, taken = witness.pair.held.access, witness.pair.event.access
    if taken is None:
        return False
    return held.root == taken.root or isinstance(held.root, tuple) or isinstance(taken.root, tuple)


def _of_one_type(witness: Witness) -> bool:
    held, taken = witness.pair.held.lock_class or "", witness.pair.event.lock_class or ""
    return held.rpartition(".")[0] == taken.rpartition(".")[0] and ":" not in held


def _certain(witnesses: tuple[Witness, ...]) -> bool:
    """Return whether every step speaks of the same objects."""
    shapes = []
    for witness in witnesses:
        held, taken = witness.pair.held.access, witness.pair.event.access
        if taken is None:
            return False
        package_level = isinstance(held.root, tuple), isinstance(taken.root, tuple)
        if all(package_level):
            continue
        if not held.steps and not taken.steps:
            continue  # two variables that are captured
        if held.root != taken.root:
            return False
        shapes.append(held.steps[:-1] == taken.steps[:-1])
    return all(shapes)
