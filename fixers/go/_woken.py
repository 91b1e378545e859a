"""Who a Signal wakes: one of those that wait, and perhaps not the one that could go on."""

from __future__ import annotations

import re

from threadmend.golang.access import access_of, is_assigned_once, uses_of
from threadmend.golang.calls import Site, callers, code_callers
from threadmend.golang.conditions import CondCall, loop_condition
from threadmend.golang.file import GoFile
from threadmend.golang.functions import outer_function
from threadmend.golang.goroutines import innermost_loop, launch_of_literal
from threadmend.golang.infer import is_decl
from threadmend.golang.literal_fields import field_value
from threadmend.golang.locks import declaration_of
from threadmend.golang.package import Decl
from threadmend.golang.runners import runners_of
from threadmend.golang.scope import Binding, argument_of
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import Named

__all__ = ["asked_by_callers", "flag_set", "given_to", "many", "passed_conditions"]


def given_to(wait: CondCall, condition: Node) -> str | None:
    """Return the parameter, a key or an amount, that each waiter's condition has of its own.

    Or a flag that some want to be set, and others not.
    """
    function = wait.call.function
    if function is None or not many(wait):
        return None
    for name in condition.find("identifier"):
        binding = wait.file.binding(name)
        if binding is None or binding.kind != "parameter" or binding.scope is not function:
            continue
        type_ = wait.file.underlying(wait.file.type_of(name))
        if not isinstance(type_, Named) or type_.package or type_.name == "error":
            continue
        if type_.name == "bool" and not _both_given(wait.file, function, binding):
            continue
        if is_assigned_once(binding) and not _is_chosen_by(wait, binding):
            if not _is_one_for_all(wait.file, function, binding):
                return binding.name
    return None


def _is_one_for_all(file: GoFile, function: Node, binding: Binding) -> bool:
    """Return whether all that calls a function gives it one number: `s.take(colour, puck)`."""
    decl = declaration_of(file, function)
    sites = [s for s in callers(decl) if not s.file.is_test] if decl is not None else []
    given = {
        value.text if value is not None and _is_constant(site.file, value) else None
        for site in sites
        for value in [argument_of(site.call, function, binding) if site.call is not None else None]
    }
    return len(given) == 1 and None not in given


def _is_constant(file: GoFile, value: Node) -> bool:
    if value.kind == "identifier":
        return is_decl(file.resolve(value), "const")
    return value.kind.endswith("_literal") and value.kind != "composite_literal"


def _is_chosen_by(wait: CondCall, binding: Binding) -> bool:
    """Return whether a parameter decides on which of several variables a function waits.

    `if kind == tcp { state = &c.tcp } else { state = &c.udp }`, with a variable in each.
    """
    root = access_of(wait.file, wait.cond)
    meant = root.root if root is not None else None
    if not isinstance(meant, Binding):
        return False
    named = re.compile(rb"\b" + re.escape(binding.name.encode()) + rb"\b")
    for use in uses_of(meant):
        test = use.node.up("if_statement", "expression_switch_statement", *FUNCTIONS)
        if use.kind == "write" and test is not None and test.kind not in FUNCTIONS:
            if named.search(test.text.partition(b"{")[0]):
                return True
    return False


def _both_given(file: GoFile, function: Node, binding: Binding) -> bool:
    """Return whether callers pass true, and others false: `g.await(true)`, `g.await(false)`."""
    decl = declaration_of(file, function)
    calls = [site.call for site in callers(decl)] if decl is not None else []
    given = [argument_of(call, function, binding) for call in calls if call is not None]
    return {b"true", b"false"} <= {node.text for node in given if node is not None}


def passed_conditions(wait: CondCall, condition: Node) -> list[Node] | None:
    """Return what callers pass to be waited for, None where the condition calls no parameter.

    `func (b *buf) await(ready func() bool) { for !ready() { b.cond.Wait() } }`: nothing is
    known when some caller passes anything but a literal that only returns a value.
    """
    node = condition
    while node.kind in {"parenthesized_expression", "unary_expression"}:
        node = node.children[-1]
    function = wait.call.function
    if node.kind != "call_expression" or function is None:
        return None
    binding = wait.file.binding(node["function"])
    if binding is None or binding.kind != "parameter" or binding.scope is not function:
        return None
    decl = declaration_of(wait.file, function)
    if decl is None or decl.exported or not is_assigned_once(binding):
        return []
    found = []
    for site in callers(decl):
        given = argument_of(site.call, function, binding) if site.call is not None else None
        inside = given["body"].statements if given is not None and given.get("body") else []
        if len(inside) != 1 or inside[0].kind != "return_statement":
            return []
        found.append(inside[0].children[-1])
    return found


