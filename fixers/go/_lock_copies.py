"""What a statement reads of a guarded object, copied to local variables while the lock is held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from threadmend.golang.access import Access, access_of
from threadmend.golang.builders import (
    BuilderError,
    add_import,
    free_name,
    import_name,
    taken_names,
)
from threadmend.golang.builders.structs import fields
from threadmend.golang.channel_fields import shared_channel
from threadmend.golang.field_accesses import accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.nocopy import nocopy
from threadmend.golang.node import BLOCKS
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import (
    Chan,
    Func,
    Interface,
    Map,
    Named,
    Pointer,
    Slice,
    Struct,
    Type,
    is_named,
)
from threadmend.model import Edit

from ._undone_under_lock import changed, under_lock, undone

__all__ = ["Copies", "written"]


class Copies:
    """What a statement reads of the guarded object, and the local names that replace it."""

    def __init__(
        self,
        file: GoFile,
        function: Node,
        access: Access,
        statement: Node,
        first: Sequence[str] = (),
        within: Sequence[Edit] = (),
    ) -> None:
        self.file = file
        self.function = function
        self.access = access
        self.statement = statement
        self.first, self.within = first, within
        self.imports: list[Edit] = []
        self.sparing = False  # what nobody changes is read where it is
        self.undone = [s for s in undone(file, statement) if self._is_changed_in(s)]

    def _is_changed_in(self, statement: Node) -> bool:
        """Return whether a statement changes what the lock guards."""
        return any(changed(self.file, self._place(name)) for name in self._reads(statement))

    def touched(self, statement: Node) -> bool:
        """Return whether a statement uses the object that the lock belongs to."""
        return any(True for _ in self._reads(statement)) or self._writes(statement)

    def _is_owner(self, name: Node) -> bool:
        root = self.access.root
        if isinstance(root, Binding):
            return self.file.binding(name) is root
        meant = self.file.resolve(name)
        return getattr(meant, "kind", "") == "var" and not isinstance(meant, Binding)

    def _reads(self, statement: Node) -> Iterator[Node]:
        for name in statement.find("identifier"):
            if self._is_owner(name) or self._is_element(name):
                yield name

    def _is_element(self, name: Node) -> bool:
        """Return whether a local names an element, of which a field is meant that changes.

        `d := r.onDuty[driver]`, and then `d.vehicle` in the statement.
        """
        selector = name.parent
        if selector is None or selector.kind != "selector_expression" or name.field != "operand":
            return False
        binding = self.file.binding(name)
        if binding is None or binding.kind != "variable" or binding.value is None:
            return False
        if self.statement.contains(binding.node):
            return False
        type_ = self.file.type_of(name)
        if not isinstance(type_, Pointer):
            return False
        if nocopy(self.file.package.workspace).path(type_.elem):
            return False  # it has a lock of its own
        place = access_of(self.file, binding.value)
        if place is None or place.root != self.access.root or not place.steps:
            return False
        selection = self.file.selection(selector)
        return selection is not None and selection.kind == "field" and self._changes(selector)

    def _changes(self, selector: Node) -> bool:
        """Return whether anybody writes a field of an object that others know."""
        return any(
            a.writes and not a.setup and not a.fresh
            for a in accesses_like(self.file.package, self.file, selector)
        )

    def _writes(self, statement: Node) -> bool:
        return any(written(n) and self._is_owner(n) for n in statement.find("identifier"))

    def replaceable(self, statement: Node) -> bool:
        """Return whether copies can stand for all that a statement asks of the guarded object."""
        if self._writes(statement) or any(n.kind == "func_literal" for n in statement.own()):
            return False
        return all(self._field(name) is not None for name in self._reads(statement))

    def taken(self, *others: Node) -> tuple[list[str], list[Edit]]:
        """Return the copies to make under the lock, and the edits that use them instead.

        `others` are statements further down that use them as well.
        """
        lines = list(self.first)
        locked = under_lock(self.file, self.access, self.undone)
        if locked is None:
            raise BuilderError("it writes to the guarded object")
        edits = [*self.within, *locked]
        names: dict[bytes, str] = {}
        taken = set(taken_names(self.function))
        imports = {i.name for i in self.file.imports}
        for name in [n for s in (self.statement, *others) for n in self._reads(s)]:
            if any(s.contains(name) for s in self.undone):
                continue
            place = self._field(name)
            if place is None:
                continue
            if self.sparing and self._stays_set(place):
                continue
            if self._may_be_nil(place):
                raise BuilderError("what it needs may be nil where the lock is held")
            named = place["operand"] if place.kind == "index_expression" else place
            last = named["field"].name if named.kind == "selector_expression" else named.name
            wanted = last[:1].lower() + last[1:]
            length = _length(place)
            if length is not None:
                place, wanted = length, "count"
            if place.text not in names:
                local = free_name(wanted, taken | imports)
                taken.add(local)
                names[place.text] = local
                lines.append(f"{local} := {self._copy(place)}")
            edits.append(Edit(place.path, place.start, place.end, names[place.text].encode()))
        return lines, edits

    def _stays_set(self, place: Node) -> bool:
        """Return whether a field of the object keeps what it was made with: a name, a function."""
        if place.kind != "selector_expression" or not self._is_owner(place["operand"]):
            return False
        name = place["field"].name
        under = self.file.underlying(self.file.type_of(place))
        if not name[:1].islower() or not isinstance(under, Named | Func | Pointer | Interface):
            return False
        known = accesses_like(self.file.package, self.file, place)
        return not any((a.writes and not a.fresh) or a.kind == "address" for a in known)

    def _may_be_nil(self, place: Node) -> bool:
        """Return whether a statement may ask first whether there is what a field is read of.

        `if s.cfg != nil { s.notify(s.cfg.name) }`.
        """
        outer = place
        while outer.kind == "selector_expression":
            inner = outer["operand"]
            if isinstance(self.file.type_of(inner), Pointer) and not self._is_owner(inner):
                same = [
                    n["operand"]
                    for n in self.statement.find("selector_expression")
                    if n["operand"].text == inner.text
                ]
                if self._read_before(inner):
                    return False
                return all(_is_conditional(n, self.statement) for n in same)
            outer = inner
        return False

    def _read_before(self, pointer: Node) -> bool:
        """Return whether a statement above reads or sets a field of what a pointer leads to."""
        statement: Node | None = self.statement
        while statement is not None and statement.function is self.function:
            for earlier in statement.parent.statements if statement.parent is not None else ():
                if earlier.start >= statement.start:
                    break
                for node in earlier.find("selector_expression"):
                    if node["operand"].text == pointer.text and not _is_conditional(node, earlier):
                        return True
            statement = statement.parent.statement if statement.parent is not None else None
        return False

    def _field(self, name: Node) -> Node | None:
        """Return the field that is read at a name, None for what can be left as it is."""
        place = name
        while place.parent is not None and place.parent.kind == "selector_expression":
            if place.field != "operand":
                break
            selection = self.file.selection(place.parent)
            if selection is not None and selection.kind == "method":
                return None if place is name else self._kept(place)
            place = place.parent
        if place is name and isinstance(self.access.root, Binding):
            return None  # the object itself, as an argument
        if changed(self.file, place):
            raise BuilderError("it writes to the guarded object")
        if self._stays(place):
            return None
        return self._entry(place)

    def _place(self, name: Node) -> Node:
        """Return the longest path of fields that begins with a name."""
        place = name
        while place.parent is not None and place.parent.kind == "selector_expression":
            if place.field != "operand":
                break
            place = place.parent
        return place

    def _entry(self, place: Node) -> Node:
        """Return the list that a map of lists has under one key: `s.hooks[name]`."""
        outer = place.parent
        if outer is None or outer.kind != "index_expression" or place.field != "operand":
            return place
        if not isinstance(self.file.underlying(self.file.type_of(place)), Map):
            return place
        if not isinstance(self.file.underlying(self.file.type_of(outer)), Slice):
            return place
        index = outer["index"]
        key = self.file.binding(index) if index.kind == "identifier" else None
        return (
            outer if key is not None and key.kind == "parameter" and not written(outer) else place
        )

    def _kept(self, place: Node) -> Node | None:
        """`s.conn.Close()`: the pointer is copied, `s.wg.Wait()` is left alone."""
        type_ = self.file.type_of(place)
        if isinstance(type_, Pointer) or isinstance(self.file.underlying(type_), Interface):
            return place
        return None

    def _stays(self, place: Node) -> bool:
        """Return whether a channel field keeps the value that it got when it was made."""
        if not isinstance(self.file.underlying(self.file.type_of(place)), Chan):
            return False
        channel = shared_channel(self.file, place)
        if channel is None:
            return False
        return not channel.nils and not channel.stores and len(channel.makes) <= 1

    def _copy(self, place: Node) -> str:
        """Return the expression that copies a field's value deep enough for the use."""
        if place.kind == "call_expression":
            return place.name
        type_ = self.file.type_of(place)
        under = self.file.underlying(type_)
        if type_ is None or under is None:
            raise BuilderError("what it needs of the guarded object has an unknown type")
        if isinstance(under, Slice | Map):
            path = "slices" if isinstance(under, Slice) else "maps"
            if self.file.go_version < (1, 21):
                raise BuilderError("the list would have to be copied")
            known = import_name(self.file.tree, path)
            if known is None and not self.imports:
                self.imports += add_import(self.file.tree, path)
            return f"{known or path}.Clone({place.name})"
        if isinstance(under, Chan | Func | Pointer | Interface | Named):
            if isinstance(type_, Named) and is_named(type_, "sync.WaitGroup", "sync.Mutex"):
                raise BuilderError("a lock cannot be copied")
            return place.name
        if isinstance(under, Struct) and self._is_plain_struct(type_):
            return place.name
        raise BuilderError("what it needs of the guarded object is not copied easily")

    def _is_plain_struct(self, type_: Type, depth: int = 3) -> bool:
        """Return whether the copy of a struct has all that its fields hold to itself."""
        under = self.file.underlying(type_)
        if not isinstance(under, Struct):
            return isinstance(under, Chan | Func | Pointer | Interface | Named)
        inference = self.file.package.workspace.inference
        names = [n.name for field in fields(under.node) for n in field.all("name")]
        if depth == 0 or not all(field.all("name") for field in fields(under.node)):
            return False
        members = [inference.member(type_, name) for name in names]
        if nocopy(self.file.package.workspace).path(type_):
            return False
        return all(
            m is not None and m.type is not None and self._is_plain_struct(m.type, depth - 1)
            for m in members
        )


def _is_conditional(node: Node, statement: Node) -> bool:
    """Return whether a statement may run without coming to a node in it."""
    for above in node.ancestors():
        if above is statement or not statement.contains(above):
            return False
        if above.kind in BLOCKS or above.kind == "func_literal":
            return True
        if above.kind == "binary_expression" and above["operator"].kind in {"&&", "||"}:
            if above["right"].contains(node):
                return True
    return False


def _length(place: Node) -> Node | None:
    """Return `len(s.items)` where only the length of a field is asked for."""
    call = place.parent.parent if place.parent is not None else None
    if call is None or call.kind != "call_expression" or place.parent is not call["arguments"]:
        return None
    return call if call["function"].text == b"len" else None


def written(name: Node) -> bool:
    """Return whether an assignment or a count changes what stands at a name."""
    group = name.parent
    if group is not None and group.kind in {"inc_statement", "dec_statement"}:
        return True
    return group is not None and group.field == "left"
