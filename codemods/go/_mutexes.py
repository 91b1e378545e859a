"""Which mutexes of a package can be of another type: those that only their methods are used of.

    type T struct {
        mu sync.Mutex          t.mu.Lock(), sync.NewCond(&t.mu), T{mu: sync.Mutex{}}
    }

Where the address or the value goes elsewhere (a function with a `*sync.Mutex`, another module),
the type shows, and the mutex stays what it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import uses_of
from threadmend.golang.file import GoFile
from threadmend.golang.package import Decl, Package
from threadmend.golang.scope import Binding, declared_name
from threadmend.golang.syntax import Node
from threadmend.golang.types import Struct, deref, is_named

__all__ = ["Place", "movable"]

_KINDS = frozenset({"Mutex", "RWMutex"})


@dataclass(frozen=True, slots=True)
class Place:
    """A `sync.Mutex` or `sync.RWMutex` in the code of a file."""

    file: GoFile
    node: Node

    @property
    def kind(self) -> str:
        """Return `Mutex` or `RWMutex`."""
        return self.node["name"].name


@dataclass(frozen=True, slots=True)
class _Mutex:
    """A declaration of mutexes: what it names, and the node whose type they have."""

    place: Place
    holder: Node
    names: tuple[Node, ...]
    """None for an embedded one, which is named for its type."""

    @property
    def words(self) -> frozenset[str]:
        return frozenset(name.name for name in self.names) or frozenset({self.place.kind})

    @property
    def anonymous(self) -> bool:
        """Return whether it is a field of a struct type without a name."""
        struct = self.holder.up("struct_type")
        return struct is not None and (struct.parent is None or struct.parent.kind != "type_spec")


def _sync_types(file: GoFile) -> Iterator[Place]:
    """Yield the places of a file where sync's mutexes stand as types."""
    name = next((i.name for i in file.imports if i.path == "sync"), "")
    if name in {"", "."}:
        return
    wanted = re.compile(rb"\b" + re.escape(name.encode()) + rb"\.(?:RW)?Mutex\b")
    for declaration in file.tree.declarations:
        if declaration.has_error or declaration.kind == "import_declaration":
            continue
        if wanted.search(file.data, declaration.start, declaration.end):
            for node in declaration.index.get("qualified_type", ()):
                if node["package"].name == name and node["name"].name in _KINDS:
                    yield Place(file, node)


def movable(package: Package, files: list[GoFile]) -> list[Place]:
    """Return the mutexes declared in some files of a package whose type nobody else sees.

    Places of `sync.Mutex{}` that such a mutex is set to come along.
    """
    mutexes = [m for file in files for p in _sync_types(file) if (m := _declared(p)) is not None]
    literals: dict[_Mutex, list[Place]] = {mutex: [] for mutex in mutexes}
    shown: set[_Mutex] = set()
    for file in _readers(package, mutexes):
        for mutex, seen in _exposures(file, mutexes):
            if seen is not None and seen.file in files:
                literals[mutex].append(seen)
            else:
                shown.add(mutex)
    if any(m.anonymous for m in shown):
        # Struct types without names are the same wherever they are written the same.
        shown |= {m for m in mutexes if m.anonymous}
    return [p for m in mutexes if m not in shown for p in (m.place, *literals[m])]


def _declared(place: Place) -> _Mutex | None:
    """Return the field or variable that has just this type, or an array of it."""
    holder = place.node.parent
    if holder is not None and holder.kind == "array_type":
        holder = holder.parent
    if holder is None or holder.kind not in {"field_declaration", "var_spec"}:
        return None
    names = tuple(holder.all("name"))
    if holder.kind == "var_spec" and holder.get("value") is not None:
        return None
    if not names and place.node.field != "type":
        return None  # embedded by its pointer
    return _Mutex(place, holder, names)


# -- who sees the type -------------------------------------------------------------------------


def _readers(package: Package, mutexes: list[_Mutex]) -> Iterator[GoFile]:
    """Yield the files that can name one of the mutexes."""
    if mutexes:
        yield from package.files
    if any(not m.names or any(w[:1].isupper() for w in m.words) for m in mutexes):
        for other in package.workspace.packages:
            if other is not package:
                yield from other.files


def _exposures(file: GoFile, mutexes: list[_Mutex]) -> Iterator[tuple[_Mutex, Place | None]]:
    """Yield the uses in a file that show a mutex's type; with the literal that it is set to."""
    words = {word: [m for m in mutexes if word in m.words] for m in mutexes for word in m.words}
    if not words:
        return
    either = b"|".join(re.escape(word.encode()) for word in sorted(words))
    method = rb"[ \t]*\.(?:R?Lock|R?Unlock|TryR?Lock|RLocker)\b"
    name = rb"(?<!sync\.)\b(?:" + either + rb")\b(?!" + method + rb")"
    wanted = re.compile(name + rb"|\.(?:RW)?Mutex\{")
    for declaration in file.tree.declarations:
        if not wanted.search(file.data, declaration.start, declaration.end):
            continue
        for node in declaration.node.walk():
            if node.kind in {"field_identifier", "identifier"} and node.name in words:
                meant = [m for m in words[node.name] if _may_mean(file, node, m)]
                seen = _seen(file, node) if meant else None
                if seen is not None:
                    yield from ((m, seen if isinstance(seen, Place) else None) for m in meant)
            elif node.kind == "literal_value" and _sets_by_order(file, node):
                yield from ((m, None) for m in mutexes)