def asked_by_callers(wait: CondCall) -> list[Node]:
    """Return the conditions of the loops in which callers call a function that only waits.

    `func (g *gate) await() { g.changed.Wait() }`; nothing is known when some caller asks in
    another way.
    """
    function = wait.call.function
    if (
        function is None
        or wait.statement is None
        or function["body"].statements != [wait.statement]
    ):
        return []
    decl = declaration_of(wait.file, function)
    found = []
    for site in callers(decl) if decl is not None else ():
        loop = innermost_loop(site.call) if site.call is not None else None
        condition = loop_condition(loop) if loop is not None else None
        if condition is None:
            return []
        found.append(condition)
    return found


def flag_set(call: CondCall, waits: list[CondCall], names: frozenset[str]) -> str | None:
    """Return the flag that the signalling function sets, and that no waiter takes back."""
    function = call.call.function
    for node in function["body"].own() if function is not None else ():
        if node.kind != "assignment_statement" or node["right"].name != "true":
            continue
        target = node["left"].children[0]
        last = target["field"].name if target.kind == "selector_expression" else target.name
        if last in names and not _taken_back(call.file, waits, last):
            return last
    return None


def _taken_back(file: GoFile, waits: list[CondCall], name: str) -> bool:
    """Return whether who was woken may reset the flag, so that it is for one waiter only."""
    pattern = re.compile(rb"\b" + re.escape(name.encode()) + rb"\b(?:, \w+)* = (?!true\b|=)")
    waiting = [wait.call.function for wait in waits]
    for other in file.package.files:
        for statement in other.find("assignment_statement", pattern):
            if not pattern.search(statement.text):
                continue
            function = statement.function
            while function is not None and function.kind == "func_literal":
                function = function.function
            if function is None or any(w is None or function.contains(w) for w in waiting):
                return True
            called = re.compile(rb"\b" + re.escape(function["name"].text) + rb"\(")
            if any(w is not None and called.search(w.text) for w in waiting):
                return True
    return False


def many(wait: CondCall) -> bool:
    """Return whether several goroutines may run a Wait: an exported or often-called function, or
    one that a loop launches, also through other calls.
    """
    function = wait.call.function
    while function is not None and function.kind == "func_literal":
        launch = launch_of_literal(wait.file, function)
        if launch is not None:
            return launch.loop is not None
        function = function.function
    decl = None if function is None else declaration_of(wait.file, function)
    if function is None or decl is None:
        return False
    sites = code_callers(decl)
    if len(sites) > 1 or (decl.exported and not sites):
        return True
    if len(sites) == 1 and _is_of_many(decl, sites[0]):
        return True
    launches = runners_of(wait.file, function).launches
    return any(r.loop is not None and not r.node.path.endswith("_test.go") for r in launches)


def _is_of_many(decl: Decl, site: Site) -> bool:
    """Return whether a call stands in an exported method of another type, which nobody calls.

    `func (p *Press) Run(o Order) error { … p.store.Take(o.Colour, puck) … }`, and `store` was
    given to the press: others have it too, and each runs in a goroutine of its own.
    """
    call = site.call
    function = outer_function(call) if call is not None else None
    caller = declaration_of(site.file, function) if function is not None else None
    if call is None or caller is None or not caller.exported or call.runs_later:
        return False
    target = call["function"]
    if caller.receiver in {"", decl.receiver} or target.kind != "selector_expression":
        return False
    if [s for s in callers(caller) if not s.file.is_test]:
        return False
    owner = target["operand"]
    return owner.kind == "selector_expression" and _is_given(caller, owner["field"].name)


def _is_given(decl: Decl, field: str) -> bool:
    """Return whether an object of a method's type gets a field's value from who makes it."""
    mentioned = re.compile(rb"\b" + re.escape(decl.receiver.encode()) + rb"\{")
    for file in decl.file.package.files:
        for literal in () if file.is_test else file.find("composite_literal", mentioned):
            value = field_value(file, literal, field)
            if literal["type"].name == decl.receiver and value is not None:
                binding = file.binding(value) if value.kind == "identifier" else None
                if binding is not None and binding.kind == "parameter":
                    return True
    return False
