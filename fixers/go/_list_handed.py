"""Listeners that a method goes through, handed to it as a copy that was made under the lock.

func (s *set) Put(flag string) {              func (s *set) Put(flag string) {
    s.mu.Lock()                                   s.mu.Lock()
    defer s.mu.Unlock()                           s.flags[flag] = true
    s.flags[flag] = true                          watchers := slices.Clone(s.watchers)
    s.notify(flag)                     →          s.mu.Unlock()
}                                                 s.notify(watchers, flag)
                                              }

Every call of the method changes so: each has to stand where the lock is held, and be movable.

A method of a part that the object has by itself is called on a copy of the part:
`watchers := listeners{fns: maps.Clone(s.watchers.fns)}`.
"""

from __future__ import annotations

from threadmend.golang.bodycalls import receiver_of
from threadmend.golang.builders import (
    BuilderError,
    add_argument,
    add_import,
    add_parameter,
    free_name,
    import_name,
    taken_names,
)
from threadmend.golang.builders.spelling import spelled
from threadmend.golang.calls import Site
from threadmend.golang.families import CannotFollow, family
from threadmend.golang.file import GoFile
from threadmend.golang.holding import holding_of
from threadmend.golang.locks import Held
from threadmend.golang.package import Decl
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map, Slice
from threadmend.model import Edit

from ._after_unlock import Moved, after_unlock, all_after_unlock
from ._moved_statement import statement_to_move

__all__ = ["copy_part", "hand_list"]


def copy_part(file: GoFile, call: Node, decl: Decl, field: Node, lock: Held) -> tuple[Edit, ...]:
    """Return the edits that call the method of a part on a copy of it, after the Unlock."""
    _reads(decl, field)
    part, function = call["function"]["operand"], call.function
    if function is None or part.kind != "selector_expression":
        raise BuilderError("the list that the method goes through may change")
    type_ = spelled(file, file.type_of(part))
    if type_ is None:
        raise BuilderError("the type of the list is not known")
    name = field["field"].name
    copy, imports = _copied(decl, file, field, f"{part.name}.{name}")
    local = _local(file, function, part["field"].name, type_)
    edits = after_unlock(
        file,
        lock.access,
        statement_to_move(call, lock),
        first=(f"{local} := {type_}{{{name}: {copy}}}",),
        within=(Edit(part.path, part.start, part.end, local.encode()),),
    )
    return (*edits, *imports)


def _local(file: GoFile, function: Node, wanted: str, type_: str = "") -> str:
    taken = set(taken_names(function)) | {i.name for i in file.imports} | {type_.partition("[")[0]}
    return free_name(wanted[:1].lower() + wanted[1:], taken)


def hand_list(decl: Decl, field: Node, lock: Held) -> tuple[Edit, ...]:
    """Return the edits that give a method what it reads of a field, and call it after the Unlock.

    Raises BuilderError where the method reads more of its object than that.
    """
    edits = list(_parameter(decl, field))
    functions: dict[Node, list[Site]] = {}
    for site in _sites(decl):
        function = site.node.function
        if function is None:
            raise BuilderError(f"{decl.name} is used as a value")
        functions.setdefault(function, []).append(site)
    for sites in functions.values():
        edits += _moved(sites, decl, field, lock)
    return tuple(dict.fromkeys(edits))


def _sites(decl: Decl) -> list[Site]:
    try:
        found = family(decl)
    except CannotFollow as error:
        raise BuilderError(str(error)) from None
    if len(found.signatures) != 1:
        raise BuilderError(f"{decl.name} belongs to an interface")
    return list(found.sites)


# -- the method ---------------------------------------------------------------------------


def _parameter(decl: Decl, field: Node) -> tuple[Edit, ...]:
    """Let a method take what it reads of a field as its first parameter."""
    reads = _reads(decl, field)
    name = free_name(field["field"].name, taken_names(decl.node))
    edits = add_parameter(decl.node, name, _type_of(decl, field), index=0)
    return (*edits, *(Edit(read.path, read.start, read.end, name.encode()) for read in reads))


