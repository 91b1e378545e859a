"""What the rules of unguarded shared state share: a new lock beside the variable, used everywhere.

    type server struct {          type server struct {
        hits int             →        mu   sync.Mutex
    }                                 hits int
                                  }

Every function of the package that uses the variable takes the lock; set-up code, objects
made in the function and tests do not.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from threadmend.golang.access import variable_meant
from threadmend.golang.builders import (
    BuilderError,
    add_field,
    add_import,
    free_name,
    taken_names,
    with_reason,
)
from threadmend.golang.builders.lines import leading_start
from threadmend.golang.builders.structs import fields
from threadmend.golang.calls import occurrences
from threadmend.golang.crowds import own_nodes, runs_along
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.functions import outer_function
from threadmend.golang.guards import guard_of
from threadmend.golang.package import Decl, Package
from threadmend.golang.races import SharedWrite, shared_writes
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._containers import calls_into, containers_beside
from ._guard_edits import LockForm, put_under_lock
from ._launch_later import launch_after_writes

__all__ = ["guard_fields", "guard_variable", "owner_races", "variable_races"]

_REASON = "every use of {} in the package now waits for its turn"


def owner_races(package: Package, *, maps: bool) -> Iterator[Finding]:
    """Yield a finding for each struct without a lock whose fields are written by a crowd."""
    groups: dict[str, list[SharedWrite]] = {}
    for write in shared_writes(package):
        if write.access.base is not None and not _is_guarded(package, write):
            groups.setdefault(write.place.rpartition(".")[0], []).append(write)
    for writes in groups.values():
        # One lock guards maps and other fields of a struct: either rule brings the same fix.
        mine = [w for w in writes if w.is_map is maps]
        if mine:
            later = launch_after_writes(package, writes)
            yield _finding(
                mine, *((later, "") if later else with_reason(_field_fix)(package, writes))
            )


def variable_races(package: Package, *, maps: bool) -> Iterator[Finding]:
    """Yield a finding for each package variable that a crowd writes without a lock."""
    groups: dict[str, list[SharedWrite]] = {}
    for write in shared_writes(package):
        if write.access.base is None and not _is_guarded(package, write):
            groups.setdefault(write.place, []).append(write)
    for place, writes in groups.items():
        if writes[0].is_map is maps:
            yield _finding(writes, *_variables_fix(package, groups, place))


def _variables_fix(
    package: Package, groups: dict[str, list[SharedWrite]], place: str
) -> tuple[Fix | None, str]:
    """Return the fix with one lock for all variables that the same functions use, or for one."""
    racing = _racing(package)
    several = _beside(package, groups, place, racing)
    if len(several) > 1:
        fix, _ = with_reason(guard_variables)(package, several, racing)
        if fix is not None:
            return fix, ""
    return with_reason(guard_variable)(package, groups[place][0].access, racing)


def _beside(
    package: Package,
    groups: dict[str, list[SharedWrite]],
    place: str,
    tops: set[Node | None],
) -> list[FieldAccess]:
    """Return an access of each racing variable of a file that shares functions with a place."""
    users = {
        p: {outer_function(a.node) for a in _all(package, writes[0].access, tops)}
        for p, writes in groups.items()
    }
    home = _home(groups[place][0].access)
    found, before = {place}, 0
    while len(found) > before:
        before = len(found)
        known = set().union(*(users[p] for p in found))
        found |= {p for p in groups if users[p] & known and _home(groups[p][0].access) is home}
    return [writes[0].access for p, writes in groups.items() if p in found]


def _home(access: FieldAccess) -> GoFile | None:
    decl = access.file.resolve(access.node)
    return decl.file if isinstance(decl, Decl) else None


def _is_guarded(package: Package, write: SharedWrite) -> bool:
    """Return whether a lock is believed to guard the place: then the write should take it."""
    accesses = accesses_like(package, write.access.file, write.access.node)
    return guard_of(accesses, written=False) is not None


def _finding(writes: list[SharedWrite], fix: Fix | None, reason: str) -> Finding:
    write = writes[0]
    node, root = write.access.node, write.crowd.root
    related = [Related(root.path, root.start, _head_end(root), write.crowd.why)]
    if write.other is not None and write.other is not node:
        other = write.other
        related.append(Related(other.path, other.start, other.end, "used at the same time here"))
    who = "requests are handled" if "handler" in write.crowd.why else "goroutines run"
    where = f"where several {who} at the same time"
    if write.other is not None:
        where = "in a goroutine, while others may use it"
        if not write.by_goroutine:
            where = "while a goroutine that runs already may use it"
    return Finding(
        path=node.path,
        start=node.start,
        end=node.end,
        message=f"{node.name} is written without a lock {where}",
        fixes=(fix,) if fix is not None else (),
        related=tuple(related),
        reason=reason,
    )


def _head_end(root: Node) -> int:
    """Return where to stop showing a root: a function's body is not part of it."""
    for node in root.walk():
        if node.kind in FUNCTIONS:
            body = node.get("body")
            return body.start if body is not None else node.end
    return root.end