def _may_mean(file: GoFile, node: Node, mutex: _Mutex) -> bool:
    """Return whether a name may be that of a mutex, other than where it is declared."""
    if mutex.holder.tree is node.tree and mutex.holder.contains(node):
        return False
    if mutex.holder.kind == "var_spec":
        return _is_variable(file, node, mutex)
    parent = node.parent
    if parent is None:
        return False
    inference = file.package.workspace.inference
    if parent.kind == "selector_expression" and node.field == "field":
        found = inference.selection(parent)
        return found is None or _is_field(found.node, mutex)
    if parent.kind == "literal_element" and parent.field == "key":
        type_ = deref(file.type_of(parent.up("literal_value")))
        if type_ is None or not isinstance(file.underlying(type_), Struct):
            return type_ is None
        found = inference.member(type_, node.name)
        return found is None or _is_field(found.node, mutex)
    return False


def _is_field(declared: Node | None, mutex: _Mutex) -> bool:
    if declared is None:
        return False
    holder = declared if declared.kind == "field_declaration" else declared.up("field_declaration")
    mine = mutex.holder
    return holder is None or (holder.path, holder.start) == (mine.path, mine.start)


def _is_variable(file: GoFile, node: Node, mutex: _Mutex) -> bool:
    """Return whether a name means a variable of the declaration; of this or another package."""
    parent = node.parent
    if parent is not None and parent.kind == "selector_expression" and node.field == "field":
        found = file.selection(parent)
        return found is not None and found.kind == "package" and _declares(found.decl, mutex)
    meant = file.resolve(node) if node.kind == "identifier" else None
    if isinstance(meant, Binding):
        return meant.declaration.contains(mutex.holder)
    return isinstance(meant, Decl) and _declares(meant, mutex)


def _declares(decl: Decl | None, mutex: _Mutex) -> bool:
    mine = mutex.holder
    return decl is not None and (decl.file.path, decl.node.start) == (mine.path, mine.start)


def _seen(file: GoFile, name: Node) -> Place | bool | None:
    """Return None for a use that goes with any type, else True, or the literal it is set to."""
    use = name
    if name.field == "field" and name.parent is not None:
        use = name.parent
    if use.parent is not None and use.parent.kind == "literal_element":
        return _literal(file, use.parent.parent and use.parent.parent.get("value")) or True
    while use.parent is not None and (
        use.parent.kind == "parenthesized_expression"
        or (use.parent.kind == "index_expression" and use.field == "operand")
    ):
        use = use.parent
    parent = use.parent
    if parent is None:
        return True
    if parent.kind == "selector_expression" and use.field == "operand":
        return None
    if parent.kind == "unary_expression" and parent["operator"].kind == "&":
        return None if _is_locker(file, parent) or _is_brief(file, parent) else True
    if parent.kind == "argument_list" and parent.parent is not None:
        function = parent.parent.get("function")
        return None if function is not None and function.text in {b"len", b"cap"} else True
    if parent.kind == "range_clause" and use.field == "right":
        left = parent.get("left")
        return None if left is None or len(left.children) == 1 else True
    if parent.kind == "expression_list" and parent.parent is not None:
        return _assigned(file, parent.parent) or True
    return True


def _assigned(file: GoFile, statement: Node) -> Place | None:
    """Return the literal of `x.mu = sync.Mutex{}`."""
    if statement.kind != "assignment_statement" or statement["operator"].kind != "=":
        return None
    left, right = statement["left"], statement["right"]
    return _literal(file, right.children[0]) if len(left.children) == 1 else None


def _literal(file: GoFile, value: Node | None) -> Place | None:
    """Return the place of the type in `sync.Mutex{}`."""
    if value is not None and value.kind == "literal_element":
        value = value.children[0]
    if value is None or value.kind != "composite_literal":
        return None
    type_ = value["type"]
    known = type_.kind == "qualified_type" and type_["name"].name in _KINDS
    path = file.imported(type_["package"].name) if known else None
    return Place(file, type_) if path == "sync" else None


def _is_locker(file: GoFile, address: Node) -> bool:
    """Return whether an address goes where a sync.Locker is wanted, or has a method called."""
    while address.parent is not None and address.parent.kind == "parenthesized_expression":
        address = address.parent
    parent = address.parent
    if parent is None:
        return False
    if parent.kind == "selector_expression":
        return True
    if parent.kind == "literal_element" and parent.parent is not None:
        key, of = parent.parent.get("key"), file.type_of(parent.up("literal_value"))
        return key is not None and key.text == b"L" and is_named(of, "sync.Cond")
    call = parent.parent
    if parent.kind != "argument_list" or call is None or call.kind != "call_expression":
        return False
    decl = file.callee(call)
    if decl is None:
        return False
    if decl.name == "NewCond" and decl.file.package.path == "sync":
        return True
    signature = file.package.workspace.inference.decl_type(decl)
    params = getattr(signature, "params", ())
    index = parent.children.index(address)
    return index < len(params) and is_named(params[index], "sync.Locker")


def _is_brief(file: GoFile, address: Node) -> bool:
    """Return whether `p := &x.mu` names it for its methods alone."""
    name = declared_name(address)
    binding = None if name is None else file.binding(name)
    if binding is None:
        return False
    return all(
        use.kind == "declare" or _calls_method(use.node)
        for use in uses_of(binding)
        if use.node is not name
    )


def _calls_method(node: Node) -> bool:
    parent = node.parent
    return parent is not None and parent.kind == "selector_expression" and node.field == "operand"


def _sets_by_order(file: GoFile, literal: Node) -> bool:
    """Return whether `T{sync.Mutex{}, 1}` sets fields without naming them."""
    elements = (child for child in literal.children if child.kind == "literal_element")
    return any(_literal(file, element) is not None for element in elements)
