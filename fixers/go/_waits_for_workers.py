"""Methods that stop an object by waiting for its workers, whose channel nobody closes.

Or for the work that is under way: then the workers go on waiting for more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from threadmend.golang.builders import (
    BuilderError,
    add_field,
    free_name,
    insert_after,
    insert_before,
    or_reason,
    package_name,
    parameters,
    reach_import,
    realign,
)
from threadmend.golang.calls import callers, code_callers
from threadmend.golang.channel_fields import SharedChannel
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.counted_spawners import group_of
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop, launch_of_literal, launch_sites
from threadmend.golang.infer import is_decl
from threadmend.golang.locks import declaration_of
from threadmend.golang.syntax import Node
from threadmend.golang.targets import stored_values, targets
from threadmend.golang.types import Named, deref, is_named
from threadmend.model import Fix, Safety

from ._beside import refuse_copies

__all__ = ["Waiting", "closed_around", "waiting_method"]

_STOPS = re.compile(r"(?i)^(?:close|stop|shutdown|quit|finish|drain|wait|terminate|end)")
_LAST = re.compile(r"(?i)^(?:close|stop|shutdown|quit|terminate|finish)")


@dataclass(frozen=True, slots=True)
class Waiting:
    """The method that stops an object by waiting: its name and the call of Wait.

    `items`: what is counted is each value of the channel, so that the workers need no close
    before the Wait, but one after it. `holder` is what has the channel, in the method's words:
    the object itself, or a part of it (`o.desk`).
    """

    method: str
    call: Node
    items: bool
    holder: str


def waiting_method(shared: SharedChannel) -> Waiting | None:
    """Return the method of the type that stops it by waiting for the workers.

    The workers count themselves off on the WaitGroup that the method waits for, or what they do.
    """
    if not is_decl(shared.decl, "type"):
        return None
    for file in shared.package.files:
        if file.is_test or b".Wait()" not in file.data:
            continue
        for call in file.calls("Wait"):
            group = call["function"].get("operand")
            top = file.tree.declaration_at(call.start)
            if group is None or group.kind != "selector_expression" or top is None:
                continue
            name = top.node.get("name")
            owner = deref(file.type_of(group["operand"]))
            stopper = _stopper(file, top.node) if name is not None else None
            if stopper is None or not _runs_in(file, call, top.node):
                continue
            if group["operand"].kind != "identifier" or not isinstance(owner, Named):
                continue
            counter = group["field"].name
            holder = _holder(file, group["operand"], owner, shared)
            sent = holder is not None and _counted_when_sent(shared, counter)
            if holder is not None and (sent or _counted(shared, counter)):
                items = sent or _in_rounds(shared, counter)
                if not items or (_LAST.match(stopper) and _is_last(call)):
                    return Waiting(stopper, call, items, holder)
    return None


def _stopper(file: GoFile, method: Node) -> str | None:
    """Return the name of a method that stops an object: itself, or the only one that calls it."""
    name = method["name"].name
    if _STOPS.match(name):
        return name
    decl = declaration_of(file, method)
    if decl is None or decl.exported or decl.kind != "method":
        return None
    above = {s.node.function for s in callers(decl) if s.call is not None and not s.launched}
    caller = above.pop() if len(above) == 1 else None
    named = caller.get("name") if caller is not None else None
    return named.name if named is not None and _LAST.match(named.name) else None


def _holder(file: GoFile, object_: Node, owner: Named, shared: SharedChannel) -> str | None:
    """Return how a method of a type names what has the channel: itself, or a part of its own.

    A part is a field whose every value is made for it: `&Office{desk: newDesk(limit)}`.
    """
    package = shared.package
    if owner.package != package.key or owner.local:
        return None
    if owner.name == shared.decl.name:
        return object_.name
    decl = package.lookup(owner.name)
    struct = decl.node.get("type") if is_decl(decl, "type") else None
    found, pointer = [], False
    for field in struct.find("field_declaration") if struct is not None else ():
        type_ = field["type"]
        part = deref(decl.file.type_from(type_)) if decl is not None else None
        if isinstance(part, Named) and (part.package, part.name) == (package.key, shared.decl.name):
            found += [n.name for n in field.all("name")] or [shared.decl.name]
            pointer = b"*" in field.text
    if len(found) != 1 or found[0][:1].isupper():
        return None
    values = list(stored_values(package, owner, found[0]))
    if (pointer and not values) or not all(value.kind in _MADE for _, value in values):
        return None
    return f"{object_.name}.{found[0]}"


_MADE = frozenset({"call_expression", "composite_literal", "unary_expression"})


def _runs_in(file: GoFile, call: Node, method: Node) -> bool:
    """Return whether a method makes a call itself, or in what its `sync.Once` runs."""
    function = call.function
    if function is None or function is method:
        return function is method
    return function.function is method and _once(file, call)


def _once(file: GoFile, call: Node) -> bool:
    """Return whether a call stands in the function that a `sync.Once` runs."""
    literal = call.function
    given = literal.parent if literal is not None and literal.kind == "func_literal" else None
    do = given.parent if given is not None and given.kind == "argument_list" else None
    if do is None or not do["function"].text.endswith(b".Do"):
        return False
    return is_named(deref(file.type_of(do["function"]["operand"])), "sync.Once")


def _is_last(wait: Node) -> bool:
    """Return whether nothing follows a Wait that may give the workers more to do."""
    statement = wait.parent
    return statement is not None and not any(
        n.kind in {"for_statement", "send_statement"} for s in statement.following for n in s.walk()
    )


def _in_rounds(channel: SharedChannel, group: str) -> bool:
    """Return whether the workers call Done in each round of their loop."""
    pattern = re.compile(rb"\b" + re.escape(group.encode()) + rb"\.Done\(")
    operations = channel.of("range") or channel.of("receive")
    loops = [innermost_loop(o.node) if o.kind != "range" else o.node.parent for o in operations]
    return all(loop is not None and pattern.search(loop.text) for loop in loops)


def _counted(channel: SharedChannel, group: str) -> bool:
    pattern = re.compile(rb"\b" + re.escape(group.encode()) + rb"\.(?:Done|Go)\(")
    for operation in channel.of("range") or channel.of("receive"):
        function = operation.node.function
        if function is None:
            return False
        outer = function.parent if function.kind == "func_literal" else function
        while outer is not None and outer.kind in {"argument_list", "call_expression"}:
            outer = outer.parent
        if outer is None:
            return False
        if pattern.search(outer.text) or _counts_by_parameter(operation, outer, group):
            continue
        if not _counted_by_spawner(operation, function, group):
            return False
    return True


def _counted_by_spawner(operation: ChannelOperation, worker: Node, group: str) -> bool:
    """Return whether a function that counts what it launches runs the worker: `p.track(p.work)`."""
    file = operation.file
    if worker.kind == "func_literal":
        launch = launch_of_literal(file, worker)
        launches = [launch] if launch is not None else []
    else:
        decl = declaration_of(file, worker)
        launches = launch_sites(file.package).get(decl.key, []) if decl is not None else []
    groups = (
        group_of(file.package.workspace.file_of(x.node), x.node) if x.kind == "counted" else None
        for x in launches
    )
    return bool(launches) and all(g is not None and g.steps[-1:] == (group,) for g in groups)


def _counts_by_parameter(operation: ChannelOperation, worker: Node, group: str) -> bool:
    """Return whether a worker counts itself off on a parameter that every launch gives: `&o.wg`."""
    decl = declaration_of(operation.file, worker)
    sites = launch_sites(operation.file.package).get(decl.key, ()) if decl is not None else ()
    for index, parameter in enumerate(parameters(worker) if sites else ()):
        name = parameter.name
        if name is None or not re.search(
            rb"\b" + re.escape(name.text) + rb"\.Done\(", worker["body"].text
        ):
            continue
        given = [s.call["arguments"].children[index] for s in sites if s.call is not None]
        return bool(given) and all(a.text.endswith(f".{group}".encode()) for a in given)
    return False


def _counted_when_sent(channel: SharedChannel, group: str) -> bool:
    """Return whether each value is counted by who sends it, and counted off when it is done.

    `p.left.Add(1)`, then `p.tasks <- func() { defer p.left.Done(); … }`. Or whoever calls what
    sends counts, and he himself, or what the worker calls for each value, says Done.
    """
    name = re.escape(group.encode())
    adds, ends = re.compile(rb"\b" + name + rb"\.Add\("), re.compile(rb"\b" + name + rb"\.Done\(")
    sends = [send for send in channel.of("send") if not send.file.is_test]
    if not sends or any(send.calls for send in sends):
        return False
    around = [_counting(send.file, send.node, adds, _LEVELS) for send in sends]
    if any(not functions for functions in around):
        return False
    ended = all(ends.search(send.node.text) for send in sends)
    ended = ended or all(ends.search(f.text) for found in around for f in found)
    return ended or _ended_in_rounds(channel, ends)


_LEVELS = 2  # calls between who counts a value and the send


def _counting(file: GoFile, place: Node, adds: re.Pattern[bytes], levels: int) -> list[Node]:
    """Return the functions that count before they come to a place; nothing if some do not."""
    function = place.function
    if function is None:
        return []
    if adds.search(function.tree.data, function.start, place.start):
        return [function]
    decl = declaration_of(file, function) if levels else None
    sites = code_callers(decl) if decl is not None else []
    if decl is None or decl.exported or any(s.call is None or s.launched for s in sites):
        return []
    found = [_counting(s.file, s.call, adds, levels - 1) for s in sites if s.call is not None]
    return [f for some in found for f in some] if all(found) else []


def _ended_in_rounds(channel: SharedChannel, ends: re.Pattern[bytes]) -> bool:
    """Return whether every worker calls, for each value, what says Done: `c.work(j)`."""
    loops = [(o.file, o.node.parent) for o in channel.of("range") if not o.file.is_test]
    return bool(loops) and all(
        loop is not None
        and any(
            node.kind == "call_expression" and _says(file, node, ends)
            for node in loop["body"].own()
        )
        for file, loop in loops
    )


def _says(file: GoFile, call: Node, ends: re.Pattern[bytes]) -> bool:
    """Return whether all that a call may run says Done."""
    found = targets(file, call)
    return found.complete and all(ends.search(body.node.text) for body in found.bodies)


@or_reason
def closed_around(channel: SharedChannel, found: Waiting) -> Fix:
    """Close the channel before waiting for who ranges over it; once, if called again.

    Sound: until now the Wait never returned. What waits for the work alone closes after that.
    """
    wait, receiver = found.call, found.holder
    file = channel.package.workspace.file_of(wait)
    close = f"close({receiver}.{channel.name})"
    where = "after" if found.items else "before"
    title, reason = f"Close {receiver}.{channel.name} {where} waiting", _REASON
    if _once(file, wait) and wait.parent is not None:
        put = insert_after if found.items else insert_before
        return Fix(title, tuple(put(wait.parent, close)), Safety.UNSAFE, reason)
    struct = channel.decl.node.get("type")
    if wait.parent is None or wait.parent.kind != "expression_statement":
        raise BuilderError("the Wait is deferred")
    if struct is None or struct.kind != "struct_type" or not _by_pointer(wait):
        raise BuilderError("the type has no place for a sync.Once")
    refuse_copies(channel)
    declared = [f for f in struct.find("field_declaration") if f.up("struct_type") is struct]
    names = {n.name for f in declared for n in f.all("name")}
    name = free_name("stopOnce", names | set(channel.package.methods(channel.decl.name)))
    tree = channel.decl.file.tree
    after = next(f for f in declared if any(n.name == channel.name for n in f.all("name")))
    code = f"{receiver}.{name}.Do(func() {{ {close} }})"
    put = insert_after if found.items else insert_before
    added = add_field(struct, name, f"{package_name(tree, 'sync')}.Once", after=after)
    edits = (*added, *reach_import(tree, "sync"))
    if wait.path == tree.source.path:
        edits = realign(tree, (*edits, *put(wait.parent, code)))
    else:
        edits = realign(tree, edits) + tuple(put(wait.parent, code))
    return Fix(title, edits, Safety.UNSAFE, reason)


_REASON = "whoever still sends then panics"


def _by_pointer(wait: Node) -> bool:
    method = wait.up("method_declaration")
    receiver = method.get("receiver") if method is not None else None
    return receiver is not None and next(receiver.find("pointer_type"), None) is not None