# -- where the lock goes ----------------------------------------------------------------


def _field_fix(package: Package, writes: list[SharedWrite]) -> Fix:
    unique = {w.place: w.access for w in writes}
    return guard_fields(package, list(unique.values()), _racing(package))


def guard_fields(
    package: Package,
    racing: list[FieldAccess],
    tops: set[Node | None],
    seen: Sequence[FieldAccess] = (),
) -> Fix:
    """Return the fix that guards the fields of one struct, one access of each given.

    `tops` are the functions known to race: they take the lock even where they look like
    set-up. So do the accesses that were `seen` to, those of tests too. Raises BuilderError
    when there is no good form.
    """
    class_ = (racing[0].place or "").rpartition(".")[0]
    owner = class_.rpartition(".")[2]
    decl = package.lookup(owner)
    if decl is None or decl.kind != "type" or decl.file.generated:
        raise BuilderError("the type is declared elsewhere")
    if class_ != f"{package.key}.{owner}":
        raise BuilderError("the type is declared elsewhere")  # one of ours has its name
    struct = decl.node.get("type")
    if struct is None or struct.kind != "struct_type":
        raise BuilderError(f"{owner} is not declared as a struct")
    _must_not_be_copied(package, decl)
    names = {(a.place or "").rpartition(".")[2] for a in racing}
    declared = fields(struct)
    lock, edits = _own_lock(struct), list[Edit]()
    title = f"Guard {' and '.join(sorted(names))} with "
    if lock is None:
        taken = {n.name for f in declared for n in f.all("name")} | set(package.methods(owner))
        lock = free_name("mu", taken)
        first = next((f for f in declared if any(n.name in names for n in f.all("name"))), None)
        if first is None:
            raise BuilderError("the field has no name of its own")
        edits = [*add_field(struct, lock, "sync.Mutex", before=first), *_sync(decl.file)]
        title += "a new field "
    title += lock
    accesses = [a for one in racing for a in _all(package, one, tops)]
    for group in containers_beside(package, decl, accesses) if accesses else ():
        accesses += [a for a in group if outer_function(a.node) in tops or not (a.fresh or a.setup)]
    accesses += _tested(seen, accesses)
    named = f"{class_}.{lock}"
    for place_edits in _locked(package, accesses, lambda a: f"{_operand(a)}.{lock}", named):
        edits.extend(place_edits)
    return _unsafe(title, edits, owner)


def _unsafe(title: str, edits: list[Edit], name: str) -> Fix:
    """Return the fix; raises BuilderError where two accesses share a statement in such a way
    that their edits get into each other's way: `if x.ok(); x.n > 0`.
    """
    unique = sorted(dict.fromkeys(edits))
    for one, following in itertools.pairwise(unique):
        if one.path == following.path and one.end > following.start:
            raise BuilderError("the accesses stand too close to each other")
    return Fix(title, tuple(unique), Safety.UNSAFE, _REASON.format(name))


