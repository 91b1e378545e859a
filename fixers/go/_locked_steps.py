"""Steps of a function that each hold a lock for themselves: looks, and changes.

    if a.Balance() < n {        a look at a.balance, by a method that locks
        return ErrFunds
    }
    a.Withdraw(n)               a change of a.balance, by another one

A step stands in the function itself, in a critical section, or in a method that it calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from threadmend.golang.access import Access, access_of, is_assigned_once, selector_called
from threadmend.golang.calls import Site, callers
from threadmend.golang.field_accesses import FieldAccess
from threadmend.golang.file import GoFile
from threadmend.golang.guards import Guard
from threadmend.golang.lock_calls import lock_calls
from threadmend.golang.locks import LockOperation, declaration_of
from threadmend.golang.named_like import may_name
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding, argument_of
from threadmend.golang.syntax import Node

__all__ = ["Step", "changed", "is_unasked", "steps_of"]

_BRANCHES = frozenset(
    {
        *("if_statement", "for_statement", "expression_switch_statement"),
        *("type_switch_statement", "select_statement", "func_literal"),
    }
)
_LEAVES = frozenset({"return_statement", "continue_statement", "break_statement", "goto_statement"})
_STARTS = frozenset({"go_statement", "send_statement", "select_statement", "func_literal"})


@dataclass(frozen=True, slots=True)
class Step:
    """A look at a guarded place, or a change of it, as the function around `at` makes it.

    `at` is the call of the method that makes it, or the access itself; `owner` the object that
    holds the place; `key` the element that is meant, None for the place as a whole; `parts` the
    fields of the element. `kind` is `look`, `store`, `update`, `append`, `shrink` or `delete`,
    `value` what is stored. `inner` is the look that a method only passes on.
    """

    file: GoFile
    at: Node
    access: FieldAccess
    owner: Access | None
    key: str | None
    parts: frozenset[str]
    kind: str
    value: Node | None
    decl: Decl | None
    inner: Step | None = None

    @property
    def looks(self) -> bool:
        return self.kind == "look"


def steps_of(guard: Guard) -> dict[Node, list[Step]]:
    """Return the steps that functions take at the place of a guard, by function."""
    found: dict[Node, list[Step]] = {}
    by_function: dict[Node, list[FieldAccess]] = {}
    for access in guard.locked:
        function = access.node.function
        if function is not None and access.held_here and not access.fresh:
            by_function.setdefault(function, []).append(access)
    made: list[tuple[Node, list[Step], Step | None]] = []
    for function, accesses in by_function.items():
        own = [s for a in accesses for s in _own_steps(a)]
        decl = declaration_of(accesses[0].file, function)
        made.append((function, own, _whole(decl, guard, own) if decl is not None else None))
    wanted = _beside_changes(
        [s for _, own, _ in made for s in own], [s for _, _, s in made if s is not None]
    )
    for function, own, step in made:
        found.setdefault(function, []).extend(own)
        if step is not None:
            _add_calls(step, found, wanted if step.looks else None)
    return {f: sorted(s, key=lambda step: step.at.start) for f, s in found.items()}


_Wanted = Callable[[GoFile, int], bool]
_PASSES_ON = re.compile(rb"\{\s*(?:return\b|/)")


def _beside_changes(own: list[Step], whole: list[Step]) -> _Wanted:
    """Return what tells where a look is of interest: beside a change, or passed on to callers.

    By the bytes of the declaration around a place.
    """
    names = {s.decl.name.encode() for s in whole if s.decl is not None and not s.looks}
    places = [(s.file.path, s.at.start) for s in own if not s.looks]
    known: dict[tuple[str, int], bool] = {}

    def wanted(file: GoFile, at: int) -> bool:
        declaration = file.tree.declaration_at(at)
        if declaration is None:
            return False
        start, end, opens = declaration.start, declaration.end, declaration.body_start
        key = (file.path, start)
        if key not in known:
            known[key] = (
                (opens >= 0 and _PASSES_ON.match(file.data, opens) is not None)
                or any(path == file.path and start <= place < end for path, place in places)
                or may_name(names, declaration)
            )
        return known[key]

    return wanted


def _add_calls(step: Step, found: dict[Node, list[Step]], wanted: _Wanted | None) -> None:
    """Add the step to all who call its method, and to who calls those that only pass it on."""
    for site in callers(step.decl).in_code(wanted) if step.decl is not None else ():
        caller = site.node.function
        made = _called(site, step)
        if made is None or caller is None:
            continue
        found.setdefault(caller, []).append(made)
        if made.looks and step.inner is None:
            decl = declaration_of(site.file, caller)
            inside = decl.node["body"].statements if decl is not None and decl.has_body else []
            if len(inside) == 1 and inside[0].kind == "return_statement":
                _add_calls(replace(made, decl=decl, inner=made), found, wanted)


# -- what a function does itself --------------------------------------------------------


def _own_steps(access: FieldAccess) -> Iterator[Step]:
    """Yield what an access does: to the place, to an element, or to a field of one."""
    owner = access.base
    key, target = _element(access.node)
    step = Step(access.file, access.node, access, owner, key, frozenset({""}), "", None, None)
    part, target = _part(target)
    kind, value = _kind(target)
    if kind == "look" and access.writes:
        return
    if kind != "look":
        yield replace(step, parts=frozenset({part}), kind=kind, value=value)
        return
    element = _named(access.file, target)
    parts = {part}
    for use in element.uses if element is not None and key is not None else ():
        inner, outermost = _part(use)
        changed, value = _kind(outermost)
        if inner and changed != "look":
            yield replace(step, at=use, parts=frozenset({inner}), kind=changed, value=value)
        elif inner:
            parts.add(inner)
    yield replace(step, parts=frozenset(parts), kind="look")


def changed(step: Step) -> Node:
    """Return the whole of what a step in the function itself changes: `c.left`, `s.m[key]`."""
    _, target = _element(step.at)
    return _part(target)[1]


def _element(node: Node) -> tuple[str | None, Node]:
    """Return the key, and `s.m[key]` around the name of a place."""
    outer = node.parent
    if outer is not None and outer.kind == "index_expression" and node.field == "operand":
        return outer["index"].name, outer
    call = node.up("call_expression")
    if call is not None and call["function"].text == b"delete":
        given = call["arguments"].children
        if len(given) == 2 and given[0] is node:
            return given[1].name, node
    return None, node


def _part(target: Node) -> tuple[str, Node]:
    """Return the fields that are selected of what a node means, and the whole expression."""
    part = ""
    while target.parent is not None and target.field == "operand":
        if target.parent.kind != "selector_expression" or target.parent.field == "function":
            break
        target = target.parent
        part += f".{target['field'].name}"
    return part, target


def _kind(target: Node) -> tuple[str, Node | None]:
    """Return what a statement does to an expression, and what it stores there."""
    outer = target.parent
    statement = target.statement
    if outer is None or statement is None:
        return "look", None
    if outer.kind in {"inc_statement", "dec_statement"}:
        return "update", None
    call = outer.parent if outer.kind == "argument_list" else None
    if call is not None and call["function"].text == b"delete" and outer.children[0] is target:
        return "delete", None
    if statement.kind != "assignment_statement" or outer.field != "left":
        return "look", None
    if statement["operator"].kind in {"+=", "-="}:
        return "update", None
    if statement["operator"].kind != "=" or len(statement["left"].children) != 1:
        return "store", None
    value = statement["right"].children[0]
    return _of_value(target, value), value


def _of_value(target: Node, value: Node) -> str:
    """Return what `target = value` is: a value made of the old one, or a new one."""
    if value.kind == "call_expression" and value["function"].text == b"append":
        return "append" if value["arguments"].children[0].text == target.text else "store"
    if value.kind == "slice_expression" and value["operand"].text == target.text:
        return "shrink"
    if value.kind == "binary_expression" and any(n.text == target.text for n in value.walk()):
        return "update"
    return "store"


def _named(file: GoFile, target: Node) -> Binding | None:
    """Return `c` of `c := s.m[key]`, and of `c, ok := s.m[key]`."""
    values = target.parent
    statement = values.parent if values is not None and values.field == "right" else None
    if statement is None or statement.kind != "short_var_declaration" or values is None:
        return None
    if len(values.children) != 1:
        return None
    binding = file.binding(statement["left"].children[0])
    return binding if binding is not None and is_assigned_once(binding) else None


# -- what a method does -----------------------------------------------------------------


def _whole(decl: Decl, guard: Guard, own: list[Step]) -> Step | None:
    """Return the one step that a function is: a look that changes nothing, or a plain change."""
    if not own or not decl.sound or decl.file.is_test:
        return None
    operations = lock_calls(decl.file, decl.node)
    takes = [o for o in operations if o.acquires]
    if len(takes) != 1 or takes[0].lock_class != guard.lock_class or takes[0].deferred:
        return None
    if any(n.kind in _STARTS for n in decl.node.own()):
        return None
    step = _look(decl, own) if all(s.looks for s in own) else _change(decl, own, takes[0])
    return replace(step, decl=decl) if step is not None else None


def _look(decl: Decl, own: list[Step]) -> Step | None:
    """Return the look of a function that returns what it finds and does nothing else."""
    if decl.node.get("result") is None:
        return None
    for node in decl.node.own():
        if node.kind == "assignment_statement":
            if any(n.kind != "identifier" for n in node["left"].children):
                return None
        elif node.kind in {"inc_statement", "dec_statement"}:
            if node.children[0].kind != "identifier":
                return None
        elif node.kind == "call_expression" and node["function"].text == b"delete":
            return None
    keys = {s.key for s in own}
    key = keys.pop() if len(keys) == 1 else None
    parts = frozenset[str]().union(*(s.parts for s in own))
    return replace(own[0], key=key, parts=parts)


def _change(decl: Decl, own: list[Step], taken: LockOperation) -> Step | None:
    """Return the change of a function that asks for nothing before it makes it."""
    changes = [s for s in own if not s.looks and not _is_made_lazily(s)]
    body = decl.node["body"]
    if len(changes) != 1 or not is_unasked(changes[0].at, taken.call.end, body):
        return None
    return changes[0]


def _is_made_lazily(step: Step) -> bool:
    """Return whether a step makes a map where there is none: `if s.m == nil { s.m = … }`."""
    outer = step.at.up("if_statement")
    condition = outer["condition"] if outer is not None else None
    if condition is None or condition.kind != "binary_expression":
        return False
    return condition["left"].text == step.at.text and condition["right"].text == b"nil"


def is_unasked(change: Node, since: int, body: Node) -> bool:
    """Return whether nothing under the lock decides if a change is made."""
    for outer in change.ancestors():
        if outer is body:
            break
        if outer.kind in _BRANCHES:
            return False
    return not any(n.kind in _LEAVES and since < n.start < change.start for n in body.own())


def _called(site: Site, step: Step) -> Step | None:
    """Return what a call of a method does, in the terms of the function that makes it."""
    call, decl = site.call, step.decl
    if call is None or decl is None or site.launched or site.deferred:
        return None
    if site.file.package.module is not decl.file.package.module or site.file.generated:
        return None
    owner = step.owner
    if owner is not None and isinstance(owner.root, Binding):
        selector = selector_called(site.file, call)
        if owner.root.kind != "receiver" or selector is None:
            return None
        base = access_of(site.file, selector["operand"])
        if base is None:
            return None
        owner = Access(base.root, base.steps + owner.steps)
    key, value = step.key, step.value
    if key is not None:
        key = _key(step, call)
        if key is None:
            return None
    binding = step.file.binding(value) if value is not None and value.kind == "identifier" else None
    if binding is not None and binding.kind == "parameter":
        value = argument_of(call, decl.node, binding)
    return replace(step, file=site.file, at=call, owner=owner, key=key, value=value)


def _key(step: Step, call: Node) -> str | None:
    """Return the key that a method is given, as the caller writes it."""
    name, _, field = (step.key or "").partition(".")
    if step.decl is None or not name.isidentifier():
        return None
    binding = next((b for b in _parameters(step) if b.name == name), None)
    if binding is None or not is_assigned_once(binding):
        return None
    given = argument_of(call, step.decl.node, binding)
    if given is None or not field:
        return given.name if given is not None else None
    literal = _literal(step.file, given)
    if literal is None:
        return f"{given.name}.{field}"
    for element in literal["body"].children:
        if element.kind == "keyed_element" and element["key"].name == field:
            return element["value"].name
    return None


def _parameters(step: Step) -> Iterator[Binding]:
    """Yield the parameters of the method that makes a step."""
    node = step.decl.node["parameters"] if step.decl is not None else None
    owner = step.access.file if step.inner is None else step.file
    for name in node.find("identifier") if node is not None else ():
        binding = owner.binding(name)
        if binding is not None and binding.kind == "parameter":
            yield binding


def _literal(file: GoFile, given: Node) -> Node | None:
    """Return the literal that an argument is, or that its variable was made of."""
    binding = file.binding(given) if given.kind == "identifier" else None
    if binding is not None and binding.value is not None and is_assigned_once(binding):
        given = binding.value
    if given.kind == "unary_expression":
        given = given["operand"]
    return given if given.kind == "composite_literal" else None
