"""Races: writes that several goroutines make at once to one field or package variable.

Shown, not believed: a crowd runs the write, on one object, and nothing visible lets only one
of them do it at a time: no lock on the way, no Once, no channel used as a lock, no test for
one of them, no index of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import variable_meant
from threadmend.golang.actors import actors, comes_after
from threadmend.golang.crowds import HANDLER, Crowd, crowds, own_nodes
from threadmend.golang.encounters import Encounter, encounters
from threadmend.golang.field_accesses import FieldAccess, access_kind
from threadmend.golang.filled_before import is_filled_before
from threadmend.golang.functions import doc_of, outer_function, remarks_beside
from threadmend.golang.infer import is_decl
from threadmend.golang.lock_helpers import net_acquires
from threadmend.golang.locks import held_at, locks_of
from threadmend.golang.node import bare
from threadmend.golang.preparing import may_be_held
from threadmend.golang.setup import runs_once
from threadmend.golang.spoken import says_locked
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, Map, Named, Type, deref
from threadmend.golang.unseen_locks import holds_unseen_lock
from threadmend.golang.wording import bind

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Package

__all__ = ["SharedWrite", "explained", "shared_writes"]

_WRITES = frozenset({"write", "update", "store"})
_SAYS = re.compile(
    rb"(?i)\block|\bmutex|\bracy?\b|\braces?\b|\bconcurren|\bthread|\bgoroutine|\batomic"
    rb"|\bsynchroni|\bunsafe|\bserial"
)
_SHARED_PACKAGES = frozenset({"sync", "sync/atomic", "go.uber.org/atomic"})
_EXCLUDES = ("CompareAndSwap", "LoadOrStore", "TryLock", "TryAcquire", "Swap", "Acquire")


@dataclass(frozen=True, slots=True)
class SharedWrite:
    """A write that a crowd makes, or one goroutine while others are at the place (`other`).

    `place` is the class of the field or variable.
    """

    place: str
    access: FieldAccess
    crowd: Crowd
    other: Node | None = None
    by_goroutine: bool = True

    @property
    def is_map(self) -> bool:
        """Return whether the place holds a map."""
        return isinstance(_type(self.access), Map)


def _type(access: FieldAccess) -> object:
    return access.file.underlying(access.file.type_of(access.node))


def shared_writes(package: Package) -> list[SharedWrite]:
    """Return the racy writes of a package, one for each place and function."""
    found: list[SharedWrite] | None = package.facts.get("shared writes")
    if found is None:
        found = package.facts["shared writes"] = []
        variables = {
            n for n, ds in package.names.items() if n != "_" and any(d.kind == "var" for d in ds)
        }
        seen: set[tuple[str, Node | None]] = set()
        for crowd in crowds(package):
            for access in _writes(crowd, variables):
                place = access.place
                function = outer_function(access.node)
                if place is None or (place, function) in seen:
                    continue
                if not _is_exclusive(crowd, access):
                    seen.add((place, function))
                    found.append(SharedWrite(place, access, crowd))
        met = {w.place for w in found}
        found.extend(w for w in _met(package) if w.place not in met)
        met.update(w.place for w in found)
        found.extend(w for w in _acted(package) if w.place not in met)
        found.sort(key=lambda w: (w.access.file.path, w.access.node.start))
    return found


def _met(package: Package) -> Iterator[SharedWrite]:
    """Yield the writes that an encounter of two goroutines shows, one for each place."""
    seen: set[str] = set()
    for encounter in encounters(package):
        touch = encounter.one
        if touch.in_channel:
            continue
        file, node = touch.file, touch.node
        access = FieldAccess.at(file, node)
        launch = encounter.launch
        crowd = Crowd(file, node, frozenset(), launch.node, "launched here", touch.path[:-1])
        if touch.place not in seen and not _is_exclusive(crowd, access, encounter.left):
            if not _is_exclusive_read(encounter):
                seen.add(touch.place)
                other, by_goroutine = encounter.other.node, encounter.by_goroutine
                yield SharedWrite(touch.place, access, crowd, other, by_goroutine)


def _acted(package: Package) -> Iterator[SharedWrite]:
    """Yield the writes of goroutines in endless loops that methods may meet."""
    for actor in actors(package):
        touch = actor.write
        if comes_after(actor.other.file, outer_function(actor.other.node)):
            continue
        file, node = touch.file, touch.node
        access = FieldAccess.at(file, node)
        launch = actor.launch
        crowd = Crowd(file, node, frozenset(), launch.node, "launched here", touch.path[:-1])
        if not _is_exclusive(crowd, access):
            yield SharedWrite(touch.place, access, crowd, actor.other.node)


def _is_exclusive_read(encounter: Encounter) -> bool:
    """Return whether something explains the other access, or a lock that cannot be told."""
    other = encounter.other
    if explained(other.file, other.node) or _holds_some_lock(other.file, other.node):
        return True
    workspace = other.file.package.workspace
    return any(holds_unseen_lock(workspace.file_of(at), at) for at in other.path)


def explained(file: GoFile, node: Node) -> bool:
    """Return whether a comment, an Once or a claim explains an access without a lock."""
    access = FieldAccess(file, node, "read", None)
    return _is_explained(access) or runs_once(node) or _is_let_in(file, node)


def _writes(crowd: Crowd, variables: set[str]) -> Iterator[FieldAccess]:
    """Yield the writes of a body to fields of shared objects and to package variables."""
    file = crowd.file
    for node in own_nodes(file, crowd.body):
        if node.kind == "selector_expression":
            operand = node["operand"]
            binding = variable_meant(file, operand) if operand.kind == "identifier" else None
            if binding is None or binding not in crowd.shared:
                continue
            if binding.kind not in {"receiver", "parameter"} or not _is_written(file, node):
                continue
            selection = file.selection(node)
            if selection is None or selection.kind != "field" or selection.owner is None:
                continue
            yield FieldAccess.at(file, node)
        elif node.kind == "identifier" and node.name in variables and _is_written(file, node):
            if is_decl(file.resolve(node), "var"):
                yield FieldAccess.at(file, node)


def _is_written(file: GoFile, node: Node) -> bool:
    return access_kind(file, node) in _WRITES


# -- what lets only one of them in ------------------------------------------------------


def _is_exclusive(crowd: Crowd, access: FieldAccess, known: bool = False) -> bool:
    """Return whether the write may be made by one goroutine at a time after all.

    `known`: an object that was made here is known to a goroutine, too.
    """
    file, node = access.file, access.node
    type_ = file.type_of(node)
    if isinstance(file.underlying(type_), Chan) or _is_made_to_be_shared(type_):
        return True
    if access.held_here or (access.fresh and not known) or _is_explained(access):
        return True
    if any(runs_once(at) for at in (node, *crowd.path)):
        return True
    if any(held_at(file.package.workspace.file_of(c), c) for c in crowd.path if not c.is_launched):
        return True
    if _has_own_index(file, node) or _is_of_one_instance(node):
        return True
    if is_filled_before(file, crowd.root, (node, *crowd.path)):
        return True
    for at in (node, *crowd.path):
        where = file.package.workspace.file_of(at)
        if _is_let_in(where, at) or _holds_some_lock(where, at) or may_be_held(where, at):
            return True
        if holds_unseen_lock(where, at):
            return True
    return crowd.why == HANDLER and _is_made_per_request(crowd, access)


def _is_made_to_be_shared(type_: Type | None) -> bool:
    named = deref(type_)
    return isinstance(named, Named) and named.package in _SHARED_PACKAGES


def _is_explained(access: FieldAccess) -> bool:
    function = outer_function(access.node)
    if function is None or says_locked(function["name"].name) or _SAYS.search(doc_of(function)):
        return True
    return any(map(_SAYS.search, remarks_beside(access.node)))


def _has_own_index(file: GoFile, node: Node) -> bool:
    """Return whether each goroutine may write an element of its own: `s.out[i] = …`."""
    outer = node.parent
    while outer is not None and outer.kind in {"index_expression", "parenthesized_expression"}:
        if outer.kind == "index_expression":
            if isinstance(file.underlying(file.type_of(outer["operand"])), Map):
                return False
            index = outer.get("index")
            return index is not None and index.kind != "int_literal"
        outer = outer.parent
    return False


def _is_of_one_instance(node: Node) -> bool:
    """Return whether a condition around a write may let one goroutine in: `if id == 0`."""
    for ancestor in node.ancestors():
        if ancestor.kind in {"function_declaration", "method_declaration"}:
            return False
        if ancestor.kind == "if_statement":
            condition = ancestor.get("condition")
            if condition is not None and not condition.contains(node):
                for binary in condition.find("binary_expression"):
                    sides = (binary["left"].kind, binary["right"].kind)
                    if binary["operator"].kind == "==" and "int_literal" in sides:
                        if "identifier" in sides:
                            return True
    return False


def _is_let_in(file: GoFile, node: Node) -> bool:
    """Return whether the code before a node may have let one goroutine in.

    `once.Do`, `CompareAndSwap`, `TryLock`; a channel that is filled before and emptied after.
    """
    function = outer_function(node)
    if function is None:
        return True
    before: set[tuple[str, bytes]] = set()
    after: set[tuple[str, bytes]] = set()
    for other in function.walk():
        if other.kind == "call_expression" and other["function"].kind == "selector_expression":
            name = other["function"]["field"].name
            if other.start < node.start and name.startswith(_EXCLUDES):
                return True
        side = before if other.start < node.start else after
        if other.kind == "send_statement":
            side.add(("send", other["channel"].text))
        elif other.kind == "unary_expression" and other["operator"].kind == "<-":
            side.add(("receive", other["operand"].text))
    opposite = {"send": "receive", "receive": "send"}
    return any((opposite[kind], channel) in after for kind, channel in before)


def _holds_some_lock(file: GoFile, node: Node) -> bool:
    """Return whether the function takes a lock whose object cannot be told."""
    function = node.function
    if function is None:
        return False
    if any(o.acquires and o.access is None for o in locks_of(file, function).operations):
        return True
    wrappers = net_acquires(file.package)
    return bool(wrappers) and any(
        (decl := file.callee(call)) is not None
        and decl.key in wrappers
        and not bind(file, call, decl.node, wrappers[decl.key])
        for call in function.own()
        if call.kind == "call_expression"
    )


def _is_made_per_request(crowd: Crowd, access: FieldAccess) -> bool:
    """Return whether a handler makes objects of the type: each request has its own.

    Or what is given the request, and returns the handler that answers it.
    """
    if access.base is None:
        return False
    owner = (access.place or "").rpartition(".")[0].rpartition(".")[2]
    package = access.file.package
    handlers = [c.body for c in crowds(package) if c.why == HANDLER]
    for body in (*handlers, *_given_requests(package)):
        for literal in body.find("composite_literal"):
            if literal["type"].name == owner:
                return True
        for call in body.find("call_expression"):
            function = bare(call["function"])
            if function.kind == "identifier" and function.name == "new":
                if any(a.name == owner for a in call["arguments"].children):
                    return True
    return False


def _given_requests(package: Package) -> Iterator[Node]:
    """Yield the functions with a request among their parameters, test files left out."""
    for decl in package.functions():
        parameters = decl.node.get("parameters") if decl.has_body and decl.sound else None
        if parameters is not None and not decl.file.is_test:
            if b"*http.Request" in parameters.text:
                yield decl.node