def _own_lock(struct: Node) -> str | None:
    """Return the lock that a struct has already, if it has exactly one with a name."""
    found = [
        name.name
        for field in fields(struct)
        for name in field.all("name")
        if field["type"].text in {b"sync.Mutex", b"sync.RWMutex"}
    ]
    return found[0] if len(found) == 1 else None


def guard_variable(
    package: Package,
    access: FieldAccess,
    tops: set[Node | None],
    seen: Sequence[FieldAccess] = (),
) -> Fix:
    """Return the fix that guards a package variable; as `guard_fields`."""
    return guard_variables(package, [access], tops, seen)


def guard_variables(
    package: Package,
    racing: Sequence[FieldAccess],
    tops: set[Node | None],
    seen: Sequence[FieldAccess] = (),
) -> Fix:
    """Return the fix that guards package variables of one file, one access of each given."""
    found = [d for a in racing if isinstance(d := a.file.resolve(a.node), Decl)]
    decls = sorted(found, key=lambda d: d.node.start)
    if len(decls) < len(racing) or any(d.file.generated for d in decls):
        raise BuilderError("the variable is declared elsewhere")
    first, names = decls[0], list(dict.fromkeys(d.name for d in decls))
    accesses = [a for one in racing for a in _all(package, one, tops)]
    taken = set(package.names)
    if len(names) > 1:
        functions = [f for a in accesses if (f := outer_function(a.node)) is not None]
        taken |= taken_names(*dict.fromkeys(functions))
    lock = free_name("mu" if len(names) > 1 else f"{names[0]}Mu", taken)
    tree, source = first.file.tree, first.file.source
    top = leading_start(tree, first.span[0])
    newline = source.newline
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    code = f"// {lock} guards {listed}.".encode() + newline
    code += f"var {lock} sync.Mutex".encode() + newline * 2
    edits = [Edit(first.file.path, top, top, code), *_sync(first.file)]
    accesses += _tested(seen, accesses)
    for place_edits in _locked(package, accesses, lambda _: lock, ""):
        edits.extend(place_edits)
    return _unsafe(f"Guard {listed} with a new variable {lock}", edits, listed)


def _sync(file: GoFile) -> tuple[Edit, ...]:
    if file.imported("sync") not in {None, "sync"} or file.package.lookup("sync") is not None:
        raise BuilderError("the name sync is taken")
    return add_import(file.tree, "sync")


def _must_not_be_copied(package: Package, decl: Decl) -> None:
    """Refuse a type that is copied or written without field names: it cannot hold a lock."""
    for methods in package.methods(decl.name).values():
        for method in methods:
            receiver = method.node["receiver"]
            if not any(n.kind == "pointer_type" for n in receiver.walk()):
                raise BuilderError(f"{decl.name}.{method.name} has a value receiver")
    for file in package.files:
        for at in occurrences(file.data, decl.name.encode()):
            declaration = file.tree.declaration_at(at)
            if declaration is None or declaration.kind not in _CODE:
                continue
            for literal in declaration.index.get("composite_literal", ()):
                if literal["type"].start == at and _is_unkeyed(literal):
                    raise BuilderError(f"{decl.name} is written without field names somewhere")


_CODE = frozenset({"function_declaration", "method_declaration", "var_declaration"})


def _is_unkeyed(literal: Node) -> bool:
    return any(c.kind == "literal_element" for c in literal["body"].children)


# -- the accesses -----------------------------------------------------------------------


def _racing(package: Package) -> set[Node | None]:
    """Return the functions that were shown to race: the writing one, and the one that meets it."""
    return {
        outer_function(node)
        for write in shared_writes(package)
        for node in (write.access.node, write.other)
        if node is not None
    }


def _all(package: Package, access: FieldAccess, tops: set[Node | None]) -> list[FieldAccess]:
    """Return the accesses of a place that need the lock: those that others may meet."""
    return [
        a
        for a in accesses_like(package, access.file, access.node)
        if outer_function(a.node) in tops or not (a.fresh or a.setup)
    ]


