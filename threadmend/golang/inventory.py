"""Inventory: the locks, channels, goroutines and contexts of a package, tests left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from threadmend.golang.coverage import coverage
from threadmend.golang.endings import endings
from threadmend.golang.guards import guard_of, guarded_places
from threadmend.golang.leakchecks import first_launch, is_tested, looks_already
from threadmend.golang.lockorder import Witness, lock_order_graph
from threadmend.golang.locks import lock_operation
from threadmend.golang.owners import channels, unclosed_ranges
from threadmend.golang.syntax import Node
from threadmend.golang.topology import channels_picture, lock_graph
from threadmend.inventory import Cycle, Inventory, Lock, Nesting, Spot, Tested

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package
    from threadmend.golang.workspace import Workspace

__all__ = ["inventory", "lock_order"]

Wanted = Callable[[str], bool]

_TAKES = ("Lock", "RLock", "TryLock", "TryRLock")


def inventory(package: Package, wanted: Wanted) -> Inventory:
    """Return what the wanted files of a package have; test and generated files count for nothing.

    Lock order is a matter of the whole project: see `lock_order`.
    """
    files = [
        file
        for file in package.files
        if wanted(file.path) and not file.is_test_file and not file.generated
    ]
    unclosed = unclosed_ranges(package, files)
    return Inventory(
        locks=list(_locks(package, files)),
        channels=list(channels(package, files)),
        launches=[launch for file in files for launch in endings(file, unclosed)],
        calls=[call for file in files for call in coverage(file)],
        tested=list(_tested(package)),
        pictures=[channels_picture(files)],
    )


def _tested(package: Package) -> Iterator[Tested]:
    """Yield the package's folder if its tests start goroutines, with its first package."""
    together = package.workspace.in_directory(package.directory)
    if package is not together[0]:
        return
    files = [file for one in together for file in one.files]
    found = first_launch(files) if is_tested(files) else None
    if found is not None:
        file, launch = found
        yield Tested(package.directory, _spot(file, launch.node), looks_already(files))


def _locks(package: Package, files: list[GoFile]) -> Iterator[Lock]:
    types: dict[str, str] = {}
    taken: dict[str, list[Spot]] = {}
    for file in files:
        for call in file.calls(*_TAKES):
            operation = lock_operation(file, call)
            name = operation.lock_class if operation is not None else None
            if operation is not None and name is not None:
                types[name] = operation.type
                taken.setdefault(name, []).append(_spot(file, call))
    guarded = _guarded(package) if taken else {}
    for name, spots in sorted(taken.items()):
        guards = tuple(sorted(guarded.get(name, ())))
        yield Lock(name, types[name], _declared(package, name), tuple(spots), guards)


def _guarded(package: Package) -> dict[str, set[str]]:
    """Return the fields and variables that most code touches under a lock, by its class."""
    found: dict[str, set[str]] = {}
    for place, accesses in guarded_places(package).items():
        guard = guard_of(accesses)
        if guard is not None and len(guard.locked) > len(guard.unlocked):
            found.setdefault(guard.lock_class, set()).add(place.rpartition(".")[2])
    return found


def _declared(package: Package, name: str) -> Spot | None:
    """Return where a lock's field or variable is declared, if this package does so."""
    owner = next((o for o in (package.path, package.key) if name.startswith(f"{o}.")), None)
    if owner is None:
        path, _, rest = name.partition(":")
        line = rest.partition(".")[0]
        return Spot(path, int(line)) if line.isdigit() else None
    first, _, rest = name[len(owner) + 1 :].partition(".")
    decl = package.lookup(first)
    if decl is None:
        return None
    field = rest.partition(".")[0].partition("[")[0]
    node = _field(decl.node, field) if decl.kind == "type" and field else None
    return _spot(decl.file, node or decl.node)


def _field(type_: Node, name: str) -> Node | None:
    for field in type_.find("field_declaration"):
        names = [one.name for one in field.all("name")]
        kind = field.get("type")
        if not names and kind is not None:
            names = [kind.name.lstrip("*").rpartition(".")[2]]
        if name in names:
            return field
    return None


def _spot(file: GoFile, node: Node) -> Spot:
    return Spot(file.path, file.source.line_of(node.start))


def lock_order(workspace: Workspace, wanted: Wanted) -> Inventory:
    """Return the order in which locks are taken: every nesting, every cycle, the picture."""
    order = lock_order_graph(workspace)
    found = Inventory()
    for (held, taken), witnesses in sorted(order.edges.items()):
        for witness in witnesses:
            if wanted(witness.pair.file.path):
                found.nestings.append(_nesting(held, taken, witness))
    for cycle in order.cycles:
        steps = zip(cycle.classes, (*cycle.classes[1:], cycle.classes[0]), strict=True)
        if any(wanted(witness.pair.file.path) for witness in cycle.witnesses):
            named = tuple(
                _nesting(held, taken, witness)
                for (held, taken), witness in zip(steps, cycle.witnesses, strict=True)
            )
            found.cycles.append(Cycle(cycle.classes, named))
    found.orders.append(lock_graph(workspace, {p for p in workspace.go_files if wanted(p)}))
    return found


def _nesting(held: str, taken: str, witness: Witness) -> Nesting:
    return Nesting(held, taken, witness.name, _spot(witness.pair.file, witness.pair.node))
