"""Cancel functions that a helper returns in a field of a struct, and that some path does not call.

sc := begin(ctx)               // return scope{Context: ctx, release: cancel}
if taken {
    return ErrTaken            // the others call sc.release()
}

A method that does nothing but call it is as good: `func (s *scope) end() { s.release() }`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import is_assigned_once
from threadmend.golang.bodycalls import receiver_of
from threadmend.golang.cancels import cancelled
from threadmend.golang.contexts import Derivation, derivations
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Point, flow_of
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.iterations import point_in
from threadmend.golang.named_like import may_call
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Func, is_named
from threadmend.model import Fix

__all__ = ["LostPart", "lost_in_parts"]

_HELD = re.compile(rb"\b\w+ := [\w.]+\([\w.]*[cC](?:tx|ontext)\b")
_DERIVES = re.compile(rb"\bcontext\.With(?:Cancel|Timeout|Deadline)\(")


@dataclass(frozen=True, slots=True)
class LostPart:
    """What a helper returned, one call of its cancel function, and the exits without one."""

    statement: Node
    name: Node
    call: Node
    exits: tuple[Node, ...]

    def fix(self, file: GoFile) -> Fix:
        """Return the fix, as for a cancel function in a variable; raises BuilderError."""
        made = self.statement["right"].children[0]
        return cancelled(
            file,
            Derivation(made, "WithCancel", self.statement, self.name, self.call["function"]),
            self.exits,
        )


def lost_in_parts(file: GoFile) -> Iterator[LostPart]:
    """Yield the objects whose cancel function is called on some paths only."""
    is_asked = may_call(file.package.workspace, _DERIVES, _part)
    for declaration in filter(is_asked, file.declarations(_HELD)):
        for statement in declaration.node.find("short_var_declaration"):
            left, right = statement["left"].children, statement["right"].children
            if len(left) == 1 and len(right) == 1 and right[0].kind == "call_expression":
                decl = file.callee(right[0])
                field = _part(decl) if decl is not None else None
                binding = file.binding(left[0]) if field is not None else None
                if decl is None or field is None or binding is None:
                    continue
                if binding.node is left[0] and innermost_loop(statement) is None:
                    yield from _lost(file, statement, binding, field)


def _part(decl: Decl) -> str | None:
    """Return the field in which a function returns the cancel function of what it derives."""
    if decl.kind not in {"func", "method"} or not decl.sound or not decl.has_body:
        return None
    if not _DERIVES.search(decl.file.data, *decl.span):
        return None
    known: dict[tuple[str, int], str | None]
    known = decl.file.package.facts.setdefault("cancels in parts", {})
    if decl.key not in known:
        known[decl.key] = _field_of(decl)
    return known[decl.key]


def _field_of(decl: Decl) -> str | None:
    for derivation in derivations(decl.file):
        if derivation.call.function is not decl.node:
            continue
        if derivation.cancel.kind == "selector_expression":
            return _stored_in(decl, derivation.cancel)
        binding = decl.file.binding(derivation.cancel)
        uses = [u for u in binding.uses if u is not binding.node] if binding is not None else []
        element = uses[0].parent if len(uses) == 1 else None
        keyed = element.parent if element is not None else None
        if keyed is None or keyed.kind != "keyed_element" or element is keyed["key"]:
            continue
        last = decl.node["body"].statements[-1]
        if last.kind == "return_statement" and last.contains(keyed) and _is_returned(keyed, last):
            return keyed["key"].name
    return None


def _stored_in(decl: Decl, cancel: Node) -> str | None:
    """Return the field of the object that a function makes and returns: `c.ctx, c.cancel = …`."""
    last = decl.node["body"].statements[-1]
    owner = decl.file.binding(cancel["operand"])
    values = last.children[1].children if last.kind == "return_statement" else []
    if owner is None or owner.kind != "variable" or len(values) != 1:
        return None
    if decl.file.binding(values[0]) is not owner or not is_assigned_once(owner):
        return None
    if any(u.parent is not None and u.parent.kind == "argument_list" for u in owner.uses):
        return None  # somebody else has it
    return cancel["field"].name


def _is_returned(keyed: Node, statement: Node) -> bool:
    """Return whether a literal is all that a return gives: `T{…}` or `&T{…}`."""
    literal = keyed.up("composite_literal")
    values = statement.children[1].children if len(statement.children) > 1 else []
    if literal is None or len(values) != 1:
        return False
    value = values[0]["operand"] if values[0].kind == "unary_expression" else values[0]
    return value is literal


def _lost(file: GoFile, statement: Node, binding: Binding, field: str) -> Iterator[LostPart]:
    function = statement.function
    flow = flow_of(function) if function is not None else None
    if function is None or flow is None or not flow.complete or not is_assigned_once(binding):
        return
    using: set[Point] = set()
    calls: list[Node] = []
    for use in binding.uses:
        if use is binding.node:
            continue
        kind = _kind(file, use, field)
        point = point_in(flow, use)
        if kind == "escapes" or point is None or use.function is not function:
            return
        if kind != "other":
            using.add(point)
        if kind == "call" and use.parent is not None and use.parent.parent is not None:
            calls.append(use.parent.parent)
    start = flow.point_of(statement["right"].children[0])
    if not calls or start is None:
        return
    left = flow.exits_from(start, stop=using.__contains__)
    exits = tuple(e.node for e in left if e.kind in {"return", "end"})
    if exits and all(e.kind == "return_statement" for e in exits):
        yield LostPart(statement, binding.node, calls[0], exits)


def _kind(file: GoFile, use: Node, field: str) -> str:
    """Return what a use of the object is: a `call` of cancel, what `may` call it, `other`."""
    above = use.parent
    if above is not None and above.kind == "selector_expression" and use.field == "operand":
        call = above.parent
        called = call is not None and call.kind == "call_expression" and above.field == "function"
        if above["field"].name == field:
            return "call" if called else "escapes"
        if not called:
            return "other"
        decl = file.callee(call) if call is not None else None
        if decl is None:
            return "may"
        if _only_calls(decl, field):
            return "call"
        return "may" if _may_call(decl, field) else "other"
    if above is not None and above.kind == "argument_list" and _takes_context(file, use):
        return "other"
    return "escapes"


def _only_calls(method: Decl, field: str) -> bool:
    """Return whether a call of the cancel function is all that a method does."""
    statements = method.node["body"].statements if method.sound and method.has_body else []
    receiver = receiver_of(method.node) if method.kind == "method" else None
    wanted = f"{receiver.name}.{field}()" if receiver is not None else ""
    return len(statements) == 1 and statements[0].name == wanted


def _may_call(method: Decl, field: str) -> bool:
    """Return whether a method looks at the field, or calls a method of the type that does."""
    methods = method.file.package.methods(method.receiver)
    word = re.compile(rb"\." + re.escape(field.encode()) + rb"\b")
    looking = {n for n, ds in methods.items() if any(word.search(d.file.data, *d.span) for d in ds)}
    seen, todo = set[str](), [method.name]
    while todo:
        name = todo.pop()
        if name in looking:
            return True
        seen.add(name)
        for decl in methods.get(name, ()):
            called = {n.decode() for n in _CALLS.findall(decl.file.data, *decl.span)}
            todo += sorted((called & methods.keys()) - seen)
    return False


_CALLS = re.compile(rb"\.(\w+)\b")


def _takes_context(file: GoFile, argument: Node) -> bool:
    """Return whether an argument is passed as a `context.Context`."""
    call = argument.parent.parent if argument.parent is not None else None
    if call is None or call.kind != "call_expression":
        return False
    function = file.type_of(call["function"])
    index = call["arguments"].children.index(argument)
    if not isinstance(function, Func) or index >= len(function.params):
        return False
    return is_named(function.params[index], "context.Context")