def _tested(seen: Sequence[FieldAccess], known: list[FieldAccess]) -> list[FieldAccess]:
    """Return the accesses that were seen in tests."""
    places, nodes = {a.place for a in known}, {a.node for a in known}
    return [a for a in seen if a.file.is_test and a.place in places and a.node not in nodes]


def _operand(access: FieldAccess) -> str:
    operand = access.node["operand"]
    if operand.kind == "selector_expression" and _is_part(access.file, operand):
        return operand.text.decode()
    if operand.kind != "identifier":
        raise BuilderError(f"{access.node.name} is reached over another object")
    meant = variable_meant(access.file, operand)  # `self := s`: the lock comes above that
    return meant.name if meant is not None else operand.name


def _is_part(file: GoFile, operand: Node) -> bool:
    """Return whether `s.stats` is the same object for as long as `s` is known to anybody."""
    while operand.kind == "selector_expression":
        selection = file.selection(operand)
        if selection is None or selection.kind != "field":
            return False
        others = accesses_like(file.package, file, operand)
        if any((a.writes or a.kind == "address") and not (a.fresh or a.setup) for a in others):
            return False
        operand = operand["operand"]
    return operand.kind == "identifier"


def _locked(
    package: Package,
    accesses: list[FieldAccess],
    name: Callable[[FieldAccess], str],
    lock_class: str,
) -> Iterator[tuple[Edit, ...]]:
    """Yield the edits that put the accesses of each function under the lock."""
    groups: dict[Node, list[FieldAccess]] = {}
    for access in accesses:
        if access.kind == "address" and not _is_momentary(access):
            raise BuilderError(f"the address of {access.node.name} is taken")
        groups.setdefault(_runner(access), []).append(access)
    tops = {outer_function(a.node) for a in accesses}
    for function, group in groups.items():
        locks = {name(a) for a in group}
        if len(locks) > 1:
            raise BuilderError("several objects of the type are used in one function")
        file = group[0].file
        writes = any(a.writes or calls_into(a) for a in group)
        lock = LockForm(locks.pop(), lock_class)
        nodes = [a.node for a in group]
        inside = any(function.contains(o) for o in groups if o is not function)
        # What a deferred literal puts back is put back in a section of its own.
        together = writes and len(nodes) > 1 and not inside
        whole = not inside and not _calls_any(file, function, tops, 3)
        yield put_under_lock(file, function, nodes, lock, together=together, whole=whole)[0]


def _is_momentary(access: FieldAccess) -> bool:
    """Return whether an address is only lent to a call of fmt: `fmt.Fprintf(&r.buf, …)`."""
    address = access.node.parent
    arguments = address.parent if address is not None else None
    if arguments is None or arguments.kind != "argument_list" or arguments.parent is None:
        return False
    function = arguments.parent["function"]
    if function.kind != "selector_expression" or function["operand"].kind != "identifier":
        return False
    return access.file.imported(function["operand"].name) in {"fmt", "io"}


def _runner(access: FieldAccess) -> Node:
    """Return the function whose own code an access is, literals that run in place passed.

    A deferred literal takes the lock itself: it may run long after what stands around it.
    """
    function = access.node.function
    while function is not None and function.kind == "func_literal":
        if not runs_along(access.file, function) or function.function is None:
            return function
        if function.is_deferred:
            return function
        function = function.function
    if function is None:
        raise BuilderError("an access stands outside of functions")
    return function


def _calls_any(file: GoFile, function: Node, tops: set[Node | None], depth: int) -> bool:
    """Return whether a function calls one that takes the lock, some levels down."""
    for node in own_nodes(file, function):
        if node.kind == "call_expression":
            decl = file.callee(node)
            if decl is None or decl.file.package is not file.package or not decl.sound:
                continue
            if decl.node in tops:
                return True
            if depth > 0 and decl.node is not function:
                if _calls_any(decl.file, decl.node, tops, depth - 1):
                    return True
    return False
