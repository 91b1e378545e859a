"""Counting: every call on one WaitGroup, as far as it can be seen.

A local WaitGroup is followed from its variable through closures and through parameters of
functions whose body is visible; that of an unexported field or package variable through its
package.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, is_assigned_once, lock_class
from threadmend.golang.channels import passed_to
from threadmend.golang.functions import call_of, method_call
from threadmend.golang.goroutines import Launch, launch_of_literal, launch_sites
from threadmend.golang.locks import declaration_of
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Declaration, Node
from threadmend.golang.types import Pointer, is_named
from threadmend.golang.waitgroups import WAITGROUP_CALLS, WaitGroupCall, waitgroup_call

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["Counter", "counter_of", "known_whole"]

_DEPTH = 3


@dataclass(slots=True)
class Counter:
    """One WaitGroup (or that of a field, for all instances): its calls and who else has it."""

    file: GoFile
    calls: list[WaitGroupCall] = field(default_factory=list)
    escapes: list[Node] = field(default_factory=list)
    names: set[Binding] = field(default_factory=set)  # a local one, and the parameters it gets to

    def of(self, method: str) -> list[WaitGroupCall]:
        """Return the calls of a method."""
        return [c for c in self.calls if c.method == method]

    def file_of(self, node: Node) -> GoFile:
        """Return the file that a node stands in."""
        return self.file.package.workspace.file_of(node)

    def launches_that_run(self, call: WaitGroupCall) -> list[Launch]:
        """Return the launches that start the goroutine which makes a call, none if unknown."""
        function = call.call.function
        file = self.file_of(call.call)
        while function is not None and function.kind == "func_literal":
            launch = launch_of_literal(file, function)
            if launch is not None:
                return [launch] if launch.uncounted else []
            outer = call_of(function)
            if outer is None:
                return []
            function = function.function
        decl = declaration_of(file, function) if function is not None else None
        sites = launch_sites(file.package).get(decl.key, ()) if decl is not None else ()
        return [site for site in sites if not self.names or self._is_given(site)]

    def _is_given(self, launch: Launch) -> bool:
        """Return whether a goroutine gets this WaitGroup, and not another one."""
        return any(launch.node.contains(use) for name in self.names for use in name.uses)


def counter_of(file: GoFile, call: WaitGroupCall) -> Counter | None:
    """Return everything that is done with the WaitGroup that a call means."""
    access = call.access
    if access is None:
        return None
    counter = Counter(file)
    root = access.root
    if isinstance(root, Binding) and not access.steps:
        if root.kind in {"parameter", "receiver", "result"}:
            return None
        _follow(file, root, counter, _DEPTH)
        return counter
    return _shared(file, call, counter)


def known_whole(file: GoFile, call: WaitGroupCall) -> Counter | None:
    """Return everything that is done with a WaitGroup that nobody else has a pointer to."""
    type_ = file.type_of(call.waitgroup)
    if isinstance(type_, Pointer) or not is_named(type_, "sync.WaitGroup"):
        root = call.access.root if call.access is not None and not call.access.steps else None
        if not isinstance(root, Binding) or not _is_new(root):
            return None
    counter = counter_of(file, call)
    return counter if counter is not None and not counter.escapes else None


def _is_new(binding: Binding) -> bool:
    """Return whether a variable holds the address of a WaitGroup that is made for it."""
    value = binding.value
    if value is None or not is_assigned_once(binding):
        return False
    return bool(_NEW.match(value.text))


_NEW = re.compile(rb"&sync\.WaitGroup\{\}|new\(sync\.WaitGroup\)")


def _follow(file: GoFile, binding: Binding, counter: Counter, depth: int) -> None:
    if binding in counter.names:
        return
    counter.names.add(binding)
    for use in binding.uses:
        if use is binding.node:
            continue
        operation = _operation(file, use)
        if operation is not None:
            counter.calls.append(operation)
            continue
        place = use
        while place.parent is not None and place.parent.kind in {
            "unary_expression",
            "parenthesized_expression",
        }:
            place = place.parent
        passed = passed_to(file, place)
        if passed is None or depth == 0:
            counter.escapes.append(use)
        else:
            _follow(passed[1], passed[2], counter, depth - 1)


def _operation(file: GoFile, use: Node) -> WaitGroupCall | None:
    call = method_call(use)
    return waitgroup_call(file, call) if call is not None else None


def _shared(file: GoFile, call: WaitGroupCall, counter: Counter) -> Counter | None:
    """Return the calls on a field's or package variable's WaitGroup in its package."""
    class_ = _class(file, call)
    if class_ is None:
        return None
    name = call.waitgroup.text.rpartition(b".")[2]
    if name[:1].isupper():
        return None  # other packages may have it
    for other in file.package.mentions(name.decode()):
        for function in other.functions(WAITGROUP_CALLS):
            for node in function.own():
                if node.kind == "call_expression":
                    operation = waitgroup_call(other, node)
                    if operation is not None and _class(other, operation) == class_:
                        counter.calls.append(operation)
        counter.escapes.extend(_addresses(other, name, class_))
        counter.escapes.extend(_method_values(other, name, class_))
    return counter


def _class(file: GoFile, call: WaitGroupCall) -> str | None:
    access: Access | None = call.access
    if access is None:
        return None
    written = call.waitgroup.text.rpartition(b".")[2].decode()
    via = access.steps[-1:] if access.steps and access.steps[-1] != written else ()
    return lock_class(file, call.waitgroup, via)


def _addresses_in(declaration: Declaration) -> bool:
    return declaration.tree.data.find(b"&", declaration.start, declaration.end) >= 0


def _addresses(file: GoFile, name: bytes, class_: str) -> list[Node]:
    """Return the places that take the address of the WaitGroup."""
    found = []
    for node in file.find("unary_expression", re.compile(rb"\b" + name + rb"\b"), _addresses_in):
        operand = node["operand"]
        if node["operator"].kind == "&" and operand.text.rpartition(b".")[2] == name:
            if lock_class(file, operand) == class_:
                found.append(node)
    return found


def _method_values(file: GoFile, name: bytes, class_: str) -> list[Node]:
    """Return the places that hand out a method of the WaitGroup: `go serve(c, s.open.Done)`."""
    found = []
    pattern = re.compile(rb"\b" + name + rb"\.(?:Add|Done)\b(?!\()")
    for node in file.find("selector_expression", pattern):
        operand = node["operand"]
        if node["field"].name in _COUNTS and operand.text.rpartition(b".")[2] == name:
            if call_of(node) is None and lock_class(file, operand) == class_:
                found.append(node)
    return found


_COUNTS = frozenset({"Add", "Done"})
