"""Methods that stop an object by waiting for its workers, whose channel nobody closes."""

from __future__ import annotations

import re

from threadmend.golang.builders import (
    BuilderError,
    add_field,
    free_name,
    import_name,
    insert_before,
    reach_import,
    realign,
)
from threadmend.golang.channel_fields import SharedChannel
from threadmend.golang.infer import is_decl
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, deref
from threadmend.model import Fix, Safety

__all__ = ["closed_before", "waiting_method"]

_STOPS = re.compile(r"(?i)^(?:close|stop|shutdown|quit|finish|drain|wait|terminate|end)")


def waiting_method(shared: SharedChannel) -> tuple[str, Node] | None:
    """Return the method of the type that stops it by waiting for the workers, and its Wait.

    The workers count themselves off on the WaitGroup that the method waits for.
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
            if name is None or call.function is not top.node or not _STOPS.match(name.name):
                continue
            if group["operand"].kind != "identifier" or not isinstance(owner, Named):
                continue
            if owner.name == shared.decl.name and _counted(shared, group["field"].name):
                return name.name, call
    return None


def _counted(channel: SharedChannel, group: str) -> bool:
    pattern = re.compile(rb"\b" + re.escape(group.encode()) + rb"\.(?:Done|Go)\(")
    for operation in channel.of("range") or channel.of("receive"):
        function = operation.node.function
        if function is None:
            return False
        outer = function.parent if function.kind == "func_literal" else function
        while outer is not None and outer.kind in {"argument_list", "call_expression"}:
            outer = outer.parent
        if outer is None or not pattern.search(outer.text):
            return False
    return True


def closed_before(channel: SharedChannel, wait: Node, receiver: str) -> Fix | str:
    """Close the channel before waiting for who ranges over it; once, if called again.

    Sound: until now the Wait never returned.
    """
    struct = channel.decl.node.get("type")
    if wait.parent is None or wait.parent.kind != "expression_statement":
        return "the Wait is deferred"
    if struct is None or struct.kind != "struct_type" or not _by_pointer(wait):
        return "the type has no place for a sync.Once"
    declared = [f for f in struct.find("field_declaration") if f.up("struct_type") is struct]
    names = {n.name for f in declared for n in f.all("name")}
    name = free_name("stopOnce", names | set(channel.package.methods(channel.decl.name)))
    tree = channel.decl.file.tree
    after = next(f for f in declared if any(n.name == channel.name for n in f.all("name")))
    code = f"{receiver}.{name}.Do(func() {{ close({receiver}.{channel.name}) }})"
    try:
        added = add_field(struct, name, f"{import_name(tree, 'sync') or 'sync'}.Once", after=after)
        edits = (*added, *reach_import(tree, "sync"))
        if wait.path == tree.source.path:
            edits = realign(tree, (*edits, *insert_before(wait.parent, code)))
        else:
            edits = realign(tree, edits) + insert_before(wait.parent, code)
    except BuilderError as error:
        return str(error)
    reason = "whoever still sends then panics"
    title = f"Close {receiver}.{channel.name} before waiting"
    return Fix(title, edits, Safety.UNSAFE, reason)


def _by_pointer(wait: Node) -> bool:
    method = wait.function
    receiver = method.get("receiver") if method is not None else None
    return receiver is not None and next(receiver.find("pointer_type"), None) is not None