def _reads(decl: Decl, field: Node) -> list[Node]:
    """Return where a method reads a field of its object, which is all that it does with it."""
    receiver, body = receiver_of(decl.node), decl.node["body"]
    if receiver is None or field["operand"].text != receiver.name.encode():
        raise BuilderError("the list that the method goes through may change")
    uses = [use for use in receiver.uses if use is not receiver.node and body.contains(use)]
    reads = [use.parent for use in uses if use.parent is not None]
    if any(read.text != field.text for read in reads):
        raise BuilderError("the method that calls it does other things as well")
    if any(_is_changed(read) for read in reads):
        raise BuilderError("the method that calls it changes the list")
    return reads


def _is_changed(read: Node) -> bool:
    """Return whether an assignment changes a field, or its address is taken."""
    node = read
    while node.parent is not None and node.parent.kind == "index_expression":
        node = node.parent
    group = node.parent
    if group is None:
        return False
    return group.field == "left" or group.kind in {"unary_expression", "inc_statement"}


def _type_of(decl: Decl, field: Node) -> str:
    """Return the type of a field as it is spelled where a method of its struct stands."""
    selection = decl.file.selection(field)
    declared = selection.node if selection is not None else None
    type_ = declared.get("type") if declared is not None else None
    owner = decl.file.package.lookup(decl.receiver)
    if type_ is None or owner is None or selection is None or selection.via:
        raise BuilderError("the type of the list is not known")
    home = decl.file.package.workspace.file_of(type_)
    words = (word.name for word in type_.find("package_identifier"))
    if any(home.imported(w) != decl.file.imported(w) or not home.imported(w) for w in words):
        raise BuilderError("the type of the list is not imported here")
    listed = owner.node.get("type_parameters")
    names = [n.name for p in listed.children for n in p.all("name")] if listed is not None else []
    written = [n.text.decode() for n in decl.node["receiver"].find("type_elem")]
    if names and written != names:
        raise BuilderError("the type of the list is named otherwise here")
    return type_.name


# -- its calls ----------------------------------------------------------------------------


def _moved(sites: list[Site], decl: Decl, field: Node, lock: Held) -> tuple[Edit, ...]:
    """Copy the list under the lock, and call the method with it after the Unlock."""
    file = sites[0].file
    imports: list[Edit] = []
    moved: list[Moved] = []
    wanted = field["field"].name
    for site in sites:
        call, function = site.call, site.node.function
        if call is None or function is None or call.parent is None:
            raise BuilderError(f"{decl.name} is used as a value")
        held = [h for h in holding_of(file, function).at(call) if h.lock_class == lock.lock_class]
        if len(held) != 1 or call.parent.kind != "expression_statement":
            raise BuilderError(f"{decl.name} is also called where the lock is not held")
        local = _local(file, function, wanted)
        kept = f"{call['function']['operand'].name}.{wanted}"
        copy, imported = _copied(decl, file, field, kept)
        imports += imported
        statement = statement_to_move(call, held[0])
        moved.append(Moved(statement, (f"{local} := {copy}",), tuple(add_argument(call, local))))
    return (*all_after_unlock(file, held[0].access, moved), *imports)


def _copied(decl: Decl, file: GoFile, field: Node, kept: str) -> tuple[str, tuple[Edit, ...]]:
    """Return the expression that copies what a field holds, and the import that it needs."""
    under = decl.file.underlying(decl.file.type_of(field))
    if not isinstance(under, Slice | Map):
        return kept, ()
    if file.go_version < (1, 21):
        raise BuilderError("the list would have to be copied")
    path = "slices" if isinstance(under, Slice) else "maps"
    known = import_name(file.tree, path)
    return f"{known or path}.Clone({kept})", () if known else tuple(add_import(file.tree, path))
