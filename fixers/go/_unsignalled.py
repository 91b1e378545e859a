"""Waits on a condition variable that nobody ends: for `signal-lost`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import is_assigned_once, uses_of
from threadmend.golang.conditions import CondCall, wait_loop
from threadmend.golang.file import GoFile
from threadmend.golang.iterations import own_condition
from threadmend.golang.locks import locks_of
from threadmend.golang.package import Package
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, is_named

__all__ = ["never_changes", "never_signalled", "never_tested", "wait_values"]

_LEAVES = frozenset({"return_statement", "break_statement", "goto_statement"})
_PLAIN = frozenset({"identifier", "unary_expression", "binary_expression", "true", "false"})
_AROUND = frozenset(
    {"parenthesized_expression", "int_literal", "nil", "interpreted_string_literal"}
)


def never_tested(wait: CondCall) -> bool:
    """Return whether a function takes the lock and waits, whatever the state is.

    What was signalled before is lost. A caller cannot test in its place: the lock is taken
    after its test.
    """
    function = wait.call.function
    if wait.statement is None or function is None or wait_loop(wait) is not None:
        return False
    for outer in wait.call.ancestors():
        if outer is function:
            break
        if outer.kind in {"if_statement", "communication_case", "expression_case", "type_case"}:
            return False
    if _asked_above(wait) or _counts_itself(wait):
        return False
    return bool(locks_of(wait.file, function).held_before(wait.call))


def _counts_itself(wait: CondCall) -> bool:
    """Return whether a waiter counts itself right before it waits: whoever signals knows of it."""
    before = wait.statement.previous if wait.statement is not None else None
    return before is not None and before.kind == "inc_statement"


def _asked_above(wait: CondCall) -> bool:
    """Return whether an `if` above, under the lock, leaves when there is nothing to wait for."""
    block = wait.statement.parent if wait.statement is not None else None
    locked = False
    for statement in block.statements if block is not None else ():
        if statement is wait.statement:
            return False
        locked = locked or statement.text.endswith(b".Lock()")
        if locked and statement.kind == "if_statement":
            if statement["consequence"].statements[-1:] and (
                statement["consequence"].statements[-1].kind in _LEAVES
            ):
                return True
    return False


def never_changes(wait: CondCall) -> Node | None:
    """Return the condition of the loop around a Wait when nothing can change it."""
    loop = wait_loop(wait)
    if loop is None or any(node.kind in _LEAVES for node in loop["body"].own()):
        return None
    condition = own_condition(loop)
    if condition is None:
        return None
    names = list(condition.find("identifier"))
    if not names or any(n.kind not in _PLAIN | _AROUND for n in condition.walk() if n.children):
        return None
    for name in names:
        binding = wait.file.binding(name)
        if binding is None or not is_assigned_once(binding) or binding.kind == "parameter":
            return None
        if any(use.kind in {"address", "store"} for use in uses_of(binding)):
            return None  # who has `&ready` may set it
    return condition


def wait_values(file: GoFile) -> Iterator[Node]:
    """Yield the places where `cond.Wait` is a value: whoever gets it runs it once."""
    if b"sync" not in file.data:
        return
    for node in file.find("selector_expression", _VALUE):
        parent = node.parent
        if node["field"].name != "Wait" or parent is None:
            continue
        if parent.kind == "call_expression" and node.field == "function":
            continue
        selection = file.selection(node)
        if selection is not None and is_named(selection.owner, "sync.Cond"):
            yield node


_VALUE = re.compile(rb"\.Wait\b(?!\()")


def never_signalled(wait: CondCall) -> bool:
    """Return whether no code wakes those who wait on a field: no Signal, no Broadcast.

    Only for a field of the package itself that is given a new condition variable and whose
    every use is in sight.
    """
    cond = wait.cond
    if cond.kind != "selector_expression":
        return False
    selection = wait.file.selection(cond)
    package = wait.file.package
    if selection is None or selection.kind != "field" or selection.via:
        return False
    owner = selection.owner
    if not isinstance(owner, Named) or owner.local or owner.package != package.key:
        return False
    if selection.name[:1].isupper():
        return False
    known: dict[str, bool] = package.facts.setdefault("never_signalled", {})
    key = f"{owner}.{selection.name}"
    if key not in known:
        places = [_role(file, node, owner) for file, node in _places(package, selection.name)]
        known[key] = "made" in places and "other" not in places and not _has_variables(package)
    return known[key]


def _has_variables(package: Package) -> bool:
    """Return whether a new condition variable gets another name than that of a field."""
    for file in package.files:
        for call in file.calls("NewCond"):
            group = call.parent
            statement = group.parent if group is not None else None
            if statement is None or statement.kind in {"short_var_declaration", "var_spec"}:
                return True
            if statement.kind == "assignment_statement" and any(
                left.kind == "identifier" for left in statement["left"].children
            ):
                return True
    return False


def _places(package: Package, name: str) -> Iterator[tuple[GoFile, Node]]:
    pattern = re.compile(rb"\b" + re.escape(name.encode()) + rb"\b")
    for file in package.files:
        if name.encode() in file.data:
            for kind in ("selector_expression", "keyed_element"):
                for node in file.find(kind, pattern):
                    last = node["field"] if kind == "selector_expression" else node.get("key")
                    if last is not None and last.name == name:
                        yield file, node


def _role(file: GoFile, node: Node, owner: Named) -> str:
    """Return what a place does with the field: `made`, `waits`, or `other`, which may wake.

    A place that means a field of another type has no role.
    """
    if node.kind == "keyed_element":
        value = node.get("value")
        return "made" if value is not None and _is_new(value) else "other"
    selection = file.selection(node)
    if selection is None or not isinstance(selection.owner, Named):
        return "other"
    if (selection.owner.package, selection.owner.name) != (owner.package, owner.name):
        return ""
    parent = node.parent
    if parent is None:
        return "other"
    if parent.kind == "selector_expression":
        return "waits" if parent["field"].name in {"Wait", "L"} else "other"
    statement = parent.parent
    if parent.field == "left" and statement is not None and len(parent.children) == 1:
        return "made" if _is_new(statement["right"]) else "other"
    return "other"


def _is_new(value: Node) -> bool:
    return bool(_NEW.match(value.text))


_NEW = re.compile(rb"sync\.NewCond\(|(?:&\s*)?sync\.Cond\{")
