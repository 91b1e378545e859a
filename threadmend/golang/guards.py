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
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from threadmend.golang.access import Access, access_of, classify, lock_class
from threadmend.golang.calls import code_files, leaf_at, occurrences
from threadmend.golang.infer import is_decl
from threadmend.golang.lock_runners import locking
from threadmend.golang.locks import LOCK_CALLS, Held, held_at, held_inside
from threadmend.golang.map_methods import stores_through
from threadmend.golang.scope import Binding
from threadmend.golang.setup import is_local_value, is_made_here, is_setup, tears_down_early
from threadmend.golang.syntax import Declaration, Node
from threadmend.golang.types import Named, Pointer, Struct, Type

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = ["FieldAccess", "Guard", "access_kind", "accesses_like", "guard_of", "guarded_places"]

_LOCK_TYPE = re.compile(rb"\b\w+\.(?:(?:RW)?Mutex|Locker)\b")
_OWN_LOCK = re.compile(
    rb"\b(\w+)\s*(?:=\s*|struct\s*\{\s*)\*?\w+\.(?:(?:RW)?Mutex|Locker)\b(?!\s*,)"
)
_SELECTED = re.compile(rb"\.([A-Za-z_]\w*)")
_WRITES = frozenset({"write", "update", "store"})


class FieldAccess:
    """One access of a field or package variable.

    `node` is the selector or identifier, `kind` that of `Use` (a write through a pointer in
    the field is a `read` of the field; `call` is a method call on it that may change it),
    `base` the object that the field belongs to, None for a package variable; `place` is the
    class of the field or variable.
    """

    def __init__(self, file: GoFile, node: Node, kind: str, base: Access | None) -> None:
        self.place = lock_class(file, node)
        self.file = file
        self.node = node
        self.kind = kind
        self.base = base

    def __repr__(self) -> str:
        line = self.file.source.line_of(self.node.start)
        return f"<{self.kind} {self.node.name} {self.file.path}:{line}>"

    @property
    def writes(self) -> bool:
        """Return whether the access changes the field or what it holds."""
        return self.kind in _WRITES

    @cached_property
    def held(self) -> frozenset[Held]:
        """Return the locks that are certainly held."""
        return held_at(self.file, self.node)

    @cached_property
    def held_here(self) -> frozenset[Held]:
        """Return the locks that the function itself holds, callers aside."""
        return held_inside(self.file, self.node)

    @cached_property
    def fresh(self) -> bool:
        """Return whether nobody else knows the object: it was made here, or is a copy."""
        if self.base is None:
            return False
        if is_made_here(self.file, self.node, self.base):
            return True
        return is_local_value(self.file, self.node["operand"])

    @cached_property
    def setup(self) -> bool:
        """Return whether the code only sets up or tears down.

        Who takes a lock to write while it tears down has others beside it.
        """
        if not is_setup(self.file, self.node):
            return False
        return not (self.writes and self.held_here and tears_down_early(self.file, self.node))

    def holds(self, lock: str, *, here: bool = False) -> bool:
        """Return whether a lock of this class, of the same object, is held."""
        held = self.held_here if here else self.held
        return any(h.lock_class == lock and self.belongs(h) for h in held)

    def belongs(self, held: Held) -> bool:
        """Return whether a held lock lives in the same object as the field, or globally."""
        if not isinstance(held.access.root, Binding) or self.base is None:
            return True
        if held.access.root != self.base.root:
            return False
        if _owner(held.lock_class) == _owner(self.place):
            # Two objects of one type: each has its own lock.
            return held.access.owner == self.base
        return True


def _owner(class_: str | None) -> str:
    return (class_ or "").rpartition(".")[0]


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


def _sources(package: Package) -> list[GoFile]:
    return [f for f in code_files(package) if not f.generated]


def _scan(package: Package) -> Iterator[FieldAccess]:
    files = _sources(package)
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
                base = access_of(file, node["operand"], selection.via)
                yield FieldAccess(file, node, access_kind(file, node), base)
    if variables:
        for node in declaration.node.find("identifier"):
            if node.name in variables and is_decl(file.resolve(node), "var"):
                if declaration.kind != "var_declaration" or node.function is not None:
                    yield FieldAccess(file, node, access_kind(file, node), None)


_CODE = frozenset({"function_declaration", "method_declaration", "var_declaration"})


def accesses_like(package: Package, file: GoFile, target: Node) -> list[FieldAccess]:
    """Return the accesses of the field or package variable that an expression names.

    `target` is a selector or identifier in `file`, of this package or one that this one imports.
    Test files are left out.
    """
    place = lock_class(file, target)
    known: dict[str | None, list[FieldAccess]] = package.facts.setdefault("alike", {})
    if place not in known:
        name = target["field"] if target.kind == "selector_expression" else target
        files = _sources(package) if place is not None else []
        kind = target.kind if file.package is package else "selector_expression"
        known[place] = [a for f in files for a in _alike(f, name.text, kind, place)]
    return known[place]


def _alike(file: GoFile, name: bytes, kind: str, place: str | None) -> Iterator[FieldAccess]:
    for at in occurrences(file.data, name):
        declaration = file.tree.declaration_at(at)
        if declaration is None or declaration.kind not in _CODE or declaration.has_error:
            continue
        leaf = leaf_at(declaration, at)
        node = leaf.parent if leaf is not None and leaf.field == "field" else leaf
        if node is None or node.kind != kind or node.function is None:
            continue
        if lock_class(file, node) == place:
            base = None
            if kind == "selector_expression":
                selection = file.selection(node)
                via = selection.via if selection is not None else ()
                base = access_of(file, node["operand"], via)
            yield FieldAccess(file, node, access_kind(file, node), base)


def access_kind(file: GoFile, node: Node) -> str:
    """Return how a field or variable is used: like `Use.kind`, but a pointer ends the path.

    `s.p.x = 1` reads `s.p`. Whoever takes a lock inside of a struct (`s.mu.Lock()`, where `mu`
    embeds the lock among what it guards) does not read the struct: that is a `call`. A method
    of a map type that writes elements is a `store`.
    """
    kind = classify(node).kind
    if kind in {"store", "read"}:
        target = node
        parent = target.parent
        while parent is not None and _continues(parent, target):
            type_ = file.type_of(target)
            if isinstance(file.underlying(type_), Pointer):
                return "read"
            if parent.field == "function":
                if _is_lock_itself(type_):
                    return "call"
                return "store" if stores_through(file, parent) else kind
            target, parent = parent, parent.parent
    return kind


def _continues(parent: Node, target: Node) -> bool:
    if parent.kind == "parenthesized_expression":
        return True
    if parent.kind == "unary_expression":
        return parent["operator"].kind == "*"
    return target.field == "operand" and parent.kind in {
        "selector_expression",
        "index_expression",
        "slice_expression",
    }


def _is_lock_itself(type_: Type | None) -> bool:
    """Return whether a method of what has the type is one of a lock: embedded, or the type."""
    return isinstance(type_, Struct) or (isinstance(type_, Named) and type_.package == "sync")


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
