"""Guards: which lock protects which field or package variable, as the package uses it.

The accesses of what a lock could guard are found in one pass over a package: fields of
structs that hold a lock, and package variables where a package variable is a lock. A place
is believed guarded when nearly all of its accesses are made under one and the same lock of
the same object (or of the package), one of them a write. Constructors, code on an object
that nobody else knows yet, and start-up or shut-down methods are no witnesses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from threadmend.golang.field_accesses import FieldAccess, sources
from threadmend.golang.infer import is_decl
from threadmend.golang.lock_runners import locking
from threadmend.golang.locks import LOCK_CALLS
from threadmend.golang.syntax import Declaration, Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = ["Guard", "guard_of", "guarded_places"]

_LOCK_TYPE = re.compile(rb"\b\w+\.(?:(?:RW)?Mutex|Locker)\b")
_OWN_LOCK = re.compile(
    rb"\b(\w+)\s*(?:=\s*|struct\s*\{\s*)\*?\w+\.(?:(?:RW)?Mutex|Locker)\b(?!\s*,)"
)
_SELECTED = re.compile(rb"\.([A-Za-z_]\w*)")


class Guard(NamedTuple):
    """The lock that guards a place: its class, and the accesses with and without it."""

    lock_class: str
    locked: list[FieldAccess]
    unlocked: list[FieldAccess]


def guarded_places(package: Package) -> dict[str, list[FieldAccess]]:
    """Return the accesses of everything that a lock of the package could guard, by class.

    The class is that of `lock_class`: `pkg.Type.field` or `pkg.variable`. Test files and
    generated files are left out.
    """
    found: dict[str, list[FieldAccess]] | None = package.facts.get("places")
    if found is None:
        found = package.facts["places"] = {}
        for access in _scan(package):
            if access.place is not None:
                found.setdefault(access.place, []).append(access)
    return found


def _scan(package: Package) -> Iterator[FieldAccess]:
    files = sources(package)
    if not any(f.holds(LOCK_CALLS) for f in files):
        return
    sections = [(f, d) for f in files for d in f.declarations(locking(package))]
    fields = _candidate_fields(package, files, sections)
    variables = _candidate_variables(package, sections)
    words = [rb"\.(?:" + b"|".join(sorted(fields)) + rb")\b"] if fields else []
    if variables:
        words.append(rb"\b(?:" + b"|".join(v.encode() for v in sorted(variables)) + rb")\b")
    if not words:
        return
    pattern = re.compile(b"|".join(words))
    for file in files:
        for declaration in file.declarations(pattern):
            yield from _in_declaration(file, declaration, fields, variables)


def _candidate_fields(
    package: Package, files: list[GoFile], taking: list[tuple[GoFile, Declaration]]
) -> frozenset[bytes]:
    """Return the names of fields of structs that hold a lock, used where locks are taken.

    Or in a method that is called there.
    """
    names: set[bytes] = set()
    lock_type = _lock_types(package)
    for file in files:
        for declaration in file.tree.declarations:
            if declaration.kind == "type_declaration":
                if lock_type.search(file.data, declaration.start, declaration.end):
                    names.update(_field_names(declaration))
                    for part in _embedded(package, declaration):
                        names.update(_field_names(part))
    if not names:
        return frozenset()
    used: set[bytes] = set()
    for file, declaration in taking:
        used.update(_SELECTED.findall(file.data, declaration.start, declaration.end))
    for methods in package.all_methods().values():
        for name, decls in methods.items():
            if name.encode() in used and not name[:1].isupper():
                for decl in decls:
                    used.update(_SELECTED.findall(decl.file.data, *decl.span))
    return frozenset(names & used)


def _lock_types(package: Package) -> re.Pattern[bytes]:
    """Return what the types of locks look like: `sync.Mutex`, and types that the package makes.

    An alias (`type lock = sync.Mutex`), or a struct with the lock embedded in it.
    """
    known: re.Pattern[bytes] | None = package.facts.get("lock types")
    if known is None:
        own: set[bytes] = set()
        for file in package.files:
            if _LOCK_TYPE.search(file.data):
                for found in _OWN_LOCK.finditer(file.data):
                    declaration = file.tree.declaration_at(found.start())
                    if declaration is not None and declaration.kind == "type_declaration":
                        own.add(found[1])
        words = rb"|\b(?:" + b"|".join(sorted(own)) + rb")\b(?!\s*(?:=|struct\b))" if own else b""
        known = package.facts["lock types"] = re.compile(_LOCK_TYPE.pattern + words)
    return known


def _embedded(package: Package, declaration: Declaration) -> Iterator[Node]:
    """Yield the structs of the package that stand in others by value, without a name."""
    for field in declaration.index.get("field_declaration", ()):
        type_ = field.get("type")
        if type_ is not None and type_.kind == "type_identifier" and not field.all("name"):
            decl = package.lookup(type_.name)
            if decl is not None and decl.kind == "type" and b"*" not in field.text:
                yield decl.node


def _field_names(declaration: Declaration | Node) -> Iterator[bytes]:
    """Yield the fields whose own type needs no lock: locks, channels and atomics left out."""
    found = (
        declaration.find("field_declaration")
        if isinstance(declaration, Node)
        else declaration.index.get("field_declaration", ())
    )
    for field in found:
        type_ = field.get("type")
        if type_ is not None and not _SAFE.match(type_.text):
            for name in field.all("name"):
                yield name.text


# Made to be shared: what a lock guards is something else.
_SAFE = re.compile(
    rb"\*?(?:sync|atomic|deadlock|singleflight|errgroup)\.|(?:<-\s*)?chan\b|context\.|struct\{\}$"
)


def _candidate_variables(
    package: Package, taking: list[tuple[GoFile, Declaration]]
) -> frozenset[str]:
    """Return the package variables used where a lock of the package is taken."""
    names = {n for n, ds in package.names.items() if n != "_" and any(d.kind == "var" for d in ds)}
    if not names or not any(_is_lock(package, n) for n in names):
        return frozenset()
    used: set[str] = set()
    for file, declaration in taking:
        found = _UNSELECTED.findall(file.data, declaration.start, declaration.end)
        used.update(map(bytes.decode, found))
    return frozenset(n for n in used & names if not _SAFE.match(_type_text(package, n)))


_UNSELECTED = re.compile(rb"(?<![.\w])\w+")


def _is_lock(package: Package, name: str) -> bool:
    decl = package.lookup(name)
    if decl is None or decl.kind != "var":
        return False
    start, end = decl.span
    return bool(_lock_types(package).search(decl.file.data, start, end))


def _type_text(package: Package, name: str) -> bytes:
    decl = package.lookup(name)
    type_ = decl.node.get("type") if decl is not None else None
    if type_ is not None:
        return type_.text
    values = decl.node.get("value") if decl is not None else None
    return values.children[0].text.lstrip(b"&") if values is not None and values.children else b""


def _in_declaration(
    file: GoFile, declaration: Declaration, fields: frozenset[bytes], variables: frozenset[str]
) -> Iterator[FieldAccess]:
    data = file.data
    for node in declaration.index.get("selector_expression", ()):
        name = node.children[-1]
        if data[name.start : name.end] in fields:
            selection = file.selection(node)
            if selection is None or selection.kind != "field" or selection.owner is None:
                continue
            if selection.owner.package == file.package.key:
                yield FieldAccess.at(file, node)
    if variables:
        for node in declaration.node.find("identifier"):
            if node.name in variables and is_decl(file.resolve(node), "var"):
                if declaration.kind != "var_declaration" or node.function is not None:
                    yield FieldAccess.at(file, node)


def guard_of(accesses: list[FieldAccess], *, written: bool = True) -> Guard | None:
    """Return the lock under which most accesses of a place are made, with the counts.

    A write outside of set-up code is among them, unless `written` is False. How many are
    enough is for the caller to say. Locked and unlocked accesses come in source order.
    """
    shared = [a for a in accesses if not a.fresh]
    classes: Counter[str] = Counter()
    for access in shared:
        classes.update({h.lock_class for h in access.held_here if h.lock_class})
    if not classes and any(a.writes for a in shared):
        for access in shared:  # under the callers' locks, perhaps
            classes.update({h.lock_class for h in access.held if h.lock_class})
    best: Guard | None = None
    for lock, count in sorted(classes.items(), key=lambda item: (-item[1], item[0])):
        if best is not None and count * 4 < len(best.locked):
            break
        locked = [a for a in shared if a.holds(lock, here=True) or a.holds(lock)]
        if best is None or len(locked) > len(best.locked):
            found = set(map(id, locked))
            best = Guard(lock, locked, [a for a in shared if id(a) not in found])
    if best is None or (written and not any(a.writes and not a.setup for a in best.locked)):
        return None
    return best
